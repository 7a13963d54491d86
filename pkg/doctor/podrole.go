package doctor

import (
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/openirsa/openirsa/pkg/irsa"
	"github.com/openirsa/openirsa/pkg/plan"
	"github.com/openirsa/openirsa/pkg/policy"
	"github.com/openirsa/openirsa/pkg/trust"
)

// podRole checks the role of the association, and its target role.
func (d *diagnosis) podRole() {
	const check = "role of association"
	p := &d.PodIdentity
	arn := p.Association.RoleARN
	switch {
	case p.RoleErr != nil:
		d.unknown(plan.Role, check, "%v", p.RoleErr)
		return
	case d.Account != "" && accountOf(arn) != d.Account:
		d.unknown(plan.Role, check, "it is in account %s, which the credentials of account %s cannot look into", accountOf(arn), d.Account)
		return
	case p.Role == nil:
		d.broken(Finding{
			Link: plan.Role, Check: check,
			Summary:  "the role of the association does not exist",
			Expected: arn, Found: "no role of that name in account " + d.Account, Fix: d.associate("--permission-policy-arns", "ARN"),
		})
		return
	case p.Role.ARN != arn:
		d.broken(Finding{
			Link: plan.Role, Check: check,
			Summary:  "the role has another path than the association says",
			Expected: p.Role.ARN + " in the association", Found: arn, Fix: d.reassociate("--role-arn", p.Role.ARN),
		})
		return
	}
	d.ok(plan.Role, check, "%s", arn)
	if !d.trustsPods() {
		return
	}
	if p.Association.TargetRoleARN != "" {
		d.targetRole()
		return
	}
	if len(p.Role.PolicyARNs) == 0 && p.Role.Inline == 0 {
		d.warn(Finding{
			Link: plan.Role, Check: "permissions",
			Summary:  "the role has no policies: it can be assumed and may do nothing",
			Expected: "a policy", Found: "none",
			Fix: run("aws", "iam", "attach-role-policy", "--role-name", p.Role.Name, "--policy-arn", "ARN"),
		})
	}
}

// trustsPods checks that the trust policy of the association's role lets in the service,
// as EKS Auth calls STS for a pod of the service account.
func (d *diagnosis) trustsPods() bool {
	const check = "trust policy"
	r := d.PodIdentity.Role
	p, err := policy.Parse(policy.Trust, r.Trust)
	if err != nil {
		d.broken(Finding{
			Link: plan.Role, Check: check,
			Summary:  "the trust policy cannot be read",
			Expected: "a trust policy", Found: err.Error(), Fix: showRole(r.Name),
		})
		return false
	}
	call := d.podCall()
	for _, action := range call.actions() {
		switch decision := call.decide(r, p, action, true); {
		case decision.Allowed:
		case decision.Explicit:
			d.deniedPods(action, decision)
			return false
		default:
			d.missedPods(action, decision)
			return false
		}
	}
	for _, action := range call.actions() {
		if !call.decide(r, p, action, false).Allowed {
			keys := slices.DeleteFunc(p.ConditionKeys(), func(key string) bool { return !call.undecided(key) })
			d.unknown(plan.Role, check, "whether pods of %s are let in depends on %s, which AWS sees when an agent asks",
				d.account(), join(keys))
			return true
		}
	}
	d.ok(plan.Role, check, "it lets in %s for pods of %s", trust.PodIdentityPrincipal, d.account())
	return true
}

// podCall is the call for a pod of the service account.
func (d *diagnosis) podCall() PodCall {
	c := PodCall{
		ClusterARN: d.clusterARN(), Namespace: d.Namespace, ServiceAccount: d.Name,
		Untagged: d.PodIdentity.Association.DisableSessionTags, AWSTime: d.AWSTime,
	}
	if len(d.Pods) > 0 {
		c.PodName, c.PodUID = d.Pods[0].Name, string(d.Pods[0].UID)
	}
	return c
}

