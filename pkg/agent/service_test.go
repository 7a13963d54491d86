package agent_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/go-jose/go-jose/v4"

	"github.com/openirsa/openirsa/internal/sigv4"
	"github.com/openirsa/openirsa/pkg/agent"
)

const (
	cluster   = "c1"
	accessKey = "AKIAAGENT00000000000"
	secretKey = "of-the-agent"
	audience  = "pods.eks.amazonaws.com"
	issuerURL = "https://issuer.example/c1"
	podUID    = "0cda7f85-c1f9-4dee-b6e9-a0b50c8f3012"
)

// signingKey is the cluster's.
var signingKey = sync.OnceValue(func() *ecdsa.PrivateKey {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return k
})

// sign is a token with these claims, as a kubelet gives it to a pod.
func sign(t testing.TB, claims map[string]any) string {
	t.Helper()
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: signingKey(), KeyID: "k1"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := s.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	token, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// claimsOf are those of a token of a pod; over replaces some of them.
func claimsOf(pod string, over map[string]any) map[string]any {
	now := time.Now()
	c := map[string]any{
		"iss": issuerURL, "sub": "system:serviceaccount:team-a:app", "aud": []string{audience}, "jti": rand.Text(),
		"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(24 * time.Hour).Unix(),
		"kubernetes.io": map[string]any{"namespace": "team-a",
			"serviceaccount": map[string]any{"name": "app", "uid": "sa-uid"}, "pod": map[string]any{"name": "app-" + pod, "uid": pod}},
	}
	maps.Copy(c, over)
	return c
}

func token(t testing.TB, pod string) string { return sign(t, claimsOf(pod, nil)) }

// authService is EKS Auth, as its model and AWS's documentation have it.
type authService struct {
	*httptest.Server
	t testing.TB

	calls atomic.Int64 // requests
	fault atomic.Pointer[func(w http.ResponseWriter, r *http.Request) (done bool)]

	mu      sync.Mutex
	life    time.Duration
	timeout time.Duration // of the agent's attempts
	nothing bool          // there is no association
	asked   []string      // the tokens of good requests
	given   int
	invalid map[string]bool // tokens that nobody signed
}

func newService(t testing.TB) *authService {
	t.Helper()
	s := &authService{t: t, life: 6 * time.Hour, timeout: 20 * time.Second, invalid: map[string]bool{}}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

// fails has the service answer in another way; nil: as always.
func (s *authService) fails(f func(w http.ResponseWriter, r *http.Request) (done bool)) {
	if f == nil {
		s.fault.Store(nil)
		return
	}
	s.fault.Store(&f)
}

func (s *authService) set(f func(s *authService)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(s)
}

func (s *authService) tokens() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.asked...)
}

// says is an error of the service.
func says(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("x-amzn-RequestId", "req-1")
	w.Header().Set("x-amzn-ErrorType", code)
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]any{"__type": code, "message": message})
}

var verifier sigv4.Verifier

func (s *authService) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.calls.Add(1)
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the agent has not waited
	}
	sig, err := sigv4.Parse(r)
	if err != nil {
		says(w, 403, "MissingAuthenticationTokenException", "Missing Authentication Token")
		return
	}
	if sig.AccessKeyID != accessKey || sig.Service != "eks-auth" || sig.Region != "us-east-1" {
		s.t.Errorf("signed by %s for %s in %s", sig.AccessKeyID, sig.Service, sig.Region)
	}
	if _, err := verifier.Verify(r, &sig, secretKey, sigv4.HashPayload(body), time.Now()); err != nil {
		says(w, 403, "InvalidSignatureException", err.Error())
		return
	}
	if f := s.fault.Load(); f != nil && (*f)(w, r) {
		return
	}
	if want := "/clusters/" + cluster + "/assume-role-for-pod-identity"; r.Method != http.MethodPost || r.URL.Path != want {
		s.t.Errorf("%s %s, want POST %s", r.Method, r.URL.Path, want)
	}
	var in struct{ Token string }
	if err := json.NewDecoder(bytes.NewReader(body)).Decode(&in); err != nil {
		s.t.Error(err)
	}
	s.exchange(w, in.Token)
}

