package policy

import (
	"slices"
	"strings"
)

// Policy is a parsed document. It is immutable and may be used by any number
// of goroutines. The zero value neither allows nor denies anything.
type Policy struct {
	kind       Kind
	statements []statement
}

// Kind is the grammar the document was parsed with.
func (p *Policy) Kind() Kind { return p.kind }

type statement struct {
	sid          string
	start, end   int // byte offsets of the statement in the document
	after        int // see [Statement.After]
	deny         bool
	principals   []principal
	notPrincipal bool
	actions      actions
	notAction    bool
	// resources is nil in trust policies, which have no Resource element.
	resources    []resource
	notResource  bool
	rawResources []string
	conditions   []condition
}

// actions are the patterns of an Action or NotAction element by service.
type actions struct {
	raw    []string
	groups []actionGroup
}

// actionGroup are the patterns of one service, or of "*" for any.
type actionGroup struct {
	service string // lower case
	names   []glob // compiled from lower case
}

func compileActions(raw []string) actions {
	a := actions{raw: raw}
	groups := map[string]int{}
	for _, s := range raw {
		service, name, found := strings.Cut(strings.ToLower(s), ":")
		if !found {
			service, name = "*", service // "*" alone
		}
		g := compileGlob(name, globSyntax{wildcards: true})
		i, ok := groups[service]
		if !ok {
			i = len(a.groups)
			groups[service] = i
			a.groups = append(a.groups, actionGroup{service: service})
		}
		a.groups[i].names = append(a.groups[i].names, g)
	}
	return a
}

// match takes the service in lower case and the name as it is.
func (a *actions) match(service, name string) bool {
	for i := range a.groups {
		g := &a.groups[i]
		if g.service != service && g.service != "*" {
			continue
		}
		for _, n := range g.names {
			if n.match(name, true) {
				return true
			}
		}
	}
	return false
}

// resource is one ARN of a Resource or NotResource element.
type resource struct {
	all  bool // "*"
	glob glob
	// completed is the glob of an ARN with fewer than six segments, the rest
	// of which may be anything, as in AWS's own "arn:aws:rds:*". Nil for
	// others.
	completed *glob
}

var resourceSyntax = globSyntax{wildcards: true, arn: true, runOn: true, varsFrom: arnColons}

func compileResource(raw string, variables bool) resource {
	if raw == "*" {
		return resource{all: true}
	}
	syntax := resourceSyntax
	syntax.variables = variables
	r := resource{glob: compileGlob(raw, syntax)}
	if strings.Count(raw, ":") < arnColons {
		r.completed = new(compileGlob(raw+":*", syntax))
	}
	return r
}

// match reports, apart from whether s matches, whether the variables in the
// pattern have values; without them the whole element does not apply.
func (r *resource) match(s string, ctx *Context) (match, resolved bool) {
	if r.all {
		return true, true
	}
	g, ok := r.glob.resolve(ctx)
	if !ok {
		return false, false
	}
	return g.match(s, false) || r.completed != nil && r.completed.match(s, false), true
}

// principalReach is how the statement's Principal or NotPrincipal element
// reaches the caller. Identity policies have none and reach whoever they are
// attached to.
//
// NotPrincipal exempts a caller from a Deny only if it lists everything that the
// caller is: session, role and account, or user and account ("IAM JSON policy
// elements: NotPrincipal").
func (s *statement) principalReach(c *Principal) reach {
	best := unnamed
	var account, entity, caller bool
	for i := range s.principals {
		r := s.principals[i].names(c, s.deny)
		best = max(best, r)
		switch r {
		case viaAccount:
			account = true
		case viaEntity:
			entity = true
		case direct:
			caller = true
			if s.principals[i].kind == everyone || c.Kind == Root {
				account, entity = true, true
			}
		}
	}
	if !s.notPrincipal {
		return best
	}
	exempt := best != unnamed
	if s.deny {
		switch c.Kind {
		case RoleSession, FederatedUser:
			exempt = account && entity && caller
		case User:
			exempt = account && caller
		}
	}
	if exempt {
		return unnamed
	}
	return direct
}

// Statements counts the statements of the document.
func (p *Policy) Statements() int { return len(p.statements) }

