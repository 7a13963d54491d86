package emulator

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/openirsa/openirsa/pkg/emulator/internal/api"
	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
	"github.com/openirsa/openirsa/pkg/policy"
)

// getCallerIdentity needs no permission, and no policy can deny it.
func (s *Server) getCallerIdentity(c *call) (func(*wire.XML), *wire.Failure) {
	s.logAllowed(c.Call, "the signature is valid, and the operation needs no permission")
	return func(x *wire.XML) {
		x.Text("Arn", c.Caller.ARN)
		x.Text("UserId", c.Caller.UserID)
		x.Text("Account", c.Caller.Account)
	}, nil
}

// getAccessKeyInfo says which account an access key id is of, which is written
// in the id.
func (s *Server) getAccessKeyInfo(c *call) (func(*wire.XML), *wire.Failure) {
	id := c.Text("AccessKeyId", ruleKeyID)
	if e := c.Err(); e != nil {
		return nil, s.refusedParameters(c, e)
	}
	account, ok := keyAccount(id)
	if !ok {
		return nil, s.refusedParameters(c, wire.ValidationError("Invalid AccessKeyId"))
	}
	s.logAllowed(c.Call, "the signature is valid, and the operation needs no permission")
	return func(x *wire.XML) { x.Text("Account", account) }, nil
}

// rootAssumes tells whoever calls with the root user's credentials, which are the
// first that everybody has, how to continue.
const rootAssumes = "the root user cannot assume roles, here as at AWS: make a user with an access key (CreateUser, CreateAccessKey), " +
	"let the role's trust policy name it, or the account while the user's own policy allows sts:AssumeRole, and call with the user's key; " +
	"a pod needs none, it calls AssumeRoleWithWebIdentity"

// maxChained is how long a session may last that was assumed with temporary
// credentials, those of GetSessionToken among them, in seconds (IAM User Guide,
// "Roles terms and concepts").
const maxChained = 3600

var (
	ruleExternalID     = wire.Rule{Min: 2, Max: 1224, Pattern: patternExternalID}
	ruleSourceIdentity = wire.Rule{Min: 2, Max: 64, Pattern: patternSession}
	ruleSerialNumber   = wire.Rule{Min: 9, Max: 256, Pattern: wire.EveryRune(`[\w+=/:,.@-]*`, isSerial)}
	ruleTokenCode      = wire.Rule{Min: 6, Max: 6, Pattern: wire.EveryRune(`[\d]*`, func(r rune) bool { return '0' <= r && r <= '9' })}
)

// assumeRole exchanges credentials for those of a role. The role's trust
// policy must allow the caller, and unless it names the very user, session or
// role, the caller's own policies must allow it too.
func (s *Server) assumeRole(c *call) (func(*wire.XML), *wire.Failure) {
	a := &assumption{call: c, event: eventOf(c.Call)}
	a.roleARN = c.Text("RoleArn", ruleARN)
	a.name = c.Text("RoleSessionName", ruleSessionName)
	externalID := c.Text("ExternalId", ruleExternalID)
	a.sourceIdentity = c.Text("SourceIdentity", ruleSourceIdentity)
	a.tags = c.Tags("Tags", maxSessionTags)
	a.transitive = c.Texts("TransitiveTagKeys", false, maxSessionTags, wire.RuleTagKey)
	c.Text("SerialNumber", ruleSerialNumber)
	c.Text("TokenCode", ruleTokenCode)
	a.readSession()
	a.event.Resource = a.roleARN
	if e := c.Err(); e != nil {
		return nil, s.refuseToken(a, refusal("parameters", e.Message, e), nil)
	}
	asked := a.sourceIdentity
	owner := s.ofRole(a.roleARN)
	for _, check := range []func(*assumption) *tokenFault{s.checkAssumeRole, s.chain, s.findRole} {
		if fault := check(a); fault != nil {
			return nil, s.refuseToken(a, fault, nil)
		}
	}
	var external *string
	if c.Has("ExternalId") {
		external = &externalID
	}
	if e := s.mayAssume(a, owner, append([]string{"sts:AssumeRole"}, furtherActions(a.tags, asked)...), external); e != nil {
		return nil, e
	}
	a.owner = len(a.sourceIdentity)
	if fault := owner.checkSession(a); fault != nil {
		return nil, s.refuseToken(a, fault, nil)
	}
	creds := s.seal.issue(owner.account.ID, a.session())
	a.role.used.Store(&roleUse{c.At, c.Region})
	s.logIssued(c.Call, &creds, owner.assumedARN(a.role, a.name))
	return func(x *wire.XML) {
		x.Optional("SourceIdentity", a.sourceIdentity)
		owner.writeAssumed(x, a.role, a.name)
		creds.write(x)
		x.Number("PackedPolicySize", packedSize(a))
	}, nil
}