// clusterARN is the ARN of the cluster in EKS.
func (d *diagnosis) clusterARN() string {
	if p := &d.PodIdentity; p.EKS != nil && p.EKS.ARN != "" {
		return p.EKS.ARN
	}
	return "arn:" + d.partition() + ":eks:" + d.PodIdentity.Region + ":" + d.Account + ":cluster/" + d.PodIdentity.Cluster
}

// deniedPods reports the statement that shuts the pods out.
func (d *diagnosis) deniedPods(action string, decision policy.Decision) {
	found := decision.Statement.String()
	if len(decision.Matched) > 0 {
		found += ": " + condition(decision.Matched[0])
	}
	d.broken(Finding{
		Link: plan.Role, Check: "trust policy",
		Summary:  "a statement of the trust policy denies " + action + " for pods of " + d.account(),
		Expected: "no Deny of " + action + " that they meet", Found: found,
		Fix: showRole(d.PodIdentity.Role.Name).noting("and take the statement out of its trust policy, or give it an exception"),
	})
}

// missedPods reports the statement that came nearest to letting the pods in.
func (d *diagnosis) missedPods(action string, decision policy.Decision) {
	f := Finding{
		Link: plan.Role, Check: "trust policy",
		Summary:  "no statement of the trust policy lets in " + trust.PodIdentityPrincipal,
		Expected: "Service " + trust.PodIdentityPrincipal + ", Action " + assumeRole + ", " + tagSession,
		Found:    strconv.Itoa(decision.Statements) + " statements about others", Fix: d.admitPods(),
	}
	if len(decision.Misses) == 0 {
		d.broken(f)
		return
	}
	m := decision.Misses[0]
	f.Expected, f.Found = missValues(m)
	switch {
	case m.Element == "Action" && action == tagSession:
		f.Summary = "the trust policy does not let the session be tagged, and the association has session tags"
	case m.Element == "Principal":
		f.Expected = "Service " + trust.PodIdentityPrincipal
	case m.Element == "Condition" && m.Actual == nil && d.PodIdentity.Association.DisableSessionTags && strings.Contains(m.Key, "Tag"):
		f.Summary = "the trust policy asks for a session tag, which the association has switched off"
		f.Expected = "session tags, or no condition on " + m.Key
		if d.PodIdentity.Association.Policy == "" { // which needs them to be off
			f.Fix = d.reassociate("--no-disable-session-tags")
		}
	case m.Element == "Condition" && m.Actual == nil:
		f.Summary = "the trust policy asks for what the call of EKS for a pod does not have"
		f.Expected = "no condition on " + m.Key
	case m.Element == "Condition":
		f.Summary = "the trust policy does not let pods of " + d.account() + " in: its statement " + strconv.Itoa(m.Index) + " does not match"
	}
	if m.Hint != "" {
		f.Summary += ". " + strings.TrimSuffix(m.Hint, ".")
	}
	d.broken(f)
}

// missValues are what a call has, and what a statement asks for instead.
func missValues(m policy.Miss) (expected, found string) {
	if m.Element != "Condition" {
		return m.Element + " " + join(m.Actual), m.Element + " " + join(m.Expected)
	}
	return m.Key + " " + join(m.Actual), m.Key + " " + join(m.Expected)
}

// admitPods is the command that has the role let in the pods of the service account, and
// whom it let in before. Where a Deny stands in the way it only shows the role.
func (d *diagnosis) admitPods() Fix {
	r := d.PodIdentity.Role
	document, err := d.admittingPods()
	if err != nil {
		return showRole(r.Name).noting("and have its trust policy let in " + trust.PodIdentityPrincipal)
	}
	return putTrust(r.Name, document)
}

func (d *diagnosis) admittingPods() ([]byte, error) {
	pods := trust.Pods{ClusterARN: d.clusterARN()}
	if !d.PodIdentity.Association.DisableSessionTags {
		pods.Namespace, pods.ServiceAccount = d.Namespace, d.Name
	}
	document, err := trust.WithPods(d.PodIdentity.Role.Trust, pods)
	if err != nil {
		return nil, err
	}
	p, err := policy.Parse(policy.Trust, document)
	if err != nil {
		return nil, err
	}
	call := d.podCall()
	for _, action := range call.actions() {
		if !call.decide(d.PodIdentity.Role, p, action, true).Allowed {
			return nil, errors.New("it stays out")
		}
	}
	return document, trust.CheckSize(document, trust.MaxSizeQuota)
}

