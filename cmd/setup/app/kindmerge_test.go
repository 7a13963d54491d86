package app

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/kind/pkg/apis/config/v1alpha4"
	"sigs.k8s.io/yaml"
)

// One's own configuration of kind keeps every line, and gets the issuer.
func TestKindConfigMerge(t *testing.T) {
	merge := func(body string, args ...string) (string, string, int) {
		t.Helper()
		file := filepath.Join(t.TempDir(), "kind.yaml")
		if err := os.WriteFile(file, []byte(body), 0o644); err != nil {
			t.Fatal(err)
		}
		var out, errs bytes.Buffer
		args = append([]string{"setup", "kind-config", "--merge", file, "--issuer-url", "https://i.example/dev"}, args...)
		code := call(t.Context(), args, os.Getenv, &out, &errs)
		return out.String(), errs.String(), code
	}
	const head = "# mine\nkind: Cluster\napiVersion: kind.x-k8s.io/v1alpha4\n"
	for name, body := range map[string]string{
		"plain":            head + "nodes:\n- role: control-plane # one\n\n# the end\n",
		"no line end":      head + "nodes: [{role: worker}]",
		"Windows":          strings.ReplaceAll(head+"networking:\n  ipFamily: dual\n", "\n", "\r\n"),
		"BOM":              "\ufeff" + head,
		"own patches":      head + "kubeadmConfigPatches:\n- |\n  kind: ClusterConfiguration\n  apiServer:\n    extraArgs:\n    - {name: v, value: \"4\"}\nname: own\n",
		"same patches":     head + "kubeadmConfigPatchesJSON6902:\n  - group: kubeadm.k8s.io\n    version: v1beta4\n    kind: ClusterConfiguration\n    patch: |\n      - op: add\n        path: /x\n        # in it\n\n# about the nodes\nnodes:\n- role: worker\n",
		"same, unindented": head + "kubeadmConfigPatchesJSON6902: # ours\n- group: kubeadm.k8s.io\n  version: v1beta4\n  kind: ClusterConfiguration\n  patch: |\n    []\n",
		"document marks":   "---\n" + head + "...\n",
		"empty list":       head + "kubeadmConfigPatchesJSON6902: []\nname: own\n",
		"null":             head + "kubeadmConfigPatchesJSON6902:\nname: own\n",
		"JSON":             `{"kind": "Cluster", "apiVersion": "kind.x-k8s.io/v1alpha4", "name": "json", "nodes": [{"role": "worker"}]}`,
		"flow":             head + "kubeadmConfigPatchesJSON6902: [{group: kubeadm.k8s.io, version: v1beta4, kind: ClusterConfiguration, patch: '[]'}] # kept\n",
	} {
		out, errs, code := merge(body)
		if code != 0 {
			t.Errorf("%s: %s", name, errs)
			continue
		}
		var before, after v1alpha4.Cluster
		if err := yaml.UnmarshalStrict([]byte(body), &before); err != nil {
			t.Fatal(err)
		}
		if err := yaml.UnmarshalStrict([]byte(out), &after); err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
			continue
		}
		n := len(before.KubeadmConfigPatchesJSON6902)
		if len(after.KubeadmConfigPatchesJSON6902) != n+2 || after.Name != before.Name || len(after.Nodes) != len(before.Nodes) || len(after.KubeadmConfigPatches) != len(before.KubeadmConfigPatches) {
			t.Errorf("%s: %+v\n%s", name, after, out)
			continue
		}
		for i, version := range []string{"v1beta4", "v1beta3"} {
			p := after.KubeadmConfigPatchesJSON6902[n+i]
			var patch []struct {
				Op, Path string
				Value    any
			}
			if err := yaml.UnmarshalStrict([]byte(p.Patch), &patch); err != nil || p.Version != version || len(patch) != 2 || !strings.Contains(p.Patch, "https://i.example/dev/openid/v1/jwks") {
				t.Errorf("%s: %+v, %v", name, p, err)
			}
		}
		for line := range strings.Lines(body) { // comments too
			inBraces := strings.Contains(line, "{group") || line[0] == '{' || strings.Contains(line, "JSON6902: []")
			if line = strings.TrimSpace(strings.TrimPrefix(line, "\ufeff")); !inBraces && !strings.Contains(out, line) {
				t.Errorf("%s: line %q is lost\n%s", name, line, out)
			}
			if _, comment, ok := strings.Cut(line, "# "); ok && !strings.Contains(out, comment) {
				t.Errorf("%s: comment %q is lost\n%s", name, comment, out)
			}
		}
		if strings.Contains(body, "\r\n") && strings.Count(out, "\n") != strings.Count(out, "\r\n") {
			t.Errorf("%s: line ends are mixed: %q", name, out)
		}
		if again, errs, code := merge(out); code != 0 || again != out {
			t.Errorf("%s: merged again: %s%s", name, again, errs)
		}
	}
	if out, errs, code := merge(head, "--name", "dev"); code != 0 || !strings.Contains(out, "\nname: dev\n") {
		t.Errorf("%s%s", out, errs)
	}
	for body, want := range map[string]string{
		"": "the file is empty", head + "---\n" + head: "more than one document", "kind: Pod\napiVersion: v1\n": "it is v1 Pod, not kind.x-k8s.io/v1alpha4 Cluster",
		"a: [\n": "line ", head + "kubeadmConfigPatches:\n- |\n  apiServer: {extraArgs: {service-account-issuer: x}}\n": "line 5: it already has a service-account-issuer",
	} {
		if out, errs, code := merge(body); code != 2 || out != "" || !strings.Contains(errs, want) {
			t.Errorf("%q: %d, %s%s, want %q", body, code, out, errs, want)
		}
	}
	if _, errs, code := merge(head+"name: own\n", "--name", "other"); code != 2 || !strings.Contains(errs, "is called own") {
		t.Errorf("%d, %s", code, errs)
	}
}
