package guard

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/openirsa/openirsa/internal/sigv4"
	"github.com/openirsa/openirsa/pkg/emulator/internal/api"
	"github.com/openirsa/openirsa/pkg/emulator/internal/input"
	"github.com/openirsa/openirsa/pkg/emulator/internal/question"
	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
)

// plan is a call that may be forwarded, and what is to be done with its answer.
type plan struct {
	call *question.Call // nil if nobody was asked
	asks []question.Question
	// account is the one as which the call is sent: see [question.Owner].
	account string
	// began is when the call was decided about, by what was known of backends.
	began moment
	// later are questions that only the answer can decide.
	later []int
	// unsure says that nobody knows whether the caller may do anything of what later is about.
	unsure bool
	// denied are parts of the call that may not be done, for which the answer has errors:
	// by the names that the client has for them.
	denied []part
}

// part is a part of a call that was denied.
type part struct {
	name    string
	failure *wire.Failure
}

// serve answers a call: it decides, and forwards what may be done.
func (g *Guard) serve(w http.ResponseWriter, c *api.Call, a *asked, to *backend) {
	var p plan
	b, e := g.spool.read(c)
	if e != nil {
		e = g.refuse(c, "parameters", e)
	} else {
		defer b.close()
		p, e = g.decide(c, a, b)
	}
	switch {
	case c.Dropped && e != nil:
	case e != nil:
		a.write(w, c, e)
	default:
		if p.call != nil && question.Changes(p.call) { // even if the answer breaks off
			defer g.memory.forget(func(f question.Fact) bool { return question.Stale(p.call, f) })
		}
		g.forward(w, c, a, forwarded{to: to, body: b, plan: p})
	}
}

// decide says whether a call may be forwarded. The order is AWS's: who calls, then
// whether the request can be read, then whether the caller may.
func (g *Guard) decide(c *api.Call, a *asked, b *body) (plan, *wire.Failure) {
	unread := a.read(b)
	c.Service, c.Operation, c.Dialect = a.service(), a.operation, a.dialect()
	if e := g.account.Gate.Admit(c); e != nil {
		return plan{}, e
	}
	if a.op != nil && a.op.Unsigned {
		if unread == nil {
			unread = a.suspicious(c.Request)
		}
		if unread != nil {
			return plan{}, g.refuse(c, "parameters", unread)
		}
		c.Caller = api.Anonymous()
		g.account.Gate.Record(c, api.Decision{Allowed: true, Step: "no authentication",
			Reason: "AWS asks nobody who calls " + c.Operation + ": the operation is not signed"})
		return plan{}, nil
	}
	if e := g.authenticate(c, a, b); e != nil {
		return plan{}, e
	}
	if b.signedAs == signedEvents || a.op != nil && a.op.EventsUp {
		return plan{}, g.refuse(c, "parameters", eventsUp(c))
	}
	if unread == nil {
		unread = a.suspicious(c.Request)
	}
	if unread != nil {
		return plan{}, g.refuse(c, "parameters", unread)
	}
	w := &world{g, c}
	p, e := g.questions(c, a, b, w)
	if e != nil {
		return plan{}, e
	}
	e = g.ask(c, a, &p, w)
	return p, e
}

// refuse keeps an event of a failure that no policy is to blame for.
func (g *Guard) refuse(c *api.Call, step string, e *wire.Failure) *wire.Failure {
	g.account.Gate.Record(c, api.Decision{Step: step, Reason: e.Message, Code: e.Code})
	return e
}

