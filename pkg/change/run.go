package change

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/openirsa/openirsa/pkg/chain"
	"github.com/openirsa/openirsa/pkg/cluster"
	"github.com/openirsa/openirsa/pkg/plan"
	"github.com/openirsa/openirsa/pkg/record"
)

// Outcome is what came of a run.
type Outcome struct {
	// Change is the one that the run was about, as it is now.
	Change *record.Change
	// Done says that it is finished, or undone, and no longer recorded.
	Done bool
	// Waiting is for what there is to wait, where the run has returned without it.
	Waiting *Wait
	// Calls are the calls to AWS, Writes those among them that change something.
	Calls, Writes int
}

// shared is what both procedures do alike.
type shared struct {
	ch        *chain.Chain
	o         Options
	change    *record.Change
	run       *plan.Runner
	restarted map[string]bool // nodes whose kubelet was restarted by this run
}

// begin connects to the chain and reads the change of that kind that is under way
// in it, or makes a new one, which is not recorded yet.
func begin(ctx context.Context, ch *chain.Chain, kind record.Kind, o Options) (*record.Change, error) {
	if err := ch.ConnectInstalled(ctx); err != nil {
		return nil, err
	}
	rights := append(cluster.InstallRights(),
		cluster.Right{Verb: "list", Resource: "secrets"}, cluster.Right{Verb: "list", Resource: "serviceaccounts"})
	if err := ch.Cluster.Check(ctx, rights...); err != nil {
		return nil, err
	}
	if kind == record.IssuerMigration || ch.Record.Bucket != "" { // otherwise nothing is written to AWS
		if err := ch.CheckRecord(ctx); err != nil {
			return nil, err
		}
	}
	c := ch.Record.Change
	switch {
	case c != nil && c.Kind != kind:
		return nil, ch.NoChange()
	case c == nil && o.Rollback:
		return nil, &NoneError{Kind: kind, Cluster: ch.Record.Cluster}
	case c == nil:
		c = &record.Change{
			Kind: kind, ID: time.Now().UTC().Format("20060102t150405"),
			Stage: record.Prepare, CacheWait: record.Duration(ch.CacheWait()),
		}
		if o.TokenLifetime == nil {
			lifetime, err := ch.TokenLifetime(ctx)
			if err != nil {
				return nil, err
			}
			c.TokenLifetime = record.Duration(lifetime)
		}
	}
	if o.CacheWait != nil {
		c.CacheWait = record.Duration(*o.CacheWait)
	}
	if o.TokenLifetime != nil {
		c.TokenLifetime = record.Duration(*o.TokenLifetime)
	}
	return c, nil
}

// share is the part of a procedure that both kinds have alike. It tells the
// observer what begins.
func share(ch *chain.Chain, c *record.Change, o Options, observer plan.Observer) shared {
	run := &plan.Runner{Observer: observer, DryRun: o.DryRun, Calls: ch.Account.Calls}
	run.Say("cluster %s, %s %s", ch.Record.Cluster, c.Kind, c.ID)
	return shared{ch: ch, o: o, change: c, run: run, restarted: make(map[string]bool)}
}

// through goes through the stages of a procedure.
func (s *shared) through(ctx context.Context, p procedure) (Outcome, error) {
	e := &engine{Options: s.o, procedure: p, Change: s.change, Run: s.run}
	done, err := e.through(ctx)
	out := Outcome{Change: s.change, Done: done, Waiting: e.Waiting}
	out.Calls, out.Writes = s.ch.Account.Calls()
	return out, err
}

// Renew has kubelet renew the tokens of pods.
func (s *shared) Renew(ctx context.Context, pods []cluster.Token) error {
	return s.ch.Cluster.RenewTokens(ctx, pods, s.restarted)
}

// Save records the change, or that there is none, together with the state of the
// chain as it is now.
func (s *shared) Save(ctx context.Context, c *record.Change) error {
	if s.run.DryRun {
		return nil
	}
	s.ch.Record.Change = c
	steps, err := s.ch.Cluster.SetState(ctx, s.ch.Record)
	if err == nil {
		err = plan.Run(ctx, steps, nil)
	}
	if err != nil {
		return fmt.Errorf("recording the stage of the %s: %w", s.change.Kind, err)
	}
	return nil
}

// tokens are the live tokens for which goes holds.
func (s *shared) tokens(ctx context.Context, goes func(cluster.Token) bool) (secrets, pods []cluster.Token, err error) {
	if secrets, err = s.ch.Cluster.SecretTokens(ctx); err != nil {
		return nil, nil, err
	}
	if pods, err = s.ch.Cluster.ProjectedTokens(ctx); err != nil {
		return nil, nil, err
	}
	stays := func(t cluster.Token) bool { return !goes(t) }
	return slices.DeleteFunc(secrets, stays), slices.DeleteFunc(pods, stays), nil
}

// union is both lists, sorted, each string once.
func union(a, b []string) []string {
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}
