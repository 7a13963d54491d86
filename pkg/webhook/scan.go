package webhook

import (
	"encoding/json"
	"fmt"
	"iter"
	"unicode/utf8"
)

// scanner reads JSON text from front to back without building values, so that
// a review of many kilobytes costs one pass and the few strings that matter.
// It accepts exactly what [json.Valid] accepts (fuzzed against it). The first
// error sticks: loops end, and the caller looks at err once.
//
// A json.Decoder would tokenize the review at a third of the speed; see
// BenchmarkParse.
type scanner struct {
	data  []byte
	pos   int
	depth int
	err   error
	// most is how many bytes of strings may be read; 0 means any.
	most, read int
}

// maxDepth is encoding/json's own bound on nesting.
const maxDepth = 10000

func (s *scanner) fail(format string, args ...any) {
	if s.err == nil {
		s.err = fmt.Errorf("at byte %d: %s", s.pos, fmt.Sprintf(format, args...))
	}
}

// peek skips white space and is the next byte, 0 at the end.
func (s *scanner) peek() byte {
	for ; s.pos < len(s.data); s.pos++ {
		switch c := s.data[s.pos]; c {
		case ' ', '\t', '\n', '\r':
		default:
			return c
		}
	}
	return 0
}

// take reads c, after white space.
func (s *scanner) take(c byte) bool {
	if s.err == nil && s.peek() == c {
		s.pos++
		return true
	}
	return false
}

// want reads c or fails.
func (s *scanner) want(c byte) bool {
	if !s.take(c) {
		s.unexpected(fmt.Sprintf("%q", c))
		return false
	}
	return true
}

func (s *scanner) unexpected(want string) {
	if s.pos >= len(s.data) {
		s.fail("ends where %s should be", want)
	} else {
		s.fail("%q where %s should be", s.data[s.pos], want)
	}
}

// end fails if anything but white space is left.
func (s *scanner) end() {
	if s.err == nil {
		if s.peek(); s.pos < len(s.data) {
			s.unexpected("the end")
		}
	}
}

// object yields the keys of an object, with the scanner in front of the value.
// A value that the loop does not read is skipped. null has no keys. Leaving
// the loop early is an error, because the object has not been read.
func (s *scanner) object() iter.Seq[string] {
	return func(yield func(string) bool) {
		if s.null() || !s.open('{', "an object") {
			return
		}
		defer func() { s.depth-- }()
		if s.take('}') {
			return
		}
		for {
			if s.peek() != '"' {
				s.unexpected("a key")
				return
			}
			key := s.string()
			if !s.want(':') {
				return
			}
			if !s.member(func() bool { return yield(key) }) {
				return
			}
			if !s.take(',') {
				s.want('}')
				return
			}
		}
	}
}

// array yields the indices of an array, with the scanner in front of the
// element; otherwise as object.
func (s *scanner) array() iter.Seq[int] {
	return func(yield func(int) bool) {
		if s.null() || !s.open('[', "an array") {
			return
		}
		defer func() { s.depth-- }()
		if s.take(']') {
			return
		}
		for i := 0; ; i++ {
			if !s.member(func() bool { return yield(i) }) {
				return
			}
			if !s.take(',') {
				s.want(']')
				return
			}
		}
	}
}

func (s *scanner) open(c byte, what string) bool {
	if s.err != nil {
		return false
	}
	if s.peek() != c {
		s.unexpected(what)
		return false
	}
	s.pos++
	if s.depth++; s.depth > maxDepth {
		s.depth--
		s.fail("nested deeper than %d", maxDepth)
		return false
	}
	return true
}

// member calls yield and skips the value if yield did not read it.
func (s *scanner) member(yield func() bool) bool {
	start := s.pos
	if s.err != nil {
		return false
	}
	if !yield() {
		s.fail("not read to the end")
		return false
	}
	if s.err == nil && s.pos == start {
		s.skip()
	}
	return s.err == nil
}

// null reads a null, if there is one.
func (s *scanner) null() bool {
	if s.err == nil && s.peek() == 'n' {
		s.literal("null")
		return s.err == nil
	}
	return false
}

func (s *scanner) literal(word string) {
	if end := s.pos + len(word); end <= len(s.data) && string(s.data[s.pos:end]) == word {
		s.pos = end
		return
	}
	s.unexpected("a value")
}

// bool reads a truth value; null is false.
func (s *scanner) bool() bool {
	switch {
	case s.null():
	case s.err == nil && s.peek() == 't':
		s.literal("true")
		return s.err == nil
	case s.err == nil && s.peek() == 'f':
		s.literal("false")
	default:
		s.unexpected("true or false")
	}
	return false
}

