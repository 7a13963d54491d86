package e2e

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/openirsa/openirsa/deploy"
	"github.com/openirsa/openirsa/e2e/internal/kindenv"
)

// testWebhook is the webhook alone, without the rest of the chain: it takes over from another one, meets a thousand new
// service accounts, mistakes, the death of its whole cluster and the end of its certificates, and is removed without a
// trace.
//
// Most pods are dry runs: they go through admission as all pods do, and are then not kept.
func testWebhook(t *testing.T, k *kube) {
	w := &webhookStory{kube: k, ours: installation{namespace: deploy.Namespace, configuration: deploy.WebhookConfiguration}}
	w.clean(t)
	before := k.snapshot(t)
	t.Cleanup(func() { w.explain(t) })
	w.image = w.loadImage(t)
	steps := []struct {
		name string
		run  func(*testing.T)
		// The story ends if this fails.
		vital bool
	}{
		{"TakesOver", w.takesOver, true},
		{"NoPodMissed", w.noPodMissed, false},
		{"Mistakes", w.mistakes, false},
		{"System", w.system, false},
		{"HealsByItself", w.healsByItself, true},
		{"Rotation", w.rotation, false},
		{"Refuses", w.refuses, false},
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
	if t.Failed() {
		return // what there is to see stays; the next run removes it
	}
	w.clean(t)
	var diff string
	poll(t, patience, "waiting for the cluster to be as before", func(context.Context) error {
		if diff = gocmp.Diff(before, k.snapshot(t)); diff != "" {
			return errors.New("it differs (-before +after):\n" + diff)
		}
		return nil
	})
}

// Where the tests make their service accounts and pods.
const (
	webhookPods     = "e2e-webhook"
	webhookAccounts = "e2e-webhook-accounts" // the thousands
	webhookNetwork  = "e2e-webhook-network"  // what brings a network
	webhookOperator = "tigera-operator"      // what looks after it, in a namespace that is known for it
	systemPods      = "e2e-controller"       // a Deployment in kube-system, and its service account
)

const webhookRole = "arn:aws:iam::123456789012:role/app"

func withRole(role string) map[string]string {
	return map[string]string{roleAnnotation: role}
}

type webhookStory struct {
	*kube
	image string
	ours  installation
}

// installation is where one webhook is in a cluster.
type installation struct{ namespace, configuration string }

// original stands for the webhook that is in use before ours comes. It is a second installation of ours: the Go
// module proxy does not serve the original, and a test without a registry cannot pull its image. What differs is what
// its manifests have otherwise: names, namespace, failure and reinvocation policy. (The unit tests of pkg/webhook
// imitate what the original does to a pod.)
var original = installation{namespace: "pod-identity-webhook", configuration: "pod-identity-webhook"}

func (w *webhookStory) originalObjects(t testing.TB) []*unstructured.Unstructured {
	t.Helper()
	objects, err := deploy.Webhook(deploy.WebhookParams{
		Namespace: original.namespace, Image: w.image, ExtraArgs: []string{"--webhook-configuration=" + original.configuration},
	})
	if err != nil {
		t.Fatal(err)
	}
	// Objects outside of namespaces need names of their own.
	rename := strings.NewReplacer(`"`+deploy.WebhookConfiguration+`"`, `"`+original.configuration+`"`, `"openirsa-webhook"`,
		`"`+original.configuration+`"`)
	for _, o := range objects {
		text, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(rename.Replace(string(text))), o); err != nil {
			t.Fatal(err)
		}
	}
	for _, hook := range objects[len(objects)-1].Object["webhooks"].([]any) {
		hook.(map[string]any)["failurePolicy"], hook.(map[string]any)["reinvocationPolicy"] = "Ignore", "Never"
	}
	return objects
}

func (w *webhookStory) objects(t testing.TB, args ...string) []*unstructured.Unstructured {
	t.Helper()
	objects, err := deploy.Webhook(deploy.WebhookParams{Namespace: w.ours.namespace, Image: w.image, ExtraArgs: args})
	if err != nil {
		t.Fatal(err)
	}
	return objects
}

// loadImage builds the image as a user does who has no kind cluster, and loads it.
func (w *webhookStory) loadImage(t testing.TB) string {
	t.Helper()
	archive := filepath.Join(t.TempDir(), "openirsa.tar")
	ref := strings.TrimSpace(setup(t, "image", "--file", archive).ok(t).stdout)
	if err := w.Load(suite, kindenv.Image{Ref: ref, Archive: archive}); err != nil {
		t.Fatal(err)
	}
	return ref
}

