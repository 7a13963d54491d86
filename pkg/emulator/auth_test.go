package emulator_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	ststypes "github.com/aws/aws-sdk-go-v2/service/sts/types"

	"github.com/openirsa/openirsa/pkg/emulator"
)

// signedQuery makes a signed request in the Query protocol.
func signedQuery(t testing.TB, url, service, id, secret, body string, at time.Time) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	sum := sha256.Sum256([]byte(body))
	err = v4.NewSigner().SignHTTP(context.Background(), aws.Credentials{AccessKeyID: id, SecretAccessKey: secret}, r, hex.EncodeToString(sum[:]), service, "us-east-1", at)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func do(t testing.TB, r *http.Request) (int, string) {
	t.Helper()
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, strings.ReplaceAll(string(body), resp.Header.Get("x-amzn-RequestId"), "ID")
}

func call(t testing.TB, url, service, id, secret, body string) string {
	t.Helper()
	_, answer := do(t, signedQuery(t, url, service, id, secret, body, time.Now()))
	return answer
}

// TestAuthentication holds complete answers to signatures that are not right.
func TestAuthentication(t *testing.T) {
	t.Parallel()
	a := startAWS(t)
	const list = "Action=ListGroups&Version=2010-05-08"
	now := time.Now().UTC()
	const iso = "20060102T150405Z"
	edit := func(r *http.Request, f func(*http.Request)) *http.Request { f(r); return r }
	good := func() *http.Request { return signedQuery(t, a.URL, "iam", "test", "test", list, now) }
	const mismatch = "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details."
	for _, c := range []struct {
		name          string
		request       *http.Request
		status        int
		code, message string
	}{
		{"wrong secret", signedQuery(t, a.URL, "iam", "test", "wrong", list, now), 403, "SignatureDoesNotMatch", mismatch},
		{"altered signature", edit(good(), func(r *http.Request) {
			h := r.Header.Get("Authorization")
			last := "0"
			if strings.HasSuffix(h, "0") {
				last = "1"
			}
			r.Header.Set("Authorization", h[:len(h)-1]+last)
		}), 403, "SignatureDoesNotMatch", mismatch},
		{"altered body", edit(good(), func(r *http.Request) {
			r.Body = io.NopCloser(strings.NewReader(strings.Replace(list, "ListGroups", "ListUsers0", 1)[:len(list)]))
		}), 400, "InvalidAction", ""},
		{"unknown key", signedQuery(t, a.URL, "iam", "AKIAQAAAAAAAAAAAAAAA", "test", list, now), 403, "InvalidClientTokenId", "The security token included in the request is invalid."},
		{"session token of nobody", edit(good(), func(r *http.Request) { r.Header.Set("X-Amz-Security-Token", "x") }), 403, "InvalidClientTokenId", "The security token included in the request is invalid."},
		{"wrong service", signedQuery(t, a.URL, "sts", "test", "test", list, now), 403, "SignatureDoesNotMatch", "Credential should be scoped to correct service: 'iam'."},
		{"malformed", edit(good(), func(r *http.Request) {
			r.Header.Set("Authorization", "AWS4-HMAC-SHA256 SignedHeaders=host, Signature=0")
		}),
			400, "IncompleteSignature", "Authorization header requires 'Credential' parameter."},
		{"unsigned", edit(good(), func(r *http.Request) { r.Header.Del("Authorization") }), 403, "MissingAuthenticationToken", "Request is missing Authentication Token"},
	} {
		t.Run(c.name, func(t *testing.T) {
			status, body := do(t, c.request)
			if c.message == "" {
				if status != c.status || !strings.Contains(body, "<Code>"+c.code+"</Code>") {
					t.Errorf("got %d %s", status, body)
				}
				return
			}
			want := `<ErrorResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><Error><Type>Sender</Type><Code>` + c.code + `</Code><Message>` + c.message + `</Message></Error><RequestId>ID</RequestId></ErrorResponse>`
			if status != c.status || body != want {
				t.Errorf("got  %d %s\nwant %d %s", status, body, c.status, want)
			}
			if event := a.LastDenial(); event.Step != "signature" || event.Code != c.code || event.Reason == "" {
				t.Errorf("event %+v", event)
			}
		})
	}
	t.Run("clock", func(t *testing.T) {
		late, early := now.Add(-6*time.Minute), now.Add(6*time.Minute)
		_, body := do(t, signedQuery(t, a.URL, "iam", "test", "test", list, late))
		if !strings.Contains(body, "<Code>SignatureDoesNotMatch</Code><Message>Signature expired: "+late.Format(iso)+" is now earlier than ") || !strings.Contains(body, " - 5 min.)</Message>") {
			t.Error(body)
		}
		_, body = do(t, signedQuery(t, a.URL, "iam", "test", "test", list, early))
		if !strings.Contains(body, "<Message>Signature not yet current: "+early.Format(iso)+" is still later than ") || !strings.Contains(body, " + 5 min.)</Message>") {
			t.Error(body)
		}
		if status, body := do(t, signedQuery(t, a.URL, "iam", "test", "test", list, now.Add(-4*time.Minute))); status != 200 {
			t.Error(body)
		}
	})
	t.Run("presigned", func(t *testing.T) {
		// As aws-iam-authenticator and Vault do: GET with a further signed header.
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			r, _ := http.NewRequest(method, a.URL+"/?Action=GetCallerIdentity&Version=2011-06-15&X-Amz-Expires=60", nil)
			r.Header.Set("x-k8s-aws-id", "cluster")
			url, header, err := v4.NewSigner().PresignHTTP(t.Context(), aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, r, hex.EncodeToString(sha256.New().Sum(nil)), "sts", "us-east-1", time.Now())
			if err != nil {
				t.Fatal(err)
			}
			r, _ = http.NewRequest(method, url, nil)
			r.Header = header
			if status, body := do(t, r); status != 200 || !strings.Contains(body, "<Arn>"+rootARN+"</Arn>") {
				t.Errorf("%s: %d %s", method, status, body)
			}
			r.Header.Set("x-k8s-aws-id", "other")
			if status, body := do(t, r); status != 403 || !strings.Contains(body, "SignatureDoesNotMatch") {
				t.Errorf("%s with another header: %d %s", method, status, body)
			}
		}
	})
}

