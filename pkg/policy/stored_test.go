package policy_test

import (
	"strings"
	"testing"

	"github.com/openirsa/openirsa/pkg/policy"
)

// checkNew is the text with which a document is refused, "" for one that is not.
func checkNew(t *testing.T, kind policy.Kind, partition, doc string) string {
	t.Helper()
	err := mustParse(t, kind, doc).CheckNew(partition)
	if err == nil {
		return ""
	}
	if e := err.(*policy.Error); e.Code != "MalformedPolicyDocument" {
		t.Errorf("%s: code %s", doc, e.Code)
	}
	return err.(*policy.Error).Message
}

// What users of China and GovCloud were told, in public reports of 2018 to 2024.
func TestCheckNewPartition(t *testing.T) {
	identity := func(element, resources string) string {
		return statements(`{"Effect":"Allow","Action":"s3:*","` + element + `":` + resources + `}`)
	}
	trust := func(principal string) string {
		return statements(`{"Effect":"Allow","Principal":` + principal + `,"Action":["sts:AssumeRole","sts:AssumeRoleWithWebIdentity"]}`)
	}
	for _, c := range []struct {
		kind           policy.Kind
		doc, partition string
		arn            string // that is refused, "" for none
	}{
		{policy.Identity, identity("Resource", `"arn:aws:logs:*:*:*"`), "aws-cn", "arn:aws:logs:*:*:*"},
		{policy.Identity, identity("Resource", `["*","arn:aws-cn:s3:::b"]`), "aws", "arn:aws-cn:s3:::b"},
		{policy.Identity, identity("NotResource", `"arn:aws:s3:::b/*"`), "aws-us-gov", "arn:aws:s3:::b/*"},
		{policy.Identity, identity("Resource", `"arn:aws:rds:*"`), "aws-us-gov", "arn:aws:rds:*:*:*"},
		{policy.Identity, identity("Resource", `["*","arn:aws-cn:s3:::b","arn:*:s3:::b"]`), "aws-cn", ""},
		{policy.Session, identity("Resource", `"arn:aws-cn:s3:::b"`), "aws", "arn:aws-cn:s3:::b"},
		{policy.Trust, trust(`{"AWS":"arn:aws:iam::123456789012:root"}`), "aws-cn", "arn:aws:iam::123456789012:root"},
		{policy.Trust, trust(`{"AWS":["*","arn:aws-cn:iam::123456789012:role/r"]}`), "aws", "arn:aws-cn:iam::123456789012:role/r"},
		{policy.Trust, trust(`{"Federated":"arn:aws-cn:iam::123456789012:oidc-provider/i.example"}`), "aws",
			"arn:aws-cn:iam::123456789012:oidc-provider/i.example"},
		{policy.Trust, trust(`{"Federated":"arn:aws-cn:iam::123456789012:oidc-provider/i.example"}`), "aws-cn", ""},
		{policy.Trust, trust(`{"AWS":["123456789012","*","AROADBQP57FF2AEXAMPLE"]}`), "aws-cn", ""},
	} {
		want := ""
		if c.arn != "" {
			want = `Partition "` + strings.Split(c.arn, ":")[1] + `" is not valid for resource "` + c.arn + `".`
		}
		if got := checkNew(t, c.kind, c.partition, c.doc); got != want {
			t.Errorf("%s in %s:\n got %s\nwant %s", c.doc, c.partition, got, want)
		}
	}
}

// A bucket's policy is refused for the same, in S3's words.
func TestCheckNewBucket(t *testing.T) {
	for _, c := range []struct{ principal, resource, want string }{
		{`"*"`, "arn:aws:s3:::b/*", ""},
		{`{"Service":"cloudfront.amazonaws.com"}`, "arn:aws:s3:::b/*", ""},
		{`{"Service":"nope.amazonaws.com"}`, "arn:aws:s3:::b/*", "MalformedPolicy: Invalid principal in policy"},
		{`{"AWS":"arn:aws-cn:iam::123456789012:root"}`, "arn:aws:s3:::b/*", "MalformedPolicy: Invalid principal in policy"},
		{`"*"`, "arn:aws-cn:s3:::b/*", "MalformedPolicy: Policy has invalid resource"},
	} {
		doc := statements(`{"Effect":"Allow","Principal":` + c.principal + `,"Action":"s3:GetObject","Resource":"` + c.resource + `"}`)
		got := ""
		if err := mustParse(t, policy.Bucket, doc).CheckNew("aws"); err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", doc, got, c.want)
		}
	}
}

func TestCheckNewActions(t *testing.T) {
	for action, want := range map[string]string{
		"*": "", "*:*": "", "s3:Get*": "",
		":GetObject": "Vendor  is not valid",
		"s3:":        "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.",
		"*:Untag*":   "Action vendors (e.g., aws, ec2, etc.) must not contain wildcards",
	} {
		doc := statements(`{"Effect":"Allow","Action":"` + action + `","Resource":"*"}`)
		if got := checkNew(t, policy.Session, "aws", doc); got != want {
			t.Errorf("%q: %q, want %q", action, got, want)
		}
	}
}