// clean removes what this test makes, also what a run that was killed has left.
func (w *webhookStory) clean(t testing.TB) {
	t.Helper()
	w.image = cmp.Or(w.image, "none")
	w.remove(t, w.originalObjects(t)...)
	w.remove(t, w.objects(t)...)
	w.remove(t, object("apps/v1", "Deployment", metav1.NamespaceSystem, systemPods))
	for _, name := range []string{webhookPods, webhookAccounts, webhookNetwork, webhookOperator} {
		w.remove(t, object("v1", "Namespace", "", name))
	}
	// The image, by all its names: crictl does not find the one that kind's import gives it.
	w.node(t, `ctr -n k8s.io images list | awk 'NR > 1 {
		name[NR] = $1; digest[NR] = $3; if ($1 ~ "^openirsa.dev/openirsa:") ours[$3] = 1
	} END { for (i in name) if (ours[digest[i]]) print name[i] }' | xargs -r ctr -n k8s.io images rm`)
}

// object names an object.
func object(version, kind, namespace, name string) *unstructured.Unstructured {
	o := &unstructured.Unstructured{Object: map[string]any{"apiVersion": version, "kind": kind}}
	o.SetNamespace(namespace)
	o.SetName(name)
	return o
}

// deployment makes a Deployment of one pod that sleeps, and waits for it.
func (w *webhookStory) deployment(t testing.TB, namespace, name, serviceAccount string) {
	t.Helper()
	labels := map[string]string{"app": name}
	_, err := w.client.AppsV1().Deployments(namespace).Create(suite, &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: appsv1.DeploymentSpec{
			Replicas: new(int32(1)), Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: sleeper(serviceAccount)},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatalf("making Deployment %s/%s: %v", namespace, name, err)
	}
	w.available(t, namespace, name, patience)
}

// sleeper is a pod that does nothing.
func sleeper(serviceAccount string) corev1.PodSpec {
	return corev1.PodSpec{
		ServiceAccountName: serviceAccount, TerminationGracePeriodSeconds: new(int64(1)),
		Containers: []corev1.Container{{Name: "main", Image: client.Ref, ImagePullPolicy: corev1.PullNever,
			Command: []string{"/client", "sleep"}}},
	}
}

// podOf is the one pod of a Deployment that is not on its way out.
func (w *webhookStory) podOf(ctx context.Context, namespace, name string) (*corev1.Pod, error) {
	list, err := w.client.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: "app=" + name})
	if err != nil {
		return nil, err
	}
	pods := slices.DeleteFunc(list.Items, func(p corev1.Pod) bool { return p.DeletionTimestamp != nil })
	if len(pods) != 1 {
		return nil, fmt.Errorf("%d pods of %s/%s", len(pods), namespace, name)
	}
	return &pods[0], nil
}

