package doctor

import "slices"

// Results of a check.
const (
	OK      = "ok"      // as it must be
	Broken  = "broken"  // pods do not get their role until it is fixed
	Warning = "warning" // works, but is probably not what was meant
	Unknown = "unknown" // could not be checked, because of another finding or of missing rights
)

// Links that are checked in addition to those of package plan.
const (
	APIServer = "API server" // its flags
	Token     = "token"      // a fresh token of the service account
	Pod       = "pod"
	STS       = "credentials" // what STS really gives for the token
)

// Finding is the outcome of one check.
type Finding struct {
	// Link of the chain, in the words of package plan where it has one.
	Link string
	// Check names what was checked, the same in every run.
	Check string
	// Result is [OK], [Broken], [Warning] or [Unknown].
	Result string
	// Summary is the outcome in a sentence.
	Summary string
	// Expected and Found are the two values that differ: what would have to
	// be there for the chain to hold, and what is there. Broken has both.
	Expected, Found string
	// Fix is what to do about it.
	Fix Fix
	// Reason is what the endpoint itself said about its refusal, if it is one
	// that says why.
	Reason string
}

// First is the first finding that is [Broken]: what to fix before looking at anything
// else. It reports whether there is one.
func First(findings []Finding) (Finding, bool) {
	i := slices.IndexFunc(findings, func(f Finding) bool { return f.Result == Broken })
	if i < 0 {
		return Finding{}, false
	}
	return findings[i], true
}
