package doctor

import (
	"slices"

	"github.com/openirsa/openirsa/pkg/plan"
	"github.com/openirsa/openirsa/pkg/token"
)

// freshToken checks that the API server gives a token, and what that says.
func (d *diagnosis) freshToken() {
	const check = "token"
	switch {
	case d.ServiceAccountErr == nil && d.ServiceAccount == nil:
		found, fix := "no such service account", d.createServiceAccount()
		if len(d.Elsewhere) > 0 {
			found = join(d.Elsewhere)
			fix = setup("doctor", "--service-account", d.Elsewhere[0])
		}
		if d.associated() { // which does not ask whether it exists
			found, fix = "no such service account", kubectl(d.Namespace, "create", "serviceaccount", d.Name)
		}
		d.broken(Finding{
			Link: plan.ServiceAccount, Check: "service account",
			Summary:  "service account " + d.account() + " does not exist",
			Expected: d.account(), Found: found, Fix: fix,
		})
		return
	case d.TokenErr != nil:
		d.broken(Finding{
			Link: Token, Check: check,
			Summary:  "the API server gives no token",
			Expected: "a token of " + d.account() + " for " + d.audience(), Found: d.TokenErr.Error(),
			Fix: Fix{Commands: []Command{{
				Args:   []string{"kubectl", "--namespace", d.Namespace, "create", "token", d.Name, "--audience", d.audience()},
				Stdout: "/dev/null",
			}}},
		})
		return
	case !d.decoded:
		d.unknown(Token, check, "no token was requested")
		return
	}
	c := d.claims
	switch {
	case !d.iss.IsZero() && c.Issuer != d.iss.String():
		d.broken(Finding{
			Link: Token, Check: check,
			Summary:  "the token has another issuer",
			Expected: "iss " + d.iss.String(), Found: "iss " + c.Issuer, Fix: d.setIssuer(),
		})
		return
	case c.Subject != d.subject():
		d.broken(Finding{
			Link: Token, Check: check,
			Summary:  "the token is another subject's",
			Expected: "sub " + d.subject(), Found: "sub " + c.Subject, Fix: setup("status"),
		})
		return
	case !slices.Contains(c.Audience, d.audience()) || len(c.Audience) != 1:
		d.broken(Finding{
			Link: Token, Check: check,
			Summary:  "STS takes a token with one audience only",
			Expected: "aud " + d.audience(), Found: "aud " + join(c.Audience), Fix: setup("status"),
		})
		return
	}
	if at := d.AWSTime; !at.IsZero() {
		switch iat := c.IssuedAt.Time(); {
		case iat.After(at.Add(token.Leeway)):
			d.broken(Finding{
				Link: Token, Check: "clock",
				Summary:  "the clock of the control plane is ahead of AWS's, which takes the token for one from the future",
				Expected: "issued at " + stamp(at) + " or up to a minute later", Found: "issued at " + stamp(iat), Fix: setClock(),
			})
			return
		case c.Expiry.Time().Add(token.Leeway).Before(at):
			d.broken(Finding{
				Link: Token, Check: "clock",
				Summary:  "the clock of the control plane is behind AWS's, for which the token has expired",
				Expected: "expires after " + stamp(at), Found: "expires at " + stamp(c.Expiry.Time()), Fix: setClock(),
			})
			return
		}
	}
	d.ok(Token, check, "sub %s, aud %s, kid %s, alg %s", c.Subject, join(c.Audience), d.header.KID, d.header.Algorithm)
}
