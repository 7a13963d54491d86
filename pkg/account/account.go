// Package account is AWS as the caller: the account that the credentials are of,
// the clients for it, and a count of the calls that were made.
//
// Everything is found where the AWS CLI finds it: the environment, ~/.aws, and the
// role of the machine.
//
//	acct, err := account.Connect(ctx, account.Options{Region: "eu-west-1"})
//	roles, err := role.List(ctx, acct.IAM, "/")
package account

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/openirsa/openirsa/pkg/publish"
)

// Account is an AWS account, and the clients for it.
type Account struct {
	// ID is its twelve digits, Partition that of its ARNs, such as "aws", and
	// Region the one that the clients ask.
	ID, Partition, Region string

	IAM *iam.Client
	S3  *s3.Client
	// Anonymous reads S3 as a stranger, at the same endpoint.
	Anonymous *s3.Client

	// Config is that of the clients.
	Config aws.Config
	calls  *count
}

// Connect finds the account, by asking STS who the caller is. What is wrong with
// the credentials or the configuration is a [*CredentialsError].
func Connect(ctx context.Context, o Options) (*Account, error) {
	a := &Account{calls: &count{}}
	cfg, err := config.LoadDefaultConfig(ctx, o.load(a.calls)...)
	if err != nil {
		return nil, o.configurationError(err)
	}
	if o.HTTPClient != nil {
		// Not an option: with AWS_CA_BUNDLE set, only a client of the SDK's own can be one.
		cfg.HTTPClient = o.HTTPClient
	}
	if cfg.Region == "" {
		return nil, &CredentialsError{Problem: NoRegion, Err: errors.New("no AWS region is set")}
	}
	a.Config, a.Region = cfg, cfg.Region
	a.IAM = iam.NewFromConfig(cfg)
	a.S3 = s3.NewFromConfig(cfg, publish.PathStyle)
	a.Anonymous = s3.NewFromConfig(cfg, publish.PathStyle, func(o *s3.Options) { o.Credentials = aws.AnonymousCredentials{} })

	who, err := sts.NewFromConfig(cfg).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		return nil, o.credentialsError(err)
	}
	self, err := arn.Parse(*who.Arn)
	if err != nil {
		return nil, fmt.Errorf("reading the caller's ARN %q: %w", *who.Arn, err)
	}
	a.ID, a.Partition = *who.Account, self.Partition
	return a, nil
}

// Regional is a client of S3 in another region of the account.
func (a *Account) Regional(region string) *s3.Client {
	return s3.NewFromConfig(a.Config, publish.PathStyle, func(o *s3.Options) { o.Region = region })
}

// Calls are the calls to AWS that were made so far, and how many of them were not
// reads.
func (a *Account) Calls() (total, writes int) {
	if a == nil {
		return 0, 0
	}
	a.calls.mu.Lock()
	defer a.calls.mu.Unlock()
	return a.calls.total, a.calls.writes
}
