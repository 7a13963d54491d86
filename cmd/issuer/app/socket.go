package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/openirsa/openirsa/internal/durable"
)

// listenSocket opens the socket of --socket. It logs which directories above the
// socket's own others may write: they could replace it.
func listenSocket(ctx context.Context, log *slog.Logger, name string) (net.Listener, error) {
	listener, err := listenUnix(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("listening at %s: %w", name, err)
	}
	if strings.HasPrefix(name, "@") {
		log.Warn("everybody on this machine can connect to an abstract socket, and have tokens", "socket", name)
		return listener, nil
	}
	real, err := filepath.EvalSymlinks(filepath.Dir(name))
	if err != nil {
		real = filepath.Dir(name)
	}
	for dir := filepath.Dir(real); ; dir = filepath.Dir(dir) {
		if err := checkDirectory(dir, os.ModeSticky); err != nil {
			log.Warn("others can replace the socket's directory", "error", err)
		}
		if dir == filepath.Dir(dir) {
			return listener, nil
		}
	}
}

// listenUnix listens at a Unix socket that only this user can connect to, from the
// moment it exists and whatever the umask is. An existing socket is replaced in one
// step: of two programs, the later serves. A directory that others can write is
// refused: they could put their own socket there.
func listenUnix(ctx context.Context, path string) (net.Listener, error) {
	private := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(makePrivate)
	}}
	if strings.HasPrefix(path, "@") {
		return private.Listen(ctx, "unix", path)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	if err := checkDirectory(filepath.Dir(path), 0); err != nil {
		return nil, err
	}
	next := path + ".new"
	if err := os.Remove(next); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	l, err := private.Listen(ctx, "unix", next)
	if err != nil {
		return nil, err
	}
	// Another program may have replaced the socket when this one ends.
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	err = os.Chmod(next, 0o600)
	if err == nil {
		err = os.Rename(next, path)
	}
	if err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// checkDirectory refuses a directory that anyone except this user and root can write,
// unless it has the given mode, such as [os.ModeSticky], with which they can only add
// to it.
func checkDirectory(dir string, unless os.FileMode) error {
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if mode := info.Mode(); mode.Perm()&0o022 != 0 && mode&unless == 0 {
		return fmt.Errorf("the mode of directory %s is %#o and others can write it; run chmod go-w %s, or name a directory that "+
			"only this user can write", dir, mode.Perm(), dir)
	}
	if err := durable.CheckOwner(info); err != nil {
		return fmt.Errorf("directory %s: %w", dir, err)
	}
	return nil
}
