package agent_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/openirsa/openirsa/internal/redact"
	"github.com/openirsa/openirsa/pkg/agent"
)

// What an SDK gets, byte for byte (A38).
func TestCredentials(t *testing.T) {
	s := newService(t)
	_, address := start(t, s, agent.Config{})
	r := get(t, address, token(t, podUID))
	form := regexp.MustCompile(`^\{"AccessKeyId":"ASIA1","SecretAccessKey":"secret/of\+role","Token":"session\+token/x{800}==",` +
		`"AccountId":"111122223333","Expiration":"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z)"\}$`)
	m := form.FindStringSubmatch(r.body)
	if r.status != 200 || m == nil || r.header.Get("Content-Type") != "application/json" {
		t.Fatalf("%d, %v: %s", r.status, r.header, r.body)
	}
	at, err := time.Parse(time.RFC3339Nano, m[1])
	if left := time.Until(at); err != nil || left < 6*time.Hour-time.Minute || left > 6*time.Hour {
		t.Errorf("expiration %s, %v", m[1], err)
	}
	if again := get(t, address, token(t, podUID)); again.status != 200 {
		t.Errorf("%d: %s", again.status, again.body)
	}
}

// Every request that the agent refuses by itself.
func TestRefusals(t *testing.T) {
	s := newService(t)
	_, address := start(t, s, agent.Config{})
	good := token(t, podUID)
	segment := func(v string) string { return base64.RawURLEncoding.EncodeToString([]byte(v)) }
	past, future := time.Now().Add(-time.Second).Unix(), time.Now().Add(time.Hour).Unix()
	const denied = "Access Denied. Called agent through invalid address, please use either [169.254.170.23 fd00:ec2::23] address not "
	const parse, basic = "Service account token cannot be parsed: ", "Service account token failed basic claim validations: "
	for _, c := range []struct {
		method, path, host, token string
		status                    int
		body                      string
	}{
		{"GET", "/", "169.254.170.23", "", 404, "404 page not found\n"},
		{"GET", "/v1/credentials/", "169.254.170.23", good, 404, "404 page not found\n"},
		{"GET", "/v1", "localhost", good, 404, "404 page not found\n"},
		{"GET", "//v1/credentials", "169.254.170.23", good, 404, "404 page not found\n"},
		// A41
		{"GET", agent.Path, "localhost", good, 403, denied + "localhost\n"},
		{"GET", agent.Path, "localhost:80", "", 403, denied + "localhost\n"},
		{"GET", agent.Path, "127.0.0.1:8080", good, 403, denied + "127.0.0.1\n"},
		{"GET", agent.Path, "[::1]", good, 403, denied + "::1\n"},
		{"GET", agent.Path, "169.254.170.23.evil.test", good, 403, denied + "169.254.170.23.evil.test\n"},
		// A39
		{"GET", agent.Path, "169.254.170.23", "", 400, "Service account token cannot be empty\n"},
		// A40
		{"GET", agent.Path, "169.254.170.23", "Bearer " + good, 400, parse + "token is malformed: could not base64 decode header: illegal base64 data at input byte 6\n"},
		{"GET", agent.Path, "169.254.170.23", "x", 400, parse + "token is malformed: token contains an invalid number of segments\n"},
		{"GET", agent.Path, "169.254.170.23", good + ".x", 400, parse + "token is malformed: token contains an invalid number of segments\n"},
		{"GET", agent.Path, "169.254.170.23", "..", 400, parse + "token is malformed: could not JSON decode header: unexpected end of JSON input\n"},
		{"GET", agent.Path, "169.254.170.23", segment(`{"alg":"ES256"}`) + ".!.x", 400, parse + "token is malformed: could not base64 decode claim: illegal base64 data at input byte 0\n"},
		{"GET", agent.Path, "169.254.170.23", segment(`{"alg":"ES256"}`) + "." + segment("x") + ".x", 400, parse + "token is malformed: could not JSON decode claim: invalid character 'x' looking for beginning of value\n"},
		{"GET", agent.Path, "169.254.170.23", segment(`{"alg":"ES257"}`) + "." + segment("{}") + ".x", 400, parse + "token is unverifiable: signing method (alg) is unavailable\n"},
		{"GET", agent.Path, "169.254.170.23", segment(`{}`) + "." + segment("{}") + ".x", 400, parse + "token is unverifiable: signing method (alg) is unspecified\n"},
		{"GET", agent.Path, "169.254.170.23", sign(t, claimsOf(podUID, map[string]any{"exp": past})), 400, basic + "token is expired\n"},
		{"GET", agent.Path, "169.254.170.23", sign(t, claimsOf(podUID, map[string]any{"nbf": future})), 400, basic + "token is not valid yet\n"},
		{"GET", agent.Path, "169.254.170.23", sign(t, claimsOf(podUID, map[string]any{"exp": past, "nbf": future})), 400, basic + "token is expired, token is not valid yet\n"},
	} {
		r := raw(t, address, c.method, c.path, c.host, c.token)
		if r.status != c.status || r.body != c.body {
			t.Errorf("%s %s, Host %s: %d %q, want %d %q", c.method, c.path, c.host, r.status, r.body, c.status, c.body)
		}
		if r.header.Get("Content-Type") != "text/plain; charset=utf-8" || r.header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s, Host %s: header %v", c.path, c.host, r.header)
		}
	}
	if n := s.calls.Load(); n != 0 {
		t.Errorf("EKS Auth was asked %d times", n)
	}
	// What is accepted: each form of the two hosts, any method, tokens without times, an audience as a text.
	for _, host := range []string{"169.254.170.23", "169.254.170.23:80", "[fd00:ec2::23]", "[fd00:ec2::23]:80", "fd00:ec2::23"} {
		if r := raw(t, address, "GET", agent.Path, host, good); r.status != 200 {
			t.Errorf("Host %s: %d %s", host, r.status, r.body)
		}
	}
	for _, method := range []string{"POST", "PUT", "DELETE", "OPTIONS"} {
		if r := raw(t, address, method, agent.Path+"?x=y", "169.254.170.23", good); r.status != 200 {
			t.Errorf("%s: %d %s", method, r.status, r.body)
		}
	}
	timeless := claimsOf(podUID, map[string]any{"aud": audience})
	for _, name := range []string{"exp", "nbf", "iat"} {
		delete(timeless, name)
	}
	if r := get(t, address, sign(t, timeless)); r.status != 200 {
		t.Errorf("a token without times: %d %s", r.status, r.body)
	}
}

