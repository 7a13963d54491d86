package wire

import (
	"strconv"
	"time"
	"unicode/utf8"
)

// XML appends XML without reflection, since every answer of the hot
// calls goes through it. Element names are ours; only text is escaped.
type XML struct{ Buf []byte }

// Open begins an element. The name may have attributes.
func (x *XML) Open(name string) {
	x.Buf = append(append(append(x.Buf, '<'), name...), '>')
}

// Close ends an element.
func (x *XML) Close(name string) {
	x.Buf = append(append(append(x.Buf, "</"...), name...), '>')
}

// Text writes an element that holds text.
func (x *XML) Text(name, value string) {
	x.Open(name)
	x.Escape(value)
	x.Close(name)
}

// Optional writes an element that holds text, or nothing for the empty text.
func (x *XML) Optional(name, value string) {
	if value != "" {
		x.Text(name, value)
	}
}

// Number writes an element that holds a number.
func (x *XML) Number(name string, value int) {
	x.Open(name)
	x.Buf = strconv.AppendInt(x.Buf, int64(value), 10)
	x.Close(name)
}

// Bool writes an element that holds "true" or "false".
func (x *XML) Bool(name string, value bool) {
	x.Open(name)
	x.Buf = strconv.AppendBool(x.Buf, value)
	x.Close(name)
}

// Time writes a time as STS and IAM do: UTC, whole seconds.
func (x *XML) Time(name string, value time.Time) {
	x.Open(name)
	x.Buf = value.UTC().AppendFormat(x.Buf, time.RFC3339)
	x.Close(name)
}

// List writes a list in the manner of the Query protocol: n members, each of
// which is what write writes.
func (x *XML) List(name string, n int, write func(i int)) {
	x.Open(name)
	for i := range n {
		x.Open("member")
		write(i)
		x.Close("member")
	}
	x.Close(name)
}

// Texts writes a list of texts.
func (x *XML) Texts(name string, values []string) {
	x.Open(name)
	for _, v := range values {
		x.Text("member", v)
	}
	x.Close(name)
}

// Escape appends text with what XML 1.0 does not allow in it replaced.
func (x *XML) Escape(s string) {
	plain := 0 // from here to i nothing is replaced
	for i := 0; i < len(s); {
		if c := s[i]; c > '>' && c < utf8.RuneSelf { // as most are
			i++
			continue
		}
		r, size := rune(s[i]), 1
		if r >= utf8.RuneSelf {
			r, size = utf8.DecodeRuneInString(s[i:])
		}
		if with := escaped(r, size); with != "" {
			x.Buf = append(append(x.Buf, s[plain:i]...), with...)
			plain = i + size
		}
		i += size
	}
	x.Buf = append(x.Buf, s[plain:]...)
}

// escaped is what stands for a character of some bytes, "" if it stands for itself.
func escaped(r rune, size int) string {
	switch {
	case r == '&':
		return "&amp;"
	case r == '<':
		return "&lt;"
	case r == '>':
		return "&gt;"
	case r == '"':
		return "&quot;"
	case r == '\r':
		return "&#xD;"
	case r < ' ' && r != '\n' && r != '\t', r == 0xfffe, r == 0xffff, r == utf8.RuneError && size == 1:
		return string(utf8.RuneError)
	}
	return ""
}
