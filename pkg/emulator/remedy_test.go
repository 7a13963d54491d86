package emulator_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	ststypes "github.com/aws/aws-sdk-go-v2/service/sts/types"

	"github.com/openirsa/openirsa/pkg/emulator"
	"github.com/openirsa/openirsa/pkg/emulator/emulatortest"
)

// startAWS is [emulatortest.Start] which holds a law against all denials of the test
// when it is over: what no policy allows has a remedy, and what is denied
// explicitly has one without statements.
func startAWS(t testing.TB, config ...emulator.Config) *emulatortest.AWS {
	t.Helper()
	a := emulatortest.Start(t, config...)
	t.Cleanup(func() {
		for _, e := range a.Events(emulator.EventFilter{Decision: emulator.Deny}) {
			switch {
			case strings.Contains(e.Reason, " is explicitly denied by "):
				if e.Remedy == nil || len(e.Remedy.Additions) > 0 || !strings.Contains(e.Remedy.Text, "No Allow helps") {
					t.Errorf("%s: remedy %+v", e.Reason, e.Remedy)
				}
			case strings.Contains(e.Reason, " is denied: no "):
				if e.Remedy == nil || len(e.Remedy.Additions) == 0 && !strings.Contains(e.Remedy.Text, "not shown") {
					t.Errorf("%s (%s): remedy %+v", e.Reason, e.Resource, e.Remedy)
				}
			}
		}
	})
	return a
}

// words splits a command line as a POSIX shell does, as far as single quotes go.
func words(t testing.TB, line string) []string {
	t.Helper()
	var all []string
	var b strings.Builder
	quoted, begun := false, false
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case c == '\'':
			quoted, begun = !quoted, true
		case quoted:
			b.WriteByte(c)
		case c == ' ':
			if begun {
				all = append(all, b.String())
			}
			b.Reset()
			begun = false
		case c == '\\':
			i++
			b.WriteByte(line[i])
			begun = true
		case strings.IndexByte(`$"()&;|<>*?`+"`", c) >= 0:
			t.Fatalf("the shell would look at %q in %s", c, line)
		default:
			b.WriteByte(c)
			begun = true
		}
	}
	if begun {
		all = append(all, b.String())
	}
	return all
}

// follow does what the commands of a remedy say, with the account's root
// credentials, and is the credentials of a new session if one of them begins one.
func follow(t testing.TB, a *emulatortest.AWS, r *emulator.Remedy, webToken string) (begun *ststypes.Credentials) {
	t.Helper()
	if r == nil || len(r.Additions) == 0 {
		t.Fatalf("remedy %+v", r)
	}
	ctx, users, roles := t.Context(), iam.NewFromConfig(a.Config()), iam.NewFromConfig(a.Config())
	for _, addition := range r.Additions {
		line, isWeb := strings.CutSuffix(addition.Command, ` --web-identity-token "$(cat "$AWS_WEB_IDENTITY_TOKEN_FILE")"`)
		command := words(t, line)
		if len(command) < 4 || command[0] != "aws" {
			t.Fatalf("the command for %s is %q (%s)", addition.Statement, addition.Command, addition.Note)
		}
		flags := map[string]*string{}
		for i, w := range command[3:] {
			if name, ok := strings.CutPrefix(w, "--"); ok {
				flags[name] = new("")
				if i+4 < len(command) {
					flags[name] = &command[i+4]
				}
			}
		}
		var err error
		switch verb := command[2]; {
		case verb == "put-role-policy":
			_, err = roles.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: flags["role-name"], PolicyName: flags["policy-name"], PolicyDocument: flags["policy-document"]})
		case verb == "put-user-policy":
			_, err = users.PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: flags["user-name"], PolicyName: flags["policy-name"], PolicyDocument: flags["policy-document"]})
		case verb == "update-assume-role-policy":
			_, err = roles.UpdateAssumeRolePolicy(ctx, &iam.UpdateAssumeRolePolicyInput{RoleName: flags["role-name"], PolicyDocument: flags["policy-document"]})
		case verb == "create-policy-version":
			_, err = roles.CreatePolicyVersion(ctx, &iam.CreatePolicyVersionInput{PolicyArn: flags["policy-arn"], PolicyDocument: flags["policy-document"],
				SetAsDefault: flags["set-as-default"] != nil})
		case verb == "put-bucket-policy":
			_, err = a.S3(a.Config()).PutBucketPolicy(ctx, &s3.PutBucketPolicyInput{Bucket: flags["bucket"], Policy: flags["policy"]})
		case verb == "assume-role-with-web-identity" && isWeb:
			config := a.Config()
			config.Credentials = aws.AnonymousCredentials{}
			var out *sts.AssumeRoleWithWebIdentityOutput
			if out, err = sts.NewFromConfig(config).AssumeRoleWithWebIdentity(ctx, &sts.AssumeRoleWithWebIdentityInput{
				RoleArn: flags["role-arn"], RoleSessionName: flags["role-session-name"], Policy: flags["policy"], WebIdentityToken: &webToken,
			}); err == nil {
				begun = out.Credentials
			}
		default:
			t.Fatalf("what is %q?", command)
		}
		if err != nil {
			t.Fatalf("%s: %v", addition.Command, err)
		}
	}
	return begun
}

