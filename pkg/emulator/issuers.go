package emulator

import (
	"context"
	"crypto/sha1"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/openirsa/openirsa/internal/trace"
)

// Limits on fetching the documents of an issuer, who is a stranger. The five
// seconds are AWS's (AWS re:Post, "Troubleshoot OIDC errors"); the rest is
// unknown and ours.
const (
	maxDocument     = 1 << 20          // bytes
	maxHeader       = 64 << 10         // bytes
	maxRedirects    = 5                // of each document
	refetchInterval = 10 * time.Second // between refetches that a bad token causes
	failureAge      = time.Second      // how long a failure is not tried again
	discoveryPath   = "/.well-known/openid-configuration"
)

// issuerKeys are the keys of a provider's issuer, fetched if need be. Of those
// who need them at the same time one fetches for all. With refetch, keys from
// the cache will not do, since a token does not verify under them; that is
// honoured once in refetchInterval, or bad tokens would hammer the issuer. The
// result was fetched for this call or not, and the latest fetch may have failed
// although there are keys of an earlier one.
func (s *Server) issuerKeys(span *trace.Span, p *provider, now time.Time, refetch bool) (f *fetched, fresh, failing bool) {
	e := s.issuers.entry(p)
	e.mu.Lock()
	for {
		if f := e.latest; f != nil {
			switch {
			case refetch && e.flight == nil && now.Sub(e.refetch) < refetchInterval, !refetch && s.fresh(f, now):
				failing := e.failing
				e.mu.Unlock()
				return f, false, failing
			}
		}
		if e.flight == nil {
			break
		}
		flight := e.flight
		e.mu.Unlock()
		<-flight.over // no longer than fetchTimeout
		if flight.outcome != nil {
			// Whatever came of it is as new as anything could be.
			return flight.outcome, true, flight.outcome.fault != nil
		}
		e.mu.Lock()
	}
	if refetch {
		e.refetch = now
	}
	flight := &flight{over: make(chan struct{})}
	e.flight = flight
	e.mu.Unlock()

	// The fetch is for all who wait, so it does not end with the request of
	// the one who makes it.
	defer func() {
		e.mu.Lock()
		if f := flight.outcome; f != nil && (f.fault == nil || !s.usable(e.latest, now)) {
			e.latest = f
		}
		e.failing = flight.outcome == nil || flight.outcome.fault != nil
		e.flight = nil
		e.mu.Unlock()
		close(flight.over)
	}()
	flight.outcome = s.fetchKeys(trace.With(context.Background(), span), p, now)
	return flight.outcome, true, flight.outcome.fault != nil
}

// usable reports whether there are keys that may still be used. They outlive a
// refetch that fails, or one bad token would shut out all good ones.
func (s *Server) usable(f *fetched, now time.Time) bool {
	return f != nil && f.fault == nil && s.fresh(f, now)
}

// fresh reports whether fetched keys may still be used.
func (s *Server) fresh(f *fetched, now time.Time) bool {
	if f.inside {
		return f.s3Changes == s.s3.Changes()
	}
	return now.Before(f.expires) && !now.Before(f.at)
}

// errKeys is what STS answers if it cannot get the key of a token.
var errKeys = invalidToken("Couldn't retrieve verification key from your identity provider,  please reference " +
	"AssumeRoleWithWebIdentity documentation for requirements")

// errThumbprint is what STS answers if the issuer's certificate is not to be
// trusted.
var errThumbprint = invalidToken("OpenIDConnect provider's HTTPS certificate doesn't match configured thumbprint")

// fetchKeys reads the discovery document of a provider's issuer and then its
// keys, both as a stranger.
func (s *Server) fetchKeys(ctx context.Context, p *provider, now time.Time) *fetched {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	f := &fetched{at: now, inside: true, s3Changes: s.s3.Changes()}
	r := &reader{server: s, provider: p, cluster: s.clusterIssuer(p), now: now, age: s.config.MaxKeyAge}
	keys, err := r.keys(ctx)
	f.fetches, f.document = r.fetches, r.document
	f.inside = !r.outside
	f.expires = now.Add(r.age)
	if err != nil {
		answer := errKeys
		if _, ok := errors.AsType[*certificateError](err); ok {
			answer = errThumbprint
		}
		f.fault = refusal("keys", err.Error(), answer)
		f.expires = now.Add(failureAge)
		return f
	}
	f.keys = keys
	return f
}

