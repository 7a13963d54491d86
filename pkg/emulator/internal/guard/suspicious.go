package guard

import (
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/openirsa/openirsa/internal/awsapi"
	"github.com/openirsa/openirsa/pkg/emulator/internal/api"
	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
)

// suspicious refuses a request that another reader might take for another call than
// the one that is decided about: one that names two operations, that has its
// parameters in two places, or whose path is another one once it is decoded.
func (a *asked) suspicious(r *http.Request) *wire.Failure {
	refused := func(why string) *wire.Failure {
		return wire.Errorf(http.StatusBadRequest, "InvalidRequest",
			"The emulator does not forward a request that can be read in two ways: %s.", why)
	}
	targets, speaks := len(r.Header["X-Amz-Target"]), len(r.Header["Smithy-Protocol"])
	_, unread := url.ParseQuery(r.URL.RawQuery)
	switch {
	case unread != nil:
		return refused("the parameters of its URL are not well-formed")
	case r.URL.Opaque != "":
		return refused("its URL has no path")
	case targets > 1 || speaks > 1 || len(r.Header["Content-Type"]) > 1 || len(r.Header["Content-Encoding"]) > 1:
		return refused("a header that says how to read it is there twice")
	case !utf8Charset(r):
		return refused("its text is not in UTF-8")
	}
	switch a.protocol {
	case wire.JSON10, wire.JSON11:
		return a.suspiciousTarget(r, speaks, refused)
	case wire.RPCCBOR:
		if targets > 0 || len(a.query) > 0 || api.IsForm(r) {
			return refused("it names its operation in the path and elsewhere")
		}
		return nil
	case wire.Query, wire.QueryEC2:
		return a.suspiciousForm(r, targets+speaks, refused)
	}
	return a.suspiciousPath(r, refused)
}

// suspiciousTarget is suspicious for a request that names its operation in
// X-Amz-Target.
func (a *asked) suspiciousTarget(r *http.Request, speaks int, refused func(string) *wire.Failure) *wire.Failure {
	switch kind := contentType(r); {
	case speaks > 0:
		return refused("it has the headers of two protocols")
	case r.URL.Path != "/" && r.URL.Path != "":
		return refused("it names its operation in a header, and has a path")
	case len(a.query) > 0:
		return refused("it names its operation in a header, and has parameters in the URL")
	case kind != "" && !strings.Contains(kind, "json") && kind != oldCBOR:
		return refused("its body is not of the type of its protocol")
	}
	return nil
}

// suspiciousForm is suspicious for a request that names its operation as a
// parameter. Its path is "/", or that of a queue.
func (a *asked) suspiciousForm(r *http.Request, headers int, refused func(string) *wire.Failure) *wire.Failure {
	switch {
	case headers > 0:
		return refused("it names its operation as a parameter and in a header")
	case !slices.Contains([]string{"", "identity"}, strings.ToLower(strings.TrimSpace(r.Header.Get("Content-Encoding")))):
		return refused("its parameters are compressed")
	case r.URL.Path == "/" || r.URL.Path == "":
		return nil
	case a.signs != "sqs" || !queueForm.MatchString(r.URL.EscapedPath()):
		return refused("it names its operation as a parameter, and has a path")
	}
	if given := a.params["QueueUrl"]; given != "" && !strings.HasSuffix(strings.TrimRight(given, "/"), strings.TrimRight(r.URL.Path, "/")) {
		return refused("its path is that of another queue than its parameter QueueUrl")
	}
	return nil
}

// queueForm is the path of a queue.
var queueForm = regexp.MustCompile(`^/[0-9]{12}/[A-Za-z0-9_.-]{1,80}/?$`)

