package account

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/processcreds"
	"github.com/aws/smithy-go"
)

// Problem is what is wrong with credentials or the configuration.
type Problem string

// The problems.
const (
	NoRegion    Problem = "no region"     // none is set
	NoProfile   Problem = "no profile"    // the profile is not in the shared configuration
	NobodyToAsk Problem = "nobody to ask" // the profile needs an MFA code, and there is no [Options.Ask]
	WrongCode   Problem = "wrong code"    // the MFA code was refused
	NoLogin     Problem = "no login"      // the session of SSO has ended
	NoProcess   Problem = "no process"    // credential_process failed
	NoRole      Problem = "no role"       // the role of the profile cannot be assumed
	Expired     Problem = "expired"       // the credentials have expired
	Unknown     Problem = "unknown"       // AWS does not know the credentials, or their signature is wrong
	Refused     Problem = "refused"       // sts:GetCallerIdentity was refused for another reason
	Absent      Problem = "absent"        // there are no credentials
	Unreachable Problem = "unreachable"   // STS did not answer
)

// CredentialsError is why AWS does not know who the caller is, in plain words. The
// SDK finds credentials in many places, each with errors of its own, most of which
// have no type.
type CredentialsError struct {
	Problem Problem
	// Profile is the one that was to be used. Empty: none was named.
	Profile string
	Err     error
}

func (e *CredentialsError) Error() string { return e.Err.Error() }
func (e *CredentialsError) Unwrap() error { return e.Err }

// configurationError is what was wrong with the shared configuration.
func (o Options) configurationError(err error) error {
	if e, ok := errors.AsType[config.SharedConfigProfileNotExistError](err); ok {
		return &CredentialsError{NoProfile, e.Profile, fmt.Errorf("there is no AWS profile %q in the shared configuration: %w", e.Profile, err)}
	}
	if _, ok := errors.AsType[config.AssumeRoleTokenProviderNotSetError](err); ok {
		profile := cmp.Or(o.profile(), "default")
		return &CredentialsError{NobodyToAsk, profile,
			fmt.Errorf("AWS credentials: the role of profile %s takes an MFA code (mfa_serial), and there is no terminal to ask for it", profile)}
	}
	return fmt.Errorf("loading the AWS configuration: %w", err)
}

// credentialsError is why STS did not say who the caller is.
func (o Options) credentialsError(err error) error {
	text := err.Error()
	api, answered := errors.AsType[smithy.APIError](err)
	process, _ := errors.AsType[*processcreds.ProviderError](err)
	has := func(codes ...string) bool { return answered && slices.Contains(codes, api.ErrorCode()) }
	problem := func(p Problem, format string, args ...any) error {
		return &CredentialsError{p, o.profile(), fmt.Errorf(format, args...)}
	}
	switch {
	case strings.Contains(text, "SSO"):
		return problem(NoLogin, "AWS credentials: you are not logged in to SSO: %w", innermost(err))
	case process != nil:
		return problem(NoProcess, "AWS credentials: the credential_process failed: %w", innermost(err))
	case strings.Contains(text, "MultiFactorAuthentication failed"):
		return problem(WrongCode, "AWS credentials: %w", Cause(err))
	case strings.Contains(text, "AssumeRole") && answered:
		return problem(NoRole, "AWS credentials: assuming the role of profile %s: %w", cmp.Or(o.profile(), "default"), Cause(err))
	case has("ExpiredToken", "ExpiredTokenException", "RequestExpired"):
		return problem(Expired, "AWS credentials: they have expired: %w", Cause(err))
	case has("InvalidClientTokenId", "UnrecognizedClientException", "SignatureDoesNotMatch", "InvalidAccessKeyId"):
		return problem(Unknown, "AWS credentials: %w", Cause(err))
	case answered:
		return problem(Refused, "asking AWS who we are (sts:GetCallerIdentity): %w", Cause(err))
	case strings.Contains(text, "no EC2 IMDS role found"):
		return problem(Absent, "no AWS credentials were found: neither in the environment, nor in ~/.aws, nor as the role of this machine")
	}
	return problem(Unreachable, "asking AWS who we are (sts:GetCallerIdentity): %w", err)
}

// innermost is the error that has begun it all.
func innermost(err error) error {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
}

// Cause is what AWS answered, without the SDK's account of how it got there.
func Cause(err error) error {
	if e, ok := errors.AsType[smithy.APIError](err); ok {
		return causeError{e}
	}
	return err
}

// Denied reports whether AWS answered that the caller may not make the call: with
// AccessDenied, or AccessDeniedException of the JSON protocols.
func Denied(err error) bool {
	e, ok := errors.AsType[smithy.APIError](err)
	return ok && (e.ErrorCode() == "AccessDenied" || e.ErrorCode() == "AccessDeniedException")
}

// causeError is an answer of AWS in few words.
type causeError struct{ smithy.APIError }

func (e causeError) Error() string { return e.ErrorCode() + ": " + e.ErrorMessage() }
func (e causeError) Unwrap() error { return e.APIError }
