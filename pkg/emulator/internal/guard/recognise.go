package guard

import (
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/openirsa/openirsa/internal/awsapi"
	"github.com/openirsa/openirsa/pkg/emulator/internal/api"
	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
)

// asked is what a request asks for, as far as is known of it.
type asked struct {
	protocol wire.Protocol
	// oldCBOR is set for the CBOR that some clients of Java send in place of JSON,
	// with the same headers.
	oldCBOR bool
	signs   string // the service in the scope of the signature; "" if there is none

	// models are those that it may be for; none if no model is known.
	models []*awsapi.Model
	// fits are those of them that have the method and path, or the one that the client says.
	fits      []*awsapi.Model
	model     *awsapi.Model // the one that was chosen; nil if none is known
	operation string        // "" if it is not known
	op        *awsapi.Operation
	labels    map[string]string // of the path
	query     url.Values        // of the URL, without the signature
	params    map[string]string // of a form
}

var (
	rpcPath    = regexp.MustCompile(`/service/([A-Za-z][A-Za-z0-9_.]{0,99})/operation/([A-Z][A-Za-z0-9]{1,99})$`)
	actionForm = regexp.MustCompile(`^[A-Z][A-Za-z0-9]{1,99}$`)
	nameForm   = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9-]{1,63}$`)
)

// recognise says what a request is for, from what comes before its body. It
// returns nil for one that says nothing of a service, or of one that the emulator
// has, or of S3, which answers whatever is left. Protocols are told as in AWS's service
// models: by the header Smithy-Protocol, then by X-Amz-Target, by a form with
// Action and Version, and at last by the service that was signed for. A request that
// names an operation in a header or a path of RPC is for some service, even if nobody
// knows which.
func (g *Guard) recognise(c *api.Call) *asked {
	r := c.Request
	a := &asked{signs: c.SignedService()}
	if slices.Contains(g.own, a.signs) {
		return nil
	}
	if a.signs == "" && g.config.IsBucket(r.Host) {
		return nil
	}
	a.query = unsigned(r.URL.Query())
	post := r.Method == http.MethodPost
	target, operation, targeted := api.Target(r)
	var rpc []string
	if r.Header.Get("Smithy-Protocol") == "rpc-v2-cbor" {
		rpc = rpcPath.FindStringSubmatch(r.URL.Path)
	}
	switch {
	case post && rpc != nil:
		a.protocol, a.operation = wire.RPCCBOR, rpc[2]
		a.choose(awsapi.ByShape(rpc[1]))
	case post && targeted:
		a.protocol, a.operation = jsonVersion(r), operation
		a.oldCBOR = contentType(r) == oldCBOR
		a.choose(awsapi.ByTarget(target))
	case api.IsForm(r) || a.query.Has("Action"):
		if !g.form(c, a) {
			return nil
		}
	default:
		a.rest(r)
	}
	if a.model == nil && a.signs == "" && a.operation == "" {
		return nil
	}
	if a.model != nil && slices.Contains(g.own, a.model.SigningName) {
		return nil
	}
	return a
}

// choose chooses of models that the request may be for the one that has the
// operation and the service of the signature.
func (a *asked) choose(models []*awsapi.Model) {
	a.models = models
	for _, m := range models {
		better := a.model == nil || a.model.SigningName != a.signs && m.SigningName == a.signs
		if op := m.Operation(a.operation); op != nil && (a.op == nil || better) {
			a.model, a.op = m, op
		}
	}
	if a.model == nil && len(models) > 0 {
		a.model = models[0]
	}
}

// form recognises a request of the Query protocol or of EC2's, as far as it can be
// told without the body. The body of one that is not signed is looked at, since it
// alone says what the request is for; it may be for STS.
func (g *Guard) form(c *api.Call, a *asked) bool {
	a.protocol = wire.Query
	if a.signs == "" {
		params, is, failed := c.Form()
		if !is || failed != nil {
			return false
		}
		a.act(params["Action"])
		a.queried(awsapi.ByVersion(params["Version"], ""))
		return a.model != nil
	}
	a.act(a.query.Get("Action"))
	a.queried(awsapi.BySigning(a.signs))
	return true
}

// act says which operation a form asks for, if it is one.
func (a *asked) act(action string) {
	if a.operation = ""; actionForm.MatchString(action) {
		a.operation = action
	}
}

// queried chooses of models those that speak a Query protocol.
func (a *asked) queried(models []*awsapi.Model) {
	models = slices.DeleteFunc(slices.Clone(models), func(m *awsapi.Model) bool {
		return m.Protocol != awsapi.Query && m.Protocol != awsapi.EC2 && !m.OldQuery
	})
	a.choose(models)
	if a.model != nil && a.model.Protocol == awsapi.EC2 || a.signs == "ec2" {
		a.protocol = wire.QueryEC2
	}
}

// rest recognises a request by its method and path. Without a signature the client
// must say what it is one of, as those of the SDKs do of calls that need none.
func (a *asked) rest(r *http.Request) {
	var models []*awsapi.Model
	said := agent(r)
	switch {
	case a.signs != "":
		models = awsapi.BySigning(a.signs)
	case len(said) > 0:
		models = said
	default:
		models = hosted(r.Host)
	}
	a.protocol = wire.RESTJSON
	a.route(r, models, said)
	switch {
	case a.model != nil && a.model.Protocol == awsapi.RESTXML:
		a.protocol = wire.RESTXML
	case a.model != nil:
	case len(models) > 0 && (models[0].Protocol == awsapi.Query || models[0].Protocol == awsapi.EC2):
		a.protocol = wire.Query
		a.queried(models)
	case len(models) > 0:
	case strings.HasPrefix(a.signs, "s3express") || strings.HasPrefix(a.signs, "s3-"):
		a.protocol = wire.RESTS3
	case strings.Contains(contentType(r), "xml"):
		a.protocol = wire.RESTXML
	}
}

// route chooses of models the one that has the method and path of a request, best one
// that the client says it is of.
func (a *asked) route(r *http.Request, models, said []*awsapi.Model) {
	a.models = nil
	for _, m := range models {
		if m.Protocol != awsapi.RESTJSON && m.Protocol != awsapi.RESTXML {
			continue
		}
		a.models = append(a.models, m)
		op, labels := m.Route(r.Method, r.URL.EscapedPath(), a.query)
		if op != nil {
			a.fits = append(a.fits, m)
		}
		if op != nil && (a.op == nil || slices.Contains(said, m) && !slices.Contains(said, a.model)) {
			a.model, a.op, a.labels, a.operation = m, op, labels, op.Name
		}
	}
	for _, m := range a.models {
		if a.op == nil && (a.model == nil || slices.Contains(said, m) && !slices.Contains(said, a.model)) {
			a.model = m
		}
	}
	if slices.Contains(said, a.model) {
		a.fits = []*awsapi.Model{a.model}
	}
}

// agent are the models that a client says it is one of, as those of the SDKs do
// in User-Agent: "api/sso-oidc#3.1169.0".
func agent(r *http.Request) []*awsapi.Model {
	_, rest, _ := strings.Cut(r.UserAgent(), " api/")
	end := strings.IndexAny(rest, "#/ ")
	if end < 0 {
		return nil
	}
	return awsapi.ByServiceID(rest[:end])
}

// hosted are the models that a host of AWS names: "oidc.eu-west-1.amazonaws.com".
func hosted(host string) []*awsapi.Model {
	name, rest, _ := strings.Cut(strings.ToLower(host), ".")
	if !strings.Contains(rest, "amazonaws.") {
		return nil
	}
	return awsapi.BySigning(name)
}

// jsonVersion is the version of the JSON protocol that a request speaks.
func jsonVersion(r *http.Request) wire.Protocol {
	if contentType(r) == "application/x-amz-json-1.0" {
		return wire.JSON10
	}
	return wire.JSON11
}

// oldCBOR is the content type of CBOR in place of JSON 1.1.
const oldCBOR = "application/x-amz-cbor-1.1"

// contentType is the type of a body, without parameters.
func contentType(r *http.Request) string {
	kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	return strings.ToLower(strings.TrimSpace(kind))
}

// signatureParameters are those of a presigned URL.
var signatureParameters = []string{
	"X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-SignedHeaders", "X-Amz-Signature",
	"X-Amz-Security-Token",
}

// unsigned are parameters of a URL without those of a signature.
func unsigned(query url.Values) url.Values {
	for _, name := range signatureParameters {
		query.Del(name)
	}
	return query
}
