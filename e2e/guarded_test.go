package e2e

import (
	"encoding/json"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/sivchari/kumo"

	"github.com/openirsa/openirsa/e2e/internal/guarded"
	"github.com/openirsa/openirsa/e2e/internal/kindenv"
	"github.com/openirsa/openirsa/pkg/emulator/emulatortest"
)

// backend serves another emulator of AWS, kumo, until the test ends, and returns its URL as pods of the cluster have it.
func (k *kube) backend(t testing.TB) string {
	t.Helper()
	server := kumo.NewServer()
	t.Cleanup(server.Close)
	target, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	// The address of this machine by which it reaches the node's network. Nothing is sent to find that out.
	gateway := strings.Fields(k.node(t, "ip -4 route show default"))[2]
	route, err := net.Dial("udp4", net.JoinHostPort(gateway, "9"))
	if err != nil {
		t.Fatal(err)
	}
	defer route.Close()
	here, _, err := net.SplitHostPort(route.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", net.JoinHostPort(here, "0"))
	if err != nil {
		t.Fatal(err)
	}
	// kumo itself listens on the loopback address.
	outside := &httptest.Server{Listener: ln, Config: &http.Server{Handler: httputil.NewSingleHostReverseProxy(target)}}
	outside.Start()
	t.Cleanup(outside.Close)
	return outside.URL
}

// guardedPods: pods work with services of another emulator behind the guard as their own service account, by AWS's own
// clients. Its role has exactly the permissions for it; with one that lacks any action, resource or condition of them, what
// needs that is denied, as an event explains.
func guardedPods(t *testing.T, k *kube, ns string) {
	const worker = "worker"
	steps := slices.DeleteFunc(guarded.Steps(), func(s guarded.Step) bool { return s.Service != "dynamodb" && s.Service != "sqs" })
	file := filepath.Join(t.TempDir(), "policy.json")
	if err := os.WriteFile(file, []byte(emulatortest.Document(guarded.Exact(steps)...)), 0o600); err != nil {
		t.Fatal(err)
	}
	k.setup(t, "iamserviceaccount", "create", "--namespace", ns, "--name", worker, "--role-name", "guarded", "--inline-policy-file", file,
		"--approve").ok(t)
	denials := guarded.Denials("guarded", steps)
	k.rolesLike(t, ns, "guarded", denials)

	for name, c := range map[string]struct {
		image   kindenv.Image
		command []string
		every   int // which denials
	}{
		// It starts a Python for each call.
		"cli":        {awscli, []string{"python3", "-c", scenario(t, "guard.py")}, 3},
		"boto3":      {awscli, []string{"python3", "-c", scenario(t, "guard.py")}, 1},
		"go":         {client, []string{"/client", "guarded"}, 1},
		"javascript": {k.javaScript(t), []string{"/usr/bin/node", "--input-type=module", "--eval", scenario(t, "guard.mjs")}, 1},
	} {
		var some []guarded.Denial
		for i := 0; i < len(denials); i += c.every {
			some = append(some, denials[i])
		}
		env, err := guarded.Environment(steps, some)
		if err != nil {
			t.Fatal(err)
		}
		env["CLIENT"] = name
		before := k.mark(t)
		r := k.run(t, podSpec{namespace: ns, name: "guarded-" + name, serviceAccount: worker, image: c.image, args: c.command, env: env})
		// A pod's log has both of its streams, and says nothing of their order: an SDK's warning may come last.
		if r.code != 0 || !slices.Contains(strings.Split(r.stdout, "\n"), "passed") {
			t.Errorf("the workload by %s: exit %d: %s%s", name, r.code, r.stdout, r.stderr)
		}
		list, _, err := k.events(suite, url.Values{"after": {strconv.FormatUint(before, 10)}, "decision": {"deny"}})
		if err != nil {
			t.Fatal(err)
		}
		var events []guarded.Event
		for _, e := range list {
			events = append(events, guarded.Event{Caller: e.Caller, Action: e.Action, Resource: e.Resource, Decision: e.Decision, Reason: e.Reason})
		}
		for _, d := range guarded.Unexplained(events, some) {
			t.Errorf("%s: no event explains that %v was denied", name, d)
		}
	}
}

// scenario is a program of those of AWS's clients.
func scenario(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("clients", "scenarios", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// rolesLike makes the denials' roles, which trust whom a role does, as root of the emulator's account.
func (k *kube) rolesLike(t testing.TB, ns, role string, denials []guarded.Denial) {
	t.Helper()
	policies := map[string]string{}
	for _, d := range denials {
		policies[d.Role] = emulatortest.Document(d.Statements...)
	}
	text, err := json.Marshal(policies)
	if err != nil {
		t.Fatal(err)
	}
	env := k.noIdentity(t)
	maps.Copy(env, map[string]string{"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "ROLE": role, "POLICIES": string(text)})
	r := k.run(t, podSpec{namespace: ns, name: "roles", image: awscli, env: env, args: []string{"python3", "-c", `
import boto3, json, os

iam = boto3.client("iam")
trust = json.dumps(iam.get_role(RoleName=os.environ["ROLE"])["Role"]["AssumeRolePolicyDocument"])
for name, policy in json.loads(os.environ["POLICIES"]).items():
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust)
    iam.put_role_policy(RoleName=name, PolicyName="workload", PolicyDocument=policy)
`}})
	if r.code != 0 {
		t.Fatalf("making roles: exit %d: %s%s", r.code, r.stdout, r.stderr)
	}
}
