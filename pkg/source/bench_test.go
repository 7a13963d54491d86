package source_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/openirsa/openirsa/pkg/discovery"
	"github.com/openirsa/openirsa/pkg/issuer"
	"github.com/openirsa/openirsa/pkg/source"
)

// BenchmarkKeeper is the start with many clusters, each with a key file of its
// own, and then the time until a changed key is served, in one process:
// $OPENIRSA_BENCH_CLUSTERS of them, or 10,000. It reports how long the start
// takes, what a cluster costs in memory that is in use and in memory of the
// process, and the median and the worst of the changes.
func BenchmarkKeeper(b *testing.B) {
	n := 10_000
	if s := os.Getenv("OPENIRSA_BENCH_CLUSTERS"); s != "" {
		var err error
		if n, err = strconv.Atoi(s); err != nil {
			b.Fatal(err)
		}
	}
	dir := b.TempDir()
	var pems []string
	var kids []string
	for range 100 { // making keys would take longer than all the rest
		public, pem := key(b)
		pems, kids = append(pems, pem), append(kids, public.KID)
	}
	name := func(i int) string { return filepath.Join(dir, strconv.Itoa(i/1000), strconv.Itoa(i)+".pub") }
	url := func(i int) string { return fmt.Sprintf("https://oidc.example.com/clusters/%d", i) }
	var config strings.Builder
	config.WriteString(head)
	for i := range n {
		write(b, name(i), pems[i%100])
		fmt.Fprintf(&config, "- issuer: %s\n  keyFiles: [%d/%d.pub]\n", url(i), i/1000, i)
	}
	write(b, filepath.Join(dir, "issuer.yaml"), config.String())
	config.Reset()
	before, beforeRSS := inUse()

	for b.Loop() {
		k := &source.Keeper{Handler: &discovery.Handler{}, Path: filepath.Join(dir, "issuer.yaml")}
		ctx, cancel := context.WithCancel(b.Context())
		done := make(chan error, 1)
		start := time.Now()
		go func() { done <- k.Run(ctx) }()
		for !k.Status().Ready() {
			time.Sleep(20 * time.Millisecond)
		}
		took := time.Since(start)
		if status := k.Status(); status.Served != n || k.Handler.Len() != n {
			b.Fatalf("%+v", status)
		}
		_, rss := inUse()
		heap, settled := inUse() // with what was let go of given back
		b.ReportMetric(took.Seconds(), "start-s")
		b.ReportMetric(float64(heap-before)/float64(n), "heap-B/cluster")
		b.ReportMetric(float64(min(rss, settled)-beforeRSS)/float64(n), "rss-B/cluster")

		var changes []time.Duration
		w := &httptest.ResponseRecorder{}
		for i := range 20 {
			i = i * n / 20
			r := httptest.NewRequest(http.MethodGet, url(i)+issuer.JWKSPath, nil)
			write(b, name(i), pems[(i+1)%100])
			start := time.Now()
			for {
				w = httptest.NewRecorder()
				k.Handler.ServeHTTP(w, r)
				if strings.Contains(w.Body.String(), kids[(i+1)%100]) {
					break
				}
				if time.Since(start) > 10*time.Second {
					b.Fatalf("not after 10s: cluster %d serves %s", i, w.Body)
				}
				time.Sleep(time.Millisecond)
			}
			changes = append(changes, time.Since(start))
			write(b, name(i), pems[i%100])
		}
		var worst, sum time.Duration
		for _, d := range changes {
			worst, sum = max(worst, d), sum+d
		}
		b.ReportMetric(sum.Seconds()/float64(len(changes))*1000, "change-ms")
		b.ReportMetric(worst.Seconds()*1000, "worst-change-ms")
		cancel()
		if err := <-done; err != nil {
			b.Fatal(err)
		}
	}
}

// inUse is the memory in use, and that of the process as the system sees it.
func inUse() (heap, rss int64) {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	status, err := os.ReadFile("/proc/self/statm")
	if err == nil {
		if fields := strings.Fields(string(status)); len(fields) > 1 {
			pages, _ := strconv.ParseInt(fields[1], 10, 64)
			rss = pages * int64(os.Getpagesize())
		}
	}
	return int64(m.HeapAlloc), rss
}
