package webhook_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openirsa/openirsa/internal/needs"
)

// chartLimit is the memory limit of the chart, in bytes.
const chartLimit = 192 << 20

// group is a control group with a memory limit; a test needs it.
type group struct{ dir, most string }

func limitedGroup(t testing.TB, limit int64) group {
	t.Helper()
	name := fmt.Sprintf("openirsa-webhook-%d", os.Getpid())
	var err error
	for _, v := range []struct{ root, limit, swap, most string }{
		{"/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.memsw.limit_in_bytes", "memory.max_usage_in_bytes"},
		{"/sys/fs/cgroup", "memory.max", "memory.swap.max", "memory.peak"},
	} {
		g := group{filepath.Join(v.root, name), v.most}
		if err = os.Mkdir(g.dir, 0o755); err != nil {
			continue
		}
		t.Cleanup(func() { os.Remove(g.dir) })
		if err = os.WriteFile(filepath.Join(g.dir, v.limit), []byte(strconv.FormatInt(limit, 10)), 0); err == nil {
			os.WriteFile(filepath.Join(g.dir, v.swap), []byte("0"), 0) // where there is any
			return g
		}
	}
	needs.Lacking(t, fmt.Errorf("a control group for memory: %w", err))
	return group{}
}

// command runs another in the group.
func (g group) command(c ...string) []string {
	return append([]string{"/bin/sh", "-c", `echo $$ > "$0"/cgroup.procs && exec "$@"`, g.dir}, c...)
}

// peak is the most memory that the group ever had, in MiB, with what the kernel
// keeps of files.
func (g group) peak(t testing.TB) float64 {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(g.dir, g.most))
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.ParseFloat(strings.TrimSpace(string(text)), 64)
	if err != nil {
		t.Fatal(err)
	}
	return n / (1 << 20)
}

// attack is what a stranger does with a connection, again and again.
type attack struct {
	plain bool // to the metrics port
	say   func(c net.Conn) error
}

// attacks hold what they can. None of them ever reads an answer.
func attacks(review []byte) map[string]attack {
	post := func(length int) string {
		return fmt.Sprintf("POST /mutate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", length)
	}
	whole := func(body string) func(net.Conn) error {
		return func(c net.Conn) error {
			_, err := io.WriteString(c, post(len(body))+body)
			return err
		}
	}
	var fields strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&fields, "%x:\r\n", i)
	}
	blanks := bytes.Repeat([]byte(" "), 7<<20-1)
	return map[string]attack{
		"body without an end": {say: func(c net.Conn) error {
			if _, err := io.WriteString(c, post(7<<20)); err != nil {
				return err
			}
			_, err := c.Write(blanks)
			return err
		}},
		"small body without an end": {say: func(c net.Conn) error {
			_, err := io.WriteString(c, post(32<<10)+string(blanks[:32<<10-1]))
			return err
		}},
		"announced body": {say: func(c net.Conn) error {
			_, err := io.WriteString(c, post(7<<20)+"{")
			return err
		}},
		"header without an end": {say: func(c net.Conn) error {
			_, err := io.WriteString(c, "GET / HTTP/1.1\r\n"+fields.String())
			return err
		}},
		"many fields": {say: func(c net.Conn) error {
			_, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n"+fields.String()+"\r\n")
			return err
		}},
		"silence":             {say: func(net.Conn) error { return nil }},
		"many containers":     {say: whole(strings.Replace(string(review), `"containers":[`, `"containers":[`+strings.Repeat("{},", 900), 1))},
		"millions of nothing": {say: whole(strings.Replace(string(review), `"containers":[`, `"containers":[`+strings.Repeat("{},", 2_000_000), 1))},
		"made-up names":       {say: whole(strings.ReplaceAll(string(review), "orders-api", "nobody"))},
		"silence at metrics":  {plain: true, say: func(net.Conn) error { return nil }},
		"header at metrics": {plain: true, say: func(c net.Conn) error {
			_, err := io.WriteString(c, "GET /metrics HTTP/1.1\r\n"+fields.String())
			return err
		}},
	}
}

