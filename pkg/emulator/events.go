package emulator

import (
	"context"
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
	// WouldDeny is a denial of policies that was not enforced: the call was let
	// through, and AWS would have denied it. See [EnforceLog].
	WouldDeny = "wouldDeny"
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
	// Account is the caller's account, if the emulator has several; of web identity
	// the role's. ResourceAccount is the resource's, if it is another.
	Account         string `json:"account,omitempty"`
	ResourceAccount string `json:"resourceAccount,omitempty"`
	// AccessKeyID is the key that signed, or that was given out.
	AccessKeyID string `json:"accessKeyId,omitempty"`
	// SourceIP is the address of the client.
	SourceIP string `json:"sourceIp,omitempty"`
	// Action and Resource are what was asked for.
	Action   string `json:"action"`
	Resource string `json:"resource,omitempty"`
	// ResourceUnknown says that parts of the resource were not known, such as the id of
	// one that is to be made: Resource has "*" there. Policies were asked with a
	// made-up one of the right form.
	ResourceUnknown bool `json:"resourceUnknown,omitempty"`
	// Decision is [Allow], [Deny] or [WouldDeny].
	Decision string `json:"decision"`
	// Step is the check that decided: "permission" for policies, "signature"
	// for who signed, "parameters", "service" for one that is not here, and for
	// web identity "token", "claims", "provider", "audience", "keys",
	// "signature", "roles claim", "trust", "duration", "session policy", for the token
	// of a pod "issuer" and "association" too, and "existence" for what is not there. Not
	// decisions, but worth telling, are "issued" for credentials that a
	// permission was given for, "warning", and "fault" for one that was injected.
	Step string `json:"step"`
	// Code is the error code that the caller got.
	Code string `json:"code,omitempty"`
	// Reason is the decision in words.
	Reason string `json:"reason"`
	// Issuer, Subject and Audience are those of a web identity token, or of the one
	// that the caller's session was got for.
	Issuer   string `json:"issuer,omitempty"`
	Subject  string `json:"subject,omitempty"`
	Audience string `json:"audience,omitempty"`
	// KeyID is the key that the token names, and Pod the NAMESPACE/NAME that it is
	// bound to, if it is one of Kubernetes.
	KeyID string `json:"kid,omitempty"`
	Pod   string `json:"pod,omitempty"`
	// Cluster is the ARN of the cluster of EKS, if it is about the token of a pod for EKS
	// Pod Identity, or about a session that was got for one.
	Cluster string `json:"cluster,omitempty"`
	// Node is the node that an agent of EKS Pod Identity says it runs on.
	Node string `json:"node,omitempty"`
	// Expected and Found are the two values of which one should have been, or been
	// among, the other, if the denial is about such: of policies those of the first
	// of Checks. Without Found there was nothing.
	Expected []string `json:"expected,omitempty"`
	Found    []string `json:"found,omitempty"`
	// Session is what was given out, if credentials were.
	Session *IssuedSession `json:"session,omitempty"`
	// Fetches are the documents that were fetched for this decision.
	Fetches []Fetch `json:"fetches,omitempty"`
	// Statement is what decided, if it was a statement of a policy.
	Statement *Statement `json:"statement,omitempty"`
	// Checks are the elements that stood in the way of statements which speak
	// of the action: the nearest miss first.
	Checks []Check `json:"checks,omitempty"`
	// Remedy is what would allow it, if policies denied.
	Remedy *Remedy `json:"remedy,omitempty"`
	// Warnings are advice about what was allowed, denied or stored.
	Warnings []string `json:"warnings,omitempty"`
}

// IssuedSession describes temporary credentials without showing them.
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
// somebody reads it. Once kept it never changes.
type entry struct {
	Event
	decision *policy.Decision // nil if no policy was asked
	size     int              // bytes, about
}

// read is the event in full, within the bounds of what is shown.
func (e *entry) read() Event {
	event := e.Event
	d := e.decision
	if d == nil {
		return event
	}
	if event.Reason == "" {
		event.Reason = shown(d.String(), maxReason)
	}
	if d.Statement.Policy != "" {
		event.Statement = new(statementOf(d.Statement))
	}
	left := maxChecks
	checks := func(s policy.Statement, c policy.Check) {
		check := Check{
			Statement: statementOf(s), Element: c.Element, Operator: c.Operator, Key: shown(c.Key, maxText),
			Expected: shownList(c.Expected, &left), Actual: shownList(c.Actual, &left), Hint: shown(c.Hint, maxReason),
		}
		event.Checks = append(event.Checks, check)
	}
	for _, c := range d.Matched {
		checks(d.Statement, c)
	}
	for _, m := range d.Misses {
		checks(m.Statement, m.Check)
	}
	if !d.Explicit && len(event.Checks) > 0 {
		event.Expected, event.Found = event.Checks[0].Expected, event.Checks[0].Actual
	}
	return event
}

// decisionSize is about how many bytes a decision holds on to.
func decisionSize(d *policy.Decision) int {
	n := 256 + len(d.Action) + len(d.Resource)
	check := func(c policy.Check) {
		n += 160
		for _, list := range [][]string{c.Expected, c.Actual, {c.Key, c.Hint}} {
			for _, text := range list {
				n += 16 + len(text)
			}
		}
	}
	for _, c := range d.Matched {
		check(c)
	}
	for _, m := range d.Misses {
		check(m.Check)
	}
	return n
}

func statementOf(s policy.Statement) Statement {
	return Statement{Type: string(s.Type), Policy: shown(s.Policy, maxText), Index: s.Index, Sid: shown(s.Sid, maxText)}
}

