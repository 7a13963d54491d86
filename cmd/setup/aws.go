package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/logging"
	"github.com/aws/smithy-go/middleware"

	"github.com/openirsa/openirsa/pkg/publish"
)

// account is the AWS account in which the chain is made, and the clients for it.
type account struct {
	ID, Partition, Region string

	cfg   aws.Config
	calls *callCount
	IAM   *iam.Client
	S3    *s3.Client
	// Anonymous reads S3 as a stranger, at the same endpoint.
	Anonymous *s3.Client
}

// emulatorCredentials are the root of the emulator in the cluster.
const emulatorCredentials = "test"

// connectAWS finds the account. With an endpoint, which is that of the emulator
// in the cluster, its root credentials are used; otherwise AWS's default chain
// decides about everything.
func (a *app) connectAWS(ctx context.Context, endpoint string, client *http.Client) (*account, error) {
	acct := &account{calls: &callCount{}}
	options := []func(*config.LoadOptions) error{
		config.WithAPIOptions([]func(*middleware.Stack) error{acct.calls.add}),
		config.WithLogger(logging.Nop{}), // what matters of it comes as an error
		config.WithRetryer(func() aws.Retryer {
			// Many calls at once are throttled now and then, and IAM takes a
			// while to be consistent.
			return retry.AddWithErrorCodes(retry.AddWithMaxAttempts(retry.NewStandard(), 8), "ConcurrentModification")
		}),
	}
	if a.ask != nil {
		options = append(options, config.WithAssumeRoleCredentialOptions(a.mfa))
	}
	if a.region != "" {
		options = append(options, config.WithRegion(a.region))
	}
	if a.profile != "" && endpoint == "" {
		options = append(options, config.WithSharedConfigProfile(a.profile))
	}
	if endpoint != "" {
		options = append(options,
			config.WithBaseEndpoint(endpoint),
			config.WithDefaultRegion(defaultRegion),
			config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider(emulatorCredentials, emulatorCredentials, "")))
	}
	cfg, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return nil, a.configurationAdvice(err)
	}
	if client != nil {
		// Not an option: with AWS_CA_BUNDLE set, only a client of the SDK's own can be one.
		cfg.HTTPClient = client
	}
	if cfg.Region == "" {
		return nil, advise(errors.New("no AWS region is set"), "SETUP up --region REGION, or set AWS_REGION")
	}
	acct.cfg = cfg
	acct.Region = cfg.Region
	acct.IAM = iam.NewFromConfig(cfg)
	acct.S3 = s3.NewFromConfig(cfg, publish.PathStyle)
	acct.Anonymous = s3.NewFromConfig(cfg, publish.PathStyle, func(o *s3.Options) { o.Credentials = aws.AnonymousCredentials{} })

	who, err := sts.NewFromConfig(cfg).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		return nil, a.credentialsAdvice(err)
	}
	self, err := arn.Parse(*who.Arn)
	if err != nil {
		return nil, fmt.Errorf("reading the caller's ARN %q: %w", *who.Arn, err)
	}
	acct.ID, acct.Partition = *who.Account, self.Partition
	return acct, nil
}

// mfa has the user asked for the code of a profile's MFA device. The credentials
// last as long as those of the AWS CLI, not the SDK's quarter of an hour.
func (a *app) mfa(o *stscreds.AssumeRoleOptions) {
	if o.SerialNumber == nil {
		return
	}
	o.TokenProvider = func() (string, error) { return a.ask("MFA code of " + *o.SerialNumber) }
	if o.Duration == 0 {
		o.Duration = time.Hour
	}
}

// callCount counts the calls to AWS.
type callCount struct {
	mu     sync.Mutex
	total  int
	writes int
}

func (c *callCount) add(stack *middleware.Stack) error {
	return stack.Initialize.Add(middleware.InitializeMiddlewareFunc("openirsa/count",
		func(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error) {
			name := awsmiddleware.GetOperationName(ctx)
			read := slices.ContainsFunc([]string{"Get", "List", "Head"}, func(p string) bool { return strings.HasPrefix(name, p) })
			c.mu.Lock()
			c.total++
			if !read {
				c.writes++
			}
			c.mu.Unlock()
			return next.HandleInitialize(ctx, in)
		}), middleware.After)
}

func (c *callCount) counts() (total, writes int) {
	if c == nil {
		return 0, 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.total, c.writes
}

// awsCause is what AWS answered, without the SDK's account of how it got there.
func awsCause(err error) error {
	if e, ok := errors.AsType[smithy.APIError](err); ok {
		return causeError{e}
	}
	return err
}

// causeError is an answer of AWS in few words.
type causeError struct{ smithy.APIError }

func (e causeError) Error() string { return e.ErrorCode() + ": " + e.ErrorMessage() }
func (e causeError) Unwrap() error { return e.APIError }

// regional is a client of S3 in another region.
func (acct *account) regional(region string) *s3.Client {
	return s3.NewFromConfig(acct.cfg, publish.PathStyle, func(o *s3.Options) { o.Region = region })
}
