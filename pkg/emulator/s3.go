package emulator

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/openirsa/openirsa/internal/sigv4"
	"github.com/openirsa/openirsa/pkg/emulator/internal/api"
	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
	"github.com/openirsa/openirsa/pkg/policy"
)

// namespaceS3 is the XML namespace of S3's documents. Its errors have none.
const namespaceS3 = "http://s3.amazonaws.com/doc/2006-03-01/"

const (
	// maxObject is the size of a single upload (S3 User Guide, "Uploading
	// objects").
	maxObject = 5 << 30
	// maxXML bounds a document that a client sends. The largest is that of
	// CompleteMultipartUpload: 10,000 parts of about 300 bytes.
	maxXML = 4 << 20
	// maxKey is the length of a key in bytes.
	maxKey = 1024
)

// s3Call is one request to S3 while it is answered.
type s3Call struct {
	*api.Call
	s  *Server
	s3 *s3

	host   s3Host
	bucket string     // "" for the service itself
	key    string     // "" for the bucket itself
	query  url.Values // decoded
	config *bucketConfig

	sig     *sigv4.Signature // nil of an anonymous request
	signKey sigv4.Key
}

// s3Answer is what an operation answers if it succeeds.
type s3Answer struct {
	status int // 0 is 200
	header http.Header
	xml    []byte
	// stream writes the body of an object, of length bytes. A call that gives
	// one must also give done, which is called in any case.
	stream func(io.Writer) error
	length int64
	done   func()
}

// set sets a header of the answer, unless the value is empty.
func (a *s3Answer) set(name, value string) {
	if value == "" {
		return
	}
	if a.header == nil {
		a.header = make(http.Header, 8)
	}
	a.header.Set(name, value)
}

// write puts the headers of the answer among those to be sent, spelled as S3
// spells them. The name of x-amz-meta-... is the client's own data, and some
// clients tell upper from lower case.
func (a *s3Answer) write(h http.Header) {
	for name, values := range a.header {
		switch {
		case strings.HasPrefix(name, "X-Amz-"):
			name = strings.ToLower(name)
		case name == "Etag":
			name = "ETag"
		}
		h[name] = values
	}
}

// s3Error is an error with what S3's documents of errors have beside code and
// message.
type s3Error struct {
	wire.Failure
	fields []string // names and values of further elements
	header http.Header
}

func s3Errorf(status int, code, format string, args ...any) *s3Error {
	return &s3Error{Failure: *wire.Errorf(status, code, format, args...)}
}

// with adds an element to the document of an error.
func (e *s3Error) with(name, value string) *s3Error {
	e.fields = append(e.fields, name, value)
	return e
}

// asS3 is an error of the services' common code as one of S3's.
func asS3(e *wire.Failure) *s3Error {
	if e == nil {
		return nil
	}
	return &s3Error{Failure: *e}
}

// Errors that several operations have (S3 API Reference, "Error responses").
func errNoSuchBucket(bucket string) *s3Error {
	return s3Errorf(http.StatusNotFound, "NoSuchBucket", "The specified bucket does not exist").with("BucketName", bucket)
}

func errNoSuchKey(key string) *s3Error {
	return s3Errorf(http.StatusNotFound, "NoSuchKey", "The specified key does not exist.").with("Key", key)
}

func errPrecondition(condition string) *s3Error {
	return s3Errorf(http.StatusPreconditionFailed, "PreconditionFailed",
		"At least one of the pre-conditions you specified did not hold").with("Condition", condition)
}

func errInvalidArgument(message, name, value string) *s3Error {
	return s3Errorf(http.StatusBadRequest, "InvalidArgument", "%s", message).with("ArgumentName", name).with("ArgumentValue", value)
}

func errInvalidRequest(format string, args ...any) *s3Error {
	return s3Errorf(http.StatusBadRequest, "InvalidRequest", format, args...)
}

func errMalformedXML() *s3Error {
	return s3Errorf(http.StatusBadRequest, "MalformedXML",
		"The XML you provided was not well-formed or did not validate against our published schema")
}

// errNotImplemented is the answer where a request asks for what the emulator
// does not have. It says so, where S3 would do something.
func errNotImplemented(what string) *s3Error {
	return s3Errorf(http.StatusNotImplemented, "NotImplemented",
		"A header you provided implies functionality that is not implemented: %s", what)
}

func errS3Internal() *s3Error {
	return s3Errorf(http.StatusInternalServerError, "InternalError", "We encountered an internal error. Please try again.")
}

func errAccessDenied() *s3Error { return asS3(accessDenied("Access Denied")) }

// s3Service is S3. Whatever no other service takes is a request to it.
type s3Service struct{ *Server }

// Names implements [api.Service].
func (s3Service) Names() []string { return []string{"s3"} }

