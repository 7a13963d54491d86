// Package provider makes AWS trust an issuer: it plans the IAM OIDC provider.
//
//	want := provider.Provider{ARN: iss.ProviderARN("aws", account), Issuer: iss, ClientIDs: []string{irsa.Audience}, Tags: tags}
//	steps, err := provider.Plan(ctx, iam.NewFromConfig(cfg), want)
package provider

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	"golang.org/x/sync/errgroup"

	"github.com/openirsa/openirsa/pkg/issuer"
	"github.com/openirsa/openirsa/pkg/owner"
	"github.com/openirsa/openirsa/pkg/plan"
)

// IAM is what this package calls; *iam.Client is one.
type IAM interface {
	GetOpenIDConnectProvider(context.Context, *iam.GetOpenIDConnectProviderInput,
		...func(*iam.Options)) (*iam.GetOpenIDConnectProviderOutput, error)
	CreateOpenIDConnectProvider(context.Context, *iam.CreateOpenIDConnectProviderInput,
		...func(*iam.Options)) (*iam.CreateOpenIDConnectProviderOutput, error)
	DeleteOpenIDConnectProvider(context.Context, *iam.DeleteOpenIDConnectProviderInput,
		...func(*iam.Options)) (*iam.DeleteOpenIDConnectProviderOutput, error)
	AddClientIDToOpenIDConnectProvider(context.Context, *iam.AddClientIDToOpenIDConnectProviderInput,
		...func(*iam.Options)) (*iam.AddClientIDToOpenIDConnectProviderOutput, error)
	UpdateOpenIDConnectProviderThumbprint(context.Context, *iam.UpdateOpenIDConnectProviderThumbprintInput,
		...func(*iam.Options)) (*iam.UpdateOpenIDConnectProviderThumbprintOutput, error)
	TagOpenIDConnectProvider(context.Context, *iam.TagOpenIDConnectProviderInput,
		...func(*iam.Options)) (*iam.TagOpenIDConnectProviderOutput, error)
}

// Provider is an IAM OIDC provider: as it is wanted, or as it is.
type Provider struct {
	// ARN is a pure function of the account and the issuer,
	// [issuer.URL.ProviderARN].
	ARN    string
	Issuer issuer.URL
	// ClientIDs are the audiences that tokens may have; a provider may have more.
	ClientIDs []string
	// Thumbprints are SHA-1 sums of CA certificates in hex. None means that
	// AWS verifies the issuer's certificate against its own trusted roots,
	// which is right for every public CA and for S3.
	Thumbprints []string
	Tags        map[string]string

	// Created is set for an existing provider.
	Created time.Time
}

// Get reads the provider with an ARN, and reports whether there is one.
func Get(ctx context.Context, client IAM, arn string) (Provider, bool, error) {
	out, err := client.GetOpenIDConnectProvider(ctx, &iam.GetOpenIDConnectProviderInput{OpenIDConnectProviderArn: &arn})
	if _, ok := errors.AsType[*types.NoSuchEntityException](err); ok {
		return Provider{}, false, nil
	}
	if err != nil {
		return Provider{}, false, fmt.Errorf("reading provider %s: %w", arn, err)
	}
	iss, err := issuer.Parse("https://" + *out.Url)
	if err != nil {
		return Provider{}, false, fmt.Errorf("reading provider %s: %w: %w", arn, errNoIssuer, err)
	}
	there := Provider{ARN: arn, Issuer: iss, ClientIDs: out.ClientIDList, Thumbprints: out.ThumbprintList,
		Tags: map[string]string{}, Created: aws.ToTime(out.CreateDate)}
	for _, t := range out.Tags {
		there.Tags[*t.Key] = *t.Value
	}
	return there, true, nil
}

