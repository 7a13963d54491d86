package kindenv

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// unmountBelow unmounts everything mounted at or below dir.
func unmountBelow(dir string) error {
	table, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return fmt.Errorf("reading the mount table: %w", err)
	}
	points := mountsBelow(string(table), dir)
	for _, p := range points {
		if err := unix.Unmount(p, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil {
			return fmt.Errorf("unmounting %s: %w", p, err)
		}
	}
	return nil
}
