package emulator

import (
	"bytes"
	"crypto"
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
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
)

// webToken is a web identity token, parsed and not yet believed.
type webToken struct {
	tokenHeader
	signed    string // header and claims as they were signed
	signature []byte

	issuer   string
	subject  string
	audience []string
	azp      string
	hasAZP   bool
	expiry   int64 // seconds since 1970, as are the next two
	issued   int64
	before   int64 // nbf
	hasNBF   bool

	amr   []string
	email string

	// AWS's own claims.
	tags           []wire.Tag
	transitive     []string
	sourceIdentity string
	roles          []string
	hasRoles       bool
	special        *tokenFault // what is wrong with AWS's own claims
}

// tokenHeader is the header of a token.
type tokenHeader struct {
	alg    string
	kid    string // "" if there is none: an empty one counts as none
	method signing
}

// signing is what an alg of JWS (RFC 7518, section 3.1) means.
type signing struct {
	hash crypto.Hash
	size int // of the coordinates of the curve in bytes; 0 for RSA
}

// signings are the algorithms that STS takes: no PS*, EdDSA, HS* and none.
var signings = map[string]signing{
	"RS256": {hash: crypto.SHA256},
	"RS384": {hash: crypto.SHA384},
	"RS512": {hash: crypto.SHA512},
	"ES256": {hash: crypto.SHA256, size: 32},
	"ES384": {hash: crypto.SHA384, size: 48},
	"ES512": {hash: crypto.SHA512, size: 66},
}

// A tokenFault is why a token is refused: at which step, why in words, and
// what AWS answers.
type tokenFault struct {
	step   string
	why    string
	answer *wire.Failure
}

// invalidToken is the code of most answers about tokens.
func invalidToken(text string) *wire.Failure {
	return &wire.Failure{Status: 400, Code: "InvalidIdentityToken", Message: text}
}

// The texts of STS about tokens, as it gives them since 2026.
var (
	errNotJWT = invalidToken("The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)")
	// errNotValidated is the answer to many faults, which it does not tell
	// apart.
	errNotValidated = invalidToken("The web identity token provided could not be validated. See the AssumeRoleWithWebIdentity documentation for requirements.")
	errManyAudience = invalidToken("Token audience contains more than one audience while authorized party is not present")
	errTimestamp    = invalidToken("Invalid timestamp in token claims.")
	errTags         = invalidToken("principal_tags passed in claim is not in correct format.")
	errRolesClaim   = invalidToken("The target role ARN is not present in the roles claim of the identity token")
)

// AWS's own claims (IAM User Guide, "Pass session tags in AWS STS", and
// AssumeRoleWithWebIdentity).
const (
	claimTags           = "https://aws.amazon.com/tags"
	claimSourceIdentity = "https://aws.amazon.com/source_identity"
	claimRoles          = "https://aws.amazon.com/roles"
)

// tokenHeaders remembers headers by their encoded form: all tokens of a
// cluster have the same. Long ones, which no cluster makes, are not worth it.
type tokenHeaders struct {
	mu   sync.Mutex
	seen generations[tokenHeader]
}

func (c *tokenHeaders) parse(encoded string) (tokenHeader, *tokenFault) {
	c.mu.Lock()
	h, ok := c.seen.get(encoded)
	c.mu.Unlock()
	if ok {
		return h, nil
	}
	h, fault := parseTokenHeader(encoded)
	if fault == nil && len(encoded) <= 512 {
		c.mu.Lock()
		c.seen.put(strings.Clone(encoded), h)
		c.mu.Unlock()
	}
	return h, fault
}

func notJWT(format string, args ...any) *tokenFault {
	return &tokenFault{"token", fmt.Sprintf(format, args...), errNotJWT}
}

