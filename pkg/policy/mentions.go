package policy

import (
	"iter"
	"slices"
	"strings"
)

// Mentions reports whether a policy names a condition key, as the key of a condition
// or as a variable, so that who asks it must find out the value. A name that ends in
// "/" or ":" stands for all keys that begin so. Case does not count.
func (p *Policy) Mentions(key string) bool {
	same := func(name string) bool { return strings.EqualFold(name, key) }
	if strings.HasSuffix(key, "/") || strings.HasSuffix(key, ":") {
		same = func(name string) bool { return len(name) >= len(key) && strings.EqualFold(name[:len(key)], key) }
	}
	for i := range p.statements {
		for name := range p.statements[i].keys() {
			if same(name) {
				return true
			}
		}
	}
	return false
}

// keys are the condition keys that the statement names: those of its conditions, and
// those that are variables.
func (s *statement) keys() iter.Seq[string] {
	return func(yield func(string) bool) {
		for i := range s.resources {
			if !s.resources[i].glob.variables(yield) {
				return
			}
		}
		for i := range s.conditions {
			c := &s.conditions[i]
			if !yield(c.key) {
				return
			}
			for j := range c.operands {
				if !c.operands[j].glob.variables(yield) {
					return
				}
			}
		}
	}
}

// variables calls yield for each variable, until it returns false.
func (g *glob) variables(yield func(string) bool) bool {
	if !g.vars {
		return true
	}
	for i := range g.parts {
		if g.parts[i].kind == variable && !yield(g.parts[i].text) {
			return false
		}
	}
	return true
}

// all are the policies of all types.
func (p *Policies) all() iter.Seq[*Policy] {
	return func(yield func(*Policy) bool) {
		lists := [][]Named{p.Identity, p.Session}
		for _, levels := range [][]Level{p.ServiceControl, p.ResourceControl} {
			for _, level := range levels {
				lists = append(lists, level.Policies)
			}
		}
		for _, one := range []*Named{p.Boundary, p.Resource} {
			if one != nil {
				lists = append(lists, []Named{*one})
			}
		}
		for _, list := range lists {
			for i := range list {
				if !yield(list[i].Policy) {
					return
				}
			}
		}
	}
}

// Mentions is [Policy.Mentions] of any of the policies.
func (p *Policies) Mentions(key string) bool {
	for one := range p.all() {
		if one.Mentions(key) {
			return true
		}
	}
	return false
}

// Unset are the condition keys that the Context of a request does not have, and that
// a statement for its principal, its action and its resource names: sorted, as they are
// written. A statement whose resource has a variable without a value may be for any.
func (p *Policies) Unset(req *Request) []string {
	ev := newEvaluation(req)
	var unset []string
	for one := range p.all() {
		for i := range one.statements {
			s := &one.statements[i]
			before := len(unset)
			for name := range s.keys() {
				if _, set := req.Context.Values(name); !set {
					unset = append(unset, name)
				}
			}
			if len(unset) > before && !ev.concerns(one.kind, s) {
				unset = unset[:before]
			}
		}
	}
	slices.Sort(unset)
	return slices.Compact(unset)
}

// concerns reports whether a statement is about a request, whatever its conditions are.
func (ev *evaluation) concerns(kind Kind, s *statement) bool {
	if s.actions.match(ev.service, ev.name) == s.notAction {
		return false
	}
	if kind.hasPrincipals() && s.principalReach(&ev.req.Principal) == unnamed {
		return false
	}
	return ev.resourceMatches(s) || slices.ContainsFunc(s.resources, func(r resource) bool {
		_, resolved := r.match(ev.req.Resource, ev.req.Context)
		return !resolved
	})
}
