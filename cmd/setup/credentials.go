package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/processcreds"
	"github.com/aws/smithy-go"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/openirsa/openirsa/pkg/export"
)

// configurationAdvice adds the next command to what was wrong with the shared
// configuration.
func (a *app) configurationAdvice(err error) error {
	if e, ok := errors.AsType[config.SharedConfigProfileNotExistError](err); ok {
		return advise(fmt.Errorf("there is no AWS profile %q in the shared configuration: %w", e.Profile, err), "aws configure list-profiles shows those that there are; set AWS_PROFILE to one")
	}
	if _, ok := errors.AsType[config.AssumeRoleTokenProviderNotSetError](err); ok {
		profile := orDefault(a.getenv("AWS_PROFILE"), "default")
		return advise(fmt.Errorf("AWS credentials: the role of profile %s takes an MFA code (mfa_serial), and there is no terminal to ask for it", profile),
			`eval "$(aws configure export-credentials --profile `+profile+` --format env)" on a terminal, then the same command again`)
	}
	return fmt.Errorf("loading the AWS configuration: %w", err)
}

// credentialsAdvice says in plain words why AWS does not know who we are, with
// the next command. The SDK finds credentials in many places, each with errors
// of its own, most of which have no type.
func (a *app) credentialsAdvice(err error) error {
	profile, from := a.getenv("AWS_PROFILE"), ""
	if profile != "" {
		from = " --profile " + profile
	}
	text := err.Error()
	api, answered := errors.AsType[smithy.APIError](err)
	process, _ := errors.AsType[*processcreds.ProviderError](err)
	has := func(codes ...string) bool { return answered && slices.Contains(codes, api.ErrorCode()) }
	switch {
	case strings.Contains(text, "SSO"):
		return advise(fmt.Errorf("AWS credentials: you are not logged in to SSO: %w", innermost(err)), "aws sso login"+from)
	case process != nil:
		return advise(fmt.Errorf("AWS credentials: the credential_process failed: %w", innermost(err)), "run the credential_process of profile "+orDefault(profile, "default")+" by hand")
	case strings.Contains(text, "MultiFactorAuthentication failed"):
		return advise(fmt.Errorf("AWS credentials: %w", awsCause(err)), "the same command again, with another code: each works once")
	case strings.Contains(text, "AssumeRole") && answered:
		return advise(fmt.Errorf("AWS credentials: assuming the role of profile %s: %w", orDefault(profile, "default"), awsCause(err)),
			"aws sts get-caller-identity"+from+"; the role's trust policy must let in the source of profile "+orDefault(profile, "default"))
	case has("ExpiredToken", "ExpiredTokenException", "RequestExpired"):
		return advise(fmt.Errorf("AWS credentials: they have expired: %w", awsCause(err)), "get new ones as you got these, for example with aws sso login"+from+"; aws configure list"+from+" shows where they come from")
	case has("InvalidClientTokenId", "UnrecognizedClientException", "SignatureDoesNotMatch", "InvalidAccessKeyId"):
		return advise(fmt.Errorf("AWS credentials: %w", awsCause(err)), "aws configure list"+from+" shows where they come from; a clock that is wrong by minutes has the same effect")
	case answered:
		return advise(fmt.Errorf("asking AWS who we are (sts:GetCallerIdentity): %w", awsCause(err)), "aws sts get-caller-identity"+from)
	case strings.Contains(text, "no EC2 IMDS role found"):
		return advise(errors.New("no AWS credentials were found: neither in the environment, nor in ~/.aws, nor as the role of this machine"),
			"aws configure, or set AWS_PROFILE; without an AWS account: SETUP up --emulator")
	}
	return advise(fmt.Errorf("asking AWS who we are (sts:GetCallerIdentity): %w", err), "aws sts get-caller-identity"+from+", or without an AWS account: SETUP up --emulator")
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

// permissionAdvice adds the next command to a call that AWS did not permit, if
// nobody has a better one.
func permissionAdvice(command *cobra.Command, err error) error {
	api, answered := errors.AsType[smithy.APIError](err)
	_, advised := errors.AsType[*adviceError](err)
	if !answered || advised || api.ErrorCode() != "AccessDenied" && api.ErrorCode() != "AccessDeniedException" {
		return err
	}
	next := "SETUP export iam-policy"
	// As a plugin of kubectl the program's name has a space in it.
	verbs := strings.TrimPrefix(command.CommandPath(), command.Root().CommandPath()+" ")
	if name := strings.ReplaceAll(verbs, " ", "-"); slices.Contains(export.Commands(), name) {
		next += " --command " + name
		command.Flags().Visit(func(f *pflag.Flag) {
			if more := name + "-" + f.Name; slices.Contains(export.Commands(), more) {
				next += " --command " + more
			}
		})
	}
	return advise(err, next+" writes the IAM policy that this takes")
}
