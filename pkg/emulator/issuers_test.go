package emulator_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha1"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/go-jose/go-jose/v4"

	"github.com/openirsa/openirsa/pkg/emulator"
)

// TestJWKS holds which keys STS uses against captures of AWS.
func TestJWKS(t *testing.T) {
	t.Parallel()
	a, idp := start(t, emulator.Config{MaxKeyAge: -1})
	idp.register()
	role := a.Role("R", idp.usual())
	type object = map[string]any
	rsaKey, ecKey := &keyOne().PublicKey, &keyEC().PublicKey
	one := rsaJWK("one", rsaKey)
	with := func(jwk object, name string, value any) object {
		c := object{}
		maps.Copy(c, jwk)
		if value == nil {
			delete(c, name)
		} else {
			c[name] = value
		}
		return c
	}
	many := func(n int) []object {
		list := []object{one}
		for i := range n - 1 {
			list = append(list, rsaJWK(fmt.Sprint("k", i), rsaKey))
		}
		return list
	}
	certificate := base64.StdEncoding.EncodeToString(idp.Certificate().Raw) // of another key
	rs := func(kid string) object { return object{"alg": "RS256", "kid": kid} }
	for _, c := range []struct {
		name   string
		header object
		ec     bool
		keys   []object
		answer string // "" is success
		reason string
	}{
		{"plain", rs("one"), false, []object{one}, "", ""},
		{"EC", object{"alg": "ES256", "kid": "ec"}, true, []object{one, ecJWK("ec", ecKey)}, "", ""},
		{"no kid, one key", object{"alg": "RS256"}, false, []object{one}, "", ""},
		{"empty kid, one key", rs(""), false, []object{one}, "", ""},
		{"no kid, two keys", object{"alg": "RS256"}, false, []object{one, ecJWK("ec", ecKey)}, noKey, "does not name a key"},
		{"JWK without kid", object{"alg": "RS256"}, false, []object{with(one, "kid", nil)}, noKey, "it has no kid"},
		{"unknown kid", rs("two"), false, []object{one}, noKey, `"one"`},
		{"of two keys with a kid the later counts", rs("one"), false, []object{rsaJWK("one", &keyOther().PublicKey), one}, "", ""},
		{"of two keys with a kid the earlier does not count", rs("one"), false, []object{one, rsaJWK("one", &keyOther().PublicKey)}, notValidated, "not by the issuer's key"},
		{"alg of the JWK is ignored", rs("one"), false, []object{with(one, "alg", "RS512")}, "", ""},
		{"use enc", rs("one"), false, []object{with(one, "use", "enc")}, noKey, `its use is "enc"`},
		{"key_ops", rs("one"), false, []object{with(one, "key_ops", []string{"verify"})}, notValidated, "key_ops"},
		{"x5c of another key", rs("one"), false, []object{with(one, "x5c", []string{certificate})}, noKey, "x5c"},
		{"x5c only", rs("one"), false, []object{{"kty": "RSA", "kid": "one", "x5c": []string{certificate}}}, noKey, "its n and e"},
		{"private key", rs("one"), false, []object{with(one, "d", "AQAB")}, noKey, "private"},
		{"100 RSA keys", rs("one"), false, many(100), "", ""},
		{"101 RSA keys", rs("one"), false, many(101), noKey, "101 RSA"},
		{"101 RSA keys, EC token", object{"alg": "ES256", "kid": "ec"}, true, append(many(101), ecJWK("ec", ecKey)), "", ""},
		{"no keys", rs("one"), false, []object{}, noKey, "no keys"},
		{"EC key, RSA token", rs("ec"), false, []object{ecJWK("ec", ecKey)}, notValidated, "curve P-256"},
		{"point not on the curve", object{"alg": "ES256", "kid": "ec"}, true, []object{with(ecJWK("ec", ecKey), "x", "AQAB")}, noKey, "not those of a point on the curve"},
		{"even exponent", rs("one"), false, []object{with(one, "e", "AQAA")}, noKey, "n and e"},
		{"short modulus", rs("one"), false, []object{with(one, "n", "AQAB")}, noKey, "bits"},
		{"symmetric key", rs("one"), false, []object{{"kty": "oct", "kid": "one", "k": "AQAB"}}, noKey, `"oct"`},
	} {
		idp.publish(c.keys...)
		var token string
		if c.ec {
			token = sign(t, c.header, idp.claims(), keyEC())
		} else {
			token = sign(t, c.header, idp.claims(), keyOne())
		}
		_, err := assume(t, a, role, token)
		if c.answer == "" {
			if err != nil {
				t.Errorf("%s: %v; %s", c.name, err, a.LastDenial().Reason)
			}
			continue
		}
		refused(t, err, 400, "InvalidIdentityToken", c.answer)
		if reason := a.LastDenial().Reason; !strings.Contains(reason, c.reason) {
			t.Errorf("%s: reason %q has no %q", c.name, reason, c.reason)
		}
	}
}

