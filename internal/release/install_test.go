package release_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/openirsa/openirsa/internal/needs"
)

// archive is a release's, with a program that says its version.
func archive(t *testing.T, version string) []byte {
	t.Helper()
	program := "#!/bin/sh\necho " + version + "\n"
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	if err := w.WriteHeader(&tar.Header{Name: "openirsa", Mode: 0o755, Size: int64(len(program))}); err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(w, program)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// releases are what a server has, by path; the newest is 0.2.0.
func releases(t *testing.T) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	for _, version := range []string{"0.1.0", "0.2.0"} {
		var sums strings.Builder
		for _, platform := range []string{"linux_amd64", "linux_arm64", "darwin_amd64", "darwin_arm64"} {
			name := "openirsa_" + version + "_" + platform + ".tar.gz"
			body := archive(t, version)
			files["/download/v"+version+"/"+name] = body
			fmt.Fprintf(&sums, "%x  %s\n", sha256.Sum256(body), name)
			fmt.Fprintf(&sums, "%x  %s.sbom.json\n", sha256.Sum256(nil), name)
		}
		files["/download/v"+version+"/checksums.txt"] = []byte(sums.String())
	}
	files["/latest/download/checksums.txt"] = files["/download/v0.2.0/checksums.txt"]
	return files
}

// installer runs install.sh with only these programs on its PATH, and says what it
// wrote and whether it succeeded.
func installer(t *testing.T, files map[string][]byte, programs []string, args ...string) (string, error) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, ok := files[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		w.Write(body)
	}))
	defer server.Close()
	path := t.TempDir()
	for _, name := range append([]string{"sh", "cat", "cp", "chmod", "cut", "gzip", "mkdir", "mktemp", "mv", "rm", "sed", "tar", "uname"}, programs...) {
		found, err := exec.LookPath(name)
		if err != nil {
			needs.Lacking(t, err)
		}
		if err := os.Symlink(found, filepath.Join(path, name)); err != nil {
			t.Fatal(err)
		}
	}
	script, err := os.Open("../../install.sh")
	if err != nil {
		t.Fatal(err)
	}
	defer script.Close()
	cmd := exec.CommandContext(t.Context(), filepath.Join(path, "sh"), append([]string{"-s", "--"}, args...)...)
	cmd.Stdin = script
	cmd.Env = []string{"PATH=" + path, "HOME=" + t.TempDir(), "TMPDIR=" + t.TempDir(), "OPENIRSA_RELEASES=" + server.URL}
	out, err := cmd.CombinedOutput()
	left, readErr := os.ReadDir(strings.TrimPrefix(cmd.Env[2], "TMPDIR="))
	if readErr != nil || len(left) > 0 {
		t.Errorf("temporary files are left: %v, %v", left, readErr)
	}
	return string(out), err
}

// digest is the program that this machine has for SHA-256.
func digest() string {
	if runtime.GOOS == "darwin" {
		return "shasum"
	}
	return "sha256sum"
}

func TestInstall(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a script for Linux and macOS")
	}
	for _, c := range []struct {
		client string
		args   []string
		want   string
	}{
		{"curl", nil, "0.2.0"},
		{"curl", []string{"--version", "v0.1.0"}, "0.1.0"},
		{"curl", []string{"--version=0.1.0"}, "0.1.0"},
		{"wget", nil, "0.2.0"},
	} {
		t.Run(c.client+" "+strings.Join(c.args, " "), func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "new", "bin")
			out, err := installer(t, releases(t), []string{c.client, digest()}, append(c.args, "--dir", dir)...)
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			if want := "openirsa v" + c.want + " is in " + dir + "\nAdd it to your PATH"; !strings.HasPrefix(out, want) {
				t.Errorf("it said %q, want %q", out, want)
			}
			said, err := exec.CommandContext(t.Context(), filepath.Join(dir, "openirsa")).Output()
			if err != nil || string(said) != c.want+"\n" {
				t.Errorf("the program says %q, %v; want %s", said, err, c.want)
			}
			if files, err := os.ReadDir(dir); err != nil || len(files) != 1 {
				t.Errorf("%s has %v, %v; want the program alone", dir, files, err)
			}
		})
	}
}

func TestInstallRefuses(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a script for Linux and macOS")
	}
	name := "/download/v0.2.0/openirsa_0.2.0_" + runtime.GOOS + "_" + runtime.GOARCH + ".tar.gz"
	all := []string{"curl", digest()}
	for _, c := range []struct {
		name     string
		programs []string
		args     []string
		change   func(files map[string][]byte)
		want     string
	}{
		{"one byte is another", all, nil, func(f map[string][]byte) { f[name][len(f[name])/2] ^= 1 }, "nothing was installed"},
		{"half of it", all, nil, func(f map[string][]byte) { f[name] = f[name][:len(f[name])/2] }, "nothing was installed"},
		{"no such version", all, []string{"--version", "v9.9.9"}, nil, "cannot download http://"},
		{"no version at all", all, []string{"--version", "../evil"}, nil, "no version: ../evil"},
		{"not for this platform", all, nil, func(f map[string][]byte) {
			f["/latest/download/checksums.txt"] = []byte("00  openirsa_0.2.0_plan9_amd64.tar.gz\n")
		}, "the newest release has nothing for " + runtime.GOOS + "/" + runtime.GOARCH},
		{"archive missing", all, nil, func(f map[string][]byte) { delete(f, name) }, "cannot download http://"},
		{"nothing to download with", all[1:], nil, nil, "curl or wget is needed"},
		{"nothing to check with", all[:1], nil, nil, "sha256sum or shasum is needed"},
		{"unknown argument", all, []string{"--force"}, nil, "unknown argument: --force"},
		{"a file where the folder is to be", all, []string{"--dir=/dev/null/bin"}, nil, "cannot write to /dev/null/bin: name another folder"},
		{"value missing", all, []string{"--version"}, nil, "--version needs a value"},
	} {
		t.Run(c.name, func(t *testing.T) {
			files, dir := releases(t), t.TempDir()
			if c.change != nil {
				c.change(files)
			}
			before := filepath.Join(dir, "openirsa")
			if err := os.WriteFile(before, []byte("the former one"), 0o755); err != nil {
				t.Fatal(err)
			}
			out, err := installer(t, files, c.programs, append([]string{"--dir=" + dir}, c.args...)...)
			if err == nil || !strings.Contains(out, "install.sh: ") || !strings.Contains(out, c.want) {
				t.Errorf("%v, %q; want %q", err, out, c.want)
			}
			if body, err := os.ReadFile(before); err != nil || string(body) != "the former one" {
				t.Errorf("the former program is %q, %v", body, err)
			}
			if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
				t.Errorf("%s has %v, %v; want the former program alone", dir, left, err)
			}
		})
	}
}
