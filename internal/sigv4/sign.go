package sigv4

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

// Credentials sign requests.
type Credentials struct {
	AccessKeyID string
	Secret      string
	// SessionToken is that of a session's credentials; "" for the keys of a user.
	SessionToken string
}

// Scope is what a signature is good for.
type Scope struct {
	Region  string
	Service string // as signatures name it, such as "sqs"
}

// hopHeaders are headers that proxies between may change, and which are therefore not
// signed. User-Agent is one of those that SDKs leave out for the same reason.
var hopHeaders = []string{
	"Accept-Encoding", "Authorization", "Connection", "Content-Length", "Expect", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
	"User-Agent", "X-Amzn-Trace-Id",
}

// Signer signs requests and remembers signing keys, which cost four of the five HMACs
// of a signature. Its zero value is ready for use, by many goroutines at once.
type Signer struct{ cache keyCache }

// Sign signs a request as a client does, in the headers: it sets X-Amz-Date,
// Authorization and, for a session's credentials, X-Amz-Security-Token; another session
// token that was there is dropped. The signature covers the host, which is r.Host, and
// all headers but those that proxies change. The payload hash is [HashPayload] of the
// body, or [UnsignedPayload]. The URL is signed as it is.
func (signer *Signer) Sign(r *http.Request, c Credentials, scope Scope, payloadHash string, at time.Time) {
	s := Signature{
		AccessKeyID: c.AccessKeyID, Region: scope.Region, Service: scope.Service,
		timestamp: at.UTC().Format(basicISO),
	}
	s.scope = s.timestamp[:len("20060102")] + "/" + scope.Region + "/" + scope.Service + "/" + terminator
	r.Header.Del("X-Amz-Security-Token")
	if c.SessionToken != "" {
		r.Header.Set("X-Amz-Security-Token", c.SessionToken)
	}
	r.Header["X-Amz-Date"] = []string{s.timestamp}
	names := append(make([]string, 0, 16), "host")
	for name := range r.Header {
		if !slices.Contains(hopHeaders, name) {
			names = append(names, strings.ToLower(name))
		}
	}
	slices.Sort(names)
	s.signedHeaders = strings.Join(names, ";")
	key, known := signer.cache.get(c.Secret, s.scope)
	if !known {
		key = deriveKey(c.Secret, s.scope)
		signer.cache.put(c.Secret, s.scope, key)
	}
	var stack [2048]byte
	var more [256]byte
	var signature [64]byte
	key.sign(&signature, s.appendStringToSign(more[:0], appendCanonical(stack[:0], r, &s, payloadHash, true)))
	r.Header["Authorization"] = []string{Algorithm + " Credential=" + c.AccessKeyID + "/" + s.scope +
		", SignedHeaders=" + s.signedHeaders + ", Signature=" + string(signature[:])}
}
