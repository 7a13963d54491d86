package emulator_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/go-jose/go-jose/v4"

	"github.com/openirsa/openirsa/pkg/emulator"
)

// connections is how many clients call at the same time, each over a
// connection of its own that it keeps.
const connections = 8

// rate is how many calls a second a handler answers over HTTP.
func rate(b *testing.B, h http.Handler, request func() *http.Request, d time.Duration) float64 {
	b.Helper()
	server := httptest.NewServer(h)
	defer server.Close()
	transport := &http.Transport{MaxIdleConnsPerHost: connections}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	var calls atomic.Int64
	var wg sync.WaitGroup
	started := time.Now()
	for range connections {
		wg.Go(func() {
			for time.Since(started) < d {
				r := request()
				r.URL.Scheme, r.URL.Host = "http", server.Listener.Addr().String()
				resp, err := client.Do(r)
				if err != nil {
					b.Error(err)
					return
				}
				body, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if err != nil || resp.StatusCode != http.StatusOK {
					b.Errorf("status %d, %v: %s", resp.StatusCode, err, body)
					return
				}
				calls.Add(1)
			}
		})
	}
	wg.Wait()
	return float64(calls.Load()) / time.Since(started).Seconds()
}

// sideBySide measures two handlers in turns, so that both meet the machine in
// the same state, and reports their rates and the ratio.
func sideBySide(b *testing.B, ours, bare http.Handler, request func() *http.Request) {
	const rounds = 4
	rate(b, ours, request, 200*time.Millisecond) // warm up
	rate(b, bare, request, 200*time.Millisecond)
	for b.Loop() {
		var a, z float64
		for range rounds {
			a += rate(b, ours, request, 500*time.Millisecond) / rounds
			z += rate(b, bare, request, 500*time.Millisecond) / rounds
		}
		b.ReportMetric(a, "calls/s")
		b.ReportMetric(z, "bare-calls/s")
		b.ReportMetric(a/z, "of-bare")
	}
	b.ReportMetric(0, "ns/op")
}

// bareVerify only parses the form and verifies the token with go-jose.
func bareVerify(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	jws, err := jose.ParseSignedCompact(r.Form.Get("WebIdentityToken"), []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	payload, err := jws.Verify(&keyOne().PublicKey)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	var claims struct{ Iss, Sub string }
	if err := json.Unmarshal(payload, &claims); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "text/xml")
	io.WriteString(w, claims.Sub)
}

// quiet is a configuration without a log.
func quiet() emulator.Config { return emulator.Config{Log: slog.New(slog.DiscardHandler)} }

// kubernetesToken is a token as kube-apiserver signs it.
func kubernetesToken(i *idp) string {
	return i.token(i.claims().with(claims{
		"jti": "6d3e7a1e-9d8a-4a53-9f1a-0b4f0f5f3c11",
		"kubernetes.io": map[string]any{
			"namespace":      "ns1",
			"node":           map[string]string{"name": "worker-1", "uid": "0a1b2c3d-0000-4000-8000-000000000001"},
			"pod":            map[string]string{"name": "app-7d9c", "uid": "0a1b2c3d-0000-4000-8000-000000000002"},
			"serviceaccount": map[string]string{"name": "app", "uid": "0a1b2c3d-0000-4000-8000-000000000003"},
		},
	}))
}

func assumeRequest(role, token string) func() *http.Request {
	body := []byte(form("Action", "AssumeRoleWithWebIdentity", "Version", "2011-06-15", "RoleArn", role, "RoleSessionName", "bench", "WebIdentityToken", token))
	return func() *http.Request {
		r, _ := http.NewRequest(http.MethodPost, "http://x/", bytes.NewReader(body))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		return r
	}
}

func BenchmarkAssumeRoleWithWebIdentity(b *testing.B) {
	a, idp := start(b, quiet())
	idp.register()
	role := a.Role("R", idp.usual())
	request := assumeRequest(role, kubernetesToken(idp))
	b.Run("empty", func(b *testing.B) { sideBySide(b, a.Server, http.HandlerFunc(bareVerify), request) })
	for range 100_000 {
		a.ServeHTTP(httptest.NewRecorder(), request())
	}
	b.Run("100000-sessions", func(b *testing.B) { sideBySide(b, a.Server, http.HandlerFunc(bareVerify), request) })
}

// signedRequest makes a signed GetCallerIdentity with the credentials of a
// role session.
func signedRequest(t testing.TB, c *sts.AssumeRoleWithWebIdentityOutput) func() *http.Request {
	t.Helper()
	body := []byte("Action=GetCallerIdentity&Version=2011-06-15")
	sum := sha256.Sum256(body)
	template, _ := http.NewRequest(http.MethodPost, "http://sts.test/", bytes.NewReader(body))
	template.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	err := v4.NewSigner().SignHTTP(context.Background(), aws.Credentials{
		AccessKeyID: *c.Credentials.AccessKeyId, SecretAccessKey: *c.Credentials.SecretAccessKey, SessionToken: *c.Credentials.SessionToken,
	}, template, hex.EncodeToString(sum[:]), "sts", "us-east-1", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return func() *http.Request {
		r, _ := http.NewRequest(http.MethodPost, "http://sts.test/", bytes.NewReader(body))
		r.Header = template.Header.Clone()
		r.Host = "sts.test"
		return r
	}
}

// bareHMAC parses the form and makes the HMACs of one signature.
func bareHMAC(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	key := []byte("AWS4secret")
	for _, part := range []string{"20261122", "us-east-1", "sts", "aws4_request", r.Header.Get("Authorization")} {
		h := hmac.New(sha256.New, key)
		io.WriteString(h, part)
		key = h.Sum(nil)
	}
	w.Header().Set("Content-Type", "text/xml")
	fmt.Fprintf(w, "%x", key)
}

func BenchmarkGetCallerIdentity(b *testing.B) {
	a, idp := start(b, quiet())
	idp.register()
	role := a.Role("R", idp.usual())
	out, err := assume(b, a, role, kubernetesToken(idp))
	if err != nil {
		b.Fatal(err)
	}
	sideBySide(b, a.Server, http.HandlerFunc(bareHMAC), signedRequest(b, out))
}

// BenchmarkMemory makes a million calls and reports what they leave behind.
func BenchmarkMemory(b *testing.B) {
	a, idp := start(b, quiet())
	idp.register()
	role := a.Role("R", idp.usual())
	request := assumeRequest(role, kubernetesToken(idp))
	heap := func() float64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc) / (1 << 20)
	}
	for range 10_000 { // until the event log is full
		a.ServeHTTP(httptest.NewRecorder(), request())
	}
	before := heap()
	for b.Loop() {
		for range 1_000_000 {
			a.ServeHTTP(httptest.NewRecorder(), request())
		}
	}
	b.ReportMetric(before, "MiB-before")
	b.ReportMetric(heap(), "MiB-after")
}
