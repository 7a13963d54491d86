package chain

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/openirsa/openirsa/internal/wait"
	"github.com/openirsa/openirsa/pkg/discovery"
	"github.com/openirsa/openirsa/pkg/federation"
	"github.com/openirsa/openirsa/pkg/issuer"
	"github.com/openirsa/openirsa/pkg/plan"
	"github.com/openirsa/openirsa/pkg/publish"
)

// Bucket is where the documents are, with the tags for what is made there; with nil
// it is only read. It is meaningless where the record names no bucket, and needs
// Account.
func (ch *Chain) Bucket(tags map[string]string) publish.S3 {
	return publish.S3{
		Client: ch.Account.S3, Account: ch.Account.ID, Partition: ch.Account.Partition, Region: ch.Record.Region,
		Bucket: ch.Record.Bucket, Prefix: ch.Record.Prefix, Owned: ch.Record.BucketOwned, Tags: tags,
		Private: ch.Record.PrivateBucket, Distribution: ch.Record.Distribution,
	}
}

// Stranger reads the documents as anybody does: from S3 without credentials, at
// the endpoint that S3 has for Account, or else at the issuer's URL. Those of an
// issuer that the cluster keeps, which no stranger reaches, are read as the emulator
// reads them.
func (ch *Chain) Stranger() discovery.Get {
	if ch.Keeps() {
		return ch.ReadKept
	}
	outside := discovery.HTTP(outsider)
	switch {
	case ch.Record.PrivateBucket || ch.Record.Bucket == "" && ch.Account == nil:
		return outside
	case ch.Record.Bucket == "":
		return publish.Anybody(ch.Account.Anonymous, outside)
	}
	return ch.Bucket(nil).Stranger(ch.Account.Anonymous)
}

// outsider reads what is on the internet, without credentials.
var outsider = &http.Client{Timeout: 10 * time.Second}

// CheckServed waits until the documents that somebody else serves at the issuer have
// the keys of docs, at most as long as patience says; zero is one look. If they do not
// have them, the error is an [*IssuerError], or the cause of ctx if that has ended.
func (ch *Chain) CheckServed(ctx context.Context, docs []discovery.Document, patience time.Duration) error {
	get := ch.Stranger()
	err := wait.Retry(ctx, patience, wait.Any, func(ctx context.Context) error { return discovery.CheckServed(ctx, get, ch.Issuer, docs) })
	if cause := context.Cause(ctx); err != nil && cause != nil {
		return cause
	}
	if err != nil {
		return &IssuerError{Issuer: ch.Issuer, Err: err}
	}
	return nil
}

// Publish makes links 2 and 3 in a run: it puts the documents into the bucket and
// reads them back as a stranger does, for at least [federation.Patience]. Where
// somebody else serves them it waits until they are right, as long as patience says.
// What is made is tagged with mark, as of [Chain.Tags]. The error is an
// [*IssuerError] for documents that a stranger does not read, and a [*BucketError]
// for a bucket that cannot be used.
func (ch *Chain) Publish(ctx context.Context, run *plan.Runner, mark map[string]string,
	docs []discovery.Document, patience time.Duration) error {
	if ch.Record.Bucket == "" {
		// Served by somebody else: they must be right already, or soon.
		run.Start(plan.Issuer, "reading the documents as a stranger")
		if err := ch.CheckServed(ctx, docs, patience); err != nil {
			return err
		}
		run.Done(plan.Result{Link: plan.Issuer, Outcome: plan.Unchanged, Object: ch.Issuer.String() + " serves the cluster's keys"})
		return nil
	}
	err := ch.federation(mark).Publish(ctx, run, docs, max(patience, federation.Patience))
	if unread, ok := errors.AsType[*federation.StrangerError](err); ok && ch.Record.PrivateBucket {
		return &IssuerError{Issuer: ch.Issuer, Bucket: ch.Record.Bucket, Err: unread.Err}
	}
	return ch.BucketError(err)
}

// federation is the AWS side of the chain, tagged with mark.
func (ch *Chain) federation(mark map[string]string) *federation.Federation {
	f := &federation.Federation{Issuer: ch.Issuer, Account: ch.Account, Documents: ch.Bucket(mark), Stranger: ch.Stranger()}
	f.Mark(mark)
	return f
}

// BucketError is err as a [*BucketError] if it is about the bucket itself: that it
// is somebody else's, in another region, or closed by the account's settings. Any
// other error stays as it is.
func (ch *Chain) BucketError(err error) error {
	for _, known := range []error{publish.ErrForeignBucket, publish.ErrWrongRegion, publish.ErrAccountBlock} {
		if errors.Is(err, known) {
			return &BucketError{Bucket: ch.Record.Bucket, Account: ch.Account.ID, Err: err}
		}
	}
	return err
}

// ReadKept is a [discovery.Get] that reads the documents from the API server, as the
// emulator does, for an issuer that the cluster keeps.
func (ch *Chain) ReadKept(ctx context.Context, _ issuer.URL, path string) (string, []byte, error) {
	if path == issuer.DiscoveryPath {
		body, err := ch.Cluster.Discovery(ctx)
		return "application/json", body, err
	}
	body, err := ch.Cluster.JWKS(ctx)
	return "application/jwk-set+json", body, err
}

// CacheWait is how long caches may keep the documents: [discovery.MaxAge] for each
// of the caches that they may pass one after the other. These are two, and three with
// a private bucket, which CloudFront is in front of.
func (ch *Chain) CacheWait() time.Duration {
	if ch.Record.PrivateBucket {
		return 3 * discovery.MaxAge
	}
	return 2 * discovery.MaxAge
}
