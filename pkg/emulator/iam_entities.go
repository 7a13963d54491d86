package emulator

import (
	"slices"
	"strings"

	"github.com/openirsa/openirsa/internal/order"
	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
	"github.com/openirsa/openirsa/pkg/policy"
)

// entityKind is a kind of things that have policies: roles, users or groups.
// What can be done to all three is done here.
type entityKind struct {
	name      string    // as messages and ARNs spell it
	title     string    // as operations and quotas spell it
	rule      wire.Rule // for the name parameter
	lost      string    // what is said of a name that nothing has, with a place for it
	maxInline int       // characters of all inline policies together

	// find is the entity with a name, nil if there is none.
	find func(*directory, string) *entity
	// update replaces what has the name with a changed copy.
	update func(*edit, string, func(*entity)) *wire.Failure
}

var roleKind = &entityKind{
	name: "role", title: "Role", rule: ruleRoleName, maxInline: policy.MaxRoleInline, lost: "The role with name %s cannot be found.",
	find: func(d *directory, name string) *entity {
		if r := d.roles[strings.ToLower(name)]; r != nil {
			return &r.entity
		}
		return nil
	},
	update: func(e *edit, name string, f func(*entity)) *wire.Failure {
		r := *e.roles[strings.ToLower(name)]
		f(&r.entity)
		return e.putRole(&r)
	},
}

var userKind = &entityKind{
	name: "user", title: "User", rule: ruleOldUserName, maxInline: policy.MaxUserInline, lost: "The user with name %s cannot be found.",
	find: func(d *directory, name string) *entity {
		if u := d.users[strings.ToLower(name)]; u != nil {
			return &u.entity
		}
		return nil
	},
	update: func(e *edit, name string, f func(*entity)) *wire.Failure {
		u := *e.users[strings.ToLower(name)]
		f(&u.entity)
		e.putUser(&u)
		return nil
	},
}

var groupKind = &entityKind{
	name: "group", title: "Group", rule: ruleGroupName, maxInline: policy.MaxGroupInline, lost: "The group with name %s cannot be found.",
	find: func(d *directory, name string) *entity {
		if g := d.groups[strings.ToLower(name)]; g != nil {
			return &g.entity
		}
		return nil
	},
	update: func(e *edit, name string, f func(*entity)) *wire.Failure {
		g := *e.groups[strings.ToLower(name)]
		f(&g.entity)
		e.putGroup(&g)
		return nil
	},
}

func (k *entityKind) missing(name string) *wire.Failure {
	return noSuchEntity(k.lost, name)
}

// arn is the ARN of a new entity.
func (k *entityKind) arn(s *Server, path, name string) string {
	return s.arn("iam", k.name+path+name)
}

// get is the entity with a name, nil if there is none.
func (k *entityKind) get(s *Server, name string) *entity {
	s.iam.mu.RLock()
	defer s.iam.mu.RUnlock()
	return k.find(s.iam, name)
}

// readName reads the parameter that names the entity.
func (k *entityKind) readName(c *call) string { return c.Text(k.title+"Name", k.rule) }

// permit asks whether the caller may do this to the entity with a name, which
// need not exist.
func (k *entityKind) permit(s *Server, c *call, name string, keys policy.Context) *wire.Failure {
	resource := k.arn(s, "/", name)
	if e := k.get(s, name); e != nil {
		resource = e.ARN
		resourceTags(&keys, e.Tags)
		if e.Boundary != "" && !strings.Contains(c.Operation, "PermissionsBoundary") {
			keys.Set("iam:PermissionsBoundary", e.Boundary)
		}
	}
	return s.permit(c, resource, strings.ReplaceAll(k.name, "-", " ")+" "+name, keys)
}

// edit changes the policies of the entity with a name.
func (k *entityKind) edit(s *Server, name string, f func(*edit, *entity) (func(*entity), *wire.Failure)) *wire.Failure {
	return k.change(s, name, func(e *edit, old *entity) (func(*entity), *wire.Failure) {
		if err := old.unmodifiable(); err != nil {
			return nil, err
		}
		return f(e, old)
	})
}

// change changes the entity with a name.
func (k *entityKind) change(s *Server, name string, f func(*edit, *entity) (func(*entity), *wire.Failure)) *wire.Failure {
	return s.iam.edit(func(e *edit) *wire.Failure {
		old := k.find(e.directory, name)
		if old == nil {
			return k.missing(name)
		}
		change, err := f(e, old)
		if err != nil || change == nil {
			return err
		}
		return k.update(e, name, change)
	})
}

// readPolicyARN reads the ARN of a managed policy, and its condition key.
func (c *call) readPolicyARN(keys *policy.Context) string {
	arn := c.Text("PolicyArn", ruleARN)
	keys.Set("iam:PolicyARN", arn)
	return arn
}

