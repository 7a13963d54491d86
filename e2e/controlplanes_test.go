package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openirsa/openirsa/e2e/internal/kindenv"
)

const (
	controlPlanes       = 3
	controlPlaneCluster = "openirsa-e2e-ha"
)

// TestControlPlanes: a cluster with three API servers, of which one after the other is restarted, gets the chain, new
// keys, and is in the end as it was. All the time each API server is asked, by itself, about tokens that any of them
// gave: none ever refuses what another one signed.
func TestControlPlanes(t *testing.T) {
	k := addCluster(t, controlPlaneCluster, kindenv.Shape{ControlPlanes: controlPlanes, Tuned: true}, client)
	t.Cleanup(func() { k.explain(t) })
	if servers := k.apiServers(t); len(servers) != controlPlanes {
		t.Fatalf("API servers %q, want %d", servers, controlPlanes)
	}
	manifests := func() string {
		return k.everywhere(t, "sha256sum /etc/kubernetes/manifests/*; ls -a /etc/kubernetes /etc/kubernetes/pki")
	}
	was := manifests()

	// The chain: tokens of kubeadm's issuer and of ours.
	l := startAPILoad(t, k)
	slow := func(args ...string) {
		t.Helper()
		invocation{within: 40 * time.Minute}.run(t, append(args, "--kind-name", k.Name)...).ok(t)
	}
	slow("up", "--emulator")
	if last := l.stop(t); len(issuersOf(last)) != 2 {
		t.Errorf("tokens were of %v, want two issuers", issuersOf(last))
	}

	// New keys, and an API server that dies in the middle.
	const lifetime = time.Minute
	l = startLoad(t, k, "-age", lifetime.String())
	former := keyIDs(k.listKeys(t))
	v := invocation{within: 40 * time.Minute, when: map[string]func(*os.Process){"stage sign": func(*os.Process) {
		if err := k.killAPIServer(suite, k.nodes(t)[1]); err != nil {
			t.Errorf("killing an API server: %v", err)
		}
	}}}
	v.run(t, "keys", "rotate", "--cache-wait", "5s", "--token-lifetime", lifetime.String(), "--kind-name", k.Name).ok(t)
	last := l.stop(t)
	list := k.listKeys(t)
	// Private keys do not leave their nodes, so each has its own.
	if len(list) != controlPlanes {
		t.Errorf("after the rotation there are %d keys, want one of each node", len(list))
	}
	for _, key := range list {
		if len(key.Accepted) != controlPlanes || len(key.Signs) != 1 || !key.Published || slices.Contains(former, key.KID) {
			t.Errorf("after the rotation: %+v, want a new key that is published, signs on one node and is accepted on all", key)
		}
		if !slices.ContainsFunc(kidsOf(last), func(kid string) bool { return kid == key.KID }) {
			t.Errorf("the load has seen no token of %s", key.KID)
		}
	}

	slow("down")
	if now := manifests(); now != was {
		t.Errorf("the nodes are not as before:\n%s\nand were:\n%s", now, was)
	}
}

// apiServers are the URLs of the cluster's API servers, each by itself.
func (k *kube) apiServers(t testing.TB) []string {
	t.Helper()
	list, err := k.client.CoreV1().Nodes().List(suite, metav1.ListOptions{})
	if err != nil {
		t.Fatalf("listing nodes: %v", err)
	}
	var urls []string
	for _, n := range list.Items {
		for _, a := range n.Status.Addresses {
			if a.Type == corev1.NodeInternalIP {
				urls = append(urls, "https://"+a.Address+":6443")
			}
		}
	}
	return urls
}

func (k *kube) nodes(t testing.TB) []string {
	t.Helper()
	list, err := k.Nodes()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, n := range list {
		names = append(names, n.String())
	}
	return names
}

// everywhere runs a shell command on each node and returns all that they wrote.
func (k *kube) everywhere(t testing.TB, script string) string {
	t.Helper()
	var all strings.Builder
	for _, name := range k.nodes(t) {
		n, err := k.nodeNamed(name)
		if err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		if err := n.CommandContext(suite, "bash", "-c", script).SetStdout(&out).Run(); err != nil {
			t.Fatalf("on node %s: %v", name, err)
		}
		fmt.Fprintf(&all, "%s\n%s", name, out.String())
	}
	return all.String()
}

// listedKey is a key as `setup keys list -o json` shows it.
type listedKey struct {
	KID             string
	Signs, Accepted []string
	Published       bool
}

func (k *kube) listKeys(t testing.TB) []listedKey {
	t.Helper()
	r := k.setup(t, "keys", "list", "-o", "json").ok(t)
	var list struct{ Keys []listedKey }
	if err := json.Unmarshal([]byte(r.stdout), &list); err != nil {
		t.Fatalf("reading the list of keys: %v\n%s", err, r.stdout)
	}
	return list.Keys
}

func keyIDs(list []listedKey) (ids []string) {
	for _, k := range list {
		ids = append(ids, k.KID)
	}
	return ids
}

// kidsOf and issuersOf are those whose tokens were accepted.
func kidsOf(r loadReport) []string { return used(r, 0) }

func issuersOf(r loadReport) []string { return used(r, 1) }

func used(r loadReport, field int) (list []string) {
	for key := range r.Kids {
		list = append(list, strings.Fields(key)[field])
	}
	slices.Sort(list)
	return slices.Compact(list)
}
