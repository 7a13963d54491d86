package emulator

import (
	"fmt"
	"strings"

	"github.com/openirsa/openirsa/pkg/policy"
)

func (s *Server) createRole(c *call) (func(*xmlWriter), *awsError) {
	var keys policy.Context
	name := c.text("RoleName", ruleRoleName)
	path := pathOr(c.text("Path", rulePath))
	trust := c.text("AssumeRolePolicyDocument", ruleDocument)
	description := c.text("Description", ruleDescription)
	seconds := c.number("MaxSessionDuration", minMaxSession, minMaxSession, maxMaxSession)
	boundary := c.readBoundary(ruleARN.optional(), &keys)
	tags := c.tags("Tags", maxTags)
	if e := c.err(); e != nil {
		return nil, s.invalid(c, e)
	}
	requestTags(&keys, tags)
	r := &role{
		entity: entity{
			ID:       uniqueID(prefixRole, s.config.Account),
			Name:     name,
			Path:     path,
			ARN:      roleKind.arn(s, path, name),
			Created:  c.at.UTC(),
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
	e := s.iam.edit(func(e *edit) *awsError {
		if err := checkTags(tags, false); err != nil {
			return err
		}
		if err := e.setTrust(r, trust); err != nil {
			return err
		}
		if err := e.checkBoundary(boundary); err != nil {
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
	return func(x *xmlWriter) {
		x.open("Role")
		r.write(x, "Role")
		x.text("AssumeRolePolicyDocument", escapeDocument(r.Trust))
		r.writeTagsIfAny(x)
		r.writeBoundary(x)
		x.close("Role")
	}, nil
}

// setTrust gives a role a trust policy, or refuses it. Users and roles that it
// names must exist, as far as they are of this account: there are no others.
func (e *edit) setTrust(r *role, document string) *awsError {
	p, err := e.newPolicy(policy.Trust, document)
	if err != nil {
		return err
	}
	if policy.Size([]byte(document)) > policy.MaxTrust {
		return limitExceeded("Cannot exceed quota for ACLSizePerRole: %d", policy.MaxTrust)
	}
	r.Trust, r.Principals = document, nil
	for _, name := range p.AWSPrincipals() {
		id, known := e.principalID(name)
		if !known {
			return malformedPolicy(fmt.Sprintf("Invalid principal in policy: \"AWS\":%q", name))
		}
		if id != "" {
			if r.Principals == nil {
				r.Principals = make(map[string]string)
			}
			r.Principals[name] = id
		}
	}
	return nil
}

// principalID is the unique id of a user or role that a policy names by its
// ARN, "" for what has none here: sessions, ids themselves, other accounts.
func (e *edit) principalID(name string) (id string, known bool) {
	if !strings.HasPrefix(name, "arn:") {
		return "", e.roleIDs[name] != nil || e.userIDs[name] != nil
	}
	parts := strings.SplitN(name, ":", 6)
	if len(parts) != 6 || parts[4] != e.account {
		return "", len(parts) == 6
	}
	kind, rest, _ := strings.Cut(parts[5], "/")
	last := strings.ToLower(rest[strings.LastIndexByte(rest, '/')+1:])
	switch kind {
	case "role":
		r := e.roles[last]
		if r == nil || r.ARN != name {
			return "", false
		}
		return r.ID, true
	case "user":
		u := e.users[last]
		if u == nil || u.ARN != name {
			return "", false
		}
		return u.ID, true
	case "assumed-role":
		roleName, _, _ := strings.Cut(rest, "/")
		return "", e.roles[strings.ToLower(roleName)] != nil
	}
	return "", kind == "federated-user"
}

// warnTrust records what is legal in a role's trust policy but hardly meant.
func (s *Server) warnTrust(c *call, r *role) {
	warnings := r.warnings
	for _, arn := range r.trust.FederatedPrincipals() {
		if strings.Contains(arn, ":oidc-provider/") && s.iam.provider(arn) == nil {
			warnings = append(warnings[:len(warnings):len(warnings)], "The trust policy names the OIDC provider "+arn+", which does not exist: nobody can assume the role by it.")
		}
	}
	if len(warnings) == 0 {
		return
	}
	event := c.event()
	event.Resource, event.Decision, event.Step = r.ARN, Allow, "warning"
	event.Reason, event.Warnings = "the trust policy is stored, and it may not be what was meant", warnings
	s.record(entry{Event: event})
}

// write writes a role as GetRole does, or as ListRoles with brief.
func (r *role) writeRole(x *xmlWriter, brief bool) {
	r.write(x, "Role")
	x.text("AssumeRolePolicyDocument", escapeDocument(r.Trust))
	x.optional("Description", r.Description)
	x.number("MaxSessionDuration", r.MaxSession)
	if brief {
		return
	}
	r.writeTagsIfAny(x)
	r.writeBoundary(x)
	r.writeLastUsed(x)
}

func (r *role) writeLastUsed(x *xmlWriter) {
	used := r.used.Load()
	x.open("RoleLastUsed")
	if used != nil {
		x.time("LastUsedDate", used.at)
		x.text("Region", used.region)
	}
	x.close("RoleLastUsed")
}

// lookRole is look for roles.
func (s *Server) lookRole(c *call) (*role, *awsError) {
	name := c.text("RoleName", ruleRoleName)
	if _, e := roleKind.look(s, c, name); e != nil {
		return nil, e
	}
	r := s.iam.roleByName(name)
	if r == nil {
		return nil, roleKind.missing(name)
	}
	return r, nil
}

func (s *Server) getRole(c *call) (func(*xmlWriter), *awsError) {
	r, e := s.lookRole(c)
	if e != nil {
		return nil, e
	}
	return func(x *xmlWriter) {
		x.open("Role")
		r.writeRole(x, false)
		x.close("Role")
	}, nil
}

func (s *Server) listRoles(c *call) (func(*xmlWriter), *awsError) {
	prefix, page, e := roleKind.listPermit(s, c)
	if e != nil {
		return nil, e
	}
	found, marker := cut(page, within(s.iam, s.iam.roles, prefix), func(r *role) string { return r.Name })
	return func(x *xmlWriter) {
		x.list("Roles", len(found), func(i int) { found[i].writeRole(x, true) })
		writePage(x, marker)
	}, nil
}

func (s *Server) deleteRole(c *call) (func(*xmlWriter), *awsError) {
	name := c.text("RoleName", ruleRoleName)
	if e := c.err(); e != nil {
		return nil, s.invalid(c, e)
	}
	if e := roleKind.permit(s, c, name, policy.Context{}); e != nil {
		return nil, e
	}
	return nil, s.iam.edit(func(e *edit) *awsError {
		r := e.roles[strings.ToLower(name)]
		if r == nil {
			return roleKind.missing(name)
		}
		if err := r.deletable(); err != nil {
			return err
		}
		e.deleteRole(r)
		return nil
	})
}

// editRole changes a role.
func (s *Server) editRole(name string, f func(*edit, *role) *awsError) *awsError {
	return s.iam.edit(func(e *edit) *awsError {
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

func (s *Server) updateRole(c *call) (func(*xmlWriter), *awsError) {
	name := c.text("RoleName", ruleRoleName)
	description := c.text("Description", ruleDescription)
	seconds := c.number("MaxSessionDuration", 0, minMaxSession, maxMaxSession)
	if e := c.err(); e != nil {
		return nil, s.invalid(c, e)
	}
	if e := roleKind.permit(s, c, name, policy.Context{}); e != nil {
		return nil, e
	}
	e := s.editRole(name, func(_ *edit, r *role) *awsError {
		if c.has("Description") {
			r.Description = description
		}
		if c.has("MaxSessionDuration") {
			r.MaxSession = seconds
		}
		return nil
	})
	// UpdateRole has an output, which is empty.
	return func(*xmlWriter) {}, e
}

func (s *Server) updateRoleDescription(c *call) (func(*xmlWriter), *awsError) {
	name := c.text("RoleName", ruleRoleName)
	description := c.text("Description", rule{required: true, max: 1000, pattern: patternDescription})
	if e := c.err(); e != nil {
		return nil, s.invalid(c, e)
	}
	if e := roleKind.permit(s, c, name, policy.Context{}); e != nil {
		return nil, e
	}
	var changed *role
	e := s.editRole(name, func(_ *edit, r *role) *awsError {
		r.Description = description
		changed = r
		return nil
	})
	return func(x *xmlWriter) {
		x.open("Role")
		changed.write(x, "Role")
		x.text("AssumeRolePolicyDocument", escapeDocument(changed.Trust))
		x.optional("Description", changed.Description)
		x.close("Role")
	}, e
}

func (s *Server) updateAssumeRolePolicy(c *call) (func(*xmlWriter), *awsError) {
	name := c.text("RoleName", ruleRoleName)
	document := c.text("PolicyDocument", ruleDocument)
	if e := c.err(); e != nil {
		return nil, s.invalid(c, e)
	}
	if e := roleKind.permit(s, c, name, policy.Context{}); e != nil {
		return nil, e
	}
	var changed *role
	e := s.editRole(name, func(e *edit, r *role) *awsError {
		changed = r
		return e.setTrust(r, document)
	})
	if e == nil {
		s.warnTrust(c, changed)
	}
	return nil, e
}

// listInstanceProfilesForRole is always empty: there are no instance profiles.
func (s *Server) listInstanceProfilesForRole(c *call) (func(*xmlWriter), *awsError) {
	c.readPage()
	if _, e := s.lookRole(c); e != nil {
		return nil, e
	}
	return func(x *xmlWriter) {
		x.texts("InstanceProfiles", nil)
		writePage(x, "")
	}, nil
}
