package emulator

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/openirsa/openirsa/internal/trace"
	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
	"github.com/openirsa/openirsa/pkg/policy"
)

// assumeRoleWithWebIdentity exchanges a web identity token for credentials.
// AWS does not publish the order of its checks; this one never tells anything
// about roles to somebody without a valid token.
func (s *Server) assumeRoleWithWebIdentity(c *call) (func(*wire.XML), *wire.Failure) {
	a := &assumption{call: c, event: eventOf(c.Call)}
	a.event.Caller = "anonymous"
	a.roleARN = c.Text("RoleArn", ruleARN)
	a.name = c.Text("RoleSessionName", ruleSessionName)
	raw := c.Text("WebIdentityToken", ruleWebToken)
	providerID := c.Text("ProviderId", ruleProviderID)
	a.readSession()
	if _, account, ok := parseRoleARN(a.roleARN); ok && s.several() && s.accounts[account] != nil {
		a.event.Account = account
	}
	a.event.Resource = a.roleARN
	c.Span.Text("openirsa.role_arn", a.roleARN)
	if e := c.Err(); e != nil {
		return nil, s.refuseToken(a, refusal("parameters", e.Message, e), nil)
	}
	if c.Has("ProviderId") {
		return nil, s.refuseToken(a, unknownProvider(providerID), nil)
	}
	token, provider, fault := s.authenticate(a, raw)
	s.metrics.tokenChecked(fault)
	if fault != nil {
		return nil, s.refuseToken(a, fault, nil)
	}
	a.tags, a.transitive, a.sourceIdentity = token.tags, token.transitive, token.sourceIdentity
	a.owner = len(provider.ARN) + len(token.subject) + len(token.clientID())
	part := c.Span.Start("evaluate trust policy")
	decision, fault := s.trusts(a, token, provider)
	finish(part, fault)
	if fault == nil {
		fault = s.checkSession(a)
	}
	if fault != nil {
		return nil, s.refuseToken(a, fault, decision)
	}
	a.event.Warnings = a.role.warnings

	part = c.Span.Start("issue session")
	session := a.session()
	session.provider, session.issuer = provider.ARN, provider.URL
	session.subject, session.audience, session.amr = token.subject, token.clientID(), token.amr
	creds := s.seal.issue(s.account.ID, session)
	part.End()
	a.role.used.Store(&roleUse{c.At, c.Region})
	a.event.Decision, a.event.Step, a.event.AccessKeyID = Allow, "trust", creds.keyID
	a.event.Session = &IssuedSession{creds.keyID, s.assumedARN(a.role, a.name), creds.expires.UTC()}
	s.logDecided(c.Call, a.event, decision)

	packed := packedSize(a)
	return func(x *wire.XML) {
		x.Text("Audience", token.clientID())
		s.writeAssumed(x, a.role, a.name)
		x.Text("Provider", provider.ARN)
		creds.write(x)
		x.Text("SubjectFromWebIdentityToken", token.subject)
		x.Optional("SourceIdentity", token.sourceIdentity)
		x.Number("PackedPolicySize", packed)
	}, nil
}

// authenticate finds out who has a token: what it says is so, its issuer has a
// provider, and the issuer's keys verify it.
func (s *Server) authenticate(a *assumption, raw string) (*webToken, *provider, *tokenFault) {
	part := a.Span.Start("parse token")
	token, fault := s.headers.parseToken(raw, a.At, s.config.TokenLeeway)
	traceToken(a.Span, token)
	finish(part, fault)
	if token != nil {
		a.event.Issuer, a.event.Subject, a.event.Audience = token.issuer, token.subject, strings.Join(token.audience, ", ")
		a.event.KeyID, a.event.Pod = token.kid, token.pod
	}
	if fault != nil {
		return nil, nil, fault
	}
	part = a.Span.Start("find provider")
	provider, fault := s.providerOf(token, a.roleARN)
	finish(part, fault)
	if fault != nil {
		return nil, nil, fault
	}
	a.event.Fetches, fault = s.verifyToken(a.Span, token, provider, a.At)
	if fault != nil {
		return nil, nil, fault
	}
	a.event.Caller = provider.ARN + ":" + token.subject
	if token.special != nil {
		return nil, nil, token.special
	}
	if token.hasRoles && !slices.Contains(token.roles, a.roleARN) {
		return nil, nil, refusal("roles claim",
			fmt.Sprintf("the claim %s lists %s, not the role %q", claimRoles, quotedList(token.roles), a.roleARN), errRolesClaim).
			between([]string{a.roleARN}, token.roles)

	}
	return token, provider, nil
}

