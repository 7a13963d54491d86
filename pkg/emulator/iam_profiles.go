package emulator

import (
	"slices"
	"strings"

	"github.com/openirsa/openirsa/pkg/emulator/internal/api"
	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
	"github.com/openirsa/openirsa/pkg/policy"
)

// instanceProfile hands a role to virtual machines of EC2. There are none here,
// but tools that make a cluster make its instance profiles too.
type instanceProfile struct {
	entity
	Role string `json:",omitempty"` // unique id of the role in it
}

// maxProfiles is the quota of instance profiles of an account.
const maxProfiles = 1000

var ruleProfileName = wire.Rule{Required: true, Min: 1, Max: 128, Pattern: patternName}

// profileKind is the kind of instance profiles. They have tags as roles, users
// and groups have, but no policies.
var profileKind = &entityKind{
	name: "instance-profile", title: "InstanceProfile", rule: ruleProfileName, lost: "Instance Profile %s cannot be found.",
	find: func(d *directory, name string) *entity {
		if p := d.profiles[strings.ToLower(name)]; p != nil {
			return &p.entity
		}
		return nil
	},
	update: func(e *edit, name string, f func(*entity)) *wire.Failure {
		p := *e.profiles[strings.ToLower(name)]
		f(&p.entity)
		e.putProfile(&p)
		return nil
	},
}

func (d *directory) storeProfile(p *instanceProfile) error {
	d.profiles[strings.ToLower(p.Name)] = p
	return nil
}

func (e *edit) putProfile(p *instanceProfile) {
	e.storeProfile(p)
	e.Put(bucketProfile, p.ID, p)
}

// profilesOf are the instance profiles with a role in them. The caller holds mu.
func (d *directory) profilesOf(roleID string) []*instanceProfile {
	var found []*instanceProfile
	for _, p := range d.profiles {
		if p.Role == roleID {
			found = append(found, p)
		}
	}
	slices.SortFunc(found, func(a, b *instanceProfile) int { return strings.Compare(a.Name, b.Name) })
	return found
}

// profileRole is the ARN of the role in an instance profile of an account, by the name or
// the ARN of the profile, and whether there is such a profile; "" if no role is in it.
func (s *Server) profileRole(account, profile string) (arn string, found bool) {
	owner := s.accounts[account]
	if owner == nil {
		return "", false
	}
	owner.iam.read(func() {
		p := owner.iam.profiles[strings.ToLower(profile[strings.LastIndexByte(profile, '/')+1:])]
		if p == nil || strings.Contains(profile, "/") && p.ARN != profile {
			return
		}
		found = true
		if r := owner.iam.roleIDs[p.Role]; r != nil {
			arn = r.ARN
		}
	})
	return arn, found
}

// write writes an InstanceProfile element's content, without the tags. The role
// may be nil.
func (p *instanceProfile) write(x *wire.XML, r *role) {
	p.entity.write(x, profileKind.title)
	n := 0
	if r != nil {
		n = 1
	}
	x.List("Roles", n, func(int) {
		r.write(x, "Role")
		x.Text("AssumeRolePolicyDocument", escapeDocument(r.Trust))
	})
}

func (s *Server) createInstanceProfile(c *call) (func(*wire.XML), *wire.Failure) {
	var keys policy.Context
	name := profileKind.readName(c)
	path := pathOr(c.Text("Path", rulePath))
	tags := c.Tags("Tags", maxTags)
	if e := c.Err(); e != nil {
		return nil, s.refusedParameters(c, e)
	}
	requestTags(&keys, tags)
	p := &instanceProfile{entity: entity{
		ID:      uniqueID(prefixProfile, s.account.ID),
		Name:    name,
		Path:    path,
		ARN:     profileKind.arn(s, path, name),
		Created: c.At.UTC(),
		Tags:    tags,
	}}
	if e := s.permitCreate(c, p.ARN, "", keys, tags); e != nil {
		return nil, e
	}
	e := s.iam.edit(func(e *edit) *wire.Failure {
		if err := checkTags(tags, false); err != nil {
			return err
		}
		switch {
		case e.profiles[strings.ToLower(name)] != nil:
			return alreadyExists("Instance Profile %s already exists.", name)
		case len(e.profiles) >= maxProfiles:
			return limitExceeded("Cannot exceed quota for InstanceProfilesPerAccount: %d", maxProfiles)
		}
		e.putProfile(p)
		return nil
	})
	return func(x *wire.XML) {
		x.Open("InstanceProfile")
		p.write(x, nil)
		p.writeTagsIfAny(x)
		x.Close("InstanceProfile")
	}, e
}

