// Package act runs workflows that use the project's GitHub Action as GitHub does, on this machine: act, with steps as
// processes of their own, and a folder in place of the project's releases.
package act

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/openirsa/openirsa/e2e/internal/kindenv"
)

// Version is that of the release which a Runner has, and the newest in the changelog of its action.
const Version = "0.0.1"

// Runner is a runner with a repository.
type Runner struct {
	// Dir is the repository's folder. Steps begin in a copy of it, once it is checked out.
	Dir string
	// Releases is the address of the releases.
	Releases string
	// Env is what a step has in its environment, beside what GitHub gives it: "NAME=value".
	Env []string

	program, action, home string
}

// NewRunner has a repository of these files, by name, and a release with a program. root is the checkout of the project.
func NewRunner(t testing.TB, root, program string, files map[string]string) *Runner {
	t.Helper()
	path, err := kindenv.Tool(t.Context(), t.Output(), root, "act")
	check(t, err)
	r := &Runner{Dir: t.TempDir(), home: t.TempDir(), action: t.TempDir(), program: path}
	for _, name := range []string{"action.yml", "action.sh", "install.sh"} {
		text, err := os.ReadFile(filepath.Join(root, name))
		check(t, err)
		check(t, os.WriteFile(filepath.Join(r.action, name), text, 0o644))
	}
	changelog := "# Changelog\n\n## [Unreleased]\n\n## [" + Version + "] - 2026-02-01\n\n## [0.0.0] - 2026-01-01\n"
	check(t, os.WriteFile(filepath.Join(r.action, "CHANGELOG.md"), []byte(changelog), 0o644))
	for name, text := range files {
		file := filepath.Join(r.Dir, filepath.FromSlash(name))
		check(t, os.MkdirAll(filepath.Dir(file), 0o755))
		check(t, os.WriteFile(file, []byte(text), 0o644))
	}
	for _, args := range [][]string{{"init", "--quiet"}, {"add", "--all"},
		{"remote", "add", "origin", "https://github.com/example/example.git"},
		{"-c", "user.name=test", "-c", "user.email=test@example.com", "commit", "--quiet", "--allow-empty", "--message=Begin"}} {
		git := exec.CommandContext(t.Context(), "git", append([]string{"-C", r.Dir}, args...)...)
		git.Stderr = t.Output()
		check(t, git.Run())
	}
	r.Releases = releases(t, program)
	return r
}

// releases serves one release as GitHub does: its archive, and the checksums.
func releases(t testing.TB, program string) string {
	t.Helper()
	b, err := os.ReadFile(program)
	check(t, err)
	var archive bytes.Buffer
	gz, err := gzip.NewWriterLevel(&archive, gzip.BestSpeed)
	check(t, err)
	tw := tar.NewWriter(gz)
	check(t, tw.WriteHeader(&tar.Header{Name: "openirsa", Mode: 0o755, Size: int64(len(b))}))
	_, err = tw.Write(b)
	check(t, err)
	check(t, tw.Close())
	check(t, gz.Close())
	name := fmt.Sprintf("openirsa_%s_linux_%s.tar.gz", Version, runtime.GOARCH)
	sum := sha256.Sum256(archive.Bytes())
	right := fmt.Sprintf("%x  %s\n", sum, name)
	sum[0] ^= 1
	mux := http.NewServeMux()
	for prefix, sums := range map[string]string{"": right, "/spoilt": fmt.Sprintf("%x  %s\n", sum, name)} {
		at := prefix + "/download/v" + Version + "/"
		mux.HandleFunc(at+name, func(w http.ResponseWriter, _ *http.Request) { w.Write(archive.Bytes()) })
		mux.HandleFunc(at+"checksums.txt", func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(sums)) })
		mux.Handle(prefix+"/latest/download/", http.RedirectHandler(at+"checksums.txt", http.StatusFound))
	}
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.URL
}

// Run runs a workflow and returns its log. An error is that a step failed.
func (r *Runner) Run(ctx context.Context, t testing.TB, workflow string) (string, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "workflow.yml")
	check(t, os.WriteFile(file, []byte(workflow), 0o644))
	cmd := exec.CommandContext(ctx, r.program, "push", "--workflows", file, "--directory", r.Dir,
		"--platform", "ubuntu-latest=-self-hosted", "--local-repository", "openirsa/openirsa@v0="+r.action,
		"--no-cache-server", "--action-offline-mode")
	cmd.Dir = r.Dir
	cmd.Env = append(os.Environ(), r.Env...)
	cmd.Env = append(cmd.Env, "HOME="+r.home, "XDG_CACHE_HOME="+filepath.Join(r.home, ".cache"), "ACT_DISABLE_UPDATE_CHECK=true")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 20 * time.Second
	err := cmd.Run()
	return out.String(), err
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
