package doctor

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/openirsa/openirsa/pkg/irsa"
	"github.com/openirsa/openirsa/pkg/owner"
	"github.com/openirsa/openirsa/pkg/plan"
	"github.com/openirsa/openirsa/pkg/policy"
	"github.com/openirsa/openirsa/pkg/trust"
)

const assumeAction = "sts:AssumeRoleWithWebIdentity"

// accountOf is the account in an ARN.
func accountOf(arn string) string {
	if part := strings.SplitN(arn, ":", 6); len(part) == 6 {
		return part[4]
	}
	return ""
}

// foreignRole reports whether the role is in an account that the credentials in
// use cannot look into.
func (d *diagnosis) foreignRole() bool {
	arn := d.roleARN()
	return irsa.CheckRoleARN(arn) == nil && d.Account != "" && accountOf(arn) != d.Account
}

// role is link 5: that it exists, and whom it trusts.
func (d *diagnosis) role() {
	const check = "role"
	arn := d.roleARN()
	switch {
	case arn == "":
		d.unknown(plan.Role, check, "the service account names no role")
		return
	case irsa.CheckRoleARN(arn) != nil:
		d.unknown(plan.Role, check, "the service account's role is no ARN")
		return
	case d.AWSErr != nil:
		d.unknown(plan.Role, check, "AWS could not be asked")
		return
	case d.foreignRole():
		d.unknown(plan.Role, check, "it is in account %s, which the credentials of account %s cannot look into", accountOf(arn), d.Account)
		return
	case d.RoleErr != nil:
		d.unknown(plan.Role, check, "%v", d.RoleErr)
		return
	case d.Role == nil:
		d.broken(plan.Role, check, "the role that the service account is annotated with does not exist", arn, "no role of that name in account "+d.Account, d.createRole("", nil))
		return
	case d.Role.ARN != arn:
		d.broken(plan.Role, check, "the role has another path than the annotation says", d.Role.ARN+" as annotation", arn, d.annotate(d.Role.ARN))
		return
	}
	d.ok(plan.Role, check, "%s", arn)
	d.trustPolicy()
	if len(d.Role.PolicyARNs) == 0 && d.Role.Inline == 0 {
		d.warn(plan.Role, "permissions", "the role has no policies: it can be assumed and may do nothing", "a policy", "none", "aws iam attach-role-policy --role-name "+quote(d.Role.Name)+" --policy-arn ARN")
	}
}

// annotate is the command that gives the service account a role.
func (d *diagnosis) annotate(arn string) string {
	return fmt.Sprintf("kubectl --namespace %s annotate --overwrite serviceaccount %s %s=%s", d.Namespace, d.Name, irsa.DefaultPrefix.RoleARN(), quote(arn))
}

// createRole is the command that makes the role, and its trust, as they should
// be.
func (d *diagnosis) createRole(name string, policyARNs []string) string {
	words := []string{"SETUP iamserviceaccount create --namespace", d.Namespace, "--name", d.Name}
	if name != "" {
		words = append(words, "--role-name", quote(name))
		if path := pathOf(d.Role.ARN); !strings.HasPrefix(path, "/openirsa/") {
			words = append(words, "--role-path", quote(path))
		}
	}
	if len(policyARNs) == 0 {
		policyARNs = []string{"ARN"}
	}
	for _, arn := range policyARNs {
		words = append(words, "--attach-policy-arn", quote(arn))
	}
	return strings.Join(append(words, "--override-existing-serviceaccounts --approve"), " ")
}

// pathOf is the path in a role's ARN.
func pathOf(arn string) string {
	_, rest, _ := strings.Cut(arn, ":role")
	return rest[:strings.LastIndexByte(rest, '/')+1]
}

