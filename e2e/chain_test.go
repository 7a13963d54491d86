package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilnet "k8s.io/apimachinery/pkg/util/net"
)

// testChain is one story: a cluster with pods on it gets the chain, uses it, is refused where it must be, loses its
// emulator, and is in the end as it was.
func testChain(t *testing.T) {
	t.Cleanup(func() { primary.explain(t) })
	steps := []struct {
		name string
		run  func(*testing.T)
		// The story ends if this fails.
		vital bool
	}{
		{"Before", testBefore, true},
		{"Up", testUp, true},
		{"OldPods", testOldPods, false},
		{"UpAgain", testUpAgain, false},
		{"Yardstick", testYardstick, false},
		{"S3", testS3, false},
		{"Refused", testRefused, false},
		{"EmulatorKilled", testEmulatorKilled, false},
		{"BadRoles", testBadRoles, false},
		{"Down", testDown, false},
		{"Interrupted", testInterrupted, false},
	}
	for _, s := range steps {
		start := time.Now()
		ok := t.Run(s.name, s.run)
		t.Logf("%-16s %.1fs", s.name, time.Since(start).Seconds())
		if err := context.Cause(suite); err != nil {
			t.Fatal(err)
		}
		if !ok && s.vital {
			t.Fatalf("without %s the rest makes no sense", s.name)
		}
	}
}

// What was there before the first `up`.
var before struct {
	snapshot *snapshot
	token    string // for the API server
	pod      pod    // with a token for the API server
	issuer   string
}

func testBefore(t *testing.T) {
	if installed(t) {
		unlessCI(t, "the chain is up already")
	}
	before.snapshot = primary.snapshot(t)
	before.issuer = primary.issuer(t)
	primary.namespace(t, "e2e-before")
	before.token = primary.token(t, "e2e-before", "default")
	before.pod = primary.pod(t, podSpec{namespace: "e2e-before", name: "old", image: client, args: []string{"/client", "sleep"}}).running(t)
	checkPodToken(t, before.pod)
}

// installed reports whether the chain is recorded in the first cluster.
func installed(t testing.TB) bool {
	t.Helper()
	return primary.installed(t)
}

func (k *kube) installed(t testing.TB) bool {
	t.Helper()
	_, err := k.client.CoreV1().ConfigMaps(system).Get(suite, "openirsa", metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return false
	}
	if err != nil {
		t.Fatalf("reading the record: %v", err)
	}
	return true
}

// unlessCI skips what a cluster that OPENIRSA_E2E_KEEP has kept cannot show. CI has none, and fails.
func unlessCI(t testing.TB, why string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(why)
	}
	t.Skip(why)
}

// needChain makes the chain if it is not there.
func needChain(t testing.TB) {
	t.Helper()
	primary.needChain(t)
}

// needChain makes the chain, unless it is there and well: a story that failed may have left half of one.
func (k *kube) needChain(t testing.TB) {
	t.Helper()
	if !k.installed(t) || k.setup(t, "status").code != 0 {
		k.setup(t, "up", "--emulator").ok(t)
	}
}

// issuer is what the API server says of itself.
func (k *kube) issuer(t testing.TB) string {
	t.Helper()
	var doc struct{ Issuer string }
	poll(t, patience, "reading the API server's issuer", func(ctx context.Context) error {
		b, err := k.client.RESTClient().Get().AbsPath("/.well-known/openid-configuration").DoRaw(ctx)
		if err != nil {
			return err
		}
		return json.Unmarshal(b, &doc)
	})
	return doc.Issuer
}

