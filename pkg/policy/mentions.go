package policy

import "strings"

// Mentions reports whether a policy names a condition key, as the key of a condition
// or as a variable, so that who asks it must find out the value. A name that ends in
// "/" or ":" stands for all keys that begin so. Case does not count.
func (p *Policy) Mentions(key string) bool {
	same := func(name string) bool { return strings.EqualFold(name, key) }
	if strings.HasSuffix(key, "/") || strings.HasSuffix(key, ":") {
		same = func(name string) bool { return len(name) >= len(key) && strings.EqualFold(name[:len(key)], key) }
	}
	variable := func(g glob) bool {
		if !g.vars {
			return false
		}
		for _, part := range g.parts {
			if part.kind == variable && same(part.text) {
				return true
			}
		}
		return false
	}
	for i := range p.statements {
		s := &p.statements[i]
		for j := range s.resources {
			if variable(s.resources[j].glob) {
				return true
			}
		}
		for j := range s.conditions {
			c := &s.conditions[j]
			if same(c.key) {
				return true
			}
			for k := range c.operands {
				if variable(c.operands[k].glob) {
					return true
				}
			}
		}
	}
	return false
}

// Mentions is [Policy.Mentions] of any of the policies.
func (p *Policies) Mentions(key string) bool {
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
		for _, n := range list {
			if n.Policy.Mentions(key) {
				return true
			}
		}
	}
	return false
}
