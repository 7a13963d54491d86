package policy

import "strings"

// outcome is what the policies of one type say of a request.
type outcome struct {
	deny, allow ref   // zero if there is none
	reach       reach // how the best Allow of a resource policy names the caller
}

// Evaluate decides a request by all policies that apply to it, according to "Policy
// evaluation logic" and "Cross-account policy evaluation logic":
//
//  1. A Deny in any policy denies.
//  2. An Allow in the resource's policy allows at once if it names the very
//     caller or everyone. If it names the role of a session it stands for the
//     identity policies, and boundary and session policies limit it. If it
//     names the account it allows nothing by itself.
//  3. Otherwise identity policies must allow, and the permissions boundary
//     and session policies, if there are any, as well.
//  4. If the resource is another account's, 3 and an Allow of any kind in the
//     resource's policy are both needed.
//
// For a trust policy, given as the policy of the resource, an Allow in it is
// needed in any case; an identity policy alone does not let anybody in. Callers
// of kind [WebIdentity] and [Anonymous] have no policies of their own: the
// resource's alone decides. The root user needs no Allow in its own account.
func Evaluate(req *Request, p *Policies) Decision {
	service, name, _ := strings.Cut(req.Action, ":")
	ev := evaluation{req: req, service: strings.ToLower(service), name: name}
	var identity, boundary, session, resource outcome

	caller := &req.Principal
	hasPolicies := caller.Kind == User || caller.Kind == RoleSession || caller.Kind == FederatedUser
	hasSession := hasPolicies && (p.HasSession || len(p.Session) > 0 || caller.Kind == FederatedUser)
	if hasPolicies {
		if identity = ev.scan(p.Identity); identity.deny.policy != nil {
			return ev.denied(IdentityType, identity.deny)
		}
		if p.Boundary != nil {
			if boundary = ev.scanOne(p.Boundary); boundary.deny.policy != nil {
				return ev.denied(BoundaryType, boundary.deny)
			}
		}
		if hasSession {
			if session = ev.scan(p.Session); session.deny.policy != nil {
				return ev.denied(SessionType, session.deny)
			}
		}
	}
	resourceType := ResourceType
	if p.Resource != nil {
		if p.Resource.Policy.kind == Trust {
			resourceType = TrustType
		}
		if resource = ev.scanOne(p.Resource); resource.deny.policy != nil {
			return ev.denied(resourceType, resource.deny)
		}
	}

	if reach := p.Grant.reach(); reach > resource.reach {
		resource.reach, resource.allow = reach, ref{}
	}

	crossAccount := req.ResourceAccount != "" && req.ResourceAccount != caller.Account
	needResource := crossAccount || resourceType == TrustType
	switch caller.Kind {
	case Anonymous, WebIdentity:
		if resource.reach == unnamed {
			return ev.missed(resourceType, p)
		}
		return ev.allowed(resourceType, resource.allow)
	case Root:
		if !needResource {
			return ev.allowed("", ref{})
		}
		if resource.reach == unnamed {
			return ev.missed(resourceType, p)
		}
		return ev.allowed(resourceType, resource.allow)
	}

	if !crossAccount && resource.reach == direct {
		return ev.allowed(resourceType, resource.allow)
	}
	byResource := !crossAccount && resource.reach == viaEntity
	if !crossAccount && needResource && resource.reach == unnamed {
		return ev.missed(resourceType, p)
	}
	if !byResource && identity.allow.policy == nil {
		return ev.missed(IdentityType, p)
	}
	if p.Boundary != nil && boundary.allow.policy == nil {
		return ev.missed(BoundaryType, p)
	}
	if hasSession && session.allow.policy == nil {
		return ev.missed(SessionType, p)
	}
	if crossAccount && resource.reach == unnamed {
		return ev.missed(resourceType, p)
	}
	if byResource {
		return ev.allowed(resourceType, resource.allow)
	}
	return ev.allowed(IdentityType, identity.allow)
}

// scan looks for a Deny, and on the way for the first Allow.
func (ev *evaluation) scan(policies []Named) outcome {
	var out outcome
	for i := range policies {
		if ev.scanInto(&out, &policies[i]); out.deny.policy != nil {
			break
		}
	}
	return out
}

func (ev *evaluation) scanOne(policy *Named) outcome {
	var out outcome
	ev.scanInto(&out, policy)
	return out
}

func (ev *evaluation) scanInto(out *outcome, policy *Named) {
	for i := range policy.Policy.statements {
		s := &policy.Policy.statements[i]
		if !s.deny && out.reach == direct {
			continue // no Allow can change that
		}
		reach := ev.applies(policy.Policy.kind, s)
		switch {
		case reach == unnamed:
		case s.deny:
			out.deny = ref{policy, i}
			return
		case reach > out.reach:
			out.allow, out.reach = ref{policy, i}, reach
		}
	}
}

// Applying are the statements of a policy that apply to a request, all of them:
// those that allow it, and those that deny it.
func Applying(req *Request, n *Named, t Type) (allows, denies []Statement) {
	service, name, _ := strings.Cut(req.Action, ":")
	ev := evaluation{req: req, service: strings.ToLower(service), name: name}
	for i := range n.Policy.statements {
		s := &n.Policy.statements[i]
		switch {
		case ev.applies(n.Policy.kind, s) == unnamed:
		case s.deny:
			denies = append(denies, ref{n, i}.statement(t))
		default:
			allows = append(allows, ref{n, i}.statement(t))
		}
	}
	return allows, denies
}

func (ev *evaluation) allowed(t Type, r ref) Decision {
	d := ev.decision()
	d.Allowed, d.Type = true, t
	switch {
	case r.policy != nil:
		d.Statement = r.statement(t)
	case t != "":
		d.Type = ACLType
	}
	return d
}
