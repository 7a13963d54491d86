package app

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/openirsa/openirsa/internal/plain"
	"github.com/openirsa/openirsa/pkg/plan"
)

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

func printYAML(w io.Writer, v any) error {
	b, err := plain.MarshalYAML(v)
	if err != nil {
		return err
	}
	_, err = w.Write(b)
	return err
}

// plural is "1 call" or "3 calls".
func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	if before, ok := strings.CutSuffix(word, "y"); ok && !strings.HasSuffix(word, "key") {
		return fmt.Sprintf("%d %sies", n, before)
	}
	return fmt.Sprintf("%d %ss", n, word)
}

// palette paints the words that say how something went. The zero palette paints
// nothing.
type palette struct{ on bool }

// colours are for people: none where the output is read by a program, and none
// where NO_COLOR is set (no-color.org).
func (a *app) palette() palette {
	return palette{on: isTerminal(a.out, a.Getenv) && a.Getenv("NO_COLOR") == ""}
}

const (
	red    = 31
	green  = 32
	yellow = 33
)

// hues are the colours of words. What is not here is as plain as the rest, above
// all "unchanged", which is what one wants to read over.
var hues = map[string]int{
	"ok": green, plan.Created: green, plan.Updated: green,
	plan.Planned: yellow, plan.Deleted: yellow, plan.Skipped: yellow, "unknown": yellow, "warning": yellow,
	"WRONG": red, "BROKEN": red, "failed": red,
}

// row writes a line: a link of the chain, the word for how it went in a column of
// some width, in its colour, and what is to be said.
func (p palette) row(w io.Writer, link, word string, width int, rest string) {
	blanks := strings.Repeat(" ", max(0, width-len(word)))
	hue, ok := hues[word]
	if !p.on || !ok {
		plain.Fprintf(w, "%-16s %s%s %s\n", link, word, blanks, rest)
		return
	}
	plain.Fprintf(w, "%-16s ", link)
	// The blanks are outside, so that no underline or background shows there.
	fmt.Fprintf(terminal(w), "\x1b[%dm%s\x1b[0m", hue, plain.Line(word))
	plain.Fprintf(w, "%s %s\n", blanks, rest)
}
