package emulator_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/openirsa/openirsa/pkg/emulator"
	"github.com/openirsa/openirsa/pkg/emulator/emulatortest"
)

// Two accounts of one emulator.
const (
	accountA = "111122223333"
	accountB = "444455556666"
)

func two() emulator.Config { return emulator.Config{Accounts: []string{accountA, accountB}} }

// userIn makes a user of an account who may do what an inline policy says, "" for
// nothing, and returns a client configuration with its key.
func userIn(t *testing.T, a *emulatortest.AWS, account, name, document string) aws.Config {
	t.Helper()
	client := iam.NewFromConfig(a.ConfigIn(account))
	if _, err := client.CreateUser(t.Context(), &iam.CreateUserInput{UserName: &name}); err != nil {
		t.Fatal(err)
	}
	if document != "" {
		if _, err := client.PutUserPolicy(t.Context(), &iam.PutUserPolicyInput{UserName: &name, PolicyName: new("p"), PolicyDocument: &document}); err != nil {
			t.Fatal(err)
		}
	}
	made, err := client.CreateAccessKey(t.Context(), &iam.CreateAccessKeyInput{UserName: &name})
	if err != nil {
		t.Fatal(err)
	}
	return a.ConfigFor(*made.AccessKey.AccessKeyId, *made.AccessKey.SecretAccessKey, "")
}

// roleIn makes a role of an account.
func roleIn(t *testing.T, a *emulatortest.AWS, account, name, trust string) string {
	t.Helper()
	made, err := iam.NewFromConfig(a.ConfigIn(account)).CreateRole(t.Context(), &iam.CreateRoleInput{RoleName: &name, AssumeRolePolicyDocument: &trust})
	if err != nil {
		t.Fatal(err)
	}
	return *made.Role.Arn
}

func allowing(principal any, action, resource string) map[string]any {
	s := map[string]any{"Effect": "Allow", "Action": action}
	if principal != nil {
		s["Principal"] = principal
	}
	if resource != "" {
		s["Resource"] = resource
	}
	return s
}

func whoIs(t *testing.T, config aws.Config) string {
	t.Helper()
	who, err := sts.NewFromConfig(config).GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
	if err != nil {
		t.Fatal(err)
	}
	return *who.Account + " " + *who.Arn
}

// TestAccountOfCredentials: an access key belongs to the account that issued it, and
// an account id is the key of the account's root user.
func TestAccountOfCredentials(t *testing.T) {
	a := startAWS(t, two())
	if got := whoIs(t, a.Config()); got != accountA+" arn:aws:iam::"+accountA+":root" {
		t.Errorf("the root key is of %s", got)
	}
	for _, account := range []string{accountA, accountB} {
		if got := whoIs(t, a.ConfigIn(account)); got != account+" arn:aws:iam::"+account+":root" {
			t.Errorf("key %s is of %s", account, got)
		}
		user := userIn(t, a, account, "dev", document(allowing(nil, "*", "*")))
		if got := whoIs(t, user); got != account+" arn:aws:iam::"+account+":user/dev" {
			t.Errorf("the user's key is of %s", got)
		}
		session, err := sts.NewFromConfig(user).GetSessionToken(t.Context(), &sts.GetSessionTokenInput{})
		if err != nil {
			t.Fatal(err)
		}
		c := session.Credentials
		if got := whoIs(t, a.ConfigFor(*c.AccessKeyId, *c.SecretAccessKey, *c.SessionToken)); got != account+" arn:aws:iam::"+account+":user/dev" {
			t.Errorf("the session is of %s", got)
		}
	}
	const strange = "999988887777"
	_, err := sts.NewFromConfig(a.ConfigIn(strange)).GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
	refused(t, err, 403, "InvalidClientTokenId", "The security token included in the request is invalid.")
	why := "access key 999988887777 is of account 999988887777, which this emulator does not have: it has 111122223333, 444455556666"
	if e := a.LastDenial(); e.Reason != why {
		t.Errorf("the event says %q", e.Reason)
	}
	wrong := a.ConfigFor(accountB, "wrong", "")
	if _, err := sts.NewFromConfig(wrong).GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{}); err == nil {
		t.Error("any secret is the root user's")
	}

	one := startAWS(t, emulator.Config{Account: accountA})
	if _, err := sts.NewFromConfig(one.ConfigIn(accountA)).GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{}); err == nil {
		t.Error("an emulator of one account takes the account id for a key")
	}
}

