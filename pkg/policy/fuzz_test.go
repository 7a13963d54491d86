package policy_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/openirsa/openirsa/pkg/policy"
)

// Whatever the document, Parse returns either a policy or an error in AWS's
// words, and what it returns can be evaluated and explained.
func FuzzParseEvaluate(f *testing.F) {
	for _, doc := range []string{
		``, `{}`, `[]`, `null`,
		statements(`{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::b/${aws:username, 'x'}*?"}`),
		statements(`{"Sid":"x","Effect":"Deny","NotAction":["iam:*"],"NotResource":["*"],"Condition":{"ForAnyValue:StringLikeIfExists":{"k":["a*",1,true]},"Null":{"k":"false"}}}`),
		statements(`{"Effect":"Allow","Action":"s3:*","Resource":"*","Condition":{"NumericLessThan":{"k":"1e5"},"DateLessThan":{"k":"2020-01-01T00:00:00.1+02:00"},"IpAddress":{"k":"10.0.0.0/8"},"ArnLike":{"k":"arn:*:*:*:*:${k}*"},"BinaryEquals":{"k":"QQ=="},"Bool":{"k":"true"}}}`),
		statements(trustStatement(`{"StringEquals":{"i.example/c1:sub":"x"}}`)),
		statements(`{"Effect":"Deny","NotPrincipal":{"AWS":["123456789012","AROADBQP57FF2AEXAMPLE"],"CanonicalUser":"x","Service":"a.b"},"Action":"s3:*","Resource":"arn:aws:s3:::b*"}`),
	} {
		f.Add(doc, "s3:GetObject", "arn:aws:s3:::b/x", "k", "2020-01-01")
	}
	f.Fuzz(func(t *testing.T, doc, action, resource, key, value string) {
		single, multi := context(key, value), &policy.Context{}
		multi.SetMulti(key, value, "other")
		for _, kind := range []policy.Kind{policy.Identity, policy.Session, policy.Trust, policy.Bucket, policy.Resource} {
			p, err := policy.Parse(kind, []byte(doc))
			if (p == nil) == (err == nil) {
				t.Fatalf("kind %d: policy %v along with error %v", kind, p, err)
			}
			if err != nil {
				if e := err.(*policy.Error); e.Code == "" || e.Message == "" {
					t.Fatalf("kind %d: empty error", kind)
				}
				continue
			}
			p.Public()
			p.Warnings()
			p.ContextKeys()
			_ = p.CheckBucket("b")
			named := policy.Named{Name: "p", Policy: p}
			for _, caller := range []policy.Principal{anonymous, root, user, session, federated, webIdentity} {
				for _, ctx := range []*policy.Context{nil, single, multi} {
					policies := &policy.Policies{Identity: []policy.Named{named}, HasSession: kind == policy.Session}
					if kind == policy.Trust || kind == policy.Bucket || kind == policy.Resource {
						policies = &policy.Policies{Resource: &named}
					}
					req := &policy.Request{Principal: caller, Action: action, Resource: resource, ResourceAccount: account, Context: ctx}
					d := policy.Evaluate(req, policies)
					if d.Allowed == (d.Tail() != "") || d.String() == "" {
						t.Fatalf("allowed %t, tail %q", d.Allowed, d.Tail())
					}
					if again := policy.Evaluate(req, policies); !reflect.DeepEqual(d, again) {
						t.Fatalf("two decisions: %v, %v", d, again)
					}
				}
			}
		}
	})
}

// slowMatch is what matching means, in the plainest words: it is the oracle
// for patterns without variables, over characters of one UTF-16 unit.
func slowMatch(pattern, s string) bool {
	if pattern == "" {
		return s == ""
	}
	switch pattern[0] {
	case '*':
		return slowMatch(pattern[1:], s) || s != "" && slowMatch(pattern, s[1:])
	case '?':
		return s != "" && slowMatch(pattern[1:], s[1:])
	}
	return s != "" && s[0] == pattern[0] && slowMatch(pattern[1:], s[1:])
}

