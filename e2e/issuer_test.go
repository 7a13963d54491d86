package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/openirsa/openirsa/deploy"
	"github.com/openirsa/openirsa/pkg/issuer"
)

// Where TestIssuer installs the issuer, under the restricted Pod Security Standard.
const issuerNamespace = "e2e-issuer"

// testIssuer: `issuer serve` and `issuer publish` as deploy/ installs them, beside a chain, with this cluster's API
// server as the source of keys.
func testIssuer(t *testing.T) {
	needChain(t)
	record, err := primary.client.CoreV1().ConfigMaps(system).Get(suite, "openirsa", metav1.GetOptions{})
	if err != nil {
		t.Fatalf("reading the record: %v", err)
	}
	iss, err := issuer.Parse(record.Data["issuer"])
	if err != nil {
		t.Fatal(err)
	}
	s := &issuerStory{kube: primary, iss: iss, image: record.Data["image"], bucket: record.Data["bucket"]}
	if s.image == "" || s.bucket == "" {
		t.Fatalf("the record has no image or no bucket: %v", record.Data)
	}
	t.Cleanup(func() { s.explain(t) })
	t.Run("Serve", s.serve)
	t.Run("Publish", s.publish)
	if t.Failed() {
		return // what there is to see stays
	}
	if err := s.client.CoreV1().Namespaces().Delete(suite, issuerNamespace, metav1.DeleteOptions{}); err != nil {
		t.Error(err)
	}
	poll(t, patience, "waiting for the end of "+issuerNamespace, func(ctx context.Context) error {
		list, err := s.client.CoreV1().Namespaces().List(ctx, metav1.ListOptions{FieldSelector: "metadata.name=" + issuerNamespace})
		if err == nil && len(list.Items) > 0 {
			err = errors.New("still there")
		}
		return err
	})
}

type issuerStory struct {
	*kube
	iss    issuer.URL
	image  string
	bucket string
}