func (s *authService) exchange(w http.ResponseWriter, token string) {
	signed, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		says(w, 400, "InvalidTokenException", "The token included in the request is invalid.")
		return
	}
	payload, err := signed.Verify(signingKey().Public())
	if err != nil {
		s.set(func(s *authService) { s.invalid[token] = true })
		says(w, 400, "InvalidTokenException", "The token included in the request is invalid.")
		return
	}
	var c struct {
		Exp        int64
		Kubernetes struct {
			Namespace      string
			ServiceAccount struct{ Name string }
		} `json:"kubernetes.io"`
	}
	if err := json.Unmarshal(payload, &c); err != nil {
		s.t.Error(err)
	}
	if time.Now().Unix() >= c.Exp && c.Exp != 0 {
		says(w, 400, "ExpiredTokenException", "The token included in the request is expired")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, token)
	if s.nothing {
		says(w, 404, "ResourceNotFoundException", "No association for the service account.")
		return
	}
	s.given++
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("x-amzn-RequestId", fmt.Sprint("req-", s.given))
	json.NewEncoder(w).Encode(map[string]any{
		"subject":                map[string]any{"namespace": c.Kubernetes.Namespace, "serviceAccount": c.Kubernetes.ServiceAccount.Name},
		"audience":               audience,
		"podIdentityAssociation": map[string]any{"associationArn": "arn:aws:eks:us-east-1:111122223333:podidentityassociation/c1/a-0123456789abcdefg", "associationId": "a-0123456789abcdefg"},
		"assumedRoleUser":        map[string]any{"arn": "arn:aws:sts::111122223333:assumed-role/app-role/eks-c1-app", "assumeRoleId": "AROA:eks-c1-app"},
		"credentials": map[string]any{"accessKeyId": fmt.Sprint("ASIA", s.given), "secretAccessKey": "secret/of+role", "sessionToken": "session+token/" + strings.Repeat("x", 800) + "==",
			"expiration": float64(time.Now().Add(s.life).UnixMilli()) / 1000},
	})
}

// exchange is the agent's side of the service.
func (s *authService) exchangeOf() agent.Exchange {
	exchange, err := agent.EKSAuth(aws.Config{Region: "us-east-1", Credentials: aws.NewCredentialsCache(credentials.NewStaticCredentialsProvider(accessKey, secretKey, ""))},
		agent.Service{Cluster: cluster, Endpoint: s.URL, Timeout: s.timeout})
	if err != nil {
		s.t.Fatal(err)
	}
	return exchange
}

// serve is an agent behind a socket of 127.0.0.1.
func serve(t testing.TB, h http.Handler) string {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

// start is an agent of the service at an address.
func start(t testing.TB, s *authService, c agent.Config) (a *agent.Agent, address string) {
	t.Helper()
	c.Exchange = s.exchangeOf()
	a = agent.New(c)
	return a, serve(t, a.Handler())
}

// response is what a client sees.
type response struct {
	status int
	body   string
	header http.Header
}

func (r response) accessKey(t testing.TB) string {
	t.Helper()
	var c struct{ AccessKeyId string }
	if r.status != 200 {
		t.Errorf("status %d: %s", r.status, r.body)
		return ""
	}
	if err := json.Unmarshal([]byte(r.body), &c); err != nil {
		t.Errorf("%q: %v", r.body, err)
	}
	return c.AccessKeyId
}

// client calls from another address of this machine.
func client(from string) *http.Client {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	return &http.Client{Transport: &http.Transport{DialContext: d.DialContext, MaxIdleConnsPerHost: 64}, Timeout: 20 * time.Second}
}

var local = client("127.0.0.1")

// get calls the agent as an SDK does that was given its address.
func get(t testing.TB, address, token string) response {
	t.Helper()
	r, err := ask(local, address, token)
	if err != nil {
		t.Error(err)
	}
	return r
}

func ask(c *http.Client, address, token string) (response, error) {
	req, err := http.NewRequest(http.MethodGet, "http://"+address+agent.Path, nil)
	if err != nil {
		return response{}, err
	}
	req.Host = "169.254.170.23"
	req.Header.Set("Accept", "application/json")
	if token != "" {
		req.Header.Set("Authorization", token)
	}
	res, err := c.Do(req)
	if err != nil {
		return response{}, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return response{res.StatusCode, string(body), res.Header}, err
}
