package publish

import (
	"context"
	"errors"

	"github.com/openirsa/openirsa/internal/wait"
	"github.com/openirsa/openirsa/pkg/plan"
)

// StillThereError is what remains of something that was removed.
type StillThereError struct{ Thing string }

func (e *StillThereError) Error() string { return e.Thing + " is still there" }

// UntilGone asks until there is nothing left to remove: for a moment IAM and S3 may go
// on showing what was removed. After half a minute the error is a [*StillThereError].
func UntilGone(ctx context.Context, decide func(context.Context) ([]plan.Step, error)) error {
	late := func(err error) bool { _, late := errors.AsType[*StillThereError](err); return late }
	return wait.Retry(ctx, wait.ForIAM, late, func(ctx context.Context) error {
		steps, err := decide(ctx)
		switch {
		case code(err) == "NoSuchBucket":
			return &StillThereError{"a bucket"} // for HeadBucket, and no more for others
		case err == nil && len(steps) > 0:
			return &StillThereError{steps[0].Summary}
		}
		return err
	})
}

// Stays reports whether a bucket that was to go with its documents at paths is still
// there, mostly because of what others have put into it.
func (b S3) Stays(ctx context.Context, paths []string) (bool, error) {
	err := UntilGone(ctx, func(ctx context.Context) ([]plan.Step, error) { return b.Delete(ctx, paths) })
	if _, late := errors.AsType[*StillThereError](err); err != nil && !late {
		return false, err
	}
	return b.Exists(ctx)
}
