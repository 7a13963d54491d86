package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/spf13/cobra"

	"github.com/openirsa/openirsa/pkg/discovery"
	"github.com/openirsa/openirsa/pkg/issuer"
	"github.com/openirsa/openirsa/pkg/keys"
	"github.com/openirsa/openirsa/pkg/plan"
	"github.com/openirsa/openirsa/pkg/publish"
	"github.com/openirsa/openirsa/pkg/source"
)

// publisher are the flags of `issuer publish`.
type publisher struct {
	*app
	cluster                clusterFlags
	keyFiles               []string
	bucket, prefix, region string
	once, dryRun           bool
}

func (a *app) publishCommand() *cobra.Command {
	p := &publisher{app: a}
	c := &cobra.Command{
		Use:   "publish",
		Short: "Keep the documents of a cluster in an S3 bucket",
		RunE:  func(c *cobra.Command, _ []string) error { return p.run(c.Context()) },
	}
	f := c.Flags()
	p.cluster.add(f)
	f.StringSliceVar(&p.keyFiles, "key-file", nil, "file of public keys, PEM or JSON; may be repeated. Without: the API server's")
	f.StringVar(&p.bucket, "bucket", "", "S3 bucket (required)")
	f.StringVar(&p.prefix, "prefix", "", "prefix of this cluster's documents in the bucket")
	f.StringVar(&p.region, "region", "", "region of the bucket. Without: AWS's configuration")
	f.BoolVar(&p.once, "once", false, "publish once and exit")
	f.BoolVar(&p.dryRun, "dry-run", false, "print what would be written, and write nothing")
	return c
}

func (p *publisher) run(ctx context.Context) error {
	if p.bucket == "" {
		return usagef("--bucket is needed")
	}
	if !p.once && !p.dryRun {
		return usagef("--once is needed")
	}
	read := source.Files(p.keyFiles...)
	if len(p.keyFiles) == 0 {
		read = source.API(p.cluster.config)
	}
	bucket, anonymous, iss, err := p.open(ctx)
	if err != nil {
		return err
	}
	set, err := read(ctx)
	if err != nil {
		return err
	}
	return p.publish(ctx, bucket, anonymous, iss, set)
}

// open finds the bucket and the issuer that its documents are of.
func (p *publisher) open(ctx context.Context) (publish.S3, *s3.Client, issuer.URL, error) {
	fail := func(err error) (publish.S3, *s3.Client, issuer.URL, error) {
		return publish.S3{}, nil, issuer.URL{}, err
	}
	var options []func(*config.LoadOptions) error
	if p.region != "" {
		options = append(options, config.WithRegion(p.region))
	}
	cfg, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return fail(fmt.Errorf("loading the AWS configuration: %w", err))
	}
	if cfg.Region == "" {
		return fail(usagef("no region is set: give --region, or set AWS_REGION"))
	}
	who, err := sts.NewFromConfig(cfg).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		return fail(fmt.Errorf("asking AWS who we are (sts:GetCallerIdentity): %w", err))
	}
	self, err := arn.Parse(aws.ToString(who.Arn))
	if err != nil {
		return fail(fmt.Errorf("reading the caller's ARN %q: %w", aws.ToString(who.Arn), err))
	}
	iss, err := s3Issuer(ctx, p.bucket, p.prefix, cfg.Region)
	if err != nil {
		return fail(err)
	}
	bucket := publish.S3{
		Client: s3.NewFromConfig(cfg), Account: aws.ToString(who.Account), Partition: self.Partition,
		Region: cfg.Region, Bucket: p.bucket, Prefix: p.prefix,
	}
	anonymous := s3.NewFromConfig(cfg, func(o *s3.Options) { o.Credentials = aws.AnonymousCredentials{} })
	return bucket, anonymous, iss, nil
}

// s3Issuer is the issuer of documents in a bucket. Where S3's endpoints are is
// the SDK's knowledge; an endpoint that was configured has no part in it.
func s3Issuer(ctx context.Context, bucket, prefix, region string) (issuer.URL, error) {
	endpoint, err := s3.NewDefaultEndpointResolverV2().ResolveEndpoint(ctx, s3.EndpointParameters{Region: &region})
	if err != nil {
		return issuer.URL{}, fmt.Errorf("finding the S3 endpoint of region %q: %w", region, err)
	}
	suffix, ok := strings.CutPrefix(endpoint.URI.Host, "s3."+region+".")
	if !ok {
		return issuer.URL{}, fmt.Errorf("region %q: S3 is at %s there, which has no address for each bucket", region, endpoint.URI.Host)
	}
	return issuer.S3(bucket, region, suffix, prefix)
}

// patience is how long a change may take to be visible to everybody.
const patience = time.Minute

func (p *publisher) publish(ctx context.Context, bucket publish.S3, anonymous *s3.Client, iss issuer.URL, set keys.Set) error {
	docs, err := discovery.Documents(iss, set)
	if err != nil {
		return err
	}
	steps, err := bucket.Plan(ctx, docs)
	if err != nil {
		return err
	}
	if p.dryRun {
		plan.Print(p.stdout, steps)
		return nil
	}
	err = plan.Run(ctx, steps, func(s plan.Step) {
		p.log.Info(plan.Past(s.Action), "what", s.Summary, "issuer", iss)
	})
	if err != nil {
		return err
	}
	return bucket.Check(ctx, bucket.Stranger(anonymous), iss, docs, patience)
}
