package policy

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
)

// Remedy is what would allow a request that was denied.
type Remedy struct {
	// Denying is the statement that denies explicitly. No Allow helps against it, so
	// there are no additions. Its Policy is empty if there is none.
	Denying Statement
	// Additions are the statements that are lacking, one for each document that lacks
	// one: first what is missed first. All of them are needed. They are empty if no
	// statement can be written, as for a resource that is no ARN.
	Additions []Addition
}

// Addition is a statement that a document lacks.
type Addition struct {
	// Type is the type of the document. Its name is for the caller to know: it may not
	// be there yet.
	Type Type
	// Statement is the statement as JSON. It allows the request and as little else as
	// can be said: the action and the resource as they are, a web identity with its
	// sub and aud. If a statement of the document failed by its conditions alone, it
	// has these conditions, with the values of the request where they failed.
	Statement []byte
	// Level and Target are the level of the organization that lacks it, by name and
	// id, of a service control policy.
	Level, Target string
	// Omitted are conditions of that statement which no request can meet for long,
	// because they compare times; the new statement is without them.
	Omitted []Check
}

// Remedy finds what would allow a request that these policies deny. With all
// additions in their documents [Evaluate] allows it: that is tried out before they
// are returned. Of a request that is allowed the remedy is empty.
func (p *Policies) Remedy(req *Request) Remedy {
	tried := *p
	var r Remedy
	// Four types of policies can lack an Allow, and each level of the organization.
	for range 5 + len(p.ServiceControl) {
		d := Evaluate(req, &tried)
		switch {
		case d.Allowed:
			return r
		case d.Explicit:
			return Remedy{Denying: d.Statement}
		}
		a, added, ok := tried.addition(req, d.Type)
		if !ok || d.Type == ResourceControlType { // these cannot allow
			return Remedy{}
		}
		if d.Type == ServiceControlType {
			a.Level, a.Target = d.Level, tried.addAt(d.Level, added)
		} else {
			tried.add(d.Type, added)
		}
		r.Additions = append(r.Additions, a)
	}
	return Remedy{}
}

// addAt puts a service control policy beside those of a level, and returns its id.
func (p *Policies) addAt(level string, added *Policy) string {
	p.ServiceControl = slices.Clone(p.ServiceControl)
	i := slices.IndexFunc(p.ServiceControl, func(l Level) bool { return l.Name == level })
	if i < 0 {
		return ""
	}
	l := &p.ServiceControl[i]
	l.Policies = append(slices.Clip(l.Policies), Named{Policy: added})
	return l.ID
}

// add puts a policy beside those of a type.
func (p *Policies) add(t Type, added *Policy) {
	beside := func(there *Named) *Named {
		if there == nil {
			return &Named{Policy: added}
		}
		both := &Policy{kind: there.Policy.kind, statements: slices.Concat(there.Policy.statements, added.statements)}
		return &Named{Name: there.Name, Policy: both}
	}
	switch t {
	case IdentityType:
		p.Identity = append(slices.Clip(p.Identity), Named{Policy: added})
	case SessionType:
		p.Session = append(slices.Clip(p.Session), Named{Policy: added})
	case BoundaryType:
		p.Boundary = beside(p.Boundary)
	default:
		p.Resource = beside(p.Resource)
	}
}

// grantingStatement is an Allow as it is written.
type grantingStatement struct {
	Effect    string
	Principal any                       `json:",omitempty"` // "*" or a kind and a name
	Action    string                    //
	Resource  string                    `json:",omitempty"`
	Condition map[string]map[string]any `json:",omitempty"` // values by operator and key
}

// addition is the statement that the policies of a type lack, and a policy of it
// alone. Of the ways to write its conditions the first is taken that the request
// meets.
func (p *Policies) addition(req *Request, t Type) (Addition, *Policy, bool) {
	kind := Identity
	switch {
	case t == SessionType:
		kind = Session
	case t == ServiceControlType:
		kind = ServiceControl
	case t == TrustType:
		kind = Trust
	case t == ResourceType && p.Resource != nil:
		kind = p.Resource.Policy.kind
	case t == ResourceType:
		kind = Resource
	}
	s := grantingStatement{Effect: "Allow", Action: req.Action}
	if kind != Trust {
		s.Resource = literalResource(req.Resource)
	}
	if kind.hasPrincipals() {
		s.Principal = req.Principal.named()
	}
	near := p.nearest(req, t)
	for _, keep := range []bool{true, false} {
		conditions := newGranting(req)
		if near != nil {
			conditions.like(near, keep)
		}
		s.Condition = conditions.values
		text, err := marshal(s)
		if err != nil {
			break
		}
		added, err := Parse(kind, slices.Concat([]byte(`{"Version":"`+version2012+`","Statement":[`), text, []byte("]}")))
		if err != nil {
			continue
		}
		if ev := newEvaluation(req); ev.applies(kind, &added.statements[0]) != unnamed {
			return Addition{Type: t, Statement: text, Omitted: conditions.omitted}, added, true
		}
	}
	return Addition{}, nil, false
}

// marshal is JSON without what HTML needs.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSpace(b.Bytes()), nil
}

// named is the caller as a Principal element names it: a role rather than one of
// its sessions.
func (p *Principal) named() any {
	switch p.Kind {
	case Anonymous:
		return "*"
	case WebIdentity:
		return map[string]string{"Federated": p.ARN}
	case AWSService:
		return map[string]string{"Service": p.ARN}
	case RoleSession:
		return map[string]string{"AWS": p.EntityARN}
	}
	return map[string]string{"AWS": p.ARN}
}

