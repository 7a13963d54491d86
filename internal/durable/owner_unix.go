//go:build unix

package durable

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// CheckOwner refuses what belongs to neither this user nor root: its owner can put
// something else there at any time.
func CheckOwner(info fs.FileInfo) error {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if self := os.Geteuid(); ok && stat.Uid != 0 && int(stat.Uid) != self {
		return fmt.Errorf("it belongs to user %d, and this program runs as user %d", stat.Uid, self)
	}
	return nil
}
