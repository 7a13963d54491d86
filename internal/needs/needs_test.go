package needs_test

import (
	"fmt"
	"testing"

	"github.com/openirsa/openirsa/internal/needs"
)

// spy notes how a test was ended.
type spy struct {
	testing.TB
	ended string
}

func (s *spy) Helper()                        {}
func (s *spy) Fatalf(format string, a ...any) { s.end("failed: " + fmt.Sprintf(format, a...)) }
func (s *spy) Skipf(format string, a ...any)  { s.end("skipped: " + fmt.Sprintf(format, a...)) }
func (s *spy) end(how string)                 { s.ended = how; panic(s) }

func TestLacking(t *testing.T) {
	for tools, want := range map[string]string{
		"":    "skipped: this machine lacks what the test needs: sshd",
		"all": "failed: this machine lacks what the test needs: sshd",
	} {
		t.Setenv("OPENIRSA_TOOLS", tools)
		s := &spy{TB: t}
		func() {
			defer func() { recover() }()
			needs.Lacking(s, "sshd")
		}()
		if s.ended != want {
			t.Errorf("OPENIRSA_TOOLS=%q: %q, want %q", tools, s.ended, want)
		}
	}
}
