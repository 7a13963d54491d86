package policy_test

import (
	"slices"
	"testing"

	"github.com/openirsa/openirsa/pkg/policy"
)

func TestMentions(t *testing.T) {
	p, err := policy.Parse(policy.Identity, []byte(`{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Action":"dynamodb:*","Resource":"arn:aws:dynamodb:*:*:table/${aws:PrincipalTag/team}"},
		{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"StringEquals":{"aws:ResourceTag/Env":"${aws:userid}"},
			"ForAllValues:StringLike":{"dynamodb:LeadingKeys":["a*"]}}}]}`))
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"aws:PrincipalTag/team", "aws:principaltag/", "aws:resourcetag/env", "aws:ResourceTag/", "AWS:UserID", "dynamodb:leadingkeys", "dynamodb:"} {
		if !p.Mentions(key) {
			t.Errorf("%s is not found", key)
		}
	}
	for _, key := range []string{"aws:ResourceTag/Envy", "aws:ResourceTag", "aws:SourceIp", "sqs:", "dynamodb:Leading", "a*"} {
		if p.Mentions(key) {
			t.Errorf("%s is found", key)
		}
	}
}

func TestUnset(t *testing.T) {
	parse := func(kind policy.Kind, document string) *policy.Policy {
		p, err := policy.Parse(kind, []byte(document))
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	identity := parse(policy.Identity, `{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Action":"sqs:*","Resource":"*","Condition":{"StringEquals":{"aws:SourceVpc":"${aws:Ec2InstanceSourceVpc}","aws:SourceIp":"x"}}},
		{"Effect":"Allow","Action":"sqs:SendMessage","Resource":"arn:aws:sqs:us-east-1:123456789012:${aws:PrincipalTag/queue}"},
		{"Effect":"Deny","NotAction":"sqs:SendMessage","Resource":"*","Condition":{"Null":{"aws:OfAnotherAction":"true"}}},
		{"Effect":"Deny","Action":"sqs:SendMessage","Resource":"arn:aws:sqs:us-east-1:123456789012:other","Condition":{"Null":{"aws:OfAnotherQueue":"true"}}}]}`)
	resource := parse(policy.Resource, `{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Principal":{"Service":"sns.amazonaws.com"},"Action":"sqs:SendMessage","Resource":"*","Condition":{"ArnEquals":{"aws:SourceArn":"x"}}},
		{"Effect":"Deny","Principal":"*","Action":"sqs:SendMessage","Resource":"*","Condition":{"StringNotEquals":{"aws:SourceVpce":"x"}}}]}`)
	boundary := parse(policy.Identity, `{"Version":"2012-10-17","Statement":
		{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"StringEquals":{"aws:VpceOrgID":"x"}}}}`)
	policies := policy.Policies{
		Identity: []policy.Named{{Name: "p", Policy: identity}}, Resource: &policy.Named{Name: "r", Policy: resource},
		Boundary: &policy.Named{Name: "b", Policy: boundary},
	}
	var keys policy.Context
	keys.Set("AWS:sourceip", "10.0.0.1")
	got := policies.Unset(&policy.Request{
		Principal: policy.Principal{Kind: policy.User, Account: "123456789012", ARN: "arn:aws:iam::123456789012:user/u"},
		Action:    "sqs:SendMessage", Resource: "arn:aws:sqs:us-east-1:123456789012:mail", ResourceAccount: "123456789012", Context: &keys,
	})
	want := []string{"aws:Ec2InstanceSourceVpc", "aws:PrincipalTag/queue", "aws:SourceVpc", "aws:SourceVpce", "aws:VpceOrgID"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, not %q", got, want)
	}
}
