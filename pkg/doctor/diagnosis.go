package doctor

import (
	"fmt"
	"strings"
	"time"

	"github.com/openirsa/openirsa/pkg/irsa"
	"github.com/openirsa/openirsa/pkg/issuer"
	"github.com/openirsa/openirsa/pkg/token"
)

// diagnosis is one walk along the chain: the facts, what they say, and what was found
// so far.
type diagnosis struct {
	Facts
	findings []Finding

	header  token.Header // of the token, as claims, if it could be decoded
	claims  token.Claims
	decoded bool
	iss     issuer.URL // [Facts.ChainIssuer]
	// undecided are the condition keys on which the trust policy depends and
	// that only AWS knows.
	undecided []string
}

// add notes a finding; ok, unknown, broken and warn do so with their result.
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

// readToken decodes the token, and finds the issuer.
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

// subject is the sub claim that the service account's tokens have.
func (d *diagnosis) subject() string { return token.Subject(d.Namespace, d.Name) }

// account is the service account as findings name it.
func (d *diagnosis) account() string { return d.Namespace + "/" + d.Name }

// annotation is one of the service account; "" if there is none.
func (d *diagnosis) annotation(key string) string {
	if d.ServiceAccount == nil {
		return ""
	}
	return d.ServiceAccount.Annotations[key]
}

// roleARN is the role that the service account is annotated with, right or wrong.
func (d *diagnosis) roleARN() string { return d.annotation(irsa.DefaultPrefix.RoleARN()) }

// audience is that of the service account's tokens.
func (d *diagnosis) audience() string { return d.TokenAudience() }

// Audience is the audience of the tokens of a service account with these annotations:
// that of the annotation, or else sts.amazonaws.com. A malformed annotation counts as
// none, as for the webhook.
func Audience(annotations map[string]string) string {
	if aud := annotations[irsa.DefaultPrefix.AudienceKey()]; irsa.CheckAudience(aud) == nil {
		return aud
	}
	return irsa.Audience
}

// foreignRole reports whether the role is in an account that the credentials in
// use cannot look into.
func (d *diagnosis) foreignRole() bool {
	arn := d.roleARN()
	return irsa.CheckRoleARN(arn) == nil && d.Account != "" && accountOf(arn) != d.Account
}

// accountOf is the account in an ARN.
func accountOf(arn string) string {
	if part := strings.SplitN(arn, ":", 6); len(part) == 6 {
		return part[4]
	}
	return ""
}

// assumed reports whether STS gave credentials of the role.
func (d *diagnosis) assumed() bool {
	if d.Call == nil || d.Call.Identity == "" {
		return false
	}
	session, _, _ := cutLast(d.Call.Identity, "/")
	return session == sessionOf(d.roleARN())
}

// sessionOf is how the ARN of every session of a role begins: it has no path. It is ""
// for what is not the ARN of a role.
func sessionOf(roleARN string) string {
	if irsa.CheckRoleARN(roleARN) != nil {
		return ""
	}
	part := strings.SplitN(roleARN, ":", 6)
	return "arn:" + part[1] + ":sts::" + part[4] + ":assumed-role" + part[5][strings.LastIndexByte(part[5], '/'):]
}

// cutLast is [strings.Cut] around the last separator.
func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// join is a list as findings show it.
func join(values []string) string {
	if len(values) == 0 {
		return "none"
	}
	return strings.Join(values, ", ")
}

// stamp is a time as findings show it.
func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
