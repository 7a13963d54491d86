package keys_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/openirsa/openirsa/pkg/keys"
)

const apiserver = "testdata/kube-apiserver-1.37/"

func read(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The set made of the key files equals the one that a real kube-apiserver made
// of them: ids, algorithms, members and their order.
func TestSetIsWhatTheAPIServerServes(t *testing.T) {
	served := read(t, apiserver+"jwks.json")
	var all []keys.Public
	for _, name := range []string{"rsa", "p256", "p384", "p521"} {
		public, err := keys.ParsePEM(read(t, apiserver+name+".pub"))
		if err != nil || len(public) != 1 {
			t.Fatalf("%s: %d keys, %v", name, len(public), err)
		}
		all = append(all, public...)
	}
	set, err := keys.NewSet(all...)
	if err != nil {
		t.Fatal(err)
	}
	copied, err := keys.ParseJWKS(served)
	if err != nil {
		t.Fatal(err)
	}
	if !set.Equal(copied) {
		t.Errorf("keys of the files %s\nkeys served       %s", set.JWKS(), copied.JWKS())
	}
	// The API server keeps the order of its flags; ours is by id.
	var ours, theirs struct{ Keys []json.RawMessage }
	if err := errors.Join(json.Unmarshal(set.JWKS(), &ours), json.Unmarshal(served, &theirs)); err != nil {
		t.Fatal(err)
	}
	sorted := func(raw []json.RawMessage) (lines []string) {
		for _, r := range raw {
			lines = append(lines, string(r))
		}
		slices.Sort(lines)
		return lines
	}
	if got, want := sorted(ours.Keys), sorted(theirs.Keys); !slices.Equal(got, want) {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got, want := set.Algorithms(), []string{"ES256", "ES384", "ES512", "RS256"}; !slices.Equal(got, want) {
		t.Errorf("algorithms %v, want %v", got, want)
	}
}

func TestJWKSIsStable(t *testing.T) {
	copied, err := keys.ParseJWKS(read(t, apiserver+"jwks.json"))
	if err != nil {
		t.Fatal(err)
	}
	reversed := slices.Clone(copied.All())
	slices.Reverse(reversed)
	again, err := keys.NewSet(append(reversed, reversed...)...)
	if err != nil || string(again.JWKS()) != string(copied.JWKS()) {
		t.Errorf("another order gives other bytes, or an error: %v", err)
	}
	for _, key := range copied.All() {
		if found, ok := copied.Lookup(key.KID); !ok || !found.Equal(key) {
			t.Errorf("Lookup(%q) = %v, %v", key.KID, found, ok)
		}
	}
	if _, ok := copied.Lookup("nope"); ok {
		t.Error("an unknown id was found")
	}
}

func TestGenerateWriteRead(t *testing.T) {
	for _, alg := range []string{keys.RS256, keys.ES256, keys.ES384, keys.ES512} {
		private, err := keys.Generate(alg)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "sa.key")
		if err := keys.WritePrivate(path, private); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("mode %v, %v", info.Mode(), err)
		}
		back, err := keys.ReadPrivate(path)
		if err != nil || !back.Public().Equal(private.Public()) || back.Public().Algorithm != alg {
			t.Errorf("%s: read %v, %v", alg, back, err)
		}
		if err := keys.WritePrivate(path, private); !errors.Is(err, fs.ErrExist) {
			t.Errorf("writing over a key: %v", err)
		}
		if err := os.Chmod(path, 0o640); err != nil {
			t.Fatal(err)
		}
		if _, err := keys.ReadPrivate(path); err == nil || !strings.Contains(err.Error(), "chmod 600") {
			t.Errorf("a key that others can read: %v", err)
		}
		public, err := back.Public().PEM()
		if err != nil {
			t.Fatal(err)
		}
		if parsed, err := keys.ParsePEM(public); err != nil || !parsed[0].Equal(back.Public()) {
			t.Errorf("public PEM: %v", err)
		}
		for _, printed := range []string{fmt.Sprint(private), fmt.Sprintf("%+v", private), fmt.Sprintf("%#v", private)} {
			if printed != "private key "+private.Public().KID {
				t.Errorf("a private key prints as %q", printed)
			}
		}
	}
	if _, err := keys.Generate("HS256"); err == nil {
		t.Error("HS256 was accepted")
	}
}

func TestUnsupportedKeys(t *testing.T) {
	_, edPrivate, _ := ed25519.GenerateKey(rand.Reader)
	p224, _ := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []any{edPrivate.Public(), p224.Public(), small.Public(), "text", nil} {
		if p, err := keys.NewPublic(key); !errors.Is(err, keys.ErrUnsupported) || p != (keys.Public{}) {
			t.Errorf("NewPublic(%T) = %v, %v", key, p, err)
		}
	}
}