// mayAssume asks the role's trust policy and the caller's own policies about actions.
func (s *Server) mayAssume(a *assumption, owner *Server, actions []string, externalID *string) *wire.Failure {
	for _, action := range actions {
		q := &api.Question{
			Action:   action,
			Resource: a.role.ARN,
			Account:  owner.account.ID,
			Bare:     true,
			Attached: &policy.Named{Name: a.role.Name, Policy: a.role.trust},
		}
		if externalID != nil {
			q.Keys.Set("sts:ExternalId", *externalID)
		}
		s.sessionKeys(a, &q.Keys)
		if e := s.authorize(a.Call, q); e != nil {
			return e
		}
	}
	return nil
}

// chain gives a chained session what it keeps of the one before: the source
// identity, and the transitive tags.
func (s *Server) chain(a *assumption) *tokenFault {
	chained := identityOf(&a.Caller).session
	if chained == nil {
		return nil
	}
	if chained.sourceIdentity != "" {
		if a.sourceIdentity != "" && a.sourceIdentity != chained.sourceIdentity {
			return refusal("parameters",
				fmt.Sprintf("the source identity %q was set by an earlier role, and cannot become %q", chained.sourceIdentity, a.sourceIdentity),
				s.notAssumed(a, "sts:SetSourceIdentity"))

		}
		a.sourceIdentity = chained.sourceIdentity
	}
	for _, key := range chained.transitive {
		same := func(t wire.Tag) bool { return strings.EqualFold(t.Key, key) }
		i := slices.IndexFunc(chained.tags, same)
		if i < 0 {
			continue
		}
		if slices.ContainsFunc(a.tags, same) {
			return refusal("parameters", fmt.Sprintf("the tag %q is transitive and was set by an earlier role", key),
				invalidParameter("One of the specified transitive tag keys can't be set because "+
					"it conflicts with a transitive tag key from the calling session."))

		}
		a.tags, a.transitive = append(a.tags, chained.tags[i]), append(a.transitive, key)
	}
	return nil
}

func (s *Server) findRole(a *assumption) *tokenFault {
	r, found := s.ofRole(a.roleARN).assumedRole(a)
	if !found {
		return refusal("trust", "there is no role "+a.roleARN+s.notOurs(a.roleARN), s.notAssumed(a, "sts:AssumeRole"))
	}
	a.role = r
	return nil
}

// notAssumed is AssumeRole's AccessDenied, which does not say why.
func (s *Server) notAssumed(a *assumption, action string) *wire.Failure {
	return accessDenied("User: %s is not authorized to perform: %s on resource: %s", a.Caller.ARN, action, a.roleARN)
}

// checkAssumeRole refuses what AssumeRole refuses whatever the trust policy
// says.
func (s *Server) checkAssumeRole(a *assumption) *tokenFault {
	c := a.Call
	_, _, ok := parseRoleARN(a.roleARN)
	switch {
	case !ok:
		return notRoleARN(a.roleARN, wire.ValidationError("%s is invalid", a.roleARN))
	case c.Caller.Kind == policy.Root:
		return refusal("permission", rootAssumes, accessDenied("Roles may not be assumed by root accounts."))
	case c.Caller.Kind == policy.FederatedUser:
		return refusal("permission", "a federated user cannot assume roles", s.notAssumed(a, "sts:AssumeRole"))
	case identityOf(&c.Caller).session != nil && a.seconds > maxChained:
		return refusal("duration",
			fmt.Sprintf("%d s were asked for with temporary credentials, and with these sessions last %d s at most", a.seconds, maxChained),
			wire.ValidationError("The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining."))

	}
	keys, fault := sessionTagKeys(a.tags)
	if fault != nil {
		return fault
	}
	for _, key := range a.transitive {
		if !keys[strings.ToLower(key)] {
			return refusal("parameters", fmt.Sprintf("the transitive tag key %q is not among the tags", key),
				invalidParameter("The specified transitive tag key must be included in the requested tags."))

		}
	}
	return nil
}