// reader reads the documents of one provider's issuer.
type reader struct {
	server   *Server
	provider *provider
	cluster  *ClusterIssuer // not nil: that of the provider
	now      time.Time
	age      time.Duration // how long what was read may be kept
	outside  bool          // something was read over the network
	backend  bool          // what was read last is of the backend of S3
	fetches  []Fetch
	document []byte              // the discovery document, if it is to be shown
	chain    []*x509.Certificate // that the host read last presented
	insecure bool                // any certificate will do, as only the chain is of interest
}

func (r *reader) keys(ctx context.Context) (*keySet, error) {
	jwksURI, err := r.discover(ctx)
	if err != nil {
		return nil, err
	}
	body, err := r.get(ctx, jwksURI)
	if err != nil {
		return nil, err
	}
	return parseKeySet(body)
}

// discover reads the discovery document and returns its jwks_uri.
func (r *reader) discover(ctx context.Context) (string, error) {
	issuer := "https://" + r.provider.URL
	address := strings.TrimSuffix(issuer, "/") + discoveryPath
	if r.cluster != nil {
		address = r.cluster.APIServer + discoveryPath
	}
	body, err := r.get(ctx, address)
	if err != nil {
		return "", err
	}
	var doc members
	if err := json.Unmarshal(body, &doc); err != nil {
		return "", fmt.Errorf("%s is not JSON: %w", address, err)
	}
	if named := doc.text("issuer"); named != issuer {
		if named != "" && (!strings.HasPrefix(named, "http") || named != shownURL(named)) {
			return "", fmt.Errorf("%s does not say that its issuer is the provider's, %q, nor any other", address, issuer)
		}
		return "", fmt.Errorf("%s says that its issuer is %q, but the provider's is %q", address, named, issuer)
	}
	r.document = doc.discovery()
	if r.cluster != nil {
		return r.cluster.APIServer + keySetPath, nil
	}
	jwksURI := doc.text("jwks_uri")
	if jwksURI == "" {
		return "", fmt.Errorf("%s has no jwks_uri", address)
	}
	return jwksURI, nil
}

// get reads a document, from the emulator's S3 if it is there and over HTTPS
// otherwise, and follows redirects either way.
func (r *reader) get(ctx context.Context, address string) ([]byte, error) {
	for range maxRedirects + 1 {
		u, err := url.Parse(address)
		switch {
		case err != nil || u.Host == "":
			return nil, errors.New("it leads to what is not a URL")
		case u.Scheme != "https":
			return nil, fmt.Errorf("%s is not an https URL", shownURL(address))
		case u.User != nil:
			return nil, fmt.Errorf("the URL at host %s has a user in it", u.Host)
		}
		started, span := time.Now(), trace.From(ctx).StartCall("GET")
		fetch := Fetch{URL: shownURL(address)}
		status, header, body, err := r.fetch(ctx, u, &fetch)
		took := time.Since(started)
		fetch.Status, fetch.Millis = status, took.Milliseconds()
		r.server.metrics.fetched(r.cluster != nil, &fetch, err, took)
		if err != nil {
			err = fmt.Errorf("fetching %s: %w", fetch.URL, err)
			fetch.Error = err.Error()
			traceFetch(span, &fetch)
			r.fetches = append(r.fetches, fetch)
			return nil, err
		}
		traceFetch(span, &fetch)
		r.fetches = append(r.fetches, fetch)
		switch {
		case status == http.StatusOK:
			r.age = min(r.age, cacheAge(header))
			return body, nil
		case status >= 300 && status < 400 && header.Get("Location") != "" && r.cluster == nil:
			next, err := u.Parse(header.Get("Location"))
			if err != nil {
				return nil, fmt.Errorf("fetching %s: it redirects to what is not a URL", fetch.URL)
			}
			address = next.String()
		case r.cluster != nil && (status == http.StatusUnauthorized || status == http.StatusForbidden):
			return nil, fmt.Errorf("fetching %s: the answer is %d %s: the emulator's service account may not read the cluster's "+
				"documents (ClusterRole system:service-account-issuer-discovery)",
				address, status, http.StatusText(status))
		case r.backend:
			return nil, fmt.Errorf("fetching %s: the answer is %d %s%s; S3 is forwarded, so the issuer's bucket has to be at the backend",
				fetch.URL, status, http.StatusText(status), excerpt(header, body))
		default:
			return nil, fmt.Errorf("fetching %s: the answer is %d %s%s", fetch.URL, status, http.StatusText(status), excerpt(header, body))
		}
	}
	return nil, fmt.Errorf("fetching %s: more than %d redirects", shownURL(address), maxRedirects)
}

