package app

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"github.com/openirsa/openirsa/pkg/account"
	"github.com/openirsa/openirsa/pkg/emulator"
	"github.com/openirsa/openirsa/pkg/emulator/emulatortest"
)

// machine is an operator's machine with an emulator for AWS: a home folder, and
// no settings of the machine that the test runs on.
func machine(t *testing.T, aws *emulatortest.AWS, config string) {
	t.Helper()
	home := t.TempDir()
	for _, kv := range os.Environ() {
		if name, _, _ := strings.Cut(kv, "="); strings.HasPrefix(name, "AWS_") {
			t.Setenv(name, "") // which also puts it back
			os.Unsetenv(name)
		}
	}
	file := filepath.Join(home, "config")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"HOME": home, "AWS_CONFIG_FILE": file, "AWS_SHARED_CREDENTIALS_FILE": filepath.Join(home, "credentials"),
		"AWS_EC2_METADATA_DISABLED": "true",
		// The SDK heeds only the second when it asks for a role's credentials.
		"AWS_ENDPOINT_URL": aws.URL, "AWS_ENDPOINT_URL_STS": aws.URL,
	} {
		t.Setenv(name, value)
	}
}

// operator is a user of the account who may assume roles: root may not.
func operator(t *testing.T, aws *emulatortest.AWS) (id, secret string) {
	t.Helper()
	root, name := iam.NewFromConfig(aws.Config()), new("alice")
	_, err := root.CreateUser(t.Context(), &iam.CreateUserInput{UserName: name})
	if err == nil {
		_, err = root.PutUserPolicy(t.Context(), &iam.PutUserPolicyInput{UserName: name, PolicyName: name, PolicyDocument: new(emulatortest.Document(
			map[string]any{"Effect": "Allow", "Action": []string{"sts:AssumeRole", "iam:ListRoles"}, "Resource": "*"}))})
	}
	if err != nil {
		t.Fatal(err)
	}
	key, err := root.CreateAccessKey(t.Context(), &iam.CreateAccessKeyInput{UserName: name})
	if err != nil {
		t.Fatal(err)
	}
	return *key.AccessKey.AccessKeyId, *key.AccessKey.SecretAccessKey
}

func connectAs(t *testing.T, profile string) (*account.Account, error) {
	t.Helper()
	if profile != "" {
		t.Setenv("AWS_PROFILE", profile)
	}
	return (&app{Invocation: called("setup")}).connectAWS(t.Context(), "", nil)
}

