package organizations

import (
	"cmp"
	"slices"

	"github.com/openirsa/openirsa/pkg/emulator/internal/api"
	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
)

// maxPolicies bounds the policies of a type. At AWS there can be more service control
// policies.
const maxPolicies = 1000

// maxAttached is how many policies of a type a target can have.
func maxAttached(kind string) int {
	if kind == resourceControl {
		return 5
	}
	return 10
}

type typeInput struct{ RootId, PolicyType string }

type rootOutput struct{ Root root }

// editRoot changes the types of policies that are enabled.
func (s *Service) editRoot(c *api.Call, in *typeInput, f func(*organization) *wire.Failure) (out rootOutput, e *wire.Failure) {
	if e := checkType(in.PolicyType); e != nil {
		return out, e
	}
	o, e := s.managed(c, in.PolicyType, in.RootId)
	if e != nil {
		return out, e
	}
	o, e = s.edit(o.ID, func(o *organization) *wire.Failure {
		if o.Root != in.RootId {
			return errNoRoot
		}
		return f(o)
	})
	if e != nil {
		return out, e
	}
	return rootOutput{o.rootOutput()}, nil
}

func (s *Service) enableType(c *api.Call, in *typeInput) (out rootOutput, e *wire.Failure) {
	return s.editRoot(c, in, func(o *organization) *wire.Failure {
		switch {
		case o.Features != "ALL":
			return errTypeNotHere
		case slices.Contains(o.Types, in.PolicyType):
			return errTypeEnabled
		}
		o.Types = append(o.Types, in.PolicyType)
		for _, id := range o.targets() {
			o.Attached[id] = append(o.Attached[id], fullOf(in.PolicyType).ID)
		}
		return nil
	})
}

// disableType detaches all policies of the type as well.
func (s *Service) disableType(c *api.Call, in *typeInput) (out rootOutput, e *wire.Failure) {
	return s.editRoot(c, in, func(o *organization) *wire.Failure {
		i := slices.Index(o.Types, in.PolicyType)
		if i < 0 {
			return errTypeOff
		}
		o.Types = slices.Delete(o.Types, i, i+1)
		for id := range o.Attached {
			o.Attached[id] = slices.DeleteFunc(o.Attached[id], func(p string) bool { return o.policy(p).Type == in.PolicyType })
		}
		return nil
	})
}

type policySummary struct {
	Arn, Id, Name, Description, Type string
	AwsManaged                       bool
}

type policyOutput struct {
	Policy struct {
		Content       string
		PolicySummary policySummary
	}
}

func (o *organization) summary(p *control) policySummary {
	return policySummary{o.arnOf(p.ID), p.ID, p.Name, p.Description, p.Type, p.isAWS()}
}

func (o *organization) policyOutput(p *control) (out policyOutput) {
	out.Policy.Content, out.Policy.PolicySummary = p.Content, o.summary(p)
	return out
}

// policyNamed is the policy of a name and a type, or nil.
func (o *organization) policyNamed(name, kind string) *control {
	for _, all := range [][]control{ofAWS, o.Policies} {
		if i := slices.IndexFunc(all, func(p control) bool { return p.Name == name && p.Type == kind }); i >= 0 {
			return &all[i]
		}
	}
	return nil
}

type createPolicyInput struct {
	Name, Description, Type, Content string
	Tags                             []tag
}

func (s *Service) createPolicy(c *api.Call, in *createPolicyInput) (out policyOutput, e *wire.Failure) {
	if e := cmp.Or(checkName(in.Name), checkType(in.Type)); e != nil {
		return out, e
	}
	if len([]rune(in.Description)) > 512 {
		return out, invalid("You specified an invalid value for Description.")
	}
	o, e := s.managed(c, in.Type)
	if e != nil {
		return out, e
	}
	p := control{"p-" + randomWord(8), in.Name, in.Description, in.Type, in.Content}
	o, e = s.edit(o.ID, func(o *organization) *wire.Failure {
		count := 0
		for _, other := range o.Policies {
			if other.Type == in.Type {
				count++
			}
		}
		switch {
		case o.Features != "ALL":
			return errTypeNotHere
		case o.policyNamed(in.Name, in.Type) != nil:
			return errSamePolicy
		case count >= maxPolicies:
			return constraint("You have exceeded the number of policies that you can have in an organization.")
		}
		if e := checkContent(in.Type, in.Content); e != nil {
			return e
		}
		o.Policies = append(o.Policies, p)
		return o.tag(p.ID, in.Tags)
	})
	if e != nil {
		return out, e
	}
	return o.policyOutput(o.policy(p.ID)), nil
}

