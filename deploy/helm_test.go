package deploy_test

import (
	"bytes"
	"encoding/json"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/registry"

	"github.com/openirsa/openirsa/internal/helmchart"
	"github.com/openirsa/openirsa/internal/needs"
)

// kubernetes is what Helm renders for: a build of it without Kubernetes' version in it takes 1.20 otherwise.
const kubernetes = "--kube-version=1.34.0"

// helm runs Helm, in a home folder of its own, and returns what it writes.
func helm(t *testing.T, args ...string) (stdout string, err error) {
	t.Helper()
	path := "helm"
	if dir := os.Getenv("OPENIRSA_HELM_BIN"); dir != "" {
		path = filepath.Join(dir, "helm")
	}
	path, err = exec.LookPath(path)
	if err != nil {
		needs.Lacking(t, err)
	}
	c := exec.CommandContext(t.Context(), path, args...)
	home := t.TempDir()
	c.Env = append(os.Environ(), "HOME="+home, "XDG_CONFIG_HOME="+home, "XDG_CACHE_HOME="+home, "XDG_DATA_HOME="+home)
	var out, complaints bytes.Buffer
	c.Stdout, c.Stderr = &out, &complaints
	if err = c.Run(); err != nil {
		t.Logf("helm %s: %v\n%s", strings.Join(args, " "), err, &complaints)
		return complaints.String(), err
	}
	return out.String(), nil
}

// template is a chart as Helm renders it.
func helmTemplate(t *testing.T, chart string, values map[string]any, args ...string) string {
	t.Helper()
	b, err := json.Marshal(values)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "values.yaml")
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := helm(t, append([]string{"template", "openirsa", chart, "--namespace=openirsa-system", "--values=" + file, kubernetes}, args...)...)
	if err != nil {
		t.Fatal(out)
	}
	return out
}

// Helm and we render alike, and Helm finds nothing wrong.
func TestHelmRendersTheSame(t *testing.T) {
	for name, over := range map[string]map[string]any{
		"defaults": {}, "everything": everything(t),
		"elsewhere":   parseValues(t, "{namespaceOverride: elsewhere, createNamespace: true, image: registry.example/openirsa:v9}"),
		"unbudgeted":  parseValues(t, "{webhook: {podDisruptionBudget: {enabled: false}, serviceAccount: {create: false, name: mine}}, test: {enabled: false}}"),
		"old cluster": parseValues(t, "{webhook: {matchConditions: false, reportMissedPods: [], goMemLimit: ''}}"),
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(byName(t, rendered(t, values(t, over))), byName(t, helmTemplate(t, "chart", over))); diff != "" {
				t.Errorf("(-ours +Helm's):\n%s", diff)
			}
		})
	}
	if out, err := helm(t, "lint", "--strict", "chart"); err != nil {
		t.Error(out)
	}
}

func TestHelmChecksValues(t *testing.T) {
	for set, says := range map[string]string{
		"webhook.replicas=two":         "got string, want integer",
		"webook.replicas=2":            "additional properties 'webook' not allowed",
		"webhook.failurePolicy=Always": "value must be one of 'Fail', 'Ignore'",
		"emulator.replicas=3":          "maximum: got 3, want 1",
		"image.name=x":                 "additional properties 'name' not allowed",
		"log.level=trace":              "value must be one of",
	} {
		out, err := helm(t, "template", "openirsa", "chart", kubernetes, "--set="+set)
		if err == nil || !strings.Contains(out, says) {
			t.Errorf("--set %s: %v, want %q in\n%s", set, err, says, out)
		}
	}
}

// The dashboard comes whole into its ConfigMap.
func TestHelmDashboard(t *testing.T) {
	over := parseValues(t, "{commonLabels: {team: a}, metrics: {dashboard: {enabled: true, labels: {mine: 'yes'}, annotations: {folder: AWS}}}}")
	o := byName(t, helmTemplate(t, "chart", over, "--show-only=templates/dashboard.yaml"))["ConfigMap openirsa-system/openirsa-dashboard"]
	want, err := os.ReadFile("chart/dashboards/openirsa.json")
	if err != nil {
		t.Fatal(err)
	}
	data, _ := o["data"].(map[string]any)
	if diff := cmp.Diff(string(want), data["openirsa.json"]); diff != "" {
		t.Error(diff)
	}
	metadata, _ := json.Marshal(o["metadata"])
	for _, word := range []string{`"grafana_dashboard":"1"`, `"mine":"yes"`, `"team":"a"`, `"folder":"AWS"`} {
		if !strings.Contains(string(metadata), word) {
			t.Errorf("no %s in %s", word, metadata)
		}
	}
}

// What is said after an installation. (Helm 3 needs a cluster for that.)
func TestHelmNotes(t *testing.T) {
	over, err := json.Marshal(everything(t))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "values.yaml")
	if err := os.WriteFile(file, over, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := helm(t, "install", "my", "chart", "--namespace=irsa", "--dry-run=client", "--values="+file)
	if err != nil {
		t.Fatal(out)
	}
	_, notes, ok := strings.Cut(out, "NOTES:\n")
	if !ok {
		t.Fatalf("no notes in\n%s", out)
	}
	for _, text := range []string{
		"is installed in the namespace irsa:", "http://emulator.irsa.svc:4566", "s3://documents", "are refused while no replica",
		"helm --namespace irsa test my\n", "openirsa iamserviceaccount create ", "openirsa doctor --service-account default/app",
	} {
		if !strings.Contains(notes, text) {
			t.Errorf("the notes do not say %q:\n%s", text, notes)
		}
	}
}

const pushedImage = "registry.example/openirsa:v9.9.9@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// pushed is the chart, packaged for a release with pushedImage, below a repository in a registry of this machine.
func pushed(t *testing.T) (p *helmchart.Package, repository string) {
	t.Helper()
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(server.Close)
	p, err := helmchart.New(os.DirFS("chart"), helmchart.Release{Version: "9.9.9", Image: pushedImage,
		Changes: []helmchart.Change{{Kind: "added", Description: "This"}}})
	if err != nil {
		t.Fatal(err)
	}
	repository = strings.TrimPrefix(server.URL, "http://") + "/charts"
	if _, err := p.Push(t.Context(), repository, true); err != nil {
		t.Fatal(err)
	}
	return p, repository
}

// The chart as we push it to a registry is one that Helm pulls, with the image that it was packaged for.
func TestHelmPullsWhatWePush(t *testing.T) {
	p, repository := pushed(t)
	dir := t.TempDir()
	if out, err := helm(t, "pull", "oci://"+repository+"/openirsa", "--version=9.9.9", "--plain-http", "--destination="+dir); err != nil {
		t.Fatal(out)
	}
	pulled := filepath.Join(dir, "openirsa-9.9.9.tgz")
	got, err := os.ReadFile(pulled)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, p.Archive) {
		t.Error("Helm pulls another archive")
	}
	over := everything(t)
	was := byName(t, rendered(t, values(t, over, map[string]any{"image": pushedImage})))
	if diff := cmp.Diff(was, byName(t, helmTemplate(t, pulled, over))); diff != "" {
		t.Errorf("(-this chart +pulled):\n%s", diff)
	}
	if out, err := helm(t, "lint", "--strict", pulled); err != nil {
		t.Error(out)
	}
}
