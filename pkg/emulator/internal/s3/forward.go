package s3

import (
	"bytes"
	"crypto/md5"
	"encoding/base64"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/openirsa/openirsa/internal/awsapi"
	"github.com/openirsa/openirsa/internal/checksum"
	"github.com/openirsa/openirsa/internal/sigv4"
	"github.com/openirsa/openirsa/pkg/emulator/internal/api"
	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
	"github.com/openirsa/openirsa/pkg/policy"
)

// Backend is the S3 of somebody else, which has the buckets of a [Service] that was
// told to forward. Who calls, and whether it may, is still decided here.
type Backend interface {
	// BucketPolicy is the policy of a bucket, nil if it has none. One that the backend does
	// not have, or that cannot be parsed, counts as none, and a sentence may say so. This and
	// the next two are an error if the backend does not answer: then nothing is decided.
	BucketPolicy(c *api.Call, bucket string) (p *policy.Named, warning string, err error)
	// ObjectTags are the tags of an object by its ARN; version is "" for the latest. If the
	// backend cannot say, there are none, and a sentence says so.
	ObjectTags(c *api.Call, arn, version string) (tags map[string]string, warning string, err error)
	// Key is the key of KMS that a bucket, or an object by its ARN and version, is encrypted
	// with, as S3 names it; "" if there is none, or none is known.
	Key(c *api.Call, arn, version string) (string, error)
	// UseKey asks whether the caller may do what S3 asks of KMS on its behalf: some
	// actions, with spaces between them, on a key of an object or a bucket.
	UseKey(c *api.Call, key, arn, actions string) *wire.Failure
	// Mentions reports whether a policy of the caller, or of the account of some resource,
	// names a condition key, see [policy.Policies.Mentions].
	Mentions(c *api.Call, key string) bool
	// Pass does what a request asks for.
	Pass(w http.ResponseWriter, c *api.Call, p *Passed)
}

// Passed is a request that may be passed on.
type Passed struct {
	Path   string // escaped; it begins with the bucket
	Query  string // without a signature
	Header http.Header
	Body   io.Reader // nil if there is none
	Length int64     // of the body, in bytes
	Hash   string    // of the body, as signatures have it
	// Changes begins the ARNs of what the call may change; "" is nothing.
	Changes string

	// Answer, if not nil, may change the answer. If it returns false it has the call
	// answered by Fail.
	Answer func(*http.Response) bool
	// Fail answers the call if the backend does not answer, or breaks the request off: why
	// is what is said of the backend.
	Fail func(w http.ResponseWriter, why string)
}

// Forward has a backend do the work. It is called before there are requests.
func (s *Service) Forward(b Backend) { s.backend = b }

// Forwards reports whether a backend does the work.
func (s *Service) Forwards() bool { return s.backend != nil }

// passing is a call that is passed on if it is allowed.
type passing struct {
	*call
	tags map[string]map[string]string // of objects, by ARN
	// document is the body, where it says what must be allowed.
	document []byte
	read     bool // document was read
	denied   []deletedPart
	hides    *api.Question // whether the caller may know that an object is missing; nil if it may
	owner    string        // account of the buckets
}

// serveForwarded answers a request with what a backend answers, if the caller may.
func (s *Service) serveForwarded(w http.ResponseWriter, c *api.Call) {
	p := &passing{call: s.newCall(c), tags: map[string]map[string]string{}}
	a, passed, e := p.decide()
	switch {
	case c.Dropped && e != nil:
	case e != nil:
		p.setHeaders(w.Header())
		p.writeError(w, e)
	case a != nil:
		p.writeAnswer(w, a)
	default:
		c.Leave() // it may take long
		s.backend.Pass(w, c, passed)
	}
}

// decide says whether a call may be passed on, and how; or what is answered at once.
func (p *passing) decide() (*answer, *Passed, *failure) {
	run, e := p.route()
	p.name()
	if e != nil {
		return nil, nil, e
	}
	if e := p.service.account.Gate.Admit(p.Call); e != nil {
		return nil, nil, asFailure(e)
	}
	p.owner = p.service.account.ID
	if p.Request.Method == http.MethodOptions { // which nobody signs
		p.config = &bucketConfig{Name: p.bucket, Account: p.owner}
		a, e := run(p.call)
		return a, nil, e
	}
	if e := p.authenticate(); e != nil {
		return nil, nil, e
	}
	p.unhoist()
	if p.Caller.Account != "" {
		p.owner = p.Caller.Account
	}
	if p.control() {
		return nil, nil, p.refuseForwarding("a call of S3 Control")
	}
	if p.bucket != "" && !validBucketName(p.bucket) {
		return nil, nil, failf(http.StatusBadRequest, "InvalidBucketName", "The specified bucket is not valid.").with("BucketName", p.bucket)
	}
	if e := p.checkOwner(&bucketConfig{Name: p.bucket, Account: p.owner}, "X-Amz-Expected-Bucket-Owner"); e != nil {
		return nil, nil, e
	}
	if e := p.checkOneReading(); e != nil {
		return nil, nil, e
	}
	if e := p.permit(); e != nil {
		return nil, nil, e
	}
	if p.denied != nil {
		if a := p.withoutDenied(); a != nil {
			return a, nil, nil
		}
	}
	passed, e := p.pass()
	return nil, passed, e
}

