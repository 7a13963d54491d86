package emulator

import (
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
)

// What strangers may take of the emulator: memory and time. docs/emulator.md
// lists these bounds, and TestLimits holds the emulator to them.
const (
	// maxURL and maxHeaders bound the request target, and all headers, in bytes.
	// A token of web identity may have 20,000 characters, and be in the URL.
	maxURL     = 64 << 10
	maxHeaders = 64 << 10
	// maxQueryBody bounds the body of a request that has no object. A policy
	// document may have 131,072 characters (IAM's service model), three bytes
	// each when escaped.
	maxQueryBody = 1 << 20
	// maxBodies bounds the bodies, in bytes, that are in memory for all requests
	// together, save for objects. What comes then is told to come again.
	maxBodies = 64 << 20
	// bodyTimeout is how long a body may take that is not an object's, and how
	// long an object's may stand still. writeTimeout is how long a client may take
	// to read writeChunk bytes of the answer.
	bodyTimeout  = 30 * time.Second
	writeTimeout = 30 * time.Second
	writeChunk   = 256 << 10 // bytes
	// discardTimeout is how long the rest of a body may take that nobody wants.
	discardTimeout = 2 * time.Second
)

// budget is what many may take of one thing together.
type budget struct {
	max  int64
	used atomic.Int64
}

// take takes n, unless that is more than there is left.
func (b *budget) take(n int64) bool {
	if b.used.Add(n) > b.max {
		b.used.Add(-n)
		return false
	}
	return true
}

// errBusy is the answer if there is no memory left for a body. Clients of AWS
// try again.
func errBusy() *wire.Failure {
	return wire.Errorf(http.StatusServiceUnavailable, "ServiceUnavailable", "The emulator has too many requests under way. Please try again.")
}

var (
	errTooLong   = errors.New("the body is too long")
	errNoMemory  = errors.New("there is no memory left for the body")
	errNotStored = errors.New("the state file does not take writes")
)

// readAll reads at most limit bytes. It takes the memory for them as they come,
// not as they are announced, from what all requests may have together, until
// the call is over.
func (s *Server) readAll(c *call, r io.Reader, limit int) ([]byte, error) {
	var body []byte
	for {
		if len(body) == cap(body) {
			size := min(max(2*cap(body), 4<<10), limit+1)
			more := int64(size - cap(body))
			if !s.bodies.take(more) {
				return nil, errNoMemory
			}
			c.held += more
			larger := make([]byte, len(body), size)
			copy(larger, body)
			body = larger
		}
		n, err := r.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		switch {
		case len(body) > limit:
			return nil, errTooLong
		case err == io.EOF:
			return body, nil
		case err != nil:
			return nil, err
		}
	}
}

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

// pacedBody is the body of a request, which must come in time.
type pacedBody struct {
	io.ReadCloser
	control *http.ResponseController
	// object is set for the body of an object, which may take long as long as it
	// does not stand still.
	object bool
	until  time.Time   // the deadline that is set; zero for none
	behind func() bool // says that what is read cannot be stored
	over   bool
}

func (b *pacedBody) Read(p []byte) (int, error) {
	if b.object && b.behind() {
		return 0, errNotStored
	}
	// Errors of setting deadlines are those of writers that have none, in tests.
	if now := time.Now(); b.until.IsZero() || b.object && b.until.Sub(now) < bodyTimeout-time.Second {
		b.until = now.Add(bodyTimeout)
		b.control.SetReadDeadline(b.until)
	}
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		b.over = true
		b.control.SetReadDeadline(time.Time{})
	}
	return n, err
}

// end sees to it that the rest of a body that was not read does not take long.
func (b *pacedBody) end() {
	if !b.over {
		b.control.SetReadDeadline(time.Now().Add(discardTimeout))
	}
}

// pacedWriter is an answer that must be read in time.
type pacedWriter struct {
	http.ResponseWriter
	control *http.ResponseController
}

func (w *pacedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *pacedWriter) WriteHeader(status int) {
	w.control.SetWriteDeadline(time.Now().Add(writeTimeout))
	w.ResponseWriter.WriteHeader(status)
}

func (w *pacedWriter) Write(p []byte) (int, error) {
	written := 0
	for {
		chunk := p[written:min(len(p), written+writeChunk)]
		w.control.SetWriteDeadline(time.Now().Add(writeTimeout))
		n, err := w.ResponseWriter.Write(chunk)
		written += n
		if err != nil || written == len(p) {
			return written, err
		}
	}
}

// pace sets the deadlines of a request. The function that it returns is to be
// called at the end.
func (s *Server) pace(w http.ResponseWriter, r *http.Request) (http.ResponseWriter, func()) {
	control := http.NewResponseController(w)
	control.SetWriteDeadline(time.Now().Add(writeTimeout))
	paced := &pacedWriter{w, control}
	if r.Body == nil || r.Body == http.NoBody {
		r.Body = http.NoBody // an embedded handler may be given none
		return paced, func() {}
	}
	body := &pacedBody{ReadCloser: r.Body, control: control, behind: s.store.Behind}
	r.Body = body
	return paced, body.end
}
