package policy

// PrincipalKind is the kind of caller of a [Principal].
type PrincipalKind int

const (
	// Anonymous is a caller without credentials.
	Anonymous PrincipalKind = iota
	// Root is the root user of an account.
	Root
	// User is an IAM user, with long-term credentials or those of
	// GetSessionToken.
	User
	// RoleSession is a session of a role.
	RoleSession
	// FederatedUser is a session of GetFederationToken.
	FederatedUser
	// WebIdentity is the holder of a web identity token, before it has a
	// session: the caller of AssumeRoleWithWebIdentity.
	WebIdentity
	// AWSService is a service of AWS that acts for itself, under the name of its
	// service principal, such as pods.eks.amazonaws.com: it is of no account.
	AWSService
)

// Principal is who makes a request.
type Principal struct {
	Kind PrincipalKind
	// Account is the twelve digits of the caller's account.
	Account string
	// ARN is the caller as AWS names it: the root, user, session or federated
	// user ARN; of a [WebIdentity], the ARN of the OIDC provider that vouched
	// for it; of an [AWSService], the name of the service principal.
	ARN string
	// EntityARN is the role of a [RoleSession] (with its path) or the user
	// behind a [FederatedUser]. Empty for others.
	EntityARN string
	// ID is the unique id of the user (AIDA...) or role (AROA..., without the
	// session name).
	ID string
	// CanonicalUser is the id by which S3 knows the caller's account.
	CanonicalUser string
}

// spelling is the caller as an explanation names it.
func (p *Principal) spelling() string {
	if p.Kind == Anonymous {
		return "anonymous"
	}
	return p.ARN
}

// principalKind is the kind of an entry of a Principal or NotPrincipal element.
type principalKind uint8

const (
	everyone       principalKind = iota // "*" or "AWS": "*"
	awsAccount                          // account id, or ARN of its root
	awsPrincipal                        // ARN of a user, role, session or federated user, or a unique id
	canonicalUser                       // S3's name of an account
	federatedEntry                      // provider
	serviceEntry                        // AWS service
)

// principal is one entry of a Principal or NotPrincipal element.
type principal struct {
	kind  principalKind
	raw   string // as written in the policy
	value string // as it is compared with a caller
	id    string // unique id the value was bound to, see [Policy.Bind]
}

// reach says how a Principal element names a caller. What it grants depends
// on it ("Policy evaluation logic", "Resource-based policies").
type reach uint8

const (
	unnamed    reach = iota
	viaAccount       // the caller's account: delegates to its identity policies
	viaEntity        // the role of a session: limited by boundary and session policies
	direct           // the very caller, or everyone
)

// names is how the entry names a caller, in a statement that denies or allows.
func (p *principal) names(c *Principal, deny bool) reach {
	switch c.Kind {
	case Anonymous:
		if p.kind == everyone {
			return direct
		}
		return unnamed
	case WebIdentity, AWSService:
		// "*" lets in neither the holder of a token nor a service ("AWS JSON policy
		// elements: Principal" has both in elements of their own). That it shuts one
		// out when it denies everyone is the safe reading.
		if p.kind == c.entry() && p.value == c.ARN || p.kind == everyone && deny {
			return direct
		}
		return unnamed
	}
	switch p.kind {
	case everyone:
		return direct
	case awsAccount:
		if p.value == c.Account {
			if c.Kind == Root {
				return direct
			}
			return viaAccount
		}
	case canonicalUser:
		if p.value == c.CanonicalUser {
			return viaAccount
		}
	case awsPrincipal:
		switch {
		case p.id != "":
			if p.id == c.ID {
				return c.entityReach()
			}
		case p.value == c.ARN:
			return direct
		case p.value == c.EntityARN && c.EntityARN != "":
			return viaEntity
		case p.value == c.ID && c.ID != "":
			return c.entityReach()
		}
	}
	return unnamed
}

// entry is the kind of entry that names a caller who has no credentials of an
// account.
func (c *Principal) entry() principalKind {
	if c.Kind == AWSService {
		return serviceEntry
	}
	return federatedEntry
}

// ownsPolicies reports whether a caller of another account than the resource's has
// policies of its own there, which would have to allow too.
func (c *Principal) ownsPolicies() bool {
	return c.Kind != Anonymous && c.Kind != WebIdentity && c.Kind != AWSService
}

// entityReach is the reach of a unique id: a user is the caller itself, a
// role or the user behind a federated user is not.
func (c *Principal) entityReach() reach {
	if c.Kind == User {
		return direct
	}
	return viaEntity
}
