package emulator

import (
	"strings"

	"github.com/openirsa/openirsa/pkg/emulator/internal/api"
	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
	"github.com/openirsa/openirsa/pkg/policy"
)

// refusedParameters records parameters that were refused, and returns the refusal.
func (s *Server) refusedParameters(c *call, e *wire.Failure) *wire.Failure {
	s.logRefused(c.Call, "parameters", e.Message, e)
	return e
}

// permit asks whether the caller may do what it calls, to a resource. spelled
// is the resource as AWS's AccessDenied spells it, "" for its ARN.
func (s *Server) permit(c *call, resource, spelled string, keys policy.Context) *wire.Failure {
	return s.authorize(c.Call, &api.Question{Action: "iam:" + c.Operation, Resource: resource, Spelled: spelled, Keys: keys})
}

// permitCreate is permit for a new resource, which takes the permission to tag
// it too if it has tags from the start.
func (s *Server) permitCreate(c *call, resource, spelled string, keys policy.Context, tags []wire.Tag) *wire.Failure {
	if e := s.permit(c, resource, spelled, keys); e != nil || len(tags) == 0 {
		return e
	}
	action := "iam:Tag" + strings.TrimPrefix(c.Operation, "Create")
	return s.authorize(c.Call, &api.Question{Action: action, Resource: resource, Spelled: spelled, Keys: keys})
}

// pathOr is a path, which is "/" unless told.
func pathOr(path string) string {
	if path == "" {
		return "/"
	}
	return path
}

// permitAccount ends the reading of parameters of an operation on the account
// as a whole, and asks whether the caller may.
func (s *Server) permitAccount(c *call, resource string) *wire.Failure {
	if e := c.Err(); e != nil {
		return s.refusedParameters(c, e)
	}
	return s.permit(c, resource, "", policy.Context{})
}
