package guard

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/openirsa/openirsa/internal/sigv4"
	"github.com/openirsa/openirsa/pkg/emulator/internal/api"
	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
)

// loopHeader names the guards that a call has passed.
const loopHeader = "X-Openirsa-Forwarded"

// isLoop reports whether a call is one that this guard has forwarded.
func (g *Guard) isLoop(r *http.Request) bool { return slices.Contains(r.Header[loopHeader], g.id) }

// refuseLoop answers a call that came back from a backend. It is the client's fault
// for its SDK, which would try again otherwise.
func (g *Guard) refuseLoop(w http.ResponseWriter, c *api.Call, a *asked) {
	if a == nil {
		a = &asked{protocol: wire.Query}
	}
	c.Service, c.Operation = a.service(), a.operation
	e := wire.Errorf(http.StatusBadRequest, "InvalidRequest",
		"The emulator was forwarded a call that it had forwarded itself: a backend leads back to it.")
	w.Header()[loopHeader] = []string{g.id}
	a.write(w, c, g.refuse(c, "backend", e))
}

// forwarded is a call that may be forwarded.
type forwarded struct {
	to   *backend
	body *body
	plan plan
}

// forward lets a call through to its backend, signed anew: with the guard's key, which is
// that of the account whose resources the call names, and the region and service that the
// client signed for, from which emulators take them. The host stays the client's, since
// some answers have it in URLs. What the backend answers passes as it comes, byte for byte.
func (g *Guard) forward(w http.ResponseWriter, c *api.Call, a *asked, f forwarded) {
	if f.plan.denied != nil {
		if f.plan.nothingLeft() {
			a.write(w, c, f.plan.denied[0].failure)
			return
		}
		if err := f.plan.without(f.body); err != nil {
			a.write(w, c, g.refuse(c, "parameters", unreadable(a, err)))
			return
		}
	}
	c.Leave() // it may take long
	proxy := &httputil.ReverseProxy{
		// What has no length is a stream, which net/http/httputil flushes as it comes.
		Transport:  f.to.transport,
		BufferPool: buffers{},
		Rewrite:    func(p *httputil.ProxyRequest) { g.rewrite(p.Out, c, a, f) },
		ModifyResponse: func(answer *http.Response) error {
			tidy(answer.Header, c.ID)
			if err := ownQueueURLs(c, answer); err != nil {
				return err
			}
			g.listen(&f.plan, answer)
			if f.plan.holds() {
				return g.release(c, a, &f.plan, answer)
			}
			g.watch(c, f.to, answer)
			return nil
		},
		ErrorLog:     quiet,
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) { g.failed(w, c, a, f.to, err) },
	}
	if c.Dropped {
		w = &nowhere{header: http.Header{}} // an injected fault loses the answer
	}
	r := c.Request.WithContext(c.Request.Context())
	r.Header = a.headers(c.Request) // neither Connection, Te nor Upgrade, which the proxy would heed
	proxy.ServeHTTP(w, r)
}

// rewrite makes the request that goes to the backend.
func (g *Guard) rewrite(out *http.Request, c *api.Call, a *asked, f forwarded) {
	in := c.Request
	out.URL.Scheme, out.URL.Host = f.to.url.Scheme, f.to.url.Host
	out.Host = g.host(in.Host, a, f.to)
	out.Header[loopHeader] = append(slices.Clone(in.Header[loopHeader]), g.id)
	out.TransferEncoding, out.Trailer = nil, nil
	out.RequestURI = "" // the URL is what is sent
	out.URL.RawQuery = withoutSignature(in.URL.RawQuery)
	f.body.send(out)
	if f.plan.reads(c) {
		out.Header["Accept-Encoding"] = []string{"identity"} // not as the client likes it
	}
	if a.op != nil && a.op.Unsigned {
		return
	}
	hash := f.body.hash
	if f.body.signedAs != "" {
		hash = f.body.signedAs
	}
	if out.Header.Get("X-Amz-Content-Sha256") != "" {
		out.Header["X-Amz-Content-Sha256"] = []string{hash}
	}
	scope := sigv4.Scope{Region: c.Region, Service: a.signs}
	g.signer.Sign(out, g.key(f.plan.account), scope, hash, g.account.Now())
}

// host is the one that a call has for its backend: the client's, which answers have
// in URLs, if it is that of the emulator, a name without a domain, one of a Service of
// Kubernetes, or AWS's for the service. Any other may be one by which a backend
// would take the call for another service's, as a bucket's is.
func (g *Guard) host(host string, a *asked, to *backend) string {
	name := strings.ToLower(strings.TrimSuffix(host, "."))
	if h, _, err := net.SplitHostPort(name); err == nil {
		name = h
	}
	label, domain, _ := strings.Cut(name, ".")
	switch {
	case a.op != nil && a.op.Unsigned:
	case g.config.OwnHost(host), domain == "" && name != "":
		return host
	case strings.HasSuffix(domain, ".svc") && strings.Count(domain, ".") == 1,
		strings.HasSuffix(domain, ".svc.cluster.local") && strings.Count(domain, ".") == 3:
		return host
	case strings.Contains(domain, "amazonaws.") && (label == a.signs || a.model != nil && label == a.model.Name):
		return host
	}
	return to.url.Host
}

