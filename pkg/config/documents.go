package config

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/openirsa/openirsa/pkg/issuer"
)

// FieldError is a field that makes no sense, alone or beside the others.
type FieldError struct {
	// Field is the one at fault, by its path: "bucket", "tags.team".
	Field string
	Err   error

	format string // with {FIELD} for fields, if it names any
	args   []any
}

func (e *FieldError) Error() string { return e.Say(func(field string) string { return field }) }
func (e *FieldError) Unwrap() error { return e.Err }

// Say is the text of the error for somebody who knows the fields by other names.
func (e *FieldError) Say(name func(field string) string) string {
	if e.format == "" {
		return e.Err.Error()
	}
	format := inBraces.ReplaceAllStringFunc(e.format, func(s string) string { return name(strings.Trim(s, "{}")) })
	return fmt.Sprintf(strings.ReplaceAll(format, "%w", "%v"), e.args...)
}

var inBraces = regexp.MustCompile(`\{[a-zA-Z]+\}`)

// together is an error about a field whose text names it, or others.
func together(field, format string, args ...any) *FieldError {
	e := &FieldError{Field: field, format: format, args: args}
	for _, arg := range args {
		if err, ok := arg.(error); ok {
			e.Err = err
		}
	}
	if e.Err == nil {
		e.Err = errors.New(e.Error())
	}
	return e
}

// Documents say where the documents of a cluster are: the values of the fields of
// a [File], or of the flags that stand for them.
type Documents struct {
	// Bucket is BUCKET or BUCKET/PREFIX in S3.
	Bucket string
	// IssuerURL is where somebody else serves the documents, or CloudFront those
	// of a PrivateBucket.
	IssuerURL       string
	Emulator        bool
	PrivateBucket   bool
	DistributionARN string
}

var distributionForm = regexp.MustCompile(`^arn:[a-z-]+:cloudfront::[0-9]{12}:distribution/[A-Z0-9]+$`)

// Check refuses values that do not go together, as a [*FieldError].
func (d Documents) Check() error {
	switch {
	case d.Bucket != "" && d.IssuerURL != "" && !d.PrivateBucket:
		return together("bucket", "{bucket} and {issuerURL} exclude each other, unless CloudFront serves the documents of a {privateBucket}")
	case d.DistributionARN != "" && !d.PrivateBucket:
		return together("distributionARN", "{distributionARN} is for a {privateBucket}")
	case d.DistributionARN != "" && !distributionForm.MatchString(d.DistributionARN):
		return together("distributionARN", "{distributionARN} %q is not the ARN of a distribution, "+
			"such as arn:aws:cloudfront::123456789012:distribution/EDFDVBD6EXAMPLE", d.DistributionARN)
	case d.PrivateBucket && d.IssuerURL == "":
		return together("privateBucket", "{privateBucket} needs the {issuerURL} at which CloudFront serves its documents, "+
			"such as https://d111111abcdef8.cloudfront.net")
	case d.PrivateBucket && d.Emulator:
		return together("privateBucket", "{privateBucket} and {emulator} exclude each other: the emulator has no CloudFront")
	}
	bucket, prefix, hasPrefix := strings.Cut(d.Bucket, "/")
	prefix = strings.Trim(prefix, "/")
	if d.IssuerURL != "" {
		iss, err := issuer.Parse(d.IssuerURL)
		if err != nil {
			return together("issuerURL", "{issuerURL}: %w", err)
		}
		if err := iss.CheckPrefix(); err != nil && d.PrivateBucket {
			return together("issuerURL", "{issuerURL}: %w", err)
		}
		if hasPrefix && prefix != iss.Prefix() {
			return together("bucket", "{bucket} %s: the documents are below the path of the issuer, %q, in a private bucket", d.Bucket, iss.Prefix())
		}
	}
	if d.Bucket != "" {
		if _, err := issuer.S3(bucket, "us-east-1", "amazonaws.com", prefix); err != nil {
			return together("bucket", "%w", err)
		}
	}
	return nil
}

// Admission says which pods wait for the webhook and of which it is not asked: the
// values of the fields of a [File], or of the flags that stand for them. What is
// empty, or nil, is not said.
type Admission struct {
	// FailurePolicy is Fail or Ignore, for workloads.
	FailurePolicy string
	// IgnoreNamespaces never wait, besides the system's; ExcludeNamespaces are
	// those of whose pods the webhook is not asked.
	IgnoreNamespaces, ExcludeNamespaces []string
}

// Check refuses values that do not go together, as a [*FieldError].
func (a Admission) Check() error {
	if !slices.Contains([]string{"", "Fail", "Ignore"}, a.FailurePolicy) {
		return together("failurePolicy", "{failurePolicy} %q is neither Fail nor Ignore", a.FailurePolicy)
	}
	for _, list := range []struct {
		field      string
		namespaces []string
	}{{"ignoreNamespaces", a.IgnoreNamespaces}, {"excludeNamespaces", a.ExcludeNamespaces}} {
		for _, ns := range list.namespaces {
			if msgs := validation.IsDNS1123Label(ns); len(msgs) > 0 {
				return together(list.field, "{"+list.field+"}: namespace %q: %s", ns, msgs[0])
			}
		}
	}
	for _, ns := range a.IgnoreNamespaces {
		if slices.Contains(a.ExcludeNamespaces, ns) {
			return together("excludeNamespaces", "{ignoreNamespaces} and {excludeNamespaces} both name %s", ns)
		}
	}
	return nil
}

// ErrLongName is a cluster whose name is too long to name a bucket after it.
var ErrLongName = errors.New("the cluster's name is too long to name a bucket after it")

// BucketFor is the bucket of a cluster unless one is given. Bucket names are
// global, so the account is part of it. Names of more than 63 characters are
// [ErrLongName].
func BucketFor(cluster, account string) (string, error) {
	bucket := "openirsa-" + strings.ToLower(strings.ReplaceAll(cluster, ".", "-")) + "-" + account
	if len(bucket) > 63 {
		return "", ErrLongName
	}
	return bucket, nil
}

// InS3 is where the documents of a cluster are in S3: the bucket that is given, or
// the one that is named after it.
func (d Documents) InS3(cluster, account string) (bucket, prefix string, err error) {
	bucket, prefix, _ = strings.Cut(d.Bucket, "/")
	prefix = strings.Trim(prefix, "/")
	if d.PrivateBucket {
		iss, err := issuer.Parse(d.IssuerURL)
		if err != nil {
			return "", "", err
		}
		prefix = iss.Prefix() // CloudFront asks for what it is asked for
	}
	if bucket == "" {
		bucket, err = BucketFor(cluster, account)
	}
	return bucket, prefix, err
}
