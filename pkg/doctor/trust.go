package doctor

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/openirsa/openirsa/pkg/irsa"
	"github.com/openirsa/openirsa/pkg/owner"
	"github.com/openirsa/openirsa/pkg/plan"
	"github.com/openirsa/openirsa/pkg/policy"
	"github.com/openirsa/openirsa/pkg/trust"
)

// assumeAction is the one that a trust policy has to allow.
const assumeAction = "sts:AssumeRoleWithWebIdentity"

// trustPolicy evaluates the role's trust policy as STS does, on what the token
// says. Of conditions on what only AWS sees of a call the real call decides.
func (d *diagnosis) trustPolicy() {
	const check = "trust policy"
	if d.iss.IsZero() {
		d.unknown(plan.Role, check, "there is no issuer whose tokens it could trust")
		return
	}
	p, err := policy.Parse(policy.Trust, d.Role.Trust)
	if err != nil {
		d.broken(Finding{
			Link: plan.Role, Check: check,
			Summary:  "the trust policy cannot be read",
			Expected: "a trust policy", Found: err.Error(), Fix: d.fixTrust(),
		})
		return
	}
	keys := d.keys()
	decision := d.decide(p, keys, true)
	switch {
	case decision.Allowed && d.decide(p, keys, false).Allowed:
		d.ok(plan.Role, check, "%s lets %s in", decision.Statement, d.subject())
	case decision.Allowed && d.assumed():
		d.ok(plan.Role, check, "%s lets %s in; its conditions on %s let the call from here in",
			decision.Statement, d.subject(), join(unknownKeys(p, keys)))
	case decision.Allowed:
		d.undecided = unknownKeys(p, keys)
		d.unknown(plan.Role, check, "whether %s is let in depends on %s, which AWS sees when a pod calls", d.subject(), join(d.undecided))
		return
	case decision.Explicit:
		found := decision.Statement.String()
		if len(decision.Matched) > 0 {
			found += ": " + condition(decision.Matched[0])
		}
		d.broken(Finding{
			Link: plan.Role, Check: check,
			Summary:  "a statement of the trust policy denies it",
			Expected: "no Deny that " + d.subject() + " meets", Found: found, Fix: d.fixTrust(),
		})
		return
	case len(decision.Misses) == 0:
		d.broken(Finding{
			Link: plan.Role, Check: check,
			Summary:  "no statement of the trust policy speaks of " + d.iss.HostPath(),
			Expected: "Federated " + d.providerARN() + ", Action " + assumeAction,
			Found:    fmt.Sprintf("%d statements about others", decision.Statements), Fix: d.fixTrust(),
		})
		return
	default:
		d.miss(decision.Misses[0])
		return
	}
	for _, w := range p.Warnings() {
		d.warn(Finding{
			Link: plan.Role, Check: check,
			Summary:  w,
			Expected: "conditions on " + d.iss.ConditionKey("sub") + " and " + d.iss.ConditionKey("aud"), Found: "see the summary",
			Fix: d.narrowTrust(),
		})
	}
}

// providerARN is that of the issuer's provider.
func (d *diagnosis) providerARN() string { return d.iss.ProviderARN(d.Partition, d.Account) }

// keys are the condition keys of AssumeRoleWithWebIdentity by a pod, as far as they are
// known.
func (d *diagnosis) keys() *policy.Context {
	var keys policy.Context
	keys.Set(d.iss.ConditionKey("sub"), d.subject())
	keys.Set(d.iss.ConditionKey("aud"), d.audience())
	keys.Set("aws:FederatedProvider", d.providerARN())
	keys.Set("aws:PrincipalAccount", d.Account)
	keys.Set("aws:ResourceAccount", d.Account)
	keys.Set("aws:PrincipalIsAWSService", "false")
	keys.Set("aws:ViaAWSService", "false")
	keys.Set("aws:SecureTransport", strconv.FormatBool(!strings.HasPrefix(d.Endpoint, "http://")))
	for k, v := range d.Role.Tags {
		keys.Set("aws:ResourceTag/"+k, v)
	}
	if at := d.AWSTime; !at.IsZero() {
		keys.Set("aws:CurrentTime", at.UTC().Format(time.RFC3339))
		keys.Set("aws:EpochTime", strconv.FormatInt(at.Unix(), 10))
	}
	return &keys
}

// isUnknown reports whether a call may have a condition key with any value. Those
// of providers are all known: a token has them or not.
func isUnknown(keys *policy.Context) func(key string) bool {
	return func(key string) bool {
		_, known := keys.Values(key)
		return !known && ofCall(key) && !strings.HasPrefix(strings.ToLower(key), "aws:resourcetag/")
	}
}

// ofCall reports whether a condition key is about the call, not about the token.
func ofCall(key string) bool {
	service, _, _ := strings.Cut(strings.ToLower(key), ":")
	return service == "aws" || service == "sts"
}

// unknownKeys are the condition keys of a policy whose values only AWS knows.
func unknownKeys(p *policy.Policy, keys *policy.Context) []string {
	unknown := isUnknown(keys)
	return slices.DeleteFunc(p.ConditionKeys(), func(key string) bool { return !unknown(key) })
}

// decide evaluates a trust policy for the service account's token, as if all
// that is unknown turned out well for it, or badly.
func (d *diagnosis) decide(p *policy.Policy, keys *policy.Context, well bool) policy.Decision {
	return policy.Evaluate(&policy.Request{
		Principal: policy.Principal{Kind: policy.WebIdentity, Account: d.Account, ARN: d.providerARN()},
		Action:    assumeAction, Resource: d.Role.ARN, ResourceAccount: d.Account, Context: keys,
	}, &policy.Policies{Resource: &policy.Named{Name: d.Role.Name, Policy: p.Assuming(well, isUnknown(keys))}})
}

