package api

import (
	"github.com/openirsa/openirsa/internal/sigv4"
	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
	"github.com/openirsa/openirsa/pkg/policy"
)

// Gate is what a service asks of the account about a call. Each decision is kept
// as an event.
type Gate interface {
	// Admit refuses what a web page of another origin asks for, and lets an
	// injected fault happen. The call's service and operation must be known. If
	// there is a failure it is the answer; if the call is dropped afterwards,
	// there is to be none once the operation is done.
	Admit(c *Call) *wire.Failure
	// Identify verifies a signature of the call and sets its caller and region.
	// The order is AWS's: the key, its session token, the session's expiry, the
	// clock, the signature. Of the failure the service must keep an event, with
	// its own code. The key verifies the chunks of S3's streamed bodies.
	Identify(c *Call, sig *sigv4.Signature, payloadHash string) (sigv4.Key, *AuthFailure)
	// Authorize asks whether the caller may do something. The failure is AWS's
	// AccessDenied in the dialect of the call.
	Authorize(c *Call, q *Question) *wire.Failure
	// Ask is Authorize without an event, which the verdict keeps if it is told to: a
	// call may need one of several permissions, and then the others are no denials.
	Ask(c *Call, q *Question) *Verdict
	// Record keeps a decision that was not one of policies.
	Record(c *Call, d Decision)
}

// Verdict is what policies say to a question.
type Verdict struct {
	Failure  *wire.Failure // AWS's AccessDenied; nil if the call may go on
	Explicit bool          // a Deny statement denies it
	// Unenforced is AWS's AccessDenied if policies deny, and the call may go on because
	// that is not enforced. Where one of several permissions is enough, one that has it
	// is no better than one that is denied.
	Unenforced *wire.Failure
	// Final says that nothing can be decided about the call any more: its caller is gone,
	// or a backend does not say what has to be known. The failure is the answer.
	Final bool
	Keep  func() // keeps the decision as an event
	// Somewhere reports, of a Failure that is not Final, whether the caller's own policies
	// might allow the same on another resource.
	Somewhere func() bool
}

// Question is what policies are asked about a call.
type Question struct {
	Action   string // with its service, such as "iam:GetRole"
	Resource string // ARN that policies match, or "*"
	Spelled  string // how AccessDenied spells the resource; "" is as it is
	Account  string // of the resource's owner; "" is the caller's account
	// Keys are the condition keys that are particular to the action. The gate
	// adds those of the caller and of the request.
	Keys     policy.Context
	Attached *policy.Named // resource-based policy, such as a bucket's
	Grant    policy.Grant  // of the resource's access control list
	Note     string        // what an event of a denial has to say besides
	Bare     bool          // AccessDenied does not say "because ..."

	// How services differ in their words: what AccessDenied says first, how it spells
	// the action ("" is as it is), and whether it leaves out the resource.
	Preface       string
	SpelledAction string
	Nowhere       bool
	// Encoded says that AccessDenied ends with a message for sts:DecodeAuthorizationMessage.
	Encoded bool
	// Code is that of AccessDenied, the zero Code that of the dialect; Text, if not "", is
	// all that it says.
	Code Code
	Text string
	// Stranger is what AccessDenied says instead of the resource and the reason to
	// callers of other accounts, where the policy of the resource is to blame.
	Stranger string
	// MustAllow says that the policy of the resource must allow in any case, as that of
	// a KMS key.
	MustAllow bool

	// Computes reports whether Keys has a condition key whenever AWS would set it; nil is
	// of all. An event says which other keys a policy names.
	Computes func(key string) bool

	// Failed, if not nil, is answered in place of a decision, since what policies would be
	// asked about could not be found out. Why is for the event.
	Failed *wire.Failure
	Why    string

	// Unknown says that parts of the resource are not known, and Warnings what an event
	// of any decision has to say besides.
	Unknown  bool
	Warnings []string
}

// Decision is one that a service took itself.
type Decision struct {
	Allowed bool
	Step    string // such as "signature" or "permission"; docs/emulator.md lists them
	Reason  string // in words
	Code    string // that the caller gets; "" if it was allowed
	// Resource is the ARN of what it is about, and AccessKeyID the key that the
	// request claims; "" is what the call itself says.
	Resource    string
	AccessKeyID string
	// Expected and Found are the two values that disagree, if it is about two.
	Expected, Found []string
}
