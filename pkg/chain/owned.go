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

// ProviderOwner is nil if the provider was made for the cluster with the mark (its
// [Chain.Tags]), if there is none, or if it was not made by this project, in which
// case it may be used and not deleted. Otherwise it is an [*owner.ForeignError], or
// what IAM says.
func (ch *Chain) ProviderOwner(ctx context.Context, arn string, mark map[string]string) error {
	there, ok, err := provider.Get(ctx, ch.Account.IAM, arn)
	if err != nil || !ok || !owner.Claimed(there.Tags) {
		return err
	}
	return owner.Check("provider "+arn, there.Tags, mark)
}

// DocumentsOwner is nil if the documents in the record's bucket, below its prefix, are
// those of the cluster with the mark (its [Chain.Tags]), or if there are none;
// otherwise it is an [*owner.ForeignError], or what AWS says. A bucket may hold the
// documents of several clusters, and a part of it has no tags. So the provider that
// trusts the documents decides; without one, the bucket; and where neither was made by
// this project, the keys in the documents.
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

// documentsName is what errors call the documents.
func (ch *Chain) documentsName() string {
	return "documents s3://" + strings.TrimSuffix(ch.Record.Bucket+"/"+ch.Record.Prefix, "/")
}

// placeOwner is [Chain.DocumentsOwner] as far as the provider of that bucket's issuer
// knows; not known if there is none, or none of this project's.
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

// publishedOwner is nil if the key set in the bucket has a key of the cluster, or is
// not there; otherwise it is the error foreign.
func (ch *Chain) publishedOwner(ctx context.Context, b publish.S3, foreign error) error {
	body, err := b.Published(ctx, issuer.JWKSPath)
	if err != nil || body == nil {
		return err
	}
	published, err := keys.ParseJWKS(body)
	if err != nil {
		return foreign // this project has never written such a key set
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

// CheckRecord is to be asked before anything is changed by the record: it is a
// [*ForeignError], with Recorded set, if the record names a provider or documents of
// another cluster. Otherwise those, and the trust policies of roles that clusters
// share, would be written to.
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

// recordError is err as an error about what the record names.
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

// Ours is a decision of which an [*owner.ForeignError] is no error: what was made for
// another cluster stays, without steps, and named is called with it. See [Leaves].
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

// Leaves has the observer of a run told what stays because it was made for another
// cluster, with a [*StaysError] each. It is for [Ours].
func Leaves(run *plan.Runner) func(*owner.ForeignError) {
	return func(e *owner.ForeignError) { run.Note(&StaysError{Err: e}) }
}
