package emulator

import (
	"fmt"
	"slices"
	"strings"

	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
	"github.com/openirsa/openirsa/pkg/policy"
)

func (s *Server) createPolicy(c *call) (func(*wire.XML), *wire.Failure) {
	name := c.Text("PolicyName", rulePolicyName)
	path := pathOr(c.Text("Path", rulePolicyPath))
	document := c.Text("PolicyDocument", ruleDocument)
	description := c.Text("Description", ruleDescription)
	tags := c.Tags("Tags", maxTags)
	if e := c.Err(); e != nil {
		return nil, s.refusedParameters(c, e)
	}
	now := c.At.UTC()
	p := &managedPolicy{
		ID:          uniqueID(prefixPolicy, s.account.ID),
		Name:        name,
		Path:        path,
		ARN:         s.arn("iam", "policy"+path+name),
		Description: description,
		Created:     now,
		Updated:     now,
		Default:     "v1",
		Versions:    []policyVersion{{ID: "v1", Document: document, Created: now}},
		Next:        2,
		Tags:        tags,
	}
	var keys policy.Context
	requestTags(&keys, tags)
	if e := s.permitCreate(c, p.ARN, "policy "+name, keys, tags); e != nil {
		return nil, e
	}
	e := s.iam.edit(func(e *edit) *wire.Failure {
		if err := checkTags(tags, false); err != nil {
			return err
		}
		if err := e.checkManaged(document); err != nil {
			return err
		}
		for _, other := range e.managed {
			if strings.EqualFold(other.Name, name) {
				return alreadyExists("A policy called %s already exists. Duplicate names are not allowed.", name)
			}
		}
		if len(e.managed) >= maxCustomPolicies {
			return limitExceeded("Cannot exceed quota for PoliciesPerAccount: %d", maxCustomPolicies)
		}
		e.putManaged(p)
		return nil
	})
	return func(x *wire.XML) {
		x.Open("Policy")
		p.write(x, uses{})
		if len(p.Tags) > 0 {
			writeTags(x, p.Tags)
		}
		x.Close("Policy")
	}, e
}

// checkManaged refuses a document that cannot be a managed policy.
func (d *directory) checkManaged(document string) *wire.Failure {
	if _, err := d.newPolicy(policy.Identity, document); err != nil {
		return err
	}
	if policy.Size([]byte(document)) > policy.MaxManaged {
		return limitExceeded("Cannot exceed quota for PolicySize: %d", policy.MaxManaged)
	}
	return nil
}

// uses is how often a managed policy is used.
type uses struct{ attached, boundary int }

// uses counts the uses of all managed policies. The caller holds mu.
func (d *directory) uses() map[string]uses {
	count := make(map[string]uses)
	for e := range d.entities() {
		for _, arn := range e.Attached {
			u := count[arn]
			u.attached++
			count[arn] = u
		}
		if e.Boundary != "" {
			u := count[e.Boundary]
			u.boundary++
			count[e.Boundary] = u
		}
	}
	return count
}

// entities are all roles, users and groups. The caller holds mu.
func (d *directory) entities() func(yield func(*entity) bool) {
	return func(yield func(*entity) bool) {
		for _, r := range d.roles {
			if !yield(&r.entity) {
				return
			}
		}
		for _, u := range d.users {
			if !yield(&u.entity) {
				return
			}
		}
		for _, g := range d.groups {
			if !yield(&g.entity) {
				return
			}
		}
	}
}

// write writes a policy without its description and tags.
func (p *managedPolicy) write(x *wire.XML, u uses) {
	x.Text("PolicyName", p.Name)
	x.Text("PolicyId", p.ID)
	x.Text("Arn", p.ARN)
	x.Text("Path", p.Path)
	x.Text("DefaultVersionId", p.Default)
	x.Number("AttachmentCount", u.attached)
	x.Number("PermissionsBoundaryUsageCount", u.boundary)
	x.Bool("IsAttachable", true)
	x.Time("CreateDate", p.Created)
	x.Time("UpdateDate", p.Updated)
}

