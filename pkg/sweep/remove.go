package sweep

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/openirsa/openirsa/pkg/account"
	"github.com/openirsa/openirsa/pkg/discovery"
	"github.com/openirsa/openirsa/pkg/owner"
	"github.com/openirsa/openirsa/pkg/plan"
	"github.com/openirsa/openirsa/pkg/provider"
	"github.com/openirsa/openirsa/pkg/publish"
	"github.com/openirsa/openirsa/pkg/role"
)

// Plan decides what must be done for what the cluster made to be gone, in the reverse
// order of making it. Of what is shared with a cluster that lives, such as a role or a
// bucket, only the part of this one goes.
func (r *Remains) Plan(ctx context.Context, acct *account.Account) ([]plan.Step, error) {
	arns := r.providerARNs()
	mark := owner.Tags(r.Cluster, r.UID)
	var steps []plan.Step
	for _, a := range r.associations { // first: no pod gets a role that is about to go
		more, err := a.Delete(eksIn(acct, a.region))
		if err != nil {
			return nil, err
		}
		steps = append(steps, more...)
	}
	for _, of := range r.roles {
		more, err := of.Delete(acct.IAM, mark, arns...)
		if err != nil {
			return nil, err
		}
		steps = append(steps, more...)
	}
	for _, b := range r.buckets {
		b.Tags = mark
		more, err := b.Delete(ctx, discovery.Paths)
		if err != nil {
			return nil, err
		}
		steps = append(steps, more...)
	}
	for _, arn := range arns { // last: their tags say whose the documents are
		more, err := provider.Delete(ctx, acct.IAM, arn, mark)
		if _, taken := errors.AsType[*owner.ForeignError](err); taken {
			continue // another cluster has taken it over since it was listed
		}
		if err != nil {
			return nil, err
		}
		steps = append(steps, more...)
	}
	return steps, nil
}

// Gone waits until AWS no longer shows what the steps of [Remains.Plan] have
// removed. The error says what stays.
func (r *Remains) Gone(ctx context.Context, acct *account.Account) error {
	names := make([]string, len(r.roles))
	for i, of := range r.roles {
		names[i] = of.Name
	}
	err := publish.UntilGone(ctx, func(ctx context.Context) ([]plan.Step, error) {
		there, err := role.Read(ctx, acct.IAM, names)
		if err != nil {
			return nil, err
		}
		left := *r
		left.roles = slices.Collect(maps.Values(there))
		if left.associations, err = r.readAssociations(ctx, acct); err != nil {
			return nil, err
		}
		return left.Plan(ctx, acct)
	})
	if err != nil {
		return err
	}
	for _, b := range r.buckets {
		if !b.Owned {
			continue
		}
		exists, err := b.Exists(ctx)
		if err != nil {
			return err
		}
		if exists {
			return fmt.Errorf("bucket %s holds objects that setup did not make, and stays", b.Bucket)
		}
	}
	return nil
}

// Removal is a cluster that is to go, with the steps of [Remains.Plan].
type Removal struct {
	*Remains
	Steps []plan.Step
}

// clustersAtOnce is how many clusters are removed at the same time, each one step
// after the other.
const clustersAtOnce = 8

// Remove runs the steps of several clusters and waits until all is gone. A failure
// stops no other cluster. done is called when one is gone or has failed, one call at a
// time, with its place in the list.
func Remove(ctx context.Context, acct *account.Account, all []Removal, done func(i int, err error)) {
	var mu sync.Mutex // one call of done at a time
	var group errgroup.Group
	group.SetLimit(clustersAtOnce)
	for i, r := range all {
		group.Go(func() error {
			err := plan.Run(ctx, r.Steps, nil)
			if err == nil {
				// Steps may have been planned on less than there was.
				err = r.Gone(ctx, acct)
			}
			mu.Lock()
			defer mu.Unlock()
			done(i, err)
			return nil
		})
	}
	group.Wait()
}
