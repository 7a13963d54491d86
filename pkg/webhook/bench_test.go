package webhook_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"

	"github.com/openirsa/openirsa/pkg/irsa"
	"github.com/openirsa/openirsa/pkg/webhook"
)

// realReview is an AdmissionReview as kube-apiserver 1.37 sent it, for a pod
// with three containers and one init container.
func realReview(tb testing.TB) []byte {
	tb.Helper()
	b, err := os.ReadFile("testdata/review.json")
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func granting(id irsa.Identity) webhook.Lookup {
	return func(context.Context, string, string) (webhook.Grant, error) { return webhook.Grant{Identity: id}, nil }
}

var aRole = irsa.Identity{RoleARN: "arn:aws:iam::123456789012:role/orders", Audience: "sts.amazonaws.com", ExpirationSeconds: 86400}

// bare is what any webhook has to do at least: decode the review into
// Kubernetes' types with encoding/json, and say yes.
func bare(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	var review admissionv1.AdmissionReview
	if err := json.Unmarshal(body, &review); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	review.Response = &admissionv1.AdmissionResponse{UID: review.Request.UID, Allowed: true}
	review.Request = nil
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(review)
}

// BenchmarkAdmission sends the real review over TLS on 16 connections, in turn
// to the bare handler and to ours, so that both meet the same machine. An
// operation is 100 reviews of each on each connection. The ratio is of
// throughput, ours to bare; the 99th percentiles are in microseconds.
func BenchmarkAdmission(b *testing.B) {
	const connections, each = 16, 100
	review := realReview(b)
	metrics := webhook.NewMetrics(newRegistry())
	servers := []*load{
		newLoad(b, http.HandlerFunc(bare), connections, review, `"allowed":true`),
		newLoad(b, metrics.Instrument("/mutate", &webhook.Handler{
			Lookup: granting(aRole), Settings: webhook.Settings{Region: "eu-west-1"}, Metrics: metrics,
		}), connections, review, `"patchType":"JSONPatch"`),
	}
	for _, l := range servers {
		l.run(b, each) // handshakes, pools, code
		l.latencies, l.took = nil, 0
	}
	n := 0
	for b.Loop() {
		for i := range servers {
			servers[(i+n)%2].run(b, each)
		}
		n++
	}
	rate := func(l *load) float64 { return float64(len(l.latencies)) / l.took.Seconds() }
	b.ReportMetric(rate(servers[0]), "bare-req/s")
	b.ReportMetric(rate(servers[1]), "webhook-req/s")
	b.ReportMetric(rate(servers[1])/rate(servers[0]), "ratio")
	b.ReportMetric(servers[0].percentile(99), "bare-p99-µs")
	b.ReportMetric(servers[1].percentile(99), "webhook-p99-µs")
	b.ReportMetric(0, "ns/op")
}

// load sends one request again and again over connections of its own.
type load struct {
	request     []byte
	want        []byte
	connections []*tls.Conn
	readers     []*bufio.Reader
	latencies   []time.Duration
	took        time.Duration
}

func newLoad(tb testing.TB, h http.Handler, connections int, body []byte, want string) *load {
	tb.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	s := &http.Server{Handler: h, TLSConfig: &tls.Config{Certificates: []tls.Certificate{selfSigned(tb)}}, ErrorLog: log.New(io.Discard, "", 0)}
	done := make(chan struct{})
	go func() {
		s.ServeTLS(ln, "", "")
		close(done)
	}()
	tb.Cleanup(func() {
		s.Close()
		<-done
	})
	return connect(tb, ln.Addr().String(), connections, body, want)
}

// connect makes the connections of a load to a server that is there.
func connect(tb testing.TB, address string, connections int, body []byte, want string) *load {
	tb.Helper()
	l := &load{want: []byte(want)}
	tb.Cleanup(func() {
		for _, c := range l.connections {
			c.Close()
		}
	})
	l.request = fmt.Appendf(nil, "POST /mutate?timeout=5s HTTP/1.1\r\nHost: webhook.openirsa-system.svc\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	for range connections {
		c, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}})
		if err != nil {
			tb.Fatal(err)
		}
		l.connections = append(l.connections, c)
		l.readers = append(l.readers, bufio.NewReader(c))
	}
	return l
}

func (l *load) run(tb testing.TB, each int) {
	all := make([][]time.Duration, len(l.connections))
	start := time.Now()
	var wg sync.WaitGroup
	for i, c := range l.connections {
		wg.Go(func() {
			var body bytes.Buffer
			for range each {
				t := time.Now()
				if _, err := c.Write(l.request); err != nil {
					tb.Error(err)
					return
				}
				resp, err := http.ReadResponse(l.readers[i], nil)
				if err != nil {
					tb.Error(err)
					return
				}
				body.Reset()
				if _, err := body.ReadFrom(resp.Body); err != nil || resp.StatusCode != http.StatusOK || !bytes.Contains(body.Bytes(), l.want) {
					tb.Errorf("%s: %s %v", resp.Status, body.Bytes(), err)
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

func selfSigned(tb testing.TB) tls.Certificate {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"localhost"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		tb.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// BenchmarkParse is the review alone: read by us and by encoding/json.
func BenchmarkParse(b *testing.B) {
	review := realReview(b)
	b.Run("webhook", func(b *testing.B) {
		b.SetBytes(int64(len(review)))
		b.ReportAllocs()
		for b.Loop() {
			object, err := webhook.ReviewObject(review)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := webhook.ParsePod(object, irsa.DefaultPrefix); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("encoding-json", func(b *testing.B) {
		b.SetBytes(int64(len(review)))
		b.ReportAllocs()
		for b.Loop() {
			var r admissionv1.AdmissionReview
			if err := json.Unmarshal(review, &r); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkLookup is what a pod waits for before it is decided about: the service account
// has a role and associations are not asked about, or it has an association.
func BenchmarkLookup(b *testing.B) {
	client, err := metadata.NewForConfig(&rest.Config{Host: manyServiceAccounts(b, manyAccounts, nil).URL})
	if err != nil {
		b.Fatal(err)
	}
	run := func(name string, a *webhook.Associations) {
		b.Run(name, func(b *testing.B) {
			d := &webhook.Directory{Metadata: client, Associations: a}
			ctx, cancel := context.WithCancel(b.Context())
			done := make(chan error)
			go func() { done <- d.Run(ctx) }()
			defer func() { cancel(); <-done }()
			for d.Ready() != nil || a != nil && a.Number() == 0 {
				time.Sleep(10 * time.Millisecond)
			}
			b.ReportAllocs()
			for b.Loop() {
				if g, err := d.Lookup(ctx, "shop", "orders-api"); err != nil || g.Credentials != (a != nil) || g.Nothing() {
					b.Fatalf("%+v, %v", g, err)
				}
			}
		})
	}
	run("role", nil)
	run("association", &webhook.Associations{List: func(_ context.Context, _, _ string, each func(namespace, account string)) error {
		each("shop", "orders-api")
		for i := range manyAccounts {
			each(fmt.Sprintf("namespace-%d", i%200), fmt.Sprintf("service-account-%d", i))
		}
		return nil
	}})
}
