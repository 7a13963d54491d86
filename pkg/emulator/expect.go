package emulator

import (
	"io"
	"net/http"
	"strings"
)

// maxUnread bounds what is read, only to be thrown away, of the body of a
// request that succeeded without it.
const maxUnread = 1 << 20

// sendContinue sees to it that a client that asks for 100 Continue gets it
// before any answer but a refusal (RFC 9110, section 10.1.1). net/http sends
// it when a handler first reads a body, and so never for an empty one and
// never for a body that no handler reads. botocore takes the first status line
// that it sees for the final one, and remembers it for the next request on the
// connection, which then hangs.
//
// HTTP/1.0 has no 100. Over HTTP/2 net/http keeps Expect to itself, and nothing
// waits for it: an empty request has ended with its headers.
func sendContinue(w http.ResponseWriter, r *http.Request) http.ResponseWriter {
	if !r.ProtoAtLeast(1, 1) || !expectsContinue(r) {
		return w
	}
	if r.ContentLength == 0 {
		w.WriteHeader(http.StatusContinue) // there is no body to be spared
		return w
	}
	return &continued{ResponseWriter: w, body: r.Body}
}

// expectsContinue reports whether Expect lists 100-continue.
func expectsContinue(r *http.Request) bool {
	for v := range strings.SplitSeq(r.Header.Get("Expect"), ",") {
		if strings.EqualFold(strings.TrimSpace(v), "100-continue") {
			return true
		}
	}
	return false
}

// continued is the writer of an answer to a request whose body waits for 100
// Continue: before a success it reads what the handler left of the body, which
// sends it. After a refusal net/http closes the connection.
type continued struct {
	http.ResponseWriter
	body   io.Reader
	status bool // is out
}

// WriteHeader implements [http.ResponseWriter].
func (w *continued) WriteHeader(status int) {
	if !w.status && status >= 200 {
		w.status = true
		if status < 300 {
			io.CopyN(io.Discard, w.body, maxUnread)
		}
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write implements [http.ResponseWriter].
func (w *continued) Write(p []byte) (int, error) {
	if !w.status {
		w.WriteHeader(http.StatusOK)
	}
	return w.ResponseWriter.Write(p)
}

// Unwrap is for [http.ResponseController].
func (w *continued) Unwrap() http.ResponseWriter { return w.ResponseWriter }
