package policy_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/openirsa/openirsa/pkg/policy"
)

// levels are the root, an organizational unit and an account with policies each;
// "" is FullAWSAccess, and "-" no policy.
func levels(t testing.TB, kind policy.Kind, docs ...string) []policy.Level {
	t.Helper()
	var all []policy.Level
	for i, name := range []string{"the root r-ab12", "organizational unit ou-ab12-11111111", "account 123456789012"}[:len(docs)] {
		l := policy.Level{Name: name, ID: name[strings.LastIndexByte(name, ' ')+1:]}
		doc := docs[i]
		if doc == "" {
			doc = policy.FullServiceControl
			if kind == policy.ResourceControl {
				doc = policy.FullResourceControl
			}
		}
		if doc != "-" {
			l.Policies = []policy.Named{{Name: l.ID, Policy: mustParse(t, kind, doc)}}
		}
		all = append(all, l)
	}
	return all
}

// "SCP evaluation": an Allow at every level from the root to the account, and no Deny
// at any; "SCP effects on permissions": nothing is granted, and the root user is
// limited too.
func TestServiceControlEvaluation(t *testing.T) {
	const object = "arn:aws:s3:::b/k"
	s3Only := statements(`{"Effect":"Allow","Action":"s3:*","Resource":"*"}`)
	ec2Only := statements(`{"Effect":"Allow","Action":"ec2:*","Resource":"*"}`)
	denyS3 := statements(`{"Effect":"Allow","Action":"*","Resource":"*"}`, `{"Sid":"NoS3","Effect":"Deny","Action":"s3:*","Resource":"*"}`)
	all := statements(`{"Effect":"Allow","Action":"*","Resource":"*"}`)
	bucket := statements(`{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"` + object + `"}`)
	root := policy.Principal{Kind: policy.Root, Account: account, ARN: "arn:aws:iam::123456789012:root"}
	const implicit, explicit = "because no service control policy allows the s3:GetObject action", "with an explicit deny in a service control policy"
	for _, c := range []struct {
		name     string
		caller   policy.Principal
		scps     []string
		identity string
		bucket   string
		want     string // how AWS ends the message; "" is allowed
		at       string
	}{
		{"FullAWSAccess everywhere", user, []string{"", "", ""}, all, "", "", ""},
		{"an allow list at each level", user, []string{s3Only, s3Only, s3Only}, all, "", "", ""},
		{"nothing at the root", user, []string{"-", "", ""}, all, "", implicit, "the root r-ab12"},
		{"nothing at the OU", user, []string{"", "-", ""}, all, "", implicit, "organizational unit ou-ab12-11111111"},
		{"nothing at the account", user, []string{"", "", "-"}, all, "", implicit, "account 123456789012"},
		{"another service at the OU", user, []string{"", ec2Only, ""}, all, "", implicit, "organizational unit ou-ab12-11111111"},
		{"a deny at the root", user, []string{denyS3, "", ""}, all, "", explicit, "the root r-ab12"},
		{"a deny at the account", user, []string{"", "", denyS3}, all, "", explicit, "account 123456789012"},
		{"a deny below a missing allow", user, []string{"-", "", denyS3}, all, "", explicit, "account 123456789012"},
		{"an SCP grants nothing", user, []string{"", "", ""}, ec2Only, "", "because no identity-based policy allows the s3:GetObject action", ""},
		{"neither", user, []string{"", ec2Only, ""}, ec2Only, "", implicit, "organizational unit ou-ab12-11111111"},
		{"a bucket policy does not help", user, []string{"", ec2Only, ""}, "", bucket, implicit, "organizational unit ou-ab12-11111111"},
		{"the root user is limited", root, []string{"", "", denyS3}, "", "", explicit, "account 123456789012"},
		{"the root user is not allowed", root, []string{"", "", ec2Only}, "", "", implicit, "account 123456789012"},
		{"the root user is allowed", root, []string{"", "", ""}, "", "", "", ""},
		{"outside of an organization", user, nil, all, "", "", ""},
	} {
		p := policy.Policies{ServiceControl: levels(t, policy.ServiceControl, c.scps...)}
		if c.identity != "" {
			p.Identity = []policy.Named{{Name: "identity", Policy: mustParse(t, policy.Identity, c.identity)}}
		}
		if c.bucket != "" {
			p.Resource = &policy.Named{Name: "bucket", Policy: mustParse(t, policy.Bucket, c.bucket)}
		}
		d := evaluate(t, &policy.Request{Principal: c.caller, Action: "s3:GetObject", Resource: object, ResourceAccount: account}, &p)
		if d.Tail() != c.want || d.Level != c.at {
			t.Errorf("%s: %s (at %s)", c.name, d, d.Level)
		}
		if c.at != "" && !strings.Contains(d.String(), " at "+c.at) {
			t.Errorf("%s: %s", c.name, d)
		}
	}
}