// Each file of testdata/jwks is named for its defect and holds what the error
// must contain in its first line.
func TestParseJWKSRejects(t *testing.T) {
	files, err := filepath.Glob("testdata/jwks/*.txt")
	if err != nil || len(files) < 15 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		why, body, _ := strings.Cut(string(read(t, file)), "\n")
		set, err := keys.ParseJWKS([]byte(body))
		if err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: error %v, want one with %q", file, err, why)
		}
		if set.Len() != 0 {
			t.Errorf("%s: a set beside an error", file)
		}
		if strings.Contains(fmt.Sprint(err), "SECRET") {
			t.Errorf("%s: the error repeats a secret: %v", file, err)
		}
	}
	if _, err := keys.ParseJWKS([]byte(`{"keys":[` + strings.Repeat(" ", keys.MaxJWKSBytes) + `]}`)); err == nil {
		t.Error("a huge set was read")
	}
}

// A key that STS does not use is left out, and does not hide the others: AWS's own
// guide to self-hosted clusters publishes each key once more without an id.
func TestParseJWKSAsSTSDoes(t *testing.T) {
	served := read(t, apiserver+"jwks.json")
	good, err := keys.ParseJWKS(served)
	if err != nil {
		t.Fatal(err)
	}
	var doc struct{ Keys []json.RawMessage }
	if err := json.Unmarshal(served, &doc); err != nil {
		t.Fatal(err)
	}
	first := string(doc.Keys[0])
	edit := func(old, new string) string {
		t.Helper()
		changed := strings.Replace(first, old, new, 1)
		if changed == first {
			t.Fatalf("%s has no %s", first, old)
		}
		return changed
	}
	kid := good.All()[slices.IndexFunc(good.All(), func(k keys.Public) bool { return strings.Contains(first, k.KID) })].KID
	for odd, why := range map[string]string{
		edit(`"kid":"`+kid+`"`, `"kid":""`):   `no "kid"`,
		edit(`"kid":"`+kid+`",`, ``):          `no "kid"`,
		edit(`"kid":"`+kid+`"`, `"KID":"k2"`): `no "kid"`,
		edit(`"use":"sig"`, `"use":"enc"`):    `not "sig"`,
		edit(`{`, `{"kid":"twice",`):          "twice",
		`{"kty":"OKP","crv":"Ed25519","kid":"a","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`: "not a key that AWS STS can verify",
		`{"kty":"RSA","kid":"a","n":"AQAB","e":"AQAB"}`:                                             "not a key that AWS STS can verify",
		`{"kty":"RSA","kid":"a","n":"%%%","e":"AQAB"}`:                                              "not a valid RSA key",
		`"a"`:  "not a JSON object",
		`null`: "not a JSON object",
		`{}`:   `no "kid"`,
	} {
		for _, list := range []string{odd + "," + first, first + "," + odd} {
			set, err := keys.ParseJWKS([]byte(`{"keys":[` + list + `]}`))
			if err != nil || set.Len() != 1 || set.All()[0].KID != kid {
				t.Errorf("beside %s: %d keys, %v", odd, set.Len(), err)
				continue
			}
			if o := set.Omitted(); len(o) != 1 || !strings.Contains(o[0].String(), why) {
				t.Errorf("%s: %v, want %q", odd, o, why)
			}
		}
		if set, err := keys.ParseJWKS([]byte(`{"keys":[` + odd + `]}`)); err == nil || !strings.Contains(err.Error(), why) || set.Len() != 0 {
			t.Errorf("%s alone: %v", odd, err)
		}
	}
	for _, private := range []string{`{"kty":"oct","kid":"a","k":"SECRET"}`, `{"d":"SECRET","kid":"a","kid":"b"}`, `{"p":"SECRET"}`} {
		if _, err := keys.ParseJWKS([]byte(`{"keys":[` + first + "," + private + `]}`)); !errors.Is(err, keys.ErrPrivate) || strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%s: %v", private, err)
		}
	}
	// The alg of a key does not matter, and of two keys under an id the later counts.
	for _, alg := range []string{"none", "ES256", "PS256", "HS256"} {
		set, err := keys.ParseJWKS([]byte(`{"keys":[` + edit(`"alg":"RS256"`, `"alg":"`+alg+`"`) + `]}`))
		if key, ok := set.Lookup(kid); err != nil || !ok || key.Algorithm != keys.RS256 {
			t.Errorf("alg %s: %v, %v", alg, key.Algorithm, err)
		}
	}
	second := good.All()[slices.IndexFunc(good.All(), func(k keys.Public) bool { return k.Algorithm == keys.ES384 })]
	second.KID = kid
	clash, err := keys.NewSet(second)
	if err != nil {
		t.Fatal(err)
	}
	var later struct{ Keys []json.RawMessage }
	if err := json.Unmarshal(clash.JWKS(), &later); err != nil {
		t.Fatal(err)
	}
	set, err := keys.ParseJWKS([]byte(`{"keys":[` + first + "," + string(later.Keys[0]) + `]}`))
	if key, ok := set.Find(kid); err != nil || !ok || !key.Equal(second) {
		t.Errorf("two keys under one id: %v, %v", key.Algorithm, err)
	}
	if key, ok := set.Find(""); !ok || !key.Equal(second) {
		t.Error("a token without a kid does not find the only key")
	}
	if _, ok := good.Find(""); ok {
		t.Error("a token without a kid has found one of several keys")
	}
}

