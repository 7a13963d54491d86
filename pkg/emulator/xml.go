package emulator

import (
	"strconv"
	"time"
	"unicode/utf8"
)

// xmlWriter appends XML without reflection, since every answer of the hot
// calls goes through it. Element names are ours; only text is escaped.
type xmlWriter struct{ buf []byte }

func (x *xmlWriter) open(name string) {
	x.buf = append(append(append(x.buf, '<'), name...), '>')
}

func (x *xmlWriter) close(name string) {
	x.buf = append(append(append(x.buf, "</"...), name...), '>')
}

// text writes an element that holds text.
func (x *xmlWriter) text(name, value string) {
	x.open(name)
	x.escape(value)
	x.close(name)
}

// optional writes an element that holds text, or nothing for the empty text.
func (x *xmlWriter) optional(name, value string) {
	if value != "" {
		x.text(name, value)
	}
}

func (x *xmlWriter) number(name string, value int) {
	x.open(name)
	x.buf = strconv.AppendInt(x.buf, int64(value), 10)
	x.close(name)
}

func (x *xmlWriter) bool(name string, value bool) {
	x.open(name)
	x.buf = strconv.AppendBool(x.buf, value)
	x.close(name)
}

// time writes a time as STS and IAM do: UTC, whole seconds.
func (x *xmlWriter) time(name string, value time.Time) {
	x.open(name)
	x.buf = value.UTC().AppendFormat(x.buf, time.RFC3339)
	x.close(name)
}

// list writes a list in the manner of the Query protocol: n members, each of
// which is what write writes.
func (x *xmlWriter) list(name string, n int, write func(i int)) {
	x.open(name)
	for i := range n {
		x.open("member")
		write(i)
		x.close("member")
	}
	x.close(name)
}

// texts writes a list of texts.
func (x *xmlWriter) texts(name string, values []string) {
	x.open(name)
	for _, v := range values {
		x.text("member", v)
	}
	x.close(name)
}

// escape appends text with what XML 1.0 does not allow in it replaced.
func (x *xmlWriter) escape(s string) {
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			switch {
			case c == '&':
				x.buf = append(x.buf, "&amp;"...)
			case c == '<':
				x.buf = append(x.buf, "&lt;"...)
			case c == '>':
				x.buf = append(x.buf, "&gt;"...)
			case c == '"':
				x.buf = append(x.buf, "&quot;"...)
			case c == '\r':
				x.buf = append(x.buf, "&#xD;"...)
			case c < ' ' && c != '\n' && c != '\t':
				x.buf = utf8.AppendRune(x.buf, utf8.RuneError)
			default:
				x.buf = append(x.buf, c)
			}
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if r == 0xfffe || r == 0xffff {
			r = utf8.RuneError
		}
		x.buf = utf8.AppendRune(x.buf, r)
		i += size
	}
}
