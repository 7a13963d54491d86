package app

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/term"
	"k8s.io/klog/v2"

	"github.com/openirsa/openirsa/internal/plain"
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
	return ok && term.IsTerminal(int(f.Fd())) && getenv("TERM") != "dumb" && escapes(f.Fd())
}

// asker asks the user, on out, and reads the answer from in. It is nil where
// nobody can be asked.
func asker(in *os.File, out io.Writer) func(what string) (string, error) {
	f, ok := terminal(out).(*os.File)
	if !ok || in == nil || !term.IsTerminal(int(f.Fd())) || !term.IsTerminal(int(in.Fd())) {
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
