package app

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/openirsa/openirsa/internal/cli"
	"github.com/openirsa/openirsa/internal/kubetest"
	"github.com/openirsa/openirsa/pkg/issuer"
	"github.com/openirsa/openirsa/pkg/keys"
)

// called is how the program is called; what it says all goes to out.
func called(lookup func(string) (string, bool), out io.Writer, args ...string) *cli.Invocation {
	return &cli.Invocation{Name: "issuer", Args: args, Lookup: lookup, Stdout: out, Stderr: out}
}

// certificate writes one for localhost and its key, and returns its serial
// number.
func certificate(t *testing.T, cert, key string) *x509.Certificate {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, key, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})))
	writeFile(t, cert, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

func publicPEM(t *testing.T, key keys.Public) string {
	t.Helper()
	pem, err := key.PEM()
	if err != nil {
		t.Fatal(err)
	}
	return string(pem)
}

// eventually waits until something works.
func eventually(t *testing.T, within time.Duration, what string, try func() error) {
	t.Helper()
	start := time.Now()
	for {
		err := try()
		if err == nil {
			return
		}
		if time.Since(start) > within {
			t.Fatalf("not within %s: %s: %v", within, what, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func TestServe(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	port, adminPort, pprofPort := kubetest.FreePort(t), kubetest.FreePort(t), kubetest.FreePort(t)
	good := fmt.Sprintf("https://localhost:%d/good", port)
	bad := fmt.Sprintf("https://localhost:%d/bad", port)
	k := newKey(t, keys.ES256)
	writeFile(t, in("good.pub"), publicPEM(t, k))
	writeFile(t, in("issuer.yaml"), "apiVersion: openirsa.dev/v1alpha1\nkind: Issuer\nclusters:\n- {issuer: "+good+", keyFiles: [good.pub]}\n- {issuer: "+bad+", keyFiles: [bad.pub]}\n")
	first := certificate(t, in("tls.crt"), in("tls.key"))
	b := start(t, "serve", "--config", in("issuer.yaml"), "--listen", fmt.Sprintf("127.0.0.1:%d", port), "--tls-cert", in("tls.crt"), "--tls-key", in("tls.key"),
		"--admin-listen", fmt.Sprintf("127.0.0.1:%d", adminPort), "--pprof-listen", fmt.Sprintf("127.0.0.1:%d", pprofPort), "--drain", "2s")

	// get asks on a new connection, and returns what the server's certificate was.
	get := func(url string) (int, string, *x509.Certificate, error) {
		client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}}
		resp, err := client.Get(url)
		if err != nil {
			return 0, "", nil, err
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		var cert *x509.Certificate
		if resp.TLS != nil {
			cert = resp.TLS.PeerCertificates[0]
		}
		return resp.StatusCode, string(body), cert, err
	}
	admin := fmt.Sprintf("http://127.0.0.1:%d", adminPort)
	eventually(t, 5*time.Second, "ready", func() error {
		code, body, _, err := get(admin + "/readyz")
		if err == nil && code != 200 {
			err = errors.New(body)
		}
		return err
	})
	code, body, cert, err := get(good + issuer.JWKSPath)
	if err != nil || code != 200 || !strings.Contains(body, k.KID) || !cert.Equal(first) {
		t.Fatalf("%d %s, %v", code, body, err)
	}
	if code, _, _, _ := get(bad + issuer.JWKSPath); code != 404 {
		t.Errorf("an issuer without keys: %d", code)
	}

	t.Log("a fault shows, and does not take the others away")
	_, body, _, _ = get(admin + "/readyz")
	var ready struct {
		Ready  bool
		Status struct {
			Clusters, Served int
			Faults           []struct{ Issuer, Error string }
		}
	}
	if err := json.Unmarshal([]byte(body), &ready); err != nil {
		t.Fatal(err)
	}
	if s := ready.Status; !ready.Ready || s.Clusters != 2 || s.Served != 1 || len(s.Faults) != 1 || s.Faults[0].Issuer != bad {
		t.Errorf("/readyz: %s", body)
	}
	for query, want := range map[string]int{
		"issuer=" + good: 200, "issuer=" + good + "&max-age=1h": 200, "issuer=" + good + "&max-age=1ns": 503, "issuer=" + bad: 503,
		"issuer=https://other.example.com": 404, "issuer=x": 400, "issuer=" + good + "&max-age=x": 400,
	} {
		if code, body, _, err := get(admin + "/readyz?" + query); code != want {
			t.Errorf("%s: %d %s %v, want %d", query, code, body, err, want)
		}
	}
	_, metrics, _, _ := get(admin + "/metrics")
	for _, want := range []string{
		`openirsa_issuer_requests_total{code="200",document="jwks"} 1`, `openirsa_issuer_clusters{state="faulty"} 1`,
		fmt.Sprintf(`openirsa_issuer_cluster_fault{issuer=%q} 1`, bad), `openirsa_issuer_config_valid 1`, fmt.Sprintf(`openirsa_issuer_cluster_age_seconds{issuer=%q}`, good),
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("no metric %s in:\n%s", want, metrics)
		}
	}
	if code, _, _, _ := get(fmt.Sprintf("http://127.0.0.1:%d/debug/pprof/", pprofPort)); code != 200 {
		t.Errorf("profiles: %d", code)
	}
	if code, _, _, _ := get(admin + "/debug/pprof/"); code != 404 {
		t.Errorf("profiles where they should not be: %d", code)
	}
	if code, _, _, _ := get(strings.TrimSuffix(good, "/good") + "/metrics"); code != 404 {
		t.Errorf("metrics for the public: %d", code)
	}

	t.Log("a new certificate needs no restart, and half of one changes nothing")
	writeFile(t, in("tls.key"), "half of it")
	time.Sleep(1100 * time.Millisecond)
	if _, _, cert, err := get(good + issuer.JWKSPath); err != nil || !cert.Equal(first) {
		t.Errorf("with half a certificate: %v", err)
	}
	second := certificate(t, in("tls.crt"), in("tls.key"))
	eventually(t, 3*time.Second, "the new certificate", func() error {
		_, _, cert, err := get(good + issuer.JWKSPath)
		if err == nil && !cert.Equal(second) {
			err = errors.New("the old one")
		}
		return err
	})

	t.Log("told to stop, it continues to serve while it is no longer ready")
	stopped := time.Now()
	b.stop()
	eventually(t, time.Second, "not ready", func() error {
		code, body, _, err := get(admin + "/readyz")
		if err == nil && code != 503 {
			err = errors.New(body)
		}
		return err
	})
	if code, _, _, err := get(good + issuer.JWKSPath); err != nil || code != 200 {
		t.Errorf("while it drains: %d, %v", code, err)
	}
	b.end()
	if took := time.Since(stopped); took < 2*time.Second || took > 10*time.Second {
		t.Errorf("it ended after %s", took)
	}
	if _, _, _, err := get(good + issuer.JWKSPath); err == nil {
		t.Error("it still serves")
	}
}

func TestUsage(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "none")
	for _, test := range []struct {
		args  string
		want  string
		usage bool
	}{
		{"serve", "either --config or --issuer", true},
		{"serve --config a --issuer https://a.example.com", "either --config or --issuer", true},
		{"serve --issuer http://a.example.com", "must begin with https", true},
		{"serve --issuer https://a.example.com:8443/dev --key-file x", "has the port 8443", true},
		{"serve --config a --allow-private-issuers", "go with --issuer", true},
		{"serve --issuer https://a.example.com --host b.example.com --key-file x", "not one of hosts", true},
		{"serve --config a --key-file x", "go with --issuer", true},
		{"serve --issuer https://a.example.com --key-file x --tls-cert a", "go together", true},
		{"serve --issuer https://a.example.com --key-file x --acme", "needs --acme-cache", true},
		{"serve --issuer https://a.example.com --key-file x --acme --tls-cert a --tls-key b", "exclude each other", true},
		{"serve extra", "unknown command", true},
		{"serv", "\tserve\n", true},
		{"completion nope", "unknown command", true},
		{"serve --no-such-flag", "unknown flag", true},
		{"serve --config " + missing + " --listen 127.0.0.1:0 --admin-listen 127.0.0.1:0", "no such file", false},
		{"serve --config " + missing + " --listen 127.0.0.1:0 --admin-listen 127.0.0.1:0 --drain 20s", "no such file", false},
		{"serve --issuer https://a.example.com --key-file x --tls-cert " + missing + " --tls-key " + missing, "no such file", false},
		{"serve --issuer https://a.example.com --key-file x --listen 256.0.0.1:1 --admin-listen=", "listening for documents", false},
		{"publish", "--bucket is needed", true},
		{"publish --bucket b --interval 1ms", "less than a second", true},
		{"sign", "is needed", true},
		{"sign --signing-key-file a --signing-kms-key b", "is needed", true},
		{"sign --config a --key-file b", "exclude --config", true},
		{"sign --signing-key-file a --max-token-lifetime 5m", "less than the minimum of kube-apiserver, 10m0s", true},
		{"sign --signing-key-file " + missing, "no such file", false},
		{"serve --log-level loud", "is not debug", true},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		err := Run(ctx, called(nil, io.Discard, strings.Fields(test.args)...))
		if ctx.Err() != nil {
			t.Errorf("issuer %s: it waits", test.args)
		}
		cancel()
		usage := cli.IsUsage(err)
		if err == nil || !strings.Contains(err.Error(), test.want) || usage != test.usage {
			t.Errorf("issuer %s: %v (usage: %v), want %q", test.args, err, usage, test.want)
		}
	}
	err := Run(t.Context(), called(func(name string) (string, bool) {
		value, set := map[string]string{"ISSUER_CONFIG": missing, "ISSUER_ADMIN_LISTEN": "", "ISSUER_LISTEN": "127.0.0.1:0"}[name]
		return value, set
	}, os.Stderr, "serve"))
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("flags of the environment: %v", err)
	}
}
