package keys

import (
	"cmp"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/go-jose/go-jose/v4"
)

// Limits of a published set.
const (
	// MaxKeys is how many keys STS reads (CreateOpenIDConnectProvider: at most
	// 100 RSA and 100 EC keys); this project keeps the sum below it.
	MaxKeys = 100
	// MaxJWKSBytes bounds the size of a set that is read.
	MaxJWKSBytes = 1 << 20
)

// Set is an immutable set of public keys, sorted by key id. The zero Set has no
// keys.
type Set struct{ keys []Public }

// NewSet is the set of the given keys. The same key twice counts once; two
// different keys under one id are an error, as are more than [MaxKeys].
func NewSet(public ...Public) (Set, error) {
	sorted := slices.Clone(public)
	slices.SortStableFunc(sorted, byKID)
	for i, key := range sorted {
		if key.KID == "" {
			return Set{}, errors.New("a key has no key id")
		}
		if err := checkAlgorithm(key); err != nil {
			return Set{}, fmt.Errorf("key %q: %w", key.KID, err)
		}
		if i > 0 && sorted[i-1].KID == key.KID && !sorted[i-1].Equal(key) {
			return Set{}, fmt.Errorf("two different keys have the key id %q", key.KID)
		}
	}
	sorted = slices.CompactFunc(sorted, func(a, b Public) bool { return a.KID == b.KID })
	if len(sorted) > MaxKeys {
		return Set{}, fmt.Errorf("%d keys are more than the %d that AWS STS reads", len(sorted), MaxKeys)
	}
	return Set{sorted}, nil
}

// checkAlgorithm reports whether the key can be used with its algorithm.
func checkAlgorithm(key Public) error {
	natural, err := algorithm(key.Key)
	if err != nil {
		return err
	}
	if _, isRSA := key.Key.(*rsa.PublicKey); isRSA && (key.Algorithm == RS384 || key.Algorithm == RS512) {
		return nil // kube-apiserver never does; an external signer may
	}
	if key.Algorithm != natural {
		return fmt.Errorf("algorithm %q does not fit the key, which takes %s", key.Algorithm, natural)
	}
	return nil
}

// All are the keys, sorted by key id. The caller must not change the slice.
func (s Set) All() []Public { return s.keys }

// Len is the number of keys.
func (s Set) Len() int { return len(s.keys) }

// Lookup finds the key with an id.
func (s Set) Lookup(kid string) (Public, bool) {
	i, ok := slices.BinarySearchFunc(s.keys, Public{KID: kid}, byKID)
	if !ok {
		return Public{}, false
	}
	return s.keys[i], true
}

// Equal reports whether two sets hold the same keys.
func (s Set) Equal(t Set) bool { return slices.EqualFunc(s.keys, t.keys, Public.Equal) }

// Algorithms is the sorted set of the keys' algorithms, never nil.
func (s Set) Algorithms() []string {
	algs := make([]string, 0, len(s.keys))
	for _, key := range s.keys {
		algs = append(algs, key.Algorithm)
	}
	slices.Sort(algs)
	return slices.Compact(algs)
}

// JWKS is the set as JSON (RFC 7517, section 5), byte for byte as kube-apiserver
// serves such a set, with the keys in the order of their ids: the same set is
// always the same bytes.
func (s Set) JWKS() []byte {
	set := jose.JSONWebKeySet{Keys: make([]jose.JSONWebKey, 0, len(s.keys))}
	for _, key := range s.keys {
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: key.Key, KeyID: key.KID, Algorithm: key.Algorithm, Use: "sig"})
	}
	body, err := json.Marshal(set)
	if err != nil {
		panic("keys: marshalling keys that NewSet has checked: " + err.Error())
	}
	return body
}

// privateMembers of a JWK hold secrets (RFC 7518, sections 6.2.2, 6.3.2, 6.4).
var privateMembers = []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"}

// ParseJWKS reads a set that is to be published. It is strict: a private or
// symmetric key, a key without an id, two keys under one id, a key for
// encryption, or one that STS cannot verify (the error wraps [ErrUnsupported])
// fails the whole set, and no error repeats key material. Key ids are taken as
// they are. Members that do not matter here, such as x5c, are dropped.
func ParseJWKS(body []byte) (Set, error) {
	if len(body) > MaxJWKSBytes {
		return Set{}, fmt.Errorf("reading a JWKS: %d bytes are more than %d", len(body), MaxJWKSBytes)
	}
	var raw struct{ Keys []json.RawMessage }
	if err := json.Unmarshal(body, &raw); err != nil || raw.Keys == nil {
		return Set{}, errors.New(`reading a JWKS: not a JSON object with an array "keys"`)
	}
	public := make([]Public, 0, len(raw.Keys))
	for i, key := range raw.Keys {
		p, err := parseJWK(key)
		if err != nil {
			return Set{}, fmt.Errorf("reading a JWKS: key %d: %w", i+1, err)
		}
		if slices.ContainsFunc(public, func(q Public) bool { return q.KID == p.KID }) {
			return Set{}, fmt.Errorf("reading a JWKS: key %d: the key id %q is there twice", i+1, p.KID)
		}
		public = append(public, p)
	}
	return NewSet(public...)
}

func parseJWK(raw json.RawMessage) (Public, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(raw, &members); err != nil {
		return Public{}, errors.New("not a JSON object")
	}
	for _, name := range privateMembers {
		if _, ok := members[name]; ok {
			return Public{}, fmt.Errorf("it holds the private member %q: a key set is public, make this key a new one", name)
		}
	}
	// Members are looked up by their exact names: encoding/json would also
	// take "KID", which AWS ignores.
	text := func(name string) (s string) {
		if json.Unmarshal(members[name], &s) != nil {
			return ""
		}
		return s
	}
	kid, kty, use, alg, crv := text("kid"), text("kty"), text("use"), text("alg"), text("crv")
	switch {
	case kid == "":
		return Public{}, errors.New(`it has no "kid"`)
	case use != "" && use != "sig":
		return Public{}, fmt.Errorf("%q: its use is %q, not \"sig\"", kid, use)
	case kty != "RSA" && kty != "EC":
		return Public{}, fmt.Errorf("%q: kty %q: %w", kid, kty, ErrUnsupported)
	case kty == "EC" && !slices.Contains([]string{"P-256", "P-384", "P-521"}, crv):
		return Public{}, fmt.Errorf("%q: curve %q: %w", kid, crv, ErrUnsupported)
	}
	var jwk jose.JSONWebKey
	if err := json.Unmarshal(raw, &jwk); err != nil || !jwk.Valid() || !jwk.IsPublic() {
		return Public{}, fmt.Errorf("%q: not a valid %s key", kid, kty)
	}
	natural, err := algorithm(jwk.Key)
	if err != nil {
		return Public{}, fmt.Errorf("%q: %w", kid, err)
	}
	p := Public{KID: kid, Algorithm: cmp.Or(alg, natural), Key: jwk.Key}
	if err := checkAlgorithm(p); err != nil {
		return Public{}, fmt.Errorf("%q: %w", kid, err)
	}
	return p, nil
}
