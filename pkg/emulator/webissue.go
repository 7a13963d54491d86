package emulator

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/openirsa/openirsa/pkg/emulator/internal/api"
	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
	"github.com/openirsa/openirsa/pkg/policy"
)

// outboundClaims is the claim below which a token has what AWS says of the
// caller (IAM User Guide, "Understanding token claims").
const outboundClaims = "https://sts.amazonaws.com/"

// Limits of GetWebIdentityToken, in seconds (STS's model and API reference).
const (
	minTokenSeconds     = 60
	maxTokenSeconds     = 3600
	defaultTokenSeconds = 300
	maxAudiences        = 10
)

var (
	errOutboundDisabled = wire.Errorf(http.StatusForbidden, "OutboundWebIdentityFederationDisabledException",
		"Outbound web identity federation is disabled for your account")
	errEscalation = wire.Errorf(http.StatusForbidden, "SessionDurationEscalationException",
		"The requested token duration would extend the session beyond its original expiration time.")
	ruleAudience  = wire.Rule{Required: true, Min: 1, Max: 1000}
	ruleAlgorithm = wire.Rule{Required: true, Min: 5, Max: 5}
)

// getWebIdentityToken gives the caller a token that says who it is to others than
// AWS, signed by the account's issuer.
func (s *Server) getWebIdentityToken(c *call) (func(*wire.XML), *wire.Failure) {
	audiences := c.Texts("Audience", true, maxAudiences, ruleAudience)
	seconds := c.Number("DurationSeconds", defaultTokenSeconds, minTokenSeconds, maxTokenSeconds)
	algorithm := c.Text("SigningAlgorithm", ruleAlgorithm)
	tags := c.Tags("Tags", maxTags)
	if e := c.Err(); e != nil {
		return nil, s.refusedParameters(c, e)
	}
	if algorithm != "RS256" && algorithm != "ES384" {
		return nil, s.refusedParameters(c, wire.ValidationError("Signing algorithm %s is not one of RS256 and ES384.", algorithm))
	}
	var keys policy.Context
	keys.SetMulti("sts:IdentityTokenAudience", audiences...)
	keys.Set("sts:DurationSeconds", strconv.Itoa(seconds))
	keys.Set("sts:SigningAlgorithm", algorithm)
	requestTags(&keys, tags)
	actions := []string{"sts:GetWebIdentityToken"}
	if len(tags) > 0 {
		actions = append(actions, "sts:TagGetWebIdentityToken")
	}
	for _, action := range actions {
		if e := s.authorize(c.Call, &api.Question{Action: action, Resource: "*", Keys: keys}); e != nil {
			return nil, e
		}
	}
	o := s.iam.outbound()
	expires := c.At.Add(time.Duration(seconds) * time.Second)
	session := identityOf(&c.Caller).session
	switch {
	case o == nil || !o.Enabled:
		return nil, s.refusedToken(c, "outbound web identity federation is not enabled: EnableOutboundWebIdentityFederation does it",
			errOutboundDisabled)
	case session != nil && expires.After(session.expires):
		return nil, s.refusedToken(c, fmt.Sprintf("the token would expire at %s, after the session, which expires at %s",
			expires.UTC().Format(time.RFC3339), session.expires.Format(time.RFC3339)), errEscalation)
	}
	claims := map[string]any{
		"iss": o.issuer(), "sub": principalARN(&c.Caller), "aud": audiences, "jti": api.NewID(),
		"iat": c.At.Unix(), "exp": expires.Unix(),
		outboundClaims: s.outboundIdentity(c, tags),
	}
	if len(audiences) == 1 {
		claims["aud"] = audiences[0]
	}
	token, err := o.sign(algorithm, claims)
	if err != nil {
		return nil, wire.ErrInternal
	}
	return func(x *wire.XML) {
		x.Text("WebIdentityToken", token)
		x.Time("Expiration", expires)
	}, nil
}

func (s *Server) refusedToken(c *call, why string, e *wire.Failure) *wire.Failure {
	s.logRefused(c.Call, "permission", why, e)
	return e
}

// principalARN is the ARN of who calls: of a role session, the role's.
func principalARN(who *api.Caller) string {
	if who.Kind == policy.RoleSession {
		return who.EntityARN
	}
	return who.ARN
}

// outboundIdentity is what a token says of the caller in AWS's own claim. What
// computing services add is not there.
func (s *Server) outboundIdentity(c *call, requested []wire.Tag) map[string]any {
	known := identityOf(&c.Caller)
	claims := map[string]any{
		"aws_account":   c.Caller.Account,
		"source_region": c.Region,
		"principal_id":  principalARN(&c.Caller),
	}
	if m := s.membership(c.Caller.Account); m != nil {
		claims["org_id"], claims["ou_path"] = m.ID, []string{m.Path}
	}
	tags := known.tags()
	if session := known.session; session != nil {
		claims["original_session_exp"] = session.expires.Format(time.RFC3339)
		if session.sourceIdentity != "" {
			claims["source_identity"] = session.sourceIdentity
		}
		if session.provider != "" {
			claims["federated_provider"] = session.provider
		}
		if merged, e := mergeTags(tags, session.tags, false); e == nil {
			tags = merged
		}
	}
	for name, list := range map[string][]wire.Tag{"principal_tags": tags, "request_tags": requested} {
		if len(list) > 0 {
			texts := make(map[string]string, len(list))
			for _, t := range list {
				texts[t.Key] = t.Value
			}
			claims[name] = texts
		}
	}
	return claims
}

// sign makes a JWT (RFC 7519, signed as RFC 7518, sections 3.3 and 3.4, say).
func (o *outbound) sign(algorithm string, claims map[string]any) (string, error) {
	kid := kidRSA
	if algorithm == "ES384" {
		kid = kidEC
	}
	header, err := json.Marshal(map[string]string{"alg": algorithm, "kid": kid, "typ": "JWT"})
	if err != nil {
		return "", err
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	signed := base64.RawURLEncoding.EncodeToString(header) + "." + base64.RawURLEncoding.EncodeToString(payload)
	var signature []byte
	if algorithm == "ES384" {
		digest := sha512.Sum384([]byte(signed))
		r, s, err := ecdsa.Sign(rand.Reader, o.ec, digest[:])
		if err != nil {
			return "", err
		}
		signature = make([]byte, 96)
		r.FillBytes(signature[:48])
		s.FillBytes(signature[48:])
	} else {
		digest := sha256.Sum256([]byte(signed))
		if signature, err = rsa.SignPKCS1v15(rand.Reader, o.rsa, crypto.SHA256, digest[:]); err != nil {
			return "", err
		}
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature), nil
}