// caBundle is what the API server verifies a webhook by, the same in each entry of its configuration.
func (w *webhookStory) caBundle(ctx context.Context, in installation) ([]byte, error) {
	c, err := w.client.AdmissionregistrationV1().MutatingWebhookConfigurations().Get(ctx, in.configuration, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	for _, hook := range c.Webhooks[1:] {
		if !bytes.Equal(hook.ClientConfig.CABundle, c.Webhooks[0].ClientConfig.CABundle) {
			return nil, fmt.Errorf("%s has another caBundle than %s", hook.Name, c.Webhooks[0].Name)
		}
	}
	return c.Webhooks[0].ClientConfig.CABundle, nil
}

// trusted waits until the API server can verify a webhook.
func (w *webhookStory) trusted(t testing.TB, in installation) {
	t.Helper()
	poll(t, patience, "waiting for the caBundle of "+in.configuration, func(ctx context.Context) error {
		b, err := w.caBundle(ctx, in)
		if err == nil && len(b) == 0 {
			err = errors.New("there is none")
		}
		return err
	})
}

// mutating waits until pods of a service account have these mutations: a replica that is ready may not be reached for
// some seconds, and where the failure policy is Ignore its pods are missed until it is.
func (w *webhookStory) mutating(t testing.TB, namespace, serviceAccount string, want [4]int) {
	t.Helper()
	poll(t, patience, "waiting for the webhook", func(ctx context.Context) error {
		p, err := dryRun(ctx, w.client, namespace, serviceAccount)
		if err == nil && mutations(p) != want {
			err = fmt.Errorf("a pod has mutations %v, want %v", mutations(p), want)
		}
		return err
	})
}

// granted is how many pods the replicas of a webhook have given a role, by their own metrics.
func (w *webhookStory) granted(t testing.TB, in installation) int {
	t.Helper()
	return w.metric(t, in, `pod_identity_webhook_pod_count{method="sts_web_identity"}`)
}

// metric is the sum of a metric of a webhook's replicas.
func (w *webhookStory) metric(t testing.TB, in installation, name string) (n int) {
	t.Helper()
	list, err := w.client.CoreV1().Pods(in.namespace).List(suite,
		metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=" + deploy.WebhookName})
	if err != nil {
		t.Fatalf("listing the pods of %s: %v", in.namespace, err)
	}
	for _, p := range list.Items {
		b, err := w.client.CoreV1().RESTClient().Get().Namespace(in.namespace).Resource("pods").Name(p.Name +
			":9999").SubResource("proxy").Suffix("metrics").DoRaw(suite)
		if err != nil {
			t.Fatalf("reading the metrics of %s/%s: %v", in.namespace, p.Name, err)
		}
		n += metricOf(t, string(b), name)
	}
	return n
}

// metricOf is a metric of a page of them, by its name and labels; 0 if it is not there.
func metricOf(t testing.TB, page, name string) int {
	t.Helper()
	for line := range strings.Lines(page) {
		if v, ok := strings.CutPrefix(line, name+" "); ok {
			f, err := strconv.ParseFloat(strings.TrimSpace(v), 64)
			if err != nil {
				t.Fatalf("metric %q: %v", line, err)
			}
			return int(f)
		}
	}
	return 0
}

// fast is a client that asks as fast as the API server answers, and tells each warning to warn.
func (w *webhookStory) fast(t testing.TB, warn func(string)) *kubernetes.Clientset {
	t.Helper()
	config := rest.CopyConfig(w.config)
	config.QPS = -1
	config.ContentType = "application/vnd.kubernetes.protobuf"
	config.WarningHandler = warningHandler(warn)
	c, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

type warningHandler func(string)

func (h warningHandler) HandleWarningHeader(code int, _, text string) {
	if code == 299 && h != nil { // as client-go's own handlers and kubectl
		h(text)
	}
}

// dryRun asks for a pod of one container, which is admitted and not kept.
func dryRun(ctx context.Context, c kubernetes.Interface, namespace, serviceAccount string) (*corev1.Pod, error) {
	return dryRunOn(ctx, c, namespace, serviceAccount, false)
}

// dryRunOn is dryRun of a pod on its node's network, or not.
func dryRunOn(ctx context.Context, c kubernetes.Interface, namespace, serviceAccount string, hostNetwork bool) (*corev1.Pod, error) {
	return c.CoreV1().Pods(namespace).Create(ctx, &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "dry-run"},
		Spec: corev1.PodSpec{ServiceAccountName: serviceAccount, HostNetwork: hostNetwork,
			Containers: []corev1.Container{{Name: "main", Image: "none"}}},
	}, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
}

// mutations is how often a pod has each thing that the webhook gives the pods of webhookRole, in its one container:
// volume, mount, role, token file.
func mutations(p *corev1.Pod) (n [4]int) {
	const path = "/var/run/secrets/eks.amazonaws.com/serviceaccount"
	for _, v := range p.Spec.Volumes {
		if v.Name == "aws-iam-token" && v.Projected != nil && v.Projected.Sources[0].ServiceAccountToken.Audience == "sts.amazonaws.com" {
			n[0]++
		}
	}
	for _, m := range p.Spec.Containers[0].VolumeMounts {
		if m.MountPath == path {
			n[1]++
		}
	}
	for _, e := range p.Spec.Containers[0].Env {
		switch {
		case e.Name == "AWS_ROLE_ARN" && e.Value == webhookRole:
			n[2]++
		case e.Name == "AWS_WEB_IDENTITY_TOKEN_FILE" && e.Value == path+"/token":
			n[3]++
		}
	}
	return n
}

var (
	mutatedOnce = [4]int{1, 1, 1, 1}
	unmutated   [4]int
)

// traffic are pods that are created without pause, by four clients.
type traffic struct {
	end context.CancelFunc
	wg  sync.WaitGroup

	mu       sync.Mutex
	admitted int
	mutated  map[[4]int]int // pods by their mutations
	refused  []refusal
	slowest  time.Duration
}

type refusal struct {
	from, to time.Time // of the request
	err      error
}

// traffic starts traffic with the pods of a service account. What calls it ends it.
func (w *webhookStory) traffic(t testing.TB, namespace, serviceAccount string) *traffic {
	t.Helper()
	ctx, cancel := context.WithCancel(suite)
	tr := &traffic{end: cancel, mutated: map[[4]int]int{}}
	t.Cleanup(func() { tr.stop() })
	c := w.fast(t, nil)
	for range 4 {
		tr.wg.Go(func() {
			for ctx.Err() == nil {
				start := time.Now()
				// Not ctx: the last pods of all are to be judged as well.
				p, err := dryRun(suite, c, namespace, serviceAccount)
				tr.mu.Lock()
				tr.slowest = max(tr.slowest, time.Since(start))
				if err != nil {
					tr.refused = append(tr.refused, refusal{start, time.Now(), err})
				} else {
					tr.admitted++
					tr.mutated[mutations(p)]++
				}
				tr.mu.Unlock()
				if err != nil {
					time.Sleep(10 * time.Millisecond)
				}
			}
		})
	}
	return tr
}

// stop ends the traffic. It can be called more than once.
func (tr *traffic) stop() {
	tr.end()
	tr.wg.Wait()
}

// check says what became of the pods: each that was admitted is mutated, and once.
func (tr *traffic) check(t testing.TB) {
	t.Helper()
	if tr.mutated[mutatedOnce] != tr.admitted || tr.admitted == 0 {
		t.Errorf("of %d pods, %d were mutated once; by volumes, mounts, roles and token files: %v", tr.admitted,
			tr.mutated[mutatedOnce], tr.mutated)
	}
	t.Logf("%d pods mutated, %d refused, the slowest after %v", tr.mutated[mutatedOnce], len(tr.refused), tr.slowest.Round(time.Millisecond))
}

// takesOver: another webhook with the same annotations is there, ours comes beside it, then the other one goes. No
// pod is without mutation at any moment, and none is mutated twice.
func (w *webhookStory) takesOver(t *testing.T) {
	theirs := w.originalObjects(t)
	w.apply(t, theirs...)
	w.available(t, original.namespace, deploy.WebhookName, patience)
	w.trusted(t, original)
	w.namespace(t, webhookPods)
	w.serviceAccount(t, webhookPods, "app", withRole(webhookRole))
	w.mutating(t, webhookPods, "app", mutatedOnce)

	tr := w.traffic(t, webhookPods, "app")
	objects := w.objects(t)
	last := len(objects) - 1
	w.apply(t, objects[:last]...)
	w.available(t, w.ours.namespace, deploy.WebhookName, patience)
	registered := time.Now()
	w.apply(t, objects[last])
	w.trusted(t, w.ours)
	// The API server follows its configuration by watching it.
	trusted := time.Now().Add(time.Second)

	both := func() (n [2]int) { return [2]int{w.granted(t, original), w.granted(t, w.ours)} }
	was := both()
	poll(t, patience, "waiting for pods that both webhooks have seen", func(context.Context) error {
		if is := both(); is[0]-was[0] < 200 || is[1]-was[1] < 200 {
			return fmt.Errorf("pods by the first and the second webhook: %v, before: %v", is, was)
		}
		return nil
	})

	w.remove(t, theirs[len(theirs)-1])
	w.remove(t, theirs[:len(theirs)-1]...)
	alone := w.granted(t, w.ours)
	poll(t, patience, "waiting for pods that ours alone has seen", func(context.Context) error {
		if is := w.granted(t, w.ours); is-alone < 100 {
			return fmt.Errorf("%d pods", is-alone)
		}
		return nil
	})
	tr.stop()
	tr.check(t)
	for _, r := range tr.refused {
		// Documented: until the webhook has written its caBundle, a pod may be refused.
		if r.to.Before(registered) || r.from.After(trusted) {
			t.Errorf("a pod was refused %v after the webhook was registered: %v", r.to.Sub(registered), r.err)
		}
	}
}

// inParallel calls work with 0 to n-1, from 16 goroutines, and fails t with the first errors.
func inParallel(t testing.TB, n int, work func(ctx context.Context, i int) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(suite, patience)
	defer cancel()
	var next, failed atomic.Int64
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				if err := work(ctx, i); err != nil {
					if failed.Add(1) <= 5 {
						t.Errorf("%d: %v", i, err)
					}
				}
			}
		})
	}
	wg.Wait()
	if f := failed.Load(); f > 0 {
		t.Errorf("%d of %d failed", f, n)
	}
}

