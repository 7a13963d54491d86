package cluster

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openirsa/openirsa/pkg/node"
)

func TestWaitForService(t *testing.T) {
	f, c := newAPI(t)
	f.Put("/api/v1/namespaces/default/services/kubernetes", &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "kubernetes"},
		Spec:       corev1.ServiceSpec{ClusterIP: "10.96.0.1", Ports: []corev1.ServicePort{{Port: 443}}},
	})
	var refusals atomic.Int64
	asked := func(name string) node.Node {
		return node.Node{Name: name, Exec: func(_ context.Context, _ io.Reader, _ io.Writer, command string, args ...string) error {
			if !slices.Contains(args, "kubectl") || !slices.Contains(args, "--server=https://10.96.0.1:443") || !strings.HasSuffix(strings.Join(args, " "), "get --raw /readyz") {
				t.Errorf("%s %q", command, args)
			}
			if refusals.Add(-1) >= 0 {
				return errors.New("connection refused")
			}
			return nil
		}}
	}
	c.nodes = []node.Node{asked("a"), asked("b")}
	refusals.Store(3)
	if err := c.WaitForService(t.Context(), time.Minute); err != nil || refusals.Load() >= 0 {
		t.Errorf("error = %v with %d refusals to come", err, refusals.Load())
	}
	c.nodes = c.nodes[:1]
	refusals.Store(1 << 30)
	fails := func(want string) {
		t.Helper()
		if err := c.WaitForService(t.Context(), 0); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "connection refused") {
			t.Errorf("error = %v, want one that says %s", err, want)
		}
	}
	slice := &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "kubernetes", Labels: map[string]string{discoveryv1.LabelServiceName: "kubernetes"}}}
	f.Put("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes", slice)
	fails("no API server has added itself")
	slice.Endpoints = []discoveryv1.Endpoint{{Addresses: []string{"172.18.0.2"}}}
	fails("at https://10.96.0.1:443: connection refused") // nobody knows why
	proxy := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "kube-proxy-x", Labels: map[string]string{"k8s-app": "kube-proxy"}},
		Status:     corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{Name: "kube-proxy", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}}}}},
	}
	f.Put("/api/v1/namespaces/kube-system/pods/kube-proxy-x", proxy)
	fails("pod kube-proxy-x, container kube-proxy: CrashLoopBackOff")
	proxy.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "kube-proxy", Ready: true}}
	fails("`kubectl --namespace kube-system delete pod kube-proxy-x`")
}

// A webhook does not get ready where pods do not reach the API server, and its log is
// not where to look.
func TestRolloutSaysWhoIsCutOff(t *testing.T) {
	f, c := newAPI(t)
	f.Put("/api/v1/namespaces/default/services/kubernetes", &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "kubernetes"},
		Spec:       corev1.ServiceSpec{ClusterIP: "10.96.0.1", Ports: []corev1.ServicePort{{Port: 443}}},
	})
	put := func(name, node string, ready bool) {
		f.Put("/api/v1/namespaces/openirsa-system/pods/"+name, &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: "openirsa-system", Name: name, Labels: map[string]string{"app": "webhook"}},
			Spec:       corev1.PodSpec{NodeName: node},
			Status:     corev1.PodStatus{Phase: corev1.PodRunning, ContainerStatuses: []corev1.ContainerStatus{{Name: "webhook", Ready: ready}}},
		})
	}
	put("webhook-1", "refused", false)
	put("webhook-2", "answered", false)
	put("webhook-3", "idle", true)
	answers := map[string]error{"refused": errors.New("connection refused"), "idle": errors.New("nobody is to ask here")}
	for _, name := range []string{"refused", "answered", "idle"} {
		c.nodes = append(c.nodes, node.Node{Name: name, Exec: func(context.Context, io.Reader, io.Writer, string, ...string) error { return answers[name] }})
	}
	why := c.whyNot(t.Context(), workload{namespace: "openirsa-system", selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "webhook"}}})
	if want := "pods on node refused do not reach the API server at https://10.96.0.1:443"; strings.Count(why, want) != 1 || strings.Count(why, "do not reach") != 1 {
		t.Errorf("%q, want %q once", why, want)
	}
}