// The profiles of ~/.aws/config are those of the AWS CLI.
func TestProfiles(t *testing.T) {
	aws := emulatortest.Start(t, emulator.Config{Account: "123456789012"})
	roleARN := aws.Role("operator", emulatortest.Document(map[string]any{
		"Effect": "Allow", "Principal": map[string]string{"AWS": "123456789012"}, "Action": "sts:AssumeRole",
		"Condition": map[string]any{"StringEquals": map[string]string{"sts:ExternalId": "openirsa"}},
	}), "arn:aws:iam::aws:policy/IAMReadOnlyAccess")
	id, secret := operator(t, aws)
	process := filepath.Join(t.TempDir(), "vend")
	if err := os.WriteFile(process, []byte("#!/bin/sh\necho '{\"Version\":1,\"AccessKeyId\":\"test\",\"SecretAccessKey\":\"test\"}'\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	machine(t, aws, `
[profile base]
region = eu-west-1
aws_access_key_id = `+id+`
aws_secret_access_key = `+secret+`
[profile operator]
region = eu-central-1
role_arn = `+roleARN+`
source_profile = base
external_id = openirsa
[profile process]
region = us-east-1
credential_process = `+process+`
[profile denied]
region = eu-central-1
role_arn = `+roleARN+`
source_profile = base
`)
	for profile, region := range map[string]string{"base": "eu-west-1", "operator": "eu-central-1", "process": "us-east-1"} {
		acct, err := connectAs(t, profile)
		if err != nil {
			t.Errorf("profile %s: %v", profile, err)
			continue
		}
		if acct.ID != "123456789012" || acct.Region != region || acct.Partition != "aws" {
			t.Errorf("profile %s: %s, %s, %s", profile, acct.ID, acct.Region, acct.Partition)
		}
		who, err := sts.NewFromConfig(acct.Config).GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
		if err != nil || strings.Contains(*who.Arn, ":assumed-role/operator/") != (profile == "operator") {
			t.Errorf("profile %s is %v, %v", profile, who, err)
		}
		if _, err := acct.IAM.ListRoles(t.Context(), &iam.ListRolesInput{}); err != nil {
			t.Errorf("profile %s: %v", profile, err)
		}
	}
	refused(t, "denied", "AccessDenied", roleARN, "denied")
}

// Who has a profile with an MFA device is asked for a code, once in an hour, or
// told how to get credentials where nobody can be asked.
func TestProfileWithMFA(t *testing.T) {
	aws := emulatortest.Start(t, emulator.Config{Account: "123456789012"})
	roleARN := aws.Role("operator", emulatortest.Document(map[string]any{"Effect": "Allow", "Principal": map[string]string{"AWS": "123456789012"}, "Action": "sts:AssumeRole"}))
	id, secret := operator(t, aws)
	machine(t, aws, `
[profile base]
aws_access_key_id = `+id+`
aws_secret_access_key = `+secret+`
[profile mfa]
region = eu-central-1
role_arn = `+roleARN+`
source_profile = base
mfa_serial = arn:aws:iam::123456789012:mfa/alice
[profile short]
region = eu-central-1
role_arn = `+roleARN+`
source_profile = base
mfa_serial = arn:aws:iam::123456789012:mfa/alice
duration_seconds = 1800
`)
	refused(t, "mfa", "profile mfa", "MFA", `eval "$(aws configure export-credentials --profile mfa --format env)"`)

	var asked []string
	a := &app{Invocation: called("setup"), ask: func(what string) (string, error) {
		asked = append(asked, what)
		return "123456", nil
	}}
	for profile, life := range map[string]time.Duration{"mfa": time.Hour, "short": 30 * time.Minute} {
		asked = nil
		t.Setenv("AWS_PROFILE", profile)
		acct, err := a.connectAWS(t.Context(), "", nil)
		if err != nil {
			t.Fatal(err)
		}
		if len(asked) != 1 || !strings.Contains(asked[0], "arn:aws:iam::123456789012:mfa/alice") {
			t.Errorf("asked for %q", asked)
		}
		c, err := acct.Config.Credentials.Retrieve(t.Context())
		if left := c.Expires.Sub(aws.Now()); err != nil || left > life || left < life-time.Minute {
			t.Errorf("profile %s: credentials for %v, %v", profile, left, err)
		}
	}

	// What the advice is good for: keys in the environment are taken before the profile.
	t.Setenv("AWS_ACCESS_KEY_ID", "test")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "test")
	t.Setenv("AWS_PROFILE", "mfa")
	if _, err := (&app{Invocation: called("setup")}).connectAWS(t.Context(), "", nil); err != nil {
		t.Error(err)
	}
}

// refused connects with a profile, which must fail; the error must hold the
// words, and the next command the last of them.
func refused(t *testing.T, profile string, words ...string) {
	t.Helper()
	_, err := connectAs(t, profile)
	e, ok := errors.AsType[*adviceError](advice("up", err))
	if !ok {
		t.Fatalf("profile %s: error %v", profile, err)
	}
	last := len(words) - 1
	for _, word := range words[:last] {
		if !strings.Contains(e.Error(), word) {
			t.Errorf("profile %s: error %q lacks %q", profile, e, word)
		}
	}
	if !strings.Contains(e.next, words[last]) {
		t.Errorf("profile %s: next %q lacks %q", profile, e.next, words[last])
	}
	if strings.Contains(e.Error(), "wJalrXUtnFEMI") {
		t.Errorf("a secret is in the error: %v", e)
	}
}

func TestCredentialsThatDoNotWork(t *testing.T) {
	aws := emulatortest.Start(t, emulator.Config{Account: "123456789012"})
	config := `
[default]
region = eu-west-1
[profile sso]
region = eu-west-1
sso_session = company
sso_account_id = 123456789012
sso_role_name = Admin
[sso-session company]
sso_region = eu-west-1
sso_start_url = https://company.awsapps.com/start
[profile legacy]
region = eu-west-1
sso_region = eu-west-1
sso_start_url = https://company.awsapps.com/start
sso_account_id = 123456789012
sso_role_name = Admin
[profile process]
region = eu-west-1
credential_process = /bin/false
[profile unknown]
region = eu-west-1
aws_access_key_id = AKIAIOSFODNN7EXAMPLE
aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY
[profile wrong]
region = eu-west-1
aws_access_key_id = test
aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY
[profile nowhere]
aws_access_key_id = test
aws_secret_access_key = test
`
	machine(t, aws, config)
	t.Run("absent", func(t *testing.T) { refused(t, "", "no AWS credentials", "aws configure") })
	t.Run("no profile", func(t *testing.T) { refused(t, "mistyped", "mistyped", "aws configure list-profiles") })
	t.Run("no region", func(t *testing.T) { refused(t, "nowhere", "no AWS region", "--region") })
	t.Run("sso", func(t *testing.T) { refused(t, "sso", "SSO", "aws sso login --profile sso") })
	t.Run("legacy sso", func(t *testing.T) { refused(t, "legacy", "SSO", "aws sso login --profile legacy") })
	t.Run("process", func(t *testing.T) {
		refused(t, "process", "credential_process", "credential_process of profile process")
	})
	t.Run("unknown key", func(t *testing.T) {
		refused(t, "unknown", "InvalidClientTokenId", "aws configure list --profile unknown")
	})
	t.Run("wrong secret", func(t *testing.T) { refused(t, "wrong", "SignatureDoesNotMatch", "aws configure list --profile wrong") })
	t.Run("expired", func(t *testing.T) {
		roleARN := aws.Role("short", emulatortest.Document(map[string]any{"Effect": "Allow", "Principal": map[string]string{"AWS": "123456789012"}, "Action": "sts:AssumeRole"}))
		id, secret := operator(t, aws)
		session, err := sts.NewFromConfig(aws.ConfigFor(id, secret, "")).AssumeRole(t.Context(), &sts.AssumeRoleInput{RoleArn: &roleARN, RoleSessionName: new("test")})
		if err != nil {
			t.Fatal(err)
		}
		aws.FastForward(2 * time.Hour)
		c := session.Credentials
		machine(t, aws, config+fmt.Sprintf("[profile expired]\nregion = eu-west-1\naws_access_key_id = %s\naws_secret_access_key = %s\naws_session_token = %s\n", *c.AccessKeyId, *c.SecretAccessKey, *c.SessionToken))
		refused(t, "expired", "ExpiredToken", "expired")
	})
}

func TestWhatIsNotPermittedNamesThePolicy(t *testing.T) {
	// As IAM's answers come from the SDK, and as the links report them.
	denied := fmt.Errorf("provider: %w", account.Cause(fmt.Errorf("operation error IAM: %w", &smithy.GenericAPIError{Code: "AccessDenied", Message: "not authorized to perform: iam:GetOpenIDConnectProvider"})))
	if want := "provider: AccessDenied: not authorized to perform: iam:GetOpenIDConnectProvider"; denied.Error() != want {
		t.Errorf("error %q, want %q", denied, want)
	}
	for _, c := range []struct {
		verbs []string
		err   error
		next  string
	}{
		{[]string{"up"}, denied, "SETUP export iam-policy --command up writes"},
		{[]string{"up", "--config", "x", "--prune", "--take-over"}, denied, "--command up --command up-prune --command up-take-over writes"},
		{[]string{"iamserviceaccount", "create"}, denied, "--command iamserviceaccount-create "},
		{[]string{"sa", "delete"}, denied, "--command iamserviceaccount-delete "},
		{[]string{"pia", "create"}, denied, "SETUP export iam-policy --command podidentityassociation writes"},
		{[]string{"export", "terraform"}, denied, "SETUP export iam-policy writes"},
		{[]string{"up"}, advise(denied, "something better"), "something better"},
		{[]string{"up"}, &smithy.GenericAPIError{Code: "Throttling"}, ""},
	} {
		for _, name := range []string{"setup", "kubectl irsa"} {
			command, flags, err := (&app{Invocation: called(name)}).command().Find(c.verbs)
			if err == nil {
				err = command.ParseFlags(flags)
			}
			if err != nil {
				t.Fatal(err)
			}
			got := permissionAdvice(command, c.err)
			e, ok := errors.AsType[*adviceError](got)
			if ok != (c.next != "") || ok && !strings.Contains(e.next, c.next) || !errors.Is(got, c.err) {
				t.Errorf("%s %v: %v", name, c.verbs, got)
			}
		}
	}
}
