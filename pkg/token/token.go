// Package token reads, checks and makes Kubernetes service-account tokens: the
// JSON Web Tokens (RFC 7519) that a pod presents to AWS STS.
//
//	sub := token.Subject("default", "app") // system:serviceaccount:default:app
//	claims, err := token.Verify(raw, set, token.Want{Issuer: iss, Audience: irsa.Audience})
package token

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/openirsa/openirsa/internal/exactjson"
	"github.com/openirsa/openirsa/pkg/irsa"
	"github.com/openirsa/openirsa/pkg/issuer"
	"github.com/openirsa/openirsa/pkg/keys"
)

// MaxBytes is the length that STS accepts (AssumeRoleWithWebIdentity,
// parameter WebIdentityToken).
const MaxBytes = 20000

// Leeway is how far apart the clocks of issuer and verifier may be. What STS
// allows is not known; it has refused a token 198 s past its exp.
const Leeway = time.Minute

// ClientReload is how long a client may keep using a token after kubelet has put
// another one into its file: client-go reads the file again when it is a minute
// old, less 10 s of leeway (k8s.io/client-go/transport, cachingTokenSource), and
// here is a bit more.
const ClientReload = 65 * time.Second

// Subject is the sub claim of a service account's tokens
// (k8s.io/apiserver/pkg/authentication/serviceaccount, MakeUsername).
func Subject(namespace, serviceAccount string) string {
	return irsa.SubjectPrefix + namespace + ":" + serviceAccount
}

// The names of the objects in a subject: a label and a subdomain (RFC 1123), as
// the API server validates them.
var (
	label     = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`)
	subdomain = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`)
)

// ParseSubject splits a sub claim of [Subject]. Anything else, and names that no
// namespace or service account can have, are an error.
func ParseSubject(sub string) (namespace, serviceAccount string, err error) {
	rest, ok := strings.CutPrefix(sub, irsa.SubjectPrefix)
	namespace, serviceAccount, both := strings.Cut(rest, ":")
	switch {
	case !ok || !both:
		return "", "", fmt.Errorf("the subject %.80q is no service account: it is not system:serviceaccount:NAMESPACE:NAME", sub)
	case len(namespace) > 63 || !label.MatchString(namespace):
		return "", "", fmt.Errorf("the subject %.80q is no service account: no namespace is called %.64q", sub, namespace)
	case len(serviceAccount) > 253 || !subdomain.MatchString(serviceAccount):
		return "", "", fmt.Errorf("the subject %.80q is no service account: none is called %.254q", sub, serviceAccount)
	}
	return namespace, serviceAccount, nil
}

// Header is the part of a token that says how it is signed. It is not
// verified.
type Header struct {
	Algorithm string `json:"alg"`
	KID       string `json:"kid"`
}

// UnmarshalJSON reads the header by the exact names of its members.
func (h *Header) UnmarshalJSON(b []byte) error {
	o, err := exactjson.Parse(b)
	if err != nil {
		return err
	}
	return errors.Join(o.Decode("alg", &h.Algorithm), o.Decode("kid", &h.KID))
}

// Claims are what a service-account token says
// (k8s.io/kubernetes/pkg/serviceaccount/claims.go).
type Claims struct {
	Issuer     string     `json:"iss"`
	Subject    string     `json:"sub"`
	Audience   Strings    `json:"aud"`
	Expiry     Seconds    `json:"exp"`
	IssuedAt   Seconds    `json:"iat"`
	NotBefore  Seconds    `json:"nbf,omitzero"`
	ID         string     `json:"jti,omitempty"`
	Kubernetes Kubernetes `json:"kubernetes.io,omitzero"`
}

// ClaimNames are the members of [Claims] as they are spelled.
var ClaimNames = []string{"iss", "sub", "aud", "exp", "iat", "nbf", "jti", "kubernetes.io"}