// ContextKeys are the condition keys and policy variables that the document
// mentions, sorted, without repetition and in the case of their first mention.
func (p *Policy) ContextKeys() []string {
	seen := map[string]string{}
	add := func(key string) {
		if _, ok := seen[strings.ToLower(key)]; !ok {
			seen[strings.ToLower(key)] = key
		}
	}
	addVariables := func(g glob) {
		for _, q := range g.parts {
			if q.kind == variable {
				add(q.text)
			}
		}
	}
	for i := range p.statements {
		s := &p.statements[i]
		for _, r := range s.resources {
			addVariables(r.glob)
		}
		for _, c := range s.conditions {
			add(c.key)
			for _, o := range c.operands {
				addVariables(o.glob)
			}
		}
	}
	keys := make([]string, 0, len(seen))
	for _, key := range seen {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// AWSPrincipals are the ARNs of users, roles and sessions, and the unique ids,
// in the Principal elements, without repetition. IAM refuses a trust policy
// that names one that does not exist.
func (p *Policy) AWSPrincipals() []string {
	var all []string
	for i := range p.statements {
		for _, q := range p.statements[i].principals {
			if q.kind == awsPrincipal && !slices.Contains(all, q.value) {
				all = append(all, q.value)
			}
		}
	}
	return all
}

// FederatedPrincipals are the identity providers in the Principal elements,
// without repetition.
func (p *Policy) FederatedPrincipals() []string {
	var all []string
	for i := range p.statements {
		for _, q := range p.statements[i].principals {
			if q.kind == federatedEntry && !slices.Contains(all, q.value) {
				all = append(all, q.value)
			}
		}
	}
	return all
}

// Bind ties ARNs of users and roles in Principal elements to the unique ids
// they have now, as IAM does when a policy is stored: a user or role that is deleted
// and recreated is another one ("IAM JSON policy elements:
// Principal"). ARNs that ids does not list stay as they are.
func (p *Policy) Bind(ids map[string]string) *Policy {
	bound := &Policy{kind: p.kind, statements: slices.Clone(p.statements)}
	for i := range bound.statements {
		s := &bound.statements[i]
		s.principals = slices.Clone(s.principals)
		for j := range s.principals {
			if q := &s.principals[j]; q.kind == awsPrincipal {
				q.id = ids[q.value]
			}
		}
	}
	return bound
}

// LetsService reports whether an Allow statement names a service principal and an
// action, whatever its conditions are.
func (p *Policy) LetsService(name, action string) bool {
	caller := Principal{Kind: AWSService, ARN: name}
	service, operation, _ := strings.Cut(action, ":")
	for i := range p.statements {
		s := &p.statements[i]
		if !s.deny && s.principalReach(&caller) != unnamed && s.actions.match(strings.ToLower(service), operation) != s.notAction {
			return true
		}
	}
	return false
}

// Principals are all that Allow statements name, as written and without repetition.
func (p *Policy) Principals() []string {
	var all []string
	for i := range p.statements {
		for _, q := range p.statements[i].principals {
			if !p.statements[i].deny && !slices.Contains(all, q.value) {
				all = append(all, q.value)
			}
		}
	}
	return all
}

// Subject is who a trust policy lets in by a token of an OIDC provider.
type Subject struct {
	Provider string // ARN
	// Name is the sub that the token must have, and Pattern says that * and ? in it
	// stand for others. A statement that asks for no sub has the pattern "*".
	Name    string
	Pattern bool
}

// Subjects are those whom the Allow statements of a trust policy name, as far as one
// condition says it; whether they are let in is for [Evaluate] to say.
func (p *Policy) Subjects() []Subject {
	var all []Subject
	for i := range p.statements {
		s := &p.statements[i]
		if s.deny || s.actions.match("sts", "AssumeRoleWithWebIdentity") == s.notAction {
			continue
		}
		for _, q := range s.principals {
			_, issuer, ok := strings.Cut(q.value, ":oidc-provider/")
			if !ok || q.kind != federatedEntry {
				continue
			}
			found := false
			for j := range s.conditions {
				c := &s.conditions[j]
				like := c.op.class == stringLike
				if !sameKey(c.key, issuer+":sub") || c.op.negate || !like && c.op.class != stringEquals {
					continue
				}
				for _, name := range c.raw {
					found = true
					all = append(all, Subject{q.value, name, like && strings.ContainsAny(name, "*?")})
				}
			}
			if !found {
				all = append(all, Subject{q.value, "*", true})
			}
		}
	}
	return all
}