// noPodMissed: a service account and its pod are made in the same instant, and a service account is annotated just
// before its pod, a thousand times each.
func (w *webhookStory) noPodMissed(t *testing.T) {
	const n = 1000
	w.namespace(t, webhookAccounts)
	c := w.fast(t, nil)
	accounts := c.CoreV1().ServiceAccounts(webhookAccounts)
	mutated := func(p *corev1.Pod) error {
		if m := mutations(p); m != mutatedOnce {
			return fmt.Errorf("a pod of %s was missed: %v", p.Spec.ServiceAccountName, m)
		}
		return nil
	}
	t.Run("Created", func(t *testing.T) {
		var tooEarly atomic.Int64
		inParallel(t, n, func(ctx context.Context, i int) error {
			name := fmt.Sprintf("created-%d", i)
			made := make(chan error, 1)
			go func() {
				_, err := accounts.Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name,
					Annotations: withRole(webhookRole)}}, metav1.CreateOptions{})
				made <- err
			}()
			for {
				p, err := dryRun(ctx, c, webhookAccounts, name)
				switch {
				case err == nil:
					return cmp.Or(<-made, mutated(p))
				case !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "not found"):
					return errors.Join(err, <-made)
				}
				// Kubernetes itself does not know the service account yet.
				tooEarly.Add(1)
				select {
				case err := <-made:
					if made <- err; err != nil {
						return err
					}
				default:
				}
			}
		})
		t.Logf("%d pods; %d more came before their service account", n, tooEarly.Load())
	})
	t.Run("Annotated", func(t *testing.T) {
		name := func(i int) string { return fmt.Sprintf("annotated-%d", i) }
		inParallel(t, n, func(ctx context.Context, i int) error {
			_, err := accounts.Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name(i)}}, metav1.CreateOptions{})
			return err
		})
		patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": withRole(webhookRole)}})
		if err != nil {
			t.Fatal(err)
		}
		inParallel(t, n, func(ctx context.Context, i int) error {
			p, err := dryRun(ctx, c, webhookAccounts, name(i))
			if err != nil {
				return err
			}
			if m := mutations(p); m != unmutated {
				return fmt.Errorf("a pod without a role: %v", m)
			}
			if _, err := accounts.Patch(ctx, name(i), types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
				return err
			}
			if p, err = dryRun(ctx, c, webhookAccounts, name(i)); err != nil {
				return err
			}
			return mutated(p)
		})
	})
}