type policyInput struct{ PolicyId string }

// typeOf is the type of a policy for the question whether somebody may do something
// to it; the organization may not be the caller's.
func (s *Service) typeOf(c *api.Call, id string) string {
	if o := s.organizationOf(c.Caller.Account); o != nil {
		if p := o.policy(id); p != nil {
			return p.Type
		}
	}
	return ""
}

func (s *Service) describePolicy(c *api.Call, in *policyInput) (out policyOutput, e *wire.Failure) {
	o, e := s.managed(c, s.typeOf(c, in.PolicyId), in.PolicyId)
	if e != nil {
		return out, e
	}
	p := o.policy(in.PolicyId)
	if p == nil {
		return out, errNoPolicy
	}
	return o.policyOutput(p), nil
}

type updatePolicyInput struct {
	PolicyId                   string
	Name, Description, Content *string
}

func (s *Service) updatePolicy(c *api.Call, in *updatePolicyInput) (out policyOutput, e *wire.Failure) {
	o, e := s.managed(c, s.typeOf(c, in.PolicyId), in.PolicyId)
	if e != nil {
		return out, e
	}
	o, e = s.edit(o.ID, func(o *organization) *wire.Failure {
		p := o.policy(in.PolicyId)
		switch {
		case p == nil:
			return errNoPolicy
		case p.isAWS():
			return errOfAWS
		}
		if in.Name != nil {
			if e := checkName(*in.Name); e != nil {
				return e
			}
			if other := o.policyNamed(*in.Name, p.Type); other != nil && other != p {
				return errSamePolicy
			}
			p.Name = *in.Name
		}
		if in.Description != nil {
			p.Description = *in.Description
		}
		if in.Content == nil {
			return nil
		}
		p.Content = *in.Content
		return checkContent(p.Type, p.Content)
	})
	if e != nil {
		return out, e
	}
	return o.policyOutput(o.policy(in.PolicyId)), nil
}

func (s *Service) deletePolicy(c *api.Call, in *policyInput) (out none, e *wire.Failure) {
	o, e := s.managed(c, s.typeOf(c, in.PolicyId), in.PolicyId)
	if e != nil {
		return out, e
	}
	_, e = s.edit(o.ID, func(o *organization) *wire.Failure {
		p := o.policy(in.PolicyId)
		switch {
		case p == nil:
			return errNoPolicy
		case p.isAWS():
			return errOfAWS
		case len(o.attachedTo(in.PolicyId)) > 0:
			return errInUse
		}
		o.Policies = slices.DeleteFunc(o.Policies, func(p control) bool { return p.ID == in.PolicyId })
		delete(o.Tags, in.PolicyId)
		return nil
	})
	return out, e
}

// attachedTo are the ids of the targets of a policy.
func (o *organization) attachedTo(policy string) []string {
	var found []string
	for _, id := range o.targets() {
		if slices.Contains(o.Attached[id], policy) {
			found = append(found, id)
		}
	}
	return found
}

type attachInput struct{ PolicyId, TargetId string }

// editTarget changes what is attached to a target.
func (s *Service) editTarget(c *api.Call, in *attachInput, f func(*organization, *control) *wire.Failure) *wire.Failure {
	o, e := s.managed(c, s.typeOf(c, in.PolicyId), in.PolicyId, in.TargetId)
	if e != nil {
		return e
	}
	_, e = s.edit(o.ID, func(o *organization) *wire.Failure {
		p := o.policy(in.PolicyId)
		switch {
		case p == nil:
			return errNoPolicy
		case o.kindOf(in.TargetId) == "":
			return errNoTarget
		}
		return f(o, p)
	})
	return e
}

