package emulator

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

// fetchTimeout is for discovery document and keys of an issuer together.
const fetchTimeout = 5 * time.Second

// ClusterIssuer is an issuer whose documents nobody but an API server of
// Kubernetes has: that of a cluster's tokens as it is by default. AWS could not
// read it. Of this one issuer, and of no other, the documents are read from the
// API server, with credentials, at their two fixed paths; neither a redirect nor a
// jwks_uri is followed, so that the token goes nowhere else.
type ClusterIssuer struct {
	// Issuer is as the tokens have it, such as
	// https://kubernetes.default.svc.cluster.local.
	Issuer string
	// APIServer is the https URL of the API server, without a path.
	APIServer string
	// TokenFile has the token of a service account that may read the documents
	// (ClusterRole system:service-account-issuer-discovery), CAFile the
	// certificates by which the API server is known. Both are renewed in the
	// life of a process, so they are read for each fetch.
	TokenFile, CAFile string
}

// keySetPath is where an API server has the keys of its tokens, whatever its
// discovery document says (Kubernetes' pkg/serviceaccount).
const keySetPath = "/openid/v1/jwks"

func (c *ClusterIssuer) check() error {
	for _, address := range []string{c.Issuer, c.APIServer} {
		u, err := url.Parse(address)
		if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
			return fmt.Errorf("%q is no https URL of a cluster's issuer or API server", address)
		}
	}
	if u, _ := url.Parse(c.APIServer); u.Path != "" {
		return fmt.Errorf("the API server's URL %q has a path", c.APIServer)
	}
	return nil
}

// client connects to the API server alone, and authenticates to it.
func (c *ClusterIssuer) client() (*http.Client, error) {
	token, err := os.ReadFile(c.TokenFile)
	if err != nil {
		return nil, fmt.Errorf("reading the token for the API server: %w", err)
	}
	pem, err := os.ReadFile(c.CAFile)
	if err != nil {
		return nil, fmt.Errorf("reading the CA of the API server: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("reading the CA of the API server: %q has no certificate in PEM", c.CAFile)
	}
	return &http.Client{Transport: &bearer{strings.TrimSpace(string(token)), c.APIServer, &http.Transport{
		DialContext:       (&net.Dialer{Timeout: fetchTimeout}).DialContext,
		DisableKeepAlives: true,
		ForceAttemptHTTP2: true,
		TLSClientConfig:   &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
	}}}, nil
}

// bearer adds a token to requests to one server, and makes no others.
type bearer struct {
	token, server string
	next          http.RoundTripper
}

func (b *bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme+"://"+r.URL.Host != b.server {
		return nil, errors.New("the token is for the API server alone")
	}
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+b.token)
	return b.next.RoundTrip(r)
}
