package controlplane

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openirsa/openirsa/internal/kubefake"
	"github.com/openirsa/openirsa/pkg/token"
)

// readySince is when the mirror pods of tests became so.
var readySince = metav1.NewTime(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC))

// fakeAPI is the API as far as it shows control planes.
type fakeAPI struct {
	*kubefake.API
	t *testing.T
}

// apiServer is a node with a kubeadm control plane, as the API shows it.
func (f fakeAPI) apiServer(node, address string, since metav1.Time, issuers ...string) {
	f.t.Helper()
	command := []string{"kube-apiserver", "--advertise-address=" + address}
	for _, iss := range issuers {
		command = append(command, "--service-account-issuer="+iss)
	}
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "kube-apiserver-" + node, Labels: map[string]string{"component": "kube-apiserver"}},
		Spec:       corev1.PodSpec{NodeName: node, Containers: []corev1.Container{{Name: "kube-apiserver", Command: command}}},
	}
	if !since.IsZero() {
		p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "kube-apiserver", Ready: true, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: since}}}}
	}
	f.Put("/api/v1/namespaces/kube-system/pods/kube-apiserver-"+node, p)
	f.Node(node, address)
	f.endpoint(address)
}

// replaced is a control-plane node whose API server has no mirror pod yet.
func (f fakeAPI) replaced(name, address string) {
	f.Put("/api/v1/nodes/"+name, &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"node-role.kubernetes.io/control-plane": ""}},
		Status:     corev1.NodeStatus{Addresses: []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: address}}},
	})
	f.endpoint(address)
}

// endpoint is an API server as it announces itself.
func (f fakeAPI) endpoint(address string) {
	f.Put("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes-"+address, &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "kubernetes-" + address, Labels: map[string]string{discoveryv1.LabelServiceName: "kubernetes"}},
		Endpoints:  []discoveryv1.Endpoint{{Addresses: []string{address}}},
	})
}

// pod is a running pod with the token that every pod gets, if it has a lifetime.
func (f fakeAPI) pod(node, name string, made time.Time, lifetime int64) {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, CreationTimestamp: metav1.NewTime(made)},
		Spec:       corev1.PodSpec{NodeName: node},
	}
	aws := corev1.VolumeProjection{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Audience: "sts.amazonaws.com", ExpirationSeconds: new(int64(86400))}}
	p.Spec.Volumes = []corev1.Volume{{Name: "aws", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{aws}}}}}
	if lifetime > 0 {
		own := corev1.VolumeProjection{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{ExpirationSeconds: &lifetime}}
		p.Spec.Volumes = append(p.Spec.Volumes, corev1.Volume{Name: "own", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{own}}}})
	}
	f.Put("/api/v1/namespaces/default/pods/"+name, p)
}

// twoSides is a kubeadm cluster of which one control-plane node, the fake one,
// can be reached, and the others are known from the API.
func twoSides(t *testing.T) (fakeAPI, *fakeNode, *ControlPlane) {
	api := fakeAPI{kubefake.New(t), t}
	nodes, reached := newFake(t, 1)
	api.apiServer("control-plane0", "10.0.0.1", readySince, oldIssuer)
	api.apiServer("cp1", "10.0.0.2", readySince, oldIssuer)
	return api, nodes.nodes[0], of(t, api.Config(), reached.nodes, false)
}

// others is the error about API servers that cannot be reached.
func others(t *testing.T, err error, lack string, nodes ...string) {
	t.Helper()
	e, ok := errors.AsType[*OthersError](err)
	if !ok || !slices.Equal(e.Nodes, nodes) || !strings.Contains(e.Lack, lack) {
		t.Errorf("error = %v, want %q about %q", err, lack, nodes)
	}
}

func TestOthersAccept(t *testing.T) {
	api, _, c := twoSides(t)
	iss := options(t).URL
	others(t, c.OthersAccept(t.Context(), iss), "do not accept", "cp1")
	api.apiServer("cp1", "10.0.0.2", readySince, oldIssuer, testIssuer)
	if err := c.OthersAccept(t.Context(), iss); err != nil {
		t.Error(err)
	}

	api.endpoint("10.0.0.9") // an API server that is no static pod
	others(t, c.OthersAccept(t.Context(), iss), "do not accept", "at 10.0.0.9")
	api.Node("elsewhere", "10.0.0.9")
	others(t, c.OthersAccept(t.Context(), iss), "do not accept", "at 10.0.0.9")
	api.apiServer("elsewhere", "10.0.0.9", readySince, oldIssuer)
	others(t, c.OthersAccept(t.Context(), iss), "do not accept", "elsewhere")
	api.apiServer("elsewhere", "10.0.0.9", readySince, testIssuer)

	// One that starts is waited for.
	api.apiServer("cp1", "10.0.0.2", metav1.Time{}, oldIssuer)
	time.AfterFunc(time.Second, func() { api.apiServer("cp1", "10.0.0.2", readySince, oldIssuer, testIssuer) })
	start := time.Now()
	if err := c.OthersAccept(t.Context(), iss); err != nil || time.Since(start) < time.Second {
		t.Errorf("%v after %s", err, time.Since(start))
	}

	// And so is one whose mirror pod kubelet replaces.
	api.replaced("cp9", "10.0.0.10")
	time.AfterFunc(time.Second, func() { api.apiServer("cp9", "10.0.0.10", readySince, testIssuer) })
	start = time.Now()
	if err := c.OthersAccept(t.Context(), iss); err != nil || time.Since(start) < time.Second {
		t.Errorf("%v after %s", err, time.Since(start))
	}
}

