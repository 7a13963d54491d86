// Package doctor finds the first broken link of the chain between a cluster's
// signing key and a pod's credentials.
//
// AWS answers every fault in that chain with one of three sentences. Here the
// chain is walked on facts that were gathered before, by whoever can reach the
// systems, and each link is held against its neighbours:
//
//	findings := doctor.Diagnose(facts)
//	if broken, ok := doctor.First(findings); ok {
//		fmt.Println(broken.Link, broken.Expected, broken.Found, broken.Fix.Shell("setup"))
//	}
//
// The package reaches nothing. A fact that could not be gathered is an error in
// [Facts], and what depends on it is [Unknown], not broken.
package doctor

import (
	"fmt"
	"slices"
	"strings"

	"github.com/openirsa/openirsa/pkg/irsa"
	"github.com/openirsa/openirsa/pkg/issuer"
	"github.com/openirsa/openirsa/pkg/token"
)

// Results of a check.
const (
	OK      = "ok"
	Broken  = "broken"
	Warning = "warning" // works, but is hardly meant
	Unknown = "unknown" // could not be checked, because of another finding or of missing rights
)

// Links that are walked besides those of the package plan.
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

// First is the first broken link: what to fix before anything else is worth
// looking at. It reports whether there is one.
func First(findings []Finding) (Finding, bool) {
	i := slices.IndexFunc(findings, func(f Finding) bool { return f.Result == Broken })
	if i < 0 {
		return Finding{}, false
	}
	return findings[i], true
}

// Diagnose walks the chain in its order and returns what every check found.
// Without the name of a service account only what all of them share is walked.
func Diagnose(f Facts) []Finding {
	d := &diagnosis{Facts: f}
	d.readToken()
	d.apiServers()
	d.signingKey()
	if f.Name != "" {
		d.freshToken()
	}
	d.documents()
	d.provider()
	if f.Name != "" {
		d.role()
		d.serviceAccount()
	}
	d.webhook()
	if f.Name != "" {
		d.pods()
		d.credentials()
	}
	return d.findings
}

// diagnosis is one walk.
type diagnosis struct {
	Facts
	findings []Finding

	header  token.Header
	claims  token.Claims
	decoded bool
	iss     issuer.URL // that the chain is about; zero if no usable one is known
	// undecided are the condition keys on which the trust policy depends and
	// that only AWS knows.
	undecided []string
}

func (d *diagnosis) add(f Finding) { d.findings = append(d.findings, f) }

func (d *diagnosis) ok(link, check, format string, args ...any) {
	d.add(Finding{Link: link, Check: check, Result: OK, Summary: fmt.Sprintf(format, args...)})
}

func (d *diagnosis) unknown(link, check, format string, args ...any) {
	d.add(Finding{Link: link, Check: check, Result: Unknown, Summary: fmt.Sprintf(format, args...)})
}

func (d *diagnosis) broken(f Finding) {
	f.Result = Broken
	d.add(f)
}

func (d *diagnosis) warn(f Finding) {
	f.Result = Warning
	d.add(f)
}

// subject is the sub claim that the service account's tokens have.
func (d *diagnosis) subject() string { return token.Subject(d.Namespace, d.Name) }

// account is the service account as messages call it.
func (d *diagnosis) account() string { return d.Namespace + "/" + d.Name }

// annotation of the service account; "" if there is none.
func (d *diagnosis) annotation(key string) string {
	if d.ServiceAccount == nil {
		return ""
	}
	return d.ServiceAccount.Annotations[key]
}

func (d *diagnosis) roleARN() string { return d.annotation(irsa.DefaultPrefix.RoleARN()) }

// Audience is what tokens of a service account with these annotations are for. A
// malformed one counts as none, as for the webhook.
func Audience(annotations map[string]string) string {
	if aud := annotations[irsa.DefaultPrefix.AudienceKey()]; irsa.CheckAudience(aud) == nil {
		return aud
	}
	return irsa.Audience
}

func (d *diagnosis) audience() string {
	if d.ServiceAccount == nil {
		return irsa.Audience
	}
	return Audience(d.ServiceAccount.Annotations)
}

// ChainIssuer is the issuer that the chain is about: the recorded one, else that
// of the tokens; zero if none of them is one that AWS could use.
func (f Facts) ChainIssuer() issuer.URL {
	if !f.Issuer.IsZero() {
		return f.Issuer
	}
	_, claims, _ := token.ParseInsecure(string(f.Raw))
	for _, s := range []string{claims.Issuer, f.Advertised} {
		if u, err := issuer.Parse(s); err == nil {
			return u
		}
	}
	return issuer.URL{}
}

// readToken decodes the token.
func (d *diagnosis) readToken() {
	if d.Raw != "" {
		header, claims, err := token.ParseInsecure(string(d.Raw))
		if err != nil {
			d.TokenErr = err
		} else {
			d.header, d.claims, d.decoded = header, claims, true
		}
	}
	d.iss = d.ChainIssuer()
}

func join(values []string) string {
	if len(values) == 0 {
		return "none"
	}
	return strings.Join(values, ", ")
}
