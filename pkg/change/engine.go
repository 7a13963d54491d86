// Package change replaces what signs the tokens of a cluster, without one token that
// fails.
//
// A key rotation and an issuer migration are the same thing: what signs tokens is
// replaced, and no valid token may fail meanwhile. So they go through the same five
// stages ([record.Stages]). A stage is work, which may be repeated, or a wait. Every
// run checks the work of all stages again: what was undone is redone, and the waits
// after it restart. [Rotate] and [Migrate] are such runs.
package change

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/openirsa/openirsa/internal/wait"
	"github.com/openirsa/openirsa/pkg/cluster"
	"github.com/openirsa/openirsa/pkg/plan"
	"github.com/openirsa/openirsa/pkg/record"
	"github.com/openirsa/openirsa/pkg/token"
)

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

// Options say how far a run goes.
type Options struct {
	// NoWait returns where there is something to wait for.
	NoWait bool
	// Until returns after this stage. [record.Prune] is the last one.
	Until record.Stage
	// Rollback undoes the change, which is possible until the last stage.
	Rollback bool
	// DryRun decides about the next stage and changes nothing.
	DryRun bool
	// CacheWait is how long the new must have been published before it signs; it
	// must exceed how long any cache keeps the documents. TokenLifetime is how long
	// the old must have signed nothing before it is removed; it must exceed the life
	// of any token that kubelet does not renew. Nil: what is recorded, at first
	// [chain.Chain.CacheWait] and [chain.Chain.TokenLifetime].
	CacheWait, TokenLifetime *time.Duration
	// Wait is how long an API server may take to come up, and kubelet to renew a
	// token after it has expired.
	Wait time.Duration
}

// Wait is what a change waits for.
type Wait struct {
	Until time.Time `json:"until"`
	For   string    `json:"for"`
}

// procedure is what a kind of change does in its stages, all but dropping it from
// the record in the end. Each may be called again after a failure or a crash
// at any point of it. What they change are links of the run, which says so
// before.
type procedure interface {
	// Check refuses what cannot work, before the first write.
	Check(context.Context) error
	// Prepare makes the new beside the old.
	Prepare(context.Context) error
	// Sign has tokens signed with the new, or in a rollback with the old.
	Sign(ctx context.Context, back bool) error
	// Ready refuses to remove the old while something else than a token still
	// needs it.
	Ready(context.Context) error
	// Prune removes the old, or on the way back the new.
	Prune(ctx context.Context, back bool) error
	// Stale are the live tokens that need what prune is to remove: those in
	// Secrets, and those of pods.
	Stale(ctx context.Context, back bool) (secrets, pods []cluster.Token, err error)
	// Renew has kubelet renew the tokens of pods, where it can.
	Renew(ctx context.Context, pods []cluster.Token) error
	// Save records the change; nil when it is done.
	Save(context.Context, *record.Change) error
}

// engine is one run through the stages.
type engine struct {
	Options
	procedure
	// Change is the one that is under way, or that is to begin.
	Change *record.Change
	// Run makes the links of the stages. The engine sets its Before.
	Run *plan.Runner
	// Waiting is for what there is to wait, when it has returned without it.
	Waiting *Wait
}

// through goes through the stages until the change is done, there is something to
// wait for, or the stage is reached after which it shall return. It reports
// whether the change is done.
func (s *engine) through(ctx context.Context) (done bool, err error) {
	if err := s.turn(ctx); err != nil {
		return false, err
	}
	if s.DryRun {
		return false, s.rehearse(ctx)
	}
	if s.Change.Stage != record.Prune {
		if proceed, err := s.towardsPrune(ctx); !proceed || err != nil {
			return false, err
		}
		// From here there is no way back.
		s.Change.Stage = record.Prune
		if err := s.Save(ctx, s.Change); err != nil {
			return false, err
		}
	}
	s.say(record.Prune)
	if err := s.Prune(ctx, s.Change.Rollback); err != nil {
		return false, err
	}
	return true, s.Save(ctx, nil)
}

// turn makes the way back of a change that shall be undone.
func (s *engine) turn(ctx context.Context) error {
	switch {
	case s.Rollback == s.Change.Rollback:
		return nil
	case !s.Rollback:
		return &TurnError{Change: s.Change}
	case s.Change.Stage == record.Prune:
		return &TurnError{Change: s.Change}
	}
	s.Change.Rollback, s.Change.Stage, s.Change.Signed, s.Change.Clear = true, record.Sign, time.Time{}, time.Time{}
	if s.DryRun {
		return nil
	}
	return s.Save(ctx, s.Change)
}

// rehearse prints what the next work would do.
func (s *engine) rehearse(ctx context.Context) error {
	next := s.Change.Stage
	switch next {
	case record.WaitCaches:
		next = record.Sign
	case record.WaitTokens:
		next = record.Prune
	}
	s.say(next)
	switch next {
	case record.Prepare:
		if err := s.Check(ctx); err != nil {
			return err
		}
		return s.Prepare(ctx)
	case record.Sign:
		return s.Sign(ctx, s.Change.Rollback)
	}
	return s.Prune(ctx, s.Change.Rollback)
}

