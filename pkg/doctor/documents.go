package doctor

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/openirsa/openirsa/internal/exactjson"
	"github.com/openirsa/openirsa/pkg/discovery"
	"github.com/openirsa/openirsa/pkg/keys"
	"github.com/openirsa/openirsa/pkg/plan"
	"github.com/openirsa/openirsa/pkg/token"
)

// documents are links 2 and 3, as a stranger finds them.
func (d *diagnosis) documents() {
	if d.iss.IsZero() {
		d.unknown(plan.Documents, "discovery document", "there is no issuer that AWS could read")
		return
	}
	if d.Discovery == nil {
		d.unknown(plan.Documents, "discovery document", "it was not read")
		return
	}
	if !d.fetched("discovery document", d.Discovery, d.iss.Discovery()) {
		return
	}
	config, err := discovery.ParseConfiguration(d.Discovery.Body)
	switch {
	case err != nil:
		d.broken(Finding{
			Link: plan.Documents, Check: "discovery document",
			Summary:  "what is served at " + d.Discovery.URL + " is not a discovery document",
			Expected: "a JSON object with issuer and jwks_uri", Found: d.Discovery.ContentType + " " + excerpt(d.Discovery.Body),
			Fix: setup("up"),
		})
		return
	case config.Issuer != d.iss.String():
		d.broken(Finding{
			Link: plan.Documents, Check: "discovery document",
			Summary:  "the discovery document is that of another issuer",
			Expected: "issuer " + d.iss.String(), Found: "issuer " + config.Issuer, Fix: setup("up"),
		})
		return
	case !strings.HasPrefix(config.JWKSURI, "https://"):
		d.broken(Finding{
			Link: plan.Documents, Check: "discovery document",
			Summary:  "the discovery document points to no key set that AWS would read",
			Expected: "jwks_uri " + d.iss.JWKS(), Found: "jwks_uri " + config.JWKSURI, Fix: setup("up"),
		})
		return
	}
	if d.Kept {
		d.ok(plan.Issuer, "discovery document", "%s, read from the API server, as the emulator in the cluster does", d.Discovery.URL)
	} else if d.Discovery.Certificates != nil {
		d.ok(plan.Issuer, "discovery document", "%s, certificate until %s", d.Discovery.URL, stamp(d.Discovery.Certificates[0].NotAfter))
	} else {
		d.ok(plan.Issuer, "discovery document", "%s, read as a stranger", d.Discovery.URL)
	}
	d.keySet(config.JWKSURI)
}

// fetched reports whether a stranger got a document.
func (d *diagnosis) fetched(check string, doc *Document, expectedURL string) bool {
	fail := func(f Finding) bool {
		f.Check = check
		d.broken(f)
		return false
	}
	var expired x509.CertificateInvalidError
	var host x509.HostnameError
	switch {
	case errors.As(doc.Untrusted, &expired) && expired.Reason == x509.Expired:
		return fail(Finding{
			Link:     plan.Issuer,
			Summary:  "the issuer's certificate is out of date",
			Expected: "valid at " + stamp(d.Now),
			Found:    "valid from " + stamp(expired.Cert.NotBefore) + " to " + stamp(expired.Cert.NotAfter),
			Fix:      showCertificate(d.hostPort()).noting("then renew the certificate of the issuer's server"),
		})
	case errors.As(doc.Untrusted, &host):
		return fail(Finding{
			Link:     plan.Issuer,
			Summary:  "the issuer's certificate is for another host",
			Expected: host.Host, Found: join(host.Certificate.DNSNames),
			Fix: showCertificate(d.hostPort()).noting("then give the issuer's server a certificate for " + host.Host),
		})
	case doc.Err != nil:
		return fail(Finding{
			Link:     plan.Issuer,
			Summary:  "the issuer does not answer",
			Expected: "200 at " + expectedURL, Found: doc.Err.Error(), Fix: run("curl", "--verbose", doc.URL),
		})
	case doc.Status/100 == 3:
		return fail(Finding{
			Link:     plan.Issuer,
			Summary:  "the issuer redirects; it must answer itself",
			Expected: "200 at " + doc.URL, Found: fmt.Sprintf("%d to %s", doc.Status, doc.Location),
			Fix: run("curl", "--include", doc.URL).noting("then have the server answer without the redirect"),
		})
	case doc.Status == http.StatusForbidden || doc.Status == http.StatusUnauthorized:
		return fail(Finding{
			Link:     plan.Documents,
			Summary:  "a stranger, as AWS is one, may not read the document: the bucket or the server is private",
			Expected: "200 for anybody at " + doc.URL, Found: answer(doc), Fix: setup("up"),
		})
	case doc.Status == http.StatusNotFound:
		return fail(Finding{
			Link:     plan.Documents,
			Summary:  "the document is not there",
			Expected: "200 at " + doc.URL, Found: answer(doc), Fix: setup("up"),
		})
	case doc.Status != http.StatusOK:
		return fail(Finding{
			Link:     plan.Issuer,
			Summary:  "the issuer does not answer with the document",
			Expected: "200 at " + doc.URL, Found: answer(doc), Fix: run("curl", "--include", doc.URL),
		})
	}
	return true
}

