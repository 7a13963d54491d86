package discovery_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openirsa/openirsa/pkg/discovery"
	"github.com/openirsa/openirsa/pkg/issuer"
	"github.com/openirsa/openirsa/pkg/keys"
)

const apiserver = "../keys/testdata/kube-apiserver-1.37/"

func realSet(t testing.TB) keys.Set {
	t.Helper()
	body, err := os.ReadFile(apiserver + "jwks.json")
	if err != nil {
		t.Fatal(err)
	}
	set, err := keys.ParseJWKS(body)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func parse(t testing.TB, s string) issuer.URL {
	t.Helper()
	u, err := issuer.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestDocuments(t *testing.T) {
	iss := parse(t, "https://oidc.example.com/c1")
	docs, err := discovery.Documents(iss, realSet(t))
	if err != nil {
		t.Fatal(err)
	}
	want := `{"issuer":"https://oidc.example.com/c1","jwks_uri":"https://oidc.example.com/c1/openid/v1/jwks",` +
		`"authorization_endpoint":"urn:kubernetes:programmatic_authorization","response_types_supported":["id_token"],` +
		`"subject_types_supported":["public"],"id_token_signing_alg_values_supported":["ES256","ES384","ES512","RS256"],"claims_supported":["sub","iss"]}`
	if len(docs) != 2 || docs[0].Path != "/openid/v1/jwks" || docs[1].Path != "/.well-known/openid-configuration" {
		t.Fatalf("documents %+v", docs)
	}
	if got := string(docs[1].Body); got != want {
		t.Errorf("discovery\n%s\nwant\n%s", got, want)
	}
	if docs[0].ContentType != "application/jwk-set+json" || docs[1].ContentType != "application/json" {
		t.Errorf("content types %q, %q", docs[0].ContentType, docs[1].ContentType)
	}

	// A real API server with this issuer says the same, less what only the
	// specification asks for.
	served, err := os.ReadFile(apiserver + "discovery.json")
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := discovery.ParseConfiguration(served)
	if err != nil {
		t.Fatal(err)
	}
	ours, err := discovery.ParseConfiguration(docs[1].Body)
	if err != nil {
		t.Fatal(err)
	}
	ours.AuthorizationEndpoint, ours.Claims = "", nil
	if diff := cmp.Diff(theirs, ours); diff != "" {
		t.Errorf("differs from kube-apiserver's (-theirs +ours):\n%s", diff)
	}

	if _, err := discovery.Documents(iss, keys.Set{}); err == nil {
		t.Error("a set without keys was accepted")
	}
	if _, err := discovery.Documents(issuer.URL{}, realSet(t)); err == nil {
		t.Error("documents of no issuer")
	}
}

// server serves documents and returns their issuer and a client that trusts it.
func server(t *testing.T, handler func(http.ResponseWriter, *http.Request)) (issuer.URL, discovery.Get) {
	t.Helper()
	s := httptest.NewTLSServer(http.HandlerFunc(handler))
	t.Cleanup(s.Close)
	return parse(t, s.URL), discovery.HTTP(s.Client())
}

func TestCheckAndRead(t *testing.T) {
	set := realSet(t)
	type response struct {
		status            int
		contentType, body string
	}
	check := func(name string, change func(map[string]response), why string) {
		t.Helper()
		answers := map[string]response{}
		iss, get := server(t, func(w http.ResponseWriter, r *http.Request) {
			a, ok := answers[r.URL.Path]
			if !ok {
				http.NotFound(w, r)
				return
			}
			if a.status/100 == 3 {
				http.Redirect(w, r, "/elsewhere", a.status)
				return
			}
			w.Header().Set("Content-Type", a.contentType)
			w.WriteHeader(a.status)
			w.Write([]byte(a.body))
		})
		docs, err := discovery.Documents(iss, set)
		if err != nil {
			t.Fatal(err)
		}
		for _, doc := range docs {
			answers[doc.Path] = response{200, doc.ContentType, string(doc.Body)}
		}
		answers["/elsewhere"] = answers[issuer.DiscoveryPath]
		change(answers)
		err = discovery.Check(t.Context(), get, iss, docs)
		if why == "" {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if _, read, err := discovery.Read(t.Context(), get, iss); err != nil || !read.Equal(set) {
				t.Errorf("%s: Read: %v", name, err)
			}
			return
		}
		if err == nil || !strings.Contains(err.Error(), why) || !strings.Contains(err.Error(), iss.Host()) {
			t.Errorf("%s: error %v, want one with %q and the URL", name, err, why)
		}
	}
	edit := func(path string, f func(*response)) func(map[string]response) {
		return func(m map[string]response) { r := m[path]; f(&r); m[path] = r }
	}
	check("right", func(map[string]response) {}, "")
	check("charset", edit(issuer.DiscoveryPath, func(r *response) { r.contentType += "; charset=utf-8" }), "")
	check("missing", func(m map[string]response) { delete(m, issuer.JWKSPath) }, "404 Not Found")
	check("private", edit(issuer.DiscoveryPath, func(r *response) { r.status = 403 }), "403 Forbidden")
	check("redirect", edit(issuer.DiscoveryPath, func(r *response) { r.status = 302 }), "302 Found to /elsewhere")
	check("stale", edit(issuer.JWKSPath, func(r *response) { r.body = `{"keys":[]}` }), "other content")
	check("content type", edit(issuer.JWKSPath, func(r *response) { r.contentType = "binary/octet-stream" }), `"binary/octet-stream", expected "application/jwk-set+json"`)
	check("huge", edit(issuer.JWKSPath, func(r *response) { r.body = strings.Repeat(" ", 1<<20+1) }), "larger than")
}

func TestReadRejects(t *testing.T) {
	reject := func(config, jwks, why string) {
		t.Helper()
		get := func(_ context.Context, _ issuer.URL, path string) (string, []byte, error) {
			if path == issuer.JWKSPath {
				return "", []byte(jwks), nil
			}
			return "", []byte(config), nil
		}
		_, set, err := discovery.Read(t.Context(), get, parse(t, "https://i.example/c1"))
		if err == nil || !strings.Contains(err.Error(), why) || set.Len() != 0 {
			t.Errorf("error %v, want one with %q", err, why)
		}
	}
	good := `{"issuer":"https://i.example/c1","jwks_uri":"https://i.example/c1/openid/v1/jwks"}`
	reject(`no`, ``, "not a JSON object")
	reject(`{}`, ``, "no issuer")
	reject(`{"issuer":"https://i.example/c1/"}`, ``, `"https://i.example/c1/", expected "https://i.example/c1"`)
	reject(`{"issuer":"https://i.example/c1","jwks_uri":"http://i.example/c1/openid/v1/jwks"}`, ``, "jwks_uri")
	reject(good, `{"keys":[{"kty":"RSA","kid":"a","d":"x"}]}`, "private member")
	// Names are exact, and none is there twice.
	reject(`{"Issuer":"https://i.example/c1","jwks_uri":"https://i.example/c1/openid/v1/jwks"}`, ``, "no issuer")
	reject(`{"issuer":"https://i.example/c1","JWKS_URI":"https://i.example/c1/openid/v1/jwks"}`, ``, "jwks_uri")
	reject(`{"issuer":"https://o.example","issuer":"https://i.example/c1","jwks_uri":"https://i.example/c1/openid/v1/jwks"}`, ``, "twice")
	reject(good, `{"Keys":[]}`, "keys")
	reject(good, `{"keys":[],"keys":[]}`, "twice")
}

// The documents of a managed control plane differ from ours, and its key set
// may be on another host.
func TestCheckServed(t *testing.T) {
	set := realSet(t)
	var jwks []byte
	keysAt, getKeys := server(t, func(w http.ResponseWriter, _ *http.Request) { w.Write(jwks) })
	uri := keysAt.String() + "/v1/jwks?a=b"
	iss, _ := server(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `{"issuer":"https://%s","jwks_uri":%q,"grant_types":["urn:kubernetes:grant_type:programmatic_authorization"]}`, r.Host, uri)
	})
	check := func(why string) {
		t.Helper()
		// Servers of httptest share their certificate.
		docs, err := discovery.Documents(iss, set)
		if err != nil {
			t.Fatal(err)
		}
		err = discovery.CheckServed(t.Context(), getKeys, iss, docs)
		if why == "" && err != nil || why != "" && (err == nil || !strings.Contains(err.Error(), why)) {
			t.Errorf("error %v, want %q", err, why)
		}
	}
	jwks = set.JWKS()
	check("")
	jwks = []byte(`{"keys":[]}`)
	check("lacks the cluster's key " + set.All()[0].KID)
	uri = "http://i.example/jwks"
	check("no https URL")
}