// Load implements [api.Service].
func (s s3Service) Load() error {
	service, err := loadS3(s.store, s.config.Account, &s.s3Changes)
	if err != nil {
		return err
	}
	s.s3 = service
	s.readPublic = s.readAsStranger
	return nil
}

// Take implements [api.Service].
func (s s3Service) Take(c *api.Call) api.Answer {
	c.Service = "s3"
	return func(w http.ResponseWriter) { s.handleS3(w, c) }
}

// handleS3 answers a request to S3.
func (s *Server) handleS3(w http.ResponseWriter, c *api.Call) {
	q := s.newS3Call(c)
	answer, e := q.answer()
	if answer != nil && answer.done != nil {
		defer answer.done()
	}
	if c.Dropped {
		return
	}
	h := w.Header()
	h["x-amz-request-id"] = []string{c.ID}
	h["x-amz-id-2"] = []string{hostID(c.ID)}
	h.Set("Server", "AmazonS3")
	if e != nil {
		q.writeError(w, e)
		return
	}
	answer.write(h)
	status := answer.status
	if status == 0 {
		status = http.StatusOK
	}
	switch {
	case answer.stream != nil:
		h.Set("Content-Length", strconv.FormatInt(answer.length, 10))
		w.WriteHeader(status)
		if c.Request.Method == http.MethodHead {
			return
		}
		if err := answer.stream(w); err != nil {
			// The status is out; a cut connection is the only way left to say
			// that what came is not the object.
			c.Dropped = true
		}
	case answer.xml != nil:
		h.Set("Content-Type", "application/xml")
		h.Set("Content-Length", strconv.Itoa(len(answer.xml)))
		w.WriteHeader(status)
		if c.Request.Method != http.MethodHead {
			w.Write(answer.xml)
		}
	default:
		w.WriteHeader(status)
	}
}

func (q *s3Call) writeError(w http.ResponseWriter, e *s3Error) {
	h := w.Header()
	(&s3Answer{header: e.header}).write(h)
	if q.Request.Method == http.MethodHead || e.Status == http.StatusNotModified {
		w.WriteHeader(e.Status)
		return
	}
	x := newS3XML()
	if q.control() {
		x.Open("ErrorResponse")
		x.Open("Error")
	} else {
		x.Open("Error")
	}
	x.Text("Code", e.Code)
	x.Text("Message", e.Message)
	for i := 0; i+1 < len(e.fields); i += 2 {
		x.Text(e.fields[i], e.fields[i+1])
	}
	if q.control() {
		x.Close("Error")
		x.Text("RequestId", q.ID)
		x.Text("HostId", hostID(q.ID))
		x.Close("ErrorResponse")
	} else {
		x.Text("Resource", q.Request.URL.Path)
		x.Text("RequestId", q.ID)
		x.Text("HostId", hostID(q.ID))
		x.Close("Error")
	}
	h.Set("Content-Type", "application/xml")
	w.WriteHeader(e.Status)
	w.Write(x.Buf)
}

// newS3RequestID makes a request id of the form that S3's have.
func newS3RequestID() string {
	const alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ" // 32 of them
	var b [16]byte
	rand.Read(b[:])
	for i := range b {
		b[i] = alphabet[b[i]%32]
	}
	return string(b[:])
}

// hostID is the extended request id, x-amz-id-2, which means nothing to
// anybody but support.
func hostID(requestID string) string {
	return base64.StdEncoding.EncodeToString([]byte("openirsa/" + requestID + "/" + requestID + requestID))
}

// newS3Call takes the address of a request apart.
func (s *Server) newS3Call(c *api.Call) *s3Call {
	c.ID = newS3RequestID()
	c.Caller = api.Anonymous()
	c.Region = ""
	return &s3Call{Call: c, s: s, s3: s.s3}
}

// control says whether a request is to S3's control API, which is told from
// the rest by its version and a header that it alone has.
func (q *s3Call) control() bool {
	return strings.HasPrefix(q.Request.URL.Path, controlPrefix) && q.Request.Header.Get("X-Amz-Account-Id") != ""
}

// answer does what a request asks for.
func (q *s3Call) answer() (*s3Answer, *s3Error) {
	run, e := q.route()
	if q.Operation == "" {
		q.Operation = q.Request.Method // of requests that are no operation
	}
	if e != nil {
		return nil, e
	}
	if e := q.s.admit(q.Call); e != nil {
		return nil, asS3(e)
	}
	if q.bucket != "" {
		q.config = q.s3.config(q.bucket)
	}
	if e := q.authenticate(); e != nil {
		return nil, e
	}
	q.unhoist()
	if v := q.Request.Header.Values("X-Amz-Expected-Bucket-Owner"); v != nil {
		if e := errNoAccountID(v[0]); e != nil {
			return nil, e
		}
	}
	if q.config != nil {
		if e := q.checkOwner(q.config, "X-Amz-Expected-Bucket-Owner"); e != nil {
			return nil, e
		}
	}
	return run(q)
}