func (s *Server) getInstanceProfile(c *call) (func(*wire.XML), *wire.Failure) {
	name := profileKind.readName(c)
	if _, e := profileKind.look(s, c, name); e != nil {
		return nil, e
	}
	var p *instanceProfile
	var r *role
	s.iam.read(func() {
		if p = s.iam.profiles[strings.ToLower(name)]; p != nil {
			r = s.iam.roleIDs[p.Role]
		}
	})
	if p == nil {
		return nil, profileKind.missing(name)
	}
	return func(x *wire.XML) {
		x.Open("InstanceProfile")
		p.write(x, r)
		writeTags(x, p.Tags)
		x.Close("InstanceProfile")
	}, nil
}

func (s *Server) deleteInstanceProfile(c *call) (func(*wire.XML), *wire.Failure) {
	name := profileKind.readName(c)
	if e := c.Err(); e != nil {
		return nil, s.refusedParameters(c, e)
	}
	if e := profileKind.permit(s, c, name, policy.Context{}); e != nil {
		return nil, e
	}
	return nil, s.iam.edit(func(e *edit) *wire.Failure {
		p := e.profiles[strings.ToLower(name)]
		switch {
		case p == nil:
			return profileKind.missing(name)
		case p.Role != "":
			return deleteConflict("Cannot delete entity, must remove roles from instance profile first.")
		}
		delete(e.profiles, strings.ToLower(name))
		e.Delete(bucketProfile, p.ID)
		return nil
	})
}

// editProfile changes the role of the instance profile that a call names. Whoever
// puts a role into one hands it on, which takes the permission iam:PassRole
// too (IAM API Reference, AddRoleToInstanceProfile).
func (s *Server) editProfile(c *call, pass bool, f func(p *instanceProfile, r *role) *wire.Failure) *wire.Failure {
	name := profileKind.readName(c)
	roleName := c.Text("RoleName", ruleRoleName)
	if e := c.Err(); e != nil {
		return s.refusedParameters(c, e)
	}
	if e := profileKind.permit(s, c, name, policy.Context{}); e != nil {
		return e
	}
	if r := roleKind.get(s, roleName); r != nil && pass {
		q := &api.Question{Action: "iam:PassRole", Resource: r.ARN}
		q.Keys.Set("iam:PassedToService", "ec2."+s.account.DNSSuffix)
		resourceTags(&q.Keys, r.Tags)
		if e := s.authorize(c.Call, q); e != nil {
			return e
		}
	}
	return s.iam.edit(func(e *edit) *wire.Failure {
		old, r := e.profiles[strings.ToLower(name)], e.roles[strings.ToLower(roleName)]
		switch {
		case old == nil:
			return profileKind.missing(name)
		case r == nil:
			return roleKind.missing(roleName)
		}
		if err := r.unmodifiable(); err != nil {
			return err
		}
		p := *old
		if err := f(&p, r); err != nil {
			return err
		}
		e.putProfile(&p)
		return nil
	})
}

func (s *Server) addRoleToInstanceProfile(c *call) (func(*wire.XML), *wire.Failure) {
	return nil, s.editProfile(c, true, func(p *instanceProfile, r *role) *wire.Failure {
		if p.Role != "" {
			return limitExceeded("Cannot exceed quota for InstanceSessionsPerInstanceProfile: 1")
		}
		p.Role = r.ID
		return nil
	})
}

func (s *Server) removeRoleFromInstanceProfile(c *call) (func(*wire.XML), *wire.Failure) {
	return nil, s.editProfile(c, false, func(p *instanceProfile, r *role) *wire.Failure {
		if p.Role != r.ID {
			return noSuchEntity("The role with name %s cannot be found in instance profile %s.", r.Name, p.Name)
		}
		p.Role = ""
		return nil
	})
}

func (s *Server) listInstanceProfiles(c *call) (func(*wire.XML), *wire.Failure) {
	prefix, page, e := profileKind.listPermit(s, c)
	if e != nil {
		return nil, e
	}
	return s.writeProfiles(page, within(s.iam, s.iam.profiles, prefix)), nil
}

func (s *Server) listInstanceProfilesForRole(c *call) (func(*wire.XML), *wire.Failure) {
	page := c.readPage()
	r, e := s.lookRole(c)
	if e != nil {
		return nil, e
	}
	var found []*instanceProfile
	s.iam.read(func() { found = s.iam.profilesOf(r.ID) })
	return s.writeProfiles(page, found), nil
}

// writeProfiles writes a page of instance profiles, which in lists have no tags.
func (s *Server) writeProfiles(p page, found []*instanceProfile) func(*wire.XML) {
	found, marker := cut(p, found, func(p *instanceProfile) string { return p.Name })
	return func(x *wire.XML) {
		x.List("InstanceProfiles", len(found), func(i int) { found[i].write(x, s.iam.roleByID(found[i].Role)) })
		writePage(x, marker)
	}
}