// checkPodToken: the token that Kubernetes itself gave the pod is good for the API server.
func checkPodToken(t testing.TB, p pod) {
	t.Helper()
	r, err := p.tryExec(suite, "", "/client", "whoami")
	if utilnet.IsConnectionReset(err) { // a load balancer may have let us in just before an API server went
		r, err = p.tryExec(suite, "", "/client", "whoami")
	}
	if err != nil {
		t.Fatalf("running whoami in pod %s: %v", p, err)
	}
	if r.code != 0 || !strings.HasPrefix(r.stdout, "system:serviceaccount:"+p.namespace+":") {
		t.Errorf("pod %s at the API server: exit %d: %s%s", p, r.code, r.stdout, r.stderr)
	}
}

func testUp(t *testing.T) {
	if installed(t) {
		unlessCI(t, "the chain is up already")
	}
	r := setup(t, "up", "--emulator", "-o", "json").ok(t)
	v := r.report(t)
	if v.Cluster != mainCluster {
		t.Errorf("cluster %q, want it named after the kind cluster: %q", v.Cluster, mainCluster)
	}
	for _, l := range v.Links {
		t.Logf("%-16s %-10s %5.1fs  %3d calls %3d writes  %s", l.Link, l.Result, l.Seconds, l.Calls, l.Writes, l.Object)
		// The key is the cluster's own, and the issuer is read back and not made.
		if l.Link != "signing key" && l.Link != "issuer" && l.Result == "unchanged" {
			t.Errorf("first up: %s: %s", l.Link, l.Result)
		}
	}
	t.Logf("%-16s %-10s %5.1fs  %3d calls %3d writes", "all", "", r.took.Seconds(), v.Calls, v.Writes)

	if got := primary.issuer(t); got != v.Issuer {
		t.Errorf("the API server says issuer %q, setup says %q", got, v.Issuer)
	}
	flags := primary.apiServerFlags(t)
	if want := []string{v.Issuer, before.issuer}; before.issuer != "" && !cmp.Equal(flags["service-account-issuer"], want) {
		t.Errorf("the API server runs with issuers %q, want %q", flags["service-account-issuer"], want)
	}
}

// testOldPods: what was there before `up` keeps working: the token at hand, and the pod with the token that its
// kubelet got it.
func testOldPods(t *testing.T) {
	needChain(t)
	if before.token == "" {
		unlessCI(t, "the chain was up before the tests")
	}
	user, err := primary.whoami(suite, before.token)
	if want := "system:serviceaccount:e2e-before:default"; err != nil || user != want {
		t.Errorf("a token from before: user %q, error %v, want %q", user, err, want)
	}
	checkPodToken(t, before.pod)
	o, err := before.pod.get(suite)
	if err != nil || o.Status.ContainerStatuses[0].RestartCount != 0 {
		t.Errorf("the pod from before: restarted, or: %v", err)
	}
	// A new pod gets a token of the new issuer for the API server.
	checkPodToken(t, primary.pod(t, podSpec{namespace: "e2e-before", name: "new", image: client,
		args: []string{"/client", "sleep"}}).running(t))
}

