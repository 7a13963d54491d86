package app

import (
	"fmt"
	"io"
	"time"

	"github.com/openirsa/openirsa/internal/plain"
	"github.com/openirsa/openirsa/pkg/chain"
	"github.com/openirsa/openirsa/pkg/change"
	"github.com/openirsa/openirsa/pkg/plan"
	"github.com/openirsa/openirsa/pkg/record"
)

// report tells what a command does, link by link, as text while it happens or
// as JSON in the end.
type report struct {
	out, progress io.Writer
	says          func(advice string) string
	json          bool
	live          bool // progress can be overwritten
	palette       palette
	started       time.Time
	run           *plan.Runner // whose observer it is

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
	Change  *record.Change `json:"change,omitempty"`
	Waiting *change.Wait   `json:"waiting,omitempty"`
	// Moves are the service accounts on their way from IRSA to EKS Pod Identity.
	Moves []chain.Move `json:"podIdentityMigration,omitempty"`
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
	r := &report{says: a.says, out: a.out, progress: a.err, json: a.output == "json", DryRun: dryRun,
		started: time.Now(), Cluster: cluster, Links: []linkReport{}}
	r.live, r.palette = isTerminal(a.err, a.Getenv), a.palette()
	r.run = &plan.Runner{Observer: r, DryRun: dryRun}
	return r
}

// say prints text on standard output, unless the report is JSON. Each argument
// stays on its line.
func (r *report) say(format string, args ...any) {
	if !r.json {
		plain.Fprintf(r.out, format+"\n", args...)
	}
}

// Say prints a line of the story on standard output, unless the report is JSON.
func (r *report) Say(line string) {
	r.clear()
	r.say("%s", line)
}

// Note says on standard error what somebody has to know, whatever the format.
func (r *report) Note(err error) {
	r.clear()
	plain.Fprintf(r.progress, "%s\n", r.says(noted(err)))
}

// Start shows what happens, on a terminal only.
func (r *report) Start(link, what string) {
	if r.live {
		fmt.Fprintf(terminal(r.progress), "\r\033[K%-16s %s ...", plain.Line(link), plain.Line(what))
	}
}

// clear takes away what Start has shown.
func (r *report) clear() {
	if r.live {
		fmt.Fprint(terminal(r.progress), "\r\033[K")
	}
}

// Done reports a link that is done with. Of several objects, those that change
// have a line each; the others share one.
func (r *report) Done(result plan.Result) {
	r.clear()
	if len(result.Objects) == 0 {
		r.add(result)
		return
	}
	same := 0
	for _, object := range result.Objects {
		if len(object.Steps) == 0 && !r.json {
			same++
			continue
		}
		r.add(object)
	}
	if same > 0 {
		result.Outcome, result.Object, result.Steps = plan.Unchanged, plural(same, result.Link), nil
		r.add(result)
	}
}

func (r *report) add(result plan.Result) {
	l := linkReport{
		Link:    result.Link,
		Result:  result.Outcome,
		Object:  result.Object,
		Seconds: result.Took.Seconds(),
		Calls:   result.Calls,
		Writes:  result.Writes,
	}
	for _, s := range result.Steps {
		l.Steps = append(l.Steps, stepReport{s.Action, s.Summary, s.Diff})
	}
	r.Links = append(r.Links, l)
	if r.json {
		return
	}
	r.palette.row(r.out, l.Link, l.Result, 10, l.Object+elapsed(l.Seconds))
	if r.DryRun {
		plan.Print(r.out, result.Steps)
	}
}

func elapsed(seconds float64) string {
	if seconds < 0.05 {
		return ""
	}
	return fmt.Sprintf("  (%.1fs)", seconds)
}

// finishRun is [report.finish] of a run of a chain.
func (r *report) finishRun(out chain.Outcome) error {
	r.run.Calls = func() (total, writes int) { return out.Calls, out.Writes }
	return r.finish()
}

// finish writes the JSON.
func (r *report) finish() error {
	r.Calls, r.Writes = r.run.Counts()
	r.Seconds = time.Since(r.started).Seconds()
	if r.json {
		return printJSON(r.out, r)
	}
	return nil
}
