package guard

import (
	"net/http"
	"slices"

	"github.com/openirsa/openirsa/internal/awsapi"
	"github.com/openirsa/openirsa/pkg/emulator/internal/api"
	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
)

// Absent is a call of a service that the emulator does not have and that has no
// backend.
type Absent struct {
	*asked
	// Failed is what went wrong when its form was read; nil if nothing did, or it has none.
	Failed *wire.Failure
}

// Absent says what a call is for that no other service takes, as [Guard.Take] would, or
// returns nil if it says nothing of a service that is not here. A form is read with the
// bound of [api.Call.ReadBody]: it alone has the operation, and may be one of STS or IAM
// whatever service it is signed for.
func (g *Guard) Absent(c *api.Call) *Absent {
	a := g.recognise(c)
	if a == nil || a.protocol != wire.Query && a.protocol != wire.QueryEC2 {
		return absent(a)
	}
	if e := c.ReadBody(); e != nil {
		return &Absent{a, e}
	}
	failed := a.read(&body{memory: c.Body})
	own := func(m *awsapi.Model) bool { return slices.Contains(g.own, m.SigningName) }
	if slices.ContainsFunc(awsapi.ByVersion(a.params["Version"], ""), own) {
		return nil
	}
	return &Absent{a, failed}
}

func absent(a *asked) *Absent {
	if a == nil {
		return nil
	}
	return &Absent{asked: a}
}

// Names are how clients call what the call is for: the models of the services that it
// may be for, since some differ by their hosts alone, the service, which is "" if it was
// not well said, and the operation, "" if it is not known.
func (a *Absent) Names() (models []*awsapi.Model, service, operation string) {
	switch models = a.models; {
	case a.fits != nil:
		models = a.fits
	case a.op != nil:
		models = slices.DeleteFunc(slices.Clone(models), func(m *awsapi.Model) bool { return m.Operation(a.operation) == nil })
	case len(models) == 0:
		models = awsapi.BySigning(a.signs)
	}
	service = a.service()
	if len(models) == 1 {
		service = models[0].Name
	}
	return models, service, a.operation
}

// Refuse answers a call with what is said once it is known who calls: whoever cannot
// prove who it is learns no more than that. Operations that nobody signs go on. hash is
// the SHA-256 of the body in hexadecimal, or what the client says that it is, since
// nobody uses the body.
func (g *Guard) Refuse(w http.ResponseWriter, c *api.Call, a *Absent, hash string, said func() *wire.Failure) {
	c.Dialect = a.dialect()
	var e *wire.Failure
	if a.op == nil || !a.op.Unsigned {
		e = g.authenticate(c, a.asked, &body{hash: hash})
	}
	if e == nil {
		e = said()
	}
	a.write(w, c, e)
}

// Write answers a call with an error, in the protocol of the call.
func (a *Absent) Write(w http.ResponseWriter, c *api.Call, e *wire.Failure) { a.write(w, c, e) }

// Unknown is the failure of a call of an operation that is not here. It is the client's
// fault, since SDKs try again what is the server's, 501 too.
func (a *Absent) Unknown(text string) *wire.Failure {
	code := "UnknownOperationException"
	if a.protocol == wire.Query || a.protocol == wire.QueryEC2 || a.model != nil && a.model.QueryCompatible && a.coded() {
		code = "InvalidAction"
	}
	return wire.Errorf(http.StatusBadRequest, code, "%s", text)
}