// testUpAgain: the second run finds everything in place and writes nothing, neither to Kubernetes nor to AWS.
func testUpAgain(t *testing.T) {
	needChain(t)
	versions := func() string {
		return primary.node(t, `export KUBECONFIG=/etc/kubernetes/admin.conf
kinds=$(kubectl api-resources --verbs=list -o name | grep -v -E '^(events|leases|podmetrics|nodemetrics)' | paste -sd,)
kubectl get "$kinds" -A -l app.kubernetes.io/part-of=openirsa -o jsonpath='{range .items[*]}{.kind} {.metadata.namespace} {.metadata.name} {.metadata.resourceVersion}{"\n"}{end}' | sort
kubectl get cm -n openirsa-system openirsa -o jsonpath='{.metadata.resourceVersion}{"\n"}'
for p in $(pgrep -x kube-apiserver); do stat -c "%n %Y" /proc/$p; done
stat -c "%n %i %Y" /etc/kubernetes/manifests/*; sha256sum /etc/kubernetes/manifests/*`)
	}
	was, at := versions(), mark(t)
	if n := strings.Count(was, "\n"); n < 10 {
		t.Fatalf("%d objects of the chain are labelled, want more:\n%s", n, was)
	}
	r := setup(t, "up", "--emulator", "-o", "json").ok(t)
	v := r.report(t)
	for _, l := range v.Links {
		if l.Result != "unchanged" {
			t.Errorf("second up: %s: %s", l.Link, l.Result)
		}
	}
	if v.Writes != 0 {
		t.Errorf("second up: %d writes to AWS by setup's own count, want 0", v.Writes)
	}
	if diff := cmp.Diff(was, versions()); diff != "" {
		t.Errorf("second up changed the cluster (-before +after):\n%s", diff)
	}
	reads := 0
	for _, e := range since(t, at) {
		_, op, _ := strings.Cut(e.Action, ":")
		if strings.HasPrefix(op, "Get") || strings.HasPrefix(op, "List") || strings.HasPrefix(op, "Head") {
			reads++
			continue
		}
		t.Errorf("second up: %s", e)
	}
	t.Logf("second up: %.1fs, %d calls to AWS, %d events, all of them reads", r.took.Seconds(), v.Calls, reads)

	text := setup(t, "up", "--emulator").ok(t)
	if !strings.Contains(text.stdout, "unchanged") || strings.Contains(text.stdout, "created") || strings.Contains(text.stdout, "updated") {
		t.Errorf("second up does not say that all is unchanged:\n%s", text.stdout)
	}
}

func testDown(t *testing.T) {
	needChain(t)
	primary.namespace(t, "e2e-down")
	during := primary.pod(t, podSpec{namespace: "e2e-down", name: "during", image: client, args: []string{"/client", "sleep"}}).running(t)
	checkPodToken(t, during)
	setup(t, "down").ok(t)
	checkAsBefore(t)
	// Pods that got their token for the API server while the issuer was ours have one of the old issuer by now.
	checkPodToken(t, during)
	if before.token != "" {
		checkPodToken(t, before.pod)
		user, err := primary.whoami(suite, before.token)
		if err != nil {
			t.Errorf("a token from before: user %q, error %v", user, err)
		}
	}
	again := setup(t, "down").ok(t)
	if strings.Contains(again.stdout, "deleted") {
		t.Errorf("second down:\n%s", again.stdout)
	}
}

// checkAsBefore: the cluster is as it was before the first `up`, except for what the tests made.
func checkAsBefore(t *testing.T) {
	t.Helper()
	if before.snapshot == nil {
		if installed(t) {
			t.Error("the record is still there")
		}
		t.Log("the chain was up before the tests: nothing to compare with")
		return
	}
	// Kubernetes' garbage collection takes its time.
	var diff string
	poll(t, patience, "waiting for the cluster to be as before", func(context.Context) error {
		if diff = cmp.Diff(before.snapshot, primary.snapshot(t)); diff != "" {
			return errors.New("it differs (-before +after):\n" + diff)
		}
		return nil
	})
}