// The API server that can be reached learns to accept, and signs only when the
// other one accepts too.
func TestSetIssuerWithOthers(t *testing.T) {
	api, node, c := twoSides(t)
	steps, err := c.SetIssuer(t.Context(), options(t))
	if err != nil {
		t.Fatal(err)
	}
	if got := summaries(steps); !slices.Equal(got, []string{"update API server on node control-plane0: accept the issuer", "update API server on node control-plane0"}) {
		t.Fatalf("steps = %q", got)
	}
	synctest.Test(t, func(t *testing.T) { // where the fake node takes no time
		if err := steps[0].Do(t.Context()); err != nil {
			t.Error(err)
		}
	})
	if f := node.flags(); !slices.Equal(f.Issuers, []string{oldIssuer, testIssuer}) {
		t.Errorf("issuers = %q", f.Issuers)
	}
	others(t, steps[1].Do(t.Context()), "do not accept", "cp1")
	if f := node.flags(); f.Issuers[0] != oldIssuer {
		t.Errorf("it signs as %s while cp1 does not accept that", f.Issuers[0])
	}

	steps, err = c.SetIssuer(t.Context(), IssuerOptions{URL: options(t).URL, AcceptOnly: true})
	if err != nil || len(steps) > 0 {
		t.Errorf("accepting again: %q, %v", summaries(steps), err)
	}

	api.apiServer("cp1", "10.0.0.2", readySince, "https://issuer.example.com", testIssuer)
	if _, err := c.SetIssuer(t.Context(), options(t)); err == nil || !strings.Contains(err.Error(), "cp1 already has the public issuer") {
		t.Errorf("error = %v", err)
	}
}

func TestRemoveIssuerWithOthers(t *testing.T) {
	api, _, c := twoSides(t)
	api.apiServer("cp1", "10.0.0.2", readySince, testIssuer, oldIssuer)
	opts := options(t)
	others(t, c.othersDemoted(t.Context(), opts), "still sign", "cp1")
	others(t, c.renewal(opts, []string{oldIssuer}).Do(t.Context()), "still sign", "cp1")

	api.apiServer("cp1", "10.0.0.2", readySince, oldIssuer, testIssuer)
	if err := c.othersDemoted(t.Context(), opts); err != nil {
		t.Error(err)
	}
}

func TestRenewedElsewhere(t *testing.T) {
	api, _, c := twoSides(t)
	opts, audiences := options(t), []string{oldIssuer}
	renewed := func() {
		t.Helper()
		if err := c.renewedElsewhere(t.Context(), opts, audiences); err != nil {
			t.Error(err)
		}
	}
	now := time.Now()
	since := now.Add(-10 * time.Minute)
	api.apiServer("cp1", "10.0.0.2", metav1.NewTime(since), oldIssuer, testIssuer)
	renewed()
	api.pod("control-plane0", "reached", now.Add(-time.Hour), 3607)
	api.pod("worker", "new", now.Add(-time.Minute), 3607)
	api.pod("worker", "aws-only", now.Add(-time.Hour), 0)
	api.pod("worker", "short", now.Add(-time.Hour), 300) // renewed 10 minutes ago
	renewed()
	api.pod("worker", "old", now.Add(-time.Hour), 3607)
	api.pod("worker", "older", now.Add(-2*time.Hour), 7200)
	e, ok := errors.AsType[*TokensError](c.renewedElsewhere(t.Context(), opts, audiences))
	if want := since.Add(96*time.Minute + 90*time.Second + token.ClientReload); !ok || e.Pods != 2 || e.Pod != "default/older" || e.Until.Sub(want).Abs() > time.Second {
		t.Errorf("error = %+v, want one until %s", e, want)
	}
	// Years of lifetime are a day at most, and an API server that kubelet has not
	// yet shown to be restarted counts as restarted now.
	api.pod("worker", "year", now.Add(-time.Hour), 365*86400)
	api.apiServer("control-plane0", "10.0.0.1", readySince, testIssuer, oldIssuer)
	e, ok = errors.AsType[*TokensError](c.renewedElsewhere(t.Context(), opts, audiences))
	if until := time.Until(e.Until); !ok || e.Pods != 5 || until < 24*time.Hour || until > 24*time.Hour+5*time.Minute {
		t.Errorf("error = %+v", e)
	}
	if err := c.renewal(opts, audiences).Do(t.Context()); err == nil {
		t.Error("tokens are renewed at once")
	}
}
