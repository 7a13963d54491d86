package role

import (
	"context"
	"errors"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/openirsa/openirsa/internal/wait"
)

// patient does a step with [wait.Retry].
func patient(transient func(error) bool, do func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error { return wait.Retry(ctx, wait.ForIAM, transient, do) }
}

// isUnheardOf is how IAM refuses a trust policy that names what it has not heard
// of, such as a provider that was made a moment ago, and a second role of a name
// where it shows none yet.
func isUnheardOf(err error) bool {
	e, ok := errors.AsType[*types.MalformedPolicyDocumentException](err)
	return ok && strings.Contains(e.ErrorMessage(), "Invalid principal") || isTaken(err)
}

func isTaken(err error) bool {
	_, ok := errors.AsType[*types.EntityAlreadyExistsException](err)
	return ok
}

// isConflict is how IAM refuses to delete a role whose last policy was detached
// a moment ago.
func isConflict(err error) bool {
	_, ok := errors.AsType[*types.DeleteConflictException](err)
	return ok
}
