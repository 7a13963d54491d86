package helmchart_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"log"
	"maps"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"sigs.k8s.io/yaml"

	"github.com/openirsa/openirsa/internal/helmchart"
)

const digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

func chart() fstest.MapFS {
	return fstest.MapFS{
		"Chart.yaml": {Data: []byte("apiVersion: v2\nname: app\n# Ours.\nversion: 0.0.1\nappVersion: v0.0.1 # the tag\ndescription: It\nhome: https://app.example\n" +
			"sources: [https://git.example/app]\nmaintainers: [{name: Ann}, {name: Bob}]\nannotations:\n  artifacthub.io/license: Apache-2.0\n")},
		"values.yaml":           {Data: []byte("# The image.\nimage:\n  registry: \"\"\n  # Where.\n  repository: app.example/app\n\n  tag: \"\"\n  digest: \"\"\nreplicas: 2 # two\n")},
		"templates/a.yaml":      {Data: []byte("kind: A\n")},
		"templates/.a.yaml.swp": {Data: []byte("junk")},
		".git/config":           {Data: []byte("junk")},
	}
}

func pack(t *testing.T, r helmchart.Release) *helmchart.Package {
	t.Helper()
	p, err := helmchart.New(chart(), r)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// files are what is in an archive.
func files(t *testing.T, archive []byte) map[string]string {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		all[h.Name] = string(b)
	}
}

func TestPackage(t *testing.T) {
	r := helmchart.Release{
		Version: "1.2.3-rc.1", Image: "registry.example:5000/team/app:v1.2.3@" + digest,
		Changes: []helmchart.Change{{"added", "This: \"that\""}, {"security", "Those"}}, Created: time.Unix(1e9, 0),
	}
	p := pack(t, r)
	if !bytes.Equal(p.Archive, pack(t, r).Archive) {
		t.Error("the same chart gives another archive")
	}
	got := files(t, p.Archive)
	if diff := cmp.Diff([]string{"app/Chart.yaml", "app/templates/a.yaml", "app/values.yaml"}, slices.Sorted(maps.Keys(got))); diff != "" {
		t.Error(diff)
	}
	if want := "# The image.\nimage:\n  registry: \"registry.example:5000\"\n  # Where.\n  repository: \"team/app\"\n\n  tag: \"v1.2.3\"\n  digest: \"" + digest +
		"\"\nreplicas: 2 # two\n"; got["app/values.yaml"] != want {
		t.Errorf("values.yaml: %s", cmp.Diff(want, got["app/values.yaml"]))
	}
	var about struct {
		Name, Version, AppVersion string
		Annotations               map[string]string
	}
	if err := yaml.Unmarshal([]byte(got["app/Chart.yaml"]), &about); err != nil {
		t.Fatal(err)
	}
	if about.Name != "app" || about.Version != "1.2.3-rc.1" || about.AppVersion != "v1.2.3-rc.1" || p.File() != "app-1.2.3-rc.1.tgz" {
		t.Errorf("%+v, %s", about, p.File())
	}
	var changes []helmchart.Change
	if err := yaml.Unmarshal([]byte(about.Annotations["artifacthub.io/changes"]), &changes); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff(r.Changes, changes); diff != "" {
		t.Error(diff)
	}
	delete(about.Annotations, "artifacthub.io/changes")
	if diff := cmp.Diff(map[string]string{
		"artifacthub.io/license": "Apache-2.0", "artifacthub.io/prerelease": "true", "artifacthub.io/containsSecurityUpdates": "true",
		"artifacthub.io/images": "- image: " + r.Image + "\n  name: app\n",
	}, about.Annotations); diff != "" {
		t.Error(diff)
	}

	// Without a release the chart is as it is.
	got = files(t, pack(t, helmchart.Release{}).Archive)
	if got["app/values.yaml"] != string(chart()["values.yaml"].Data) || !strings.Contains(got["app/Chart.yaml"], "version: 0.0.1\nappVersion: v0.0.1 # the tag") {
		t.Errorf("%v", got)
	}
}