// TestSessions: credentials of a session hold together, and end.
func TestSessions(t *testing.T) {
	t.Parallel()
	a, idp := start(t, emulator.Config{})
	idp.register()
	role := a.Role("R", idp.usual())
	var outs []*sts.AssumeRoleWithWebIdentityOutput
	for range 2 {
		out, err := assume(t, a, role, idp.token(idp.claims()))
		if err != nil {
			t.Fatal(err)
		}
		outs = append(outs, out)
	}
	who := func(id, secret, token string) error {
		_, err := sts.NewFromConfig(a.ConfigFor(id, secret, token)).GetCallerIdentity(t.Context(), nil)
		return err
	}
	x, y := outs[0].Credentials, outs[1].Credentials
	const invalid = "The security token included in the request is invalid."
	if err := who(*x.AccessKeyId, *x.SecretAccessKey, *x.SessionToken); err != nil {
		t.Error(err)
	}
	refused(t, who(*x.AccessKeyId, *x.SecretAccessKey, *y.SessionToken), 403, "InvalidClientTokenId", invalid)
	refused(t, who(*x.AccessKeyId, *x.SecretAccessKey, ""), 403, "InvalidClientTokenId", invalid)
	refused(t, who("test", "test", *x.SessionToken), 403, "InvalidClientTokenId", invalid)
	refused(t, who(*x.AccessKeyId, *x.SecretAccessKey, (*x.SessionToken)[:len(*x.SessionToken)-8]), 403, "InvalidClientTokenId", invalid)
	if err := who(*x.AccessKeyId, *y.SecretAccessKey, *x.SessionToken); err == nil {
		t.Error("the secret of another session was accepted")
	}
	a.FastForward(time.Hour)
	refused(t, who(*x.AccessKeyId, *x.SecretAccessKey, *x.SessionToken), 403, "ExpiredToken", "The security token included in the request is expired")
}