// TestRotation has a new key accepted at once, since an unknown kid and a signature that does not verify are reasons to look again.
func TestRotation(t *testing.T) {
	t.Parallel()
	a, idp := start(t, emulator.Config{})
	idp.register()
	role := a.Role("R", idp.usual())
	try := func(kid string, ok bool) {
		t.Helper()
		token := sign(t, map[string]any{"alg": "RS256", "kid": kid}, idp.claims(), keyOther())
		if kid == "one" {
			token = idp.token(idp.claims())
		}
		if _, err := assume(t, a, role, token); (err == nil) != ok {
			t.Errorf("key %q: %v", kid, err)
		}
	}
	requests := func(want int) {
		t.Helper()
		if got := idp.count(); got != want {
			t.Errorf("%d requests so far, want %d", got, want)
		}
	}
	try("one", true)
	before := idp.count()
	try("one", true)
	requests(before) // cached

	idp.publish(rsaJWK("two", &keyOther().PublicKey))
	try("two", true)
	requests(before + 2) // fetched again
	try("one", false)    // gone, and not asked for again so soon
	try("three", false)
	requests(before + 2)
	a.FastForward(11 * time.Second)
	try("three", false)
	requests(before + 4)

	// Without an unknown kid the old keys are used until they are too old.
	a.FastForward(4 * time.Minute)
	try("two", true)
	requests(before + 4)
	a.FastForward(time.Minute)
	try("two", true)
	requests(before + 6)

	// Cache-Control is heeded.
	idp.mu.Lock()
	idp.header = http.Header{"Cache-Control": {"no-cache"}}
	idp.mu.Unlock()
	a.FastForward(6 * time.Minute)
	try("two", true)
	try("two", true)
	requests(before + 10)
}

// TestNamesOfMembers: case tells the names of JSON members apart.
func TestNamesOfMembers(t *testing.T) {
	t.Parallel()
	a, idp := start(t, emulator.Config{MaxKeyAge: -1})
	idp.register()
	role := a.Role("R", idp.usual())
	issuer, keys := "https://"+idp.hostPath(), idp.URL+"/keys"
	const failed = 2 * time.Second // after which a failure is forgotten
	jwk := string(must(json.Marshal(rsaJWK("one", &keyOne().PublicKey))))
	for _, c := range []struct {
		discovery, jwks string // "" is the right one
		reason          string // "" is success
	}{
		{`{"Issuer":"` + issuer + `","JWKS_URI":"` + keys + `"}`, "", `its issuer is ""`},
		{`{"issuer":"` + issuer + `","JWKS_URI":"` + keys + `"}`, "", "has no jwks_uri"},
		{`{"issuer":"` + issuer + `","jwks_uri":"` + keys + `","ISSUER":"https://evil.example","Jwks_Uri":1}`, "", ""},
		{`{"issuer":1}`, "", `its issuer is ""`},
		{"", `{"KEYS":[` + jwk + `]}`, "the key set has no keys"},
		{"", `{"keys":{}}`, "the keys of the key set are not a list"},
		{"", `{"keys":[` + jwk + `],"KEYS":[]}`, ""},
	} {
		idp.mu.Lock()
		idp.discovery, idp.jwks = nil, map[string]any{"keys": []any{json.RawMessage(jwk)}}
		if c.discovery != "" {
			idp.discovery = json.RawMessage(c.discovery)
		}
		if c.jwks != "" {
			idp.jwks = json.RawMessage(c.jwks)
		}
		idp.mu.Unlock()
		a.FastForward(failed)
		_, err := assume(t, a, role, idp.token(idp.claims()))
		if c.reason == "" {
			if err != nil {
				t.Errorf("%s%s: %v; %s", c.discovery, c.jwks, err, a.LastDenial().Reason)
			}
			continue
		}
		refused(t, err, 400, "InvalidIdentityToken", noKey)
		if reason := a.LastDenial().Reason; !strings.Contains(reason, c.reason) {
			t.Errorf("%s%s: reason %q has no %q", c.discovery, c.jwks, reason, c.reason)
		}
	}

	// What is no claim of AWS's gives no tags, which the role would not allow.
	if _, err := assume(t, a, role, idp.token(idp.claims().with(claims{"https://aws.amazon.com/tags": map[string]any{
		"Principal_Tags": map[string]any{"team": []string{"blue"}}, "Transitive_Tag_Keys": []string{"other"}}}))); err != nil {
		t.Errorf("%v; %s", err, a.LastDenial().Reason)
	}
}

