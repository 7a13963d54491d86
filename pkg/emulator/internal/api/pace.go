package api

import (
	"errors"
	"io"
	"net/http"
	"time"
)

const (
	// BodyTimeout is how long a body may take that is not an object's, and how
	// long an object's may stand still. WriteTimeout is how long a client may take
	// to read writeChunk bytes of the answer.
	BodyTimeout  = 30 * time.Second
	WriteTimeout = 30 * time.Second
	writeChunk   = 256 << 10 // bytes
	// DiscardTimeout is how long the rest of a body may take that nobody wants.
	DiscardTimeout = 2 * time.Second
)

var errNotStored = errors.New("the state file does not take writes")

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
	if now := time.Now(); b.until.IsZero() || b.object && b.until.Sub(now) < BodyTimeout-time.Second {
		b.until = now.Add(BodyTimeout)
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
		b.control.SetReadDeadline(time.Now().Add(DiscardTimeout))
	}
}

// PacedWriter is an answer that must be read in time.
type PacedWriter struct {
	http.ResponseWriter
	control *http.ResponseController
	until   time.Time // the deadline that is set
	status  int
}

// Unwrap is for [http.ResponseController].
func (w *PacedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Status is the status of the answer, 0 as long as there is none.
func (w *PacedWriter) Status() int { return w.status }

// WriteHeader implements [http.ResponseWriter].
func (w *PacedWriter) WriteHeader(status int) {
	if w.status == 0 && status >= http.StatusOK { // not 100 Continue
		w.status = status
	}
	w.pace()
	w.ResponseWriter.WriteHeader(status)
}

// pace sets the deadline of what is written next, unless the one that is set is about
// the same.
func (w *PacedWriter) pace() {
	if now := time.Now(); w.until.Sub(now) < WriteTimeout-time.Second {
		w.until = now.Add(WriteTimeout)
		w.control.SetWriteDeadline(w.until)
	}
}

// Write implements [http.ResponseWriter].
func (w *PacedWriter) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	written := 0
	for {
		chunk := p[written:min(len(p), written+writeChunk)]
		w.pace()
		n, err := w.ResponseWriter.Write(chunk)
		written += n
		if err != nil || written == len(p) {
			return written, err
		}
	}
}

// Pace sets the deadlines of a request. Behind says that what is read of an
// object cannot be stored. The function that Pace returns is to be called at the
// end.
func Pace(w http.ResponseWriter, r *http.Request, behind func() bool) (*PacedWriter, func()) {
	control := http.NewResponseController(w)
	paced := &PacedWriter{ResponseWriter: w, control: control}
	paced.pace()
	if r.Body == nil || r.Body == http.NoBody {
		r.Body = http.NoBody // an embedded handler may be given none
		return paced, func() {}
	}
	body := &pacedBody{ReadCloser: r.Body, control: control, behind: behind}
	r.Body = body
	return paced, body.end
}

// ReadsObject says that the body of a call is an object's.
func (c *Call) ReadsObject() {
	if body, ok := c.Request.Body.(*pacedBody); ok {
		body.object = true
	}
}
