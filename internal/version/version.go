// Package version is the version that the programs report.
package version

import "runtime/debug"

// value is set by the linker; see the Makefile.
var value string

// String is the version of this program: what the Makefile took from git, or the
// module's version if `go install` built it.
func String() string {
	if value != "" {
		return value
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}
