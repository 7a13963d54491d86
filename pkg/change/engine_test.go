package change

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/openirsa/openirsa/pkg/cluster"
	"github.com/openirsa/openirsa/pkg/controlplane"
	"github.com/openirsa/openirsa/pkg/plan"
	"github.com/openirsa/openirsa/pkg/record"
)

// works are a procedure of functions.
type works struct {
	check, prepare func(context.Context) error
	sign, prune    func(ctx context.Context, back bool) error
	stale          func(ctx context.Context, back bool) (secrets, pods []cluster.Token, err error)
	renew          func(ctx context.Context, pods []cluster.Token) error
	save           func(context.Context, *record.Change) error
}

func (w works) Check(ctx context.Context) error            { return w.check(ctx) }
func (w works) Prepare(ctx context.Context) error          { return w.prepare(ctx) }
func (w works) Sign(ctx context.Context, back bool) error  { return w.sign(ctx, back) }
func (w works) Ready(context.Context) error                { return nil }
func (w works) Prune(ctx context.Context, back bool) error { return w.prune(ctx, back) }
func (w works) Stale(ctx context.Context, back bool) (secrets, pods []cluster.Token, err error) {
	return w.stale(ctx, back)
}
func (w works) Renew(ctx context.Context, pods []cluster.Token) error { return w.renew(ctx, pods) }
func (w works) Save(ctx context.Context, c *record.Change) error      { return w.save(ctx, c) }

// said keeps what an engine says.
type said struct{ to *bytes.Buffer }

func (said) Start(_, _ string) {}
func (said) Done(plan.Result)  {}
func (s said) Say(line string) { fmt.Fprintln(s.to, line) }
func (s said) Note(err error)  {}

// fakeChange is what a staged change works on: something that signs, accepts
// and publishes either "old" or "new" or both. With every call it checks what
// must never happen.
type fakeChange struct {
	t *testing.T

	saved   *record.Change // as recorded in the cluster
	done    bool           // the record is gone
	accepts []string
	signs   string
	since   map[string]time.Time // when each was accepted last
	tokens  []fakeToken

	calls  []string
	fail   int  // the number of calls until one fails; negative: never
	after  bool // it fails when it is done
	secret bool // there is a token of the old in a Secret
	stuck  bool // kubelet renews nothing
}

type fakeToken struct {
	of      string
	expires time.Time
	pod     bool // kubelet renews it
}

const (
	testCacheWait = 10 * time.Minute
	testLifetime  = time.Hour
)

func newFakeChange(t *testing.T) *fakeChange {
	f := &fakeChange{t: t, accepts: []string{"old"}, signs: "old", since: map[string]time.Time{"old": time.Now()}, fail: -1}
	f.saved = &record.Change{Kind: record.KeyRotation, ID: "1", Stage: record.Prepare, CacheWait: record.Duration(testCacheWait), TokenLifetime: record.Duration(testLifetime), Rotation: &record.Rotation{}}
	f.tokens = []fakeToken{{of: "old", expires: time.Now().Add(24 * time.Hour), pod: true}}
	return f
}

// issue signs a token that lives as long as tokens do, and that nobody sees.
func (f *fakeChange) issue() {
	f.tokens = append(f.tokens, fakeToken{of: f.signs, expires: time.Now().Add(testLifetime)})
}

// call is one call from the engine: it may fail before or after its work.
func (f *fakeChange) call(name string, work func()) error {
	time.Sleep(time.Second)
	f.calls = append(f.calls, name)
	f.issue()
	if f.fail == 0 && !f.after {
		f.fail--
		return errBroken
	}
	work()
	for _, token := range f.tokens {
		if time.Now().Before(token.expires) && !slices.Contains(f.accepts, token.of) {
			f.t.Errorf("%s: a token of the %s that lives until %s is not accepted", name, token.of, token.expires)
		}
	}
	f.fail--
	if f.fail == -1 {
		return errBroken
	}
	return nil
}

