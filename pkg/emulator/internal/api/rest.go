package api

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
)

// RESTDialect are the codes of the protocol REST JSON: those of the JSON protocols,
// with the status that says what they mean (captures of API Gateway, which is in front
// of such services).
var RESTDialect = &Dialect{
	AccessDenied: Code{http.StatusForbidden, "AccessDeniedException"},
	InvalidToken: Code{http.StatusForbidden, "UnrecognizedClientException"},
	ExpiredToken: Code{http.StatusForbidden, "ExpiredTokenException"},
	MissingToken: Code{http.StatusForbidden, "MissingAuthenticationTokenException"},
	Incomplete:   Code{http.StatusForbidden, "IncompleteSignatureException"},
	Mismatch:     Code{http.StatusForbidden, "InvalidSignatureException"},
}

// RESTService is a [Service] of the protocol REST JSON (Smithy's documentation,
// "restJson1"): method and path name the operation, the body has the rest of its
// input. Which service a request is for its signature says, and nothing else: the
// paths could as well be those of buckets.
type RESTService struct {
	Account *Account
	Name    string // as signatures and actions name it, such as "eks"
	// Operations are the operations by name, each with its method and path, such as
	// "GET /clusters/{name}". A label is one segment, in which slashes are encoded.
	Operations map[string]RESTOperation
	// Unsigned says that requests without a signature are taken too, if they post JSON
	// to one of the paths, which nobody does to a bucket: they are refused as what they are.
	Unsigned bool
	// Members are what an error has beside its message; nil is nothing.
	Members func(c *Call, labels Labels) map[string]any
	// State reads the state from the store; nil if the service keeps none.
	State func() error

	routes []route
}

// RESTOperation is an operation of a RESTService.
type RESTOperation struct {
	Route string // method and path
	// Run returns what is answered, as JSON.
	Run func(c *Call, labels Labels) (output any, e *wire.Failure)
}

// Labels are the labels of a path, decoded.
type Labels map[string]string

// REST is an operation whose body has an input of its own. Members are found without
// regard to case, and unknown ones are left out. A request without a body has the zero
// input.
func REST[In, Out any](route string, run func(c *Call, labels Labels, in *In) (Out, *wire.Failure)) RESTOperation {
	return RESTOperation{route, func(c *Call, labels Labels) (any, *wire.Failure) {
		in := new(In)
		if len(c.Body) > 0 && json.Unmarshal(c.Body, in) != nil {
			return nil, wire.Errorf(http.StatusBadRequest, "SerializationException", "")
		}
		return run(c, labels, in)
	}}
}

// route is the method and the path of an operation, taken apart.
type route struct {
	operation, method string
	segments          []string // a label is in braces
}

// Open takes the routes apart, and returns the service.
func (s *RESTService) Open() *RESTService {
	for _, name := range slices.Sorted(maps.Keys(s.Operations)) {
		method, path, _ := strings.Cut(s.Operations[name].Route, " ")
		s.routes = append(s.routes, route{name, method, strings.Split(path, "/")})
	}
	return s
}

// Names implements [Service].
func (s *RESTService) Names() []string { return []string{s.Name} }

// OperationNames are the name of the service, and those of its operations.
func (s *RESTService) OperationNames() (service string, names []string) {
	return s.Name, slices.Sorted(maps.Keys(s.Operations))
}

// Load implements [Service].
func (s *RESTService) Load() error {
	if s.State == nil {
		return nil
	}
	return s.State()
}

// Take implements [Service].
func (s *RESTService) Take(c *Call) Answer {
	operation, labels := s.find(c.Request)
	switch signed := c.SignedService(); {
	case signed == s.Name:
	case signed == "" && s.Unsigned && operation != "" && postsJSON(c.Request):
	default:
		return nil
	}
	c.Service, c.Operation, c.Dialect = s.Name, operation, RESTDialect
	return func(w http.ResponseWriter) { s.answer(w, c, labels) }
}

func postsJSON(r *http.Request) bool {
	kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	return r.Method == http.MethodPost && r.URL.RawQuery == "" && strings.EqualFold(strings.TrimSpace(kind), "application/json")
}

// find is the operation that a request is for, and the labels of its path: "" for
// none. The path is the one that was sent: an ARN in it has its slashes encoded.
func (s *RESTService) find(r *http.Request) (operation string, labels Labels) {
	sent := strings.Split(r.URL.EscapedPath(), "/")
	for _, route := range s.routes {
		if route.method != r.Method || len(route.segments) != len(sent) {
			continue
		}
		if labels, ok := matchPath(route.segments, sent); ok {
			return route.operation, labels
		}
	}
	return "", nil
}

func matchPath(segments, sent []string) (Labels, bool) {
	labels := Labels{}
	for i, want := range segments {
		got, err := url.PathUnescape(sent[i])
		if err != nil {
			return nil, false
		}
		switch name, isLabel := strings.CutPrefix(want, "{"); {
		case isLabel && got == "" || !isLabel && got != want:
			return nil, false
		case isLabel:
			labels[strings.TrimSuffix(name, "}")] = got
		}
	}
	return labels, true
}

func (s *RESTService) answer(w http.ResponseWriter, c *Call, labels Labels) {
	output, e := s.run(c, labels)
	status, body := http.StatusOK, []byte(nil)
	if e == nil {
		var err error
		if body, err = json.Marshal(output); err != nil {
			e = wire.ErrInternal
		}
	}
	if e != nil {
		status, body = e.Status, s.failure(c, labels, e)
		w.Header()["x-amzn-ErrorType"] = []string{e.Code}
	}
	if c.Dropped {
		return
	}
	h := w.Header()
	h["x-amzn-RequestId"] = []string{c.ID}
	h["Content-Type"] = []string{"application/json"}
	w.WriteHeader(status)
	w.Write(body)
}

// failure is the body of an error. Clients find its code in the header or, behind
// proxies that drop such headers, in the body.
func (s *RESTService) failure(c *Call, labels Labels, e *wire.Failure) []byte {
	members := map[string]any{"__type": e.Code, "message": e.Message}
	if s.Members != nil {
		maps.Copy(members, s.Members(c, labels))
	}
	body, err := json.Marshal(members)
	if err != nil {
		return []byte("{}")
	}
	return body
}

// run says who calls, and runs the operation.
func (s *RESTService) run(c *Call, labels Labels) (any, *wire.Failure) {
	if e := c.ReadBody(); e != nil {
		return nil, e
	}
	if e := s.Account.Gate.Admit(c); e != nil {
		return nil, e
	}
	if e := IdentifyBody(s.Account.Gate, c); e != nil {
		return nil, e
	}
	operation, known := s.Operations[c.Operation]
	if !known {
		_, names := s.OperationNames()
		e := wire.Errorf(http.StatusBadRequest, "UnknownOperationException", "This emulator does not have this operation of %s; it has %s.",
			s.Name, strings.Join(names, ", "))
		s.Account.Gate.Record(c, Decision{Step: "service", Reason: e.Message, Code: e.Code})
		return nil, e
	}
	return operation.Run(c, labels)
}