// raw sends a request as it is.
func raw(t *testing.T, address, method, path, host, token string) response {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	text := method + " " + path + " HTTP/1.1\r\nHost: " + host + "\r\nConnection: close\r\n"
	if token != "" {
		text += "Authorization: " + token + "\r\n"
	}
	if _, err := io.WriteString(c, text+"\r\n"); err != nil {
		t.Fatal(err)
	}
	return read(t, c)
}

// read reads a response from a connection.
func read(t *testing.T, c net.Conn) response {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(20 * time.Second))
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response{res.StatusCode, string(body), res.Header}
}

// EKS Auth's errors reach the pod with its own status and words (A43).
func TestErrorsOfTheService(t *testing.T) {
	for _, c := range []struct {
		status   int
		code     string
		fault    string
		attempts int64
	}{
		{400, "InvalidParameterException", "client", 1},
		{400, "InvalidRequestException", "client", 1},
		{400, "InvalidTokenException", "client", 1},
		{400, "ExpiredTokenException", "client", 1},
		{400, "AccessDeniedException", "client", 1},
		{404, "ResourceNotFoundException", "client", 1},
		{429, "ThrottlingException", "client", 3},
		{500, "InternalServerException", "server", 3},
		{503, "ServiceUnavailableException", "server", 3},
		{403, "UnrecognizedClientException", "unknown", 1},
		{403, "SomethingElse", "unknown", 1},
	} {
		t.Run(c.code, func(t *testing.T) {
			t.Parallel()
			s := newService(t)
			s.fails(func(w http.ResponseWriter, _ *http.Request) bool {
				says(w, c.status, c.code, "the words of it")
				return true
			})
			_, address := start(t, s, agent.Config{})
			r := get(t, address, token(t, podUID))
			want := fmt.Sprintf("[req-1]: (%s): the words of it, fault: %s\n", c.code, c.fault)
			if r.status != c.status || r.body != want || r.header.Get("Content-Type") != "text/plain; charset=utf-8" || r.header.Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("%d %q %v, want %d %q", r.status, r.body, r.header, c.status, want)
			}
			if n := s.calls.Load(); n != c.attempts {
				t.Errorf("%d attempts, want %d", n, c.attempts)
			}
		})
	}
}

