package emulator

import (
	"slices"
	"strconv"
	"sync"
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
	v := s.ask(c, q)
	v.Keep()
	return v.Failure
}

// ask is authorize, but keeps the answer only when it is told to.
func (s *Server) ask(c *api.Call, q *api.Question) *api.Verdict {
	if gone := s.again(c); gone != nil {
		e := c.Speaks().Refusal(gone)
		return s.over(c, e, api.Decision{Step: "signature", Reason: gone.Why, Code: e.Code})
	}
	if q.Failed != nil {
		return s.over(c, q.Failed, api.Decision{Step: "backend", Reason: q.Why, Code: q.Failed.Code, Resource: q.Resource})
	}
	s = s.of(&c.Caller)
	if q.Account == "" {
		q.Account = s.account.ID
	}
	s.requestKeys(c, &q.Keys, q.Account)
	s.callerKeys(&c.Caller, &q.Keys)
	policies := s.policiesOf(&c.Caller)
	policies.Resource, policies.Grant, policies.MustAllow = q.Attached, q.Grant, q.MustAllow
	request := policy.Request{
		Principal:       c.Caller.Principal,
		Action:          q.Action,
		Resource:        q.Resource,
		ResourceAccount: q.Account,
		Context:         &q.Keys,
	}
	s.limit(&policies, &c.Caller, &request)
	decision := policy.Evaluate(&request, &policies)

	event := eventOf(c)
	event.Action, event.Resource, event.Step = q.Action, q.Resource, "permission"
	event.ResourceUnknown = q.Unknown
	if q.Unknown && q.Spelled != "" {
		event.Resource = q.Spelled
	}
	event.Warnings = append(slices.Clip(q.Warnings), uncomputed(q, &request, &policies)...)
	if q.Account != c.Caller.Account && c.Caller.Account != "" {
		event.ResourceAccount = q.Account
	}
	if decision.Allowed {
		event.Decision = Allow
		return &api.Verdict{Keep: func() {
			s.noteFact(c, q, allowedBy(&decision))
			s.logDecided(c, event, &decision)
		}}
	}
	v := &api.Verdict{Failure: s.accessDenied(c, q, &decision), Explicit: decision.Explicit}
	v.Somewhere = func() bool { return policies.Somewhere(&request) }
	event.Decision, event.Code = Deny, v.Failure.Code
	outcome := factRefused
	if !s.enforces(&c.Caller, &decision) {
		event.Warnings = append(slices.Clip(event.Warnings), "NOT ENFORCED: AWS would have denied this call, with "+event.Code+".")
		event.Decision, event.Code, outcome = WouldDeny, "", factWouldDeny
		v.Failure, v.Unenforced = nil, v.Failure
	}
	v.Keep = func() {
		event.Remedy = s.remedy(&c.Caller, &request, &policies)
		if q.Note != "" {
			event.Warnings = append(slices.Clip(event.Warnings), q.Note)
		}
		s.noteFact(c, q, outcome)
		s.logDecided(c, event, &decision)
	}
	return v
}

// uncomputed are sentences about condition keys that a policy names and that the
// emulator cannot tell for the request, where AWS might.
func uncomputed(q *api.Question, request *policy.Request, policies *policy.Policies) []string {
	if q.Computes == nil {
		return nil
	}
	var all []string
	for _, key := range policies.Unset(request) {
		if !q.Computes(key) {
			all = append(all, "The guard cannot compute "+key+", which a policy names: it counts as not set.")
		}
	}
	return all
}

// over is the verdict on a call about which nothing can be decided any more.
func (s *Server) over(c *api.Call, e *wire.Failure, d api.Decision) *api.Verdict {
	return &api.Verdict{Failure: e, Explicit: true, Final: true, Keep: func() { s.account.Gate.Record(c, d) }}
}

// accessDenied is a denial in AWS's words, which name the type of policy that
// is to blame and nothing else.
func (s *Server) accessDenied(c *api.Call, q *api.Question, d *policy.Decision) *wire.Failure {
	code := c.Speaks().AccessDenied
	if q.Code.Name != "" {
		code = q.Code
	}
	if q.Text != "" {
		return wire.Errorf(code.Status, code.Name, "%s", q.Text)
	}
	if c.Caller.Kind == policy.Anonymous {
		return wire.Errorf(code.Status, code.Name, "Access Denied")
	}
	resource := q.Spelled
	if resource == "" {
		resource = q.Resource
	}
	action := q.Action
	if q.SpelledAction != "" {
		action = q.SpelledAction
	}
	text := q.Preface + "User: " + c.Caller.ARN + " is not authorized to perform: " + action
	if q.Stranger != "" && d.Type == policy.ResourceType && q.Account != c.Caller.Account {
		return wire.Errorf(code.Status, code.Name, "%s %s", text, q.Stranger)
	}
	if !q.Nowhere {
		text += " on resource: " + resource
	}
	if !q.Bare {
		text += " " + d.Tail()
	}
	if q.Encoded {
		text += s.encodedMessage(c, q, d)
	}
	return wire.Errorf(code.Status, code.Name, "%s", text)
}

// requestKeys sets the condition keys that every request has (IAM User Guide,
// "AWS global condition context keys").
func (s *Server) requestKeys(c *api.Call, keys *policy.Context, resourceAccount string) {
	// A request that a service makes with the permissions of the caller comes from the
	// service (the page's aws:SourceIp and aws:ViaAWSService).
	if _, via := keys.Values("aws:ViaAWSService"); !via {
		keys.Set("aws:SourceIp", sourceIP(c.Request))
		keys.Set("aws:ViaAWSService", "false")
	}
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
	if _, set := keys.Values("aws:RequestedRegion"); !set { // services without regions have one of their own
		keys.Set("aws:RequestedRegion", region)
	}
	keys.Set("aws:ResourceAccount", resourceAccount)
	s.organizationKeys("Resource", resourceAccount, keys)
	keys.Set("aws:PrincipalIsAWSService", "false")
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
	s.organizationKeys("Principal", who.Account, keys)
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
		p.Identity = rootPolicies() // federated by the root user, who has none
	}
	if who.session != nil && who.session.hasPolicy() {
		p.Session, p.HasSession = s.sessionPolicies(who.session), true
	}
	return p
}

// rootPolicies are what the root user's permissions amount to.
var rootPolicies = sync.OnceValue(func() []policy.Named {
	p, err := policy.Parse(policy.Identity, []byte(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`))
	if err != nil {
		return nil // federated users of the root user may then do nothing
	}
	return []policy.Named{{Name: "root user", Policy: p}}
})

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
