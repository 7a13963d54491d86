package policy

import (
	"slices"
	"strings"
)

// CheckNew refuses what AWS does not accept although the grammar allows it: actions
// without a vendor or a name, resources and principals of another partition than the
// account's, service principals that do not exist, and trust in an issuer that many
// share without the condition that singles out one tenant. The error is an [*Error].
// Policies stored before such a rule existed stay readable, so [Parse] does not apply
// these rules.
func (p *Policy) CheckNew(partition string) error {
	if p.kind == Bucket || p.kind == Resource {
		return p.checkNewBucket(partition)
	}
	for i := range p.statements {
		s := &p.statements[i]
		for _, a := range s.actions.raw {
			if fault := storedActionFormat(a); fault != "" && p.kind != Trust {
				return malformed(fault)
			}
		}
		for _, r := range s.rawResources {
			if fault := foreignPartition(r, partition); fault != "" {
				return malformed(fault)
			}
		}
		for _, q := range s.principals {
			if fault := q.storedFault(partition); fault != "" {
				return malformed(fault)
			}
		}
	}
	if p.kind != Trust {
		return nil
	}
	for i := range p.statements {
		if fault := p.statements[i].sharedIssuerFault(); fault != "" {
			return malformed(fault)
		}
	}
	return nil
}

// checkNewBucket is CheckNew for the policies of buckets and other resources, in
// S3's words.
func (p *Policy) checkNewBucket(partition string) error {
	refuse := func(message string) error { return &Error{Code: "MalformedPolicy", Message: message} }
	for i := range p.statements {
		s := &p.statements[i]
		for _, a := range s.actions.raw {
			if storedActionFormat(a) != "" {
				return refuse("Policy has invalid action")
			}
		}
		for _, q := range s.principals {
			if q.storedFault(partition) != "" {
				return refuse("Invalid principal in policy")
			}
		}
		for _, r := range s.rawResources {
			if foreignPartition(r, partition) != "" {
				return refuse("Policy has invalid resource")
			}
		}
	}
	return nil
}

// foreignPartition is AWS's complaint about an ARN outside a partition, or empty.
// Patterns that match any partition belong to each.
func foreignPartition(arn, partition string) string {
	parts := strings.SplitN(arn, ":", arnColons+1)
	if len(parts) < 2 || parts[1] == "*" || parts[1] == partition {
		return ""
	}
	return invalidPartition(parts)
}

func (q *principal) storedFault(partition string) string {
	switch q.kind {
	case awsAccount, awsPrincipal, federatedEntry:
		return foreignPartition(q.raw, partition)
	case serviceEntry:
		if !isService(q.raw, partition) {
			return `Invalid principal in policy: "SERVICE":"` + q.raw + `"`
		}
	}
	return ""
}

// sharedIssuer is an issuer that many customers of a service share, with the condition
// keys of which a trust policy must require one.
type sharedIssuer struct{ name, key string }

// sharedIssuers are those of the IAM User Guide, "Identity-provider controls for
// shared OIDC providers" (id_roles_providers_oidc_secure-by-default), as it
// stood on 11 September 2026.
var sharedIssuers = []sharedIssuer{
	{"agent.buildkite.com", "agent.buildkite.com:sub"},
	{"api.pulumi.com/oidc", "api.pulumi.com/oidc:aud"},
	{"app.terraform.io", "app.terraform.io:sub"},
	{cognito, cognito + ":aud"},
	{"gitlab.com", "gitlab.com:sub"},
	{"oidc-configuration.audit-log.githubusercontent.com", "oidc-configuration.audit-log.githubusercontent.com:sub"},
	{"oidc.codefresh.io", "oidc.codefresh.io:sub"},
	{
		"oidc.op1.openshiftapps.com/2c51blsaqa9gkjt0o9rt11mle8mmropu",
		"oidc.op1.openshiftapps.com/2c51blsaqa9gkjt0o9rt11mle8mmropu:sub",
	},
	{
		"oidc.op1.openshiftapps.com/2f785sojlpb85i7402pk3qogugim5nfb",
		"oidc.op1.openshiftapps.com/2f785sojlpb85i7402pk3qogugim5nfb:sub",
	},
	{"oidc.vercel.com", "oidc.vercel.com:aud"},
	{"proidc.upbound.io", "proidc.upbound.io:sub"},
	{
		"rh-oidc.s3.us-east-1.amazonaws.com/22ejnvnnturfmt6km08idd0nt4hekbn7",
		"rh-oidc.s3.us-east-1.amazonaws.com/22ejnvnnturfmt6km08idd0nt4hekbn7:sub",
	},
	{
		"rh-oidc.s3.us-east-1.amazonaws.com/23e3sd27sju1hoou6ohfs68vbno607tr",
		"rh-oidc.s3.us-east-1.amazonaws.com/23e3sd27sju1hoou6ohfs68vbno607tr:sub",
	},
	{
		"rh-oidc.s3.us-east-1.amazonaws.com/23ne21h005qjl3n33d8dui5dlrmv2tmg",
		"rh-oidc.s3.us-east-1.amazonaws.com/23ne21h005qjl3n33d8dui5dlrmv2tmg:sub",
	},
	{
		"rh-oidc.s3.us-east-1.amazonaws.com/24jrf12m5dj7ljlfb4ta2frhrcoadm26",
		"rh-oidc.s3.us-east-1.amazonaws.com/24jrf12m5dj7ljlfb4ta2frhrcoadm26:sub",
	},
	{"sandboxes.cloud", "sandboxes.cloud:aud"},
	{"scalr.io", "scalr.io:sub"},
	{"sts.windows.net/33e01921-4d64-4f8c-a055-5bdaffd5e33d", "sts:RoleSessionName"},
	{"studio.datachain.ai/api", "studio.datachain.ai/api:sub"},
	{"tokens.cloud.shisho.dev", "tokens.cloud.shisho.dev:sub"},
	{"vstoken.actions.githubusercontent.com", "vstoken.actions.githubusercontent.com:sub"},
}

