package emulator

import (
	"strings"

	"github.com/openirsa/openirsa/pkg/emulator/internal/eks"
	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
	"github.com/openirsa/openirsa/pkg/policy"
)

// assumeForPod begins the session of the association's role, and if there is a target
// role, with it that one's. It returns the credentials of the last, and who they are:
// the ARN, and the id with the name of the session.
func (s *Server) assumeForPod(x *exchange) (creds credentials, arn, id string, e *wire.Failure) {
	a, target := x.assumption, x.association.TargetRoleARN
	a.roleARN, a.seconds, a.name = x.association.RoleARN, podSession, podSessionName(x.cluster.Name, x.pod.Pod.Name)
	if target == "" {
		a.policy = x.association.Policy
	}
	if !x.association.DisableSessionTags {
		x.tag(s.eks.ARN(x.cluster))
	}
	a.event.Action, a.event.Resource = "sts:AssumeRole", a.roleARN
	x.Span.Text("openirsa.role_arn", a.roleARN)
	part := x.Span.Start("evaluate trust policy")
	decision, fault := s.trustsService(x)
	finish(part, fault)
	if fault != nil {
		return creds, "", "", s.refuseToken(a, fault, decision)
	}
	session := x.session()
	a.role.used.Store(&roleUse{a.At, a.Region})
	a.event.Decision, a.event.Step, a.event.Warnings = Allow, "trust", a.role.warnings
	if target != "" {
		s.logDecided(a.Call, a.event, decision)
		return s.assumeTarget(x, session)
	}
	creds = s.seal.issue(s.account.ID, session)
	arn = s.assumedARN(a.role, a.name)
	a.event.AccessKeyID, a.event.Session = creds.keyID, &IssuedSession{creds.keyID, arn, creds.expires.UTC()}
	s.logDecided(a.Call, a.event, decision)
	return creds, arn, session.entity + ":" + a.name, nil
}

// tag gives the session the tags of EKS Pod Identity, all of them transitive (User
// Guide, "Grant Pods access to AWS resources based on tags").
func (x *exchange) tag(arn string) {
	for _, t := range []wire.Tag{
		{Key: "eks-cluster-arn", Value: arn},
		{Key: "eks-cluster-name", Value: x.cluster.Name},
		{Key: "kubernetes-namespace", Value: x.pod.Namespace},
		{Key: "kubernetes-service-account", Value: x.pod.ServiceAccount.Name},
		{Key: "kubernetes-pod-name", Value: x.pod.Pod.Name},
		{Key: "kubernetes-pod-uid", Value: x.pod.Pod.UID},
	} {
		x.tags, x.transitive = append(x.tags, t), append(x.transitive, t.Key)
	}
}

// session is the session of the role, which remembers whose pod it is for.
func (x *exchange) session() *session { return x.remember(x.assumption.session()) }

func (x *exchange) remember(session *session) *session {
	session.issuer, session.subject, session.audience = strings.TrimPrefix(x.token.issuer, "https://"), x.token.subject, podAudience
	session.cluster = x.event.Cluster
	return session
}

// trustsService finds the role of the association and asks its trust policy about the
// service: to assume it and, with tags, to tag the session.
func (s *Server) trustsService(x *exchange) (*policy.Decision, *tokenFault) {
	a := x.assumption
	var found bool
	if a.role, found = s.assumedRole(a); !found {
		return nil, refusal("trust", "there is no role "+a.roleARN+" any more", errPodRole).between([]string{a.roleARN}, nil)
	}
	var keys policy.Context
	s.requestKeys(a.Call, &keys, s.account.ID)
	s.serviceKeys(x, &keys)
	s.sessionKeys(a, &keys)
	request := policy.Request{
		Principal:       policy.Principal{Kind: policy.AWSService, ARN: eks.ServicePrincipal},
		Action:          "sts:AssumeRole",
		Resource:        a.role.ARN,
		ResourceAccount: s.account.ID,
		Context:         &keys,
	}
	policies := policy.Policies{Resource: &policy.Named{Name: a.role.Name, Policy: a.role.trust}}
	if m := s.membership(s.account.ID); m != nil && a.role.Service == "" {
		policies.ResourceControl = m.ResourceControl
	}
	decision := policy.Evaluate(&request, &policies)
	for _, action := range furtherActions(a.tags, "") {
		if decision.Allowed {
			request.Action = action
			decision = policy.Evaluate(&request, &policies)
		}
	}
	if !decision.Allowed {
		a.event.Action = request.Action
		a.event.Remedy = s.remedy(&a.Caller, &request, &policies)
		return &decision, refusal("trust", "", errPodRole)
	}
	return &decision, nil
}

// serviceKeys sets the condition keys of a call that a service of AWS makes, for a
// cluster. The client's address and program are not the service's.
func (s *Server) serviceKeys(x *exchange, keys *policy.Context) {
	for _, key := range []string{"aws:SourceIp", "aws:UserAgent", "aws:Referer"} {
		keys.Delete(key)
	}
	keys.Set("aws:SecureTransport", "true")
	keys.Set("aws:PrincipalIsAWSService", "true")
	keys.Set("aws:PrincipalServiceName", eks.ServicePrincipal)
	keys.Set("aws:SourceArn", s.eks.ARN(x.cluster))
	keys.Set("aws:SourceAccount", x.cluster.Account)
	if m := s.membership(x.cluster.Account); m != nil {
		keys.Set("aws:SourceOrgID", m.ID)
		keys.SetMulti("aws:SourceOrgPaths", m.Path)
	}
}

// assumeTarget begins the session of the target role, as the role of the association: by
// AssumeRole, with the external id of the service account, and with the tags that the
// session passes on. That session's own credentials are given to nobody.
func (s *Server) assumeTarget(x *exchange, by *session) (creds credentials, arn, id string, e *wire.Failure) {
	c, agent := x.Call, x.Caller
	session, why := s.sessionCaller(by)
	if why != "" { // it was deleted just now
		return creds, "", "", s.refuseToken(x.assumption, refusal("trust", why, errPodRole), nil)
	}
	c.Caller = session
	defer func() { c.Caller = agent }()
	a := &assumption{call: x.call, event: eventOf(c), roleARN: x.association.TargetRoleARN, name: x.name, seconds: podTargetSession}
	a.event.Action, a.event.Resource = "sts:AssumeRole", a.roleARN
	a.event.Pod, a.event.Node = x.event.Pod, x.event.Node
	a.policy = x.association.Policy
	for _, check := range []func(*assumption) *tokenFault{s.chain, s.findRole} {
		if fault := check(a); fault != nil {
			return creds, "", "", s.refuseToken(a, fault.answered(errPodRole), nil)
		}
	}
	owner := s.ofRole(a.roleARN)
	external := x.cluster.ExternalID(x.association.Namespace, x.association.ServiceAccount)
	if s.mayAssume(a, owner, append([]string{"sts:AssumeRole"}, furtherActions(a.tags, "")...), &external) != nil {
		return creds, "", "", errPodRole
	}
	creds = s.seal.issue(owner.account.ID, x.remember(a.session()))
	a.role.used.Store(&roleUse{c.At, c.Region})
	arn = owner.assumedARN(a.role, a.name)
	a.event.Decision, a.event.Step, a.event.Reason = Allow, "issued", "credentials of the target role were given out"
	a.event.AccessKeyID, a.event.Session = creds.keyID, &IssuedSession{creds.keyID, arn, creds.expires.UTC()}
	s.logDecided(c, a.event, nil)
	return creds, arn, a.role.ID + ":" + a.name, nil
}
