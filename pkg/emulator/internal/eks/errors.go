package eks

import (
	"net/http"

	"github.com/openirsa/openirsa/pkg/emulator/internal/api"
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

func noAssociation(id string) *wire.Failure {
	return notFound("No pod identity association found for id: %s.", id)
}

// why is a failure with the event that it has: the values that disagree, and a reason
// if it is not the message.
type why struct {
	*wire.Failure
	reason, resource string
	expected, found  []string
}

// refuse keeps the event of a failure that no policy is to blame for.
func (s *Service) refuse(c *api.Call, w *why) *wire.Failure {
	d := api.Decision{Step: "parameters", Reason: w.reason, Code: w.Code, Resource: w.resource, Expected: w.expected, Found: w.found}
	if d.Reason == "" {
		d.Reason = w.Message
	}
	s.account.Gate.Record(c, d)
	return w.Failure
}
