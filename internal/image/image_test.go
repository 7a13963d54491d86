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
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/openirsa/openirsa/internal/image"
	"github.com/openirsa/openirsa/internal/needs"
)

// program compiles the smallest program.
func program(t *testing.T, env ...string) string {
	t.Helper()
	dir := t.TempDir()
	source, file := filepath.Join(dir, "main.go"), filepath.Join(dir, "openirsa")
	if err := os.WriteFile(source, []byte("package main\n\nfunc main() { print(\"hello\") }\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags=-s -w", "-o", file, source)
	cmd.Env = append(append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64"), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return file
}

func build(t *testing.T, p image.Program, arch string) (*image.Image, []byte) {
	t.Helper()
	img, err := image.Build(p, arch)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := img.Archive(&b); err != nil {
		t.Fatal(err)
	}
	return img, b.Bytes()
}

func TestSameProgramSameImage(t *testing.T) {
	file := program(t)
	first, archive := build(t, image.File(file), "amd64")
	content := read(t, file)
	second, again := build(t, image.Bytes("the same", content), "amd64")
	if first.Tag != second.Tag || !bytes.Equal(archive, again) {
		t.Errorf("the same program gave %s and %s", first.Tag, second.Tag)
	}
	if third, _ := build(t, image.Bytes("another", append(content, 0)), "amd64"); third.Tag == first.Tag {
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
	img, archive := build(t, image.File(program(t)), "amd64")

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
	if !image.Loaded(img.Tag) {
		t.Errorf("%s is not known as one that was loaded", img.Tag)
	}
	for _, tag := range []string{"v0.1.0", "latest", "0123", "0123456789abcdeff", "0123456789ABCDEF"} {
		if image.Loaded(image.Repository + ":" + tag) {
			t.Errorf("the tag %s is taken for one that was loaded", tag)
		}
	}
	if other := "registry.example.com/" + img.Tag; image.Loaded(other) {
		t.Errorf("%s is taken for one that was loaded", other)
	}
	layers, err := back.Layers()
	if err != nil || len(layers) != 1 {
		t.Fatalf("%d layers, %v", len(layers), err)
	}
	if got := layerFiles(t, layers[0]); !cmp.Equal(got, []string{"openirsa 755", "agent 777 -> openirsa", "emulator 777 -> openirsa", "issuer 777 -> openirsa", "webhook 777 -> openirsa", "tmp/ 1777"}) {
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
		file := header.Name + " " + string(mode)
		if header.Linkname != "" {
			file += " -> " + header.Linkname
		}
		files = append(files, file)
	}
}

func TestProgramChangedMeanwhile(t *testing.T) {
	file := program(t)
	img, err := image.Build(image.File(file), "amd64")
	if err != nil {
		t.Fatal(err)
	}
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
	refuse := func(p image.Program, arch, want string) {
		t.Helper()
		if _, err := image.Build(p, arch); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error = %v, want %q", err, want)
		}
	}
	file := program(t)
	refuse(image.File(file), "arm64", "is for EM_X86_64, not for arm64")
	refuse(image.File(file), "vax", "architecture")
	refuse(image.File(filepath.Join(t.TempDir(), "none")), "amd64", "no such file")
	refuse(image.File(program(t, "GOOS=windows")), "amd64", "is not a Linux program")

	if runtime.GOOS == "linux" && runtime.GOARCH == "amd64" {
		sh := read(t, "/bin/sh")
		if f, err := elf.NewFile(bytes.NewReader(sh)); err != nil || f.Section(".interp") == nil {
			needs.Lacking(t, "a shell that is linked dynamically")
		}
		refuse(image.Bytes("sh", sh), "amd64", "is not static")
	}
}

// An index is the same whenever it is made, and has for each platform the program of
// its machine.
func TestIndex(t *testing.T) {
	files := map[string]string{"amd64": program(t), "arm64": program(t, "GOARCH=arm64")}
	index := func() v1.ImageIndex {
		var images []*image.Image
		for _, arch := range []string{"amd64", "arm64"} {
			img, err := image.Build(image.File(files[arch]), arch)
			if err != nil {
				t.Fatal(err)
			}
			images = append(images, img)
		}
		index, err := image.Index(images...)
		if err != nil {
			t.Fatal(err)
		}
		return index
	}
	first, err := index().Digest()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "image")
	if err := image.Layout(dir, index()); err != nil {
		t.Fatal(err)
	}
	if err := image.Layout(dir, index()); err == nil || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("written over another: %v", err)
	}

	// Read back by a reader that is not ours.
	root, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	list, err := root.IndexManifest()
	if err != nil || len(list.Manifests) != 1 || list.Manifests[0].Digest != first {
		t.Fatalf("the folder has %+v, %v, want %v", list, err, first)
	}
	back, err := root.ImageIndex(first)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(back); err != nil {
		t.Error(err)
	}
	manifest, err := back.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	if manifest.MediaType != types.OCIImageIndex || manifest.Annotations["org.opencontainers.image.licenses"] != "Apache-2.0" {
		t.Errorf("%s with %v", manifest.MediaType, manifest.Annotations)
	}
	machines := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}
	for _, m := range manifest.Manifests {
		img, err := back.Image(m.Digest)
		if err != nil {
			t.Fatal(err)
		}
		if got := machine(t, img); got != machines[m.Platform.Architecture] || m.MediaType != types.OCIManifestSchema1 {
			t.Errorf("%s of %s/%s is for %s", m.MediaType, m.Platform.OS, m.Platform.Architecture, got)
		}
		delete(machines, m.Platform.Architecture)
	}
	if len(machines) > 0 {
		t.Errorf("nothing for %v", machines)
	}
}

// machine is that of the program in an image.
func machine(t *testing.T, img v1.Image) elf.Machine {
	t.Helper()
	r := mutate.Extract(img)
	defer r.Close()
	archive := tar.NewReader(r)
	if header, err := archive.Next(); err != nil || header.Name != "openirsa" {
		t.Fatalf("the image begins with %v, %v", header, err)
	}
	content, err := io.ReadAll(archive)
	if err != nil {
		t.Fatal(err)
	}
	f, err := elf.NewFile(bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	return f.Machine
}
