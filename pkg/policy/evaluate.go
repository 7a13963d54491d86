package policy

// outcome is what the policies of one type say of a request.
type outcome struct {
	deny, allow ref   // zero if there is none
	reach       reach // how the best Allow of a resource policy names the caller
}

// Evaluate decides a request by all policies that apply to it, according to "Policy
// evaluation logic" and "Cross-account policy evaluation logic":
//
//  1. A Deny in any policy denies.
//  2. Of the resource control policies for the resource, and then of the service
//     control policies for the caller, each level must allow. The root user is no
//     exception.
//  3. An Allow in the resource's policy allows at once if it names the very
//     caller or everyone. If it names the role of a session it stands for the
//     identity policies, and boundary and session policies limit it. If it
//     names the account it allows nothing by itself.
//  4. Otherwise identity policies must allow, and the permissions boundary
//     and session policies, if there are any, as well.
//  5. If the resource is another account's, 4 and an Allow of any kind in the
//     resource's policy are both needed.
//
// For a trust policy, given as the policy of the resource, an Allow in it is
// needed in any case, as with [Policies.MustAllow]; an identity policy alone does not
// let anybody in. Callers of kind [WebIdentity], [AWSService] and [Anonymous] have no
// policies of their own: the resource's alone decides. The root user needs no Allow in its own
// account.
func Evaluate(req *Request, p *Policies) Decision {
	e := evaluating{evaluation: newEvaluation(req), p: p, resourceType: ResourceType}
	if p.Resource != nil && p.Resource.Policy.kind == Trust {
		e.resourceType = TrustType
	}
	e.crossAccount = req.ResourceAccount != "" && req.ResourceAccount != req.Principal.Account
	ofResource, resourceOK := e.control(ResourceControlType, p.ResourceControl)
	ofService, serviceOK := e.control(ServiceControlType, p.ServiceControl)
	switch {
	case ofResource.Explicit:
		return ofResource
	case ofService.Explicit:
		return ofService
	}
	switch d, denied := e.denies(); {
	case denied:
		return d
	case !resourceOK:
		return ofResource
	case !serviceOK:
		return ofService
	}
	return e.decide()
}

// evaluating is an evaluation under way.
type evaluating struct {
	evaluation
	p                                     *Policies
	resourceType                          Type
	crossAccount                          bool
	hasSession                            bool
	identity, boundary, session, resource outcome
}

// denies asks all policies but those of organizations, and looks for a Deny.
func (e *evaluating) denies() (Decision, bool) {
	p, caller := e.p, &e.req.Principal
	hasPolicies := caller.Kind == User || caller.Kind == RoleSession || caller.Kind == FederatedUser
	e.hasSession = hasPolicies && (p.HasSession || len(p.Session) > 0 || caller.Kind == FederatedUser)
	if hasPolicies {
		if e.identity = e.scan(p.Identity); e.identity.deny.policy != nil {
			return e.denied(IdentityType, e.identity.deny), true
		}
		if p.Boundary != nil {
			if e.boundary = e.scanOne(p.Boundary); e.boundary.deny.policy != nil {
				return e.denied(BoundaryType, e.boundary.deny), true
			}
		}
		if e.hasSession {
			if e.session = e.scan(p.Session); e.session.deny.policy != nil {
				return e.denied(SessionType, e.session.deny), true
			}
		}
	}
	if p.Resource != nil {
		if e.resource = e.scanOne(p.Resource); e.resource.deny.policy != nil {
			return e.denied(e.resourceType, e.resource.deny), true
		}
	}
	if reach := p.Grant.reach(); reach > e.resource.reach {
		e.resource.reach, e.resource.allow = reach, ref{}
	}
	return Decision{}, false
}

// decide looks for the Allows that are needed.
func (e *evaluating) decide() Decision {
	p, resource := e.p, &e.resource
	needResource := e.crossAccount || e.resourceType == TrustType || p.MustAllow
	switch e.req.Principal.Kind {
	case Root:
		if !needResource {
			return e.allowed("", ref{})
		}
		fallthrough
	case Anonymous, WebIdentity, AWSService:
		if resource.reach == unnamed {
			return e.lacks(e.resourceType)
		}
		return e.allowed(e.resourceType, resource.allow)
	}

	if !e.crossAccount && resource.reach == direct {
		return e.allowed(e.resourceType, resource.allow)
	}
	byResource := !e.crossAccount && resource.reach == viaEntity
	switch {
	case !e.crossAccount && needResource && resource.reach == unnamed:
		return e.lacks(e.resourceType)
	case !byResource && e.identity.allow.policy == nil:
		return e.lacks(IdentityType)
	case p.Boundary != nil && e.boundary.allow.policy == nil:
		return e.lacks(BoundaryType)
	case e.hasSession && e.session.allow.policy == nil:
		return e.lacks(SessionType)
	case e.crossAccount && resource.reach == unnamed:
		return e.lacks(e.resourceType)
	case byResource:
		return e.allowed(e.resourceType, resource.allow)
	}
	return e.allowed(IdentityType, e.identity.allow)
}

// lacks is the denial of a request that no policy of type t allows.
func (e *evaluating) lacks(t Type) Decision {
	d := e.missedIn(t, e.p.ofType(t))
	caller := &e.req.Principal
	if e.crossAccount && caller.ownsPolicies() {
		byCaller := caller.Kind == Root || e.identity.allow.policy != nil &&
			(e.p.Boundary == nil || e.boundary.allow.policy != nil) && (!e.hasSession || e.session.allow.policy != nil)
		d.Sides = &Sides{caller.Account, e.req.ResourceAccount, byCaller, e.resource.reach != unnamed}
	}
	return d
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
	ev := newEvaluation(req)
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
