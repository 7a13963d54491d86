package emulator

import (
	"fmt"
	"strings"

	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
	"github.com/openirsa/openirsa/pkg/policy"
)

func (s *Server) createRole(c *call) (func(*wire.XML), *wire.Failure) {
	var keys policy.Context
	name := c.Text("RoleName", ruleRoleName)
	path := pathOr(c.Text("Path", rulePath))
	trust := c.Text("AssumeRolePolicyDocument", ruleDocument)
	description := c.Text("Description", ruleDescription)
	seconds := c.Number("MaxSessionDuration", minMaxSession, minMaxSession, maxMaxSession)
	boundary := c.readBoundary(ruleARN.Optional(), &keys)
	tags := c.Tags("Tags", maxTags)
	if e := c.Err(); e != nil {
		return nil, s.refusedParameters(c, e)
	}
	requestTags(&keys, tags)
	r := &role{
		entity: entity{
			ID:       uniqueID(prefixRole, s.account.ID),
			Name:     name,
			Path:     path,
			ARN:      roleKind.arn(s, path, name),
			Created:  c.At.UTC(),
			Tags:     tags,
			Boundary: boundary,
		},
		Description: description,
		MaxSession:  seconds,
		Trust:       trust,
	}
	if e := s.permitCreate(c, r.ARN, "", keys, tags); e != nil {
		return nil, e
	}
	strangers := s.strangers(trust)
	e := s.iam.edit(func(e *edit) *wire.Failure {
		if err := checkTags(tags, false); err != nil {
			return err
		}
		if err := e.setTrust(r, trust, strangers); err != nil {
			return err
		}
		if err := e.checkBoundary(boundary); err != nil {
			return err
		}
		if err := checkPath(path); err != nil {
			return err
		}
		switch {
		case e.roles[strings.ToLower(name)] != nil:
			return alreadyExists("Role with name %s already exists.", name)
		case len(e.roles) >= maxRoles:
			return limitExceeded("Cannot exceed quota for RolesPerAccount: %d", maxRoles)
		}
		return e.putRole(r)
	})
	if e != nil {
		return nil, e
	}
	s.warnTrust(c, r)
	return func(x *wire.XML) {
		x.Open("Role")
		r.write(x, "Role")
		x.Text("AssumeRolePolicyDocument", escapeDocument(r.Trust))
		r.writeTagsIfAny(x)
		r.writeBoundary(x)
		x.Close("Role")
	}, nil
}

// setTrust gives a role a trust policy, or refuses it. Users and roles that it
// names must exist, as far as they are of the emulator's accounts: strangers are
// those of the others.
func (e *edit) setTrust(r *role, document string, strangers map[string]principalID) *wire.Failure {
	p, err := e.newPolicy(policy.Trust, document)
	if err != nil {
		return err
	}
	if policy.Size([]byte(document)) > policy.MaxTrust {
		return limitExceeded("Cannot exceed quota for ACLSizePerRole: %d", policy.MaxTrust)
	}
	r.Trust, r.Principals = document, nil
	for _, name := range p.AWSPrincipals() {
		found := e.principalID(name)
		if stranger, ok := strangers[name]; ok {
			found = stranger
		}
		if !found.known {
			return malformedPolicy(fmt.Sprintf("Invalid principal in policy: \"AWS\":%q", name))
		}
		if found.id != "" {
			if r.Principals == nil {
				r.Principals = make(map[string]string)
			}
			r.Principals[name] = found.id
		}
	}
	return nil
}

// principalID is the unique id of a user or role that a policy names, "" for what
// has none here, and whether it is known to exist, or not to be of this account.
type principalID struct {
	id    string
	known bool
}

// principalID finds a user or role by its ARN. Sessions, ids themselves and what is
// of other accounts have none. The caller holds mu.
func (d *directory) principalID(name string) principalID {
	if !strings.HasPrefix(name, "arn:") {
		return principalID{"", d.roleIDs[name] != nil || d.userIDs[name] != nil}
	}
	parts := strings.SplitN(name, ":", 6)
	if len(parts) != 6 || parts[4] != d.account {
		return principalID{"", len(parts) == 6}
	}
	kind, rest, _ := strings.Cut(parts[5], "/")
	last := strings.ToLower(rest[strings.LastIndexByte(rest, '/')+1:])
	switch kind {
	case "role":
		r := d.roles[last]
		if r == nil || r.ARN != name {
			return principalID{}
		}
		return principalID{r.ID, true}
	case "user":
		u := d.users[last]
		if u == nil || u.ARN != name {
			return principalID{}
		}
		return principalID{u.ID, true}
	case "assumed-role":
		roleName, _, _ := strings.Cut(rest, "/")
		return principalID{"", d.roles[strings.ToLower(roleName)] != nil}
	}
	return principalID{"", kind == "federated-user"}
}

// warnTrust records what is legal in a role's trust policy but hardly meant.
func (s *Server) warnTrust(c *call, r *role) {
	warnings := r.warnings
	for _, arn := range r.trust.FederatedPrincipals() {
		if strings.Contains(arn, ":oidc-provider/") && s.iam.provider(arn) == nil {
			warnings = append(warnings[:len(warnings):len(warnings)],
				"The trust policy names the OIDC provider "+arn+", which does not exist: nobody can assume the role by it.")
		}
	}
	if len(warnings) == 0 {
		return
	}
	event := eventOf(c.Call)
	event.Resource, event.Decision, event.Step = r.ARN, Allow, "warning"
	event.Reason, event.Warnings = "the trust policy is stored, and it may not be what was meant", warnings
	s.keepEvent(c.Call, entry{Event: event})
}

