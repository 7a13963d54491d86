package openirsa

import (
	"context"
	"fmt"
	"time"

	"github.com/openirsa/openirsa/pkg/account"
	"github.com/openirsa/openirsa/pkg/federation"
	"github.com/openirsa/openirsa/pkg/irsa"
	"github.com/openirsa/openirsa/pkg/keys"
	"github.com/openirsa/openirsa/pkg/token"
)

// Issuer signs service-account tokens as a cluster does. Its documents are in the emulator's S3, and the emulator's IAM
// has a provider for it.
type Issuer struct {
	// URL is the issuer of the tokens.
	URL string
	// ProviderARN is that of the OIDC provider, for trust policies of a test's own.
	ProviderARN string

	name string
	key  keys.Private
	made *federation.Federation
}

// Issuer makes an issuer of that name, with a key of its own: a bucket called issuer-NAME with the two documents, and
// the OIDC provider for the audience sts.amazonaws.com. The name is part of the bucket's, of lower-case letters, digits
// and hyphens.
func (c *Container) Issuer(ctx context.Context, name string) (*Issuer, error) {
	iss, err := c.issuer(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("making the issuer %s: %w", name, err)
	}
	return iss, nil
}

func (c *Container) issuer(ctx context.Context, name string) (*Issuer, error) {
	url, err := c.EndpointURL(ctx)
	if err != nil {
		return nil, err
	}
	acct, err := account.Connect(ctx, account.Options{Endpoint: url, Region: c.region})
	if err != nil {
		return nil, err
	}
	key, err := keys.Generate("ES256")
	if err != nil {
		return nil, err
	}
	set, err := keys.NewSet(key.Public())
	if err != nil {
		return nil, err
	}
	f, err := federation.InS3(ctx, acct, "issuer-"+name)
	if err != nil {
		return nil, err
	}
	if err := f.Up(ctx, nil, set); err != nil {
		return nil, err
	}
	return &Issuer{URL: f.Issuer.String(), ProviderARN: f.Provider().ARN, name: name, key: key, made: f}, nil
}

// Role makes the role of a service account, with policies, and returns its ARN. Each policy is the ARN of a managed one,
// or the document of an inline one, which begins with "{". A second call for the same service account replaces what the
// first one said.
func (i *Issuer) Role(ctx context.Context, namespace, serviceAccount string, policies ...string) (string, error) {
	r, err := i.made.Role(i.name, namespace, serviceAccount, policies...)
	if err == nil {
		err = i.made.Grant(ctx, nil, r)
	}
	if err != nil {
		return "", fmt.Errorf("making the role of service account %s/%s: %w", namespace, serviceAccount, err)
	}
	return i.made.RoleARN(r), nil
}

// Token is a token of a service account, good for an hour: what kubelet writes to AWS_WEB_IDENTITY_TOKEN_FILE.
func (i *Issuer) Token(namespace, serviceAccount string) (string, error) {
	now := time.Now()
	return token.Mint(i.key, token.Claims{
		Issuer: i.URL, Subject: token.Subject(namespace, serviceAccount), Audience: []string{irsa.Audience},
		IssuedAt: token.At(now), NotBefore: token.At(now), Expiry: token.At(now.Add(time.Hour)),
	})
}
