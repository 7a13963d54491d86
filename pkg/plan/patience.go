package plan

import (
	"context"
	"time"
)

// patience is how long [Patiently] goes on. IAM gives no figure for when a
// change is seen everywhere (User Guide, "Changes that I make are not always
// immediately visible"); it is seconds.
const patience = 30 * time.Second

// Patiently calls do until it succeeds or fails for good. A failure that is
// transient, such as that of a call to a service which has not yet heard of
// what another call has made, is tried again after a quarter of a second, then
// after twice as long each time, for half a minute at most; then its error is
// the answer. When ctx ends, that is its cause.
func Patiently(ctx context.Context, transient func(error) bool, do func(context.Context) error) error {
	deadline := time.Now().Add(patience)
	for wait := 250 * time.Millisecond; ; wait = min(2*wait, 4*time.Second) {
		err := do(ctx)
		if err == nil || !transient(err) || time.Now().Add(wait).After(deadline) {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(wait):
		}
	}
}
