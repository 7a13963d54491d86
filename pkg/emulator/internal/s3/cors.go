package s3

import (
	"encoding/xml"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
)

// corsRule lets web pages of some origins make some requests to a bucket (S3 User
// Guide, "Elements of a CORS configuration").
type corsRule struct {
	ID             string   `json:",omitempty"`
	AllowedHeaders []string `xml:"AllowedHeader" json:",omitempty"`
	AllowedMethods []string `xml:"AllowedMethod"`
	AllowedOrigins []string `xml:"AllowedOrigin"`
	ExposeHeaders  []string `xml:"ExposeHeader" json:",omitempty"`
	MaxAgeSeconds  *int     `json:",omitempty"`
}

// Limits of a CORS configuration.
const (
	maxCORSRules = 100
	maxRuleID    = 255
)

var corsMethods = []string{"GET", "PUT", "HEAD", "POST", "DELETE"}

// checkCORS refuses rules that S3 refuses.
func checkCORS(rules []corsRule) *failure {
	if len(rules) == 0 || len(rules) > maxCORSRules {
		return errMalformedXML()
	}
	for _, r := range rules {
		if len(r.AllowedMethods) == 0 || len(r.AllowedOrigins) == 0 || len(r.ID) > maxRuleID {
			return errMalformedXML()
		}
		for _, m := range r.AllowedMethods {
			if !slices.Contains(corsMethods, m) {
				return errInvalidRequest("Found unsupported HTTP method in CORS config. Unsupported method is %s", m)
			}
		}
		for element, list := range map[string][]string{"AllowedOrigin": r.AllowedOrigins, "AllowedHeader": r.AllowedHeaders} {
			for _, v := range list {
				if strings.Count(v, "*") > 1 {
					return errInvalidRequest("%s %q can not have more than one wildcard.", element, v)
				}
			}
		}
		for _, v := range r.ExposeHeaders {
			if strings.Contains(v, "*") {
				return errInvalidRequest("ExposeHeader %q contains wildcard. We currently do not support wildcard for ExposeHeader.", v)
			}
		}
	}
	return nil
}

// matchesOne reports whether a text is like one of some patterns, in each of which
// one asterisk stands for anything.
func matchesOne(patterns []string, text string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		before, after, found := strings.Cut(pattern, "*")
		if !found {
			return pattern == text
		}
		return len(text) >= len(before)+len(after) && strings.HasPrefix(text, before) && strings.HasSuffix(text, after)
	})
}

// findCORS is the first rule that lets a page of an origin make a request with these
// headers, or nil.
func (c *bucketConfig) findCORS(origin, method string, headers []string) *corsRule {
	for i := range c.CORS {
		r := &c.CORS[i]
		if !slices.Contains(r.AllowedMethods, method) || !matchesOne(r.AllowedOrigins, origin) {
			continue
		}
		allowed := make([]string, len(r.AllowedHeaders))
		for i, h := range r.AllowedHeaders {
			allowed[i] = strings.ToLower(h)
		}
		if !slices.ContainsFunc(headers, func(h string) bool { return !matchesOne(allowed, h) }) {
			return r
		}
	}
	return nil
}

// welcome says whether the owner of the bucket lets a page of the request's origin
// make the request, and sets the headers by which a browser learns of it.
func (q *call) welcome(h http.Header) bool {
	origin := q.Request.Header.Get("Origin")
	if origin == "" || q.config == nil || len(q.config.CORS) == 0 || q.Request.Method == http.MethodOptions {
		return false
	}
	r := q.config.findCORS(origin, q.Request.Method, nil)
	if r == nil {
		return false
	}
	r.write(h, origin)
	return true
}

// write sets the headers of an answer to a page of an origin (the WHATWG's Fetch
// standard, "HTTP responses").
func (r *corsRule) write(h http.Header, origin string) {
	if slices.Contains(r.AllowedOrigins, "*") {
		h.Set("Access-Control-Allow-Origin", "*")
	} else {
		h.Set("Access-Control-Allow-Origin", origin)
		h.Set("Access-Control-Allow-Credentials", "true")
	}
	h.Set("Access-Control-Allow-Methods", strings.Join(r.AllowedMethods, ", "))
	if len(r.ExposeHeaders) > 0 {
		h.Set("Access-Control-Expose-Headers", strings.Join(r.ExposeHeaders, ", "))
	}
	if r.MaxAgeSeconds != nil {
		h.Set("Access-Control-Max-Age", strconv.Itoa(*r.MaxAgeSeconds))
	}
	h.Set("Vary", "Origin, Access-Control-Request-Headers, Access-Control-Request-Method")
}

