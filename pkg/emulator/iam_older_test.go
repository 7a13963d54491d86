package emulator

import (
	"path/filepath"
	"testing"

	"github.com/openirsa/openirsa/pkg/emulator/internal/api"
	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
	"github.com/openirsa/openirsa/pkg/policy"
)

// TestOlderPolicies: what was stored before IAM's rules became stricter is read,
// and continues to deny and to trust.
func TestOlderPolicies(t *testing.T) {
	state := filepath.Join(t.TempDir(), "state")
	open := func() *Server {
		t.Helper()
		s, err := New(Config{State: state})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	const trust = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"nope.amazonaws.com"},"Action":"sts:AssumeRole"},
		{"Effect":"Allow","Principal":{"Federated":"arn:aws:iam::000000000000:oidc-provider/gitlab.com"},"Action":"sts:AssumeRoleWithWebIdentity"}]}`
	const deny = `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":["*:Get*",":x"],"Resource":["arn:aws-cn:s3:::b","*"]}]}`
	s := open()
	e := s.iam.edit(func(e *edit) *wire.Failure {
		r := &role{entity: entity{ID: "AROAOLD", Name: "old", Path: "/", ARN: roleKind.arn(s, "/", "old")}, MaxSession: 3600, Trust: trust}
		r.Inline = []inlinePolicy{{"deny", deny}}
		return e.putRole(r)
	})
	if e != nil {
		t.Fatal(e)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open()
	defer s.Close()
	r := s.iam.roleByName("old")
	if r == nil || len(r.trust.FederatedPrincipals()) != 1 {
		t.Fatal("the role is not there")
	}
	who := api.Caller{Principal: policy.Principal{Kind: policy.RoleSession, Account: "000000000000", ARN: "x", EntityARN: r.ARN}, Identity: &identity{role: r}}
	policies := s.policiesOf(&who)
	d := policy.Evaluate(&policy.Request{Principal: who.Principal, Action: "s3:GetObject", Resource: "arn:aws:s3:::b/k", Context: &policy.Context{}}, &policies)
	if !d.Explicit {
		t.Errorf("the older policy does not deny: %s", &d)
	}
}
