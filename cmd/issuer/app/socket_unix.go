//go:build unix

package app

import "syscall"

// makePrivate gives a socket mode 0600 from the moment it is bound: Linux takes the
// mode of the unbound one (net/unix/af_unix.c, unix_bind_bsd), and the umask can only
// reduce it. Elsewhere only the umask decides until the chmod that follows.
func makePrivate(fd uintptr) { syscall.Fchmod(int(fd), 0o600) }
