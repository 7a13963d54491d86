package publish

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"golang.org/x/sync/errgroup"

	"github.com/openirsa/openirsa/pkg/issuer"
)

// Bucket is one of the account's buckets.
type Bucket struct {
	Name    string
	Region  string
	Created time.Time
	Tags    map[string]string
}

// Buckets reads those of the account's buckets whose name is wanted, with their
// tags. The client of a bucket's region comes from regional. A bucket that is
// gone by then, or whose tags may not be read, has none.
func Buckets(ctx context.Context, client *s3.Client, account string, wanted func(name string) bool, regional func(region string) *s3.Client) ([]Bucket, error) {
	var all []Bucket
	// With a parameter S3 says of each bucket in which region it is.
	pages := s3.NewListBucketsPaginator(client, &s3.ListBucketsInput{MaxBuckets: new(int32(1000))})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("listing the buckets: %w", err)
		}
		for _, b := range page.Buckets {
			if wanted(*b.Name) {
				all = append(all, Bucket{Name: *b.Name, Region: aws.ToString(b.BucketRegion), Created: aws.ToTime(b.CreationDate)})
			}
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(16)
	for i := range all {
		b := &all[i]
		group.Go(func() error {
			if b.Region == "" {
				b.Region = client.Options().Region
			}
			var err error
			b.Tags, err = S3{Client: regional(b.Region), Bucket: b.Name, Account: account}.tags(ctx)
			if s := status(err); s == http.StatusNotFound || s == http.StatusForbidden {
				return nil
			}
			return err
		})
	}
	return all, group.Wait()
}

// Modified is when the last of the documents at paths was written; the zero time
// if none is there.
func (b S3) Modified(ctx context.Context, paths []string) (time.Time, error) {
	var last time.Time
	for _, path := range paths {
		key := b.Key(path)
		found, err := b.Client.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: &b.Bucket, Prefix: &key, MaxKeys: new(int32(1)), ExpectedBucketOwner: &b.Account})
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

// BucketOf is the bucket, its region and the prefix of an issuer of [Issuer]; ok is
// false of another issuer, whose documents others have made, in S3 or elsewhere.
func BucketOf(ctx context.Context, iss issuer.URL) (bucket, region, prefix string, ok bool) {
	at, ok := ObjectAt(ctx, iss.Discovery())
	if !ok {
		return "", "", "", false
	}
	same, err := Issuer(ctx, at.Bucket, iss.Prefix(), at.Region)
	if err != nil || same != iss {
		return "", "", "", false
	}
	return at.Bucket, at.Region, iss.Prefix(), true
}
