//go:build unix

package main

import (
	"os/signal"
	"syscall"
)

// ignoreFileLimit has a write beyond the limit on the size of files (ulimit -f)
// be an error, which is answered to the client, and not the end of the program.
func ignoreFileLimit() { signal.Ignore(syscall.SIGXFSZ) }