// name names operations that the emulator's own S3 does not have.
func (p *passing) name() {
	switch {
	case p.Operation == "":
		p.Operation = p.Request.Method // of requests that are no operation
	case strings.Contains(p.Operation, " "):
		path := "/" + url.PathEscape(p.bucket)
		if p.key != "" {
			path += "/" + url.PathEscape(p.key)
		}
		if m := awsapi.ByName("s3"); m != nil {
			if op, _ := m.Route(p.Request.Method, path, p.query); op != nil {
				p.Operation = op.Name
			}
		}
	}
}

// refuseForwarding refuses what the emulator cannot decide about.
func (p *passing) refuseForwarding(what string) *failure {
	e := failf(http.StatusNotImplemented, "NotImplemented", "The emulator does not forward %s.", what)
	p.deny("parameters", e.Message, e)
	return e
}

// checkOneReading refuses a request that two readers may take for two: with parameters
// that are there twice, or that select two operations.
func (p *passing) checkOneReading() *failure {
	twice := func(what string) *failure {
		e := errInvalidRequest("The emulator does not forward a request that can be read in two ways: %s.", what)
		p.deny("parameters", e.Message, e)
		return e
	}
	if _, err := url.ParseQuery(p.rawQuery()); err != nil {
		return twice("its parameters cannot be decoded")
	}
	presigned := p.sig != nil && p.sig.Presigned
	selected := false
	for name, values := range p.query {
		lower := strings.ToLower(name)
		switch known := slices.Contains(subresources, name); {
		case len(values) > 1:
			return twice("a parameter of its URL is there twice")
		case known && selected:
			return twice("its URL has parameters of two operations")
		case known:
			selected = true
		case strings.HasPrefix(lower, "x-amz-"):
			if !presigned {
				return twice("the parameter " + name + " of its URL stands for a header in presigned URLs only")
			}
		case lower != "x-id" && lower != "list-type" && !p.hasParameter(name):
			return twice("its URL has a parameter that " + p.Operation + " does not have")
		}
	}
	for _, name := range []string{"X-Amz-Copy-Source", "X-Amz-Tagging", "X-Amz-Acl", "Content-Type"} {
		if len(p.Request.Header[name]) > 1 {
			return twice("the header " + strings.ToLower(name) + " is there twice")
		}
	}
	for segment := range strings.SplitSeq(p.key, "/") {
		if segment == "." || segment == ".." {
			return twice("the key has dots for a name, which some servers take for a path")
		}
	}
	return nil
}

// hasParameter reports whether the operation has a parameter in the URL.
func (p *passing) hasParameter(name string) bool {
	m := awsapi.ByName("s3")
	if m == nil {
		return false
	}
	op := m.Operation(p.Operation)
	return op != nil && slices.ContainsFunc(op.Members, func(m awsapi.Member) bool { return m.In == awsapi.InQuery && m.WireName == name })
}

// rawQuery is the query as it was sent.
func (q *call) rawQuery() string {
	if _, query, found := strings.Cut(q.Request.RequestURI, "?"); found {
		return query
	}
	return q.Request.URL.RawQuery
}

// pass is the request as it goes to the backend: addressed by path, and its body
// decoded, which is broken off before its end if it is not the one that was signed.
func (p *passing) pass() (*Passed, *failure) {
	passed := &Passed{Path: p.path(), Query: p.passedQuery(), Header: p.Request.Header.Clone()}
	held, e := p.passBody(passed)
	if e != nil {
		return nil, e
	}
	if m := p.Request.Method; m != http.MethodGet && m != http.MethodHead {
		if passed.Changes = p.bucketARN(); p.key != "" || p.Operation == "DeleteObjects" {
			passed.Changes += "/"
		}
	}
	if p.hides != nil || p.denied != nil {
		passed.Header.Set("Accept-Encoding", "identity") // it is read here
	}
	var refused *failure
	passed.Answer = func(answer *http.Response) bool {
		refused = p.judge(answer)
		return refused == nil && held.failed() == nil
	}
	passed.Fail = func(w http.ResponseWriter, why string) {
		e := refused
		if err := held.failed(); e == nil && err != nil {
			e = payloadError(err)
		}
		if e == nil {
			e = failf(http.StatusServiceUnavailable, "ServiceUnavailable", "%s", why)
		}
		p.setHeaders(w.Header())
		p.writeError(w, e)
	}
	return passed, nil
}