// unknownProvider is the answer to a ProviderId, which OAuth 2.0 access tokens
// of two providers have, and OpenID Connect tokens never.
func unknownProvider(id string) *tokenFault {
	f := &tokenFault{step: "parameters", why: fmt.Sprintf("ProviderId is %q, but OpenID Connect tokens come without one", id)}
	switch id {
	case "www.amazon.com":
		f.answer = invalidToken("Provided Token is not a Login With Amazon token")
	case "graph.facebook.com":
		f.answer = wire.Errorf(http.StatusForbidden, "IDPRejectedClaim", "The identity provider rejected the token")
	default:
		f.answer = accessDenied("Unrecognized OAuth provider. Do not include a provider parameter when submitting OpenIDConnect ID tokens")
	}
	return f
}

// google is the one issuer whose tokens may have it without a scheme (IAM User
// Guide, "Create an OpenID Connect (OIDC) identity provider in IAM").
const google = "accounts.google.com"

// providerOf is the provider that vouches for a token, in the account of the
// role that is to be assumed.
func (s *Server) providerOf(t *webToken, roleARN string) (*provider, *tokenFault) {
	partition, account, ok := parseRoleARN(roleARN)
	if !ok {
		return nil, notRoleARN(roleARN, wire.ValidationError("Request ARN is invalid"))
	}
	missing := func(format string, args ...any) *tokenFault {
		answer := errNotValidated
		if s.config.LegacyMessages {
			answer = invalidToken("No OpenIDConnect provider found in your account for " + t.issuer)
		}
		return refusal("provider", fmt.Sprintf(format, args...), answer)
	}
	if partition != s.config.Partition || account != s.account.ID {
		return nil, missing("the role %q is of account %s in partition %q, and this is %s in %q",
			roleARN, account, partition, strings.Join(s.Accounts(), " or "), s.config.Partition)
	}
	url, ok := strings.CutPrefix(t.issuer, "https://")
	if !ok && t.issuer != google {
		return nil, missing("the token's issuer %q does not begin with https://", t.issuer)
	}
	arn := s.arn("iam", "oidc-provider/"+url)
	p := s.iam.provider(arn)
	if p == nil {
		return nil, missing("there is no OIDC provider %s, which the token's issuer %q would need", arn, t.issuer).between([]string{arn}, nil)
	}
	if id := t.clientID(); id == "" || !slices.Contains(p.ClientIDs, id) {
		answer := errNotValidated
		if s.config.LegacyMessages {
			answer = invalidToken("Incorrect token audience")
		}
		return nil, refusal("audience",
			fmt.Sprintf("the token is for %q, and the client ids of the provider are %s", id, quotedList(p.ClientIDs)), answer).
			between(p.ClientIDs, []string{id})

	}
	return p, nil
}

// verifyToken verifies the signature of a token with the keys of its issuer.
// A key that is not known, or under which the token does not verify, may have
// changed since it was fetched, so it is fetched once more. If the keys cannot be
// fetched, the fault is unread, unless a key that is known says that the signature
// is bad.
func (s *Server) verifyToken(span *trace.Span, t *webToken, p *provider, now time.Time) ([]Fetch, *tokenFault) {
	if p.keys != nil {
		part := span.Start("verify signature")
		fault := t.verifyWith(p.keys, p)
		finish(part, fault)
		return nil, fault
	}
	var fetches []Fetch
	var before *tokenFault // with the keys that were there
	for refetch := false; ; refetch = true {
		part := span.Start("get issuer keys")
		f, fetched, failing := s.issuerKeys(part, p, now, refetch)
		s.metrics.keysFound(fetched)
		part.Bool("openirsa.fetched", fetched)
		finish(part, f.fault)
		if fetched {
			fetches = append(fetches, f.fetches...)
		}
		fault := f.fault
		if fault == nil {
			part := span.Start("verify signature")
			fault = t.verifyWith(f.keys, p)
			finish(part, fault)
		}
		if fault == nil || refetch || fetched {
			if fault != nil && failing && fault.step == "keys" && (before == nil || before.step == "keys") {
				fault = fault.whileUnread()
			}
			return fetches, fault
		}
		before = fault
	}
}

