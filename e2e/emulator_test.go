package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Where setup puts the emulator.
const (
	system       = "openirsa-system"
	emulatorName = "emulator"
	emulatorPort = 4566
	account      = "000000000000"
	region       = "us-east-1"
)

// event is a decision of the emulator, as /_openirsa/events tells it.
type event struct {
	Seq       uint64
	Operation string
	Caller    string
	Action    string
	Resource  string
	Decision  string
	Step      string
	Code      string
	Reason    string
	Issuer    string
	Subject   string
	Audience  string
	Pod       string // NAMESPACE/NAME
	Fetches   []fetch
	Checks    []struct {
		Element, Operator, Key string
		Expected, Actual       []string
	}
}

// fetch is a document of an issuer that the emulator fetched, or could not.
type fetch struct {
	URL    string
	Status int
	Inside bool // in its own S3
	Error  string
}

func (e event) String() string {
	return fmt.Sprintf("#%d %s %s by %s on %s: %s: %s", e.Seq, e.Decision, e.Action, e.Caller, e.Resource, e.Step, e.Reason)
}

// emulatorGet reads a path of the emulator in the first cluster, through the API server.
func emulatorGet(ctx context.Context, path string, query url.Values, into any) error {
	return primary.emulatorGet(ctx, path, query, into)
}

func (k *kube) emulatorGet(ctx context.Context, path string, query url.Values, into any) error {
	req := k.client.CoreV1().RESTClient().Get().
		AbsPath("/api/v1/namespaces", system, "services", fmt.Sprintf("%s:%d", emulatorName, emulatorPort), "proxy", path)
	for name, values := range query {
		req.Param(name, values[0])
	}
	b, err := req.DoRaw(ctx)
	if err != nil {
		return fmt.Errorf("%w: %s", err, b)
	}
	return json.Unmarshal(b, into)
}

// events returns the emulator's events that a filter of its control API wants, oldest first, and the number of
// the latest event of all.
func events(ctx context.Context, filter url.Values) ([]event, uint64, error) {
	return primary.events(ctx, filter)
}

func (k *kube) events(ctx context.Context, filter url.Values) ([]event, uint64, error) {
	var answer struct {
		Events []event
		Last   uint64
	}
	if filter.Get("limit") == "" {
		filter.Set("limit", "0")
	}
	err := k.emulatorGet(ctx, "/_openirsa/events", filter, &answer)
	return answer.Events, answer.Last, err
}

// mark is the number of the emulator's latest event.
func mark(t testing.TB) uint64 {
	t.Helper()
	return primary.mark(t)
}

func (k *kube) mark(t testing.TB) uint64 {
	t.Helper()
	_, last, err := k.events(suite, url.Values{"limit": {"1"}})
	if err != nil {
		t.Fatalf("reading events: %v", err)
	}
	return last
}

// since returns the events after a mark.
func since(t testing.TB, mark uint64) []event {
	t.Helper()
	list, _, err := events(suite, url.Values{"after": {strconv.FormatUint(mark, 10)}})
	if err != nil {
		t.Fatalf("reading events: %v", err)
	}
	return list
}

// denied finds the one kind of denial that a test made: after the mark, at this step, with these words in it or in
// the values that were compared.
func denied(t testing.TB, mark uint64, action, step string, words ...string) event {
	t.Helper()
	list := since(t, mark)
	for _, e := range slices.Backward(list) {
		if e.Decision != "deny" || e.Action != action || e.Step != step {
			continue
		}
		text, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		missing := slices.DeleteFunc(slices.Clone(words), func(w string) bool { return strings.Contains(string(text), w) })
		if len(missing) > 0 {
			t.Errorf("the event does not say %q: %s", missing, text)
		}
		if strings.Contains(string(text), "eyJ") {
			t.Errorf("the event holds a token: %s", text)
		}
		t.Logf("event: %s", e)
		return e
	}
	t.Errorf("no event denies %s at %q; events: %v", action, step, list)
	return event{}
}

// endpoint is the emulator's address for pods.
func endpoint(t testing.TB) string { return primary.endpoint(t) }

func (k *kube) endpoint(t testing.TB) string {
	t.Helper()
	svc, err := k.client.CoreV1().Services(system).Get(suite, emulatorName, metav1.GetOptions{})
	if err != nil {
		t.Fatalf("reading the emulator's service: %v", err)
	}
	return fmt.Sprintf("http://%s:%d", svc.Spec.ClusterIP, emulatorPort)
}

// noIdentity is the environment of a pod that knows where AWS is and not who it is.
func noIdentity(t testing.TB) map[string]string { return primary.noIdentity(t) }

func (k *kube) noIdentity(t testing.TB) map[string]string {
	return map[string]string{"AWS_ENDPOINT_URL": k.endpoint(t), "AWS_REGION": region, "AWS_DEFAULT_REGION": region, "AWS_EC2_METADATA_DISABLED": "true"}
}

// root is a pod with the root credentials of the emulator's account, for what a test must arrange.
func root(t testing.TB) pod {
	t.Helper()
	const ns, name = "e2e-root", "root"
	p := pod{primary, ns, name}
	env := noIdentity(t)
	// After a down and an up the emulator has another address.
	here := corev1.EnvVar{Name: "AWS_ENDPOINT_URL", Value: env["AWS_ENDPOINT_URL"]}
	if o, err := p.get(suite); err == nil && o.Status.Phase == corev1.PodRunning && slices.Contains(o.Spec.Containers[0].Env, here) {
		return p
	}
	primary.namespace(t, ns)
	env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"] = "test", "test"
	spec := podSpec{namespace: ns, name: name, image: awscli, args: []string{"sleep", "infinity"}, env: env}
	return primary.pod(t, spec).running(t)
}

// rootCLI runs AWS's command line as root of the account.
func rootCLI(t testing.TB, args ...string) string {
	t.Helper()
	r := root(t).exec(t, "", append([]string{"aws"}, args...)...)
	if r.code != 0 {
		t.Fatalf("aws %s: exit %d: %s", strings.Join(args, " "), r.code, r.stderr)
	}
	return strings.TrimSpace(r.stdout)
}

// emulatorReady waits until the emulator in the cluster answers.
func emulatorReady(t testing.TB) {
	t.Helper()
	poll(t, patience, "waiting for the emulator", func(ctx context.Context) error {
		var health struct{ Status string }
		if err := emulatorGet(ctx, "/_openirsa/health", nil, &health); err != nil {
			return err
		}
		if health.Status != "ok" {
			return fmt.Errorf("status %q", health.Status)
		}
		return nil
	})
}
