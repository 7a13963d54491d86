package agent

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
)

// How long EKS Auth may take, as the original agent has it. Three attempts end before an
// SDK's own do.
const (
	dialTime    = 500 * time.Millisecond
	requestTime = time.Second
	attempts    = 3
	backoffTime = 500 * time.Millisecond
	maxResponse = 1 << 20 // bytes
)

// signingName is EKS Auth's in signatures, and serviceID its own in the AWS SDKs'
// configuration.
const (
	signingName = "eks-auth"
	serviceID   = "EKS Auth"
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
// the call AssumeRoleForPodIdentity of AWS's API "eks-auth" of 2023-11-26. It is the one
// call of the service, which is not worth a library that has others' too.
func EKSAuth(cfg aws.Config, s Service) (Exchange, error) {
	endpoint := s.Endpoint
	if endpoint == "" {
		var err error
		if endpoint, err = endpointOf(cfg); err != nil {
			return nil, err
		}
	}
	u, err := url.Parse(endpoint)
	if err != nil {
		return nil, fmt.Errorf("reading the URL of EKS Auth: %w", err)
	}
	web, ok := cfg.HTTPClient.(*awshttp.BuildableClient) // which has the CAs of AWS_CA_BUNDLE
	if !ok {
		web = awshttp.NewBuildableClient()
	}
	c := &eksAuth{
		url: u.JoinPath("clusters", s.Cluster, "assume-role-for-pod-identity").String(), region: cfg.Region,
		credentials: cfg.Credentials, signer: v4.NewSigner(),
		web: web.WithTimeout(cmp.Or(s.Timeout, requestTime)).WithDialerOptions(func(d *net.Dialer) { d.Timeout = dialTime }),
	}
	return c.exchange, nil
}

type eksAuth struct {
	url, region string
	credentials aws.CredentialsProvider
	signer      *v4.Signer
	web         aws.HTTPClient
}

// exchange asks until there is an answer that would not be another one the next time.
func (c *eksAuth) exchange(ctx context.Context, token string) (*Credentials, error) {
	own, err := c.credentials.Retrieve(ctx)
	if err != nil {
		return nil, &Failure{Code: "NoCredentials", Message: "the agent has no AWS credentials of its own", Fault: "server", Err: err}
	}
	body, err := json.Marshal(map[string]string{"token": token})
	if err != nil {
		return nil, err
	}
	for attempt := 1; ; attempt++ {
		f, given := c.ask(ctx, own, body)
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
func (c *eksAuth) ask(ctx context.Context, own aws.Credentials, body []byte) (*Failure, *Credentials) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(body))
	if err != nil {
		return silent(err), nil
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "openirsa-agent")
	sum := sha256.Sum256(body)
	if err := c.signer.SignHTTP(ctx, own, req, hex.EncodeToString(sum[:]), signingName, c.region, time.Now()); err != nil {
		return silent(err), nil
	}
	res, err := c.web.Do(req)
	if err != nil {
		return silent(err), nil
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxResponse))
	if res.StatusCode != http.StatusOK {
		return said(res, answer), nil
	}
	if err != nil {
		return senseless(res, err), nil
	}
	given, err := read(answer)
	if err != nil {
		return senseless(res, err), nil
	}
	return nil, given
}

// silent is that there was no answer.
func silent(err error) *Failure {
	return &Failure{Code: "RequestError", Message: "EKS Auth did not answer", Err: fmt.Errorf("asking EKS Auth: %w", err)}
}

// senseless is that an answer cannot be read, or does not end.
func senseless(res *http.Response, err error) *Failure {
	return &Failure{RequestID: requestID(res), Code: "ResponseError", Message: "EKS Auth's answer makes no sense", Fault: "server",
		Err: fmt.Errorf("reading EKS Auth's answer: %w", err)}
}

func requestID(res *http.Response) string { return res.Header.Get("X-Amzn-Requestid") }

// faults are whose fault the errors of the API are by its model.
var faults = map[string]string{
	"AccessDeniedException": "client", "ExpiredTokenException": "client", "InvalidParameterException": "client",
	"InvalidRequestException": "client", "InvalidTokenException": "client", "ResourceNotFoundException": "client",
	"ThrottlingException": "client", "InternalServerException": "server", "ServiceUnavailableException": "server",
}

// said is what EKS Auth says of an error, in the form of AWS's REST-JSON protocol.
func said(res *http.Response, body []byte) *Failure {
	var e struct {
		Type    string `json:"__type"`
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	if json.Unmarshal(body, &e) != nil {
		e.Message = http.StatusText(res.StatusCode)
	}
	// It may be a URI or have one behind it: aws.protocoltests.restjson#FooError:http://...
	code, _, _ := strings.Cut(cmp.Or(res.Header.Get("X-Amzn-Errortype"), e.Type, e.Code), ":")
	code = code[strings.LastIndex(code, "#")+1:]
	return &Failure{Status: res.StatusCode, RequestID: requestID(res), Code: code, Message: e.Message, Fault: faults[code]}
}

// read reads credentials, all of whose members are needed.
func read(answer []byte) (*Credentials, error) {
	var out struct {
		Subject struct {
			Namespace      string `json:"namespace"`
			ServiceAccount string `json:"serviceAccount"`
		} `json:"subject"`
		PodIdentityAssociation struct {
			AssociationID string `json:"associationId"`
		} `json:"podIdentityAssociation"`
		AssumedRoleUser struct {
			ARN string `json:"arn"`
		} `json:"assumedRoleUser"`
		Credentials struct {
			AccessKeyID     string  `json:"accessKeyId"`
			SecretAccessKey string  `json:"secretAccessKey"`
			SessionToken    string  `json:"sessionToken"`
			Expiration      float64 `json:"expiration"` // seconds since 1970
		} `json:"credentials"`
	}
	if err := json.Unmarshal(answer, &out); err != nil {
		return nil, err
	}
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
