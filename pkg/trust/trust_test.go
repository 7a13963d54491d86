package trust_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/openirsa/openirsa/pkg/irsa"
	"github.com/openirsa/openirsa/pkg/issuer"
	"github.com/openirsa/openirsa/pkg/token"
	"github.com/openirsa/openirsa/pkg/trust"
)

// The trust policy of the Amazon EKS User Guide, "Assign IAM roles to
// Kubernetes service accounts", with its placeholders filled in.
const fromTheEKSUserGuide = `{
  "Version": "2012-10-17",
  "Statement": [
    {
      "Effect": "Allow",
      "Principal": {
        "Federated": "arn:aws:iam::111122223333:oidc-provider/oidc.eks.us-west-2.amazonaws.com/id/EXAMPLED539D4633E53DE1B71EXAMPLE"
      },
      "Action": "sts:AssumeRoleWithWebIdentity",
      "Condition": {
        "StringEquals": {
          "oidc.eks.us-west-2.amazonaws.com/id/EXAMPLED539D4633E53DE1B71EXAMPLE:aud": "sts.amazonaws.com",
          "oidc.eks.us-west-2.amazonaws.com/id/EXAMPLED539D4633E53DE1B71EXAMPLE:sub": "system:serviceaccount:default:my-service-account"
        }
      }
    }
  ]
}`

func provider(t *testing.T, url string, change func(*trust.Provider)) trust.Provider {
	t.Helper()
	iss, err := issuer.Parse(url)
	if err != nil {
		t.Fatal(err)
	}
	p := trust.Provider{ARN: iss.ProviderARN("aws", "111122223333"), Issuer: iss, Audience: irsa.Audience}
	change(&p)
	return p
}

const eks = "https://oidc.eks.us-west-2.amazonaws.com/id/EXAMPLED539D4633E53DE1B71EXAMPLE"

func TestDocumentIsTheUserGuides(t *testing.T) {
	got, err := trust.Policy{Providers: []trust.Provider{provider(t, eks, func(p *trust.Provider) {
		p.Subjects = []string{token.Subject("default", "my-service-account")}
	})}}.Document()
	if err != nil {
		t.Fatal(err)
	}
	compact := strings.NewReplacer("\n", "", " ", "").Replace(fromTheEKSUserGuide)
	if string(got) != compact {
		t.Errorf("got  %s\nwant %s", got, compact)
	}
}

func TestDocument(t *testing.T) {
	got, err := trust.Policy{Providers: []trust.Provider{
		provider(t, "https://a.example", func(p *trust.Provider) {
			p.Subjects = []string{token.Subject("n", "b"), token.Subject("n", "a"), token.Subject("n", "b")}
		}),
		provider(t, "https://b.example/c", func(p *trust.Provider) { p.Pattern = "system:serviceaccount:n:*" }),
	}}.Document()
	want := `{"Version":"2012-10-17","Statement":[` +
		`{"Effect":"Allow","Principal":{"Federated":"arn:aws:iam::111122223333:oidc-provider/a.example"},"Action":"sts:AssumeRoleWithWebIdentity",` +
		`"Condition":{"StringEquals":{"a.example:aud":"sts.amazonaws.com","a.example:sub":["system:serviceaccount:n:a","system:serviceaccount:n:b"]}}},` +
		`{"Effect":"Allow","Principal":{"Federated":"arn:aws:iam::111122223333:oidc-provider/b.example/c"},"Action":"sts:AssumeRoleWithWebIdentity",` +
		`"Condition":{"StringEquals":{"b.example/c:aud":"sts.amazonaws.com"},"StringLike":{"b.example/c:sub":"system:serviceaccount:n:*"}}}]}`
	if err != nil || string(got) != want {
		t.Errorf("got  %s, %v\nwant %s", got, err, want)
	}
}

func TestDocumentRejects(t *testing.T) {
	reject := func(why string, change func(*trust.Provider)) {
		t.Helper()
		got, err := trust.Policy{Providers: []trust.Provider{provider(t, eks, change)}}.Document()
		if err == nil || !strings.Contains(err.Error(), why) || got != nil {
			t.Errorf("got %s, error %v, want one with %q", got, err, why)
		}
	}
	sub := []string{token.Subject("default", "app")}
	reject("subjects", func(p *trust.Provider) {})
	reject("subjects", func(p *trust.Provider) { p.Subjects, p.Pattern = sub, "system:serviceaccount:*" })
	reject("audience", func(p *trust.Provider) { p.Subjects, p.Audience = sub, "" })
	reject("provider", func(p *trust.Provider) { p.Subjects, p.ARN = sub, "arn:aws:iam::111122223333:oidc-provider/other" })
	reject("provider", func(p *trust.Provider) {
		p.Subjects, p.ARN = sub, "arn:aws:iam::111122223333:oidc-provider/https://"+p.Issuer.HostPath()
	})
	reject("NAMESPACE:NAME", func(p *trust.Provider) { p.Subjects = []string{"system:serviceaccount:default:*"} })
	reject("NAMESPACE:NAME", func(p *trust.Provider) { p.Subjects = []string{"system:node:n"} })
	reject("begin with", func(p *trust.Provider) { p.Pattern = "*" })
	reject("2048", func(p *trust.Provider) {
		for i := range 60 {
			p.Subjects = append(p.Subjects, token.Subject("default", fmt.Sprintf("app-%03d", i)))
		}
	})
	if _, err := (trust.Policy{}).Document(); err == nil {
		t.Error("a policy for nobody")
	}
}

func TestSizeDoesNotCountWhiteSpace(t *testing.T) {
	if n, m := trust.Size([]byte(fromTheEKSUserGuide)), len(strings.NewReplacer("\n", "", " ", "").Replace(fromTheEKSUserGuide)); n != m {
		t.Errorf("Size = %d, want %d", n, m)
	}
}

func TestEqual(t *testing.T) {
	same := func(a, b string, want bool) {
		t.Helper()
		if trust.Equal([]byte(a), []byte(b)) != want {
			t.Errorf("Equal(%s, %s) = %v", a, b, !want)
		}
	}
	same(fromTheEKSUserGuide, strings.NewReplacer("\n", "", " ", "").Replace(fromTheEKSUserGuide), true)
	same(`{"a":"x","b":["y"]}`, `{"b":"y","a":["x"]}`, true)
	same(`{"a":["x","y"]}`, `{"a":["y","x"]}`, true)
	same(`{"a":["x","y"]}`, `{"a":["x"]}`, false)
	same(`{"a":"x"}`, `{"a":"X"}`, false)
	same(`{"a":"x"}`, `not json`, false)
	same(`not json`, `not json`, false)
}
