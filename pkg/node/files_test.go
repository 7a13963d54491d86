//go:build unix

package node

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// local runs the scripts for nodes on this machine.
func local(t *testing.T) Node {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("nodes run Linux")
	}
	return Local()
}

func TestFiles(t *testing.T) {
	n, ctx := local(t), t.Context()
	dir := t.TempDir()
	file := filepath.Join(dir, "new dir", "it's $HOME")
	if _, ok, err := n.ReadFile(ctx, file); ok || err != nil {
		t.Fatalf("%t, %v", ok, err)
	}
	for _, text := range []string{"", "a\n", strings.Repeat("x", 1<<20), "no newline"} {
		if err := n.WriteFile(ctx, file, []byte(text), "0600"); err != nil {
			t.Fatal(err)
		}
		if b, ok, err := n.ReadFile(ctx, file); !ok || err != nil || string(b) != text {
			t.Fatalf("%.20q, %t, %v", b, ok, err)
		}
	}
	none := filepath.Join(dir, "none")
	if at, err := n.Modified(ctx, file); err != nil || time.Since(at).Abs() > time.Minute {
		t.Errorf("written at %v, %v", at, err)
	}
	if _, err := n.Modified(ctx, none); err == nil || !strings.Contains(err.Error(), none) {
		t.Errorf("when a file that is not there was written: %v", err)
	}
	if err := n.WriteFile(ctx, filepath.Join(dir, "empty"), nil, "0600"); err != nil {
		t.Fatal(err)
	}
	all, err := n.ReadFiles(ctx, none, file, filepath.Join(dir, "empty"), none)
	if diff := cmp.Diff([][]byte{nil, []byte("no newline"), {}, nil}, all); err != nil || diff != "" {
		t.Fatalf("%v, %s", err, diff)
	}
	if _, err := n.ReadFiles(ctx, file, dir); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("a directory is read: %v", err)
	}
	if err := n.Remove(ctx, filepath.Join(dir, "empty")); err != nil {
		t.Fatal(err)
	}
	mode := func(want os.FileMode) {
		t.Helper()
		if info, err := os.Stat(file); err != nil || info.Mode() != want {
			t.Errorf("mode %v, %v", info.Mode(), err)
		}
	}
	mode(0o600)
	if err := os.Chmod(file, 0o640); err != nil {
		t.Fatal(err)
	}
	if err := n.WriteFile(ctx, file, []byte("again"), "0600"); err != nil {
		t.Fatal(err)
	}
	mode(0o640)
	if left, err := os.ReadDir(filepath.Dir(file)); err != nil || len(left) != 1 {
		t.Errorf("%v, %v", left, err)
	}

	// The input ends early, because we were killed: the file stays.
	err = n.Exec(ctx, strings.NewReader("aga"), new(strings.Builder), "sh", "-c", writeScript, "sh", file, strings.Repeat("0", 64), "0600")
	if err == nil || !strings.Contains(err.Error(), "input cut short") {
		t.Errorf("error = %v", err)
	}
	if b, err := os.ReadFile(file); err != nil || string(b) != "again" {
		t.Errorf("%q, %v", b, err)
	}

	there, err := n.Existing(ctx, dir, filepath.Join(dir, "none"))
	if err != nil || !cmp.Equal(there, []string{dir}) {
		t.Errorf("%q, %v", there, err)
	}
	if err := n.Remove(ctx, filepath.Dir(file), filepath.Join(dir, "none")); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("%v, %v", left, err)
	}
	if err := n.WriteFile(ctx, "/proc/none/file", nil, "0600"); err == nil || !strings.Contains(err.Error(), "writing /proc/none/file on node") {
		t.Errorf("error = %v", err)
	}
}

// TestProjectedTokens reads tokens as kubelet keeps them. What makes them
// credentials, the signature, must not leave the node.
func TestProjectedTokens(t *testing.T) {
	n, ctx := local(t), t.Context()
	dir := t.TempDir()
	write := func(path, text string) {
		t.Helper()
		file := filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	volume := func(pod, name string) string {
		path := filepath.Join(pod, "volumes/kubernetes.io~projected", name)
		write(filepath.Join(path, "..2026_11_22/ca.crt"), "-----BEGIN")
		if err := os.Symlink("..2026_11_22", filepath.Join(dir, path, "..data")); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("..data/token", filepath.Join(dir, path, "token")); err != nil {
			t.Fatal(err)
		}
		return filepath.Join(path, "..2026_11_22")
	}
	api := volume("pod-1", "kube-api-access-x")
	write(filepath.Join(api, "token"), "eyJh.Y2xhaW1z.U0lHTkFUVVJF")
	aws := volume("pod-1", "aws-iam-token")
	write(filepath.Join(aws, "deep/token"), "eyJh.YXdz.U0lHTkFUVVJF\n")
	none := volume("pod-2", "config")
	write(filepath.Join(none, "file"), "eyJh, not a token")
	write(filepath.Join(none, "other"), "a.b.c")
	write("pod-3/volumes/kubernetes.io~secret/s/..data/token", "eyJh.c2VjcmV0.U0lHTkFUVVJF")

	if err := syscall.Mkfifo(filepath.Join(dir, api, "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	data := func(pod, volume, file string) string {
		return pod + "/volumes/kubernetes.io~projected/" + volume + "/..data/" + file + "\n"
	}
	ask := func(dir string) string {
		t.Helper()
		var out bytes.Buffer
		in := strings.NewReader(data("pod-1", "kube-api-access-x", "token") + data("pod-1", "kube-api-access-x", "fifo") + data("pod-0", "gone", "token") +
			data("pod-1", "aws-iam-token", "deep/token") + data("pod-2", "config", "file") + data("pod-2", "config", "other"))
		if err := n.Exec(ctx, in, &out, "sh", "-c", tokensScript, "sh", dir); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	if diff := cmp.Diff("1 eyJh Y2xhaW1z\n4 eyJh YXdz\n", ask(dir)); diff != "" {
		t.Error(diff)
	}
	if got := ask(filepath.Join(dir, "none")); got != "" {
		t.Errorf("of no folder: %q", got)
	}
}
