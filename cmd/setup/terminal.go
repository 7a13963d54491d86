package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
	"k8s.io/klog/v2"

	"github.com/openirsa/openirsa/internal/plain"
	"github.com/openirsa/openirsa/pkg/plan"
)

// quiet keeps the libraries' own logs off the terminal: client-go tells through
// klog of what the command tells itself, as an error with its link and the next
// command.
func quiet() { klog.SetLogger(klog.Logger{}) }

// terminal is what w writes to in the end, where the program's own control
// sequences go.
func terminal(w io.Writer) io.Writer {
	if quoted, ok := w.(*plain.Writer); ok {
		return quoted.Terminal()
	}
	return w
}

// isTerminal reports whether w is a terminal that can do more than lines.
func isTerminal(w io.Writer, getenv func(string) string) bool {
	f, ok := terminal(w).(*os.File)
	return ok && term.IsTerminal(int(f.Fd())) && getenv("TERM") != "dumb"
}

// asker asks the user, on out, and reads the answer from in. It is nil where
// nobody can be asked.
func asker(in *os.File, out io.Writer) func(what string) (string, error) {
	f, ok := terminal(out).(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) || !term.IsTerminal(int(in.Fd())) {
		return nil
	}
	return func(what string) (string, error) { return ask(in, out, what) }
}

func ask(in io.Reader, out io.Writer, what string) (string, error) {
	plain.Fprintf(out, "%s: ", what)
	var answer string
	if _, err := fmt.Fscanln(in, &answer); err != nil {
		return "", fmt.Errorf("%s: no answer: %w", what, err)
	}
	return answer, nil
}

// palette paints the words that say how something went. The zero palette paints
// nothing.
type palette struct{ on bool }

// colours are for people: none where the output is read by a program, and none
// where NO_COLOR is set (no-color.org).
func (a *app) palette() palette {
	return palette{on: isTerminal(a.out, a.getenv) && a.getenv("NO_COLOR") == ""}
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
