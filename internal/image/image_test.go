package image_test

import (
	"archive/tar"
	"bytes"
	"debug/elf"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/openirsa/openirsa/internal/image"
	"github.com/openirsa/openirsa/internal/needs"
)

// programs compiles the smallest program and puts it into a new directory under
// the name of each of the image's programs, with a file time of its own.
func programs(t *testing.T, env ...string) string {
	t.Helper()
	dir := t.TempDir()
	source := filepath.Join(dir, "main.go")
	if err := os.WriteFile(source, []byte("package main\n\nfunc main() { print(\"hello\") }\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	first := filepath.Join(dir, image.Programs()[0])
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags=-s -w", "-o", first, source)
	cmd.Env = append(append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64"), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	b, err := os.ReadFile(first)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range image.Programs()[1:] {
		if err := os.WriteFile(filepath.Join(dir, p), b, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func build(t *testing.T, dir, arch string) (*image.Image, []byte) {
	t.Helper()
	img, err := image.Build(dir, arch)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := img.Archive(&b); err != nil {
		t.Fatal(err)
	}
	return img, b.Bytes()
}

func TestSameProgramsSameImage(t *testing.T) {
	dir := programs(t)
	first, archive := build(t, dir, "amd64")

	other := t.TempDir()
	for _, p := range image.Programs() {
		b, err := os.ReadFile(filepath.Join(dir, p))
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(other, p)
		if err := os.WriteFile(file, b, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(file, time.Now(), time.Now().Add(-time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	second, again := build(t, other, "amd64")
	if first.Tag != second.Tag || !bytes.Equal(archive, again) {
		t.Errorf("the same programs gave %s and %s", first.Tag, second.Tag)
	}

	if err := os.WriteFile(filepath.Join(other, "issuer"), append(read(t, filepath.Join(other, "issuer")), 0), 0o755); err != nil {
		t.Fatal(err)
	}
	if third, _ := build(t, other, "amd64"); third.Tag == first.Tag {
		t.Error("another program gave the same tag")
	}
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestContent(t *testing.T) {
	dir := programs(t)
	img, archive := build(t, dir, "amd64")

	// Read back by a reader that is not ours.
	back, err := tarball.Image(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(archive)), nil }, nil)
	if err != nil {
		t.Fatal(err)
	}
	config, err := back.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if config.Config.User != "65532:65532" || config.Architecture != "amd64" || config.OS != "linux" {
		t.Errorf("user %q, %s/%s", config.Config.User, config.OS, config.Architecture)
	}
	id, err := back.ConfigName()
	if err != nil {
		t.Fatal(err)
	}
	if want := image.Repository + ":" + id.Hex[:16]; img.Tag != want {
		t.Errorf("tag %s, want %s", img.Tag, want)
	}
	layers, err := back.Layers()
	if err != nil || len(layers) != 1 {
		t.Fatalf("%d layers, %v", len(layers), err)
	}
	if got := layerFiles(t, layers[0]); !cmp.Equal(got, []string{"emulator 755", "issuer 755", "webhook 755", "tmp/ 1777"}) {
		t.Errorf("files %q", got)
	}
	if id, err := layers[0].DiffID(); err != nil || id != config.RootFS.DiffIDs[0] {
		t.Errorf("layer %v is not the one in the configuration, %v (%v)", id, config.RootFS.DiffIDs, err)
	}

	// The name under which a node will have it.
	var manifest []struct{ RepoTags []string }
	r := tar.NewReader(bytes.NewReader(archive))
	for {
		header, err := r.Next()
		if err != nil {
			t.Fatalf("no manifest.json: %v", err)
		}
		if header.Name == "manifest.json" {
			break
		}
	}
	if err := json.NewDecoder(r).Decode(&manifest); err != nil {
		t.Fatal(err)
	}
	if len(manifest) != 1 || !cmp.Equal(manifest[0].RepoTags, []string{img.Tag}) {
		t.Errorf("archive names %v, want %s", manifest, img.Tag)
	}
}

func layerFiles(t *testing.T, l v1.Layer) []string {
	t.Helper()
	r, err := l.Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var files []string
	archive := tar.NewReader(r)
	for {
		header, err := archive.Next()
		if err == io.EOF {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		if header.Uid != 0 || header.Gid != 0 || !header.ModTime.Equal(time.Unix(0, 0)) {
			t.Errorf("%s belongs to %d:%d and is of %s", header.Name, header.Uid, header.Gid, header.ModTime)
		}
		mode := []byte{}
		for m := header.Mode; m > 0; m /= 8 {
			mode = append([]byte{byte('0' + m%8)}, mode...)
		}
		files = append(files, header.Name+" "+string(mode))
	}
}

func TestProgramChangedMeanwhile(t *testing.T) {
	dir := programs(t)
	img, err := image.Build(dir, "amd64")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "webhook")
	b := read(t, file)
	b[len(b)-1] ^= 1
	if err := os.WriteFile(file, b, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := img.Archive(io.Discard); err == nil || !strings.Contains(err.Error(), "changed meanwhile") {
		t.Errorf("error = %v", err)
	}
}

func TestRefuses(t *testing.T) {
	refuse := func(dir, arch, want string) {
		t.Helper()
		if _, err := image.Build(dir, arch); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error = %v, want %q", err, want)
		}
	}
	dir := programs(t)
	refuse(dir, "arm64", "is for EM_X86_64, not for arm64")
	refuse(dir, "vax", "architecture")
	refuse(t.TempDir(), "amd64", "build the programs for linux/amd64 first")
	refuse(programs(t, "GOOS=windows"), "amd64", "is not a Linux program")

	if runtime.GOOS == "linux" && runtime.GOARCH == "amd64" {
		dynamic := programs(t)
		sh := read(t, "/bin/sh")
		if f, err := elf.NewFile(bytes.NewReader(sh)); err != nil || f.Section(".interp") == nil {
			needs.Lacking(t, "a shell that is linked dynamically")
		}
		if err := os.WriteFile(filepath.Join(dynamic, "issuer"), sh, 0o755); err != nil {
			t.Fatal(err)
		}
		refuse(dynamic, "amd64", "is not static")
	}
}