// TestAccountsConfig: which account is the home account.
func TestAccountsConfig(t *testing.T) {
	for _, c := range []struct {
		account  string
		accounts []string
		want     string
	}{
		{"", nil, "000000000000"},
		{accountA, nil, accountA},
		{"", []string{accountB, accountA}, accountB + " " + accountA},
		{accountA, []string{accountB, accountA, accountB}, accountA + " " + accountB},
		{accountA, []string{accountB}, accountA + " " + accountB},
		{"", []string{accountA, "12"}, `configuring the emulator: account "12" is not twelve digits`},
	} {
		s, err := emulator.New(emulator.Config{Account: c.account, Accounts: c.accounts})
		got := ""
		if err != nil {
			got = err.Error()
		} else {
			got = strings.Join(s.Accounts(), " ")
		}
		if got != c.want {
			t.Errorf("%q %q: %q, want %q", c.account, c.accounts, got, c.want)
		}
	}
}

// TestAccountsAreApart: entities of one account are not seen from another, and all
// of them are there after a restart.
func TestAccountsAreApart(t *testing.T) {
	config := two()
	config.State = filepath.Join(t.TempDir(), "state.db")
	var b aws.Config
	t.Run("before", func(t *testing.T) {
		a := startAWS(t, config)
		roleIn(t, a, accountA, "app", document(allowing(map[string]any{"AWS": accountA}, "sts:AssumeRole", "")))
		b = userIn(t, a, accountB, "dev", document(allowing(nil, "*", "*")))
		if _, err := a.S3(b).CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: new("theirs")}); err != nil {
			t.Fatal(err)
		}
	})
	if _, err := emulator.New(emulator.Config{State: config.State, Accounts: []string{accountB, accountA}}); err == nil {
		t.Error("the state of one home account is taken for another's")
	}

	a := startAWS(t, config)
	names := func(config aws.Config) (names []string) {
		users, err := iam.NewFromConfig(config).ListUsers(t.Context(), &iam.ListUsersInput{})
		if err != nil {
			t.Fatal(err)
		}
		roles, err := iam.NewFromConfig(config).ListRoles(t.Context(), &iam.ListRolesInput{})
		if err != nil {
			t.Fatal(err)
		}
		buckets, err := a.S3(config).ListBuckets(t.Context(), &s3.ListBucketsInput{})
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range users.Users {
			names = append(names, *u.Arn)
		}
		for _, r := range roles.Roles {
			names = append(names, *r.Arn)
		}
		for _, b := range buckets.Buckets {
			names = append(names, *b.Name)
		}
		return names
	}
	if got := names(a.Config()); !slices.Equal(got, []string{"arn:aws:iam::" + accountA + ":role/app"}) {
		t.Errorf("account A has %q", got)
	}
	if got := names(a.ConfigIn(accountB)); !slices.Equal(got, []string{"arn:aws:iam::" + accountB + ":user/dev", "theirs"}) {
		t.Errorf("account B has %q", got)
	}
	if got := whoIs(t, aws.Config{Region: b.Region, BaseEndpoint: &a.URL, Credentials: b.Credentials}); got != accountB+" arn:aws:iam::"+accountB+":user/dev" {
		t.Errorf("the key is of %s", got)
	}
}

