// Package s3 is the emulator's S3: buckets, objects and multipart uploads, with
// bucket policies, access control lists and Block Public Access. The rules are
// those of the S3 API Reference and the S3 User Guide, the words those of S3's
// answers.
//
// [Service.ReadPublic] reads what a stranger may read, as AWS's STS reads the
// documents of an issuer.
package s3

import (
	"crypto/rand"
	"encoding/base64"
	"maps"
	"net/http"
	"strconv"

	"github.com/openirsa/openirsa/pkg/emulator/internal/api"
)

// New is the S3 of an account.
func New(account *api.Account, config Config) *Service {
	return &Service{account: account, config: config}
}

// Names implements [api.Service].
func (s *Service) Names() []string { return []string{"s3"} }

// Load implements [api.Service].
func (s *Service) Load() error {
	state, err := load(s.account.Store, s.account.ID, &s.changes)
	if err != nil {
		return err
	}
	s.state = state
	s.changes.Add(1)
	return nil
}

// Sweep removes bodies that nothing names: those of uploads that were under way
// when the process ended.
func (s *Service) Sweep() error { return s.state.sweep() }

// Take implements [api.Service].
func (s *Service) Take(c *api.Call) api.Answer {
	c.Service = "s3"
	return func(w http.ResponseWriter) { s.serve(w, c) }
}

// serve answers a request to S3.
func (s *Service) serve(w http.ResponseWriter, c *api.Call) {
	if s.backend != nil {
		s.serveForwarded(w, c)
		return
	}
	q := s.newCall(c)
	answer, e := q.answer()
	if answer != nil && answer.done != nil {
		defer answer.done()
	}
	switch {
	case c.Dropped:
	case e != nil:
		q.setHeaders(w.Header())
		q.writeError(w, e)
	default:
		q.writeAnswer(w, answer)
	}
}

// setHeaders sets the headers that every answer has.
func (q *call) setHeaders(h http.Header) {
	h["x-amz-request-id"] = []string{q.ID}
	h["x-amz-id-2"] = []string{hostID(q.ID)}
	maps.Copy(h, q.cors)
	h.Set("Server", "AmazonS3")
}

func (q *call) writeAnswer(w http.ResponseWriter, answer *answer) {
	h := w.Header()
	q.setHeaders(h)
	answer.write(h)
	status := answer.status
	if status == 0 {
		status = http.StatusOK
	}
	switch {
	case answer.stream != nil:
		h.Set("Content-Length", strconv.FormatInt(answer.length, 10))
		w.WriteHeader(status)
		if q.Request.Method == http.MethodHead {
			return
		}
		if err := answer.stream(w); err != nil {
			// The status is out; a cut connection is the only way left to say
			// that what came is not the object.
			q.Dropped = true
		}
	case answer.xml != nil:
		h.Set("Content-Type", "application/xml")
		h.Set("Content-Length", strconv.Itoa(len(answer.xml)))
		w.WriteHeader(status)
		if q.Request.Method != http.MethodHead {
			w.Write(answer.xml)
		}
	default:
		w.WriteHeader(status)
	}
}

func (q *call) writeError(w http.ResponseWriter, e *failure) {
	h := w.Header()
	(&answer{header: e.header}).write(h)
	if q.Request.Method == http.MethodHead || e.Status == http.StatusNotModified {
		w.WriteHeader(e.Status)
		return
	}
	x := newXML()
	if q.control() {
		x.Open("ErrorResponse")
		x.Open("Error")
	} else {
		x.Open("Error")
	}
	x.Text("Code", e.Code)
	x.Text("Message", e.Message)
	for i := 0; i+1 < len(e.fields); i += 2 {
		x.Text(e.fields[i], e.fields[i+1])
	}
	if q.control() {
		x.Close("Error")
		x.Text("RequestId", q.ID)
		x.Text("HostId", hostID(q.ID))
		x.Close("ErrorResponse")
	} else {
		x.Text("Resource", q.Request.URL.Path)
		x.Text("RequestId", q.ID)
		x.Text("HostId", hostID(q.ID))
		x.Close("Error")
	}
	h.Set("Content-Type", "application/xml")
	w.WriteHeader(e.Status)
	w.Write(x.Buf)
}

// newRequestID makes a request id of the form that S3's have.
func newRequestID() string {
	const alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ" // 32 of them
	var b [16]byte
	rand.Read(b[:])
	for i := range b {
		b[i] = alphabet[b[i]%32]
	}
	return string(b[:])
}

// hostID is the extended request id, x-amz-id-2, which means nothing to
// anybody but support.
func hostID(requestID string) string {
	return base64.StdEncoding.EncodeToString([]byte("openirsa/" + requestID + "/" + requestID + requestID))
}

// newCall takes the address of a request apart.
func (s *Service) newCall(c *api.Call) *call {
	c.ID = newRequestID()
	c.Caller = api.Anonymous()
	c.Region = ""
	return &call{Call: c, service: s, state: s.state, cors: make(http.Header)}
}

// answer does what a request asks for.
func (q *call) answer() (*answer, *failure) {
	run, e := q.route()
	if q.bucket != "" {
		q.state.age(q.bucket, q.At)
		q.config = q.state.config(q.bucket)
		q.Welcome = q.welcome(q.cors)
	}
	if q.Operation == "" {
		q.Operation = q.Request.Method // of requests that are no operation
	}
	if e != nil {
		return nil, e
	}
	if e := q.service.account.Gate.Admit(q.Call); e != nil {
		return nil, asFailure(e)
	}
	if q.Request.Method == http.MethodOptions { // which nobody signs
		return run(q)
	}
	if e := q.authenticate(); e != nil {
		return nil, e
	}
	q.unhoist()
	if v := q.Request.Header.Values("X-Amz-Expected-Bucket-Owner"); v != nil {
		if e := errNoAccountID(v[0]); e != nil {
			return nil, e
		}
	}
	if q.config != nil {
		if e := q.checkOwner(q.config, "X-Amz-Expected-Bucket-Owner"); e != nil {
			return nil, e
		}
	}
	return run(q)
}
