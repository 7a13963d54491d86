package emulator_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"

	"github.com/openirsa/openirsa/pkg/emulator"
)

// scrape reads the metrics as Prometheus does: each sample by its name and labels, and
// the number of samples of histograms.
func scrape(t *testing.T, url string) (samples map[string]float64, page string) {
	t.Helper()
	resp, err := http.Get(url + "/_openirsa/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatal(resp.Status, err)
	}
	samples = map[string]float64{}
	decoder := expfmt.NewDecoder(bytes.NewReader(body), expfmt.ResponseFormat(resp.Header))
	for {
		var family dto.MetricFamily
		if err := decoder.Decode(&family); err == io.EOF {
			return samples, string(body)
		} else if err != nil {
			t.Fatal(err)
		}
		for _, m := range family.Metric {
			var labels []string
			for _, l := range m.Label {
				labels = append(labels, l.GetValue())
			}
			name := strings.TrimPrefix(family.GetName(), "openirsa_emulator_") + "{" + strings.Join(labels, ",") + "}"
			switch {
			case m.Counter != nil:
				samples[name] = m.Counter.GetValue()
			case m.Gauge != nil:
				samples[name] = m.Gauge.GetValue()
			case m.Histogram != nil:
				samples[name] = float64(m.Histogram.GetSampleCount())
				if m.Histogram.GetSampleSum() < 0 || m.Histogram.GetSampleSum() > 600 {
					t.Errorf("%s has a sum of %g s", name, m.Histogram.GetSampleSum())
				}
			}
		}
	}
}

