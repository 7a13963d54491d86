package plan

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// What was done about a link.
const (
	Created   = "created"
	Updated   = "updated"
	Deleted   = "deleted"
	Unchanged = "unchanged"
	Planned   = "planned" // a dry run would change it
	Skipped   = "skipped"
	Pending   = "pending" // for somebody else to do
)

// Result is what was done about a link, or would be done by a run that is not
// dry.
type Result struct {
	// Link is the link of the chain, such as [Provider].
	Link string
	// Outcome is [Created], [Updated], [Deleted], [Unchanged], [Planned],
	// [Skipped] or [Pending].
	Outcome string
	// Object names what was checked, such as the provider's ARN. Empty for a
	// link of several objects.
	Object string
	// Steps are those that were run, or are planned.
	Steps []Step
	// Took is how long it took, to decide and to do.
	Took time.Duration
	// Calls are the calls to AWS that it took, Writes those among them that
	// change something.
	Calls, Writes int
	// Objects are the results of each object of a link of several. Took, Calls
	// and Writes are then those of the link, and zero in each.
	Objects []Result
}

// Observer learns what happens while it happens. Its methods are called by
// several goroutines at the same time.
type Observer interface {
	// Start says what is being done about a link. It is over with the next call.
	Start(link, what string)
	// Done says what came of a link.
	Done(Result)
	// Say has a line of the story that belongs to no link.
	Say(line string)
	// Note has what somebody must know although it stops nothing, such as that
	// something stays because it belongs to another cluster.
	Note(error)
}

// Runner makes links: it decides, runs the steps unless it is a dry run, and
// tells an observer what came of it. The zero Runner works in silence.
type Runner struct {
	// Observer learns what happens. Nil is silence.
	Observer Observer
	// DryRun decides and runs nothing.
	DryRun bool
	// Before is called before the first step of each link that has one; its error
	// ends the link. Nil: nothing is called.
	Before func(context.Context) error
	// Calls counts the calls to AWS so far. Nil: they are not counted.
	Calls func() (total, writes int)

	changed atomic.Bool
}

// Item is one of several objects of a link.
type Item struct {
	Object string
	Decide func(context.Context) ([]Step, error)
}

// Ready is an object about which it is decided already.
func Ready(object string, steps []Step) Item {
	return Item{Object: object, Decide: func(context.Context) ([]Step, error) { return steps, nil }}
}

// atOnce is how many objects are worked on at the same time: enough for a
// hundred to take a second or two, and well below what IAM throttles.
const atOnce = 16

// Link makes one link of the chain. The error names the link; that of a step is
// an [*Error].
func (r *Runner) Link(ctx context.Context, link, object string, decide func(context.Context) ([]Step, error)) error {
	sum := r.begin(link)
	steps, err := decide(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", link, err)
	}
	if !r.DryRun {
		if err := r.before(ctx, steps); err != nil {
			return err
		}
		for _, s := range steps {
			r.Start(link, s.String())
			if err := Run(ctx, []Step{s}, nil); err != nil {
				return err
			}
		}
	}
	result := sum()
	result.Outcome, result.Object, result.Steps = r.outcome(steps), object, steps
	r.Done(result)
	return nil
}

// All makes one link of several objects, at the same time. All are decided
// before the first is changed.
func (r *Runner) All(ctx context.Context, link string, items []Item) error {
	if len(items) == 1 {
		return r.Link(ctx, link, items[0].Object, items[0].Decide)
	}
	return r.Many(ctx, link, func(context.Context) ([]Item, error) { return items, nil })
}