// authenticate verifies the signature of a call.
func (g *Guard) authenticate(c *api.Call, a *asked, b *body) *wire.Failure {
	sig, err := c.Signature()
	if err != nil {
		failure := api.SignatureFailure(err)
		e := c.Speaks().Refusal(failure)
		g.account.Gate.Record(c, api.Decision{Step: "signature", Reason: failure.Why, Code: e.Code})
		return e
	}
	hash := b.hash
	switch given := c.Request.Header.Get("X-Amz-Content-Sha256"); {
	case given == sigv4.UnsignedPayload && a.op != nil && a.op.UnsignedPayload, given == signedEvents:
		hash = given
	}
	if service := a.service(); service != "" && sig.Service != service {
		c.Region = sig.Region
		e := wire.Errorf(c.Speaks().Mismatch.Status, c.Speaks().Mismatch.Name,
			"Credential should be scoped to correct service: '%s'.", service)
		g.account.Gate.Record(c, api.Decision{Step: "signature", Reason: "the signature is for service " + sig.Service, Code: e.Code})
		return e
	}
	if _, failure := g.account.Gate.Identify(c, &sig, hash); failure != nil {
		e := c.Speaks().Refusal(failure)
		g.account.Gate.Record(c, api.Decision{Step: "signature", Reason: failure.Why, Code: e.Code})
		return e
	}
	b.signedAs = hash
	return nil
}

// signedEvents is in place of the hash of a body that is a stream of events, each of
// which is signed.
const signedEvents = "STREAMING-AWS4-HMAC-SHA256-EVENTS"

// eventsUp refuses a stream of events from the client, each of which is signed.
func eventsUp(c *api.Call) *wire.Failure {
	return wire.Errorf(http.StatusBadRequest, "UnsupportedOperation",
		"The emulator does not forward %s, whose request is a stream of signed events. Call the backend directly.", c.Operation)
}

// questions reads the input of a call and says what must be allowed for it. Of a failure
// an event is kept.
func (g *Guard) questions(c *api.Call, a *asked, b *body, w *world) (plan, *wire.Failure) {
	tree, err := a.input(c.Request, b)
	if err != nil {
		return plan{}, g.refuse(c, "parameters", unreadable(a, err))
	}
	call := &question.Call{
		Model: a.model, Service: a.signs, Operation: a.operation, Input: tree,
		Method: c.Request.Method, Path: c.Request.URL.EscapedPath(), Query: a.query,
		Region: c.Region, Account: c.Caller.Account, Partition: g.account.Partition,
	}
	began := g.memory.now()
	asks, err := question.Questions(c.Request.Context(), call, w)
	switch {
	case errors.Is(err, question.ErrNoAnswer):
		return plan{}, g.unanswered(c, a.undecided("what it is about"), err)
	case err != nil:
		return plan{}, g.refuse(c, "parameters", unreadable(a, err))
	}
	account, err := question.Owner(call, asks)
	if err != nil {
		return plan{}, g.refuse(c, "parameters", severalAccounts(err))
	}
	return plan{call: call, asks: asks, account: account, began: began}, nil
}

// severalAccounts is the failure of a call that cannot be sent as one account.
func severalAccounts(err error) *wire.Failure {
	return wire.Errorf(http.StatusBadRequest, "InvalidRequest",
		"The emulator does not forward the request, since a backend is told one account: %.400s", err.Error())
}

// unreadable is the failure of an input that cannot be read, or that the service refuses.
func unreadable(a *asked, err error) *wire.Failure {
	if refused, ok := errors.AsType[*question.Refusal](err); ok {
		return wire.Errorf(refused.Status, refused.Code, "%s", refused.Message)
	}
	status, code := http.StatusBadRequest, "SerializationException"
	if errors.Is(err, input.ErrTooLarge) {
		status, code = http.StatusRequestEntityTooLarge, "RequestEntityTooLargeException"
	}
	switch a.protocol {
	case wire.Query, wire.QueryEC2:
		code = "MalformedInput"
	}
	return wire.Errorf(status, code, "The emulator cannot decide about the request: %.400s", err.Error())
}

// maxDenials is how many denials of one call are looked for: who reads the events
// sees at once what is lacking, and not one permission after the other.
const maxDenials = 10

