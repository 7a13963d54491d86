package app

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/openirsa/openirsa/internal/cli"
	"github.com/openirsa/openirsa/pkg/chain"
	"github.com/openirsa/openirsa/pkg/change"
	"github.com/openirsa/openirsa/pkg/controlplane"
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

// options are what the flags say.
func (o *stagedOptions) options() change.Options {
	options := o.Options
	if o.cacheWaitSet {
		options.CacheWait = &o.cacheWait
	}
	if o.tokenLifetimeSet {
		options.TokenLifetime = &o.tokenLifetime
	}
	return options
}

// changeChain runs a change of the chain and says how the run ended.
func (a *app) changeChain(ctx context.Context, o stagedOptions, run func(*chain.Chain, *report) (change.Outcome, error)) error {
	ch, err := a.connect(ctx)
	if err != nil {
		return err
	}
	r := a.newReport(ch.Record.Cluster, o.DryRun)
	defer r.clear()
	r.Issuer = ch.Record.Issuer
	out, err := run(ch, r)
	if e, ok := errors.AsType[*chain.OptionError](err); ok {
		return cli.Usagef("--%s: %w", strings.ToLower(e.Option), e)
	}
	if err != nil {
		return err
	}
	r.Waiting = out.Waiting
	if !out.Done && !o.DryRun {
		r.Change = out.Change
	}
	r.run.Calls = func() (total, writes int) { return out.Calls, out.Writes }
	if err := r.finish(); err != nil {
		return err
	}
	c, again := out.Change, a.says(continueCommand(out.Change))
	switch w := out.Waiting; {
	case out.Done && c.Rollback:
		r.say("\nThe %s is undone (%.1fs).", c.Kind, r.Seconds)
	case out.Done:
		r.say("\nThe %s is done (%.1fs).", c.Kind, r.Seconds)
	case o.DryRun:
		r.say("\nNothing was changed: this was a dry run.")
	case w != nil:
		r.say("\nIn stage %s until %s at least, for %s. Then run:\n  %s", c.Stage, w.Until.Local().Format(time.DateTime), w.For, again)
	default:
		r.say("\nStage %s is next. To continue, run:\n  %s", c.Stage, again)
	}
	return nil
}