func TestAssumeRole(t *testing.T) {
	t.Parallel()
	a, idp := start(t, emulator.Config{})
	idp.register()
	ctx, root := t.Context(), iam.NewFromConfig(a.Config())
	_, err := sts.NewFromConfig(a.Config()).AssumeRole(ctx, &sts.AssumeRoleInput{RoleArn: new("arn:aws:iam::000000000000:role/R"), RoleSessionName: new("s1")})
	refused(t, err, 403, "AccessDenied", "Roles may not be assumed by root accounts.")

	first := a.Role("first", idp.usual())
	byAccount := a.Role("by-account", anyone)
	byName := a.Role("by-name", document(map[string]any{"Effect": "Allow", "Principal": map[string]any{"AWS": first}, "Action": "sts:AssumeRole",
		"Condition": map[string]any{"StringEquals": map[string]any{"sts:ExternalId": "secret-handshake"}}}))
	config := session(t, a, first, idp.token(idp.claims()))
	client := sts.NewFromConfig(config)
	try := func(role string, change ...func(*sts.AssumeRoleInput)) error {
		in := &sts.AssumeRoleInput{RoleArn: &role, RoleSessionName: new("s1")}
		for _, f := range change {
			f(in)
		}
		_, err := client.AssumeRole(ctx, in)
		return err
	}
	const who = "User: arn:aws:sts::000000000000:assumed-role/first/app1 is not authorized to perform: sts:AssumeRole on resource: "
	refused(t, try(byAccount), 403, "AccessDenied", who+byAccount) // the account only delegates
	a.Policy("first", "p", map[string]any{"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": byAccount})
	if err := try(byAccount); err != nil {
		t.Error(err, a.LastDenial().Reason)
	}
	external := func(in *sts.AssumeRoleInput) { in.ExternalId = new("secret-handshake") }
	refused(t, try(byName), 403, "AccessDenied", who+byName)
	if err := try(byName, external); err != nil {
		t.Error(err, a.LastDenial().Reason)
	}
	refused(t, try("arn:aws:iam::000000000000:role/missing"), 403, "AccessDenied", who+"arn:aws:iam::000000000000:role/missing")
	refused(t, try(byAccount, func(in *sts.AssumeRoleInput) { in.DurationSeconds = new(int32(3601)) }), 400, "ValidationError",
		"The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining.")
	_, err = client.GetSessionToken(ctx, nil)
	refused(t, err, 403, "AccessDenied", "Cannot call GetSessionToken with session credentials")

	// The trust is in the role that was there, not in its name.
	for _, err := range []error{
		second(root.DeleteRolePolicy(ctx, &iam.DeleteRolePolicyInput{RoleName: new("first"), PolicyName: new("p")})),
		second(root.DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: new("first")})),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	a.Role("first", idp.usual())
	client = sts.NewFromConfig(session(t, a, first, idp.token(idp.claims())))
	refused(t, try(byName, external), 403, "AccessDenied", who+byName)
}

func TestFederationAndSessionTokens(t *testing.T) {
	t.Parallel()
	a := startAWS(t)
	ctx, root := t.Context(), iam.NewFromConfig(a.Config())
	a.Groups("g")
	if _, err := root.CreateUser(ctx, &iam.CreateUserInput{UserName: new("ann")}); err != nil {
		t.Fatal(err)
	}
	if _, err := root.AttachUserPolicy(ctx, &iam.AttachUserPolicyInput{UserName: new("ann"), PolicyArn: new(admin)}); err != nil {
		t.Fatal(err)
	}
	key, err := root.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: new("ann")})
	if err != nil {
		t.Fatal(err)
	}
	ann := sts.NewFromConfig(a.ConfigFor(*key.AccessKey.AccessKeyId, *key.AccessKey.SecretAccessKey, ""))
	token, err := ann.GetSessionToken(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	c := token.Credentials
	config := a.ConfigFor(*c.AccessKeyId, *c.SecretAccessKey, *c.SessionToken)
	who, err := sts.NewFromConfig(config).GetCallerIdentity(ctx, nil)
	if err != nil || *who.Arn != "arn:aws:iam::000000000000:user/ann" {
		t.Errorf("%v, %v", who, err)
	}
	_, err = iam.NewFromConfig(config).ListGroups(ctx, nil)
	refused(t, err, 403, "InvalidClientTokenId", "The security token included in the request is invalid.")

	federated, err := ann.GetFederationToken(ctx, &sts.GetFederationTokenInput{Name: new("bob"), Policy: new(document(map[string]any{"Effect": "Allow", "Action": "s3:ListAllMyBuckets", "Resource": "*"}))})
	if err != nil {
		t.Fatal(err)
	}
	if got := *federated.FederatedUser.Arn + " " + *federated.FederatedUser.FederatedUserId; got != "arn:aws:sts::000000000000:federated-user/bob 000000000000:bob" {
		t.Error(got)
	}
	for message, tags := range map[string][]ststypes.Tag{
		"Duplicate tag keys found. Please note that Tag keys are case insensitive.": {{Key: new("team"), Value: new("a")}, {Key: new("Team"), Value: new("b")}},
		"Tag keys that begin with aws: are reserved, and aws:team is one.":          {{Key: new("aws:team"), Value: new("a")}},
	} {
		_, err := ann.GetFederationToken(ctx, &sts.GetFederationTokenInput{Name: new("bob"), Tags: tags})
		refused(t, err, 400, "InvalidParameterValue", message)
	}
	c = federated.Credentials
	config = a.ConfigFor(*c.AccessKeyId, *c.SecretAccessKey, *c.SessionToken)
	if _, err := a.S3(config).ListBuckets(ctx, nil); err != nil {
		t.Error(err)
	}
	if _, err := sts.NewFromConfig(config).AssumeRole(ctx, &sts.AssumeRoleInput{RoleArn: new("arn:aws:iam::000000000000:role/x"), RoleSessionName: new("xx")}); err == nil {
		t.Error("a federated user assumed a role")
	}
	info, err := ann.GetAccessKeyInfo(ctx, &sts.GetAccessKeyInfoInput{AccessKeyId: new("ASIARZPUZDIKCI2FM6EQ")})
	if err != nil || *info.Account != "123456789012" {
		t.Errorf("%v, %v", info, err)
	}
}

