package discovery_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/openirsa/openirsa/pkg/discovery"
	"github.com/openirsa/openirsa/pkg/issuer"
)

// bare is the least that a handler of net/http can be which writes the same
// bytes.
func bare(doc discovery.Document) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", doc.ContentType)
		w.Write(doc.Body)
	})
}

// many is a handler with n issuers.
func many(b *testing.B, n int) (*discovery.Handler, issuer.URL, []discovery.Document) {
	b.Helper()
	iss, docs := served(b, "https://oidc.example.com/clusters/dev")
	all := map[issuer.URL][]discovery.Document{iss: docs}
	for i := range n - 1 {
		other, err := issuer.Parse(fmt.Sprintf("https://oidc.example.com/clusters/%d", i))
		if err != nil {
			b.Fatal(err)
		}
		all[other] = docs // their bytes do not matter here
	}
	h := &discovery.Handler{}
	if err := h.Update(all); err != nil {
		b.Fatal(err)
	}
	return h, iss, docs
}

// BenchmarkHandler is the handler alone.
func BenchmarkHandler(b *testing.B) {
	for _, n := range []int{1, 100_000} {
		h, iss, docs := many(b, n)
		for name, handler := range map[string]http.Handler{"handler": h, "bare": bare(docs[0])} {
			b.Run(fmt.Sprintf("issuers=%d/%s", n, name), func(b *testing.B) {
				w := &memory{header: http.Header{}}
				r := httptest.NewRequest("GET", iss.JWKS(), nil)
				b.ReportAllocs()
				for b.Loop() {
					handler.ServeHTTP(w, r)
				}
			})
		}
	}
}

// BenchmarkServe is the whole way of a request through net/http, over loopback,
// from clients that do as little as possible. The two servers take turns in
// short rounds, so that a machine that is busy now and then slows both; the
// metric "of-bare" is the median of the rounds' ratios: 1 is as fast as bare.
func BenchmarkServe(b *testing.B) {
	for _, n := range []int{1, 100_000} {
		h, iss, docs := many(b, n)
		for _, secure := range []bool{false, true} {
			for i, url := range []string{iss.JWKS(), iss.Discovery()} {
				name := fmt.Sprintf("issuers=%d/tls=%v/%s", n, secure, []string{"jwks", "discovery"}[i])
				b.Run(name, func(b *testing.B) {
					ours, base := clients(b, h, url, secure), clients(b, bare(docs[i]), url, secure)
					const round = 50 // requests of each connection
					ours.get(round)
					base.get(round)
					var ratios []float64
					var total time.Duration
					requests := 0
					for b.Loop() {
						var t, u time.Duration
						if requests%2 == 0 {
							t = ours.get(round)
							u = base.get(round)
						} else {
							u = base.get(round)
							t = ours.get(round)
						}
						requests++
						total += t
						ratios = append(ratios, u.Seconds()/t.Seconds())
					}
					slices.Sort(ratios)
					b.ReportMetric(ratios[len(ratios)/2], "of-bare")
					b.ReportMetric(float64(requests*round*len(ours.conns))/total.Seconds(), "requests/s")
				})
			}
		}
	}
}

// connections are clients of one server that ask for one URL again and again.
type connections struct {
	b       testing.TB
	conns   []net.Conn
	request []byte
	size    int // of the response
}

func clients(b *testing.B, h http.Handler, url string, secure bool) *connections {
	b.Helper()
	s := httptest.NewUnstartedServer(h)
	if secure {
		s.StartTLS()
	} else {
		s.Start()
	}
	b.Cleanup(s.Close)
	r := httptest.NewRequest("GET", url, nil)
	c := &connections{b: b, request: fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: aws\r\nAccept: */*\r\n\r\n", r.URL.Path, r.Host)}
	for range 4 {
		conn, err := net.Dial("tcp", s.Listener.Addr().String())
		if err != nil {
			b.Fatal(err)
		}
		if secure {
			conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
		}
		b.Cleanup(func() { conn.Close() })
		c.conns = append(c.conns, conn)
	}
	// The first response says how long all are.
	counted := &countingReader{r: c.conns[0]}
	if _, err := c.conns[0].Write(c.request); err != nil {
		b.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(counted), nil)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != http.StatusOK {
		b.Fatalf("%s: %s, %v", url, resp.Status, err)
	}
	c.size = counted.n
	return c
}

type countingReader struct {
	r io.Reader
	n int
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += n
	return n, err
}

// get makes n requests on each connection.
func (c *connections) get(n int) time.Duration {
	start := time.Now()
	var group sync.WaitGroup
	for _, conn := range c.conns {
		group.Go(func() {
			buffer := make([]byte, c.size)
			for range n {
				if _, err := conn.Write(c.request); err != nil {
					c.b.Error(err)
					return
				}
				if _, err := io.ReadFull(conn, buffer); err != nil {
					c.b.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	return time.Since(start)
}