var errBroken = errors.New("broken")

func (f *fakeChange) works(run *plan.Runner) works {
	// link does the work of a stage as the kinds of change do theirs.
	link := func(ctx context.Context, name string, changes bool, work func()) error {
		do := func(context.Context) error { return f.call(name, work) }
		return run.Link(ctx, plan.APIServer, name, func(ctx context.Context) ([]plan.Step, error) {
			if !changes {
				return nil, do(ctx)
			}
			return []plan.Step{{Action: plan.Update, Do: do}}, nil
		})
	}
	side := func(back bool) (stays, goes string) {
		if back {
			return "old", "new"
		}
		return "new", "old"
	}
	return works{
		check: func(context.Context) error { return f.call("check", func() {}) },
		prepare: func(ctx context.Context) error {
			changes := !slices.Contains(f.accepts, "new")
			return link(ctx, "prepare", changes, func() {
				if changes {
					f.accepts, f.since["new"] = []string{"old", "new"}, time.Now()
				}
			})
		},
		sign: func(ctx context.Context, back bool) error {
			stays, _ := side(back)
			return link(ctx, "sign", f.signs != stays, func() {
				if !back && time.Since(f.since["new"]) < testCacheWait {
					f.t.Errorf("the new signs %s after it was published", time.Since(f.since["new"]))
				}
				f.signs = stays
			})
		},
		prune: func(ctx context.Context, back bool) error {
			stays, goes := side(back)
			return link(ctx, "prune", slices.Contains(f.accepts, goes), func() {
				if f.signs != stays {
					f.t.Error("what signs is pruned")
				}
				f.accepts = []string{stays}
			})
		},
		stale: func(_ context.Context, back bool) (secrets, pods []cluster.Token, err error) {
			_, goes := side(back)
			for _, token := range f.tokens {
				if token.pod && token.of == goes {
					pods = append(pods, cluster.Token{Node: "n", Pod: "default/app"})
				}
			}
			if f.secret && goes == "old" {
				secrets = append(secrets, cluster.Token{Secret: "default/token"})
			}
			return secrets, pods, f.call("stale", func() {})
		},
		renew: func(_ context.Context, pods []cluster.Token) error {
			if len(pods) == 0 || f.stuck {
				return nil
			}
			for i := range f.tokens {
				if f.tokens[i].pod && f.tokens[i].of != f.signs {
					// Its client continues with the previous one for a minute.
					f.tokens[i].of = f.signs
					f.tokens = append(f.tokens, fakeToken{of: map[string]string{"new": "old", "old": "new"}[f.signs], expires: time.Now().Add(time.Minute)})
				}
			}
			return f.call("renew", func() {})
		},
		save: func(_ context.Context, c *record.Change) error {
			return f.call("save", func() {
				if c == nil {
					f.saved, f.done = nil, true
					return
				}
				saved := *c
				f.saved = &saved
			})
		},
	}
}

// run is one run of the command, from what is recorded.
func (f *fakeChange) run(o Options) (done bool, out string, err error) {
	var b bytes.Buffer
	if o.Until == "" {
		o.Until = record.Prune
	}
	o.Wait = controlplane.DefaultWait
	run := &plan.Runner{Observer: said{&b}}
	c := *f.saved
	s := &engine{Options: o, procedure: f.works(run), Change: &c, Run: run}
	done, err = s.through(f.t.Context())
	if s.Waiting != nil {
		fmt.Fprintf(&b, "waiting until %s for %s", s.Waiting.Until.Format(time.TimeOnly), s.Waiting.For)
	}
	return done, b.String(), err
}

