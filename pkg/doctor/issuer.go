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
			d.broken(APIServer, "issuer flag", "the API server on node "+s.Node+" has no --service-account-issuer", d.wantIssuer(), "none", d.setIssuer())
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
			d.broken(APIServer, "issuer flag", "the API server has no discovery document, because its issuer is not an https URL", d.wantIssuer(), "an issuer that does not begin with https://", d.setIssuer())
			return
		}
		if !d.checkIssuer(d.Advertised, "the API server issues tokens", "") {
			return
		}
	}
	d.ok(APIServer, "issuer flag", "issues tokens as %s", d.iss)

	for _, s := range d.Servers {
		if s.JWKSURI != "" && !d.Kept && s.JWKSURI != d.iss.JWKS() {
			d.warn(APIServer, "jwks-uri flag", "the API server on node "+s.Node+" names another key set than the issuer's", "--service-account-jwks-uri="+d.iss.JWKS(), "--service-account-jwks-uri="+s.JWKSURI, d.setIssuer())
		}
		if slices.Contains(s.Audiences, irsa.Audience) {
			d.warn(APIServer, "audiences flag", "the API server on node "+s.Node+" takes tokens that were made for AWS: whoever gets hold of one is let into the cluster",
				"--api-audiences without "+irsa.Audience, "--api-audiences="+strings.Join(s.Audiences, ","), "SETUP apiserver print kubeadm   # the flag is the cluster's own: remove "+irsa.Audience+" from it there and on node "+s.Node)
		}
	}
}

// setIssuer is the command that gives the API servers the chain's issuer.
func (d *diagnosis) setIssuer() string {
	if d.Kept {
		return "SETUP down, then SETUP up --emulator --keep-issuer   # the API servers keep their issuer, which was " + d.Issuer.String()
	}
	if d.Remote && !d.Issuer.IsZero() {
		return "sudo SETUP apiserver   # on each control-plane node of kubeadm; SETUP apiserver print for other clusters"
	}
	return "SETUP up"
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
	d.broken(APIServer, "issuer flag", what+" under another issuer than the chain's"+why, prefix+expected, prefix+have, d.setIssuer())
	return false
}

// private reports whether a host means nothing outside of the cluster, as that
// of kubeadm's default issuer.
func private(iss string) bool {
	u, err := url.Parse(iss)
	return err == nil && (strings.HasSuffix(u.Hostname(), ".local") || strings.HasSuffix(u.Hostname(), ".svc") || !strings.Contains(u.Hostname(), "."))
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
		d.broken(plan.SigningKey, check, "the API server publishes no keys", "at least one key", "none", "SETUP status")
		return
	}
	if d.decoded {
		_, there := d.Keys.Find(d.header.KID)
		if why := omitted(d.Keys, d.header.KID); !there && errors.Is(why, keys.ErrUnsupported) {
			d.unsupported(why)
			return
		}
		if !there {
			d.broken(plan.SigningKey, check, "tokens are signed with a key that the API server does not have in its own set: the control-plane nodes have different keys, or one was changed without a restart",
				"kid "+d.header.KID, "kid "+kids(d.Keys), "kubectl --namespace kube-system delete pod --selector component=kube-apiserver   # after the same sa.key and sa.pub are on all control-plane nodes")
			return
		}
	}
	d.ok(plan.SigningKey, check, "%s", describe(d.Keys))
}

