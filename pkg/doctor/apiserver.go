package doctor

import (
	"errors"
	"net/url"
	"slices"
	"strings"

	"github.com/openirsa/openirsa/pkg/irsa"
	"github.com/openirsa/openirsa/pkg/issuer"
	"github.com/openirsa/openirsa/pkg/keys"
	"github.com/openirsa/openirsa/pkg/plan"
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