// Many is [Runner.All] of objects that must be found first.
func (r *Runner) Many(ctx context.Context, link string, find func(context.Context) ([]Item, error)) error {
	sum := r.begin(link)
	items, err := find(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", link, err)
	}
	decided := make([][]Step, len(items))
	err = r.each(ctx, link, "looking at", len(items), func(ctx context.Context, i int) (err error) {
		if decided[i], err = items[i].Decide(ctx); err != nil {
			return fmt.Errorf("%s: %s: %w", link, items[i].Object, err)
		}
		return nil
	})
	if err == nil && !r.DryRun {
		err = r.before(ctx, decided...)
	}
	if err == nil && !r.DryRun {
		err = r.each(ctx, link, "making", len(items), func(ctx context.Context, i int) error { return Run(ctx, decided[i], nil) })
	}
	if err != nil {
		return err
	}
	result := sum()
	for i, steps := range decided {
		result.Objects = append(result.Objects, Result{Link: link, Outcome: r.outcome(steps), Object: items[i].Object, Steps: steps})
	}
	switch len(items) {
	case 0:
		return nil
	case 1:
		one := result.Objects[0]
		result.Outcome, result.Object, result.Steps, result.Objects = one.Outcome, one.Object, one.Steps, nil
	default:
		result.Steps = slices.Concat(decided...)
		result.Outcome = r.outcome(result.Steps)
	}
	r.Done(result)
	return nil
}

// begin begins to count what a link takes; the function that it returns has the
// sum.
func (r *Runner) begin(link string) func() Result {
	start := time.Now()
	calls, writes := r.Counts()
	r.Start(link, "looking")
	return func() Result {
		total, wrote := r.Counts()
		return Result{Link: link, Took: time.Since(start), Calls: total - calls, Writes: wrote - writes}
	}
}

// each works on n objects at the same time, and says how many are finished.
func (r *Runner) each(ctx context.Context, link, what string, n int, f func(context.Context, int) error) error {
	var finished atomic.Int64
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	for i := range n {
		group.Go(func() error {
			err := f(ctx, i)
			r.Start(link, fmt.Sprintf("%s %d of %d", what, finished.Add(1), n))
			return err
		})
	}
	return group.Wait()
}

// before calls Before if any of the plans has a step.
func (r *Runner) before(ctx context.Context, plans ...[]Step) error {
	if r.Before == nil || !slices.ContainsFunc(plans, func(steps []Step) bool { return len(steps) > 0 }) {
		return nil
	}
	return r.Before(ctx)
}

func (r *Runner) outcome(steps []Step) string {
	if r.DryRun && len(steps) > 0 {
		return Planned
	}
	return Outcome(steps)
}

// Counts are the calls to AWS so far, and how many of them change something.
func (r *Runner) Counts() (total, writes int) {
	if r.Calls == nil {
		return 0, 0
	}
	return r.Calls()
}

// Start tells the observer what is being done about a link.
func (r *Runner) Start(link, what string) {
	if r.Observer != nil {
		r.Observer.Start(link, what)
	}
}

// Done tells the observer what came of a link that no other method has made.
func (r *Runner) Done(result Result) {
	if result.Outcome != Unchanged && result.Outcome != Skipped {
		r.changed.Store(true)
	}
	if r.Observer != nil {
		r.Observer.Done(result)
	}
}

// Say tells the observer a line.
func (r *Runner) Say(format string, args ...any) {
	if r.Observer != nil {
		r.Observer.Say(fmt.Sprintf(format, args...))
	}
}

// Note tells the observer what somebody must know although it stops nothing.
func (r *Runner) Note(err error) {
	if r.Observer != nil {
		r.Observer.Note(err)
	}
}

// Changed reports whether anything was, or in a dry run would be, changed.
func (r *Runner) Changed() bool { return r.changed.Load() }

// Outcome sums up steps that were run in one word.
func Outcome(steps []Step) string {
	if len(steps) == 0 {
		return Unchanged
	}
	word := steps[0].Action
	for _, s := range steps {
		if s.Action != word {
			if word == Create {
				return Created // making something takes updates too
			}
			if steps[len(steps)-1].Action == Delete {
				return Deleted
			}
			return Updated
		}
	}
	return Past(word)
}