// TestProbes refuses what lenient emulators accept.
func TestProbes(t *testing.T) {
	t.Parallel()
	server, err := emulator.New(quiet())
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(server)
	t.Cleanup(web.Close)
	ok := func(body string) bool { return !strings.Contains(body, "<ErrorResponse") }
	trust := document(map[string]any{"Effect": "Allow", "Principal": map[string]any{"Federated": "arn:aws:iam::000000000000:oidc-provider/i.example"}, "Action": "sts:AssumeRoleWithWebIdentity"})
	for _, c := range []struct {
		name, service, id, secret, form string
		ok                              bool
	}{
		{"https provider", "iam", "test", "test", form("Action", "CreateOpenIDConnectProvider", "Url", "https://i.example", "ThumbprintList.member.1", strings.Repeat("a", 40)), true},
		{"same again", "iam", "test", "test", form("Action", "CreateOpenIDConnectProvider", "Url", "https://i.example", "ThumbprintList.member.1", strings.Repeat("a", 40)), false},
		{"http provider", "iam", "test", "test", form("Action", "CreateOpenIDConnectProvider", "Url", "http://i.example"), false},
		{"port 8443", "iam", "test", "test", form("Action", "CreateOpenIDConnectProvider", "Url", "https://i.example:8443"), false},
		{"query", "iam", "test", "test", form("Action", "CreateOpenIDConnectProvider", "Url", "https://i.example/x?y"), false},
		{"role with a provider that is not there", "iam", "test", "test", form("Action", "CreateRole", "RoleName", "R", "AssumeRolePolicyDocument", strings.ReplaceAll(trust, "i.example", "missing.example")), true},
		{"trust policy that is not JSON", "iam", "test", "test", form("Action", "CreateRole", "RoleName", "S", "AssumeRolePolicyDocument", "not json"), false},
		{"garbage token", "sts", "test", "test", form("Action", "AssumeRoleWithWebIdentity", "RoleArn", "arn:aws:iam::000000000000:role/R", "RoleSessionName", "app", "WebIdentityToken", "garbage"), false},
		{"garbage token, missing role", "sts", "test", "test", form("Action", "AssumeRoleWithWebIdentity", "RoleArn", "arn:aws:iam::000000000000:role/missing", "RoleSessionName", "app", "WebIdentityToken", "garbage"), false},
		{"wrong secret, GetCallerIdentity", "sts", "test", "wrong", form("Action", "GetCallerIdentity"), false},
		{"wrong secret, ListGroups", "iam", "test", "wrong", form("Action", "ListGroups"), false},
		{"session credentials of nobody", "iam", "ASIAQAAAAAAAAAAAAAAA", "x", form("Action", "DeleteRole", "RoleName", "R"), false},
	} {
		version := "&Version=2010-05-08"
		if c.service == "sts" {
			version = "&Version=2011-06-15"
		}
		if body := call(t, web.URL, c.service, c.id, c.secret, c.form+version); ok(body) != c.ok {
			t.Errorf("%s: %s", c.name, body)
		}
	}
}
