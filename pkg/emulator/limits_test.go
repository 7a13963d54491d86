package emulator

import (
	"bufio"
	"crypto/md5"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/openirsa/openirsa/pkg/emulator/internal/api"
)

func limited(t *testing.T, config Config) *Server {
	t.Helper()
	s, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func ask(s *Server, method, target, body string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Host = "127.0.0.1:4566"
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

// anEvent makes an event.
func anEvent(s *Server) { ask(s, "GET", "/?Action=AssumeRoleWithWebIdentity&Version=2011-06-15", "") }

// TestLimitOfEvents: whatever strangers send, events hold no more memory than
// they may, the latest are there, and each is short.
func TestLimitOfEvents(t *testing.T) {
	const bound = 256 << 10
	s := limited(t, Config{MaxEventBytes: bound})
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	long := strings.Repeat("x", 30_000)
	form := strings.Repeat("y", 300_000)
	for i := range 100 {
		v := url.Values{"Action": {"AssumeRoleWithWebIdentity"}, "Version": {"2011-06-15"}, "RoleSessionName": {fmt.Sprint(i, long)}, "RoleArn": {long}}
		ask(s, "GET", "/?"+v.Encode(), "")
		ask(s, "GET", "/bucket?prefix="+long, "", "User-Agent", long, "Authorization", "AWS4-HMAC-SHA256 Credential="+long+"/20260101/us-east-1/s3/aws4_request,SignedHeaders=host,Signature="+long[:64])
		ask(s, "POST", "/", "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=arn:aws:iam::000000000000:role/r&RoleSessionName=s&WebIdentityToken=a&ProviderId=accounts.google.com&x="+form,
			"Content-Type", "application/x-www-form-urlencoded")
	}
	s.events.mu.Lock()
	bytes, first, last := s.events.bytes, s.events.first, s.events.last
	s.events.mu.Unlock()
	if bytes > bound || last != 300 || first == 1 {
		t.Errorf("%d bytes of events %d to %d", bytes, first, last)
	}
	if grown := int64(heap()) - int64(before); grown > 8*bound {
		t.Errorf("%d bytes are held for events, of which there may be %d", grown, bound)
	}
	events := s.Events(EventFilter{})
	if len(events) != int(last-first+1) || events[len(events)-1].Seq != last {
		t.Errorf("%d events of %d to %d", len(events), first, last)
	}
	w := ask(s, "GET", "/_openirsa/events?limit=0", "")
	if w.Code != http.StatusOK || w.Body.Len() > 8*bound {
		t.Errorf("%d, %d bytes", w.Code, w.Body.Len())
	}
	for _, e := range events {
		for _, text := range []string{e.Reason, e.Caller, e.Resource, e.Action} {
			if len(text) > maxReason+8 {
				t.Fatalf("a text of %d bytes: %q...", len(text), text[:100])
			}
		}
	}
	runtime.KeepAlive(s)
}

// TestLimitOfNumber: no more events are kept than may be, and what comes after
// an event that is gone is found.
func TestLimitOfNumber(t *testing.T) {
	s := limited(t, Config{MaxEvents: 10})
	for range 25 {
		anEvent(s)
	}
	events := s.Events(EventFilter{After: 3})
	if len(events) != 10 || events[0].Seq != 16 || events[9].Seq != 25 {
		t.Errorf("%d events, %+v", len(events), events)
	}
	if got := s.Events(EventFilter{Limit: 2}); len(got) != 2 || got[0].Seq != 24 {
		t.Errorf("%+v", got)
	}
	if got := s.Events(EventFilter{After: 25}); got != nil {
		t.Errorf("%+v", got)
	}
}

// TestLimitOfSizes: URLs and headers that are too long are refused.
func TestLimitOfSizes(t *testing.T) {
	s := limited(t, Config{})
	for _, c := range []struct {
		target string
		header []string
		body   int
		want   int
	}{
		{"/bucket?prefix=" + strings.Repeat("x", maxURL), nil, 0, http.StatusRequestURITooLong},
		{"/_openirsa/events?caller=" + strings.Repeat("x", maxURL), nil, 0, http.StatusRequestURITooLong},
		{"/bucket", []string{"X-Amz-Meta-A", strings.Repeat("x", maxHeaders)}, 0, http.StatusRequestHeaderFieldsTooLarge},
		{"/", []string{"Content-Type", "application/x-www-form-urlencoded"}, api.MaxBody + 1, http.StatusRequestEntityTooLarge},
		{"/", []string{"X-Amz-Target", "TrentService.Sign"}, api.MaxBody + 1, http.StatusRequestEntityTooLarge},
	} {
		method := "GET"
		if c.body > 0 {
			method = "POST"
		}
		if got := ask(s, method, c.target, strings.Repeat("x", c.body), c.header...); got.Code != c.want {
			t.Errorf("%s %.40s: %d, want %d", method, c.target, got.Code, c.want)
		}
	}
}

// testMaxXML bounds the documents of S3.
const testMaxXML = 4 << 20

// signed is a request to S3 by the root user, presigned.
func signed(t *testing.T, method, target, body string) *http.Request {
	t.Helper()
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Host = "127.0.0.1:4566"
	r.URL.Scheme, r.URL.Host = "http", r.Host
	r.URL.RawQuery = strings.TrimPrefix(r.URL.RawQuery+"&X-Amz-Expires=3600", "&")
	signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })
	root := aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}
	presigned, _, err := signer.PresignHTTP(t.Context(), root, r, "UNSIGNED-PAYLOAD", "s3", "us-east-1", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if r.URL, err = url.Parse(presigned); err != nil {
		t.Fatal(err)
	}
	r.RequestURI = r.URL.RequestURI()
	return r
}

