package emulator

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/openirsa/openirsa/pkg/policy"
)

// permitAccount ends the reading of parameters of an operation on the account
// as a whole, and asks whether the caller may.
func (s *Server) permitAccount(c *call, resource string) *awsError {
	if e := c.err(); e != nil {
		return s.invalid(c, e)
	}
	return s.permit(c, resource, "", policy.Context{})
}

func (s *Server) getAccountSummary(c *call) (func(*xmlWriter), *awsError) {
	if e := s.permitAccount(c, "*"); e != nil {
		return nil, e
	}
	summary := map[string]int{
		"AccessKeysPerUserQuota":            maxAccessKeys,
		"AccountAccessKeysPresent":          1, // the root user's
		"AccountMFAEnabled":                 0,
		"AccountPasswordPresent":            0,
		"AccountSigningCertificatesPresent": 0,
		"AssumeRolePolicySizeQuota":         policy.MaxTrust,
		"AttachedPoliciesPerGroupQuota":     maxAttached,
		"AttachedPoliciesPerRoleQuota":      maxAttached,
		"AttachedPoliciesPerUserQuota":      maxAttached,
		"GlobalEndpointTokenVersion":        2,
		"GroupPolicySizeQuota":              policy.MaxGroupInline,
		"GroupsPerUserQuota":                maxGroupsPerUser,
		"GroupsQuota":                       maxGroups,
		"InstanceProfiles":                  0,
		"InstanceProfilesQuota":             1000,
		"MFADevices":                        0,
		"MFADevicesInUse":                   0,
		"PoliciesQuota":                     maxCustomPolicies,
		"PolicySizeQuota":                   policy.MaxManaged,
		"PolicyVersionsInUseQuota":          10000,
		"RolePolicySizeQuota":               policy.MaxRoleInline,
		"RolesQuota":                        maxRoles,
		"ServerCertificates":                0,
		"ServerCertificatesQuota":           20,
		"SigningCertificatesPerUserQuota":   2,
		"UserPolicySizeQuota":               policy.MaxUserInline,
		"UsersQuota":                        maxUsers,
		"VersionsPerPolicyQuota":            maxPolicyVersions,
	}
	s.iam.read(func() {
		summary["Groups"] = len(s.iam.groups)
		summary["Policies"] = len(s.iam.managed)
		summary["Providers"] = len(s.iam.providers)
		summary["Roles"] = len(s.iam.roles)
		summary["Users"] = len(s.iam.users)
		for _, p := range s.iam.managed {
			summary["PolicyVersionsInUse"] += len(p.Versions)
		}
	})
	var names []string
	for name := range summary {
		names = append(names, name)
	}
	slices.Sort(names)
	return func(x *xmlWriter) {
		x.open("SummaryMap")
		for _, name := range names {
			x.open("entry")
			x.text("key", name)
			x.number("value", summary[name])
			x.close("entry")
		}
		x.close("SummaryMap")
	}, nil
}

// The emulator has no account aliases, SAML providers and instance profiles,
// so these lists are empty.

func (s *Server) listAccountAliases(c *call) (func(*xmlWriter), *awsError) {
	c.readPage()
	if e := s.permitAccount(c, "*"); e != nil {
		return nil, e
	}
	return func(x *xmlWriter) {
		x.texts("AccountAliases", nil)
		writePage(x, "")
	}, nil
}

func (s *Server) listSAMLProviders(c *call) (func(*xmlWriter), *awsError) {
	if e := s.permitAccount(c, s.arn("iam", "saml-provider/*")); e != nil {
		return nil, e
	}
	return func(x *xmlWriter) { x.texts("SAMLProviderList", nil) }, nil
}

func (s *Server) listInstanceProfiles(c *call) (func(*xmlWriter), *awsError) {
	prefix := pathOr(c.text("PathPrefix", rulePathPrefix))
	c.readPage()
	if e := s.permitAccount(c, s.arn("iam", "instance-profile"+prefix)); e != nil {
		return nil, e
	}
	return func(x *xmlWriter) {
		x.texts("InstanceProfiles", nil)
		writePage(x, "")
	}, nil
}

// detail is one thing in GetAccountAuthorizationDetails.
type detail struct {
	filter string // by which it is asked for
	list   string // element that it stands in
	key    string
	write  func(*xmlWriter)
}

// getAccountAuthorizationDetails lists everything with its policies.
func (s *Server) getAccountAuthorizationDetails(c *call) (func(*xmlWriter), *awsError) {
	filters := []string{"LocalManagedPolicy", "User", "AWSManagedPolicy", "Role", "Group"} // in the order of AWS's text
	wanted := c.texts("Filter", false, len(filters), rule{})
	for _, f := range wanted {
		if !slices.Contains(filters, f) {
			c.fault("'["+strings.Join(wanted, ", ")+"]'", "filter", "Member must satisfy constraint: [Member must satisfy enum value set: ["+strings.Join(filters, ", ")+"]]")
			break
		}
	}
	page := c.readPage()
	if e := s.permitAccount(c, "*"); e != nil {
		return nil, e
	}
	var all []detail
	s.iam.read(func() { all = s.details() })
	all = slices.DeleteFunc(all, func(d detail) bool { return len(wanted) > 0 && !slices.Contains(wanted, d.filter) })
	all, marker := cut(page, all, func(d detail) string { return d.key })
	return func(x *xmlWriter) {
		for _, list := range []string{"Policies", "UserDetailList", "RoleDetailList", "GroupDetailList"} {
			x.open(list)
			for _, d := range all {
				if d.list == list {
					x.open("member")
					d.write(x)
					x.close("member")
				}
			}
			x.close(list)
		}
		writePage(x, marker)
	}, nil
}

