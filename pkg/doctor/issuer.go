package doctor

import (
	"crypto/sha1"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/openirsa/openirsa/internal/exactjson"
	"github.com/openirsa/openirsa/pkg/discovery"
	"github.com/openirsa/openirsa/pkg/irsa"
	"github.com/openirsa/openirsa/pkg/issuer"
	"github.com/openirsa/openirsa/pkg/keys"
	"github.com/openirsa/openirsa/pkg/plan"
	"github.com/openirsa/openirsa/pkg/token"
)

// apiServers holds the flags, and where they cannot be read the discovery
// document of the API server, against the issuer.
func (d *diagnosis) apiServers() {
	for _, s := range d.Servers {
		if len(s.Issuers) == 0 {
			d.broken(Finding{
				Link: APIServer, Check: "issuer flag",
				Summary:  "the API server on node " + s.Node + " has no --service-account-issuer",
				Expected: d.wantIssuer(), Found: "none", Fix: d.setIssuer(),
			})
			return
		}
		if !d.checkIssuer(s.Issuers[0], "the API server on node "+s.Node+" issues tokens", "--service-account-issuer=") {
			return
		}
	}
	if len(d.Servers) == 0 {
		switch {
		case d.AdvertisedErr != nil:
			d.unknown(APIServer, "issuer flag", "reading the API server's discovery document: %v", d.AdvertisedErr)
			return
		case d.Advertised == "":
			d.broken(Finding{
				Link: APIServer, Check: "issuer flag",
				Summary:  "the API server has no discovery document, because its issuer is not an https URL",
				Expected: d.wantIssuer(), Found: "an issuer that does not begin with https://", Fix: d.setIssuer(),
			})
			return
		}
		if !d.checkIssuer(d.Advertised, "the API server issues tokens", "") {
			return
		}
	}
	d.ok(APIServer, "issuer flag", "issues tokens as %s", d.iss)

	for _, s := range d.Servers {
		if s.JWKSURI != "" && !d.Kept && s.JWKSURI != d.iss.JWKS() {
			d.warn(Finding{
				Link: APIServer, Check: "jwks-uri flag",
				Summary:  "the API server on node " + s.Node + " names another key set than the issuer's",
				Expected: "--service-account-jwks-uri=" + d.iss.JWKS(), Found: "--service-account-jwks-uri=" + s.JWKSURI,
				Fix: d.setIssuer(),
			})
		}
		if slices.Contains(s.Audiences, irsa.Audience) {
			d.warn(Finding{
				Link: APIServer, Check: "audiences flag",
				Summary: "the API server on node " + s.Node + " takes tokens that were made for AWS: " +
					"whoever gets hold of one is let into the cluster",
				Expected: "--api-audiences without " + irsa.Audience, Found: "--api-audiences=" + strings.Join(s.Audiences, ","),
				Fix: setup("apiserver print", "kubeadm").
					noting("the flag is the cluster's own: remove " + irsa.Audience + " from it there and on node " + s.Node),
			})
		}
	}
}

// setIssuer is the command that gives the API servers the chain's issuer.
func (d *diagnosis) setIssuer() Fix {
	if d.Kept {
		return Fix{
			Commands: []Command{{Verb: "down"}, {Verb: "up", Args: []string{"--emulator", "--keep-issuer"}}},
			Note:     "the API servers keep their issuer, which was " + d.Issuer.String(),
		}
	}
	if d.Remote && !d.Issuer.IsZero() {
		return Fix{
			Commands:  []Command{{Verb: "apiserver", Root: true}},
			Note:      "on each control-plane node of kubeadm",
			Elsewhere: &Command{Verb: "apiserver print"},
		}
	}
	return setup("up")
}

func (d *diagnosis) wantIssuer() string {
	if d.Issuer.IsZero() {
		return "an https URL that AWS can read"
	}
	return d.Issuer.String()
}

// checkIssuer reports whether an issuer that the API server uses is the chain's.
func (d *diagnosis) checkIssuer(have, what, prefix string) bool {
	if have == d.Issuer.String() {
		return true
	}
	_, err := issuer.Parse(have)
	expected, why := d.wantIssuer(), ""
	switch {
	case err != nil:
		why = ": " + err.Error()
		if secure, err := issuer.Parse(strings.Replace(have, "http://", "https://", 1)); err == nil && d.Issuer.IsZero() {
			expected = secure.String()
		}
	case d.Issuer.IsZero() && private(have):
		why = ": AWS cannot read that address"
	case d.Issuer.IsZero():
		return true
	}
	d.broken(Finding{
		Link: APIServer, Check: "issuer flag",
		Summary:  what + " under another issuer than the chain's" + why,
		Expected: prefix + expected, Found: prefix + have, Fix: d.setIssuer(),
	})
	return false
}

// private reports whether a host means nothing outside of the cluster, as that
// of kubeadm's default issuer.
func private(iss string) bool {
	u, err := url.Parse(iss)
	if err != nil {
		return false
	}
	host := u.Hostname()
	return strings.HasSuffix(host, ".local") || strings.HasSuffix(host, ".svc") || !strings.Contains(host, ".")
}

