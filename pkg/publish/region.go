package publish

import (
	"context"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// dnsSuffix is what S3's host names end with in a region, such as "amazonaws.com".
func dnsSuffix(ctx context.Context, region string) (string, error) {
	endpoint, err := s3.NewDefaultEndpointResolverV2().ResolveEndpoint(ctx, s3.EndpointParameters{Region: &region})
	if err != nil {
		return "", fmt.Errorf("finding the S3 endpoint of region %q: %w", region, err)
	}
	suffix, ok := strings.CutPrefix(endpoint.URI.Host, "s3."+region+".")
	if !ok {
		return "", fmt.Errorf("region %q: S3 is at %s there, which has no address for each bucket", region, endpoint.URI.Host)
	}
	return suffix, nil
}

// Partition is the id of the partition that a region is in, such as "aws-cn".
// An ARN of the account tells the same where there are credentials.
func Partition(region string) (string, error) {
	endpoint, err := s3.NewDefaultEndpointResolver().ResolveEndpoint(region, s3.EndpointResolverOptions{})
	if err != nil {
		return "", fmt.Errorf("finding the partition of region %q: %w", region, err)
	}
	return endpoint.PartitionID, nil
}