// An EKS Auth that does not do as it should takes a few seconds and gives an error.
func TestBadService(t *testing.T) {
	plain := func(status int, body string) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			io.WriteString(w, body)
			return true
		}
	}
	for name, c := range map[string]struct {
		fault  func(http.ResponseWriter, *http.Request) bool
		status int
		body   string
	}{
		"slow": {func(_ http.ResponseWriter, r *http.Request) bool {
			select {
			case <-r.Context().Done():
			case <-time.After(20 * time.Second):
			}
			return true
		}, 500, "[]: (RequestError): EKS Auth did not answer, fault: unknown\n"},
		"hangs up": {func(w http.ResponseWriter, _ *http.Request) bool {
			panic(http.ErrAbortHandler)
		}, 500, "[]: (RequestError): EKS Auth did not answer, fault: unknown\n"},
		"ends early": {func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Content-Length", "1000")
			io.WriteString(w, `{"credentials":{"accessKeyId":"ASIA`)
			return true
		}, 500, "[]: (ResponseError): EKS Auth's answer makes no sense, fault: server\n"},
		"a page":        {plain(200, "<html>log in</html>"), 500, "[]: (ResponseError): EKS Auth's answer makes no sense, fault: server\n"},
		"nothing":       {plain(200, "{}"), 500, "[]: (ResponseError): EKS Auth's answer makes no sense, fault: server\n"},
		"half":          {plain(200, `{"credentials":{"accessKeyId":"ASIA1","secretAccessKey":"s","sessionToken":"t"},"assumedRoleUser":{"arn":"arn:aws:sts::1:assumed-role/a/b"}}`), 500, "[]: (ResponseError): EKS Auth's answer makes no sense, fault: server\n"},
		"a bad gateway": {plain(502, "<html>502</html>"), 502, "[]: (UnknownError): Bad Gateway, fault: unknown\n"},
		"very long": {plain(200, strings.Repeat(" ", 2<<20)+`{"credentials":{"accessKeyId":"ASIA1","secretAccessKey":"s","sessionToken":"t","expiration":9999999999},"assumedRoleUser":{"arn":"arn:aws:sts::1:assumed-role/a/b"}}`),
			500, "[]: (ResponseError): EKS Auth's answer makes no sense, fault: server\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newService(t)
			s.fails(c.fault)
			if name == "slow" {
				s.timeout = 0 // as it is
			}
			_, address := start(t, s, agent.Config{})
			began := time.Now()
			r := get(t, address, token(t, podUID))
			if took := time.Since(began); r.status != c.status || r.body != c.body || took > 15*time.Second {
				t.Errorf("%d %q after %s, want %d %q", r.status, r.body, took, c.status, c.body)
			}
			if n := s.calls.Load(); n > 3 {
				t.Errorf("%d attempts", n)
			}
			// It is not held against the pod.
			s.fails(nil)
			if r := get(t, address, token(t, podUID)); r.status != 200 {
				t.Errorf("afterwards: %d %s", r.status, r.body)
			}
		})
	}
	t.Run("away", func(t *testing.T) {
		t.Parallel()
		s := newService(t)
		_, address := start(t, s, agent.Config{})
		s.Server.Close()
		if r := get(t, address, token(t, podUID)); r.status != 500 || r.body != "[]: (RequestError): EKS Auth did not answer, fault: unknown\n" {
			t.Errorf("%d %q", r.status, r.body)
		}
	})
}

// Many who show one token at a time are one exchange, which goes on when the first of
// them leaves (A42).
func TestSingleFlight(t *testing.T) {
	s := newService(t)
	release := make(chan struct{})
	s.fails(func(http.ResponseWriter, *http.Request) bool {
		<-release
		return false
	})
	a, first := start(t, s, agent.Config{}) // an attempt takes 20 s
	second := serve(t, a.Handler())         // the other address
	tok := token(t, podUID)

	ctx, leave := context.WithCancel(t.Context())
	gone := make(chan error, 1)
	go func() {
		req, _ := http.NewRequestWithContext(ctx, "GET", "http://"+first+agent.Path, nil)
		req.Host, req.Header = "169.254.170.23", http.Header{"Authorization": {tok}}
		_, err := local.Do(req)
		gone <- err
	}()
	for s.calls.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	leave()
	if err := <-gone; err == nil {
		t.Error("the client has not left")
	}
	keys := make(chan string, 50)
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() { keys <- get(t, []string{first, second}[i%2], tok).accessKey(t) })
	}
	time.Sleep(200 * time.Millisecond)
	close(release)
	wg.Wait()
	for range 50 {
		if key := <-keys; key != "ASIA1" {
			t.Errorf("credentials %s", key)
		}
	}
	if n := s.calls.Load(); n != 1 {
		t.Errorf("%d exchanges", n)
	}
}

