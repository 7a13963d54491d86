package chain

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/openirsa/openirsa/pkg/account"
	"github.com/openirsa/openirsa/pkg/issuer"
	"github.com/openirsa/openirsa/pkg/keys"
	"github.com/openirsa/openirsa/pkg/owner"
	"github.com/openirsa/openirsa/pkg/plan"
	"github.com/openirsa/openirsa/pkg/provider"
	"github.com/openirsa/openirsa/pkg/publish"
)

// ProviderOwner is nil if the provider was made for the cluster with the mark, if
// there is none, or, to be used and not deleted, if nobody of this project has
// made it; otherwise an [*owner.ForeignError].
func (ch *Chain) ProviderOwner(ctx context.Context, arn string, mark map[string]string) error {
	there, ok, err := provider.Get(ctx, ch.Account.IAM, arn)
	if err != nil || !ok || !owner.Claimed(there.Tags) {
		return err
	}
	return owner.Check("provider "+arn, there.Tags, mark)
}

// DocumentsOwner is nil if the documents at the chain's place are those of the
// cluster with the mark, or if there are none; otherwise an [*owner.ForeignError].
// S3 keeps no tags of a part of a bucket, which may hold the documents of several
// clusters. So the provider that trusts them decides; without one, the
// bucket; and where neither was made by this project, by the keys in them.
func (ch *Chain) DocumentsOwner(ctx context.Context, mark map[string]string) error {
	if known, err := ch.placeOwner(ctx, mark); known || err != nil {
		return err
	}
	b := ch.Bucket(mark)
	whose := b.Whose(ctx)
	bucket, notOurs := errors.AsType[*owner.ForeignError](whose)
	if whose == nil || !notOurs {
		return whose
	}
	return ch.publishedOwner(ctx, b, &owner.ForeignError{Thing: ch.documentsName(), Tags: bucket.Tags, Mark: mark})
}

func (ch *Chain) documentsName() string {
	return "documents s3://" + strings.TrimSuffix(ch.Record.Bucket+"/"+ch.Record.Prefix, "/")
}

// placeOwner is whose the documents at the chain's place are, as far as the
// provider of that place's issuer knows.
func (ch *Chain) placeOwner(ctx context.Context, mark map[string]string) (known bool, err error) {
	iss := ch.Issuer
	if !ch.Record.PrivateBucket {
		if iss, err = publish.Issuer(ctx, ch.Record.Bucket, ch.Record.Prefix, ch.Record.Region); err != nil {
			return false, err
		}
	}
	there, ok, err := provider.Get(ctx, ch.Account.IAM, iss.ProviderARN(ch.Account.Partition, ch.Account.ID))
	if err != nil || !ok || !owner.Claimed(there.Tags) {
		return false, err
	}
	return true, owner.Check(ch.documentsName(), there.Tags, mark)
}

// publishedOwner is nil if the key set in the bucket has a key of the cluster, or
// is not there, and otherwise foreign.
func (ch *Chain) publishedOwner(ctx context.Context, b publish.S3, foreign error) error {
	body, err := b.Published(ctx, issuer.JWKSPath)
	if err != nil || body == nil {
		return err
	}
	published, err := keys.ParseJWKS(body)
	if err != nil {
		return foreign // no key set that was ever made here
	}
	if ch.Keys.Len() == 0 {
		if err := ch.ReadKeys(ctx); err != nil {
			return err
		}
	}
	ours := slices.ContainsFunc(published.All(), func(k keys.Public) bool {
		own, ok := ch.Keys.Lookup(k.KID)
		return ok && own.Equal(k)
	})
	if !ours {
		return foreign
	}
	return nil
}

// CheckRecord refuses to change anything with a record that is of another
// cluster: commands write to the documents and the providers that it names, and
// into the trust policies of roles that clusters share.
func (ch *Chain) CheckRecord(ctx context.Context) error {
	mark, err := ch.Tags(ctx)
	if err != nil {
		return err
	}
	for _, arn := range ch.providers() {
		if err := recordError(plan.Provider, ch.ProviderOwner(ctx, arn, mark)); err != nil {
			return err
		}
	}
	if ch.Record.Bucket == "" {
		return nil
	}
	_, err = ch.placeOwner(ctx, mark)
	return recordError(plan.Documents, err)
}

// recordError is what a record names of others.
func recordError(link string, err error) error {
	if e, ok := errors.AsType[*owner.ForeignError](err); ok {
		return &ForeignError{Link: link, Recorded: true, Err: e}
	}
	if err != nil {
		return fmt.Errorf("%s: %w", link, account.Cause(err))
	}
	return nil
}

// ownProviders are those of the chain's providers that were not made for another
// cluster than that with the mark.
func (ch *Chain) ownProviders(ctx context.Context, mark map[string]string) ([]string, error) {
	var own []string
	for _, arn := range ch.providers() {
		err := ch.ProviderOwner(ctx, arn, mark)
		if _, foreign := errors.AsType[*owner.ForeignError](err); foreign {
			continue
		}
		if err != nil {
			return nil, err
		}
		own = append(own, arn)
	}
	return own, nil
}

// Ours is a decision whose answer about what is another's is no error: that
// stays, and named says so.
func Ours(named func(*owner.ForeignError), decide func(context.Context) ([]plan.Step, error)) func(context.Context) ([]plan.Step, error) {
	return func(ctx context.Context) ([]plan.Step, error) {
		steps, err := decide(ctx)
		if e, ok := errors.AsType[*owner.ForeignError](err); ok {
			named(e)
			return nil, nil
		}
		return steps, err
	}
}

// Leaves has a run name what is another's.
func Leaves(run *plan.Runner) func(*owner.ForeignError) {
	return func(e *owner.ForeignError) { run.Note(&StaysError{Err: e}) }
}
