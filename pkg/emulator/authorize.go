package emulator

import (
	"strconv"
	"time"

	"github.com/openirsa/openirsa/pkg/emulator/internal/api"
	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
	"github.com/openirsa/openirsa/pkg/policy"
)

// authorize asks whether the caller of a call may do something, and keeps the
// answer as an event. The error is AWS's AccessDenied.
//
// keys of the question may hold the condition keys that are particular to the
// action; those of the caller and of the request are added here.
func (s *Server) authorize(c *api.Call, q *api.Question) *wire.Failure {
	if q.Account == "" {
		q.Account = s.config.Account
	}
	s.requestKeys(c, &q.Keys, q.Account)
	s.callerKeys(&c.Caller, &q.Keys)
	policies := s.policiesOf(&c.Caller)
	policies.Resource, policies.Grant = q.Attached, q.Grant
	decision := policy.Evaluate(&policy.Request{
		Principal:       c.Caller.Principal,
		Action:          q.Action,
		Resource:        q.Resource,
		ResourceAccount: q.Account,
		Context:         &q.Keys,
	}, &policies)

	event := eventOf(c)
	event.Action, event.Resource, event.Step = q.Action, q.Resource, "permission"
	if decision.Allowed {
		event.Decision = Allow
		s.logDecided(c, event, &decision)
		return nil
	}
	e := s.accessDenied(c, q, &decision)
	event.Decision, event.Code = Deny, e.Code
	if q.Note != "" {
		event.Warnings = []string{q.Note}
	}
	s.logDecided(c, event, &decision)
	return e
}

// accessDenied is a denial in AWS's words, which name the type of policy that
// is to blame and nothing else.
func (s *Server) accessDenied(c *api.Call, q *api.Question, d *policy.Decision) *wire.Failure {
	code := c.Speaks().AccessDenied
	if c.Caller.Kind == policy.Anonymous {
		return wire.Errorf(code.Status, code.Name, "Access Denied")
	}
	resource := q.Spelled
	if resource == "" {
		resource = q.Resource
	}
	text := "User: " + c.Caller.ARN + " is not authorized to perform: " + q.Action + " on resource: " + resource
	if !q.Bare {
		text += " " + d.Tail()
	}
	return wire.Errorf(code.Status, code.Name, "%s", text)
}

// requestKeys sets the condition keys that every request has (IAM User Guide,
// "AWS global condition context keys").
func (s *Server) requestKeys(c *api.Call, keys *policy.Context, resourceAccount string) {
	keys.Set("aws:SourceIp", sourceIP(c.Request))
	keys.Set("aws:SecureTransport", strconv.FormatBool(c.Request.TLS != nil))
	keys.Set("aws:CurrentTime", c.At.UTC().Format(time.RFC3339))
	keys.Set("aws:EpochTime", strconv.FormatInt(c.At.Unix(), 10))
	if agent := c.Request.Header.Get("User-Agent"); agent != "" {
		keys.Set("aws:UserAgent", agent)
	}
	if referer := c.Request.Header.Get("Referer"); referer != "" {
		keys.Set("aws:Referer", referer)
	}
	region := c.Region
	if c.Service == "iam" {
		region = "us-east-1" // where IAM lives, whatever the client signed for
	}
	keys.Set("aws:RequestedRegion", region)
	keys.Set("aws:ResourceAccount", resourceAccount)
	keys.Set("aws:PrincipalIsAWSService", "false")
	keys.Set("aws:ViaAWSService", "false")
}

// callerKeys sets the condition keys that follow from who calls (the same page,
// "Properties of the principal", and "Where the principal key values come
// from").
func (s *Server) callerKeys(who *api.Caller, keys *policy.Context) {
	known := identityOf(who)
	keys.Set("aws:userid", who.UserID)
	switch who.Kind {
	case policy.Anonymous:
		keys.Set("aws:PrincipalType", "Anonymous")
		keys.Set("aws:PrincipalAccount", "anonymous")
		return
	case policy.Root:
		keys.Set("aws:PrincipalType", "Account")
		keys.Set("aws:PrincipalArn", who.ARN)
	case policy.User:
		keys.Set("aws:PrincipalType", "User")
		keys.Set("aws:PrincipalArn", who.ARN)
		keys.Set("aws:username", known.user.Name)
	case policy.RoleSession:
		keys.Set("aws:PrincipalType", "AssumedRole")
		keys.Set("aws:PrincipalArn", who.EntityARN)
	case policy.FederatedUser:
		keys.Set("aws:PrincipalType", "FederatedUser")
		keys.Set("aws:PrincipalArn", who.ARN)
	}
	keys.Set("aws:PrincipalAccount", who.Account)
	for _, t := range known.tags() {
		keys.Set("aws:PrincipalTag/"+t.Key, t.Value)
	}
	session := known.session
	if session == nil {
		return
	}
	for _, t := range session.tags {
		keys.Set("aws:PrincipalTag/"+t.Key, t.Value)
	}
	keys.Set("aws:TokenIssueTime", session.issued.Format(time.RFC3339))
	keys.Set("aws:MultiFactorAuthPresent", "false")
	if session.sourceIdentity != "" {
		keys.Set("aws:SourceIdentity", session.sourceIdentity)
	}
	if session.provider != "" {
		keys.Set("aws:FederatedProvider", session.provider)
		keys.Set(session.issuer+":sub", session.subject)
		keys.Set(session.issuer+":aud", session.audience)
		if len(session.amr) > 0 {
			keys.SetMulti(session.issuer+":amr", session.amr...)
		}
	}
}

// tags are the tags of the role or user behind a caller.
func (who *identity) tags() []wire.Tag {
	switch {
	case who.role != nil:
		return who.role.Tags
	case who.user != nil:
		return who.user.Tags
	}
	return nil
}

// policiesOf are the policies that apply to a caller, whatever it asks for:
// those of its role or user as they are now, and those of its session.
func (s *Server) policiesOf(caller *api.Caller) policy.Policies {
	var p policy.Policies
	who := identityOf(caller)
	switch {
	case who.role != nil:
		p.Identity, p.Boundary = s.iam.policies(&who.role.entity, nil)
	case who.user != nil:
		p.Identity, p.Boundary = s.iam.policies(&who.user.entity, who.user.Groups)
	case caller.Kind == policy.FederatedUser:
		p.Identity = rootPolicies // federated by the root user, who has none
	}
	if who.session != nil && who.session.hasPolicy() {
		p.Session, p.HasSession = s.sessionPolicies(who.session), true
	}
	return p
}

// rootPolicies are what the root user's permissions amount to.
var rootPolicies = func() []policy.Named {
	p, err := policy.Parse(policy.Identity, []byte(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`))
	if err != nil {
		return nil // federated users of the root user may then do nothing
	}
	return []policy.Named{{Name: "root user", Policy: p}}
}()

// sessionPolicies are the parsed policies of a session. Managed ones are those
// of now: a new default version limits sessions that were issued before.
func (s *Server) sessionPolicies(session *session) []policy.Named {
	named := make([]policy.Named, 0, 1+len(session.policyARNs))
	if session.policy != "" {
		// It parsed when the session was made.
		if p, err := s.iam.parsed.get(session.policy); err == nil {
			named = append(named, policy.Named{Name: "session policy", Policy: p})
		}
	}
	for _, arn := range session.policyARNs {
		if p := s.iam.managedDefault(arn); p != nil {
			named = append(named, policy.Named{Name: arn, Policy: p})
		}
	}
	return named
}
