package emulator

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
	"github.com/openirsa/openirsa/pkg/policy"
)

// Rules of the AssumeRole operations (STS's service model).
var (
	ruleSessionName   = wire.Rule{Required: true, Min: 2, Max: 64, Pattern: patternSession}
	ruleWebToken      = wire.Rule{Required: true, Min: 4, Max: 20000, Secret: true}
	ruleProviderID    = wire.Rule{Min: 4, Max: 2048}
	ruleSessionPolicy = wire.Rule{Min: 1, Max: 2048, Pattern: patternDocument}
)

const (
	defaultDuration = 3600  // seconds
	minDuration     = 900   // seconds
	maxDuration     = 43200 // seconds
	maxPolicyARNs   = 10    // managed session policies
	maxPolicies     = 2048  // characters of all session policies together
)

// assumption is a call under way that is to begin a session.
type assumption struct {
	*call
	event   Event
	roleARN string // as it was asked for
	role    *role
	name    string // of the session
	seconds int
	policy  string
	arns    []string

	tags           []wire.Tag
	transitive     []string // keys of tags
	sourceIdentity string
	owner          int // bytes that the session remembers of its owner
}

// readSession reads the parameters that all AssumeRole operations have.
func (a *assumption) readSession() {
	if a.Has("Policy") {
		a.policy = a.Text("Policy", ruleSessionPolicy)
	}
	a.arns = a.policyARNs()
	a.seconds = a.Number("DurationSeconds", defaultDuration, minDuration, maxDuration)
}

// session is the session of the role.
func (a *assumption) session() *session {
	return &session{
		kind:           roleSession,
		entity:         a.role.ID,
		name:           a.name,
		issued:         a.At,
		expires:        a.At.Add(time.Duration(a.seconds) * time.Second),
		tags:           a.tags,
		transitive:     a.transitive,
		sourceIdentity: a.sourceIdentity,
		policy:         a.policy,
		policyARNs:     a.arns,
	}
}

// parseRoleARN reads the ARN of a role as far as STS does before it looks for
// the role.
func parseRoleARN(arn string) (partition, account string, ok bool) {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) != 6 || parts[0] != "arn" || parts[2] != "iam" || parts[3] != "" || !strings.HasPrefix(parts[5], "role/") {
		return "", "", false
	}
	return parts[1], parts[4], true
}

// notRoleARN is what is wrong with an ARN that is no role's.
func notRoleARN(arn string, answer *wire.Failure) *tokenFault {
	return refusal("parameters", fmt.Sprintf("%q is not the ARN of a role", arn), answer)
}

// policyARNs reads the list of managed session policies.
func (c *call) policyARNs() []string {
	n := c.Size("PolicyArns")
	var arns []string
	for i := range n {
		arns = append(arns, c.TextAt(fmt.Sprintf("PolicyArns.member.%d.arn", i+1), fmt.Sprintf("policyArns.%d.member.arn", i+1), ruleARN))
	}
	c.TooLong("PolicyArns", n, maxPolicyARNs, strings.Join(arns, ", "))
	return arns
}

// refuseToken records why an assumption was refused, and returns what AWS says.
func (s *Server) refuseToken(a *assumption, f *tokenFault, d *policy.Decision) *wire.Failure {
	a.event.Decision, a.event.Step, a.event.Reason, a.event.Code = Deny, f.step, f.why, f.answer.Code
	a.event.Expected, a.event.Found = f.expected, f.found
	s.logDecided(a.Call, a.event, d)
	return f.answer
}

// assumedRole is the role of an ARN, or the one that has its name in the account.
func (s *Server) assumedRole(a *assumption) (r *role, found bool) {
	r = s.iam.roleByName(a.roleARN[strings.LastIndexByte(a.roleARN, '/')+1:])
	return r, r != nil && r.ARN == a.roleARN
}

// furtherActions are what a trust policy must allow besides assuming the role,
// if the session is to have tags or a source identity.
func furtherActions(tags []wire.Tag, sourceIdentity string) []string {
	var actions []string
	if len(tags) > 0 {
		actions = append(actions, "sts:TagSession")
	}
	if sourceIdentity != "" {
		actions = append(actions, "sts:SetSourceIdentity")
	}
	return actions
}

