package app

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/spf13/pflag"
	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"

	"github.com/openirsa/openirsa/internal/cli"
	"github.com/openirsa/openirsa/internal/reload"
)

// tlsFlags say where the server's certificate comes from.
type tlsFlags struct {
	cert, key string

	acme                                    bool
	acmeCache, acmeEmail, acmeURL, acmeRoot string
	acmeHTTP                                string
}

func (t *tlsFlags) add(f *pflag.FlagSet) {
	f.StringVar(&t.cert, "tls-cert", "", "`file` of the certificate chain, PEM; reread when it changes")
	f.StringVar(&t.key, "tls-key", "", "`file` of the certificate's key, PEM")
	f.BoolVar(&t.acme, "acme", false, "get certificates for the hosts of the issuers by ACME, and agree to the CA's terms of service")
	f.StringVar(&t.acmeCache, "acme-cache", "", "`directory` for ACME's account key and certificates; replicas must share it")
	f.StringVar(&t.acmeEmail, "acme-email", "", "`address` to which the CA writes")
	f.StringVar(&t.acmeURL, "acme-url", acme.LetsEncryptURL, "ACME directory `URL` of the CA")
	f.StringVar(&t.acmeRoot, "acme-ca-file", "", "`file` of the CA certificates to trust for the ACME directory. Without: the public ones")
	f.StringVar(&t.acmeHTTP, "acme-http-listen", "", "`address` for HTTP-01 challenges, reachable as port 80, such as :8080. "+
		"Without: TLS-ALPN-01 at port 443 only")
}

// config is how to serve TLS, nil for plain HTTP, and the handler of ACME's HTTP
// challenges. Certificates are requested only for hosts that serves allows.
func (t *tlsFlags) config(log *slog.Logger, serves func(host string) bool) (*tls.Config, http.Handler, error) {
	switch {
	case t.acme && t.cert != "":
		return nil, nil, cli.Usagef("--acme and --tls-cert exclude each other")
	case (t.cert == "") != (t.key == ""):
		return nil, nil, cli.Usagef("--tls-cert and --tls-key go together")
	case t.acme && t.acmeCache == "":
		return nil, nil, cli.Usagef("--acme needs --acme-cache: a CA gives only so many certificates a week")
	case t.acme:
		return t.autocert(log, serves)
	case t.cert == "":
		return nil, nil, nil
	}
	cert, err := reload.New(log, func(contents [][]byte) (*tls.Certificate, error) {
		c, err := tls.X509KeyPair(contents[0], contents[1])
		return &c, err
	}, t.cert, t.key)
	if err != nil {
		return nil, nil, err
	}
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return cert.Value(), nil },
	}, nil, nil
}

func (t *tlsFlags) autocert(log *slog.Logger, serves func(string) bool) (*tls.Config, http.Handler, error) {
	client := &http.Client{Timeout: 30 * time.Second}
	if t.acmeRoot != "" {
		pem, err := os.ReadFile(t.acmeRoot)
		if err != nil {
			return nil, nil, fmt.Errorf("reading the CA of ACME: %w", err)
		}
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(pem) {
			return nil, nil, fmt.Errorf("reading the CA of ACME: %s holds no certificate", t.acmeRoot)
		}
		client.Transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	}
	m := &autocert.Manager{
		Prompt: autocert.AcceptTOS,
		Cache:  autocert.DirCache(t.acmeCache),
		HostPolicy: func(_ context.Context, host string) error {
			// The Host of an HTTP-01 challenge may come with a port.
			if name, _, err := net.SplitHostPort(host); err == nil {
				host = name
			}
			if !serves(host) {
				return errors.New("no issuer has this host")
			}
			return nil
		},
		Email:  t.acmeEmail,
		Client: &acme.Client{DirectoryURL: t.acmeURL, HTTPClient: client, UserAgent: "openirsa"},
	}
	config := m.TLSConfig()
	config.MinVersion = tls.VersionTLS12
	config.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		cert, err := m.GetCertificate(hello)
		if err != nil && serves(hello.ServerName) { // strangers may ask for any other name
			log.Error("there is no certificate", "host", hello.ServerName, "error", err)
		}
		return cert, err
	}
	return config, m.HTTPHandler(http.NotFoundHandler()), nil
}