// TestLimitOfDocuments: each document that S3 takes is bounded, and its memory
// is taken from what all bodies may have.
func TestLimitOfDocuments(t *testing.T) {
	s := limited(t, Config{})
	do := func(method, target, body string) (int, string) {
		t.Helper()
		r, w := signed(t, method, target, body), httptest.NewRecorder()
		sum := md5.Sum([]byte(body)) // some documents need it
		r.Header.Set("Content-Md5", base64.StdEncoding.EncodeToString(sum[:]))
		s.ServeHTTP(w, r)
		return w.Code, w.Body.String()
	}
	if status, body := do("PUT", "/bucket", ""); status != http.StatusOK {
		t.Fatal(status, body)
	}
	do("PUT", "/bucket/key", "")
	_, begun := do("POST", "/bucket/key?uploads=", "")
	_, upload, _ := strings.Cut(begun, "<UploadId>")
	upload, _, _ = strings.Cut(upload, "<")
	for target, method := range map[string]string{
		"/bucket?tagging=": "PUT", "/bucket?delete=": "POST", "/bucket/key?uploadId=" + upload: "POST",
	} {
		if status, body := do(method, target, strings.Repeat(" ", testMaxXML+1)); status != http.StatusBadRequest || !strings.Contains(body, "<Code>MaxMessageLengthExceeded</Code>") {
			t.Errorf("%s %s of more than %d bytes: %d %s", method, target, testMaxXML, status, body)
		}
		if status, body := do(method, target, strings.Repeat(" ", testMaxXML)); strings.Contains(body, "MaxMessageLengthExceeded") {
			t.Errorf("%s %s of %d bytes: %d %s", method, target, testMaxXML, status, body)
		}
		s.bodies.Max = 1 << 20
		if status, body := do(method, target, strings.Repeat(" ", testMaxXML)); status != http.StatusServiceUnavailable || !strings.Contains(body, "<Code>ServiceUnavailable</Code>") {
			t.Errorf("%s %s where there is no memory for it: %d %s", method, target, status, body)
		}
		s.bodies.Max = maxBodies
	}
	if n := s.bodies.Used(); n != 0 {
		t.Errorf("%d bytes are taken after all", n)
	}
}

