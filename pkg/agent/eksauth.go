package agent

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"

	"github.com/openirsa/openirsa/internal/eksauth"
)

// How long EKS Auth may take, as the original agent has it. Three attempts end before an
// SDK's own do.
const (
	dialTime    = 500 * time.Millisecond
	requestTime = time.Second
	attempts    = 3
	backoffTime = 500 * time.Millisecond
)

// Service is where EKS Auth is, and for which cluster it is asked.
type Service struct {
	Cluster string // its name
	// Endpoint is the URL of EKS Auth. "": that of the configuration, which is AWS's unless
	// AWS_ENDPOINT_URL_EKS_AUTH or AWS_ENDPOINT_URL say otherwise.
	Endpoint string
	// Timeout is how long an attempt may take, of which there are three. 0: a second.
	Timeout time.Duration
}

// EKSAuth is the exchange at EKS Auth, signed with the credentials of the configuration:
// the call AssumeRoleForPodIdentity of AWS's API "eks-auth" of 2023-11-26.
func EKSAuth(cfg aws.Config, s Service) (Exchange, error) {
	endpoint := s.Endpoint
	if endpoint == "" {
		var err error
		if endpoint, err = eksauth.Endpoint(cfg); err != nil {
			return nil, err
		}
	}
	web, ok := cfg.HTTPClient.(*awshttp.BuildableClient) // which has the CAs of AWS_CA_BUNDLE
	if !ok {
		web = awshttp.NewBuildableClient()
	}
	web = web.WithTimeout(cmp.Or(s.Timeout, requestTime)).WithDialerOptions(func(d *net.Dialer) { d.Timeout = dialTime })
	client, err := eksauth.New(endpoint, s.Cluster, cfg.Region, web, "openirsa-agent")
	if err != nil {
		return nil, err
	}
	c := &eksAuth{credentials: cfg.Credentials, client: client}
	return c.exchange, nil
}

type eksAuth struct {
	credentials aws.CredentialsProvider
	client      *eksauth.Client
}

// exchange asks until there is an answer that would not be another one the next time.
func (c *eksAuth) exchange(ctx context.Context, token string) (*Credentials, error) {
	own, err := c.credentials.Retrieve(ctx)
	if err != nil {
		return nil, &Failure{Code: "NoCredentials", Message: "the agent has no AWS credentials of its own", Fault: "server", Err: err}
	}
	for attempt := 1; ; attempt++ {
		f, given := c.ask(ctx, own, token)
		if f == nil {
			return given, nil
		}
		if again := f.Status == 0 || f.Status == http.StatusTooManyRequests || f.Status >= 500; !again || attempt == attempts {
			return nil, f
		}
		select {
		case <-time.After(rand.N(backoffTime)):
		case <-ctx.Done():
			return nil, f
		}
	}
}

// ask asks once. There is a failure, or there are credentials.
func (c *eksAuth) ask(ctx context.Context, own aws.Credentials, token string) (*Failure, *Credentials) {
	a, err := c.client.Ask(ctx, own, token)
	if err != nil {
		return &Failure{Code: "RequestError", Message: "EKS Auth did not answer", Err: fmt.Errorf("asking EKS Auth: %w", err)}, nil
	}
	if a.Status != http.StatusOK {
		return &Failure{Status: a.Status, RequestID: a.RequestID, Code: a.Code, Message: a.Message, Fault: faults[a.Code]}, nil
	}
	given, err := read(a)
	if err != nil {
		return &Failure{RequestID: a.RequestID, Code: "ResponseError", Message: "EKS Auth's answer makes no sense", Fault: "server",
			Err: fmt.Errorf("reading EKS Auth's answer: %w", err)}, nil
	}
	return nil, given
}

// faults are whose fault the errors of the API are by its model.
var faults = map[string]string{
	"AccessDeniedException": "client", "ExpiredTokenException": "client", "InvalidParameterException": "client",
	"InvalidRequestException": "client", "InvalidTokenException": "client", "ResourceNotFoundException": "client",
	"ThrottlingException": "client", "InternalServerException": "server", "ServiceUnavailableException": "server",
}

// read reads credentials, all of whose members are needed.
func read(a *eksauth.Answer) (*Credentials, error) {
	if a.Err != nil {
		return nil, a.Err
	}
	out := &a.Session
	c := out.Credentials
	part := strings.SplitN(out.AssumedRoleUser.ARN, ":", 6) // arn:aws:sts::ACCOUNT:assumed-role/...
	switch {
	case c.AccessKeyID == "" || c.SecretAccessKey == "" || c.SessionToken == "":
		return nil, fmt.Errorf("it has no credentials")
	case c.Expiration <= 0 || c.Expiration > latest:
		return nil, fmt.Errorf("its credentials expire at %v", c.Expiration)
	case len(part) != 6:
		return nil, fmt.Errorf("it has no role")
	}
	return &Credentials{
		AccessKeyID: c.AccessKeyID, SecretAccessKey: c.SecretAccessKey, SessionToken: c.SessionToken, AccountID: part[4],
		Expires:   time.UnixMilli(int64(math.Round(c.Expiration * 1000))),
		Namespace: out.Subject.Namespace, ServiceAccount: out.Subject.ServiceAccount, Association: out.PodIdentityAssociation.AssociationID,
	}, nil
}
