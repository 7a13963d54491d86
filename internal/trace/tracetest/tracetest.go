// Package tracetest is a collector of traces for tests. It takes what OTLP/HTTP in JSON
// allows, and fails the test at anything else.
package tracetest

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// Span is a span that was exported.
type Span struct {
	TraceID, SpanID, ParentSpanID, TraceState, Name string
	Kind, Flags                                     int
	StartTimeUnixNano, EndTimeUnixNano              string
	Attributes                                      []attribute
	Events                                          []Event
	Status                                          struct {
		Code    int
		Message string
	}
	resource map[string]string
}

// Event is an event of a span.
type Event struct {
	TimeUnixNano, Name string
	Attributes         []attribute
}

type attribute struct {
	Key   string
	Value struct {
		StringValue *string
		IntValue    *string
		BoolValue   *bool
	}
}

func valueOf(list []attribute, key string) string {
	for _, a := range list {
		switch v := a.Value; {
		case a.Key != key:
		case v.StringValue != nil:
			return *v.StringValue
		case v.IntValue != nil:
			return *v.IntValue
		case v.BoolValue != nil:
			return strconv.FormatBool(*v.BoolValue)
		}
	}
	return ""
}

// Value is an attribute's value as a text, "" if there is none.
func (s *Span) Value(key string) string { return valueOf(s.Attributes, key) }

// Resource is a value of the resource, "" if there is none.
func (s *Span) Resource(key string) string { return s.resource[key] }

// Value is an attribute's value as a text, "" if there is none.
func (e *Event) Value(key string) string { return valueOf(e.Attributes, key) }

// Collector takes traces.
type Collector struct {
	*httptest.Server
	t testing.TB

	mu      sync.Mutex
	status  []int // of the next answers, before all others are 200
	header  http.Header
	bodies  []string
	spans   []Span
	arrived chan struct{} // has an element after each request
}

// Start starts a collector for the length of a test.
func Start(t testing.TB) *Collector {
	c := &Collector{t: t, arrived: make(chan struct{}, 100)}
	c.Server = httptest.NewServer(http.HandlerFunc(c.take))
	t.Cleanup(c.Close)
	return c
}

// Environment is one with this endpoint, and pairs of names and values.
func (c *Collector) Environment(pairs ...string) func(string) (string, bool) {
	all := append([]string{"OTEL_EXPORTER_OTLP_ENDPOINT", c.URL}, pairs...)
	return func(name string) (string, bool) {
		for i := len(all) - 2; i >= 0; i -= 2 {
			if all[i] == name {
				return all[i+1], true
			}
		}
		return "", false
	}
}

// Refuse answers the next requests with these statuses.
func (c *Collector) Refuse(status ...int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.status = status
}

var ids = regexp.MustCompile(`^[0-9a-f]+$`)

func (c *Collector) take(w http.ResponseWriter, r *http.Request) {
	var body bytes.Buffer
	body.ReadFrom(r.Body)
	if r.Method != http.MethodPost || r.URL.Path != "/v1/traces" || r.Header.Get("Content-Type") != "application/json" {
		c.t.Errorf("not a request of OTLP: %s %s %s", r.Method, r.URL, r.Header.Get("Content-Type"))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	defer func() { c.arrived <- struct{}{} }()
	c.header = r.Header
	c.bodies = append(c.bodies, body.String())
	w.Header().Set("Content-Type", "application/json")
	if len(c.status) > 0 {
		w.WriteHeader(c.status[0])
		c.status = c.status[1:]
		return
	}
	var request struct {
		ResourceSpans []struct {
			Resource   struct{ Attributes []attribute }
			ScopeSpans []struct {
				Scope struct{ Name, Version string }
				Spans []Span
			}
		}
	}
	d := json.NewDecoder(&body)
	d.DisallowUnknownFields()
	if err := d.Decode(&request); err != nil {
		c.t.Errorf("what was exported is not OTLP: %v: %s", err, c.bodies[len(c.bodies)-1])
	}
	for _, r := range request.ResourceSpans {
		resource := map[string]string{}
		for _, a := range r.Resource.Attributes {
			resource[a.Key] = valueOf(r.Resource.Attributes, a.Key)
		}
		for _, s := range r.ScopeSpans {
			for _, span := range s.Spans {
				span.resource = resource
				c.check(&span)
				c.spans = append(c.spans, span)
			}
		}
	}
	w.Write([]byte("{}"))
}

func (c *Collector) check(s *Span) {
	start, err1 := strconv.ParseInt(s.StartTimeUnixNano, 10, 64)
	end, err2 := strconv.ParseInt(s.EndTimeUnixNano, 10, 64)
	good := len(s.TraceID) == 32 && len(s.SpanID) == 16 && ids.MatchString(s.TraceID+s.SpanID+s.ParentSpanID) &&
		(s.ParentSpanID == "" || len(s.ParentSpanID) == 16)
	if !good || err1 != nil || err2 != nil || start == 0 || end < start || s.Name == "" || s.Kind == 0 {
		c.t.Errorf("a span that cannot be: %+v", s)
	}
}

// Wait waits for the next request.
func (c *Collector) Wait() { <-c.arrived }

// Header is that of the latest request.
func (c *Collector) Header() http.Header {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.header
}

// Bodies are the requests as they came.
func (c *Collector) Bodies() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.bodies)
}

// Spans are those that were taken.
func (c *Collector) Spans() []Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.spans)
}

// Find is the first span of a name, and fails the test if there is none.
func (c *Collector) Find(name string) *Span {
	c.t.Helper()
	for _, s := range c.Spans() {
		if s.Name == name {
			return &s
		}
	}
	c.t.Fatalf("no span %q among %q", name, c.Trees())
	return nil
}

// Trees are the names of spans, those below one in brackets, in the order in which they
// began: "a(b c(d)) e".
func (c *Collector) Trees() string {
	spans := c.Spans()
	slices.SortStableFunc(spans, func(a, b Span) int { return strings.Compare(a.StartTimeUnixNano, b.StartTimeUnixNano) })
	known := map[string]bool{}
	for _, s := range spans {
		known[s.SpanID] = true
	}
	var below func(parent string) string
	below = func(parent string) string {
		var names []string
		for _, s := range spans {
			if s.ParentSpanID != parent && (parent != "" || known[s.ParentSpanID]) {
				continue
			}
			name := s.Name
			if inner := below(s.SpanID); inner != "" {
				name += "(" + inner + ")"
			}
			names = append(names, name)
		}
		return strings.Join(names, " ")
	}
	return below("")
}