// ask asks the questions of a plan. Each answer is kept as an event.
func (g *Guard) ask(c *api.Call, a *asked, p *plan, w *world) *wire.Failure {
	verdicts := make([]*api.Verdict, len(p.asks))
	denials := 0
	for i := range p.asks {
		q := &p.asks[i]
		if q.FromAnswer != "" || denials == maxDenials {
			continue
		}
		verdicts[i] = g.account.Gate.Ask(c, a.put(c, q, w))
		if verdicts[i].Final {
			verdicts[i].Keep()
			return verdicts[i].Failure
		}
		if verdicts[i].Failure != nil && q.Either == 0 && q.Item == "" {
			denials++
		}
	}
	decided := question.Decide(p.asks, func(i int) question.Answer {
		v := verdicts[i]
		return question.Answer{Allowed: v != nil && v.Failure == nil, Explicit: v != nil && v.Explicit}
	})
	keep(p.asks, verdicts)
	if !decided.Allowed {
		return verdicts[decided.Denied].Failure
	}
	p.later = decided.Later
	for _, i := range decided.Items {
		if slices.ContainsFunc(p.denied, func(d part) bool { return d.name == p.asks[i].Item }) {
			continue
		}
		p.denied = append(p.denied, part{p.asks[i].Item, verdicts[i].Failure})
	}
	if p.denied != nil && !canLeaveOut(c) {
		return p.denied[0].failure
	}
	return (&later{g, c, a, p, w}).anywhere()
}

// keep keeps verdicts as events. Of questions of which one is enough it is the one that
// is allowed, and else the first: the others are no denials.
func keep(asks []question.Question, verdicts []*api.Verdict) {
	for i := 0; i < len(asks); i++ {
		v := verdicts[i]
		for either := asks[i].Either; either != 0 && i+1 < len(asks) && asks[i+1].Either == either; i++ {
			if next := verdicts[i+1]; next != nil && (next.Explicit || v != nil && !v.Explicit && !allowed(v) && allowed(next)) {
				v = next
			}
		}
		if v != nil {
			v.Keep()
		}
	}
}

// allowed reports whether policies allow, and do not merely let through.
func allowed(v *api.Verdict) bool { return v.Failure == nil && v.Unenforced == nil }

// put is a question as the account's policies are asked it.
func (a *asked) put(c *api.Call, q *question.Question, w *world) *api.Question {
	warnings, why := q.Warnings, ""
	attached, warning, err := w.attached(c.Request.Context(), q)
	if warning != "" {
		warnings = append(slices.Clip(warnings), warning)
	}
	if err != nil {
		why = "the policy of " + q.Shown()
	} else if warning, err = w.setTags(c.Request.Context(), q, attached); err != nil {
		why = "the tags of " + q.Shown()
	} else if warning != "" {
		warnings = append(slices.Clip(warnings), warning)
	}
	asked := &api.Question{
		Action: q.Action, Resource: q.Resource, Spelled: q.Spelled, Account: q.Account, Keys: q.Keys, Attached: attached,
		SpelledAction: a.spelledAction(q.Action), Preface: a.preface(), Unknown: !q.Known, Warnings: warnings, Computes: q.Computes,
		Text:    deniedText(c, q),
		Encoded: a.protocol == wire.QueryEC2 && !strings.HasPrefix(a.operation, "Describe"),
		Nowhere: q.Resource == "*" && q.Spelled == "" && a.lacksResource(),
		// The policy of a key is the root of all permissions to use it (KMS Developer Guide,
		// "Key policies in AWS KMS").
		MustAllow: attached != nil && strings.HasPrefix(q.Action, "kms:"),
	}
	if q.Via != "" {
		asked.SpelledAction, asked.Code, asked.Text = "", viaCodes[q.Via], viaTexts[q.Via]
	}
	if err != nil {
		asked.Failed = a.undecided(why)
		asked.Why = asked.Failed.Message + ": " + err.Error()
	}
	return asked
}
