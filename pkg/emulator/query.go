package emulator

import (
	"net/http"
	"slices"
	"strings"

	"github.com/openirsa/openirsa/pkg/emulator/internal/api"
	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
)

// Versions of the interfaces of STS and IAM, and the XML namespaces of their
// answers.
const (
	namespaceSTS = "https://sts.amazonaws.com/doc/2011-06-15/"
	namespaceIAM = "https://iam.amazonaws.com/doc/2010-05-08/"

	versionSTS = "2011-06-15"
	versionIAM = "2010-05-08"
)

// isQueryHost reports whether a host is the one of STS or IAM.
func isQueryHost(host string) bool {
	return strings.HasPrefix(host, "sts.") || strings.HasPrefix(host, "iam.")
}

// queryServices are STS and IAM, which speak the Query protocol.
type queryServices struct{ *Server }

// Names implements [api.Service].
func (queryServices) Names() []string { return []string{"sts", "iam"} }

// Load implements [api.Service].
func (s queryServices) Load() error {
	for _, account := range s.accounts {
		iam, err := loadDirectory(account.account, account == s.home)
		if err != nil {
			return err
		}
		account.iam = iam
	}
	return nil
}

// Take implements [api.Service]. What is signed for a service that is here, and
// is not S3, is taken for a call of this protocol, whatever it looks like.
func (s queryServices) Take(c *api.Call) api.Answer {
	params, is, failed := c.Form()
	switch signed := c.SignedService(); signed {
	case "":
		is = is || isQueryHost(c.Request.Host)
	case "s3":
	default:
		is = is || slices.Contains(s.here, signed)
	}
	if !is && failed == nil {
		return nil
	}
	return func(w http.ResponseWriter) {
		s.serveQuery(w, &call{Call: c, Input: wire.Input{Params: params}}, failed)
	}
}

// serveQuery answers a request in the Query protocol.
func (s *Server) serveQuery(w http.ResponseWriter, c *call, e *wire.Failure) {
	var result func(*wire.XML)
	if e == nil {
		result, e = s.runQuery(c)
	}
	if c.namespace == "" {
		c.namespace = wire.NamespaceFault
	}
	if c.Dropped {
		return
	}
	answer := wire.QueryAnswer{Service: c.Service, Operation: c.Operation, Namespace: c.namespace, ID: c.ID}
	answer.Write(w, c.Request, result, e)
}

// runQuery finds the operation, says who calls, and runs it.
func (s *Server) runQuery(c *call) (func(*wire.XML), *wire.Failure) {
	c.Operation = c.Params["Action"]
	version := c.Params["Version"]
	var op operation
	var known bool
	switch version {
	case versionSTS:
		c.Service, c.namespace = "sts", namespaceSTS
		op, known = stsOperations[c.Operation]
	case versionIAM:
		c.Service, c.namespace, c.Quiet = "iam", namespaceIAM, true
		if op, known = iamOperations[c.Operation]; !known {
			op, known = absentOperations[c.Operation]
		}
	case "":
		version = "NO_VERSION_SPECIFIED"
	}
	if c.Operation == "" {
		return nil, wire.Errorf(http.StatusBadRequest, "MissingAction", "The request must contain the parameter Action")
	}
	if !known {
		e := wire.Errorf(http.StatusBadRequest, "InvalidAction", "Could not find operation %s for version %s%s", c.Operation, version,
			notHere[c.Operation])
		e.Namespace = wire.NamespaceFault
		return nil, e
	}
	if e := s.admit(c.Call); e != nil {
		return nil, e
	}
	if op.unsigned { // what it asks for says whose it is
		return op.run(s.ofRole(c.Params["RoleArn"]), c)
	}
	if e := s.identifyQuery(c.Call); e != nil {
		return nil, e
	}
	return op.run(s.of(&c.Caller), c)
}
