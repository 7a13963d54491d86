//go:build !linux

package kindenv

// unmountBelow has nothing to do: only the route Built mounts anything, and it is for Linux.
func unmountBelow(string) error { return nil }