// mendTrust is the command that makes the role trust the service account. A
// role that was made for it is made again as it was; of any other one only the
// trust policy is written.
func (d *diagnosis) mendTrust() string {
	r := d.Role
	made := r.Tags[owner.ServiceAccountTag] == d.account()
	if made && r.Inline == 0 && len(r.PolicyARNs) > 0 && r.Boundary == "" && d.audience() == irsa.Audience {
		return d.createRole(r.Name, r.PolicyARNs)
	}
	document, err := trust.Policy{Providers: []trust.Provider{{
		ARN: d.iss.ProviderARN(d.Partition, d.Account), Issuer: d.iss, Audience: d.audience(), Subjects: []string{d.subject()},
	}}}.Document()
	if err == nil && owner.Shared(r.Tags) {
		document, err = trust.With(r.Trust, document) // the other clusters stay
	}
	if err != nil {
		return "aws iam get-role --role-name " + quote(r.Name)
	}
	return "aws iam update-assume-role-policy --role-name " + quote(r.Name) + " --policy-document " + quote(string(document))
}

// trustPolicy evaluates the role's trust policy as STS does, on what the token
// says.
func (d *diagnosis) trustPolicy() {
	const check = "trust policy"
	if d.iss.IsZero() {
		d.unknown(plan.Role, check, "there is no issuer whose tokens it could trust")
		return
	}
	p, err := policy.Parse(policy.Trust, d.Role.Trust)
	if err != nil {
		d.broken(plan.Role, check, "the trust policy cannot be read", "a trust policy", err.Error(), d.mendTrust())
		return
	}
	provider := d.iss.ProviderARN(d.Partition, d.Account)
	var keys policy.Context
	keys.Set(d.iss.ConditionKey("sub"), d.subject())
	keys.Set(d.iss.ConditionKey("aud"), d.audience())
	keys.Set("aws:FederatedProvider", provider)
	keys.Set("aws:PrincipalAccount", d.Account)
	decision := policy.Evaluate(&policy.Request{
		Principal: policy.Principal{Kind: policy.WebIdentity, Account: d.Account, ARN: provider},
		Action:    assumeAction, Resource: d.Role.ARN, ResourceAccount: d.Account, Context: &keys,
	}, &policy.Policies{Resource: &policy.Named{Name: d.Role.Name, Policy: p}})
	switch {
	case decision.Allowed:
		d.ok(plan.Role, check, "%s lets %s in", decision.Statement, d.subject())
		for _, w := range p.Warnings() {
			d.warn(plan.Role, check, w, "conditions on "+d.iss.ConditionKey("sub")+" and "+d.iss.ConditionKey("aud"), "see the summary", d.mendTrust())
		}
	case decision.Explicit:
		found := decision.Statement.String()
		if len(decision.Matched) > 0 {
			found += ": " + condition(decision.Matched[0])
		}
		d.broken(plan.Role, check, "a statement of the trust policy denies it", "no Deny that "+d.subject()+" meets", found, d.mendTrust())
	case len(decision.Misses) == 0:
		d.broken(plan.Role, check, "no statement of the trust policy speaks of "+d.iss.HostPath(), "Federated "+provider+", Action "+assumeAction, fmt.Sprintf("%d statements about others", decision.Statements), d.mendTrust())
	default:
		d.miss(decision.Misses[0])
	}
}

// miss tells of the statement that came nearest.
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
	case m.Actual == nil:
		// The policy looks at a claim that the token does not have: mostly the
		// issuer is misspelt in the name of the key.
		expected, found = "a condition on "+d.likeKey(m.Key), "a condition on "+m.Key
	case strings.Contains(m.Hint, "StringLike"):
		expected, found = "StringLike "+m.Key+" "+found, m.Operator+" "+m.Key+" "+found
	default:
		expected, found = m.Key+" "+expected, m.Key+" "+found
	}
	d.broken(plan.Role, "trust policy", summary, expected, found, d.mendTrust())
}

// likeKey is the key that was probably meant.
func (d *diagnosis) likeKey(key string) string {
	claim := strings.ToLower(key[strings.LastIndexByte(key, ':')+1:])
	if claim != "aud" {
		claim = "sub"
	}
	return d.iss.ConditionKey(claim)
}

func condition(c policy.Check) string {
	return fmt.Sprintf("%s %s %s", c.Operator, c.Key, join(c.Expected))
}

