package publish

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"golang.org/x/sync/errgroup"
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
func Buckets(ctx context.Context, client *s3.Client, account string,
	wanted func(name string) bool, regional func(region string) *s3.Client,
) ([]Bucket, error) {
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
