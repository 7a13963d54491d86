package emulator

import (
	"net/http"
)

// What strangers may take of the emulator: memory and time. docs/emulator.md
// lists these bounds, and TestLimits holds the emulator to them.
const (
	// maxURL and maxHeaders bound the request target, and all headers, in bytes.
	// A token of web identity may have 20,000 characters, and be in the URL.
	maxURL     = 64 << 10
	maxHeaders = 64 << 10
	// maxBodies bounds the bodies, in bytes, that are in memory for all requests
	// together, except objects. More are answered with a request to come again.
	maxBodies = 64 << 20
)

// oversized is the answer to a request whose URL or headers are too long, or 0.
func oversized(r *http.Request) (status int) {
	if len(r.RequestURI) > maxURL {
		return http.StatusRequestURITooLong
	}
	n := 0
	for name, values := range r.Header {
		for _, value := range values {
			n += len(name) + len(value)
		}
	}
	if n > maxHeaders {
		return http.StatusRequestHeaderFieldsTooLarge
	}
	return 0
}
