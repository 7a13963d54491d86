package policy_test

import (
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
