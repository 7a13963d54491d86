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
	"net/http/httputil"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/go-jose/go-jose/v4"

	"github.com/openirsa/openirsa/pkg/emulator"
	"github.com/openirsa/openirsa/pkg/emulator/emulatortest"
)

// connections is how many clients call at the same time, each over a
// connection of its own that it keeps.
const connections = 8

// load is a handler behind a server, and what calls of it took.
type load struct {
	address   string
	client    *http.Client
	request   func() *http.Request
	latencies []time.Duration
	took, cpu time.Duration
}

func newLoad(b *testing.B, h http.Handler, request func() *http.Request) *load {
	b.Helper()
	server := httptest.NewServer(h)
	b.Cleanup(server.Close)
	transport := &http.Transport{MaxIdleConnsPerHost: connections}
	b.Cleanup(transport.CloseIdleConnections)
	return &load{address: server.Listener.Addr().String(), client: &http.Client{Transport: transport}, request: request}
}

// run calls for d and returns how many calls a second were answered.
func (l *load) run(b *testing.B, d time.Duration) float64 {
	b.Helper()
	all := make([][]time.Duration, connections)
	var wg sync.WaitGroup
	started, cpu := time.Now(), processorTime()
	for i := range connections {
		wg.Go(func() {
			for at := started; at.Sub(started) < d; {
				r := l.request()
				r.URL.Scheme, r.URL.Host = "http", l.address
				resp, err := l.client.Do(r)
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
				now := time.Now()
				all[i] = append(all[i], now.Sub(at))
				at = now
			}
		})
	}
	wg.Wait()
	took := time.Since(started)
	l.took += took
	l.cpu += processorTime() - cpu
	calls := slices.Concat(all...)
	l.latencies = append(l.latencies, calls...)
	return float64(len(calls)) / took.Seconds()
}

// processor is what a call takes of a processor in microseconds: of client, server
// and, if there is one, backend, which are all in this process.
func (l *load) processor() float64 {
	return float64(l.cpu.Nanoseconds()) / 1000 / float64(len(l.latencies))
}

// percentile99 of the latencies in milliseconds.
func (l *load) percentile99() float64 {
	slices.Sort(l.latencies)
	return float64(l.latencies[len(l.latencies)*99/100].Microseconds()) / 1000
}

// sideBySide measures two handlers in turns, so that both meet the machine in the
// same state, and reports how they compare: of-bare is the median of the ratios of
// their rates, cpu-of-bare the ratio of what a call takes of a processor. On a machine
// that does nothing else both are the same; on one that does, the second is less
// disturbed.
func sideBySide(b *testing.B, ours, bare http.Handler, request func() *http.Request) {
	const rounds = 20
	a, z := newLoad(b, ours, request), newLoad(b, bare, request)
	for _, l := range []*load{a, z} { // warm up
		l.run(b, 200*time.Millisecond)
		l.latencies, l.took, l.cpu = nil, 0, 0
	}
	for b.Loop() {
		var ratios []float64
		for i := range rounds {
			pair := []*load{a, z}
			rates := map[*load]float64{}
			if i%2 == 1 {
				slices.Reverse(pair)
			}
			for _, l := range pair {
				rates[l] = l.run(b, 100*time.Millisecond)
			}
			ratios = append(ratios, rates[a]/rates[z])
		}
		slices.Sort(ratios)
		b.ReportMetric(ratios[len(ratios)/2], "of-bare")
	}
	b.ReportMetric(z.processor()/a.processor(), "cpu-of-bare")
	b.ReportMetric(a.processor(), "µs-cpu/call")
	b.ReportMetric(z.processor(), "bare-µs-cpu/call")
	b.ReportMetric(a.percentile99(), "p99-ms")
	b.ReportMetric(z.percentile99(), "bare-p99-ms")
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
	b.Run("100000-sessions", func(b *testing.B) {
		for range 100_000 {
			a.ServeHTTP(httptest.NewRecorder(), request())
		}
		sideBySide(b, a.Server, http.HandlerFunc(bareVerify), request)
	})
}

// bareVerifyJSON is bareVerify for a token in JSON.
func bareVerifyJSON(w http.ResponseWriter, r *http.Request) {
	var body struct{ Token string }
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	jws, err := jose.ParseSignedCompact(body.Token, []jose.SignatureAlgorithm{jose.RS256})
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
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, "%q", claims.Sub)
}

