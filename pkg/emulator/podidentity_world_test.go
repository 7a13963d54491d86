package emulator_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/openirsa/openirsa/internal/sigv4"
	"github.com/openirsa/openirsa/pkg/emulator"
	"github.com/openirsa/openirsa/pkg/emulator/emulatortest"
)

// podWorld is an emulator with two accounts, and in the first of them a cluster c1 whose
// issuer is a server of its own; c2 is one like it.
type podWorld struct {
	*emulatortest.AWS
	*idp
	t    *testing.T
	role string // app-role, with the trust policy of the guide
}

const (
	clusterARN = "arn:aws:eks:us-east-1:" + accountA + ":cluster/c1"
	podName    = "app-7d9c5b6f4-x2k8q"
	podUID     = "0cda7f85-c1f9-4dee-b6e9-a0b50c8f3012"
	appRole    = "arn:aws:iam::" + accountA + ":role/app-role"
)

// serviceTrust is the trust policy of the EKS User Guide, "Create IAM role with trust
// policy required by EKS Pod Identity", with conditions if there are any.
func serviceTrust(condition map[string]any, actions ...string) map[string]any {
	if actions == nil {
		actions = []string{"sts:AssumeRole", "sts:TagSession"}
	}
	s := map[string]any{"Effect": "Allow", "Principal": map[string]any{"Service": "pods.eks.amazonaws.com"}, "Action": actions}
	if condition != nil {
		s["Condition"] = condition
	}
	return s
}

func newPodWorld(t *testing.T, change ...func(*emulator.Config)) *podWorld {
	t.Helper()
	config := two()
	for _, f := range change {
		f(&config)
	}
	a, i := start(t, config)
	w := &podWorld{AWS: a, idp: i, t: t}
	for _, name := range []string{"c1", "c2"} {
		if _, err := a.RegisterCluster(emulator.EKSCluster{Account: accountA, Name: name, Issuer: i.URL + "/" + name}); err != nil {
			t.Fatal(err)
		}
	}
	w.role = roleIn(t, a, accountA, "app-role", document(serviceTrust(nil)))
	return w
}

// credentialsOf are those of a client configuration.
func credentialsOf(t *testing.T, c aws.Config) aws.Credentials {
	t.Helper()
	found, err := c.Credentials.Retrieve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// reply is what a call of EKS or EKS Auth got.
type reply struct {
	status int
	header http.Header
	body   map[string]any
	raw    string
}

// text is a member of the answer, below others.
func (a reply) text(path ...string) string {
	v := any(a.body)
	for _, name := range path {
		m, _ := v.(map[string]any)
		v = m[name]
	}
	s, _ := v.(string)
	return s
}

// is checks an error: its status, its code in both places, and how its message begins.
func (a reply) is(t *testing.T, name string, status int, code, message string) {
	t.Helper()
	if a.status != status || a.header.Get("x-amzn-ErrorType") != code || a.text("__type") != code || !strings.HasPrefix(a.text("message"), message) {
		t.Errorf("%s: %d %s %s, want %d %s %s...", name, a.status, a.header.Get("x-amzn-ErrorType"), a.raw, status, code, message)
	}
}

// denied is the event of the last call, which was refused at a step with a code.
func (w *podWorld) denied(name, operation, step, code string) emulator.Event {
	w.t.Helper()
	e := w.LastDenial()
	if e.Operation != operation || e.Step != step || e.Code != code || e.Reason == "" {
		w.t.Errorf("%s: event %+v", name, e)
	}
	return e
}

// good fails the test unless the call succeeded.
func (a reply) good(t *testing.T, name string) reply {
	t.Helper()
	if a.status != http.StatusOK || a.header.Get("x-amzn-RequestId") == "" || a.header.Get("Content-Type") != "application/json" {
		t.Fatalf("%s: %d %v %s", name, a.status, a.header, a.raw)
	}
	return a
}

// call makes a call of a service, signed with credentials, or unsigned with none.
func (w *podWorld) call(by aws.Credentials, service, method, path, body string) reply {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), method, w.AWS.URL+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if by.AccessKeyID != "" {
		if err := v4.NewSigner().SignHTTP(w.t.Context(), by, r, sigv4.HashPayload([]byte(body)), service, "us-east-1", time.Now()); err != nil {
			w.t.Fatal(err)
		}
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	a := reply{status: resp.StatusCode, header: resp.Header, raw: string(raw)}
	if strings.HasPrefix(resp.Header.Get("Content-Type"), "application/json") && json.Unmarshal(raw, &a.body) != nil {
		w.t.Fatalf("no JSON object: %s", raw)
	}
	return a
}

func (w *podWorld) root() aws.Credentials {
	return aws.Credentials{AccessKeyID: accountA, SecretAccessKey: "test"}
}

// eks is a call of EKS by the root user.
func (w *podWorld) eks(method, path string, body any) reply {
	w.t.Helper()
	text := ""
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			w.t.Fatal(err)
		}
		text = string(raw)
	}
	return w.call(w.root(), "eks", method, path, text)
}

