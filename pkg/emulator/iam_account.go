package emulator

import (
	"slices"
	"strings"

	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
	"github.com/openirsa/openirsa/pkg/policy"
)

func (s *Server) getAccountSummary(c *call) (func(*wire.XML), *wire.Failure) {
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
		"InstanceProfilesQuota":             maxProfiles,
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
		summary["InstanceProfiles"] = len(s.iam.profiles)
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
	return func(x *wire.XML) {
		x.Open("SummaryMap")
		for _, name := range names {
			x.Open("entry")
			x.Text("key", name)
			x.Number("value", summary[name])
			x.Close("entry")
		}
		x.Close("SummaryMap")
	}, nil
}

// listSAMLProviders is empty: the emulator has no SAML providers.
func (s *Server) listSAMLProviders(c *call) (func(*wire.XML), *wire.Failure) {
	if e := s.permitAccount(c, s.arn("iam", "saml-provider/*")); e != nil {
		return nil, e
	}
	return func(x *wire.XML) { x.Texts("SAMLProviderList", nil) }, nil
}

// detail is one thing in GetAccountAuthorizationDetails.
type detail struct {
	filter string // by which it is asked for
	list   string // element that it stands in
	key    string
	write  func(*wire.XML)
}

// getAccountAuthorizationDetails lists everything with its policies.
func (s *Server) getAccountAuthorizationDetails(c *call) (func(*wire.XML), *wire.Failure) {
	filters := []string{"LocalManagedPolicy", "User", "AWSManagedPolicy", "Role", "Group"} // in the order of AWS's text
	wanted := c.Texts("Filter", false, len(filters), wire.Rule{})
	for _, f := range wanted {
		if !slices.Contains(filters, f) {
			c.Fault("'["+strings.Join(wanted, ", ")+"]'", "filter",
				"Member must satisfy constraint: [Member must satisfy enum value set: ["+strings.Join(filters, ", ")+"]]")
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
	return func(x *wire.XML) {
		for _, list := range []string{"Policies", "UserDetailList", "RoleDetailList", "GroupDetailList"} {
			x.Open(list)
			for _, d := range all {
				if d.list == list {
					x.Open("member")
					d.write(x)
					x.Close("member")
				}
			}
			x.Close(list)
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
		all = append(all, detail{"User", "UserDetailList", "1" + u.Name, func(x *wire.XML) {
			u.write(x, "User")
			x.Texts("GroupList", groups)
			s.writePolicies(x, &u.entity, "User")
			u.writeBoundary(x)
			writeTags(x, u.Tags)
		}})
	}
	for _, g := range s.iam.groups {
		all = append(all, detail{"Group", "GroupDetailList", "2" + g.Name, func(x *wire.XML) {
			g.write(x, "Group")
			s.writePolicies(x, &g.entity, "Group")
		}})
	}
	for _, r := range s.iam.roles {
		profiles := s.iam.profilesOf(r.ID)
		all = append(all, detail{"Role", "RoleDetailList", "3" + r.Name, func(x *wire.XML) {
			r.write(x, "Role")
			x.Text("AssumeRolePolicyDocument", escapeDocument(r.Trust))
			x.List("InstanceProfileList", len(profiles), func(i int) { profiles[i].write(x, r) })
			s.writePolicies(x, &r.entity, "Role")
			r.writeBoundary(x)
			writeTags(x, r.Tags)
			r.writeLastUsed(x)
		}})
	}
	count := s.iam.uses()
	add := func(filter string, p *managedPolicy) {
		all = append(all, detail{filter, "Policies", "4" + p.ARN, func(x *wire.XML) {
			p.write(x, count[p.ARN])
			x.Optional("Description", p.Description)
			x.List("PolicyVersionList", len(p.Versions), func(i int) {
				v := p.Versions[i]
				x.Text("Document", escapeDocument(s.iam.document(p, v.ID)))
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
func (s *Server) writePolicies(x *wire.XML, e *entity, title string) {
	if len(e.Inline) > 0 || title != "User" {
		x.List(title+"PolicyList", len(e.Inline), func(i int) {
			x.Text("PolicyName", e.Inline[i].Name)
			x.Text("PolicyDocument", escapeDocument(e.Inline[i].Document))
		})
	}
	x.List("AttachedManagedPolicies", len(e.Attached), func(i int) {
		x.Text("PolicyName", e.Attached[i][strings.LastIndexByte(e.Attached[i], '/')+1:])
		x.Text("PolicyArn", e.Attached[i])
	})
}
