package publish

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// reader is who may read the documents of a bucket: the mode in which it is
// published.
type reader interface {
	// accessBlock is what must change in the bucket's public access block; do is
	// nil for nothing.
	accessBlock(b S3, exists bool, there types.PublicAccessBlockConfiguration) (diff string, do func(context.Context) error)
	// policy is the bucket's policy with the part that is ours, and whether that
	// is a change; who are the readers then, in words.
	policy(b S3, there bucketPolicy, paths []string) (want bucketPolicy, who string, changed bool)
}

// reader is the mode of the bucket.
func (b S3) reader() reader {
	switch {
	case !b.Private:
		return anyone{}
	case b.Distribution != "":
		return distribution{}
	}
	return somebodysDistribution{}
}

// anyone reads an open bucket.
type anyone struct{}

func (anyone) accessBlock(b S3, exists bool, there types.PublicAccessBlockConfiguration) (string, func(context.Context) error) {
	if exists && !isOn(there.BlockPublicPolicy) && !isOn(there.RestrictPublicBuckets) {
		return "", nil
	}
	return "- BlockPublicPolicy, RestrictPublicBuckets\n+ BlockPublicPolicy=false, RestrictPublicBuckets=false",
		func(ctx context.Context) error { return b.openPolicies(ctx, there) }
}

func (anyone) policy(b S3, there bucketPolicy, paths []string) (bucketPolicy, string, bool) {
	want, changed := there.with(b.statement(paths))
	return want, "anyone", changed
}

// distribution is the one of CloudFront's that reads a private bucket.
type distribution struct{ closed }

func (distribution) policy(b S3, there bucketPolicy, paths []string) (bucketPolicy, string, bool) {
	want, changed := there.with(b.statement(paths))
	return want, b.Distribution, changed
}

// somebodysDistribution reads a private bucket by a policy that is not ours to
// write.
type somebodysDistribution struct{ closed }

func (somebodysDistribution) policy(b S3, there bucketPolicy, _ []string) (bucketPolicy, string, bool) {
	if !there.public(b.sid()) {
		return there, "", false
	}
	want, changed := there.without(b.sid()) // from before it was to be private
	return want, "no stranger", changed
}

// closed is a private bucket, whoever reads it.
type closed struct{}

func (closed) accessBlock(b S3, exists bool, there types.PublicAccessBlockConfiguration) (string, func(context.Context) error) {
	// Whether others' bucket is open is theirs to say.
	if !b.Owned || exists && isShut(there) {
		return "", nil
	}
	return "+ all public access blocked", b.shut
}

func (b S3) publicAccessBlock(ctx context.Context) (types.PublicAccessBlockConfiguration, error) {
	out, err := b.Client.GetPublicAccessBlock(ctx, &s3.GetPublicAccessBlockInput{Bucket: &b.Bucket, ExpectedBucketOwner: &b.Account})
	if code(err) == "NoSuchPublicAccessBlockConfiguration" {
		return types.PublicAccessBlockConfiguration{}, nil
	}
	if err != nil {
		return types.PublicAccessBlockConfiguration{}, fmt.Errorf("reading the public access block of bucket %s: %w", b.Bucket, err)
	}
	return *out.PublicAccessBlockConfiguration, nil
}

// openPolicies opens the two switches about policies. Those about ACLs stay as
// they are on a bucket that was there, and shut on a new one.
func (b S3) openPolicies(ctx context.Context, there types.PublicAccessBlockConfiguration) error {
	if there.BlockPublicAcls == nil && there.IgnorePublicAcls == nil {
		there.BlockPublicAcls, there.IgnorePublicAcls = new(true), new(true)
	}
	there.BlockPublicPolicy, there.RestrictPublicBuckets = new(false), new(false)
	_, err := b.Client.PutPublicAccessBlock(ctx, &s3.PutPublicAccessBlockInput{
		Bucket: &b.Bucket, ExpectedBucketOwner: &b.Account, PublicAccessBlockConfiguration: &there,
	})
	return err
}

// shut blocks all public access, as a new bucket has it.
func (b S3) shut(ctx context.Context) error {
	_, err := b.Client.PutPublicAccessBlock(ctx, &s3.PutPublicAccessBlockInput{
		Bucket: &b.Bucket, ExpectedBucketOwner: &b.Account,
		PublicAccessBlockConfiguration: &types.PublicAccessBlockConfiguration{
			BlockPublicAcls: new(true), IgnorePublicAcls: new(true), BlockPublicPolicy: new(true), RestrictPublicBuckets: new(true),
		},
	})
	return err
}

func isShut(block types.PublicAccessBlockConfiguration) bool {
	return isOn(block.BlockPublicAcls) && isOn(block.IgnorePublicAcls) && isOn(block.BlockPublicPolicy) && isOn(block.RestrictPublicBuckets)
}
