package policy

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/openirsa/openirsa/internal/order"
)

// The code in this file runs after a denial, and when a decision is printed; never
// on the way to an Allow.

func (ev *evaluation) denied(t Type, r ref) Decision {
	d := ev.decision()
	d.Type, d.Explicit, d.Statement = t, true, r.statement(t)
	s := &r.policy.Policy.statements[r.index]
	for i := range s.conditions {
		d.Matched = append(d.Matched, s.conditions[i].check(ev.req.Context))
	}
	return d
}

// missedIn is the denial of a request that none of the policies of type t allows.
func (ev *evaluation) missedIn(t Type, looked []Named) Decision {
	d := ev.decision()
	d.Type = t
	type ranked struct {
		Miss
		rank int
	}
	var all []ranked
	for i := range looked {
		d.Policies++
		policy := looked[i].Policy
		d.Statements += len(policy.statements)
		for j := range policy.statements {
			s := &policy.statements[j]
			if s.deny {
				continue
			}
			check, rank := ev.firstMiss(policy.kind, s)
			if rank > 0 {
				all = append(all, ranked{Miss{ref{&looked[i], j}.statement(t), check}, rank})
			}
		}
	}
	order.By(all, func(a, b ranked) int { return cmp.Compare(b.rank, a.rank) })
	for _, m := range all[:min(len(all), MaxMisses)] {
		d.Misses = append(d.Misses, m.Miss)
	}
	return d
}

// ofType are the policies of a type.
func (p *Policies) ofType(t Type) []Named {
	var one *Named
	switch t {
	case IdentityType:
		return p.Identity
	case SessionType:
		return p.Session
	case BoundaryType:
		one = p.Boundary
	case ResourceType, TrustType:
		one = p.Resource
	}
	if one == nil {
		return nil
	}
	return []Named{*one}
}

// How near a statement came: what it missed by. The zero value is that it names
// other actions.
const (
	missedAction = 1 + iota // in a trust policy only
	missedPrincipal
	missedResource
	missedCondition
)

// firstMiss is the first element of an Allow statement that does not match,
// and how near the statement came.
func (ev *evaluation) firstMiss(kind Kind, s *statement) (Check, int) {
	withPrincipal := kind.hasPrincipals()
	reached := !withPrincipal || s.principalReach(&ev.req.Principal) != unnamed
	if s.actions.match(ev.service, ev.name) == s.notAction {
		// A trust policy has few statements, and the wrong one of STS's
		// actions is the commonest fault in them.
		if kind != Trust || !reached {
			return Check{}, 0
		}
		return Check{
			Element: notName("Action", s.notAction), Expected: s.actions.raw,
			Actual: []string{ev.req.Action}, Hint: ev.actionHint(s),
		}, missedAction
	}
	if !reached {
		c := Check{Element: notName("Principal", s.notPrincipal), Actual: []string{ev.req.Principal.spelling()}}
		for _, p := range s.principals {
			c.Expected = append(c.Expected, p.value)
		}
		c.Hint = ev.principalHint(s)
		return c, missedPrincipal
	}
	if !ev.resourceMatches(s) {
		return Check{
			Element: notName("Resource", s.notResource), Expected: s.rawResources,
			Actual: []string{ev.req.Resource}, Hint: ev.resourceHint(s),
		}, missedResource
	}
	for i := range s.conditions {
		c := &s.conditions[i]
		if !c.holds(ev.req.Context, false) {
			check := c.check(ev.req.Context)
			check.Hint = c.hint(ev.req.Context)
			return check, missedCondition
		}
	}
	// The statement allows, but by naming the account only, which leaves the
	// decision to the identity policies.
	return Check{}, 0
}

func notName(element string, not bool) string {
	if not {
		return "Not" + element
	}
	return element
}

func (c *condition) check(ctx *Context) Check {
	actual, ok := ctx.Values(c.key)
	if ok && actual == nil {
		actual = []string{}
	}
	return Check{Element: "Condition", Operator: c.name, Key: c.key, Expected: c.raw, Actual: actual}
}