// sessionKeys sets the condition keys of the session that is asked for.
func (s *Server) sessionKeys(a *assumption, keys *policy.Context) {
	keys.Set("sts:RoleSessionName", a.name)
	keys.Set("sts:DurationSeconds", strconv.Itoa(a.seconds))
	if a.sourceIdentity != "" {
		keys.Set("sts:SourceIdentity", a.sourceIdentity)
	}
	if len(a.tags) > 0 {
		names := make([]string, len(a.tags))
		for i, t := range a.tags {
			names[i] = t.Key
			keys.Set("aws:RequestTag/"+t.Key, t.Value)
			if a.Caller.Kind == policy.Anonymous { // a web identity has no tags of its own
				keys.Set("aws:PrincipalTag/"+t.Key, t.Value)
			}
		}
		keys.SetMulti("aws:TagKeys", names...)
	}
	if len(a.transitive) > 0 {
		keys.SetMulti("sts:TransitiveTagKeys", a.transitive...)
	}
	resourceTags(keys, a.role.Tags)
}

// checkSession checks what the trust policy has no say in: the duration, and
// what checkPolicies does.
func (s *Server) checkSession(a *assumption) *tokenFault {
	if a.role != nil && a.seconds > a.role.MaxSession {
		return refusal("duration",
			fmt.Sprintf("%d s were asked for, and sessions of role %s last %d s at most", a.seconds, a.role.Name, a.role.MaxSession),
			wire.ValidationError("The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")).
			between([]string{fmt.Sprintf("at most %d s", a.role.MaxSession)}, []string{fmt.Sprintf("%d s", a.seconds)})

	}
	return s.checkPolicies(a)
}

// checkPolicies checks the session policies, and that they and the tags are not too
// large.
func (s *Server) checkPolicies(a *assumption) *tokenFault {
	if a.policy != "" {
		if _, e := s.iam.newPolicy(policy.Session, a.policy); e != nil {
			return refusal("session policy", "AWS does not take the session policy: "+e.Message, e)
		}
	}
	for _, arn := range a.arns {
		if s.iam.managedPolicy(arn) == nil {
			return refusal("session policy", "there is no managed policy "+arn,
				malformedPolicy("Policy "+arn+" does not exist or is not attachable."))

		}
	}
	if n := packedSize(a); n > 100 {
		return refusal("session policy", fmt.Sprintf("session policies and tags take %d%% of the space there is", n),
			wire.Errorf(http.StatusBadRequest, "PackedPolicyTooLarge", "Packed policy consumes %d%% of allotted space, please use "+
				"smaller policy.", n))

	}
	return nil
}

// packedSize is the PackedPolicySize of a session, in percent. AWS compresses
// policies and tags in a way of its own; this grows with them, is never zero,
// and passes 100 where they pass AWS's limits in the clear.
func packedSize(a *assumption) int {
	policies := len([]rune(a.policy))
	for _, arn := range a.arns {
		policies += len(arn)
	}
	n := 20 + a.owner/25 + policies*60/maxPolicies
	for _, t := range a.tags {
		n += (len(t.Key) + len(t.Value)) / 32
	}
	if policies > maxPolicies {
		n = max(n, policies*100/maxPolicies)
	}
	return max(n, 1)
}

// write writes the Credentials element.
func (k *credentials) write(x *wire.XML) {
	x.Open("Credentials")
	x.Text("AccessKeyId", k.keyID)
	x.Text("SecretAccessKey", k.secret)
	x.Text("SessionToken", k.token)
	x.Time("Expiration", k.expires)
	x.Close("Credentials")
}

// writeAssumed writes the AssumedRoleUser element.
func (s *Server) writeAssumed(x *wire.XML, r *role, session string) {
	x.Open("AssumedRoleUser")
	x.Text("AssumedRoleId", r.ID+":"+session)
	x.Text("Arn", s.assumedARN(r, session))
	x.Close("AssumedRoleUser")
}
