package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/openirsa/openirsa/internal/cli"
	"github.com/openirsa/openirsa/internal/wait"
	"github.com/openirsa/openirsa/pkg/cluster"
	"github.com/openirsa/openirsa/pkg/controlplane"
	"github.com/openirsa/openirsa/pkg/plan"
	"github.com/openirsa/openirsa/pkg/record"
	"github.com/openirsa/openirsa/pkg/token"
)

// A key rotation and an issuer migration are the same thing: what signs tokens is
// replaced, and no valid token may fail meanwhile. So they go through the same
// stages. A stage is work, which may be repeated, or a wait. Every run checks the
// work of all stages again: what was undone is redone, and the waits after it restart.

// promises say what holds when a stage is done, of the key or the issuer.
var promises = map[record.Stage]string{
	record.Prepare:    "the new %s is published and accepted everywhere, and does not sign yet",
	record.WaitCaches: "every cache has the new %s",
	record.Sign:       "new tokens use the new %s, old tokens still work",
	record.WaitTokens: "no live token uses the old %s",
	record.Prune:      "the old %s is gone",
}

// backPromises are those of the stages of a rollback.
var backPromises = map[record.Stage]string{
	record.Sign:       "new tokens use the old %s again, tokens of the new one still work",
	record.WaitTokens: "no live token uses the new %s",
	record.Prune:      "the new %s is gone",
}

// replaced is what a kind of change replaces.
func replaced(kind record.Kind) string {
	if kind == record.IssuerMigration {
		return "issuer"
	}
	return "key"
}

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
	cacheWait     time.Duration
	tokenLifetime time.Duration
	noWait        bool
	until         record.Stage
	rollback      bool
	dryRun        bool
	wait          time.Duration

	cacheWaitSet, tokenLifetimeSet bool
}