// s3Operation is one operation of S3.
type s3Operation struct {
	name string
	run  func(*s3Call) (*s3Answer, *s3Error)
}

// route finds the operation that a request asks for and names it.
func (q *s3Call) route() (func(*s3Call) (*s3Answer, *s3Error), *s3Error) {
	r := q.Request
	rawPath, rawQuery, _ := strings.Cut(r.RequestURI, "?")
	if !strings.HasPrefix(rawPath, "/") {
		rawPath, rawQuery = r.URL.EscapedPath(), r.URL.RawQuery
	}
	invalidURI := s3Errorf(http.StatusBadRequest, "InvalidURI", "Couldn't parse the specified URI.").with("URI", rawPath)
	q.query, _ = url.ParseQuery(rawQuery) // what is malformed is left out

	if q.control() {
		return q.routeControl()
	}
	q.host = q.s.parseS3Host(r.Host)
	rest := strings.TrimPrefix(rawPath, "/")
	q.bucket = q.host.bucket
	if q.bucket == "" {
		q.bucket, rest, _ = strings.Cut(rest, "/")
		var err error
		if q.bucket, err = url.PathUnescape(q.bucket); err != nil {
			return nil, invalidURI
		}
	}
	key, err := url.PathUnescape(rest)
	if err != nil || !utf8.ValidString(key) || !utf8.ValidString(q.bucket) {
		return nil, invalidURI
	}
	if len(key) > maxKey {
		return nil, s3Errorf(http.StatusBadRequest, "KeyTooLongError", "Your key is too long").
			with("Size", strconv.Itoa(len(key))).with("MaxSizeAllowed", strconv.Itoa(maxKey))
	}
	q.key = key
	if q.bucket == "" && q.key != "" {
		return nil, s3Errorf(http.StatusBadRequest, "InvalidBucketName", "The specified bucket is not valid.").with("BucketName", "")
	}

	level := "service"
	switch {
	case q.key != "":
		level = "object"
	case q.bucket != "":
		level = "bucket"
	}
	name := r.Method + " " + level
	if sub := q.subresource(level); sub != "" {
		name += "?" + sub
	}
	if level == "object" && r.Method == http.MethodPut && (r.Header.Get("X-Amz-Copy-Source") != "" || q.hoisted("x-amz-copy-source")) {
		name += " copy"
	}
	op, known := s3Operations[name]
	if !known {
		return nil, s3Errorf(http.StatusMethodNotAllowed, "MethodNotAllowed",
			"The specified method is not allowed against this resource.").with("Method", r.Method).with("ResourceType", strings.ToUpper(level))
	}
	q.Operation = op.name
	return op.run, nil
}

// subresource is the parameter of the query that selects an operation.
func (q *s3Call) subresource(level string) string {
	if q.query.Has("list-type") && level == "bucket" && q.query.Get("list-type") == "2" {
		return "list-type"
	}
	for _, name := range subresources {
		if q.query.Has(name) {
			return name
		}
	}
	return ""
}

// subresources are the parameters that select an operation. Where there are
// two the first counts; UploadPart has both partNumber and uploadId.
var subresources = []string{
	"uploads", "uploadId", "delete", "policyStatus", "policy", "publicAccessBlock", "ownershipControls",
	"location", "versioning", "versions", "tagging", "acl", "cors", "lifecycle", "website", "replication",
	"encryption", "object-lock", "accelerate", "logging", "requestPayment", "notification", "abac",
	"attributes", "legal-hold", "retention", "restore", "select", "torrent", "session", "renameObject",
	"analytics", "inventory", "metrics", "intelligent-tiering", "metadataTable", "metadataConfiguration",
	"annotation", "annotations",
}

// s3Operations are the operations by method, level and subresource.
var s3Operations map[string]s3Operation

