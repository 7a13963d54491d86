package podidentity

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/openirsa/openirsa/internal/eksauth"
)

// patience is how long EKS Auth may take to answer.
const patience = 10 * time.Second

// RefusedError is EKS Auth's no to the token of a pod.
type RefusedError struct {
	// Status is that of HTTP. It is 403 where the caller may not ask, and 400 for the same
	// code where the role cannot be assumed (the service model of EKS Auth).
	Status int
	// Code and Message are AWS's. RequestID is by which it remembers the request.
	Code, Message, RequestID string
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("EKS Auth answers %d %s: %s", e.Status, e.Code, e.Message)
}

// IdentityError is that the session that EKS Auth gave does not work.
type IdentityError struct{ Err error }

func (e *IdentityError) Error() string {
	return fmt.Sprintf("asking STS whose the session is that EKS Auth gave: %v", e.Err)
}
func (e *IdentityError) Unwrap() error { return e.Err }

// Exchange does what an agent does with the token of a pod, by the credentials of the
// configuration, which need eks-auth:AssumeRoleForPodIdentity on the cluster's ARN: EKS
// Auth gives a session for it (AssumeRoleForPodIdentity), and STS says whose that is
// (GetCallerIdentity). It answers with the ARN of the session, and keeps nothing else.
//
// The error is a [*RefusedError], an [*IdentityError], or says why there was no answer.
func Exchange(ctx context.Context, config aws.Config, cluster, token string) (arn string, err error) {
	endpoint, err := eksauth.Endpoint(config)
	if err != nil {
		return "", err
	}
	config = config.Copy()
	if config.HTTPClient == nil {
		config.HTTPClient = http.DefaultClient
	}
	client, err := eksauth.New(endpoint, cluster, config.Region, config.HTTPClient, "openirsa-setup")
	if err != nil {
		return "", err
	}
	own, err := config.Credentials.Retrieve(ctx)
	if err != nil {
		return "", err
	}
	within, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	answer, err := client.Ask(within, own, token)
	switch {
	case err != nil:
		return "", fmt.Errorf("asking EKS Auth: %w", err)
	case answer.Status != http.StatusOK:
		code := cmp.Or(answer.Code, http.StatusText(answer.Status), "without a name")
		return "", &RefusedError{Status: answer.Status, Code: code, Message: answer.Message, RequestID: answer.RequestID}
	case answer.Err != nil:
		return "", fmt.Errorf("reading EKS Auth's answer: %w", answer.Err)
	}
	c := answer.Session.Credentials
	config.Credentials = credentials.NewStaticCredentialsProvider(c.AccessKeyID, c.SecretAccessKey, c.SessionToken)
	who, err := sts.NewFromConfig(config).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		return "", &IdentityError{Err: err}
	}
	return aws.ToString(who.Arn), nil
}
