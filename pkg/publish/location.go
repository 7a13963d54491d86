package publish

import (
	"context"
	"strings"

	"github.com/openirsa/openirsa/pkg/issuer"
)

// Issuer is the issuer of documents in a bucket. Where S3 is in a region is the
// SDK's knowledge (its partitions); an endpoint that was configured has no part
// in it.
func Issuer(ctx context.Context, bucket, prefix, region string) (issuer.URL, error) {
	suffix, err := dnsSuffix(ctx, region)
	if err != nil {
		return issuer.URL{}, err
	}
	return issuer.S3(bucket, region, suffix, prefix)
}

// Location is where the documents of an issuer are.
type Location struct {
	Issuer issuer.URL
	// Bucket, in Region, has the documents below Prefix, which has no slashes
	// around it and may be empty. Bucket is empty where others serve them.
	Bucket, Region, Prefix string
}

// ParseLocation reads BUCKET or BUCKET/PREFIX in S3 in a region, or the https URL
// of documents that others serve.
func ParseLocation(ctx context.Context, place, region string) (Location, error) {
	if strings.Contains(place, "://") {
		iss, err := issuer.Parse(place)
		return Location{Issuer: iss}, err
	}
	bucket, prefix, _ := strings.Cut(place, "/")
	prefix = strings.Trim(prefix, "/")
	iss, err := Issuer(ctx, bucket, prefix, region)
	if err != nil {
		return Location{}, err
	}
	return Location{iss, bucket, region, prefix}, nil
}

// LocationOf is the place in S3 of an issuer of [Issuer]; ok is false of another
// issuer, whose documents others have made, in S3 or elsewhere.
func LocationOf(ctx context.Context, iss issuer.URL) (_ Location, ok bool) {
	at, ok := ObjectAt(ctx, iss.Discovery())
	if !ok {
		return Location{}, false
	}
	same, err := Issuer(ctx, at.Bucket, iss.Prefix(), at.Region)
	if err != nil || same != iss {
		return Location{}, false
	}
	return Location{iss, at.Bucket, at.Region, iss.Prefix()}, true
}