func init() {
	s3Operations = map[string]s3Operation{
		"GET service": {"ListBuckets", (*s3Call).listBuckets},

		"PUT bucket":           {"CreateBucket", (*s3Call).createBucket},
		"HEAD bucket":          {"HeadBucket", (*s3Call).headBucket},
		"DELETE bucket":        {"DeleteBucket", (*s3Call).deleteBucket},
		"GET bucket":           {"ListObjects", (*s3Call).listObjects},
		"GET bucket?list-type": {"ListObjectsV2", (*s3Call).listObjects},
		"GET bucket?versions":  {"ListObjectVersions", (*s3Call).listVersions},
		"GET bucket?location":  {"GetBucketLocation", (*s3Call).getLocation},
		"POST bucket?delete":   {"DeleteObjects", (*s3Call).deleteObjects},
		"GET bucket?uploads":   {"ListMultipartUploads", (*s3Call).listUploads},

		"GET bucket?policy":               {"GetBucketPolicy", (*s3Call).getPolicy},
		"PUT bucket?policy":               {"PutBucketPolicy", (*s3Call).putPolicy},
		"DELETE bucket?policy":            {"DeleteBucketPolicy", (*s3Call).deletePolicy},
		"GET bucket?policyStatus":         {"GetBucketPolicyStatus", (*s3Call).getPolicyStatus},
		"GET bucket?publicAccessBlock":    {"GetPublicAccessBlock", (*s3Call).getBlock},
		"PUT bucket?publicAccessBlock":    {"PutPublicAccessBlock", (*s3Call).putBlock},
		"DELETE bucket?publicAccessBlock": {"DeletePublicAccessBlock", (*s3Call).deleteBlock},
		"GET bucket?ownershipControls":    {"GetBucketOwnershipControls", (*s3Call).getOwnership},
		"PUT bucket?ownershipControls":    {"PutBucketOwnershipControls", (*s3Call).putOwnership},
		"DELETE bucket?ownershipControls": {"DeleteBucketOwnershipControls", (*s3Call).deleteOwnership},
		"GET bucket?tagging":              {"GetBucketTagging", (*s3Call).getBucketTagging},
		"PUT bucket?tagging":              {"PutBucketTagging", (*s3Call).putBucketTagging},
		"DELETE bucket?tagging":           {"DeleteBucketTagging", (*s3Call).deleteBucketTagging},
		"GET bucket?acl":                  {"GetBucketAcl", (*s3Call).getACL},
		"PUT bucket?acl":                  {"PutBucketAcl", (*s3Call).putACL},
		"GET bucket?encryption":           {"GetBucketEncryption", (*s3Call).getEncryption},
		"PUT bucket?encryption":           {"PutBucketEncryption", (*s3Call).putEncryption},
		"DELETE bucket?encryption":        {"DeleteBucketEncryption", (*s3Call).deleteEncryption},

		"PUT object":               {"PutObject", (*s3Call).putObject},
		"PUT object copy":          {"CopyObject", (*s3Call).copyObject},
		"GET object":               {"GetObject", (*s3Call).getObject},
		"HEAD object":              {"HeadObject", (*s3Call).getObject},
		"DELETE object":            {"DeleteObject", (*s3Call).deleteObject},
		"GET object?attributes":    {"GetObjectAttributes", (*s3Call).getAttributes},
		"GET object?acl":           {"GetObjectAcl", (*s3Call).getACL},
		"PUT object?acl":           {"PutObjectAcl", (*s3Call).putACL},
		"GET object?tagging":       {"GetObjectTagging", (*s3Call).getObjectTagging},
		"PUT object?tagging":       {"PutObjectTagging", (*s3Call).putObjectTagging},
		"DELETE object?tagging":    {"DeleteObjectTagging", (*s3Call).deleteObjectTagging},
		"POST object?uploads":      {"CreateMultipartUpload", (*s3Call).createUpload},
		"PUT object?uploadId":      {"UploadPart", (*s3Call).uploadPart},
		"PUT object?uploadId copy": {"UploadPartCopy", (*s3Call).uploadPartCopy},
		"POST object?uploadId":     {"CompleteMultipartUpload", (*s3Call).completeUpload},
		"DELETE object?uploadId":   {"AbortMultipartUpload", (*s3Call).abortUpload},
		"GET object?uploadId":      {"ListParts", (*s3Call).listParts},
	}
	for sub, c := range bucketConfigurations {
		s3Operations["GET bucket?"+sub] = s3Operation{"Get" + c.operation, c.get}
		s3Operations["PUT bucket?"+sub] = s3Operation{"Put" + c.operation, c.put}
		if c.deletable {
			s3Operations["DELETE bucket?"+sub] = s3Operation{"Delete" + strings.TrimSuffix(c.operation, "Configuration"), c.delete}
		}
	}
	// Real operations that the emulator does not have say so.
	for _, name := range []string{
		"POST bucket", "OPTIONS bucket", "OPTIONS object", "POST object?restore", "POST object?select",
		"GET object?torrent", "GET object?legal-hold", "PUT object?legal-hold", "GET object?retention",
		"PUT object?retention", "GET bucket?session", "PUT object?renameObject", "POST bucket?metadataTable",
		"GET bucket?metadataTable", "DELETE bucket?metadataTable", "GET bucket?analytics", "PUT bucket?analytics",
		"GET bucket?inventory", "PUT bucket?inventory", "GET bucket?metrics", "PUT bucket?metrics",
		"GET bucket?intelligent-tiering", "PUT bucket?intelligent-tiering", "GET object?annotation",
		"PUT object?annotation", "DELETE object?annotation", "GET object?annotations",
	} {
		method, what, _ := strings.Cut(name, " ")
		s3Operations[name] = s3Operation{method + " " + what, func(*s3Call) (*s3Answer, *s3Error) {
			return nil, errNotImplemented(name)
		}}
	}
}