// details is everything there is. Of AWS's policies only those in use are
// listed, as at AWS. The caller holds mu.
func (s *Server) details() []detail {
	var all []detail
	for _, u := range s.iam.users {
		var groups []string
		for _, g := range s.iam.groups {
			if slices.Contains(u.Groups, g.ID) {
				groups = append(groups, g.Name)
			}
		}
		slices.Sort(groups)
		all = append(all, detail{"User", "UserDetailList", "1" + u.Name, func(x *xmlWriter) {
			u.write(x, "User")
			x.texts("GroupList", groups)
			s.writePolicies(x, &u.entity, "User")
			u.writeBoundary(x)
			writeTags(x, u.Tags)
		}})
	}
	for _, g := range s.iam.groups {
		all = append(all, detail{"Group", "GroupDetailList", "2" + g.Name, func(x *xmlWriter) {
			g.write(x, "Group")
			s.writePolicies(x, &g.entity, "Group")
		}})
	}
	for _, r := range s.iam.roles {
		all = append(all, detail{"Role", "RoleDetailList", "3" + r.Name, func(x *xmlWriter) {
			r.write(x, "Role")
			x.text("AssumeRolePolicyDocument", escapeDocument(r.Trust))
			x.texts("InstanceProfileList", nil)
			s.writePolicies(x, &r.entity, "Role")
			r.writeBoundary(x)
			writeTags(x, r.Tags)
			r.writeLastUsed(x)
		}})
	}
	count := s.iam.uses()
	add := func(filter string, p *managedPolicy) {
		all = append(all, detail{filter, "Policies", "4" + p.ARN, func(x *xmlWriter) {
			p.write(x, count[p.ARN])
			x.optional("Description", p.Description)
			x.list("PolicyVersionList", len(p.Versions), func(i int) {
				v := p.Versions[i]
				x.text("Document", escapeDocument(s.iam.document(p, v.ID)))
				v.write(x, v.ID == p.Default)
			})
		}})
	}
	for _, p := range s.iam.managed {
		add("LocalManagedPolicy", p)
	}
	for arn := range count {
		if s.iam.ofAWS(arn) {
			if p := s.iam.lookupManaged(arn); p != nil {
				add("AWSManagedPolicy", p)
			}
		}
	}
	return all
}

// writePolicies writes the policies of an entity. Users without inline policies
// have no element for them, unlike roles and groups.
func (s *Server) writePolicies(x *xmlWriter, e *entity, title string) {
	if len(e.Inline) > 0 || title != "User" {
		x.list(title+"PolicyList", len(e.Inline), func(i int) {
			x.text("PolicyName", e.Inline[i].Name)
			x.text("PolicyDocument", escapeDocument(e.Inline[i].Document))
		})
	}
	x.list("AttachedManagedPolicies", len(e.Attached), func(i int) {
		x.text("PolicyName", e.Attached[i][strings.LastIndexByte(e.Attached[i], '/')+1:])
		x.text("PolicyArn", e.Attached[i])
	})
}

// accessReports are the jobs of GenerateServiceLastAccessedDetails that can
// still be asked for.
type accessReports struct {
	mu   sync.Mutex
	jobs generations[time.Time] // when they were made, by id
}

func (s *Server) generateLastAccessed(c *call) (func(*xmlWriter), *awsError) {
	arn := c.text("Arn", ruleARN)
	c.oneOf("Granularity", false, "SERVICE_LEVEL", "ACTION_LEVEL")
	if e := s.permitAccount(c, arn); e != nil {
		return nil, e
	}
	var known bool
	s.iam.read(func() {
		known = s.iam.lookupManaged(arn) != nil
		for e := range s.iam.entities() {
			known = known || e.ARN == arn
		}
	})
	if !known {
		return nil, noSuchEntity("ARN %s does not exist.", arn)
	}
	id := newRequestID()
	s.reports.mu.Lock()
	s.reports.jobs.put(id, c.at)
	s.reports.mu.Unlock()
	return func(x *xmlWriter) { x.text("JobId", id) }, nil
}

// getLastAccessed is always empty: which services an entity used is not kept.
func (s *Server) getLastAccessed(c *call) (func(*xmlWriter), *awsError) {
	id := c.text("JobId", rule{required: true, min: 36, max: 36})
	c.readPage()
	if e := s.permitAccount(c, "*"); e != nil {
		return nil, e
	}
	s.reports.mu.Lock()
	at, ok := s.reports.jobs.get(id)
	s.reports.mu.Unlock()
	if !ok {
		return nil, noSuchEntity("Job with id %s cannot be found.", id)
	}
	return func(x *xmlWriter) {
		x.text("JobStatus", "COMPLETED")
		x.text("JobType", "SERVICE_LEVEL")
		x.time("JobCreationDate", at)
		x.time("JobCompletionDate", at)
		x.texts("ServicesLastAccessed", nil)
		x.bool("IsTruncated", false)
	}, nil
}