func TestImages(t *testing.T) {
	for image, want := range map[string]string{
		"registry.example/app:v1":            `"registry.example" "app" "v1" ""`,
		"localhost:5000/a/b@" + digest:       `"localhost:5000" "a/b" "" "` + digest + `"`,
		"registry.example/app:v1@" + digest:  `"registry.example" "app" "v1" "` + digest + `"`,
		"registry.example/app":               "tag or a digest",
		"app:v1":                             "no registry",
		"team/app:v1":                        "no registry",
		"registry.example/app:v1@sha256:012": "tag or a digest",
		"registry.example/App:v1":            "tag or a digest",
	} {
		p, err := helmchart.New(chart(), helmchart.Release{Image: image})
		if err != nil {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %s", image, err, want)
			}
			continue
		}
		var got []string
		for line := range strings.Lines(files(t, p.Archive)["app/values.yaml"]) {
			for _, part := range []string{"registry", "repository", "tag", "digest"} {
				if v, ok := strings.CutPrefix(line, "  "+part+": "); ok {
					got = append(got, strings.TrimSpace(v))
				}
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %s, want %s", image, got, want)
		}
	}
	old := chart()
	old["values.yaml"] = &fstest.MapFile{Data: []byte("image: app:v1\n")}
	if _, err := helmchart.New(old, helmchart.Release{Image: "registry.example/app:v1"}); err == nil {
		t.Error("a chart whose image has no parts is taken")
	}
}

func TestChanges(t *testing.T) {
	got := helmchart.Changes("Before.\n\n### Added\n\n- `a`: does **this**\n  and that ([more](docs/a.md)).\n- [b](c) [d] e\n\n### Fixed\n\n- f\n")
	want := []helmchart.Change{{"added", "a: does this and that (more)."}, {"added", "b [d] e"}, {"fixed", "f"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestPush(t *testing.T) {
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")
	p := pack(t, helmchart.Release{Version: "1.2.3+build"})
	first, err := p.Push(t.Context(), "oci://"+host+"/charts/", true)
	if err != nil {
		t.Fatal(err)
	}
	again, err := p.Push(t.Context(), host+"/charts", true)
	if err != nil || again != first {
		t.Errorf("pushed again: %s, before %s; %v", again, first, err)
	}
	get := func(tag string) (*remote.Descriptor, []byte, []byte) {
		t.Helper()
		ref, err := name.ParseReference(host + "/charts/app:" + tag)
		if err != nil {
			t.Fatal(err)
		}
		d, err := remote.Get(ref)
		if err != nil {
			t.Fatal(err)
		}
		img, err := d.Image()
		if err != nil {
			t.Fatal(err)
		}
		config, err := img.RawConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		layers, err := img.Layers()
		if err != nil || len(layers) != 1 {
			t.Fatalf("%d layers: %v", len(layers), err)
		}
		r, err := layers[0].Compressed()
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		body, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		return d, config, body
	}
	d, config, body := get("1.2.3_build")
	if d.Digest != first || !bytes.Equal(body, p.Archive) {
		t.Errorf("the registry has %s, want %s", d.Digest, first)
	}
	var manifest struct {
		MediaType   string
		Config      struct{ MediaType string }
		Layers      []struct{ MediaType string }
		Annotations map[string]string
	}
	if err := json.Unmarshal(d.Manifest, &manifest); err != nil {
		t.Fatal(err)
	}
	// As in https://helm.sh/docs/topics/registries/#helm-chart-manifest.
	if manifest.MediaType != "application/vnd.oci.image.manifest.v1+json" || manifest.Config.MediaType != "application/vnd.cncf.helm.config.v1+json" ||
		manifest.Layers[0].MediaType != "application/vnd.cncf.helm.chart.content.v1.tar+gzip" {
		t.Errorf("manifest %s", d.Manifest)
	}
	if diff := cmp.Diff(map[string]string{
		"org.opencontainers.image.title": "app", "org.opencontainers.image.version": "1.2.3+build", "org.opencontainers.image.description": "It",
		"org.opencontainers.image.url": "https://app.example", "org.opencontainers.image.source": "https://git.example/app",
		"org.opencontainers.image.authors": "Ann, Bob", "org.opencontainers.image.created": "1970-01-01T00:00:00Z",
	}, manifest.Annotations); diff != "" {
		t.Error(diff)
	}
	var about struct{ Name, Version string }
	if err := json.Unmarshal(config, &about); err != nil || about.Name != "app" || about.Version != "1.2.3+build" {
		t.Errorf("config %s: %v", config, err)
	}

	if _, err := p.PushMetadata(t.Context(), host+"/charts", []byte("owners: []\n"), true); err != nil {
		t.Fatal(err)
	}
	d, _, body = get("artifacthub.io")
	if !strings.Contains(string(d.Manifest), "application/vnd.cncf.artifacthub.repository-metadata.layer.v1.yaml") || string(body) != "owners: []\n" {
		t.Errorf("metadata %s: %s", d.Manifest, body)
	}

	if _, err := p.Push(t.Context(), "charts", true); err == nil || !strings.Contains(err.Error(), "charts/app") {
		t.Errorf("a repository without a registry: %v", err)
	}
}
