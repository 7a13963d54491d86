package agent_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/openirsa/openirsa/pkg/agent"
)

// steady is an exchange that gives credentials of the size that AWS gives.
func steady(context.Context, string) (*agent.Credentials, error) {
	return &agent.Credentials{AccessKeyID: "ASIA1234567890123456", SecretAccessKey: strings.Repeat("s", 40), SessionToken: strings.Repeat("t", 1100),
		AccountID: "111122223333", Expires: time.Now().Add(6 * time.Hour), Namespace: "team-a", ServiceAccount: "app"}, nil
}

// BenchmarkAgentCacheHit asks for credentials that are kept, on 16 connections, in turn
// of a bare handler that writes the same bytes and of ours, so that both meet the same
// machine. An operation is 200 requests of each on each connection. The ratio is of
// throughput, ours to bare; the 99th percentiles are in microseconds.
func BenchmarkAgentCacheHit(b *testing.B) {
	const connections, each = 16, 200
	a := agent.New(agent.Config{Exchange: steady, Metrics: agent.NewMetrics(prometheus.NewRegistry())})
	tok := token(b, podUID)
	body := []byte(get(b, serve(b, a.Handler()), tok).body)
	bare := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Write(body)
	})
	servers := []*load{newLoad(b, serve(b, bare), tok, connections), newLoad(b, serve(b, agent.FastHandler(a)), tok, connections)}
	for _, l := range servers {
		l.run(b, each, len(body))
		l.latencies, l.took = nil, 0
	}
	n := 0
	for b.Loop() {
		for i := range servers {
			servers[(i+n)%2].run(b, each, len(body))
		}
		n++
	}
	rate := func(l *load) float64 { return float64(len(l.latencies)) / l.took.Seconds() }
	b.ReportMetric(rate(servers[0]), "bare-req/s")
	b.ReportMetric(rate(servers[1]), "agent-req/s")
	b.ReportMetric(rate(servers[1])/rate(servers[0]), "ratio")
	b.ReportMetric(servers[0].percentile(99), "bare-p99-µs")
	b.ReportMetric(servers[1].percentile(99), "agent-p99-µs")
	b.ReportMetric(0, "ns/op")
}

// load sends one request again and again over connections of its own.
type load struct {
	request     string
	connections []net.Conn
	latencies   []time.Duration
	took        time.Duration
}

func newLoad(b *testing.B, address, token string, connections int) *load {
	l := &load{request: "GET " + agent.Path + " HTTP/1.1\r\nHost: 169.254.170.23\r\nAccept: application/json\r\nAuthorization: " + token + "\r\n\r\n"}
	for range connections {
		c, err := net.Dial("tcp", address)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { c.Close() })
		l.connections = append(l.connections, c)
	}
	return l
}

func (l *load) run(b *testing.B, each, length int) {
	all := make([][]time.Duration, len(l.connections))
	start := time.Now()
	var wg sync.WaitGroup
	for i, c := range l.connections {
		wg.Go(func() {
			r := bufio.NewReader(c)
			for range each {
				t := time.Now()
				if _, err := io.WriteString(c, l.request); err != nil {
					b.Error(err)
					return
				}
				res, err := http.ReadResponse(r, nil)
				if err != nil {
					b.Error(err)
					return
				}
				n, err := io.Copy(io.Discard, res.Body)
				if err != nil || res.StatusCode != http.StatusOK || int(n) != length {
					b.Errorf("%s, %d bytes, %v", res.Status, n, err)
					return
				}
				all[i] = append(all[i], time.Since(t))
			}
		})
	}
	wg.Wait()
	l.took += time.Since(start)
	l.latencies = append(l.latencies, slices.Concat(all...)...)
}

func (l *load) percentile(p int) float64 {
	slices.Sort(l.latencies)
	return float64(l.latencies[len(l.latencies)*p/100].Microseconds())
}

// BenchmarkAgentMemory fills the cache with 2,000 pods, each with two tokens.
func BenchmarkAgentMemory(b *testing.B) {
	const pods = agent.CacheSize
	for b.Loop() {
		b.StopTimer()
		tokens := make([]string, 0, 2*pods)
		for i := range pods {
			tokens = append(tokens, token(b, fmt.Sprint(podUID, i)), token(b, fmt.Sprint(podUID, i)))
		}
		a := agent.New(agent.Config{Exchange: steady})
		h := agent.FastHandler(a)
		before := heap()
		b.StartTimer()
		for i, tok := range tokens {
			r, err := http.NewRequest(http.MethodGet, agent.Path, nil)
			if err != nil {
				b.Fatal(err)
			}
			r.Host, r.RemoteAddr = "169.254.170.23", fmt.Sprintf("10.0.%d.%d:1", i/200, i%200)
			r.Header.Set("Authorization", strings.Clone(tok))
			h.ServeHTTP(discard{}, r)
		}
		b.StopTimer()
		if n, known := agent.Kept(a); n != pods || known != 2*pods {
			b.Fatalf("%d pods and %d tokens are kept", n, known)
		}
		b.ReportMetric(float64(heap()-before)/(1<<20), "MiB/2000-pods")
		runtime.KeepAlive(a)
		runtime.KeepAlive(tokens)
		b.StartTimer()
	}
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// discard is a response that nobody reads.
type discard struct{}

func (discard) Header() http.Header         { return http.Header{} }
func (discard) Write(b []byte) (int, error) { return len(b), nil }
func (discard) WriteHeader(int)             {}
