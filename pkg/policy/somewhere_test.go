package policy_test

import (
	"testing"

	"github.com/openirsa/openirsa/pkg/policy"
)

func TestSomewhere(t *testing.T) {
	const (
		onKey = `{"Effect":"Allow","Action":"kms:Decrypt","Resource":"arn:aws:kms:us-east-1:123456789012:key/k"}`
		other = `{"Effect":"Allow","Action":"kms:Encrypt","Resource":"*"}`
		all   = `{"Effect":"Allow","Action":"*","Resource":"*"}`
	)
	user := policy.Principal{Kind: policy.User, Account: account, ARN: "arn:aws:iam::123456789012:user/u"}
	named := func(kind policy.Kind, s ...string) []policy.Named {
		return []policy.Named{{Name: "p", Policy: mustParse(t, kind, statements(s...))}}
	}
	one := func(n []policy.Named) *policy.Named { return &n[0] }
	for name, c := range map[string]struct {
		who      policy.Principal
		policies policy.Policies
		want     bool
	}{
		"on one resource":           {user, policy.Policies{Identity: named(policy.Identity, onKey)}, true},
		"nothing":                   {user, policy.Policies{}, false},
		"another action":            {user, policy.Policies{Identity: named(policy.Identity, other)}, false},
		"all but one action":        {user, policy.Policies{Identity: named(policy.Identity, `{"Effect":"Allow","NotAction":"kms:Decrypt","Resource":"*"}`)}, false},
		"a Deny of all":             {user, policy.Policies{Identity: named(policy.Identity, onKey, `{"Effect":"Deny","Action":"kms:*","Resource":"*"}`)}, false},
		"a Deny of one":             {user, policy.Policies{Identity: named(policy.Identity, all, `{"Effect":"Deny","Action":"kms:*","Resource":"arn:aws:kms:us-east-1:123456789012:key/k"}`)}, true},
		"a Deny of all but one":     {user, policy.Policies{Identity: named(policy.Identity, all, `{"Effect":"Deny","Action":"*","NotResource":"arn:aws:kms:us-east-1:123456789012:key/k"}`)}, true},
		"a Deny under a condition":  {user, policy.Policies{Identity: named(policy.Identity, all, `{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"StringNotEquals":{"aws:ResourceTag/team":"red"}}}`)}, true},
		"a Deny from where it is":   {user, policy.Policies{Identity: named(policy.Identity, all, `{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"StringEquals":{"aws:RequestedRegion":"us-east-1"}}}`)}, false},
		"by a tag of the resource":  {user, policy.Policies{Identity: named(policy.Identity, `{"Effect":"Allow","Action":"kms:Decrypt","Resource":"*","Condition":{"StringEquals":{"aws:ResourceTag/team":"red"}}}`)}, true},
		"from elsewhere":            {user, policy.Policies{Identity: named(policy.Identity, `{"Effect":"Allow","Action":"kms:Decrypt","Resource":"*","Condition":{"StringEquals":{"aws:RequestedRegion":"eu-west-1"}}}`)}, false},
		"a boundary":                {user, policy.Policies{Identity: named(policy.Identity, all), Boundary: one(named(policy.Identity, other))}, false},
		"a wide boundary":           {user, policy.Policies{Identity: named(policy.Identity, all), Boundary: one(named(policy.Identity, onKey))}, true},
		"a session policy":          {user, policy.Policies{Identity: named(policy.Identity, all), Session: named(policy.Session, other)}, false},
		"a service control policy":  {user, policy.Policies{Identity: named(policy.Identity, all), ServiceControl: []policy.Level{{Name: "r", Policies: named(policy.ServiceControl, other)}}}, false},
		"the root user":             {policy.Principal{Kind: policy.Root, Account: account}, policy.Policies{}, true},
		"the root user, controlled": {policy.Principal{Kind: policy.Root, Account: account}, policy.Policies{ServiceControl: []policy.Level{{Name: "r"}}}, false},
		"nobody":                    {policy.Principal{Kind: policy.Anonymous}, policy.Policies{Identity: named(policy.Identity, all)}, false},
	} {
		var keys policy.Context
		keys.Set("aws:RequestedRegion", "us-east-1")
		got := c.policies.Somewhere(&policy.Request{
			Principal: c.who, Action: "kms:Decrypt", Resource: "arn:aws:kms:us-east-1:123456789012:key/unknown", ResourceAccount: account, Context: &keys,
		})
		if got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}
