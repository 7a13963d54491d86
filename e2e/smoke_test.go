package e2e

import (
	"encoding/json"
	"strings"
	"testing"
)

// TestClusters: both clusters are real and as kubeadm makes them, and the clients run in pods.
func TestClusters(t *testing.T) {
	needClusters(t)
	for _, k := range []*kube{primary, secondary} {
		t.Run(k.Name, func(t *testing.T) {
			b, err := k.client.RESTClient().Get().AbsPath("/.well-known/openid-configuration").DoRaw(suite)
			if err != nil {
				t.Fatalf("reading the discovery document: %v", err)
			}
			var doc struct{ Issuer string }
			if err := json.Unmarshal(b, &doc); err != nil {
				t.Fatalf("reading the discovery document: %v", err)
			}
			if !strings.HasPrefix(doc.Issuer, "https://") {
				t.Errorf("issuer %q", doc.Issuer)
			}
			version, err := k.client.ServerVersion()
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("Kubernetes %s, issuer %s", version.GitVersion, doc.Issuer)

			k.namespace(t, "e2e-smoke")
			whoami(t, k)
		})
	}
	// kube-proxy compares its rules with those that it finds when it starts, and once an hour, in the middle of stories.
	t.Run("kube-proxy restarted", func(t *testing.T) {
		secondary.node(t, `kubectl --kubeconfig /etc/kubernetes/admin.conf --namespace kube-system delete pod --selector k8s-app=kube-proxy
timeout 60 sh -c 'until curl -sf 127.0.0.1:10249/metrics | grep -q "^kubeproxy_sync_proxy_rules_duration_seconds_count.* [1-9]"; do sleep 0.2; done'`)
		whoami(t, secondary)
	})
	t.Run("awscli", func(t *testing.T) {
		r := primary.run(t, podSpec{namespace: "e2e-smoke", name: "version", image: awscli, args: []string{"aws", "--version"}})
		if r.code != 0 || !strings.HasPrefix(r.stdout, "aws-cli/2.") {
			t.Errorf("aws --version: exit %d: %s", r.code, r.stdout)
		}
		t.Logf("%s", r.stdout)
	})
}

// whoami has a pod ask the API server who it is, with its own token.
func whoami(t *testing.T, k *kube) {
	t.Helper()
	r := k.run(t, podSpec{namespace: "e2e-smoke", name: "whoami", image: client, args: []string{"/client", "whoami"}})
	if want := "system:serviceaccount:e2e-smoke:default"; r.code != 0 || strings.TrimSpace(r.stdout) != want {
		t.Errorf("a pod's own token: exit %d, %q, want %q", r.code, r.stdout, want)
	}
}
