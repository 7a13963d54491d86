package emulator

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
)

// FuzzQuery: what is a form for net/url is the same form here, and every
// answer is well-formed XML.
func FuzzQuery(f *testing.F) {
	for _, seed := range []string{
		"", "Action=ListGroups&Version=2010-05-08", "a=%2", "a=%zz", "%61=b", "a=1&a=2", "a+b=c+d", "&&=&",
		"Action=CreateRole&Version=2010-05-08&Tags.member.1.Key=k&Tags.member.01.Value=v&Tags.member.-1.Key=x",
		"Action=AssumeRoleWithWebIdentity&Version=2011-06-15&PolicyArns.member.99999999999999999999.arn=x",
		"Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=<&RoleSessionName=\x01&WebIdentityToken=\xff",
	} {
		f.Add(seed)
	}
	server, err := New(Config{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, form string) {
		got, e := wire.ParseParams(form)
		if want, err := url.ParseQuery(form); err == nil && e == nil {
			for name, values := range want {
				if got[name] != values[len(values)-1] {
					t.Errorf("%q is %q, want %q", name, got[name], values[len(values)-1])
				}
			}
			if len(got) != len(want) {
				t.Errorf("%d parameters, want %d", len(got), len(want))
			}
		} else if err != nil && e == nil && !strings.Contains(form, ";") {
			t.Errorf("%q is a form here, but not for net/url: %v", form, err)
		}
		in := &wire.Input{Params: got}
		in.Tags("Tags", 50)
		in.Texts("ClientIDList", false, 100, wire.Rule{})
		in.Number("DurationSeconds", 1, 2, 3)
		in.Err()

		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(form))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		server.ServeHTTP(w, r)
		if w.Code == http.StatusOK {
			t.Errorf("an unsigned form was accepted: %s", w.Body)
		}
		for d := xml.NewDecoder(w.Body); ; {
			if _, err := d.Token(); err == io.EOF {
				break
			} else if err != nil {
				t.Fatalf("the answer is not XML: %v", err)
			}
		}
	})
}

// FuzzToken: no token is accepted that the key did not sign, whatever header
// and claims it has; and what parses has all that is required.
func FuzzToken(f *testing.F) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		f.Fatal(err)
	}
	set, err := parseKeySet([]byte(`{"keys":[{"kty":"RSA","kid":"k","n":"` + base64.RawURLEncoding.EncodeToString(key.N.Bytes()) +
		`","e":"` + base64.RawURLEncoding.EncodeToString(big.NewInt(int64(key.E)).Bytes()) + `"}]}`))
	if err != nil {
		f.Fatal(err)
	}
	now := time.Unix(2_000_000_000, 0)
	f.Add(`{"alg":"RS256","kid":"k"}`, `{"iss":"https://i","sub":"s","aud":["a"],"exp":2000000000,"iat":2000000000}`, []byte{1})
	f.Add(`{"alg":"none"}`, `{"iss":1,"sub":2,"aud":3,"exp":"x","iat":null}`, []byte{})
	f.Add(`{"alg":"ES256","kid":"k","crit":[]}`, `{"https://aws.amazon.com/tags":{"principal_tags":{"a":["b"]}},"https://aws.amazon.com/roles":"a;b"}`, make([]byte, 64))
	f.Add(`{"alg":"RS256"}`, `{"iss":"https://i","sub":1e400,"aud":"a","exp":"2000000000","iat":2000000000,"amr":"x","azp":null,"https://aws.amazon.com/tags/principal_tags/k":"v"}`, make([]byte, 256))
	var headers tokenHeaders
	f.Fuzz(func(t *testing.T, header, claims string, signature []byte) {
		enc := base64.RawURLEncoding
		raw := enc.EncodeToString([]byte(header)) + "." + enc.EncodeToString([]byte(claims)) + "." + enc.EncodeToString(signature)
		token, fault := headers.parseToken(raw, now, time.Minute)
		if fault != nil {
			if fault.answer == nil || fault.why == "" || fault.step == "" {
				t.Fatalf("fault without an answer: %+v", fault)
			}
			return
		}
		if len(token.audience) == 0 || token.expiry < now.Add(-time.Minute).Unix() || token.issued > now.Add(time.Minute).Unix() || token.method.hash == 0 {
			t.Fatalf("accepted %q %q: %+v", header, claims, token)
		}
		token.clientID()
		if fault := token.verifyWith(set, &provider{URL: "i"}); fault == nil {
			t.Fatalf("%q %q is verified, and nobody signed it", header, claims)
		}
	})
}

// FuzzKeySet: whatever an issuer publishes is read or left out.
func FuzzKeySet(f *testing.F) {
	f.Add([]byte(`{"keys":[{"kty":"RSA","kid":"k","n":"AQAB","e":"AQAB"},{"kty":"EC","kid":"e","crv":"P-256","x":"AA","y":"AA"}]}`))
	f.Add([]byte(`{"keys":[{"kty":"RSA","kid":"k","x5c":["AA"],"key_ops":1,"use":{}},null,1,[]]}`))
	f.Add([]byte(`{"keys":{}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		set, err := parseKeySet(body)
		if err != nil {
			return
		}
		var doc map[string]json.RawMessage
		var list []json.RawMessage
		if json.Unmarshal(body, &doc) != nil || json.Unmarshal(doc["keys"], &list) != nil || len(set.keys)+len(set.left) > len(list)+1 {
			t.Fatalf("%d keys of %d", len(set.keys), len(list))
		}
		for kid, key := range set.keys {
			if kid == "" || key.rsa == nil && key.ecdsa == nil {
				t.Fatalf("key %q: %+v", kid, key)
			}
			token := &webToken{tokenHeader: tokenHeader{alg: "RS256", kid: kid, method: signings["RS256"]}, signed: "a.b", signature: make([]byte, 256)}
			if token.verify(key) == nil {
				t.Fatal("a signature of zeroes verifies")
			}
		}
	})
}

// FuzzProviderURL: a URL that is taken is found again by the issuer it makes.
func FuzzProviderURL(f *testing.F) {
	for _, seed := range []string{"https://i.example/c1", "https://i:443", "https://[::1]:443/x", "http://x", "https://x?y", "https://a@b", "https://x/%zz", "HTTPS://x"} {
		f.Add(seed)
	}
	s := &Server{front: &front{}}
	f.Fuzz(func(t *testing.T, raw string) {
		u, e := s.providerURL(raw)
		if e != nil {
			if u != "" {
				t.Errorf("%q is refused and is %q", raw, u)
			}
			return
		}
		again, e := s.providerURL("https://" + u)
		if e != nil || again != u {
			t.Errorf("%q is %q, and that is %q, %v", raw, u, again, e)
		}
	})
}
