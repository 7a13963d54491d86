package app

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/openirsa/openirsa/internal/kubetest"
	"github.com/openirsa/openirsa/pkg/controlplane"
	"github.com/openirsa/openirsa/pkg/issuer"
	"github.com/openirsa/openirsa/pkg/node"
)

// kubeadmConfig is what kubeadm needs to know to write a manifest.
const kubeadmConfig = `apiVersion: kubeadm.k8s.io/v1beta4
kind: InitConfiguration
localAPIEndpoint:
  advertiseAddress: 192.0.2.1
nodeRegistration:
  criSocket: unix:///run/containerd/containerd.sock
patches:
  directory: %q
---
`

// manifestFlags are the API server's flags that kubeadm itself would run it with.
func manifestFlags(t *testing.T, kubeadm, config, patches string) []string {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "kubeadm.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, kubeadmConfig+config, patches), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), kubeadm, args...)
		cmd.Env = append(os.Environ(), "KUBEADM_INIT_DRYRUN_DIR="+dir)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("kubeadm %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	run("config", "validate", "--config", file)
	run("init", "phase", "control-plane", "apiserver", "--dry-run", "--config", file)
	var manifests []string
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if filepath.Base(path) == "kube-apiserver.yaml" {
			manifests = append(manifests, path)
		}
		return err
	})
	if err != nil || len(manifests) != 1 {
		t.Fatalf("kubeadm wrote %q, %v", manifests, err)
	}
	b, err := os.ReadFile(manifests[0])
	if err != nil {
		t.Fatal(err)
	}
	var pod struct {
		Spec struct {
			Containers []struct{ Command []string }
		}
	}
	if err := yaml.Unmarshal(b, &pod); err != nil || len(pod.Spec.Containers) != 1 {
		t.Fatalf("reading the manifest: %v\n%s", err, b)
	}
	return slices.DeleteFunc(pod.Spec.Containers[0].Command, func(arg string) bool {
		return !strings.HasPrefix(arg, "--service-account-issuer=") && !strings.HasPrefix(arg, "--service-account-jwks-uri=") && !strings.HasPrefix(arg, "--api-audiences=")
	})
}

