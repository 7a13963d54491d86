// Package eksauth calls EKS Auth, the service of AWS that exchanges the token of a pod for
// a session of the role that is associated with its service account: the API "eks-auth" of
// 2023-11-26. It has one operation, AssumeRoleForPodIdentity, which is not worth the
// library that the SDK has for it.
package eksauth

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

const (
	signingName = "eks-auth" // the service's name in signatures
	maxAnswer   = 1 << 20    // bytes
)

// Client asks about the pods of one cluster.
type Client struct {
	url, region string
	signer      *v4.Signer
	by          aws.HTTPClient
	userAgent   string
}

// New makes a client for a cluster that the service at an endpoint, such as that of
// [Endpoint], knows by this name in the region. The error is an endpoint that is no URL.
func New(endpoint, cluster, region string, by aws.HTTPClient, userAgent string) (*Client, error) {
	u, err := url.Parse(endpoint)
	if err != nil {
		return nil, fmt.Errorf("reading the URL of EKS Auth: %w", err)
	}
	return &Client{
		url: u.JoinPath("clusters", cluster, "assume-role-for-pod-identity").String(), region: region,
		signer: v4.NewSigner(), by: by, userAgent: userAgent,
	}, nil
}

// Answer is what the service has answered to a token.
type Answer struct {
	Status    int
	RequestID string
	// Code and Message are the error's; empty where Status is 200.
	Code, Message string
	// Session is what there is for the token where Status is 200.
	Session Session
	// Err is why the session of an answer with Status 200 cannot be read.
	Err error
}

// Session is one of the role of an association, or of its target role. Members that the
// answer does not have are zero.
type Session struct {
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

// Ask asks once for a session for the token of a pod, signed with credentials that may call
// eks-auth:AssumeRoleForPodIdentity on the cluster's ARN. The error is that there was no
// answer; errors of the service are answers.
func (c *Client) Ask(ctx context.Context, own aws.Credentials, token string) (*Answer, error) {
	sent, err := json.Marshal(map[string]string{"token": token})
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(sent))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", c.userAgent)
	sum := sha256.Sum256(sent)
	if err := c.signer.SignHTTP(ctx, own, request, hex.EncodeToString(sum[:]), signingName, c.region, time.Now()); err != nil {
		return nil, err
	}
	response, err := c.by.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	a := &Answer{Status: response.StatusCode, RequestID: response.Header.Get("X-Amzn-Requestid")}
	switch {
	case a.Status != http.StatusOK:
		a.refused(response.Header, body)
	case err != nil:
		a.Err = err
	default:
		a.Err = json.Unmarshal(body, &a.Session)
	}
	return a, nil
}

// refused reads an error, in the form of AWS's REST-JSON protocol.
func (a *Answer) refused(header http.Header, body []byte) {
	var e struct {
		Type    string `json:"__type"`
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	if json.Unmarshal(body, &e) != nil {
		e.Message = http.StatusText(a.Status)
	}
	// It may be a URI or have one behind it: aws.protocoltests.restjson#FooError:http://...
	// (AWS restJson1 protocol, "Operation error serialization").
	code, _, _ := strings.Cut(cmp.Or(header.Get("X-Amzn-Errortype"), e.Type, e.Code), ":")
	a.Code, a.Message = code[strings.LastIndex(code, "#")+1:], e.Message
}
