package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	loadNamespace = "e2e-load"
	loadAccount   = "app"
)

// load is a pod that presents tokens of all kinds, without pause, to STS for a role and to the API servers
// (./client, load.go). A refusal of a token is a failure, and so is everything that STS does not answer. An API server
// that does not answer is not: it may be restarting.
type load struct {
	k       *kube
	pod     pod
	assumes bool // roles, too

	cancel context.CancelFunc // of follow
	done   sync.WaitGroup
	mu     sync.Mutex // guards denied
	denied []event    // by the emulator, of the role
}

// loadReport is the load's account of itself: sums since its start.
type loadReport struct {
	At       time.Time
	Total    map[string]struct{ OK, Refused, Away int }
	Kids     map[string]loadUse // by "KID ISSUER"
	Took     struct{ P50, P99, Max float64 }
	Second   int
	Failures []struct{ Kind, Server, KID, Issuer, Age, Left, Error string }
}

// loadUse is how often tokens of one key and issuer were accepted, and from when until when.
type loadUse struct {
	Issuer      string
	STS, API    int
	First, Last time.Time
}

// startLoad makes the chain if it is not there, a role, and the pod, and returns when roles are being assumed. The pod
// goes with the test. Args are those of the client, besides the role.
func startLoad(t testing.TB, k *kube, args ...string) *load {
	t.Helper()
	k.needChain(t)
	k.namespace(t, loadNamespace)
	k.setup(t, "iamserviceaccount", "create", "--namespace", loadNamespace, "--name", loadAccount, "--attach-policy-arn",
		readOnly, "--approve").ok(t)
	k.mayMint(t, loadNamespace, loadAccount)
	from := k.mark(t) // denials before that are of other tests
	l := newLoad(t, k, append(args, k.annotations(t, loadNamespace, loadAccount)[roleAnnotation])...)
	ctx, cancel := context.WithCancel(suite)
	l.assumes, l.cancel = true, cancel
	l.done.Go(func() { l.follow(ctx, from) })
	t.Cleanup(func() { cancel(); l.done.Wait() })
	return l
}

// startAPILoad is startLoad without AWS: tokens are presented to the API servers alone.
func startAPILoad(t testing.TB, k *kube, args ...string) *load {
	t.Helper()
	k.namespace(t, loadNamespace)
	k.serviceAccount(t, loadNamespace, loadAccount, nil)
	k.mayMint(t, loadNamespace, loadAccount)
	return newLoad(t, k, append([]string{"-rate", "0"}, args...)...)
}

// newLoad makes the pod, and returns when it reports tokens of all kinds. It asks each API server by itself: kube-proxy
// finds one behind the Service again up to a minute after it was away, and tokens of the time before would run out.
func newLoad(t testing.TB, k *kube, args ...string) *load {
	t.Helper()
	args = append([]string{"-api-servers", strings.Join(k.apiServers(t), ",")}, args...)
	l := &load{k: k, cancel: func() {}}
	l.pod = k.pod(t, podSpec{
		namespace: loadNamespace, name: "load", serviceAccount: loadAccount, image: client,
		args: append([]string{"/client", "load"}, args...),
	}).running(t)
	t.Cleanup(func() { l.pod.remove(t) })
	poll(t, patience, "waiting for the load", func(ctx context.Context) error {
		b, err := l.log(ctx)
		if err == nil && !bytes.Contains(b, []byte(`"api/old"`)) {
			err = fmt.Errorf("it says: %s", b)
		}
		return err
	})
	return l
}

