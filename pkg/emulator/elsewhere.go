package emulator

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"strings"

	"github.com/openirsa/openirsa/internal/awsapi"
	"github.com/openirsa/openirsa/internal/sigv4"
	"github.com/openirsa/openirsa/pkg/emulator/internal/api"
	"github.com/openirsa/openirsa/pkg/emulator/internal/guard"
	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
)

// Services that the emulator does not have. AWS_ENDPOINT_URL is for all
// services, so a program that is pointed here calls those too. Each gets an
// error in the protocol that its client speaks, with the error's code where
// that client looks for it: package guard knows them, as for calls that it forwards.

// maxUnused bounds, in bytes, what is read of a body that nobody uses: the signature
// covers it, and a client that still sends does not see an answer. The largest are those
// of Lambda, 67 MB.
const maxUnused = 128 << 20

// elsewhereServices are those that the emulator does not have.
type elsewhereServices struct{ *Server }

// Names implements [api.Service].
func (elsewhereServices) Names() []string { return nil }

// Load implements [api.Service].
func (elsewhereServices) Load() error { return nil }

// Take implements [api.Service].
func (s elsewhereServices) Take(c *api.Call) api.Answer {
	a := s.guard.Absent(c)
	if a == nil {
		return nil
	}
	return func(w http.ResponseWriter) { s.serveElsewhere(w, c, a) }
}

// An elsewhere is a call of a service that is not here.
type elsewhere struct {
	service   string          // the name that clients have for it; "" if it was not well said
	operation string          // "" if it is not known
	models    []*awsapi.Model // of the services that it may be for
}

// notHere says what is not here, and what to do.
func (s *Server) notHere(e elsewhere) string {
	service := e.service
	if service == "" {
		service = "the service that this request is for"
	}
	text := "This emulator does not have " + service
	if e.operation != "" {
		text += ", so it cannot do " + e.operation
	}
	text += "; it has " + s.has() + ". AWS_ENDPOINT_URL sends the calls of all services here: give the client of " +
		service + " an endpoint of its own, such as with "
	if len(e.models) == 0 {
		return text + "AWS_ENDPOINT_URL_ and the service's name" + e.forward()
	}
	variables := make([]string, len(e.models))
	for i, m := range e.models {
		variables[i] = "AWS_ENDPOINT_URL_" + strings.ToUpper(strings.NewReplacer(" ", "_", "-", "_").Replace(m.ServiceID))
	}
	return text + strings.Join(variables, " or ") + e.forward()
}

// forward says how to have the emulator itself forward the calls of the service.
func (e elsewhere) forward() string {
	if e.service == "" {
		return "."
	}
	return ", or have the emulator pass on what is allowed, with --forward " + e.service + "=URL."
}

// has are the services of the emulator in words.
func (s *Server) has() string {
	var names []string
	for _, name := range s.here {
		switch {
		case name == "eks-auth":
			names = append(names, "EKS Auth")
		case len(name) > len("kms"):
			names = append(names, strings.ToUpper(name[:1])+name[1:])
		default:
			names = append(names, strings.ToUpper(name))
		}
	}
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " and " + names[last]
}

// serveElsewhere refuses a call of a service that is not here, once it is known who
// calls.
func (s *Server) serveElsewhere(w http.ResponseWriter, c *api.Call, a *guard.Absent) {
	models, service, operation := a.Names()
	where := elsewhere{shown(service, maxText), shown(operation, maxText), models}
	c.Service, c.Operation = where.service, where.operation
	hash, e := unusedBody(c, a.Failed)
	if e == nil {
		e = s.refusePage(c)
	}
	if e != nil {
		a.Write(w, c, e)
		return
	}
	s.guard.Refuse(w, c, a, hash, func() *wire.Failure { return s.refuseElsewhere(c, a.Unknown(s.notHere(where))) })
}

// unusedBody reads a body to its end, and keeps no more of it than its hash, which the
// signature covers. A client that waits for 100 Continue, and says the hash in a
// header, need not send the body. Failed is what went wrong when a form was read.
func unusedBody(c *api.Call, failed *wire.Failure) (hash string, e *wire.Failure) {
	switch {
	case failed != nil && failed.Status >= http.StatusInternalServerError:
		return "", failed
	case c.Body != nil:
		return sigv4.HashPayload(c.Body), nil
	}
	said := c.Request.Header.Get("X-Amz-Content-Sha256")
	if said != "" && expectsContinue(c.Request) {
		return said, nil
	}
	sum := sha256.New()
	if _, err := io.CopyN(sum, c.Request.Body, maxUnused); err != nil && err != io.EOF {
		return "", wire.MalformedInput("The request body cannot be read")
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// refuseElsewhere keeps the event of the error for a call.
func (s *Server) refuseElsewhere(c *api.Call, e *wire.Failure) *wire.Failure {
	event := eventOf(c)
	event.Action = strings.Trim(event.Action, ":")
	event.Decision, event.Step, event.Reason, event.Code = Deny, "service", e.Message, e.Code
	if c.Operation == "" {
		event.Resource = shown(c.Request.Method+" "+c.Request.URL.Path, maxFormless)
	}
	s.keepEvent(c, entry{Event: event})
	return e
}
