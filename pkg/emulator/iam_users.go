package emulator

import (
	"slices"
	"strings"

	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
	"github.com/openirsa/openirsa/pkg/policy"
)

func (s *Server) createUser(c *call) (func(*wire.XML), *wire.Failure) {
	var keys policy.Context
	name := c.Text("UserName", ruleUserName)
	path := pathOr(c.Text("Path", rulePath))
	boundary := c.readBoundary(ruleARN.Optional(), &keys)
	tags := c.Tags("Tags", maxTags)
	if e := c.Err(); e != nil {
		return nil, s.refusedParameters(c, e)
	}
	requestTags(&keys, tags)
	u := &user{entity: entity{
		ID:       uniqueID(prefixUser, s.account.ID),
		Name:     name,
		Path:     path,
		ARN:      userKind.arn(s, path, name),
		Created:  c.At.UTC(),
		Tags:     tags,
		Boundary: boundary,
	}}
	if e := s.permitCreate(c, u.ARN, "", keys, tags); e != nil {
		return nil, e
	}
	e := s.iam.edit(func(e *edit) *wire.Failure {
		if err := checkTags(tags, false); err != nil {
			return err
		}
		if err := e.checkBoundary(boundary); err != nil {
			return err
		}
		switch {
		case e.users[strings.ToLower(name)] != nil:
			return alreadyExists("User with name %s already exists.", name)
		case len(e.users) >= maxUsers:
			return limitExceeded("Cannot exceed quota for UsersPerAccount: %d", maxUsers)
		}
		e.putUser(u)
		return nil
	})
	return func(x *wire.XML) {
		x.Open("User")
		u.write(x, "User")
		u.writeTagsIfAny(x)
		u.writeBoundary(x)
		x.Close("User")
	}, e
}

// readUser reads the parameter UserName, which may be left out: then it is the
// user who calls.
func (c *call) readUser() string {
	name := c.Text("UserName", ruleOldUserName.Optional())
	if !c.Has("UserName") && identityOf(&c.Caller).user != nil {
		return identityOf(&c.Caller).user.Name
	}
	return name
}

func (s *Server) lookUser(c *call) (*user, *wire.Failure) {
	name := c.readUser()
	if name == "" && c.Err() == nil {
		return nil, s.refusedParameters(c, wire.ValidationError("Must specify userName when calling with non-User credentials"))
	}
	if _, e := userKind.look(s, c, name); e != nil {
		return nil, e
	}
	s.iam.mu.RLock()
	defer s.iam.mu.RUnlock()
	u := s.iam.users[strings.ToLower(name)]
	if u == nil {
		return nil, userKind.missing(name)
	}
	return u, nil
}

func (s *Server) getUser(c *call) (func(*wire.XML), *wire.Failure) {
	if !c.Has("UserName") && c.Caller.Kind == policy.Root && identityOf(&c.Caller).session == nil {
		// The root user asks for itself.
		if e := s.permit(c, c.Caller.ARN, "", policy.Context{}); e != nil {
			return nil, e
		}
		return func(x *wire.XML) {
			x.Open("User")
			x.Text("UserId", s.account.ID)
			x.Text("Arn", c.Caller.ARN)
			x.Time("CreateDate", c.At)
			x.Close("User")
		}, nil
	}
	u, e := s.lookUser(c)
	if e != nil {
		return nil, e
	}
	return func(x *wire.XML) {
		x.Open("User")
		u.write(x, "User")
		u.writeTagsIfAny(x)
		u.writeBoundary(x)
		x.Close("User")
	}, nil
}

func (s *Server) listUsers(c *call) (func(*wire.XML), *wire.Failure) {
	prefix, page, e := userKind.listPermit(s, c)
	if e != nil {
		return nil, e
	}
	found, marker := cut(page, within(s.iam, s.iam.users, prefix), func(u *user) string { return u.Name })
	return func(x *wire.XML) {
		x.List("Users", len(found), func(i int) { found[i].write(x, "User") })
		writePage(x, marker)
	}, nil
}

func (s *Server) deleteUser(c *call) (func(*wire.XML), *wire.Failure) {
	name := c.Text("UserName", ruleOldUserName)
	if e := c.Err(); e != nil {
		return nil, s.refusedParameters(c, e)
	}
	if e := userKind.permit(s, c, name, policy.Context{}); e != nil {
		return nil, e
	}
	return nil, s.iam.edit(func(e *edit) *wire.Failure {
		u := e.users[strings.ToLower(name)]
		if u == nil {
			return userKind.missing(name)
		}
		if err := u.deletable(); err != nil {
			return err
		}
		switch {
		case len(u.Keys) > 0:
			return deleteConflict("Cannot delete entity, must delete access keys first.")
		case len(u.Groups) > 0:
			return deleteConflict("Cannot delete entity, must remove users from group first.")
		}
		e.deleteUser(u)
		return nil
	})
}

// editUser changes a user.
func (s *Server) editUser(name string, f func(*edit, *user) *wire.Failure) *wire.Failure {
	return s.iam.edit(func(e *edit) *wire.Failure {
		old := e.users[strings.ToLower(name)]
		if old == nil {
			return userKind.missing(name)
		}
		u := *old
		if err := f(e, &u); err != nil {
			return err
		}
		e.putUser(&u)
		return nil
	})
}

