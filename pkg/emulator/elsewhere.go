package emulator

import (
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/openirsa/openirsa/internal/sigv4"
)

// Services that the emulator does not have. AWS_ENDPOINT_URL is for all
// services, so a program that is pointed here calls those too. Each gets an
// error in the protocol that its client speaks, with the error's code where
// that client looks for it. The protocols are those of Smithy's and botocore's
// documentation.

// maxUnused bounds, in bytes, what is read and thrown away of a body that is
// too large to be kept: a client that still sends does not see an answer. The
// largest are those of Lambda, 67 MB.
const maxUnused = 128 << 20

// protocol is a protocol of AWS's services.
type protocol int

const (
	restJSON protocol = iota
	json10            // AWS JSON 1.0
	json11            // AWS JSON 1.1
	query             // XML, or JSON if it is asked for
	queryEC2          // EC2 has an envelope of its own
	restXML
	restS3  // S3's relatives, without an envelope
	rpcCBOR // Smithy RPC v2
)

// servicesHere are the services of the emulator, as signatures name them.
var servicesHere = []string{"s3", "sts", "iam", "kms"}

// An elsewhere is a call of a service that is not here.
type elsewhere struct {
	protocol  protocol
	service   string   // the name that clients have for it; "" if it was not well said
	operation string   // "" if it is not known
	clients   []string // service ids of the clients that it may be for
}