func (ev *evaluation) actionHint(s *statement) string {
	if ev.req.Principal.Kind == WebIdentity && s.actions.match("sts", "AssumeRole") != s.notAction {
		return "sts:AssumeRole does not cover sts:AssumeRoleWithWebIdentity."
	}
	return ""
}

func (ev *evaluation) principalHint(s *statement) string {
	c := &ev.req.Principal
	for _, p := range s.principals {
		switch {
		case p.id != "" && (p.value == c.ARN || p.value == c.EntityARN):
			return "The policy was stored for an earlier " + p.value + " that has been deleted since."
		case c.Kind == AWSService && p.kind == everyone:
			return `"*" does not let in services of AWS; name ` + c.ARN + ` under "Service".`
		case c.Kind == AWSService && strings.EqualFold(p.value, c.ARN):
			return `The service is named, but not under "Service", or in other letters.`
		case c.Kind != WebIdentity:
		case p.kind == everyone:
			return `"*" does not let in web identities; name the provider under "Federated".`
		case p.kind == federatedEntry && afterAccount(p.value) == afterAccount(c.ARN):
			return "The provider in the policy is in another account or partition."
		case p.kind == federatedEntry && strings.EqualFold(strings.TrimSuffix(p.value, "/"), strings.TrimSuffix(c.ARN, "/")):
			return "The providers differ in case or in a trailing slash."
		}
	}
	return ""
}

func afterAccount(arn string) string {
	parts := strings.SplitN(arn, ":", arnColons+1)
	return parts[len(parts)-1]
}

func (ev *evaluation) resourceHint(s *statement) string {
	want := ev.req.Resource
	for i, r := range s.resources {
		if _, resolved := r.match(want, ev.req.Context); !resolved {
			return "The request has no value for a variable in " + s.rawResources[i] + "."
		}
		if s.notResource {
			continue
		}
		if bucket, ok := strings.CutSuffix(s.rawResources[i], "/*"); ok && bucket == want {
			return s.rawResources[i] + " covers the objects, not the bucket itself."
		}
		if strings.HasPrefix(want, s.rawResources[i]+"/") {
			return s.rawResources[i] + " covers the bucket itself, not its objects."
		}
	}
	return ""
}

// alike are keys of a request that may have been meant by one which it does not
// have: those of OIDC providers are easily misspelt, the path left out, the scheme
// left in.
func (c *condition) alike(ctx *Context) []string {
	suffix := c.key[strings.LastIndexByte(c.key, ':')+1:]
	var like []string
	for _, k := range ctx.Keys() {
		if strings.EqualFold(k[strings.LastIndexByte(k, ':')+1:], suffix) {
			like = append(like, k)
		}
	}
	return like
}

// hint is advice on a condition that did not hold.
func (c *condition) hint(ctx *Context) string {
	e := ctx.find(c.key)
	if e == nil {
		if c.op.class == null {
			return ""
		}
		if like := c.alike(ctx); len(like) > 0 {
			return "It does have " + strings.Join(like, " and ") + "."
		}
		return ""
	}
	if e.multi && c.quantifier == noQuantifier {
		return "The key is multivalued: use ForAnyValue:" + c.name + " or ForAllValues:" + c.name + "."
	}
	if c.op.negate || c.op.class != stringEquals {
		return ""
	}
	actual := []string{e.value}
	if e.multi {
		actual = e.values
	}
	for _, a := range actual {
		for _, o := range c.operands {
			pattern, ok := compileGlob(o.text, globSyntax{wildcards: true, variables: o.glob.vars}).resolve(ctx)
			switch {
			case ok && pattern.match(a, false):
				return "StringEquals takes * and ? literally; StringLike takes them as wildcards."
			case strings.EqualFold(o.text, a):
				return "The values differ in case only."
			}
		}
	}
	return ""
}

