package emulator_test

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/openirsa/openirsa/pkg/emulator"
	"github.com/openirsa/openirsa/pkg/emulator/emulatortest"
)

const clusterIssuer = "https://kubernetes.default.svc.cluster.local"

// apiServer has the documents of a cluster's issuer for whoever has the token.
type apiServer struct {
	*httptest.Server
	mu       sync.Mutex
	token    string // that is good
	issuer   string
	redirect string
	seen     []string // path and Authorization of all requests
}

func newAPIServer(t *testing.T) (*apiServer, *emulator.ClusterIssuer) {
	t.Helper()
	s := &apiServer{token: "first", issuer: clusterIssuer}
	s.Server = httptest.NewTLSServer(http.HandlerFunc(s.serve))
	s.Config.ErrorLog = nil
	t.Cleanup(s.Close)
	c := &emulator.ClusterIssuer{Issuer: clusterIssuer, APIServer: s.URL,
		TokenFile: filepath.Join(t.TempDir(), "token"), CAFile: filepath.Join(t.TempDir(), "ca.crt")}
	for file, text := range map[string][]byte{
		c.TokenFile: []byte("first\n"), c.CAFile: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}),
	} {
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return s, c
}

func (s *apiServer) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

func (s *apiServer) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = append(s.seen, r.URL.Path+" "+r.Header.Get("Authorization"))
	switch {
	case r.Header.Get("Authorization") != "Bearer "+s.token:
		w.WriteHeader(http.StatusUnauthorized)
	case s.redirect != "":
		http.Redirect(w, r, s.redirect, http.StatusFound)
	case r.URL.Path == "/.well-known/openid-configuration":
		// An address of the API server's own, which pods do not reach.
		json.NewEncoder(w).Encode(map[string]any{"issuer": s.issuer, "jwks_uri": "https://192.0.2.1:6443/openid/v1/jwks"})
	case r.URL.Path == "/openid/v1/jwks" && !strings.Contains(r.Header.Get("Accept"), "application/jwk-set+json"): // as kube-apiserver does
		w.WriteHeader(http.StatusNotAcceptable)
	case r.URL.Path == "/openid/v1/jwks":
		json.NewEncoder(w).Encode(map[string]any{"keys": []any{rsaJWK("one", &keyOne().PublicKey)}})
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

func provide(t *testing.T, a *emulatortest.AWS, url string) (arn string) {
	t.Helper()
	out, err := iam.NewFromConfig(a.Config()).CreateOpenIDConnectProvider(t.Context(), &iam.CreateOpenIDConnectProviderInput{Url: &url, ClientIDList: []string{"sts.amazonaws.com"}})
	if err != nil {
		t.Fatal(err)
	}
	return *out.OpenIDConnectProviderArn
}

func trustIn(arn string) string {
	_, hostPath, _ := strings.Cut(arn, ":oidc-provider/")
	return document(map[string]any{"Effect": "Allow", "Principal": map[string]any{"Federated": arn}, "Action": "sts:AssumeRoleWithWebIdentity",
		"Condition": map[string]any{"StringEquals": map[string]any{hostPath + ":sub": subject, hostPath + ":aud": "sts.amazonaws.com"}}})
}

func clusterToken(t *testing.T, a *emulatortest.AWS, issuer string) string {
	now := a.Now().Unix()
	return sign(t, map[string]any{"alg": "RS256", "kid": "one"}, claims{"iss": issuer, "sub": subject, "aud": []string{"sts.amazonaws.com"}, "exp": now + 3600, "iat": now, "nbf": now}, keyOne())
}

// The documents of the cluster's own issuer come from the API server, with a
// token that may change at any time.
func TestClusterIssuer(t *testing.T) {
	t.Parallel()
	server, c := newAPIServer(t)
	a := startAWS(t, emulator.Config{Cluster: c, MaxKeyAge: -1})
	role := a.Role("R", trustIn(provide(t, a, clusterIssuer)))
	token := clusterToken(t, a, clusterIssuer)
	if _, err := assume(t, a, role, token); err != nil {
		t.Fatalf("%v; %s", err, a.LastDenial().Reason)
	}

	server.set(func() { server.token = "second" })
	_, err := assume(t, a, role, token)
	refused(t, err, 400, "InvalidIdentityToken", "Couldn't retrieve verification key from your identity provider,  please reference AssumeRoleWithWebIdentity documentation for requirements")
	if reason := a.LastDenial().Reason; !strings.Contains(reason, "system:service-account-issuer-discovery") || strings.Contains(reason, "first") {
		t.Errorf("reason %q", reason)
	}
	a.FastForward(5e9) // a failure is kept for a moment
	token = clusterToken(t, a, clusterIssuer)
	if err := os.WriteFile(c.TokenFile, []byte("second"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := assume(t, a, role, token); err != nil {
		t.Errorf("with the renewed token: %v; %s", err, a.LastDenial().Reason)
	}

	for what, change := range map[string]func(){
		"another issuer's documents": func() { server.issuer = clusterIssuer + "/" },
		"a redirect":                 func() { server.redirect = server.URL + "/openid/v1/jwks" },
		"a CA of another":            func() { os.WriteFile(c.CAFile, []byte("-----BEGIN CERTIFICATE-----"), 0o600) },
		"no token":                   func() { os.Remove(c.TokenFile) },
	} {
		server.set(change)
		a.FastForward(5e9)
		if _, err := assume(t, a, role, clusterToken(t, a, clusterIssuer)); err == nil {
			t.Errorf("accepted with %s", what)
		}
		server.set(func() { server.issuer, server.redirect = clusterIssuer, "" })
	}
}

// No other provider gets at the API server that way, whatever its documents or
// its URL say, and the token goes nowhere else.
func TestClusterIssuerAlone(t *testing.T) {
	t.Parallel()
	server, c := newAPIServer(t)
	a := startAWS(t, emulator.Config{Cluster: c, MaxKeyAge: -1})
	for i, url := range []string{clusterIssuer + "/", clusterIssuer + "/x", "https://kubernetes.default.svc"} {
		role := a.Role(fmt.Sprint("R", i), trustIn(provide(t, a, url)))
		if _, err := assume(t, a, role, clusterToken(t, a, url)); err == nil {
			t.Errorf("%s: accepted", url)
		}
	}
	if len(server.seen) != 0 {
		t.Errorf("the API server was asked for %q", server.seen)
	}

	// One whose documents lie at the API server, where private issuers are allowed.
	_, idp := start(t, emulator.Config{Cluster: c, MaxKeyAge: -1})
	idp.discovery = map[string]any{"issuer": "https://" + idp.hostPath(), "jwks_uri": server.URL + "/openid/v1/jwks"}
	idp.register()
	if _, err := assume(t, idp.aws, idp.aws.Role("R", idp.usual()), idp.token(idp.claims())); err == nil {
		t.Error("a provider reads its keys from the API server")
	}
	for _, seen := range server.seen {
		if strings.Contains(seen, "Bearer") {
			t.Errorf("the token was sent for another issuer: %s", seen)
		}
	}
}

func TestClusterIssuerConfig(t *testing.T) {
	t.Parallel()
	for _, c := range []emulator.ClusterIssuer{
		{Issuer: "kubernetes/serviceaccount", APIServer: "https://10.96.0.1:443"}, {Issuer: "http://kubernetes.default.svc", APIServer: "https://10.96.0.1:443"},
		{Issuer: clusterIssuer, APIServer: "http://10.96.0.1"}, {Issuer: clusterIssuer, APIServer: "https://10.96.0.1/x"}, {Issuer: clusterIssuer},
	} {
		if _, err := emulator.New(emulator.Config{Cluster: &c}); err == nil {
			t.Errorf("accepted: %+v", c)
		}
	}
}
