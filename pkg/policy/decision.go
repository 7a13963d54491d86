package policy

// Request is one action on one resource.
type Request struct {
	Principal Principal
	// Action is the name with its service, such as "s3:GetObject".
	Action string
	// Resource is an ARN, or "*" for actions without resources. It is ignored
	// by trust policies, which have no Resource element.
	Resource string
	// ResourceAccount is the account that owns the resource. If it is neither
	// empty nor the caller's, both the caller's policies and the resource's
	// must allow ("Cross-account policy evaluation logic").
	ResourceAccount string
	// Context may be nil.
	Context *Context
}

// Named is a policy and its name in decisions: an ARN, or the name of an inline
// policy.
type Named struct {
	Name   string
	Policy *Policy
}

// Policies are all policies that apply to a request.
type Policies struct {
	// Identity are the policies of the user (and its groups) or role.
	Identity []Named
	// Boundary is the permissions boundary of the user or role, or nil.
	Boundary *Named
	// Session are the session policies, inline and managed, which count as
	// one. They limit only if HasSession is set: a session with policies that
	// allow nothing differs from a session without policies.
	Session    []Named
	HasSession bool
	// Resource is the policy of the resource: a bucket policy, or for the
	// AssumeRole actions the role's trust policy. Nil if it has none.
	Resource *Named
	// MustAllow says that the policy of the resource must allow in any case, as that of
	// a KMS key must, and of a role even without it ("Key policies in AWS KMS").
	MustAllow bool
	// ServiceControl are the levels with the service control policies of the
	// organization that the caller is in, and ResourceControl those with the resource
	// control policies of the one that the resource is in, the root first. There are
	// none for whom and what they do not limit, such as the management account.
	ServiceControl, ResourceControl []Level
	// Grant is what the access control list of the resource grants to the request,
	// beside its policy.
	Grant Grant
}

// Grant is what an access control list, which is not a policy and never denies,
// grants to a request. It counts like an Allow in the policy of the resource.
type Grant uint8

// The grants.
const (
	NoGrant       Grant = iota
	GrantAccount        // to the caller's account, whose identity policies decide
	GrantEveryone       // to everyone, or to everyone who signs
)

func (g Grant) reach() reach {
	switch g {
	case GrantAccount:
		return viaAccount
	case GrantEveryone:
		return direct
	}
	return unnamed
}

// Type is a type of policy, in the words of AWS's messages.
type Type string

// The types of policy that [Evaluate] distinguishes.
const (
	IdentityType Type = "identity-based policy"
	BoundaryType Type = "permissions boundary"
	SessionType  Type = "session policy"
	ResourceType Type = "resource-based policy"
	TrustType    Type = "role trust policy"
	// Those of Organizations.
	ServiceControlType  Type = "service control policy"
	ResourceControlType Type = "resource control policy"
	// ACLType is not a policy: the access control list of the resource.
	ACLType Type = "access control list"
)

// Decision is the outcome of [Evaluate] and the reason for it. Print it for
// one sentence in words.
type Decision struct {
	Allowed bool
	// Action and Resource are those of the request.
	Action, Resource string
	// Type is the type of policy that decided; AWS too names only one. Empty
	// if no policy was asked, as for the root user.
	Type Type
	// Statement is the statement that allowed, or denied explicitly.
	// Its Policy is empty if the request was denied because nothing allows it.
	Statement Statement
	// Explicit is set if a Deny statement denied.
	Explicit bool
	// Matched are the conditions of the Deny statement, all of which held.
	Matched []Check
	// Misses says, for a denial because nothing allows, why each statement that
	// names the action did not: the nearest miss first. At most [MaxMisses].
	Misses []Miss
	// Policies and Statements count what was examined in vain.
	Policies, Statements int
	// Level is the level of the organization that decided, by its name, if one of its
	// policies denied, or lacked.
	Level string
	// Sides is set for a denial because nothing allows of a call across accounts.
	Sides *Sides
}

// MaxMisses limits [Decision.Misses].
const MaxMisses = 20

// Statement names a statement of a policy.
type Statement struct {
	Type   Type
	Policy string // name of the policy
	Index  int    // position in the document, from 0
	Sid    string // if it has one
	// Start and End are where it stands in the document, in bytes.
	Start, End int
	// After is where what comes before it ends: the bracket or the statement
	// before it, or its own brace if it is the only one and in no list. There
	// AWS's simulator says that it begins.
	After int
}

// Miss is a statement that did not apply and the first of its elements that
// stood in the way.
type Miss struct {
	Statement
	Check
}

// Check is one element of a statement compared with the request.
type Check struct {
	// Element is "Principal", "NotPrincipal", "Action", "NotAction",
	// "Resource", "NotResource" or "Condition".
	Element string
	// Operator and Key are those of a condition, as written in the policy.
	Operator, Key string
	// Expected are the values in the policy, as written there.
	Expected []string
	// Actual are the values in the request; nil for a condition whose key the
	// request does not have.
	Actual []string
	// Hint is advice in a sentence, if there is any to give.
	Hint string
}