// passBody makes the body that of the request to the backend. It returns what is held
// back of an object's, nil if nothing is.
func (p *passing) passBody(passed *Passed) (*heldBody, *failure) {
	if p.read {
		p.passDocument(passed)
		return nil, nil
	}
	body, err := sigv4.NewBody(p.Request, p.sig, p.signKey)
	switch {
	case err != nil:
		return nil, payloadError(err)
	case p.Request.ContentLength == 0:
		passed.Hash = sigv4.EmptyPayload
		if _, err := io.Copy(io.Discard, body); err != nil {
			return nil, payloadError(err)
		}
		return nil, nil
	case body.Len() < 0:
		return nil, errNoLength()
	case body.Len() > p.service.config.MaxObject:
		return nil, errTooLarge(body.Len(), p.service.config.MaxObject)
	}
	p.ReadsObject()
	held := &heldBody{body: body, left: body.Len()}
	if err := held.put(passed); err != nil {
		return nil, payloadError(err)
	}
	return held, nil
}

// passDocument makes a document that was decided about the body of the request.
func (p *passing) passDocument(passed *Passed) {
	h := passed.Header
	h.Del("X-Amz-Decoded-Content-Length")
	h.Del("X-Amz-Trailer")
	unchunk(h)
	if h.Get("Content-Md5") == "" && !hasChecksum(h) { // it was at the end, or of another document
		h.Del("X-Amz-Sdk-Checksum-Algorithm")
		sum := md5.Sum(p.document)
		h.Set("Content-Md5", base64.StdEncoding.EncodeToString(sum[:]))
	}
	passed.Body, passed.Length, passed.Hash = bytes.NewReader(p.document), int64(len(p.document)), sigv4.HashPayload(p.document)
}

// judge decides about an answer before it is released. The state was left while the backend
// worked.
func (p *passing) judge(answer *http.Response) *failure {
	missing := p.hides != nil && answer.StatusCode == http.StatusNotFound && !isNoBucket(answer)
	if missing || p.reads() {
		p.Enter()
		e := p.decrypts(answer)
		if e == nil && missing {
			e = p.hide()
		}
		if p.Leave(); e != nil {
			return e
		}
	}
	if p.denied != nil {
		return p.addDenied(answer)
	}
	return nil
}

// hide refuses to say that an object is missing, if the caller may not know.
func (p *passing) hide() *failure {
	v := p.service.account.Gate.Ask(p.Call, p.hides)
	if v.Failure == nil {
		return nil
	}
	v.Keep()
	e := asFailure(v.Failure)
	if !v.Final {
		p.deny("existence", "there is no object "+p.bucket+"/"+p.key+", and S3 says so only to those who may s3:ListBucket", e)
	}
	return e
}

// hasChecksum reports whether a header has a checksum of the body.
func hasChecksum(h http.Header) bool {
	return slices.ContainsFunc(checksum.All, func(a checksum.Algorithm) bool { return h.Get(a.Header()) != "" })
}

// path is the address of a bucket or an object by path, whatever the client used.
func (p *passing) path() string {
	raw, _, _ := strings.Cut(p.Request.RequestURI, "?")
	if !strings.HasPrefix(raw, "/") {
		raw = p.Request.URL.EscapedPath()
	}
	if p.host.Bucket == "" {
		return raw
	}
	return "/" + url.PathEscape(p.host.Bucket) + raw
}

// passedQuery is the query without the signature of a presigned URL, and without the
// parameters that were made headers. The rest is as it was sent.
func (p *passing) passedQuery() string {
	query := p.rawQuery()
	if p.sig == nil || !p.sig.Presigned {
		return query
	}
	var kept []string
	for pair := range strings.SplitSeq(query, "&") {
		raw, _, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(raw)
		if err == nil && strings.HasPrefix(strings.ToLower(name), "x-amz-") {
			continue
		}
		kept = append(kept, pair)
	}
	return strings.Join(kept, "&")
}

// isNoBucket reports whether an answer says that there is no such bucket. The answer can
// still be read.
func isNoBucket(answer *http.Response) bool {
	const most = 64 << 10
	begins, _ := io.ReadAll(io.LimitReader(answer.Body, most))
	answer.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(begins), answer.Body), answer.Body}
	return bytes.Contains(begins, []byte("NoSuchBucket"))
}

// tagsOf are the tags of an object, as condition keys, if a policy in force names one.
func (p *passing) tagsOf(arn, version string, attached *policy.Named) (tags map[string]string, warning string, e *failure) {
	const key = "s3:ExistingObjectTag/"
	if !p.service.backend.Mentions(p.Call, key) && (attached == nil || !attached.Policy.Mentions(key)) {
		return nil, "", nil
	}
	return p.objectTags(arn, version)
}

func (p *passing) objectTags(arn, version string) (tags map[string]string, warning string, e *failure) {
	id := arn + "\x00" + version
	if known, ok := p.tags[id]; ok {
		return known, "", nil
	}
	tags, warning, err := p.service.backend.ObjectTags(p.Call, arn, version)
	if err != nil {
		return nil, "", p.undecided("the tags of "+arn, err)
	}
	if warning == "" {
		p.tags[id] = tags
	}
	return tags, warning, nil
}

// undecided refuses a call about which the backend does not say what has to be known to
// decide.
func (p *passing) undecided(what string, err error) *failure {
	e := failf(http.StatusServiceUnavailable, "ServiceUnavailable",
		"The emulator cannot decide about the request: %s cannot be read from the backend.", what)
	p.deny("backend", e.Message+": "+err.Error(), e)
	return e
}