// malformed are annotations with a mistake, what the messages about it must name, what the warning says besides, and what
// becomes of the pod.
var malformed = map[string]struct {
	annotations map[string]string
	key, says   string
	mutations   [4]int
}{
	"bad-role": {withRole("app"), roleAnnotation, "no AWS identity", unmutated},
	"bad-audience": {map[string]string{roleAnnotation: webhookRole, "eks.amazonaws.com/audience": "a b"},
		"eks.amazonaws.com/audience", `using "sts.amazonaws.com"`, mutatedOnce},
	"bad-expiration": {map[string]string{roleAnnotation: webhookRole, "eks.amazonaws.com/token-expiration": "soon"},
		"eks.amazonaws.com/token-expiration", "using 86400", mutatedOnce},
}

// mistakes: a malformed service account gets an Event, and its pods are admitted with a warning: unmutated if it is in the
// role, else with the default.
func (w *webhookStory) mistakes(t *testing.T) {
	w.namespace(t, webhookPods)
	for _, name := range slices.Sorted(maps.Keys(malformed)) {
		t.Run(name, func(t *testing.T) {
			m := malformed[name]
			w.serviceAccount(t, webhookPods, name, m.annotations)
			poll(t, patience, "waiting for an Event", func(ctx context.Context) error {
				list, err := w.client.CoreV1().Events(webhookPods).List(ctx,
					metav1.ListOptions{FieldSelector: "involvedObject.kind=ServiceAccount,involvedObject.name=" + name})
				if err != nil {
					return err
				}
				for _, e := range list.Items {
					if e.Type == corev1.EventTypeWarning && e.Reason == "MalformedIdentity" && strings.Contains(e.Message, m.key) {
						t.Logf("event: %s", e.Message)
						return nil
					}
				}
				return fmt.Errorf("%d other events", len(list.Items))
			})
			var warnings []string
			p, err := dryRun(suite, w.fast(t, func(s string) { warnings = append(warnings, s) }), webhookPods, name)
			if err != nil {
				t.Fatalf("a pod of a malformed service account: %v", err)
			}
			if n := mutations(p); n != m.mutations {
				t.Errorf("the pod has %v, want %v", n, m.mutations)
			}
			if len(warnings) != 1 || !strings.Contains(warnings[0], m.says) || !strings.Contains(warnings[0], m.key) {
				t.Errorf("warnings %q, want one that names %s", warnings, m.key)
			}
			// What a user sees.
			out := w.kubectlDryRun(t, name)
			if len(warnings) == 1 && !strings.Contains(out, "Warning: "+warnings[0]+"\n") || !strings.Contains(out, "pod/dry-run created") {
				t.Errorf("kubectl says:\n%s", out)
			}
		})
	}
}

