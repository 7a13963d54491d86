// Package plain keeps text from others from acting on the terminal that shows it.
// Names, annotations, environment values, answers of AWS and files can hold anything:
// sequences that move the cursor, rename the window or answer for the user,
// characters that change the writing direction, and line ends after which a line of
// ours seems to follow.
//
// A program writes everything through a [Writer], which quotes the characters
// that do more than show themselves. Where a line is made of fields, [Fprintf]
// also keeps each field on the line, and secrets out of it:
//
//	out := plain.NewWriter(os.Stdout)
//	plain.Fprintf(out, "service account %s\n", name)
package plain

import (
	"bytes"
	"fmt"
	"io"
	"regexp"
	"strings"
	"sync"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/openirsa/openirsa/internal/redact"
)

// shows reports whether a character only shows itself. Those of Unicode's
// category Cf, such as those that change the writing direction, do not, and neither
// do the controls of C0 and C1.
func shows(r rune) bool { return unicode.IsPrint(r) || unicode.Is(unicode.Zs, r) }

// quote appends a character that does more than show itself, as JSON writes it, so
// that a JSON document keeps its meaning.
func quote(dst []byte, r rune) []byte {
	if high, low := utf16.EncodeRune(r); high != unicode.ReplacementChar {
		return fmt.Appendf(dst, `\u%04x\u%04x`, high, low)
	}
	return fmt.Appendf(dst, `\u%04x`, r)
}

// text appends p with everything quoted that acts on a terminal, except line ends
// and tabs. An incomplete character at the end is left over, unless this is the end
// of the output.
func text(dst, p []byte, end bool) (done, rest []byte) {
	for len(p) > 0 {
		r, size := utf8.DecodeRune(p)
		switch {
		case r == '\r' && bytes.HasPrefix(p, []byte("\r\n")): // a line end too
			dst = append(dst, '\r')
		case !end && (r == '\r' && len(p) == 1 || !utf8.FullRune(p)):
			return dst, p
		case r == utf8.RuneError && size == 1:
			dst = fmt.Appendf(dst, `\x%02x`, p[0])
		case shows(r) || r == '\n' || r == '\t':
			dst = append(dst, p[:size]...)
		case r == '\r':
			dst = append(dst, `\r`...)
		default:
			dst = quote(dst, r)
		}
		p = p[size:]
	}
	return dst, nil
}

// Line is s as part of a line: line ends and tabs are quoted too, and what looks like
// a secret is removed.
func Line(s string) string {
	quoted, _ := text(nil, []byte(redact.Text(s)), true)
	return lineEnds.Replace(string(quoted))
}

var lineEnds = strings.NewReplacer("\r", `\r`, "\n", `\n`, "\t", `\t`)

// Fprintf is [fmt.Fprintf], with each argument as a [Line]. The only line ends and
// tabs are those of the format.
func Fprintf(w io.Writer, format string, args ...any) (int, error) {
	fields := make([]any, len(args))
	for i, arg := range args {
		fields[i] = field{arg}
	}
	return fmt.Fprintf(w, format, fields...)
}

// field prints its value, with any verb, as a Line.
type field struct{ value any }

func (f field) Format(state fmt.State, verb rune) {
	io.WriteString(state, Line(fmt.Sprintf(fmt.FormatString(state, verb), f.value)))
}

// Error writes an error as a program's last output, "NAME: error". Further lines of
// an error are indented, so that none of them looks like another message of the
// program, and what looks like a secret is removed.
func Error(w io.Writer, name string, err error) {
	text := strings.TrimRight(redact.Text(err.Error()), "\r\n")
	fmt.Fprintf(w, "%s: %s\n", name, furtherLine.ReplaceAllString(text, "\n  $1"))
}

var furtherLine = regexp.MustCompile(`\n([^\s])`)

// Writer quotes what is written to it and acts on a terminal. It may be used by
// several goroutines; a character may be written in parts.
type Writer struct {
	to io.Writer

	mu   sync.Mutex
	rest []byte // the beginning of a character
}

// NewWriter returns a Writer to w, which is w itself if it is one.
func NewWriter(w io.Writer) *Writer {
	if there, ok := w.(*Writer); ok {
		return there
	}
	return &Writer{to: w}
}

// Write writes p quoted. It returns the length of p, not of the result.
func (w *Writer) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	quoted, rest := text(nil, append(w.rest, p...), false)
	w.rest = bytes.Clone(rest)
	if _, err := w.to.Write(quoted); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Flush writes an incomplete character. The program calls it before it ends.
func (w *Writer) Flush() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	quoted, _ := text(nil, w.rest, true)
	w.rest = nil
	if len(quoted) == 0 {
		return nil
	}
	_, err := w.to.Write(quoted)
	return err
}

// Terminal is the Writer's destination, for the program's own colours and for asking
// whether it is a terminal.
func (w *Writer) Terminal() io.Writer { return w.to }
