package policy

import "strings"

// evaluation is a request prepared for comparison with many statements.
type evaluation struct {
	req           *Request
	service, name string // of the action; the service in lower case
}

func newEvaluation(req *Request) evaluation {
	service, name, _ := strings.Cut(req.Action, ":")
	return evaluation{req: req, service: strings.ToLower(service), name: name}
}

// ref is a statement somewhere in the policies of a request.
type ref struct {
	policy *Named
	index  int
}

// statement is the statement as a decision names it.
func (r ref) statement(t Type) Statement {
	s := &r.policy.Policy.statements[r.index]
	return Statement{Type: t, Policy: r.policy.Name, Index: r.index, Sid: s.sid, Start: s.start, End: s.end, After: s.after}
}

// applies compares a statement with the request, the cheapest element first. It is
// unnamed if an element does not match.
func (ev *evaluation) applies(kind Kind, s *statement) reach {
	if s.actions.match(ev.service, ev.name) == s.notAction {
		return unnamed
	}
	reach := direct
	if kind.hasPrincipals() {
		if reach = s.principalReach(&ev.req.Principal); reach == unnamed {
			return unnamed
		}
	}
	if !ev.resourceMatches(s) {
		return unnamed
	}
	for i := range s.conditions {
		if !s.conditions[i].holds(ev.req.Context, s.deny) {
			return unnamed
		}
	}
	return reach
}

// resourceMatches compares the Resource or NotResource element with the request.
func (ev *evaluation) resourceMatches(s *statement) bool {
	if s.resources == nil {
		return true
	}
	for i := range s.resources {
		match, resolved := s.resources[i].match(ev.req.Resource, ev.req.Context)
		if match {
			return !s.notResource
		}
		if !resolved && s.notResource {
			return false
		}
	}
	return s.notResource
}

// decision is one about the request, yet to be filled in.
func (ev *evaluation) decision() Decision {
	return Decision{Action: ev.req.Action, Resource: ev.req.Resource}
}
