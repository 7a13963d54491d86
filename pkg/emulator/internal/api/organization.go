package api

import "github.com/openirsa/openirsa/pkg/policy"

// Membership is what it means for an account to be in an organization. It never
// changes; a change of the organization makes another.
type Membership struct {
	ID     string // of the organization
	Master string // its management account
	// Path are the ids from the organization to what the account is in, as
	// aws:PrincipalOrgPaths has them: "o-a1b2c3d4e5/r-ab12/ou-ab12-11111111/".
	Path       string
	Management bool // it is the management account
	// ServiceControl and ResourceControl limit the account's principals and resources,
	// the root first. There are none for the management account.
	ServiceControl, ResourceControl []policy.Level
}

// Organizations is a [Service] that knows of organizations.
type Organizations interface {
	// MembershipOf is that of an account, nil if it is in no organization.
	MembershipOf(account string) *Membership
}
