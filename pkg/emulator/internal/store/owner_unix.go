//go:build unix && !solaris && !aix

package store

import (
	"errors"
	"os"
	"syscall"
)

// openNoFollow opens a file that is no symbolic link, and does not wait for the
// other end of a pipe.
func openNoFollow(path string, flag int, mode os.FileMode) (*os.File, error) {
	f, err := os.OpenFile(path, flag|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, mode)
	if errors.Is(err, syscall.ELOOP) {
		return nil, errors.New("it is a symbolic link, which may lead anywhere")
	}
	return f, err
}

// ownerOf is the user who owns a file.
func ownerOf(info os.FileInfo) (int, bool) {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return int(stat.Uid), true
}

// unlock gives up the lock that bbolt has on a file.
func unlock(f *os.File) { syscall.Flock(int(f.Fd()), syscall.LOCK_UN) }
