package emulator

import (
	"context"
	"log/slog"
	"net/http"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/openirsa/openirsa/pkg/policy"
)

// Decisions of an [Event].
const (
	Allow = "allow"
	Deny  = "deny"
)

// An Event is one decision: that a caller is or is not who it says it is, that
// it may or may not do something. It says why in words, which AWS never does.
// It never holds a token, a secret or a signature.
type Event struct {
	// Seq counts events from 1, without a gap.
	Seq uint64 `json:"seq"`
	// Time is when the request came, by the emulator's clock.
	Time time.Time `json:"time"`
	// RequestID is the one in the answer, by which a client can ask.
	RequestID string `json:"requestId"`
	// Service and Operation are what was called, such as "sts" and
	// "AssumeRoleWithWebIdentity".
	Service   string `json:"service"`
	Operation string `json:"operation"`
	// Caller is the ARN of who signed. Of web identity it is the token's
	// subject; "anonymous" is nobody.
	Caller string `json:"caller"`
	// AccessKeyID is the key that signed, or that was given out.
	AccessKeyID string `json:"accessKeyId,omitempty"`
	// SourceIP is the address of the client.
	SourceIP string `json:"sourceIp,omitempty"`
	// Action and Resource are what was asked for.
	Action   string `json:"action"`
	Resource string `json:"resource,omitempty"`
	// Decision is [Allow] or [Deny].
	Decision string `json:"decision"`
	// Step is the check that decided: "permission" for policies, "signature"
	// for who signed, "parameters", and for web identity "token", "claims",
	// "provider", "audience", "keys", "signature", "roles claim", "trust",
	// "duration", "session policy". Not decisions, but worth telling, are
	// "issued" for credentials that a permission was given for, "warning", and
	// "fault" for one that was injected.
	Step string `json:"step"`
	// Code is the error code that the caller got.
	Code string `json:"code,omitempty"`
	// Reason is the decision in words.
	Reason string `json:"reason"`
	// Issuer, Subject and Audience are those of a web identity token.
	Issuer   string `json:"issuer,omitempty"`
	Subject  string `json:"subject,omitempty"`
	Audience string `json:"audience,omitempty"`
	// Session is what was given out, if credentials were.
	Session *IssuedSession `json:"session,omitempty"`
	// Fetches are the documents that were fetched for this decision.
	Fetches []Fetch `json:"fetches,omitempty"`
	// Statement is what decided, if it was a statement of a policy.
	Statement *Statement `json:"statement,omitempty"`
	// Checks are the elements that stood in the way of statements which speak
	// of the action: the nearest miss first.
	Checks []Check `json:"checks,omitempty"`
	// Warnings are advice about what was allowed, denied or stored.
	Warnings []string `json:"warnings,omitempty"`
}

// IssuedSession tells of temporary credentials without telling them.
type IssuedSession struct {
	AccessKeyID string    `json:"accessKeyId"`
	ARN         string    `json:"arn"` // as GetCallerIdentity says it
	Expires     time.Time `json:"expires"`
}

// Fetch is a document of an issuer that was fetched, or was to be.
type Fetch struct {
	URL string `json:"url"`
	// Status is the HTTP status, 0 if there was no answer.
	Status int `json:"status,omitempty"`
	// Inside says that the document is in the emulator's own S3.
	Inside bool `json:"inside,omitempty"`
	// Error says what went wrong.
	Error string `json:"error,omitempty"`
	// Millis is how long it took, in milliseconds.
	Millis int64 `json:"millis"`
}

// Statement names a statement of a policy.
type Statement struct {
	Type   string `json:"type"`   // such as "identity-based policy"
	Policy string `json:"policy"` // name or ARN
	Index  int    `json:"index"`  // position in the document, from 0
	Sid    string `json:"sid,omitempty"`
}

// Check is one element of a statement held against the request.
type Check struct {
	Statement Statement `json:"statement"`
	Element   string    `json:"element"`            // "Resource", "Condition", ...
	Operator  string    `json:"operator,omitempty"` // of a condition
	Key       string    `json:"key,omitempty"`      // of a condition
	Expected  []string  `json:"expected"`           // in the policy
	Actual    []string  `json:"actual"`             // in the request; null if the key is absent
	Hint      string    `json:"hint,omitempty"`
}

// entry is an event as it is kept: what takes time to word is worded when
// somebody reads it.
type entry struct {
	Event
	decision *policy.Decision // nil if no policy was asked
}

// read is the event in full.
func (e *entry) read() Event {
	event := e.Event
	d := e.decision
	if d == nil {
		return event
	}
	if event.Reason == "" {
		event.Reason = d.String()
	}
	if d.Statement.Policy != "" {
		event.Statement = new(statementOf(d.Statement))
	}
	checks := func(s policy.Statement, c policy.Check) {
		event.Checks = append(event.Checks, Check{
			Statement: statementOf(s), Element: c.Element, Operator: c.Operator, Key: c.Key,
			Expected: c.Expected, Actual: c.Actual, Hint: c.Hint,
		})
	}
	for _, c := range d.Matched {
		checks(d.Statement, c)
	}
	for _, m := range d.Misses {
		checks(m.Statement, m.Check)
	}
	return event
}

func statementOf(s policy.Statement) Statement {
	return Statement{Type: string(s.Type), Policy: s.Policy, Index: s.Index, Sid: s.Sid}
}

// eventLog keeps the latest events.
type eventLog struct {
	mu    sync.Mutex // guards the fields below
	ring  []entry
	last  uint64        // Seq of the latest event, 0 before the first
	news  chan struct{} // closed at the next event; nil if nobody waits
	limit int
}

