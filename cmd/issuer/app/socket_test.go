//go:build linux

package app

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/openirsa/openirsa/internal/needs"
)

// Without a umask the socket is private from its first moment on.
func TestSocketIsNeverOpenToOthers(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "private")
	path := filepath.Join(dir, "signer.sock")
	defer syscall.Umask(syscall.Umask(0))
	var seen sync.WaitGroup
	stop := make(chan struct{})
	looks := 0
	seen.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			for _, name := range []string{path, path + ".new"} {
				if info, err := os.Lstat(name); err == nil {
					if looks++; info.Mode().Perm() != 0o600 {
						t.Errorf("%s has mode %v", name, info.Mode())
						return
					}
				}
			}
		}
	})
	for range 300 {
		l, err := listenUnix(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
	}
	close(stop)
	seen.Wait()
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 || looks == 0 {
		t.Errorf("directory %v, %v, %d looks", info.Mode(), err, looks)
	}
}

func TestSocketDirectoryOfOthers(t *testing.T) {
	for _, mode := range []os.FileMode{0o777, 0o775, 0o722, 0o777 | os.ModeSticky} {
		dir := filepath.Join(t.TempDir(), "shared")
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(dir, mode); err != nil {
			t.Fatal(err)
		}
		if l, err := listenUnix(t.Context(), filepath.Join(dir, "s.sock")); err == nil || !strings.Contains(err.Error(), "chmod go-w "+dir) {
			t.Errorf("%v: %v, %v", mode, l, err)
		}
		if left, _ := os.ReadDir(dir); len(left) > 0 {
			t.Errorf("%v: %v was made", mode, left)
		}
		// A directory below it is nobody else's.
		l, err := listenUnix(t.Context(), filepath.Join(dir, "own", "s.sock"))
		if err != nil {
			t.Errorf("%v: %v", mode, err)
			continue
		}
		l.Close()
	}
	if os.Geteuid() != 0 {
		needs.Lacking(t, "only root can give a directory away")
	}
	dir := filepath.Join(t.TempDir(), "theirs")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(dir, 1234, 1234); err != nil {
		t.Fatal(err)
	}
	if _, err := listenUnix(t.Context(), filepath.Join(dir, "s.sock")); err == nil || !strings.Contains(err.Error(), "user 1234") {
		t.Errorf("a directory of another user: %v", err)
	}
}
