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
	// Issuers as others made them.
	accept("https://eastus.oic.prod-aks.azure.com/72f988bf-86f1-41af-91ab-2d7cd011db47/8f5bf3e0-0f4c-4d4e-9b5b-0d7c1b1f7a11/")
	accept("https://container.googleapis.com/v1/projects/p-1/locations/europe-west1-b/clusters/c_1")
	accept("https://oidc.eks.eu-west-1.amazonaws.com/id/EXAMPLED539D4633E53DE1B71EXAMPLE")
	accept("https://s3.eu-west-1.amazonaws.com/my.bucket/prod")
	accept("https://s3-us-west-2.amazonaws.com/bucket")
	accept("https://oidc.example.com/")
	accept("https://oidc.example.com/c1/")
	accept("https://oidc.example.com//c1")
	accept("https://OIDC.example.com/c1")
	accept("https://oidc.example.com/a%20b")
	accept("https://oidc.example.com/a%2Fb")

	reject("", "empty")
	reject("http://oidc.example.com", "https://")
	reject("oidc.example.com", "https://")
	reject("HTTPS://oidc.example.com", "second spelling")
	reject("https://", "no host")
	reject("https:///path", "no host")
	reject("https://oidc.example.com/a/../b", "segment")
	reject("https://oidc.example.com/./b", "segment")
	reject("https://oidc.example.com:443/c1", "443")
	reject("https://oidc.example.com:/c1", "no port")
	reject("https://oidc.example.com/a/%2e%2E/b", "segment")
	reject("https://user@oidc.example.com", "user")
	reject("https://oidc.example.com?", "query")
	reject("https://oidc.example.com?a=b", "query")
	reject("https://oidc.example.com#", "fragment")
	reject("https://oidc.example.com/a b", "second spelling")
	reject("https://oidc.example.com/%zz", "not a URL")
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

// What stands at the end of an issuer is part of every name that AWS has for it,
// and of no path.
func TestSlash(t *testing.T) {
	for _, c := range []struct{ issuer, discovery, jwks, arn, sub, prefix string }{
		{"https://eastus.oic.prod-aks.azure.com/t/u/",
			"https://eastus.oic.prod-aks.azure.com/t/u/.well-known/openid-configuration", "https://eastus.oic.prod-aks.azure.com/t/u/openid/v1/jwks",
			"arn:aws:iam::123456789012:oidc-provider/eastus.oic.prod-aks.azure.com/t/u/", "eastus.oic.prod-aks.azure.com/t/u/:sub", "t/u"},
		{"https://oidc.example.com/",
			"https://oidc.example.com/.well-known/openid-configuration", "https://oidc.example.com/openid/v1/jwks",
			"arn:aws:iam::123456789012:oidc-provider/oidc.example.com/", "oidc.example.com/:sub", ""},
		{"https://s3.eu-west-1.amazonaws.com/bucket/dev",
			"https://s3.eu-west-1.amazonaws.com/bucket/dev/.well-known/openid-configuration", "https://s3.eu-west-1.amazonaws.com/bucket/dev/openid/v1/jwks",
			"arn:aws:iam::123456789012:oidc-provider/s3.eu-west-1.amazonaws.com/bucket/dev", "s3.eu-west-1.amazonaws.com/bucket/dev:sub", "bucket/dev"},
	} {
		u, err := issuer.Parse(c.issuer)
		if err != nil {
			t.Error(err)
			continue
		}
		for _, v := range [][2]string{{u.Discovery(), c.discovery}, {u.JWKS(), c.jwks}, {u.ProviderARN("aws", "123456789012"), c.arn}, {u.ConditionKey("sub"), c.sub}, {u.Prefix(), c.prefix}} {
			if v[0] != v[1] {
				t.Errorf("%s: %q, want %q", u, v[0], v[1])
			}
		}
		if path, ok := u.Below(c.discovery); !ok || path != issuer.DiscoveryPath {
			t.Errorf("%s: Below %q, %v", u, path, ok)
		}
	}
	u, _ := issuer.Parse("https://h.example/a")
	for _, elsewhere := range []string{"https://h.example/ab/x", "https://h.example/a", "https://h.example/b", "http://h.example/a/x"} {
		if path, ok := u.Below(elsewhere); ok {
			t.Errorf("Below(%q) = %q", elsewhere, path)
		}
	}
}

func TestCheckPort(t *testing.T) {
	for s, taken := range map[string]bool{"https://h.example/a:1": true, "https://[fd00::1]/": true, "https://localhost:1/a": true, "https://127.0.0.1:1": true, "https://[::1]:1": true,
		"https://localhost.example:1": false, "https://10.0.0.1:6443": false, "https://h.example:8443/": false, "https://[fd00::1]:6443": false} {
		u, err := issuer.Parse(s)
		if err != nil || (u.CheckPort() == nil) != taken {
			t.Errorf("%s: %v, %v", s, err, u.CheckPort())
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