// UnmarshalJSON reads the claims by their exact names, none of which may be
// repeated. Other claims are skipped.
func (c *Claims) UnmarshalJSON(b []byte) error {
	o, err := exactjson.Parse(b)
	if err != nil {
		return err
	}
	return errors.Join(o.Decode("iss", &c.Issuer), o.Decode("sub", &c.Subject), o.Decode("aud", &c.Audience),
		o.Decode("exp", &c.Expiry), o.Decode("iat", &c.IssuedAt), o.Decode("nbf", &c.NotBefore),
		o.Decode("jti", &c.ID), o.Decode("kubernetes.io", &c.Kubernetes))
}

// Kubernetes names the objects to which a token is bound.
type Kubernetes struct {
	Namespace      string `json:"namespace,omitempty"`
	Node           *Ref   `json:"node,omitempty"`
	Pod            *Ref   `json:"pod,omitempty"`
	Secret         *Ref   `json:"secret,omitempty"`
	ServiceAccount *Ref   `json:"serviceaccount,omitempty"`
	// WarnAfter is set in tokens that live longer than requested, while kubelet
	// refreshes them as if they did not.
	WarnAfter Seconds `json:"warnafter,omitzero"`
}

// UnmarshalJSON reads the claim by the exact names of its members.
func (k *Kubernetes) UnmarshalJSON(b []byte) error {
	o, err := exactjson.Parse(b)
	if err != nil {
		return err
	}
	return errors.Join(o.Decode("namespace", &k.Namespace), o.Decode("node", &k.Node), o.Decode("pod", &k.Pod),
		o.Decode("secret", &k.Secret), o.Decode("serviceaccount", &k.ServiceAccount), o.Decode("warnafter", &k.WarnAfter))
}

// Ref names an object.
type Ref struct {
	Name string `json:"name"`
	UID  string `json:"uid"`
}

// UnmarshalJSON reads the reference by the exact names of its members.
func (r *Ref) UnmarshalJSON(b []byte) error {
	o, err := exactjson.Parse(b)
	if err != nil {
		return err
	}
	return errors.Join(o.Decode("name", &r.Name), o.Decode("uid", &r.UID))
}

// Seconds is a time as tokens spell it: whole seconds since 1970 (RFC 7519,
// NumericDate).
type Seconds int64

// At is the time t as a claim, cut to the second.
func At(t time.Time) Seconds { return Seconds(t.Unix()) }

// Time is the claim as a time in UTC.
func (s Seconds) Time() time.Time { return time.Unix(int64(s), 0).UTC() }

// UnmarshalJSON accepts whole and fractional numbers, and truncates them.
func (s *Seconds) UnmarshalJSON(b []byte) error {
	var n float64
	if err := json.Unmarshal(b, &n); err != nil || n < 0 || n > 1<<53 {
		return errors.New("not a time")
	}
	*s = Seconds(n)
	return nil
}

// Strings is a string or an array of strings (RFC 7519, section 4.1.3).
type Strings []string

// UnmarshalJSON accepts both forms.
func (s *Strings) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*s = Strings{one}
		return nil
	}
	var many []string
	if err := json.Unmarshal(b, &many); err != nil {
		return errors.New("not a string or an array of strings")
	}
	*s = many
	return nil
}

// Mint signs claims as kube-apiserver does: the header has alg and kid, and
// nothing else. An empty ID becomes a random one.
func Mint(key keys.Private, claims Claims) (string, error) {
	if claims.ID == "" {
		claims.ID = rand.Text()
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("marshalling claims: %w", err)
	}
	public := key.Public()
	signer, err := jose.NewSigner(jose.SigningKey{
		Algorithm: jose.SignatureAlgorithm(public.Algorithm),
		Key:       jose.JSONWebKey{Key: key.Signer(), KeyID: public.KID},
	}, nil)
	if err != nil {
		return "", fmt.Errorf("signing with key %q: %w", public.KID, err)
	}
	jws, err := signer.Sign(payload)
	if err != nil {
		return "", fmt.Errorf("signing with key %q: %w", public.KID, err)
	}
	return jws.CompactSerialize()
}

