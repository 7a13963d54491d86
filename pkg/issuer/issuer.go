// Package issuer holds the one string that every link of the chain must agree
// on: the issuer of a cluster's service-account tokens.
//
// The token's iss claim, the API server's --service-account-issuer, the
// discovery document, the IAM OIDC provider's ARN and the condition keys of
// trust policies all spell it, each in its own way, and one wrong slash breaks
// the chain. Here it is parsed once, and every spelling is a method:
//
//	u, err := issuer.Parse("https://oidc.example.com/dev")
//	u.String()    // https://oidc.example.com/dev             iss, --service-account-issuer
//	u.HostPath()  // oidc.example.com/dev                     ARN tail, condition keys
//	u.Discovery() // https://oidc.example.com/dev/.well-known/openid-configuration
//	u.JWKS()      // https://oidc.example.com/dev/openid/v1/jwks
//
// An existing issuer, such as that of a managed AKS cluster, may end with a slash
// or have an unusual path. IAM and STS compare it byte by byte, so it is taken as
// it is: [Parse] refuses only what AWS could never use. Issuers that this project
// makes come from [S3], which is stricter.
package issuer

import (
	"errors"
	"fmt"
	"net/netip"
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

// Parse reads an issuer as it is: with a trailing slash if it has one and the case
// of its host, byte by byte as IAM keeps it and STS compares it. It refuses what
// IAM or STS never accepts: a scheme other than https, a user, a query, a fragment,
// an explicit port 443 (IAM strips it, so no token's iss equals what is left), more
// than [MaxLength] bytes; and what HTTP clients rewrite to another URL: "." and
// ".." path segments, and characters that must be escaped.
//
// A port other than 443 is accepted, since an emulator may accept it; AWS does not,
// see [URL.CheckPort].
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
	case u.Port() == "443":
		return bad("must not spell the port 443 out: IAM leaves it out of the provider, and tokens of this issuer then have none")
	case strings.HasSuffix(u.Host, ":"):
		return bad("has a colon but no port")
	case len(s) > MaxLength:
		return bad("is longer than the %d bytes that IAM allows", MaxLength)
	}
	for segment := range strings.SplitSeq(u.Path, "/") {
		if segment == "." || segment == ".." {
			return bad("has a \".\" or \"..\" path segment")
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

var errPrefix = errors.New(`is not segments of letters, digits, ".", "_" and "-" joined by "/"`)

// S3 is the issuer of documents in an S3 bucket, below prefix if that is not
// empty: the bucket's virtual-hosted URL in its region. dnsSuffix is the
// partition's, such as "amazonaws.com". Buckets with a dot in their name are
// refused, since Amazon's wildcard certificate does not cover them, and so is a
// prefix that has more than one spelling as part of a URL.
func S3(bucket, region, dnsSuffix, prefix string) (URL, error) {
	switch {
	case strings.Contains(bucket, "."):
		return URL{}, fmt.Errorf("bucket %q has a dot in its name, which S3's TLS certificate does not cover", bucket)
	case !bucketName.MatchString(bucket):
		return URL{}, fmt.Errorf("bucket %q is not a name for a bucket: 3 to 63 of a-z, 0-9 and \"-\"", bucket)
	case region == "":
		return URL{}, errors.New("no region is set")
	case prefix != "" && !prefixName.MatchString(prefix):
		return URL{}, fmt.Errorf("prefix %q %w", prefix, errPrefix)
	}
	s := "https://" + bucket + ".s3." + region + "." + dnsSuffix
	if prefix != "" {
		s += "/" + prefix
	}
	return Parse(s)
}

// String is the issuer as tokens and the API server spell it.
func (u URL) String() string { return u.s }

// IsZero reports whether u is the zero URL, which is no issuer.
func (u URL) IsZero() bool { return u.s == "" }

// HostPath is the issuer as IAM spells it: without the scheme. It is the tail
// of the provider's ARN and the prefix of the condition keys.
func (u URL) HostPath() string { return strings.TrimPrefix(u.s, "https://") }

// Host is the host of the issuer, with its port if it has one.
func (u URL) Host() string {
	host, _, _ := strings.Cut(u.HostPath(), "/")
	return host
}

// Prefix is the path below which the documents are, without slashes around it;
// "" for an issuer that is only a host. In a bucket it is the prefix of the keys.
func (u URL) Prefix() string {
	_, path, _ := strings.Cut(u.HostPath(), "/")
	return strings.TrimSuffix(path, "/")
}

// CheckPrefix refuses an issuer whose path cannot be a prefix in a bucket that
// this project makes: one that [S3] would not accept.
func (u URL) CheckPrefix() error {
	if prefix := u.Prefix(); prefix != "" && !prefixName.MatchString(prefix) {
		return fmt.Errorf("issuer %q: its path %w", u, errPrefix)
	}
	return nil
}

// CheckPort refuses an issuer with a port: IAM makes no provider for it
// (CreateOpenIDConnectProvider: "the URL should not contain a port number"). One on
// this machine (localhost, a loopback address) passes: it can only be meant for an
// emulator beside it.
func (u URL) CheckPort() error {
	at, err := url.Parse(u.s)
	if err != nil {
		return err
	}
	ip, err := netip.ParseAddr(at.Hostname())
	if here := at.Hostname() == "localhost" || err == nil && ip.IsLoopback(); at.Port() != "" && !here {
		return fmt.Errorf("issuer %q has the port %s, and AWS takes no issuer with a port", u.s, at.Port())
	}
	return nil
}

// At is the URL of the document at a path below the issuer that begins with a
// slash. A slash at the end of the issuer is not doubled (OpenID Connect Discovery
// 1.0, section 4.1: "any terminating / MUST be removed before appending").
func (u URL) At(path string) string { return strings.TrimSuffix(u.s, "/") + path }

// Below is the path of a URL below the issuer, beginning with a slash, as
// [URL.At] takes it; ok is false for a URL elsewhere.
func (u URL) Below(address string) (path string, ok bool) {
	path, ok = strings.CutPrefix(address, strings.TrimSuffix(u.s, "/"))
	if !ok || u.IsZero() || !strings.HasPrefix(path, "/") {
		return "", false
	}
	return path, true
}

// Discovery is the URL of the discovery document.
func (u URL) Discovery() string { return u.At(DiscoveryPath) }

// JWKS is the URL of the key set, the jwks_uri of the discovery documents that
// this project makes.
func (u URL) JWKS() string { return u.At(JWKSPath) }

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
