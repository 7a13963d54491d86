package plan_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/openirsa/openirsa/pkg/plan"
)

// TestBefore: whoever wants to know that a link is about to change is told once, before its first step, however many
// objects the link has, and nothing is changed if that fails.
func TestBefore(t *testing.T) {
	one := errors.New("cannot be recorded")
	for _, tt := range []struct {
		name  string
		steps []int // of each object
		err   error
		want  []string
	}{
		{"one object", []int{2}, nil, []string{"before", "step", "step"}},
		{"one object as it is wanted", []int{0}, nil, nil},
		{"many objects", []int{0, 1, 1}, nil, []string{"before", "step", "step"}},
		{"many objects as they are wanted", []int{0, 0}, nil, nil},
		{"one object, refused", []int{1}, one, []string{"before"}},
		{"many objects, refused", []int{1, 1}, one, []string{"before"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			events := make(chan string, 10)
			r := &plan.Runner{Before: func(context.Context) error {
				events <- "before"
				return tt.err
			}}
			var items []plan.Item
			for _, n := range tt.steps {
				items = append(items, plan.Item{Object: "object", Decide: func(context.Context) (steps []plan.Step, _ error) {
					for range n {
						steps = append(steps, plan.Step{Link: "role", Action: plan.Create, Do: func(context.Context) error {
							events <- "step"
							return nil
						}})
					}
					return steps, nil
				}})
			}
			if err := r.All(t.Context(), "role", items); !errors.Is(err, tt.err) {
				t.Fatal(err)
			}
			close(events)
			var got []string
			for e := range events {
				got = append(got, e)
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}
