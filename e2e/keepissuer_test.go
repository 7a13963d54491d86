package e2e

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// apiServerLife tells one life of the API server from the next: its process, and when that began.
func (k *kube) apiServerLife(t testing.TB) string {
	t.Helper()
	return k.node(t, `p=$(pgrep -x kube-apiserver); echo "$p $(cut -d ' ' -f 22 "/proc/$p/stat")"; sha256sum /etc/kubernetes/manifests/kube-apiserver.yaml`)
}

// testKeepIssuer: the API server keeps the issuer that it has, which nobody outside can read, and is not even restarted;
// a pod's AWS CLI lists groups all the same, and works with services of another emulator behind the guard.
func testKeepIssuer(t *testing.T) {
	k := secondary
	t.Cleanup(func() {
		k.explain(t)
		if t.Failed() && k.installed(t) { // the next story begins without a chain
			k.setup(t, "down")
		}
	})
	if err := environment.Clusters[1].Load(suite, awscli); err != nil {
		t.Fatal(err)
	}
	was, life, issuer := k.snapshot(t), k.apiServerLife(t), k.issuer(t)
	const ns = "e2e-keep"
	k.namespace(t, ns)
	listGroups := func(sa string) result {
		t.Helper()
		return k.run(t, podSpec{namespace: ns, name: sa, serviceAccount: sa, image: awscli, args: []string{"aws", "iam", "list-groups"}})
	}

	r := k.setup(t, "up", "--emulator", "--keep-issuer", "--pod-identity", "--forward", "*="+k.backend(t), "-o", "json").ok(t)
	if v := r.report(t); v.Issuer != issuer {
		t.Errorf("issuer %q, expected the cluster's own, %q", v.Issuer, issuer)
	}
	k.setup(t, "iamserviceaccount", "create", "--namespace", ns, "--name", "app", "--attach-policy-arn",
		"arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess", "--approve").ok(t)
	if r := listGroups("app"); r.code == 0 || !strings.Contains(r.stdout+r.stderr, "AccessDenied") {
		t.Errorf("without the permission: exit %d: %s%s", r.code, r.stdout, r.stderr)
	}
	k.setup(t, "iamserviceaccount", "create", "--namespace", ns, "--name", "app", "--attach-policy-arn", readOnly, "--approve").ok(t)
	if r := listGroups("app"); r.code != 0 || !strings.Contains(r.stdout, "Groups") {
		t.Errorf("list-groups: exit %d: %s%s", r.code, r.stdout, r.stderr)
	}

	guardedPods(t, k, ns)
	podIdentity(t, k, ns)

	// The choices are kept.
	if r := k.setup(t, "up", "--emulator").ok(t); !strings.Contains(r.stdout, "Everything is unchanged") ||
		!strings.Contains(r.stdout, "keeps --service-account-issuer="+issuer) {
		t.Errorf("a second run: %s", r.stdout)
	}
	k.setup(t, "up", "--emulator", "--keep-issuer=false").fails(t, "issuer", "keeps the issuer that the API servers had", "setup down")
	if r := k.setup(t, "status").ok(t); !strings.Contains(r.stdout, "cluster's own issuer") {
		t.Errorf("status: %s", r.stdout)
	}
	if r := k.setup(t, "doctor", "--service-account", ns+"/app").ok(t); !strings.Contains(r.stdout, "read from the API server") {
		t.Errorf("doctor: %s", r.stdout)
	}
	if r := k.setup(t, "export", "manifests").ok(t); !strings.Contains(r.stdout, "--cluster-issuer="+issuer) ||
		strings.Contains(r.stdout, "The API server needs these flags") {
		t.Errorf("export manifests: %s", r.stdout)
	}
	moveToPodIdentity(t, k, ns, "app")
	if now := k.apiServerLife(t); now != life {
		t.Errorf("the API server is another one: %s, was %s", now, life)
	}

	k.setup(t, "down").ok(t)
	if now := k.apiServerLife(t); now != life {
		t.Errorf("after down the API server is another one: %s, was %s", now, life)
	}
	if diff := cmp.Diff(was, k.snapshot(t)); diff != "" {
		t.Errorf("down left (-before +after):\n%s", diff)
	}
}
