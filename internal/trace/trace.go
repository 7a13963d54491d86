// Package trace exports OpenTelemetry traces of requests: what happened in one, how
// long each part took, and how it ended. It does nothing, and costs next to nothing,
// unless the environment names where traces go:
//
//	tracer := trace.New(trace.Options{Service: "openirsa-webhook", Lookup: os.LookupEnv, Log: log})
//	go tracer.Run(ctx)
//	http.Serve(listener, tracer.Handler(handler))
//
// and in the handler:
//
//	span := trace.From(r.Context()) // nil if the request is not traced
//	span.Name("POST /mutate")
//	part := span.Start("look up service account")
//	defer part.End()
//
// It is a small part of OpenTelemetry's API and SDK, and takes the place of both: the
// SDK would add a megabyte to each program, and its exporters seven. Spans go out as
// OTLP/HTTP in JSON (OpenTelemetry Protocol Specification, "JSON Protobuf Encoding").
//
// A span must have no secrets. What has the form of one is taken out of every text.
package trace

import (
	"context"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Kinds of spans, by their numbers in OTLP.
const (
	internal = 1
	server   = 2
	client   = 3
)

// Tracer begins spans, and exports those that have ended. A nil Tracer begins none.
type Tracer struct {
	config
	sampler   sampler
	propagate bool // a caller's trace is continued

	mu      sync.Mutex
	ended   []*Span       // to be exported
	dropped int           // since it was last told
	full    chan struct{} // has an element once there are enough for an export
}

// Span is a part of a request, with a beginning and an end. The methods of a nil Span
// do nothing. A span belongs to one goroutine until it has ended; different spans of a
// request may belong to different goroutines.
type Span struct {
	request    *request
	name       string
	kind       int
	id, parent [8]byte
	remote     bool // the parent is the caller's
	start, end time.Time
	attributes []attribute
	events     []event
	failed     bool
	message    string // about the failure
}

type attribute struct {
	key   string
	value any // string, int64 or bool
}

type event struct {
	name       string
	at         time.Time
	attributes []attribute
}

// request is what the spans of one request share.
type request struct {
	tracer *Tracer
	trace  [16]byte
	state  string // tracestate of the caller

	mu    sync.Mutex
	spans []*Span // that have ended before the request
	over  bool
	kept  bool // it has got a name, so it is exported
}

// begin begins the span of a request, nil if it is not sampled.
func (t *Tracer) begin(h http.Header) *Span {
	var from parent
	known := false
	if t.propagate {
		from, known = parseParent(h)
	}
	if !known {
		for i := 0; i < len(from.trace); i += 8 {
			putRandom(from.trace[i:])
		}
	}
	if !t.sampler.samples(from, known) {
		return nil
	}
	s := &Span{
		request: &request{tracer: t, trace: from.trace, state: from.state}, kind: server,
		parent: from.span, remote: known, start: time.Now(),
	}
	putRandom(s.id[:])
	return s
}

// putRandom fills eight bytes, not all of them zero.
func putRandom(to []byte) {
	n := rand.Uint64()
	for n == 0 {
		n = rand.Uint64()
	}
	for i := range 8 {
		to[i] = byte(n >> (8 * i))
	}
}

// Start begins a part of a span.
func (s *Span) Start(name string) *Span { return s.child(name, internal) }

// StartCall begins a part of a span that is a call of another program.
func (s *Span) StartCall(name string) *Span { return s.child(name, client) }

func (s *Span) child(name string, kind int) *Span {
	if s == nil {
		return nil
	}
	c := &Span{request: s.request, name: name, kind: kind, parent: s.id, start: time.Now()}
	putRandom(c.id[:])
	return c
}

// Name names a span. A request that gets no name is not exported.
func (s *Span) Name(name string) {
	if s != nil {
		s.name = name
	}
}

// Text sets an attribute, unless the value is empty.
func (s *Span) Text(key, value string) {
	if s != nil && value != "" {
		s.attributes = append(s.attributes, attribute{key, held(value)})
	}
}

// held is as much of a text as a span holds on to: a copy, which does not keep the
// request that the text is of.
func held(s string) string { return strings.Clone(s[:min(len(s), 2*maxText)]) }

// Number sets an attribute.
func (s *Span) Number(key string, value int64) {
	if s != nil {
		s.attributes = append(s.attributes, attribute{key, value})
	}
}

// Bool sets an attribute.
func (s *Span) Bool(key string, value bool) {
	if s != nil {
		s.attributes = append(s.attributes, attribute{key, value})
	}
}

// Event is something that happened at this time, with texts: keys and values in turns.
// Those without a value are left out.
func (s *Span) Event(name string, texts ...string) {
	if s == nil {
		return
	}
	e := event{name: name, at: time.Now()}
	for i := 0; i+1 < len(texts); i += 2 {
		if texts[i+1] != "" {
			e.attributes = append(e.attributes, attribute{texts[i], held(texts[i+1])})
		}
	}
	s.events = append(s.events, e)
}

// Fail says that what the span is of went wrong: the class of the fault, such as an
// error code, and in words.
func (s *Span) Fail(class, message string) {
	if s == nil {
		return
	}
	s.Text("error.type", class)
	s.failed, s.message = true, held(message)
}

// Err is Fail for an error, if there is one.
func (s *Span) Err(err error) {
	if s != nil && err != nil {
		s.Fail("_OTHER", err.Error()) // the semantic conventions' word for errors without a class
	}
}

// End ends a span.
func (s *Span) End() {
	if s == nil {
		return
	}
	s.end = s.start.Add(time.Since(s.start)) // by the monotonic clock
	r := s.request
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case s.kind == server:
		r.over, r.kept = true, s.name != ""
		if r.kept {
			r.tracer.keep(append(r.spans, s))
		}
		r.spans = nil
	case !r.over:
		r.spans = append(r.spans, s)
	case r.kept: // it ended later than the request
		r.tracer.keep([]*Span{s})
	}
}

