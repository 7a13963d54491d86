package clients

import (
	"encoding/json"
	"maps"
	"os"
	"strings"
	"testing"

	"github.com/openirsa/openirsa/e2e/internal/kindenv"
)

// probes asks eleven questions with AWS CLI 2 that emulators without checks answer wrongly: they have credentials for a
// token that is none and for a role that is not there, and let anybody in with any secret.
func probes(t *testing.T, clients *kindenv.Clients) {
	a := startAccount(t, "http")
	const role = "probe"
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, dir, "token", a.token(t, "default", "app"))
	write(t, dir, "trust.json", a.trust("default", "app"))
	write(t, dir, "not.json", "not json")
	write(t, dir, "nobody.json", strings.ReplaceAll(a.trust("default", "app"), a.provider(),
		"arn:aws:iam::"+accountID+":oidc-provider/nobody.example"))

	call := func(env map[string]string, args ...string) (string, error) {
		t.Helper()
		all := a.environ("")
		maps.Copy(all, env)
		cmd, err := clients.Command(t.Context(), dir, all, "aws", args...)
		if err != nil {
			t.Fatal(err)
		}
		return run(t.Context(), cmd)
	}
	accepted := func(env map[string]string, args ...string) string {
		t.Helper()
		out, err := call(env, args...)
		if err != nil {
			t.Errorf("%s: %v\n%s", strings.Join(args[:2], " "), err, out)
		}
		return out
	}
	refused := func(env map[string]string, code, operation, text string, args ...string) {
		t.Helper()
		out, err := call(env, args...)
		want := "An error occurred (" + code + ") when calling the " + operation + " operation: " + text
		if err == nil {
			out = "It succeeded." // perhaps with credentials, which are not printed
		}
		if out != want {
			t.Errorf("%s: %v\n%s\nwant %s", strings.Join(args[:2], " "), err, out, want)
		}
	}
	root := map[string]string{"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
	provider := func(url string) []string {
		return []string{"iam", "create-open-id-connect-provider", "--url", url, "--client-id-list", audience, "--output", "text"}
	}
	createRole := func(name, document string) []string {
		return []string{"iam", "create-role", "--role-name", name, "--assume-role-policy-document", "file://" + document,
			"--query", "Role.Arn", "--output", "text"}
	}
	assume := func(role, token string) []string {
		return []string{"sts", "assume-role-with-web-identity", "--role-arn", "arn:aws:iam::" + accountID + ":role/" + role,
			"--role-session-name", "pod", "--web-identity-token", token}
	}

	// 1 and 4: a provider is made, and needs no thumbprint.
	if arn := accepted(root, provider(a.issuer.String())...); arn != a.provider() {
		t.Errorf("the provider's ARN is %s", arn)
	}
	// 2: it is there already.
	refused(root, "EntityAlreadyExists", "CreateOpenIDConnectProvider",
		"Provider with url "+a.issuer.String()+" already exists.", provider(a.issuer.String())...)
	// 3: URLs that AWS does not take.
	refused(root, "InvalidInput", "CreateOpenIDConnectProvider",
		"Invalid Open ID Connect Provider URL. The URL must begin with https://.", provider("http://a.example")...)
	refused(root, "InvalidInput", "CreateOpenIDConnectProvider",
		"Invalid Open ID Connect Provider URL. The URL must not contain a port number.", provider("https://a.example:8443")...)
	refused(root, "InvalidInput", "CreateOpenIDConnectProvider", "Unknown", provider("https://a.example?q=1")...)
	// 5: the provider in a trust policy need not exist.
	if arn := accepted(root, createRole(role, "trust.json")...); arn != "arn:aws:iam::"+accountID+":role/"+role {
		t.Errorf("the role's ARN is %s", arn)
	}
	accepted(root, createRole("nobody", "nobody.json")...)
	// 6: the trust policy must be one.
	refused(root, "MalformedPolicyDocument", "CreateRole", "This policy contains invalid Json", createRole("malformed", "not.json")...)
	// 7 and 8: no credentials for what is not a token, whether there is the role or not, nor for a role that is not there.
	const notAToken = "The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)"
	refused(nil, "InvalidIdentityToken", "AssumeRoleWithWebIdentity", notAToken, assume(role, "garbage")...)
	refused(nil, "InvalidIdentityToken", "AssumeRoleWithWebIdentity", notAToken, assume("missing", "garbage")...)
	refused(nil, "AccessDenied", "AssumeRoleWithWebIdentity", "Not authorized to perform sts:AssumeRoleWithWebIdentity",
		assume("missing", "file://token")...)
	// 9: the answer has all that AWS's has.
	var answer map[string]any
	if err := json.Unmarshal([]byte(accepted(nil, assume(role, "file://token")...)), &answer); err != nil {
		t.Fatal(err)
	}
	user, _ := answer["AssumedRoleUser"].(map[string]any)
	id, _ := user["AssumedRoleId"].(string)
	packed, _ := answer["PackedPolicySize"].(float64)
	if answer["Provider"] != a.provider() || answer["Audience"] != audience ||
		answer["SubjectFromWebIdentityToken"] != "system:serviceaccount:default:app" ||
		user["Arn"] != "arn:aws:sts::"+accountID+":assumed-role/"+role+"/pod" || len(id) != len("AROA")+17+len(":pod") ||
		!strings.HasPrefix(id, "AROA") || !strings.HasSuffix(id, ":pod") ||
		packed < 1 || packed > 100 {
		delete(answer, "Credentials")
		t.Errorf("the answer is %v", answer)
	}
	// 10: nobody gets in with a wrong secret or with somebody's idea of a session token.
	refused(map[string]string{"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "wrong"}, "SignatureDoesNotMatch", "GetCallerIdentity",
		"The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.",
		"sts", "get-caller-identity")
	refused(map[string]string{"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_SESSION_TOKEN": "bogus"},
		"InvalidClientTokenId", "ListGroups",
		"The security token included in the request is invalid.", "iam", "list-groups")
	// 11: a session of a role may do what the role's policies say, which is nothing.
	refused(a.environ(role), "AccessDenied", "DeleteRole", denied(role, "iam:DeleteRole", "role "+role), "iam",
		"delete-role", "--role-name", role)
}
