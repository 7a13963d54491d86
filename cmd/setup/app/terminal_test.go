package app

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/openirsa/openirsa/internal/cli"
	"github.com/openirsa/openirsa/internal/needs"
	"github.com/openirsa/openirsa/internal/plain"
	"github.com/openirsa/openirsa/pkg/plan"
)

func TestPalette(t *testing.T) {
	terminal, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		needs.Lacking(t, err)
	}
	defer terminal.Close()
	file, err := os.Create(t.TempDir() + "/out")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	env := map[string]string{"TERM": "xterm"}
	a := &app{Invocation: cli.Invocation{Lookup: func(k string) (string, bool) { return env[k], true }}, out: terminal}
	check := func(why string, want bool) {
		t.Helper()
		if got := a.palette().on; got != want {
			t.Errorf("%s: colours %v", why, got)
		}
	}
	check("a terminal", true)
	env["NO_COLOR"] = "1"
	check("NO_COLOR", false)
	env["NO_COLOR"] = ""
	check("an empty NO_COLOR", true)
	env["TERM"] = "dumb"
	check("a dumb terminal", false)
	env["TERM"] = "xterm"
	a.out = file
	check("a file", false)
	a.out = &bytes.Buffer{}
	check("a pipe", false)

	for _, c := range []struct {
		on         bool
		word, want string
	}{
		{true, "created", "role             \x1b[32mcreated\x1b[0m    \\u001b[31mx\n"},
		{true, plan.Unchanged, "role             unchanged  \\u001b[31mx\n"},
		{false, "created", "role             created    \\u001b[31mx\n"},
	} {
		var out bytes.Buffer
		palette{on: c.on}.row(plain.NewWriter(&out), "role", c.word, 10, "\x1b[31mx")
		if out.String() != c.want {
			t.Errorf("%q, want %q", &out, c.want)
		}
	}
}

// A question goes where no results go, and only where somebody answers.
func TestAsk(t *testing.T) {
	var out bytes.Buffer
	if answer, err := ask(strings.NewReader("123456\nrest\n"), &out, "Code"); err != nil || answer != "123456" || out.String() != "Code: " {
		t.Errorf("%q to %q, %v", answer, &out, err)
	}
	for _, nothing := range []string{"", "\n"} {
		if answer, err := ask(strings.NewReader(nothing), &out, "Code"); err == nil || answer != "" {
			t.Errorf("%q to %q", answer, nothing)
		}
	}
	terminal, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		needs.Lacking(t, err)
	}
	defer terminal.Close()
	file, err := os.Create(t.TempDir() + "/file")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if asker(terminal, terminal) == nil {
		t.Error("nobody is asked on a terminal")
	}
	if asker(file, terminal) != nil || asker(terminal, file) != nil || asker(terminal, &out) != nil {
		t.Error("a file is asked")
	}
}

// JSON has no colours, even on a terminal.
func TestJSONIsPlain(t *testing.T) {
	var out bytes.Buffer
	a := &app{Invocation: called("setup"), out: &out, err: &out, output: "json"}
	r := a.newReport("dev", false)
	r.palette = palette{on: true}
	r.Done(plan.Result{Link: "role", Outcome: plan.Created, Object: "x"})
	r.started = time.Now()
	if err := r.finish(); err != nil || strings.Contains(out.String(), "\x1b") || !strings.Contains(out.String(), `"created"`) {
		t.Errorf("%s, %v", out.String(), err)
	}
	out.Reset()
	a.output = "text"
	r = a.newReport("dev", false)
	r.palette = palette{on: true}
	r.Done(plan.Result{Link: "role", Outcome: plan.Created, Object: "x"})
	if got := out.String(); got != "role             \x1b[32mcreated\x1b[0m    x\n" {
		t.Errorf("%q", got)
	}
}
