//go:build unix

package app

import (
	"os/signal"
	"syscall"
)

// ignoreFileLimit makes a write beyond the limit on the size of files (ulimit -f) an
// error, which the client gets, instead of ending the program.
func ignoreFileLimit() { signal.Ignore(syscall.SIGXFSZ) }
