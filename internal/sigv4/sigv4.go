// Package sigv4 verifies AWS Signature Version 4: the server's side of what every AWS
// SDK sends.
//
//	sig, err := sigv4.Parse(r)                                   // who claims to have signed
//	secret := ...                                                // of sig.AccessKeyID
//	key, err := verifier.Verify(r, &sig, secret, payloadHash, now) // whether it is true
//	body, err := sigv4.NewBody(r, &sig, key)                     // S3: the payload, checked as it is read
//
// Parsing is separate from verifying because AWS looks up the key, and refuses a
// wrong or expired session token, before it computes a signature; the caller does the
// same in between.
//
// Source: "AWS Signature Version 4 for API requests" in the IAM User Guide
// (reference_sigv.html) and, for S3, "Authenticating Requests (AWS Signature
// Version 4)" in the S3 API Reference (sig-v4-authenticating-requests.html).
// SigV4a, the asymmetric variant, is refused: none of the services emulated
// here is called with it.
package sigv4

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Algorithm is the only signing algorithm accepted.
const Algorithm = "AWS4-HMAC-SHA256"

const (
	terminator = "aws4_request"
	basicISO   = "20060102T150405Z"
)

// EmptyPayload is the SHA-256 of no bytes, in hexadecimal.
const EmptyPayload = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// HashPayload is the payload hash of a body, as IAM and STS require it.
func HashPayload(body []byte) string {
	if len(body) == 0 {
		return EmptyPayload
	}
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}

// Signature is what a request says about its signature. None of it can be trusted
// before [Verifier.Verify] has returned without an error.
type Signature struct {
	AccessKeyID string
	Region      string // of the credential scope
	Service     string // of the credential scope, such as "s3"
	// Time is when the client says it signed, to the second.
	Time time.Time
	// SessionToken is X-Amz-Security-Token, from the headers or the query.
	SessionToken string
	// Presigned is true where the signature is in the query string.
	Presigned bool
	// Expires is X-Amz-Expires of a presigned request; zero where it has none.
	Expires time.Duration

	scope         string // date/region/service/aws4_request
	timestamp     string // Time as the string to sign has it
	signedHeaders string // as sent: lower case, separated by ";"
	signature     string // 64 hexadecimal digits
}

// SignedHeader reports whether the signature covers a header, whose name may be
// in any case. Signed names are in lower case: another spelling signs nothing.
func (s *Signature) SignedHeader(name string) bool {
	for list := s.signedHeaders; list != ""; {
		var h string
		h, list, _ = strings.Cut(list, ";")
		if isLower(h, name) {
			return true
		}
	}
	return false
}