func allow(action, resource string) map[string]any {
	return map[string]any{"Effect": "Allow", "Action": action, "Resource": resource}
}

// TestRemedies: do what the event of a denial says, call again, and it is allowed.
func TestRemedies(t *testing.T) {
	a, ctx := startAWS(t), t.Context()
	iss := a.Issuer("dev")
	webToken := iss.Token("ns1", "app")
	root := iam.NewFromConfig(a.Config())
	objects := a.S3(a.Config())
	if _, err := objects.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: new("box")}); err != nil {
		t.Fatal(err)
	}
	const hostile = `it's a*$(reboot) ${aws:username} ` + "\x1b[2J\u202e"
	for _, key := range []string{"k", "open", hostile} {
		if _, err := objects.PutObject(ctx, &s3.PutObjectInput{Bucket: new("box"), Key: &key, Body: strings.NewReader("x")}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := objects.DeletePublicAccessBlock(ctx, &s3.DeletePublicAccessBlockInput{Bucket: new("box")}); err != nil {
		t.Fatal(err)
	}
	limit, err := root.CreatePolicy(ctx, &iam.CreatePolicyInput{PolicyName: new("limit"), PolicyDocument: new(document(allow("sqs:*", "*")))})
	if err != nil {
		t.Fatal(err)
	}
	user := func(name string) aws.Config {
		if _, err := root.CreateUser(ctx, &iam.CreateUserInput{UserName: &name}); err != nil {
			t.Fatal(err)
		}
		key, err := root.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: &name})
		if err != nil {
			t.Fatal(err)
		}
		return a.ConfigFor(*key.AccessKey.AccessKeyId, *key.AccessKey.SecretAccessKey, "")
	}
	role := func(name string) string { return a.Role(name, iss.Trust("ns1", "app")) }
	get := func(config aws.Config, key string) error {
		out, err := a.S3(config).GetObject(ctx, &s3.GetObjectInput{Bucket: new("box"), Key: &key})
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, out.Body)
		return errors.Join(err, out.Body.Close())
	}
	groups := func(config aws.Config) error {
		_, err := iam.NewFromConfig(config).ListGroups(ctx, nil)
		return err
	}
	anonymous := a.Config()
	anonymous.Credentials = aws.AnonymousCredentials{}

	bounded, narrowed := role("bounded"), role("narrowed")
	a.Policy("bounded", "p", allow("iam:*", "*"))
	if _, err := root.PutRolePermissionsBoundary(ctx, &iam.PutRolePermissionsBoundaryInput{RoleName: new("bounded"), PermissionsBoundary: limit.Policy.Arn}); err != nil {
		t.Fatal(err)
	}
	a.Policy("narrowed", "p", allow("iam:*", "*"))
	narrow := session(t, a, narrowed, webToken, func(in *sts.AssumeRoleWithWebIdentityInput) { in.Policy = new(document(allow("s3:*", "*"))) })
	role("conditional")
	a.Policy("conditional", "p", map[string]any{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*",
		"Condition": map[string]any{"StringEquals": map[string]string{"aws:PrincipalTag/team": "blue"}, "Bool": map[string]string{"aws:SecureTransport": "true"}}})
	session := func(role string) aws.Config { return a.Session("arn:aws:iam::000000000000:role/"+role, webToken) }
	role("plain")
	role("reader")
	target := a.Role("target", iss.Trust("ns1", "other"))
	dev, lister := user("dev"), user("lister")

	for name, call := range map[string]func() error{
		"role":      func() error { return groups(session("plain")) },
		"user":      func() error { return groups(lister) },
		"boundary":  func() error { return groups(a.Session(bounded, webToken)) },
		"session":   func() error { return groups(narrow) },
		"condition": func() error { return get(session("conditional"), "k") },
		"hostile":   func() error { return get(session("reader"), hostile) },
		"anonymous": func() error { return get(anonymous, "open") },
		"trust":     func() error { _, err := a.Assume(target, webToken); return err },
		"chained": func() error {
			_, err := sts.NewFromConfig(dev).AssumeRole(ctx, &sts.AssumeRoleInput{RoleArn: &target, RoleSessionName: new("dev")})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			if call() == nil {
				t.Fatal("it was allowed before")
			}
			denial := a.LastDenial()
			if begun := follow(t, a, denial.Remedy, webToken); begun != nil {
				narrow = a.ConfigFor(*begun.AccessKeyId, *begun.SecretAccessKey, *begun.SessionToken)
			}
			if err := call(); err != nil {
				t.Errorf("after %q: %v: %s", denial.Remedy.Additions[0].Command, err, a.LastDenial().Reason)
			}
			for _, addition := range denial.Remedy.Additions {
				if strings.ContainsFunc(addition.Command, func(r rune) bool { return r < ' ' || r > '~' }) {
					t.Errorf("the command %q has characters that a terminal may take for something else", addition.Command)
				}
			}
		})
	}
	if get(session("reader"), "k") == nil {
		t.Error("the remedy for one object opens another")
	}
}

