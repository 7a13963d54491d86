package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"
	"sigs.k8s.io/yaml"

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
)

// report tells what a command does, link by link, as text while it happens or
// as JSON in the end.
type report struct {
	out, progress io.Writer
	json          bool
	dryRun        bool
	live          bool // progress can be overwritten
	calls         *callCount
	started       time.Time

	Cluster string       `json:"cluster"`
	Issuer  string       `json:"issuer,omitempty"`
	Target  string       `json:"target,omitempty"`
	DryRun  bool         `json:"dryRun,omitempty"`
	Links   []linkReport `json:"links"`
	Seconds float64      `json:"seconds"`
	Calls   int          `json:"awsCalls"`
	Writes  int          `json:"awsWrites"`
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
	if f, ok := a.err.(*os.File); ok {
		r.live = term.IsTerminal(int(f.Fd())) && a.getenv("TERM") != "dumb"
	}
	return r
}

// say prints a line of text on standard output, unless the report is JSON.
func (r *report) say(format string, args ...any) {
	if !r.json {
		fmt.Fprintf(r.out, format+"\n", args...)
	}
}

// doing shows what is going on, on a terminal only.
func (r *report) doing(link, what string) {
	if r.live {
		fmt.Fprintf(r.progress, "\r\033[K%-16s %s ...", link, what)
	}
}

func (r *report) done() {
	if r.live {
		fmt.Fprint(r.progress, "\r\033[K")
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
	for _, s := range steps {
		l.Steps = append(l.Steps, stepReport{s.Action, s.Summary, s.Diff})
	}
	if !r.dryRun {
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

// add reports a link that is done with.
func (r *report) add(l linkReport) {
	r.done()
	r.Links = append(r.Links, l)
	r.say("%-16s %-10s %s%s", l.Link, l.Result, l.Object, elapsed(l.Seconds))
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
	b, err := yaml.Marshal(v)
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
	if strings.HasSuffix(word, "y") {
		return fmt.Sprintf("%d %sies", n, strings.TrimSuffix(word, "y"))
	}
	return fmt.Sprintf("%d %ss", n, word)
}
