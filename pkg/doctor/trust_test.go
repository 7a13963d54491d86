package doctor_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/openirsa/openirsa/pkg/doctor"
	"github.com/openirsa/openirsa/pkg/irsa"
	"github.com/openirsa/openirsa/pkg/owner"
	iampolicy "github.com/openirsa/openirsa/pkg/policy"
	"github.com/openirsa/openirsa/pkg/token"
)

const (
	ofEC2   = `{"Sid":"EC2","Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}`
	ofOther = `{"Effect":"Allow","Principal":{"Federated":"arn:aws:iam::` + account + `:oidc-provider/other.example"},"Action":"sts:AssumeRoleWithWebIdentity","Condition":{"StringEquals":{"other.example:sub":"system:serviceaccount:default:app"}}}`
)

// statement lets tokens of the chain's provider in on conditions.
func statement(conditions string) string {
	return `{"Effect":"Allow","Principal":{"Federated":"` + provider + `"},"Action":"sts:AssumeRoleWithWebIdentity","Condition":{` + conditions + `}}`
}

func equals(subjects ...string) string {
	list, _ := json.Marshal(subjects)
	return fmt.Sprintf(`"StringEquals":{"%s:aud":"sts.amazonaws.com","%[1]s:sub":%s}`, host, list)
}

func like(pattern string) string {
	return fmt.Sprintf(`"StringEquals":{"%s:aud":"sts.amazonaws.com"},"StringLike":{"%[1]s:sub":%q}`, host, pattern)
}

func document(statements ...string) string {
	return `{"Version":"2012-10-17","Statement":[` + strings.Join(statements, ",") + `]}`
}

// written is the trust policy that a command writes.
func written(t *testing.T, command string) string {
	t.Helper()
	_, rest, ok := strings.Cut(command, "aws iam update-assume-role-policy --role-name app --policy-document '")
	text, _, closed := strings.Cut(rest, "'")
	if !ok || !closed {
		t.Fatalf("next: %s", command)
	}
	return text
}

// allows evaluates a trust policy for a token with a subject and an audience
// from an address.
func allows(t *testing.T, document, subject, audience, address string) bool {
	t.Helper()
	p, err := iampolicy.Parse(iampolicy.Trust, []byte(document))
	if err != nil {
		t.Fatalf("%s: %v", document, err)
	}
	var keys iampolicy.Context
	keys.Set(host+":sub", subject)
	keys.Set(host+":aud", audience)
	keys.Set("aws:SourceIp", address)
	return iampolicy.Evaluate(&iampolicy.Request{
		Principal: iampolicy.Principal{Kind: iampolicy.WebIdentity, Account: account, ARN: provider},
		Action:    "sts:AssumeRoleWithWebIdentity", Resource: roleARN, ResourceAccount: account, Context: &keys,
	}, &iampolicy.Policies{Resource: &iampolicy.Named{Policy: p}}).Allowed
}

