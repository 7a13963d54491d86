package emulator

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	_ "crypto/sha256" // the hashes of RS256 to ES512
	_ "crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
)

// issuerKey is one key of an issuer.
type issuerKey struct {
	rsa      *rsa.PublicKey
	ecdsa    *ecdsa.PublicKey
	reserved string // "key_ops": the key is there, and nothing verifies under it
}

// keySet are the keys of an issuer that STS would use, by their kid.
type keySet struct {
	keys map[string]*issuerKey
	// left is what was left out and why, in words.
	left []string
}

// find is the key that a token names. A token that names none means the only
// one.
func (s *keySet) find(kid string) *issuerKey {
	if kid != "" {
		return s.keys[kid]
	}
	if len(s.keys) == 1 {
		for _, k := range s.keys {
			return k
		}
	}
	return nil
}

// maxIssuerKeys is how many keys of a kind an issuer may have; with more, none
// of that kind is used (IAM User Guide, "Create an OpenID Connect identity
// provider in IAM").
const maxIssuerKeys = 100

// parseKeySet reads a JWKS as STS does: keys that it would not use are left
// out, one by one.
func parseKeySet(body []byte) (*keySet, error) {
	var doc members
	if err := json.Unmarshal(body, &doc); err != nil {
		return nil, fmt.Errorf("the key set is not JSON: %w", err)
	}
	var list []json.RawMessage
	if !doc.read("keys", &list) {
		return nil, errors.New("the keys of the key set are not a list")
	}
	if len(list) == 0 {
		return nil, errors.New("the key set has no keys")
	}
	s := &keySet{keys: make(map[string]*issuerKey)}
	var rsaKeys, ecKeys int
	for i, raw := range list {
		kid, key, why := parseKey(raw)
		if why != "" {
			if len(s.left) < maxShownList {
				s.left = append(s.left, fmt.Sprintf("key %d (kid %q) is not used: %s", i, clipText(kid, maxShownValue), why))
			}
			continue
		}
		if key.rsa != nil {
			rsaKeys++
		} else {
			ecKeys++
		}
		s.keys[kid] = key
	}
	for kid, key := range s.keys {
		if key.rsa != nil && rsaKeys > maxIssuerKeys || key.ecdsa != nil && ecKeys > maxIssuerKeys {
			delete(s.keys, kid)
		}
	}
	if rsaKeys > maxIssuerKeys || ecKeys > maxIssuerKeys {
		s.left = append(s.left, fmt.Sprintf("the key set has %d RSA and %d EC keys, and of a kind with more than %d none is used",
			rsaKeys, ecKeys, maxIssuerKeys))
	}
	return s, nil
}

// parseKey reads one JWK (RFC 7517), or says why it is not used.
func parseKey(raw json.RawMessage) (kid string, key *issuerKey, why string) {
	var jwk members
	if json.Unmarshal(raw, &jwk) != nil || jwk == nil {
		return "", nil, "it is not a JSON object"
	}
	kid = jwk.text("kid")
	switch {
	case kid == "":
		return kid, nil, "it has no kid"
	case jwk["d"] != nil:
		return kid, nil, "it is a private key, which must never be published"
	case jwk["use"] != nil && jwk.text("use") != "sig":
		return kid, nil, fmt.Sprintf("its use is %q, not \"sig\"", clipText(jwk.text("use"), maxShownWord))
	}
	key = new(issuerKey)
	switch kty := jwk.text("kty"); kty {
	case "RSA":
		key.rsa, why = parseRSA(jwk.text("n"), jwk.text("e"))
	case "EC":
		key.ecdsa, why = parseEC(jwk.text("crv"), jwk.text("x"), jwk.text("y"))
	default:
		why = fmt.Sprintf("its type %q is neither \"RSA\" nor \"EC\"", clipText(kty, maxShownWord))
	}
	if why == "" && jwk["x5c"] != nil && !certifies(jwk["x5c"], key) {
		why = "its x5c is of another key"
	}
	if why != "" {
		return kid, nil, why
	}
	if jwk["key_ops"] != nil {
		key.reserved = "key_ops"
	}
	return kid, key, ""
}

// Limits on RSA keys: below, the signature proves nothing; above, verifying
// costs too much.
const minRSABits, maxRSABits = 1024, 8192

func parseRSA(n, e string) (*rsa.PublicKey, string) {
	modulus, ok1 := decodeSegment(n)
	exponent, ok2 := decodeSegment(e)
	if !ok1 || !ok2 || len(modulus) == 0 || len(exponent) == 0 || len(exponent) > 4 {
		return nil, "its n and e are not those of an RSA key"
	}
	key := &rsa.PublicKey{N: new(big.Int).SetBytes(modulus)}
	for _, b := range exponent {
		key.E = key.E<<8 | int(b)
	}
	bits := key.N.BitLen()
	switch {
	case bits < minRSABits || bits > maxRSABits:
		return nil, fmt.Sprintf("it has %d bits, not %d to %d", bits, minRSABits, maxRSABits)
	case key.E < 3 || key.E&1 == 0 || key.E > 1<<31-1 || key.N.Bit(0) == 0:
		return nil, "its n and e are not those of an RSA key"
	}
	return key, ""
}

func parseEC(crv, x, y string) (*ecdsa.PublicKey, string) {
	curve, ok := curves[crv]
	if !ok {
		return nil, fmt.Sprintf("its curve %q is none of P-256, P-384 and P-521", clipText(crv, maxShownWord))
	}
	bx, ok1 := decodeSegment(x)
	by, ok2 := decodeSegment(y)
	size := (curve.Params().BitSize + 7) / 8
	if !ok1 || !ok2 || len(bx) > size || len(by) > size {
		return nil, "its x and y are not those of a point"
	}
	point := make([]byte, 1+2*size)
	point[0] = 4 // uncompressed
	copy(point[1+size-len(bx):], bx)
	copy(point[1+2*size-len(by):], by)
	key, err := ecdsa.ParseUncompressedPublicKey(curve, point)
	if err != nil {
		return nil, "its x and y are not those of a point on the curve"
	}
	return key, ""
}

// curves are the curves of ES256, ES384 and ES512.
var curves = map[string]elliptic.Curve{
	"P-256": elliptic.P256(),
	"P-384": elliptic.P384(),
	"P-521": elliptic.P521(),
}

// certifies reports whether the first certificate of an x5c is of key.
func certifies(x5c json.RawMessage, key *issuerKey) bool {
	var chain []string
	if json.Unmarshal(x5c, &chain) != nil || len(chain) == 0 {
		return false
	}
	der, err := base64.StdEncoding.DecodeString(chain[0])
	if err != nil {
		return false
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return false
	}
	switch public := cert.PublicKey.(type) {
	case *rsa.PublicKey:
		return key.rsa != nil && public.Equal(key.rsa)
	case *ecdsa.PublicKey:
		return key.ecdsa != nil && public.Equal(key.ecdsa)
	}
	return false
}
