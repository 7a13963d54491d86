// Package release_test holds the proofs that a release is what it claims to be, without
// GitHub and without a network: `make release-check`. It releases the last commit, twice,
// in two clones in two folders, with the commands of the release workflow, but publishes
// nothing. It needs Debian's packages of rpm, wine and ruby, and root for dpkg's.
//
// With OPENIRSA_RELEASE_DIR the clones are made in that folder and stay there; a later
// run takes what is there.
package release_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// release is what `make release` has made in a clone.
type release struct {
	clone   string
	dist    string
	tag     string // v0.1.0
	version string // 0.1.0
}

// platforms are those that a release is for.
var platforms = []string{"linux_amd64", "linux_arm64", "darwin_amd64", "darwin_arm64", "windows_amd64", "windows_arm64"}

var temporary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "openirsa-release-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	temporary = dir
	status := m.Run()
	os.RemoveAll(dir)
	os.Exit(status)
}

// command runs a program, and notes it in the log with what it said if it failed.
type command struct {
	dir string
	env []string
}

func (c command) run(t testing.TB, name string, args ...string) (string, error) {
	t.Helper()
	t.Logf("$ %s", strings.Join(append([]string{name}, args...), " "))
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), name, args...) // which cleanups call, too
	cmd.Dir = c.dir
	cmd.Env = append(os.Environ(), c.env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%s: %w\n%s", name, err, out)
	}
	return string(out), err
}

func (c command) must(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := c.run(t, name, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// tool is the path of one of the programs that release/tool builds.
func tool(t testing.TB, name string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "./tool", name)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("release/tool %s: %v", name, err)
	}
	return strings.TrimSpace(string(out))
}

// made are two releases of one commit, made in folders whose names have nothing in common.
func made(t *testing.T) (one, two release) {
	t.Helper()
	both, err := releases(t)
	if err != nil {
		t.Fatal(err)
	}
	return both[0], both[1]
}

var (
	makeOnce sync.Once
	makeBoth [2]release
	makeErr  error
)

func releases(t *testing.T) ([2]release, error) {
	makeOnce.Do(func() {
		makeErr = errors.New("the releases could not be made: see the first test")
		dir := os.Getenv("OPENIRSA_RELEASE_DIR")
		if dir == "" {
			dir = temporary
		}
		for i, name := range []string{"a", "another/folder"} {
			makeBoth[i] = makeRelease(t, filepath.Join(dir, name))
		}
		makeErr = nil
	})
	return makeBoth, makeErr
}

func makeRelease(t *testing.T, clone string) release {
	t.Helper()
	checkout, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(clone); err != nil {
		if dirty := (command{dir: checkout}).must(t, "git", "status", "--porcelain"); dirty != "" {
			t.Logf("what is not committed is not part of the release:\n%s", dirty)
		}
		(command{}).must(t, "git", "clone", "--quiet", "--no-hardlinks", checkout, clone)
	}
	c := command{dir: clone}
	r := release{clone: clone, dist: filepath.Join(clone, "dist")}
	r.tag = strings.TrimSpace(c.must(t, "go", "run", "./internal/release/notes"))
	r.version = strings.TrimPrefix(r.tag, "v")
	if _, err := os.Stat(filepath.Join(r.dist, "checksums.txt")); err != nil {
		// Only in the clone: the checkout gets its tag when it is released.
		c.must(t, "git", "tag", "--force", r.tag)
		c.must(t, "make", "release", "TAG="+r.tag, "RELEASE_FLAGS=--skip=publish,sign")
	}
	return r
}

// archive is the path of what is released for a platform such as linux_amd64.
func (r release) archive(platform string) string {
	end := ".tar.gz"
	if strings.HasPrefix(platform, "windows") {
		end = ".zip"
	}
	return r.file(platform + end)
}

// file is the path of what is released with the given end of its name.
func (r release) file(end string) string {
	return filepath.Join(r.dist, "openirsa_"+r.version+"_"+end)
}

// program is the program in the archive for a platform.
func (r release) program(t testing.TB, platform string) []byte {
	t.Helper()
	name := "openirsa"
	if strings.HasPrefix(platform, "windows") {
		name += ".exe"
	}
	body, ok := unpack(t, r.archive(platform))[name]
	if !ok {
		t.Fatalf("%s has no %s", r.archive(platform), name)
	}
	return body
}

// here is the platform of this machine.
func here() string { return runtime.GOOS + "_" + runtime.GOARCH }

// local is the path of the program for this machine, as a user has it: alone in a folder.
func (r release) local(t testing.TB, name string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, r.program(t, here()), 0o755); err != nil {
		t.Fatal(err)
	}
	return file
}

// unpack is what an archive has, by the names in it.
func unpack(t testing.TB, archive string) map[string][]byte {
	t.Helper()
	body, err := os.ReadFile(archive)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	if path.Ext(archive) == ".zip" {
		z, err := zip.NewReader(bytes.NewReader(body), int64(len(body)))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range z.File {
			r, err := f.Open()
			if err != nil {
				t.Fatal(err)
			}
			files[f.Name] = read(t, r)
		}
		return files
	}
	z, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for r := tar.NewReader(z); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		files[header.Name] = read(t, r)
	}
}

func read(t testing.TB, r io.Reader) []byte {
	t.Helper()
	body, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func digest(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}

// checksums are those in checksums.txt, by file.
func (r release) checksums(t testing.TB) map[string]string {
	t.Helper()
	body, err := os.ReadFile(filepath.Join(r.dist, "checksums.txt"))
	if err != nil {
		t.Fatal(err)
	}
	sums := map[string]string{}
	for line := range strings.Lines(string(body)) {
		sum, name, ok := strings.Cut(strings.TrimSpace(line), "  ")
		if !ok {
			t.Fatalf("checksums.txt has the line %q", line)
		}
		sums[name] = sum
	}
	return sums
}
