package policy

import "slices"

// Somewhere reports whether a caller's own policies may let it do the action of a request
// on some resource of which nothing is known yet. The Resource of the request is not
// looked at, conditions on keys that its Context lacks may hold, and a Deny counts if it is
// of all resources. What a policy of the resource says is left open: it may let in callers
// whom their own policies do not.
func (p *Policies) Somewhere(req *Request) bool {
	ev := newEvaluation(req)
	for _, level := range p.ServiceControl {
		if !ev.somewhere(level.Policies) {
			return false
		}
	}
	caller := &req.Principal
	switch caller.Kind {
	case Root:
		return true
	case User, RoleSession, FederatedUser:
	default: // those of the resource alone count
		return false
	}
	hasSession := p.HasSession || len(p.Session) > 0 || caller.Kind == FederatedUser
	return ev.somewhere(p.Identity) && (p.Boundary == nil || ev.somewhere([]Named{*p.Boundary})) && (!hasSession || ev.somewhere(p.Session))
}

// somewhere reports whether policies of one type have an Allow for the action, and no Deny
// that is of all resources.
func (ev *evaluation) somewhere(policies []Named) bool {
	allowed := false
	for i := range policies {
		statements := policies[i].Policy.statements
		for j := range statements {
			s := &statements[j]
			fails := func(c condition) bool {
				unset := ev.req.Context.find(c.key) == nil
				return unset && s.deny || !unset && !c.holds(ev.req.Context, s.deny)
			}
			if s.actions.match(ev.service, ev.name) == s.notAction || slices.ContainsFunc(s.conditions, fails) {
				continue
			}
			if !s.deny {
				allowed = true
			} else if !s.notResource && (s.resources == nil || slices.ContainsFunc(s.resources, func(r resource) bool { return r.all })) {
				return false
			}
		}
	}
	return allowed
}
