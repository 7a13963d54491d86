// Package policy is the policy language of AWS IAM: it parses documents with
// IAM's own grammar and error texts, and evaluates requests as AWS does, with
// an explanation that AWS never gives.
//
//	p, err := policy.Parse(policy.Identity, doc) // once, when it is stored
//	var ctx policy.Context
//	ctx.Set("aws:SourceIp", "192.0.2.1")
//	d := policy.Evaluate(&policy.Request{
//		Principal: caller, Action: "s3:GetObject",
//		Resource: "arn:aws:s3:::bucket/key", Context: &ctx,
//	}, &policy.Policies{Identity: []policy.Named{{Name: "reader", Policy: p}}})
//	if !d.Allowed {
//		log.Print(d) // which policy, statement and element decided, and why
//	}
//
// It does no I/O and knows no service: the caller says what a request's action,
// resource and context keys are.
//
// Sources: the IAM User Guide, pages "Policy evaluation logic",
// "Cross-account policy evaluation logic", "IAM JSON policy elements", and,
// where those pages are silent, captures of AWS's answers; each rule names
// its page.
package policy

import "unicode"

// Kind is the grammar a document is parsed with.
type Kind int

const (
	// Identity is the grammar of managed and inline policies of users, groups
	// and roles, and of permissions boundaries.
	Identity Kind = iota
	// Session is the grammar of policies passed to STS. It accepts literals in
	// conditions that IAM would refuse to store.
	Session
	// Trust is the grammar of a role's trust policy.
	Trust
	// Bucket is the grammar of S3 bucket policies.
	Bucket
	// Resource is the grammar of policies of any service's resources, as the policy
	// simulator accepts them: that of Bucket, but not only for S3.
	Resource
	// ServiceControl and ResourceControl are the grammars of Organizations' service
	// control policies and resource control policies.
	ServiceControl
	ResourceControl
)

// hasPrincipals reports whether policies of the kind name principals, as those of
// resources do. Resource control policies are always for everyone.
func (k Kind) hasPrincipals() bool { return k == Trust || k == Bucket || k == Resource }

// Limits on the size of documents, in characters as counted by [Size] unless
// said otherwise. IAM User Guide, "IAM and AWS STS quotas"; S3 User Guide,
// "Bucket policies".
const (
	MaxTrust       = 2048      // role trust policy (default quota)
	MaxManaged     = 6144      // each version of a managed policy
	MaxUserInline  = 2048      // all inline policies of a user together
	MaxGroupInline = 5120      // all inline policies of a group together
	MaxRoleInline  = 10240     // all inline policies of a role together
	MaxSession     = 2048      // inline session policy, all characters counted
	MaxBucket      = 20 * 1024 // bucket policy, in bytes
	MaxDocument    = 131072    // any document in a request to IAM, all characters counted
)

// maxBytes limits what Parse reads. AWS's own managed policies, to which its
// quotas do not apply, have up to 150 KB.
const maxBytes = 1 << 20

// Size is the length of a document as IAM's quotas count it: in characters,
// white space left out.
func Size(doc []byte) int {
	n := 0
	for _, r := range string(doc) {
		if !unicode.IsSpace(r) {
			n++
		}
	}
	return n
}

// Error says why a document was refused, in AWS's words.
type Error struct {
	Code    string // "MalformedPolicyDocument", or S3's "MalformedPolicy"
	Message string // such as "Syntax errors in policy."
}

func (e *Error) Error() string { return e.Code + ": " + e.Message }
