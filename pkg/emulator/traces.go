package emulator

import (
	"strings"
	"time"

	"github.com/openirsa/openirsa/internal/trace"
	"github.com/openirsa/openirsa/pkg/emulator/internal/api"
)

// called counts a call that began at a time and is over, and says in its span what it
// was. The names are those of OpenTelemetry's semantic conventions for RPC and for AWS.
func (s *Server) called(c *api.Call, w *api.PacedWriter, began time.Time) {
	s.metrics.count(c, w, began)
	span := c.Span
	if span == nil {
		return
	}
	service, operation := s.metrics.labels(c)
	span.Name(strings.ToUpper(service) + "/" + operation)
	span.Text("rpc.system", "aws-api")
	span.Text("rpc.service", strings.ToUpper(service))
	span.Text("rpc.method", operation)
	span.Text("aws.request_id", c.ID)
	span.Text("cloud.region", shown(c.Region, maxText))
	span.Text("openirsa.caller", shown(c.Caller.Name(), maxText))
	span.Text("openirsa.outcome", outcome(c, w.Status()))
}

// traceDecision tells a decision in the span of its call.
func traceDecision(span *trace.Span, e *entry) {
	if span == nil {
		return
	}
	event := e.read()
	span.Event("decision", "openirsa.decision", event.Decision, "openirsa.step", event.Step, "openirsa.action", event.Action,
		"openirsa.resource", event.Resource, "openirsa.reason", event.Reason)
	if event.Decision == Deny {
		span.Fail(event.Code, event.Reason)
	}
}

// traceToken says in the span of a call which token it brings. None of it is believed
// yet.
func traceToken(span *trace.Span, t *webToken) {
	if span == nil || t == nil {
		return
	}
	span.Text("openirsa.token.issuer", shown(t.issuer, maxText))
	span.Text("openirsa.token.subject", shown(t.subject, maxText))
	span.Text("openirsa.token.audience", shown(strings.Join(t.audience, ", "), maxText))
	span.Text("openirsa.token.key_id", shown(t.kid, maxText))
	span.Text("openirsa.token.algorithm", t.alg)
}

// traceFetch ends the span of a document that was fetched.
func traceFetch(span *trace.Span, f *Fetch) {
	if span == nil {
		return
	}
	span.Text("http.request.method", "GET")
	span.Text("url.full", shown(f.URL, maxText))
	span.Bool("openirsa.own_s3", f.Inside)
	if f.Status != 0 {
		span.Number("http.response.status_code", int64(f.Status))
	}
	if f.Error != "" || f.Status >= 400 {
		span.Fail("fetch", shown(f.Error, maxText))
	}
	span.End()
}

// finish ends the span of a check.
func finish(span *trace.Span, fault *tokenFault) {
	if fault != nil {
		span.Fail(fault.step, fault.why)
	}
	span.End()
}