// system: pods of kube-system, and pods on their node's network, get their role. While the webhook is down they do not
// wait for it, and once it is back those of kube-system that it has missed are found: by an Event, by a metric, and by
// doctor.
func (w *webhookStory) system(t *testing.T) {
	w.namespace(t, webhookPods)
	w.serviceAccount(t, webhookPods, "app", withRole(webhookRole))
	w.serviceAccount(t, metav1.NamespaceSystem, systemPods, withRole(webhookRole))
	w.deployment(t, metav1.NamespaceSystem, systemPods, systemPods)
	p, err := w.podOf(suite, metav1.NamespaceSystem, systemPods)
	if err != nil {
		t.Fatal(err)
	}
	if n := mutations(p); n != mutatedOnce {
		t.Fatalf("a pod of a Deployment in kube-system: %v", n)
	}
	if p, err := dryRunOn(suite, w.client, webhookPods, "app", true); err != nil || mutations(p) != mutatedOnce {
		t.Errorf("a pod on its node's network: %v", err)
	}

	w.scale(t, 0)
	poll(t, patience, "waiting for pods to be refused", func(ctx context.Context) error {
		if _, err := dryRun(ctx, w.client, webhookPods, "app"); err == nil ||
			!strings.Contains(err.Error(), `failed calling webhook "pod-identity.openirsa.dev"`) {
			return fmt.Errorf("a pod of a workload: %v", err)
		}
		return nil
	})
	if _, err := dryRunOn(suite, w.client, webhookPods, "app", true); err != nil {
		t.Errorf("a pod on its node's network waits for the webhook: %v", err)
	}
	missed := w.recreate(t, p)
	if n := mutations(missed); n != unmutated {
		t.Fatalf("a pod is mutated without a webhook: %v", n)
	}

	w.scale(t, 2)
	w.mutating(t, metav1.NamespaceSystem, systemPods, mutatedOnce)
	poll(t, patience, "waiting for the missed pod's Event", func(ctx context.Context) error {
		list, err := w.client.CoreV1().Events(metav1.NamespaceSystem).List(ctx,
			metav1.ListOptions{FieldSelector: "involvedObject.kind=Pod,involvedObject.name=" + missed.Name})
		if err != nil {
			return err
		}
		for _, e := range list.Items {
			if e.Type == corev1.EventTypeWarning && e.Reason == "MissedIdentity" && e.InvolvedObject.UID == missed.UID {
				t.Logf("event: %s", e.Message)
				return nil
			}
		}
		return fmt.Errorf("%d other events", len(list.Items))
	})
	poll(t, patience, "waiting for the metric", func(context.Context) error {
		if n := w.metric(t, w.ours, `pod_identity_webhook_missed_pods{namespace="kube-system"}`); n < 1 {
			return fmt.Errorf("%d missed pods", n)
		}
		return nil
	})
	found := w.setup(t, "doctor", "--pod", metav1.NamespaceSystem+"/"+missed.Name, "-o", "json")
	if !strings.Contains(found.stdout, `"check": "missed"`) || !strings.Contains(found.stdout, "rollout restart deployment "+systemPods) {
		t.Errorf("doctor does not find the missed pod:\n%s%s", found.stdout, found.stderr)
	}
	if n := mutations(w.recreate(t, missed)); n != mutatedOnce {
		t.Errorf("the pod that was recreated: %v", n)
	}
	w.remove(t, object("apps/v1", "Deployment", metav1.NamespaceSystem, systemPods))
}

// scale gives the webhook that many replicas, and waits for them.
func (w *webhookStory) scale(t testing.TB, replicas int) {
	t.Helper()
	patch := fmt.Appendf(nil, `{"spec":{"replicas":%d}}`, replicas)
	if _, err := w.client.AppsV1().Deployments(w.ours.namespace).Patch(suite, deploy.WebhookName, types.MergePatchType,
		patch, metav1.PatchOptions{}); err != nil {
		t.Fatalf("scaling the webhook: %v", err)
	}
	w.available(t, w.ours.namespace, deploy.WebhookName, patience)
}

// recreate deletes the pod of a Deployment, and returns the next.
func (w *webhookStory) recreate(t testing.TB, p *corev1.Pod) (next *corev1.Pod) {
	t.Helper()
	if err := w.client.CoreV1().Pods(p.Namespace).Delete(suite, p.Name, metav1.DeleteOptions{}); err != nil {
		t.Fatalf("deleting pod %s/%s: %v", p.Namespace, p.Name, err)
	}
	poll(t, patience, "waiting for another pod of "+p.Labels["app"], func(ctx context.Context) (err error) {
		if next, err = w.podOf(ctx, p.Namespace, p.Labels["app"]); err == nil && next.UID == p.UID {
			err = errors.New("it is the previous one")
		}
		return err
	})
	return next
}

// refuses: with --on-malformed=refuse pods of malformed service accounts are refused, and others are not.
func (w *webhookStory) refuses(t *testing.T) {
	w.namespace(t, webhookPods)
	w.apply(t, w.objects(t, "--on-malformed=refuse")...)
	w.available(t, w.ours.namespace, deploy.WebhookName, patience)
	for _, name := range slices.Sorted(maps.Keys(malformed)) {
		m := malformed[name]
		w.serviceAccount(t, webhookPods, name, m.annotations)
		_, err := dryRun(suite, w.client, webhookPods, name)
		if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "denied the request") || !strings.Contains(err.Error(), m.key) {
			t.Errorf("a pod of %s: %v, want it forbidden, and %s named", name, err, m.key)
		}
	}
	w.serviceAccount(t, webhookPods, "app", withRole(webhookRole))
	if p, err := dryRun(suite, w.client, webhookPods, "app"); err != nil || mutations(p) != mutatedOnce {
		t.Errorf("a pod of a good service account: %v", err)
	}
	if _, err := dryRun(suite, w.client, webhookPods, "default"); err != nil {
		t.Errorf("a pod without a role: %v", err)
	}
}

// kubectlDryRun is what kubectl writes when it creates a pod.
func (w *webhookStory) kubectlDryRun(t testing.TB, serviceAccount string) string {
	t.Helper()
	return w.node(t, `kubectl --kubeconfig=/etc/kubernetes/admin.conf create --dry-run=server -f - 2>&1 <<'Y'
{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "dry-run", "namespace": "`+webhookPods+`"},
 "spec": {"serviceAccountName": "`+serviceAccount+`", "containers": [{"name": "main", "image": "none"}]}}
Y`)
}