// ParseInsecure reads a token without verifying anything. No error shows the token.
func ParseInsecure(raw string) (Header, Claims, error) {
	parts := strings.Split(raw, ".")
	if len(raw) > MaxBytes || len(parts) != 3 {
		return Header{}, Claims{}, errors.New("not a token: it is not three parts joined by dots")
	}
	var header Header
	var claims Claims
	for i, into := range []any{&header, &claims} {
		part, err := base64.RawURLEncoding.Strict().DecodeString(parts[i])
		if err != nil || strings.ContainsAny(parts[i], "\r\n") { // which package base64 passes over
			return Header{}, Claims{}, fmt.Errorf("not a token: part %d is not base64url", i+1)
		}
		if err := json.Unmarshal(part, into); err != nil {
			return Header{}, Claims{}, fmt.Errorf("not a token: part %d is not the JSON of a token", i+1)
		}
	}
	return header, claims, nil
}

// Want is what a verifier expects of a token.
type Want struct {
	// Issuer must equal the iss claim.
	Issuer issuer.URL
	// Audience must be among the aud claim.
	Audience string
	// Now is the verifier's clock; nil means [time.Now].
	Now func() time.Time
}

// Errors of [Verify], wrapped with the values that differ.
var (
	ErrIssuer    = errors.New("the issuer differs")
	ErrAudience  = errors.New("the audience differs")
	ErrExpired   = errors.New("the token has expired")
	ErrNotYet    = errors.New("the token is not yet valid")
	ErrNoKey     = errors.New("the key set does not have the token's key")
	ErrSignature = errors.New("the signature is wrong")
)

// Signed reports whether one of the keys has signed a token, whatever it claims. A
// token that names no key, as before Kubernetes 1.16, is tried with each.
func Signed(raw string, set keys.Set) bool {
	header, _, err := ParseInsecure(raw)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(set.All(), func(key keys.Public) bool {
		if header.KID != "" && header.KID != key.KID {
			return false
		}
		jws, err := jose.ParseSignedCompact(raw, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(key.Algorithm)})
		if err != nil {
			return false
		}
		_, err = jws.Verify(key.Key)
		return err == nil
	})
}

// Verify reads a token and checks it against the published keys: first the
// claims, which is cheap, then the signature. The algorithm is the key's; the
// header's must be the same. An error wraps one of this package's errors and does
// not show the token.
func Verify(raw string, set keys.Set, want Want) (Claims, error) {
	header, claims, err := ParseInsecure(raw)
	if err != nil {
		return Claims{}, err
	}
	now := time.Now
	if want.Now != nil {
		now = want.Now
	}
	switch t := now(); {
	case claims.Issuer != want.Issuer.String():
		return Claims{}, fmt.Errorf("%w: token %q, expected %q", ErrIssuer, claims.Issuer, want.Issuer)
	case !slices.Contains(claims.Audience, want.Audience):
		return Claims{}, fmt.Errorf("%w: token %q, expected %q", ErrAudience, claims.Audience, want.Audience)
	case t.After(claims.Expiry.Time().Add(Leeway)):
		return Claims{}, fmt.Errorf("%w: at %s", ErrExpired, claims.Expiry.Time().Format(time.RFC3339))
	case t.Before(max(claims.NotBefore, claims.IssuedAt).Time().Add(-Leeway)):
		return Claims{}, fmt.Errorf("%w: until %s", ErrNotYet, max(claims.NotBefore, claims.IssuedAt).Time().Format(time.RFC3339))
	}
	key, ok := set.Find(header.KID)
	if !ok {
		return Claims{}, fmt.Errorf("%w: kid %q", ErrNoKey, header.KID)
	}
	jws, err := jose.ParseSignedCompact(raw, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(key.Algorithm)})
	if err != nil {
		return Claims{}, fmt.Errorf("%w: alg %q, the key's is %q", ErrSignature, header.Algorithm, key.Algorithm)
	}
	if _, err := jws.Verify(key.Key); err != nil {
		return Claims{}, fmt.Errorf("%w: kid %q", ErrSignature, header.KID)
	}
	return claims, nil
}