const associations = "/clusters/c1/pod-identity-associations"

// association is the body that makes one for team-a/app, with changes.
func (w *podWorld) association(changes map[string]any) map[string]any {
	return claims{"namespace": "team-a", "serviceAccount": "app", "roleArn": w.role}.with(changes)
}

// associate makes an association for team-a/app, with changes, and returns its id.
func (w *podWorld) associate(changes map[string]any) string {
	w.t.Helper()
	made := w.eks("POST", associations, w.association(changes)).good(w.t, "create")
	return made.text("association", "associationId")
}

// podClaims are those of the token of a pod of team-a/app, as the API server makes them.
func (w *podWorld) podClaims() claims {
	now := w.AWS.Now().Unix()
	return claims{
		"iss": w.idp.URL + "/c1", "sub": "system:serviceaccount:team-a:app", "aud": []string{"pods.eks.amazonaws.com"},
		"exp": now + 3600, "iat": now, "nbf": now, "jti": "6d3e7a1e-9d8a-4a53-9f1a-0b4f0f5f3c11",
		"kubernetes.io": bound("team-a", "app", podName),
	}
}

func bound(namespace, account, pod string) map[string]any {
	return map[string]any{
		"namespace": namespace, "node": map[string]any{"name": "n1", "uid": "0a1b2c3d-0000-4000-8000-000000000001"},
		"serviceaccount": map[string]any{"name": account, "uid": "0a1b2c3d-0000-4000-8000-000000000003"},
		"pod":            map[string]any{"name": pod, "uid": podUID},
	}
}

// podToken is a good token, with changes of its claims.
func (w *podWorld) podToken(changes claims) string { return w.idp.token(w.podClaims().with(changes)) }

// exchange is AssumeRoleForPodIdentity by the root user.
func (w *podWorld) exchange(token string) reply {
	w.t.Helper()
	return w.call(w.root(), "eks-auth", "POST", "/clusters/c1/assume-role-for-pod-identity", `{"token":"`+token+`"}`)
}

// session is a client configuration with what an exchange gave.
func (w *podWorld) session(a reply) aws.Config {
	w.t.Helper()
	a.good(w.t, "exchange")
	return w.ConfigFor(a.text("credentials", "accessKeyId"), a.text("credentials", "secretAccessKey"), a.text("credentials", "sessionToken"))
}

// sessionOf is a client configuration with what a pod of service account app in a
// namespace gets.
func (w *podWorld) sessionOf(namespace string) aws.Config {
	w.t.Helper()
	return w.session(w.exchange(w.podToken(claims{"sub": "system:serviceaccount:" + namespace + ":app", "kubernetes.io": bound(namespace, "app", podName)})))
}

// trust gives a role of the first account another trust policy.
func (w *podWorld) trust(role string, statements ...map[string]any) {
	w.t.Helper()
	_, err := iam.NewFromConfig(w.ConfigIn(accountA)).UpdateAssumeRolePolicy(w.t.Context(), &iam.UpdateAssumeRolePolicyInput{
		RoleName: &role, PolicyDocument: new(document(statements...)),
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// allow gives a role of the first account an inline policy.
func (w *podWorld) allow(role string, statements ...map[string]any) {
	w.t.Helper()
	_, err := iam.NewFromConfig(w.ConfigIn(accountA)).PutRolePolicy(w.t.Context(), &iam.PutRolePolicyInput{
		RoleName: &role, PolicyName: new("p"), PolicyDocument: new(document(statements...)),
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// user is a user of the first account with a policy of one statement, or none.
func (w *podWorld) user(name string, statements ...map[string]any) aws.Credentials {
	w.t.Helper()
	policy := ""
	if statements != nil {
		policy = document(statements...)
	}
	return credentialsOf(w.t, userIn(w.t, w.AWS, accountA, name, policy))
}