// string reads a string; null is "".
func (s *scanner) string() string {
	if s.null() {
		return ""
	}
	if s.err != nil {
		return ""
	}
	if s.peek() != '"' {
		s.unexpected("a string")
		return ""
	}
	start := s.pos
	plain := s.skipString()
	if s.err != nil {
		return ""
	}
	text := s.data[start+1 : s.pos-1]
	if s.read += len(text); s.most > 0 && s.read > s.most {
		s.fail("names of more than %d bytes", s.most)
		return ""
	}
	if plain && utf8.Valid(text) {
		return string(text)
	}
	var v string
	if err := json.Unmarshal(s.data[start:s.pos], &v); err != nil {
		s.pos = start
		s.fail("%v", err)
	}
	return v
}

// raw is the text of the next value.
func (s *scanner) raw() []byte {
	if s.err != nil {
		return nil
	}
	s.peek()
	start := s.pos
	if s.skip(); s.err != nil {
		return nil
	}
	return s.data[start:s.pos]
}

// skip reads a value of any kind. It does not recurse.
func (s *scanner) skip() {
	if s.err != nil {
		return
	}
	var open []byte // the brackets that are open
	for {
		// A value.
		switch c := s.peek(); c {
		case '{', '[':
			s.pos++
			if len(open)+s.depth >= maxDepth {
				s.fail("nested deeper than %d", maxDepth)
				return
			}
			open = append(open, c)
			if c == '{' && s.take('}') || c == '[' && s.take(']') {
				open = open[:len(open)-1]
				break
			}
			if c == '{' {
				s.skipKey()
			}
			if s.err != nil {
				return
			}
			continue
		case '"':
			s.skipString()
		case 't':
			s.literal("true")
		case 'f':
			s.literal("false")
		case 'n':
			s.literal("null")
		default:
			s.skipNumber()
		}
		// What follows a value.
		for {
			if s.err != nil || len(open) == 0 {
				return
			}
			last := open[len(open)-1]
			if s.take(',') {
				if last == '{' {
					s.skipKey()
				}
				break
			}
			if !s.want(last + 2) { // '{'+2 is '}', '['+2 is ']'
				return
			}
			open = open[:len(open)-1]
		}
		if s.err != nil {
			return
		}
	}
}

func (s *scanner) skipKey() {
	if s.peek() != '"' {
		s.unexpected("a key")
		return
	}
	s.skipString()
	if s.err == nil {
		s.want(':')
	}
}

// skipString reads a string, at its opening quote, and reports whether it has
// no escapes.
func (s *scanner) skipString() (plain bool) {
	plain = true
	data := s.data
	for i := s.pos + 1; i < len(data); i++ {
		c := data[i]
		if !special[c] {
			continue
		}
		switch c {
		case '"':
			s.pos = i + 1
			return plain
		case '\\':
			plain = false
			i++
			if i >= len(data) {
				break
			}
			switch data[i] {
			case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
			case 'u':
				for range 4 {
					if i++; i >= len(data) || !isHex(data[i]) {
						s.pos = min(i, len(data))
						s.unexpected("a hexadecimal digit")
						return plain
					}
				}
			default:
				s.pos = i
				s.unexpected("an escaped character")
				return plain
			}
		default:
			s.pos = i
			s.fail("control character %q in a string", c)
			return plain
		}
	}
	s.pos = len(data)
	s.unexpected("the end of a string")
	return plain
}

// special marks the bytes at which a string ends, escapes or errs.
var special = func() (t [256]bool) {
	for c := range ' ' {
		t[c] = true
	}
	t['"'], t['\\'] = true, true
	return t
}()

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

// skipNumber reads a number as RFC 8259, section 6, has it.
func (s *scanner) skipNumber() {
	digits := func() bool {
		start := s.pos
		for s.pos < len(s.data) && '0' <= s.data[s.pos] && s.data[s.pos] <= '9' {
			s.pos++
		}
		return s.pos > start
	}
	at := func(chars ...byte) bool {
		for _, c := range chars {
			if s.pos < len(s.data) && s.data[s.pos] == c {
				s.pos++
				return true
			}
		}
		return false
	}
	at('-')
	if !at('0') && !digits() {
		s.unexpected("a value")
		return
	}
	if at('.') && !digits() {
		s.unexpected("a digit")
		return
	}
	if at('e', 'E') {
		at('+', '-')
		if !digits() {
			s.unexpected("a digit")
		}
	}
}
