package emulator

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	_ "crypto/sha256" // the hashes of RS256 to ES512
	_ "crypto/sha512"
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/openirsa/openirsa/internal/order"
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
	pod   string     // NAMESPACE/NAME, of the claim kubernetes.io; "" if it has none
	bound *podClaims // the claim kubernetes.io; nil if it has none, or another

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

// The texts of STS about tokens, as it gives them since 2026.
var (
	errNotJWT = invalidToken("The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)")
	// errNotValidated is the answer to many faults, which it does not tell
	// apart.
	errNotValidated = invalidToken("The web identity token provided could not be validated. See the AssumeRoleWithWebIdentity " +
		"documentation for requirements.")
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
	return refusal("token", fmt.Sprintf(format, args...), errNotJWT)
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

// parseToken takes a token apart and checks what can be checked without keys: its
// form, its claims and its times. Nothing in the result is true until verify
// has said so.
func (c *tokenHeaders) parseToken(raw string, now time.Time, leeway time.Duration) (*webToken, *tokenFault) {
	t, fault := c.decodeToken(raw, false)
	if fault != nil {
		return nil, fault
	}
	return t, t.checkTimes(now, leeway)
}

// decodeToken is parseToken without the times. STS refuses several audiences without
// azp; with anyAudience they are taken.
func (c *tokenHeaders) decodeToken(raw string, anyAudience bool) (*webToken, *tokenFault) {
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
	if fault := t.parseClaims(body, anyAudience); fault != nil {
		return nil, fault
	}
	return t, nil
}

// parseClaims reads the claims. Of a repeated claim the last one counts.
func (t *webToken) parseClaims(body []byte, anyAudience bool) *tokenFault {
	all, ok := readClaims(body)
	if !ok {
		return notJWT("the token's claims are not a JSON object")
	}
	refuse := func(answer *wire.Failure, format string, args ...any) *tokenFault {
		return refusal("claims", fmt.Sprintf(format, args...), answer)
	}
	for _, name := range []string{"iss", "sub", "aud", "exp", "iat"} {
		v := all.get(name)
		if v == nil || string(v) == "null" && name != "exp" && name != "iat" {
			return refuse(invalidToken("Missing a required claim: "+name), "the token has no %s", name).between([]string{"a claim " + name}, nil)
		}
	}
	if !readText(all.get("iss"), &t.issuer) {
		return refuse(errNotValidated, "the token's iss is not a string")
	}
	if sub := all.get("sub"); !readText(sub, &t.subject) {
		var n json.Number
		if json.Unmarshal(sub, &n) != nil {
			return refuse(errNotValidated, "the token's sub is neither a string nor a number")
		}
		t.subject = n.String()
	}
	var single string
	switch aud := all.get("aud"); {
	case readText(aud, &single):
		t.audience = []string{single}
	case !readTexts(aud, &t.audience):
		return refuse(errNotValidated, "the token's aud is neither a string nor a list of strings")
	case len(t.audience) == 0:
		return refuse(invalidToken("Claim is not allowed to be empty: aud"), "the token's aud is an empty list")
	}
	if azp := all.get("azp"); azp != nil && string(azp) != "null" {
		if !readText(azp, &t.azp) {
			return refuse(errNotValidated, "the token's azp is not a string")
		}
		t.hasAZP = true
	}
	if len(t.audience) > 1 && !t.hasAZP && !anyAudience {
		return refuse(errManyAudience, "the token is for %s, and without azp it may be for one audience only", quotedList(t.audience))
	}
	for _, at := range []struct {
		name string
		to   *int64
	}{{"exp", &t.expiry}, {"iat", &t.issued}, {"nbf", &t.before}} {
		v := all.get(at.name)
		if v == nil {
			continue
		}
		if *at.to, ok = timestamp(v); !ok {
			return refuse(errTimestamp, "the token's %s is not a whole number of seconds: %.40s", at.name, v)
		}
	}
	t.hasNBF = all.get("nbf") != nil
	if amr := all.get("amr"); amr != nil && !readTexts(amr, &t.amr) {
		t.amr = nil
		if readText(amr, &single) {
			t.amr = []string{single}
		}
	}
	if email := all.get("email"); email != nil && !readText(email, &t.email) {
		t.email = ""
	}
	t.bound, t.pod = podOf(all.get("kubernetes.io"))
	if slices.ContainsFunc(all, func(c claim) bool { return bytes.HasPrefix(c.name, []byte("https://aws.amazon.com/")) }) {
		t.special = t.parseSpecial(all.byName())
	}
	return nil
}

// podClaims is the claim kubernetes.io of a token that is bound to a pod (Kubernetes,
// "Managing Service Accounts", section "Bound service account tokens").
type podClaims struct {
	Namespace      string
	ServiceAccount boundObject
	Pod            boundObject
}

func (p *podClaims) read(claim []byte) bool {
	return readFields(claim, func(name, value []byte) bool {
		switch {
		case bytes.EqualFold(name, []byte("namespace")):
			return readText(value, &p.Namespace)
		case bytes.EqualFold(name, []byte("serviceaccount")):
			return p.ServiceAccount.read(value)
		case bytes.EqualFold(name, []byte("pod")):
			return p.Pod.read(value)
		}
		return true
	})
}

type boundObject struct{ Name, UID string }

func (o *boundObject) read(value []byte) bool {
	return readFields(value, func(name, value []byte) bool {
		switch {
		case bytes.EqualFold(name, []byte("name")):
			return readText(value, &o.Name)
		case bytes.EqualFold(name, []byte("uid")):
			return readText(value, &o.UID)
		}
		return true
	})
}

// podOf is what a claim of Kubernetes binds a token to, nil if it cannot be read, and
// the pod, "" if there is none.
func podOf(claim json.RawMessage) (*podClaims, string) {
	bound := new(podClaims)
	switch {
	case claim == nil || !bound.read(claim):
		return nil, ""
	case bound.Pod.Name == "":
		return bound, ""
	}
	return bound, bound.Namespace + "/" + bound.Pod.Name
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
		return refusal("claims",
			fmt.Sprintf("the token expired at %s, now is %s, and %d s are tolerated", clock(t.expiry), clock(now.Unix()), int(leeway.Seconds())),
			wire.Errorf(400, "ExpiredTokenException", "Token expired: current date/time %d must be before the expiration "+
				"date/time %d", early, t.expiry)).between([]string{"exp not before " + clock(early)}, []string{clock(t.expiry)})

	case t.issued > late:
		return refusal("claims",
			fmt.Sprintf("the token's iat is %s, now is %s, and %d s are tolerated", clock(t.issued), clock(now.Unix()), int(leeway.Seconds())),
			invalidToken(fmt.Sprintf("Token issued in the future: %d", t.issued))).
			between([]string{"iat not after " + clock(late)}, []string{clock(t.issued)})

	case t.hasNBF && t.before > late:
		return refusal("claims",
			fmt.Sprintf("the token's nbf is %s, now is %s, and %d s are tolerated", clock(t.before), clock(now.Unix()), int(leeway.Seconds())),
			invalidToken(fmt.Sprintf("Token not yet valid: current date/time %d must be after or equal to the not-before "+
				"date/time %d", late, t.before))).between([]string{"nbf not after " + clock(late)}, []string{clock(t.before)})

	}
	return nil
}

