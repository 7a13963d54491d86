// Package issuer holds the one string that every link of the chain must agree
// on: the issuer of a cluster's service-account tokens.
//
// The token's iss claim, the API server's --service-account-issuer, the
// discovery document, the IAM OIDC provider's ARN and the condition keys of
// trust policies all spell it, each in a way of its own, and one wrong slash
// breaks the chain. Here it is parsed once, and every spelling is a method:
//
//	u, err := issuer.Parse("https://oidc.example.com/dev")
//	u.String()    // https://oidc.example.com/dev             iss, --service-account-issuer
//	u.HostPath()  // oidc.example.com/dev                     ARN tail, condition keys
//	u.Discovery() // https://oidc.example.com/dev/.well-known/openid-configuration
//	u.JWKS()      // https://oidc.example.com/dev/openid/v1/jwks
package issuer

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
)

// Paths of the two documents below the issuer. The first is fixed by OpenID
// Connect Discovery 1.0, section 4; the second is the one that kube-apiserver
// serves (k8s.io/kubernetes/pkg/serviceaccount/openidmetadata.go).
const (
	DiscoveryPath = "/.well-known/openid-configuration"
	JWKSPath      = "/openid/v1/jwks"
)

// MaxLength is the length in bytes that IAM allows for a provider's URL,
// scheme included (CreateOpenIDConnectProvider, parameter Url).
const MaxLength = 255

// URL is an issuer. It is immutable and comparable; the zero URL is none.
type URL struct{ s string }

// Parse reads an issuer, which must be spelled the one way in which it will
// be compared, byte by byte, by AWS and by Kubernetes: https, a lower-case
// host, no ":443", no user, query or fragment, no trailing slash, no "." or
// ".." or empty path segment, and no percent escapes, by which two issuers could
// be one place for a server.
func Parse(s string) (URL, error) {
	bad := func(format string, args ...any) (URL, error) {
		return URL{}, fmt.Errorf("issuer %q %s", s, fmt.Sprintf(format, args...))
	}
	u, err := url.Parse(s)
	switch {
	case s == "":
		return URL{}, errors.New("issuer is empty")
	case err != nil:
		return bad("is not a URL")
	case u.Scheme != "https":
		return bad("must begin with https://, because AWS reads it over TLS only")
	case u.Hostname() == "":
		return bad("has no host")
	case u.User != nil:
		return bad("must not contain a user")
	case u.RawQuery != "" || u.ForceQuery:
		return bad("must not contain a query")
	case u.Fragment != "" || strings.Contains(s, "#"):
		return bad("must not contain a fragment")
	case strings.Contains(s, "%"):
		return bad("must not contain percent escapes: servers and AWS need not take them for the same path")
	case u.Port() == "443":
		return bad("must not spell the port 443 out")
	case strings.HasSuffix(s, "/"):
		return bad("must not end with a slash")
	case u.Host != strings.ToLower(u.Host):
		return bad("must have a lower-case host")
	case len(s) > MaxLength:
		return bad("is longer than the %d bytes that IAM allows", MaxLength)
	}
	if u.Path != "" {
		for segment := range strings.SplitSeq(u.Path[1:], "/") {
			if segment == "" || segment == "." || segment == ".." {
				return bad("has an empty, \".\" or \"..\" path segment")
			}
		}
	}
	if u.String() != s {
		return bad("has a second spelling, %q: use that", u)
	}
	return URL{s}, nil
}

var (
	bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$`)
	prefixName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*$`)
)

// S3 is the issuer of documents in an S3 bucket, below prefix if that is not
// empty: the bucket's virtual-hosted URL in its region. dnsSuffix is the
// partition's, such as "amazonaws.com". Buckets with a dot in their name are
// refused, since Amazon's wildcard certificate does not cover them.
func S3(bucket, region, dnsSuffix, prefix string) (URL, error) {
	switch {
	case strings.Contains(bucket, "."):
		return URL{}, fmt.Errorf("bucket %q has a dot in its name, which S3's TLS certificate does not cover", bucket)
	case !bucketName.MatchString(bucket):
		return URL{}, fmt.Errorf("bucket %q is not a name for a bucket: 3 to 63 of a-z, 0-9 and \"-\"", bucket)
	case region == "":
		return URL{}, errors.New("no region is set")
	case prefix != "" && !prefixName.MatchString(prefix):
		return URL{}, fmt.Errorf("prefix %q is not segments of letters, digits, \".\", \"_\" and \"-\" joined by \"/\"", prefix)
	}
	s := "https://" + bucket + ".s3." + region + "." + dnsSuffix
	if prefix != "" {
		s += "/" + prefix
	}
	return Parse(s)
}

// String is the issuer as tokens and the API server spell it.
func (u URL) String() string { return u.s }

// IsZero reports whether u is no issuer.
func (u URL) IsZero() bool { return u.s == "" }

// HostPath is the issuer as IAM spells it: without the scheme. It is the tail
// of the provider's ARN and the prefix of the condition keys.
func (u URL) HostPath() string { return strings.TrimPrefix(u.s, "https://") }

// Host is the host of the issuer, with its port if it has one.
func (u URL) Host() string {
	host, _, _ := strings.Cut(u.HostPath(), "/")
	return host
}

// Discovery is the URL of the discovery document.
func (u URL) Discovery() string { return u.s + DiscoveryPath }

// JWKS is the URL of the key set, the discovery document's jwks_uri.
func (u URL) JWKS() string { return u.s + JWKSPath }

// ProviderARN is the ARN of the issuer's IAM OIDC provider in an account.
func (u URL) ProviderARN(partition, account string) string {
	return "arn:" + partition + ":iam::" + account + ":oidc-provider/" + u.HostPath()
}

// ConditionKey is the name of a claim in the conditions of a trust policy:
// ConditionKey("sub") is "oidc.example.com/dev:sub".
func (u URL) ConditionKey(claim string) string { return u.HostPath() + ":" + claim }

// MarshalText is [URL.String], for JSON.
func (u URL) MarshalText() ([]byte, error) { return []byte(u.s), nil }

// UnmarshalText is [Parse]; an empty text is the zero URL.
func (u *URL) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*u = URL{}
		return nil
	}
	parsed, err := Parse(string(text))
	if err == nil {
		*u = parsed
	}
	return err
}
