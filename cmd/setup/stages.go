package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/openirsa/openirsa/internal/cli"
	"github.com/openirsa/openirsa/pkg/change"
	"github.com/openirsa/openirsa/pkg/cluster"
	"github.com/openirsa/openirsa/pkg/controlplane"
	"github.com/openirsa/openirsa/pkg/plan"
	"github.com/openirsa/openirsa/pkg/record"
)

// stageNames are the stages for people to choose from.
func stageNames() string {
	var names []string
	for _, s := range record.Stages() {
		names = append(names, string(s))
	}
	return strings.Join(names, ", ")
}

// stagedOptions are the flags of both commands.
type stagedOptions struct {
	change.Options
	cacheWait     time.Duration
	tokenLifetime time.Duration

	cacheWaitSet, tokenLifetimeSet bool
}

func (o *stagedOptions) flags(a *app, c *cobra.Command) {
	a.clusterFlags(c)
	a.nodeFlags(c)
	a.outputFlag(c, "text", "json")
	f := c.Flags()
	f.StringVar(&a.region, "region", "", "AWS region (default: the chain's)")
	f.DurationVar(&o.cacheWait, "cache-wait", 0, "how long to wait before the new key or issuer signs; must exceed how long any cache "+
		"keeps the documents (default 10m, or 15m with a private bucket, whose documents CloudFront caches too)")
	f.DurationVar(&o.tokenLifetime, "token-lifetime", 0, "how long to wait before the old key or issuer is dropped; must exceed the life "+
		"of any token that kubelet does not renew (default 24h, or less where the API server issues no token that long)")
	f.BoolVar(&o.NoWait, "no-wait", false, "do not wait: return where there is something to wait for, and say when to run again")
	f.StringVar((*string)(&o.Until), "until", string(record.Prune), "return after this stage: "+stageNames())
	f.BoolVar(&o.Rollback, "rollback", false, "undo the change; possible until the stage prune")
	f.BoolVar(&o.DryRun, "dry-run", false, "print what the next stage would do and change nothing")
	f.DurationVar(&o.Wait, "wait", controlplane.DefaultWait, "how long an API server may take to come up with new flags")
	c.RegisterFlagCompletionFunc("until", cobra.FixedCompletions(strings.Split(stageNames(), ", "), cobra.ShellCompDirectiveNoFileComp))
	pre := c.PreRunE
	c.PreRunE = func(c *cobra.Command, args []string) error {
		o.cacheWaitSet, o.tokenLifetimeSet = c.Flags().Changed("cache-wait"), c.Flags().Changed("token-lifetime")
		switch {
		case !slices.Contains(record.Stages(), o.Until):
			return cli.Usagef("--until %q is not one of %s", o.Until, stageNames())
		case o.Rollback && c.Flags().Changed("until"):
			return cli.Usagef("--rollback and --until exclude each other")
		case o.cacheWait < 0 || o.tokenLifetime < 0:
			return cli.Usagef("--cache-wait and --token-lifetime must not be negative")
		}
		if pre != nil {
			return pre(c, args)
		}
		return nil
	}
}

// changeRun is one run of a command that changes a chain in stages.
type changeRun struct {
	*chain
	o         stagedOptions
	c         *record.Change
	report    *report
	run       *plan.Runner
	restarted map[string]bool // nodes whose kubelet was restarted by this run
}