// permitPolicy asks whether the caller may do this to a managed policy, which
// need not exist. Nobody may write to AWS's.
func (s *Server) permitPolicy(c *call, arn string, keys policy.Context) *wire.Failure {
	if e := s.iam.checkPolicyARN(arn); e != nil {
		return s.refusedParameters(c, e)
	}
	if p := s.iam.managedPolicy(arn); p != nil {
		resourceTags(&keys, p.Tags)
	}
	if e := s.permit(c, arn, "policy "+arn, keys); e != nil {
		return e
	}
	if s.iam.ofAWS(arn) && !strings.HasPrefix(c.Operation, "Get") && !strings.HasPrefix(c.Operation, "List") {
		e := accessDenied("User: %s is not authorized to perform: iam:%s on resource: policy %s", c.Caller.ARN, c.Operation, arn)
		s.logRefused(c.Call, "permission", "the policy is AWS's, and nobody else may change it", e)
		return e
	}
	return nil
}

// readPolicy reads the parameter PolicyArn, after all others, and asks whether
// the caller may do this.
func (s *Server) readPolicy(c *call) (string, *wire.Failure) {
	arn := c.Text("PolicyArn", ruleARN)
	if e := c.Err(); e != nil {
		return "", s.refusedParameters(c, e)
	}
	return arn, s.permitPolicy(c, arn, policy.Context{})
}

// lookPolicy is the policy that a call names, if the caller may see it.
func (s *Server) lookPolicy(c *call) (*managedPolicy, *wire.Failure) {
	arn, e := s.readPolicy(c)
	if e != nil {
		return nil, e
	}
	p := s.iam.managedPolicy(arn)
	if p == nil {
		return nil, noPolicy(arn)
	}
	return p, nil
}

func noPolicy(arn string) *wire.Failure { return noSuchEntity("Policy %s was not found.", arn) }

// editPolicy changes a managed policy of the account.
func (s *Server) editPolicy(arn string, f func(*edit, *managedPolicy) *wire.Failure) *wire.Failure {
	return s.iam.edit(func(e *edit) *wire.Failure {
		old := e.managed[arn]
		if old == nil {
			return noPolicy(arn)
		}
		p := *old
		if err := f(e, &p); err != nil {
			return err
		}
		e.putManaged(&p)
		return nil
	})
}

func (s *Server) getPolicy(c *call) (func(*wire.XML), *wire.Failure) {
	p, e := s.lookPolicy(c)
	if e != nil {
		return nil, e
	}
	var count map[string]uses
	s.iam.read(func() { count = s.iam.uses() })
	return func(x *wire.XML) {
		x.Open("Policy")
		p.write(x, count[p.ARN])
		x.Optional("Description", p.Description)
		writeTags(x, p.Tags)
		x.Close("Policy")
	}, nil
}

func (s *Server) listPolicies(c *call) (func(*wire.XML), *wire.Failure) {
	scope := "All"
	if c.Has("Scope") {
		scope = c.OneOf("Scope", false, "All", "AWS", "Local")
	}
	attached := c.Bool("OnlyAttached")
	usage := c.OneOf("PolicyUsageFilter", false, "PermissionsPolicy", "PermissionsBoundary")
	prefix := pathOr(c.Text("PathPrefix", rulePathPrefix))
	page := c.readPage()
	if e := c.Err(); e != nil {
		return nil, s.refusedParameters(c, e)
	}
	if e := s.permit(c, s.arn("iam", "policy"+prefix), "policy path "+prefix, policy.Context{}); e != nil {
		return nil, e
	}
	var found []*managedPolicy
	var count map[string]uses
	s.iam.read(func() {
		count = s.iam.uses()
		for p := range s.iam.allManaged(scope) {
			u := count[p.ARN]
			switch {
			case !strings.HasPrefix(p.Path, prefix):
			case attached && u.attached == 0 && usage != "PermissionsBoundary":
			case usage == "PermissionsPolicy" && u.attached == 0:
			case usage == "PermissionsBoundary" && u.boundary == 0:
			default:
				found = append(found, p)
			}
		}
	})
	found, marker := cut(page, found, func(p *managedPolicy) string { return p.ARN })
	return func(x *wire.XML) {
		x.List("Policies", len(found), func(i int) { found[i].write(x, count[found[i].ARN]) })
		writePage(x, marker)
	}, nil
}