// checkPolicyARN refuses what is not the ARN of a managed policy at all, or of
// another partition.
func (d *directory) checkPolicyARN(arn string) *wire.Failure {
	parts := strings.SplitN(arn, ":", 6)
	switch {
	case len(parts) != 6 || parts[0] != "arn":
		return wire.ValidationError("Invalid ARN:  Could not be parsed!") // two blanks: AWS leaves the value out
	case parts[1] != d.partition:
		return wire.ValidationError("Invalid ARN partition")
	case parts[2] != "iam" || parts[3] != "" || !strings.HasPrefix(parts[5], "policy/"):
		return invalidInput("ARN %s is not valid.", arn)
	}
	return nil
}

func (k *entityKind) attach(s *Server, c *call) (func(*wire.XML), *wire.Failure) {
	var keys policy.Context
	name, arn := k.readName(c), c.readPolicyARN(&keys)
	if e := c.Err(); e != nil {
		return nil, s.refusedParameters(c, e)
	}
	if e := k.permit(s, c, name, keys); e != nil {
		return nil, e
	}
	if e := s.iam.checkPolicyARN(arn); e != nil {
		return nil, e
	}
	return nil, k.edit(s, name, func(e *edit, old *entity) (func(*entity), *wire.Failure) {
		switch {
		case e.lookupManaged(arn) == nil:
			return nil, noSuchEntity("Policy %s does not exist or is not attachable.", arn)
		case slices.Contains(old.Attached, arn):
			return nil, nil // attaching twice is attaching once
		case len(old.Attached) >= maxAttached:
			return nil, limitExceeded("Cannot exceed quota for PoliciesPer%s: %d", k.title, maxAttached)
		}
		return func(n *entity) { n.Attached = append(slices.Clone(n.Attached), arn) }, nil
	})
}

func (k *entityKind) detach(s *Server, c *call) (func(*wire.XML), *wire.Failure) {
	var keys policy.Context
	name, arn := k.readName(c), c.readPolicyARN(&keys)
	if e := c.Err(); e != nil {
		return nil, s.refusedParameters(c, e)
	}
	if e := k.permit(s, c, name, keys); e != nil {
		return nil, e
	}
	if e := s.iam.checkPolicyARN(arn); e != nil {
		return nil, e
	}
	return nil, k.edit(s, name, func(_ *edit, old *entity) (func(*entity), *wire.Failure) {
		i := slices.Index(old.Attached, arn)
		if i < 0 {
			return nil, noSuchEntity("Policy %s was not found.", arn)
		}
		return func(n *entity) { n.Attached = slices.Delete(slices.Clone(n.Attached), i, i+1) }, nil
	})
}

func (k *entityKind) listAttached(s *Server, c *call) (func(*wire.XML), *wire.Failure) {
	name := k.readName(c)
	prefix := pathOr(c.Text("PathPrefix", rulePathPrefix))
	page := c.readPage()
	entity, e := k.look(s, c, name)
	if e != nil {
		return nil, e
	}
	var found []*managedPolicy
	for _, arn := range entity.Attached {
		if p := s.iam.managedPolicy(arn); p != nil && strings.HasPrefix(p.Path, prefix) {
			found = append(found, p)
		}
	}
	found, marker := cut(page, found, func(p *managedPolicy) string { return p.ARN })
	return func(x *wire.XML) {
		x.List("AttachedPolicies", len(found), func(i int) {
			x.Text("PolicyName", found[i].Name)
			x.Text("PolicyArn", found[i].ARN)
		})
		writePage(x, marker)
	}, nil
}

// look ends the reading of parameters of an operation that only reads an
// entity, and is the entity if the caller may see it.
func (k *entityKind) look(s *Server, c *call, name string) (*entity, *wire.Failure) {
	if e := c.Err(); e != nil {
		return nil, s.refusedParameters(c, e)
	}
	if e := k.permit(s, c, name, policy.Context{}); e != nil {
		return nil, e
	}
	entity := k.get(s, name)
	if entity == nil {
		return nil, k.missing(name)
	}
	return entity, nil
}