// send makes the body that of a request. It can be sent again, as over a connection
// that was closed while it was idle.
func (b *body) send(out *http.Request) {
	out.ContentLength = b.size
	if b.size == 0 {
		out.Body, out.GetBody = http.NoBody, func() (io.ReadCloser, error) { return http.NoBody, nil }
		return
	}
	out.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(b.reader()), nil }
	out.Body, _ = out.GetBody()
}

// withoutSignature is a query without the parameters of a signature. The rest is as
// it was sent.
func withoutSignature(query string) string {
	if query == "" {
		return ""
	}
	var kept []string
	for pair := range strings.SplitSeq(query, "&") {
		raw, _, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(raw)
		if err != nil || !slices.Contains(signatureParameters, name) {
			kept = append(kept, pair)
		}
	}
	return strings.Join(kept, "&")
}

// tidy changes the headers of an answer: the request id is the one that events
// have, and what a page may read is not for the backend to say.
func tidy(h http.Header, id string) {
	for name := range h {
		if strings.HasPrefix(name, "Access-Control-") {
			delete(h, name)
		}
	}
	for _, name := range []string{"Set-Cookie", "X-Content-Type-Options", "Content-Security-Policy"} {
		delete(h, name)
	}
	delete(h, "X-Amzn-Requestid")
	h["x-amzn-RequestId"] = []string{id}
}

// failed answers a call whose backend did not.
func (g *Guard) failed(w http.ResponseWriter, c *api.Call, a *asked, to *backend, err error) {
	if d, ok := errors.AsType[denied](err); ok {
		a.write(w, c, d.Failure)
		return
	}
	if errors.Is(err, context.Canceled) && c.Request.Context().Err() != nil {
		return // nobody is there any more
	}
	a.write(w, c, g.unanswered(c, a.unavailable("The backend of %s does not answer: %s", c.Service, to), err))
}

// watch has an event kept if the backend breaks its answer off, which the client has the
// beginning of: there is nothing to be said to it any more.
func (g *Guard) watch(c *api.Call, to *backend, answer *http.Response) {
	answer.Body = &watched{answer.Body, func(err error) {
		if c.Request.Context().Err() != nil {
			return // nobody is there any more
		}
		g.account.Gate.Record(c, api.Decision{
			Step: "backend", Reason: fmt.Sprintf("The backend of %s broke its answer off: %s: %v", c.Service, to, err),
		})
	}}
}

// quiet is where proxies tell of what there is an event of.
var quiet = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)

// watched is a body of which somebody wants to know that it ended before its time.
type watched struct {
	io.ReadCloser
	broken func(error)
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		w.broken(err)
	}
	return n, err
}

// unavailable is the failure of a call whose backend does not answer. SDKs try again.
func (a *asked) unavailable(format string, args ...any) *wire.Failure {
	code := "ServiceUnavailableException"
	switch a.protocol {
	case wire.Query, wire.QueryEC2, wire.RESTXML, wire.RESTS3:
		code = "ServiceUnavailable"
	}
	return wire.Errorf(http.StatusServiceUnavailable, code, format, args...)
}

// unanswered keeps an event of a backend that does not answer; why is not for the client.
func (g *Guard) unanswered(c *api.Call, e *wire.Failure, why error) *wire.Failure {
	g.account.Gate.Record(c, api.Decision{Step: "backend", Reason: e.Message + ": " + why.Error(), Code: e.Code})
	return e
}

// undecided is the failure of a call about which a backend does not say what has to be
// known to decide.
func (a *asked) undecided(what string) *wire.Failure {
	return a.unavailable("The emulator cannot decide about the request: %s cannot be read from the backend.", what)
}

// nowhere is an answer that gets lost.
type nowhere struct{ header http.Header }

func (n *nowhere) Header() http.Header         { return n.header }
func (n *nowhere) Write(p []byte) (int, error) { return len(p), nil }
func (n *nowhere) WriteHeader(int)             {}

// buffers are what answers are copied with.
type buffers struct{}

type buffer [32 << 10]byte

var pool = sync.Pool{New: func() any { return new(buffer) }}

func (buffers) Get() []byte  { return pool.Get().(*buffer)[:] }
func (buffers) Put(b []byte) { pool.Put((*buffer)(b)) }
