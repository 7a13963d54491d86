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
	"github.com/openirsa/openirsa/pkg/provider"
	"github.com/openirsa/openirsa/pkg/publish"
)

// bucket is where the documents are.
func (ch *Chain) Bucket(tags map[string]string) publish.S3 {
	return publish.S3{
		Client: ch.Account.S3, Account: ch.Account.ID, Partition: ch.Account.Partition, Region: ch.Record.Region,
		Bucket: ch.Record.Bucket, Prefix: ch.Record.Prefix, Owned: ch.Record.BucketOwned, Tags: tags,
		Private: ch.Record.PrivateBucket, Distribution: ch.Record.Distribution,
	}
}

// Stranger reads the documents as anybody does: from S3 without credentials, at
// whatever endpoint S3 has, or at the issuer's URL; those of an issuer that the
// cluster keeps, which no stranger reaches, as the emulator does.
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

// outsider is a stranger on the internet.
var outsider = &http.Client{Timeout: 10 * time.Second}

// checkServed waits, as long as patience says, for documents that somebody else
// serves to be right.
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

// Publish makes links 2 and 3: it puts the documents into the bucket
// and reads them back as a stranger. Where somebody else serves them it waits for
// them to be right, as long as patience says.
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
	err := ch.Federation(mark).Publish(ctx, run, docs, max(patience, federation.Patience))
	if unread, ok := errors.AsType[*federation.StrangerError](err); ok && ch.Record.PrivateBucket {
		return &IssuerError{Issuer: ch.Issuer, Bucket: ch.Record.Bucket, Err: unread.Err}
	}
	return ch.BucketError(err)
}

// Federation is the AWS side of the chain, marked as the cluster's.
func (ch *Chain) Federation(mark map[string]string) *federation.Federation {
	f := &federation.Federation{Issuer: ch.Issuer, Account: ch.Account, Documents: ch.Bucket(mark), Stranger: ch.Stranger()}
	f.Mark(mark)
	return f
}

// BucketError is what S3 has against the bucket, if it is that.
func (ch *Chain) BucketError(err error) error {
	for _, known := range []error{publish.ErrForeignBucket, publish.ErrWrongRegion, publish.ErrAccountBlock} {
		if errors.Is(err, known) {
			return &BucketError{Bucket: ch.Record.Bucket, Account: ch.Account.ID, Err: err}
		}
	}
	return err
}

func (ch *Chain) Provider(tags map[string]string) provider.Provider {
	f := federation.Federation{Issuer: ch.Issuer, Account: ch.Account, Tags: tags}
	return f.Provider()
}

// ReadKept reads the documents where the emulator reads them.
func (ch *Chain) ReadKept(ctx context.Context, _ issuer.URL, path string) (string, []byte, error) {
	if path == issuer.DiscoveryPath {
		body, err := ch.Cluster.Discovery(ctx)
		return "application/json", body, err
	}
	body, err := ch.Cluster.JWKS(ctx)
	return "application/jwk-set+json", body, err
}
