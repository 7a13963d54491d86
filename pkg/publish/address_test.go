package publish_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/openirsa/openirsa/pkg/discovery"
	"github.com/openirsa/openirsa/pkg/emulator/emulatortest"
	"github.com/openirsa/openirsa/pkg/issuer"
	"github.com/openirsa/openirsa/pkg/keys"
	"github.com/openirsa/openirsa/pkg/publish"
	"github.com/openirsa/openirsa/pkg/trust"
)

func TestObjectAt(t *testing.T) {
	accept := func(address, bucket, region, key string) {
		t.Helper()
		o, ok := publish.ObjectAt(t.Context(), address)
		if !ok || o.Bucket != bucket || o.Region != region || o.Key != key {
			t.Errorf("%s: %+v, %v", address, o, ok)
		}
	}
	reject := func(address string) {
		t.Helper()
		if o, ok := publish.ObjectAt(t.Context(), address); ok {
			t.Errorf("%s: %+v", address, o)
		}
	}
	accept("https://b.s3.eu-west-1.amazonaws.com/p/k", "b", "eu-west-1", "p/k")
	accept("https://s3.eu-west-1.amazonaws.com/b/p/k", "b", "eu-west-1", "p/k")
	accept("https://s3.eu-west-1.amazonaws.com/my.bucket/a%20b", "my.bucket", "eu-west-1", "a b")
	accept("https://s3-us-west-2.amazonaws.com/b/k", "b", "us-west-2", "k")
	accept("https://b.s3-us-west-2.amazonaws.com/k", "b", "us-west-2", "k")
	accept("https://s3.amazonaws.com/b/k", "b", "us-east-1", "k")
	accept("https://b.s3.amazonaws.com/k", "b", "us-east-1", "k")
	accept("https://s3.dualstack.eu-west-1.amazonaws.com/b/k", "b", "eu-west-1", "k")
	accept("https://b.s3-fips.dualstack.us-gov-west-1.amazonaws.com/k", "b", "us-gov-west-1", "k")
	accept("https://b.s3.cn-north-1.amazonaws.com.cn/k", "b", "cn-north-1", "k")
	accept("https://B.S3.EU-WEST-1.amazonaws.com:443/k", "b", "eu-west-1", "k")
	reject("https://oidc.example.com/b/k")
	reject("https://s3.eu-west-1.amazonaws.com.evil.example/b/k")
	reject("https://s3.cn-north-1.amazonaws.com/b/k")
	reject("https://s3.eu-west-1.amazonaws.com/b")
	reject("https://b.s3-website-us-east-1.amazonaws.com/k")
	reject("http://b.s3.eu-west-1.amazonaws.com/k")
	reject("https://b.s3.eu-west-1.amazonaws.com:8443/k")
	reject("https://oidc.eks.eu-west-1.amazonaws.com/id/X")
}

