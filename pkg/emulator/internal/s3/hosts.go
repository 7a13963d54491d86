package s3

import (
	"net"
	"strings"
)

// Hosts are the host names below which buckets are addressed.
type Hosts struct {
	DNSSuffix string   // of the partition, such as "amazonaws.com"
	Bases     []string // beside S3's own names and "localhost"
}

// Host is what the host name of a request says about it.
type Host struct {
	Bucket string // of a virtual-hosted request
	// region is that of the endpoint; "" for an endpoint that has none.
	region string
	// amazon is true for S3's own host names.
	amazon bool
}

// Parse reads a host name: one of S3's own endpoints, a configured base,
// or anything else, which addresses buckets by path ("Virtual hosting of
// general purpose buckets" in the S3 User Guide).
func (hosts *Hosts) Parse(hostport string) Host {
	host := hostport
	if strings.Contains(hostport, ":") { // or an error is made of it
		if h, _, err := net.SplitHostPort(hostport); err == nil {
			host = h
		}
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if rest, found := below(host, hosts.DNSSuffix); found {
		if h, ok := parseAmazonHost(rest); ok {
			return h
		}
	}
	var bucket, longest string
	for i := range len(hosts.Bases) + 1 {
		base := "localhost"
		if i < len(hosts.Bases) {
			base = strings.ToLower(strings.Trim(hosts.Bases[i], "."))
		}
		if host == base {
			return Host{} // a base itself is not a bucket below a shorter one
		}
		if b, found := below(host, base); found && len(base) > len(longest) {
			bucket, longest = b, base
		}
	}
	return Host{Bucket: bucket}
}

// below is what a host has before a domain and the dot, if it is below it.
func below(host, domain string) (string, bool) {
	before, found := strings.CutSuffix(host, domain)
	if !found {
		return "", false
	}
	return strings.CutSuffix(before, ".")
}

// parseAmazonHost reads a host name of S3 without the partition's suffix:
// [bucket.]s3[-fips][.dualstack].region, and the older forms s3 and
// s3-region.
func parseAmazonHost(host string) (Host, bool) {
	h := Host{amazon: true}
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
			return Host{}, false
		}
	}
	h.Bucket = strings.Join(labels, ".")
	return h, true
}

// isRegion tells a region's name, such as "eu-west-1", from other words.
func isRegion(s string) bool {
	i := strings.LastIndexByte(s, '-')
	return i > 0 && strings.Contains(s[:i], "-") && s[i+1:] != "" && strings.Trim(s[i+1:], "0123456789") == ""
}