// What is printed for kubeadm makes the real kubeadm write the flags that
// `setup apiserver` gives to an API server.
func TestKubeadm(t *testing.T) {
	kubeadm := filepath.Join(kubetest.Bin(t), "kubeadm")
	print := func(args ...string) string {
		t.Helper()
		var out, stderr bytes.Buffer
		if code := call(t.Context(), append([]string{"setup", "apiserver", "print"}, args...), func(string) string { return "" }, &out, &stderr); code != 0 {
			t.Fatalf("exit %d: %s", code, stderr.String())
		}
		return out.String()
	}
	const plain = "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\nkubernetesVersion: v1.37.2\n"
	former := manifestFlags(t, kubeadm, plain, t.TempDir())
	if !slices.Equal(former, []string{"--service-account-issuer=" + defaultIssuer}) {
		t.Fatalf("kubeadm's own flags are %q", former)
	}
	iss, err := issuer.Parse("https://openirsa-dev-123456789012.s3.eu-west-1.amazonaws.com")
	if err != nil {
		t.Fatal(err)
	}
	have := controlplane.Flags{Issuers: []string{defaultIssuer}}
	for _, round := range []struct {
		args []string
		want controlplane.Flags
	}{
		{nil, have.SignedBy(iss)},
		{[]string{"--accept"}, have.AlsoAccepting(iss)},
	} {
		want := []string{"--api-audiences=" + strings.Join(round.want.APIAudiences, ",")}
		for _, iss := range round.want.Issuers {
			want = append(want, "--service-account-issuer="+iss)
		}
		if round.want.JWKSURI != "" {
			want = append(want, "--service-account-jwks-uri="+round.want.JWKSURI)
		}
		check := func(what string, got []string) {
			t.Helper()
			// The order of different flags does not matter.
			slices.SortStableFunc(got, func(a, b string) int {
				nameA, _, _ := strings.Cut(a, "=")
				nameB, _, _ := strings.Cut(b, "=")
				return strings.Compare(nameA, nameB)
			})
			if !slices.Equal(got, want) {
				t.Errorf("%s %q: kubeadm writes\n%s\nwant\n%s", what, round.args, strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		}
		args := append([]string{"--issuer-url", iss.String()}, round.args...)
		config := print(append([]string{"kubeadm"}, args...)...) + "kubernetesVersion: v1.37.2\n"
		check("kubeadm", manifestFlags(t, kubeadm, config, t.TempDir()))

		patches := t.TempDir()
		patch := print(append([]string{"kubeadm-v1beta3"}, args...)...)
		if err := os.WriteFile(filepath.Join(patches, "kube-apiserver0+json.yaml"), []byte(patch), 0o600); err != nil {
			t.Fatal(err)
		}
		check("kubeadm-v1beta3", manifestFlags(t, kubeadm, plain, patches))
	}
}

// What is printed is the same once `setup apiserver` has changed the API servers,
// which then show flags that no configuration knows.
func TestPrintedAfterwards(t *testing.T) {
	iss, err := issuer.Parse("https://oidc.example.com/a")
	if err != nil {
		t.Fatal(err)
	}
	before := controlplane.Flags{Issuers: []string{defaultIssuer}}
	for _, sign := range []bool{false, true} {
		after := before.AlsoAccepting(iss)
		if sign {
			after = before.SignedBy(iss)
		}
		after.Issuers = before.Issuers // as currentFlags has them
		want, got := controlPlaneChange{Sign: sign}, controlPlaneChange{Sign: sign}
		want.fill(iss, before)
		got.fill(iss, after)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("signing %t (-before +afterwards):\n%s", sign, diff)
		}
	}
}

// Everything printed is one YAML document, and signs first in the second round
// only.
func TestPrintedYAML(t *testing.T) {
	for _, p := range controlPlanes {
		if p.general {
			continue
		}
		for _, args := range [][]string{nil, {"--accept"}} {
			if p.single && args != nil {
				continue
			}
			var out, stderr bytes.Buffer
			args = append([]string{"setup", "apiserver", "print", p.name(), "--issuer-url", "https://oidc.example.com/a", "--former-issuer", "https://one.example.com", "--former-issuer", "https://two.example.com:6443"}, args...)
			if code := call(t.Context(), args, func(string) string { return "" }, &out, &stderr); code != 0 {
				t.Fatalf("exit %d: %s", code, stderr.String())
			}
			var v any
			if err := yaml.UnmarshalStrict(out.Bytes(), &v); err != nil && strings.HasSuffix(p.file, ".yaml") {
				t.Errorf("%s: %v\n%s", p.name(), err, out.String())
			}
			var issuers []string // in their order
			for line := range strings.Lines(out.String()) {
				if strings.Contains(line, "<no value>") {
					t.Errorf("%s: line %q", p.name(), line)
				}
				_, value, _ := strings.Cut(line, "https://")
				value, _, _ = strings.Cut(value, "'")
				if value = strings.TrimSpace(value); line[0] != '#' && !strings.Contains(line, "jwks") && !strings.Contains(line, ",") {
					issuers = append(issuers, value)
				}
			}
			slices.Reverse(issuers) // Talos has the audiences first
			former, ours := slices.Index(issuers, "two.example.com:6443"), slices.Index(issuers, "oidc.example.com/a")
			patch := p.name() == "kubeadm-v1beta3" || p.name() == "cluster-api" || p.name() == "kubespray" // in the order of the API server, not their own
			if ours < 0 || !patch && (former < ours) != !slices.Contains(args, "--accept") {
				t.Errorf("%s %q: issuers %q", p.name(), args, issuers)
			}
		}
	}
}

// Cluster API and kubespray get the patch that kubeadm gets, which the real kubeadm
// is tried with.
func TestPrintedPatches(t *testing.T) {
	for _, round := range [][]string{nil, {"--accept"}} {
		print := func(kind string) []byte {
			t.Helper()
			var out, stderr bytes.Buffer
			args := append([]string{"setup", "apiserver", "print", kind, "--issuer-url", "https://oidc.example.com/a", "--former-issuer", "https://one.example.com"}, round...)
			if code := call(t.Context(), args, func(string) string { return "" }, &out, &stderr); code != 0 {
				t.Fatalf("exit %d: %s", code, stderr.String())
			}
			return out.Bytes()
		}
		var want, capi, kubespray []map[string]string
		var machines struct {
			Spec struct {
				KubeadmConfigSpec struct {
					Files []struct{ Path, Content string }
				}
			}
		}
		var variables struct {
			Patches []struct {
				Target, Type string
				Patch        []map[string]string
			} `json:"kubeadm_patches"`
		}
		for _, err := range []error{
			yaml.Unmarshal(print("kubeadm-v1beta3"), &want), yaml.Unmarshal(print("cluster-api"), &machines), yaml.Unmarshal(print("kubespray"), &variables),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		files := machines.Spec.KubeadmConfigSpec.Files
		if len(files) != 1 || files[0].Path != "/etc/kubernetes/patches/kube-apiserver0+json.yaml" || len(variables.Patches) != 1 || variables.Patches[0].Target != "kube-apiserver" {
			t.Fatalf("%+v, %+v", files, variables)
		}
		if err := yaml.Unmarshal([]byte(files[0].Content), &capi); err != nil {
			t.Fatal(err)
		}
		kubespray = variables.Patches[0].Patch
		if len(want) == 0 || !cmp.Equal(want, capi) || !cmp.Equal(want, kubespray) {
			t.Errorf("%q: %v, %v, want %v", round, capi, kubespray, want)
		}
	}
	// What would not stay in its quotes is not written into any.
	for _, former := range []string{"https://a'; rm -rf /", "x\nFLAGS", "$(id)", "`id`", ""} {
		var out, stderr bytes.Buffer
		args := []string{"setup", "apiserver", "print", "minikube", "--issuer-url", "https://oidc.example.com/a", "--former-issuer", former}
		if code := call(t.Context(), args, func(string) string { return "" }, &out, &stderr); code != 2 || out.Len() > 0 {
			t.Errorf("%q: exit %d: %s", former, code, &out)
		}
	}
}

// A node that a killed run has left with a manifest that does not come up gets
// the previous one back, though there is no API to ask.
func TestRestoreAPIServers(t *testing.T) {
	unreachable := errors.New("connection refused")
	cp1 := node.Node{Name: "cp1", Exec: func(context.Context, io.Reader, io.Writer, string, ...string) error { return nil }}
	err := restoreAPIServers(t.Context(), []node.Node{cp1}, unreachable)
	if !errors.Is(err, unreachable) {
		t.Errorf("error = %v", err)
	}
	broken := errors.New("no route to host")
	cp1.Exec = func(context.Context, io.Reader, io.Writer, string, ...string) error { return broken }
	if err := restoreAPIServers(t.Context(), []node.Node{cp1}, unreachable); !errors.Is(err, unreachable) || !errors.Is(err, broken) {
		t.Errorf("error = %v", err)
	}
}