// isLower reports whether lower is name in lower case, without allocating.
func isLower(lower, name string) bool {
	if len(lower) != len(name) {
		return false
	}
	for i := range len(name) {
		c := name[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if lower[i] != c {
			return false
		}
	}
	return true
}

// Parse reads the signature of a request from its Authorization header or its
// query string. All errors are of type [*Error]; of a request with neither
// the kind is [Missing].
func Parse(r *http.Request) (Signature, error) {
	_, query := splitURI(r)
	auth := r.Header.Get("Authorization")
	if query != "" {
		if alg, ok := queryValue(query, "X-Amz-Algorithm"); ok {
			if auth != "" {
				return Signature{}, &Error{Kind: TwoSignatures}
			}
			return parseQuery(query, alg)
		}
	}
	switch {
	case auth != "":
		return parseHeader(r, auth)
	case query == "":
		return Signature{}, &Error{Kind: Missing}
	}
	if _, ok := queryValue(query, "X-Amz-Signature"); ok {
		return parseQuery(query, "")
	}
	if _, ok := queryValue(query, "AWSAccessKeyId"); ok { // Signature Version 2
		return Signature{}, &Error{Kind: UnknownAlgorithm, Value: "AWS"}
	}
	return Signature{}, &Error{Kind: Missing}
}

func parseHeader(r *http.Request, auth string) (Signature, error) {
	alg, rest, _ := strings.Cut(auth, " ")
	if alg != Algorithm {
		return Signature{}, &Error{Kind: UnknownAlgorithm, Value: alg}
	}
	var credential string
	var s Signature
	for rest != "" {
		var part string
		part, rest, _ = strings.Cut(rest, ",")
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch name {
		case "Credential":
			credential = value
		case "SignedHeaders":
			s.signedHeaders = value
		case "Signature":
			s.signature = value
		}
	}
	var missing []string
	if credential == "" {
		missing = append(missing, "Credential")
	}
	if s.signature == "" {
		missing = append(missing, "Signature")
	}
	if s.signedHeaders == "" {
		missing = append(missing, "SignedHeaders")
	}
	date := r.Header.Get("X-Amz-Date")
	if date == "" {
		date = r.Header.Get("Date")
	}
	if date == "" {
		missing = append(missing, "Date")
	}
	if missing != nil {
		return Signature{}, &Error{Kind: MissingFields, Fields: missing}
	}
	s.SessionToken = r.Header.Get("X-Amz-Security-Token")
	return finish(s, credential, date)
}

func parseQuery(query, alg string) (Signature, error) {
	if alg != "" && alg != Algorithm {
		return Signature{}, &Error{Kind: UnknownAlgorithm, Value: alg, Presigned: true}
	}
	var missing []string
	get := func(name string) string {
		v, _ := queryValue(query, name)
		if v == "" {
			missing = append(missing, name)
		}
		return v
	}
	if alg == "" {
		missing = append(missing, "X-Amz-Algorithm")
	}
	s := Signature{Presigned: true}
	credential := get("X-Amz-Credential")
	s.signature = get("X-Amz-Signature")
	s.signedHeaders = get("X-Amz-SignedHeaders")
	date := get("X-Amz-Date")
	if missing != nil {
		return Signature{}, &Error{Kind: MissingFields, Fields: missing, Presigned: true}
	}
	s.SessionToken, _ = queryValue(query, "X-Amz-Security-Token")

	s, err := finish(s, credential, date)
	if err != nil {
		return Signature{}, err
	}
	expires, given := queryValue(query, "X-Amz-Expires")
	switch n, err := strconv.ParseInt(expires, 10, 64); {
	case !given && s.Service == "s3":
		return Signature{}, &Error{Kind: MissingFields, Fields: []string{"X-Amz-Expires"}, Presigned: true}
	case !given:
	case err != nil, n < 0, n == 0 && s.Service == "s3", n > 604800:
		return Signature{}, &Error{Kind: BadExpires, Value: expires, Presigned: true}
	default:
		s.Expires = time.Duration(n) * time.Second
	}
	return s, nil
}

// finish splits credential and date, which both forms have.
func finish(s Signature, credential, date string) (Signature, error) {
	key, scope, _ := strings.Cut(credential, "/")
	day, rest, _ := strings.Cut(scope, "/")
	region, rest, _ := strings.Cut(rest, "/")
	service, last, found := strings.Cut(rest, "/")
	if !found || key == "" || day == "" || service == "" || last != terminator {
		return Signature{}, &Error{Kind: BadCredential, Value: credential, Presigned: s.Presigned}
	}
	s.AccessKeyID, s.scope, s.Region, s.Service = key, scope, region, service

	t, err := time.Parse(basicISO, date)
	if err != nil {
		// Only the plain Date header may have HTTP's own format.
		if t, err = http.ParseTime(date); err != nil || s.Presigned {
			return Signature{}, &Error{Kind: BadDate, Value: date, Presigned: s.Presigned}
		}
		t = t.UTC()
		date = t.Format(basicISO)
	}
	s.Time, s.timestamp = t, date
	if day != date[:len("20060102")] {
		return Signature{}, &Error{Kind: ScopeDate, Value: day, Time: t, Presigned: s.Presigned}
	}
	if !s.SignedHeader("host") {
		return Signature{}, &Error{Kind: UnsignedHeaders, Fields: []string{"host"}, Presigned: s.Presigned}
	}
	return s, nil
}

// Key is a signing key: valid for one secret, day, region and service. It
// also signs the chunks of a streaming payload.
type Key [sha256.Size]byte

func deriveKey(secret, scope string) Key {
	key := []byte("AWS4" + secret)
	for scope != "" { // date, region, service, aws4_request
		var part string
		part, scope, _ = strings.Cut(scope, "/")
		key = mac(key, part)
	}
	return Key(key)
}

func mac(key []byte, data string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(data))
	return h.Sum(nil)
}

// sign is the signature of a string to sign, in hexadecimal.
func (k *Key) sign(dst *[2 * sha256.Size]byte, toSign []byte) {
	h := hmac.New(sha256.New, k[:])
	h.Write(toSign)
	var sum [sha256.Size]byte
	hex.Encode(dst[:], h.Sum(sum[:0]))
}

// Verifier verifies signatures and remembers signing keys, which cost four of
// the five HMACs of a verification. Its zero value is ready for use, by many
// goroutines at once.
type Verifier struct {
	mu   sync.RWMutex
	keys map[keyName]Key // at most maxKeys
}

type keyName struct{ secret, scope string }

// maxKeys bounds the memory of a [Verifier] to about a megabyte.
const maxKeys = 4096

