//go:build unix

package durable_test

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/openirsa/openirsa/internal/durable"
	"github.com/openirsa/openirsa/internal/needs"
)

func TestReadFile(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	if err := os.WriteFile(in("f"), []byte("12345"), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("f", in("link")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"f", "link"} {
		if data, info, err := durable.ReadFile(in(name), 5); err != nil || string(data) != "12345" || info.Mode() != 0o640 {
			t.Errorf("%s: %q, %v, %v", name, data, info, err)
		}
	}
	if err := syscall.Mkfifo(in("fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("fifo", in("linked-fifo")); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", in("socket"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for name, want := range map[string]string{
		in("f"): "larger than 4 bytes", in("fifo"): "FIFO", in("linked-fifo"): "FIFO", in("socket"): "socket", dir: "directory", "/dev/zero": "device", in("none"): "no such file",
	} {
		data, info, err := durable.ReadFile(name, 4)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), name) || data != nil || info != nil {
			t.Errorf("%s: %q, %v, want %q", name, data, err, want)
		}
		if _, ok := errors.AsType[*fs.PathError](err); !ok {
			t.Errorf("%s: %T", name, err)
		}
		if want == "FIFO" && !errors.Is(err, durable.ErrNotRegular) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCheckOwner(t *testing.T) {
	name := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(name, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	check := func() error {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		return durable.CheckOwner(info)
	}
	if err := check(); err != nil {
		t.Error(err)
	}
	if os.Geteuid() != 0 {
		needs.Lacking(t, "root, who alone can give a file away")
	}
	if err := os.Chown(name, 1234, 0); err != nil {
		t.Fatal(err)
	}
	if err := check(); err == nil || !strings.Contains(err.Error(), "user 1234") {
		t.Errorf("a file of another user: %v", err)
	}
}
