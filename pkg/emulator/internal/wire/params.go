package wire

import (
	"strings"
	"unicode/utf8"
)

const maxQueryParams = 4096

// Params are the parameters of a request, by name. Of a repeated name the last
// value counts, as at AWS.
type Params map[string]string

// ParseParams decodes a form. It accepts what AWS's Query protocol accepts and
// refuses, with MalformedInput, what is not a form.
func ParseParams(form string) (Params, *Failure) {
	p := make(Params, 8)
	for n := 0; form != ""; n++ {
		var pair string
		pair, form, _ = strings.Cut(form, "&")
		if pair == "" {
			continue
		}
		if n >= maxQueryParams {
			return nil, MalformedInput("Too many parameters")
		}
		name, value, _ := strings.Cut(pair, "=")
		name, ok1 := unescape(name)
		value, ok2 := unescape(value)
		if !ok1 || !ok2 {
			return nil, MalformedInput("Invalid escape sequence in the request")
		}
		if !utf8.ValidString(name) || !utf8.ValidString(value) {
			return nil, MalformedInput("The request is not valid UTF-8")
		}
		p[name] = value
	}
	return p, nil
}

// unescape decodes application/x-www-form-urlencoded, and says false for an
// escape that is none. net/url's QueryUnescape does the same but allocates an
// error; it also does not keep the text when there is nothing to decode.
func unescape(s string) (string, bool) {
	if !strings.ContainsAny(s, "%+") {
		return s, true
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch c := s[i]; c {
		case '+':
			b = append(b, ' ')
		case '%':
			if i+2 >= len(s) {
				return "", false
			}
			h, ok1 := unhex(s[i+1])
			l, ok2 := unhex(s[i+2])
			if !ok1 || !ok2 {
				return "", false
			}
			b = append(b, h<<4|l)
			i += 2
		default:
			b = append(b, c)
		}
	}
	return string(b), true
}

func unhex(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}
