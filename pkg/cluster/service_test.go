package cluster

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestWaitForService(t *testing.T) {
	f, c := newAPI(t)
	f.put("/api/v1/namespaces/default/services/kubernetes", &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "kubernetes"},
		Spec:       corev1.ServiceSpec{ClusterIP: "10.96.0.1", Ports: []corev1.ServicePort{{Port: 443}}},
	})
	var refusals atomic.Int64
	asked := func(name string) Node {
		return Node{Name: name, Exec: func(_ context.Context, _ io.Reader, _ io.Writer, command string, args ...string) error {
			if command != "kubectl" || !slices.Contains(args, "--server=https://10.96.0.1:443") || !strings.HasSuffix(strings.Join(args, " "), "get --raw /readyz") {
				t.Errorf("%s %q", command, args)
			}
			if refusals.Add(-1) >= 0 {
				return errors.New("connection refused")
			}
			return nil
		}}
	}
	c.nodes = []Node{asked("a"), asked("b")}
	refusals.Store(3)
	if err := c.WaitForService(t.Context(), DefaultWait); err != nil || refusals.Load() >= 0 {
		t.Errorf("error = %v with %d refusals to come", err, refusals.Load())
	}
	refusals.Store(1 << 30)
	if err := c.WaitForService(t.Context(), 0); err == nil || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("error = %v", err)
	}
}