func (d *diagnosis) hostPort() string {
	if host := d.iss.Host(); strings.Contains(host, ":") {
		return host
	}
	return d.iss.Host() + ":443"
}

// answer is what was answered instead of a document, as findings show it.
func answer(doc *Document) string {
	return strings.TrimSpace(fmt.Sprintf("%d %s", doc.Status, doc.Code))
}

// excerpt is the beginning of a body, on one line.
func excerpt(body []byte) string {
	s := strings.ToValidUTF8(strings.Join(strings.Fields(string(body[:min(len(body), 200)])), " "), "")
	if len(s) > 60 {
		s = strings.ToValidUTF8(s[:60], "") + "..."
	}
	return fmt.Sprintf("%q", s)
}

// keySet checks that the token's key is published, and that it is the same key.
func (d *diagnosis) keySet(jwksURI string) {
	const check = "key set"
	if d.JWKS == nil {
		d.unknown(plan.Documents, check, "it was not read")
		return
	}
	if !d.fetched(check, d.JWKS, jwksURI) {
		return
	}
	set, err := keys.ParseJWKS(d.JWKS.Body)
	if err != nil {
		d.broken(Finding{
			Link: plan.Documents, Check: check,
			Summary:  "what is served at " + d.JWKS.URL + " is not a key set that STS takes",
			Expected: "a public key set", Found: err.Error(), Fix: setup("up"),
		})
		return
	}
	if !d.decoded {
		if d.KeysErr == nil && !set.Equal(d.Keys) {
			d.broken(Finding{
				Link: plan.Documents, Check: check,
				Summary:  "the published keys are not those of the API server",
				Expected: "kid " + kids(d.Keys), Found: "kid " + kids(set), Fix: setup("up"),
			})
			return
		}
		d.ok(plan.Documents, check, "%s", describe(set))
		return
	}
	published, there := set.Find(d.header.KID)
	if why := omitted(set, d.header.KID); !there && why != nil {
		d.broken(Finding{
			Link: plan.Documents, Check: check,
			Summary:  "the key that signs tokens is published in a form that STS does not use",
			Expected: "a key " + d.header.KID + " that STS uses", Found: why.Error(), Fix: setup("up"),
		})
		return
	}
	if !there {
		d.broken(Finding{
			Link: plan.Documents, Check: check,
			Summary:  "the published key set does not have the key that signs tokens: it is older than the key",
			Expected: "kid " + d.header.KID, Found: "kid " + kids(set), Fix: setup("up"),
		})
		return
	}
	if ops := keyOps(d.JWKS.Body, d.header.KID); ops {
		d.broken(Finding{
			Link: plan.Documents, Check: check,
			Summary:  "STS refuses a key that lists its operations",
			Expected: "no key_ops in key " + d.header.KID, Found: "key_ops", Fix: setup("up"),
		})
		return
	}
	_, err = token.Verify(string(d.Raw), set, token.Want{
		Issuer: d.iss, Audience: d.audience(), Now: func() time.Time { return d.claims.IssuedAt.Time() },
	})
	if errors.Is(err, token.ErrSignature) {
		own, _ := d.Keys.Lookup(d.header.KID)
		d.broken(Finding{
			Link: plan.Documents, Check: check,
			Summary:  "another key is published under the id of the one that signs tokens",
			Expected: "public key " + fingerprint(own), Found: "public key " + fingerprint(published), Fix: setup("up"),
		})
		return
	}
	d.ok(plan.Documents, check, "%s; the token's signature is right", describe(set))
}

// fingerprint is a key as findings show it where two have the same id.
func fingerprint(k keys.Public) string {
	if k.Key == nil {
		return "with which the token was signed"
	}
	id, err := keys.KID(k.Key)
	if err != nil {
		return err.Error()
	}
	return "sha256:" + id
}

// keyOps reports whether a key of a set has the member key_ops, with which STS
// takes no key, whatever its value.
func keyOps(body []byte, kid string) bool {
	var list []map[string]any
	set, err := exactjson.Parse(body)
	if err != nil || set.Decode("keys", &list) != nil {
		return false
	}
	return slices.ContainsFunc(list, func(k map[string]any) bool { _, there := k["key_ops"]; return there && k["kid"] == kid })
}