// gitHubActions has its own rule, which holds for every issuer that begins with its
// name: those of enterprises have a path below it.
const gitHubActions = "token.actions.githubusercontent.com"

// builtIn are the issuers that AWS knew before there were OIDC providers, with the keys
// of which one must be compared for equality. Unlike elsewhere the case of the key
// matters.
var builtIn = map[string][]string{
	"accounts.google.com": {"accounts.google.com:aud", "accounts.google.com:oaud", "accounts.google.com:sub"},
	"graph.facebook.com":  {"graph.facebook.com:app_id", "graph.facebook.com:sub"},
	"www.amazon.com":      {"www.amazon.com:app_id", "www.amazon.com:sub"},
}

// sharedIssuerFault is AWS's complaint about a statement that lets in every
// tenant of a shared issuer, or empty. The texts, and what counts as a
// condition, are from captures of September 2026.
func (s *statement) sharedIssuerFault() string {
	if s.deny || s.actions.match("sts", "AssumeRoleWithWebIdentity") == s.notAction {
		return ""
	}
	for _, q := range s.principals {
		if q.kind != federatedEntry {
			continue
		}
		issuer := q.raw
		if _, name, ok := strings.Cut(issuer, ":oidc-provider/"); ok {
			issuer = name
		}
		if keys := builtIn[issuer]; keys != nil {
			if !slices.ContainsFunc(s.conditions, func(c condition) bool { return c.comparesOne(keys) }) {
				return "Policy trusting " + issuer + " requires a StringEquals condition on an application id"
			}
			continue
		}
		trusted, keys, blank := issuer, []string(nil), false
		if i := slices.IndexFunc(sharedIssuers, func(x sharedIssuer) bool { return x.name == issuer }); i >= 0 {
			keys = []string{sharedIssuers[i].key}
		}
		if strings.HasPrefix(issuer, gitHubActions) {
			trusted, keys, blank = q.raw, []string{issuer + ":sub", issuer + ":job_workflow_ref"}, true
		}
		if keys != nil && !s.scopes(keys, blank) {
			return "Trust policy with trusted principal " + trusted + " must evaluate, using StringEquals, StringLike or StringEqualsIgnoreCase, " +
				strings.Join(keys, " or ") + " which is not scoped to all."
		}
	}
	return ""
}

// comparesOne reports whether a condition requires one of the keys to be equal to
// something.
func (c *condition) comparesOne(keys []string) bool {
	return !c.ifExists && !c.op.negate && (c.op.class == stringEquals || c.op.class == stringEqualsFold) && slices.Contains(keys, c.key)
}

// scopes reports whether some operator of the statement requires a value of one of the
// keys, and no value that it lists is "*". With strict, values that are
// blank or begin with "*" do not count either. What a value really matches does
// not count at AWS: "?" and a list without values pass.
func (s *statement) scopes(keys []string, strict bool) bool {
	type verdict struct{ present, open bool }
	operators := map[string]verdict{}
	for i := range s.conditions {
		c := &s.conditions[i]
		comparable := c.op.class == stringEquals || c.op.class == stringEqualsFold || c.op.class == stringLike
		if c.ifExists || c.op.negate || !comparable || !slices.ContainsFunc(keys, func(k string) bool { return sameKey(k, c.key) }) {
			continue
		}
		v := operators[c.name]
		v.present = true
		v.open = v.open || slices.ContainsFunc(c.raw, func(value string) bool {
			return value == "*" || strict && (strings.TrimSpace(value) == "" || strings.HasPrefix(value, "*"))
		})
		operators[c.name] = v
	}
	for _, v := range operators {
		if v.present && !v.open {
			return true
		}
	}
	return false
}
