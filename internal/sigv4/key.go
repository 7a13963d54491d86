package sigv4

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// Key is a signing key: valid for one secret, day, region and service. It
// also signs the chunks of a streaming payload.
type Key [sha256.Size]byte

// deriveKey is the signing key of a secret for a credential scope.
func deriveKey(secret, scope string) Key {
	key := []byte("AWS4" + secret)
	for scope != "" { // date, region, service, aws4_request
		var part string
		part, scope, _ = strings.Cut(scope, "/")
		key = mac(key, part)
	}
	return Key(key)
}

// mac is HMAC-SHA256.
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
