package eks

import (
	"cmp"
	"net/http"
	"path"

	"github.com/openirsa/openirsa/pkg/emulator/internal/api"
	"github.com/openirsa/openirsa/pkg/emulator/internal/store"
	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
)

func failure(status int, code, format string, args ...any) *wire.Failure {
	return wire.Errorf(status, code, format, args...)
}

func invalid(format string, args ...any) *wire.Failure {
	return failure(http.StatusBadRequest, "InvalidParameterException", format, args...)
}

func badRequest(format string, args ...any) *wire.Failure {
	return failure(http.StatusBadRequest, "InvalidRequestException", format, args...)
}

func tooMany(format string, args ...any) *wire.Failure {
	return failure(http.StatusBadRequest, "ResourceLimitExceededException", format, args...)
}

func inUse(format string, args ...any) *wire.Failure {
	return failure(http.StatusConflict, "ResourceInUseException", format, args...)
}

func notFound(format string, args ...any) *wire.Failure {
	return failure(http.StatusNotFound, "ResourceNotFoundException", format, args...)
}

// NoCluster is the answer if there is no cluster with a name.
func NoCluster(name string) *wire.Failure { return notFound("No cluster found for name: %s.", name) }

// noAssociation is the answer if there is no association with an ARN, which ends with the
// id.
func noAssociation(arn string) *why {
	id := path.Base(arn)
	return &why{
		Failure: notFound("No pod identity association found for id: %s.", id), step: existence,
		reason: "there is no association " + arn, resource: arn, expected: []string{id},
	}
}

// why is a failure with the event that it has: the values that disagree, a step if it is
// not "parameters", and a reason if it is not the message.
type why struct {
	*wire.Failure
	step, reason, resource string
	expected, found        []string
}

// existence is the step of a failure because something is not there.
const existence = "existence"

// refuse keeps the event of a failure that no policy is to blame for.
func (s *Service) refuse(c *api.Call, w *why) *wire.Failure {
	s.account.Gate.Record(c, api.Decision{
		Step: cmp.Or(w.step, "parameters"), Reason: cmp.Or(w.reason, w.Message), Code: w.Code, Resource: w.resource,
		Expected: w.expected, Found: w.found,
	})
	return w.Failure
}

// change is edit for a call, with the event of what f refuses. f holds the lock.
func (s *Service) change(c *api.Call, f func(*store.Change) *why) *wire.Failure {
	var refused *why
	e := s.edit(func(change *store.Change) *wire.Failure {
		if refused = f(change); refused != nil {
			return refused.Failure
		}
		return nil
	})
	if refused != nil {
		return s.refuse(c, refused)
	}
	return e
}