func parseTokenHeader(encoded string) (tokenHeader, *tokenFault) {
	var h tokenHeader
	raw, ok := decodeSegment(encoded)
	if !ok {
		return h, notJWT("the token's header is not base64url without padding")
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(raw, &members); err != nil || members == nil {
		return h, notJWT("the token's header is not a JSON object")
	}
	if _, ok := members["crit"]; ok {
		// RFC 7515, section 4.1.11: what is critical and not understood must
		// be refused. None is understood.
		return h, notJWT("the token's header has crit, and no extension is supported")
	}
	if json.Unmarshal(members["alg"], &h.alg) != nil {
		return h, notJWT("the token's header has no alg")
	}
	if h.method, ok = signings[h.alg]; !ok {
		return h, notJWT("the token is signed with %.20q, which is none of RS256, RS384, RS512, ES256, ES384 and ES512", h.alg)
	}
	if kid, ok := members["kid"]; ok && json.Unmarshal(kid, &h.kid) != nil {
		return h, notJWT("the token's kid is not a string")
	}
	return h, nil
}

// decodeSegment decodes base64url without padding.
func decodeSegment(s string) ([]byte, bool) { return decodeStrict(base64.RawURLEncoding, s) }

// decodeStrict decodes what has one form only, as a token must: bits beyond the
// last byte are zero, and there are no line breaks, which package base64 ignores.
func decodeStrict(e *base64.Encoding, s string) ([]byte, bool) {
	b, err := e.Strict().DecodeString(s)
	return b, err == nil && !strings.ContainsAny(s, "\r\n")
}

// parse takes a token apart and checks what can be checked without keys: its
// form, its claims and its times. Nothing in the result is true until verify
// has said so.
func (c *tokenHeaders) parseToken(raw string, now time.Time, leeway time.Duration) (*webToken, *tokenFault) {
	header, rest, ok1 := strings.Cut(raw, ".")
	claims, signature, ok2 := strings.Cut(rest, ".")
	if !ok1 || !ok2 || strings.Contains(signature, ".") {
		return nil, notJWT("the token does not have three parts (%d)", strings.Count(raw, ".")+1)
	}
	t := &webToken{signed: raw[:len(raw)-len(signature)-1]}
	var fault *tokenFault
	if t.tokenHeader, fault = c.parse(header); fault != nil {
		return nil, fault
	}
	var ok bool
	if t.signature, ok = decodeSegment(signature); !ok {
		return nil, notJWT("the token's signature is not base64url without padding")
	}
	body, ok := decodeSegment(claims)
	if !ok {
		return nil, notJWT("the token's claims are not base64url without padding")
	}
	if fault := t.parseClaims(body); fault != nil {
		return nil, fault
	}
	return t, t.checkTimes(now, leeway)
}

// parseClaims reads the claims. Of a repeated claim the last one counts.
func (t *webToken) parseClaims(body []byte) *tokenFault {
	var all map[string]json.RawMessage
	if err := json.Unmarshal(body, &all); err != nil || all == nil {
		return notJWT("the token's claims are not a JSON object")
	}
	refuse := func(answer *wire.Failure, format string, args ...any) *tokenFault {
		return &tokenFault{"claims", fmt.Sprintf(format, args...), answer}
	}
	for _, name := range []string{"iss", "sub", "aud", "exp", "iat"} {
		v, ok := all[name]
		if !ok || string(v) == "null" && name != "exp" && name != "iat" {
			return refuse(invalidToken("Missing a required claim: "+name), "the token has no %s", name)
		}
	}
	if json.Unmarshal(all["iss"], &t.issuer) != nil {
		return refuse(errNotValidated, "the token's iss is not a string")
	}
	if sub := all["sub"]; json.Unmarshal(sub, &t.subject) != nil {
		var n json.Number
		if json.Unmarshal(sub, &n) != nil {
			return refuse(errNotValidated, "the token's sub is neither a string nor a number")
		}
		t.subject = n.String()
	}
	var single string
	switch aud := all["aud"]; {
	case json.Unmarshal(aud, &single) == nil:
		t.audience = []string{single}
	case json.Unmarshal(aud, &t.audience) != nil:
		return refuse(errNotValidated, "the token's aud is neither a string nor a list of strings")
	case len(t.audience) == 0:
		return refuse(invalidToken("Claim is not allowed to be empty: aud"), "the token's aud is an empty list")
	}
	if azp, ok := all["azp"]; ok && string(azp) != "null" {
		if json.Unmarshal(azp, &t.azp) != nil {
			return refuse(errNotValidated, "the token's azp is not a string")
		}
		t.hasAZP = true
	}
	if len(t.audience) > 1 && !t.hasAZP {
		return refuse(errManyAudience, "the token is for %s, and without azp it may be for one audience only", quotedList(t.audience))
	}
	var ok bool
	for _, at := range []struct {
		name string
		to   *int64
	}{{"exp", &t.expiry}, {"iat", &t.issued}, {"nbf", &t.before}} {
		v, present := all[at.name]
		if !present {
			continue
		}
		if *at.to, ok = timestamp(v); !ok {
			return refuse(errTimestamp, "the token's %s is not a whole number of seconds: %.40s", at.name, v)
		}
	}
	_, t.hasNBF = all["nbf"]
	if amr := all["amr"]; amr != nil && json.Unmarshal(amr, &t.amr) != nil {
		t.amr = nil
		if json.Unmarshal(amr, &single) == nil {
			t.amr = []string{single}
		}
	}
	if email := all["email"]; email != nil && json.Unmarshal(email, &t.email) != nil {
		t.email = ""
	}
	for name := range all {
		if strings.HasPrefix(name, "https://aws.amazon.com/") {
			t.special = t.parseSpecial(all)
			break
		}
	}
	return nil
}

// timestamp reads an integer, or a string of one.
func timestamp(v json.RawMessage) (int64, bool) {
	n, err := strconv.ParseInt(strings.Trim(string(v), `"`), 10, 64)
	return n, err == nil && (n >= 0 || v[0] == '-') && n < 1<<53 && n > -(1<<53)
}

// checkTimes holds exp, iat and nbf against a clock that may be wrong by leeway.
func (t *webToken) checkTimes(now time.Time, leeway time.Duration) *tokenFault {
	early, late := now.Add(-leeway).Unix(), now.Add(leeway).Unix()
	switch {
	case t.expiry < early:
		return &tokenFault{"claims",
			fmt.Sprintf("the token expired at %s, now is %s, and %d s are tolerated", clock(t.expiry), clock(now.Unix()), int(leeway.Seconds())),
			wire.Errorf(400, "ExpiredTokenException", "Token expired: current date/time %d must be before the expiration date/time %d", early, t.expiry)}
	case t.issued > late:
		return &tokenFault{"claims",
			fmt.Sprintf("the token's iat is %s, now is %s, and %d s are tolerated", clock(t.issued), clock(now.Unix()), int(leeway.Seconds())),
			invalidToken(fmt.Sprintf("Token issued in the future: %d", t.issued))}
	case t.hasNBF && t.before > late:
		return &tokenFault{"claims",
			fmt.Sprintf("the token's nbf is %s, now is %s, and %d s are tolerated", clock(t.before), clock(now.Unix()), int(leeway.Seconds())),
			invalidToken(fmt.Sprintf("Token not yet valid: current date/time %d must be after or equal to the not-before date/time %d", late, t.before))}
	}
	return nil
}

// clock is a time of a token in words.
func clock(seconds int64) string { return time.Unix(seconds, 0).UTC().Format(time.RFC3339) }

// parseSpecial reads the claims by which an identity provider speaks to STS:
// session tags, nested or flattened, the source identity, and the roles.
func (t *webToken) parseSpecial(all map[string]json.RawMessage) *tokenFault {
	badTags := func(format string, args ...any) *tokenFault {
		return &tokenFault{"claims", fmt.Sprintf(format, args...), errTags}
	}
	tags := map[string]string{}
	if raw := all[claimTags]; raw != nil && string(raw) != "null" {
		var nested members
		var principal map[string][]string
		if json.Unmarshal(raw, &nested) != nil || !nested.read("principal_tags", &principal) || !nested.read("transitive_tag_keys", &t.transitive) {
			return badTags("the claim %s is not of the form {principal_tags: {key: [value]}, transitive_tag_keys: [key]}", claimTags)
		}
		for k, v := range principal {
			if len(v) != 1 {
				return badTags("principal_tags has %d values for %q, and a tag has one", len(v), k)
			}
			tags[k] = v[0]
		}
	}
	for name, raw := range all {
		if key, ok := strings.CutPrefix(name, claimTags+"/principal_tags/"); ok {
			var v string
			if json.Unmarshal(raw, &v) != nil {
				return badTags("the claim %s is not a string", name)
			}
			tags[key] = v
		}
	}
	if raw := all[claimTags+"/transitive_tag_keys"]; raw != nil && json.Unmarshal(raw, &t.transitive) != nil {
		return badTags("the claim %s/transitive_tag_keys is not a list of strings", claimTags)
	}
	for k, v := range tags {
		if len(wire.RuleTagKey.Faults(k)) > 0 || len(wire.RuleTagValue.Faults(v)) > 0 || len(tags) > maxSessionTags {
			return badTags("the token has more than %d tags, or one with a key over 128 or a value over 256 characters, or with characters that tags may not have", maxSessionTags)
		}
		t.tags = append(t.tags, wire.Tag{Key: k, Value: v})
	}
	slices.SortFunc(t.tags, func(a, b wire.Tag) int { return strings.Compare(a.Key, b.Key) })
	keys, fault := sessionTagKeys(t.tags)
	if fault != nil {
		return badTags("%s", fault.why)
	}
	for _, k := range t.transitive {
		if !keys[strings.ToLower(k)] {
			return badTags("transitive_tag_keys has %q, which is not among the tags", k)
		}
	}
	if raw := all[claimSourceIdentity]; raw != nil && string(raw) != "null" {
		rule := wire.Rule{Min: 2, Max: 64, Pattern: patternSession}
		if json.Unmarshal(raw, &t.sourceIdentity) != nil || len(rule.Faults(t.sourceIdentity)) > 0 {
			return &tokenFault{"claims", "the claim " + claimSourceIdentity + " is not 2 to 64 letters, digits or any of _+=,.@-", errNotValidated}
		}
	}
	if raw := all[claimRoles]; raw != nil && string(raw) != "null" {
		t.hasRoles = true
		var list []json.RawMessage
		var joined string
		switch {
		case json.Unmarshal(raw, &joined) == nil:
			for arn := range strings.SplitSeq(joined, ";") {
				t.roles = append(t.roles, strings.TrimSpace(arn))
			}
		case json.Unmarshal(raw, &list) == nil:
			for _, item := range list {
				var arn string
				if json.Unmarshal(item, &arn) == nil { // others are ignored
					t.roles = append(t.roles, strings.TrimSpace(arn))
				}
			}
		}
	}
	return nil
}

// maxSessionTags is how many tags a session may have (IAM User Guide, "Pass
// session tags in AWS STS").
const maxSessionTags = 50

// clientID is who the token is for, as STS sees it: azp if it has one.
func (t *webToken) clientID() string {
	if t.hasAZP {
		return t.azp
	}
	return t.audience[0]
}

// verify says whether key signed the token. The key's type, not the header,
// decides what kind of signature it is.
func (t *webToken) verify(key *issuerKey) error {
	h := t.method.hash.New()
	h.Write([]byte(t.signed))
	digest := h.Sum(nil)
	switch {
	case key.reserved != "":
		return fmt.Errorf("the key has %s, and AWS then does not use it", key.reserved)
	case key.rsa != nil:
		if t.method.size != 0 {
			return fmt.Errorf("the token says %s, but key %q is an RSA key", t.alg, t.kid)
		}
		if rsa.VerifyPKCS1v15(key.rsa, t.method.hash, digest, t.signature) != nil {
			return fmt.Errorf("the signature is not by the issuer's key %q", t.kid)
		}
		return nil
	}
	size := (key.ecdsa.Curve.Params().BitSize + 7) / 8
	if t.method.size != size {
		return fmt.Errorf("the token says %s, but key %q is on the curve %s", t.alg, t.kid, key.ecdsa.Curve.Params().Name)
	}
	if len(t.signature) != 2*size ||
		!ecdsa.Verify(key.ecdsa, digest, new(big.Int).SetBytes(t.signature[:size]), new(big.Int).SetBytes(t.signature[size:])) {
		return fmt.Errorf("the signature is not by the issuer's key %q", t.kid)
	}
	return nil
}

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
		s.left = append(s.left, fmt.Sprintf("the key set has %d RSA and %d EC keys, and of a kind with more than %d none is used", rsaKeys, ecKeys, maxIssuerKeys))
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

// quotedList is a list of texts in words.
func quotedList(list []string) string {
	var b bytes.Buffer
	for i, s := range list {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%q", s)
	}
	return b.String()
}

// curves are the curves of ES256, ES384 and ES512.
var curves = map[string]elliptic.Curve{
	"P-256": elliptic.P256(),
	"P-384": elliptic.P384(),
	"P-521": elliptic.P521(),
}

// certifies says whether the first certificate of an x5c is of key.
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