func (l *eventLog) init(limit int) { l.limit = limit }

func (l *eventLog) add(e entry) {
	l.mu.Lock()
	l.last++
	e.Seq = l.last
	if len(l.ring) < l.limit {
		l.ring = append(l.ring, e)
	} else {
		l.ring[(l.last-1)%uint64(l.limit)] = e
	}
	news := l.news
	l.news = nil
	l.mu.Unlock()
	if news != nil {
		close(news)
	}
}

// EventFilter says which events are wanted. The zero filter wants all.
type EventFilter struct {
	// Caller is a part of the caller, of the token's subject, or the access
	// key id.
	Caller string
	// Action is the action with its service or the operation; "*" and "?" are
	// wildcards. Case does not count.
	Action string
	// Decision is [Allow] or [Deny].
	Decision string
	// RequestID is one request's.
	RequestID string
	// Since is the earliest time.
	Since time.Time
	// After is the last event that was already seen, by its Seq.
	After uint64
	// Limit is how many are wanted, at most: the latest ones. 0 is all.
	Limit int
}

func (f *EventFilter) wants(e *Event) bool {
	return (f.Caller == "" || strings.Contains(e.Caller, f.Caller) || strings.Contains(e.Subject, f.Caller) || e.AccessKeyID == f.Caller) &&
		(f.Action == "" || wildcard(f.Action, e.Action) || wildcard(f.Action, e.Operation)) &&
		(f.Decision == "" || f.Decision == e.Decision) &&
		(f.RequestID == "" || f.RequestID == e.RequestID) &&
		(f.Since.IsZero() || !e.Time.Before(f.Since)) &&
		e.Seq > f.After
}

func wildcard(pattern, s string) bool {
	ok, err := path.Match(strings.ToLower(pattern), strings.ToLower(s))
	return ok && err == nil
}

// Events are the kept events that a filter wants, oldest first.
func (s *Server) Events(f EventFilter) []Event {
	found, _, _ := s.events.find(f)
	return found
}

// find is Events, with the Seq of the latest event and a channel that is
// closed at the next one.
func (l *eventLog) find(f EventFilter) ([]Event, uint64, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var found []Event
	first := l.last - uint64(len(l.ring)) + 1
	for seq := l.last; seq >= max(first, f.After+1) && seq > 0; seq-- {
		e := &l.ring[(seq-1)%uint64(l.limit)]
		if !f.wants(&e.Event) {
			continue
		}
		found = append(found, e.read())
		if len(found) == f.Limit {
			break
		}
	}
	slices.Reverse(found)
	if l.news == nil {
		l.news = make(chan struct{})
	}
	return found, l.last, l.news
}

func (l *eventLog) wait(ctx context.Context, f EventFilter) ([]Event, uint64) {
	for {
		found, last, news := l.find(f)
		if len(found) > 0 {
			return found, last
		}
		select {
		case <-ctx.Done():
			return nil, last
		case <-news:
		}
	}
}

// event is the event of a call, as far as the call itself tells.
func (c *call) event() Event {
	return Event{
		Time:        c.at,
		RequestID:   c.id,
		Service:     c.service,
		Operation:   c.operation,
		Caller:      c.callerName(),
		AccessKeyID: c.caller.keyID,
		SourceIP:    sourceIP(c.r),
		Action:      c.service + ":" + c.operation,
	}
}

func (c *call) callerName() string {
	if c.caller.ARN == "" {
		return "anonymous"
	}
	return c.caller.ARN
}

// sourceIP is the address of the client without its port.
func sourceIP(r *http.Request) string {
	host := r.RemoteAddr
	if i := strings.LastIndexByte(host, ':'); i >= 0 {
		host = host[:i]
	}
	return strings.Trim(host, "[]")
}

// maxEventText bounds the texts of an event, in bytes: what clients send in may
// be longer than anybody reads.
const maxEventText = 4096

func clip(text *string) {
	if len(*text) > maxEventText {
		*text = strings.ToValidUTF8((*text)[:maxEventText], "") + "..."
	}
}

// record keeps an event and logs it.
func (s *Server) record(e entry) {
	for _, text := range []*string{&e.Caller, &e.Resource, &e.Reason, &e.Issuer, &e.Subject, &e.Audience} {
		clip(text)
	}
	s.events.add(e)
	level := slog.LevelDebug
	if e.Decision == Deny {
		level = slog.LevelInfo
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
	if event.Subject != "" {
		attrs = append(attrs, slog.String("issuer", event.Issuer), slog.String("subject", event.Subject), slog.String("audience", event.Audience))
	}
	if event.Code != "" {
		attrs = append(attrs, slog.String("code", event.Code))
	}
	s.config.Log.LogAttrs(ctx, level, "decision", attrs...)
}

// issued records that a call which was allowed gave credentials out.
func (s *Server) issued(c *call, k *credentials, arn string) {
	event := c.event()
	event.Resource, event.Decision, event.Step = arn, Allow, "issued"
	event.Reason = "credentials of a session were given out"
	event.Session = &IssuedSession{k.keyID, arn, k.expires.UTC()}
	s.record(entry{Event: event})
}

// refuse records that a call was denied at a step, why in words, and what the
// caller is told.
func (s *Server) refuse(c *call, step, why string, e *awsError) {
	event := c.event()
	event.Decision, event.Step, event.Reason, event.Code = Deny, step, why, e.code
	s.record(entry{Event: event})
}
