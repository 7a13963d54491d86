package organizations

import (
	"slices"
	"strings"

	"github.com/openirsa/openirsa/pkg/emulator/internal/api"
	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
)

// Quotas ("Quotas and service limits for AWS Organizations").
const (
	maxUnits = 2000
	maxDepth = 5 // of units below the root
)

type unitFields struct{ Arn, Id, Name string }

type unitOutput struct{ OrganizationalUnit unitFields }

func (o *organization) unitOutput(u *unit) unitFields { return unitFields{o.arnOf(u.ID), u.ID, u.Name} }

type createUnitInput struct {
	Name, ParentId string
	Tags           []tag
}

func (s *Service) createUnit(c *api.Call, in *createUnitInput) (out unitOutput, e *wire.Failure) {
	if e := checkName(in.Name); e != nil {
		return out, e
	}
	o, e := s.managed(c, "", in.ParentId)
	if e != nil {
		return out, e
	}
	id := "ou-" + strings.TrimPrefix(o.Root, "r-") + "-" + randomWord(8)
	o, e = s.edit(o.ID, func(o *organization) *wire.Failure {
		switch {
		case !o.isParent(in.ParentId):
			return errNoParent
		case o.unitNamed(in.ParentId, in.Name) != nil:
			return errSameUnit
		case len(o.Units) >= maxUnits:
			return constraint("You have exceeded the allowed number of OUs.")
		case len(o.chain(in.ParentId)) > maxDepth:
			return constraint("You have exceeded the allowed depth of OUs.")
		}
		o.Units = append(o.Units, unit{id, in.Name, in.ParentId})
		o.attachFull(id)
		return o.tag(id, in.Tags)
	})
	if e != nil {
		return out, e
	}
	return unitOutput{o.unitOutput(o.unit(id))}, nil
}

// unitNamed is the unit of a name below a parent, or nil.
func (o *organization) unitNamed(parent, name string) *unit {
	if i := slices.IndexFunc(o.Units, func(u unit) bool { return u.Parent == parent && u.Name == name }); i >= 0 {
		return &o.Units[i]
	}
	return nil
}

type unitInput struct{ OrganizationalUnitId, Name string }

func (s *Service) describeUnit(c *api.Call, in *unitInput) (out unitOutput, e *wire.Failure) {
	o, e := s.managed(c, "", in.OrganizationalUnitId)
	if e != nil {
		return out, e
	}
	u := o.unit(in.OrganizationalUnitId)
	if u == nil {
		return out, errNoUnit
	}
	return unitOutput{o.unitOutput(u)}, nil
}

func (s *Service) updateUnit(c *api.Call, in *unitInput) (out unitOutput, e *wire.Failure) {
	if e := checkName(in.Name); e != nil {
		return out, e
	}
	o, e := s.managed(c, "", in.OrganizationalUnitId)
	if e != nil {
		return out, e
	}
	o, e = s.edit(o.ID, func(o *organization) *wire.Failure {
		u := o.unit(in.OrganizationalUnitId)
		if u == nil {
			return errNoUnit
		}
		if other := o.unitNamed(u.Parent, in.Name); other != nil && other != u {
			return errSameUnit
		}
		u.Name = in.Name
		return nil
	})
	if e != nil {
		return out, e
	}
	return unitOutput{o.unitOutput(o.unit(in.OrganizationalUnitId))}, nil
}

func (s *Service) deleteUnit(c *api.Call, in *unitInput) (out none, e *wire.Failure) {
	id := in.OrganizationalUnitId
	o, e := s.managed(c, "", id)
	if e != nil {
		return out, e
	}
	_, e = s.edit(o.ID, func(o *organization) *wire.Failure {
		switch {
		case o.unit(id) == nil:
			return errNoUnit
		case len(o.children(id, typeUnit))+len(o.children(id, typeAccount)) > 0:
			return errUnitNotEmpty
		}
		o.Units = slices.DeleteFunc(o.Units, func(u unit) bool { return u.ID == id })
		delete(o.Attached, id)
		delete(o.Tags, id)
		return nil
	})
	return out, e
}

// children are the ids of the units or the accounts directly below a parent.
func (o *organization) children(parent, kind string) []string {
	var found []string
	for _, u := range o.Units {
		if kind == typeUnit && u.Parent == parent {
			found = append(found, u.ID)
		}
	}
	for _, m := range o.Accounts {
		if kind == typeAccount && m.Parent == parent {
			found = append(found, m.ID)
		}
	}
	return found
}

type unitsOutput struct {
	next
	OrganizationalUnits []unitFields
}

func (s *Service) listUnits(c *api.Call, in *parentInput) (out unitsOutput, e *wire.Failure) {
	o, e := s.parent(c, in.ParentId)
	if e != nil {
		return out, e
	}
	var all []unitFields
	for _, id := range o.children(in.ParentId, typeUnit) {
		all = append(all, o.unitOutput(o.unit(id)))
	}
	out.OrganizationalUnits, out.next, e = cut(c.List(in.ParentId), in.paging, all)
	return out, e
}

// relative is Parent and Child.
type relative struct{ Id, Type string }

type childrenOutput struct {
	next
	Children []relative
}

func (s *Service) listChildren(c *api.Call, in *parentInput) (out childrenOutput, e *wire.Failure) {
	if in.ChildType != typeUnit && in.ChildType != typeAccount {
		return out, invalid("You specified an invalid value for ChildType.")
	}
	o, e := s.parent(c, in.ParentId)
	if e != nil {
		return out, e
	}
	var all []relative
	for _, id := range o.children(in.ParentId, in.ChildType) {
		all = append(all, relative{id, in.ChildType})
	}
	out.Children, out.next, e = cut(c.List(in.ParentId, in.ChildType), in.paging, all)
	return out, e
}

type childInput struct {
	paging
	ChildId string
}

type parentsOutput struct {
	next
	Parents []relative
}

func (s *Service) listParents(c *api.Call, in *childInput) (out parentsOutput, e *wire.Failure) {
	o, e := s.managed(c, "", in.ChildId)
	if e != nil {
		return out, e
	}
	chain := o.chain(in.ChildId)
	if len(chain) < 2 {
		return out, errNoChild
	}
	parent := chain[len(chain)-2]
	out.Parents, out.next, e = cut(c.List(in.ChildId), in.paging, []relative{{parent, o.kindOf(parent)}})
	return out, e
}