// preflight answers the question of a browser whether a page may make a request. It
// needs no signature and does nothing.
func (q *call) preflight() (*answer, *failure) {
	h := q.Request.Header
	origin, method := h.Get("Origin"), h.Get("Access-Control-Request-Method")
	bad := func(message string) (*answer, *failure) {
		return nil, failf(http.StatusBadRequest, "BadRequest", "%s", message)
	}
	switch {
	case origin == "":
		return bad("Insufficient information. Origin request header needed.")
	case method == "":
		return bad("Invalid Access-Control-Request-Method: null")
	case !slices.Contains(corsMethods, method):
		return bad("Invalid Access-Control-Request-Method: " + method)
	}
	kind := "BUCKET"
	if q.key != "" {
		kind = "OBJECT"
	}
	refuse := func(why string) (*answer, *failure) {
		return nil, failf(http.StatusForbidden, "AccessForbidden", "CORSResponse: %s", why).with("Method", method).with("ResourceType", kind)
	}
	switch {
	case q.config == nil:
		return refuse("Bucket not found")
	case len(q.config.CORS) == 0:
		return refuse("CORS is not enabled for this bucket.")
	}
	var headers []string
	for name := range strings.SplitSeq(strings.Join(h.Values("Access-Control-Request-Headers"), ","), ",") {
		if name = strings.ToLower(strings.TrimSpace(name)); name != "" {
			headers = append(headers, name)
		}
	}
	r := q.config.findCORS(origin, method, headers)
	if r == nil {
		return refuse("This CORS request is not allowed. This is usually because the evalution of Origin, request method / " +
			"Access-Control-Request-Method or Access-Control-Request-Headers are not whitelisted by the resource's CORS spec.")
	}
	a := &answer{header: make(http.Header)}
	r.write(a.header, origin)
	a.set("Access-Control-Allow-Headers", strings.Join(headers, ", "))
	return a, nil
}

func (q *call) getCORS() (*answer, *failure) {
	if e := q.mayBucket("s3:GetBucketCORS", nil); e != nil {
		return nil, e
	}
	if len(q.config.CORS) == 0 {
		return nil, notFound("NoSuchCORSConfiguration", "The CORS configuration does not exist").with("BucketName", q.bucket)
	}
	return document("CORSConfiguration", func(x *wire.XML) {
		for _, r := range q.config.CORS {
			x.Open("CORSRule")
			x.Optional("ID", r.ID)
			for _, list := range []struct {
				element string
				values  []string
			}{{"AllowedHeader", r.AllowedHeaders}, {"AllowedMethod", r.AllowedMethods},
				{"AllowedOrigin", r.AllowedOrigins}, {"ExposeHeader", r.ExposeHeaders}} {
				for _, v := range list.values {
					x.Text(list.element, v)
				}
			}
			if r.MaxAgeSeconds != nil {
				x.Number("MaxAgeSeconds", *r.MaxAgeSeconds)
			}
			x.Close("CORSRule")
		}
	}), nil
}

func (q *call) putCORS() (*answer, *failure) {
	if e := q.mayBucket("s3:PutBucketCORS", nil); e != nil {
		return nil, e
	}
	var body struct {
		XMLName xml.Name   `xml:"CORSConfiguration"`
		Rules   []corsRule `xml:"CORSRule"`
	}
	if e := q.readXML(&body); e != nil {
		return nil, e
	}
	if e := checkCORS(body.Rules); e != nil {
		return nil, e
	}
	return &answer{}, q.state.configure(q.bucket, func(c *bucketConfig) { c.CORS = body.Rules })
}

func (q *call) deleteCORS() (*answer, *failure) {
	if e := q.mayBucket("s3:PutBucketCORS", nil); e != nil {
		return nil, e
	}
	return noContent(), q.state.configure(q.bucket, func(c *bucketConfig) { c.CORS = nil })
}
