// Package needs is for tests that need more of a machine than Go: programs,
// rights, a terminal.
//
//	sshd, err := exec.LookPath("sshd")
//	if err != nil {
//		needs.Lacking(t, err)
//	}
//
// `make test` needs nothing but Go, and such a test is skipped there, saying why.
// `make e2e` installs what it can, runs the same tests with OPENIRSA_TOOLS=all,
// and fails for whatever is lacking then.
package needs

import (
	"os"
	"testing"
)

// Lacking ends a test for want of something.
func Lacking(t testing.TB, what any) {
	t.Helper()
	if os.Getenv("OPENIRSA_TOOLS") == "all" {
		t.Fatalf("this machine lacks what the test needs: %v", what)
	}
	t.Skipf("this machine lacks what the test needs: %v", what)
}
