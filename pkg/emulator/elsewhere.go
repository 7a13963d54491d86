package emulator

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"regexp"
	"slices"
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
// that client looks for it. The protocols are those of Smithy's and botocore's
// documentation.

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
	params, _, failed := c.Form()
	where, ok := s.elsewhere(c, params)
	if !ok {
		return nil
	}
	return func(w http.ResponseWriter) { s.serveElsewhere(w, c, where, failed) }
}

// An elsewhere is a call of a service that is not here.
type elsewhere struct {
	protocol  wire.Protocol
	service   string          // the name that clients have for it; "" if it was not well said
	operation string          // "" if it is not known
	models    []*awsapi.Model // of the services that it may be for
}

var (
	serviceForm   = regexp.MustCompile(`^[a-z][a-z0-9-]{1,39}$`)
	operationForm = regexp.MustCompile(`^[A-Z][A-Za-z0-9]{1,99}$`)
	rpcPath       = regexp.MustCompile(`/service/([A-Za-z][A-Za-z0-9_.]{0,99})/operation/([A-Z][A-Za-z0-9]{1,99})$`)
)

// elsewhere reports whether a call is for a service that is not here, and for
// which. What is signed for one that is here never is, nor what says nothing of
// a service: it may be anybody's request to S3. The parameters of a form must
// have been read.
func (s *Server) elsewhere(c *api.Call, params wire.Params) (elsewhere, bool) {
	signed := c.SignedService()
	if slices.Contains(s.here, signed) {
		return elsewhere{}, false
	}
	r := c.Request
	post := r.Method == http.MethodPost && (signed != "" || s.bucketOf(r.Host) == "")
	target, operation, targeted := api.Target(r)
	rpc := rpcPath.FindStringSubmatch(r.URL.Path)
	switch {
	case post && r.Header.Get("Smithy-Protocol") == "rpc-v2-cbor" && rpc != nil:
		return calledBy(wire.RPCCBOR, signed, rpc[1], rpc[2]), true
	case post && targeted:
		kind := wire.JSON11
		if strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-amz-json-1.0") {
			kind = wire.JSON10
		}
		return calledBy(kind, signed, target, operation), true
	case params["Action"] != "" || params["Version"] != "":
		return queriedElsewhere(signed, params)
	}
	found := awsapi.BySigning(signed)
	if agent := s.agentService(r); agent != nil && (signed == "" || agent.SigningName == signed) {
		found = []*awsapi.Model{agent}
	}
	if signed == "" && len(found) == 0 {
		return elsewhere{}, false
	}
	kind := wire.RESTJSON
	switch {
	case api.IsForm(r) && signed == "ec2":
		kind = wire.QueryEC2
	case api.IsForm(r):
		kind = wire.Query
	case len(found) > 0:
		kind = withoutOperation(found[0])
		found = slices.DeleteFunc(found, func(m *awsapi.Model) bool { return withoutOperation(m) != kind })
	case strings.HasPrefix(signed, "s3express") || strings.HasPrefix(signed, "s3-"):
		kind = wire.RESTS3
	case strings.Contains(r.Header.Get("Content-Type"), "xml"):
		kind = wire.RESTXML
	}
	return named(kind, signed, "", found), true
}

// agentService is the service that a client says it is one of, as those of the
// SDKs do ("api/sso-oidc#3.1169.0"), of some calls that are not signed for any;
// nil for one that is here.
func (s *Server) agentService(r *http.Request) *awsapi.Model {
	_, rest, _ := strings.Cut(r.UserAgent(), " api/")
	end := strings.IndexAny(rest, "#/ ")
	if end < 0 {
		return nil
	}
	found := awsapi.ByServiceID(rest[:end])
	if len(found) != 1 || slices.Contains(s.here, found[0].SigningName) {
		return nil
	}
	return found[0]
}

// withoutOperation is the protocol of a request to a service that names no
// operation.
func withoutOperation(m *awsapi.Model) wire.Protocol {
	switch m.Protocol {
	case awsapi.Query:
		return wire.Query
	case awsapi.EC2:
		return wire.QueryEC2
	case awsapi.RESTXML:
		return wire.RESTXML
	}
	return wire.RESTJSON
}

// calledBy is a call that names the operation and, in a word of its own, the
// service.
func calledBy(kind wire.Protocol, signed, target, operation string) elsewhere {
	found := awsapi.ByTarget(target) // which is the name in CBOR's paths too
	if len(found) == 0 && signed == "" {
		signed = strings.ToLower(target)
	}
	return named(kind, signed, operation, found)
}

// queriedElsewhere is a call in the Query protocol, if it is for a service that
// is not here. Versions of the interfaces of several services may be the same.
func queriedElsewhere(signed string, p wire.Params) (elsewhere, bool) {
	version := p["Version"]
	if version == versionSTS || version == versionIAM {
		return elsewhere{}, false
	}
	found := awsapi.ByVersion(version, signed)
	if len(found) == 0 {
		if signed == "" {
			return elsewhere{}, false
		}
		found = awsapi.BySigning(signed)
	}
	kind := wire.Query
	if signed == "ec2" || found != nil && found[0].Protocol == awsapi.EC2 {
		kind = wire.QueryEC2
	}
	return named(kind, signed, p["Action"], found), true
}

// named is a call with the names that the candidates have, or else the one of
// the signature. Names and operations without the form of one are left out:
// they are a stranger's words.
func named(kind wire.Protocol, signed, operation string, found []*awsapi.Model) elsewhere {
	e := elsewhere{protocol: kind, models: found}
	switch {
	case len(found) == 1:
		e.service = found[0].Name
	case len(found) > 1:
		e.service = found[0].SigningName
	case serviceForm.MatchString(signed):
		e.service = shown(signed, maxText)
	}
	if operationForm.MatchString(operation) {
		e.operation = shown(operation, maxText)
	}
	return e
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

// refusal is the error of a call. It is the client's fault, since SDKs try
// again what is the server's, 501 too.
func (s *Server) refusal(e elsewhere) *wire.Failure {
	code := "UnknownOperationException"
	if e.protocol == wire.Query || e.protocol == wire.QueryEC2 {
		code = "InvalidAction"
	}
	return wire.Errorf(http.StatusBadRequest, code, "%s", s.notHere(e))
}

// serveElsewhere refuses a call of a service that is not here, once it is known who
// calls. Failed is what went wrong when the form was read.
func (s *Server) serveElsewhere(w http.ResponseWriter, c *api.Call, where elsewhere, failed *wire.Failure) {
	c.Service, c.Operation = where.service, where.operation
	hash, e := unusedBody(c, failed)
	if e == nil {
		e = s.refusePage(c)
	}
	if e != nil {
		where.protocol.WriteError(w, c.Request, c.ID, e)
		return
	}
	if s.guard.Authenticate(w, c, &guard.Absent{Protocol: where.protocol, Models: where.models, Hash: hash}) {
		where.protocol.WriteError(w, c.Request, c.ID, s.refuseElsewhere(c, where))
	}
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

// refuseElsewhere is the error for a call, and its event.
func (s *Server) refuseElsewhere(c *api.Call, where elsewhere) *wire.Failure {
	e := s.refusal(where)
	event := eventOf(c)
	event.Action = strings.Trim(event.Action, ":")
	event.Decision, event.Step, event.Reason, event.Code = Deny, "service", e.Message, e.Code
	if c.Operation == "" {
		event.Resource = shown(c.Request.Method+" "+c.Request.URL.Path, maxFormless)
	}
	s.keepEvent(c, entry{Event: event})
	return e
}
