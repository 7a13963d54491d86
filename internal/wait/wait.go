// Package wait holds the loops with a clock: what is tried again until it
// succeeds, and what waits. All of them end with their context.
package wait

import (
	"context"
	"time"
)

// ForIAM is how long to try again what IAM or S3 has not heard of yet. Neither
// gives a figure for when a change is seen everywhere (IAM User Guide, "Changes
// that I make are not always immediately visible"); it is seconds.
const ForIAM = 30 * time.Second

// Retry calls do until it succeeds or fails for good. A failure that is
// transient, such as that of a call to a service which has not heard yet of
// what another call has made, is tried again after a quarter of a second, then
// after twice as long each time, up to every four seconds, as long as patience
// says; then its error is the answer. With no patience it is called once. When
// ctx ends, the error is its cause.
func Retry(ctx context.Context, patience time.Duration, transient func(error) bool, do func(context.Context) error) error {
	deadline := time.Now().Add(patience)
	for pause := 250 * time.Millisecond; ; pause = min(2*pause, 4*time.Second) {
		err := do(ctx)
		if err == nil || !transient(err) || time.Now().Add(pause).After(deadline) {
			return err
		}
		if err := Sleep(ctx, pause); err != nil {
			return err
		}
	}
}

// Any takes every failure for a transient one.
func Any(error) bool { return true }

// Sleep waits for d. When ctx ends before, the error is its cause.
func Sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}

// Looks are the pauses between looks at what changes by itself. The first ones
// are short, since much has changed already.
type Looks struct{ next time.Duration }

// Wait pauses, for 40 ms the first time and then for twice as long each time, up
// to 300 ms. When ctx ends before, the error is its cause.
func (l *Looks) Wait(ctx context.Context) error {
	d := max(l.next, 40*time.Millisecond)
	l.next = min(2*d, 300*time.Millisecond)
	return Sleep(ctx, d)
}