// Verify returns the signing key if the request was signed with the secret,
// and an [*Error] otherwise.
//
// payloadHash is the last line of the canonical request: [HashPayload] of the
// body for IAM and STS, [PayloadHash] for S3. Checked in AWS's order: the
// expiry of a presigned request, the clock (five minutes, S3 fifteen), that
// every x-amz-* header present is signed, and the signature itself, in
// constant time.
func (v *Verifier) Verify(r *http.Request, s *Signature, secret, payloadHash string, now time.Time) (Key, error) {
	if err := s.checkTime(now); err != nil {
		return Key{}, err
	}
	if unsigned := s.unsignedHeaders(r.Header); unsigned != nil {
		return Key{}, &Error{Kind: UnsignedHeaders, Fields: unsigned, Presigned: s.Presigned}
	}

	name := keyName{secret, s.scope}
	v.mu.RLock()
	key, known := v.keys[name]
	v.mu.RUnlock()
	if !known {
		key = deriveKey(secret, s.scope)
	}

	var stack [2048]byte
	canonical := appendCanonical(stack[:0], r, s, payloadHash, true)
	if !s.matches(&key, canonical) {
		// Some clients append the token to a presigned URL after signing it.
		var appended [2048]byte
		if !s.Presigned || s.SessionToken == "" ||
			!s.matches(&key, appendCanonical(appended[:0], r, s, payloadHash, false)) {
			return Key{}, &Error{
				Kind:             Mismatch,
				Presigned:        s.Presigned,
				Value:            s.signature,
				StringToSign:     string(s.appendStringToSign(nil, canonical)),
				CanonicalRequest: string(canonical),
			}
		}
	}

	// Only a key that proved right is kept, so strangers cannot fill the map.
	if !known {
		v.mu.Lock()
		if v.keys == nil || len(v.keys) >= maxKeys {
			v.keys = make(map[keyName]Key)
		}
		// The scope is a piece of the request; a copy lets the rest go.
		v.keys[keyName{secret, strings.Clone(s.scope)}] = key
		v.mu.Unlock()
	}
	return key, nil
}

func (s *Signature) matches(key *Key, canonical []byte) bool {
	var stack [256]byte
	var want [2 * sha256.Size]byte
	key.sign(&want, s.appendStringToSign(stack[:0], canonical))
	return subtle.ConstantTimeCompare(want[:], []byte(s.signature)) == 1
}

func (s *Signature) appendStringToSign(dst, canonical []byte) []byte {
	sum := sha256.Sum256(canonical)
	dst = append(dst, Algorithm+"\n"...)
	dst = append(dst, s.timestamp...)
	dst = append(dst, '\n')
	dst = append(dst, s.scope...)
	dst = append(dst, '\n')
	return hex.AppendEncode(dst, sum[:])
}

// checkTime applies AWS's windows: five minutes either side of the clock,
// S3 fifteen. A presigned S3 request is good until its own expiry; any other
// presigned one for fifteen minutes whatever X-Amz-Expires says, which is how
// STS treats the tokens of aws-iam-authenticator
// (https://github.com/aws/aws-sdk-go/issues/2167).
func (s *Signature) checkTime(now time.Time) error {
	window, late := 5*time.Minute, 5*time.Minute
	if s.Service == "s3" {
		window, late = 15*time.Minute, 15*time.Minute
	}
	if s.Presigned {
		late = 15 * time.Minute
		if s.Service == "s3" {
			late = s.Expires
		}
	}
	kind := Kind(0)
	switch {
	case s.Time.After(now.Add(window)):
		kind = NotYetValid
	case !now.After(s.Time.Add(late)):
		return nil
	case s.Presigned:
		kind, window = Expired, late
	default:
		kind, window = TooOld, late
	}
	return &Error{Kind: kind, Presigned: s.Presigned, Time: s.Time, Now: now.UTC(), Window: window}
}

// unsignedHeaders lists the x-amz-* headers that the signature does not cover.
func (s *Signature) unsignedHeaders(h http.Header) []string {
	var unsigned []string
	for name := range h {
		if !strings.HasPrefix(name, "X-Amz-") {
			continue
		}
		if s.Presigned && name == "X-Amz-Security-Token" {
			continue // old clients add it after presigning
		}
		if !s.SignedHeader(name) {
			unsigned = append(unsigned, strings.ToLower(name))
		}
	}
	return unsigned
}

// Kind says what is wrong with a request's signature or payload, as finely as any AWS
// service words it.
type Kind int