// remade is the command that makes the role again as it was, if it was made for the
// service account. There is none for other roles.
func (d *diagnosis) remade() (fix Fix, ok bool) {
	r := d.Role
	whole := r.Inline == 0 && len(r.PolicyARNs) > 0 && r.Boundary == ""
	if r.Tags[owner.ServiceAccountTag] != d.account() || !whole || d.audience() != irsa.Audience {
		return Fix{}, false
	}
	return d.createRole(r.Name, r.PolicyARNs), true
}

// fixTrust is the command that makes the role trust the service account. Of a
// role that was not made for it only the trust policy is written.
func (d *diagnosis) fixTrust() Fix {
	if fix, ok := d.remade(); ok {
		return fix
	}
	document, err := d.admitting()
	if err != nil {
		return d.showRole().noting("and have its trust policy let in " + d.subject())
	}
	return putTrust(d.Role.Name, document)
}

// narrowTrust is the command for a trust policy that lets in more than is meant,
// which nobody knows but its author.
func (d *diagnosis) narrowTrust() Fix {
	if fix, ok := d.remade(); ok {
		return fix
	}
	return d.showRole().noting("and name in its trust policy who is meant")
}

// showRole is the command that shows the role.
func (d *diagnosis) showRole() Fix { return showRole(d.Role.Name) }

// admitting is the role's trust policy made to let in the service account too,
// and nobody else. Those it lets in stay let in, on the same conditions.
func (d *diagnosis) admitting() ([]byte, error) {
	ours, err := trust.Policy{
		Providers: []trust.Provider{{ARN: d.providerARN(), Issuer: d.iss, Audience: d.audience(), Subjects: []string{d.subject()}}},
		Limit:     trust.MaxSizeQuota,
	}.Document()
	if err != nil {
		return nil, err
	}
	document := d.Role.Trust
	if _, err := trust.Add(document, ours); err != nil {
		return ours, nil // there is nothing that could be kept
	}
	const most = 32 // more statements than a trust policy has room for
	for range most {
		decision, err := d.outcome(document)
		switch {
		case err != nil:
			return nil, err
		case decision.Allowed:
			return document, trust.CheckSize(document, trust.MaxSizeQuota)
		case slices.ContainsFunc(decision.Matched, func(c policy.Check) bool { return ofCall(c.Key) }),
			slices.ContainsFunc(decision.Misses, func(m policy.Miss) bool { return ofCall(m.Key) }):
			return nil, errors.New("a condition on the call shuts it out") // which somebody meant
		case decision.Explicit:
			document, err = trust.AddValue(document, decision.Statement.Index, "StringNotEquals", d.iss.ConditionKey("sub"), d.subject())
		default:
			document, err = d.allowing(document, ours, decision.Misses)
		}
		if err != nil {
			return nil, err
		}
	}
	return nil, errors.New("the service account stays out")
}

// allowing is a document in which a statement that lets in others on the right
// conditions names the service account too, or else with a statement of its own.
func (d *diagnosis) allowing(document, ours []byte, misses []policy.Miss) ([]byte, error) {
	for _, m := range misses {
		equals := strings.Contains(m.Operator, "String") && !strings.Contains(m.Operator, "Not")
		if m.Element != "Condition" || !equals || !strings.EqualFold(m.Key, d.iss.ConditionKey("sub")) {
			continue
		}
		named, err := trust.AddValue(document, m.Index, m.Operator, m.Key, d.subject())
		if err != nil {
			return nil, err
		}
		if decision, err := d.outcome(named); err == nil && decision.Allowed {
			return named, nil
		}
	}
	return trust.Add(document, ours)
}

// outcome is the decision by a document if all that is unknown turns out well.
func (d *diagnosis) outcome(document []byte) (policy.Decision, error) {
	p, err := policy.Parse(policy.Trust, document)
	if err != nil {
		return policy.Decision{}, err
	}
	return d.decide(p, d.keys(), true), nil
}

// miss reports the statement that came nearest to letting the service account in.
func (d *diagnosis) miss(m policy.Miss) {
	summary := fmt.Sprintf("the trust policy does not let the service account in: its statement %d does not match", m.Index)
	if m.Sid != "" {
		summary = fmt.Sprintf("the trust policy does not let the service account in: its statement %q does not match", m.Sid)
	}
	if m.Hint != "" {
		summary += ". " + strings.TrimSuffix(m.Hint, ".")
	}
	expected, found := join(m.Actual), join(m.Expected)
	switch {
	case m.Element != "Condition":
		expected, found = m.Element+" "+expected, m.Element+" "+found
	case m.Actual == nil && !ofCall(m.Key):
		// The policy looks at a claim that the token does not have: mostly the
		// issuer is misspelt in the name of the key.
		expected, found = "a condition on "+d.likeKey(m.Key), "a condition on "+m.Key
	case strings.Contains(m.Hint, "StringLike"):
		expected, found = "StringLike "+m.Key+" "+found, m.Operator+" "+m.Key+" "+found
	default:
		expected, found = m.Key+" "+expected, m.Key+" "+found
	}
	d.broken(Finding{
		Link: plan.Role, Check: "trust policy",
		Summary:  summary,
		Expected: expected, Found: found, Fix: d.fixTrust(),
	})
}

// likeKey is the key that was probably meant.
func (d *diagnosis) likeKey(key string) string {
	claim := strings.ToLower(key[strings.LastIndexByte(key, ':')+1:])
	if claim != "aud" {
		claim = "sub"
	}
	return d.iss.ConditionKey(claim)
}

// condition is a condition as findings show it.
func condition(c policy.Check) string {
	return fmt.Sprintf("%s %s %s", c.Operator, c.Key, join(c.Expected))
}
