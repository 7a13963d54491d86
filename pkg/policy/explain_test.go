package policy_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openirsa/openirsa/pkg/policy"
)

// The sentence for each of the faults that users make.
func TestExplanationsOfTrust(t *testing.T) {
	const sub = "system:serviceaccount:ns1:app"
	other := strings.Replace(providerARN, account, "999999999999", 1)
	prefix := "sts:AssumeRoleWithWebIdentity is denied: no role trust policy allows it; " +
		`statement 0 of role trust policy "R" does not apply because `
	for _, c := range []struct{ doc, want string }{
		{
			statements(trustStatement(`{"StringEquals":{"i.example/c1:sub":"system:serviceaccount:ns1:other"}}`)),
			prefix + `StringEquals on i.example/c1:sub expects "system:serviceaccount:ns1:other" and the request has "` + sub + `".`,
		},
		{
			statements(trustStatement(`{"StringEquals":{"i.example/c1:sub":"system:serviceaccount:ns1:*"}}`)),
			prefix + `StringEquals on i.example/c1:sub expects "system:serviceaccount:ns1:*" and the request has "` + sub + `" (StringEquals takes * and ? literally; StringLike takes them as wildcards).`,
		},
		{
			statements(trustStatement(`{"StringEquals":{"i.example/c1:sub":"System:ServiceAccount:ns1:app"}}`)),
			prefix + `StringEquals on i.example/c1:sub expects "System:ServiceAccount:ns1:app" and the request has "` + sub + `" (The values differ in case only).`,
		},
		{
			statements(trustStatement(`{"StringEquals":{"https://i.example/c1:sub":"` + sub + `"}}`)),
			prefix + `StringEquals on https://i.example/c1:sub expects "` + sub + `" and the request has no such key (It does have i.example/c1:sub).`,
		},
		{
			statements(trustStatement(`{"StringEquals":{"i.example/c1:email":"a"}}`)),
			prefix + `StringEquals on i.example/c1:email expects "a" and the request has no such key.`,
		},
		{
			statements(trustStatement(`{"StringEquals":{"i.example/c1:amr":"pwd"}}`)),
			prefix + `StringEquals on i.example/c1:amr expects "pwd" and the request has "pwd" or "mfa" (The key is multivalued: use ForAnyValue:StringEquals or ForAllValues:StringEquals).`,
		},
		{
			strings.Replace(statements(trustStatement("")), "sts:AssumeRoleWithWebIdentity", "sts:AssumeRole", 1),
			prefix + `its Action is "sts:AssumeRole" and the request's is "sts:AssumeRoleWithWebIdentity" (sts:AssumeRole does not cover sts:AssumeRoleWithWebIdentity).`,
		},
		{
			strings.Replace(statements(trustStatement("")), providerARN, other, 1),
			prefix + `its Principal is "` + other + `" and the request's is "` + providerARN + `" (The provider in the policy is in another account or partition).`,
		},
		{
			strings.Replace(statements(trustStatement("")), providerARN, providerARN+"/", 1),
			prefix + `its Principal is "` + providerARN + `/" and the request's is "` + providerARN + `" (The providers differ in case or in a trailing slash).`,
		},
		{
			statements(`{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"sts:*"}`),
			prefix + `its Principal is "*" and the request's is "` + providerARN + `" ("*" does not let in web identities; name the provider under "Federated").`,
		},
		{
			statements(trustStatement(""), `{"Sid":"NoEvil","Effect":"Deny","Principal":{"Federated":"`+providerARN+`"},"Action":"sts:*","Condition":{"StringEquals":{"sts:RoleSessionName":"evil"}}}`),
			`sts:AssumeRoleWithWebIdentity is explicitly denied by statement 1 (Sid "NoEvil") of role trust policy "R", where StringEquals on sts:RoleSessionName expects "evil" and the request has "evil".`,
		},
		{
			statements(trustStatement("")),
			`sts:AssumeRoleWithWebIdentity is allowed by statement 0 of role trust policy "R".`,
		},
	} {
		ctx := context("i.example/c1:sub", sub, "sts:RoleSessionName", "evil")
		ctx.SetMulti("i.example/c1:amr", "pwd", "mfa")
		if got := evaluateTrust(t, c.doc, ctx).String(); got != c.want {
			t.Errorf("%s\n got %s\nwant %s", c.doc, got, c.want)
		}
	}
}