// press carries an attack out on so many connections, until ctx ends.
func press(ctx context.Context, p *running, a attack, connections int) {
	var all sync.WaitGroup
	for range connections {
		all.Go(func() {
			for ctx.Err() == nil {
				address := p.webhook
				if a.plain {
					address = p.metrics
				}
				c, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", address)
				if err != nil {
					continue
				}
				stop := context.AfterFunc(ctx, func() { c.Close() })
				if !a.plain {
					s := tls.Client(c, &tls.Config{InsecureSkipVerify: true})
					if s.HandshakeContext(ctx) != nil {
						c.Close()
						continue
					}
					c = s
				}
				if a.say(c) == nil {
					// As long as it lasts.
					c.SetReadDeadline(time.Now().Add(2 * time.Second))
					io.ReadAtLeast(c, make([]byte, 1), 1)
				}
				stop()
				c.Close()
			}
		})
	}
	all.Wait()
}

// apiServer sends reviews as an API server does: on connections that it keeps, and
// again where it is told that there are too many, within the timeout of the
// webhook configuration.
type apiServer struct {
	client  *http.Client
	url     string
	review  []byte
	retries atomic.Int32
}

func (a *apiServer) admit(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	for {
		r, err := http.NewRequestWithContext(ctx, "POST", a.url, bytes.NewReader(a.review))
		if err != nil {
			return err
		}
		r.Header.Set("Content-Type", "application/json")
		resp, err := a.client.Do(r)
		if err != nil {
			return err
		}
		text, err := io.ReadAll(bufio.NewReader(resp.Body))
		resp.Body.Close()
		if resp.StatusCode == http.StatusTooManyRequests && resp.Header.Get("Retry-After") == "1" {
			a.retries.Add(1)
			select {
			case <-time.After(time.Second):
				continue
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		if err != nil || !bytes.Contains(text, []byte(`"patchType":"JSONPatch"`)) {
			return fmt.Errorf("%s: %.200s %v", resp.Status, text, err)
		}
		return nil
	}
}

// TestFlood runs the program with the chart's own memory limit. Strangers who reach
// it as any pod can hold all that it lets them hold; it lives, it stays below the
// limit, and pods are admitted throughout.
func TestFlood(t *testing.T) {
	needs.Time(t)
	command := program(t)
	g := limitedGroup(t, chartLimit)
	api := manyServiceAccounts(t, manyAccounts, nil)
	p := start(t, g.command(append(command, "--kube-api="+api.URL)...)...)
	before := g.peak(t)

	all := attacks(realReview(t))
	for name, a := range all {
		flood(t, p, name, "127.0.0.1", 700*time.Millisecond, 45, a)
	}
	// All together are more than are let in; API servers have an address of their own.
	flood(t, p, "all", "127.0.0.2", 2*time.Second, 30, slices.Collect(maps.Values(all))...)
	peak := g.peak(t)
	t.Logf("%.0f MiB before, at most %.0f MiB", before, peak)
	if peak*(1<<20) > chartLimit*0.95 {
		t.Errorf("it had %.0f MiB, of %d", peak, chartLimit>>20)
	}
}

// flood admits pods, from an address, while attacks last.
func flood(t *testing.T, p *running, name, from string, lasts time.Duration, connections int, all ...attack) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var attackers sync.WaitGroup
	defer attackers.Wait()
	defer cancel()
	for _, a := range all {
		attackers.Go(func() { press(ctx, p, a, connections) })
	}
	dial := func(from string) func(context.Context, string, string) (net.Conn, error) {
		return (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}).DialContext
	}
	kept := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DialContext: dial(from)}
	defer kept.CloseIdleConnections()
	server := &apiServer{client: &http.Client{Transport: kept}, url: "https://" + p.webhook + "/mutate?timeout=5s", review: realReview(t)}
	// Kubelet comes from its node's address, which only pods in the host's network have too.
	probe := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, DialContext: dial("127.0.0.3")}}
	var admitted, failed int
	var slowest time.Duration
	for start := time.Now(); time.Since(start) < lasts || admitted+failed < 10; time.Sleep(10 * time.Millisecond) {
		at := time.Now()
		if err := server.admit(t.Context()); err != nil {
			failed++
			t.Logf("%s: %v", name, err)
		} else {
			admitted++
		}
		slowest = max(slowest, time.Since(at))
		select {
		case <-p.ended:
			t.Fatalf("%s: the program has ended after %d admissions: %v", name, admitted, p.cmd.ProcessState)
		default:
		}
	}
	// As kubelet does, which ends the container after three failures in a row.
	const failureThreshold = 3
	for failures := 1; ; failures++ {
		resp, err := probe.Get("http://" + p.metrics + "/healthz")
		if err == nil {
			resp.Body.Close()
			break
		}
		t.Logf("%s: probe: %v", name, err)
		if failures == failureThreshold {
			t.Errorf("%s: %d probes failed in a row", name, failures)
			break
		}
	}
	t.Logf("%-26s %3d pods admitted, %d not, the slowest after %s, %d retries", name, admitted, failed, slowest.Round(time.Millisecond), server.retries.Load())
	if failed > 0 {
		t.Errorf("%s: %d pods were not admitted", name, failed)
	}
}

