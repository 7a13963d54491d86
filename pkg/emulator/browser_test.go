package emulator_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/openirsa/openirsa/pkg/emulator"
)

// headers are what a browser sends: pairs of name and value.
func headers(pairs ...string) func(*http.Request) {
	return func(r *http.Request) {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == "Host" {
				r.Host = pairs[i+1]
			} else {
				r.Header.Set(pairs[i], pairs[i+1])
			}
		}
	}
}

// presign is a request of which everything is in the URL, as root signs it.
func presign(t *testing.T, method, uri, service string) *http.Request {
	t.Helper()
	r, err := http.NewRequest(method, "http://127.0.0.1:4566"+uri, nil)
	if err != nil {
		t.Fatal(err)
	}
	hash := "UNSIGNED-PAYLOAD"
	if service != "s3" {
		hash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	}
	q := r.URL.Query()
	q.Set("X-Amz-Expires", "600")
	r.URL.RawQuery = q.Encode()
	signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = service == "s3" })
	signed, _, err := signer.PresignHTTP(t.Context(), aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, r, hash, service, "us-east-1", wireTime)
	if err != nil {
		t.Fatal(err)
	}
	if r, err = http.NewRequest(method, signed, nil); err != nil {
		t.Fatal(err)
	}
	r.RequestURI = r.URL.RequestURI()
	r.RemoteAddr = "127.0.0.1:50000"
	return r
}

const mozilla = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0 Safari/537.36"

// TestPagesOfOthers: what a page of another origin has a browser send writes
// nothing, whoever signed it; what programs and the own page send does.
func TestPagesOfOthers(t *testing.T) {
	t.Parallel()
	w := newWire(t)
	createUser := "/?Action=CreateUser&Version=2010-05-08&UserName="
	requests := map[string]func(name string) *http.Request{
		"presigned IAM":  func(name string) *http.Request { return presign(t, "GET", createUser+name, "iam") },
		"presigned POST": func(name string) *http.Request { return presign(t, "POST", createUser+name, "iam") },
		"presigned STS": func(string) *http.Request {
			return presign(t, "GET", "/?Action=GetSessionToken&Version=2011-06-15", "sts")
		},
		"presigned PUT":    func(name string) *http.Request { return presign(t, "PUT", "/bucket/"+name, "s3") },
		"presigned DELETE": func(string) *http.Request { return presign(t, "DELETE", "/bucket/none", "s3") },
	}
	rebound := headers("Host", "evil.example:4566")
	own := headers("Origin", "http://127.0.0.1:4566", "Sec-Fetch-Site", "same-origin", "User-Agent", mozilla)
	for what, request := range requests {
		post := strings.Contains(what, "POST") || strings.Contains(what, "PUT") || strings.Contains(what, "DELETE")
		for from, c := range map[string]struct {
			change  []func(*http.Request)
			refused bool
		}{
			"a program":             {nil, false},
			"a program, by a name":  {[]func(*http.Request){headers("User-Agent", "aws-cli/2.0")}, false},
			"the own page":          {[]func(*http.Request){own}, false},
			"the address bar":       {[]func(*http.Request){headers("Sec-Fetch-Site", "none", "User-Agent", mozilla)}, false},
			"another site":          {[]func(*http.Request){headers("Sec-Fetch-Site", "cross-site")}, true},
			"another port":          {[]func(*http.Request){headers("Sec-Fetch-Site", "same-site")}, true},
			"another origin":        {[]func(*http.Request){headers("Origin", "http://evil.example")}, true},
			"another scheme's port": {[]func(*http.Request){headers("Origin", "http://127.0.0.1:3000")}, true},
			"an opaque origin":      {[]func(*http.Request){headers("Origin", "null")}, true},
			"an empty origin":       {[]func(*http.Request){headers("Origin", "")}, true},
			"a rebound name":        {[]func(*http.Request){rebound, headers("Origin", "http://evil.example:4566", "Sec-Fetch-Site", "same-origin")}, true},
			"a rebound name, GET":   {[]func(*http.Request){rebound, headers("User-Agent", mozilla)}, true},
			"no word of it":         {[]func(*http.Request){headers("User-Agent", mozilla)}, !post},
			"a referer":             {[]func(*http.Request){headers("User-Agent", mozilla, "Referer", "http://evil.example/")}, !post},
		} {
			r := request(strings.ReplaceAll(strings.ReplaceAll(from+what, " ", ""), ",", "") + "x")
			for _, change := range c.change {
				change(r)
			}
			if r.Host == "evil.example:4566" {
				// The page knows the credentials, so it signs for its own name.
				r = resigned(t, r, what)
			}
			got := w.send(r)
			if refused := got.Code == http.StatusForbidden && strings.Contains(got.Body.String(), "web pages of other origins"); refused != c.refused || !refused && got.Code/100 != 2 {
				t.Errorf("%s from %s: %d %s", what, from, got.Code, got.Body)
			}
		}
	}
	if e := w.Events(emulator.EventFilter{Decision: emulator.Deny}); len(e) == 0 || e[0].Step != "origin" {
		t.Errorf("events %v", e)
	}

	// A form that another site posts.
	r, _ := http.NewRequest("POST", "http://127.0.0.1:4566/", strings.NewReader("Action=AssumeRoleWithWebIdentity&Version=2011-06-15"))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	headers("Origin", "http://evil.example", "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate")(r)
	if got := w.send(r); got.Code != http.StatusForbidden || !strings.Contains(got.Body.String(), "web pages of other origins") {
		t.Errorf("a form: %d %s", got.Code, got.Body)
	}
	// Reads of objects go on: a site that is tested shows pictures from a bucket.
	r = presign(t, "GET", "/bucket/k", "s3")
	headers("Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors", "User-Agent", mozilla)(r)
	if got := w.send(r); got.Code != http.StatusOK {
		t.Errorf("a picture: %d %s", got.Code, got.Body)
	}
}