var (
	serviceForm   = regexp.MustCompile(`^[a-z][a-z0-9-]{1,39}$`)
	targetForm    = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.-]{0,99}\.[A-Z][A-Za-z0-9]{1,99}$`)
	operationForm = regexp.MustCompile(`^[A-Z][A-Za-z0-9]{1,99}$`)
	rpcPath       = regexp.MustCompile(`/service/([A-Za-z][A-Za-z0-9_.]{0,99})/operation/([A-Z][A-Za-z0-9]{1,99})$`)
)

// elsewhere says whether a call is for a service that is not here, and for
// which. What is signed for one that is here never is, nor what says nothing of
// a service: it may be anybody's request to S3. The parameters of a form must
// have been read.
func (s *Server) elsewhere(c *call) (elsewhere, bool) {
	signed := c.signedService()
	if slices.Contains(servicesHere, signed) {
		return elsewhere{}, false
	}
	r := c.r
	post := r.Method == http.MethodPost && (signed != "" || s.parseS3Host(r.Host).bucket == "")
	target := r.Header.Get("X-Amz-Target")
	rpc := rpcPath.FindStringSubmatch(r.URL.Path)
	switch {
	case post && r.Header.Get("Smithy-Protocol") == "rpc-v2-cbor" && rpc != nil:
		return calledBy(rpcCBOR, signed, rpc[1], rpc[2]), true
	case post && targetForm.MatchString(target):
		kind := json11
		if strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-amz-json-1.0") {
			kind = json10
		}
		dot := strings.LastIndexByte(target, '.')
		return calledBy(kind, signed, target[:dot], target[dot+1:]), true
	case c.params["Action"] != "" || c.params["Version"] != "":
		return queriedElsewhere(signed, c.params)
	}
	found := servicesWhere(func(known *awsService) bool { return known.signs == signed })
	if agent := agentService(r); agent != nil && (signed == "" || agent.signs == signed) {
		found = []*awsService{agent}
	}
	if signed == "" && len(found) == 0 {
		return elsewhere{}, false
	}
	kind := restJSON
	switch {
	case isForm(r) && signed == "ec2":
		kind = queryEC2
	case isForm(r):
		kind = query
	case len(found) > 0:
		kind = found[0].rest()
		found = slices.DeleteFunc(found, func(known *awsService) bool { return known.rest() != kind })
	case strings.HasPrefix(signed, "s3express") || strings.HasPrefix(signed, "s3-"):
		kind = restS3
	case strings.Contains(r.Header.Get("Content-Type"), "xml"):
		kind = restXML
	}
	return named(kind, signed, "", found), true
}

// agentService is the service that a client says it is one of, as those of the
// SDKs do ("api/sso-oidc#3.1169.0"), of some calls that are not signed for any;
// nil for one that is here.
func agentService(r *http.Request) *awsService {
	_, rest, _ := strings.Cut(r.UserAgent(), " api/")
	end := strings.IndexAny(rest, "#/ ")
	if end < 0 {
		return nil
	}
	plain := strings.NewReplacer(" ", "", "-", "", "_", "").Replace
	name := strings.ToLower(plain(rest[:end]))
	found := servicesWhere(func(known *awsService) bool { return strings.ToLower(plain(known.id)) == name })
	if len(found) != 1 || slices.Contains(servicesHere, found[0].signs) {
		return nil
	}
	return found[0]
}

// calledBy is a call that names the operation and, in a word of its own, the
// service.
func calledBy(kind protocol, signed, target, operation string) elsewhere {
	found := servicesWhere(func(known *awsService) bool { return known.target == target })
	if len(found) == 0 && signed == "" {
		signed = strings.ToLower(target)
	}
	return named(kind, signed, operation, found)
}

// queriedElsewhere is a call in the Query protocol, if it is for a service that
// is not here. Versions of the interfaces of several services may be the same.
func queriedElsewhere(signed string, p params) (elsewhere, bool) {
	version := p["Version"]
	if version == versionSTS || version == versionIAM {
		return elsewhere{}, false
	}
	found := servicesWhere(func(known *awsService) bool {
		return known.version == version && version != "" && (signed == "" || known.signs == signed)
	})
	if len(found) == 0 {
		if signed == "" {
			return elsewhere{}, false
		}
		found = servicesWhere(func(known *awsService) bool { return known.signs == signed })
	}
	kind := query
	if signed == "ec2" || found != nil && found[0].protocol == "ec2" {
		kind = queryEC2
	}
	return named(kind, signed, p["Action"], found), true
}

// named is a call with the names that the candidates have, or else the one of
// the signature. Names and operations without the form of one are left out:
// they are a stranger's words.
func named(kind protocol, signed, operation string, found []*awsService) elsewhere {
	e := elsewhere{protocol: kind}
	switch {
	case len(found) == 1:
		e.service = found[0].name
	case len(found) > 1:
		e.service = found[0].signs
	case serviceForm.MatchString(signed):
		e.service = shown(signed, maxText)
	}
	if operationForm.MatchString(operation) {
		e.operation = shown(operation, maxText)
	}
	for _, known := range found {
		e.clients = append(e.clients, known.id)
	}
	return e
}

// String says what is not here, and what to do.
func (e elsewhere) String() string {
	service := e.service
	if service == "" {
		service = "the service that this request is for"
	}
	text := "This emulator does not have " + service
	if e.operation != "" {
		text += ", so it cannot do " + e.operation
	}
	text += "; it has STS, IAM, S3 and KMS. AWS_ENDPOINT_URL sends the calls of all services here: give the client of " +
		service + " an endpoint of its own, such as with "
	if len(e.clients) == 0 {
		return text + "AWS_ENDPOINT_URL_ and the service's name."
	}
	variables := make([]string, len(e.clients))
	for i, id := range e.clients {
		variables[i] = "AWS_ENDPOINT_URL_" + strings.ToUpper(strings.NewReplacer(" ", "_", "-", "_").Replace(id))
	}
	return text + strings.Join(variables, " or ") + "."
}

// refusal is the error of a call. It is the client's fault, since SDKs try
// again what is the server's, 501 too.
func (e elsewhere) refusal() *awsError {
	code := "UnknownOperationException"
	if e.protocol == query || e.protocol == queryEC2 {
		code = "InvalidAction"
	}
	return errorf(http.StatusBadRequest, code, "%s", e)
}

// isForm says whether the body of a request is a form.
func isForm(r *http.Request) bool {
	kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	return strings.EqualFold(strings.TrimSpace(kind), "application/x-www-form-urlencoded")
}

// serveElsewhere refuses a call of a service that is not here. Failed is what
// went wrong when the form was read.
func (s *Server) serveElsewhere(w http.ResponseWriter, c *call, where elsewhere, failed *awsError) {
	c.service, c.operation = where.service, where.operation
	if failed == nil && c.body == nil {
		c.body, failed = s.readBody(c)
	}
	e := failed
	if failed == nil || failed.status < http.StatusInternalServerError {
		e = s.refuseElsewhere(c, where, failed == nil || c.body != nil)
	}
	where.write(w, c, e)
}

// refuseElsewhere is the error for a call, and its event. Who called is told if
// the whole body is there, without which no signature can be verified; but a
// bad signature is no matter, since nobody may do what cannot be done.
func (s *Server) refuseElsewhere(c *call, where elsewhere, whole bool) *awsError {
	if !whole && !expectsContinue(c.r) {
		io.CopyN(io.Discard, c.r.Body, maxUnused)
	}
	if e := s.refusePage(c); e != nil {
		return e
	}
	if sig, err := sigv4.Parse(c.r); err == nil && whole {
		s.identify(c, &sig, sigv4.HashPayload(c.body))
	}
	e := where.refusal()
	event := c.event()
	event.Action = strings.Trim(event.Action, ":")
	event.Decision, event.Step, event.Reason, event.Code = Deny, "service", e.message, e.code
	if c.operation == "" {
		event.Resource = shown(c.r.Method+" "+c.r.URL.Path, maxFormless)
	}
	s.record(entry{Event: event})
	return e
}

// write writes an error in the protocol of the call.
func (e elsewhere) write(w http.ResponseWriter, c *call, refusal *awsError) {
	h := w.Header()
	h["x-amzn-RequestId"] = []string{c.id}
	if c.r.Header.Get("X-Amzn-Query-Mode") == "true" { // SQS and CloudWatch, whose clients know codes of the Query protocol
		code := refusal.code
		if code == "UnknownOperationException" {
			code = "InvalidAction"
		}
		h["x-amzn-query-error"] = []string{code + ";" + refusal.faultOf()}
	}
	status, kind, body := refusal.status, "", []byte(nil)
	switch e.protocol {
	case json10, json11:
		kind = "application/x-amz-json-1.1"
		if e.protocol == json10 {
			kind = "application/x-amz-json-1.0"
		}
		body = textsJSON("__type", refusal.code, "message", refusal.message)
	case restJSON:
		h["x-amzn-ErrorType"] = []string{refusal.code}
		kind, body = "application/json", textsJSON("message", refusal.message)
	case rpcCBOR:
		h["smithy-protocol"] = []string{"rpc-v2-cbor"}
		kind, body = "application/cbor", textsCBOR("__type", refusal.code, "message", refusal.message)
	case queryEC2:
		kind, body = "text/xml;charset=UTF-8", ec2Error(c.id, refusal)
	case restXML:
		kind, body = "text/xml", queryError(namespaceFault, c.id, refusal)
	case restS3:
		kind, body = "application/xml", bareError(c.id, refusal)
	default:
		c.namespace = namespaceFault
		status, kind, body = c.encode(nil, refusal)
	}
	h["Content-Type"] = []string{kind}
	w.WriteHeader(status)
	w.Write(body)
}

// ec2Error is an error of EC2 ("Error response format", EC2 Developer Guide).
func ec2Error(requestID string, e *awsError) []byte {
	x := new(xmlWriter)
	x.open("Response")
	x.open("Errors")
	x.open("Error")
	x.text("Code", e.code)
	x.text("Message", e.message)
	x.close("Error")
	x.close("Errors")
	x.text("RequestID", requestID)
	x.close("Response")
	return x.buf
}

// bareError is an error of S3's relatives.
func bareError(requestID string, e *awsError) []byte {
	x := new(xmlWriter)
	x.open("Error")
	x.text("Code", e.code)
	x.text("Message", e.message)
	x.text("RequestId", requestID)
	x.close("Error")
	return x.buf
}

// textsJSON is an object of texts, from names and values by turns.
func textsJSON(pairs ...string) []byte {
	texts := make(map[string]string, len(pairs)/2)
	for p := range slices.Chunk(pairs, 2) {
		texts[p[0]] = p[1]
	}
	body, _ := encodeJSON(texts) // of texts there is no error
	return body
}

// textsCBOR is a map of up to 23 texts to texts in CBOR (RFC 8949, section 3),
// from names and values by turns, each of less than 64 KiB.
func textsCBOR(pairs ...string) []byte {
	b := []byte{0xa0 | byte(len(pairs)/2)}
	for _, text := range pairs {
		switch n := len(text); {
		case n < 24:
			b = append(b, 0x60|byte(n))
		case n < 1<<8:
			b = append(b, 0x78, byte(n))
		default:
			b = append(b, 0x79, byte(n>>8), byte(n))
		}
		b = append(b, text...)
	}
	return b
}