// Issuers as others made them in S3: the provider, the conditions and the token
// have the same bytes, a stranger reads the documents where STS reads them, and
// tokens are exchanged.
func TestIssuersInS3AsOthersMadeThem(t *testing.T) {
	a := emulatortest.Start(t)
	made := a.Issuer("others")
	made.Open()
	root := a.S3(a.Config())
	config := a.Config()
	config.Credentials = aws.AnonymousCredentials{}
	elsewhere := errors.New("asked on the internet")
	anybody := publish.Anybody(s3.NewFromConfig(config, publish.PathStyle), func(context.Context, issuer.URL, string) (string, []byte, error) {
		return "", nil, elsewhere
	})
	set, err := keys.NewSet(made.Key.Public())
	if err != nil {
		t.Fatal(err)
	}
	host := "https://" + made.Bucket + ".s3." + emulatortest.Region + ".amazonaws.com"
	byPath := "https://s3." + emulatortest.Region + ".amazonaws.com/" + made.Bucket
	for i, s := range []string{host + "/", host + "/a/b/", byPath, byPath + "/", byPath + "/prod", byPath + "/prod/x/"} {
		iss, err := issuer.Parse(s)
		if err != nil {
			t.Error(err)
			continue
		}
		docs, err := discovery.Documents(iss, set)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range docs {
			o, ok := publish.ObjectAt(t.Context(), iss.At(d.Path))
			if !ok || strings.Contains(o.Key, "//") {
				t.Fatalf("%s: %+v, %v", iss.At(d.Path), o, ok)
			}
			_, err := root.PutObject(t.Context(), &s3.PutObjectInput{Bucket: &o.Bucket, Key: &o.Key, Body: strings.NewReader(string(d.Body)), ContentType: &d.ContentType})
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := discovery.Check(t.Context(), anybody, iss, docs); err != nil {
			t.Errorf("a stranger: %v", err)
		}
		if err := discovery.CheckServed(t.Context(), anybody, iss, docs); err != nil {
			t.Errorf("a stranger: %v", err)
		}
		created, err := iam.NewFromConfig(a.Config()).CreateOpenIDConnectProvider(t.Context(), &iam.CreateOpenIDConnectProviderInput{Url: &s, ClientIDList: []string{emulatortest.Audience}})
		if err != nil && i > 0 { // the first is that of the helper, with a slash
			t.Errorf("%s: %v", s, err)
			continue
		}
		arn := iss.ProviderARN("aws", a.Account())
		if created != nil && aws.ToString(created.OpenIDConnectProviderArn) != arn {
			t.Errorf("the provider is %s, want %s", *created.OpenIDConnectProviderArn, arn)
		}
		policy, err := trust.Policy{Providers: []trust.Provider{{
			ARN: arn, Issuer: iss, Audience: emulatortest.Audience, Subjects: []string{"system:serviceaccount:default:app"},
		}}}.Document()
		if err != nil {
			t.Fatal(err)
		}
		role := a.Role("role-"+strings.Repeat("x", i+1), string(policy))
		cluster := *made
		cluster.URL = iss
		if _, err := a.Assume(role, cluster.Token("default", "app")); err != nil {
			t.Errorf("%s: %v: %s", s, err, a.LastDenial().Reason)
		}
		if _, err := a.Assume(role, cluster.Token("default", "other")); err == nil {
			t.Errorf("%s: another service account has the role", s)
		}
		if _, err := a.Assume(role, made.Token("default", "app")); err == nil {
			t.Errorf("%s: a token of %s has the role", s, made.URL)
		}
	}
	iss, _ := issuer.Parse("https://oidc.example.com/x/")
	if _, _, err := anybody(t.Context(), iss, issuer.DiscoveryPath); !errors.Is(err, elsewhere) {
		t.Errorf("another issuer: %v", err)
	}
	iss, _ = issuer.Parse("https://my.bucket.s3.eu-west-1.amazonaws.com")
	if _, _, err := anybody(t.Context(), iss, issuer.DiscoveryPath); err == nil || !strings.Contains(err.Error(), "https://s3.eu-west-1.amazonaws.com/my.bucket") {
		t.Errorf("a bucket whose name has a dot: %v", err)
	}
}

// Only issuers of the form that is made here have a bucket of ours.
func TestLocationOf(t *testing.T) {
	for s, want := range map[string]bool{
		"https://b-1.s3.eu-west-1.amazonaws.com":           true,
		"https://b-1.s3.eu-west-1.amazonaws.com/a/b":       true,
		"https://b-1.s3.eu-west-1.amazonaws.com/a/b/":      false,
		"https://s3.eu-west-1.amazonaws.com/b-1/a":         false,
		"https://b-1.s3.dualstack.eu-west-1.amazonaws.com": false,
		"https://oidc.example.com/a":                       false,
	} {
		iss, err := issuer.Parse(s)
		if err != nil {
			t.Fatal(err)
		}
		at, ok := publish.LocationOf(t.Context(), iss)
		if ok != want || ok && at != (publish.Location{Issuer: iss, Bucket: "b-1", Region: "eu-west-1", Prefix: iss.Prefix()}) {
			t.Errorf("%s: %+v %v", s, at, ok)
		}
	}
}
