package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/openirsa/openirsa/internal/plain"
	"github.com/openirsa/openirsa/pkg/plan"
)

// What was done about a link.
const (
	created   = "created"
	updated   = "updated"
	deleted   = "deleted"
	unchanged = "unchanged"
	planned   = "planned"
	skipped   = "skipped"
	pending   = "pending" // for somebody else to do
)

// report tells what a command does, link by link, as text while it happens or
// as JSON in the end.
type report struct {
	out, progress io.Writer
	json          bool
	dryRun        bool
	live          bool // progress can be overwritten
	palette       palette
	calls         *callCount
	started       time.Time
	// changing is called before the first step of a link. Nil: nothing is.
	changing func(context.Context) error

	Cluster string       `json:"cluster"`
	Issuer  string       `json:"issuer,omitempty"`
	Target  string       `json:"target,omitempty"`
	DryRun  bool         `json:"dryRun,omitempty"`
	Links   []linkReport `json:"links"`
	Seconds float64      `json:"seconds"`
	Calls   int          `json:"awsCalls"`
	Writes  int          `json:"awsWrites"`
	// Change is the staged change that is still under way, and Waiting what
	// it waits for.
	Change  *change     `json:"change,omitempty"`
	Waiting *waitReport `json:"waiting,omitempty"`
}

type waitReport struct {
	Until time.Time `json:"until"`
	For   string    `json:"for"`
}

type linkReport struct {
	Link    string       `json:"link"`
	Result  string       `json:"result"`
	Object  string       `json:"object,omitempty"`
	Steps   []stepReport `json:"steps,omitempty"`
	Seconds float64      `json:"seconds"`
	Calls   int          `json:"awsCalls"`
	Writes  int          `json:"awsWrites"`
}

type stepReport struct {
	Action  string `json:"action"`
	Summary string `json:"summary"`
	Diff    string `json:"diff,omitempty"`
}

func (a *app) newReport(cluster string, dryRun bool) *report {
	r := &report{out: a.out, progress: a.err, json: a.output == "json", dryRun: dryRun, DryRun: dryRun,
		started: time.Now(), Cluster: cluster, Links: []linkReport{}}
	r.live, r.palette = isTerminal(a.err, a.getenv), a.palette()
	return r
}

// say prints text on standard output, unless the report is JSON. Each argument
// stays on its line.
func (r *report) say(format string, args ...any) {
	if !r.json {
		plain.Fprintf(r.out, format+"\n", args...)
	}
}

// note says on standard error what somebody has to know, whatever the format.
func (r *report) note(format string, args ...any) {
	r.done()
	plain.Fprintf(r.progress, format+"\n", args...)
}

// doing shows what is going on, on a terminal only.
func (r *report) doing(link, what string) {
	if r.live {
		fmt.Fprintf(terminal(r.progress), "\r\033[K%-16s %s ...", plain.Line(link), plain.Line(what))
	}
}

func (r *report) done() {
	if r.live {
		fmt.Fprint(terminal(r.progress), "\r\033[K")
	}
}