func TestStages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeChange(t)
		start := time.Now()
		done, out, err := f.run(Options{})
		if err != nil || !done || !f.done || f.signs != "new" || !slices.Equal(f.accepts, []string{"new"}) {
			t.Fatalf("done=%t, %v, %+v\n%s", done, err, f, out)
		}
		for _, stage := range record.Stages() {
			if !strings.Contains(out, "stage "+string(stage)+": "+fmt.Sprintf(promises[stage], "key")) {
				t.Errorf("stage %s is not announced:\n%s", stage, out)
			}
		}
		if took := time.Since(start); took < testCacheWait+testLifetime || took > testCacheWait+testLifetime+5*time.Minute {
			t.Errorf("it took %s", took)
		}
	})
}

// TestStagesBroken has each call of the engine fail in turn, before and after
// its work, forwards and on the way back; the next run continues.
func TestStagesBroken(t *testing.T) {
	for _, after := range []bool{false, true} {
		for _, back := range []bool{false, true} {
			for k := 0; ; k++ {
				broke := false
				synctest.Test(t, func(t *testing.T) {
					f := newFakeChange(t)
					f.fail, f.after = k, after
					_, _, err := f.run(Options{})
					if broke = errors.Is(err, errBroken); !broke {
						if err != nil || !f.done {
							t.Fatalf("call %d: %v", k, err)
						}
						return
					}
					f.fail = -1
					if f.done {
						return // the record is gone, though the answer was lost
					}
					rollback := back && f.saved.Stage != record.Prune
					done, out, err := f.run(Options{Rollback: rollback})
					if err != nil || !done {
						t.Fatalf("after call %d (%s): %v\n%s", k, f.calls[k], err, out)
					}
					want := "new"
					if rollback {
						want = "old"
					}
					if f.signs != want || !slices.Equal(f.accepts, []string{want}) {
						t.Errorf("after call %d: %s signs, %v is accepted, expected %s", k, f.signs, f.accepts, want)
					}
				})
				if t.Failed() || !broke {
					if k < 12 {
						t.Errorf("only %d calls", k)
					}
					break
				}
			}
		}
	}
}

// Somebody else undoes the preparation: the wait after it starts again, also
// when the new signs already. The check is in fakeChange.
func TestStagesUndone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeChange(t)
		if done, _, err := f.run(Options{Until: record.WaitCaches}); done || err != nil {
			t.Fatal(err)
		}
		f.accepts = []string{"old"}
		start := time.Now()
		if done, _, err := f.run(Options{Until: record.Sign}); done || err != nil {
			t.Fatal(err)
		}
		if time.Since(start) < testCacheWait {
			t.Errorf("it waited for %s only", time.Since(start))
		}
		// What signs is put back: tokens of the old are issued again.
		f.signs = "old"
		f.issue()
		if done, _, err := f.run(Options{}); !done || err != nil {
			t.Fatalf("done=%t, %v", done, err)
		}
	})
}

// TestStagesUndoneAndBroken has somebody else undo a stage, and each call of the
// run that does it again fail in turn, before and after its work: the next run
// waits all the same. The checks are in fakeChange.
func TestStagesUndoneAndBroken(t *testing.T) {
	for _, c := range []struct {
		stage, until record.Stage // it is undone after the one, and looked at until the other
		undo         func(*fakeChange)
	}{
		{record.WaitCaches, record.Sign, func(f *fakeChange) { f.accepts = []string{"old"} }},
		{record.Sign, record.Prune, func(f *fakeChange) {
			time.Sleep(testLifetime - time.Minute)
			f.signs = "old"
		}},
		// An API server signed with the old one for a while.
		{record.WaitTokens, record.Prune, func(f *fakeChange) {
			f.tokens = append(f.tokens, fakeToken{of: "old", expires: time.Now().Add(testLifetime), pod: true})
		}},
	} {
		for _, after := range []bool{false, true} {
			for k := 0; ; k++ {
				broke := false
				synctest.Test(t, func(t *testing.T) {
					t.Logf("stage %s is undone, call %d broken, after=%t", c.stage, k, after)
					f := newFakeChange(t)
					if done, _, err := f.run(Options{Until: c.stage}); done || err != nil {
						t.Fatal(err)
					}
					c.undo(f)
					f.issue()
					f.fail, f.after = k, after
					_, _, err := f.run(Options{Until: c.until, NoWait: true})
					if broke = errors.Is(err, errBroken); !broke {
						return
					}
					f.fail = -1
					if _, out, err := f.run(Options{Until: c.until}); err != nil || f.signs != "new" {
						t.Errorf("%v, %s signs\n%s", err, f.signs, out)
					}
				})
				if !broke {
					if k < 3 {
						t.Errorf("only %d calls", k)
					}
					break
				}
			}
		}
	}
}

func TestStagesNoWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeChange(t)
		var stages []record.Stage
		for range 100 {
			start := time.Now()
			done, out, err := f.run(Options{NoWait: true})
			if err != nil {
				t.Fatal(err)
			}
			if time.Since(start) > time.Minute {
				t.Fatalf("it waited for %s", time.Since(start))
			}
			if done {
				if !slices.Equal(slices.Compact(stages), []record.Stage{record.WaitCaches, record.WaitTokens}) {
					t.Errorf("it stopped in %q", stages)
				}
				return
			}
			if !strings.Contains(out, "waiting until") {
				t.Errorf("it does not say how long to wait:\n%s", out)
			}
			stages = append(stages, f.saved.Stage)
			time.Sleep(5 * time.Minute)
		}
		t.Error("it never ends")
	})
}

func TestStagesUntil(t *testing.T) {
	for i, stage := range record.Stages()[:4] {
		synctest.Test(t, func(t *testing.T) {
			f := newFakeChange(t)
			done, _, err := f.run(Options{Until: stage})
			if next := record.Stages()[min(i+1, 3)]; err != nil || done || f.saved.Stage != next {
				t.Errorf("until %s: done=%t, %v, stage %s", stage, done, err, f.saved.Stage)
			}
			if signs := map[bool]string{true: "new", false: "old"}[i >= 2]; f.signs != signs {
				t.Errorf("until %s: %s signs", stage, f.signs)
			}
			// From each of these stages there is a way back, and no other way
			// once it is taken.
			back := Options{Rollback: true, NoWait: true}
			if done, _, err := f.run(back); err != nil || done != (i < 2) {
				t.Fatalf("until %s, and back: done=%t, %v", stage, done, err)
			}
			if f.done {
				return // the new had never signed: nothing to wait for
			}
			_, _, err = f.run(Options{})
			if e, ok := errors.AsType[*TurnError](err); !ok || !e.Change.Rollback {
				t.Errorf("forwards on the way back: %v", err)
			}
			if done, _, err := f.run(Options{Rollback: true}); err != nil || !done || f.signs != "old" || !slices.Equal(f.accepts, []string{"old"}) {
				t.Errorf("until %s, and back: done=%t, %v, %+v", stage, done, err, f)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		f := newFakeChange(t)
		f.saved.Stage = record.Prune
		_, _, err := f.run(Options{Rollback: true})
		if err == nil || !strings.Contains(err.Error(), "can no longer be rolled back") || len(f.calls) > 0 {
			t.Errorf("error = %v after %q", err, f.calls)
		}
	})
}

// What only a person can do something about ends the wait, and says what.
func TestStagesBlocked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeChange(t)
		f.secret = true
		_, _, err := f.run(Options{})
		e, ok := errors.AsType[*TokensError](err)
		if !ok || !strings.Contains(err.Error(), "default/token") || len(e.Secrets) != 1 {
			t.Errorf("error = %v", err)
		}
		if !slices.Contains(f.accepts, "old") || f.saved.Stage != record.WaitTokens {
			t.Error("the old was dropped all the same")
		}
		f.secret = false
		if done, _, err := f.run(Options{}); !done || err != nil {
			t.Error(err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		f := newFakeChange(t)
		f.stuck = true
		_, _, err := f.run(Options{})
		if err == nil || !strings.Contains(err.Error(), "pod default/app on node n") {
			t.Errorf("error = %v", err)
		}
	})
}
