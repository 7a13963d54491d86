package policy_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openirsa/openirsa/pkg/policy"
)

// documents are the texts of the policies that mustParse made.
var documents sync.Map

// evaluate is [policy.Evaluate] which holds a law against each denial of the tests:
// with the remedy's statements in their documents the request is allowed, unless a
// statement denies it explicitly.
func evaluate(t testing.TB, req *policy.Request, p *policy.Policies) policy.Decision {
	t.Helper()
	d := policy.Evaluate(req, p)
	r := p.Remedy(req)
	switch {
	case d.Allowed || d.Explicit:
		if len(r.Additions) > 0 || d.Explicit && r.Denying != d.Statement {
			t.Errorf("%s: the remedy is %+v", d, r)
		}
		return d
	case len(r.Additions) == 0:
		if d.Type != policy.ResourceControlType { // nothing but AWS's own allows
			t.Errorf("%s: no remedy", d)
		}
		return d
	}
	after := *p
	for _, a := range r.Additions {
		switch a.Type {
		case policy.IdentityType:
			after.Identity = append(after.Identity[:len(after.Identity):len(after.Identity)], *amended(t, policy.Identity, nil, a))
		case policy.SessionType:
			after.Session = append(after.Session[:len(after.Session):len(after.Session)], *amended(t, policy.Session, nil, a))
		case policy.BoundaryType:
			after.Boundary = amended(t, policy.Identity, after.Boundary, a)
		case policy.TrustType:
			after.Resource = amended(t, policy.Trust, after.Resource, a)
		case policy.ResourceType:
			kind := policy.Bucket
			if p.Resource != nil {
				kind = p.Resource.Policy.Kind()
			}
			after.Resource = amended(t, kind, after.Resource, a)
		case policy.ServiceControlType:
			after.ServiceControl = slices.Clone(after.ServiceControl)
			for i := range after.ServiceControl {
				if l := &after.ServiceControl[i]; l.ID == a.Target {
					l.Policies = append(slices.Clone(l.Policies), *amended(t, policy.ServiceControl, nil, a))
				}
			}
		}
	}
	if again := policy.Evaluate(req, &after); !again.Allowed {
		t.Errorf("%s\nwith %s: %s", d, r.Additions, again)
	}
	// What it allows is this resource and no other.
	if req.Resource != "*" && d.Type != policy.TrustType {
		elsewhere := *req
		elsewhere.Resource += "x"
		if policy.Evaluate(&elsewhere, &after).Allowed && !policy.Evaluate(&elsewhere, p).Allowed {
			t.Errorf("%s\nwith %s: %s is allowed too", d, r.Additions, elsewhere.Resource)
		}
	}
	return d
}

// amended is a policy with a statement more in its document.
func amended(t testing.TB, kind policy.Kind, there *policy.Named, a policy.Addition) *policy.Named {
	t.Helper()
	doc := map[string]any{"Version": "2012-10-17", "Statement": []any{}}
	if there != nil {
		text, ok := documents.Load(there.Policy)
		if !ok {
			t.Fatalf("policy %q was not made by mustParse", there.Name)
		}
		if err := json.Unmarshal([]byte(text.(string)), &doc); err != nil {
			t.Fatal(err)
		}
	}
	if one, ok := doc["Statement"].(map[string]any); ok {
		doc["Statement"] = []any{one}
	}
	doc["Statement"] = append(doc["Statement"].([]any), json.RawMessage(a.Statement))
	text, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	return &policy.Named{Name: "amended", Policy: mustParse(t, kind, string(text))}
}