// nearest is the Allow statement in the policies of a type that fails by its
// conditions alone, nil if there is none.
func (p *Policies) nearest(req *Request, t Type) *statement {
	ev := newEvaluation(req)
	for _, n := range p.ofType(t) {
		for i := range n.Policy.statements {
			s := &n.Policy.statements[i]
			if s.deny {
				continue
			}
			if _, rank := ev.firstMiss(n.Policy.kind, s); rank == missedCondition {
				return s
			}
		}
	}
	return nil
}

// granting are the conditions of a statement that is to allow a request.
type granting struct {
	req     *Request
	values  map[string]map[string]any
	omitted []Check
	fixed   map[string]bool // keys, in lower case, that are compared already
}

// newGranting begins with what every statement for a web identity must have.
func newGranting(req *Request) *granting {
	g := &granting{req: req, fixed: map[string]bool{}}
	if req.Principal.Kind == AWSService {
		g.pinService()
		return g
	}
	_, provider, ok := strings.Cut(req.Principal.ARN, ":oidc-provider/")
	if req.Principal.Kind != WebIdentity || !ok {
		return g
	}
	for _, claim := range []string{":aud", ":sub"} {
		if e := req.Context.find(provider + claim); e != nil && !e.multi {
			g.put("StringEquals", provider+claim, literalText(e.value))
			g.fixed[strings.ToLower(provider+claim)] = true
		}
	}
	return g
}

// pinService demands for whom a service acts: the tags that say it, as those of EKS
// Pod Identity do, or else the resource ("The confused deputy problem").
func (g *granting) pinService() {
	pin := func(keys ...string) {
		for _, key := range keys {
			if e := g.req.Context.find(key); e != nil && !e.multi {
				g.put("StringEquals", key, literalText(e.value))
				g.fixed[strings.ToLower(key)] = true
			}
		}
	}
	pin("aws:RequestTag/eks-cluster-arn", "aws:RequestTag/kubernetes-namespace", "aws:RequestTag/kubernetes-service-account")
	if len(g.fixed) == 0 {
		pin("aws:SourceArn")
	}
}

func (g *granting) put(operator, key string, values ...string) {
	if g.values == nil {
		g.values = map[string]map[string]any{}
	}
	if g.values[operator] == nil {
		g.values[operator] = map[string]any{}
	}
	if len(values) == 1 {
		g.values[operator][key] = values[0]
		return
	}
	g.values[operator][key] = values
}

// like takes over the conditions of a statement. Those that the request meets stay
// as they are, with keep.
func (g *granting) like(s *statement, keep bool) {
	for i := range s.conditions {
		c := &s.conditions[i]
		holds := c.holds(g.req.Context, false)
		if holds && keep && !g.fixed[strings.ToLower(c.key)] {
			g.put(c.name, c.key, c.raw...)
			continue
		}
		operator, key, values := c.granting(g.req.Context)
		switch {
		case g.fixed[strings.ToLower(key)]:
		case operator == "":
			g.omitted = append(g.omitted, c.check(g.req.Context))
		default:
			g.put(operator, key, values...)
		}
	}
}

// passing are the keys whose values pass: a condition that is met now is not met
// again.
var passing = []string{"aws:currenttime", "aws:epochtime", "aws:tokenissuetime", "aws:multifactorauthage", "s3:signatureage"}

// granting is the condition changed so that a request meets it, as narrowly as that
// can be written. The operator is "" if no condition does.
func (c *condition) granting(ctx *Context) (operator, key string, values []string) {
	e := ctx.find(c.key)
	if e == nil && c.op.class != null {
		if like := c.alike(ctx); len(like) > 0 {
			e = ctx.find(like[0]) // the key was misspelt
		}
	}
	switch {
	case e == nil:
		return "Null", c.key, []string{"true"}
	case c.op.class == date || slices.Contains(passing, strings.ToLower(e.key)):
		return "", "", nil
	case c.op.class == null || e.multi && len(e.values) == 0:
		return "Null", e.key, []string{"false"}
	case e.multi:
		operator = "ForAllValues:StringEquals"
		if c.quantifier == forAnyValue {
			operator = "ForAnyValue:StringEquals"
		}
		for _, v := range e.values {
			values = append(values, literalText(v))
		}
		return operator, e.key, values
	}
	operator, v := "StringEquals", e.value
	_, isNumber := parseDecimal(v)
	_, isAddress := parseAddr(v)
	switch {
	case c.op.class == numeric && isNumber && c.op.relation&less != 0:
		operator = "NumericLessThanEquals"
	case c.op.class == numeric && isNumber && c.op.relation&greater != 0:
		operator = "NumericGreaterThanEquals"
	case c.op.class == numeric && isNumber:
		operator = "NumericEquals"
	case c.op.class == boolean && (v == "true" || v == "false"):
		operator = "Bool"
	case c.op.class == ipAddress && isAddress:
		operator = "IpAddress"
	}
	return operator, e.key, []string{literalText(v)}
}

// literalText is a text as a condition has it that compares strings: what looks like
// a variable is none.
func literalText(s string) string { return strings.ReplaceAll(s, "${", "${$}{") }

// literalResource is a resource as a statement has it that is for this resource
// only: a name may have wildcards and variables in it, which a stranger chose.
func literalResource(arn string) string {
	parts := strings.SplitN(arn, ":", arnColons+1)
	if arn == "*" || len(parts) <= arnColons {
		return arn
	}
	last := &parts[arnColons]
	*last = strings.NewReplacer("*", "${*}", "?", "${?}", "${", "${$}{").Replace(*last)
	return strings.Join(parts, ":")
}
