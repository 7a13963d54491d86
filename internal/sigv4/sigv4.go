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
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Verifier verifies signatures and remembers signing keys, which cost four of
// the five HMACs of a verification. Its zero value is ready for use, by many
// goroutines at once.
type Verifier struct{ cache keyCache }

// keyCache remembers signing keys.
type keyCache struct {
	mu   sync.RWMutex
	keys map[keyName]Key // at most maxKeys
}

type keyName struct{ secret, scope string }

// maxKeys bounds the memory of a keyCache to about a megabyte.
const maxKeys = 4096

func (c *keyCache) get(secret, scope string) (key Key, known bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	key, known = c.keys[keyName{secret, scope}]
	return key, known
}

// put remembers a key. The scope may be a piece of a request; a copy lets the rest go.
func (c *keyCache) put(secret, scope string, key Key) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.keys == nil || len(c.keys) >= maxKeys {
		c.keys = make(map[keyName]Key)
	}
	c.keys[keyName{secret, strings.Clone(scope)}] = key
}

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

	key, known := v.cache.get(secret, s.scope)
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
		v.cache.put(secret, s.scope, key)
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
