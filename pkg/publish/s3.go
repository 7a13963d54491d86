// Package publish puts an issuer's documents where the world can read them:
// into an S3 bucket.
//
// It reads what is there, answers with the steps that are missing ([S3.Plan]), and
// reads the result back as an anonymous stranger ([S3.Check]).
package publish

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// Client is what [S3] calls; *s3.Client is one.
type Client interface {
	HeadBucket(context.Context, *s3.HeadBucketInput, ...func(*s3.Options)) (*s3.HeadBucketOutput, error)
	CreateBucket(context.Context, *s3.CreateBucketInput, ...func(*s3.Options)) (*s3.CreateBucketOutput, error)
	DeleteBucket(context.Context, *s3.DeleteBucketInput, ...func(*s3.Options)) (*s3.DeleteBucketOutput, error)
	GetBucketTagging(context.Context, *s3.GetBucketTaggingInput, ...func(*s3.Options)) (*s3.GetBucketTaggingOutput, error)
	PutBucketTagging(context.Context, *s3.PutBucketTaggingInput, ...func(*s3.Options)) (*s3.PutBucketTaggingOutput, error)
	GetPublicAccessBlock(context.Context, *s3.GetPublicAccessBlockInput, ...func(*s3.Options)) (*s3.GetPublicAccessBlockOutput, error)
	PutPublicAccessBlock(context.Context, *s3.PutPublicAccessBlockInput, ...func(*s3.Options)) (*s3.PutPublicAccessBlockOutput, error)
	GetBucketPolicy(context.Context, *s3.GetBucketPolicyInput, ...func(*s3.Options)) (*s3.GetBucketPolicyOutput, error)
	PutBucketPolicy(context.Context, *s3.PutBucketPolicyInput, ...func(*s3.Options)) (*s3.PutBucketPolicyOutput, error)
	DeleteBucketPolicy(context.Context, *s3.DeleteBucketPolicyInput, ...func(*s3.Options)) (*s3.DeleteBucketPolicyOutput, error)
	ListObjectsV2(context.Context, *s3.ListObjectsV2Input, ...func(*s3.Options)) (*s3.ListObjectsV2Output, error)
	GetObject(context.Context, *s3.GetObjectInput, ...func(*s3.Options)) (*s3.GetObjectOutput, error)
	PutObject(context.Context, *s3.PutObjectInput, ...func(*s3.Options)) (*s3.PutObjectOutput, error)
	DeleteObject(context.Context, *s3.DeleteObjectInput, ...func(*s3.Options)) (*s3.DeleteObjectOutput, error)
}

// S3 is the part of a bucket that holds one issuer's documents. A bucket may
// hold several issuers, each below a prefix of its own.
type S3 struct {
	Client Client
	// Account owns the bucket. Each call says so (ExpectedBucketOwner), so
	// that nothing is ever written to a stranger's bucket of the same name.
	Account   string
	Partition string
	Region    string
	Bucket    string
	// Prefix is the issuer's path without slashes around it, or empty.
	Prefix string
	// Owned says that the bucket was made for this purpose: it is tagged, and
	// deleted with its last document. Otherwise only documents and one
	// statement of its policy are ours.
	Owned bool
	// Tags mark an owned bucket, see [owner.Tags]: it is deleted only with the
	// same mark.
	Tags map[string]string
	// DocumentsOnly leaves the bucket, its policy and its public access block
	// to others: only the documents are read and written, for which
	// s3:GetObject and s3:PutObject on them are enough.
	DocumentsOnly bool
	// Private keeps the bucket closed to the public; the documents are served
	// by a CloudFront distribution with origin access control, at an issuer
	// URL of its own.
	Private bool
	// Distribution is the ARN of the distribution that may read the documents
	// of a Private bucket. Empty leaves the bucket's policy to whoever made
	// the distribution.
	Distribution string
}

// The errors that a caller can turn into advice, wrapped with what AWS said.
var (
	// ErrForeignBucket is a bucket that belongs to another account.
	ErrForeignBucket = errors.New("the bucket belongs to another AWS account")
	// ErrWrongRegion is a bucket in another region than the issuer's; a
	// [*RegionError] tells which, if S3 did.
	ErrWrongRegion = errors.New("the bucket is in another region")
	// ErrAccountBlock is S3 Block Public Access, switched on for the whole
	// account, so that opening it on the bucket is not enough.
	ErrAccountBlock = errors.New("S3 Block Public Access is on for the whole account")
	// ErrOwnerUnknown is a bucket whose tags may not be read, so that nobody
	// knows for whom it was made.
	ErrOwnerUnknown = errors.New("it is not known for whom the bucket was made")
)

// RegionError is a bucket that is not in the issuer's region. It is an
// [ErrWrongRegion].
type RegionError struct {
	Bucket, Want string
	Is           string // "" where S3 does not tell
}

func (e *RegionError) Error() string {
	if e.Is == "" {
		return fmt.Sprintf("bucket %s: %v than %s", e.Bucket, ErrWrongRegion, e.Want)
	}
	return fmt.Sprintf("bucket %s: %v: %s, not %s", e.Bucket, ErrWrongRegion, e.Is, e.Want)
}

func (e *RegionError) Unwrap() error { return ErrWrongRegion }

// PathStyle is an option of clients that addresses buckets by path where an
// endpoint is configured, which need not have a host name for each bucket.
func PathStyle(o *s3.Options) { o.UsePathStyle = o.BaseEndpoint != nil }

// Exists reports whether the bucket is there and belongs to the account. The
// error wraps [ErrForeignBucket] or [ErrWrongRegion].
func (b S3) Exists(ctx context.Context) (bool, error) {
	head, err := b.Client.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: &b.Bucket, ExpectedBucketOwner: &b.Account})
	switch status(err) {
	case 0:
		if err != nil {
			return false, fmt.Errorf("looking for bucket %s: %w", b.Bucket, err)
		}
	case http.StatusNotFound:
		return false, nil
	case http.StatusForbidden:
		return false, fmt.Errorf("bucket %s: %w, or you may not list it (s3:ListBucket)", b.Bucket, ErrForeignBucket)
	case http.StatusMovedPermanently, http.StatusBadRequest:
		region := ""
		if e, ok := errors.AsType[*smithyhttp.ResponseError](err); ok {
			region = e.Response.Header.Get("X-Amz-Bucket-Region")
		}
		return false, &RegionError{Bucket: b.Bucket, Want: b.Region, Is: region}
	default:
		return false, fmt.Errorf("looking for bucket %s: %w", b.Bucket, err)
	}
	if r := head.BucketRegion; r != nil && *r != "" && *r != b.Region {
		return false, &RegionError{Bucket: b.Bucket, Want: b.Region, Is: *r}
	}
	return true, nil
}

func (b S3) arn() string { return "arn:" + b.Partition + ":s3:::" + b.Bucket }

func (b S3) tags(ctx context.Context) (map[string]string, error) {
	out, err := b.Client.GetBucketTagging(ctx, &s3.GetBucketTaggingInput{Bucket: &b.Bucket, ExpectedBucketOwner: &b.Account})
	if code(err) == "NoSuchTagSet" {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the tags of bucket %s: %w", b.Bucket, err)
	}
	tags := map[string]string{}
	for _, t := range out.TagSet {
		tags[*t.Key] = *t.Value
	}
	return tags, nil
}

// Key is the key of the object that holds the document at a path of
// [discovery.Paths].
func (b S3) Key(path string) string { return strings.TrimPrefix(b.Prefix+path, "/") }
