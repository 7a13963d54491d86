package api

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
)

// JSONService is a [Service] of the protocols AWS JSON 1.0 and 1.1 (Smithy's
// documentation): the header X-Amz-Target names the operation, and the body has
// its input.
type JSONService struct {
	Account    *Account
	Name       string        // as signatures and actions name it, such as "kms"
	Target     string        // before the operation in X-Amz-Target, such as "TrentService"
	Protocol   wire.Protocol // wire.JSON10 or wire.JSON11
	Operations map[string]Operation
	// State reads the state from the store; nil if the service keeps none.
	State func() error
}

// Operation is one operation of a JSONService. It returns what is answered, as
// JSON.
type Operation func(c *Call) (output any, e *wire.Failure)

// JSON is an operation with an input and an output of its own. Members of the
// input are found without regard to case, and unknown ones are left out.
func JSON[In, Out any](run func(c *Call, in *In) (Out, *wire.Failure)) Operation {
	return func(c *Call) (any, *wire.Failure) {
		in := new(In)
		if err := json.Unmarshal(c.Body, in); err != nil {
			return nil, wire.Errorf(http.StatusBadRequest, "SerializationException", "")
		}
		return run(c, in)
	}
}

// Names implements [Service].
func (s *JSONService) Names() []string { return []string{s.Name} }

// OperationNames are the name of the service, and those of its operations.
func (s *JSONService) OperationNames() (service string, names []string) {
	return s.Name, slices.Sorted(maps.Keys(s.Operations))
}

// Load implements [Service].
func (s *JSONService) Load() error {
	if s.State == nil {
		return nil
	}
	return s.State()
}

// Take implements [Service]: it takes what names one of its operations, or one
// that it does not have.
func (s *JSONService) Take(c *Call) Answer {
	operation, ours := strings.CutPrefix(c.Request.Header.Get("X-Amz-Target"), s.Target+".")
	if !ours {
		return nil
	}
	c.Service, c.Operation, c.Dialect = s.Name, operation, JSONDialect
	return func(w http.ResponseWriter) { s.answer(w, c) }
}

func (s *JSONService) answer(w http.ResponseWriter, c *Call) {
	output, e := s.run(c)
	var body []byte
	if e == nil {
		var err error
		if body, err = json.Marshal(output); err != nil {
			e = wire.ErrInternal
		}
	}
	switch {
	case c.Dropped:
	case e != nil:
		s.Protocol.WriteError(w, c.Request, c.ID, e)
	default:
		s.Protocol.WriteJSON(w, c.ID, body)
	}
}

// run finds the operation, says who calls, and runs it.
func (s *JSONService) run(c *Call) (any, *wire.Failure) {
	if e := c.ReadBody(); e != nil {
		return nil, e
	}
	run, known := s.Operations[c.Operation]
	if !known {
		c.Operation = "" // it is the client's word
		return nil, wire.Errorf(http.StatusBadRequest, "UnknownOperationException", "")
	}
	if e := s.Account.Gate.Admit(c); e != nil {
		return nil, e
	}
	if e := IdentifyBody(s.Account.Gate, c); e != nil {
		return nil, e
	}
	return run(c)
}
