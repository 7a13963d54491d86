//go:build unix

package app

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/openirsa/openirsa/pkg/keys"
)

// No command hangs on a FIFO, wherever it stands for a file: each says so, or goes
// on and ends when it is told to.
func TestFilesThatAreNone(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	key := filepath.Join(dir, "sa.key")
	writeKey(t, key, keys.ES256)
	socket := filepath.Join(dir, "own", "s.sock")
	const private = "127.0.0.1:0"
	for _, args := range [][]string{
		{"serve", "--issuer", "https://oidc.example.com", "--key-file", fifo, "--listen", private, "--admin-listen", private},
		{"serve", "--config", fifo, "--listen", private, "--admin-listen", private},
		{"serve", "--issuer", "https://oidc.example.com", "--key-file", key, "--tls-cert", fifo, "--tls-key", fifo, "--listen", private, "--admin-listen", private},
		{"publish", "--bucket", "b", "--region", "eu-west-1", "--key-file", fifo, "--admin-listen", private},
		{"sign", "--signing-key-file", fifo, "--socket", socket},
		{"sign", "--config", fifo, "--socket", socket},
		{"sign", "--signing-key-file", key, "--key-file", fifo, "--socket", socket},
	} {
		ctx, stop := context.WithTimeout(t.Context(), 500*time.Millisecond) // SIGTERM
		var log bytes.Buffer
		done := make(chan error, 1)
		go func() { done <- Run(ctx, called(nil, &log, args...)) }()
		select {
		case err := <-done:
			text := log.String()
			if err != nil {
				text += err.Error()
			}
			if !strings.Contains(text, "FIFO") && args[0] != "publish" { // which asks AWS first
				t.Errorf("%s: %s", args, text)
			}
		case <-time.After(8 * time.Second):
			t.Errorf("%s does not end", args)
		}
		stop()
	}
}

// Keys and configurations by which others could have tokens are refused.
func TestSignRefusesFilesOfOthers(t *testing.T) {
	dir := t.TempDir()
	key, trusted, config := filepath.Join(dir, "sa.key"), filepath.Join(dir, "old.pub"), filepath.Join(dir, "signer.yaml")
	private := writeKey(t, key, keys.ES256)
	writeFile(t, trusted, publicPEM(t, private.Public()))
	writeFile(t, config, "apiVersion: openirsa.dev/v1alpha1\nkind: Signer\nsign: {file: sa.key}\ntrust: [{file: old.pub}]\n")
	sign := func(change func()) string {
		t.Helper()
		for name, mode := range map[string]os.FileMode{key: 0o600, trusted: 0o644, config: 0o644} {
			if err := os.Chmod(name, mode); err != nil {
				t.Fatal(err)
			}
			if os.Geteuid() == 0 {
				if err := os.Chown(name, 0, 0); err != nil {
					t.Fatal(err)
				}
			}
		}
		change()
		ctx, stop := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer stop()
		var log bytes.Buffer
		err := Run(ctx, called(nil, &log, "sign", "--config", config, "--socket", filepath.Join(dir, "own", "s.sock")))
		if err == nil {
			return ""
		}
		return err.Error()
	}
	if err := sign(func() {}); err != "" {
		t.Fatal(err)
	}
	for name, modes := range map[string][]os.FileMode{key: {0o640, 0o604, 0o660}, trusted: {0o664, 0o646}, config: {0o664, 0o602}} {
		for _, mode := range modes {
			if err := sign(func() { os.Chmod(name, mode) }); !strings.Contains(err, name) || !strings.Contains(err, "chmod") {
				t.Errorf("%s of mode %#o: %q", name, mode, err)
			}
		}
		if os.Geteuid() == 0 {
			if err := sign(func() { os.Chown(name, 1234, 0) }); !strings.Contains(err, name) || !strings.Contains(err, "user 1234") {
				t.Errorf("%s of another user: %q", name, err)
			}
		}
	}
}