func TestCheckNewServices(t *testing.T) {
	for _, c := range []struct {
		name, partition string
		known           bool
	}{
		{"ec2.amazonaws.com", "aws", true},
		{"lambda.amazonaws.com", "aws-cn", true},
		{"ec2.amazonaws.com.cn", "aws-cn", true},
		{"ec2.amazonaws.com.cn", "aws", false},
		{"eks.amazonaws.com", "aws", true},
		{"pods.eks.amazonaws.com", "aws", true},
		{"ecs-tasks.amazonaws.com", "aws", true},
		{"edgelambda.amazonaws.com", "aws", true},
		{"tasks.apprunner.amazonaws.com", "aws", true},
		{"batchoperations.s3.amazonaws.com", "aws", true},
		{"medialive.amazonaws.com", "aws", true},
		{"alexa-appkit.amazon.com", "aws", true},
		{"logs.eu-west-1.amazonaws.com", "aws", true},
		{"codedeploy.us-gov-west-1.amazonaws.com", "aws-us-gov", true},
		{"states.cn-north-1.amazonaws.com.cn", "aws-cn", true},
		{"nope.amazonaws.com", "aws", false},
		{"nope.eu-west-1.amazonaws.com", "aws", false},
		{"lambda.nowhere.amazonaws.com", "aws", false},
		{"lamda.amazonaws.com", "aws", false},
		{"lambda.example.com", "aws", false},
		{"lambda.amazonaws.com.evil.example", "aws", false},
		{"amazonaws.com", "aws", false},
		{"tasks.apprunner", "aws", false},
		{"logs.eu-west-1", "aws", false},
		{"alexa-appkit.amazon.com.amazonaws.com.evil", "aws", false},
		{"eu-west-1.amazonaws.com", "aws", false},
	} {
		want := ""
		if !c.known {
			want = `Invalid principal in policy: "SERVICE":"` + c.name + `"`
		}
		doc := statements(`{"Effect":"Allow","Principal":{"Service":["ec2.amazonaws.com","` + c.name + `"]},"Action":"sts:AssumeRole"}`)
		if got := checkNew(t, policy.Trust, c.partition, doc); got != want {
			t.Errorf("%s in %s: %q, want %q", c.name, c.partition, got, want)
		}
	}
}

