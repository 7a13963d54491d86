package emulator

import (
	"strings"

	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
	"github.com/openirsa/openirsa/pkg/policy"
)

// renaming is a call of UpdateUser or UpdateGroup: another path, another name,
// or both. The unique id stays, and with it all that hangs on it: access keys,
// memberships, policies, sessions, and the trust of roles.
type renaming struct {
	name             string // as it is now
	newPath, newName string // "" stays
}

// readRenaming reads the parameters and asks whether the caller may do this to
// what there is and to what it is to become.
func (k *entityKind) readRenaming(s *Server, c *call, newName wire.Rule) (*renaming, *wire.Failure) {
	r := &renaming{
		name:    k.readName(c),
		newPath: c.Text("NewPath", rulePath),
		newName: c.Text("New"+k.title+"Name", newName.Optional()),
	}
	if e := c.Err(); e != nil {
		return nil, s.refusedParameters(c, e)
	}
	if e := k.permit(s, c, r.name, policy.Context{}); e != nil {
		return nil, e
	}
	old := k.get(s, r.name)
	if old == nil {
		return nil, k.missing(r.name)
	}
	if changed := r.apply(s, k, *old); changed.ARN != old.ARN {
		if e := s.permit(c, changed.ARN, k.name+" "+changed.Name, policy.Context{}); e != nil {
			return nil, e
		}
	}
	return r, nil
}

// apply is an entity after the renaming.
func (r *renaming) apply(s *Server, k *entityKind, e entity) entity {
	if r.newPath != "" {
		e.Path = r.newPath
	}
	if r.newName != "" {
		e.Name = r.newName
	}
	e.ARN = k.arn(s, e.Path, e.Name)
	return e
}

func (s *Server) updateUser(c *call) (func(*wire.XML), *wire.Failure) {
	r, e := userKind.readRenaming(s, c, ruleUserName)
	if e != nil {
		return nil, e
	}
	return nil, s.editUser(r.name, func(e *edit, u *user) *wire.Failure {
		old := strings.ToLower(u.Name)
		u.entity = r.apply(s, userKind, u.entity)
		if name := strings.ToLower(u.Name); name != old {
			if e.users[name] != nil {
				return alreadyExists("User with name %s already exists.", u.Name)
			}
			delete(e.users, old)
		}
		return nil
	})
}

func (s *Server) updateGroup(c *call) (func(*wire.XML), *wire.Failure) {
	r, e := groupKind.readRenaming(s, c, ruleGroupName)
	if e != nil {
		return nil, e
	}
	return nil, s.iam.edit(func(e *edit) *wire.Failure {
		old := e.groups[strings.ToLower(r.name)]
		if old == nil {
			return groupKind.missing(r.name)
		}
		g := &group{r.apply(s, groupKind, old.entity)}
		if name := strings.ToLower(g.Name); name != strings.ToLower(old.Name) {
			if e.groups[name] != nil {
				return alreadyExists("Group with name %s already exists.", g.Name)
			}
			delete(e.groups, strings.ToLower(old.Name))
		}
		e.putGroup(g)
		return nil
	})
}