// authenticate finds out who calls, and refuses a request that went to the
// wrong region. Errors are those of S3 for each kind of failure.
func (q *s3Call) authenticate() *s3Error {
	sig, err := sigv4.Parse(q.Request)
	if e, ok := errors.AsType[*sigv4.Error](err); ok && e.Kind == sigv4.Missing {
		return q.checkRegion()
	}
	if err != nil {
		return q.unauthentic(api.SignatureFailure(err))
	}
	q.sig = &sig
	q.Region = sig.Region
	if sig.Service != "s3" {
		e := authHeaderError(sig.Presigned, "incorrect service %q. This endpoint belongs to \"s3\".", sig.Service)
		q.deny("signature", "the signature is for service "+sig.Service, e)
		return e
	}
	if e := q.checkRegion(); e != nil {
		return e
	}
	hash, err := sigv4.PayloadHash(q.Request, &sig)
	if err != nil {
		return payloadError(err)
	}
	key, failure := q.s.identify(q.Call, &sig, hash)
	if failure != nil {
		return q.unauthentic(failure)
	}
	q.signKey = key
	return nil
}

// notHoisted are parameters of a presigned URL that begin like headers and do
// not stand for one: those of the signature, and the algorithm that a client
// meant to use for a checksum.
var notHoisted = []string{
	"x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-expires", "x-amz-signedheaders", "x-amz-signature",
	"x-amz-security-token", "x-amz-content-sha256", "x-amz-sdk-checksum-algorithm",
}

// hoisted says whether a parameter of a presigned URL stands for a header.
func (q *s3Call) hoisted(name string) bool {
	return q.query.Has("X-Amz-Signature") && q.query.Has(name)
}

// unhoist makes headers of the parameters that stand for some: who gets a
// presigned URL is to send no more than the URL, so SDKs presign an upload with
// its metadata there.
func (q *s3Call) unhoist() {
	if q.sig == nil || !q.sig.Presigned {
		return
	}
	header := q.Request.Header.Clone()
	for name, values := range q.query {
		lower := strings.ToLower(name)
		if strings.HasPrefix(lower, "x-amz-") && !slices.Contains(notHoisted, lower) && header.Get(name) == "" {
			header.Set(name, values[0])
		}
	}
	r := *q.Request
	r.Header = header
	q.Request = &r
}

func (q *s3Call) unauthentic(f *api.AuthFailure) *s3Error {
	keyID := ""
	if q.sig != nil {
		keyID = q.sig.AccessKeyID
	}
	e := authError(f, keyID)
	q.deny("signature", f.Why, e)
	return e
}

func authHeaderError(presigned bool, format string, args ...any) *s3Error {
	if presigned {
		return s3Errorf(http.StatusBadRequest, "AuthorizationQueryParametersError",
			"Error parsing the X-Amz-Credential parameter; "+format, args...)
	}
	return s3Errorf(http.StatusBadRequest, "AuthorizationHeaderMalformed", "The authorization header is malformed; "+format, args...)
}