// refuseSessions is the answer to operations that only long-term credentials
// may call.
func (s *Server) refuseSessions(c *call) *wire.Failure {
	if identityOf(&c.Caller).session == nil {
		return nil
	}
	e := accessDenied("Cannot call %s with session credentials", c.Operation)
	s.logRefused(c.Call, "permission", "the operation needs long-term credentials, and these are temporary", e)
	return e
}

const (
	defaultTokenDuration = 43200  // seconds, of GetSessionToken and GetFederationToken
	maxTokenDuration     = 129600 // seconds
	maxRootDuration      = 3600   // seconds: more is shortened for the root user
)

// readDuration reads the duration of GetSessionToken and GetFederationToken.
func (c *call) readDuration() int {
	seconds := c.Number("DurationSeconds", defaultTokenDuration, minDuration, maxTokenDuration)
	if c.Caller.Kind == policy.Root {
		seconds = min(seconds, maxRootDuration)
	}
	return seconds
}

func (s *Server) getSessionToken(c *call) (func(*wire.XML), *wire.Failure) {
	seconds := c.readDuration()
	c.Text("SerialNumber", ruleSerialNumber)
	c.Text("TokenCode", ruleTokenCode)
	if e := c.Err(); e != nil {
		return nil, s.refusedParameters(c, e)
	}
	if e := s.refuseSessions(c); e != nil {
		return nil, e
	}
	creds := s.seal.issue(s.account.ID, &session{
		kind:    userSession,
		entity:  c.Caller.ID,
		issued:  c.At,
		expires: c.At.Add(time.Duration(seconds) * time.Second),
	})
	s.logIssued(c.Call, &creds, c.Caller.ARN)
	return creds.write, nil
}

func (s *Server) getFederationToken(c *call) (func(*wire.XML), *wire.Failure) {
	a := &assumption{call: c, event: eventOf(c.Call)}
	a.name = c.Text("Name", wire.Rule{Required: true, Min: 2, Max: 32, Pattern: patternSession})
	if c.Has("Policy") {
		a.policy = c.Text("Policy", ruleSessionPolicy)
	}
	a.arns = c.policyARNs()
	a.seconds = c.readDuration()
	a.tags = c.Tags("Tags", maxSessionTags)
	if e := c.Err(); e != nil {
		return nil, s.refusedParameters(c, e)
	}
	if e := s.refuseSessions(c); e != nil {
		return nil, e
	}
	user := s.arn("sts", "federated-user/"+a.name)
	var keys policy.Context
	requestTags(&keys, a.tags)
	q := &api.Question{Action: "sts:GetFederationToken", Resource: user, Keys: keys}
	if e := s.authorize(c.Call, q); e != nil {
		return nil, e
	}
	a.owner = len(a.name)
	fault := s.checkSession(a)
	if _, refused := sessionTagKeys(a.tags); refused != nil {
		fault = refused
	}
	if fault != nil {
		return nil, s.refuseToken(a, fault, nil)
	}
	creds := s.seal.issue(s.account.ID, &session{
		kind:       federatedSession,
		entity:     c.Caller.ID,
		name:       a.name,
		issued:     c.At,
		expires:    c.At.Add(time.Duration(a.seconds) * time.Second),
		tags:       a.tags,
		policy:     a.policy,
		policyARNs: a.arns,
		limited:    true,
	})
	s.logIssued(c.Call, &creds, user)
	return func(x *wire.XML) {
		creds.write(x)
		x.Open("FederatedUser")
		x.Text("FederatedUserId", s.account.ID+":"+a.name)
		x.Text("Arn", user)
		x.Close("FederatedUser")
		x.Number("PackedPolicySize", packedSize(a))
	}, nil
}
