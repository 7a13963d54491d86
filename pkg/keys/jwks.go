package keys

import (
	"cmp"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"

	"github.com/openirsa/openirsa/internal/exactjson"
	"github.com/openirsa/openirsa/internal/order"
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
type Set struct {
	keys    []Public
	omitted []Omitted
}

// NewSet is the set of the given keys. A repeated key counts once; two different
// keys with one id are an error, as are more than [MaxKeys].
func NewSet(public ...Public) (Set, error) {
	sorted := slices.Clone(public)
	order.By(sorted, byKID)
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
	return Set{keys: sorted}, nil
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
// serves such a set, with the keys in the order of their ids: the same set always
// gives the same bytes.
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

// Omitted is a key of a set that was read and is not in the [Set].
type Omitted struct {
	Number int    // of the key in the set as it was read, from 1
	KID    string // if it has one
	Err    error  // why STS does not use it
}

func (o Omitted) String() string {
	if o.KID == "" {
		return fmt.Sprintf("key %d: %v", o.Number, o.Err)
	}
	return fmt.Sprintf("key %d (%.80q): %v", o.Number, o.KID, o.Err)
}

// Union is the set of the keys of all sets, with what was left out of each. Two
// different keys with one id are an error.
func Union(sets ...Set) (Set, error) {
	var all []Public
	var omitted []Omitted
	for _, s := range sets {
		all, omitted = append(all, s.keys...), append(omitted, s.omitted...)
	}
	set, err := NewSet(all...)
	if err == nil {
		set.omitted = omitted
	}
	return set, err
}

// Omitted are the keys that [ParseJWKS] left out of the set, in its order.
func (s Set) Omitted() []Omitted { return s.omitted }

// Find is the key that STS uses for a token: the one with the token's kid, or for a
// token without one the only key of the set.
func (s Set) Find(kid string) (Public, bool) {
	if kid == "" && len(s.keys) == 1 {
		return s.keys[0], true
	}
	return s.Lookup(kid)
}

// ErrPrivate is wrapped by the error about a set with a private or symmetric key.
var ErrPrivate = errors.New("a key set is public, make this key a new one")

// ParseJWKS reads anybody's set of keys as STS does. A key that STS would not use
// is left out and the others count: one without an id, for encryption, of another
// kind, malformed ([Set.Omitted] says which and why). Of two keys with one id the
// later counts. An "alg" that does not fit its key is ignored, and other members,
// such as x5c, matter only if they contradict the key.
//
// The whole set is refused if it is not one, if STS would use none of its keys (the
// error wraps [ErrUnsupported] if the first was of another kind), if there are more
// than [MaxKeys], and if one of them is private or symmetric (the error wraps
// [ErrPrivate]): whoever published it must find out. Names of members are exact,
// and none may be repeated. No error shows key material. Key ids are taken as they
// are.
func ParseJWKS(body []byte) (Set, error) {
	if len(body) > MaxJWKSBytes {
		return Set{}, fmt.Errorf("reading a JWKS: %d bytes are more than %d", len(body), MaxJWKSBytes)
	}
	var list []json.RawMessage
	o, err := exactjson.Parse(body)
	if err == nil {
		err = o.Decode("keys", &list)
	}
	if err != nil {
		return Set{}, fmt.Errorf("reading a JWKS: %w", err)
	}
	if list == nil {
		return Set{}, errors.New(`reading a JWKS: not a JSON object with an array "keys"`)
	}
	byID := map[string]Public{}
	var omitted []Omitted
	for i, raw := range list {
		p, err := parseJWK(raw)
		if errors.Is(err, ErrPrivate) {
			return Set{}, fmt.Errorf("reading a JWKS: key %d: %w", i+1, err)
		}
		if err != nil {
			omitted = append(omitted, Omitted{i + 1, p.KID, err})
			continue
		}
		byID[p.KID] = p
	}
	if len(byID) == 0 && len(omitted) > 0 {
		return Set{}, fmt.Errorf("reading a JWKS: STS uses none of its keys: %s%w", omitted[0].prefix(), omitted[0].Err)
	}
	set, err := NewSet(slices.Collect(maps.Values(byID))...)
	if err != nil {
		return Set{}, fmt.Errorf("reading a JWKS: %w", err)
	}
	set.omitted = omitted
	return set, nil
}

func (o Omitted) prefix() string { return strings.TrimSuffix(o.String(), o.Err.Error()) }

// parseJWK reads one key. With an error it also returns the id, if there is one.
func parseJWK(raw json.RawMessage) (Public, error) {
	members, err := exactjson.Parse(raw)
	if err != nil { // and yet it may hold a secret
		var any map[string]json.RawMessage
		json.Unmarshal(raw, &any)
		return Public{}, cmp.Or(checkPublic(any), err)
	}
	kid, kty, use, alg, crv := members.Text("kid"), members.Text("kty"), members.Text("use"), members.Text("alg"), members.Text("crv")
	odd := func(format string, args ...any) (Public, error) {
		return Public{KID: kid}, fmt.Errorf(format, args...)
	}
	if err := checkPublic(members); err != nil {
		return odd("%w", err)
	}
	switch {
	case kid == "":
		return odd(`it has no "kid"`)
	case members["use"] != nil && use != "sig":
		return odd("its use is %.20q, not \"sig\"", use)
	case kty != "RSA" && kty != "EC":
		return odd("kty %.20q: %w", kty, ErrUnsupported)
	case kty == "EC" && !slices.Contains([]string{"P-256", "P-384", "P-521"}, crv):
		return odd("curve %.20q: %w", crv, ErrUnsupported)
	}
	// Only the members that make up the key: others could be malformed.
	minimal, err := json.Marshal(filter(members, "kty", "crv", "n", "e", "x", "y", "x5c"))
	if err != nil {
		return odd("not a valid %s key", kty)
	}
	var jwk jose.JSONWebKey
	if err := json.Unmarshal(minimal, &jwk); err != nil || !jwk.Valid() || !jwk.IsPublic() {
		return odd("not a valid %s key", kty)
	}
	natural, err := algorithm(jwk.Key)
	if err != nil {
		return odd("%w", err)
	}
	p := Public{KID: kid, Algorithm: cmp.Or(alg, natural), Key: jwk.Key}
	if checkAlgorithm(p) != nil {
		p.Algorithm = natural
	}
	return p, nil
}

func checkPublic(members map[string]json.RawMessage) error {
	for _, name := range privateMembers {
		if _, ok := members[name]; ok {
			return fmt.Errorf("it holds the private member %q: %w", name, ErrPrivate)
		}
	}
	return nil
}

func filter(o exactjson.Object, names ...string) exactjson.Object {
	maps.DeleteFunc(o, func(name string, _ json.RawMessage) bool { return !slices.Contains(names, name) })
	return o
}
