package crash

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// step is a step as setup reports it with -o json.
type step struct{ Link, Action, Summary, Diff string }

// steps are those of a report, in their order.
func steps(t *testing.T, r result) []step {
	t.Helper()
	var report struct {
		Links []struct {
			Link  string
			Steps []step
		}
	}
	if err := json.Unmarshal([]byte(r.stdout), &report); err != nil {
		t.Fatalf("reading the report: %v\n%s", err, r.out)
	}
	var all []step
	for _, l := range report.Links {
		for _, s := range l.Steps {
			s.Link = l.Link
			all = append(all, s)
		}
	}
	return all
}

// TestPlan holds what a dry run says against what the run then says that it did. The dry run changes nothing, and a
// second run has nothing to do.
func TestPlan(t *testing.T) {
	w := tell(t, writeKey(t))
	json := func(args []string) []string { return append(args, "-o", "json") }
	for _, c := range commands {
		t.Run(c.name, func(t *testing.T) {
			w.use(t)
			w.restore(w.at[c.from])
			planned, err := w.run(json(c.plan())...)
			if err != nil {
				t.Fatal(err)
			}
			for _, call := range planned.calls {
				if call.writes {
					t.Errorf("the dry run writes: %s", call)
				}
			}
			w.is(c.from, "after the dry run of "+c.name)
			did, err := w.run(json(c.do())...)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(steps(t, planned), steps(t, did)); diff != "" {
				t.Errorf("the plan is not what was done (-plan +done):\n%s", diff)
			}
			if len(steps(t, did)) == 0 {
				t.Error("nothing was done")
			}
			again, err := w.run(json(c.do())...)
			if err != nil {
				t.Fatal(err)
			}
			for _, call := range again.calls {
				if call.writes {
					t.Errorf("the second run writes: %s", call)
				}
			}
		})
	}
}

// TestUnfinished has Kubernetes not do its part. A second run must not take what is there for what works.
func TestUnfinished(t *testing.T) {
	w := tell(t, writeKey(t))
	for what, says := range map[string]string{"rollout": "has 0 of 2 replicas available after 1s", "caBundle": "has no caBundle after 1s"} {
		t.Run(what, func(t *testing.T) {
			w.use(t)
			w.restore(w.at[empty])
			w.others.leave(what)
			for _, run := range []string{"first", "second"} {
				r := w.setup(call{}, none, append(up, "--wait", "1s")...)
				if r.code != 1 || !strings.Contains(r.out, says) {
					t.Errorf("%s run: exit %d, want 1 and %q:\n%s", run, r.code, says, r.out)
				}
			}
			w.others.leave("")
			if _, err := w.run(up...); err != nil {
				t.Fatal(err)
			}
			w.is(chained, "after a third run")
		})
	}
}
