package webhook_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"

	"github.com/openirsa/openirsa/pkg/webhook"
)

// podAPI serves lists of pods as an API server does, by pages, and takes Events.
type podAPI struct {
	*httptest.Server
	pods []corev1.Pod // of kube-system

	mu       sync.Mutex
	requests []string // for pods
	events   map[string]corev1.Event
	forbid   bool
}

func servePods(t *testing.T, pods ...corev1.Pod) (*podAPI, *corev1client.CoreV1Client) {
	t.Helper()
	api := &podAPI{pods: pods, events: map[string]corev1.Event{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v1/namespaces/{namespace}/pods", api.list)
	mux.HandleFunc("POST /api/v1/namespaces/{namespace}/events", func(w http.ResponseWriter, r *http.Request) {
		var e corev1.Event
		if err := json.NewDecoder(r.Body).Decode(&e); err != nil {
			t.Error(err)
		}
		api.mu.Lock()
		api.events[e.InvolvedObject.Name] = e
		api.mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(e)
	})
	api.Server = httptest.NewServer(mux)
	t.Cleanup(api.Close)
	client, err := corev1client.NewForConfig(&rest.Config{Host: api.URL, QPS: -1, ContentConfig: rest.ContentConfig{ContentType: "application/json"}})
	if err != nil {
		t.Fatal(err)
	}
	return api, client
}

func list(client corev1client.PodsGetter) func(context.Context, string, metav1.ListOptions) (*corev1.PodList, error) {
	return func(ctx context.Context, namespace string, o metav1.ListOptions) (*corev1.PodList, error) {
		return client.Pods(namespace).List(ctx, o)
	}
}

func (api *podAPI) list(w http.ResponseWriter, r *http.Request) {
	api.mu.Lock()
	defer api.mu.Unlock()
	q := r.URL.Query()
	api.requests = append(api.requests, fmt.Sprintf("%s %s limit=%s", r.PathValue("namespace"), q.Get("fieldSelector"), q.Get("limit")))
	w.Header().Set("Content-Type", "application/json")
	if api.forbid {
		w.WriteHeader(http.StatusForbidden)
		json.NewEncoder(w).Encode(metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: "Failure", Reason: metav1.StatusReasonForbidden, Code: 403})
		return
	}
	account := strings.TrimPrefix(q.Get("fieldSelector"), "spec.serviceAccountName=")
	var limit, from int
	fmt.Sscan(q.Get("limit"), &limit)
	fmt.Sscan(q.Get("continue"), &from)
	var of []corev1.Pod
	for _, p := range api.pods {
		if p.Spec.ServiceAccountName == account && p.Namespace == r.PathValue("namespace") {
			of = append(of, p)
		}
	}
	list := corev1.PodList{TypeMeta: metav1.TypeMeta{Kind: "PodList", APIVersion: "v1"}}
	list.Items = of[from:min(from+limit, len(of))]
	if from+limit < len(of) {
		list.Continue = fmt.Sprint(from + limit)
	}
	json.NewEncoder(w).Encode(list)
}

// systemPod is a pod of kube-system with a container "main".
func systemPod(name, account string, change func(*corev1.Pod)) corev1.Pod {
	p := corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: name, UID: "uid-1"},
		Spec:       corev1.PodSpec{ServiceAccountName: account, Containers: []corev1.Container{{Name: "main"}}},
		Status:     corev1.PodStatus{Phase: corev1.PodRunning},
	}
	if change != nil {
		change(&p)
	}
	return p
}

// missedPods is the gauge of a namespace; -1 if there is none yet.
func missedPods(t *testing.T, r *prometheus.Registry, namespace string) float64 {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == "pod_identity_webhook_missed_pods" && m.GetLabel()[0].GetValue() == namespace {
				return m.GetGauge().GetValue()
			}
		}
	}
	return -1
}