// writeRole writes a role as GetRole does, or as ListRoles with brief.
func (r *role) writeRole(x *wire.XML, brief bool) {
	r.write(x, "Role")
	x.Text("AssumeRolePolicyDocument", escapeDocument(r.Trust))
	x.Optional("Description", r.Description)
	x.Number("MaxSessionDuration", r.MaxSession)
	if brief {
		return
	}
	r.writeTagsIfAny(x)
	r.writeBoundary(x)
	r.writeLastUsed(x)
}

func (r *role) writeLastUsed(x *wire.XML) {
	used := r.used.Load()
	x.Open("RoleLastUsed")
	if used != nil {
		x.Time("LastUsedDate", used.at)
		x.Text("Region", used.region)
	}
	x.Close("RoleLastUsed")
}

// lookRole is look for roles.
func (s *Server) lookRole(c *call) (*role, *wire.Failure) {
	name := c.Text("RoleName", ruleRoleName)
	if _, e := roleKind.look(s, c, name); e != nil {
		return nil, e
	}
	r := s.iam.roleByName(name)
	if r == nil {
		return nil, roleKind.missing(name)
	}
	return r, nil
}

func (s *Server) getRole(c *call) (func(*wire.XML), *wire.Failure) {
	r, e := s.lookRole(c)
	if e != nil {
		return nil, e
	}
	return func(x *wire.XML) {
		x.Open("Role")
		r.writeRole(x, false)
		x.Close("Role")
	}, nil
}

func (s *Server) listRoles(c *call) (func(*wire.XML), *wire.Failure) {
	prefix, page, e := roleKind.listPermit(s, c)
	if e != nil {
		return nil, e
	}
	found, marker := cut(page, within(s.iam, s.iam.roles, prefix), func(r *role) string { return r.Name })
	return func(x *wire.XML) {
		x.List("Roles", len(found), func(i int) { found[i].writeRole(x, true) })
		writePage(x, marker)
	}, nil
}

func (s *Server) deleteRole(c *call) (func(*wire.XML), *wire.Failure) {
	name := c.Text("RoleName", ruleRoleName)
	if e := c.Err(); e != nil {
		return nil, s.refusedParameters(c, e)
	}
	if e := roleKind.permit(s, c, name, policy.Context{}); e != nil {
		return nil, e
	}
	return nil, s.iam.edit(func(e *edit) *wire.Failure {
		r := e.roles[strings.ToLower(name)]
		if r == nil {
			return roleKind.missing(name)
		}
		if err := r.unmodifiable(); err != nil {
			return err
		}
		if len(e.profilesOf(r.ID)) > 0 {
			return deleteConflict("Cannot delete entity, must remove roles from instance profile first.")
		}
		if err := r.deletable(); err != nil {
			return err
		}
		e.deleteRole(r)
		return nil
	})
}

// editRole changes a role.
func (s *Server) editRole(name string, f func(*edit, *role) *wire.Failure) *wire.Failure {
	return s.iam.edit(func(e *edit) *wire.Failure {
		old := e.roles[strings.ToLower(name)]
		if old == nil {
			return roleKind.missing(name)
		}
		r := *old
		if err := f(e, &r); err != nil {
			return err
		}
		return e.putRole(&r)
	})
}

func (s *Server) updateRole(c *call) (func(*wire.XML), *wire.Failure) {
	name := c.Text("RoleName", ruleRoleName)
	description := c.Text("Description", ruleDescription)
	seconds := c.Number("MaxSessionDuration", 0, minMaxSession, maxMaxSession)
	if e := c.Err(); e != nil {
		return nil, s.refusedParameters(c, e)
	}
	if e := roleKind.permit(s, c, name, policy.Context{}); e != nil {
		return nil, e
	}
	e := s.editRole(name, func(_ *edit, r *role) *wire.Failure {
		if c.Has("Description") {
			r.Description = description
		}
		if c.Has("MaxSessionDuration") {
			if err := r.unmodifiable(); err != nil {
				return err
			}
			r.MaxSession = seconds
		}
		return nil
	})
	// UpdateRole has an output, which is empty.
	return func(*wire.XML) {}, e
}

func (s *Server) updateRoleDescription(c *call) (func(*wire.XML), *wire.Failure) {
	name := c.Text("RoleName", ruleRoleName)
	description := c.Text("Description", wire.Rule{Required: true, Max: 1000, Pattern: patternDescription})
	if e := c.Err(); e != nil {
		return nil, s.refusedParameters(c, e)
	}
	if e := roleKind.permit(s, c, name, policy.Context{}); e != nil {
		return nil, e
	}
	var changed *role
	e := s.editRole(name, func(_ *edit, r *role) *wire.Failure {
		r.Description = description
		changed = r
		return nil
	})
	return func(x *wire.XML) {
		x.Open("Role")
		changed.write(x, "Role")
		x.Text("AssumeRolePolicyDocument", escapeDocument(changed.Trust))
		x.Optional("Description", changed.Description)
		x.Close("Role")
	}, e
}

func (s *Server) updateAssumeRolePolicy(c *call) (func(*wire.XML), *wire.Failure) {
	name := c.Text("RoleName", ruleRoleName)
	document := c.Text("PolicyDocument", ruleDocument)
	if e := c.Err(); e != nil {
		return nil, s.refusedParameters(c, e)
	}
	if e := roleKind.permit(s, c, name, policy.Context{}); e != nil {
		return nil, e
	}
	var changed *role
	strangers := s.strangers(document)
	e := s.editRole(name, func(e *edit, r *role) *wire.Failure {
		if err := r.unmodifiable(); err != nil {
			return err
		}
		changed = r
		return e.setTrust(r, document, strangers)
	})
	if e == nil {
		s.warnTrust(c, changed)
	}
	return nil, e
}