// healsByItself: the node and all of the control plane go down together, and when they come up there is no webhook,
// and no pod but the static ones: not those that the network needs, not those of an application. All of them come
// back by themselves, though the failure policy is Fail: those of kube-system, the webhook's own, and those of a network
// plugin in namespaces of its own are admitted without it, and the application's when it is back, mutated.
func (w *webhookStory) healsByItself(t *testing.T) {
	const bound = 4 * time.Minute
	w.namespace(t, webhookPods)
	w.serviceAccount(t, webhookPods, "app", withRole(webhookRole))
	w.deployment(t, webhookPods, "app", "app")
	w.network(t)

	// Nobody is left who could bring a pod back before the node is down.
	w.node(t, `systemctl stop kubelet; crictl ps -q --name 'kube-controller-manager|kube-scheduler' | xargs crictl stop --timeout 1`)
	places := []string{metav1.NamespaceSystem, w.ours.namespace, webhookPods, webhookNetwork, webhookOperator}
	dead := map[types.UID]string{}
	count := map[string]int{} // of pods, by namespace
	for _, ns := range places {
		list, err := w.client.CoreV1().Pods(ns).List(suite, metav1.ListOptions{})
		if err != nil {
			t.Fatalf("listing the pods of %s: %v", ns, err)
		}
		for _, p := range list.Items {
			if p.Annotations[corev1.MirrorPodAnnotationKey] != "" {
				continue
			}
			if err := w.client.CoreV1().Pods(ns).Delete(suite, p.Name, metav1.DeleteOptions{GracePeriodSeconds: new(int64(0))}); err != nil {
				t.Fatalf("deleting pod %s/%s: %v", ns, p.Name, err)
			}
			dead[p.UID] = ns + "/" + p.Name
			count[ns]++
		}
	}
	t.Logf("deleted %v", slices.Sorted(maps.Values(dead)))
	if count[metav1.NamespaceSystem] == 0 || count[w.ours.namespace] != 2 || count[webhookPods] != 1 ||
		count[webhookNetwork] == 0 || count[webhookOperator] != 1 {
		t.Fatalf("pods by namespace: %v", count)
	}
	start := time.Now()
	w.restartNode(t)
	t.Logf("the node was restarted in %.1fs", time.Since(start).Seconds())

	// While there is no webhook, pods that need it wait and pods that it needs do not.
	var waited, passed int
	poll(t, bound, "waiting for the webhook", func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
		defer cancel()
		p, err := dryRun(ctx, w.client, webhookPods, "app")
		if err == nil {
			if n := mutations(p); n != mutatedOnce {
				t.Errorf("a pod was admitted without the webhook: %v", n)
			}
			return nil
		}
		if !strings.Contains(err.Error(), "failed calling webhook") {
			return err // the API server is not up yet, say
		}
		waited++
		for _, ns := range []string{metav1.NamespaceSystem, w.ours.namespace, webhookNetwork, webhookOperator} {
			switch _, other := dryRunOn(ctx, w.client, ns, "default", ns == webhookNetwork); {
			case other == nil:
				passed++
			case strings.Contains(other.Error(), "webhook \""):
				t.Errorf("a pod in %s waits for the webhook: %v", ns, other)
			}
		}
		return err
	})
	t.Logf("admission works after %.1fs; before, %d pods were refused, and %d admitted of the system",
		time.Since(start).Seconds(), waited, passed)
	if waited == 0 || passed == 0 {
		t.Error("the webhook was not down when the cluster came up")
	}
	poll(t, bound-time.Since(start), "waiting for all pods", func(ctx context.Context) error {
		for _, ns := range places {
			list, err := w.client.CoreV1().Pods(ns).List(ctx, metav1.ListOptions{})
			if err != nil {
				return err
			}
			ready := 0
			for _, p := range list.Items {
				if p.Annotations[corev1.MirrorPodAnnotationKey] == "" && dead[p.UID] == "" && podReady(&p) {
					ready++
				}
			}
			if ready < count[ns] {
				return fmt.Errorf("%d of %d pods are back in %s", ready, count[ns], ns)
			}
		}
		return nil
	})
	list, err := w.client.CoreV1().Pods(webhookPods).List(suite, metav1.ListOptions{})
	if err != nil {
		t.Fatalf("listing the application's pods: %v", err)
	}
	for _, p := range list.Items {
		if n := mutations(&p); n != mutatedOnce {
			t.Errorf("the application's pod is back with mutations %v", n)
		}
	}
	w.available(t, w.ours.namespace, deploy.WebhookName, bound-time.Since(start))
	t.Logf("everything is back after %.1fs", time.Since(start).Seconds())
	w.remove(t, object("apps/v1", "Deployment", webhookPods, "app"), object("v1", "Namespace", "", webhookNetwork),
		object("v1", "Namespace", "", webhookOperator))
}