// excerpt is what an S3 error says, which tells a private bucket from one that
// is not there.
func excerpt(header http.Header, body []byte) string {
	if !strings.Contains(header.Get("Content-Type"), "xml") {
		return ""
	}
	_, rest, ok1 := strings.Cut(string(body), "<Code>")
	code, _, ok2 := strings.Cut(rest, "</Code>")
	isLetter := func(r rune) bool { return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' }
	if !ok1 || !ok2 || len(code) > 64 || strings.TrimFunc(code, isLetter) != "" {
		return ""
	}
	return " (" + code + ")"
}

// cacheAge is how long a document may be kept by its Cache-Control (RFC 9111,
// section 5.2.2). Without one, the emulator's own limit decides.
func cacheAge(header http.Header) time.Duration {
	age := time.Duration(math.MaxInt64)
	for _, line := range header.Values("Cache-Control") {
		for directive := range strings.SplitSeq(line, ",") {
			name, value, _ := strings.Cut(strings.ToLower(strings.TrimSpace(directive)), "=")
			switch name {
			case "no-cache", "no-store":
				age = 0
			case "max-age":
				if n, err := strconv.ParseUint(strings.Trim(value, `"`), 10, 32); err == nil {
					age = min(age, time.Duration(n)*time.Second)
				}
			}
		}
	}
	return age
}

// fetch makes one request.
func (r *reader) fetch(ctx context.Context, u *url.URL, fetch *Fetch) (int, http.Header, []byte, error) {
	s := r.server
	if r.cluster == nil {
		if status, header, body, ours := s.s3.ReadPublic(ctx, u, r.now); ours {
			// Of what a backend of S3 has it is not known when it changes.
			fetch.Inside, r.backend = !s.s3.Forwards(), s.s3.Forwards()
			r.outside = r.outside || r.backend
			return status, header, body, nil
		}
	}
	r.outside, r.backend = true, false
	client := s.config.HTTP
	switch {
	case r.cluster != nil:
		var err error
		if client, err = r.cluster.client(); err != nil {
			return 0, nil, nil, err
		}
	case client == nil:
		if port := u.Port(); port != "" && port != "443" && !s.config.AllowPrivateIssuers {
			return 0, nil, nil, fmt.Errorf("AWS reaches issuers at port 443 only, not at %s (private issuers are not allowed)", port)
		}
		client = &http.Client{Transport: r.transport()}
	}
	once := *client
	once.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	once.Jar = nil
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return 0, nil, nil, err
	}
	req.Header.Set("User-Agent", "openirsa-emulator")
	req.Header.Set("Accept", "application/json")
	if r.cluster != nil { // an API server gives each document as its own type only
		req.Header.Set("Accept", "application/json, application/jwk-set+json")
	}
	resp, err := once.Do(req)
	if err != nil {
		// The cause without "Get https://...": the caller has said that.
		if e, ok := errors.AsType[*url.Error](err); ok {
			err = e.Err
		}
		if e, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
			err = &certificateError{e.Err}
		}
		switch {
		case errors.Is(err, context.DeadlineExceeded):
			err = fmt.Errorf("no answer within %s", fetchTimeout)
		case strings.Contains(err.Error(), "Location header"): // net/http quotes it
			err = errors.New("it redirects to what is not a URL")
		}
		return 0, nil, nil, err
	}
	defer resp.Body.Close()
	if resp.TLS != nil {
		r.chain = resp.TLS.PeerCertificates
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxDocument+1))
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return resp.StatusCode, nil, nil, fmt.Errorf("no complete answer within %s", fetchTimeout)
	case err != nil:
		return resp.StatusCode, nil, nil, fmt.Errorf("reading the answer: %w", err)
	case len(body) > maxDocument:
		return resp.StatusCode, nil, nil, fmt.Errorf("the answer is longer than %d bytes", maxDocument)
	}
	return resp.StatusCode, resp.Header, body, nil
}

