//go:build !windows

package app

// escapes reports whether a terminal acts on colours.
func escapes(uintptr) bool { return true }
