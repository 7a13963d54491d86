package publish

import (
	"context"
	"fmt"
	"net/http"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/openirsa/openirsa/pkg/owner"
	"github.com/openirsa/openirsa/pkg/plan"
)

// Delete decides what must be done for nothing of the issuer to be left: the
// documents at paths ([discovery.Paths]) in reverse order, the statement of the
// bucket's policy, and an owned bucket with nothing else in it whose tags say that
// it was made for the same cluster, or that is [unfinished]. Whether the documents
// are the cluster's is for the caller to know.
func (b S3) Delete(ctx context.Context, paths []string) ([]plan.Step, error) {
	exists, err := b.Exists(ctx)
	if err != nil || !exists {
		return nil, err
	}
	objects, err := b.Client.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: &b.Bucket, ExpectedBucketOwner: &b.Account})
	if err != nil {
		return nil, fmt.Errorf("listing bucket %s: %w", b.Bucket, err)
	}
	policy, err := b.policy(ctx)
	if err != nil {
		return nil, err
	}
	var steps []plan.Step
	add := func(action, summary string, do func(context.Context) error) {
		steps = append(steps, plan.Step{Link: plan.Documents, Action: action, Summary: summary, Do: do})
	}
	var ours []string
	for _, path := range slices.Backward(paths) {
		key := b.Key(path)
		ours = append(ours, key)
		// Of a bucket with more than a list holds, it is not known; deleting
		// a missing object is not an error.
		if isOn(objects.IsTruncated) || slices.ContainsFunc(objects.Contents, func(o types.Object) bool { return *o.Key == key }) {
			add(plan.Delete, "s3://"+b.Bucket+"/"+key, func(ctx context.Context) error {
				_, err := b.Client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &b.Bucket, Key: &key, ExpectedBucketOwner: &b.Account})
				return err
			})
		}
	}
	if rest, changed := policy.without(b.sid()); changed {
		add(plan.Update, "policy of bucket "+b.Bucket, func(ctx context.Context) error { return b.putPolicy(ctx, rest) })
	}
	others := slices.ContainsFunc(objects.Contents, func(o types.Object) bool { return !slices.Contains(ours, *o.Key) })
	if !b.Owned || others || isOn(objects.IsTruncated) {
		return patient(steps, false), nil
	}
	switch tags, err := b.tags(ctx); {
	case code(err) == "NoSuchBucket":
		return nil, nil
	case err != nil:
		return nil, err
	case owner.Owns(tags, b.Tags) || unfinished(tags, objects, policy):
		add(plan.Delete, "bucket "+b.Bucket, func(ctx context.Context) error {
			_, err := b.Client.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: &b.Bucket, ExpectedBucketOwner: &b.Account})
			if code(err) == "NoSuchBucket" {
				return nil
			}
			return err
		})
	}
	return patient(steps, false), nil
}

// Whose reads for whom the bucket was made: one that was not made for the cluster
// of b.Tags is an [*owner.ForeignError], one that is not there is nobody's. If its
// tags may not be read, the error wraps [ErrOwnerUnknown].
func (b S3) Whose(ctx context.Context) error {
	tags, err := b.tags(ctx)
	switch {
	case code(err) == "NoSuchBucket":
		return nil
	case status(err) == http.StatusForbidden:
		return fmt.Errorf("bucket %s: %w: %w", b.Bucket, ErrOwnerUnknown, err)
	case err != nil:
		return err
	case b.Owned && len(tags) == 0:
		objects, err := b.Client.ListObjectsV2(ctx, &s3.ListObjectsV2Input{
			Bucket: &b.Bucket, MaxKeys: new(int32(1)), ExpectedBucketOwner: &b.Account,
		})
		if err != nil {
			return fmt.Errorf("listing bucket %s: %w", b.Bucket, err)
		}
		if policy, err := b.policy(ctx); err != nil || unfinished(tags, objects, policy) {
			return err
		}
	}
	return owner.Check("bucket "+b.Bucket, tags, b.Tags)
}

// unfinished reports whether a bucket is as a run of [S3.Plan] leaves it that
// stops between making and marking it: with no tag, policy or object. Then nothing
// but the caller's record says whose it is, and nothing of anybody's is in it.
func unfinished(tags map[string]string, objects *s3.ListObjectsV2Output, policy bucketPolicy) bool {
	return len(tags) == 0 && len(objects.Contents) == 0 && len(policy.Statement) == 0
}