// network makes what network plugins outside of kube-system are made of: a DaemonSet on the nodes' network in a
// namespace that nobody knows, and its operator, on the network that it brings, in another. Neither has a role.
func (w *webhookStory) network(t testing.TB) {
	t.Helper()
	for _, ns := range []string{webhookNetwork, webhookOperator} {
		w.namespace(t, ns)
		w.serviceAccount(t, ns, "network", nil)
	}
	w.deployment(t, webhookOperator, "operator", "network")
	labels := map[string]string{"app": "agent"}
	pod := sleeper("network")
	pod.HostNetwork, pod.Tolerations = true, []corev1.Toleration{{Operator: corev1.TolerationOpExists}}
	_, err := w.client.AppsV1().DaemonSets(webhookNetwork).Create(suite, &appsv1.DaemonSet{
		ObjectMeta: metav1.ObjectMeta{Name: "agent"},
		Spec: appsv1.DaemonSetSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: pod},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatalf("making a DaemonSet: %v", err)
	}
	poll(t, patience, "waiting for the DaemonSet", func(ctx context.Context) error {
		d, err := w.client.AppsV1().DaemonSets(webhookNetwork).Get(ctx, "agent", metav1.GetOptions{})
		if err == nil && (d.Status.DesiredNumberScheduled == 0 || d.Status.NumberReady < d.Status.DesiredNumberScheduled) {
			err = fmt.Errorf("%d of %d pods are ready", d.Status.NumberReady, d.Status.DesiredNumberScheduled)
		}
		return err
	})
}

func podReady(p *corev1.Pod) bool {
	return slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

// restartNode restarts the container that is the cluster's node: the API server, etcd and kubelet too.
func (w *webhookStory) restartNode(t testing.TB) {
	t.Helper()
	n, err := w.Node()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(suite, patience)
	defer cancel()
	if out, err := exec.CommandContext(ctx, "docker", "restart", n.String()).CombinedOutput(); err != nil {
		t.Fatalf("restarting the node: %v: %s", err, bytes.TrimSpace(out))
	}
}

// rotation: CAs that live 30 s and certificates that live 6 s are replaced under load, and no pod is refused or
// missed.
func (w *webhookStory) rotation(t *testing.T) {
	const atLeast, atMost = 45 * time.Second, 2 * time.Minute
	w.namespace(t, webhookPods)
	w.serviceAccount(t, webhookPods, "app", withRole(webhookRole))
	w.apply(t, w.objects(t, "--ca-life=30s", "--cert-life=6s", "--ca-settle=3s")...)
	w.available(t, w.ours.namespace, deploy.WebhookName, patience)
	// The CA that is there lives for a year. Without its Secret the replicas make another.
	secrets := w.client.CoreV1().Secrets(w.ours.namespace)
	long, err := secrets.Get(suite, "webhook-tls", metav1.GetOptions{})
	if err != nil {
		t.Fatalf("reading the webhook's Secret: %v", err)
	}
	if err := secrets.Delete(suite, long.Name, metav1.DeleteOptions{}); err != nil {
		t.Fatalf("deleting the webhook's Secret: %v", err)
	}
	poll(t, patience, "waiting for a new CA", func(ctx context.Context) error {
		s, err := secrets.Get(ctx, long.Name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if bytes.Equal(s.Data["ca.crt"], long.Data["ca.crt"]) {
			return errors.New("it is the old one")
		}
		b, err := w.caBundle(ctx, w.ours)
		if err == nil && !bytes.Contains(b, bytes.TrimSpace(s.Data["ca.crt"])) {
			err = errors.New("it is not in the caBundle")
		}
		return err
	})
	// The API server, and the replica that did not make it, hear of it.
	poll(t, patience, "waiting for the new CA to be in use", func(ctx context.Context) error {
		for range 20 {
			if _, err := dryRun(ctx, w.client, webhookPods, "app"); err != nil {
				return err
			}
		}
		return nil
	})

	tr := w.traffic(t, webhookPods, "app")
	bundles, certs := map[string]bool{}, map[string]bool{}
	start := time.Now()
	for time.Since(start) < atLeast || len(bundles) < 4 {
		if time.Since(start) > atMost {
			t.Errorf("%d caBundles after %v, want 4", len(bundles), atMost)
			break
		}
		b, err := w.caBundle(suite, w.ours)
		if err != nil {
			t.Fatalf("reading the caBundle: %v", err)
		}
		bundles[string(b)] = true
		s, err := secrets.Get(suite, long.Name, metav1.GetOptions{})
		if err != nil {
			t.Fatalf("reading the webhook's Secret: %v", err)
		}
		certs[string(s.Data["tls.crt"])] = true
		time.Sleep(250 * time.Millisecond)
	}
	tr.stop()
	tr.check(t)
	for i, r := range tr.refused {
		if i < 5 {
			t.Errorf("a pod was refused after %v: %v", r.from.Sub(start).Round(time.Millisecond), r.err)
		}
	}
	if len(certs) < 6 {
		t.Errorf("%d serving certificates, want 6 or more", len(certs))
	}
	t.Logf("%d caBundles and %d serving certificates in %v", len(bundles), len(certs), time.Since(start).Round(time.Second))
}