// "Resource control policy examples": "Restrict access to only HTTPS connections to
// your resources", and "Consistent enforcement" by aws:PrincipalOrgID; "RCP effects on
// permissions": whoever calls, from inside the organization or outside, or nobody.
func TestResourceControlEvaluation(t *testing.T) {
	const object = "arn:aws:s3:::b/k"
	https := statements(`{"Effect":"Deny","Principal":"*","Action":["sts:*","s3:*","sqs:*","secretsmanager:*","kms:*"],"Resource":"*",
		"Condition":{"BoolIfExists":{"aws:SecureTransport":"false"}}}`)
	org := statements(`{"Sid":"EnforceOrgIdentities","Effect":"Deny","Principal":"*","Action":["s3:*"],"Resource":"*","Condition":{
		"StringNotEqualsIfExists":{"aws:PrincipalOrgID":"o-a1b2c3d4e5"},"BoolIfExists":{"aws:PrincipalIsAWSService":"false"}}}`)
	bucket := statements(`{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"` + object + `"}`)
	stranger := policy.Principal{Kind: policy.User, Account: "999999999999", ARN: "arn:aws:iam::999999999999:user/x", ID: "AIDAX"}
	all := statements(`{"Effect":"Allow","Action":"*","Resource":"*"}`)
	for _, c := range []struct {
		name    string
		caller  policy.Principal
		rcp     string
		keys    []string
		allowed bool
	}{
		{"HTTPS", user, https, []string{"aws:SecureTransport", "true"}, true},
		{"HTTP", user, https, []string{"aws:SecureTransport", "false"}, false},
		{"HTTP, anonymous", policy.Principal{Kind: policy.Anonymous}, https, []string{"aws:SecureTransport", "false"}, false},
		{"HTTPS, anonymous", policy.Principal{Kind: policy.Anonymous}, https, []string{"aws:SecureTransport", "true"}, true},
		{"of the organization", user, org, []string{"aws:PrincipalOrgID", "o-a1b2c3d4e5", "aws:PrincipalIsAWSService", "false"}, true},
		{"of another", stranger, org, []string{"aws:PrincipalOrgID", "o-zzzzzzzzzz", "aws:PrincipalIsAWSService", "false"}, false},
		{"of none", stranger, org, []string{"aws:PrincipalIsAWSService", "false"}, false},
		{"a service of AWS", user, org, []string{"aws:PrincipalIsAWSService", "true"}, true},
	} {
		p := policy.Policies{
			Identity:        []policy.Named{{Name: "identity", Policy: mustParse(t, policy.Identity, all)}},
			Resource:        &policy.Named{Name: "bucket", Policy: mustParse(t, policy.Bucket, bucket)},
			ResourceControl: levels(t, policy.ResourceControl, "", "", ""),
		}
		p.ResourceControl[1].Policies = append(p.ResourceControl[1].Policies, policy.Named{Name: "rcp", Policy: mustParse(t, policy.ResourceControl, c.rcp)})
		d := evaluate(t, &policy.Request{
			Principal: c.caller, Action: "s3:GetObject", Resource: object, ResourceAccount: account, Context: context(c.keys...),
		}, &p)
		if d.Allowed != c.allowed || !d.Allowed && d.Tail() != "with an explicit deny in a resource control policy" {
			t.Errorf("%s: %s", c.name, d)
		}
	}

	// A web identity passes RCPFullAWSAccess, and is shut out by a Deny.
	trust := &policy.Named{Name: "R", Policy: mustParse(t, policy.Trust, statements(trustStatement("")))}
	request := &policy.Request{
		Principal: webIdentity, Action: "sts:AssumeRoleWithWebIdentity", Resource: "arn:aws:iam::123456789012:role/R", ResourceAccount: account,
		Context: context("aws:SecureTransport", "false"),
	}
	p := policy.Policies{Resource: trust, ResourceControl: levels(t, policy.ResourceControl, "", "", "")}
	if d := evaluate(t, request, &p); !d.Allowed {
		t.Errorf("a web identity: %s", d)
	}
	p.ResourceControl = levels(t, policy.ResourceControl, "", "", https)
	if d := evaluate(t, request, &p); d.Allowed || !d.Explicit {
		t.Errorf("a web identity by HTTP: %s", d)
	}
}