// TestTenants: whatever service accounts hold, and however many there are, the
// program stays below the chart's limit, and knows those that it has to.
func TestTenants(t *testing.T) {
	if testing.Short() {
		t.Skip("100,000 service accounts are not short")
	}
	command := program(t)
	huge := strings.Repeat("x", 250_000)
	hostile := func(i int, sa *metav1.PartialObjectMetadata) {
		if i == 0 {
			return // it is one's own
		}
		switch i % 5 {
		case 0:
			sa.Annotations["eks.amazonaws.com/role-arn"] = huge
		case 1:
			sa.Annotations["eks.amazonaws.com/role-arn"] = "arn:aws:iam::123456789012:role/" + huge
		case 2:
			sa.Annotations["eks.amazonaws.com/audience"] = huge
		case 3:
			for n := range 1000 {
				sa.Annotations[fmt.Sprintf("eks.amazonaws.com/%d-%s", n, huge[:50])] = huge[:150]
			}
		case 4:
			sa.ManagedFields[0].FieldsV1 = metav1.NewFieldsV1(`{"f:` + huge + `":{}}`)
			sa.Labels[huge[:60]] = huge[:60]
		}
	}
	for name, api := range map[string]*manyAPI{
		"many":                 {number: 100_000},
		"many, old API server": {number: 100_000, old: true},
		"all with a role": {number: 100_000, change: func(i int, sa *metav1.PartialObjectMetadata) {
			sa.Annotations["eks.amazonaws.com/role-arn"] = aRole.RoleARN
		}},
		"hostile":                 {number: 1000, change: hostile},
		"hostile, old API server": {number: 1000, change: hostile, old: true},
		"a name of one's own in each one": {number: 50_000, change: func(i int, sa *metav1.PartialObjectMetadata) {
			if i > 0 {
				sa.Annotations["eks.amazonaws.com/role-arn"] = "arn:aws:iam::123456789012:role/" + huge[:500] + "/" + strconv.Itoa(i)
				sa.Annotations["eks.amazonaws.com/audience"] = huge[:200] + strconv.Itoa(i)
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			if api.number > 1000 && os.Getenv("OPENIRSA_TOOLS") != "all" {
				t.Skip("many service accounts take a while: OPENIRSA_TOOLS=all")
			}
			g := limitedGroup(t, chartLimit)
			p := start(t, g.command(append(command, "--kube-api="+api.serve(t).URL)...)...)
			server := &apiServer{client: insecure(t), url: "https://" + p.webhook + "/mutate", review: realReview(t)}
			if err := server.admit(t.Context()); err != nil {
				t.Error(err)
			}
			peak := g.peak(t)
			t.Logf("%.0f MiB, %d pages", peak, api.pages.Load())
			if peak > 160 {
				t.Errorf("it had %.0f MiB", peak)
			}
		})
	}
}

func insecure(t *testing.T) *http.Client {
	kept := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	t.Cleanup(kept.CloseIdleConnections)
	return &http.Client{Transport: kept}
}
