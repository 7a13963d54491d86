package sigv4

import (
	"bytes"
	"net/http"
	"net/textproto"
	"slices"
	"strconv"
	"strings"

	"github.com/openirsa/openirsa/internal/order"
)

// splitURI is the request's path and query as the client sent them. Not
// r.URL: keys may hold "//", ".." and "%2F", which cleaning would change.
func splitURI(r *http.Request) (path, query string) {
	if !strings.HasPrefix(r.RequestURI, "/") { // absolute form, or not from a server
		path = r.URL.EscapedPath()
		if path == "" {
			path = "/"
		}
		return path, r.URL.RawQuery
	}
	path, query, _ = strings.Cut(r.RequestURI, "?")
	return path, query
}

// queryValue is the decoded value of the first parameter of that name.
func queryValue(query, name string) (string, bool) {
	for query != "" {
		var pair string
		pair, query, _ = strings.Cut(query, "&")
		k, v, _ := strings.Cut(pair, "=")
		if k == name || strings.ContainsRune(k, '%') && unescape(k, true) == name {
			return unescape(v, true), true
		}
	}
	return "", false
}

// appendCanonical appends the canonical request. Without withToken, the
// X-Amz-Security-Token of the query is left out.
func appendCanonical(dst []byte, r *http.Request, s *Signature, payloadHash string, withToken bool) []byte {
	path, query := splitURI(r)
	dst = append(dst, r.Method...)
	dst = append(dst, '\n')
	dst = appendPath(dst, path, s.Service != "s3")
	dst = append(dst, '\n')
	if query != "" {
		dst = appendQuery(dst, query, s.Presigned, withToken)
	}
	dst = append(dst, '\n')
	for list := s.signedHeaders; list != ""; {
		var name string
		name, list, _ = strings.Cut(list, ";")
		dst = append(dst, name...)
		dst = append(dst, ':')
		dst = appendHeader(dst, r, name)
		dst = append(dst, '\n')
	}
	dst = append(dst, '\n')
	dst = append(dst, s.signedHeaders...)
	dst = append(dst, '\n')
	return append(dst, payloadHash...)
}

// appendPath appends the path with every segment encoded once, and once more
// for all services but S3.
func appendPath(dst []byte, path string, twice bool) []byte {
	if path == "/" {
		return append(dst, '/')
	}
	start := len(dst)
	for i, segment := range strings.Split(path, "/") {
		if i > 0 {
			dst = append(dst, '/')
		}
		dst = appendEscaped(dst, unescape(segment, false))
	}
	if twice { // of what the first encoding wrote, only "%" is encoded again
		again := bytes.ReplaceAll(dst[start:], []byte("%"), []byte("%25"))
		dst = append(dst[:start], again...)
	}
	return dst
}

// appendQuery appends the parameters, decoded and encoded again, sorted by
// name and then by value, without the signature itself.
func appendQuery(dst []byte, query string, presigned, withToken bool) []byte {
	type parameter struct{ name, value string }
	var stack [16]parameter
	parameters := stack[:0]
	for query != "" {
		var pair string
		pair, query, _ = strings.Cut(query, "&")
		if pair == "" {
			continue
		}
		k, v, _ := strings.Cut(pair, "=")
		p := parameter{normalise(k), normalise(v)}
		if presigned && (p.name == "X-Amz-Signature" || !withToken && p.name == "X-Amz-Security-Token") {
			continue
		}
		parameters = append(parameters, p)
	}
	order.By(parameters, func(a, b parameter) int {
		if c := strings.Compare(a.name, b.name); c != 0 {
			return c
		}
		return strings.Compare(a.value, b.value)
	})
	for i, p := range parameters {
		if i > 0 {
			dst = append(dst, '&')
		}
		dst = append(dst, p.name...)
		dst = append(dst, '=')
		dst = append(dst, p.value...)
	}
	return dst
}

// usual are the names of headers that SDKs sign, as net/http has them, so that
// they need not be made for each request.
var usual = map[string]string{
	"accept-encoding":       "Accept-Encoding",
	"amz-sdk-invocation-id": "Amz-Sdk-Invocation-Id",
	"amz-sdk-request":       "Amz-Sdk-Request",
	"content-length":        "Content-Length",
	"content-type":          "Content-Type",
	"x-amz-content-sha256":  "X-Amz-Content-Sha256",
	"x-amz-date":            "X-Amz-Date",
	"x-amz-security-token":  "X-Amz-Security-Token",
}

// authority is the pseudo-header that HTTP/2 has in the place of Host (RFC 9113, section
// 8.3.1). The AWS SDK for JavaScript signs it under this name.
const authority = ":authority"

// appendHeader appends the value of a signed header: trimmed, runs of blanks
// collapsed, several values joined by commas. net/http takes some headers out
// of the map of a server's request; they are put back here.
func appendHeader(dst []byte, r *http.Request, name string) []byte {
	if name == "host" || name == authority {
		return appendTrimmed(dst, r.Host)
	}
	key, known := usual[name]
	if !known {
		key = textproto.CanonicalMIMEHeaderKey(name)
	}
	values := r.Header[key]
	if len(values) == 0 {
		switch name {
		case "content-length":
			if r.ContentLength >= 0 {
				dst = strconv.AppendInt(dst, r.ContentLength, 10)
			}
		case "transfer-encoding":
			for i, v := range r.TransferEncoding {
				if i > 0 {
					dst = append(dst, ',')
				}
				dst = append(dst, v...)
			}
		}
		return dst
	}
	for i, v := range values {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendTrimmed(dst, v)
	}
	return dst
}

func appendTrimmed(dst []byte, v string) []byte {
	v = strings.Trim(v, " \t")
	if !strings.Contains(v, "  ") {
		return append(dst, v...)
	}
	for i := range len(v) {
		if v[i] != ' ' || v[i-1] != ' ' { // v[0] is not a blank
			dst = append(dst, v[i])
		}
	}
	return dst
}

// normalise decodes a piece of a query string and encodes it as RFC 3986
// says.
func normalise(s string) string {
	if !slices.ContainsFunc([]byte(s), func(c byte) bool { return !unreserved(c) }) {
		return s
	}
	return string(appendEscaped(nil, unescape(s, true)))
}

// unescape decodes percent-encoding, and "+" as a blank where the string is
// from a query. A "%" that begins no code stands for itself.
func unescape(s string, query bool) string {
	if !strings.ContainsRune(s, '%') && !(query && strings.ContainsRune(s, '+')) {
		return s
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '%' && i+2 < len(s) && hexDigit(s[i+1]) >= 0 && hexDigit(s[i+2]) >= 0:
			out = append(out, byte(hexDigit(s[i+1])<<4|hexDigit(s[i+2])))
			i += 2
		case c == '+' && query:
			out = append(out, ' ')
		default:
			out = append(out, c)
		}
	}
	return string(out)
}

// appendEscaped percent-encodes every byte that is not unreserved in RFC 3986.
func appendEscaped(dst []byte, s string) []byte {
	const digits = "0123456789ABCDEF"
	for i := range len(s) {
		if c := s[i]; unreserved(c) {
			dst = append(dst, c)
		} else {
			dst = append(dst, '%', digits[c>>4], digits[c&15])
		}
	}
	return dst
}

func unreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
		c == '-' || c == '.' || c == '_' || c == '~'
}

func hexDigit(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}