// TestMendTrust: the command that has a role let in the service account takes
// nobody's trust away and gives nobody else any.
func TestMendTrust(t *testing.T) {
	const within, outside = "10.1.2.3", "192.0.2.1"
	var (
		sub = func(name string) string { return token.Subject("default", name) }
		net = `,"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}`
	)
	for _, test := range []struct {
		name  string
		trust string
		keeps []string // parts of the document that stay as they are
	}{
		{"attached role of EC2", document(ofEC2), []string{ofEC2}},
		{"a single statement without brackets", `{"Version":"2012-10-17","Statement":` + ofEC2 + `}`, []string{ofEC2}},
		{"one role of web and worker", document(statement(equals(sub("web"), sub("worker")))), nil},
		{"pattern", document(statement(like(sub("team-*")))), []string{`team-*`}},
		{"pattern, and another cluster", document(ofOther, statement(like(sub("team-*")))), []string{ofOther, `team-*`}},
		{"an address is asked for too", document(statement(equals(sub("web"))+net), ofEC2), []string{ofEC2}},
		{"another audience", document(statement(strings.ReplaceAll(equals(sub("web")), irsa.Audience, "vault"))), nil},
		{"another audience for the same subject", document(statement(strings.ReplaceAll(equals(sub("app")), irsa.Audience, "vault"))), nil},
		{"misspelt key beside others", document(statement(equals(sub("web"))), statement(strings.ReplaceAll(equals(sub("app")), host+":", host+"/:"))), nil},
		{"misspelt provider", document(ofEC2, strings.ReplaceAll(statement(equals(sub("app"))), "oidc-provider/", "oidc-provider/https://")), []string{ofEC2}},
		{"sts:AssumeRole", document(strings.Replace(statement(equals(sub("app"))), "WithWebIdentity", "", 1), ofEC2), []string{ofEC2}},
		{"denied by name", document(statement(equals(sub("web"), sub("app"))), `{"Effect":"Deny","Principal":"*","Action":"sts:*","Condition":{"StringLike":{"`+host+`:sub":["`+sub("a*")+`"]}}}`), nil},
		{"denied but for some", document(statement(equals(sub("web"), sub("app"))), `{"Effect":"Deny","Principal":"*","Action":"sts:*","Condition":{"StringNotEquals":{"`+host+`:sub":"`+sub("web")+`"}}}`, ofEC2), []string{ofEC2}},
		{"denied, and not allowed", document(`{"Effect":"Deny","Principal":"*","Action":"sts:*","Condition":{"StringLike":{"`+host+`:sub":"`+sub("a*")+`"}}}`, ofEC2), []string{ofEC2}},
		{"denied without a condition", document(statement(equals(sub("app"), sub("web"))), `{"Effect":"Deny","Principal":"*","Action":"sts:AssumeRoleWithWebIdentity"}`), nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := healthy(t)
			c.trust(test.trust)
			c.f.Role.Tags = nil
			c.deny()
			got, ok := doctor.First(doctor.Diagnose(c.f))
			if !ok || got.Check != "trust policy" {
				t.Fatalf("broken: %+v", got)
			}
			fixed := written(t, got.Fix.Shell("SETUP"))
			for _, keep := range test.keeps {
				if !strings.Contains(fixed, keep) {
					t.Errorf("lost %s\nof %s\nin %s", keep, test.trust, fixed)
				}
			}
			if !allows(t, fixed, subject, irsa.Audience, within) {
				t.Errorf("the service account is not let in by %s", fixed)
			}
			for _, name := range []string{"web", "worker", "team-one", "another", "ap", "app2"} {
				for _, aud := range []string{irsa.Audience, "vault"} {
					for _, address := range []string{within, outside} {
						before := allows(t, test.trust, sub(name), aud, address)
						if after := allows(t, fixed, sub(name), aud, address); after != before {
							t.Errorf("%s for %s from %s: %t, was %t, by %s", name, aud, address, after, before, fixed)
						}
					}
				}
			}
			// What is asked of its neighbours is asked of it.
			if strings.Contains(test.trust, "SourceIp") && allows(t, fixed, subject, irsa.Audience, outside) {
				t.Errorf("the address is asked for no more by %s", fixed)
			}
			c.f.Role.Trust = []byte(fixed)
			for _, f := range doctor.Diagnose(c.f) {
				if f.Check == "trust policy" && f.Result == doctor.Broken {
					t.Errorf("after it: %+v", f)
				}
			}
		})
	}
}

// A role that is shared keeps all its service accounts, of all clusters.
func TestMendSharedRole(t *testing.T) {
	c := healthy(t)
	web := token.Subject("default", "web")
	c.trust(document(ofOther, statement(equals(web))))
	c.f.Role.Tags = map[string]string{owner.Tag: "true", owner.SharedTag: "true"}
	got, _ := doctor.First(doctor.Diagnose(c.f))
	fixed := written(t, got.Fix.Shell("SETUP"))
	if !strings.Contains(fixed, ofOther) || !allows(t, fixed, web, irsa.Audience, "") || !allows(t, fixed, subject, irsa.Audience, "") {
		t.Error(fixed)
	}
}

// What cannot be read is replaced if nothing in it can be, and is otherwise for
// somebody to look at.
func TestMendUnreadableTrust(t *testing.T) {
	for trust, want := range map[string]string{
		"no JSON": "aws iam update-assume-role-policy --role-name app --policy-document '{",
		document(strings.Replace(ofEC2, "Allow", "allow", 1)): "aws iam get-role --role-name app",
	} {
		c := healthy(t)
		c.trust(trust)
		c.f.Role.Tags = nil
		if got, _ := doctor.First(doctor.Diagnose(c.f)); !strings.HasPrefix(got.Fix.Shell("SETUP"), want) {
			t.Errorf("%s: %s", trust, got.Fix.Shell("SETUP"))
		}
	}
}

// A condition on the call that shuts the service account out is meant: no
// command goes round it.
func TestMendKeepsConditions(t *testing.T) {
	for _, trust := range []string{
		document(statement(equals(subject) + `,"DateLessThan":{"aws:CurrentTime":"2026-11-01T00:00:00Z"}`)),
		document(statement(equals(subject) + `,"StringLike":{"aws:ResourceTag/team":"b"}`)),
		document(statement(equals(subject)), `{"Effect":"Deny","Principal":"*","Action":"*","Condition":{"DateGreaterThan":{"aws:CurrentTime":"2026-11-01T00:00:00Z"}}}`),
	} {
		c := healthy(t)
		c.trust(trust)
		c.f.Role.Tags = nil
		got, _ := doctor.First(doctor.Diagnose(c.f))
		if got.Check != "trust policy" || !strings.HasPrefix(got.Fix.Shell("SETUP"), "aws iam get-role --role-name app") || !strings.Contains(got.Expected+got.Found, "aws:") || strings.Contains(got.Expected, ":sub") {
			t.Errorf("%s: %+v", trust, got)
		}
	}
}