func TestNewSetRejects(t *testing.T) {
	a, _ := keys.Generate(keys.ES256)
	b, _ := keys.Generate(keys.ES256)
	clash := b.Public()
	clash.KID = a.Public().KID
	if _, err := keys.NewSet(a.Public(), clash); err == nil {
		t.Error("two keys under one id were accepted")
	}
	var many []keys.Public
	for i := range keys.MaxKeys + 1 {
		key := a.Public()
		key.KID = fmt.Sprint(i)
		many = append(many, key)
	}
	if _, err := keys.NewSet(many...); err == nil {
		t.Error("101 keys were accepted")
	}
	if _, err := keys.NewSet(many[1:]...); err != nil {
		t.Errorf("100 keys: %v", err)
	}
}

func TestParsePEMRejects(t *testing.T) {
	reject := func(data, why string) {
		t.Helper()
		if _, err := keys.ParsePEM([]byte(data)); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("error %v, want one with %q", err, why)
		}
	}
	reject("", "no PEM block")
	reject("-----BEGIN X-----\nAAAA\n-----END X-----\n", "no PEM block")
	reject("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "PEM block 1 (PUBLIC KEY)")
	rsa, p256 := string(read(t, apiserver+"rsa.pub")), string(read(t, apiserver+"p256.pub"))
	reject(rsa+p256[:len("-----BEG")], "PEM block 2 is malformed")
	for _, broken := range []string{
		p256[:len(p256)-30],
		p256[:len(p256)-len("\n-----END PUBLIC KEY-----\n")],
		strings.Replace(p256, "M", "*", 1),
		strings.Replace(p256, "-----BEGIN", "----BEGIN", 1),
		strings.Replace(p256, "END PUBLIC", "END RSA PUBLIC", 1),
		" " + p256,
		"\ufeff" + p256,
		strings.TrimSpace(p256) + p256, // two files without a newline between
	} {
		reject(broken, "PEM block 1 is malformed")
		reject(rsa+broken, "PEM block 2 is malformed")
		if _, err := keys.ParsePEM([]byte(broken + "\n" + rsa)); err == nil {
			t.Errorf("%q before a key was passed over", broken)
		}
	}
	if _, err := keys.ParsePrivatePEM(read(t, apiserver+"rsa.pub")); err == nil {
		t.Error("a public key was taken for a private one")
	}
}

// kube-apiserver takes all of these: k8s.io/client-go/util/keyutil.
func TestParsePEMPassesOver(t *testing.T) {
	rsa, p256 := string(read(t, apiserver+"rsa.pub")), string(read(t, apiserver+"p256.pub"))
	comment := "# the key before, made with -----BEGIN:\n# " + strings.ReplaceAll(strings.TrimSpace(p256), "\n", "\n# ") + "\n"
	for _, file := range []string{
		rsa + p256,
		strings.TrimSpace(rsa + p256),
		strings.ReplaceAll(rsa+p256, "\n", "\r\n"),
		strings.ReplaceAll(rsa+p256, "KEY-----\n", "KEY----- \n"),
		"\n\nkey 1 -----\n" + rsa + "subject=CN = sa\n---\n" + p256 + "the end\n-----\n",
		comment + rsa + comment + p256 + comment,
		"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n" + rsa + p256,
	} {
		if public, err := keys.ParsePEM([]byte(file)); err != nil || len(public) != 2 {
			t.Errorf("%d keys, %v, want 2 of\n%s", len(public), err, file)
		}
	}
}

// What parses, parses again from its own bytes to the same set; what does not,
// leaves nothing.
func FuzzParseJWKS(f *testing.F) {
	f.Add(read(f, apiserver+"jwks.json"))
	f.Add([]byte(`{"keys":[]}`))
	f.Add([]byte(`{"keys":[{"kty":"RSA","kid":"a","n":"AQAB","e":"AQAB"}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		set, err := keys.ParseJWKS(body)
		if err != nil {
			if set.Len() != 0 {
				t.Fatal("a set beside an error")
			}
			return
		}
		again, err := keys.ParseJWKS(set.JWKS())
		if err != nil || !again.Equal(set) {
			t.Fatalf("round trip: %v", err)
		}
	})
}