func (s *Server) deletePolicy(c *call) (func(*wire.XML), *wire.Failure) {
	arn := c.Text("PolicyArn", ruleARN)
	if e := c.Err(); e != nil {
		return nil, s.refusedParameters(c, e)
	}
	if e := s.permitPolicy(c, arn, policy.Context{}); e != nil {
		return nil, e
	}
	return nil, s.iam.edit(func(e *edit) *wire.Failure {
		p := e.managed[arn]
		switch {
		case p == nil:
			return noPolicy(arn)
		case e.uses()[arn] != uses{}:
			return deleteConflict("Cannot delete a policy attached to entities.")
		case len(p.Versions) > 1:
			return deleteConflict("This policy has more than one version. Before you delete a policy, you must delete the policy's " +
				"versions. The default version is deleted with the policy.")
		}
		e.deleteManaged(p)
		return nil
	})
}

func (s *Server) createPolicyVersion(c *call) (func(*wire.XML), *wire.Failure) {
	arn := c.Text("PolicyArn", ruleARN)
	document := c.Text("PolicyDocument", ruleDocument)
	asDefault := c.Bool("SetAsDefault")
	if e := c.Err(); e != nil {
		return nil, s.refusedParameters(c, e)
	}
	if e := s.permitPolicy(c, arn, policy.Context{}); e != nil {
		return nil, e
	}
	version := policyVersion{Document: document, Created: c.At.UTC()}
	e := s.editPolicy(arn, func(e *edit, p *managedPolicy) *wire.Failure {
		if err := e.checkManaged(document); err != nil {
			return err
		}
		if len(p.Versions) >= maxPolicyVersions {
			return limitExceeded("A managed policy can have up to %d versions. Before you create a new version, you must delete an "+
				"existing version.", maxPolicyVersions)
		}
		version.ID = fmt.Sprintf("v%d", p.Next)
		p.Next++
		p.Versions = append(slices.Clone(p.Versions), version)
		if asDefault {
			p.Default = version.ID
		}
		p.Updated = version.Created
		return nil
	})
	return func(x *wire.XML) {
		x.Open("PolicyVersion")
		version.write(x, asDefault)
		x.Close("PolicyVersion")
	}, e
}

// write writes a version without its document.
func (v *policyVersion) write(x *wire.XML, isDefault bool) {
	x.Text("VersionId", v.ID)
	x.Bool("IsDefaultVersion", isDefault)
	x.Time("CreateDate", v.Created)
}

func noVersion(arn, version string) *wire.Failure {
	return noSuchEntity("Policy %s version %s does not exist or is not attachable.", arn, version)
}

func (p *managedPolicy) version(id string) int {
	return slices.IndexFunc(p.Versions, func(v policyVersion) bool { return v.ID == id })
}

func (s *Server) getPolicyVersion(c *call) (func(*wire.XML), *wire.Failure) {
	version := c.Text("VersionId", ruleVersion)
	arn, e := s.readPolicy(c)
	if e != nil {
		return nil, e
	}
	p := s.iam.managedPolicy(arn)
	if p == nil {
		return nil, noVersion(arn, version)
	}
	i := p.version(version)
	if i < 0 {
		return nil, noVersion(p.ARN, version)
	}
	return func(x *wire.XML) {
		x.Open("PolicyVersion")
		x.Text("Document", escapeDocument(s.iam.document(p, version)))
		p.Versions[i].write(x, version == p.Default)
		x.Close("PolicyVersion")
	}, nil
}

func (s *Server) listPolicyVersions(c *call) (func(*wire.XML), *wire.Failure) {
	page := c.readPage()
	p, e := s.lookPolicy(c)
	if e != nil {
		return nil, e
	}
	// Newest first, as at AWS; the key counts down, so that the page can sort.
	position := make(map[string]int, len(p.Versions))
	for i, v := range p.Versions {
		position[v.ID] = len(p.Versions) - i
	}
	found, marker := cut(page, slices.Clone(p.Versions), func(v policyVersion) string { return fmt.Sprintf("%08d", position[v.ID]) })
	return func(x *wire.XML) {
		x.List("Versions", len(found), func(i int) { found[i].write(x, found[i].ID == p.Default) })
		writePage(x, marker)
	}, nil
}

// readVersion reads the parameters PolicyArn and VersionId, and asks whether
// the caller may do this.
func (s *Server) readVersion(c *call) (arn, version string, e *wire.Failure) {
	arn = c.Text("PolicyArn", ruleARN)
	version = c.Text("VersionId", ruleVersion)
	if e := c.Err(); e != nil {
		return "", "", s.refusedParameters(c, e)
	}
	return arn, version, s.permitPolicy(c, arn, policy.Context{})
}

