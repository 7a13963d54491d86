package guard

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"

	"github.com/openirsa/openirsa/internal/awsapi"
	"github.com/openirsa/openirsa/internal/sigv4"
	"github.com/openirsa/openirsa/pkg/emulator/internal/api"
	"github.com/openirsa/openirsa/pkg/emulator/internal/question"
	"github.com/openirsa/openirsa/pkg/emulator/internal/s3"
	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
	"github.com/openirsa/openirsa/pkg/policy"
)

// S3 recognises, authenticates and asks about its calls itself, whether it is forwarded or
// not: its addresses, signatures, bodies and errors are like those of no other service.
// Here is what it needs of its backend.

// S3 is the backend of S3.
func (g *Guard) S3() s3.Backend { return buckets{g} }

type buckets struct{ g *Guard }

// BucketPolicy implements [s3.Backend].
func (b buckets) BucketPolicy(c *api.Call, bucket string) (p *policy.Named, warning string, err error) {
	return (&world{b.g, c}).policyOf(c.Request.Context(), "arn:"+b.g.account.Partition+":s3:::"+bucket)
}

// ObjectTags implements [s3.Backend].
func (b buckets) ObjectTags(c *api.Call, arn, version string) (tags map[string]string, warning string, err error) {
	known, _, err := (&world{b.g, c}).Find(c.Request.Context(), question.Fact{Kind: question.Tags, Name: arn + "\x00" + version})
	if err != nil && !errors.Is(err, question.ErrNoAnswer) {
		return nil, "The tags of " + arn + " could not be read: " + err.Error(), nil
	}
	return known.Pairs, "", err
}

// Mentions implements [s3.Backend].
func (b buckets) Mentions(c *api.Call, key string) bool { return b.g.config.Mentions(c, key) }

// Key implements [s3.Backend].
func (b buckets) Key(c *api.Call, arn, version string) (string, error) {
	name := arn
	if version != "" || strings.Contains(arn, "/") {
		name += "\x00" + version
	}
	known, _, err := (&world{b.g, c}).Find(c.Request.Context(), question.Fact{Kind: question.EncryptionKey, Name: name})
	if !errors.Is(err, question.ErrNoAnswer) {
		err = nil // a backend that cannot say encrypts nothing
	}
	return known.Text, err
}

// UseKey implements [s3.Backend].
func (b buckets) UseKey(c *api.Call, id, arn, actions string) *wire.Failure {
	w := &world{b.g, c}
	call := &question.Call{Region: c.Region, Account: c.Caller.Account, Partition: b.g.account.Partition}
	if call.Account == "" {
		call.Account = b.g.account.ID
	}
	asks, err := question.S3Keys(c.Request.Context(), call, w, question.KeyUse{Key: id, ARN: arn, Actions: actions})
	a := &asked{protocol: wire.RESTS3}
	switch {
	case errors.Is(err, question.ErrNoAnswer):
		return b.g.unanswered(c, a.undecided("the key of "+arn), err)
	case err != nil:
		return wire.ErrInternal
	}
	for i := range asks {
		if e := b.g.account.Gate.Authorize(c, a.put(c, &asks[i], w)); e != nil {
			return e
		}
	}
	return nil
}

// errRefused ends a call whose answer is not released.
var errRefused = errors.New("the answer is not released")

// Pass implements [s3.Backend].
func (b buckets) Pass(w http.ResponseWriter, c *api.Call, p *s3.Passed) {
	g := b.g
	c.Forwarded = true
	fail := func(w http.ResponseWriter, why string, err error) {
		if why != "" {
			reason := why
			if err != nil {
				reason += ": " + err.Error()
			}
			g.account.Gate.Record(c, api.Decision{Step: "backend", Reason: reason, Code: "ServiceUnavailable"})
		}
		p.Fail(w, why)
	}
	m := awsapi.ByName("s3")
	to := (*g.backends.Load()).of(m, "s3", g.config.Own)
	switch {
	case m == nil || to == nil:
		fail(w, "S3 has no backend any more", nil)
		return
	case g.isLoop(c.Request):
		w.Header()[loopHeader] = []string{g.id}
		fail(w, "The emulator was forwarded a call that it had forwarded itself: a backend leads back to it.", nil)
		return
	}
	if p.Changes != "" { // even if the answer breaks off
		defer g.memory.forget(func(f question.Fact) bool { return strings.HasPrefix(f.Name, p.Changes) })
	}
	a := &asked{model: m, op: m.Operation(c.Operation), signs: "s3", operation: c.Operation}
	proxy := &httputil.ReverseProxy{
		Transport:  to.transport,
		BufferPool: buffers{},
		Rewrite:    func(r *httputil.ProxyRequest) { g.rewriteS3(r.Out, c, a, to, p) },
		ModifyResponse: func(answer *http.Response) error {
			tidy(answer.Header, c.ID)
			delete(answer.Header, "x-amzn-RequestId")
			delete(answer.Header, "X-Amz-Request-Id")
			answer.Header["x-amz-request-id"] = []string{c.ID}
			if p.Answer != nil && !p.Answer(answer) {
				return errRefused
			}
			g.watch(c, to, answer)
			return nil
		},
		ErrorLog: quiet,
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			switch {
			case errors.Is(err, context.Canceled) && c.Request.Context().Err() != nil: // nobody is there any more
			case errors.Is(err, errRefused):
				fail(w, "", nil)
			default:
				fail(w, "The backend of s3 does not answer: "+to.String(), err)
			}
		},
	}
	if c.Dropped {
		w = &nowhere{header: http.Header{}} // an injected fault loses the answer
	}
	in := c.Request.Clone(c.Request.Context())
	for _, name := range []string{"Upgrade", "Connection", "Te"} {
		in.Header.Del(name)
	}
	proxy.ServeHTTP(w, in)
}

// rewriteS3 makes the request that goes to the backend. Buckets are addressed by path: by
// which hosts a backend knows them is its own affair.
func (g *Guard) rewriteS3(out *http.Request, c *api.Call, a *asked, to *backend, p *s3.Passed) {
	if path, err := url.PathUnescape(p.Path); err == nil { // it was unescaped before
		out.URL.Path, out.URL.RawPath = path, p.Path
	}
	out.URL.Scheme, out.URL.Host, out.Host = to.url.Scheme, to.url.Host, to.url.Host
	out.URL.RawQuery, out.URL.ForceQuery = p.Query, false
	out.RequestURI = ""
	in := *c.Request
	in.Header = p.Header
	out.Header = a.headers(&in)
	out.Header[loopHeader] = append(slices.Clone(c.Request.Header[loopHeader]), g.id)
	out.TransferEncoding, out.Trailer, out.GetBody = nil, nil, nil
	out.Body, out.ContentLength = http.NoBody, p.Length
	if p.Body != nil && p.Length > 0 {
		out.Body = io.NopCloser(p.Body)
	}
	out.Header.Set("X-Amz-Content-Sha256", p.Hash)
	account, region := c.Caller.Account, c.Region
	if account == "" {
		account = g.account.ID
	}
	if region == "" {
		region = "us-east-1"
	}
	g.signer.Sign(out, g.key(account), sigv4.Scope{Region: region, Service: "s3"}, p.Hash, g.account.Now())
}