// showRole is the command that shows a role.
func showRole(name string) Fix { return run("aws", "iam", "get-role", "--role-name", name) }

// putTrust is the command that writes a role's trust policy.
func putTrust(name string, document []byte) Fix {
	return run("aws", "iam", "update-assume-role-policy", "--role-name", name, "--policy-document", string(document))
}

// targetRole checks that the association's role may assume the target role, and that this
// one lets it in.
func (d *diagnosis) targetRole() {
	const check = "target role"
	p := &d.PodIdentity
	a := p.Association
	actions := d.podCall().actions()
	for _, action := range actions {
		// A trust policy of the same account may let a role in that its own policies do
		// not speak of.
		grant := p.Grants[action]
		if grant != "explicitDeny" && (grant != "implicitDeny" || accountOf(a.TargetRoleARN) == d.Account) {
			continue
		}
		d.broken(d.ungranted(action, grant))
		return
	}
	switch {
	case accountOf(a.TargetRoleARN) != d.Account:
		d.unknown(plan.Role, check, "%s is in account %s, which the credentials of account %s cannot look into",
			a.TargetRoleARN, accountOf(a.TargetRoleARN), d.Account)
		return
	case p.TargetErr != nil:
		d.unknown(plan.Role, check, "%v", p.TargetErr)
		return
	case p.Target == nil || p.Target.ARN != a.TargetRoleARN:
		found, arn := "no role of that name", "ARN"
		if p.Target != nil {
			found, arn = p.Target.ARN, p.Target.ARN
		}
		d.broken(Finding{
			Link: plan.Role, Check: check,
			Summary:  "the target role of the association does not exist",
			Expected: a.TargetRoleARN, Found: found, Fix: d.reassociate("--target-role-arn", arn),
		})
		return
	}
	document, err := policy.Parse(policy.Trust, p.Target.Trust)
	if err != nil {
		d.broken(Finding{
			Link: plan.Role, Check: check,
			Summary:  "the trust policy of the target role cannot be read",
			Expected: "a trust policy", Found: err.Error(), Fix: showRole(p.Target.Name),
		})
		return
	}
	for _, action := range actions {
		if decision := d.decideTarget(document, action); !decision.Allowed {
			d.targetRefuses(action, decision)
			return
		}
	}
	d.ok(plan.Role, check, "%s, external id %s", a.TargetRoleARN, d.externalID())
}

// ungranted is that the policies of the first role do not let it assume the target.
func (d *diagnosis) ungranted(action, grant string) Finding {
	p := &d.PodIdentity
	f := Finding{
		Link: plan.Role, Check: "target role",
		Summary:  "the policies of the association's role do not let it call " + action + " on the target role",
		Expected: "Allow " + action + " on " + p.Association.TargetRoleARN, Found: grant + " by the policies of " + p.Association.RoleARN,
		Fix: run("aws", "iam", "put-role-policy", "--role-name", p.Role.Name, "--policy-name", "target", "--policy-document",
			statement(d.podCall().actions(), p.Association.TargetRoleARN)),
	}
	if grant == "explicitDeny" {
		f.Fix = showRole(p.Role.Name).noting("and take out the Deny in its policies")
	}
	return f
}

// statement is a policy document that allows actions on a resource.
func statement(actions []string, resource string) string {
	document, _ := json.Marshal(map[string]any{ // of texts alone
		"Version": "2012-10-17", "Statement": []any{map[string]any{"Effect": "Allow", "Action": actions, "Resource": resource}},
	})
	return string(document)
}

// externalID is what the trust policy of the target role may ask for.
func (d *diagnosis) externalID() string {
	if id := d.PodIdentity.Association.ExternalID; id != "" {
		return id
	}
	part := strings.SplitN(d.clusterARN(), ":", 6)
	return strings.Join([]string{part[3], part[4], d.PodIdentity.Cluster, d.Namespace, d.Name}, "/")
}