func (t *webToken) verifyWith(keys *keySet, p *provider) *tokenFault {
	key := keys.find(t.kid)
	if key == nil {
		var kids []string
		for kid := range keys.keys {
			kids = append(kids, kid)
		}
		slices.Sort(kids)
		publishes := "https://" + p.URL + " publishes"
		if p.keys != nil {
			publishes = "the key set that was registered for " + p.ARN + " has"
		}
		why := fmt.Sprintf("the token is signed with key %q, and %s %s", t.kid, publishes, quotedList(kids))
		if t.kid == "" {
			why = fmt.Sprintf("the token does not name a key, and %s %d", publishes, len(kids))
		}
		if len(keys.left) > 0 {
			why += " (" + strings.Join(keys.left, "; ") + ")"
		}
		return refusal("keys", why, errKeys).between(kids, []string{t.kid})
	}
	if err := t.verify(key); err != nil {
		return refusal("signature", err.Error(), errNotValidated).
			between([]string{"a signature by key " + t.kid}, []string{"another signature"})
	}
	return nil
}

// errNotAuthorized is the answer to all that a trust policy does not allow, to
// a role that does not exist among them.
var errNotAuthorized = accessDenied("Not authorized to perform sts:AssumeRoleWithWebIdentity")

// trusts finds the role and asks its trust policy.
func (s *Server) trusts(a *assumption, t *webToken, p *provider) (*policy.Decision, *tokenFault) {
	var found bool
	if a.role, found = s.assumedRole(a); !found {
		var there []string
		why := fmt.Sprintf("there is no role %s", a.roleARN)
		if a.role != nil {
			there = []string{a.role.ARN}
			why += ": the role of that name is " + a.role.ARN
		}
		return nil, refusal("trust", why, errNotAuthorized).between([]string{a.roleARN}, there)
	}

	var keys policy.Context
	s.requestKeys(a.Call, &keys, s.account.ID)
	// IAM User Guide, "IAM and AWS STS condition context keys", section
	// "Available keys for AWS OIDC federation". Other claims are not keys.
	keys.Set(p.URL+":sub", t.subject)
	keys.Set(p.URL+":aud", t.clientID())
	if t.hasAZP {
		keys.SetMulti(p.URL+":oaud", t.audience...)
		if len(t.audience) == 1 {
			keys.Set(p.URL+":oaud", t.audience[0])
		}
	}
	if len(t.amr) > 0 {
		keys.SetMulti(p.URL+":amr", t.amr...)
	}
	if t.email != "" {
		keys.Set(p.URL+":email", t.email)
	}
	keys.Set("aws:FederatedProvider", p.ARN)
	keys.Set("aws:PrincipalAccount", s.account.ID)
	keys.Set("aws:PrincipalType", "User")
	keys.Set("aws:userid", p.ARN)
	keys.Set("sts:RoleAuthorizedByIdp", strconv.FormatBool(t.hasRoles))
	s.sessionKeys(a, &keys)

	request := policy.Request{
		Principal:       policy.Principal{Kind: policy.WebIdentity, Account: s.account.ID, ARN: p.ARN},
		Action:          "sts:AssumeRoleWithWebIdentity",
		Resource:        a.role.ARN,
		ResourceAccount: s.account.ID,
		Context:         &keys,
	}
	policies := policy.Policies{Resource: &policy.Named{Name: a.role.Name, Policy: a.role.trust}}
	if m := s.membership(s.account.ID); m != nil && a.role.Service == "" {
		policies.ResourceControl = m.ResourceControl
	}
	decision := policy.Evaluate(&request, &policies)
	for _, action := range furtherActions(t.tags, t.sourceIdentity) {
		if !decision.Allowed {
			break
		}
		request.Action = action
		decision = policy.Evaluate(&request, &policies)
	}
	if !decision.Allowed {
		a.event.Action = request.Action
		a.event.Remedy = s.remedy(&a.Caller, &request, &policies)
		return &decision, refusal("trust", "", errNotAuthorized)
	}
	return &decision, nil
}
