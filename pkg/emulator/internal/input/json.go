package input

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf16"
	"unicode/utf8"
)

// Bounds of an input, whatever its form. What is beyond maxText is not kept: its
// value is nil, as if it had not been given, since no name of a resource is so
// long. The other bounds refuse the input.
const (
	maxDepth = 64       // of structures in one another
	maxNodes = 250_000  // values in all
	maxText  = 64 << 10 // bytes of one text
	maxKept  = 8 << 20  // bytes of all texts that are kept
)

// Errors of reading an input.
var (
	ErrTooLarge = errors.New("the input has too many values, or is too deep")
	ErrForm     = errors.New("the input is not well-formed")
)

// budget counts what an input takes.
type budget struct{ nodes, kept int }

// node takes one value.
func (b *budget) node() error {
	if b.nodes++; b.nodes > maxNodes {
		return ErrTooLarge
	}
	return nil
}

// keep takes the bytes of a text.
func (b *budget) keep(n int) error {
	if b.kept += n; b.kept > maxKept {
		return ErrTooLarge
	}
	return nil
}

// JSON reads one object. Readers choose differently between members of the same
// name, so these are refused at any depth, and so is everything that RFC 8259 does
// not have: what follows the object, comments, NaN, bytes that are not UTF-8.
// Numbers are [json.Number]. An empty body is an empty object.
//
// It reads a stream rather than bytes, so that a function's archive of 67 MB
// does not come into memory.
func JSON(r io.Reader) (map[string]any, error) {
	size := 4 << 10
	if known, ok := r.(interface{ Len() int }); ok { // as of a body in memory
		size = max(1, min(size, known.Len()))
	}
	d := &jsonReader{r: r, buf: make([]byte, 0, size)}
	if err := d.space(); err == io.EOF {
		return map[string]any{}, nil
	}
	if d.peeked() != '{' {
		return nil, d.fault()
	}
	v, err := d.value(0)
	if err != nil {
		return nil, err
	}
	if err := d.space(); err != io.EOF {
		return nil, d.fault()
	}
	return v.(map[string]any), nil
}

// jsonReader reads JSON from a stream.
type jsonReader struct {
	r    io.Reader
	buf  []byte // what was read
	pos  int    // of the next byte in it
	err  error  // of the stream
	text []byte // the text that is being read
	used budget
}

// fill makes sure that there is a next byte.
func (d *jsonReader) fill() error {
	for d.pos == len(d.buf) {
		if d.err != nil {
			return d.err
		}
		var n int
		n, d.err = d.r.Read(d.buf[:cap(d.buf)])
		d.buf, d.pos = d.buf[:n], 0
	}
	return nil
}

// next takes the next byte.
func (d *jsonReader) next() (byte, error) {
	if d.pos == len(d.buf) {
		if err := d.fill(); err != nil {
			return 0, d.fault()
		}
	}
	c := d.buf[d.pos]
	d.pos++
	return c, nil
}

// peeked is the next byte, 0 if there is none.
func (d *jsonReader) peeked() byte {
	if d.fill() != nil {
		return 0
	}
	return d.buf[d.pos]
}

// fault is the error of a stream that ended badly, or else that of the form.
func (d *jsonReader) fault() error {
	if d.err != nil && d.err != io.EOF {
		return d.err
	}
	return ErrForm
}

// space skips white space. The error is io.EOF at the end.
func (d *jsonReader) space() error {
	for {
		if err := d.fill(); err != nil {
			return err
		}
		switch d.buf[d.pos] {
		case ' ', '\t', '\n', '\r':
			d.pos++
		default:
			return nil
		}
	}
}

// value reads a value, before which there is no space.
func (d *jsonReader) value(depth int) (any, error) {
	if err := d.used.node(); err != nil {
		return nil, err
	}
	switch c := d.peeked(); {
	case c == '{' || c == '[':
		if depth == maxDepth {
			return nil, ErrTooLarge
		}
		d.pos++
		if c == '{' {
			return d.object(depth)
		}
		return d.array(depth)
	case c == '"':
		d.pos++
		text, long, err := d.string()
		if err != nil || long {
			return nil, err
		}
		return text, nil
	case c == '-' || '0' <= c && c <= '9':
		return d.number()
	case c == 't':
		return true, d.word("true")
	case c == 'f':
		return false, d.word("false")
	case c == 'n':
		return nil, d.word("null")
	}
	return nil, d.fault()
}

// object reads an object whose brace was read.
func (d *jsonReader) object(depth int) (any, error) {
	o := map[string]any{}
	for first := true; ; first = false {
		if err := d.space(); err != nil {
			return nil, d.fault()
		}
		c, err := d.next()
		switch {
		case err != nil:
			return nil, err
		case c == '}' && first:
			return o, nil
		case c == '}':
			return nil, ErrForm // after a comma
		case c != '"':
			return nil, ErrForm
		}
		name, long, err := d.string()
		if err != nil {
			return nil, err
		}
		if long {
			return nil, ErrTooLarge
		}
		if _, twice := o[name]; twice {
			return nil, fmt.Errorf("the member %.40q is there twice", name)
		}
		if err := d.token(':'); err != nil {
			return nil, err
		}
		if err := d.space(); err != nil {
			return nil, d.fault()
		}
		if o[name], err = d.value(depth + 1); err != nil {
			return nil, err
		}
		if more, err := d.more('}'); err != nil || !more {
			return o, err
		}
	}
}

