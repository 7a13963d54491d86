package agent

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// digest names a token without being one.
type digest [sha256.Size]byte

// identity is the pod that a token says it is of. It is a hint until EKS Auth has
// accepted the token, which has verified each of these claims then.
type identity struct {
	issuer, namespace, account, accountUID, pod, podUID string
}

// known reports whether a token names its pod, so that another token of the same pod
// is known as that.
func (i identity) known() bool { return i.namespace != "" && i.account != "" && i.podUID != "" }

// claims are what the agent reads of a token. Its signature is EKS Auth's to verify.
type claims struct {
	identity
	issued, notBefore, expires time.Time // zero: the token does not say
}

// algorithms are those of RFC 7518 (3.1) and RFC 8037 (3.1) which a token may name.
var algorithms = map[string]bool{
	"HS256": true, "HS384": true, "HS512": true, "RS256": true, "RS384": true, "RS512": true, "PS256": true, "PS384": true,
	"PS512": true, "ES256": true, "ES384": true, "ES512": true, "EdDSA": true, "none": true,
}

// parseInsecure reads a token, and verifies nothing. Its errors are the texts of the
// original agent's library (golang-jwt 5), which users search for.
func parseInsecure(token string) (claims, error) {
	parts := strings.SplitN(token, ".", 4)
	if len(parts) != 3 {
		return claims{}, errors.New("token is malformed: token contains an invalid number of segments")
	}
	var header struct {
		Alg any `json:"alg"`
	}
	if err := part(parts[0], "header", &header); err != nil {
		return claims{}, err
	}
	var c struct {
		Issuer  string `json:"iss"`
		Subject string `json:"sub"`
		ID      string `json:"jti"`

		Audience  audience `json:"aud"`
		Expires   date     `json:"exp"`
		NotBefore date     `json:"nbf"`
		Issued    date     `json:"iat"`

		Kubernetes json.RawMessage `json:"kubernetes.io"`
	}
	if err := part(parts[1], "claim", &c); err != nil {
		return claims{}, err
	}
	switch name, ok := header.Alg.(string); {
	case !ok:
		return claims{}, errors.New("token is unverifiable: signing method (alg) is unspecified")
	case !algorithms[name]:
		return claims{}, errors.New("token is unverifiable: signing method (alg) is unavailable")
	}
	return claims{
		identity: kubernetes(c.Issuer, c.Kubernetes),
		issued:   c.Issued.Time, notBefore: c.NotBefore.Time, expires: c.Expires.Time,
	}, nil
}

// part decodes one part of a token.
func part(text, name string, v any) error {
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return fmt.Errorf("token is malformed: could not base64 decode %s: %w", name, err)
	}
	if err := json.Unmarshal(raw, v); err != nil {
		return fmt.Errorf("token is malformed: could not JSON decode %s: %w", name, err)
	}
	return nil
}

// kubernetes reads who a token is of, as the API server writes it. A token of another
// form is of nobody, and EKS Auth's to judge.
func kubernetes(issuer string, raw json.RawMessage) identity {
	type object struct {
		Name string `json:"name"`
		UID  string `json:"uid"`
	}
	var k struct {
		Namespace      string `json:"namespace"`
		ServiceAccount object `json:"serviceaccount"`
		Pod            object `json:"pod"`
	}
	if len(raw) == 0 || json.Unmarshal(raw, &k) != nil {
		return identity{}
	}
	return identity{issuer, k.Namespace, k.ServiceAccount.Name, k.ServiceAccount.UID, k.Pod.Name, k.Pod.UID}
}

// check compares the times of a token with the clock, without leeway, as the original
// agent does. A token without times passes.
func (c claims) check(now time.Time) error {
	var wrong []string
	if !c.expires.IsZero() && !now.Before(c.expires) {
		wrong = append(wrong, "token is expired")
	}
	if now.Before(c.notBefore) {
		wrong = append(wrong, "token is not valid yet")
	}
	if wrong == nil {
		return nil
	}
	return errors.New(strings.Join(wrong, ", "))
}

// newer reports whether a token was issued after another one, or lives longer if both
// were issued in the same second.
func (c claims) newer(other claims) bool {
	if n := c.issued.Compare(other.issued); n != 0 {
		return n > 0
	}
	if c.expires.IsZero() != other.expires.IsZero() {
		return c.expires.IsZero()
	}
	return c.expires.After(other.expires)
}

// date is a NumericDate (RFC 7519, 2), to the second.
type date struct{ time.Time }

// latest is a number of seconds that no clock reaches: more are taken for it.
const latest = 1 << 40

func (d *date) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		return nil
	}
	var seconds float64
	if err := json.Unmarshal(b, &seconds); err != nil {
		return fmt.Errorf("could not parse NumericDate: %w", err)
	}
	d.Time = time.Unix(int64(min(max(seconds, -latest), latest)), 0)
	return nil
}

// audience is one name, or a list of names. Which ones is EKS Auth's to judge.
type audience struct{}

func (*audience) UnmarshalJSON(b []byte) error {
	var list []string
	if json.Unmarshal(b, &list) == nil {
		return nil
	}
	var one string
	return json.Unmarshal(b, &one)
}