func FuzzStringLike(f *testing.F) {
	f.Add("a*b?c", "aXXbYc")
	f.Add("*a*a*b", "aaaaab")
	f.Add("**", "")
	f.Add("[,", "[,") // what a document would be taken apart at
	f.Add("]}", "]}")
	f.Fuzz(func(t *testing.T, pattern, s string) {
		keep := func(r rune) rune {
			if r < ' ' || r > '~' || strings.ContainsRune(`"\`, r) {
				return -1
			}
			return r
		}
		pattern, s = strings.Map(keep, pattern), strings.Map(keep, s)
		if len(pattern) > 12 || len(s) > 12 || strings.Contains(pattern, "${") {
			return
		}
		if got, want := holds(t, `{"StringLike":{"k":"`+pattern+`"}}`, context("k", s)), slowMatch(pattern, s); got != want {
			t.Errorf("%q against %q: %t", pattern, s, got)
		}
	})
}

// Many stars must not take more than polynomial time.
func TestManyStars(t *testing.T) {
	stars := strings.Repeat("*a", 1000) + "b"
	pairs := "*" + strings.Repeat("a?", 60_000) + "b"
	subject := strings.Repeat("a", 4000)
	start := time.Now()
	for _, s := range []string{
		`"Action":"*","Resource":"*","Condition":{"StringLike":{"k":"` + pairs + `"}}`,
		`"Action":"*","Resource":"*","Condition":{"StringLike":{"k":"*` + strings.Repeat("a", 2000) + `b*"}}`,
		`"Action":"s3:` + stars + `","Resource":"*"`,
		`"Action":"*","Resource":"arn:aws:s3:::` + stars + `"`,
		`"Action":"*","Resource":"arn:aws:sns:` + stars + "*:" + stars + `:x"`,
		`"Action":"*","Resource":"*","Condition":{"StringLike":{"k":"` + stars + `"}}`,
		`"Action":"*","Resource":"*","Condition":{"ArnLike":{"k":"arn:aws:sns:` + stars + `:` + stars + `:` + stars + `"}}`,
	} {
		ctx := context("k", subject)
		if strings.Contains(s, "ArnLike") {
			ctx = context("k", "arn:aws:sns:"+subject+":"+subject+":"+subject)
		}
		for _, resource := range []string{"arn:aws:s3:::" + subject, "arn:aws:sns:" + subject + ":" + subject + ":" + subject} {
			if identity(t, `{"Effect":"Allow",`+s+`}`, "s3:"+subject, resource, ctx) {
				t.Errorf("allowed by %.60s", s)
			}
		}
	}
	if d := time.Since(start); d > 20*time.Second {
		t.Errorf("took %v", d)
	}
}

// Large documents must not take more than linear time, in whatever they are
// large.
func TestLargeDocuments(t *testing.T) {
	list := func(format string) string {
		var all []string
		for i := range 40_000 {
			all = append(all, fmt.Sprintf(format, i))
		}
		return strings.Join(all, ",")
	}
	start := time.Now()
	for _, s := range []string{
		`"Action":[` + list(`"s%d:Get*"`) + `],"Resource":"*"`,
		`"Action":"*","Resource":[` + list(`"arn:aws:s3:::b%d"`) + `]`,
		`"Action":"*","Resource":"*","Condition":{"StringEquals":{` + list(`"k%d":"v"`) + `}}`,
		`"Action":"*","Resource":"*","Condition":{"StringNotEquals":{"k":[` + list(`"%d"`) + `]}}`,
	} {
		identity(t, `{"Effect":"Allow",`+s+`}`, "s3:GetObject", "arn:aws:s3:::b/k", context("k", "v"))
	}
	if d := time.Since(start); d > 10*time.Second {
		t.Errorf("took %v", d)
	}
}