// mayMint lets a service account ask for tokens of itself.
func (k *kube) mayMint(t testing.TB, namespace, name string) {
	t.Helper()
	meta := metav1.ObjectMeta{Name: "mint", Labels: map[string]string{testLabel: "true"}}
	role := &rbacv1.Role{ObjectMeta: meta, Rules: []rbacv1.PolicyRule{{
		APIGroups: []string{""}, Resources: []string{"serviceaccounts/token"}, ResourceNames: []string{name}, Verbs: []string{"create"},
	}}}
	binding := &rbacv1.RoleBinding{ObjectMeta: meta, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "mint"},
		Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: namespace, Name: name}}}
	_, err := k.client.RbacV1().Roles(namespace).Create(suite, role, metav1.CreateOptions{})
	if err == nil || apierrors.IsAlreadyExists(err) {
		_, err = k.client.RbacV1().RoleBindings(namespace).Create(suite, binding, metav1.CreateOptions{})
	}
	if err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatalf("letting %s/%s ask for tokens: %v", namespace, name, err)
	}
}

// follow collects the emulator's denials after an event: it keeps its decisions for about a minute of such a load.
func (l *load) follow(ctx context.Context, after uint64) {
	for {
		list, last, err := l.k.events(ctx, url.Values{"decision": {"deny"}, "action": {assume}, "after": {strconv.FormatUint(after, 10)}})
		if err == nil {
			after = last
			l.mu.Lock()
			l.denied = append(l.denied, slices.DeleteFunc(list,
				func(e event) bool { return !strings.Contains(e.Subject, ":"+loadNamespace+":") })...)
			l.mu.Unlock()
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(5 * time.Second):
		}
	}
}

func (l *load) log(ctx context.Context) ([]byte, error) {
	return l.k.client.CoreV1().Pods(l.pod.namespace).GetLogs(l.pod.name, &corev1.PodLogOptions{}).DoRaw(ctx)
}

// reports are what the load has said so far, oldest first.
func (l *load) reports(t testing.TB) []loadReport {
	t.Helper()
	var list []loadReport
	poll(t, patience, "reading the log of the load", func(ctx context.Context) error {
		list = nil
		b, err := l.log(ctx)
		if err != nil {
			return err
		}
		for line := range bytes.Lines(b) {
			if bytes.HasPrefix(line, []byte("SDK ")) { // its logger warns of a connection that ended
				continue
			}
			var r loadReport
			if err := json.Unmarshal(line, &r); err != nil {
				t.Fatalf("the load says %q: %v", line, err)
			}
			list = append(list, r)
		}
		return nil
	})
	if len(list) == 0 {
		t.Fatal("the load says nothing")
	}
	return list
}

// stop ends the load and returns its last report. It fails t for every token that was refused, for every silence of
// STS, and if there was too little load to prove anything.
func (l *load) stop(t testing.TB) loadReport {
	t.Helper()
	time.Sleep(2 * time.Second) // for what has just happened
	list := l.reports(t)
	last := list[len(list)-1]
	l.cancel()
	l.done.Wait()
	l.pod.remove(t)

	tellFailures(t, list)
	for _, e := range l.denied[:min(10, len(l.denied))] {
		t.Errorf("event: %s", e)
	}
	assumed := 0
	for _, kind := range slices.Sorted(maps.Keys(last.Total)) {
		n := last.Total[kind]
		t.Logf("load: %-10s %6d accepted, %d refused, %d without an answer", kind, n.OK, n.Refused, n.Away)
		if strings.HasPrefix(kind, "sts/") {
			assumed += n.OK
			if n.Away > 0 {
				t.Errorf("STS did not answer %d times", n.Away)
			}
		}
		if n.Refused > 0 {
			t.Errorf("%d of kind %s were refused", n.Refused, kind)
		}
	}
	for _, kid := range slices.Sorted(maps.Keys(last.Kids)) {
		u := last.Kids[kid]
		t.Logf("load: %s: %d at STS, %d at the API servers, %s to %s", kid, u.STS, u.API, u.First.Format(time.TimeOnly),
			u.Last.Format(time.TimeOnly))
	}
	kinds := []string{"api/pod", "api/fresh", "api/old"}
	if l.assumes {
		kinds = append(kinds, "sts/pod", "sts/fresh", "sts/old")
	}
	for _, kind := range kinds {
		if last.Total[kind].OK == 0 {
			t.Errorf("no token of kind %s was presented", kind)
		}
	}
	seconds := last.At.Sub(list[0].At).Seconds()
	if !l.assumes {
		t.Logf("load: %.0fs", seconds)
		return last
	}
	rate := float64(assumed) / max(seconds, 1)
	t.Logf("load: %d roles in %.0fs, %.1f a second; %.1f ms median, %.1f ms at the 99th percentile, %.0f ms at most",
		assumed, seconds, rate, last.Took.P50, last.Took.P99, last.Took.Max)
	if rate < 50 {
		t.Errorf("%.1f roles a second, want 50 at least", rate)
	}
	return last
}