// array reads an array whose bracket was read.
func (d *jsonReader) array(depth int) (any, error) {
	list := []any{}
	if err := d.space(); err != nil {
		return nil, d.fault()
	}
	if d.peeked() == ']' {
		d.pos++
		return list, nil
	}
	for {
		if err := d.space(); err != nil {
			return nil, d.fault()
		}
		v, err := d.value(depth + 1)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
		if more, err := d.more(']'); err != nil || !more {
			return list, err
		}
	}
}

// token reads one byte, around which there may be space.
func (d *jsonReader) token(want byte) error {
	if err := d.space(); err != nil {
		return d.fault()
	}
	if c, err := d.next(); err != nil || c != want {
		return d.fault()
	}
	return nil
}

// more reads a comma, after which there is more, or the end.
func (d *jsonReader) more(end byte) (bool, error) {
	if err := d.space(); err != nil {
		return false, d.fault()
	}
	switch c, err := d.next(); {
	case err != nil:
		return false, err
	case c == ',':
		return true, nil
	case c == end:
		return false, nil
	}
	return false, ErrForm
}

// word reads a word.
func (d *jsonReader) word(word string) error {
	for i := range len(word) {
		if c, err := d.next(); err != nil || c != word[i] {
			return d.fault()
		}
	}
	return nil
}

// number reads a number, of which it keeps the spelling.
func (d *jsonReader) number() (any, error) {
	d.text = d.text[:0]
	for {
		c := d.peeked()
		if c != '-' && c != '+' && c != '.' && c != 'e' && c != 'E' && (c < '0' || c > '9') {
			break
		}
		d.pos++
		if d.text = append(d.text, c); len(d.text) > 1024 {
			return nil, ErrTooLarge
		}
	}
	if !json.Valid(d.text) {
		return nil, ErrForm
	}
	return json.Number(d.text), d.used.keep(len(d.text))
}

// string reads a text whose quotation mark was read. long says that it is longer than
// is kept.
func (d *jsonReader) string() (text string, long bool, err error) {
	d.text = d.text[:0]
	for {
		c, err := d.next()
		switch {
		case err != nil:
			return "", false, err
		case c < ' ':
			return "", false, ErrForm
		case c == '\\':
			if err := d.escape(); err != nil {
				return "", false, err
			}
		case c == '"':
			if !utf8.Valid(d.text) {
				return "", false, ErrForm
			}
			if long || len(d.text) > maxText {
				return "", true, nil
			}
			return string(d.text), false, d.used.keep(len(d.text))
		default:
			d.text = append(d.text, c)
		}
		if len(d.text) > maxText { // what is read of it is looked at, and let go
			long = true
			whole := wholeRunes(d.text)
			if !utf8.Valid(d.text[:whole]) {
				return "", false, ErrForm
			}
			d.text = d.text[:copy(d.text, d.text[whole:])]
		}
	}
}

// wholeRunes is how much of a text can be looked at: a character at its end may
// not be there in full.
func wholeRunes(text []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(text); n++ {
		if c := text[len(text)-n]; utf8.RuneStart(c) {
			if !utf8.FullRune(text[len(text)-n:]) {
				return len(text) - n
			}
			break
		}
	}
	return len(text)
}

// escape reads what follows a backslash. Half of a pair of surrogates stands for
// no character, and what readers make of it differs.
func (d *jsonReader) escape() error {
	c, err := d.next()
	if err != nil {
		return err
	}
	switch c {
	case '"', '\\', '/':
	case 'b':
		c = '\b'
	case 'f':
		c = '\f'
	case 'n':
		c = '\n'
	case 'r':
		c = '\r'
	case 't':
		c = '\t'
	case 'u':
		r, err := d.hex()
		if err != nil {
			return err
		}
		if utf16.IsSurrogate(r) {
			if err := d.word(`\u`); err != nil {
				return err
			}
			low, err := d.hex()
			if err != nil {
				return err
			}
			if r = utf16.DecodeRune(r, low); r == utf8.RuneError {
				return ErrForm
			}
		}
		d.text = utf8.AppendRune(d.text, r)
		return nil
	default:
		return ErrForm
	}
	d.text = append(d.text, c)
	return nil
}

// hex reads four hexadecimal digits.
func (d *jsonReader) hex() (rune, error) {
	var r rune
	for range 4 {
		c, err := d.next()
		switch {
		case err != nil:
			return 0, err
		case '0' <= c && c <= '9':
			r = r<<4 | rune(c-'0')
		case 'a' <= c && c <= 'f':
			r = r<<4 | rune(c-'a'+10)
		case 'A' <= c && c <= 'F':
			r = r<<4 | rune(c-'A'+10)
		default:
			return 0, ErrForm
		}
	}
	return r, nil
}