// clock is a time of a token in words.
func clock(seconds int64) string { return time.Unix(seconds, 0).UTC().Format(time.RFC3339) }

// parseSpecial reads the claims by which an identity provider speaks to STS:
// session tags, nested or flattened, the source identity, and the roles.
func (t *webToken) parseSpecial(all members) *tokenFault {
	badTags := func(format string, args ...any) *tokenFault {
		return refusal("claims", fmt.Sprintf(format, args...), errTags)
	}
	tags := map[string]string{}
	if raw := all[claimTags]; raw != nil && string(raw) != "null" {
		var nested members
		var principal map[string][]string
		if json.Unmarshal(raw, &nested) != nil || !nested.read("principal_tags", &principal) ||
			!nested.read("transitive_tag_keys", &t.transitive) {
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
			return badTags("the token has more than %d tags, or one with a key over 128 or a value over 256 characters, or with "+
				"characters that tags may not have", maxSessionTags)
		}
		t.tags = append(t.tags, wire.Tag{Key: k, Value: v})
	}
	order.By(t.tags, func(a, b wire.Tag) int { return strings.Compare(a.Key, b.Key) })
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
			return refusal("claims", "the claim "+claimSourceIdentity+" is not 2 to 64 letters, digits or any of _+=,.@-", errNotValidated)
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

// clientID is who the token is for, as STS sees it: azp if it has one.
func (t *webToken) clientID() string {
	if t.hasAZP {
		return t.azp
	}
	return t.audience[0]
}

// verify reports whether key signed the token. The key's type, not the header,
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