// beginChange connects to the chain, and is the change of that kind that is
// under way in it, or a new one.
func (a *app) beginChange(ctx context.Context, kind record.Kind, o stagedOptions) (*chain, *record.Change, error) {
	ch, err := a.connectInstalled(ctx)
	if err != nil {
		return nil, nil, err
	}
	rights := append(cluster.InstallRights(),
		cluster.Right{Verb: "list", Resource: "secrets"}, cluster.Right{Verb: "list", Resource: "serviceaccounts"})
	if err := ch.Cluster.Check(ctx, rights...); err != nil {
		return nil, nil, err
	}
	if kind == record.IssuerMigration || ch.Record.Bucket != "" { // otherwise nothing is written to AWS
		if err := ch.CheckRecord(ctx); err != nil {
			return nil, nil, err
		}
	}
	c := ch.Record.Change
	if c != nil && c.Kind != kind {
		return nil, nil, ch.NoChange()
	}
	if c == nil {
		if o.Rollback {
			return nil, nil, advise(fmt.Errorf("no %s is under way in cluster %s", kind, ch.Record.Cluster), "SETUP status")
		}
		c = &record.Change{
			Kind: kind, ID: time.Now().UTC().Format("20060102t150405"),
			Stage: record.Prepare, CacheWait: record.Duration(ch.CacheWait()),
		}
		if !o.tokenLifetimeSet {
			lifetime, err := ch.TokenLifetime(ctx)
			if err != nil {
				return nil, nil, err
			}
			c.TokenLifetime = record.Duration(lifetime)
		}
	}
	if o.cacheWaitSet {
		c.CacheWait = record.Duration(o.cacheWait)
	}
	if o.tokenLifetimeSet {
		c.TokenLifetime = record.Duration(o.tokenLifetime)
	}
	return ch, c, nil
}

func (ch *chain) newChangeRun(c *record.Change, o stagedOptions) changeRun {
	r := changeRun{chain: ch, o: o, c: c, report: ch.app.newReport(ch.Record.Cluster, o.DryRun), restarted: make(map[string]bool)}
	r.run, r.report.Issuer = r.report.run, ch.Issuer.String()
	r.run.Calls = ch.Account.Calls
	r.run.Say("cluster %s, %s %s", ch.Record.Cluster, c.Kind, c.ID)
	return r
}

// Renew has kubelet renew the tokens of pods.
func (r *changeRun) Renew(ctx context.Context, pods []cluster.Token) error {
	return r.chain.Cluster.RenewTokens(ctx, pods, r.restarted)
}

// Save records the change, or that there is none, together with the
// state of the chain as it is now.
func (r *changeRun) Save(ctx context.Context, c *record.Change) error {
	if r.run.DryRun {
		return nil
	}
	r.Record.Change = c
	steps, err := r.chain.Cluster.SetState(ctx, r.Record)
	if err == nil {
		err = plan.Run(ctx, steps, nil)
	}
	if err != nil {
		return fmt.Errorf("recording the stage of the %s: %w", r.c.Kind, err)
	}
	return nil
}

// tokens are the live tokens for which goes holds.
func (r *changeRun) tokens(ctx context.Context, goes func(cluster.Token) bool) (secrets, pods []cluster.Token, err error) {
	if secrets, err = r.chain.Cluster.SecretTokens(ctx); err != nil {
		return nil, nil, err
	}
	if pods, err = r.chain.Cluster.ProjectedTokens(ctx); err != nil {
		return nil, nil, err
	}
	stays := func(t cluster.Token) bool { return !goes(t) }
	return slices.DeleteFunc(secrets, stays), slices.DeleteFunc(pods, stays), nil
}

// finish goes through the stages of a kind of change and says how the run ended.
func (r *changeRun) finish(ctx context.Context, p change.Procedure) error {
	defer r.report.clear()
	s := &change.Engine{Options: r.o.Options, Procedure: p, Change: r.c, Run: r.run}
	done, err := s.Through(ctx)
	if err != nil {
		return err
	}
	r.report.Waiting = s.Waiting
	if !done && !r.run.DryRun {
		r.report.Change = r.c
	}
	if err := r.report.finish(); err != nil {
		return err
	}
	again := strings.ReplaceAll(continueCommand(r.c), "SETUP", r.app.name)
	switch w := s.Waiting; {
	case done && r.c.Rollback:
		r.report.say("\nThe %s is undone (%.1fs).", r.c.Kind, r.report.Seconds)
	case done:
		r.report.say("\nThe %s is done (%.1fs).", r.c.Kind, r.report.Seconds)
	case r.run.DryRun:
		r.report.say("\nNothing was changed: this was a dry run.")
	case w != nil:
		r.report.say("\nIn stage %s until %s at least, for %s. Then run:\n  %s", r.c.Stage, w.Until.Local().Format(time.DateTime), w.For, again)
	default:
		r.report.say("\nStage %s is next. To continue, run:\n  %s", r.c.Stage, again)
	}
	return nil
}

// union is both lists, sorted, each string once.
func union(a, b []string) []string {
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}