// What a token says is a hint: only what EKS Auth has accepted gets credentials.
func TestATokenIsNotItsPod(t *testing.T) {
	s := newService(t)
	a, address := start(t, s, agent.Config{})
	good := token(t, podUID)
	key := get(t, address, good).accessKey(t)

	head, signature, _ := strings.Cut(good, ".")
	payload, signature, _ := strings.Cut(signature, ".")
	flipped := []byte(signature)
	flipped[3] ^= 1
	claims := claimsOf(podUID, map[string]any{"exp": time.Now().Add(48 * time.Hour).Unix(), "iat": time.Now().Add(time.Minute).Unix()})
	forged, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	for name, tok := range map[string]string{
		"another signature": head + "." + payload + "." + string(flipped),
		"no signature":      head + "." + payload + ".",
		"other claims":      head + "." + base64.RawURLEncoding.EncodeToString(forged) + "." + signature,
		"none":              base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + base64.RawURLEncoding.EncodeToString(forged) + ".",
	} {
		before := s.calls.Load()
		if r := get(t, address, tok); r.status != 400 || !strings.Contains(r.body, "(InvalidTokenException)") {
			t.Errorf("%s: %d %s", name, r.status, r.body)
		}
		if s.calls.Load() == before {
			t.Errorf("%s: EKS Auth was not asked", name)
		}
	}
	// The pod has lost nothing by it, and is renewed with its own token.
	calls := s.calls.Load()
	if again := get(t, address, good).accessKey(t); again != key || s.calls.Load() != calls {
		t.Errorf("credentials %s, were %s", again, key)
	}
	if pods, tokens := agent.Kept(a); pods != 1 || tokens != 1 {
		t.Errorf("%d pods and %d tokens are kept", pods, tokens)
	}
}

// A pod's next token is accepted by EKS Auth and then stands for the same pod; the one
// before is still good. So many tokens of one pod are known, and no more.
func TestNextToken(t *testing.T) {
	s := newService(t)
	a, address := start(t, s, agent.Config{})
	now := time.Now()
	aged := func(age time.Duration) string {
		return sign(t, claimsOf(podUID, map[string]any{"iat": now.Add(-age).Unix(), "nbf": now.Add(-age).Unix()}))
	}
	old, next := aged(time.Hour), aged(0)
	get(t, address, old)
	if key := get(t, address, next).accessKey(t); key != "ASIA2" {
		t.Errorf("credentials %s: EKS Auth was not asked about the token", key)
	}
	if key := get(t, address, old).accessKey(t); key != "ASIA2" {
		t.Errorf("credentials %s for the former token", key)
	}
	if pods, tokens := agent.Kept(a); pods != 1 || tokens != 2 {
		t.Errorf("%d pods and %d tokens are kept", pods, tokens)
	}
	for i := range 10 {
		get(t, address, aged(time.Duration(i+2)*time.Minute))
	}
	if pods, tokens := agent.Kept(a); pods != 1 || tokens != 4 {
		t.Errorf("%d pods and %d tokens are kept", pods, tokens)
	}
	if key := get(t, address, next).accessKey(t); key == "" || s.tokens()[len(s.tokens())-1] == next {
		t.Error("the newest token was forgotten")
	}
}

// Another service account by EKS Auth's word than by ours is no reason to mix pods.
func TestPodsAreNotMixed(t *testing.T) {
	n := 0
	a := agent.New(agent.Config{Exchange: func(context.Context, string) (*agent.Credentials, error) {
		n++
		return &agent.Credentials{AccessKeyID: fmt.Sprint(n), Namespace: "other", ServiceAccount: "app", Expires: time.Now().Add(time.Hour)}, nil
	}})
	address := serve(t, a.Handler())
	one, two := token(t, podUID), token(t, podUID)
	if x, y, again := get(t, address, one).accessKey(t), get(t, address, two).accessKey(t), get(t, address, one).accessKey(t); x != "1" || y != "2" || again != "1" {
		t.Errorf("%s, %s, %s", x, y, again)
	}
}