// serve: two replicas serve what the API server gives. Nobody who reads notices that they are replaced, or that the
// API server hangs; readiness shows that.
func (s *issuerStory) serve(t *testing.T) {
	objects, err := deploy.Issuer(deploy.IssuerParams{
		Namespace: issuerNamespace, Image: s.image,
		Config: fmt.Sprintf("apiVersion: openirsa.dev/v1alpha1\nkind: Issuer\nclusters:\n  - issuer: %s\n    kubernetes: {}\n    interval: 2s\n", s.iss),
	})
	if err != nil {
		t.Fatal(err)
	}
	s.steady(t)
	s.apply(t, objects...)
	s.available(t, issuerNamespace, deploy.IssuerName, patience)
	ns, err := s.client.CoreV1().Namespaces().Get(suite, issuerNamespace, metav1.GetOptions{})
	if err != nil || ns.Labels["pod-security.kubernetes.io/enforce"] != "restricted" {
		t.Errorf("namespace %s does not enforce the restricted standard: %v %v", issuerNamespace, ns.Labels, err)
	}
	svc, err := s.client.CoreV1().Services(issuerNamespace).Get(suite, deploy.IssuerName, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	host, base := strings.TrimPrefix(s.iss.String(), "https://"), "http://"+svc.Spec.ClusterIP

	// The same keys as the API server's, and the same as the bucket's to the byte. Kube-proxy may hear of the replicas
	// later than whoever waited for the Deployment.
	var got string
	poll(t, patience, "reading the keys through the Service", func(ctx context.Context) (err error) {
		got, err = s.tryNode(ctx, fmt.Sprintf("curl -sS --fail --max-time 10 -H 'Host: %s' %s%s", host, base, issuer.JWKSPath))
		return err
	})
	bucket := rootCLI(t, "s3", "cp", "s3://"+s.bucket+issuer.JWKSPath, "-")
	if got != bucket || !strings.Contains(got, `"kid"`) {
		t.Errorf("the issuer serves %s\nand the bucket %s", got, bucket)
	}

	// From another namespace: that of the issuer takes no pod that breaks the standard, as this one does.
	const from = "e2e-issuer-readers"
	s.namespace(t, from)
	reader := s.pod(t, podSpec{namespace: from, name: "reader", image: client,
		args: []string{"/client", "fetch", host, base + issuer.JWKSPath}}).running(t)
	t.Cleanup(func() { reader.remove(t) })
	l := &load{k: s.kube, pod: reader}
	check := func(what string) {
		t.Helper()
		time.Sleep(time.Second)
		list := l.reports(t)
		last := list[len(list)-1]
		for _, kind := range []string{"get/new", "get/kept"} {
			if n := last.Total[kind]; n.OK == 0 || n.Refused > 0 || n.Away > 0 {
				t.Errorf("%s: %s: %+v", what, kind, n)
			}
		}
		tellFailures(t, list)
		t.Logf("%s: %d documents on new connections, %d on kept ones, none missed", what, last.Total["get/new"].OK, last.Total["get/kept"].OK)
	}

	was := s.pods(t, deploy.IssuerName)
	s.restart(t, deploy.IssuerName)
	s.available(t, issuerNamespace, deploy.IssuerName, patience)
	for _, p := range s.pods(t, deploy.IssuerName) {
		if slices.ContainsFunc(was, func(o corev1.Pod) bool { return o.UID == p.UID }) {
			t.Errorf("pod %s was not replaced", p.Name)
		}
	}
	check("both replicas replaced")

	address := s.pods(t, deploy.IssuerName)[0].Status.PodIP
	ready := func(query string) string {
		return s.node(t, fmt.Sprintf("curl -s --max-time 5 -w ' %%{http_code}' 'http://%s:9090/readyz%s' || true", address, query))
	}
	stale := "?max-age=10s&issuer=" + url.QueryEscape(s.iss.String())
	if text := ready(stale); !strings.HasSuffix(text, " 200") {
		t.Errorf("before: %s", text)
	}
	s.node(t, "pkill -STOP -x kube-apiserver")
	running := func() { s.node(t, "pkill -CONT -x kube-apiserver || true") }
	t.Cleanup(running)
	start := time.Now()
	poll(t, patience, "waiting for readiness to tell of the API server", func(context.Context) error {
		if text := ready(stale); !strings.HasSuffix(text, " 503") {
			return errors.New(text)
		}
		return nil
	})
	t.Logf("%.0fs after the API server stopped: %s", time.Since(start).Seconds(), ready(stale))
	if text := ready(""); !strings.HasSuffix(text, " 200") {
		t.Errorf("the issuer is not ready while an API server is away, and there are documents to serve: %s", text)
	}
	time.Sleep(5 * time.Second)
	running()
	poll(t, patience, "waiting for readiness to tell of the API server's return", func(context.Context) error {
		if text := ready(stale); !strings.HasSuffix(text, " 200") {
			return errors.New(text)
		}
		return nil
	})
	check("and the API server away")
	s.remove(t, objects[1:]...)
}

// publish: one of two replicas, with a role of its own, keeps the bucket as it should be, and the other one takes over
// when that dies.
func (s *issuerStory) publish(t *testing.T) {
	policy := filepath.Join(t.TempDir(), "policy.json")
	text, err := json.Marshal(map[string]any{"Version": "2012-10-17", "Statement": map[string]any{
		"Effect": "Allow", "Action": []string{"s3:GetObject", "s3:PutObject"},
		"Resource": []string{"arn:aws:s3:::" + s.bucket + issuer.JWKSPath, "arn:aws:s3:::" + s.bucket + issuer.DiscoveryPath},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(policy, text, 0o600); err != nil {
		t.Fatal(err)
	}
	account := []string{"--namespace", issuerNamespace, "--name", deploy.PublisherName}
	const role = "e2e-publisher"
	setup(t, append([]string{"iamserviceaccount", "create", "--role-only", "--role-name", role, "--role-path", "/",
		"--inline-policy-file", policy, "--approve"}, account...)...).ok(t)
	objects, err := deploy.Publisher(deploy.PublisherParams{
		Namespace: issuerNamespace, Image: s.image, Bucket: s.bucket, Region: region, EndpointURL: endpoint(t),
		RoleARN: "arn:aws:iam::000000000000:role/" + role, ExtraArgs: []string{"--interval=1s", "--repair-interval=2s"},
	})
	if err != nil {
		t.Fatal(err)
	}
	s.steady(t)
	s.apply(t, objects...)
	s.available(t, issuerNamespace, deploy.PublisherName, patience)
	leader := func() (leader corev1.Pod) {
		t.Helper()
		poll(t, patience, "waiting for a replica to be elected", func(ctx context.Context) error {
			var all []corev1.Pod
			for _, p := range s.pods(t, deploy.PublisherName) {
				out, err := s.tryNode(ctx, "curl -sS --fail --max-time 5 http://"+p.Status.PodIP+":9090/metrics")
				if err != nil {
					return err
				}
				// Having checked, it has credentials. Getting them takes documents that are right.
				if strings.Contains(out, "\nopenirsa_publish_leader 1\n") &&
					!strings.Contains(out, "\nopenirsa_publish_checked_timestamp_seconds 0\n") {
					all = append(all, p)
				}
			}
			if len(all) > 1 {
				t.Fatalf("%s and %s both publish", all[0].Name, all[1].Name)
			}
			if len(all) == 0 {
				return errors.New("none is")
			}
			leader = all[0]
			return nil
		})
		return leader
	}
	want := s.published(t)
	repaired := func(what string) {
		t.Helper()
		at := mark(t)
		start := time.Now()
		r := root(t).exec(t, `{"keys":[]}`, "aws", "s3", "cp", "-", "s3://"+s.bucket+issuer.JWKSPath, "--content-type", "text/plain")
		if r.code != 0 {
			t.Fatalf("breaking the key set: %s", r.stderr)
		}
		poll(t, patience, "waiting for the key set to be put right", func(context.Context) error {
			if got := s.published(t); got != want {
				return errors.New(got)
			}
			return nil
		})
		var writes []string
		for _, e := range since(t, at) {
			if e.Action == "s3:PutObject" && strings.Contains(e.Caller, role) {
				writes = append(writes, e.Resource)
			}
		}
		if len(writes) != 1 || !strings.HasSuffix(writes[0], issuer.JWKSPath) {
			t.Errorf("%s: the publisher wrote %q, want the key set once", what, writes)
		}
		t.Logf("%s: put right within %.1fs", what, time.Since(start).Seconds())
	}

	first := leader()
	repaired("a key set that somebody emptied")
	// Killed, it cannot give the election up: whoever is next waits it out.
	s.node(t, `for p in $(pgrep -x issuer); do grep -qz '^HOSTNAME=`+first.Name+`$' /proc/$p/environ && kill -KILL $p && exit; done; exit 1`)
	start := time.Now()
	second := leader()
	t.Logf("%s is elected %.1fs after %s was killed", second.Name, time.Since(start).Seconds(), first.Name)
	s.available(t, issuerNamespace, deploy.PublisherName, patience)
	repaired("after the leader was killed")
	at := mark(t)
	s.restart(t, deploy.PublisherName)
	s.available(t, issuerNamespace, deploy.PublisherName, patience)
	leader()
	for _, e := range since(t, at) {
		if strings.Contains(e.Caller, role) && (e.Decision == "deny" || e.Action == "s3:PutObject") {
			t.Errorf("new replicas, and nothing to do: %s", e)
		}
	}
	s.remove(t, objects[1:]...)
	setup(t, append([]string{"iamserviceaccount", "delete"}, account...)...).ok(t)
}

// published is what a stranger reads in the bucket: the key set and its type.
func (s *issuerStory) published(t testing.TB) string {
	t.Helper()
	return s.node(t, fmt.Sprintf("curl -sS --max-time 10 -w ' %%{http_code} %%{content_type}' %s/%s%s", endpoint(t),
		s.bucket, issuer.JWKSPath))
}

func (s *issuerStory) pods(t testing.TB, name string) []corev1.Pod {
	t.Helper()
	list, err := s.client.CoreV1().Pods(issuerNamespace).List(suite, metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=" + name})
	if err != nil {
		t.Fatalf("listing the pods of %s: %v", name, err)
	}
	return slices.DeleteFunc(list.Items, func(p corev1.Pod) bool { return p.DeletionTimestamp != nil || p.Status.PodIP == "" })
}

// restart does what `kubectl rollout restart` does.
func (s *issuerStory) restart(t testing.TB, deployment string) {
	t.Helper()
	patch := fmt.Sprintf(`{"spec":{"template":{"metadata":{"annotations":{"kubectl.kubernetes.io/restartedAt":%q}}}}}`,
		time.Now().Format(time.RFC3339))
	_, err := s.client.AppsV1().Deployments(issuerNamespace).Patch(suite, deployment, types.StrategicMergePatchType,
		[]byte(patch), metav1.PatchOptions{})
	if err != nil {
		t.Fatalf("restarting %s: %v", deployment, err)
	}
}
