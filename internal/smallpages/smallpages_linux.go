// Package smallpages keeps a small process small.
package smallpages

import "golang.org/x/sys/unix"

// Only has this process's memory come in pages of 4 KiB from now on. Where a node's
// kernel gives out transparent huge pages to whoever asks for memory, as Debian's and
// Red Hat's do, one that is used in part takes 2 MiB of the container's limit. A kernel
// that cannot do so leaves everything as it is (prctl(2), PR_SET_THP_DISABLE).
func Only() { _ = unix.Prctl(unix.PR_SET_THP_DISABLE, 1, 0, 0, 0) }