// authError is an AuthFailure in the words of S3 (S3 API Reference, "Error
// responses", and public captures).
func authError(f *api.AuthFailure, keyID string) *s3Error {
	switch f.Kind {
	case api.UnknownKey:
		return s3Errorf(http.StatusForbidden, "InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records.").
			with("AWSAccessKeyId", keyID)
	case api.BadToken:
		return s3Errorf(http.StatusBadRequest, "InvalidToken", "The provided token is malformed or otherwise invalid.")
	case api.ExpiredSession:
		return s3Errorf(http.StatusBadRequest, "ExpiredToken", "The provided token has expired.")
	}
	e := f.Signature
	denied := func(message string) *s3Error { return s3Errorf(http.StatusForbidden, "AccessDenied", "%s", message) }
	query := func(message string) *s3Error {
		return s3Errorf(http.StatusBadRequest, "AuthorizationQueryParametersError", "%s", message)
	}
	switch e.Kind {
	case sigv4.TwoSignatures:
		return errInvalidArgument("Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, "+
			"Signature query string parameter or the Authorization header should be specified", "Authorization", "")
	case sigv4.UnknownAlgorithm:
		switch {
		case e.Presigned:
			return query("X-Amz-Algorithm only supports \"AWS4-HMAC-SHA256\"")
		case strings.HasPrefix(e.Value, "AWS"):
			return errInvalidRequest("The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.")
		}
		return errInvalidArgument("Unsupported Authorization Type", "Authorization", e.Value)
	case sigv4.MissingFields:
		switch {
		case e.Presigned:
			return query("Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, " +
				"X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters.")
		case len(e.Fields) == 1 && e.Fields[0] == "Date":
			return denied("AWS authentication requires a valid Date or x-amz-date header")
		}
		return authHeaderError(false, "the authorization header requires three components: Credential, SignedHeaders, and Signature.")
	case sigv4.BadCredential:
		return authHeaderError(e.Presigned, "the Credential is mal-formed; expecting \"<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request\".")
	case sigv4.BadDate:
		if e.Presigned {
			return query("X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"")
		}
		return denied("AWS authentication requires a valid Date or x-amz-date header")
	case sigv4.ScopeDate:
		return authHeaderError(e.Presigned, "Invalid credential date %q. This date is not the same as X-Amz-Date: %q.",
			e.Value, e.Time.Format("20060102"))
	case sigv4.BadExpires:
		n, err := strconv.ParseInt(e.Value, 10, 64)
		switch {
		case err != nil:
			return query("X-Amz-Expires should be a number")
		case n <= 0:
			return query("X-Amz-Expires must be non-negative")
		}
		return query("X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less than 604800 seconds")
	case sigv4.UnsignedHeaders:
		return denied("There were headers present in the request which were not signed").with("HeadersNotSigned", strings.Join(e.Fields, ", "))
	case sigv4.TooOld, sigv4.NotYetValid:
		if e.Presigned {
			return denied("Request is not yet valid").with("X-Amz-Date", e.Time.Format("20060102T150405Z")).with("ServerTime", s3Time(e.Now))
		}
		return s3Errorf(http.StatusForbidden, "RequestTimeTooSkewed", "The difference between the request time and the current time is too large.").
			with("RequestTime", e.Time.Format("20060102T150405Z")).
			with("ServerTime", s3Time(e.Now)).
			with("MaxAllowedSkewMilliseconds", strconv.FormatInt(e.Window.Milliseconds(), 10))
	case sigv4.Expired:
		return denied("Request has expired").
			with("X-Amz-Expires", strconv.Itoa(int(e.Window.Seconds()))).
			with("Expires", s3Time(e.Time.Add(e.Window))).
			with("ServerTime", s3Time(e.Now))
	}
	mismatch := s3Errorf(http.StatusForbidden, "SignatureDoesNotMatch",
		"The request signature we calculated does not match the signature you provided. Check your key and signing method.")
	if e.CanonicalRequest != "" {
		mismatch.with("AWSAccessKeyId", keyID).with("StringToSign", e.StringToSign).with("SignatureProvided", e.Value).
			with("CanonicalRequest", e.CanonicalRequest)
	}
	return mismatch
}

// payloadError is an error of reading a payload in the words of S3. Of a
// connection that broke the words reach nobody.
func payloadError(err error) *s3Error {
	e, ok := errors.AsType[*sigv4.Error](err)
	if !ok {
		return s3Errorf(http.StatusBadRequest, "RequestTimeout",
			"Your socket connection to the server was not read from or written to within the timeout period. Idle connections will be closed.")
	}
	switch e.Kind {
	case sigv4.BadPayloadHash:
		if e.Value == "" {
			return errInvalidRequest("Missing required header for this request: x-amz-content-sha256")
		}
		return errInvalidArgument("x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-UNSIGNED-PAYLOAD-TRAILER, "+
			"STREAMING-AWS4-HMAC-SHA256-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER or a valid sha256 value.",
			"x-amz-content-sha256", e.Value)
	case sigv4.PayloadMismatch:
		return s3Errorf(http.StatusBadRequest, "XAmzContentSHA256Mismatch",
			"The provided 'x-amz-content-sha256' header does not match what was computed.").with("ClientComputedContentSHA256", e.Value)
	case sigv4.NoDecodedLength:
		return errNoLength()
	case sigv4.WrongLength:
		return s3Errorf(http.StatusBadRequest, "IncompleteBody",
			"You did not provide the number of bytes specified by the Content-Length HTTP header")
	case sigv4.SmallChunk:
		return s3Errorf(http.StatusForbidden, "InvalidChunkSizeError", "Only the last chunk is allowed to have a size less than 8192 bytes")
	case sigv4.ChunkMismatch:
		return s3Errorf(http.StatusForbidden, "SignatureDoesNotMatch",
			"The request signature we calculated does not match the signature you provided. Check your key and signing method.")
	case sigv4.BadTrailer:
		return s3Errorf(http.StatusBadRequest, "MalformedTrailerError",
			"The request contained trailing data that was not well-formed or did not conform to our published schema.")
	case sigv4.ChecksumMismatch:
		return errBadDigest(e.Value)
	}
	return s3Errorf(http.StatusBadRequest, "IncompleteBody", "The request body terminated unexpectedly")
}

func errNoLength() *s3Error {
	return s3Errorf(http.StatusLengthRequired, "MissingContentLength", "You must provide the Content-Length HTTP header.")
}

// errBadDigest is the answer to a payload that does not have its checksum,
// which is "Content-MD5" or an algorithm such as "CRC32".
func errBadDigest(checksum string) *s3Error {
	if checksum == "Content-MD5" {
		return s3Errorf(http.StatusBadRequest, "BadDigest", "The Content-MD5 you specified did not match what we received.")
	}
	return s3Errorf(http.StatusBadRequest, "BadDigest", "The %s you specified did not match the calculated checksum.", checksum)
}

// payload is the decoded and checked body of the request.
func (q *s3Call) payload() (*sigv4.Body, *s3Error) {
	if q.Operation == "PutObject" || q.Operation == "UploadPart" {
		q.ReadsObject()
	}
	body, err := sigv4.NewBody(q.Request, q.sig, q.signKey)
	if err != nil {
		return nil, payloadError(err)
	}
	return body, nil
}

// readXML reads the document that a request carries, of which v gives root
// element and schema. It checks Content-MD5 and checksums as for objects.
func (q *s3Call) readXML(v any) *s3Error {
	data, e := q.readDocument()
	if e != nil {
		return e
	}
	return parseXML(data, v)
}

// readDocument reads a body that is not an object's.
func (q *s3Call) readDocument() ([]byte, *s3Error) {
	body, e := q.payload()
	if e != nil {
		return nil, e
	}
	checks, e := q.newDigests(body)
	if e != nil {
		return nil, e
	}
	data, e := q.readBounded(io.TeeReader(body, checks))
	if e != nil {
		return nil, e
	}
	if e := checks.verify(body); e != nil {
		return nil, e
	}
	return data, nil
}

// readBounded reads a document, if it is not too large and there is memory for
// it.
func (q *s3Call) readBounded(body io.Reader) ([]byte, *s3Error) {
	data, err := q.ReadAll(body, maxXML)
	switch {
	case errors.Is(err, api.ErrTooLong):
		return nil, s3Errorf(http.StatusBadRequest, "MaxMessageLengthExceeded", "Your request was too big.").
			with("MaxMessageLengthBytes", strconv.Itoa(maxXML))
	case errors.Is(err, api.ErrNoMemory):
		return nil, asS3(api.Busy())
	case err != nil:
		return nil, payloadError(err)
	}
	return data, nil
}

// parseXML reads one document and nothing after it.
func parseXML(data []byte, v any) *s3Error {
	d := xml.NewDecoder(bytes.NewReader(data))
	if err := d.Decode(v); err != nil {
		return errMalformedXML()
	}
	for {
		token, err := d.Token()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return errMalformedXML()
		}
		switch t := token.(type) {
		case xml.Comment:
		case xml.CharData:
			if len(bytes.TrimSpace(t)) > 0 {
				return errMalformedXML()
			}
		default:
			return errMalformedXML()
		}
	}
}