// List reads those of the account's providers that this project made, without
// providers whose URL cannot be a cluster's issuer.
func List(ctx context.Context, client Lister) ([]Provider, error) {
	out, err := client.ListOpenIDConnectProviders(ctx, &iam.ListOpenIDConnectProvidersInput{})
	if err != nil {
		return nil, fmt.Errorf("listing the providers: %w", err)
	}
	all := make([]Provider, len(out.OpenIDConnectProviderList))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(16)
	for i, entry := range out.OpenIDConnectProviderList {
		group.Go(func() error {
			p, ok, err := Get(ctx, client, *entry.Arn)
			if errors.Is(err, errNoIssuer) {
				return nil
			}
			if ok {
				all[i] = p
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(all, func(p Provider) bool { return !owner.Claimed(p.Tags) }), nil
}

// Lister is what [List] calls; *iam.Client is one.
type Lister interface {
	IAM
	ListOpenIDConnectProviders(context.Context, *iam.ListOpenIDConnectProvidersInput,
		...func(*iam.Options)) (*iam.ListOpenIDConnectProvidersOutput, error)
}

// errNoIssuer is returned for a provider with a URL that no cluster can have.
var errNoIssuer = errors.New("its URL is no issuer")

// Plan decides how to make the provider as wanted. A provider that somebody else
// made is used: what it lacks is added, and nothing is removed.
func Plan(ctx context.Context, client IAM, want Provider) ([]plan.Step, error) {
	there, ok, err := Get(ctx, client, want.ARN)
	if err != nil {
		return nil, err
	}
	if !ok {
		return []plan.Step{{Link: plan.Provider, Action: plan.Create, Summary: want.ARN,
			Diff: "+ client ids " + strings.Join(want.ClientIDs, ", "),
			Do:   func(ctx context.Context) error { return create(ctx, client, want) }}}, nil
	}
	var steps []plan.Step
	add := func(diff string, do func(context.Context) error) {
		steps = append(steps, plan.Step{Link: plan.Provider, Action: plan.Update, Summary: want.ARN, Diff: diff, Do: do})
	}
	for _, id := range want.ClientIDs {
		if !slices.Contains(there.ClientIDs, id) {
			add("+ client id "+id, func(ctx context.Context) error {
				_, err := client.AddClientIDToOpenIDConnectProvider(ctx,
					&iam.AddClientIDToOpenIDConnectProviderInput{OpenIDConnectProviderArn: &want.ARN, ClientID: &id})
				return err
			})
		}
	}
	if missing := slices.DeleteFunc(slices.Clone(want.Thumbprints), func(t string) bool {
		return slices.ContainsFunc(there.Thumbprints, func(u string) bool { return strings.EqualFold(t, u) })
	}); len(missing) > 0 {
		add("+ thumbprints "+strings.Join(missing, ", "), func(ctx context.Context) error {
			_, err := client.UpdateOpenIDConnectProviderThumbprint(ctx, &iam.UpdateOpenIDConnectProviderThumbprintInput{
				OpenIDConnectProviderArn: &want.ARN, ThumbprintList: want.Thumbprints,
			})
			return err
		})
	}
	// A provider without our tags was made by somebody else and stays theirs.
	if owner.Claimed(there.Tags) {
		missing := maps.Clone(want.Tags)
		maps.DeleteFunc(missing, func(k, v string) bool { have, ok := there.Tags[k]; return ok && have == v })
		if len(missing) > 0 {
			add("+ tags "+strings.Join(slices.Sorted(maps.Keys(missing)), ", "), func(ctx context.Context) error {
				_, err := client.TagOpenIDConnectProvider(ctx, &iam.TagOpenIDConnectProviderInput{OpenIDConnectProviderArn: &want.ARN,
					Tags: tags(missing)})
				return err
			})
		}
	}
	return steps, nil
}

// Delete decides how to remove a provider that was made for the cluster with the
// mark, see [owner.Tags]. Any other is left alone, with an [*owner.ForeignError].
func Delete(ctx context.Context, client IAM, arn string, mark map[string]string) ([]plan.Step, error) {
	there, ok, err := Get(ctx, client, arn)
	if err == nil && ok {
		err = owner.Check("provider "+arn, there.Tags, mark)
	}
	if err != nil || !ok {
		return nil, err
	}
	return []plan.Step{{Link: plan.Provider, Action: plan.Delete, Summary: arn, Do: func(ctx context.Context) error {
		_, err := client.DeleteOpenIDConnectProvider(ctx, &iam.DeleteOpenIDConnectProviderInput{OpenIDConnectProviderArn: &arn})
		if _, ok := errors.AsType[*types.NoSuchEntityException](err); ok {
			return nil
		}
		return err
	}}}, nil
}

func create(ctx context.Context, client IAM, want Provider) error {
	_, err := client.CreateOpenIDConnectProvider(ctx, &iam.CreateOpenIDConnectProviderInput{
		Url: new(want.Issuer.String()), ClientIDList: want.ClientIDs, ThumbprintList: want.Thumbprints, Tags: tags(want.Tags),
	})
	if _, ok := errors.AsType[*types.EntityAlreadyExistsException](err); ok {
		return nil // made by a call whose answer was lost
	}
	return err
}

func tags(m map[string]string) []types.Tag {
	var list []types.Tag
	for _, key := range slices.Sorted(maps.Keys(m)) {
		list = append(list, types.Tag{Key: new(key), Value: new(m[key])})
	}
	return list
}
