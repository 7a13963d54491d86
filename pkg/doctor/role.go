package doctor

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/openirsa/openirsa/pkg/irsa"
	"github.com/openirsa/openirsa/pkg/plan"
)

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
		d.broken(Finding{
			Link: plan.Role, Check: check,
			Summary:  "the role that the service account is annotated with does not exist",
			Expected: arn, Found: "no role of that name in account " + d.Account, Fix: d.createRole("", nil),
		})
		return
	case d.Role.ARN != arn:
		d.broken(Finding{
			Link: plan.Role, Check: check,
			Summary:  "the role has another path than the annotation says",
			Expected: d.Role.ARN + " as annotation", Found: arn, Fix: d.annotate(d.Role.ARN),
		})
		return
	}
	d.ok(plan.Role, check, "%s", arn)
	d.trustPolicy()
	if len(d.Role.PolicyARNs) == 0 && d.Role.Inline == 0 {
		d.warn(Finding{
			Link: plan.Role, Check: "permissions",
			Summary:  "the role has no policies: it can be assumed and may do nothing",
			Expected: "a policy", Found: "none",
			Fix: run("aws", "iam", "attach-role-policy", "--role-name", d.Role.Name, "--policy-arn", "ARN"),
		})
	}
}

// serviceAccount is link 6: that the service account is annotated with its role.
func (d *diagnosis) serviceAccount() {
	const check = "annotation"
	key := irsa.DefaultPrefix.RoleARN()
	switch {
	case d.ServiceAccountErr != nil:
		d.unknown(plan.ServiceAccount, check, "%v", d.ServiceAccountErr)
		return
	case d.ServiceAccount == nil:
		return // reported with the token
	}
	d.ignored()
	arn := d.roleARN()
	if arn == "" {
		d.noRole(key)
		return
	}
	if err := irsa.CheckRoleARN(arn); err != nil {
		if otherSTS(arn) {
			d.unknown(plan.ServiceAccount, check, "%s is a role of another STS than AWS's: "+
				"pods get it where the webhook takes ARNs of foreign roles",
				arn)
			return
		}
		expected := "arn:" + d.partition() + ":iam::" + d.accountOr("ACCOUNT") + ":role/NAME"
		if trimmed := strings.Trim(arn, " \t\r\n\"'"); irsa.CheckRoleARN(trimmed) == nil {
			expected = trimmed
		}
		d.broken(Finding{
			Link: plan.ServiceAccount, Check: check,
			Summary:  key + " is not the ARN of a role: " + err.Error(),
			Expected: expected, Found: fmt.Sprintf("%q", arn), Fix: d.annotate(expected),
		})
		return
	}
	if d.Partition != "" && !strings.HasPrefix(arn, "arn:"+d.Partition+":") {
		expected := "arn:" + d.Partition + arn[strings.Index(arn, ":iam:"):]
		d.broken(Finding{
			Link: plan.ServiceAccount, Check: check,
			Summary:  "the role is in another partition of AWS than the account",
			Expected: expected, Found: arn, Fix: d.annotate(expected),
		})
		return
	}
	if d.foreignRole() {
		if d.Call == nil || d.Call.Identity == "" {
			expected := strings.Replace(arn, "::"+accountOf(arn)+":", "::"+d.Account+":", 1)
			d.broken(Finding{
				Link: plan.ServiceAccount, Check: check,
				Summary:  "the role is in another account than the provider, and cannot be assumed",
				Expected: expected, Found: arn, Fix: d.annotate(expected),
			})
			return
		}
		d.ok(plan.ServiceAccount, check, "%s, in another account than these credentials", arn)
		return
	}
	d.ok(plan.ServiceAccount, check, "%s", arn)
}

// ignored reports annotations that do not have the effect that they were written for.
func (d *diagnosis) ignored() {
	keys := irsa.DefaultPrefix.IgnoredKeys(d.ServiceAccount.Annotations)
	slices.Sort(keys)
	for _, key := range keys {
		one := map[string]string{key: ""}
		for _, why := range irsa.DefaultPrefix.Ignored(one) {
			d.warn(Finding{
				Link: plan.ServiceAccount, Check: "ignored annotation",
				Summary:  "of service account " + d.account() + ": " + why,
				Expected: "no annotation " + key, Found: key, Fix: d.unannotate(key),
			})
		}
	}
	for _, key := range irsa.DefaultPrefix.OnServiceAccounts() {
		v, ok := d.ServiceAccount.Annotations[key]
		if !ok || key == irsa.DefaultPrefix.RoleARN() {
			continue
		}
		// Read with a role, which they do not depend on.
		_, warnings, _ := irsa.DefaultPrefix.Identity(map[string]string{irsa.DefaultPrefix.RoleARN(): anyRole, key: v}, irsa.Defaults{})
		for _, why := range warnings {
			d.warn(Finding{
				Link: plan.ServiceAccount, Check: "malformed annotation",
				Summary:  why,
				Expected: "a value that can be used", Found: fmt.Sprintf("%.100q", v), Fix: d.unannotate(key),
			})
		}
	}
}

// anyRole stands for a role where it does not matter which.
const anyRole = "arn:aws:iam::123456789012:role/any"

// otherSTS reports whether an ARN is meant for another STS than AWS's, rather than
// a mistake at AWS.
func otherSTS(arn string) bool {
	part := strings.SplitN(arn, ":", 6)
	if irsa.CheckForeignRoleARN(arn) != nil {
		return false
	}
	return part[4] == "" || !strings.HasPrefix(part[1], "aws") || part[2] == "sts" || strings.HasPrefix(part[4], "RGW")
}

// partition is that of the account, or "aws" if it is not known.
func (d *diagnosis) partition() string {
	if d.Partition == "" {
		return "aws"
	}
	return d.Partition
}

// accountOr is the account, or something else if it is not known.
func (d *diagnosis) accountOr(otherwise string) string {
	if d.Account == "" {
		return otherwise
	}
	return d.Account
}

// noRole reports why a service account has no role: mostly the annotation is misspelt,
// or on its pods or on another service account.
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
		d.broken(Finding{
			Link: plan.ServiceAccount, Check: "annotation",
			Summary:  "the service account's annotation is misspelt",
			Expected: key, Found: k, Fix: d.annotate(arn, k+"-"),
		})
		return
	}
	for i := range d.Pods {
		p := &d.Pods[i]
		if arn := p.Annotations[key]; irsa.CheckRoleARN(arn) == nil {
			d.broken(Finding{
				Link: plan.ServiceAccount, Check: "annotation",
				Summary:  "service account " + d.account() + " has no role; the annotation on its pods means nothing",
				Expected: key + " on service account " + d.account(),
				Found:    "it is on pod " + p.Namespace + "/" + p.Name + ", from " + template(p), Fix: d.annotate(arn),
			})
			return
		}
	}
	found := "no such annotation"
	switch {
	case d.PodIdentity.Used && (d.PodIdentity.AssociationErr != nil || d.PodIdentity.EKS == nil):
		d.unknown(plan.ServiceAccount, "annotation", "the service account has none, and whether it has an association is not known")
		return
	case d.PodIdentity.Used:
		found += ", and no association in EKS"
	}
	if len(d.Elsewhere) > 0 {
		found = "it is on " + join(d.Elsewhere)
	}
	d.broken(Finding{
		Link: plan.ServiceAccount, Check: "annotation",
		Summary:  "service account " + d.account() + " has no role",
		Expected: key, Found: found,
		Fix: d.createServiceAccount(),
	})
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

// misspelt reports whether a key was probably meant to be another: at most three
// letters differ (Levenshtein distance), whatever their case.
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