// testInterrupted: SIGINT at any moment ends setup with an error and the next command. After that, and after SIGKILL, a
// second run mends what the first left; then the same for down.
func testInterrupted(t *testing.T) {
	if installed(t) {
		setup(t, "down").ok(t)
	}
	inTime := map[string]int{} // SIGINTs, by command
	interrupted := func(m moment, args ...string) {
		t.Helper()
		r := invocation{interrupt: &m}.run(t, args...)
		switch {
		case r.code == 0:
			t.Logf("%v was done before %+v", args, m)
		case m.signal == syscall.SIGKILL && r.code == -1:
		case r.code != 1 || !strings.Contains(r.stderr, "signal") || !strings.Contains(r.stderr, "next: "):
			t.Errorf("%v interrupted at %+v: exit %d, want 1, the word signal and what is next:\n%s", args, m, r.code, r.stderr)
		default:
			inTime[args[0]]++
		}
	}
	// A line is said when a link is done: so these are in the middle of the next one.
	for _, m := range []moment{
		{"", 500 * time.Millisecond, syscall.SIGKILL}, {"record", 500 * time.Millisecond, syscall.SIGKILL}, {"image", time.Second, syscall.SIGINT},
		{"emulator", 0, syscall.SIGKILL}, {"provider", time.Second, syscall.SIGKILL}, {"webhook", 3 * time.Second, syscall.SIGKILL},
		{"webhook", 15 * time.Second, syscall.SIGINT},
	} {
		interrupted(m, "up", "--emulator")
	}
	setup(t, "up", "--emulator").ok(t)
	primary.namespace(t, "e2e-interrupted")
	setup(t, "iamserviceaccount", "create", "--namespace", "e2e-interrupted", "--name", "app",
		"--attach-policy-arn", "arn:aws:iam::aws:policy/IAMReadOnlyAccess", "--approve").ok(t)
	r := primary.run(t, podSpec{namespace: "e2e-interrupted", name: "app", serviceAccount: "app", image: client,
		args: []string{"/client", "identity"}})
	if r.code != 0 || !strings.Contains(r.stdout, ":assumed-role/") {
		t.Errorf("after interrupted ups and a last one: exit %d: %s", r.code, r.stdout)
	}
	// First while a pod uses the issuer, then while none does: that takes two restarts of the API server, and one.
	running := primary.pod(t, podSpec{namespace: "e2e-interrupted", name: "running", image: client, args: []string{"/client", "sleep"}}).running(t)
	for _, m := range []moment{
		{"webhook", 0, syscall.SIGKILL}, {"webhook", 4 * time.Second, syscall.SIGINT}, {"webhook", 15 * time.Second, syscall.SIGKILL},
		{"API server", 0, syscall.SIGINT}, {"provider", time.Second, syscall.SIGKILL},
		{"emulator", time.Second, syscall.SIGKILL}, // between the record and the last restart
	} {
		interrupted(m, "down")
	}
	setup(t, "down").ok(t)
	checkPodToken(t, running)
	primary.remove(t, object("v1", "Pod", "e2e-interrupted", "running"))
	setup(t, "up", "--emulator").ok(t)
	for _, m := range []moment{
		{"webhook", 0, syscall.SIGKILL}, {"provider", 0, syscall.SIGINT}, // which is before the record goes
		{"", 6 * time.Second, syscall.SIGKILL}, {"", 4 * time.Second, syscall.SIGKILL},
	} {
		interrupted(m, "down")
	}
	setup(t, "down").ok(t)
	if inTime["up"] == 0 || inTime["down"] == 0 {
		t.Errorf("SIGINTs in time: %v", inTime)
	}
	checkAsBefore(t)
}

// explain writes what an engineer looks at first.
func (k *kube) explain(t *testing.T) {
	if !t.Failed() || suite.Err() != nil {
		return
	}
	ctx, cancel := context.WithTimeout(suite, time.Minute)
	defer cancel()
	out, err := k.tryNode(ctx, `export KUBECONFIG=/etc/kubernetes/admin.conf
kubectl get pods -A -o wide; kubectl get events -A --sort-by=.lastTimestamp | tail -30
kubectl get endpointslices -A; kubectl logs -n kube-system -l k8s-app=kube-proxy --tail=20
kubectl get pods -A --no-headers -o custom-columns=:metadata.namespace,:metadata.name | grep -E '^(`+system+`|`+issuerNamespace+`) ' |
	while read -r ns p; do echo "== $ns $p"; kubectl logs -n "$ns" "$p" --tail=60; done`)
	t.Logf("the cluster after the failure (%v):\n%s", err, out)
	if list, _, err := k.events(ctx, map[string][]string{"limit": {"20"}}); err == nil {
		for _, e := range list {
			t.Log(e)
		}
	}
}
