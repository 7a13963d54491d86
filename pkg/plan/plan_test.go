package plan_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/openirsa/openirsa/pkg/plan"
)

func step(summary string, did *[]string, err error) plan.Step {
	return plan.Step{Link: plan.Role, Action: plan.Create, Summary: summary, Do: func(context.Context) error {
		*did = append(*did, summary)
		return err
	}}
}

func TestRunStopsAtTheFirstFailure(t *testing.T) {
	var did, done []string
	boom := errors.New("boom")
	err := plan.Run(t.Context(), []plan.Step{step("a", &did, nil), step("b", &did, boom), step("c", &did, nil)},
		func(s plan.Step) { done = append(done, s.Summary) })
	if !errors.Is(err, boom) || err.Error() != "role: create b: boom" {
		t.Errorf("error = %v", err)
	}
	if e, ok := errors.AsType[*plan.Error](err); !ok || e.Step.Summary != "b" {
		t.Errorf("error does not name the step: %v", err)
	}
	if got := strings.Join(did, ","); got != "a,b" {
		t.Errorf("ran %s", got)
	}
	if got := strings.Join(done, ","); got != "a" {
		t.Errorf("reported %s", got)
	}
}

func TestRunEndsWithTheContext(t *testing.T) {
	var did []string
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("interrupted")
	cancel(cause)
	if err := plan.Run(ctx, []plan.Step{step("a", &did, nil)}, nil); !errors.Is(err, cause) {
		t.Errorf("error = %v", err)
	}
	if len(did) != 0 {
		t.Errorf("ran %v", did)
	}
}

func TestPrint(t *testing.T) {
	var out strings.Builder
	plan.Print(&out, []plan.Step{{Link: plan.Provider, Action: plan.Update, Summary: "provider x", Diff: "-a\n+b\n"}})
	want := "  update provider x\n      -a\n      +b\n"
	if out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}
