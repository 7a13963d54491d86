package publish

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"regexp"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/openirsa/openirsa/pkg/discovery"
	"github.com/openirsa/openirsa/pkg/issuer"
)

// s3Hosts are S3's own host names: with the bucket as the first labels or without,
// for IPv6 and FIPS too, and the older s3-REGION and s3 alone ("Virtual hosting of
// general purpose buckets" in the S3 User Guide).
var (
	s3Regional = regexp.MustCompile(`^(?:(.+)\.)?s3(?:-fips)?(?:\.dualstack)?[.-]([a-z]{2,4}(?:-[a-z]+)+-[0-9]+)\.(.+)$`)
	s3Global   = regexp.MustCompile(`^(?:(.+)\.)?s3\.amazonaws\.com$`)
)

// Object is an object of S3 by its public address.
type Object struct {
	Bucket, Region, Key string
	// Host says that the bucket is part of the host's name, not of the path.
	Host bool
}

// ObjectAt is the object at an https URL, if that is one of S3's own addresses in
// any of the forms that S3 has for them. Where S3 is in a region is the SDK's
// knowledge.
func ObjectAt(ctx context.Context, address string) (Object, bool) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" || u.Port() != "" && u.Port() != "443" || u.User != nil || u.RawQuery != "" {
		return Object{}, false
	}
	host := strings.ToLower(u.Hostname())
	o := Object{Key: strings.TrimPrefix(u.Path, "/")}
	if m := s3Global.FindStringSubmatch(host); m != nil {
		o.Bucket, o.Region = m[1], "us-east-1"
	} else if m := s3Regional.FindStringSubmatch(host); m != nil {
		suffix, err := dnsSuffix(ctx, m[2])
		if err != nil || suffix != m[3] {
			return Object{}, false
		}
		o.Bucket, o.Region = m[1], m[2]
	} else {
		return Object{}, false
	}
	if o.Host = o.Bucket != ""; !o.Host {
		o.Bucket, o.Key, _ = strings.Cut(o.Key, "/")
	}
	return o, o.Bucket != "" && o.Key != ""
}

// CheckCertificate refuses an address that AWS does not read either: S3's
// certificate does not cover a bucket with a dot in its name as part of the host's.
func (o Object) CheckCertificate() error {
	if o.Host && strings.Contains(o.Bucket, ".") {
		return fmt.Errorf("bucket %s has a dot in its name, which S3's TLS certificate does not cover: "+
			"AWS reads it only by path, as in https://s3.%s.amazonaws.com/%[1]s", o.Bucket, o.Region)
	}
	return nil
}

// Anybody reads the documents of any issuer as a stranger does: those at one of
// S3's own addresses from S3, wherever the endpoint of the client is, and all
// others with outside, which is [discovery.HTTP]. The client must have anonymous
// credentials; without one everything is read from outside.
func Anybody(anonymous Client, outside discovery.Get) discovery.Get {
	return func(ctx context.Context, iss issuer.URL, path string) (string, []byte, error) {
		o, ok := ObjectAt(ctx, iss.At(path))
		if !ok || anonymous == nil {
			return outside(ctx, iss, path)
		}
		if err := o.CheckCertificate(); err != nil {
			return "", nil, err
		}
		return read(ctx, anonymous, o)
	}
}

// read reads an object of at most a megabyte.
func read(ctx context.Context, client Client, o Object) (contentType string, body []byte, err error) {
	var options []func(*s3.Options)
	if o.Region != "" {
		options = append(options, func(so *s3.Options) { so.Region = o.Region })
	}
	got, err := client.GetObject(ctx, &s3.GetObjectInput{Bucket: &o.Bucket, Key: &o.Key}, options...)
	if err != nil {
		return "", nil, err
	}
	defer got.Body.Close()
	body, err = io.ReadAll(io.LimitReader(got.Body, 1<<20))
	if err != nil {
		return "", nil, err
	}
	return aws.ToString(got.ContentType), body, nil
}