// eventLog keeps the latest events, within a number and a size.
type eventLog struct {
	mu    sync.Mutex    // guards the fields below, and is held to copy pointers only
	ring  []*entry      // by Seq; nil where it was dropped
	first uint64        // Seq of the oldest event that is kept
	last  uint64        // Seq of the latest event, 0 before the first
	bytes int           // of what is kept
	news  chan struct{} // closed at the next event; nil if nobody waits

	limit, maxBytes int
}

func (l *eventLog) init(limit, maxBytes int) {
	l.limit, l.maxBytes, l.first = limit, maxBytes, 1
}

// clear forgets the events; numbers go on.
func (l *eventLog) clear() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for ; l.first <= l.last; l.first++ {
		*l.slot(l.first) = nil
	}
	l.bytes = 0
}

func (l *eventLog) slot(seq uint64) **entry { return &l.ring[(seq-1)%uint64(l.limit)] }

func (l *eventLog) add(e *entry) {
	l.mu.Lock()
	l.last++
	e.Seq = l.last
	if len(l.ring) < l.limit {
		l.ring = append(l.ring, nil)
	}
	l.bytes += e.size
	for l.first < l.last && (l.bytes > l.maxBytes || l.last-l.first >= uint64(l.limit)) {
		oldest := l.slot(l.first)
		l.bytes -= (*oldest).size
		*oldest = nil
		l.first++
	}
	*l.slot(l.last) = e
	news := l.news
	l.news = nil
	l.mu.Unlock()
	if news != nil {
		close(news)
	}
}

// stats are how many events there were, how many of them and how many bytes are kept.
func (l *eventLog) stats() (all, kept uint64, bytes int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last, l.last + 1 - l.first, l.bytes
}

// EventFilter says which events are wanted. The zero filter wants all.
type EventFilter struct {
	// Caller is a part of the caller, of the token's subject, or the access
	// key id.
	Caller string
	// Account is the account of the caller or of the resource, as events have it.
	Account string
	// Action is the action with its service or the operation; "*" and "?" are
	// wildcards. Case does not count.
	Action string
	// Decision is [Allow], [Deny] or [WouldDeny].
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
		(f.Account == "" || f.Account == e.Account || f.Account == e.ResourceAccount) &&
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

// find are the entries that a filter wants, oldest first, with the Seq of the
// latest event and a channel that is closed at the next one.
func (l *eventLog) find(f EventFilter) ([]*entry, uint64, <-chan struct{}) {
	l.mu.Lock()
	var kept []*entry
	for seq := max(l.first, f.After+1); seq <= l.last; seq++ {
		kept = append(kept, *l.slot(seq))
	}
	if l.news == nil {
		l.news = make(chan struct{})
	}
	last, news := l.last, l.news
	l.mu.Unlock()

	var found []*entry
	for _, e := range slices.Backward(kept) {
		if !f.wants(&e.Event) {
			continue
		}
		found = append(found, e)
		if len(found) == f.Limit {
			break
		}
	}
	slices.Reverse(found)
	return found, last, news
}

// wait is find, which waits for an event if there is none. It does not wait for what
// comes after an event that there was not: the number is another process's.
func (l *eventLog) wait(ctx context.Context, f EventFilter) ([]*entry, uint64) {
	for {
		found, last, news := l.find(f)
		if len(found) > 0 || f.After > last {
			return found, last
		}
		select {
		case <-ctx.Done():
			return nil, last
		case <-news:
		}
	}
}

// tidy brings an event into the bounds of what is kept and shown.
func (e *Event) tidy() {
	texts := []*string{
		&e.Operation, &e.Service, &e.Step, &e.Code, &e.Caller, &e.Action, &e.Issuer, &e.Subject, &e.Audience, &e.KeyID, &e.Pod,
		&e.Node, &e.Cluster,
	}
	for _, text := range texts {
		*text = fit(*text, maxText)
	}
	e.Reason = fit(e.Reason, maxReason)
	copyTexts(append(texts, &e.Reason)...)
	e.Resource = shownResource(e.Resource)
	if e.AccessKeyID != "" {
		e.AccessKeyID = shownKeyID(e.AccessKeyID)
	}
	if e.Session != nil {
		session := *e.Session
		session.ARN = shown(session.ARN, maxText)
		e.Session = &session
	}
	fetches := make([]Fetch, 0, min(len(e.Fetches), maxShownFetches))
	for _, f := range e.Fetches[:min(len(e.Fetches), maxShownFetches)] {
		f.URL, f.Error = shown(f.URL, maxText), shown(f.Error, maxText)
		fetches = append(fetches, f)
	}
	e.Fetches = fetches
	left := maxChecks
	e.Expected, e.Found = shownList(e.Expected, &left), shownList(e.Found, &left)
	if len(e.Warnings) > 0 {
		left := maxChecks
		e.Warnings = shownList(e.Warnings, &left)
	}
}

// measure is about how many bytes an entry holds on to.
func (e *entry) measure() int {
	n := 512
	for _, text := range []string{
		e.Caller, e.Resource, e.Reason, e.Issuer, e.Subject, e.Audience, e.Action, e.Operation, e.KeyID, e.Pod, e.Node, e.Cluster,
	} {
		n += len(text)
	}
	for _, f := range e.Fetches {
		n += 64 + len(f.URL) + len(f.Error)
	}
	for _, list := range [][]string{e.Warnings, e.Expected, e.Found} {
		for _, text := range list {
			n += 16 + len(text)
		}
	}
	if e.Remedy != nil {
		n += e.Remedy.measure()
	}
	for _, c := range e.Checks {
		n += 160 + len(c.Key) + len(c.Hint)
		for _, list := range [][]string{c.Expected, c.Actual} {
			for _, text := range list {
				n += 16 + len(text)
			}
		}
	}
	if e.decision != nil {
		n += decisionSize(e.decision) + maxHeld/8
	}
	return n
}
