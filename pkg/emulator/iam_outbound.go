package emulator

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"net/http"
	"strings"

	"github.com/openirsa/openirsa/pkg/emulator/internal/api"
	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
)

// outbound is the account as an issuer of tokens for others than AWS (IAM User
// Guide, "Federating AWS identities to external services"). Whether or not new
// tokens are given out, issuer and keys stay: tokens from before are to verify.
type outbound struct {
	ID      string // first part of the issuer's host name
	Enabled bool
	RSA, EC []byte // PKCS #8: the keys for RS256 and ES384

	rsa *rsa.PrivateKey
	ec  *ecdsa.PrivateKey
}

// outboundSuffix ends the host names of those issuers, after the id of each.
const outboundSuffix = ".tokens.sts.global.api.aws"

// Key ids of the two keys, as AWS's key sets have them.
const (
	kidRSA = "RSA_0"
	kidEC  = "EC384_0"
)

func (o *outbound) issuer() string { return "https://" + o.ID + outboundSuffix }

// newOutbound makes an issuer with keys.
func newOutbound() (*outbound, error) {
	o := &outbound{ID: api.NewID()}
	var err error
	if o.rsa, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		return nil, err
	}
	if o.ec, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader); err != nil {
		return nil, err
	}
	if o.RSA, err = x509.MarshalPKCS8PrivateKey(o.rsa); err != nil {
		return nil, err
	}
	o.EC, err = x509.MarshalPKCS8PrivateKey(o.ec)
	return o, err
}

// parse makes the keys of what is stored.
func (o *outbound) parse() error {
	key, err := x509.ParsePKCS8PrivateKey(o.RSA)
	if err != nil {
		return err
	}
	o.rsa, _ = key.(*rsa.PrivateKey)
	if key, err = x509.ParsePKCS8PrivateKey(o.EC); err != nil {
		return err
	}
	o.ec, _ = key.(*ecdsa.PrivateKey)
	return nil
}

// outbound is the account's issuer, nil if there never was one.
func (d *directory) outbound() (o *outbound) {
	d.read(func() { o = d.settings.Outbound })
	return o
}

// The texts are known from reports of users only as far as the second goes.
var (
	errFeatureEnabled = wire.Errorf(http.StatusConflict, "FeatureEnabled",
		"Outbound web identity federation is already enabled for your account")
	errFeatureDisabled = wire.Errorf(http.StatusNotFound, "FeatureDisabled",
		"Outbound web identity federation is disabled for your account")
)

func (s *Server) enableOutbound(c *call) (func(*wire.XML), *wire.Failure) {
	if e := s.permitAccount(c, "*"); e != nil {
		return nil, e
	}
	fresh := s.iam.outbound()
	if fresh == nil {
		var err error
		if fresh, err = newOutbound(); err != nil {
			return nil, wire.ErrInternal
		}
	}
	var issuer string
	e := s.iam.edit(func(e *edit) *wire.Failure {
		now := e.settings.Outbound
		if now == nil {
			now = fresh
		}
		if now.Enabled {
			return errFeatureEnabled
		}
		enabled := *now
		enabled.Enabled = true
		issuer = enabled.issuer()
		e.putSettings(func(a *accountSettings) { a.Outbound = &enabled })
		return nil
	})
	return func(x *wire.XML) { x.Text("IssuerIdentifier", issuer) }, e
}

func (s *Server) disableOutbound(c *call) (func(*wire.XML), *wire.Failure) {
	if e := s.permitAccount(c, "*"); e != nil {
		return nil, e
	}
	return nil, s.iam.edit(func(e *edit) *wire.Failure {
		if e.settings.Outbound == nil || !e.settings.Outbound.Enabled {
			return errFeatureDisabled
		}
		disabled := *e.settings.Outbound
		disabled.Enabled = false
		e.putSettings(func(a *accountSettings) { a.Outbound = &disabled })
		return nil
	})
}

func (s *Server) getOutbound(c *call) (func(*wire.XML), *wire.Failure) {
	if e := s.permitAccount(c, "*"); e != nil {
		return nil, e
	}
	o := s.iam.outbound()
	if o == nil || !o.Enabled {
		return nil, errFeatureDisabled
	}
	return func(x *wire.XML) {
		x.Text("IssuerIdentifier", o.issuer())
		x.Bool("JwtVendingEnabled", true)
	}, nil
}

// outboundKeysPath is where an issuer's key set is.
const outboundKeysPath = "/.well-known/jwks.json"

// document is a document of an issuer by its path, as AWS's issuers have them;
// nil if there is no such document.
func (o *outbound) document(path string) any {
	switch path {
	case discoveryPath:
		return map[string]any{
			"issuer":                                o.issuer(),
			"jwks_uri":                              o.issuer() + outboundKeysPath,
			"claims_supported":                      []string{"sub", "iss", "aud", "exp", "iat", "jti", outboundClaims},
			"id_token_signing_alg_values_supported": []string{"RS256", "ES384"},
			"subject_types_supported":               []string{"public"},
		}
	case outboundKeysPath:
		point, err := o.ec.PublicKey.Bytes() // 4, x, y
		if err != nil {
			return nil
		}
		text := base64.RawURLEncoding.EncodeToString
		return map[string]any{"keys": []map[string]string{
			{"kty": "RSA", "kid": kidRSA, "use": "sig", "n": text(o.rsa.N.Bytes()), "e": "AQAB"},
			{"kty": "EC", "kid": kidEC, "use": "sig", "alg": "ES384", "crv": "P-384", "x": text(point[1:49]), "y": text(point[49:])},
		}}
	}
	return nil
}

// isOutbound reports whether a host is one of the issuers' of accounts.
func isOutbound(host string) bool { return strings.HasSuffix(splitHost(host), outboundSuffix) }

// serveOutbound answers at the host name of an account's issuer, to anybody.
func (s *Server) serveOutbound(w http.ResponseWriter, r *http.Request) {
	id, _ := strings.CutSuffix(splitHost(r.Host), outboundSuffix)
	s.writeOutbound(w, r, id, r.URL.Path)
}

// serveOutboundHere answers at the emulator's own names, for those who cannot
// reach it by the issuer's: /_openirsa/tokens/ID/.well-known/openid-configuration.
func (s *Server) serveOutboundHere(w http.ResponseWriter, r *http.Request) {
	s.writeOutbound(w, r, r.PathValue("id"), "/.well-known/"+r.PathValue("document"))
}

func (s *Server) writeOutbound(w http.ResponseWriter, r *http.Request, id, path string) {
	var document any
	for _, account := range s.accounts {
		if o := account.iam.outbound(); o != nil && o.ID == id {
			document = o.document(path)
		}
	}
	switch {
	case document == nil:
		writeProblem(w, http.StatusNotFound, "there is no such issuer, or it has no such document")
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		writeProblem(w, http.StatusMethodNotAllowed, "this can only be read")
	default:
		writeJSON(w, http.StatusOK, document)
	}
}