// The pods that ask least give way.
func TestCacheIsBounded(t *testing.T) {
	s := newService(t)
	registry := prometheus.NewRegistry()
	a, address := start(t, s, agent.Config{CacheSize: 3, Metrics: agent.NewMetrics(registry)})
	tokens := map[string]string{}
	for _, pod := range []string{"a", "b", "c", "a", "d"} {
		if tokens[pod] == "" {
			tokens[pod] = token(t, pod)
		}
		get(t, address, tokens[pod])
	}
	calls := s.calls.Load()
	for _, pod := range []string{"a", "c", "d"} {
		get(t, address, tokens[pod])
	}
	if s.calls.Load() != calls {
		t.Error("one of the others is gone")
	}
	get(t, address, tokens["b"])
	if s.calls.Load() != calls+1 {
		t.Error("the pod that asked least is still there")
	}
	if pods, n := agent.Kept(a); pods != 3 || n != 3 {
		t.Errorf("%d pods and %d tokens are kept", pods, n)
	}
	want := map[string]float64{
		"pod_identity_cache_state{state=hit}": 4, "pod_identity_cache_state{state=miss}": 5, "pod_identity_cache_state{state=evicted}": 2,
		"pod_identity_cache_pods": 3, "pod_identity_http_response{code=200}": 9, "pod_identity_exchange_duration_seconds{code=OK}": 5,
		"pod_identity_cache_renewals": 0,
	}
	if diff := cmp.Diff(want, metrics(t, registry)); diff != "" {
		t.Error(diff)
	}

	none, address := start(t, s, agent.Config{CacheSize: -1})
	calls = s.calls.Load()
	for range 3 {
		get(t, address, tokens["a"])
	}
	if pods, n := agent.Kept(none); s.calls.Load() != calls+3 || pods != 0 || n != 0 {
		t.Errorf("without a cache: %d exchanges, %d pods, %d tokens", s.calls.Load()-calls, pods, n)
	}
}

// metrics are our own, by name and labels; of histograms their counts.
func metrics(t *testing.T, r *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := f.GetName()
			if !strings.HasPrefix(name, "pod_identity_") {
				continue
			}
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetName()+"="+l.GetValue())
			}
			if labels != nil {
				name += "{" + strings.Join(labels, ",") + "}"
			}
			all[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return all
}

// Credentials that end at once are given to nobody.
func TestShortCredentials(t *testing.T) {
	s := newService(t)
	s.set(func(s *authService) { s.life = 10 * time.Second })
	a, address := start(t, s, agent.Config{})
	r := get(t, address, token(t, podUID))
	if r.status != 500 || !regexp.MustCompile(`^fetched credentials are expired or will expire within the next \d+\.\d\d seconds\n$`).MatchString(r.body) {
		t.Errorf("%d %q", r.status, r.body)
	}
	if pods, _ := agent.Kept(a); pods != 0 {
		t.Error("they are kept")
	}
}

// The log says what happens and shows nothing of it, at any level.
func TestNoSecretsInLogs(t *testing.T) {
	s := newService(t)
	var log lockedBuffer
	_, address := start(t, s, agent.Config{Log: slog.New(redact.Handler(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})))})
	good := token(t, podUID)
	get(t, address, good)
	get(t, address, good+"x")
	get(t, address, "Bearer "+good)
	s.Server.Close()
	get(t, address, token(t, "other"))
	for _, secret := range []string{good, good[len(good)-40:], "secret/of", "session+token", secretKey} {
		if strings.Contains(log.String(), secret) {
			t.Errorf("the log shows %q:\n%s", secret, &log)
		}
	}
	for _, text := range []string{`"msg":"credentials were fetched","namespace":"team-a","serviceAccount":"app","pod":"app-` + podUID + `","association":"a-0123456789abcdefg"`,
		`"code":"InvalidTokenException"`, `"code":"RequestError"`} {
		if !strings.Contains(log.String(), text) {
			t.Errorf("the log does not say %s:\n%s", text, &log)
		}
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func TestProbe(t *testing.T) {
	a := agent.New(agent.Config{})
	one, two := serve(t, a.Handler()), serve(t, a.Handler())
	hung := serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-time.After(20 * time.Second):
		}
	}))
	fine := serve(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	for _, c := range []struct {
		addresses []string
		status    int
		body      string
	}{
		{[]string{one, two}, 200, ""},
		{[]string{one, closed.Addr().String()}, 500, "Internal Server Error occurred"},
		{[]string{fine}, 500, "Internal Server Error occurred"},
		{[]string{hung}, 408, ""},
	} {
		t.Run(fmt.Sprint(c.status), func(t *testing.T) {
			t.Parallel()
			address := serve(t, agent.Probe(c.addresses, slog.New(slog.DiscardHandler)))
			res, err := local.Get("http://" + address + "/readyz")
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			body, err := io.ReadAll(res.Body)
			if err != nil || res.StatusCode != c.status || string(body) != c.body {
				t.Errorf("%d %q, %v, want %d %q", res.StatusCode, body, err, c.status, c.body)
			}
		})
	}
}

func expires(t testing.TB, r response) time.Time {
	t.Helper()
	var c struct{ Expiration time.Time }
	if err := json.Unmarshal([]byte(r.body), &c); err != nil {
		t.Errorf("%q: %v", r.body, err)
	}
	return c.Expiration
}