// TestLimitOfBodies: bodies together take no more memory than they may, a
// request beyond is told to come again, and memory is taken as bytes come.
func TestLimitOfBodies(t *testing.T) {
	s := limited(t, Config{})
	s.bodies.Max = 1 << 20
	web := httptest.NewServer(s)
	defer web.CloseClientConnections()
	announce := func(sent string) net.Conn {
		conn, err := net.Dial("tcp", web.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 1000000\r\n\r\n%s", sent)
		return conn
	}
	wait := func(what string, ok func(int64) bool) {
		t.Helper()
		for range 500 {
			if ok(s.bodies.Used()) {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
		t.Fatalf("%s: %d bytes are taken", what, s.bodies.Used())
	}
	call := func() (int, string) {
		resp, err := http.PostForm(web.URL, url.Values{"Action": {"GetCallerIdentity"}, "Version": {"2011-06-15"}})
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(body)
	}
	var conns []net.Conn
	for range 50 {
		conns = append(conns, announce("Action=x"))
	}
	wait("50 bodies of which little has come", func(n int64) bool { return n == 50*(4<<10) })
	if status, body := call(); status != http.StatusForbidden {
		t.Errorf("beside them: %d %s", status, body)
	}
	for range 4 {
		conns = append(conns, announce(strings.Repeat("x", 400_000)))
	}
	wait("bodies beyond the bound", func(n int64) bool { return n > 500_000 })
	deadline := time.Now().Add(5 * time.Second)
	for {
		status, body := call()
		if status == http.StatusServiceUnavailable && strings.Contains(body, "<Code>ServiceUnavailable</Code>") {
			break
		}
		if s.bodies.Used() > s.bodies.Max || time.Now().After(deadline) {
			t.Fatalf("%d bytes are taken of %d, and a call is answered %d", s.bodies.Used(), s.bodies.Max, status)
		}
		conns = append(conns, announce(strings.Repeat("x", 2_000)))
	}
	for _, conn := range conns {
		conn.Close()
	}
	wait("after all", func(n int64) bool { return n == 0 })
	if status, body := call(); status != http.StatusForbidden {
		t.Errorf("after all: %d %s", status, body)
	}
}

// pipes is a listener of connections within the process.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	conn, ok := <-p
	if !ok {
		return nil, net.ErrClosed
	}
	return conn, nil
}
func (p pipes) Close() error   { return nil }
func (p pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 4566} }

// TestLimitOfTime: bodies that do not come and answers that nobody reads end in
// time, what goes on slowly does not end, and neither does waiting for events.
func TestLimitOfTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := New(Config{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		listener := make(pipes)
		web := &http.Server{Handler: s}
		go web.Serve(listener)
		defer web.Close()
		defer close(listener)
		dial := func(request string) net.Conn {
			client, server := net.Pipe()
			listener <- server
			go io.WriteString(client, request)
			return client
		}
		// How long it takes until the server has let the connection go.
		ends := func(conn net.Conn) time.Duration {
			started := time.Now()
			io.Copy(io.Discard, conn)
			return time.Since(started)
		}
		const head = "Host: 127.0.0.1\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 1000\r\nConnection: close\r\n\r\n"
		if took := ends(dial("POST / HTTP/1.1\r\n" + head + "Action=")); took < api.BodyTimeout || took > 2*api.BodyTimeout {
			t.Errorf("a form that does not come ends after %s", took)
		}
		// A byte every ten seconds does not help a form.
		dripping := dial("POST / HTTP/1.1\r\n" + head)
		go func() {
			for range 1000 {
				time.Sleep(10 * time.Second)
				if _, err := io.WriteString(dripping, "x"); err != nil {
					return
				}
			}
		}()
		if took := ends(dripping); took > 2*api.BodyTimeout {
			t.Errorf("a form that drips ends after %s", took)
		}
		dripping.Close()
		// A refused upload whose body does not come.
		if took := ends(dial("PUT /bucket/key HTTP/1.1\r\n" + head)); took > 2*api.BodyTimeout {
			t.Errorf("a body that nobody wants ends after %s", took)
		}
		// Waiting for events may take longer than any of these.
		conn := dial("GET /_openirsa/events?wait=60s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
		started := time.Now()
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || resp.StatusCode != http.StatusOK || time.Since(started) != maxWait {
			t.Errorf("waiting for events: %v after %s", err, time.Since(started))
		}
		conn.Close()
		// An answer that nobody reads.
		for range 100 {
			anEvent(s)
		}
		client, server := net.Pipe()
		closed := make(chan time.Time, 1)
		listener <- &watched{Conn: server, closed: closed}
		io.WriteString(client, "GET /_openirsa/events?limit=0 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
		started = time.Now()
		if took := (<-closed).Sub(started); took < api.WriteTimeout || took > 2*api.WriteTimeout {
			t.Errorf("an answer that nobody reads ends after %s", took)
		}
		client.Close()
	})
}

// TestEventsOfAnotherProcess: whoever asks for what comes after a number that another
// process has given learns of that at once, and does not wait.
func TestEventsOfAnotherProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := New(Config{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		anEvent(s)
		for after, waits := range map[int]time.Duration{1: maxWait, 2: 0, 4096: 0} {
			started, w := time.Now(), httptest.NewRecorder()
			s.ServeHTTP(w, httptest.NewRequest("GET", fmt.Sprintf("http://127.0.0.1/_openirsa/events?wait=60s&after=%d", after), nil))
			if took := time.Since(started); took != waits || w.Code != http.StatusOK || w.Body.String() != `{"events":[],"last":1}`+"\n" {
				t.Errorf("after=%d: %d %s after %s, want an answer after %s", after, w.Code, w.Body, took, waits)
			}
		}
	})
}

// TestLimitOfPauses: an object may take as long as it needs, if it does not stand
// still.
func TestLimitOfPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := New(Config{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		s.ServeHTTP(httptest.NewRecorder(), signed(t, "PUT", "/bucket", ""))
		listener := make(pipes)
		web := &http.Server{Handler: s}
		go web.Serve(listener)
		defer web.Close()
		defer close(listener)
		// put sends so many bytes, a pause before each, of twenty. It returns the
		// answer's status, 0 if there is none, and how long the last pause was
		// borne.
		put := func(target string, bytes int, pause time.Duration) (status int, took time.Duration) {
			client, server := net.Pipe()
			listener <- server
			defer client.Close()
			fmt.Fprintf(client, "PUT %s HTTP/1.1\r\nHost: 127.0.0.1:4566\r\nContent-Length: 20\r\nConnection: close\r\n\r\n", signed(t, "PUT", target, "").RequestURI)
			var last time.Time
			sent := make(chan struct{})
			go func() {
				defer close(sent)
				for range bytes {
					time.Sleep(pause)
					last = time.Now()
					if _, err := io.WriteString(client, "x"); err != nil {
						return
					}
				}
			}()
			answer := bufio.NewReader(client)
			if resp, err := http.ReadResponse(answer, nil); err == nil {
				status = resp.StatusCode
			}
			io.Copy(io.Discard, answer)
			ended := time.Now()
			<-sent
			return status, ended.Sub(last)
		}
		started := time.Now()
		if status, _ := put("/bucket/slow", 20, api.BodyTimeout-5*time.Second); status != http.StatusOK || time.Since(started) < 10*api.BodyTimeout {
			t.Errorf("an object that comes slowly: %d after %s", status, time.Since(started))
		}
		if status, took := put("/bucket/still", 10, time.Second); status == http.StatusOK || took < api.BodyTimeout-2*time.Second || took > api.BodyTimeout+api.DiscardTimeout {
			t.Errorf("an object that stands still: %d after %s", status, took)
		}
		w := httptest.NewRecorder()
		if s.ServeHTTP(w, signed(t, "GET", "/bucket/slow", "")); w.Body.Len() != 20 {
			t.Errorf("the slow object has %d bytes", w.Body.Len())
		}
		w = httptest.NewRecorder()
		if s.ServeHTTP(w, signed(t, "GET", "/bucket/still", "")); w.Code != http.StatusNotFound {
			t.Errorf("half an object: %d", w.Code)
		}
	})
}

// watched tells when it is closed.
type watched struct {
	net.Conn
	closed chan time.Time
}

func (w *watched) Close() error {
	select {
	case w.closed <- time.Now():
	default:
	}
	return w.Conn.Close()
}

// TestReadersDoNotBlock: decisions go on while somebody reads all events and
// does not come to an end.
func TestReadersDoNotBlock(t *testing.T) {
	s := limited(t, Config{})
	for range 500 {
		anEvent(s)
	}
	r, w := io.Pipe()
	reading := httptest.NewRequest("GET", "/_openirsa/events?limit=0", nil)
	reading.Host = "localhost"
	go func() {
		s.ServeHTTP(&stuck{httptest.NewRecorder(), w}, reading)
		w.Close()
	}()
	r.Read(make([]byte, 1)) // it has begun
	done := make(chan bool)
	go func() {
		anEvent(s)
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(5 * time.Second):
		t.Error("a reader of events holds up decisions")
	}
	go io.Copy(io.Discard, r)
}

// stuck is an answer that is written to a pipe.
type stuck struct {
	http.ResponseWriter
	w io.Writer
}

func (s *stuck) Write(p []byte) (int, error) { return s.w.Write(p) }
