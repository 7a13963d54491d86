package policy_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/openirsa/openirsa/pkg/policy"
)

// What one AssumeRoleWithWebIdentity costs: the context is built and the
// trust policy evaluated.
func BenchmarkTrust(b *testing.B) {
	p := mustParse(b, policy.Trust, statements(trustStatement(
		`{"StringEquals":{"i.example/c1:sub":"system:serviceaccount:ns1:app","i.example/c1:aud":"sts.amazonaws.com"}}`)))
	resource := &policy.Named{Name: "R", Policy: p}
	policies := &policy.Policies{Resource: resource}
	var ctx policy.Context
	b.ReportAllocs()
	for b.Loop() {
		ctx.Reset()
		for _, key := range []string{
			"aws:FederatedProvider", "aws:PrincipalAccount", "aws:PrincipalType", "aws:userid", "aws:SourceIp", "aws:UserAgent",
			"aws:SecureTransport", "aws:CurrentTime", "aws:EpochTime", "aws:RequestedRegion", "aws:ResourceAccount", "sts:RoleSessionName",
		} {
			ctx.Set(key, "value")
		}
		ctx.Set("i.example/c1:sub", "system:serviceaccount:ns1:app")
		ctx.Set("i.example/c1:aud", "sts.amazonaws.com")
		d := policy.Evaluate(&policy.Request{
			Principal: webIdentity, Action: "sts:AssumeRoleWithWebIdentity", ResourceAccount: account, Context: &ctx,
		}, policies)
		if !d.Allowed {
			b.Fatal(d)
		}
	}
}

// A large managed policy, in which the action is the last.
func BenchmarkLargePolicy(b *testing.B) {
	var actions []string
	for i := range 2000 {
		actions = append(actions, fmt.Sprintf(`"service%d:Get*"`, i/5))
	}
	doc := statements(`{"Effect":"Allow","Action":[` + strings.Join(actions, ",") + `,"s3:Get*"],"Resource":"*"}`)
	policies := &policy.Policies{Identity: []policy.Named{{Name: "p", Policy: mustParse(b, policy.Identity, doc)}}}
	req := &policy.Request{Principal: user, Action: "s3:GetObject", Resource: "arn:aws:s3:::b/k"}
	b.ReportAllocs()
	for b.Loop() {
		if d := policy.Evaluate(req, policies); !d.Allowed {
			b.Fatal(d)
		}
	}
}