var ruleKeyID = wire.Rule{Required: true, Min: 16, Max: 128, Pattern: patternKeyID}

func (s *Server) createAccessKey(c *call) (func(*wire.XML), *wire.Failure) {
	u, e := s.lookUser(c)
	if e != nil {
		return nil, e
	}
	key := accessKey{
		ID:      newAccessKeyID(prefixAccessKey, s.account.ID),
		Secret:  newSecret(),
		Active:  true,
		Created: c.At.UTC(),
	}
	e = s.editUser(u.Name, func(_ *edit, u *user) *wire.Failure {
		if len(u.Keys) >= maxAccessKeys {
			return limitExceeded("Cannot exceed quota for AccessKeysPerUser: %d", maxAccessKeys)
		}
		u.Keys = append(slices.Clone(u.Keys), key)
		return nil
	})
	return func(x *wire.XML) {
		x.Open("AccessKey")
		x.Text("UserName", u.Name)
		x.Text("AccessKeyId", key.ID)
		x.Text("Status", key.status())
		x.Text("SecretAccessKey", key.Secret)
		x.Time("CreateDate", key.Created)
		x.Close("AccessKey")
	}, e
}

func (k *accessKey) status() string {
	if k.Active {
		return "Active"
	}
	return "Inactive"
}

func (s *Server) listAccessKeys(c *call) (func(*wire.XML), *wire.Failure) {
	page := c.readPage()
	u, e := s.lookUser(c)
	if e != nil {
		return nil, e
	}
	found, marker := cut(page, slices.Clone(u.Keys), func(k accessKey) string { return k.ID })
	return func(x *wire.XML) {
		x.List("AccessKeyMetadata", len(found), func(i int) {
			x.Text("UserName", u.Name)
			x.Text("AccessKeyId", found[i].ID)
			x.Text("Status", found[i].status())
			x.Time("CreateDate", found[i].Created)
		})
		writePage(x, marker)
	}, nil
}

// editKey changes the access key that a call names.
func (s *Server) editKey(c *call, f func(u *user, i int)) *wire.Failure {
	id := c.Text("AccessKeyId", ruleKeyID)
	u, e := s.lookUser(c)
	if e != nil {
		return e
	}
	return s.editUser(u.Name, func(_ *edit, u *user) *wire.Failure {
		i := slices.IndexFunc(u.Keys, func(k accessKey) bool { return k.ID == id })
		if i < 0 {
			return noSuchEntity("The Access Key with id %s cannot be found.", id)
		}
		u.Keys = slices.Clone(u.Keys)
		f(u, i)
		return nil
	})
}

func (s *Server) updateAccessKey(c *call) (func(*wire.XML), *wire.Failure) {
	status := c.OneOf("Status", true, "Active", "Inactive", "Expired")
	if status == "Expired" { // it is IAM that sets it
		return nil, s.refusedParameters(c, invalidInput("The status Expired cannot be set."))
	}
	return nil, s.editKey(c, func(u *user, i int) { u.Keys[i].Active = status == "Active" })
}

func (s *Server) deleteAccessKey(c *call) (func(*wire.XML), *wire.Failure) {
	return nil, s.editKey(c, func(u *user, i int) { u.Keys = slices.Delete(u.Keys, i, i+1) })
}

// getAccessKeyLastUsed answers for any user's key. A key that is nobody's is
// another account's at AWS, so it is a matter of permission.
func (s *Server) getAccessKeyLastUsed(c *call) (func(*wire.XML), *wire.Failure) {
	id := c.Text("AccessKeyId", ruleKeyID)
	if e := c.Err(); e != nil {
		return nil, s.refusedParameters(c, e)
	}
	u, key := s.iam.key(id)
	if key == nil {
		e := accessDenied("User: %s is not authorized to perform: iam:GetAccessKeyLastUsed on resource: access key %s", c.Caller.ARN, id)
		s.logRefused(c.Call, "permission", "there is no access key of that id in the account", e)
		return nil, e
	}
	if e := userKind.permit(s, c, u.Name, policy.Context{}); e != nil {
		return nil, e
	}
	use := key.used.Load()
	return func(x *wire.XML) {
		x.Text("UserName", u.Name)
		x.Open("AccessKeyLastUsed")
		if use != nil {
			x.Time("LastUsedDate", use.at)
			x.Text("ServiceName", use.service)
			x.Text("Region", use.region)
		} else {
			x.Text("ServiceName", "N/A")
			x.Text("Region", "N/A")
		}
		x.Close("AccessKeyLastUsed")
	}, nil
}