// String is the decision in one sentence.
func (d Decision) String() string {
	switch {
	case d.Allowed && d.Type == "":
		return fmt.Sprintf("%s is allowed: the root user of an account may do everything in it.", d.Action)
	case d.Allowed && d.Type == ACLType:
		return fmt.Sprintf("%s is allowed by the access control list of the resource.", d.Action)
	case d.Allowed:
		return fmt.Sprintf("%s is allowed by %s.", d.Action, d.Statement)
	case d.Explicit:
		s := fmt.Sprintf("%s is explicitly denied by %s%s", d.Action, d.Statement, d.at())
		if len(d.Matched) > 0 {
			s += ", where " + d.Matched[0].words()
		}
		if n := len(d.Matched) - 1; n > 0 {
			s += fmt.Sprintf(" and %s too", holdAs(n))
		}
		return s + "."
	}
	s := fmt.Sprintf("%s is denied: no %s%s allows it", d.Action, d.Type, d.at())
	sides := ""
	if d.Sides != nil {
		sides = d.Sides.words()
	}
	switch {
	case d.Policies == 0:
		return s + "; there is none." + sides
	case len(d.Misses) == 0:
		return s + fmt.Sprintf("; none of %s speaks of the action.", count(d.Statements, "statement")) + sides
	}
	m := d.Misses[0]
	s += fmt.Sprintf("; %s does not apply because %s", m.Statement, m.Check.words())
	if m.Hint != "" {
		s += " (" + strings.TrimSuffix(m.Hint, ".") + ")"
	}
	if n := len(d.Misses) - 1; n > 0 {
		s += fmt.Sprintf(", nor does %s", count(n, "other statement"))
	}
	return s + "." + sides
}

// at says at which level of an organization a policy is, or lacks.
func (d Decision) at() string {
	if d.Level == "" {
		return ""
	}
	return " at " + d.Level
}

// Tail is how AWS ends the message of an AccessDenied error: "because no
// identity-based policy allows the iam:ListGroups action", or "with an explicit
// deny in a session policy". Empty for a request that was allowed. The page is
// "Troubleshooting access denied error messages".
func (d Decision) Tail() string {
	switch {
	case d.Allowed:
		return ""
	case d.Explicit && d.Type == IdentityType:
		return "with an explicit deny in an " + string(d.Type)
	case d.Explicit:
		return "with an explicit deny in a " + string(d.Type)
	}
	return fmt.Sprintf("because no %s allows the %s action", d.Type, d.Action)
}

// String names the statement, such as
//
//	statement 0 (Sid "Read") of identity-based policy "reader"
func (s Statement) String() string {
	name := fmt.Sprintf("statement %d", s.Index)
	if s.Sid != "" {
		name += fmt.Sprintf(" (Sid %q)", s.Sid)
	}
	return fmt.Sprintf("%s of %s %q", name, s.Type, s.Policy)
}

// words says what the element expects and what the request has.
func (c Check) words() string {
	if c.Element != "Condition" {
		return fmt.Sprintf("its %s is %s and the request's is %s", c.Element, quoted(c.Expected), quoted(c.Actual))
	}
	actual := "has no such key"
	if c.Actual != nil {
		actual = "has " + quoted(c.Actual)
	}
	return fmt.Sprintf("%s on %s expects %s and the request %s", c.Operator, c.Key, quoted(c.Expected), actual)
}

// maxQuoted limits the values named in a sentence; all are in the [Check].
const maxQuoted = 5

func quoted(values []string) string {
	if len(values) == 0 {
		return "empty"
	}
	var all []string
	for _, v := range values[:min(len(values), maxQuoted)] {
		all = append(all, fmt.Sprintf("%q", v))
	}
	s := strings.Join(all, " or ")
	if more := len(values) - maxQuoted; more > 0 {
		s += " or " + count(more, "other")
	}
	return s
}

func holdAs(n int) string {
	if n == 1 {
		return "1 other condition holds"
	}
	return fmt.Sprintf("%d other conditions hold", n)
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
