package e2e

import (
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// snapshot is everything on a cluster that the product could leave behind, and nothing that changes by itself or
// that tests make.
type snapshot struct {
	Flags       map[string][]string // of the running API server
	Issuer      string
	Namespaces  []string
	ClusterWide []string // kind/name
	Annotated   []string // service accounts with annotations
	Files       []string // on the node, with their digests
	Images      []string // on the node
}

func (k *kube) snapshot(t testing.TB) *snapshot {
	t.Helper()
	s := &snapshot{Flags: k.apiServerFlags(t), Issuer: k.issuer(t)}
	namespaces, err := k.client.CoreV1().Namespaces().List(suite, metav1.ListOptions{LabelSelector: "!" + testLabel})
	if err != nil {
		t.Fatalf("listing namespaces: %v", err)
	}
	for _, n := range namespaces.Items {
		s.Namespaces = append(s.Namespaces, n.Name)
	}
	accounts, err := k.client.CoreV1().ServiceAccounts("").List(suite, metav1.ListOptions{LabelSelector: "!" + testLabel})
	if err != nil {
		t.Fatalf("listing service accounts: %v", err)
	}
	for _, a := range accounts.Items {
		for k, v := range a.Annotations {
			s.Annotated = append(s.Annotated, a.Namespace+"/"+a.Name+" "+k+"="+v)
		}
	}
	slices.Sort(s.Annotated)
	lines := func(script string) []string {
		out := k.node(t, script)
		if out == "" {
			return nil
		}
		l := strings.Split(out, "\n")
		slices.Sort(l)
		return l
	}
	s.ClusterWide = lines(`export KUBECONFIG=/etc/kubernetes/admin.conf
kinds=$(kubectl api-resources --namespaced=false --verbs=list -o name | grep -v -E '^(namespaces|certificatesigningrequests|componentstatuses|nodemetrics)' | paste -sd,)
kubectl get "$kinds" -o name`)
	// What kubelet and kubeadm rotate or write again by themselves is not below these. /var/lib/cni comes with the
	// first pod of any kind.
	s.Files = lines(`find /etc/kubernetes -type f -exec sha256sum {} +; ls -d /var/lib/* /etc/containerd/* | grep -v -x /var/lib/cni`)
	// An image has several names: kind's import gives it one, and the runtime one by its configuration. Those of the
	// tests' own images do not count.
	s.Images = lines(`ctr -n k8s.io images list | awk 'NR > 1 {
		name[NR] = $1; digest[NR] = $3; if ($1 ~ "^openirsa.dev/e2e/") ours[$3] = 1
	} END { for (i in name) if (!ours[digest[i]]) print name[i] }'`)
	return s
}

// apiServerFlags reads the command line of the API server that runs, whatever its manifest says.
func (k *kube) apiServerFlags(t testing.TB) map[string][]string {
	t.Helper()
	flags := map[string][]string{}
	for line := range strings.Lines(k.node(t, `tr '\0' '\n' </proc/$(pgrep -x kube-apiserver)/cmdline`)) {
		if f, ok := strings.CutPrefix(strings.TrimRight(line, "\n"), "--"); ok {
			name, value, _ := strings.Cut(f, "=")
			flags[name] = append(flags[name], value)
		}
	}
	if len(flags["service-account-issuer"]) == 0 {
		t.Fatalf("the API server's command line has no issuer: %v", flags)
	}
	return flags
}