// signingKey is link 1.
func (d *diagnosis) signingKey() {
	const check = "signing key"
	switch {
	case errors.Is(d.KeysErr, keys.ErrUnsupported):
		d.unsupported(d.KeysErr)
		return
	case d.KeysErr != nil:
		d.unknown(plan.SigningKey, check, "reading the API server's keys: %v", d.KeysErr)
		return
	case d.Keys.Len() == 0:
		d.broken(Finding{
			Link: plan.SigningKey, Check: check,
			Summary:  "the API server publishes no keys",
			Expected: "at least one key", Found: "none", Fix: setup("status"),
		})
		return
	}
	if d.decoded {
		_, there := d.Keys.Find(d.header.KID)
		if why := omitted(d.Keys, d.header.KID); !there && errors.Is(why, keys.ErrUnsupported) {
			d.unsupported(why)
			return
		}
		if !there {
			d.broken(Finding{
				Link: plan.SigningKey, Check: check,
				Summary: "tokens are signed with a key that the API server does not have in its own set: " +
					"the control-plane nodes have different keys, or one was changed without a restart",
				Expected: "kid " + d.header.KID, Found: "kid " + kids(d.Keys),
				Fix: kubectl("kube-system", "delete", "pod", "--selector", "component=kube-apiserver").
					noting("after the same sa.key and sa.pub are on all control-plane nodes"),
			})
			return
		}
	}
	d.ok(plan.SigningKey, check, "%s", describe(d.Keys))
}

// unsupported is a signing key of a kind that STS does not know.
func (d *diagnosis) unsupported(why error) {
	d.broken(Finding{
		Link: plan.SigningKey, Check: "signing key",
		Summary:  "the API server signs with a key that STS cannot verify",
		Expected: "RSA of 2048 bits or more, or EC P-256, P-384, P-521", Found: why.Error(),
		Fix: run("openssl", "genrsa", "-out", "sa.key", "2048").
			noting("and give it to the API server: --service-account-signing-key-file, --service-account-key-file"),
	})
}

// omitted is why a key that a set has under an id is one that STS does not use; nil
// if there is no such key.
func omitted(set keys.Set, kid string) error {
	for _, o := range set.Omitted() {
		if o.KID == kid && kid != "" {
			return o.Err
		}
	}
	return nil
}

func kids(set keys.Set) string {
	var all []string
	for _, k := range set.All() {
		all = append(all, k.KID)
	}
	return join(all)
}

func describe(set keys.Set) string {
	var all []string
	for _, k := range set.All() {
		all = append(all, k.Algorithm+" "+k.KID)
	}
	for _, o := range set.Omitted() {
		all = append(all, "without "+o.String())
	}
	return join(all)
}

// freshToken checks what a token says.
func (d *diagnosis) freshToken() {
	const check = "token"
	switch {
	case d.ServiceAccountErr == nil && d.ServiceAccount == nil:
		found, fix := "no such service account", d.createServiceAccount()
		if len(d.Elsewhere) > 0 {
			found = join(d.Elsewhere)
			fix = setup("doctor", "--service-account", d.Elsewhere[0])
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

// setClock is what sets a clock that is wrong.
func setClock() Fix {
	return Fix{
		Commands: []Command{{Args: []string{"date", "--utc"}}, {Args: []string{"timedatectl", "set-ntp", "true"}}},
		Note:     "on the control-plane nodes",
	}
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// documents are links 2 and 3, as a stranger meets them.
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
	} else if d.Discovery.Chain != nil {
		d.ok(plan.Issuer, "discovery document", "%s, certificate until %s", d.Discovery.URL, stamp(d.Discovery.Chain[0].NotAfter))
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

// showCertificate is what shows the certificate of a server.
func showCertificate(hostPort string, options ...string) Fix {
	argv := append(append([]string{"openssl", "s_client"}, options...), "-connect", hostPort)
	return Fix{Commands: []Command{{Args: argv, Stdin: "/dev/null"}}}
}

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

// provider is link 4.
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

func (d *diagnosis) createProvider() Fix {
	if !d.Issuer.IsZero() {
		return setup("up")
	}
	return run("aws", "iam", "create-open-id-connect-provider", "--url", d.iss.String(), "--client-id-list", d.audience())
}

// nearMiss is a provider that was probably meant: the issuer with another
// spelling.
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

// thumbprint matters only for a certificate that no public CA has signed
// (CreateOpenIDConnectProvider, parameter ThumbprintList).
func (d *diagnosis) thumbprint() bool {
	doc := d.JWKS
	if doc == nil {
		doc = d.Discovery
	}
	if doc == nil || doc.Untrusted == nil || len(doc.Chain) == 0 {
		return true
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](doc.Untrusted); !ok {
		return true // told with the documents
	}
	top := Thumbprint(doc.Chain)
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

// Thumbprint is that of the top certificate in a chain as a server sent it: its
// SHA-1 in hex.
func Thumbprint(chain []*x509.Certificate) string {
	return fmt.Sprintf("%x", sha1.Sum(chain[len(chain)-1].Raw))
}