// keep keeps spans until they are exported, unless there are too many already.
func (t *Tracer) keep(spans []*Span) {
	t.mu.Lock()
	room := max(t.maxQueue-len(t.ended), 0)
	if len(spans) > room {
		t.dropped += len(spans) - room
		spans = spans[:room]
	}
	t.ended = append(t.ended, spans...)
	enough := len(t.ended) >= t.maxBatch
	t.mu.Unlock()
	if enough {
		select {
		case t.full <- struct{}{}:
		default:
		}
	}
}

type key struct{}

// From is the span of a context; nil if there is none.
func From(ctx context.Context) *Span {
	s, _ := ctx.Value(key{}).(*Span)
	return s
}

// With is a context with a span.
func With(ctx context.Context, s *Span) context.Context {
	if s == nil {
		return ctx
	}
	return context.WithValue(ctx, key{}, s)
}

// Handler traces the requests to h that are sampled, and that h gives a name. The
// caller's trace is continued.
func (t *Tracer) Handler(h http.Handler) http.Handler {
	if t == nil {
		return h
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := t.begin(r.Header)
		if s == nil {
			h.ServeHTTP(w, r)
			return
		}
		seen := &statusWriter{w, http.StatusOK}
		defer func() {
			s.Text("http.request.method", knownMethod(r.Method))
			s.Number("http.response.status_code", int64(seen.status))
			if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
				s.Text("client.address", host)
			}
			if seen.status >= http.StatusInternalServerError && !s.failed {
				s.Fail(http.StatusText(seen.status), "")
			}
			s.End()
		}()
		h.ServeHTTP(seen, r.WithContext(With(r.Context(), s)))
	})
}

// knownMethod is a method, or what the semantic conventions call an unknown one.
func knownMethod(m string) string {
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodPatch, http.MethodOptions:
		return m
	}
	return "_OTHER"
}

type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	if status >= http.StatusOK { // not 100 Continue
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
