package guard

import (
	"net/http"

	"github.com/openirsa/openirsa/internal/awsapi"
	"github.com/openirsa/openirsa/pkg/emulator/internal/api"
	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
)

// Absent is a call of a service that has no backend.
type Absent struct {
	Protocol wire.Protocol
	// Models are those of the services that it may be for; none if no model is known.
	Models []*awsapi.Model
	// Hash is the SHA-256 of the body in hexadecimal, or what the client says that it is:
	// nobody uses the body.
	Hash string
}

// Authenticate finds out who makes a call of a service that has no backend, as for one
// that has: whoever cannot prove who it is learns no more than that. It reports
// whether the call may go on, and else answers it. Operations that nobody signs go on.
func (g *Guard) Authenticate(w http.ResponseWriter, c *api.Call, absent *Absent) bool {
	a := &asked{protocol: absent.Protocol, signs: c.SignedService(), operation: c.Operation, query: unsigned(c.Request.URL.Query())}
	a.choose(absent.Models)
	if a.op == nil && (a.protocol == wire.RESTJSON || a.protocol == wire.RESTXML) {
		a.route(c.Request, absent.Models, nil)
	}
	if a.op != nil && a.op.Unsigned {
		return true
	}
	c.Dialect = a.dialect()
	e := g.authenticate(c, a, &body{hash: absent.Hash})
	if e != nil {
		a.write(w, c, e)
	}
	return e == nil
}
