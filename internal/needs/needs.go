// Package needs is for tests that need more of a machine than Go: programs,
// rights, a terminal, time.
//
//	sshd, err := exec.LookPath("sshd")
//	if err != nil {
//		needs.Lacking(t, err)
//	}
//
// `make test` needs nothing but Go: it skips such a test and says why. `make e2e`
// installs what it can, runs the same tests with OPENIRSA_TOOLS=all, and fails if
// anything is still missing.
package needs

import (
	"os"
	"testing"
)

// Time ends a test that takes more of a processor than a developer's loop should, unless
// everything is to run.
func Time(t testing.TB) {
	t.Helper()
	if os.Getenv("OPENIRSA_TOOLS") != "all" {
		t.Skip("this test takes many seconds of a processor; `make tools` and OPENIRSA_TOOLS=all run it")
	}
}

// Lacking ends a test because something is missing.
func Lacking(t testing.TB, what any) {
	t.Helper()
	if os.Getenv("OPENIRSA_TOOLS") == "all" {
		t.Fatalf("this machine lacks what the test needs: %v", what)
	}
	t.Skipf("this machine lacks what the test needs: %v", what)
}
