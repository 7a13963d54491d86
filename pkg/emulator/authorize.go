package emulator

import (
	"strconv"
	"time"

	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"

	"github.com/openirsa/openirsa/pkg/policy"
)

// question is what policies are asked about a call.
type question struct {
	action   string // with its service, such as "iam:GetRole"
	resource string // ARN that policies match, or "*"
	spelled  string // how AccessDenied spells the resource; "" is as it is
	account  string // of the resource's owner; "" is the emulator's account
	keys     policy.Context
	attached *policy.Named // resource-based policy, such as a bucket's
	grant    policy.Grant  // of the resource's access control list
	note     string        // what an event of a denial has to say besides
	bare     bool          // AccessDenied does not say "because ..."
}

// authorize asks whether the caller of a call may do something, and keeps the
// answer as an event. The error is AWS's AccessDenied.
//
// keys of the question may hold the condition keys that are particular to the
// action; those of the caller and of the request are added here.
func (s *Server) authorize(c *call, q *question) *wire.Failure {
	if q.account == "" {
		q.account = s.config.Account
	}
	s.requestKeys(c, &q.keys, q.account)
	s.callerKeys(&c.caller, &q.keys)
	policies := s.policiesOf(&c.caller)
	policies.Resource, policies.Grant = q.attached, q.grant
	decision := policy.Evaluate(&policy.Request{
		Principal:       c.caller.Principal,
		Action:          q.action,
		Resource:        q.resource,
		ResourceAccount: q.account,
		Context:         &q.keys,
	}, &policies)

	event := c.event()
	event.Action, event.Resource, event.Step = q.action, q.resource, "permission"
	if decision.Allowed {
		event.Decision = Allow
		s.decided(c, event, &decision)
		return nil
	}
	e := s.accessDenied(c, q, &decision)
	event.Decision, event.Code = Deny, e.Code
	if q.note != "" {
		event.Warnings = []string{q.note}
	}
	s.decided(c, event, &decision)
	return e
}

// accessDenied is a denial in AWS's words, which name the type of policy that
// is to blame and nothing else.
func (s *Server) accessDenied(c *call, q *question, d *policy.Decision) *wire.Failure {
	if c.caller.Kind == policy.Anonymous {
		return accessDenied("Access Denied")
	}
	resource := q.spelled
	if resource == "" {
		resource = q.resource
	}
	text := "User: " + c.caller.ARN + " is not authorized to perform: " + q.action + " on resource: " + resource
	if !q.bare {
		text += " " + d.Tail()
	}
	return accessDenied("%s", text)
}

// requestKeys sets the condition keys that every request has (IAM User Guide,
// "AWS global condition context keys").
func (s *Server) requestKeys(c *call, keys *policy.Context, resourceAccount string) {
	keys.Set("aws:SourceIp", sourceIP(c.r))
	keys.Set("aws:SecureTransport", strconv.FormatBool(c.r.TLS != nil))
	keys.Set("aws:CurrentTime", c.at.UTC().Format(time.RFC3339))
	keys.Set("aws:EpochTime", strconv.FormatInt(c.at.Unix(), 10))
	if agent := c.r.Header.Get("User-Agent"); agent != "" {
		keys.Set("aws:UserAgent", agent)
	}
	if referer := c.r.Header.Get("Referer"); referer != "" {
		keys.Set("aws:Referer", referer)
	}
	region := c.region
	if c.service == "iam" {
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
func (s *Server) callerKeys(who *caller, keys *policy.Context) {
	keys.Set("aws:userid", who.userID)
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
		keys.Set("aws:username", who.user.Name)
	case policy.RoleSession:
		keys.Set("aws:PrincipalType", "AssumedRole")
		keys.Set("aws:PrincipalArn", who.EntityARN)
	case policy.FederatedUser:
		keys.Set("aws:PrincipalType", "FederatedUser")
		keys.Set("aws:PrincipalArn", who.ARN)
	}
	keys.Set("aws:PrincipalAccount", who.Account)
	for _, t := range who.tags() {
		keys.Set("aws:PrincipalTag/"+t.Key, t.Value)
	}
	session := who.session
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
func (who *caller) tags() []wire.Tag {
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
func (s *Server) policiesOf(who *caller) policy.Policies {
	var p policy.Policies
	switch {
	case who.role != nil:
		p.Identity, p.Boundary = s.iam.policies(&who.role.entity, nil)
	case who.user != nil:
		p.Identity, p.Boundary = s.iam.policies(&who.user.entity, who.user.Groups)
	case who.Kind == policy.FederatedUser:
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
