package chain

import (
	"github.com/openirsa/openirsa/pkg/controlplane"
	"github.com/openirsa/openirsa/pkg/plan"
	"github.com/openirsa/openirsa/pkg/record"
)

// Outcome is what came of a run of [Chain.Up], [Chain.Grant], [Chain.Revoke] or
// [Chain.Down].
type Outcome struct {
	// Record is what is recorded after the run; after a dry run, what would be; after
	// [Chain.Down], what was.
	Record record.Record
	// Changed says that something was changed, or in a dry run would be.
	Changed bool
	// Calls are the calls to AWS since the account was connected to, Writes those
	// among them that are not reads.
	Calls, Writes int
	// NotAsked says that the webhook is not asked about pods of some of the service
	// accounts, which therefore do not get their roles; see [NotAskedError].
	NotAsked bool
	// Pending is not nil where somebody else has to give the API servers the
	// issuer, since their nodes cannot be reached from here. Everything else is
	// done.
	Pending *controlplane.PendingError
	// BucketStays is the name of a bucket that was made for the chain and was not
	// removed with it, because it holds something that the cluster did not put
	// there. Empty otherwise, and in a dry run.
	BucketStays string
}

// outcome is what came of a run on a chain that is connected to its account.
func outcome(ch *Chain, run *plan.Runner) Outcome {
	out := Outcome{Record: ch.Record, Changed: run.Changed()}
	out.Calls, out.Writes = ch.Account.Calls()
	return out
}