func (k *entityKind) putInline(s *Server, c *call) (func(*wire.XML), *wire.Failure) {
	name := k.readName(c)
	policyName := c.Text("PolicyName", rulePolicyName)
	document := c.Text("PolicyDocument", ruleDocument)
	if e := c.Err(); e != nil {
		return nil, s.refusedParameters(c, e)
	}
	if e := k.permit(s, c, name, policy.Context{}); e != nil {
		return nil, e
	}
	return nil, k.edit(s, name, func(e *edit, old *entity) (func(*entity), *wire.Failure) {
		if _, err := e.newPolicy(policy.Identity, document); err != nil {
			return nil, err
		}
		size := policy.Size([]byte(document))
		for _, in := range old.Inline {
			if in.Name != policyName {
				size += policy.Size([]byte(in.Document))
			}
		}
		if size > k.maxInline {
			return nil, limitExceeded("Maximum policy size of %d bytes exceeded for %s %s", k.maxInline, k.name, old.Name)
		}
		return func(n *entity) {
			n.Inline = slices.DeleteFunc(slices.Clone(n.Inline), func(in inlinePolicy) bool { return in.Name == policyName })
			n.Inline = append(n.Inline, inlinePolicy{policyName, document})
			order.By(n.Inline, func(a, b inlinePolicy) int { return strings.Compare(a.Name, b.Name) })
		}, nil
	})
}

func (k *entityKind) missingInline(name string) *wire.Failure {
	return noSuchEntity("The %s policy with name %s cannot be found.", k.name, name)
}

func (k *entityKind) getInline(s *Server, c *call) (func(*wire.XML), *wire.Failure) {
	name := k.readName(c)
	policyName := c.Text("PolicyName", rulePolicyName)
	entity, e := k.look(s, c, name)
	if e != nil {
		return nil, e
	}
	i := slices.IndexFunc(entity.Inline, func(in inlinePolicy) bool { return in.Name == policyName })
	if i < 0 {
		return nil, k.missingInline(policyName)
	}
	return func(x *wire.XML) {
		x.Text(k.title+"Name", entity.Name)
		x.Text("PolicyName", policyName)
		x.Text("PolicyDocument", escapeDocument(entity.Inline[i].Document))
	}, nil
}

func (k *entityKind) deleteInline(s *Server, c *call) (func(*wire.XML), *wire.Failure) {
	name := k.readName(c)
	policyName := c.Text("PolicyName", rulePolicyName)
	if e := c.Err(); e != nil {
		return nil, s.refusedParameters(c, e)
	}
	if e := k.permit(s, c, name, policy.Context{}); e != nil {
		return nil, e
	}
	return nil, k.edit(s, name, func(_ *edit, old *entity) (func(*entity), *wire.Failure) {
		i := slices.IndexFunc(old.Inline, func(in inlinePolicy) bool { return in.Name == policyName })
		if i < 0 {
			return nil, k.missingInline(policyName)
		}
		return func(n *entity) { n.Inline = slices.Delete(slices.Clone(n.Inline), i, i+1) }, nil
	})
}

func (k *entityKind) listInline(s *Server, c *call) (func(*wire.XML), *wire.Failure) {
	name := k.readName(c)
	page := c.readPage()
	entity, e := k.look(s, c, name)
	if e != nil {
		return nil, e
	}
	found, marker := cut(page, slices.Clone(entity.Inline), func(in inlinePolicy) string { return in.Name })
	return func(x *wire.XML) {
		x.Open("PolicyNames")
		for _, in := range found {
			x.Text("member", in.Name)
		}
		x.Close("PolicyNames")
		writePage(x, marker)
	}, nil
}

// readBoundary reads the ARN of a permissions boundary, and its condition key.
func (c *call) readBoundary(r wire.Rule, keys *policy.Context) string {
	arn := c.Text("PermissionsBoundary", r)
	if c.Has("PermissionsBoundary") {
		keys.Set("iam:PermissionsBoundary", arn)
	}
	return arn
}

// checkBoundary refuses what cannot be a permissions boundary.
func (e *edit) checkBoundary(arn string) *wire.Failure {
	if arn == "" {
		return nil
	}
	if err := e.checkPolicyARN(arn); err != nil {
		return err
	}
	if e.lookupManaged(arn) == nil {
		return noSuchEntity("Scope ARN: %s does not exist or is not attachable.", arn)
	}
	return nil
}

func (k *entityKind) putBoundary(s *Server, c *call) (func(*wire.XML), *wire.Failure) {
	var keys policy.Context
	name, arn := k.readName(c), c.readBoundary(ruleARN, &keys)
	if e := c.Err(); e != nil {
		return nil, s.refusedParameters(c, e)
	}
	if e := k.permit(s, c, name, keys); e != nil {
		return nil, e
	}
	return nil, k.edit(s, name, func(e *edit, _ *entity) (func(*entity), *wire.Failure) {
		if err := e.checkBoundary(arn); err != nil {
			return nil, err
		}
		return func(n *entity) { n.Boundary = arn }, nil
	})
}