// TestRefetchFails: keys that may still be used survive a token for whose sake
// an issuer is asked in vain, and only that token is refused.
func TestRefetchFails(t *testing.T) {
	t.Parallel()
	a, idp := start(t, emulator.Config{})
	idp.register()
	role := a.Role("R", idp.usual())
	good := idp.token(idp.claims())
	bad := sign(t, map[string]any{"alg": "RS256", "kid": "zz"}, idp.claims(), keyOther())
	try := func(token, reason string, requests int) {
		t.Helper()
		before := idp.count()
		_, err := assume(t, a, role, token)
		if reason == "" && err != nil {
			t.Errorf("a good token is refused: %v", err)
		}
		if reason != "" {
			refused(t, err, 400, "InvalidIdentityToken", noKey)
			if got := a.LastDenial().Reason; !strings.Contains(got, reason) {
				t.Errorf("reason %q, want one with %q", got, reason)
			}
		}
		if got := idp.count() - before; got != requests {
			t.Errorf("%d requests, want %d", got, requests)
		}
	}
	try(good, "", 2)
	idp.mu.Lock()
	idp.status = 500
	idp.mu.Unlock()
	try(bad, "the answer is 500", 1)
	try(good, "", 0)
	try(bad, `key "zz"`, 0) // not asked for again so soon
	a.FastForward(11 * time.Second)
	try(bad, "the answer is 500", 1)
	try(good, "", 0)

	// Keys that are too old do not survive.
	a.FastForward(5 * time.Minute)
	try(bad, "the answer is 500", 1)
	try(good, "the answer is 500", 1)

	idp.mu.Lock()
	idp.status = 0
	idp.mu.Unlock()
	a.FastForward(2 * time.Second)
	try(good, "", 2)
}

