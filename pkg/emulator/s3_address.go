package emulator

import (
	"crypto/tls"
	"net"
	"net/http"
	"slices"
	"strings"
)

// s3Host is what the host name of a request says about it.
type s3Host struct {
	bucket string // of a virtual-hosted request
	// region is that of the endpoint; "" for an endpoint that has none.
	region string
	// amazon is true for S3's own host names.
	amazon bool
}

// parseS3Host reads a host name: one of S3's own endpoints, a configured base,
// or anything else, which addresses buckets by path ("Virtual hosting of
// general purpose buckets" in the S3 User Guide).
func (s *Server) parseS3Host(hostport string) s3Host {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if rest, found := strings.CutSuffix(host, "."+s.account.DNSSuffix); found {
		if h, ok := parseAmazonHost(rest); ok {
			return h
		}
	}
	var bucket, longest string
	for _, base := range append(slices.Clone(s.config.S3Hosts), "localhost") {
		base = strings.ToLower(strings.Trim(base, "."))
		if host == base {
			return s3Host{} // a base itself is not a bucket below a shorter one
		}
		if b, found := strings.CutSuffix(host, "."+base); found && len(base) > len(longest) {
			bucket, longest = b, base
		}
	}
	return s3Host{bucket: bucket}
}

// parseAmazonHost reads a host name of S3 without the partition's suffix:
// [bucket.]s3[-fips][.dualstack].region, and the older forms s3 and
// s3-region.
func parseAmazonHost(host string) (s3Host, bool) {
	h := s3Host{amazon: true}
	labels := strings.Split(host, ".")
	take := func() string {
		if len(labels) == 0 {
			return ""
		}
		last := labels[len(labels)-1]
		labels = labels[:len(labels)-1]
		return last
	}
	switch last := take(); {
	case last == "s3":
	case strings.HasPrefix(last, "s3-") && last != "s3-fips" && last != "s3-control" && last != "s3-accelerate":
		h.region = strings.TrimPrefix(last, "s3-")
		if h.region == "external-1" {
			h.region = "us-east-1"
		}
	default:
		h.region = last
		name := take()
		if name == "dualstack" {
			name = take()
		}
		if name != "s3" && name != "s3-fips" || !isRegion(h.region) {
			return s3Host{}, false
		}
	}
	h.bucket = strings.Join(labels, ".")
	return h, true
}

// isRegion tells a region's name, such as "eu-west-1", from other words.
func isRegion(s string) bool {
	i := strings.LastIndexByte(s, '-')
	return i > 0 && strings.Contains(s[:i], "-") && s[i+1:] != "" && strings.Trim(s[i+1:], "0123456789") == ""
}

// tlsVersion is the name of the TLS version in use, such as "TLS 1.3".
func tlsVersion(state *tls.ConnectionState) string { return tls.VersionName(state.Version) }

// checkRegion refuses a request for a bucket in another region than the one
// that the request went to, as S3 does: SDKs take the right one from the
// answer. An endpoint that is not Amazon's counts as one in the region that
// the client signs for, which is the one that it believes to talk to.
func (q *s3Call) checkRegion() *s3Error {
	if q.config == nil || q.Operation == "GetBucketLocation" || q.Operation == "CreateBucket" {
		return nil
	}
	endpoint := q.host.region
	if q.host.amazon && endpoint == "" && q.host.bucket == "" {
		endpoint = "us-east-1"
	}
	if !q.host.amazon {
		endpoint = q.Region
	}
	var e *s3Error
	switch {
	case endpoint != "" && endpoint != q.config.Region:
		e = s3Errorf(http.StatusMovedPermanently, "PermanentRedirect",
			"The bucket you are attempting to access must be addressed using the specified endpoint. Please send all future requests to this endpoint.").
			with("Endpoint", q.bucket+".s3."+q.config.Region+"."+q.s.account.DNSSuffix).with("Bucket", q.bucket)
	case q.sig != nil && q.Region != q.config.Region:
		e = authHeaderError(q.sig.Presigned, "the region '%s' is wrong; expecting '%s'", q.Region, q.config.Region).
			with("Region", q.config.Region)
	default:
		return nil
	}
	e.header = http.Header{"X-Amz-Bucket-Region": {q.config.Region}}
	q.deny("region", "bucket "+q.bucket+" is in "+q.config.Region+", and the request is for "+max(endpoint, q.Region), e)
	return e
}