// suspiciousPath is suspicious for a request that is known by its path.
func (a *asked) suspiciousPath(r *http.Request, refused func(string) *wire.Failure) *wire.Failure {
	switch {
	case len(r.Header["X-Amz-Target"]) > 0 || len(r.Header["Smithy-Protocol"]) > 0:
		return refused("it names its operation in a header, and has the path of another")
	case a.query.Has("Action") && !a.bound(awsapi.InQuery, "Action"):
		return refused("it has a parameter Action beside its path")
	case api.IsForm(r):
		return refused("its body is a form, which its path is not for")
	}
	for segment := range strings.SplitSeq(r.URL.Path, "/") {
		if segment == "." || segment == ".." {
			return refused("its path has dots for a name")
		}
	}
	if strings.ContainsFunc(r.URL.Path, func(c rune) bool { return c < ' ' || c == 0x7f || c == '\\' }) {
		return refused("its path has characters that are no name's")
	}
	// What an escaped slash stands for is part of a name here, and the end of one for
	// a reader that decodes the path first.
	decoded := (&url.URL{Path: r.URL.Path}).EscapedPath()
	for _, m := range a.models {
		if op, labels := m.Route(r.Method, decoded, a.query); op != nil && decoded != r.URL.EscapedPath() &&
			(a.op == nil || op.Name != a.op.Name || !same(labels, a.labels)) {
			return refused("its path is that of another operation once it is decoded")
		}
	}
	for name, values := range a.query {
		switch query := a.bound(awsapi.InQuery, name); {
		case query && len(values) > 1 && !a.listed(name):
			return refused("a parameter of its URL is there twice")
		case !query && a.elsewhere(name):
			return refused("a parameter of its URL has the name of a member that is elsewhere")
		}
	}
	return nil
}

// same reports whether two paths have the same labels.
func same(a, b map[string]string) bool {
	if len(a) != len(b) {
		return false
	}
	for name, value := range a {
		if b[name] != value {
			return false
		}
	}
	return true
}

// bound reports whether the operation has a member at a place of the request.
func (a *asked) bound(in, name string) bool {
	return a.op != nil && slices.ContainsFunc(a.op.Members, func(m awsapi.Member) bool { return m.In == in && m.WireName == name })
}

// elsewhere reports whether the operation has a member of a name that is no parameter of
// the URL, and none that is of all parameters.
func (a *asked) elsewhere(name string) bool {
	if a.op == nil {
		return false
	}
	found := false
	for _, m := range a.op.Members {
		switch {
		case m.In != awsapi.InQuery:
			found = found || strings.EqualFold(m.Name, name) || strings.EqualFold(m.WireName, name)
		case m.Shape == awsapi.Map:
			return false
		}
	}
	return found
}

// listed reports whether a parameter of the URL is a list.
func (a *asked) listed(name string) bool {
	return slices.ContainsFunc(a.op.Members, func(m awsapi.Member) bool {
		return m.In == awsapi.InQuery && m.WireName == name && m.Shape == awsapi.List
	})
}

// utf8Charset reports whether a body is in UTF-8, as far as it says so.
func utf8Charset(r *http.Request) bool {
	kind := r.Header.Get("Content-Type")
	if !strings.Contains(strings.ToLower(kind), "charset") {
		return true
	}
	_, parameters, err := mime.ParseMediaType(kind)
	if err != nil {
		return false
	}
	charset := strings.ToLower(parameters["charset"])
	return charset == "utf-8" || charset == "utf8" || charset == "us-ascii"
}

// passed are headers that are forwarded, beside those that begin with one of
// passedPrefixes and those that the operation has members for. All others stay
// here: some backends take headers of their own for orders, such as which account
// a call is for, and gateways do so with X-HTTP-Method-Override.
var (
	passed = []string{
		"Accept", "Accept-Charset", "Accept-Language", "Accept-Encoding", "Cache-Control", "Content-Disposition", "Content-Encoding",
		"Content-Language", "Content-Md5", "Content-Type", "Etag", "Expires", "If-Match", "If-Modified-Since", "If-None-Match",
		"If-Unmodified-Since", "Range", "Smithy-Protocol", "Traceparent", "Tracestate", "User-Agent",
	}
	passedPrefixes = []string{"X-Amz-", "X-Amzn-", "Amz-Sdk-"}
)

// headers are those of a request that are forwarded. A name with an underscore is
// that of a header with a hyphen for servers that follow CGI, so only those of
// models pass.
func (a *asked) headers(r *http.Request) http.Header {
	h := make(http.Header, len(r.Header)+2)
	for name, values := range r.Header {
		if name == "X-Amz-Security-Token" {
			continue // it is ours
		}
		known := !strings.ContainsRune(name, '_') && (slices.Contains(passed, name) ||
			slices.ContainsFunc(passedPrefixes, func(prefix string) bool { return strings.HasPrefix(name, prefix) }))
		if known || a.header(name) {
			h[name] = values
		}
	}
	return h
}

// header reports whether the operation has a member for a header.
func (a *asked) header(name string) bool {
	if a.op == nil {
		return false
	}
	return slices.ContainsFunc(a.op.Members, func(m awsapi.Member) bool {
		return m.In == awsapi.InHeader && http.CanonicalHeaderKey(m.WireName) == name
	})
}
