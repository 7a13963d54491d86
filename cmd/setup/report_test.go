package main

import (
	"context"
	"errors"
	"io"
	"slices"
	"testing"

	"github.com/openirsa/openirsa/pkg/plan"
)

// TestChanging: whoever wants to know that a link is about to change is told once, before its first step, however many
// objects the link has, and nothing is changed if that fails.
func TestChanging(t *testing.T) {
	one := errors.New("cannot be recorded")
	for _, tt := range []struct {
		name  string
		steps []int // of each object
		err   error
		want  []string
	}{
		{"one object", []int{2}, nil, []string{"changing", "step", "step"}},
		{"one object as it is wanted", []int{0}, nil, nil},
		{"many objects", []int{0, 1, 1}, nil, []string{"changing", "step", "step"}},
		{"many objects as they are wanted", []int{0, 0}, nil, nil},
		{"one object, refused", []int{1}, one, []string{"changing"}},
		{"many objects, refused", []int{1, 1}, one, []string{"changing"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			events := make(chan string, 10)
			r := &report{out: io.Discard, progress: io.Discard, calls: &callCount{}, changing: func(context.Context) error {
				events <- "changing"
				return tt.err
			}}
			var items []item
			for _, n := range tt.steps {
				items = append(items, item{object: "object", decide: func(context.Context) (steps []plan.Step, _ error) {
					for range n {
						steps = append(steps, plan.Step{Link: "role", Action: plan.Create, Do: func(context.Context) error {
							events <- "step"
							return nil
						}})
					}
					return steps, nil
				}})
			}
			if err := r.all(t.Context(), "role", items); !errors.Is(err, tt.err) {
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
