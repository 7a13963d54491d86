package account

import (
	"net/http"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/smithy-go/logging"
	"github.com/aws/smithy-go/middleware"

	"github.com/aws/aws-sdk-go-v2/config"
)

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

// EmulatorRegion is the region of an emulator unless one is set.
const EmulatorRegion = "us-east-1"

// emulatorCredentials are the root of an emulator.
const emulatorCredentials = "test"
