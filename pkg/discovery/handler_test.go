package discovery_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openirsa/openirsa/pkg/discovery"
	"github.com/openirsa/openirsa/pkg/issuer"
	"github.com/openirsa/openirsa/pkg/keys"
)

// served are documents of an issuer with a key of its own.
func served(t testing.TB, s string) (issuer.URL, []discovery.Document) {
	t.Helper()
	iss, err := issuer.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	key, err := keys.Generate(keys.ES256)
	if err != nil {
		t.Fatal(err)
	}
	set, err := keys.NewSet(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	docs, err := discovery.Documents(iss, set)
	if err != nil {
		t.Fatal(err)
	}
	return iss, docs
}

func TestHandler(t *testing.T) {
	root, rootDocs := served(t, "https://a.example.com")
	dev, devDocs := served(t, "https://b.example.com/clusters/dev")
	port, portDocs := served(t, "https://c.example.com:8443/x")
	all := map[issuer.URL][]discovery.Document{root: rootDocs, dev: devDocs, port: portDocs}

	var h discovery.Handler
	if err := h.Update(all); err != nil {
		t.Fatal(err)
	}
	do := func(method, url, ifNoneMatch string) *http.Response {
		r := httptest.NewRequest(method, url, nil)
		if ifNoneMatch != "" {
			r.Header.Set("If-None-Match", ifNoneMatch)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Result()
	}
	etag := do("GET", root.JWKS(), "").Header.Get("Etag")
	if !strings.HasPrefix(etag, `"`) || len(etag) < 18 {
		t.Fatalf("etag %q", etag)
	}

	type header = map[string]string
	const (
		jwks   = "application/jwk-set+json"
		config = "application/json"
		plain  = "text/plain; charset=utf-8"
		none   = "404 not found\n"
	)
	for _, test := range []struct {
		method, url, ifNoneMatch string
		code                     int
		contentType, body        string
	}{
		{"GET", root.JWKS(), "", 200, jwks, string(rootDocs[0].Body)},
		{"GET", root.Discovery(), "", 200, config, string(rootDocs[1].Body)},
		{"HEAD", root.Discovery(), "", 200, config, ""},
		{"GET", dev.JWKS(), "", 200, jwks, string(devDocs[0].Body)},
		{"GET", port.Discovery(), "", 200, config, string(portDocs[1].Body)},
		{"GET", root.JWKS(), etag, 304, "", ""},
		{"HEAD", root.JWKS(), etag, 304, "", ""},
		{"GET", root.JWKS(), "W/" + etag, 304, "", ""},
		{"GET", root.JWKS(), `"other" , ` + etag, 304, "", ""},
		{"GET", root.JWKS(), "*", 304, "", ""},
		{"GET", root.JWKS(), `"other"`, 200, jwks, string(rootDocs[0].Body)},
		{"GET", dev.JWKS(), etag, 200, jwks, string(devDocs[0].Body)},
		{"GET", "https://A.Example.com:443" + issuer.JWKSPath, "", 200, jwks, string(rootDocs[0].Body)},
		{"GET", "http://a.example.com:80" + issuer.JWKSPath, "", 200, jwks, string(rootDocs[0].Body)},
		{"POST", root.JWKS(), "", 405, plain, "405 method not allowed\n"},
		{"GET", "https://a.example.com/", "", 404, plain, none},
		{"GET", "https://a.example.com/openid/v1/jwks/", "", 404, plain, none},
		{"GET", "https://a.example.com/clusters/dev/openid/v1/jwks", "", 404, plain, none},
		{"GET", "https://b.example.com/openid/v1/jwks", "", 404, plain, none},
		{"GET", "https://b.example.com//clusters/dev/openid/v1/jwks", "", 404, plain, none},
		{"GET", "https://c.example.com/x/openid/v1/jwks", "", 404, plain, none},
		{"POST", "https://other.example.com/openid/v1/jwks", "", 404, plain, none},
	} {
		name := fmt.Sprintf("%s %s %s", test.method, test.url, test.ifNoneMatch)
		resp := do(test.method, test.url, test.ifNoneMatch)
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != test.code || string(body) != test.body || resp.Header.Get("Content-Type") != test.contentType {
			t.Errorf("%s: %s, %q, %q", name, resp.Status, resp.Header.Get("Content-Type"), body)
		}
		got := header{}
		for _, field := range []string{"Cache-Control", "Etag", "Content-Length", "Allow"} {
			if v := resp.Header.Get(field); v != "" {
				got[field] = v
			}
		}
		want := header{}
		switch test.code {
		case 200:
			full := do("GET", test.url, "")
			want = header{"Cache-Control": "public, max-age=300", "Etag": full.Header.Get("Etag"), "Content-Length": fmt.Sprint(full.ContentLength)}
		case 304:
			want = header{"Cache-Control": "public, max-age=300", "Etag": etag}
		case 405:
			want = header{"Allow": "GET, HEAD"}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: header (-want +got):\n%s", name, diff)
		}
	}
}

func TestHandlerUpdate(t *testing.T) {
	a, docsA := served(t, "https://a.example.com/1")
	b, docsB := served(t, "https://a.example.com/2")
	_, docsA2 := served(t, "https://a.example.com/1")
	var h discovery.Handler
	get := func(url string) (int, string, string) {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", url, nil))
		return w.Code, w.Body.String(), w.Header().Get("Etag")
	}
	update := func(changes map[issuer.URL][]discovery.Document) {
		t.Helper()
		if err := h.Update(changes); err != nil {
			t.Fatal(err)
		}
	}
	if code, _, _ := get(a.JWKS()); code != 404 {
		t.Errorf("the zero handler answers %d", code)
	}
	update(map[issuer.URL][]discovery.Document{a: docsA, b: docsB})
	_, _, before := get(a.JWKS())
	update(map[issuer.URL][]discovery.Document{a: docsA2})
	if code, body, etag := get(a.JWKS()); code != 200 || body != string(docsA2[0].Body) || etag == before {
		t.Errorf("after a change: %d %s, tag %s was %s", code, body, etag, before)
	}
	if code, body, _ := get(b.JWKS()); code != 200 || body != string(docsB[0].Body) {
		t.Errorf("the other issuer changed too: %d %s", code, body)
	}
	update(map[issuer.URL][]discovery.Document{a: nil})
	if code, _, _ := get(a.Discovery()); code != 404 || h.Len() != 1 {
		t.Errorf("after removal: %d, %d issuers", code, h.Len())
	}
	if !h.ServesHost("a.example.com") || h.ServesHost("b.example.com") {
		t.Error("ServesHost is wrong")
	}
	if err := h.Update(map[issuer.URL][]discovery.Document{{}: docsA}); err == nil {
		t.Error("no issuer is served")
	}
	if err := h.Update(map[issuer.URL][]discovery.Document{b: {{Path: "/secret"}}}); err == nil {
		t.Error("any document is served")
	}
	var n uint64
	for _, c := range h.Counts() {
		n += c.N
	}
	if n != 5 {
		t.Errorf("%d requests are counted, want 5: %v", n, h.Counts())
	}
}

// An issuer with a slash at its end, or with capitals in its host, is served as it
// is, at one place with the one that differs in that alone.
func TestHandlerTakesIssuersAsTheyAre(t *testing.T) {
	slash, slashDocs := served(t, "https://A.example.com/t/u/")
	plain, plainDocs := served(t, "https://a.example.com/t/u")
	if discovery.Place(slash) != discovery.Place(plain) {
		t.Errorf("places %q and %q", discovery.Place(slash), discovery.Place(plain))
	}
	var h discovery.Handler
	get := func(address string) string {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", address, nil))
		return w.Body.String()
	}
	if err := h.Update(map[issuer.URL][]discovery.Document{slash: slashDocs}); err != nil {
		t.Fatal(err)
	}
	for _, address := range []string{slash.Discovery(), plain.Discovery()} {
		if body := get(address); !strings.Contains(body, `"issuer":"https://A.example.com/t/u/","jwks_uri":"https://A.example.com/t/u/openid/v1/jwks"`) {
			t.Errorf("%s: %s", address, body)
		}
	}
	for range 20 { // whatever the order of the map
		if err := h.Update(map[issuer.URL][]discovery.Document{slash: nil, plain: plainDocs}); err != nil {
			t.Fatal(err)
		}
		if body := get(plain.Discovery()); !strings.Contains(body, `"issuer":"https://a.example.com/t/u"`) || h.Len() != 1 || !h.ServesHost("a.example.com") {
			t.Fatalf("%d issuers, %s", h.Len(), body)
		}
		if err := h.Update(map[issuer.URL][]discovery.Document{plain: nil, slash: slashDocs}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestForwardedHost(t *testing.T) {
	iss, docs := served(t, "https://a.example.com")
	for _, test := range []struct {
		trusted bool
		header  []string
		want    int
	}{
		{false, []string{"a.example.com"}, 404},
		{true, []string{"a.example.com"}, 200},
		{true, nil, 404},
		{true, []string{"a.example.com, proxy.example.com"}, 200}, // a proxy behind another appends
		{true, []string{" a.example.com\t,proxy.example.com"}, 200},
		{true, []string{"A.example.com:443, proxy.example.com"}, 200},
		{true, []string{"a.example.com", "proxy.example.com"}, 200},
		{true, []string{"proxy.example.com, a.example.com"}, 404},
		{true, []string{", a.example.com"}, 404},
	} {
		h := discovery.Handler{ForwardedHost: test.trusted}
		if err := h.Update(map[issuer.URL][]discovery.Document{iss: docs}); err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest("GET", "http://10.0.0.1:8080"+issuer.JWKSPath, nil)
		r.Header["X-Forwarded-Host"] = test.header
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != test.want {
			t.Errorf("ForwardedHost %v, %q: %d, want %d", test.trusted, test.header, w.Code, test.want)
		}
	}
}

// memory is a response that is kept without allocating.
type memory struct {
	header http.Header
	n      int
}

func (m *memory) Header() http.Header         { return m.header }
func (m *memory) WriteHeader(int)             {}
func (m *memory) Write(b []byte) (int, error) { m.n += len(b); return len(b), nil }

func TestHandlerAllocates(t *testing.T) {
	iss, docs := served(t, "https://a.example.com/clusters/dev")
	h := discovery.Handler{ForwardedHost: true}
	if err := h.Update(map[issuer.URL][]discovery.Document{iss: docs}); err != nil {
		t.Fatal(err)
	}
	w := &memory{header: http.Header{}}
	for _, url := range []string{iss.JWKS(), iss.Discovery()} {
		r := httptest.NewRequest("GET", url, nil)
		again := httptest.NewRequest("GET", url, nil)
		forwarded := httptest.NewRequest("GET", url, nil)
		h.ServeHTTP(w, r)
		again.Header.Set("If-None-Match", w.header.Get("Etag"))
		forwarded.Host = "10.0.0.1:8080"
		forwarded.Header.Set("X-Forwarded-Host", "a.example.com, proxy.example.com")
		for _, r := range []*http.Request{r, again, forwarded} {
			if n := testing.AllocsPerRun(100, func() { h.ServeHTTP(w, r) }); n != 0 {
				t.Errorf("%s with %v: %v allocations", url, r.Header, n)
			}
		}
	}
	if w.n == 0 {
		t.Error("nothing was served")
	}
}

// Readers see documents of one update or of another, never a mixture or none.
func TestHandlerUnderLoad(t *testing.T) {
	iss, docs := served(t, "https://a.example.com")
	_, docs2 := served(t, "https://a.example.com")
	var h discovery.Handler
	if err := h.Update(map[issuer.URL][]discovery.Document{iss: docs}); err != nil {
		t.Fatal(err)
	}
	var readers sync.WaitGroup
	done := make(chan struct{})
	for range 4 {
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				w := httptest.NewRecorder()
				h.ServeHTTP(w, httptest.NewRequest("GET", iss.JWKS(), nil))
				if body := w.Body.String(); body != string(docs[0].Body) && body != string(docs2[0].Body) {
					t.Errorf("%d %q", w.Code, body)
					return
				}
			}
		})
	}
	for i := range 2000 {
		other, otherDocs := iss, docs
		if i%2 == 0 {
			otherDocs = docs2
		}
		changes := map[issuer.URL][]discovery.Document{other: otherDocs}
		if i%100 == 0 {
			extra, extraDocs := served(t, fmt.Sprintf("https://a.example.com/%d", i))
			changes[extra] = extraDocs
		}
		if err := h.Update(changes); err != nil {
			t.Fatal(err)
		}
	}
	close(done)
	readers.Wait()
}