// A warning's command takes away no trust either: nobody knows who is meant to
// have it.
func TestNarrowTrust(t *testing.T) {
	c := healthy(t)
	c.trust(document(ofEC2, statement(like("system:serviceaccount:*"))))
	c.f.Role.Tags = nil
	warned := false
	for _, f := range doctor.Diagnose(c.f) {
		if f.Result == doctor.Warning {
			warned = true
			if !strings.HasPrefix(f.Fix.Shell("SETUP"), "aws iam get-role --role-name app") {
				t.Errorf("next: %s", f.Fix.Shell("SETUP"))
			}
		}
	}
	if !warned {
		t.Error("no warning")
	}
}

// TestConditionsOfTheCall: a condition on what only AWS sees of a call is no
// fault. The real call decides.
func TestConditionsOfTheCall(t *testing.T) {
	const deny = `{"Effect":"Deny","Principal":"*","Action":"*","Condition":{`
	ours := statement(equals(subject))
	for _, test := range []struct {
		name, trust string
		// results of the check while STS gives credentials, and while it refuses
		given, refused string
	}{
		{"address", document(statement(equals(subject) + `,"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}`)), doctor.OK, doctor.Unknown},
		{"session name", document(statement(equals(subject) + `,"StringLike":{"sts:RoleSessionName":"app-*"}`)), doctor.OK, doctor.Unknown},
		{"region", document(statement(equals(subject) + `,"StringEqualsIgnoreCase":{"aws:RequestedRegion":"eu-west-1"}`)), doctor.OK, doctor.Unknown},
		{"data perimeter", document(ours, deny+`"NotIpAddressIfExists":{"aws:SourceIp":"10.0.0.0/8"},"BoolIfExists":{"aws:PrincipalIsAWSService":"false","aws:ViaAWSService":"false"}}}`), doctor.OK, doctor.Unknown},
		{"network perimeter", document(ours, deny+`"StringNotEquals":{"aws:SourceVpc":"vpc-1"}}}`), doctor.OK, doctor.Unknown},
		{"TLS", document(statement(equals(subject) + `,"Bool":{"aws:SecureTransport":"true"}`)), doctor.OK, doctor.OK},
		{"no TLS denied", document(ours, deny+`"Bool":{"aws:SecureTransport":"false"}}}`), doctor.OK, doctor.OK},
		{"not yet too late", document(statement(equals(subject) + `,"DateLessThan":{"aws:CurrentTime":"2026-12-01T00:00:00Z"}`)), doctor.OK, doctor.OK},
		{"in the account", document(statement(equals(subject) + `,"StringLike":{"aws:ResourceAccount":"` + account + `"}`)), doctor.OK, doctor.OK},
		{"tag of the role", document(statement(equals(subject) + `,"StringLike":{"aws:ResourceTag/team":"a"}`)), doctor.OK, doctor.OK},
		{"a statement with the address and one without", document(statement(equals(subject)+`,"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}`), ours), doctor.OK, doctor.OK},

		{"too late", document(statement(equals(subject) + `,"DateLessThan":{"aws:CurrentTime":"2026-11-01T00:00:00Z"}`)), doctor.Broken, doctor.Broken},
		{"other tag of the role", document(statement(equals(subject) + `,"StringLike":{"aws:ResourceTag/team":"b"}`)), doctor.Broken, doctor.Broken},
		{"address, and another subject", document(statement(`"IpAddress":{"aws:SourceIp":"10.0.0.0/8"},` + equals(subject+"2"))), doctor.Broken, doctor.Broken},
		{"a perimeter, and denied by name", document(ours, deny+`"NotIpAddress":{"aws:SourceIp":"10.0.0.0/8"}}}`, deny+`"StringEquals":{"`+host+`:sub":"`+subject+`"}}}`), doctor.Broken, doctor.Broken},
		{"claims that STS does not pass on", document(statement(equals(subject) + `,"StringLike":{"` + host + `:iss":"https://` + host + `"}`)), doctor.Broken, doctor.Broken},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := healthy(t)
			c.trust(test.trust)
			c.f.Role.Tags["team"] = "a"
			result := func() (f doctor.Finding, all []doctor.Finding) {
				all = doctor.Diagnose(c.f)
				for _, f := range all {
					if f.Check == "trust policy" {
						return f, all
					}
				}
				t.Fatalf("%+v", all)
				return
			}
			if f, all := result(); f.Result != test.given {
				t.Errorf("STS gives credentials: %+v", f)
			} else if broken, ok := doctor.First(all); ok != (test.given == doctor.Broken) {
				t.Errorf("STS gives credentials: %+v", broken)
			}
			c.deny()
			f, all := result()
			if f.Result != test.refused {
				t.Errorf("STS refuses: %+v", f)
			}
			broken, ok := doctor.First(all)
			if !ok {
				t.Fatal("STS refuses and nothing is broken")
			}
			if f.Result == doctor.Unknown {
				for _, part := range []string{f.Summary, broken.Summary} {
					if !strings.Contains(part, "aws:") && !strings.Contains(part, "sts:") {
						t.Errorf("%q does not name the key", part)
					}
				}
				if strings.Contains(broken.Fix.Shell("SETUP"), "update-assume-role-policy") {
					t.Errorf("next takes the condition away: %s", broken.Fix.Shell("SETUP"))
				}
			}
		})
	}
}