func TestExplanations(t *testing.T) {
	get := func(docs map[string]string) string {
		return decide(t, session, "s3:GetObject", "arn:aws:s3:::b/k", account, docs).String()
	}
	denied := "s3:GetObject is denied: no identity-based policy allows it"
	for _, c := range []struct {
		docs map[string]string
		want string
	}{
		{nil, denied + "; there is none."},
		{
			map[string]string{"identity": statements(`{"Effect":"Allow","Action":"sqs:*","Resource":"*"}`)},
			denied + "; none of 1 statement speaks of the action.",
		},
		{
			map[string]string{"identity": statements(
				`{"Sid":"Bucket","Effect":"Allow","Action":"s3:Get*","Resource":"arn:aws:s3:::b"}`,
				`{"Effect":"Allow","Action":"s3:Get*","Resource":"arn:aws:s3:::c/*"}`)},
			denied + `; statement 0 (Sid "Bucket") of identity-based policy "identity" does not apply because its Resource is "arn:aws:s3:::b" and the request's is "arn:aws:s3:::b/k" (arn:aws:s3:::b covers the bucket itself, not its objects), nor does 1 other statement.`,
		},
		{
			map[string]string{"identity": statements(`{"Effect":"Allow","Action":"s3:Get*","Resource":"arn:aws:s3:::b/${aws:username}"}`)},
			denied + `; statement 0 of identity-based policy "identity" does not apply because its Resource is "arn:aws:s3:::b/${aws:username}" and the request's is "arn:aws:s3:::b/k" (The request has no value for a variable in arn:aws:s3:::b/${aws:username}).`,
		},
		{
			// The nearest miss comes first: here the condition.
			map[string]string{"identity": statements(
				`{"Effect":"Allow","Action":"s3:Get*","Resource":"arn:aws:s3:::c/*"}`,
				`{"Effect":"Allow","Action":"s3:Get*","Resource":"*","Condition":{"Bool":{"aws:SecureTransport":"true"}}}`)},
			denied + `; statement 1 of identity-based policy "identity" does not apply because Bool on aws:SecureTransport expects "true" and the request has no such key, nor does 1 other statement.`,
		},
		{
			map[string]string{"identity": statements(`{"Effect":"Allow","Action":"*","Resource":"*"}`), "session": statements(`{"Effect":"Allow","Action":"s3:Get*","NotResource":"arn:aws:s3:::b/*"}`)},
			`s3:GetObject is denied: no session policy allows it; statement 0 of session policy "session" does not apply because its NotResource is "arn:aws:s3:::b/*" and the request's is "arn:aws:s3:::b/k".`,
		},
	} {
		if got := get(c.docs); got != c.want {
			t.Errorf("\n got %s\nwant %s", got, c.want)
		}
	}
	if got, want := decide(t, root, "s3:GetObject", "*", account, nil).String(), "s3:GetObject is allowed: the root user of an account may do everything in it."; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// What programs read of a denial.
func TestDecisionFields(t *testing.T) {
	doc := statements(trustStatement(`{"StringEquals":{"i.example/c1:sub":["a","b"]}}`))
	d := evaluateTrust(t, doc, context("I.example/c1:sub", "c"))
	want := policy.Decision{
		Action: "sts:AssumeRoleWithWebIdentity", Resource: "arn:aws:iam::123456789012:role/R",
		Type: policy.TrustType, Policies: 1, Statements: 1,
		Misses: []policy.Miss{{
			Statement: policy.Statement{
				Type: policy.TrustType, Policy: "R",
				Start: strings.Index(doc, "[") + 1, End: strings.LastIndex(doc, "]"), After: strings.Index(doc, "[") + 1,
			},
			Check: policy.Check{
				Element: "Condition", Operator: "StringEquals", Key: "i.example/c1:sub",
				Expected: []string{"a", "b"}, Actual: []string{"c"},
			},
		}},
	}
	if diff := cmp.Diff(want, d); diff != "" {
		t.Error(diff)
	}
	// Misses are limited.
	many := make([]string, 100)
	for i := range many {
		many[i] = fmt.Sprintf(`{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::b%d"}`, i)
	}
	d = decide(t, user, "s3:ListBucket", "arn:aws:s3:::c", account, map[string]string{"identity": statements(many...)})
	if len(d.Misses) != policy.MaxMisses || d.Statements != 100 {
		t.Errorf("%d misses of %d statements", len(d.Misses), d.Statements)
	}
}

func TestWarnings(t *testing.T) {
	noAud := "Statement 0 lets in tokens of i.example/c1 for any of the provider's audiences: it has no condition that demands i.example/c1:aud."
	noSub := "Statement 0 lets in every service account of i.example/c1: it has no condition that demands i.example/c1:sub."
	const aud = `"i.example/c1:aud":"sts.amazonaws.com"`
	for _, c := range []struct {
		doc  string
		want []string
	}{
		{statements(trustStatement(`{"StringEquals":{"i.example/c1:sub":"system:serviceaccount:a:b",` + aud + `}}`)), nil},
		{statements(trustStatement("")), []string{noSub, noAud}},
		{statements(trustStatement(`{"StringEqualsIfExists":{"i.example/c1:sub":"x",` + aud + `}}`)), []string{noSub, noAud}},
		{statements(trustStatement(`{"StringEquals":{` + aud + `},"StringNotEquals":{"i.example/c1:sub":"x"}}`)), []string{noSub}},
		{
			statements(trustStatement(`{"StringEquals":{"i.example:sub":"x",` + aud + `}}`)),
			[]string{noSub, "Statement 0 has a condition on i.example:sub, which tokens of i.example/c1 never have."},
		},
		{
			statements(trustStatement(`{"StringLike":{"i.example/c1:sub":"system:serviceaccount:*",` + aud + `}}`)),
			[]string{`Statement 0 lets in service accounts of every namespace: i.example/c1:sub may be ["system:serviceaccount:*"].`},
		},
		{
			statements(trustStatement(`{"StringEquals":{"i.example/c1:sub":"system:serviceaccount:a:*",` + aud + `}}`)),
			[]string{`Statement 0 compares i.example/c1:sub with "system:serviceaccount:a:*" by StringEquals, which takes * and ? literally; StringLike takes them as wildcards.`},
		},
		{
			strings.Replace(statements(trustStatement("")), "sts:AssumeRoleWithWebIdentity", "sts:AssumeRole", 1),
			[]string{"Statement 0 trusts an OIDC provider but does not allow sts:AssumeRoleWithWebIdentity."},
		},
		{
			statements(`{"Effect":"Allow","Principal":"*","Action":"sts:AssumeRole"}`),
			[]string{"Statement 0 lets everybody in any account assume the role: its principal is * and it has no condition."},
		},
		{strings.Replace(statements(trustStatement("")), "Allow", "Deny", 1), nil},
		{statements(`{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}`), nil},
	} {
		if diff := cmp.Diff(c.want, mustParse(t, policy.Trust, c.doc).Warnings()); diff != "" {
			t.Errorf("%s: %s", c.doc, diff)
		}
	}
}