func (s *Service) attachPolicy(c *api.Call, in *attachInput) (out none, e *wire.Failure) {
	return out, s.editTarget(c, in, func(o *organization, p *control) *wire.Failure {
		switch {
		case !slices.Contains(o.Types, p.Type):
			return errTypeOff
		case slices.Contains(o.Attached[in.TargetId], p.ID):
			return errAttached
		case len(o.at(in.TargetId, p.Type)) >= maxAttached(p.Type):
			return errMost
		}
		o.Attached[in.TargetId] = append(o.Attached[in.TargetId], p.ID)
		return nil
	})
}

// detachPolicy: of service control policies one must remain, and RCPFullAWSAccess
// must.
func (s *Service) detachPolicy(c *api.Call, in *attachInput) (out none, e *wire.Failure) {
	return out, s.editTarget(c, in, func(o *organization, p *control) *wire.Failure {
		i := slices.Index(o.Attached[in.TargetId], p.ID)
		switch {
		case i < 0:
			return errNotAttached
		case p.isAWS() && p.Type == resourceControl:
			return constraint("You cannot detach the policy %s.", p.Name)
		case len(o.at(in.TargetId, p.Type)) == 1:
			return errLast
		}
		o.Attached[in.TargetId] = slices.Delete(o.Attached[in.TargetId], i, i+1)
		return nil
	})
}

type listPoliciesInput struct {
	paging
	Filter, TargetId string
}

type policiesOutput struct {
	next
	Policies []policySummary
}

func (s *Service) listPolicies(c *api.Call, in *listPoliciesInput) (out policiesOutput, e *wire.Failure) {
	if e := checkType(in.Filter); e != nil {
		return out, e
	}
	o, e := s.managed(c, in.Filter)
	if e != nil {
		return out, e
	}
	var all []policySummary
	for _, p := range []*control{fullOf(in.Filter)} {
		all = append(all, o.summary(p))
	}
	for i := range o.Policies {
		if o.Policies[i].Type == in.Filter {
			all = append(all, o.summary(&o.Policies[i]))
		}
	}
	out.Policies, out.next, e = cut(c.List(in.Filter), in.paging, all)
	return out, e
}

func (s *Service) listPoliciesForTarget(c *api.Call, in *listPoliciesInput) (out policiesOutput, e *wire.Failure) {
	if e := checkType(in.Filter); e != nil {
		return out, e
	}
	o, e := s.managed(c, in.Filter, in.TargetId)
	if e != nil {
		return out, e
	}
	if o.kindOf(in.TargetId) == "" {
		return out, errNoTarget
	}
	var all []policySummary
	for _, p := range o.at(in.TargetId, in.Filter) {
		all = append(all, o.summary(p))
	}
	out.Policies, out.next, e = cut(c.List(in.Filter, in.TargetId), in.paging, all)
	return out, e
}

// target is PolicyTargetSummary.
type target struct{ Arn, Name, TargetId, Type string }

type listTargetsInput struct {
	paging
	PolicyId string
}

type targetsOutput struct {
	next
	Targets []target
}

func (s *Service) listTargets(c *api.Call, in *listTargetsInput) (out targetsOutput, e *wire.Failure) {
	o, e := s.managed(c, s.typeOf(c, in.PolicyId), in.PolicyId)
	if e != nil {
		return out, e
	}
	if o.policy(in.PolicyId) == nil {
		return out, errNoPolicy
	}
	var all []target
	for _, id := range o.attachedTo(in.PolicyId) {
		t := target{o.arnOf(id), "Root", id, o.kindOf(id)}
		switch u, m := o.unit(id), o.member(id); {
		case u != nil:
			t.Name = u.Name
		case m != nil:
			t.Name = o.accountOutput(m).Name
		}
		all = append(all, t)
	}
	out.Targets, out.next, e = cut(c.List(in.PolicyId), in.paging, all)
	return out, e
}
