package release_test

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// TestImage pushes the image and the chart to a registry of its own, as the release
// workflow does, and takes them from there.
func TestImage(t *testing.T) {
	one, two := made(t)
	s := newSigner(t)
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")
	pushed := push(t, s, host, one)
	again := push(t, s, host, two)
	for _, key := range []string{"image-digest", "chart-digest"} {
		if pushed[key] != again[key] || !strings.HasPrefix(pushed[key], "sha256:") {
			t.Errorf("%s is %s, and from another clone %s", key, pushed[key], again[key])
		}
	}

	ref := parse(t, pushed["image"]+":"+one.tag)
	for _, arch := range []string{"amd64", "arm64"} {
		img, err := remote.Image(ref, remote.WithPlatform(v1.Platform{OS: "linux", Architecture: arch}))
		if err != nil {
			t.Fatal(err)
		}
		checkImage(t, one, img, arch)
	}
	for _, tag := range []string{strings.TrimSpace(command{dir: one.clone}.must(t, "git", "rev-parse", "HEAD")),
		one.tag[:strings.LastIndex(one.tag, ".")]} {
		if d, err := remote.Head(parse(t, pushed["image"]+":"+tag)); err != nil || d.Digest.String() != pushed["image-digest"] {
			t.Errorf("the tag %s is not the image: %v", tag, err)
		}
	}
	checkChart(t, one, pushed)

	// Once there is a newer release of the minor version, its tag stays at that.
	minor := parse(t, pushed["image"]+":"+one.tag[:strings.LastIndex(one.tag, ".")])
	newer, err := random.Index(10, 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, ref := range []name.Reference{minor, parse(t, minor.String()+".999")} {
		if err := remote.WriteIndex(ref, newer); err != nil {
			t.Fatal(err)
		}
	}
	push(t, s, host, one)
	want, err := newer.Digest()
	if err != nil {
		t.Fatal(err)
	}
	if d, err := remote.Head(minor); err != nil || d.Digest != want {
		t.Errorf("the tag %s is no longer the newest release's: %v", minor, err)
	}

	for _, what := range []string{"image", "chart"} {
		if out, err := s.verify(t, pushed[what]+"@"+pushed[what+"-digest"]); err != nil {
			t.Errorf("the signature of the %s: %v\n%s", what, err, out)
		}
	}
	// Whoever replaces the image by one with another label has no signature for it.
	index, err := remote.Index(ref)
	if err != nil {
		t.Fatal(err)
	}
	other := mutate.Annotations(index, map[string]string{"org.opencontainers.image.version": "v6.6.6"}).(v1.ImageIndex)
	if err := remote.WriteIndex(ref, other); err != nil {
		t.Fatal(err)
	}
	if out, err := s.verify(t, ref.String()); err == nil {
		t.Errorf("another image was verified: %s", out)
	}
}

// push runs the script of the release workflow, and returns what it printed.
func push(t *testing.T, s signer, host string, r release) map[string]string {
	t.Helper()
	t.Logf("$ release/images %s %s/openirsa %s/charts", r.tag, host, host)
	cmd := exec.CommandContext(t.Context(), filepath.Join(r.clone, "release/images"), r.tag, host+"/openirsa", host+"/charts")
	cmd.Env = append(os.Environ(), append(s.env, "COSIGN_FLAGS="+strings.Join(s.flags, " "))...)
	cmd.Stderr = &strings.Builder{}
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, cmd.Stderr)
	}
	pushed := map[string]string{}
	for line := range strings.Lines(string(out)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		pushed[key] = value
	}
	return pushed
}

func (s signer) verify(t *testing.T, ref string) (string, error) {
	return s.run(t, s.cosign, "verify", "--key="+s.public, "--insecure-ignore-tlog", ref)
}

func parse(t *testing.T, ref string) name.Reference {
	t.Helper()
	parsed, err := name.ParseReference(ref)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

// checkImage: the image has the released program, and says its version.
func checkImage(t *testing.T, r release, img v1.Image, arch string) {
	t.Helper()
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if got := config.Config.Labels["org.opencontainers.image.version"]; got != r.tag || config.Architecture != arch {
		t.Errorf("the image for %s is for %s and says it is %q", arch, config.Architecture, got)
	}
	files := mutate.Extract(img)
	defer files.Close()
	for reader := tar.NewReader(files); ; {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			t.Errorf("the image for %s has no openirsa", arch)
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if strings.Trim(header.Name, "./") != "openirsa" {
			continue
		}
		if digest(read(t, reader)) != digest(r.program(t, "linux_"+arch)) {
			t.Errorf("the image for %s has another program than the archive", arch)
		}
		return
	}
}

// checkChart: the chart in the registry is of this version, and so is its image.
func checkChart(t *testing.T, r release, pushed map[string]string) {
	t.Helper()
	chart, err := remote.Image(parse(t, pushed["chart"]+":"+r.version))
	if err != nil {
		t.Fatal(err)
	}
	if d, err := chart.Digest(); err != nil || d.String() != pushed["chart-digest"] {
		t.Errorf("the chart's digest is %s, %v; want %s", d, err, pushed["chart-digest"])
	}
	body, err := chart.RawConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	var config struct{ Name, Version, AppVersion string }
	if err := json.Unmarshal(body, &config); err != nil {
		t.Fatal(err)
	}
	if config.Name != "openirsa" || config.Version != r.version || config.AppVersion != r.tag {
		t.Errorf("the chart says %+v", config)
	}
}
