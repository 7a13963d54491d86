package needs_test

import (
	"fmt"
	"strings"
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
func (s *spy) Skip(a ...any)                  { s.end("skipped: " + fmt.Sprint(a...)) }
func (s *spy) end(how string)                 { s.ended = how; panic(s) }

func TestTime(t *testing.T) {
	for tools, want := range map[string]string{"": "skipped: this test takes", "all": ""} {
		t.Setenv("OPENIRSA_TOOLS", tools)
		s := &spy{TB: t}
		func() {
			defer func() { recover() }()
			needs.Time(s)
		}()
		if (s.ended == "") != (want == "") || !strings.HasPrefix(s.ended, want) {
			t.Errorf("OPENIRSA_TOOLS=%q: %q, want %q", tools, s.ended, want)
		}
	}
}

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
