package issuer_test

import (
	"strings"
	"testing"

	"github.com/openirsa/openirsa/pkg/issuer"
)

func TestParse(t *testing.T) {
	accept := func(s string) {
		t.Helper()
		u, err := issuer.Parse(s)
		if err != nil {
			t.Errorf("Parse(%q): %v", s, err)
		} else if u.String() != s {
			t.Errorf("Parse(%q) = %q", s, u)
		}
	}
	reject := func(s, why string) {
		t.Helper()
		u, err := issuer.Parse(s)
		if err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("Parse(%q): error %v, want one with %q", s, err, why)
		}
		if !u.IsZero() {
			t.Errorf("Parse(%q) = %q beside an error", s, u)
		}
	}
	accept("https://oidc.example.com")
	accept("https://oidc.example.com/cluster-1")
	accept("https://oidc.example.com/ID/EXAMPLED539D4633E53DE1B71EXAMPLE")
	accept("https://oidc.example.com:8443/c1")
	accept("https://[fd00::1]:6443")
	accept("https://kubernetes.default.svc.cluster.local")
	accept("https://my-bucket.s3.eu-central-1.amazonaws.com/team/dev")

	reject("", "empty")
	reject("http://oidc.example.com", "https://")
	reject("oidc.example.com", "https://")
	reject("HTTPS://oidc.example.com", "second spelling")
	reject("https://", "no host")
	reject("https:///path", "no host")
	reject("https://oidc.example.com/", "slash")
	reject("https://oidc.example.com/c1/", "slash")
	reject("https://oidc.example.com//c1", "segment")
	reject("https://oidc.example.com/a/../b", "segment")
	reject("https://oidc.example.com/./b", "segment")
	reject("https://oidc.example.com:443/c1", "443")
	reject("https://OIDC.example.com/c1", "lower-case")
	reject("https://user@oidc.example.com", "user")
	reject("https://oidc.example.com?", "query")
	reject("https://oidc.example.com?a=b", "query")
	reject("https://oidc.example.com#", "fragment")
	reject("https://oidc.example.com/a b", "second spelling")
	reject("https://oidc.example.com/%zz", "not a URL")
	reject("https://oidc.example.com/a%2Fb", "escapes")
	reject("https://oidc.example.com/%61", "escapes")
	reject("https://oidc.example.com/a%20b", "escapes")
	reject("https://oidc.example.com/"+strings.Repeat("a", 231), "255")
	accept("https://oidc.example.com/" + strings.Repeat("a", 230))
}

func TestSpellings(t *testing.T) {
	u, err := issuer.Parse("https://oidc.example.com/c1")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, got, want string }{
		{"HostPath", u.HostPath(), "oidc.example.com/c1"},
		{"Host", u.Host(), "oidc.example.com"},
		{"Discovery", u.Discovery(), "https://oidc.example.com/c1/.well-known/openid-configuration"},
		{"JWKS", u.JWKS(), "https://oidc.example.com/c1/openid/v1/jwks"},
		{"ProviderARN", u.ProviderARN("aws-us-gov", "123456789012"), "arn:aws-us-gov:iam::123456789012:oidc-provider/oidc.example.com/c1"},
		{"ConditionKey", u.ConditionKey("sub"), "oidc.example.com/c1:sub"},
	} {
		if c.got != c.want {
			t.Errorf("%s = %q, want %q", c.name, c.got, c.want)
		}
	}
}

func TestS3(t *testing.T) {
	accept := func(bucket, region, suffix, prefix, want string) {
		t.Helper()
		u, err := issuer.S3(bucket, region, suffix, prefix)
		if err != nil || u.String() != want {
			t.Errorf("S3 = %q, %v, want %q", u, err, want)
		}
	}
	reject := func(bucket, region, prefix, why string) {
		t.Helper()
		if u, err := issuer.S3(bucket, region, "amazonaws.com", prefix); err == nil || !strings.Contains(err.Error(), why) || !u.IsZero() {
			t.Errorf("S3(%q, %q, %q) = %q, %v, want an error with %q", bucket, region, prefix, u, err, why)
		}
	}
	accept("b-1", "eu-west-1", "amazonaws.com", "", "https://b-1.s3.eu-west-1.amazonaws.com")
	accept("b-1", "cn-north-1", "amazonaws.com.cn", "dev", "https://b-1.s3.cn-north-1.amazonaws.com.cn/dev")
	accept("b-1", "us-east-1", "amazonaws.com", "team/dev_2", "https://b-1.s3.us-east-1.amazonaws.com/team/dev_2")
	reject("my.bucket", "eu-west-1", "", "dot")
	reject("Up", "eu-west-1", "", "3 to 63")
	reject("b", "eu-west-1", "", "3 to 63")
	reject("-bb", "eu-west-1", "", "3 to 63")
	reject("b-1", "", "", "region")
	reject("b-1", "eu-west-1", "/dev", "prefix")
	reject("b-1", "eu-west-1", "dev/", "prefix")
	reject("b-1", "eu-west-1", "a/../b", "prefix")
	reject("b-1", "eu-west-1", "a b", "prefix")
}

// Whatever is accepted is the same after a round trip, and has one spelling.
func FuzzParse(f *testing.F) {
	f.Add("https://oidc.example.com/c1")
	f.Add("https://[::1]:6443/a%20b")
	f.Fuzz(func(t *testing.T, s string) {
		u, err := issuer.Parse(s)
		if err != nil {
			if !u.IsZero() {
				t.Fatalf("Parse(%q) = %q beside an error", s, u)
			}
			return
		}
		if u.String() != s || "https://"+u.HostPath() != s || !strings.HasPrefix(u.HostPath(), u.Host()) {
			t.Fatalf("Parse(%q): String %q, HostPath %q, Host %q", s, u, u.HostPath(), u.Host())
		}
		var back issuer.URL
		if text, _ := u.MarshalText(); back.UnmarshalText(text) != nil || back != u {
			t.Fatalf("round trip of %q gives %q", u, back)
		}
	})
}