// BenchmarkAssumeRoleForPodIdentity measures an exchange by an agent that has the
// permission and no more, whose call is signed: beside a handler that only verifies the
// token.
func BenchmarkAssumeRoleForPodIdentity(b *testing.B) {
	a, idp := start(b, quiet())
	if _, err := a.RegisterCluster(emulator.EKSCluster{Name: "c1", Issuer: "https://" + idp.hostPath()}); err != nil {
		b.Fatal(err)
	}
	role := a.Role("R", document(serviceTrust(map[string]any{"StringEquals": map[string]any{
		"aws:RequestTag/kubernetes-namespace": "ns1", "aws:RequestTag/kubernetes-service-account": "app",
	}})))
	agent, secret := podAgent(b, a)
	send := func(id, secret, service, path, body string) *http.Request {
		r, _ := http.NewRequest(http.MethodPost, "http://eks-auth.test"+path, strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		sum := sha256.Sum256([]byte(body))
		err := v4.NewSigner().SignHTTP(context.Background(), aws.Credentials{AccessKeyID: id, SecretAccessKey: secret}, r, hex.EncodeToString(sum[:]),
			service, "us-east-1", time.Now())
		if err != nil {
			b.Fatal(err)
		}
		return r
	}
	rec := httptest.NewRecorder()
	a.ServeHTTP(rec, send("test", "test", "eks", "/clusters/c1/pod-identity-associations", `{"namespace":"ns1","serviceAccount":"app","roleArn":"`+role+`"}`))
	if rec.Code != http.StatusOK {
		b.Fatal(rec.Body)
	}
	token := idp.token(idp.claims().with(claims{"aud": "pods.eks.amazonaws.com", "kubernetes.io": bound("ns1", "app", podName)}))
	const path = "/clusters/c1/assume-role-for-pod-identity"
	body := `{"token":"` + token + `"}`
	template := send(agent, secret, "eks-auth", path, body)
	sideBySide(b, a.Server, http.HandlerFunc(bareVerifyJSON), func() *http.Request {
		r, _ := http.NewRequest(http.MethodPost, "http://eks-auth.test"+path, strings.NewReader(body))
		r.Header = template.Header.Clone()
		r.Host = "eks-auth.test"
		return r
	})
}

// podAgent is the access key of a user who may exchange the tokens of pods.
func podAgent(b *testing.B, a *emulatortest.AWS) (id, secret string) {
	b.Helper()
	client := iam.NewFromConfig(a.Config())
	if _, err := client.CreateUser(b.Context(), &iam.CreateUserInput{UserName: new("agent")}); err != nil {
		b.Fatal(err)
	}
	if _, err := client.PutUserPolicy(b.Context(), &iam.PutUserPolicyInput{UserName: new("agent"), PolicyName: new("p"), PolicyDocument: new(document(
		allowing(nil, "eks-auth:AssumeRoleForPodIdentity", "arn:aws:eks:us-east-1:"+a.Account()+":cluster/c1")))}); err != nil {
		b.Fatal(err)
	}
	made, err := client.CreateAccessKey(b.Context(), &iam.CreateAccessKeyInput{UserName: new("agent")})
	if err != nil {
		b.Fatal(err)
	}
	return *made.AccessKey.AccessKeyId, *made.AccessKey.SecretAccessKey
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

// BenchmarkGuard measures a call of DynamoDB that is verified, decided and forwarded,
// beside a bare proxy to the same backend.
func BenchmarkGuard(b *testing.B) {
	answer := []byte(`{"Item":{"id":{"S":"7"},"text":{"S":"` + strings.Repeat("x", 900) + `"}}}`)
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", json10)
		w.Write(answer)
	}))
	defer backend.Close()
	target, err := url.Parse(backend.URL)
	if err != nil {
		b.Fatal(err)
	}
	g := newGuarded(b, func(c *emulator.Config) {
		c.Now = nil
		c.Forward = map[string]emulator.Backend{"dynamodb": {URL: backend.URL}}
	})
	g.policy(permitting("dynamodb:*", arnDynamo+"table/Cart"))
	body := []byte(`{"TableName":"Cart","Key":{"id":{"S":"7"}},"ProjectionExpression":"id, #t","ExpressionAttributeNames":{"#t":"text"}}`)
	template, _ := http.NewRequest(http.MethodPost, "http://guard.test/", bytes.NewReader(body))
	template.Header.Set("Content-Type", json10)
	template.Header.Set("X-Amz-Target", "DynamoDB_20120810.GetItem")
	sum := sha256.Sum256(body)
	err = v4.NewSigner().SignHTTP(context.Background(), aws.Credentials{AccessKeyID: g.id, SecretAccessKey: g.secret},
		template, hex.EncodeToString(sum[:]), "dynamodb", "us-east-1", time.Now())
	if err != nil {
		b.Fatal(err)
	}
	bare := &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport: &http.Transport{MaxIdleConnsPerHost: 256, DisableCompression: true},
	}
	sideBySide(b, g.Server, bare, func() *http.Request {
		r, _ := http.NewRequest(http.MethodPost, "http://guard.test/", bytes.NewReader(body))
		r.Header = template.Header.Clone()
		r.Host = "guard.test"
		return r
	})
}