// link makes one link of the chain: it decides, runs the steps unless this is a
// dry run, and reports what came of it. The object is named after the plan was
// made, since that may find its name.
func (r *report) link(ctx context.Context, name string, object func() string, decide func(context.Context) ([]plan.Step, error)) error {
	defer r.done()
	start := time.Now()
	calls, writes := r.calls.counts()
	r.doing(name, "looking")
	steps, err := decide(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	l := linkReport{Link: name, Result: outcome(steps)}
	if r.dryRun && len(steps) > 0 {
		l.Result = planned
	}
	l.Steps = reportSteps(steps)
	if !r.dryRun {
		if err := r.beforeSteps(ctx, steps); err != nil {
			return err
		}
		for _, s := range steps {
			r.doing(name, s.String())
			if err := plan.Run(ctx, []plan.Step{s}, nil); err != nil {
				return err
			}
		}
	}
	l.Object = object()
	l.Seconds = time.Since(start).Seconds()
	total, wrote := r.calls.counts()
	l.Calls, l.Writes = total-calls, wrote-writes
	r.add(l)
	if r.dryRun && !r.json {
		plan.Print(r.out, steps)
	}
	return nil
}

// beforeSteps calls changing if any of the plans has a step.
func (r *report) beforeSteps(ctx context.Context, plans ...[]plan.Step) error {
	if r.changing == nil || !slices.ContainsFunc(plans, func(steps []plan.Step) bool { return len(steps) > 0 }) {
		return nil
	}
	return r.changing(ctx)
}

// item is one of many objects of a link.
type item struct {
	object string
	decide func(context.Context) ([]plan.Step, error)
}

// atOnce is how many objects are worked on at the same time: enough for a
// hundred to take a second or two, and well below what IAM throttles.
const atOnce = 16

// all makes one link of several objects, at the same time. All are decided
// before the first is changed. Objects that change have a line each; the others
// share one if they are many.
func (r *report) all(ctx context.Context, name string, items []item) error {
	if len(items) == 1 {
		return r.link(ctx, name, func() string { return items[0].object }, items[0].decide)
	}
	return r.many(ctx, name, func(context.Context) ([]item, error) { return items, nil })
}

// many is [report.all] of objects that must be found first.
func (r *report) many(ctx context.Context, name string, find func(context.Context) ([]item, error)) error {
	defer r.done()
	start := time.Now()
	calls, writes := r.calls.counts()
	r.doing(name, "looking")
	items, err := find(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	decided := make([][]plan.Step, len(items))
	each := func(what string, f func(context.Context, int) error) error {
		var finished atomic.Int64
		group, ctx := errgroup.WithContext(ctx)
		group.SetLimit(atOnce)
		for i := range items {
			group.Go(func() error {
				err := f(ctx, i)
				r.doing(name, fmt.Sprintf("%s %d of %d", what, finished.Add(1), len(items)))
				return err
			})
		}
		return group.Wait()
	}
	err = each("looking at", func(ctx context.Context, i int) (err error) {
		if decided[i], err = items[i].decide(ctx); err != nil {
			return fmt.Errorf("%s: %s: %w", name, items[i].object, err)
		}
		return nil
	})
	if err == nil && !r.dryRun {
		err = r.beforeSteps(ctx, decided...)
	}
	if err == nil && !r.dryRun {
		err = each("making", func(ctx context.Context, i int) error { return plan.Run(ctx, decided[i], nil) })
	}
	if err != nil {
		return err
	}
	total, wrote := r.calls.counts()
	sum := linkReport{Link: name, Result: unchanged, Seconds: time.Since(start).Seconds(), Calls: total - calls, Writes: wrote - writes}
	same := 0
	for i, steps := range decided {
		if len(steps) == 0 && !r.json && len(items) > 1 {
			same++
			continue
		}
		l := linkReport{Link: name, Result: outcome(steps), Object: items[i].object, Steps: reportSteps(steps)}
		if len(items) == 1 {
			l.Seconds, l.Calls, l.Writes = sum.Seconds, sum.Calls, sum.Writes
		}
		if r.dryRun && len(steps) > 0 {
			l.Result = planned
		}
		r.add(l)
		if r.dryRun && !r.json {
			plan.Print(r.out, steps)
		}
	}
	if same > 0 {
		sum.Object = plural(same, name)
		r.add(sum)
	}
	return nil
}

func reportSteps(steps []plan.Step) []stepReport {
	var reports []stepReport
	for _, s := range steps {
		reports = append(reports, stepReport{s.Action, s.Summary, s.Diff})
	}
	return reports
}

// add reports a link that is done with.
func (r *report) add(l linkReport) {
	r.done()
	r.Links = append(r.Links, l)
	if !r.json {
		r.palette.row(r.out, l.Link, l.Result, 10, l.Object+elapsed(l.Seconds))
	}
}

func elapsed(seconds float64) string {
	if seconds < 0.05 {
		return ""
	}
	return fmt.Sprintf("  (%.1fs)", seconds)
}

// outcome sums up steps in one word.
func outcome(steps []plan.Step) string {
	if len(steps) == 0 {
		return unchanged
	}
	word := steps[0].Action
	for _, s := range steps {
		if s.Action != word {
			if word == plan.Create {
				return created // making something takes updates too
			}
			if steps[len(steps)-1].Action == plan.Delete {
				return deleted
			}
			return updated
		}
	}
	return plan.Past(word)
}

// finish writes the JSON, or a last line.
func (r *report) finish() error {
	r.Seconds = time.Since(r.started).Seconds()
	r.Calls, r.Writes = r.calls.counts()
	if r.json {
		return printJSON(r.out, r)
	}
	return nil
}

// changed reports whether anything was, or in a dry run would be, changed.
func (r *report) changed() bool {
	for _, l := range r.Links {
		if l.Result != unchanged && l.Result != skipped {
			return true
		}
	}
	return false
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

func printYAML(w io.Writer, v any) error {
	b, err := plain.MarshalYAML(v)
	if err != nil {
		return err
	}
	_, err = w.Write(b)
	return err
}

// plural is "1 call" or "3 calls".
func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	if before, ok := strings.CutSuffix(word, "y"); ok && !strings.HasSuffix(word, "key") {
		return fmt.Sprintf("%d %sies", n, before)
	}
	return fmt.Sprintf("%d %ss", n, word)
}