// Answers that AWS gave in September 2026, to GitHub, GitLab, Terraform Cloud,
// Cognito and Google.
func TestCheckNewSharedIssuers(t *testing.T) {
	const (
		github  = "token.actions.githubusercontent.com"
		arn     = "arn:aws:iam::123456789012:oidc-provider/"
		ofOne   = `"Action":"sts:AssumeRoleWithWebIdentity"`
		scoped  = " must evaluate, using StringEquals, StringLike or StringEqualsIgnoreCase, "
		toAll   = " which is not scoped to all."
		gitLab  = "Trust policy with trusted principal gitlab.com" + scoped + "gitlab.com:sub" + toAll
		gitHub  = "Trust policy with trusted principal " + arn + github + scoped + github + ":sub or " + github + ":job_workflow_ref" + toAll
		google  = "Policy trusting accounts.google.com requires a StringEquals condition on an application id"
		cognito = "Trust policy with trusted principal cognito-identity.amazonaws.com" + scoped + "cognito-identity.amazonaws.com:aud" + toAll
	)
	statement := func(effect, federated, action, condition string) string {
		s := `{"Effect":"` + effect + `","Principal":{"Federated":"` + federated + `"},` + action
		if condition != "" {
			s += `,"Condition":{` + condition + `}`
		}
		return s + "}"
	}
	allow := func(federated, condition string) string { return statement("Allow", federated, ofOne, condition) }
	on := func(operator, key, values string) string { return `"` + operator + `":{"` + key + `":` + values + `}` }
	lab := func(operator, values string) string {
		return allow(arn+"gitlab.com", on(operator, "gitlab.com:sub", values))
	}
	hub := func(operator, values string) string { return allow(arn+github, on(operator, github+":sub", values)) }
	for _, c := range []struct{ statement, want string }{
		{allow(arn+"gitlab.com", ""), gitLab},
		{lab("StringEquals", `"project_path:g/p:ref_type:branch:ref:main"`), ""},
		{lab("StringLike", `"project_path:g/*"`), ""},
		{lab("StringEqualsIgnoreCase", `"x"`), ""},
		{lab("ForAnyValue:StringEquals", `"x"`), ""},
		{lab("ForAllValues:StringLike", `"x"`), ""},
		{lab("StringLike", `"*"`), gitLab},
		{lab("StringEquals", `["x","*"]`), gitLab},
		{lab("StringEquals", `[]`), ""},
		{lab("StringLike", `"?"`), ""},
		{lab("StringLike", `"**"`), ""},
		{lab("StringEquals", `""`), ""},
		{lab("StringNotEquals", `"x"`), gitLab},
		{lab("StringEqualsIfExists", `"x"`), gitLab},
		{lab("StringLikeIfExists", `"x"`), gitLab},
		{lab("Null", `"false"`), gitLab},
		{lab("Bool", `"true"`), gitLab},
		{lab("NumericEquals", `"1"`), gitLab},
		{allow(arn+"gitlab.com", on("StringEquals", "GITLAB.COM:SUB", `"x"`)), ""},
		{allow(arn+"gitlab.com", on("StringEquals", "gitlab.com:aud", `"x"`)), gitLab},
		{allow(arn+"gitlab.com", on("StringEquals", "gitlab.com:sub", `"x"`)+","+on("StringLike", "gitlab.com:sub", `"*"`)), ""},
		{statement("Deny", arn+"gitlab.com", ofOne, ""), ""},
		{statement("Allow", arn+"gitlab.com", `"Action":"sts:TagSession"`, ""), ""},
		{statement("Allow", arn+"gitlab.com", `"Action":["sts:TagSession","sts:AssumeRoleWith*"]`, ""), gitLab},
		{lab("StringEquals", `"x"`) + "," + allow(arn+"gitlab.com", ""), gitLab},
		{lab("StringEquals", `"x"`) + "," + statement("Deny", arn+"gitlab.com", ofOne, ""), ""},
		{allow(arn+"gitlab.example.com", ""), ""},
		{allow(arn+"gitlab.com/group", ""), ""},
		{allow(arn+"oidc.eks.eu-west-1.amazonaws.com/id/0123456789ABCDEF0123456789ABCDEF", ""), ""},

		{allow(arn+github, ""), gitHub},
		{allow(arn+github, on("StringEquals", github+":aud", `"sts.amazonaws.com"`)), gitHub},
		{hub("StringLike", `"repo:o/*"`), ""},
		{hub("StringLike", `"?*"`), ""},
		{hub("StringLike", `"*:ref:refs/heads/main"`), gitHub},
		{hub("StringLike", `"**"`), gitHub},
		{hub("StringEquals", `" "`), gitHub},
		{hub("StringEquals", `[]`), ""},
		{allow(arn+github, on("StringLike", github+":job_workflow_ref", `"o/r/.github/workflows/w.yml@*"`)), ""},
		{allow(arn+github, `"StringLike":{"`+github+`:sub":"*","`+github+`:job_workflow_ref":"o/r/*"}`), gitHub},
		{allow(arn+github+"/octo", on("StringEquals", github+"/octo:sub", `"x"`)), ""},
		{allow(arn+github+"/octo", on("StringEquals", github+":sub", `"x"`)),
			strings.NewReplacer(github, github+"/octo").Replace(gitHub)},

		{allow("cognito-identity.amazonaws.com", on("StringEquals", "cognito-identity.amazonaws.com:aud", `"us-east-1:x"`)), ""},
		{allow("cognito-identity.amazonaws.com", on("StringEquals", "cognito-identity.amazonaws.com:sub", `"x"`)), cognito},
		{allow("accounts.google.com", ""), google},
		{allow("accounts.google.com", on("StringLike", "accounts.google.com:aud", `"x"`)), google},
		{allow("accounts.google.com", on("StringEquals", "ACCOUNTS.GOOGLE.COM:AUD", `"x"`)), google},
		{allow("accounts.google.com", on("StringEquals", "accounts.google.com:sub", `"*"`)), ""},
		{allow("www.amazon.com", on("StringEquals", "www.amazon.com:app_id", `"x"`)), ""},
		{allow("graph.facebook.com", ""), strings.Replace(google, "accounts.google.com", "graph.facebook.com", 1)},
		{allow(arn+"api.pulumi.com/oidc", on("StringEquals", "api.pulumi.com/oidc:aud", `"aws:org"`)), ""},
		{allow(arn+"sts.windows.net/33e01921-4d64-4f8c-a055-5bdaffd5e33d", on("StringEquals", "sts:RoleSessionName", `"x"`)), ""},
	} {
		if got := checkNew(t, policy.Trust, "aws", statements(c.statement)); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.statement, got, c.want)
		}
	}
	for _, issuer := range []string{"app.terraform.io", "agent.buildkite.com", "oidc.codefresh.io", "studio.datachain.ai/api", "scalr.io",
		"vstoken.actions.githubusercontent.com", "oidc-configuration.audit-log.githubusercontent.com", "tokens.cloud.shisho.dev",
		"proidc.upbound.io", "rh-oidc.s3.us-east-1.amazonaws.com/22ejnvnnturfmt6km08idd0nt4hekbn7"} {
		want := "Trust policy with trusted principal " + issuer + scoped + issuer + ":sub" + toAll
		if got := checkNew(t, policy.Trust, "aws", statements(allow(arn+issuer, ""))); got != want {
			t.Errorf("%s:\n got %s\nwant %s", issuer, got, want)
		}
	}
}