// The kinds of [Error].
const (
	_ Kind = iota
	// Missing: the request is not signed. The only kind that may be acceptable.
	Missing
	// TwoSignatures: signed in the header and in the query string.
	TwoSignatures
	// UnknownAlgorithm: not AWS4-HMAC-SHA256 but Value, such as SigV4a and Signature
	// Version 2.
	UnknownAlgorithm
	// MissingFields: Fields of the signature are missing, named as in the
	// Authorization header ("Date" for the date header) or the query string.
	MissingFields
	// BadCredential: Value is not key/date/region/service/aws4_request.
	BadCredential
	// BadDate: Value is not a date.
	BadDate
	// ScopeDate: the credential's date, Value, is not the day of Time.
	ScopeDate
	// BadExpires: X-Amz-Expires, Value, is not a number from 1 to 604800.
	BadExpires
	// UnsignedHeaders: Fields must be signed and are not.
	UnsignedHeaders
	// TooOld: signed at Time, more than Window before Now.
	TooOld
	// NotYetValid: signed at Time, more than Window after Now.
	NotYetValid
	// Expired: presigned at Time for Window, which is over.
	Expired
	// Mismatch: the signature, Value, is not the one computed.
	Mismatch

	// BadPayloadHash: X-Amz-Content-Sha256, Value, is missing or is none of
	// the forms that S3 accepts.
	BadPayloadHash
	// PayloadMismatch: the body's SHA-256 is not X-Amz-Content-Sha256.
	PayloadMismatch
	// NoDecodedLength: a streaming payload without X-Amz-Decoded-Content-Length.
	NoDecodedLength
	// WrongLength: the decoded payload is shorter or longer than announced.
	WrongLength
	// BadChunk: the aws-chunked framing is broken.
	BadChunk
	// SmallChunk: a chunk other than the last has less than 8 KiB.
	SmallChunk
	// ChunkMismatch: the signature of a chunk, or of the trailer, is wrong.
	ChunkMismatch
	// BadTrailer: the trailer is not what X-Amz-Trailer announces.
	BadTrailer
	// ChecksumMismatch: the payload does not have the checksum in the
	// trailer; Value is the checksum's name, such as "CRC32".
	ChecksumMismatch
)

// Error is why a request is refused. It has what the wording of any service needs;
// the wording itself belongs to the services.
//
// StringToSign and CanonicalRequest, which only a [Mismatch] has, quote the
// request's headers, session token included: they are for the answer to the
// client that sent them, never for a log. Error() does not show them.
type Error struct {
	Kind      Kind
	Presigned bool
	Fields    []string
	Value     string
	Time, Now time.Time
	Window    time.Duration

	StringToSign, CanonicalRequest string
}

func (e *Error) Error() string {
	switch e.Kind {
	case Missing:
		return "request is not signed"
	case TwoSignatures:
		return "request is signed twice, in a header and in the query string"
	case UnknownAlgorithm:
		return fmt.Sprintf("signing algorithm %q is not %s", e.Value, Algorithm)
	case MissingFields:
		return "signature lacks " + strings.Join(e.Fields, ", ")
	case BadCredential:
		return "credential is not of the form key/date/region/service/" + terminator
	case BadDate:
		return fmt.Sprintf("date %q is malformed", e.Value)
	case ScopeDate:
		return fmt.Sprintf("credential is scoped to %s but the request was signed at %s", e.Value, e.Time.Format(basicISO))
	case BadExpires:
		return fmt.Sprintf("X-Amz-Expires %q is not a number of seconds from 1 to 604800", e.Value)
	case UnsignedHeaders:
		return "headers are not signed: " + strings.Join(e.Fields, ", ")
	case TooOld:
		return fmt.Sprintf("signed at %s, which is more than %s before %s", e.Time.Format(basicISO), e.Window, e.Now.Format(basicISO))
	case NotYetValid:
		return fmt.Sprintf("signed at %s, which is more than %s after %s", e.Time.Format(basicISO), e.Window, e.Now.Format(basicISO))
	case Expired:
		return fmt.Sprintf("presigned at %s for %s, which was over at %s", e.Time.Format(basicISO), e.Window, e.Now.Format(basicISO))
	case Mismatch:
		return "signature does not match"
	case BadPayloadHash:
		return fmt.Sprintf("X-Amz-Content-Sha256 %q is not a payload hash", e.Value)
	case PayloadMismatch:
		return "payload does not have the signed SHA-256"
	case NoDecodedLength:
		return "streaming payload without X-Amz-Decoded-Content-Length"
	case WrongLength:
		return "payload does not have the announced length"
	case BadChunk:
		return "chunked payload is malformed"
	case SmallChunk:
		return fmt.Sprintf("chunk other than the last is smaller than %d bytes", minChunk)
	case ChunkMismatch:
		return "chunk signature does not match"
	case BadTrailer:
		return "trailer is malformed"
	case ChecksumMismatch:
		return "payload does not have the " + e.Value + " of the trailer"
	}
	return "invalid signature"
}