func (k *entityKind) deleteBoundary(s *Server, c *call) (func(*wire.XML), *wire.Failure) {
	name := k.readName(c)
	if e := c.Err(); e != nil {
		return nil, s.refusedParameters(c, e)
	}
	var keys policy.Context
	if entity := k.get(s, name); entity != nil && entity.Boundary != "" {
		keys.Set("iam:PermissionsBoundary", entity.Boundary)
	}
	if e := k.permit(s, c, name, keys); e != nil {
		return nil, e
	}
	return nil, k.edit(s, name, func(_ *edit, old *entity) (func(*entity), *wire.Failure) {
		if old.Boundary == "" {
			return nil, noSuchEntity("%s %s does not have a permissions boundary.", k.title, old.Name)
		}
		return func(n *entity) { n.Boundary = "" }, nil
	})
}

func (k *entityKind) tag(s *Server, c *call) (func(*wire.XML), *wire.Failure) {
	name, tags := k.readName(c), c.Tags("Tags", maxTags)
	if e := c.Err(); e != nil {
		return nil, s.refusedParameters(c, e)
	}
	var keys policy.Context
	requestTags(&keys, tags)
	if e := k.permit(s, c, name, keys); e != nil {
		return nil, e
	}
	return nil, k.change(s, name, func(_ *edit, old *entity) (func(*entity), *wire.Failure) {
		if e := checkTags(tags, false); e != nil {
			return nil, e
		}
		merged, e := mergeTags(old.Tags, tags, false)
		return func(n *entity) { n.Tags = merged }, e
	})
}

// readTagKeys reads the keys of tags to be removed, and their condition key.
func (c *call) readTagKeys(keys *policy.Context) []string {
	names := c.Texts("TagKeys", true, maxTagKeysToRemove, wire.RuleTagKey)
	if len(names) > 0 {
		keys.SetMulti("aws:TagKeys", names...)
	}
	return names
}

func (k *entityKind) untag(s *Server, c *call) (func(*wire.XML), *wire.Failure) {
	var keys policy.Context
	name, names := k.readName(c), c.readTagKeys(&keys)
	if e := c.Err(); e != nil {
		return nil, s.refusedParameters(c, e)
	}
	if e := k.permit(s, c, name, keys); e != nil {
		return nil, e
	}
	return nil, k.change(s, name, func(*edit, *entity) (func(*entity), *wire.Failure) {
		return func(n *entity) { n.Tags = removeTags(n.Tags, names, false) }, nil
	})
}

func (k *entityKind) listTags(s *Server, c *call) (func(*wire.XML), *wire.Failure) {
	name := k.readName(c)
	page := c.readPage()
	entity, e := k.look(s, c, name)
	if e != nil {
		return nil, e
	}
	return tagPage(page, entity.Tags), nil
}

// write writes what the elements Role, User and Group begin with.
func (e *entity) write(x *wire.XML, title string) {
	x.Text("Path", e.Path)
	x.Text(title+"Name", e.Name)
	x.Text(title+"Id", e.ID)
	x.Text("Arn", e.ARN)
	x.Time("CreateDate", e.Created)
}

// writeBoundary writes the permissions boundary, if there is one.
func (e *entity) writeBoundary(x *wire.XML) {
	if e.Boundary == "" {
		return
	}
	x.Open("PermissionsBoundary")
	x.Text("PermissionsBoundaryType", "Policy") // the SDKs' models say PermissionsBoundaryPolicy, AWS does not
	x.Text("PermissionsBoundaryArn", e.Boundary)
	x.Close("PermissionsBoundary")
}

// writeTagsIfAny writes tags in the manner of resources, which have no element
// for none.
func (e *entity) writeTagsIfAny(x *wire.XML) {
	if len(e.Tags) > 0 {
		writeTags(x, e.Tags)
	}
}

// deletable refuses to delete an entity that still has policies.
func (e *entity) deletable() *wire.Failure {
	switch {
	case len(e.Attached) > 0:
		return deleteConflict("Cannot delete entity, must detach all policies first.")
	case len(e.Inline) > 0:
		return deleteConflict("Cannot delete entity, must delete policies first.")
	}
	return nil
}

func (e *entity) path() string { return e.Path }

// within are the roles, users or groups of m whose path begins with prefix.
func within[T interface{ path() string }](d *directory, m map[string]T, prefix string) []T {
	d.mu.RLock()
	defer d.mu.RUnlock()
	var found []T
	for _, v := range m {
		if strings.HasPrefix(v.path(), prefix) {
			found = append(found, v)
		}
	}
	return found
}

// listPermit reads the parameters of an operation that lists a kind, asks
// whether the caller may, and returns the path prefix and the page.
func (k *entityKind) listPermit(s *Server, c *call) (string, page, *wire.Failure) {
	prefix := pathOr(c.Text("PathPrefix", rulePathPrefix))
	page := c.readPage()
	if e := c.Err(); e != nil {
		return "", page, s.refusedParameters(c, e)
	}
	return prefix, page, s.permit(c, s.arn("iam", k.name+prefix), "", policy.Context{})
}
