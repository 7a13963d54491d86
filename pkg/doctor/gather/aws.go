package gather

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"github.com/openirsa/openirsa/pkg/account"
	"github.com/openirsa/openirsa/pkg/doctor"
	"github.com/openirsa/openirsa/pkg/irsa"
	"github.com/openirsa/openirsa/pkg/role"
)

// provider reads the issuer's provider, and the names of all others.
func (e *Examination) provider(ctx context.Context, f *doctor.Facts) {
	iss := f.ChainIssuer()
	if e.chain.Account == nil || iss.IsZero() {
		return
	}
	arn := iss.ProviderARN(e.chain.Account.Partition, e.chain.Account.ID)
	out, err := e.chain.Account.IAM.GetOpenIDConnectProvider(ctx, &iam.GetOpenIDConnectProviderInput{OpenIDConnectProviderArn: &arn})
	if err == nil {
		f.Provider = &doctor.Provider{ARN: arn, ClientIDs: out.ClientIDList, Thumbprints: out.ThumbprintList}
		return
	}
	if _, ok := errors.AsType[*types.NoSuchEntityException](err); !ok {
		f.ProviderErr = account.Cause(err)
		return
	}
	if list, err := e.chain.Account.IAM.ListOpenIDConnectProviders(ctx, &iam.ListOpenIDConnectProvidersInput{}); err == nil {
		for _, p := range list.OpenIDConnectProviderList {
			f.Providers = append(f.Providers, aws.ToString(p.Arn))
		}
	}
}

// role reads the role that the service account is annotated with.
func (e *Examination) role(ctx context.Context, f *doctor.Facts) {
	if e.chain.Account == nil || f.ServiceAccount == nil {
		return
	}
	parsed, err := role.ParseARN(f.ServiceAccount.Annotations[irsa.DefaultPrefix.RoleARN()])
	if err != nil || parsed.AccountID != e.chain.Account.ID {
		return
	}
	f.Role, f.RoleErr = e.readRole(ctx, parsed.Resource)
}

// call does what a pod's SDK does: it exchanges the token, and asks who it is.
func (e *Examination) call(ctx context.Context, f *doctor.Facts) {
	if e.chain.Account == nil || f.Raw == "" {
		return
	}
	arn := f.ServiceAccount.Annotations[irsa.DefaultPrefix.RoleARN()]
	if irsa.CheckRoleARN(arn) != nil {
		return
	}
	f.Call = &doctor.Call{}
	unsigned := sts.NewFromConfig(e.chain.Account.Config, func(o *sts.Options) {
		o.Credentials, o.Retryer = aws.AnonymousCredentials{}, aws.NopRetryer{}
	})
	out, err := unsigned.AssumeRoleWithWebIdentity(ctx, &sts.AssumeRoleWithWebIdentityInput{
		RoleArn: &arn, RoleSessionName: new("openirsa-doctor"), WebIdentityToken: new(string(f.Raw)), DurationSeconds: new(int32(900)),
	})
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		f.Call.Code, f.Call.Message = api.ErrorCode(), api.ErrorMessage()
		if response, ok := errors.AsType[*awshttp.ResponseError](err); ok {
			f.Call.Reason = e.explained(ctx, response.RequestID)
		}
		return
	}
	if err != nil {
		f.Call.Err = err
		return
	}
	session := e.chain.Account.Config.Copy()
	c := out.Credentials
	session.Credentials = credentials.NewStaticCredentialsProvider(*c.AccessKeyId, *c.SecretAccessKey, *c.SessionToken)
	who, err := sts.NewFromConfig(session).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		f.Call.IdentityErr = account.Cause(err)
		return
	}
	f.Call.Identity = aws.ToString(who.Arn)
}

// explained asks the endpoint for the reason of a refusal. One that does not
// tell, as AWS does not, has no part in the diagnosis.
func (e *Examination) explained(ctx context.Context, requestID string) string {
	if e.chain.Account.Config.BaseEndpoint == nil || requestID == "" {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	address := strings.TrimSuffix(*e.chain.Account.Config.BaseEndpoint, "/") + "/_openirsa/events?requestId=" + url.QueryEscape(requestID)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return ""
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	var said struct{ Events []struct{ Reason string } }
	if resp.StatusCode != http.StatusOK {
		return ""
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxDocument)).Decode(&said); err != nil || len(said.Events) == 0 {
		return ""
	}
	return said.Events[len(said.Events)-1].Reason
}