// resigned is the request again, signed for the host that it goes to.
func resigned(t *testing.T, r *http.Request, what string) *http.Request {
	t.Helper()
	service := "s3"
	switch {
	case strings.Contains(what, "STS"):
		service = "sts"
	case !strings.Contains(what, "PUT") && !strings.Contains(what, "DELETE"):
		service = "iam"
	}
	q := r.URL.Query()
	for name := range q {
		if strings.HasPrefix(name, "X-Amz-") {
			q.Del(name)
		}
	}
	uri := r.URL.Path
	if len(q) > 0 {
		uri += "?" + q.Encode()
	}
	again := presign(t, r.Method, uri, service)
	again.Header = r.Header
	again.Host = r.Host
	return again
}

// TestControlHosts: what is the emulator's own is served at addresses,
// localhost and configured hosts, and to no page of another origin.
func TestControlHosts(t *testing.T) {
	t.Parallel()
	s, err := emulator.New(emulator.Config{Control: true, Hosts: []string{"emulator.test"}, S3Hosts: []string{"s3.test"}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	w := &wire{s, t}
	get := func(method, path string, change ...func(*http.Request)) int {
		t.Helper()
		r, err := http.NewRequest(method, "http://127.0.0.1:4566/_openirsa/"+path, strings.NewReader(`{"forward":"1h"}`))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		for _, f := range change {
			f(r)
		}
		got := w.send(r)
		if csp := got.Header().Get("Content-Security-Policy"); got.Code != http.StatusNoContent && got.Code != http.StatusMovedPermanently && !strings.Contains(csp, "frame-ancestors 'none'") {
			t.Errorf("%s may be framed: %q", path, csp)
		}
		return got.Code
	}
	for host, want := range map[string]int{
		"127.0.0.1": 200, "127.0.0.1:4566": 200, "[::1]:4566": 200, "10.1.2.3:80": 200, "localhost": 200, "LOCALHOST.:4566": 200, "emulator.test:4566": 200, "s3.test": 200,
		"evil.example": 421, "evil.example:4566": 421, "localhost.evil.example": 421, "127.0.0.1.evil.example": 421, "127.0.0.1.nip.io": 421,
		"sts.amazonaws.com": 421, "": 421, "emulator.test.evil.example": 421, "emulator": 421,
	} {
		for _, path := range []string{"", "events", "chain", "page.js"} {
			if got := get("GET", path, headers("Host", host)); got != want && host != "" {
				t.Errorf("GET %s at %q: %d", path, host, got)
			}
		}
		status := get("POST", "control/clock", headers("Host", host))
		if host != "" && status != want {
			t.Errorf("the clock at %q: %d", host, status)
		}
		if got := get("GET", "health", headers("Host", host)); got != 200 {
			t.Errorf("health at %q: %d", host, got)
		}
	}
	for name, page := range map[string]func(*http.Request){
		"site": headers("Sec-Fetch-Site", "cross-site"), "origin": headers("Origin", "http://evil.example"), "null": headers("Origin", "null"), "port": headers("Origin", "http://127.0.0.1:3000"),
	} {
		for _, c := range [][2]string{{"POST", "control/clock"}, {"POST", "control/faults"}, {"DELETE", "control/faults"}, {"POST", "control/buckets"}, {"GET", "events"}, {"GET", "chain"}} {
			if got := get(c[0], c[1], page); got != 403 {
				t.Errorf("%s %s for a page (%s): %d", c[0], c[1], name, got)
			}
		}
		if got := get("POST", "control/clock", page, headers("Sec-Fetch-Mode", "navigate")); got != 403 {
			t.Errorf("a form (%s): %d", name, got)
		}
	}
	if got := get("GET", "", headers("Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate")); got != 200 {
		t.Errorf("a link: %d", got)
	}
}

// TestObjectsDoNotRun: a document of a bucket, which anybody may have written,
// has neither scripts nor the origin of the emulator's own page. At a bucket's
// own host it has.
func TestObjectsDoNotRun(t *testing.T) {
	t.Parallel()
	w := newWire(t)
	w.ok(signed("PUT", "/bucket/page.html", "<script>fetch('/_openirsa/control/clock')</script>", "Content-Type", "text/html"))
	for _, c := range []struct {
		e    exchange
		host string
		csp  string
	}{
		{signed("GET", "/bucket/page.html", ""), "127.0.0.1:4566", "sandbox"},
		{signed("HEAD", "/bucket/page.html", ""), "localhost:4566", "sandbox"},
		{signed("GET", "/bucket/k?response-content-type=text/html", ""), "127.0.0.1:4566", "sandbox"},
		{signed("GET", "/bucket/page.html", "", "Range", "bytes=0-5"), "127.0.0.1:4566", "sandbox"},
		{signed("GET", "/bucket/none", ""), "127.0.0.1:4566", "sandbox"},
		{signed("GET", "/bucket", ""), "127.0.0.1:4566", "sandbox"},
		{signed("GET", "/page.html", ""), "bucket.localhost:4566", ""},
	} {
		c.e.before = headers("Host", c.host)
		got := w.do(c.e)
		if h := got.Header(); h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Content-Security-Policy") != c.csp {
			t.Errorf("%s at %s: %v", c.e.uri, c.host, h)
		}
	}
}

// send has a request answered as it is.
func (w *wire) send(r *http.Request) *httptest.ResponseRecorder {
	w.t.Helper()
	if r.RequestURI == "" {
		r.RequestURI = r.URL.RequestURI()
	}
	recorder := httptest.NewRecorder()
	w.ServeHTTP(recorder, r)
	return recorder
}