// tellFailures fails t with each kind of failure once, with the first of it.
func tellFailures(t testing.TB, list []loadReport) {
	t.Helper()
	type group struct {
		first, last time.Time
		n           int
		example     string
	}
	groups := map[string]*group{}
	for _, r := range list {
		for _, f := range r.Failures {
			start := f.Error[:min(len(f.Error), 60)]
			g := groups[f.Kind+start]
			if g == nil {
				g = &group{first: r.At, example: fmt.Sprintf("%+v", f)}
				groups[f.Kind+start] = g
			}
			g.n++
			g.last = r.At
		}
	}
	for _, name := range slices.Sorted(maps.Keys(groups)) {
		g := groups[name]
		t.Errorf("%d failures from %s to %s like %s", g.n, g.first.Format(time.TimeOnly), g.last.Format(time.TimeOnly), g.example)
	}
}

// killAPIServer ends the API server on a node without grace; kubelet starts the next one.
func (k *kube) killAPIServer(ctx context.Context, node string) error {
	n, err := k.nodeNamed(node)
	if err != nil {
		return err
	}
	return n.CommandContext(ctx, "pkill", "-KILL", "-x", "kube-apiserver").Run()
}

// testLoad: the load sees nothing but a pause of the API server when that is killed, and sees it when STS refuses.
func testLoad(t *testing.T) {
	l := startLoad(t, primary)
	if err := primary.killAPIServer(suite, ""); err != nil {
		t.Fatal(err)
	}
	poll(t, patience, "waiting for the API server", func(ctx context.Context) error {
		_, err := primary.client.RESTClient().Get().AbsPath("/readyz").DoRaw(ctx)
		return err
	})
	if last := l.stop(t); last.Total["api/pod"].Away == 0 {
		t.Error("the load did not notice that the API server was killed")
	}

	l = startLoad(t, primary)
	arn := "arn:aws:iam::" + account + ":oidc-provider/" + strings.TrimPrefix(primary.issuer(t), "https://")
	rootCLI(t, "iam", "remove-client-id-from-open-id-connect-provider", "--open-id-connect-provider-arn", arn, "--client-id",
		"sts.amazonaws.com")
	time.Sleep(2 * time.Second)
	rootCLI(t, "iam", "add-client-id-to-open-id-connect-provider", "--open-id-connect-provider-arn", arn, "--client-id", "sts.amazonaws.com")
	poll(t, patience, "waiting for the emulator's denials", func(context.Context) error {
		l.mu.Lock()
		defer l.mu.Unlock()
		if len(l.denied) == 0 {
			return fmt.Errorf("none is known")
		}
		return nil
	})
	list := l.reports(t)
	last := list[len(list)-1]
	for _, kind := range []string{"sts/pod", "sts/fresh", "sts/old"} {
		if last.Total[kind].Refused == 0 {
			t.Errorf("no token of kind %s was refused by a provider without the client id", kind)
		}
	}
	if last.Total["api/pod"].Refused > 0 {
		t.Error("the API server refused a token for a fault of AWS's side")
	}
	if i := slices.IndexFunc(list, func(r loadReport) bool { return len(r.Failures) > 0 }); i < 0 ||
		!strings.Contains(list[i].Failures[0].Error, "InvalidIdentityToken") {
		t.Error("the load does not say how tokens were refused")
	}
}