// serviceAccount is link 6.
func (d *diagnosis) serviceAccount() {
	const check = "annotation"
	key := irsa.DefaultPrefix.RoleARN()
	switch {
	case d.ServiceAccountErr != nil:
		d.unknown(plan.ServiceAccount, check, "%v", d.ServiceAccountErr)
		return
	case d.ServiceAccount == nil:
		return // told with the token
	}
	arn := d.roleARN()
	if arn == "" {
		d.noRole(key)
		return
	}
	if err := irsa.CheckRoleARN(arn); err != nil {
		expected := "arn:" + d.partition() + ":iam::" + d.accountOr("ACCOUNT") + ":role/NAME"
		if trimmed := strings.Trim(arn, " \t\r\n\"'"); irsa.CheckRoleARN(trimmed) == nil {
			expected = trimmed
		}
		d.broken(plan.ServiceAccount, check, key+" is not the ARN of a role: "+err.Error(), expected, fmt.Sprintf("%q", arn), d.annotate(expected))
		return
	}
	if aud, ok := d.ServiceAccount.Annotations[irsa.DefaultPrefix.AudienceKey()]; ok && aud != "" {
		if err := irsa.CheckAudience(aud); err != nil {
			d.broken(plan.ServiceAccount, check, irsa.DefaultPrefix.AudienceKey()+": "+err.Error(), irsa.Audience, fmt.Sprintf("%q", aud),
				fmt.Sprintf("kubectl --namespace %s annotate serviceaccount %s %s-", d.Namespace, d.Name, irsa.DefaultPrefix.AudienceKey()))
			return
		}
	}
	if d.Partition != "" && !strings.HasPrefix(arn, "arn:"+d.Partition+":") {
		expected := "arn:" + d.Partition + arn[strings.Index(arn, ":iam:"):]
		d.broken(plan.ServiceAccount, check, "the role is in another partition of AWS than the account", expected, arn, d.annotate(expected))
		return
	}
	if d.foreignRole() {
		if d.Call == nil || d.Call.Identity == "" {
			expected := strings.Replace(arn, "::"+accountOf(arn)+":", "::"+d.Account+":", 1)
			d.broken(plan.ServiceAccount, check, "the role is in another account than the provider, and cannot be assumed", expected, arn, d.annotate(expected))
			return
		}
		d.ok(plan.ServiceAccount, check, "%s, in another account than these credentials", arn)
		return
	}
	d.ok(plan.ServiceAccount, check, "%s", arn)
}

func (d *diagnosis) partition() string {
	if d.Partition == "" {
		return "aws"
	}
	return d.Partition
}

func (d *diagnosis) accountOr(otherwise string) string {
	if d.Account == "" {
		return otherwise
	}
	return d.Account
}

// noRole tells why a service account has no role: mostly the annotation is
// there, and misspelt, or on another service account.
func (d *diagnosis) noRole(key string) {
	for _, k := range slices.Sorted(maps.Keys(d.ServiceAccount.Annotations)) {
		v := d.ServiceAccount.Annotations[k]
		if k == key || !strings.Contains(v, ":role/") && !misspelt(k, key) {
			continue
		}
		arn := v
		if irsa.CheckRoleARN(arn) != nil {
			arn = "ARN"
		}
		d.broken(plan.ServiceAccount, "annotation", "the service account's annotation is misspelt", key, k, d.annotate(arn)+" "+k+"-")
		return
	}
	found := "no such annotation"
	if len(d.Elsewhere) > 0 {
		found = "it is on " + join(d.Elsewhere)
	}
	d.broken(plan.ServiceAccount, "annotation", "service account "+d.account()+" has no role", key, found,
		fmt.Sprintf("SETUP iamserviceaccount create --namespace %s --name %s --attach-policy-arn ARN --approve", d.Namespace, d.Name))
}

// HasRole reports whether annotations give a role, or were meant to.
func HasRole(annotations map[string]string) bool {
	key := irsa.DefaultPrefix.RoleARN()
	for k := range annotations {
		if k == key || misspelt(k, key) {
			return true
		}
	}
	return false
}

// misspelt reports whether a key was probably meant to be another: a few
// letters differ.
func misspelt(a, b string) bool {
	const most = 3
	if d := len(a) - len(b); d > most || d < -most {
		return false
	}
	a, b = strings.ToLower(a), strings.ToLower(b)
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)] <= most
}
