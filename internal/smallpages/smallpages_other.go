//go:build !linux

package smallpages

// Only does nothing: no cluster's node runs this system.
func Only() {}