func (o *stagedOptions) flags(a *app, c *cobra.Command) {
	a.clusterFlags(c)
	a.nodeFlags(c)
	a.outputFlag(c, "text", "json")
	f := c.Flags()
	f.StringVar(&a.region, "region", "", "AWS region (default: the chain's)")
	f.DurationVar(&o.cacheWait, "cache-wait", 0, "how long to wait before the new key or issuer signs; must exceed how long any cache keeps the documents (default 10m, or 15m with a private bucket, whose documents CloudFront caches too)")
	f.DurationVar(&o.tokenLifetime, "token-lifetime", 0, "how long to wait before the old key or issuer is dropped; must exceed the life of any token that kubelet does not renew (default 24h, or less where the API server issues no token that long)")
	f.BoolVar(&o.noWait, "no-wait", false, "do not wait: return where there is something to wait for, and say when to run again")
	f.StringVar((*string)(&o.until), "until", string(record.Prune), "return after this stage: "+stageNames())
	f.BoolVar(&o.rollback, "rollback", false, "undo the change; possible until the stage prune")
	f.BoolVar(&o.dryRun, "dry-run", false, "print what the next stage would do and change nothing")
	f.DurationVar(&o.wait, "wait", controlplane.DefaultWait, "how long an API server may take to come up with new flags")
	c.RegisterFlagCompletionFunc("until", cobra.FixedCompletions(strings.Split(stageNames(), ", "), cobra.ShellCompDirectiveNoFileComp))
	pre := c.PreRunE
	c.PreRunE = func(c *cobra.Command, args []string) error {
		o.cacheWaitSet, o.tokenLifetimeSet = c.Flags().Changed("cache-wait"), c.Flags().Changed("token-lifetime")
		switch {
		case !slices.Contains(record.Stages(), o.until):
			return cli.Usagef("--until %q is not one of %s", o.until, stageNames())
		case o.rollback && c.Flags().Changed("until"):
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

// works are what a kind of change does in its stages, all but dropping it from
// the record in the end. Each may be called again after a failure or a crash
// at any point of it. What they change are links of the run, which says so
// before.
type works struct {
	// check refuses what cannot work, before the first write.
	check func(context.Context) error
	// prepare makes the new beside the old.
	prepare func(context.Context) error
	// sign has tokens signed with the new, or in a rollback with the old.
	sign func(ctx context.Context, back bool) error
	// ready refuses to remove the old while something else than a token still
	// needs it. Nil: nothing does.
	ready func(context.Context) error
	// prune removes the old, or on the way back the new.
	prune func(ctx context.Context, back bool) error
	// stale are the live tokens that need what prune is to remove: those in
	// Secrets, and those of pods.
	stale func(ctx context.Context, back bool) (secrets, pods []cluster.Token, err error)
	// renew has kubelet renew the tokens of pods, where it can.
	renew func(ctx context.Context, pods []cluster.Token) error
	// save records the change; nil when it is done.
	save func(context.Context, *record.Change) error
}

// stagedRun is one run of a command that goes through the stages.
type stagedRun struct {
	stagedOptions
	works
	c       *record.Change
	run     *plan.Runner
	waiting *waitReport // for what, when it has returned
}

// through goes through the stages until the change is done, there is something to
// wait for, or the stage is reached after which it shall return. It reports
// whether the change is done.
func (s *stagedRun) through(ctx context.Context) (done bool, err error) {
	if err := s.turn(ctx); err != nil {
		return false, err
	}
	if s.dryRun {
		return false, s.rehearse(ctx)
	}
	if s.c.Stage != record.Prune {
		if proceed, err := s.towardsPrune(ctx); !proceed || err != nil {
			return false, err
		}
		// From here there is no way back.
		s.c.Stage = record.Prune
		if err := s.save(ctx, s.c); err != nil {
			return false, err
		}
	}
	s.say(record.Prune)
	if err := s.prune(ctx, s.c.Rollback); err != nil {
		return false, err
	}
	return true, s.save(ctx, nil)
}

// turn makes the way back of a change that shall be undone.
func (s *stagedRun) turn(ctx context.Context) error {
	switch {
	case s.rollback == s.c.Rollback:
		return nil
	case !s.rollback:
		return advise(fmt.Errorf("the %s is being rolled back", s.c.Kind), continueCommand(s.c)+", and then start again")
	case s.c.Stage == record.Prune:
		return advise(fmt.Errorf("the %s can no longer be rolled back: stage %s has begun to remove the old %s", s.c.Kind, record.Prune, replaced(s.c.Kind)), continueCommand(s.c))
	}
	s.c.Rollback, s.c.Stage, s.c.Signed, s.c.Clear = true, record.Sign, time.Time{}, time.Time{}
	if s.dryRun {
		return nil
	}
	return s.save(ctx, s.c)
}

// rehearse prints what the next work would do.
func (s *stagedRun) rehearse(ctx context.Context) error {
	next := s.c.Stage
	switch next {
	case record.WaitCaches:
		next = record.Sign
	case record.WaitTokens:
		next = record.Prune
	}
	s.say(next)
	switch next {
	case record.Prepare:
		if err := s.check(ctx); err != nil {
			return err
		}
		return s.prepare(ctx)
	case record.Sign:
		return s.sign(ctx, s.c.Rollback)
	}
	return s.prune(ctx, s.c.Rollback)
}

// towardsPrune is all the stages before the last. It reports whether to continue.
func (s *stagedRun) towardsPrune(ctx context.Context) (proceed bool, err error) {
	if !s.c.Rollback {
		if err := s.check(ctx); err != nil {
			return false, err
		}
		if err := s.work(ctx, record.Prepare, &s.c.Prepared, s.prepare); err != nil {
			return false, err
		}
		if proceed, err := s.after(ctx, record.Prepare); !proceed || err != nil {
			return false, err
		}
		if waited, err := s.waitCaches(ctx); !waited || err != nil {
			return false, err
		}
		if proceed, err := s.after(ctx, record.WaitCaches); !proceed || err != nil {
			return false, err
		}
		if s.c.Signing.IsZero() {
			s.c.Signing = time.Now()
			if err := s.save(ctx, s.c); err != nil {
				return false, err
			}
		}
	}
	if err := s.work(ctx, record.Sign, &s.c.Signed, func(ctx context.Context) error { return s.sign(ctx, s.c.Rollback) }); err != nil {
		return false, err
	}
	if proceed, err := s.after(ctx, record.Sign); !proceed || err != nil {
		return false, err
	}
	if !s.c.Signing.IsZero() {
		if waited, err := s.waitTokens(ctx); !waited || err != nil {
			return false, err
		}
	}
	if s.ready != nil && !s.c.Rollback {
		if err := s.ready(ctx); err != nil {
			return false, err
		}
	}
	return s.rollback || s.until != record.WaitTokens, nil
}

// work does the work of a stage. Done is when that last changed something. The
// record is without it from before the first change until all is done: whenever
// the run ends, the next one waits again.
func (s *stagedRun) work(ctx context.Context, stage record.Stage, done *time.Time, do func(context.Context) error) error {
	if !stage.Before(s.c.Stage) {
		s.say(stage)
	}
	s.run.Before = func(ctx context.Context) error {
		if done.IsZero() {
			return nil
		}
		*done, s.c.Clear = time.Time{}, time.Time{}
		return s.save(ctx, s.c)
	}
	defer func() { s.run.Before = nil }()
	if err := do(ctx); err != nil {
		return err
	}
	if done.IsZero() {
		*done = time.Now()
	}
	return nil
}

// after records that a stage is done, and so to which one the change has come.
// It reports whether to continue with that one.
func (s *stagedRun) after(ctx context.Context, stage record.Stage) (proceed bool, err error) {
	if next := stage.Next(); s.c.Stage.Before(next) {
		s.c.Stage = next
	}
	if err := s.save(ctx, s.c); err != nil {
		return false, err
	}
	return s.rollback || s.until != stage, nil
}

// say announces a stage.
func (s *stagedRun) say(stage record.Stage) {
	what, back := promises[stage], ""
	if s.c.Rollback {
		what, back = backPromises[stage], " (rollback)"
	}
	s.run.Say("stage %s%s: "+what, stage, back, replaced(s.c.Kind))
}

// waitCaches waits until every cache has the new documents. It
// reports false where it shall not wait.
func (s *stagedRun) waitCaches(ctx context.Context) (waited bool, err error) {
	until := s.c.Prepared.Add(time.Duration(s.c.CacheWait))
	if !time.Now().Before(until) {
		return true, nil
	}
	s.waiting = &waitReport{Until: until, For: "caches of the documents"}
	if s.noWait {
		return false, nil
	}
	s.say(record.WaitCaches)
	s.run.Say("  until %s", until.Local().Format(time.DateTime))
	for time.Now().Before(until) {
		s.run.Start(string(record.WaitCaches), countdown(until))
		if err := wait.Sleep(ctx, min(time.Until(until), time.Second)); err != nil {
			return false, err
		}
	}
	s.waiting = nil
	return true, nil
}

// waitTokens waits until no token needs what is to be removed: none that can
// be seen, for as long as clients take to read their new one, and no other, for
// as long as tokens live. It reports false where it shall not wait.
func (s *stagedRun) waitTokens(ctx context.Context) (waited bool, err error) {
	announced := false
	for {
		secrets, pods, err := s.stale(ctx, s.c.Rollback)
		if err != nil {
			return false, err
		}
		if clear := len(secrets)+len(pods) == 0; clear != !s.c.Clear.IsZero() {
			s.c.Clear = time.Time{}
			if clear {
				s.c.Clear = time.Now()
			}
			if err := s.save(ctx, s.c); err != nil {
				return false, err
			}
		}
		expired := s.c.Signed.Add(time.Duration(s.c.TokenLifetime))
		until := expired
		if readAgain := s.c.Clear.Add(token.ClientReload); !s.c.Clear.IsZero() && readAgain.After(until) {
			until = readAgain
		}
		now := time.Now()
		if !s.c.Clear.IsZero() && !now.Before(until) {
			s.waiting = nil
			return true, nil
		}
		if len(secrets) > 0 && (s.noWait || !now.Before(expired)) {
			return false, secretsError(secrets)
		}
		if len(pods) > 0 && now.After(expired.Add(s.wait)) {
			return false, podsError(pods)
		}
		s.waiting = &waitReport{Until: until, For: describeStale(secrets, pods)}
		// Kubelet renews the tokens of running pods when it starts. Where it
		// cannot be restarted from here does so in the course of time.
		if err := s.renew(ctx, pods); err != nil {
			return false, err
		}
		if s.noWait {
			return false, nil
		}
		if !announced {
			announced = true
			s.say(record.WaitTokens)
			s.run.Say("  at least until %s", until.Local().Format(time.DateTime))
			for _, t := range secrets {
				s.run.Note(fmt.Errorf("%s holds a token of the old key or issuer: %s", t, newSecretToken(t)))
			}
		}
		next := 2 * time.Second
		if len(secrets)+len(pods) == 0 {
			next = min(time.Until(until), lookAgain)
		}
		for wake := now.Add(next); time.Now().Before(wake); {
			s.run.Start(string(record.WaitTokens), countdown(until)+describeStale(secrets, pods))
			if err := wait.Sleep(ctx, min(time.Until(wake), time.Second)); err != nil {
				return false, err
			}
		}
	}
}

// lookAgain is how often tokens are checked while none is in the way: one may
// be signed with the old again by a program that somebody else put back.
const lookAgain = 30 * time.Second

// describeStale says what is waited for.
func describeStale(secrets, pods []cluster.Token) string {
	var parts []string
	if len(pods) > 0 {
		parts = append(parts, fmt.Sprintf("%s of pods, such as that of %s", plural(len(pods), "token"), pods[0]))
	}
	if len(secrets) > 0 {
		parts = append(parts, fmt.Sprintf("%s in Secrets, such as %s", plural(len(secrets), "token"), secrets[0]))
	}
	if parts == nil {
		return "tokens that cannot be seen to expire"
	}
	return strings.Join(parts, ", ")
}

// countdown is how long there is left, on a line that is written again and
// again.
func countdown(until time.Time) string {
	if left := time.Until(until).Round(time.Second); left > 0 {
		return left.String() + " left "
	}
	return ""
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
	rights := append(cluster.InstallRights(), cluster.Right{Verb: "list", Resource: "secrets"}, cluster.Right{Verb: "list", Resource: "serviceaccounts"})
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
		if o.rollback {
			return nil, nil, advise(fmt.Errorf("no %s is under way in cluster %s", kind, ch.Record.Cluster), "SETUP status")
		}
		c = &record.Change{Kind: kind, ID: time.Now().UTC().Format("20060102t150405"), Stage: record.Prepare, CacheWait: record.Duration(ch.CacheWait())}
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
	r := changeRun{chain: ch, o: o, c: c, report: ch.app.newReport(ch.Record.Cluster, o.dryRun), restarted: make(map[string]bool)}
	r.run, r.report.Issuer = r.report.run, ch.Issuer.String()
	r.run.Calls = ch.Account.Calls
	r.run.Say("cluster %s, %s %s", ch.Record.Cluster, c.Kind, c.ID)
	return r
}

// staged is the run of the works that a kind of change brings along.
func (r *changeRun) staged(w works) *stagedRun {
	w.save = r.save
	w.renew = func(ctx context.Context, pods []cluster.Token) error {
		return r.chain.Cluster.RenewTokens(ctx, pods, r.restarted)
	}
	return &stagedRun{stagedOptions: r.o, works: w, c: r.c, run: r.run}
}

// save records the change, or that there is none, together with the
// state of the chain as it is now.
func (r *changeRun) save(ctx context.Context, c *record.Change) error {
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
func (r *changeRun) finish(ctx context.Context, w works) error {
	defer r.report.clear()
	s := r.staged(w)
	done, err := s.through(ctx)
	if err != nil {
		return err
	}
	r.report.Waiting = s.waiting
	if !done && !r.run.DryRun {
		r.report.Change = r.c
	}
	if err := r.report.finish(); err != nil {
		return err
	}
	again := strings.ReplaceAll(continueCommand(r.c), "SETUP", r.app.name)
	switch w := s.waiting; {
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