// TestSingleFlight: of many who need keys at the same time one fetches.
func TestSingleFlight(t *testing.T) {
	t.Parallel()
	a, idp := start(t, emulator.Config{})
	idp.register()
	before := idp.count()
	idp.mu.Lock()
	idp.wait = 300 * time.Millisecond
	idp.mu.Unlock()
	role := a.Role("R", idp.usual())
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if _, err := assume(t, a, role, idp.token(idp.claims())); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got := idp.count() - before; got != 2 {
		t.Errorf("%d requests, want 2", got)
	}

	// So it is when a new key is needed.
	idp.publish(rsaJWK("two", &keyOther().PublicKey))
	before = idp.count()
	token := sign(t, map[string]any{"alg": "RS256", "kid": "two"}, idp.claims(), keyOther())
	for range 20 {
		wg.Go(func() {
			if _, err := assume(t, a, role, token); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got := idp.count() - before; got != 2 {
		t.Errorf("%d requests for a new key, want 2", got)
	}
}

// TestIssuerFails has an issuer fail in each way that STS tells apart.
func TestIssuerFails(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("waits for five seconds")
	}
	big := strings.Repeat("x", 1<<20+1)
	for _, c := range []struct {
		name   string
		change func(*idp)
		reason string
	}{
		{"down", func(i *idp) { i.Close() }, "connection refused"},
		{"slow", func(i *idp) { i.wait = 6 * time.Second }, "no answer within 5s"},
		{"500", func(i *idp) { i.status = 500 }, "the answer is 500 Internal Server Error"},
		{"404", func(i *idp) { i.status = 404 }, "the answer is 404 Not Found"},
		{"other issuer", func(i *idp) { i.discovery = map[string]any{"issuer": i.URL, "jwks_uri": i.URL + "/keys"} }, `says that its issuer is "https://127.0.0.1`},
		{"no jwks_uri", func(i *idp) { i.discovery = map[string]any{"issuer": i.URL + "/c1"} }, "has no jwks_uri"},
		{"jwks_uri over http", func(i *idp) {
			i.discovery = map[string]any{"issuer": i.URL + "/c1", "jwks_uri": "http://127.0.0.1/keys"}
		}, "is not an https URL"},
		{"key set is no JSON", func(i *idp) { i.jwks = "x" }, "the key set is not JSON"},
		{"large key set", func(i *idp) { i.jwks = big }, "longer than 1048576 bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			a, idp := start(t, emulator.Config{})
			idp.register()
			role := a.Role("R", idp.usual())
			token := idp.token(idp.claims())
			idp.mu.Lock()
			c.change(idp)
			idp.mu.Unlock()
			_, err := assume(t, a, role, token)
			refused(t, err, 400, "InvalidIdentityToken", noKey)
			event := a.LastDenial()
			if event.Step != "keys" || !strings.Contains(event.Reason, c.reason) {
				t.Errorf("step %q, reason %q, want one with %q", event.Step, event.Reason, c.reason)
			}
			if len(event.Fetches) == 0 {
				t.Error("the event has no fetches")
			}
		})
	}
}

func TestRedirects(t *testing.T) {
	t.Parallel()
	a, idp := start(t, emulator.Config{})
	hops := 0
	front := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/loop") {
			hops++
			http.Redirect(w, r, r.URL.Path, http.StatusFound)
			return
		}
		fmt.Fprintf(w, `{"issuer": %q, "jwks_uri": %q}`, "https://"+r.Host+strings.TrimSuffix(r.URL.Path, "/.well-known/openid-configuration"), idp.URL+"/keys")
	}))
	defer front.Close()
	for path, ok := range map[string]bool{"/ok": true, "/loop": false} {
		address := front.URL + path
		arn := "arn:aws:iam::000000000000:oidc-provider/" + strings.TrimPrefix(address, "https://")
		if _, err := iam.NewFromConfig(a.Config()).CreateOpenIDConnectProvider(t.Context(), &iam.CreateOpenIDConnectProviderInput{Url: &address, ClientIDList: []string{"sts.amazonaws.com"}}); err != nil {
			t.Fatal(err)
		}
		role := a.Role("R"+path[1:], document(map[string]any{"Effect": "Allow", "Principal": map[string]any{"Federated": arn}, "Action": "sts:AssumeRoleWithWebIdentity"}))
		hops = 0
		_, err := assume(t, a, role, idp.token(idp.claims().with(claims{"iss": address})))
		if ok && err != nil {
			t.Errorf("keys at another host: %v; %s", err, a.LastDenial().Reason)
		}
		if !ok {
			refused(t, err, 400, "InvalidIdentityToken", noKey)
			if hops != 6 || !strings.Contains(a.LastDenial().Reason, "more than 5 redirects") {
				t.Errorf("%d hops, %s", hops, a.LastDenial().Reason)
			}
		}
	}
}

// TestCertificates: issuers are trusted by configured roots or by thumbprint,
// and otherwise not.
func TestCertificates(t *testing.T) {
	t.Parallel()
	none := x509.NewCertPool()
	a, idp := start(t, emulator.Config{Roots: none})
	root := iam.NewFromConfig(a.Config())
	sum := sha1.Sum(idp.Certificate().Raw)
	right, wrong := hex.EncodeToString(sum[:]), strings.Repeat("0", 40)

	idp.register() // without a thumbprint, so IAM looks for it
	arn := idp.arn()
	got, err := root.GetOpenIDConnectProvider(t.Context(), &iam.GetOpenIDConnectProviderInput{OpenIDConnectProviderArn: &arn})
	if err != nil || len(got.ThumbprintList) != 1 || got.ThumbprintList[0] != right {
		t.Fatalf("thumbprints %v, %v; want %s", got.ThumbprintList, err, right)
	}
	role := a.Role("R", idp.usual())
	if _, err := assume(t, a, role, idp.token(idp.claims())); err != nil {
		t.Errorf("with the right thumbprint: %v; %s", err, a.LastDenial().Reason)
	}
	if _, err := root.UpdateOpenIDConnectProviderThumbprint(t.Context(), &iam.UpdateOpenIDConnectProviderThumbprintInput{OpenIDConnectProviderArn: &arn, ThumbprintList: []string{wrong}}); err != nil {
		t.Fatal(err)
	}
	_, err = assume(t, a, role, idp.token(idp.claims()))
	refused(t, err, 400, "InvalidIdentityToken", "OpenIDConnect provider's HTTPS certificate doesn't match configured thumbprint")
}