func (s *Server) deletePolicyVersion(c *call) (func(*wire.XML), *wire.Failure) {
	arn, version, e := s.readVersion(c)
	if e != nil {
		return nil, e
	}
	return nil, s.editPolicy(arn, func(_ *edit, p *managedPolicy) *wire.Failure {
		i := p.version(version)
		switch {
		case i < 0:
			return noVersion(arn, version)
		case version == p.Default:
			return deleteConflict("Cannot delete the default version of a policy.")
		}
		p.Versions = slices.Delete(slices.Clone(p.Versions), i, i+1)
		return nil
	})
}

func (s *Server) setDefaultPolicyVersion(c *call) (func(*wire.XML), *wire.Failure) {
	arn, version, e := s.readVersion(c)
	if e != nil {
		return nil, e
	}
	return nil, s.iam.edit(func(e *edit) *wire.Failure {
		old := e.managed[arn]
		if old == nil || old.version(version) < 0 {
			return noVersion(arn, version)
		}
		p := *old
		p.Default, p.Updated = version, c.At.UTC()
		e.putManaged(&p)
		return nil
	})
}

func (s *Server) listEntitiesForPolicy(c *call) (func(*wire.XML), *wire.Failure) {
	filter := c.OneOf("EntityFilter", false, "User", "Role", "Group", "LocalManagedPolicy", "AWSManagedPolicy")
	usage := c.OneOf("PolicyUsageFilter", false, "PermissionsPolicy", "PermissionsBoundary")
	prefix := pathOr(c.Text("PathPrefix", rulePathPrefix))
	page := c.readPage()
	p, e := s.lookPolicy(c)
	if e != nil {
		return nil, e
	}
	type use struct {
		title string
		*entity
	}
	var found []use
	s.iam.read(func() {
		add := func(title string, e *entity) {
			switch {
			case filter != "" && filter != title:
			case !strings.HasPrefix(e.Path, prefix):
			case usage != "PermissionsBoundary" && slices.Contains(e.Attached, p.ARN),
				usage != "PermissionsPolicy" && e.Boundary == p.ARN:
				found = append(found, use{title, e})
			}
		}
		for _, r := range s.iam.roles {
			add("Role", &r.entity)
		}
		for _, u := range s.iam.users {
			add("User", &u.entity)
		}
		for _, g := range s.iam.groups {
			add("Group", &g.entity)
		}
	})
	found, marker := cut(page, found, func(u use) string { return u.title + " " + u.Name })
	return func(x *wire.XML) {
		for _, title := range []string{"Group", "User", "Role"} {
			x.Open("Policy" + title + "s")
			for _, u := range found {
				if u.title == title {
					x.Open("member")
					x.Text(title+"Name", u.Name)
					x.Text(title+"Id", u.ID)
					x.Close("member")
				}
			}
			x.Close("Policy" + title + "s")
		}
		writePage(x, marker)
	}, nil
}

func (s *Server) tagPolicy(c *call) (func(*wire.XML), *wire.Failure) {
	arn, tags := c.Text("PolicyArn", ruleARN), c.Tags("Tags", maxTags)
	if e := c.Err(); e != nil {
		return nil, s.refusedParameters(c, e)
	}
	var keys policy.Context
	requestTags(&keys, tags)
	if e := s.permitPolicy(c, arn, keys); e != nil {
		return nil, e
	}
	return nil, s.editPolicy(arn, func(_ *edit, p *managedPolicy) (err *wire.Failure) {
		if err = checkTags(tags, false); err == nil {
			p.Tags, err = mergeTags(p.Tags, tags, false)
		}
		return err
	})
}

func (s *Server) untagPolicy(c *call) (func(*wire.XML), *wire.Failure) {
	var keys policy.Context
	arn, names := c.Text("PolicyArn", ruleARN), c.readTagKeys(&keys)
	if e := c.Err(); e != nil {
		return nil, s.refusedParameters(c, e)
	}
	if e := s.permitPolicy(c, arn, keys); e != nil {
		return nil, e
	}
	return nil, s.editPolicy(arn, func(_ *edit, p *managedPolicy) *wire.Failure {
		p.Tags = removeTags(p.Tags, names, false)
		return nil
	})
}

func (s *Server) listPolicyTags(c *call) (func(*wire.XML), *wire.Failure) {
	page := c.readPage()
	p, e := s.lookPolicy(c)
	if e != nil {
		return nil, e
	}
	return tagPage(page, p.Tags), nil
}