// certificateError means that a host's certificate is not to be trusted.
type certificateError struct{ err error }

func (e *certificateError) Error() string { return "certificate refused: " + e.err.Error() }
func (e *certificateError) Unwrap() error { return e.err }

// transport connects as AWS would, or as far beyond that as it is configured to.
// It is for one connection: fetches are rare, and the next may be of a
// provider with other thumbprints.
func (r *reader) transport() *http.Transport {
	dialer := &net.Dialer{Timeout: fetchTimeout}
	if !r.server.config.AllowPrivateIssuers {
		dialer.Control = refusePrivate
	}
	return &http.Transport{
		DialContext:       dialer.DialContext,
		DisableKeepAlives: true,
		ForceAttemptHTTP2: true,
		// Headers too are a stranger's; Go's own bound is ten megabytes.
		MaxResponseHeaderBytes: maxHeader,
		TLSClientConfig: &tls.Config{
			MinVersion: tls.VersionTLS12,
			// VerifyConnection does what this turns off, and more.
			InsecureSkipVerify: true,
			VerifyConnection:   r.verify,
		},
	}
}

// verify accepts a certificate that is trusted by the system, by the roots
// that were configured (unless strict), or because the provider has the
// thumbprint of the chain's last certificate and the others lead to it.
func (r *reader) verify(cs tls.ConnectionState) error {
	if r.insecure {
		return nil
	}
	leaf, rest := cs.PeerCertificates[0], cs.PeerCertificates[1:]
	options := x509.VerifyOptions{DNSName: cs.ServerName, Intermediates: x509.NewCertPool(), CurrentTime: r.now}
	for _, c := range rest {
		options.Intermediates.AddCert(c)
	}
	_, err := leaf.Verify(options)
	if err == nil {
		return nil
	}
	if roots := r.server.config.Roots; roots != nil && !r.server.config.Strict {
		options.Roots = roots
		if _, err2 := leaf.Verify(options); err2 == nil {
			return nil
		} else if _, unknown := errors.AsType[x509.UnknownAuthorityError](err2); !unknown {
			err = err2
		}
	}
	top := cs.PeerCertificates[len(cs.PeerCertificates)-1]
	if slices.Contains(r.provider.Thumbprints, thumbprint(top)) {
		options.Roots = x509.NewCertPool()
		options.Roots.AddCert(top)
		if _, err = leaf.Verify(options); err == nil {
			return nil
		}
	}
	return &certificateError{err}
}

// thumbprint is the SHA-1 of a certificate, as IAM spells it.
func thumbprint(c *x509.Certificate) string {
	sum := sha1.Sum(c.Raw)
	return hex.EncodeToString(sum[:])
}

// topThumbprint is the thumbprint that IAM finds for a new provider: that of
// the last certificate which the host of its keys presents. Issuers in the
// emulator's own S3 have no certificate, so theirs is "".
func (s *Server) topThumbprint(ctx context.Context, p *provider, now time.Time) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	r := &reader{server: s, provider: p, cluster: s.clusterIssuer(p), now: now, insecure: true}
	jwksURI, err := r.discover(ctx)
	if err == nil {
		r.chain = nil
		_, err = r.get(ctx, jwksURI)
	}
	if len(r.chain) > 0 { // even an answer that is of no use came with it
		return thumbprint(r.chain[len(r.chain)-1]), nil
	}
	if !r.outside {
		return "", nil
	}
	return "", err
}

// clusterIssuer is that of a provider if its documents are the API server's.
func (s *Server) clusterIssuer(p *provider) *ClusterIssuer {
	if c := s.config.Cluster; c != nil && c.Issuer == "https://"+p.URL {
		return c
	}
	return nil
}