func (s *Server) createGroup(c *call) (func(*wire.XML), *wire.Failure) {
	name := c.Text("GroupName", ruleGroupName)
	path := pathOr(c.Text("Path", rulePath))
	if e := c.Err(); e != nil {
		return nil, s.refusedParameters(c, e)
	}
	g := &group{entity{
		ID:      uniqueID(prefixGroup, s.account.ID),
		Name:    name,
		Path:    path,
		ARN:     groupKind.arn(s, path, name),
		Created: c.At.UTC(),
	}}
	if e := s.permit(c, g.ARN, "", policy.Context{}); e != nil {
		return nil, e
	}
	e := s.iam.edit(func(e *edit) *wire.Failure {
		switch {
		case e.groups[strings.ToLower(name)] != nil:
			return alreadyExists("Group with name %s already exists.", name)
		case len(e.groups) >= maxGroups:
			return limitExceeded("Cannot exceed quota for GroupsPerAccount: %d", maxGroups)
		}
		e.putGroup(g)
		return nil
	})
	return func(x *wire.XML) {
		x.Open("Group")
		g.write(x, "Group")
		x.Close("Group")
	}, e
}

func (s *Server) getGroup(c *call) (func(*wire.XML), *wire.Failure) {
	name := groupKind.readName(c)
	page := c.readPage()
	g, e := groupKind.look(s, c, name)
	if e != nil {
		return nil, e
	}
	var found []*user
	s.iam.read(func() { found = s.iam.members(g.ID) })
	found, marker := cut(page, found, func(u *user) string { return u.Name })
	return func(x *wire.XML) {
		x.Open("Group")
		g.write(x, "Group")
		x.Close("Group")
		x.List("Users", len(found), func(i int) { found[i].write(x, "User") })
		writePage(x, marker)
	}, nil
}

// members are the users in a group. The caller holds mu.
func (d *directory) members(groupID string) []*user {
	var found []*user
	for _, u := range d.users {
		if slices.Contains(u.Groups, groupID) {
			found = append(found, u)
		}
	}
	return found
}

func (s *Server) listGroups(c *call) (func(*wire.XML), *wire.Failure) {
	prefix, page, e := groupKind.listPermit(s, c)
	if e != nil {
		return nil, e
	}
	return writeGroups(page, within(s.iam, s.iam.groups, prefix)), nil
}

func writeGroups(p page, found []*group) func(*wire.XML) {
	found, marker := cut(p, found, func(g *group) string { return g.Name })
	return func(x *wire.XML) {
		x.List("Groups", len(found), func(i int) { found[i].write(x, "Group") })
		writePage(x, marker)
	}
}

func (s *Server) deleteGroup(c *call) (func(*wire.XML), *wire.Failure) {
	name := groupKind.readName(c)
	if e := c.Err(); e != nil {
		return nil, s.refusedParameters(c, e)
	}
	if e := groupKind.permit(s, c, name, policy.Context{}); e != nil {
		return nil, e
	}
	return nil, s.iam.edit(func(e *edit) *wire.Failure {
		g := e.groups[strings.ToLower(name)]
		if g == nil {
			return groupKind.missing(name)
		}
		if len(e.members(g.ID)) > 0 {
			return deleteConflict("Cannot delete entity, must remove users from group first.")
		}
		if err := g.deletable(); err != nil {
			return err
		}
		e.deleteGroup(g)
		return nil
	})
}

// editMembership changes the groups of a user.
func (s *Server) editMembership(c *call, f func(u *user, groupID string) *wire.Failure) *wire.Failure {
	groupName := groupKind.readName(c)
	userName := c.Text("UserName", ruleOldUserName)
	if e := c.Err(); e != nil {
		return s.refusedParameters(c, e)
	}
	if e := groupKind.permit(s, c, groupName, policy.Context{}); e != nil {
		return e
	}
	return s.editUser(userName, func(e *edit, u *user) *wire.Failure {
		g := e.groups[strings.ToLower(groupName)]
		if g == nil {
			return groupKind.missing(groupName)
		}
		return f(u, g.ID)
	})
}

func (s *Server) addUserToGroup(c *call) (func(*wire.XML), *wire.Failure) {
	return nil, s.editMembership(c, func(u *user, id string) *wire.Failure {
		switch {
		case slices.Contains(u.Groups, id):
		case len(u.Groups) >= maxGroupsPerUser:
			return limitExceeded("Cannot exceed quota for GroupsPerUser: %d", maxGroupsPerUser)
		default:
			u.Groups = append(slices.Clone(u.Groups), id)
		}
		return nil
	})
}

func (s *Server) removeUserFromGroup(c *call) (func(*wire.XML), *wire.Failure) {
	return nil, s.editMembership(c, func(u *user, id string) *wire.Failure {
		u.Groups = slices.DeleteFunc(slices.Clone(u.Groups), func(o string) bool { return o == id })
		return nil
	})
}

func (s *Server) listGroupsForUser(c *call) (func(*wire.XML), *wire.Failure) {
	name := userKind.readName(c)
	page := c.readPage()
	if _, e := userKind.look(s, c, name); e != nil {
		return nil, e
	}
	var found []*group
	s.iam.read(func() {
		u := s.iam.users[strings.ToLower(name)]
		for _, g := range s.iam.groups {
			if u != nil && slices.Contains(u.Groups, g.ID) {
				found = append(found, g)
			}
		}
	})
	return writeGroups(page, found), nil
}
