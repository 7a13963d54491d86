package token_test

import (
	"encoding/base64"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/openirsa/openirsa/pkg/irsa"
	"github.com/openirsa/openirsa/pkg/issuer"
	"github.com/openirsa/openirsa/pkg/keys"
	"github.com/openirsa/openirsa/pkg/token"
)

// What a real kube-apiserver signed; see the README there.
const apiserver = "../keys/testdata/kube-apiserver-1.37/"

func read(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile(apiserver + name)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

func parse(t testing.TB, s string) issuer.URL {
	t.Helper()
	u, err := issuer.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func at(t time.Time) func() time.Time { return func() time.Time { return t } }

func TestVerifyTokensOfARealAPIServer(t *testing.T) {
	set, err := keys.ParseJWKS([]byte(read(t, "jwks.json")))
	if err != nil {
		t.Fatal(err)
	}
	noon := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	want := token.Want{Issuer: parse(t, "https://oidc.example.com/c1"), Audience: irsa.Audience, Now: at(noon)}
	for _, name := range []string{"rsa", "p256", "p384", "p521"} {
		claims, err := token.Verify(read(t, name+".jwt"), set, want)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if claims.Subject != token.Subject("default", "app") || claims.Kubernetes.ServiceAccount.Name != "app" ||
			claims.Expiry-claims.IssuedAt != 86400 {
			t.Errorf("%s: claims %+v", name, claims)
		}
	}

	raw := read(t, "rsa.jwt")
	reject := func(name, raw string, set keys.Set, want token.Want, cause error) {
		t.Helper()
		claims, err := token.Verify(raw, set, want)
		if err == nil || cause != nil && !errors.Is(err, cause) {
			t.Errorf("%s: error %v, want %v", name, err, cause)
		}
		if !cmp.Equal(claims, token.Claims{}) {
			t.Errorf("%s: claims beside an error", name)
		}
		if _, _, sig := split(raw); err != nil && sig != "" && strings.Contains(err.Error(), sig) {
			t.Errorf("%s: the error repeats the token", name)
		}
	}
	other := want
	other.Issuer = parse(t, "https://oidc.example.com/c2")
	reject("issuer", raw, set, other, token.ErrIssuer)
	other = want
	other.Audience = "sts.amazonaws.com.cn"
	reject("audience", raw, set, other, token.ErrAudience)
	other = want
	other.Now = at(noon.Add(48 * time.Hour))
	reject("expired", raw, set, other, token.ErrExpired)
	other.Now = at(noon.Add(-48 * time.Hour))
	reject("early", raw, set, other, token.ErrNotYet)
	reject("no key", raw, keys.Set{}, want, token.ErrNoKey)

	header, payload, signature := split(raw)
	reject("payload", header+"."+strings.Replace(payload, "Q", "R", 1)+"."+signature, set, want, nil)
	reject("signature", header+"."+payload+"."+strings.ToUpper(signature), set, want, token.ErrSignature)
	reject("no signature", header+"."+payload+".", set, want, token.ErrSignature)
	enc := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	rsaKID := set.All()[slices.IndexFunc(set.All(), func(k keys.Public) bool { return k.Algorithm == keys.RS256 })].KID
	reject("alg none", enc(`{"alg":"none","kid":"`+rsaKID+`"}`)+"."+payload+".", set, want, token.ErrSignature)
	reject("alg HS256", enc(`{"alg":"HS256","kid":"`+rsaKID+`"}`)+"."+payload+"."+signature, set, want, token.ErrSignature)
	reject("alg of another key", enc(`{"alg":"ES256","kid":"`+rsaKID+`"}`)+"."+payload+"."+signature, set, want, token.ErrSignature)
}

func split(raw string) (header, payload, signature string) {
	parts := strings.Split(raw, ".")
	return parts[0], parts[1], parts[2]
}

// A minted token has the header and the members of kube-apiserver's.
func TestMintAsTheAPIServer(t *testing.T) {
	for _, alg := range []string{keys.RS256, keys.ES256, keys.ES384, keys.ES512} {
		key, err := keys.Generate(alg)
		if err != nil {
			t.Fatal(err)
		}
		real := read(t, map[string]string{keys.RS256: "rsa", keys.ES256: "p256", keys.ES384: "p384", keys.ES512: "p521"}[alg]+".jwt")
		realHeader, realClaims, err := token.ParseInsecure(real)
		if err != nil {
			t.Fatal(err)
		}
		minted, err := token.Mint(key, realClaims)
		if err != nil {
			t.Fatal(err)
		}
		header, claims, err := token.ParseInsecure(minted)
		if err != nil || header.Algorithm != realHeader.Algorithm || !cmp.Equal(claims, realClaims) {
			t.Errorf("%s: header %+v, claims differ: %s, %v", alg, header, cmp.Diff(realClaims, claims), err)
		}
		// The members are the same; kube-apiserver sorts them by name.
		_, realPayload, _ := split(real)
		_, payload, _ := split(minted)
		if len(decoded(t, payload)) != len(decoded(t, realPayload)) {
			t.Errorf("payload %s\nwant    %s", decoded(t, payload), decoded(t, realPayload))
		}
		set, err := keys.NewSet(key.Public())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := token.Verify(minted, set, token.Want{Issuer: parse(t, claims.Issuer), Audience: irsa.Audience, Now: at(claims.IssuedAt.Time())}); err != nil {
			t.Errorf("%s: %v", alg, err)
		}
	}
}

func decoded(t *testing.T, part string) string {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func FuzzParseInsecure(f *testing.F) {
	f.Add(read(f, "rsa.jwt"))
	f.Add("e30.eyJhdWQiOiJhIiwiZXhwIjoxLjV9.")
	f.Fuzz(func(t *testing.T, raw string) {
		header, claims, err := token.ParseInsecure(raw)
		if err != nil && (header != (token.Header{}) || !cmp.Equal(claims, token.Claims{})) {
			t.Fatal("values beside an error")
		}
	})
}