// TestAssumeRoleAcrossAccounts: the caller's own policies in its account and the
// trust policy in the role's must both allow, whomever the trust policy names.
func TestAssumeRoleAcrossAccounts(t *testing.T) {
	a := startAWS(t, two())
	user := "arn:aws:iam::" + accountA + ":user/"
	may := userIn(t, a, accountA, "may", document(allowing(nil, "sts:AssumeRole", "arn:aws:iam::"+accountB+":role/*")))
	mayNot := userIn(t, a, accountA, "maynot", "")
	open := roleIn(t, a, accountB, "open", document(allowing(map[string]any{"AWS": "arn:aws:iam::" + accountA + ":root"}, "sts:AssumeRole", "")))
	named := roleIn(t, a, accountB, "named", document(allowing(map[string]any{"AWS": []string{user + "may", user + "maynot"}}, "sts:AssumeRole", "")))
	shut := roleIn(t, a, accountB, "shut", document(allowing(map[string]any{"AWS": accountB}, "sts:AssumeRole", "")))
	try := func(config aws.Config, role string) (*sts.AssumeRoleOutput, error) {
		return sts.NewFromConfig(config).AssumeRole(t.Context(), &sts.AssumeRoleInput{RoleArn: &role, RoleSessionName: new("s1")})
	}
	for _, role := range []string{open, named} {
		out, err := try(may, role)
		if err != nil {
			t.Fatal(err)
		}
		c := out.Credentials
		session := a.ConfigFor(*c.AccessKeyId, *c.SecretAccessKey, *c.SessionToken)
		arn := strings.Replace(strings.Replace(role, ":iam:", ":sts:", 1), ":role/", ":assumed-role/", 1) + "/s1"
		if got := whoIs(t, session); got != accountB+" "+arn || *out.AssumedRoleUser.Arn != arn {
			t.Errorf("the session is of %s, %s", got, *out.AssumedRoleUser.Arn)
		}
		_, err = try(mayNot, role)
		refused(t, err, 403, "AccessDenied", "User: "+user+"maynot is not authorized to perform: sts:AssumeRole on resource: "+role)
		e := a.LastDenial()
		if e.Account != accountA || e.ResourceAccount != accountB || !strings.Contains(e.Reason, "no identity-based policy allows it") {
			t.Errorf("the event says %s %s %q", e.Account, e.ResourceAccount, e.Reason)
		}
	}
	_, err := try(may, shut)
	refused(t, err, 403, "AccessDenied", "User: "+user+"may is not authorized to perform: sts:AssumeRole on resource: "+shut)
	if e := a.LastDenial(); !strings.Contains(e.Reason, "no role trust policy allows it") {
		t.Errorf("the event says %q", e.Reason)
	}
	strange := "arn:aws:iam::999988887777:role/app"
	_, err = try(userIn(t, a, accountA, "admin", document(allowing(nil, "*", "*"))), strange)
	refused(t, err, 403, "AccessDenied", "User: "+user+"admin is not authorized to perform: sts:AssumeRole on resource: "+strange)
	if e := a.LastDenial(); !strings.Contains(e.Reason, "account 999988887777 is none of the emulator's") {
		t.Errorf("the event says %q", e.Reason)
	}

	missing := document(allowing(map[string]any{"AWS": user + "nobody"}, "sts:AssumeRole", ""))
	_, err = iam.NewFromConfig(a.ConfigIn(accountB)).CreateRole(t.Context(), &iam.CreateRoleInput{RoleName: new("wrong"), AssumeRolePolicyDocument: &missing})
	refused(t, err, 400, "MalformedPolicyDocument", `Invalid principal in policy: "AWS":"`+user+`nobody"`)

	// A user of the same name that comes later is another one.
	root := iam.NewFromConfig(a.ConfigIn(accountA))
	keys, err := root.ListAccessKeys(t.Context(), &iam.ListAccessKeysInput{UserName: new("may")})
	if err != nil {
		t.Fatal(err)
	}
	_, err1 := root.DeleteAccessKey(t.Context(), &iam.DeleteAccessKeyInput{UserName: new("may"), AccessKeyId: keys.AccessKeyMetadata[0].AccessKeyId})
	_, err2 := root.DeleteUserPolicy(t.Context(), &iam.DeleteUserPolicyInput{UserName: new("may"), PolicyName: new("p")})
	_, err3 := root.DeleteUser(t.Context(), &iam.DeleteUserInput{UserName: new("may")})
	if err1 != nil || err2 != nil || err3 != nil {
		t.Fatal(err1, err2, err3)
	}
	again := userIn(t, a, accountA, "may", document(allowing(nil, "*", "*")))
	if _, err := try(again, named); err == nil {
		t.Error("a user that was made anew is trusted")
	}
}

// TestWebIdentityOfAccounts: a token goes to the account of the role, and only a
// provider of that account vouches for it.
func TestWebIdentityOfAccounts(t *testing.T) {
	a, i := start(t, two())
	_, err := iam.NewFromConfig(a.ConfigIn(accountB)).CreateOpenIDConnectProvider(t.Context(), &iam.CreateOpenIDConnectProviderInput{
		Url: new("https://" + i.hostPath()), ClientIDList: []string{"sts.amazonaws.com"},
	})
	if err != nil {
		t.Fatal(err)
	}
	trust := strings.ReplaceAll(i.usual(), accountA, accountB)
	role := roleIn(t, a, accountB, "app", trust)
	config := session(t, a, role, i.token(i.claims()))
	if got := whoIs(t, config); got != accountB+" arn:aws:sts::"+accountB+":assumed-role/app/app1" {
		t.Errorf("the session is of %s", got)
	}
	a.FastForward(time.Minute)
	other := roleIn(t, a, accountA, "app", trust)
	_, err = assume(t, a, other, i.token(i.claims()))
	if err == nil {
		t.Error("a provider of another account vouches for a token")
	}
	if e := a.LastDenial(); e.Step != "provider" {
		t.Errorf("refused at %s", e.Step)
	}
}
