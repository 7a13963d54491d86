package doctor

import (
	"net/url"
	"slices"
	"strings"

	"github.com/openirsa/openirsa/pkg/irsa"
	"github.com/openirsa/openirsa/pkg/issuer"
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

// wantIssuer is the issuer that the API servers should have, as findings show it.
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

// private reports whether the host of an issuer means nothing outside the cluster, such
// as that of kubeadm's default issuer.
func private(iss string) bool {
	u, err := url.Parse(iss)
	if err != nil {
		return false
	}
	host := u.Hostname()
	return strings.HasSuffix(host, ".local") || strings.HasSuffix(host, ".svc") || !strings.Contains(host, ".")
}