// "SCP syntax" and "RCP syntax".
func TestParseControl(t *testing.T) {
	for _, c := range []struct {
		name string
		kind policy.Kind
		doc  string
		ok   bool
	}{
		{"FullAWSAccess", policy.ServiceControl, policy.FullServiceControl, true},
		{"conditions, NotResource, resources", policy.ServiceControl, statements(
			`{"Effect":"Allow","Action":"s3:*","NotResource":"arn:aws:s3:::b","Condition":{"StringEquals":{"aws:RequestedRegion":"eu-west-1"}}}`,
			`{"Effect":"Deny","NotAction":["iam:*","organizations:*"],"Resource":"*"}`), true},
		{"a principal", policy.ServiceControl, statements(`{"Effect":"Deny","Principal":"*","Action":"s3:*","Resource":"*"}`), false},
		{"no version", policy.ServiceControl, `{"Statement":[{"Effect":"Deny","Action":"s3:*","Resource":"*"}]}`, false},
		{"no statement", policy.ServiceControl, `{"Version":"2012-10-17"}`, false},
		{"no JSON", policy.ServiceControl, `{`, false},
		{"RCPFullAWSAccess", policy.ResourceControl, policy.FullResourceControl, true},
		{"a deny", policy.ResourceControl, statements(`{"Effect":"Deny","Principal":"*","Action":"s3:*","Resource":"*"}`), true},
		{"NotResource", policy.ResourceControl, statements(`{"Effect":"Deny","Principal":"*","Action":"s3:*","NotResource":"arn:aws:s3:::b"}`), true},
		{"an allow", policy.ResourceControl, statements(`{"Effect":"Allow","Principal":"*","Action":"s3:*","Resource":"*"}`), false},
		{"some principal", policy.ResourceControl, statements(`{"Effect":"Deny","Principal":{"AWS":"123456789012"},"Action":"s3:*","Resource":"*"}`), false},
		{"no principal", policy.ResourceControl, statements(`{"Effect":"Deny","Action":"s3:*","Resource":"*"}`), false},
		{"NotPrincipal", policy.ResourceControl, statements(`{"Effect":"Deny","NotPrincipal":{"AWS":"123456789012"},"Action":"s3:*","Resource":"*"}`), false},
		{"NotAction", policy.ResourceControl, statements(`{"Effect":"Deny","Principal":"*","NotAction":"s3:*","Resource":"*"}`), false},
		{"all services", policy.ResourceControl, statements(`{"Effect":"Deny","Principal":"*","Action":"*","Resource":"*"}`), false},
		{"an older version", policy.ResourceControl, `{"Version":"2008-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":"s3:*","Resource":"*"}]}`, false},
	} {
		p, err := policy.Parse(c.kind, []byte(c.doc))
		fault, _ := errors.AsType[*policy.Error](err)
		switch {
		case (err == nil) != c.ok:
			t.Errorf("%s: %v", c.name, err)
		case c.ok && p.Kind() != c.kind:
			t.Errorf("%s: kind %d", c.name, p.Kind())
		case !c.ok && (fault == nil || fault.Code != "MalformedPolicyDocumentException"):
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// "List of AWS services that support RCPs".
func TestResourceControlled(t *testing.T) {
	for action, want := range map[string]bool{
		"s3:GetObject": true, "sts:AssumeRole": true, "sts:AssumeRoleWithWebIdentity": true, "kms:Sign": true, "sqs:SendMessage": true,
		"secretsmanager:GetSecretValue": true, "kms:RetireGrant": false, "iam:CreateRole": false, "sts:GetCallerIdentity": false, "ec2:RunInstances": false,
	} {
		if got := policy.ResourceControlled(action); got != want {
			t.Errorf("%s: %t", action, got)
		}
	}
}

// "Cross-account policy evaluation logic": both sides must allow, and who does not is
// said.
func TestSides(t *testing.T) {
	const object = "arn:aws:s3:::b/k"
	allow := statements(`{"Effect":"Allow","Action":"s3:*","Resource":"*"}`)
	bucket := statements(`{"Effect":"Allow","Principal":{"AWS":"123456789012"},"Action":"s3:GetObject","Resource":"` + object + `"}`)
	for _, c := range []struct {
		docs map[string]string
		want string
	}{
		{map[string]string{"identity": allow, "bucket": bucket}, ""},
		{map[string]string{"identity": allow}, "allows it; account 999999999999, of the resource, does not."},
		{map[string]string{"bucket": bucket}, "does not; account 999999999999, of the resource, allows it."},
		{map[string]string{}, "does not; account 999999999999, of the resource, does not."},
	} {
		d := decide(t, user, "s3:GetObject", object, "999999999999", c.docs)
		if c.want == "" {
			if !d.Allowed || d.Sides != nil {
				t.Errorf("%s", d)
			}
			continue
		}
		want := "Across accounts both sides must allow: account 123456789012, of the caller, " + c.want
		if !strings.HasSuffix(d.String(), want) {
			t.Errorf("%s\nwant %s", d, want)
		}
	}
}

// A KMS key is for those whom its policy lets in ("Key policies in AWS KMS").
func TestMustAllow(t *testing.T) {
	const key = "arn:aws:kms:us-east-1:123456789012:key/k"
	all := []policy.Named{{Name: "identity", Policy: mustParse(t, policy.Identity, statements(`{"Effect":"Allow","Action":"kms:*","Resource":"*"}`))}}
	root := policy.Principal{Kind: policy.Root, Account: account, ARN: "arn:aws:iam::123456789012:root"}
	of := func(principal string) *policy.Named {
		return &policy.Named{Name: "key", Policy: mustParse(t, policy.Resource, statements(`{"Effect":"Allow","Principal":{"AWS":"`+principal+`"},"Action":"kms:*","Resource":"*"}`))}
	}
	for _, c := range []struct {
		name     string
		caller   policy.Principal
		identity []policy.Named
		key      *policy.Named
		allowed  bool
	}{
		{"the account, and the user's own policy", user, all, of(account), true},
		{"the account alone", user, nil, of(account), false},
		{"the user alone", user, nil, of(user.ARN), true},
		{"another user", user, all, of("arn:aws:iam::123456789012:user/other"), false},
		{"the root user of the account", root, nil, of(account), true},
		{"the root user, not named", root, nil, of("arn:aws:iam::123456789012:user/other"), false},
	} {
		d := evaluate(t, &policy.Request{Principal: c.caller, Action: "kms:Sign", Resource: key, ResourceAccount: account},
			&policy.Policies{Identity: c.identity, Resource: c.key, MustAllow: true})
		if d.Allowed != c.allowed {
			t.Errorf("%s: %s", c.name, d)
		}
	}
}