// towardsPrune is all the stages before the last. It reports whether to continue.
func (s *engine) towardsPrune(ctx context.Context) (proceed bool, err error) {
	if !s.Change.Rollback {
		if err := s.Check(ctx); err != nil {
			return false, err
		}
		if err := s.work(ctx, record.Prepare, &s.Change.Prepared, s.Prepare); err != nil {
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
		if s.Change.Signing.IsZero() {
			s.Change.Signing = time.Now()
			if err := s.Save(ctx, s.Change); err != nil {
				return false, err
			}
		}
	}
	sign := func(ctx context.Context) error { return s.Sign(ctx, s.Change.Rollback) }
	if err := s.work(ctx, record.Sign, &s.Change.Signed, sign); err != nil {
		return false, err
	}
	if proceed, err := s.after(ctx, record.Sign); !proceed || err != nil {
		return false, err
	}
	if !s.Change.Signing.IsZero() {
		if waited, err := s.waitTokens(ctx); !waited || err != nil {
			return false, err
		}
	}
	if !s.Change.Rollback {
		if err := s.Ready(ctx); err != nil {
			return false, err
		}
	}
	return s.Rollback || s.Until != record.WaitTokens, nil
}

// work does the work of a stage. Done is when that last changed something. The
// record is without it from before the first change until all is done: whenever
// the run ends, the next one waits again.
func (s *engine) work(ctx context.Context, stage record.Stage, done *time.Time, do func(context.Context) error) error {
	if !stage.Before(s.Change.Stage) {
		s.say(stage)
	}
	s.Run.Before = func(ctx context.Context) error {
		if done.IsZero() {
			return nil
		}
		*done, s.Change.Clear = time.Time{}, time.Time{}
		return s.Save(ctx, s.Change)
	}
	defer func() { s.Run.Before = nil }()
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
func (s *engine) after(ctx context.Context, stage record.Stage) (proceed bool, err error) {
	if next := stage.Next(); s.Change.Stage.Before(next) {
		s.Change.Stage = next
	}
	if err := s.Save(ctx, s.Change); err != nil {
		return false, err
	}
	return s.Rollback || s.Until != stage, nil
}

// say announces a stage.
func (s *engine) say(stage record.Stage) {
	what, back := promises[stage], ""
	if s.Change.Rollback {
		what, back = backPromises[stage], " (rollback)"
	}
	s.Run.Say("stage %s%s: "+what, stage, back, replaced(s.Change.Kind))
}

// waitCaches waits until every cache has the new documents. It
// reports false where it shall not wait.
func (s *engine) waitCaches(ctx context.Context) (waited bool, err error) {
	until := s.Change.Prepared.Add(time.Duration(s.Change.CacheWait))
	if !time.Now().Before(until) {
		return true, nil
	}
	s.Waiting = &Wait{Until: until, For: "caches of the documents"}
	if s.NoWait {
		return false, nil
	}
	s.say(record.WaitCaches)
	s.Run.Say("  until %s", until.Local().Format(time.DateTime))
	for time.Now().Before(until) {
		s.Run.Start(string(record.WaitCaches), countdown(until))
		if err := wait.Sleep(ctx, min(time.Until(until), time.Second)); err != nil {
			return false, err
		}
	}
	s.Waiting = nil
	return true, nil
}

// waitTokens waits until no token needs what is to be removed: none that can
// be seen, for as long as clients take to read their new one, and no other, for
// as long as tokens live. It reports false where it shall not wait.
func (s *engine) waitTokens(ctx context.Context) (waited bool, err error) {
	announced := false
	for {
		secrets, pods, err := s.Stale(ctx, s.Change.Rollback)
		if err != nil {
			return false, err
		}
		if clear := len(secrets)+len(pods) == 0; clear != !s.Change.Clear.IsZero() {
			s.Change.Clear = time.Time{}
			if clear {
				s.Change.Clear = time.Now()
			}
			if err := s.Save(ctx, s.Change); err != nil {
				return false, err
			}
		}
		expired := s.Change.Signed.Add(time.Duration(s.Change.TokenLifetime))
		until := expired
		if readAgain := s.Change.Clear.Add(token.ClientReload); !s.Change.Clear.IsZero() && readAgain.After(until) {
			until = readAgain
		}
		now := time.Now()
		if !s.Change.Clear.IsZero() && !now.Before(until) {
			s.Waiting = nil
			return true, nil
		}
		if len(secrets) > 0 && (s.NoWait || !now.Before(expired)) {
			return false, &TokensError{Secrets: secrets}
		}
		if len(pods) > 0 && now.After(expired.Add(s.Options.Wait)) {
			return false, &TokensError{Pods: pods}
		}
		s.Waiting = &Wait{Until: until, For: describeStale(secrets, pods)}
		// Kubelet renews the tokens of running pods when it starts. Where it
		// cannot be restarted from here does so in the course of time.
		if err := s.Renew(ctx, pods); err != nil {
			return false, err
		}
		if s.NoWait {
			return false, nil
		}
		if !announced {
			announced = true
			s.say(record.WaitTokens)
			s.Run.Say("  at least until %s", until.Local().Format(time.DateTime))
			for _, t := range secrets {
				s.Run.Note(&HeldError{Token: t})
			}
		}
		next := 2 * time.Second
		if len(secrets)+len(pods) == 0 {
			next = min(time.Until(until), lookAgain)
		}
		for wake := now.Add(next); time.Now().Before(wake); {
			s.Run.Start(string(record.WaitTokens), countdown(until)+describeStale(secrets, pods))
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
		parts = append(parts, fmt.Sprintf("%s of pods, such as that of %s", count(len(pods)), pods[0]))
	}
	if len(secrets) > 0 {
		parts = append(parts, fmt.Sprintf("%s in Secrets, such as %s", count(len(secrets)), secrets[0]))
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