// TestRemediesThatAreTooLong: a command that AWS would refuse, since the document gets
// too long, is not given, and the note says why.
func TestRemediesThatAreTooLong(t *testing.T) {
	a := startAWS(t)
	iss := a.Issuer("dev")
	var subjects []string
	for i := range 30 {
		subjects = append(subjects, fmt.Sprintf("system:serviceaccount:namespace-%d:service-account", i))
	}
	long := a.Role("long", document(map[string]any{"Effect": "Allow", "Principal": map[string]string{"Federated": iss.ARN},
		"Action": "sts:AssumeRoleWithWebIdentity", "Condition": map[string]any{"StringEquals": map[string]any{iss.URL.ConditionKey("sub"): subjects}}}))
	if _, err := a.Assume(long, iss.Token("ns1", "app")); err == nil {
		t.Fatal("it is allowed")
	}
	denial := a.LastDenial()
	if denial.Remedy == nil || len(denial.Remedy.Additions) != 1 {
		t.Fatalf("remedy %+v", denial.Remedy)
	}
	if one := denial.Remedy.Additions[0]; one.Command != "" || !strings.Contains(one.Note, "AWS takes 2048 at most") {
		t.Errorf("command %q, note %q", one.Command, one.Note)
	}

	// The events of a session have the token that it was got for.
	short := a.Role("short", iss.Trust("ns1", "app"))
	if _, err := iam.NewFromConfig(a.Session(short, iss.Token("ns1", "app"))).ListGroups(t.Context(), nil); err == nil {
		t.Fatal("it is allowed")
	}
	if e := a.LastDenial(); e.Subject != "system:serviceaccount:ns1:app" || e.Audience != "sts.amazonaws.com" || e.Issuer != iss.URL.String() {
		t.Errorf("issuer %q, subject %q, audience %q", e.Issuer, e.Subject, e.Audience)
	}
}

// TestSecretsInRemedies: a session that is named by a secret key is not shown, in no
// part of a remedy.
func TestSecretsInRemedies(t *testing.T) {
	const secret = "7GpXwQm2zRk9YdLb4TfVhNc81sJaEuZiWq3xKoBe"
	a := startAWS(t)
	iss := a.Issuer("dev")
	role := a.Role("R", iss.Trust("ns1", "app"))
	a.Policy("R", "p", allow("iam:*", "*"))
	config := session(t, a, role, iss.Token("ns1", "app"), func(in *sts.AssumeRoleWithWebIdentityInput) {
		in.RoleSessionName, in.Policy = new(secret), new(document(allow("s3:*", "*")))
	})
	if _, err := iam.NewFromConfig(config).ListGroups(t.Context(), nil); err == nil {
		t.Fatal("it is allowed")
	}
	denial := a.LastDenial()
	if denial.Remedy == nil || len(denial.Remedy.Additions) != 1 || denial.Remedy.Additions[0].Type != "session policy" {
		t.Fatalf("remedy %+v", denial.Remedy)
	}
	text, err := json.Marshal(denial)
	if err != nil || strings.Contains(string(text), secret) {
		t.Errorf("%v %s", err, text)
	}
}
