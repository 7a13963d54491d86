package publish_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/openirsa/openirsa/pkg/discovery"
	"github.com/openirsa/openirsa/pkg/emulator"
	"github.com/openirsa/openirsa/pkg/keys"
	"github.com/openirsa/openirsa/pkg/owner"
	"github.com/openirsa/openirsa/pkg/plan"
	"github.com/openirsa/openirsa/pkg/publish"
)

// A bucket that serves the documents of an issuer to anybody.
func ExampleS3_Plan() {
	ctx := context.Background()
	cfg, stop := emulated()
	defer stop()

	iss, err := publish.Issuer(ctx, "my-issuer", "", cfg.Region)
	check(err)
	key, err := keys.Generate(keys.ES256) // the API server's, where there is one
	check(err)
	set, err := keys.NewSet(key.Public())
	check(err)
	docs, err := discovery.Documents(iss, set)
	check(err)

	bucket := publish.S3{
		Client: s3.NewFromConfig(cfg, publish.PathStyle), Account: "123456789012", Partition: "aws",
		Region: cfg.Region, Bucket: "my-issuer", Owned: true, Tags: owner.Tags("dev", "the uid of kube-system"),
	}
	steps, err := bucket.Plan(ctx, docs)
	check(err)
	for _, step := range steps {
		fmt.Println(step)
	}
	check(plan.Run(ctx, steps, nil))

	anonymous := s3.NewFromConfig(cfg, publish.PathStyle, func(o *s3.Options) { o.Credentials = aws.AnonymousCredentials{} })
	check(bucket.Check(ctx, bucket.Stranger(anonymous), iss, docs, time.Minute))
	fmt.Println("anybody reads", iss.Discovery())
	// Output:
	// create bucket my-issuer in us-east-1
	// update tags of bucket my-issuer
	// update public access block of bucket my-issuer
	// update policy of bucket my-issuer
	// update s3://my-issuer/openid/v1/jwks
	// update s3://my-issuer/.well-known/openid-configuration
	// anybody reads https://my-issuer.s3.us-east-1.amazonaws.com/.well-known/openid-configuration
}

// emulated is an AWS account to show this in.
func emulated() (cfg aws.Config, stop func()) {
	server, err := emulator.New(emulator.Config{Account: "123456789012"})
	if err != nil {
		panic(err)
	}
	web := httptest.NewServer(server)
	return aws.Config{
		Region: "us-east-1", BaseEndpoint: &web.URL, Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""),
	}, web.Close
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