func TestMetrics(t *testing.T) {
	a, idp := start(t, emulator.Config{MaxEvents: 5, State: filepath.Join(t.TempDir(), "state")})
	idp.register()
	role := a.Role("R", idp.usual())
	for range 3 {
		if _, err := assume(t, a, role, idp.token(idp.claims())); err != nil {
			t.Fatal(err)
		}
	}
	assume(t, a, role, idp.token(idp.claims().with(claims{"sub": "system:serviceaccount:ns1:other"})))
	assume(t, a, role, idp.token(idp.claims().with(claims{"aud": "other"})))
	assume(t, a, role, idp.token(idp.claims().with(claims{"exp": 1})))
	assume(t, a, role, sign(t, map[string]any{"alg": "RS256", "kid": "one"}, idp.claims(), keyOther()))
	sts.NewFromConfig(a.ConfigFor("AKIAIOSFODNN7EXAMPLE", "no", "")).GetCallerIdentity(t.Context(), nil)
	sts.NewFromConfig(a.Config()).GetCallerIdentity(t.Context(), nil)
	if _, err := s3.NewFromConfig(a.Config()).CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: new("a-bucket")}); err != nil {
		t.Fatal(err)
	}
	s3.NewFromConfig(a.Config()).GetObject(t.Context(), &s3.GetObjectInput{Bucket: new("a-bucket"), Key: new("none")})
	a.Server.Inject(emulator.Fault{Action: "GetCallerIdentity", Code: "Throttling", Status: 400, Times: 1})
	a.Server.FastForward(90 * time.Second)
	post(t, a, form("Action", "GetCallerIdentity", "Version", "2011-06-15"))

	got, page := scrape(t, a.URL)
	for name, want := range map[string]float64{
		"calls_total{sts,AssumeRoleWithWebIdentity,success}": 3,
		"calls_total{sts,AssumeRoleWithWebIdentity,denied}":  4,
		"calls_total{sts,GetCallerIdentity,success}":         1,
		"calls_total{sts,GetCallerIdentity,denied}":          2,
		"calls_total{s3,CreateBucket,success}":               1,
		"calls_total{s3,GetObject,error}":                    1,
		"calls_total{iam,CreateRole,success}":                1,

		"call_duration_seconds{sts,AssumeRoleWithWebIdentity}": 7,

		"denials_total{sts,AssumeRoleWithWebIdentity,trust}":     1,
		"denials_total{sts,AssumeRoleWithWebIdentity,audience}":  1,
		"denials_total{sts,AssumeRoleWithWebIdentity,claims}":    1,
		"denials_total{sts,AssumeRoleWithWebIdentity,signature}": 1,
		"denials_total{sts,GetCallerIdentity,signature}":         1,
		"denials_total{sts,GetCallerIdentity,fault}":             1,

		"web_identity_tokens_total{verified}":  4,
		"web_identity_tokens_total{audience}":  1,
		"web_identity_tokens_total{claims}":    1,
		"web_identity_tokens_total{signature}": 1,

		"sessions_total{AssumeRoleWithWebIdentity}": 3,
		"issuer_key_lookups_total{fetched}":         2, // the first, and for the wrong signature
		"issuer_key_lookups_total{cached}":          4,

		"resources{bucket}": 1, "resources{oidc-provider}": 1, "resources{role}": 1, "resources{user}": 0,
		"state_failing{}": 0, "body_bytes{}": 0, "clock_offset_seconds{}": 90,
	} {
		if n, ok := got[name]; !ok || n != want {
			t.Errorf("%s is %g, want %g", name, n, want)
		}
	}
	if n := got["issuer_fetch_duration_seconds{network,success}"]; n < 4 {
		t.Errorf("%g documents were fetched", n)
	}
	if all, dropped := got["events_total{}"], got["events_dropped_total{}"]; all < 10 || dropped != all-5 || got["event_bytes{}"] <= 0 {
		t.Errorf("of %g events %g are dropped, and %g bytes kept", all, dropped, got["event_bytes{}"])
	}
	if got["state_bytes{}"] < 1000 {
		t.Errorf("the state has %g bytes", got["state_bytes{}"])
	}
	problems, err := promlint.New(strings.NewReader(page)).Lint()
	if err != nil {
		t.Error(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	if t.Failed() {
		t.Log(page)
	}
}

// TestMetricsOfStrangers: whatever a stranger calls, there are no series of it.
func TestMetricsOfStrangers(t *testing.T) {
	a, _ := start(t, quiet())
	call := func(method, path, body string, header ...string) {
		r := httptest.NewRequest(method, a.URL+path, strings.NewReader(body))
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		a.Server.ServeHTTP(httptest.NewRecorder(), r)
	}
	const posted = "application/x-www-form-urlencoded"
	strange := func(i int) {
		word := fmt.Sprintf("Strange%d", i)
		call("POST", "/", form("Action", word, "Version", "2011-06-15"), "Content-Type", posted)
		call("POST", "/", form("Action", word, "Version", "2010-05-08"), "Content-Type", posted)
		call("POST", "/", form("Action", word, "Version", word), "Content-Type", posted)
		call("POST", "/", "{}", "X-Amz-Target", "TrentService."+word)
		call("POST", "/", "{}", "X-Amz-Target", word+"."+word)
		call(strings.ToUpper(word), "/"+strings.ToLower(word)+"/"+word, "")
		call("GET", "/"+strings.ToLower(word)+"?"+word, "", "Authorization",
			"AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20260101/"+word+"/"+strings.ToLower(word)+"/aws4_request, SignedHeaders=host, Signature=0")
	}
	strange(0)
	before, _ := scrape(t, a.URL)
	for i := range 300 {
		strange(i)
	}
	after, page := scrape(t, a.URL)
	if len(after) != len(before) {
		t.Errorf("there were %d samples, and there are %d", len(before), len(after))
	}
	if strings.Contains(strings.ToLower(page), "strange") {
		t.Errorf("a stranger's word is in the metrics: %s", page)
	}
	if n := after["calls_total{sts,other,error}"]; n != 301 {
		t.Errorf("%g calls of unknown operations of STS are counted", n)
	}
}

// TestMetricsGate: the metrics are not for pages of other origins, nor at the hosts of
// buckets.
func TestMetricsGate(t *testing.T) {
	a, _ := start(t, emulator.Config{Hosts: []string{"emulator.test"}})
	for _, c := range []struct {
		host, origin string
		status       int
	}{
		{"127.0.0.1:4566", "", 200},
		{"emulator.test", "", 200},
		{"stranger.test", "", 421},
		{"127.0.0.1:4566", "https://stranger.test", 403},
		{"a-bucket.s3.amazonaws.com", "", 404}, // a key of that bucket
	} {
		r := httptest.NewRequest("GET", "/_openirsa/metrics", nil)
		r.Host = c.host
		if c.origin != "" {
			r.Header.Set("Origin", c.origin)
		}
		w := httptest.NewRecorder()
		a.Server.ServeHTTP(w, r)
		if w.Code != c.status || (c.status == 200) != strings.Contains(w.Body.String(), "openirsa_emulator_calls_total") {
			t.Errorf("at %s from %q: %d %s", c.host, c.origin, w.Code, w.Body)
		}
	}
}

// TestMetricsOfConnections: with ConnState in the server the metrics have them.
func TestMetricsOfConnections(t *testing.T) {
	a, _ := start(t, emulator.Config{})
	server := httptest.NewUnstartedServer(a.Server)
	closed := make(chan bool, 10)
	server.Config.ConnState = func(c net.Conn, state http.ConnState) {
		a.Server.ConnState(c, state)
		if state == http.StateClosed {
			closed <- true
		}
	}
	server.Start()
	defer server.Close()
	once := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := once.Get(server.URL + "/_openirsa/health")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	<-closed
	got, _ := scrape(t, server.URL)
	if got["connections_total{}"] != 2 || got["connections{}"] != 1 {
		t.Errorf("%g connections, %g open", got["connections_total{}"], got["connections{}"])
	}
}

// TestMetricsAreDocumented: docs/observability.md has each metric as it is.
func TestMetricsAreDocumented(t *testing.T) {
	doc, err := os.ReadFile("../../docs/observability.md")
	if err != nil {
		t.Fatal(err)
	}
	a, _ := start(t, emulator.Config{})
	var rows []string
	for _, d := range emulator.Metrics(a.Server) {
		labels := ""
		if len(d.Labels) > 0 {
			labels = "{" + strings.Join(d.Labels, ",") + "}"
		}
		row := fmt.Sprintf("| `%s%s` | %s | %s |", d.Name, labels, d.Type, d.Help)
		rows = append(rows, row)
	}
	for line := range strings.Lines(string(doc)) {
		if strings.HasPrefix(line, "| `openirsa_emulator_") && !slices.Contains(rows, strings.TrimSpace(line)) {
			t.Errorf("docs/observability.md has a metric that is not there: %s", line)
		}
	}
	for _, row := range rows {
		if !strings.Contains(string(doc), row+"\n") {
			t.Errorf("docs/observability.md lacks\n%s", row)
		}
	}
}
