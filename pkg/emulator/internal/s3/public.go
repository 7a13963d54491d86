package s3

import (
	"bytes"
	"context"
	"crypto/tls"
	"net/http"
	"net/url"
	"time"

	"github.com/openirsa/openirsa/pkg/emulator/internal/api"
)

// maxPublic bounds what is read of an object for an issuer.
const maxPublic = 1 << 20

// strangerAddr is the client's address of requests that come from the
// emulator itself. It is reserved for documentation (RFC 5737), so that a
// bucket policy that admits certain networks does not admit them.
const strangerAddr = "192.0.2.1:443"

// ReadPublic answers a GET as S3 answers somebody without credentials, by
// the same routing, the same policies and the same Block Public Access. ours is
// false if the URL is not one of S3's. Of an object that is larger than a
// megabyte the body is cut short there.
func (s *Service) ReadPublic(ctx context.Context, u *url.URL, now time.Time) (status int, header http.Header, body []byte, ours bool) {
	if port := u.Port(); u.Scheme != "https" || port != "" && port != "443" {
		return 0, nil, nil, false
	}
	if !s.config.Hosts.Parse(u.Host).amazon {
		return 0, nil, nil, false
	}
	r := (&http.Request{
		Method:     http.MethodGet,
		URL:        u,
		RequestURI: u.RequestURI(),
		Proto:      "HTTP/1.1",
		ProtoMajor: 1,
		ProtoMinor: 1,
		Host:       u.Host,
		Header:     http.Header{"User-Agent": {"openirsa-emulator"}},
		Body:       http.NoBody,
		RemoteAddr: strangerAddr,
		TLS:        &tls.ConnectionState{Version: tls.VersionTLS13, HandshakeComplete: true},
	}).WithContext(ctx)
	w := &memoryAnswer{header: make(http.Header)}
	c := api.NewCall(r, now, s.account.Memory)
	c.Service = "s3"
	s.serve(w, c)
	if c.Dropped {
		return http.StatusServiceUnavailable, http.Header{}, nil, true
	}
	return w.status, w.header, w.body.Bytes(), true
}

// memoryAnswer is an [http.ResponseWriter] that keeps the first maxPublic
// bytes.
type memoryAnswer struct {
	status int
	header http.Header
	body   bytes.Buffer
}

func (w *memoryAnswer) Header() http.Header { return w.header }

func (w *memoryAnswer) WriteHeader(status int) { w.status = status }

func (w *memoryAnswer) Write(p []byte) (int, error) {
	w.body.Write(p[:min(len(p), maxPublic-w.body.Len())])
	return len(p), nil
}
