package doctor

import (
	"crypto/sha1"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/openirsa/openirsa/pkg/plan"
)

// provider is link 4: that IAM has the issuer's provider, and that it takes the tokens.
func (d *diagnosis) provider() {
	const check = "provider"
	switch {
	case d.AWSErr != nil:
		d.broken(Finding{
			Link: plan.Provider, Check: check,
			Summary:  "AWS could not be asked",
			Expected: "an answer of sts:GetCallerIdentity", Found: d.AWSErr.Error(),
			Fix: run("aws", "sts", "get-caller-identity").noting("with the credentials of the account in which the chain is"),
		})
		return
	case d.iss.IsZero():
		d.unknown(plan.Provider, check, "there is no issuer to look for")
		return
	case d.ProviderErr != nil:
		d.unknown(plan.Provider, check, "%v", d.ProviderErr)
		return
	}
	want := d.iss.ProviderARN(d.Partition, d.Account)
	if d.foreignRole() {
		d.unknown(plan.Provider, check, "the role is in account %s, whose provider the credentials of account %s cannot see",
			accountOf(d.roleARN()), d.Account)
		return
	}
	if d.Provider == nil {
		found := "none of that ARN"
		if near := d.nearMiss(want); near != "" {
			found = near
		} else if len(d.Providers) == 0 {
			found = "no provider at all in account " + d.Account
		}
		d.broken(Finding{
			Link: plan.Provider, Check: check,
			Summary:  "IAM has no OIDC provider for the issuer",
			Expected: want, Found: found, Fix: d.createProvider(),
		})
		return
	}
	if aud := d.audience(); !slices.Contains(d.Provider.ClientIDs, aud) {
		d.broken(Finding{
			Link: plan.Provider, Check: check,
			Summary:  "the provider does not accept the token's audience",
			Expected: "client id " + aud, Found: "client ids " + join(d.Provider.ClientIDs),
			Fix: run("aws", "iam", "add-client-id-to-open-id-connect-provider",
				"--open-id-connect-provider-arn", d.Provider.ARN, "--client-id", aud),
		})
		return
	}
	if !d.thumbprint() {
		return
	}
	d.ok(plan.Provider, check, "%s, client ids %s", d.Provider.ARN, join(d.Provider.ClientIDs))
}

// createProvider is the command that makes the provider.
func (d *diagnosis) createProvider() Fix {
	if !d.Issuer.IsZero() {
		return setup("up")
	}
	return run("aws", "iam", "create-open-id-connect-provider", "--url", d.iss.String(), "--client-id-list", d.audience())
}

// nearMiss is the provider that was probably meant to be the wanted one: that of the
// issuer in another spelling. "" if there is none.
func (d *diagnosis) nearMiss(want string) string {
	plain := func(s string) string {
		s = strings.ToLower(strings.TrimSuffix(s, "/"))
		_, s, _ = strings.Cut(s, ":oidc-provider/")
		s = strings.TrimPrefix(strings.TrimPrefix(s, "https://"), "http://")
		return strings.Replace(s, ":443", "", 1)
	}
	for _, arn := range d.Providers {
		if plain(arn) == plain(want) {
			return arn
		}
	}
	return ""
}

// thumbprint checks the provider's thumbprints. They matter only for a certificate that
// no public CA has signed (CreateOpenIDConnectProvider, parameter ThumbprintList).
func (d *diagnosis) thumbprint() bool {
	doc := d.JWKS
	if doc == nil {
		doc = d.Discovery
	}
	if doc == nil || doc.Untrusted == nil || len(doc.Certificates) == 0 {
		return true
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](doc.Untrusted); !ok {
		return true // reported with the documents
	}
	top := Thumbprint(doc.Certificates)
	if slices.ContainsFunc(d.Provider.Thumbprints, func(t string) bool { return strings.EqualFold(t, top) }) {
		return true
	}
	d.broken(Finding{
		Link: plan.Provider, Check: "thumbprint",
		Summary:  "the issuer's certificate is of no public CA, and the provider does not have the thumbprint of its CA",
		Expected: "thumbprint " + top, Found: "thumbprints " + join(d.Provider.Thumbprints),
		Fix: run("aws", "iam", "update-open-id-connect-provider-thumbprint",
			"--open-id-connect-provider-arn", d.Provider.ARN, "--thumbprint-list", top),
	})
	return false
}

// Thumbprint is the one that IAM wants for a chain of certificates as a server sends
// it, which must not be empty: the SHA-1 of the last of them, in lower-case hex.
func Thumbprint(chain []*x509.Certificate) string {
	return fmt.Sprintf("%x", sha1.Sum(chain[len(chain)-1].Raw))
}
