package policy_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/openirsa/openirsa/pkg/policy"
)

func TestAssuming(t *testing.T) {
	const (
		allow   = `{"Effect":"Allow","Principal":{"Federated":"arn:aws:iam::111122223333:oidc-provider/a.example"},"Action":"sts:AssumeRoleWithWebIdentity"`
		deny    = `{"Effect":"Deny","Principal":"*","Action":"sts:*"`
		right   = `"StringEquals":{"a.example:sub":"s"}`
		wrong   = `"StringEquals":{"a.example:sub":"t"}`
		unknown = `"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}`
	)
	with := func(statement string, conditions ...string) string {
		return statement + `,"Condition":{` + strings.Join(conditions, ",") + `}}`
	}
	for _, test := range []struct {
		statements  []string
		well, badly bool // allowed
	}{
		{[]string{with(allow, right)}, true, true},
		{[]string{with(allow, wrong)}, false, false},
		{[]string{with(allow, right, unknown)}, true, false},
		{[]string{with(allow, unknown, wrong)}, false, false},
		{[]string{with(allow, unknown), with(allow, right)}, true, true},
		{[]string{with(allow, right), with(deny, unknown)}, true, false},
		{[]string{with(allow, right), with(deny, unknown, wrong)}, true, true},
		{[]string{with(allow, right), with(deny, unknown), with(deny, right)}, false, false},
	} {
		p, err := policy.Parse(policy.Trust, []byte(`{"Version":"2012-10-17","Statement":[`+strings.Join(test.statements, ",")+`]}`))
		if err != nil {
			t.Fatal(err)
		}
		var keys policy.Context
		keys.Set("a.example:sub", "s")
		decide := func(p *policy.Policy) bool {
			return policy.Evaluate(&policy.Request{
				Principal: policy.Principal{Kind: policy.WebIdentity, Account: "111122223333", ARN: "arn:aws:iam::111122223333:oidc-provider/a.example"},
				Action:    "sts:AssumeRoleWithWebIdentity", ResourceAccount: "111122223333", Context: &keys,
			}, &policy.Policies{Resource: &policy.Named{Policy: p}}).Allowed
		}
		isUnknown := func(key string) bool { return key == "aws:SourceIp" }
		if well, badly := decide(p.Assuming(true, isUnknown)), decide(p.Assuming(false, isUnknown)); well != test.well || badly != test.badly {
			t.Errorf("%s: %t, %t; want %t, %t", test.statements, well, badly, test.well, test.badly)
		}
		// The policy itself stays as it is.
		if got := strings.Contains(strings.Join(test.statements, ""), "SourceIp"); got != slices.Contains(p.ConditionKeys(), "aws:SourceIp") {
			t.Errorf("%s: keys %q", test.statements, p.ConditionKeys())
		}
	}
}