func TestMissedPods(t *testing.T) {
	has := func(name string) func(*corev1.Pod) {
		return func(p *corev1.Pod) { p.Spec.Containers[0].Env = []corev1.EnvVar{{Name: name, Value: "x"}} }
	}
	pods := []corev1.Pod{
		systemPod("missed", "controller", nil),
		systemPod("missed-pending", "controller", func(p *corev1.Pod) { p.Status.Phase = corev1.PodPending }),
		systemPod("init-only", "controller", func(p *corev1.Pod) {
			p.Spec.InitContainers = []corev1.Container{{Name: "init", Env: []corev1.EnvVar{{Name: "AWS_ROLE_ARN"}}}}
		}),
		systemPod("mutated", "controller", has("AWS_ROLE_ARN")),
		systemPod("own-token", "controller", has("AWS_WEB_IDENTITY_TOKEN_FILE")),
		systemPod("credentials", "controller", has("AWS_CONTAINER_CREDENTIALS_FULL_URI")),
		systemPod("declines", "controller", func(p *corev1.Pod) {
			p.Labels = map[string]string{"eks.amazonaws.com/skip-pod-identity-webhook": ""}
		}),
		systemPod("skips", "controller", func(p *corev1.Pod) {
			p.Annotations = map[string]string{"eks.amazonaws.com/skip-containers": "main"}
		}),
		systemPod("skips-another", "controller", func(p *corev1.Pod) {
			p.Annotations = map[string]string{"eks.amazonaws.com/skip-containers": "sidecar"}
		}),
		systemPod("ended", "controller", func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded }),
		systemPod("failed", "controller", func(p *corev1.Pod) { p.Status.Phase = corev1.PodFailed }),
		systemPod("going", "controller", func(p *corev1.Pod) { p.DeletionTimestamp = new(metav1.Now()) }),
		systemPod("without-role", "plain", nil),
		systemPod("malformed-role", "malformed", nil),
	}
	for i := range 230 {
		pods = append(pods, systemPod(fmt.Sprintf("node-%d", i), "node", nil))
	}
	api, client := servePods(t, pods...)

	c := newCluster(t)
	c.serviceAccount(t, "kube-system", "controller", annotated(roleA))
	c.serviceAccount(t, "kube-system", "node", annotated(roleB))
	c.serviceAccount(t, "kube-system", "plain", nil)
	c.serviceAccount(t, "kube-system", "malformed", annotated("role/a"))
	c.serviceAccount(t, "default", "controller", annotated(roleA)) // waits for the webhook
	d := &webhook.Directory{Metadata: c.meta}
	follow(t, d)

	metrics := newRegistry()
	counted := webhook.NewMetrics(metrics)
	events := webhook.NewEvents(report(client), nil)
	m := &webhook.Missed{Pods: list(client), Namespaces: []string{"kube-system", "kube-flannel"}, Directory: d, Events: events, Metrics: counted}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { m.Run(ctx); done <- struct{}{} }()
	go func() { events.Run(ctx); done <- struct{}{} }()
	t.Cleanup(func() { cancel(); <-done; <-done })

	gauge := func(namespace string) float64 {
		return missedPods(t, metrics, namespace)
	}
	eventually(t, "the missed pods are counted", func() bool { return gauge("kube-system") == 233 })
	if n := gauge("kube-flannel"); n != 0 {
		t.Errorf("%v missed pods in a namespace without any", n)
	}
	eventually(t, "the pods have Events", func() bool {
		api.mu.Lock()
		defer api.mu.Unlock()
		return len(api.events) == 100 // no more at once
	})
	api.mu.Lock()
	defer api.mu.Unlock()
	for _, name := range []string{"missed", "missed-pending", "skips-another"} {
		e, ok := api.events[name]
		if !ok || e.Type != "Warning" || e.Reason != "MissedIdentity" || e.InvolvedObject.Kind != "Pod" || e.InvolvedObject.UID != "uid-1" ||
			!strings.Contains(e.Message, "service account controller") {
			t.Errorf("event of pod %s: %+v", name, e)
		}
	}
	for name := range api.events {
		if !slices.Contains([]string{"missed", "missed-pending", "skips-another"}, name) && !strings.HasPrefix(name, "node-") {
			t.Errorf("an event of pod %s", name)
		}
	}
	// Nothing but the pods of service accounts with an identity, some at a time.
	asked := slices.Compact(slices.Clone(api.requests))
	if diff := cmp.Diff([]string{
		"kube-system spec.serviceAccountName=controller limit=10", "kube-system spec.serviceAccountName=node limit=10",
	}, asked[:min(2, len(asked))]); diff != "" {
		t.Errorf("requests: %s", diff)
	}
}

// Pods are found again later, and what cannot be read is no proof that there are none.
func TestMissedPodsAgain(t *testing.T) {
	api, client := servePods(t, systemPod("a", "controller", nil))
	c := newCluster(t)
	c.serviceAccount(t, "kube-system", "controller", annotated(roleA))
	d := &webhook.Directory{Metadata: c.meta}
	follow(t, d)
	metrics := newRegistry()
	m := &webhook.Missed{Pods: list(client), Namespaces: []string{"kube-system"}, Directory: d, Metrics: webhook.NewMetrics(metrics), Every: 20 * time.Millisecond}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { m.Run(ctx); close(done) }()
	t.Cleanup(func() { cancel(); <-done })
	gauge := func() float64 {
		return missedPods(t, metrics, "kube-system")
	}
	eventually(t, "the pod is counted", func() bool { return gauge() == 1 })
	set := func(change func()) {
		api.mu.Lock()
		defer api.mu.Unlock()
		change()
		api.requests = nil
	}
	asked := func() bool {
		api.mu.Lock()
		defer api.mu.Unlock()
		return len(api.requests) > 2
	}
	set(func() { api.forbid = true })
	eventually(t, "pods are asked for", asked)
	if n := gauge(); n != 1 {
		t.Errorf("%v missed pods while nobody may tell, want the last number", n)
	}
	set(func() { api.forbid, api.pods = false, nil })
	eventually(t, "the pod is gone", func() bool { return gauge() == 0 })
}