// TestStrict: what AWS could not reach is refused unless it is asked for.
func TestStrict(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		config        emulator.Config
		address, code string
		reason        string
	}{
		{emulator.Config{Strict: true}, "https://127.0.0.1", "OpenIdIdpCommunicationError", "AWS cannot reach 127.0.0.1"},
		{emulator.Config{}, "https://127.0.0.1", "", "AWS cannot reach 127.0.0.1"},
		{emulator.Config{}, "https://10.1.2.3/x", "", "AWS cannot reach 10.1.2.3"},
		{emulator.Config{}, "https://100.64.0.1", "", "AWS cannot reach 100.64.0.1"},
		{emulator.Config{}, "https://[fd00::1]", "", "AWS cannot reach fd00::1"},
		{emulator.Config{}, "https://[::ffff:169.254.169.254]", "", "AWS cannot reach 169.254.169.254"},
		{emulator.Config{}, "https://127.0.0.1:8443", "InvalidInput", ""},
	} {
		server, err := emulator.New(c.config)
		if err != nil {
			t.Fatal(err)
		}
		web := httptest.NewServer(server)
		body := call(t, web.URL, "iam", "test", "test", form("Action", "CreateOpenIDConnectProvider", "Version", "2010-05-08", "Url", c.address))
		web.Close()
		if c.code == "" && !strings.Contains(body, "<OpenIDConnectProviderArn>") || c.code != "" && !strings.Contains(body, "<Code>"+c.code+"</Code>") {
			t.Errorf("%s: %s", c.address, body)
		}
		if c.reason == "" {
			continue
		}
		events := server.Events(emulator.EventFilter{Action: "CreateOpenIDConnectProvider"})
		last := events[len(events)-1]
		if text := last.Reason + strings.Join(last.Warnings, ""); !strings.Contains(text, c.reason) {
			t.Errorf("%s: event %q has no %q", c.address, text, c.reason)
		}
	}
}

// TestAlgorithms: STS takes six algorithms, signed here by another library.
func TestAlgorithms(t *testing.T) {
	t.Parallel()
	a, idp := start(t, emulator.Config{})
	idp.register()
	role := a.Role("R", idp.usual())
	secret := []byte(strings.Repeat("s", 64))
	p384, p521 := must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader)), must(ecdsa.GenerateKey(elliptic.P521(), rand.Reader))
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	var set []map[string]any
	for kid, key := range map[string]any{"rsa": keyOne().Public(), "p256": keyEC().Public(), "p384": p384.Public(), "p521": p521.Public(), "ed": ed.Public(), "oct": secret} {
		b, err := jose.JSONWebKey{Key: key, KeyID: kid}.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		var jwk map[string]any
		if err := json.Unmarshal(b, &jwk); err != nil {
			t.Fatal(err)
		}
		set = append(set, jwk)
	}
	idp.publish(set...)
	body, _ := json.Marshal(idp.claims())
	for _, c := range []struct {
		alg jose.SignatureAlgorithm
		kid string
		key any
		ok  bool
	}{
		{jose.RS256, "rsa", keyOne(), true},
		{jose.RS384, "rsa", keyOne(), true},
		{jose.RS512, "rsa", keyOne(), true},
		{jose.ES256, "p256", keyEC(), true},
		{jose.ES384, "p384", p384, true},
		{jose.ES512, "p521", p521, true},
		{jose.PS256, "rsa", keyOne(), false},
		{jose.EdDSA, "ed", ed, false},
		{jose.HS256, "oct", secret, false},
		{jose.ES256, "p384", keyEC(), false}, // the kid of a key on another curve
	} {
		signer, err := jose.NewSigner(jose.SigningKey{Algorithm: c.alg, Key: jose.JSONWebKey{Key: c.key, KeyID: c.kid}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		jws, err := signer.Sign(body)
		if err != nil {
			t.Fatal(err)
		}
		token, err := jws.CompactSerialize()
		if err != nil {
			t.Fatal(err)
		}
		_, err = assume(t, a, role, token)
		switch {
		case c.ok && err != nil:
			t.Errorf("%s: %v; %s", c.alg, err, a.LastDenial().Reason)
		case !c.ok && c.kid == "p384":
			refused(t, err, 400, "InvalidIdentityToken", notValidated)
		case !c.ok:
			refused(t, err, 400, "InvalidIdentityToken", notJWT)
		}
		if c.alg == jose.RS256 || c.alg == jose.ES512 { // any change breaks it
			for _, i := range []int{len(token) / 2, len(token) - 3} {
				b := []byte(token)
				if b[i]++; b[i] == '[' || b[i] == '{' || b[i] == ':' {
					b[i] = 'A'
				}
				if _, err := assume(t, a, role, string(b)); err == nil {
					t.Errorf("%s: accepted with byte %d changed", c.alg, i)
				}
			}
		}
	}
}