// unsupported is a signing key of a kind that STS does not know.
func (d *diagnosis) unsupported(why error) {
	d.broken(plan.SigningKey, "signing key", "the API server signs with a key that STS cannot verify", "RSA of 2048 bits or more, or EC P-256, P-384, P-521", why.Error(),
		"openssl genrsa -out sa.key 2048   # and give it to the API server: --service-account-signing-key-file, --service-account-key-file")
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
		found, next := "no such service account", fmt.Sprintf("SETUP iamserviceaccount create --namespace %s --name %s --attach-policy-arn ARN --approve", d.Namespace, d.Name)
		if len(d.Elsewhere) > 0 {
			found = join(d.Elsewhere)
			next = "SETUP doctor --service-account " + d.Elsewhere[0]
		}
		d.broken(plan.ServiceAccount, "service account", "service account "+d.account()+" does not exist", d.account(), found, next)
		return
	case d.TokenErr != nil:
		d.broken(Token, check, "the API server gives no token", "a token of "+d.account()+" for "+d.audience(), d.TokenErr.Error(),
			fmt.Sprintf("kubectl --namespace %s create token %s --audience %s >/dev/null", d.Namespace, d.Name, d.audience()))
		return
	case !d.decoded:
		d.unknown(Token, check, "no token was requested")
		return
	}
	c := d.claims
	switch {
	case !d.iss.IsZero() && c.Issuer != d.iss.String():
		d.broken(Token, check, "the token has another issuer", "iss "+d.iss.String(), "iss "+c.Issuer, d.setIssuer())
		return
	case c.Subject != d.subject():
		d.broken(Token, check, "the token is another subject's", "sub "+d.subject(), "sub "+c.Subject, "SETUP status")
		return
	case !slices.Contains(c.Audience, d.audience()) || len(c.Audience) != 1:
		d.broken(Token, check, "STS takes a token with one audience only", "aud "+d.audience(), "aud "+join(c.Audience), "SETUP status")
		return
	}
	if at := d.AWSTime; !at.IsZero() {
		const clock = "date --utc && timedatectl set-ntp true   # on the control-plane nodes"
		switch iat := c.IssuedAt.Time(); {
		case iat.After(at.Add(token.Leeway)):
			d.broken(Token, "clock", "the clock of the control plane is ahead of AWS's, which takes the token for one from the future",
				"issued at "+stamp(at)+" or up to a minute later", "issued at "+stamp(iat), clock)
			return
		case c.Expiry.Time().Add(token.Leeway).Before(at):
			d.broken(Token, "clock", "the clock of the control plane is behind AWS's, for which the token has expired",
				"expires after "+stamp(at), "expires at "+stamp(c.Expiry.Time()), clock)
			return
		}
	}
	d.ok(Token, check, "sub %s, aud %s, kid %s, alg %s", c.Subject, join(c.Audience), d.header.KID, d.header.Algorithm)
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
		d.broken(plan.Documents, "discovery document", "what is served at "+d.Discovery.URL+" is not a discovery document", "a JSON object with issuer and jwks_uri",
			d.Discovery.ContentType+" "+excerpt(d.Discovery.Body), "SETUP up")
		return
	case config.Issuer != d.iss.String():
		d.broken(plan.Documents, "discovery document", "the discovery document is that of another issuer", "issuer "+d.iss.String(), "issuer "+config.Issuer, "SETUP up")
		return
	case !strings.HasPrefix(config.JWKSURI, "https://"):
		d.broken(plan.Documents, "discovery document", "the discovery document points to no key set that AWS would read", "jwks_uri "+d.iss.JWKS(), "jwks_uri "+config.JWKSURI, "SETUP up")
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
	fail := func(link, summary, expected, found, next string) bool {
		d.broken(link, check, summary, expected, found, next)
		return false
	}
	var expired x509.CertificateInvalidError
	var host x509.HostnameError
	switch {
	case errors.As(doc.Untrusted, &expired) && expired.Reason == x509.Expired:
		return fail(plan.Issuer, "the issuer's certificate is out of date", "valid at "+stamp(d.Now), "valid from "+stamp(expired.Cert.NotBefore)+" to "+stamp(expired.Cert.NotAfter),
			"openssl s_client -connect "+d.hostPort()+" </dev/null   # then renew the certificate of the issuer's server")
	case errors.As(doc.Untrusted, &host):
		return fail(plan.Issuer, "the issuer's certificate is for another host", host.Host, join(host.Certificate.DNSNames),
			"openssl s_client -connect "+d.hostPort()+" </dev/null   # then give the issuer's server a certificate for "+host.Host)
	case doc.Err != nil:
		return fail(plan.Issuer, "the issuer does not answer", "200 at "+expectedURL, doc.Err.Error(), "curl --verbose "+doc.URL)
	case doc.Status/100 == 3:
		return fail(plan.Issuer, "the issuer redirects; it must answer itself", "200 at "+doc.URL, fmt.Sprintf("%d to %s", doc.Status, doc.Location), "curl --include "+doc.URL+"   # then have the server answer without the redirect")
	case doc.Status == http.StatusForbidden || doc.Status == http.StatusUnauthorized:
		return fail(plan.Documents, "a stranger, as AWS is one, may not read the document: the bucket or the server is private", "200 for anybody at "+doc.URL, answer(doc), "SETUP up")
	case doc.Status == http.StatusNotFound:
		return fail(plan.Documents, "the document is not there", "200 at "+doc.URL, answer(doc), "SETUP up")
	case doc.Status != http.StatusOK:
		return fail(plan.Issuer, "the issuer does not answer with the document", "200 at "+doc.URL, answer(doc), "curl --include "+doc.URL)
	}
	return true
}

