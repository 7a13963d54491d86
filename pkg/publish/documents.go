package publish

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/openirsa/openirsa/internal/wait"
	"github.com/openirsa/openirsa/pkg/discovery"
	"github.com/openirsa/openirsa/pkg/issuer"
	"github.com/openirsa/openirsa/pkg/plan"
)

// Published is the document at a path as it is in the bucket, nil if it is not
// there.
func (b S3) Published(ctx context.Context, path string) ([]byte, error) {
	key := b.Key(path)
	got, err := b.Client.GetObject(ctx, &s3.GetObjectInput{Bucket: &b.Bucket, Key: &key, ExpectedBucketOwner: &b.Account})
	if c := code(err); c == "NoSuchKey" || c == "NoSuchBucket" {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading s3://%s/%s: %w", b.Bucket, key, err)
	}
	defer got.Body.Close()
	body, err := io.ReadAll(io.LimitReader(got.Body, 1<<20))
	if err != nil {
		return nil, fmt.Errorf("reading s3://%s/%s: %w", b.Bucket, key, err)
	}
	return body, nil
}

// has reports whether a document is in the bucket as it should be.
func (b S3) has(ctx context.Context, doc discovery.Document) (bool, error) {
	got, err := b.Client.GetObject(ctx, &s3.GetObjectInput{Bucket: &b.Bucket, Key: new(b.Key(doc.Path)), ExpectedBucketOwner: &b.Account})
	if code(err) == "NoSuchKey" {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("reading s3://%s/%s: %w", b.Bucket, b.Key(doc.Path), err)
	}
	defer got.Body.Close()
	body, err := io.ReadAll(io.LimitReader(got.Body, int64(len(doc.Body))+1))
	if err != nil {
		return false, fmt.Errorf("reading s3://%s/%s: %w", b.Bucket, b.Key(doc.Path), err)
	}
	return bytes.Equal(body, doc.Body) && equal(got.ContentType, doc.ContentType) && equal(got.CacheControl, discovery.CacheControl), nil
}

func (b S3) put(ctx context.Context, doc discovery.Document) error {
	_, err := b.Client.PutObject(ctx, &s3.PutObjectInput{
		Bucket: &b.Bucket, Key: new(b.Key(doc.Path)), ExpectedBucketOwner: &b.Account,
		Body: bytes.NewReader(doc.Body), ContentType: &doc.ContentType, CacheControl: new(discovery.CacheControl),
	})
	return err
}

func (b S3) putStep(doc discovery.Document) plan.Step {
	return plan.Step{Link: plan.Documents, Action: plan.Update, Summary: "s3://" + b.Bucket + "/" + b.Key(doc.Path),
		Do: func(ctx context.Context) error { return b.put(ctx, doc) }}
}

// Stranger reads the documents of the bucket as anybody can. The client must
// have anonymous credentials ([aws.AnonymousCredentials]).
func (b S3) Stranger(anonymous Client) discovery.Get {
	return func(ctx context.Context, iss issuer.URL, path string) (string, []byte, error) {
		return read(ctx, anonymous, Object{Bucket: b.Bucket, Key: b.Key(path)})
	}
}

// Check reads the documents back as a stranger until they are there, which on
// S3 takes a moment after a change of the policy, at most for the given time. If
// they are refused although the bucket is open, the error wraps
// [ErrAccountBlock].
func (b S3) Check(ctx context.Context, get discovery.Get, iss issuer.URL, docs []discovery.Document, patience time.Duration) error {
	err := wait.Retry(ctx, patience, wait.Any, func(ctx context.Context) error { return discovery.Check(ctx, get, iss, docs) })
	if status(err) == http.StatusForbidden {
		return fmt.Errorf("%w (%w)", ErrAccountBlock, err)
	}
	return err
}

// Modified is when the last of the documents at paths was written; the zero time
// if none is there.
func (b S3) Modified(ctx context.Context, paths []string) (time.Time, error) {
	var last time.Time
	for _, path := range paths {
		key := b.Key(path)
		found, err := b.Client.ListObjectsV2(ctx, &s3.ListObjectsV2Input{
			Bucket: &b.Bucket, Prefix: &key, MaxKeys: new(int32(1)), ExpectedBucketOwner: &b.Account,
		})
		if code(err) == "NoSuchBucket" {
			return time.Time{}, nil
		}
		if err != nil {
			return time.Time{}, fmt.Errorf("looking for s3://%s/%s: %w", b.Bucket, key, err)
		}
		for _, o := range found.Contents {
			if m := aws.ToTime(o.LastModified); *o.Key == key && m.After(last) {
				last = m
			}
		}
	}
	return last, nil
}
