//go:build unix

package main

import "syscall"

// makePrivate has a socket come up with mode 0600 where it is bound: Linux takes
// the mode of the unbound one (net/unix/af_unix.c, unix_bind_bsd), and the umask can
// only take from it. Elsewhere the umask alone decides until the chmod that follows.
func makePrivate(fd uintptr) { syscall.Fchmod(int(fd), 0o600) }