func (d *diagnosis) hostPort() string {
	if host := d.iss.Host(); strings.Contains(host, ":") {
		return host
	}
	return d.iss.Host() + ":443"
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
		d.broken(plan.Documents, check, "what is served at "+d.JWKS.URL+" is not a key set that STS takes", "a public key set", err.Error(), "SETUP up")
		return
	}
	if !d.decoded {
		if d.KeysErr == nil && !set.Equal(d.Keys) {
			d.broken(plan.Documents, check, "the published keys are not those of the API server", "kid "+kids(d.Keys), "kid "+kids(set), "SETUP up")
			return
		}
		d.ok(plan.Documents, check, "%s", describe(set))
		return
	}
	published, there := set.Find(d.header.KID)
	if why := omitted(set, d.header.KID); !there && why != nil {
		d.broken(plan.Documents, check, "the key that signs tokens is published in a form that STS does not use", "a key "+d.header.KID+" that STS uses", why.Error(), "SETUP up")
		return
	}
	if !there {
		d.broken(plan.Documents, check, "the published key set does not have the key that signs tokens: it is older than the key", "kid "+d.header.KID, "kid "+kids(set), "SETUP up")
		return
	}
	if ops := keyOps(d.JWKS.Body, d.header.KID); ops {
		d.broken(plan.Documents, check, "STS refuses a key that lists its operations", "no key_ops in key "+d.header.KID, "key_ops", "SETUP up")
		return
	}
	_, err = token.Verify(string(d.Raw), set, token.Want{
		Issuer: d.iss, Audience: d.audience(), Now: func() time.Time { return d.claims.IssuedAt.Time() },
	})
	if errors.Is(err, token.ErrSignature) {
		own, _ := d.Keys.Lookup(d.header.KID)
		d.broken(plan.Documents, check, "another key is published under the id of the one that signs tokens", "public key "+fingerprint(own), "public key "+fingerprint(published), "SETUP up")
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
		d.broken(plan.Provider, check, "AWS could not be asked", "an answer of sts:GetCallerIdentity", d.AWSErr.Error(), "aws sts get-caller-identity   # with the credentials of the account in which the chain is")
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
		d.unknown(plan.Provider, check, "the role is in account %s, whose provider the credentials of account %s cannot see", accountOf(d.roleARN()), d.Account)
		return
	}
	if d.Provider == nil {
		found := "none of that ARN"
		if near := d.nearMiss(want); near != "" {
			found = near
		} else if len(d.Providers) == 0 {
			found = "no provider at all in account " + d.Account
		}
		d.broken(plan.Provider, check, "IAM has no OIDC provider for the issuer", want, found, d.createProvider())
		return
	}
	if aud := d.audience(); !slices.Contains(d.Provider.ClientIDs, aud) {
		d.broken(plan.Provider, check, "the provider does not accept the token's audience", "client id "+aud, "client ids "+join(d.Provider.ClientIDs),
			"aws iam add-client-id-to-open-id-connect-provider --open-id-connect-provider-arn "+quote(d.Provider.ARN)+" --client-id "+quote(aud))
		return
	}
	if !d.thumbprint() {
		return
	}
	d.ok(plan.Provider, check, "%s, client ids %s", d.Provider.ARN, join(d.Provider.ClientIDs))
}

func (d *diagnosis) createProvider() string {
	if !d.Issuer.IsZero() {
		return "SETUP up"
	}
	return "aws iam create-open-id-connect-provider --url " + quote(d.iss.String()) + " --client-id-list " + quote(d.audience())
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
	d.broken(plan.Provider, "thumbprint", "the issuer's certificate is of no public CA, and the provider does not have the thumbprint of its CA", "thumbprint "+top, "thumbprints "+join(d.Provider.Thumbprints),
		"aws iam update-open-id-connect-provider-thumbprint --open-id-connect-provider-arn "+quote(d.Provider.ARN)+" --thumbprint-list "+top)
	return false
}

// Thumbprint is that of the top certificate in a chain as a server sent it: its
// SHA-1 in hex.
func Thumbprint(chain []*x509.Certificate) string {
	return fmt.Sprintf("%x", sha1.Sum(chain[len(chain)-1].Raw))
}
