// Package version is what the programs say that they are.
package version

import "runtime/debug"

// value is set by the linker; see the Makefile.
var value string

// String is the version that this program was built as: what the Makefile took
// from git, or the module's where `go install` built it.
func String() string {
	if value != "" {
		return value
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}
