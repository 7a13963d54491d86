package emulator

import (
	"github.com/openirsa/openirsa/pkg/emulator/internal/api"
	"github.com/openirsa/openirsa/pkg/policy"
)

// membership is what it means for an account to be in an organization, nil if it is
// in none.
func (f *front) membership(account string) *api.Membership {
	if f.organizations == nil || account == "" {
		return nil
	}
	return f.organizations.MembershipOf(account)
}

// together reports whether two accounts are in one organization.
func (f *front) together(a, b string) bool {
	one, other := f.membership(a), f.membership(b)
	return one != nil && other != nil && one.ID == other.ID
}

// limit adds the policies of organizations that limit a caller, and what it does to a
// resource of an account. Service-linked roles are not limited ("Tasks and entities
// not restricted by SCPs", "Resources and entities not restricted by RCPs").
func (s *Server) limit(p *policy.Policies, caller *api.Caller, request *policy.Request) {
	if role := identityOf(caller).role; role != nil && role.Service != "" {
		return
	}
	if m := s.membership(caller.Account); m != nil {
		p.ServiceControl = m.ServiceControl
	}
	m := s.membership(request.ResourceAccount)
	if m != nil && request.Resource != "*" && policy.ResourceControlled(request.Action) {
		p.ResourceControl = m.ResourceControl
	}
}

// organizationKeys sets the condition keys that say which organization a principal or
// a resource is of: kind is "Principal" or "Resource" (IAM User Guide, "AWS global
// condition context keys").
func (f *front) organizationKeys(kind, account string, keys *policy.Context) {
	if m := f.membership(account); m != nil {
		keys.Set("aws:"+kind+"OrgID", m.ID)
		keys.SetMulti("aws:"+kind+"OrgPaths", m.Path)
	}
}
