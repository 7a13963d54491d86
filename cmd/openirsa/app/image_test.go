package app

import (
	"archive/tar"
	"bytes"
	"debug/elf"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/openirsa/openirsa/internal/cli"
)

// run runs openirsa in this process.
func run(t *testing.T, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	status = Main(t.Context(), &cli.Invocation{Name: "openirsa", Args: args, Lookup: os.LookupEnv, Stdout: &out, Stderr: &errs})
	return status, strings.TrimSpace(out.String()), errs.String()
}

// files are those in an image, and the content of openirsa.
func files(t *testing.T, img v1.Image) (names []string, program []byte) {
	t.Helper()
	layers, err := img.Layers()
	if err != nil || len(layers) != 1 {
		t.Fatalf("%d layers, %v", len(layers), err)
	}
	r, err := layers[0].Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	archive := tar.NewReader(r)
	for {
		header, err := archive.Next()
		if err == io.EOF {
			return names, program
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, header.Name)
		if header.Name == "openirsa" {
			if program, err = io.ReadAll(archive); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// On Linux the image is made of the program that runs, with nothing beside it.
func TestImageOfThisProgram(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only on Linux the program that runs is that of the image")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "image.tar")
	status, said, errs := run(t, "image", "--file", file)
	if f, err := elf.NewFile(bytes.NewReader(program)); err != nil {
		t.Fatal(err)
	} else if slices.ContainsFunc(f.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP }) { // of a test with cgo
		if status != 1 || !strings.Contains(errs, "is not static") || !strings.Contains(errs, "CGO_ENABLED=0 go install") {
			t.Errorf("%d: %s", status, errs)
		}
		return
	}
	if status != 0 {
		t.Fatal(errs)
	}
	tag, err := name.NewTag(said)
	if err != nil {
		t.Fatal(err)
	}
	img, err := tarball.ImageFromPath(file, &tag)
	if err != nil {
		t.Fatal(err)
	}
	names, packed := files(t, img)
	if got := strings.Join(names, " "); got != "openirsa agent emulator issuer webhook tmp/" || !bytes.Equal(packed, program) {
		t.Errorf("%s, with a program of %d bytes, want %d", got, len(packed), len(program))
	}
}

// The image for two architectures is the same whenever it is pushed, and each machine
// pulls its own program.
func TestImagePush(t *testing.T) {
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	programs := t.TempDir()
	source := filepath.Join(programs, "main.go")
	if err := os.WriteFile(source, []byte("package main\n\nfunc main() {}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	machines := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}
	for arch := range machines {
		build := exec.CommandContext(t.Context(), "go", "build", "-ldflags=-s -w", "-o", filepath.Join(programs, "linux-"+arch, "openirsa"), source)
		build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch)
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	ref := strings.TrimPrefix(server.URL, "http://") + "/openirsa:v1"
	push := func() string {
		t.Helper()
		status, said, errs := run(t, "image", "--push", ref, "--platform", "linux/amd64,linux/arm64", "--programs", programs)
		if status != 0 {
			t.Fatal(errs)
		}
		return said
	}
	said := push()
	if again := push(); again != said || !strings.Contains(said, "/openirsa@sha256:") {
		t.Errorf("pushed as %s and as %s", said, again)
	}
	digest, err := name.NewDigest(said)
	if err != nil {
		t.Fatal(err)
	}
	for arch, machine := range machines {
		img, err := remote.Image(digest, remote.WithPlatform(v1.Platform{OS: "linux", Architecture: arch}))
		if err != nil {
			t.Fatal(err)
		}
		_, program := files(t, img)
		f, err := elf.NewFile(bytes.NewReader(program))
		if err != nil || f.Machine != machine {
			t.Errorf("%s pulls a program for %v, %v", arch, f, err)
		}
	}

	layout := filepath.Join(t.TempDir(), "layout")
	status, written, errs := run(t, "image", "--layout", layout, "--platform", "linux/amd64,linux/arm64", "--programs", programs)
	if status != 0 || "sha256:"+strings.TrimPrefix(digest.DigestStr(), "sha256:") != written {
		t.Errorf("written as %s, pushed as %s: %s", written, said, errs)
	}

	closed := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("WWW-Authenticate", "Basic realm=test")
		w.WriteHeader(http.StatusUnauthorized)
	}))
	defer closed.Close()
	host := strings.TrimPrefix(closed.URL, "http://")
	status, _, errs = run(t, "image", "--push", host+"/openirsa:v1", "--platform", "linux/amd64", "--programs", programs)
	if status != 1 || !strings.Contains(errs, "\nnext: docker login "+host+",") {
		t.Errorf("without credentials: %d, %s", status, errs)
	}
}

func TestImageUsage(t *testing.T) {
	empty := t.TempDir()
	for _, c := range []struct {
		args string
		want string
		code int
		next string
	}{
		{"", "at least one of the flags in the group [file layout push] is required", 2, ""},
		{"--file a --push registry.example.com/a:b", "none of the others can be", 2, ""},
		{"--push openirsa", "--push: ", 2, ""},
		{"--push registry.example.com/openirsa", "--push: ", 2, ""},
		{"--layout a --platform windows/amd64", `--platform "windows/amd64" is not linux/ARCH`, 2, ""},
		{"--layout a --platform linux/amd64,linux/amd64", "each once", 2, ""},
		{"--file a --platform linux/amd64,linux/arm64", "--file holds one platform", 2, ""},
		{"--layout a --programs " + empty, "no such file", 1, "put the Linux program there"},
		{"--layout a --arch riscv64", "the Linux program for riscv64, which is neither in this program nor at ", 1, "name an image in a registry: openirsa up --image "},
	} {
		status, out, errs := run(t, append([]string{"image"}, strings.Fields(c.args)...)...)
		if status != c.code || !strings.Contains(errs, c.want) || out != "" {
			t.Errorf("image %s: %d, %q, %s", c.args, status, out, errs)
		}
		if c.code == 1 && !strings.Contains(errs, "\nnext: "+c.next) {
			t.Errorf("image %s: %s", c.args, errs)
		}
	}
}