// newS3XML begins a document.
func newS3XML() *wire.XML {
	x := &wire.XML{Buf: make([]byte, 0, 512)}
	x.Buf = append(x.Buf, xml.Header...)
	return x
}

// document is an answer that is an XML document in S3's namespace.
func document(root string, write func(*wire.XML)) *s3Answer {
	x := newS3XML()
	x.Open(root + ` xmlns="` + namespaceS3 + `"`)
	if write != nil {
		write(x)
	}
	x.Close(root)
	return &s3Answer{xml: x.Buf}
}

// s3Time is a time as S3's documents have it.
func s3Time(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// noContent is the answer of operations that have none.
func noContent() *s3Answer { return &s3Answer{status: http.StatusNoContent} }

// bucketARN and objectARN are the ARNs of the bucket and the object that a
// request addresses.
func (q *s3Call) bucketARN() string { return q.s.bucketARN(q.bucket) }
func (q *s3Call) objectARN() string { return q.s.bucketARN(q.bucket) + "/" + q.key }

func (s *Server) bucketARN(bucket string) string {
	return "arn:" + s.config.Partition + ":s3:::" + bucket
}

// exists refuses a request for a bucket that is not there.
func (q *s3Call) exists() *s3Error {
	if q.config == nil {
		return errNoSuchBucket(q.bucket)
	}
	return nil
}

// checkOwner refuses a request that expects the bucket to be somebody else's.
func (q *s3Call) checkOwner(config *bucketConfig, header string) *s3Error {
	want := q.Request.Header.Get(header)
	if want == config.Account || q.Request.Header.Values(header) == nil {
		return nil
	}
	if e := errNoAccountID(want); e != nil {
		return e
	}
	e := errAccessDenied()
	q.deny("permission", fmt.Sprintf("bucket %s is account %s's, but %s says %s", config.Name, config.Account, strings.ToLower(header), want), e)
	return e
}

// errNoAccountID refuses a bucket owner that is not the number of an account.
func errNoAccountID(owner string) *s3Error {
	if len(owner) == 12 && strings.Trim(owner, "0123456789") == "" {
		return nil
	}
	return s3Errorf(http.StatusBadRequest, "InvalidBucketOwnerAWSAccountID",
		"The value of the expected bucket owner parameter must be an AWS Account ID... [%s]", owner)
}

// may asks whether the caller may do something to a bucket or an object in
// it. keys, if not nil, sets condition keys that only this action has.
func (q *s3Call) may(config *bucketConfig, action, arn string, keys func(*policy.Context)) *s3Error {
	ask := &api.Question{Action: action, Resource: arn, Spelled: `"` + arn + `"`}
	if config != nil {
		ask.Account = config.Account
		ask.Grant, ask.Note = q.granted(config, action, arn)
	}
	q.setKeys(config, &ask.Keys)
	if keys != nil {
		keys(&ask.Keys)
	}
	stranger := config != nil && q.Caller.Account != config.Account
	if config != nil && config.policy != nil {
		restricted := stranger && config.policy.Public() && q.s3.blockOf(config).RestrictPublicBuckets
		switch {
		case restricted:
			e := errAccessDenied()
			q.deny("permission", "the bucket policy is public, and RestrictPublicBuckets in S3 Block Public Access ("+
				q.s3.blockedBy(config, func(b publicAccessBlock) bool { return b.RestrictPublicBuckets })+
				") then admits nobody from outside account "+config.Account, e)
			return e
		case q.Caller.Kind == policy.Root && !stranger && isPolicyAction(action):
			// The root user can always mend a policy that locks everybody out.
		default:
			ask.Attached = &policy.Named{Name: "policy of bucket " + config.Name, Policy: config.policy}
		}
	}
	e := asS3(q.s.authorize(q.Call, ask))
	switch {
	case e == nil:
	case stranger:
		e.Message = "Access Denied" // S3 tells strangers no more
	case arn == "*":
		e.Message = strings.Replace(e.Message, ` on resource: "*"`, "", 1)
	}
	return e
}

// deny records that the request was denied at a step other than the policies,
// why in words, and what the caller is told.
func (q *s3Call) deny(step, why string, e *s3Error) {
	d := api.Decision{Step: step, Reason: why, Code: e.Code}
	switch {
	case q.key != "":
		d.Resource = q.objectARN()
	case q.bucket != "":
		d.Resource = q.bucketARN()
	}
	if q.sig != nil {
		d.AccessKeyID = q.sig.AccessKeyID // as claimed
	}
	gate{q.s}.Record(q.Call, d)
}

func isPolicyAction(action string) bool {
	return action == "s3:GetBucketPolicy" || action == "s3:PutBucketPolicy" || action == "s3:DeleteBucketPolicy"
}

// setKeys sets the condition keys that S3's actions have ("Actions, resources,
// and condition keys for Amazon S3" in the Service Authorization Reference).
func (q *s3Call) setKeys(config *bucketConfig, keys *policy.Context) {
	owner := q.s.config.Account
	if config != nil {
		owner = config.Account
	}
	keys.Set("s3:ResourceAccount", owner)
	if q.Request.TLS != nil {
		keys.Set("s3:TlsVersion", strings.TrimPrefix(tlsVersion(q.Request.TLS), "TLS "))
	}
	if q.sig != nil {
		keys.Set("s3:signatureversion", sigv4.Algorithm)
		keys.Set("s3:signatureAge", strconv.FormatInt(max(0, q.s.config.Now().Sub(q.sig.Time).Milliseconds()), 10))
		if q.sig.Presigned {
			keys.Set("s3:authType", "REST-QUERY-STRING")
		} else {
			keys.Set("s3:authType", "REST-HEADER")
		}
	}
	for _, name := range []string{
		"x-amz-acl", "x-amz-content-sha256", "x-amz-copy-source", "x-amz-metadata-directive",
		"x-amz-server-side-encryption", "x-amz-storage-class", "x-amz-website-redirect-location",
		"x-amz-object-ownership", "if-match", "if-none-match", "x-amz-grant-read", "x-amz-grant-write", "x-amz-grant-read-acp",
		"x-amz-grant-write-acp", "x-amz-grant-full-control",
	} {
		if v := q.Request.Header.Get(name); v != "" {
			keys.Set("s3:"+name, v)
		}
	}
	if v := q.query.Get("versionId"); v != "" {
		keys.Set("s3:VersionId", v)
	}
	switch q.Operation {
	case "PutObject", "CopyObject", "CompleteMultipartUpload":
		keys.Set("s3:ObjectCreationOperation", "true")
	case "CreateMultipartUpload", "UploadPart", "UploadPartCopy":
		keys.Set("s3:ObjectCreationOperation", "false")
	}
}
