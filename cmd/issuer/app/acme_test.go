package app

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/openirsa/openirsa/internal/kubetest"
	"github.com/openirsa/openirsa/internal/needs"
	"github.com/openirsa/openirsa/pkg/issuer"
	"github.com/openirsa/openirsa/pkg/keys"
)

// The CA is Pebble, which is Let's Encrypt's for tests of clients: its programs
// pebble and pebble-challtestsrv (2.10 or newer) are in the folder
// $OPENIRSA_PEBBLE_BIN.
func TestACME(t *testing.T) {
	bin := os.Getenv("OPENIRSA_PEBBLE_BIN")
	if bin == "" {
		needs.Lacking(t, "OPENIRSA_PEBBLE_BIN, a folder with pebble and pebble-challtestsrv")
	}
	if testing.Short() {
		t.Skip("a real CA is not short")
	}
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	ca, dns, management, httpPort, tlsPort := kubetest.FreePort(t), kubetest.FreePort(t), kubetest.FreePort(t), kubetest.FreePort(t), kubetest.FreePort(t)
	certificate(t, in("ca.crt"), in("ca.key"))
	writeFile(t, in("pebble.json"), fmt.Sprintf(`{"pebble": {"listenAddress": "127.0.0.1:%d", "managementListenAddress": "", "certificate": %q, "privateKey": %q,
		"httpPort": %d, "tlsPort": %d, "retryAfter": {"authz": 1, "order": 1}, "keyAlgorithm": "ecdsa", "profiles": {"default": {"description": "", "validityPeriod": 7776000}}}}`,
		ca, in("ca.crt"), in("ca.key"), httpPort, tlsPort))
	program := func(env string, name string, args ...string) {
		t.Helper()
		cmd := exec.Command(filepath.Join(bin, name), args...)
		cmd.Env = append(os.Environ(), env)
		kubetest.EndWithTest(cmd)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	}
	program("", "pebble-challtestsrv", "-defaultIPv4", "127.0.0.1", "-defaultIPv6", "", "-dnsserver", fmt.Sprintf("127.0.0.1:%d", dns),
		"-doh", "", "-http01", "", "-https01", "", "-tlsalpn01", "", "-management", fmt.Sprintf("127.0.0.1:%d", management))
	program("PEBBLE_VA_NOSLEEP=1", "pebble", "-dnsserver", fmt.Sprintf("127.0.0.1:%d", dns), "-config", in("pebble.json"))
	eventually(t, 10*time.Second, "the CA listens", func() error {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", ca))
		if err == nil {
			conn.Close()
		}
		return err
	})

	k := newKey(t, keys.ES256)
	writeFile(t, in("sa.pub"), publicPEM(t, k))
	serve := func(t *testing.T, port int, args ...string) (get func(host string) (string, error)) {
		start(t, append([]string{"serve", "--issuer", "https://issuer.example.com/dev", "--key-file", in("sa.pub"), "--listen", fmt.Sprintf("127.0.0.1:%d", port), "--admin-listen", "",
			"--acme", "--acme-cache", filepath.Join(t.TempDir(), "acme"), "--acme-url", fmt.Sprintf("https://localhost:%d/dir", ca), "--acme-ca-file", in("ca.crt")}, args...)...)
		return func(host string) (string, error) {
			client := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{
				TLSClientConfig: &tls.Config{InsecureSkipVerify: true, ServerName: host}, DisableKeepAlives: true,
			}}
			req, err := http.NewRequestWithContext(t.Context(), "GET", fmt.Sprintf("https://127.0.0.1:%d/dev%s", port, issuer.JWKSPath), nil)
			if err != nil {
				return "", err
			}
			req.Host = host
			resp, err := client.Do(req)
			if err != nil {
				return "", err
			}
			defer resp.Body.Close()
			if cert := resp.TLS.PeerCertificates[0]; !strings.HasPrefix(cert.Issuer.CommonName, "Pebble Intermediate CA") || cert.VerifyHostname(host) != nil {
				return "", fmt.Errorf("the certificate is of %s for %q", cert.Issuer, cert.DNSNames)
			}
			if resp.StatusCode != 200 {
				return "", errors.New(resp.Status)
			}
			return resp.Header.Get("Content-Type"), nil
		}
	}
	for _, test := range []struct {
		challenge string
		port      int
		args      []string
	}{
		{"TLS-ALPN-01", tlsPort, nil},
		{"HTTP-01", kubetest.FreePort(t), []string{"--acme-http-listen", fmt.Sprintf("127.0.0.1:%d", httpPort)}},
	} {
		t.Run(test.challenge, func(t *testing.T) {
			get := serve(t, test.port, test.args...)
			eventually(t, 30*time.Second, "a certificate", func() error {
				_, err := get("issuer.example.com")
				return err
			})
			if _, err := get("other.example.com"); err == nil {
				t.Error("there is a certificate for a host that no issuer has")
			}
		})
	}
}