// What a remedy looks like.
func TestRemedy(t *testing.T) {
	const object = "arn:aws:s3:::b/k"
	reader := func(condition string) string {
		return statements(`{"Effect":"Allow","Action":"s3:Get*","Resource":"*","Condition":` + condition + `}`)
	}
	plain := `{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/k"}`
	with := func(condition string) string {
		return strings.TrimSuffix(plain, "}") + `,"Condition":` + condition + `}`
	}
	ctx := context("aws:SourceIp", "192.0.2.7", "s3:prefix", "home/${x}*", "s3:max-keys", "100", "aws:CurrentTime", "2026-11-30T00:00:00Z",
		"aws:SecureTransport", "false")
	ctx.SetMulti("aws:TagKeys", "team", "cost")
	for _, c := range []struct{ name, identity, want string }{
		{"nothing there", "", plain},
		{"another resource", statements(`{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::c/*","Condition":{"Null":{"k":"true"}}}`), plain},
		{"an address", reader(`{"IpAddress":{"aws:SourceIp":"198.51.100.0/24"}}`), with(`{"IpAddress":{"aws:SourceIp":"192.0.2.7"}}`)},
		{"what holds stays", reader(`{"IpAddress":{"aws:SourceIp":"192.0.2.0/24"},"Bool":{"aws:SecureTransport":"true"}}`),
			with(`{"Bool":{"aws:SecureTransport":"false"},"IpAddress":{"aws:SourceIp":"192.0.2.0/24"}}`)},
		{"a text with what looks like a variable", reader(`{"StringLike":{"s3:prefix":"home/a*"}}`), with(`{"StringEquals":{"s3:prefix":"home/${$}{x}*"}}`)},
		{"a limit", reader(`{"NumericLessThan":{"s3:max-keys":"10"}}`), with(`{"NumericLessThanEquals":{"s3:max-keys":"100"}}`)},
		{"an absent key", reader(`{"StringEquals":{"aws:PrincipalTag/team":"a"}}`), with(`{"Null":{"aws:PrincipalTag/team":"true"}}`)},
		{"a misspelt key", reader(`{"StringEquals":{"S3:maxkeys:prefix":"a","s3:prefix":"b"}}`), with(`{"StringEquals":{"s3:prefix":"home/${$}{x}*"}}`)},
		{"several values", reader(`{"ForAllValues:StringEquals":{"aws:TagKeys":"team"}}`), with(`{"ForAllValues:StringEquals":{"aws:TagKeys":["team","cost"]}}`)},
		{"a negation", reader(`{"StringNotEquals":{"s3:max-keys":"100"}}`), with(`{"StringEquals":{"s3:max-keys":"100"}}`)},
		{"a time that is over", reader(`{"DateLessThan":{"aws:CurrentTime":"2026-01-01T00:00:00Z"}}`), plain},
	} {
		p := &policy.Policies{}
		if c.identity != "" {
			p.Identity = []policy.Named{{Name: "p", Policy: mustParse(t, policy.Identity, c.identity)}}
		}
		req := &policy.Request{Principal: user, Action: "s3:GetObject", Resource: object, Context: ctx}
		evaluate(t, req, p)
		r := p.Remedy(req)
		if len(r.Additions) != 1 || string(r.Additions[0].Statement) != c.want {
			t.Errorf("%s: %+v\ngot  %s\nwant %s", c.name, r, r.Additions, c.want)
		}
		if omitted := len(r.Additions[0].Omitted) == 1; omitted != strings.Contains(c.identity, "Date") {
			t.Errorf("%s: omitted %v", c.name, r.Additions[0].Omitted)
		}
	}
}

// A remedy for a trust policy has the exact sub and aud, whatever was nearly right.
func TestRemedyOfTrust(t *testing.T) {
	exact := `{"i.example/c1:aud":"sts.amazonaws.com","i.example/c1:sub":"system:serviceaccount:ns1:app"}`
	plain := trustStatement(`{"StringEquals":` + exact + `}`)
	ctx := context("i.example/c1:sub", "system:serviceaccount:ns1:app", "i.example/c1:aud", "sts.amazonaws.com", "sts:RoleSessionName", "app1")
	for doc, want := range map[string]string{
		trustStatement(`{"StringEquals":{"i.example/c1:sub":"system:serviceaccount:ns1:other"}}`): plain,
		trustStatement(`{"StringLike":{"i.example/c1:sub":"system:serviceaccount:ns2:*"}}`):       plain,
		trustStatement(`{"StringEquals":{"https://i.example/c1:sub":"x","i.example:aud":"y"}}`):   plain,
		strings.Replace(trustStatement(""), "WithWebIdentity", "", 1):                             plain,
		strings.ReplaceAll(trustStatement(""), "i.example", "other.example"):                      plain,
		trustStatement(`{"StringEquals":{"sts:RoleSessionName":"app2"}}`):                         trustStatement(`{"StringEquals":` + strings.TrimSuffix(exact, "}") + `,"sts:RoleSessionName":"app1"}}`),
	} {
		if d := evaluateTrust(t, statements(doc), ctx); d.Allowed {
			t.Errorf("allowed by %s", doc)
		}
		p := &policy.Policies{Resource: &policy.Named{Name: "R", Policy: mustParse(t, policy.Trust, statements(doc))}}
		r := p.Remedy(&policy.Request{Principal: webIdentity, Action: "sts:AssumeRoleWithWebIdentity", Resource: "arn:aws:iam::123456789012:role/R", Context: ctx})
		if len(r.Additions) != 1 || string(r.Additions[0].Statement) != want {
			t.Errorf("%s\ngot  %s\nwant %s", doc, r.Additions, want)
		}
	}
}

// One statement for each document that lacks one, in the order of the denials.
func TestRemedyOfSeveral(t *testing.T) {
	no := statements(`{"Effect":"Allow","Action":"sqs:*","Resource":"*"}`)
	p := &policy.Policies{
		Identity:   []policy.Named{{Name: "i", Policy: mustParse(t, policy.Identity, no)}},
		Boundary:   &policy.Named{Name: "b", Policy: mustParse(t, policy.Identity, no)},
		HasSession: true,
	}
	req := &policy.Request{Principal: session, Action: "s3:PutObject", Resource: "arn:aws:s3:::b/a*", ResourceAccount: "999999999999"}
	evaluate(t, req, p)
	var got []string
	for _, a := range p.Remedy(req).Additions {
		got = append(got, fmt.Sprintf("%s: %s", a.Type, a.Statement))
	}
	own := `{"Effect":"Allow","Action":"s3:PutObject","Resource":"arn:aws:s3:::b/a${*}"}`
	want := []string{
		"identity-based policy: " + own, "permissions boundary: " + own, "session policy: " + own,
		`resource-based policy: {"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::123456789012:role/path/R"},"Action":"s3:PutObject","Resource":"arn:aws:s3:::b/a${*}"}`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	req.Resource = "no ARN"
	if r := p.Remedy(req); len(r.Additions) > 0 {
		t.Errorf("for %q: %s", req.Resource, r.Additions)
	}
}