// decideTarget evaluates the trust policy of the target role for the session of the first
// one, together with what that one's own policies say.
func (d *diagnosis) decideTarget(document *policy.Policy, action string) policy.Decision {
	p, call := &d.PodIdentity, d.podCall()
	var keys policy.Context
	keys.Set("sts:ExternalId", d.externalID())
	keys.Set("aws:PrincipalArn", p.Role.ARN)
	keys.Set("aws:PrincipalAccount", d.Account)
	keys.Set("aws:PrincipalIsAWSService", "false")
	keys.Set("aws:ResourceAccount", d.Account)
	keys.Set("aws:SecureTransport", "true")
	for k, v := range p.Role.Tags {
		keys.Set("aws:PrincipalTag/"+k, v)
	}
	call.commonKeys(&keys, p.Target)
	if !call.Untagged {
		call.sessionTags(&keys, "aws:RequestTag/")
		call.sessionTags(&keys, "aws:PrincipalTag/")
	}
	policies := policy.Policies{Resource: &policy.Named{Name: p.Target.Name, Policy: document.Assuming(true, call.undecided)}}
	if p.Grants[action] == "allowed" {
		if all, err := policy.Parse(policy.Identity, []byte(statement([]string{action}, p.Target.ARN))); err == nil {
			policies.Identity = []policy.Named{{Name: p.Role.Name, Policy: all}}
		}
	}
	return policy.Evaluate(&policy.Request{
		Principal: policy.Principal{
			Kind: policy.RoleSession, Account: d.Account, ARN: sessionOf(p.Role.ARN) + "/eks", EntityARN: p.Role.ARN,
		},
		Action: action, Resource: p.Target.ARN, ResourceAccount: d.Account, Context: &keys,
	}, &policies)
}

// targetRefuses reports why the target role does not let the first one in.
func (d *diagnosis) targetRefuses(action string, decision policy.Decision) {
	p := &d.PodIdentity
	f := Finding{
		Link: plan.Role, Check: "target role",
		Summary:  "the trust policy of the target role does not let in the role of the association, for " + action,
		Expected: "AWS " + p.Role.ARN + ", Action " + join(d.podCall().actions()) + ", sts:ExternalId " + d.externalID(),
		Found:    strconv.Itoa(decision.Statements) + " statements about others", Fix: d.admitRole(),
	}
	switch {
	case decision.Explicit:
		f.Found, f.Fix = decision.Statement.String(), showRole(p.Target.Name).noting("and take the statement out of its trust policy")
	case len(decision.Misses) > 0:
		m := decision.Misses[0]
		f.Expected, f.Found = missValues(m)
		switch {
		case m.Element == "Principal":
			f.Expected = "AWS " + p.Role.ARN
		case m.Element == "Condition" && m.Actual == nil:
			f.Expected = "no condition on " + m.Key
		case strings.EqualFold(m.Key, "sts:ExternalId"):
			f.Summary = "the trust policy of the target role asks for another external id than that of " + d.account()
		}
	}
	d.broken(f)
}

// admitRole is the command that has the target role let in the first one, for this service
// account.
func (d *diagnosis) admitRole() Fix {
	p := &d.PodIdentity
	ours, err := json.Marshal(map[string]any{"Version": "2012-10-17", "Statement": []any{map[string]any{
		"Effect": "Allow", "Principal": map[string]string{"AWS": p.Role.ARN}, "Action": d.podCall().actions(),
		"Condition": map[string]any{"StringEquals": map[string]string{"sts:ExternalId": d.externalID()}},
	}}})
	if err == nil {
		ours, err = trust.Add(p.Target.Trust, ours)
	}
	if err == nil {
		err = trust.CheckSize(ours, trust.MaxSizeQuota)
	}
	if err != nil {
		return showRole(p.Target.Name).noting("and have its trust policy let in " + p.Role.ARN)
	}
	return putTrust(p.Target.Name, ours)
}

// annotationKey is that of the role on a service account.
var annotationKey = irsa.DefaultPrefix.RoleARN()
