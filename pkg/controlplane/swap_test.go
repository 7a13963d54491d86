package controlplane

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/openirsa/openirsa/pkg/node"
)

// TestSwap runs the scripts on this machine: the manifest goes at once, and the new one
// comes when the program has ended, though nobody waits for it.
func TestSwap(t *testing.T) {
	n, ctx := node.Local(), t.Context()
	dir := t.TempDir()
	program, manifest := filepath.Join(dir, "swapped-program"), filepath.Join(dir, "pod.yaml")
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(sleep)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(program, b, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(manifest, []byte("old"), 0o640); err != nil {
		t.Fatal(err)
	}
	run := exec.CommandContext(ctx, program, "60")
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { run.Wait(); close(ended) }()
	swap := func(text, digest string) error {
		return n.Exec(ctx, strings.NewReader(text), &strings.Builder{}, "sh", "-c", swapScript, "sh",
			manifest, digest, awaitScript, "swapped-program", "false")
	}
	if err := swap("new", strings.Repeat("0", 64)); err == nil || read(t, manifest) != "old" {
		t.Fatalf("an input that was cut short: %v, %q", err, read(t, manifest))
	}
	if err := swap("new", digest("new")); err != nil {
		t.Fatal(err)
	}
	await := func(want string) {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); read(t, manifest) != want; time.Sleep(20 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("the manifest is %q, not %q", read(t, manifest), want)
			}
		}
	}
	await("")
	<-ended // since it no longer serves, as "false" says, it was told to hurry
	await("new")
	info, err := os.Stat(manifest)
	if err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("%v, %v", info, err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 2 {
		t.Errorf("%v, %v", left, err)
	}
}

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// read is what is in a file; "" where there is none.
func read(t *testing.T, file string) string {
	b, err := os.ReadFile(file)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return string(b)
}

// A node that dies while no manifest is in its place gets it from the next run, or
// from Restore.
func TestSwapCutShort(t *testing.T) {
	for name, next := range map[string]func(context.Context, *ControlPlane) error{
		"run": func(ctx context.Context, c *ControlPlane) error { return set(ctx, c, options(t)) },
		"restore": func(ctx context.Context, c *ControlPlane) error {
			_, err := Restore(ctx, c.nodes[0])
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, c := newFake(t, 1)
				n := f.nodes[0]
				killed, cancel := context.WithTimeoutCause(t.Context(), 5*time.Second, errKilled)
				defer cancel()
				if err := set(killed, c, options(t)); err == nil {
					t.Fatal("it was not killed")
				}
				if n.files[manifestFile] != "" || n.files[tempFile] == "" {
					t.Fatalf("files %q", n.files)
				}
				// The node dies, and with it what would have put the manifest in its place.
				n.swaps[manifestFile], n.process, n.serving, n.changed = false, nil, false, time.Time{}
				if s, err := readAPIServer(t.Context(), c.nodes[0]); err != nil || s.Flags.Issuers[0] != testIssuer || n.files[manifestFile] != "" {
					t.Fatalf("who only reads has %v, %v, and leaves %q", s, err, n.files)
				}
				if err := next(t.Context(), c); err != nil {
					t.Fatal(err)
				}
				if n.files[manifestFile] == "" || n.files[tempFile] != "" || !n.serving {
					t.Errorf("serving %t, files %q", n.serving, n.files)
				}
			})
		})
	}
}
