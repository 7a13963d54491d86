package emulator

import (
	"context"
	"log/slog"
	"net/http"
	"strings"

	"github.com/openirsa/openirsa/pkg/emulator/internal/api"
	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
	"github.com/openirsa/openirsa/pkg/policy"
)

// eventOf is the event of a call, as far as the call itself tells.
func eventOf(c *api.Call) Event {
	var issuer, subject, audience, cluster string
	if session := identityOf(&c.Caller).session; session != nil && session.issuer != "" {
		issuer, subject, audience, cluster = "https://"+session.issuer, session.subject, session.audience, session.cluster
	}
	return Event{
		Time:        c.At,
		RequestID:   c.ID,
		Service:     c.Service,
		Operation:   c.Operation,
		Caller:      c.Caller.Name(),
		AccessKeyID: c.Caller.KeyID,
		Issuer:      issuer,
		Subject:     subject,
		Audience:    audience,
		Cluster:     cluster,
		SourceIP:    sourceIP(c.Request),
		Action:      c.Service + ":" + c.Operation,
	}
}

// sourceIP is the address of the client without its port.
func sourceIP(r *http.Request) string {
	host := r.RemoteAddr
	if i := strings.LastIndexByte(host, ':'); i >= 0 {
		host = host[:i]
	}
	return strings.Trim(host, "[]")
}

// large reports whether a request is too large for an event to hold on to parts of
// it.
func large(c *api.Call) bool {
	return len(c.Request.RequestURI)+len(c.Body) > maxHeld || c.Request.ContentLength > maxHeld && c.Service != "s3"
}

// logDecided records a decision of policies. It is worded at once if it would
// otherwise hold on to much of the request.
func (s *Server) logDecided(c *api.Call, event Event, d *policy.Decision) {
	e := entry{Event: event, decision: d}
	if d != nil && (large(c) || decisionSize(d) > maxHeld) {
		e.Event, e.decision = e.read(), nil
	}
	s.keepEvent(c, e)
}

// Events are the kept events that a filter wants, oldest first.
func (s *Server) Events(f EventFilter) []Event {
	found, _, _ := s.events.find(f)
	var events []Event
	for _, e := range found {
		events = append(events, s.readEvent(e))
	}
	return events
}

// keepEvent keeps an event of a call, counts it and logs it.
func (s *Server) keepEvent(c *api.Call, e entry) {
	if e.Decision == Deny && c.Refused == "" {
		c.Refused = e.Step
	}
	if e.Account == "" && s.several() {
		e.Account = c.Caller.Account
	}
	s.metrics.decided(c, &e.Event)
	e.tidy()
	traceDecision(c.Span, &e)
	e.size = e.measure()
	s.events.add(&e)
	level := slog.LevelDebug
	switch e.Decision {
	case Deny:
		level = slog.LevelInfo
	case WouldDeny:
		level = slog.LevelWarn
	}
	ctx := context.Background()
	if !s.config.Log.Enabled(ctx, level) {
		return
	}
	event := e.read()
	attrs := []slog.Attr{
		slog.String("decision", event.Decision),
		slog.String("caller", event.Caller),
		slog.String("action", event.Action),
		slog.String("resource", event.Resource),
		slog.String("step", event.Step),
		slog.String("reason", event.Reason),
		slog.String("request", event.RequestID),
	}
	if event.Account != "" {
		attrs = append(attrs, slog.String("account", event.Account))
	}
	if event.Subject != "" {
		attrs = append(attrs,
			slog.String("issuer", event.Issuer), slog.String("subject", event.Subject), slog.String("audience", event.Audience))
	}
	if event.Code != "" {
		attrs = append(attrs, slog.String("code", event.Code))
	}
	message := "decision"
	if e.Decision == WouldDeny {
		message = "NOT ENFORCED: AWS would have denied this call"
	}
	s.config.Log.LogAttrs(ctx, level, message, attrs...)
}

// logIssued records that a call which was allowed gave credentials out.
func (s *Server) logIssued(c *api.Call, k *credentials, arn string) {
	event := eventOf(c)
	event.Resource, event.Decision, event.Step = arn, Allow, "issued"
	event.Reason = "credentials of a session were given out"
	event.Session = &IssuedSession{k.keyID, arn, k.expires.UTC()}
	s.keepEvent(c, entry{Event: event})
}

// logRefused records that a call was denied at a step, why in words, and what the
// caller gets.
func (s *Server) logRefused(c *api.Call, step, why string, e *wire.Failure) {
	event := eventOf(c)
	event.Decision, event.Step, event.Reason, event.Code = Deny, step, why, e.Code
	s.keepEvent(c, entry{Event: event})
}

// logAllowed records that a call was allowed without asking policies.
func (s *Server) logAllowed(c *api.Call, why string) {
	event := eventOf(c)
	event.Decision, event.Step, event.Reason = Allow, "signature", why
	s.keepEvent(c, entry{Event: event})
}
