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
	"net/http"
	"os"
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

// EmulatorRegion is the region of an emulator unless one is set.
const EmulatorRegion = "us-east-1"

// emulatorCredentials are the root of an emulator.
const emulatorCredentials = "test"

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

// Options say which account is meant. The zero Options take what the AWS CLI
// would take.
type Options struct {
	// Region that the clients ask. Empty: that of the environment or the profile.
	Region string
	// Profile of the shared configuration. Empty: $AWS_PROFILE, or "default".
	Profile string
	// Endpoint is the URL of an emulator, whose root credentials are used then.
	Endpoint string
	// HTTPClient makes the calls. Nil: the SDK's own does.
	HTTPClient *http.Client
	// Ask asks the user for the code of an MFA device. Nil: there is nobody to
	// ask, and a profile that needs a code is an error.
	Ask func(what string) (string, error)
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

// load are the options of the SDK.
func (o Options) load(calls *count) []func(*config.LoadOptions) error {
	options := []func(*config.LoadOptions) error{
		config.WithAPIOptions([]func(*middleware.Stack) error{calls.add}),
		config.WithLogger(logging.Nop{}), // what matters of it comes as an error
		config.WithRetryer(func() aws.Retryer {
			// Many calls at once are throttled now and then, and IAM takes a
			// while to be consistent.
			return retry.AddWithErrorCodes(retry.AddWithMaxAttempts(retry.NewStandard(), 8), "ConcurrentModification")
		}),
	}
	if o.Ask != nil {
		options = append(options, config.WithAssumeRoleCredentialOptions(o.mfa))
	}
	if o.Region != "" {
		options = append(options, config.WithRegion(o.Region))
	}
	if o.Profile != "" && o.Endpoint == "" {
		options = append(options, config.WithSharedConfigProfile(o.Profile))
	}
	if o.Endpoint != "" {
		options = append(options,
			config.WithBaseEndpoint(o.Endpoint),
			config.WithDefaultRegion(EmulatorRegion),
			config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider(emulatorCredentials, emulatorCredentials, "")))
	}
	return options
}

// mfa has the user asked for the code of a profile's MFA device. The credentials
// last as long as those of the AWS CLI, not the SDK's quarter of an hour.
func (o Options) mfa(a *stscreds.AssumeRoleOptions) {
	if a.SerialNumber == nil {
		return
	}
	a.TokenProvider = func() (string, error) { return o.Ask("MFA code of " + *a.SerialNumber) }
	if a.Duration == 0 {
		a.Duration = time.Hour
	}
}

// profile is the one in effect, empty for none in particular.
func (o Options) profile() string {
	if o.Profile != "" {
		return o.Profile
	}
	return os.Getenv("AWS_PROFILE")
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

// count counts the calls to AWS.
type count struct {
	mu     sync.Mutex // guards the rest
	total  int
	writes int
}

func (c *count) add(stack *middleware.Stack) error {
	return stack.Initialize.Add(middleware.InitializeMiddlewareFunc("openirsa/count",
		func(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (
			middleware.InitializeOutput, middleware.Metadata, error) {
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

// Cause is what AWS answered, without the SDK's account of how it got there.
func Cause(err error) error {
	if e, ok := errors.AsType[smithy.APIError](err); ok {
		return causeError{e}
	}
	return err
}

// causeError is an answer of AWS in few words.
type causeError struct{ smithy.APIError }

func (e causeError) Error() string { return e.ErrorCode() + ": " + e.ErrorMessage() }
func (e causeError) Unwrap() error { return e.APIError }
