package api

import (
	"net/http"
	"strings"
)

// Target is what the header X-Amz-Target of the JSON protocols says: the service, and
// after the last dot the operation. It is false for a request without one, and for
// what has not the form of one.
func Target(r *http.Request) (service, operation string, ok bool) {
	text := r.Header.Get("X-Amz-Target")
	dot := strings.LastIndexByte(text, '.')
	if dot < 0 {
		return "", "", false
	}
	service, operation = text[:dot], text[dot+1:]
	ok = 1 <= len(service) && len(service) <= 100 && isLetter(service[0]) && isWord(service, "_.-") &&
		2 <= len(operation) && len(operation) <= 100 && 'A' <= operation[0] && operation[0] <= 'Z' && isWord(operation, "")
	if !ok {
		return "", "", false
	}
	return service, operation, true
}

// isWord reports whether a text has only letters, digits and some other characters.
func isWord(s, others string) bool {
	for i := range len(s) {
		if c := s[i]; !isLetter(c) && (c < '0' || c > '9') && strings.IndexByte(others, c) < 0 {
			return false
		}
	}
	return true
}

func isLetter(c byte) bool { return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' }
