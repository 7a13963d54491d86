package plan_test

import (
	"strings"
	"testing"

	"github.com/openirsa/openirsa/pkg/plan"
)

func TestDiff(t *testing.T) {
	for _, c := range []struct{ before, after, want string }{
		{"", "", ""},
		{"a\nb\n", "a\nb\n", ""},
		{"", "a\nb\n", "+ a\n+ b\n"},
		{"a\n", "", "- a\n"},
		{"a\nb\nc\n", "a\nx\nc\n", "  a\n- b\n+ x\n  c\n"},
		{"a\nb\n", "b\na\n", "- a\n  b\n+ a\n"},
	} {
		if got := plan.Diff(c.before, c.after); got != c.want {
			t.Errorf("Diff(%q, %q) = %q, want %q", c.before, c.after, got, c.want)
		}
	}
}

func TestDiffJSON(t *testing.T) {
	got := plan.DiffJSON([]byte(`{"a":1,"b":[2]}`), []byte(`{"a": 1, "b": [3]}`))
	want := "  {\n    \"a\": 1,\n    \"b\": [\n-     2\n+     3\n    ]\n  }\n"
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	if got := plan.DiffJSON([]byte("not json"), nil); got != "- not json\n" {
		t.Errorf("got %q", got)
	}
}

// What goes and stays is the former text, what comes and stays the new one.
func FuzzDiff(f *testing.F) {
	f.Add("a\nb\n", "b\nc\n")
	f.Fuzz(func(t *testing.T, before, after string) {
		if len(before)+len(after) > 2000 {
			return
		}
		diff := plan.Diff(before, after)
		var was, is strings.Builder
		for line := range strings.Lines(diff) {
			if line[0] != '+' {
				was.WriteString(line[2:])
			}
			if line[0] != '-' {
				is.WriteString(line[2:])
			}
		}
		trim := func(s string) string { return strings.TrimSuffix(s, "\n") }
		if diff != "" && (trim(was.String()) != trim(before) || trim(is.String()) != trim(after)) {
			t.Errorf("Diff(%q, %q) = %q", before, after, diff)
		}
	})
}
