package api

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/openirsa/openirsa/internal/sigv4"
	"github.com/openirsa/openirsa/internal/trace"
	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
	"github.com/openirsa/openirsa/pkg/policy"
)

// MaxBody bounds, in bytes, the body of a request that has no object. A policy
// document may have 131,072 characters (IAM's service model), three bytes each
// when escaped.
const MaxBody = 1 << 20

// Call is one request while it is answered.
type Call struct {
	Request *http.Request
	ID      string    // request id
	At      time.Time // when it came, by the emulator's clock

	Service   string // as signatures name it, such as "sts"; "" until it is known
	Operation string // of the API, such as "AssumeRole"; "" until it is known
	Region    string // of the signature, us-east-1 if there is none
	Caller    Caller // who signed, once the gate has said so
	// Dialect are the codes of the service's protocol; nil is [QueryDialect].
	Dialect *Dialect

	Span *trace.Span // of the request; nil if it is not traced

	Body []byte // once ReadBody or Form has read it
	// Welcome says that the owner of what is asked for lets web pages of the
	// request's origin ask for it, as S3's CORS configurations do.
	Welcome bool
	// Refused is the step at which the call was refused, "" as long as it was not.
	Refused string
	// Dropped says that the answer is to get lost: nothing more is written,
	// and the connection is cut.
	Dropped bool
	// Forwarded says that the call is for a service that a backend has.
	Forwarded bool
	// Leave says that nothing of the account's state is needed for the time being, for
	// what may take long, and Enter that it is needed again. Both may be called more than
	// once, by the goroutine of the call.
	Leave, Enter func()
	// Left says that the state was left and entered again since the gate found out who
	// calls. The gate sees to it that the caller is still there before it says anything.
	Left bool

	memory    *Memory // for bodies
	held      int64   // bytes of memory
	form      form
	signature signature
}

// Caller is who makes a request, proved by a signature, or nobody in
// particular.
type Caller struct {
	policy.Principal
	UserID string // as GetCallerIdentity says it: "AROA...:session", or "anonymous"
	KeyID  string // access key id
	// Identity is what the gate knows about the caller, for itself.
	Identity any
}

// Anonymous is the caller without a signature.
func Anonymous() Caller {
	return Caller{Principal: policy.Principal{Kind: policy.Anonymous}, UserID: "anonymous"}
}

// Name is the caller's ARN, or "anonymous".
func (c *Caller) Name() string {
	if c.ARN == "" {
		return "anonymous"
	}
	return c.ARN
}

// NewCall begins a call. Its bodies take their memory from what all calls may
// have together, until End.
func NewCall(r *http.Request, at time.Time, memory *Memory) *Call {
	return &Call{
		Request: r, ID: NewID(), At: at, Region: "us-east-1", Span: trace.From(r.Context()), Leave: func() {}, Enter: func() {}, memory: memory,
	}
}

// End gives back the memory of a call.
func (c *Call) End() { c.memory.give(c.held) }

// signature is what Signature found.
type signature struct {
	read bool
	sigv4.Signature
	err error
}

// Signature reads the signature of the request, once. It is not verified; see
// [Gate].
func (c *Call) Signature() (sigv4.Signature, error) {
	if s := &c.signature; !s.read {
		s.read = true
		s.Signature, s.err = sigv4.Parse(c.Request)
	}
	return c.signature.Signature, c.signature.err
}

// SignedService is the service in the scope of the signature, or "".
func (c *Call) SignedService() string {
	sig, err := c.Signature()
	if err != nil {
		return ""
	}
	return sig.Service
}

// ReadBody reads the body, of at most MaxBody bytes, if that was not done yet.
func (c *Call) ReadBody() *wire.Failure {
	if c.Body != nil {
		return nil
	}
	var body []byte
	err := ErrTooLong
	if c.Request.ContentLength <= MaxBody {
		body, err = c.ReadAll(c.Request.Body, MaxBody)
	}
	switch {
	case errors.Is(err, ErrTooLong):
		return wire.Errorf(http.StatusRequestEntityTooLarge, "RequestEntityTooLarge", "Request body is larger than %d bytes", MaxBody)
	case errors.Is(err, ErrNoMemory):
		return Busy()
	case err != nil:
		return wire.MalformedInput("The request body cannot be read")
	}
	c.Body = body
	return nil
}

// ReadAll reads at most limit bytes. It takes the memory for them as they come,
// and never much more at first than a small body is announced to have, from what all
// requests may have together, until the call is over.
func (c *Call) ReadAll(r io.Reader, limit int) ([]byte, error) {
	first := 4 << 10
	if n := c.Request.ContentLength; n >= 0 && n < int64(first) {
		first = int(n) + 1 // the end is found without more room
	}
	var body []byte
	for {
		if len(body) == cap(body) {
			size := min(max(2*cap(body), first), limit+1)
			more := int64(size - cap(body))
			if !c.memory.take(more) {
				return nil, ErrNoMemory
			}
			c.held += more
			larger := make([]byte, len(body), size)
			copy(larger, body)
			body = larger
		}
		n, err := r.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		switch {
		case len(body) > limit:
			return nil, ErrTooLong
		case err == io.EOF:
			return body, nil
		case err != nil:
			return nil, err
		}
	}
}

// form is what Form found.
type form struct {
	read   bool
	is     bool
	params wire.Params
	failed *wire.Failure
}

// Form are the parameters of the Query protocol, and whether the request is of
// it: a form posted to "/", or a GET of "/", with an Action. The body is read
// once; a failure is one of a request that is.
func (c *Call) Form() (params wire.Params, is bool, failed *wire.Failure) {
	if f := &c.form; !f.read {
		f.read = true
		f.params, f.is, f.failed = c.readForm()
	}
	return c.form.params, c.form.is, c.form.failed
}

func (c *Call) readForm() (wire.Params, bool, *wire.Failure) {
	r := c.Request
	if r.URL.Path != "/" && r.URL.Path != "" {
		return nil, false, nil
	}
	form := r.URL.RawQuery
	hasAction := strings.Contains(form, "Action=")
	switch r.Method {
	case http.MethodPost:
		posted := IsForm(r)
		// A presigned POST has its parameters in the URL, or some of them.
		if !posted && !hasAction {
			return nil, false, nil
		}
		if e := c.ReadBody(); e != nil {
			return nil, true, e
		}
		switch {
		case !posted:
		case form == "":
			form = string(c.Body)
		default:
			form += "&" + string(c.Body)
		}
	case http.MethodGet, http.MethodHead:
		if !hasAction {
			return nil, false, nil
		}
	default:
		return nil, false, nil
	}
	p, e := wire.ParseParams(form)
	if e != nil {
		return nil, true, e
	}
	return p, p["Action"] != "" || p["Version"] != "" || c.Body != nil, nil
}

// IsForm reports whether the body of a request is a form.
func IsForm(r *http.Request) bool {
	kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	return strings.EqualFold(strings.TrimSpace(kind), "application/x-www-form-urlencoded")
}

// Speaks is the dialect of a call.
func (c *Call) Speaks() *Dialect {
	if c.Dialect == nil {
		return QueryDialect
	}
	return c.Dialect
}
