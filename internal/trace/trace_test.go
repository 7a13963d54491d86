package trace_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/pem"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/openirsa/openirsa/internal/trace"
	"github.com/openirsa/openirsa/internal/trace/tracetest"
)

// traced serves requests with the headers that each is given, with a handler that names
// its span and has two parts, and returns the collector and the log.
func traced(t *testing.T, requests []http.Header, environment ...string) (*tracetest.Collector, string) {
	t.Helper()
	collector := tracetest.Start(t)
	return collector, serve(t, requests, collector.Environment(environment...))
}

func serve(t *testing.T, requests []http.Header, lookup func(string) (string, bool)) string {
	t.Helper()
	var log bytes.Buffer
	tracer := trace.New(trace.Options{Service: "test", Version: "v1", Lookup: lookup, Log: slog.New(slog.NewTextHandler(&log, nil))})
	stop := tracer.Open()
	h := tracer.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		span := trace.From(r.Context())
		span.Name("call")
		part := span.Start("part")
		part.StartCall("GET").End()
		part.End()
		span.Text("text", r.Header.Get("X-Text"))
		span.Number("number", 1<<40)
		span.Bool("bool", true)
		span.Event("event", "why", "because", "nothing", "")
		w.WriteHeader(http.StatusTeapot)
	}))
	for _, header := range requests {
		r := httptest.NewRequest("POST", "/", nil)
		r.Header = header
		h.ServeHTTP(httptest.NewRecorder(), r)
	}
	stop()
	return log.String()
}

const (
	aTrace = "4bf92f3577b34da6a3ce929d0e0e4736"
	aSpan  = "00f067aa0ba902b7"
)

func parent(value string) []http.Header { return []http.Header{{"Traceparent": {value}}} }

func TestSpans(t *testing.T) {
	const secret = "hp4/XUtnFEMI/K7MDENG/bPxRfiCYqT8vKw0aZs1"
	requests := []http.Header{{"X-Text": {"a " + secret}, "Traceparent": {"00-" + aTrace + "-" + aSpan + "-01"}, "Tracestate": {"x=1"}}}
	c, log := traced(t, requests, "OTEL_SERVICE_NAME", "mine", "OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=a%20b, service.name=no",
		"OTEL_EXPORTER_OTLP_HEADERS", "api-key="+secret, "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/protobuf")
	if got := c.Trees(); got != "call(part(GET))" {
		t.Fatalf("spans %s", got)
	}
	call, part, get := c.Find("call"), c.Find("part"), c.Find("GET")
	if call.TraceID != aTrace || call.ParentSpanID != aSpan || call.TraceState != "x=1" || call.Flags != 0x301 || part.TraceID != aTrace || part.Flags != 0x101 {
		t.Errorf("the caller's trace is not continued: %+v, %+v", call, part)
	}
	if call.Kind != 2 || part.Kind != 1 || get.Kind != 3 {
		t.Errorf("kinds %d, %d, %d", call.Kind, part.Kind, get.Kind)
	}
	for key, want := range map[string]string{
		"text": "a [secret]", "number": "1099511627776", "bool": "true", "http.request.method": "POST", "http.response.status_code": "418",
		"client.address": "192.0.2.1",
	} {
		if got := call.Value(key); got != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
	if len(call.Events) != 1 || call.Events[0].Value("why") != "because" || len(call.Events[0].Attributes) != 1 {
		t.Errorf("events %+v", call.Events)
	}
	for key, want := range map[string]string{"service.name": "mine", "service.version": "v1", "deployment.environment.name": "a b", "telemetry.sdk.name": "openirsa"} {
		if got := call.Resource(key); got != want {
			t.Errorf("resource %s is %q, want %q", key, got, want)
		}
	}
	if c.Header().Get("Api-Key") != secret {
		t.Error("the headers of the environment are not sent")
	}
	if strings.Contains(log+strings.Join(c.Bodies(), ""), secret) {
		t.Error("a secret is shown")
	}
}

// TestLongTexts: of a text as much is exported as is read, and no half of a secret.
func TestLongTexts(t *testing.T) {
	key := make([]byte, 30)
	rand.Read(key)
	secret := base64.StdEncoding.EncodeToString(key)
	for at := 1000; at < 2100; at += 7 {
		c, _ := traced(t, []http.Header{{"X-Text": {strings.Repeat("a", at) + " " + secret + strings.Repeat(" b", 4000)}}})
		got := c.Find("call").Value("text")
		if len(got) > 1100 || strings.Contains(got, secret[:12]) {
			t.Fatalf("with a secret at %d: %s", at, got)
		}
	}
}

func TestParents(t *testing.T) {
	good := "00-" + aTrace + "-" + aSpan
	for _, c := range []struct {
		value   string
		kept    bool
		sampled bool
	}{
		{good + "-01", true, true},
		{good + "-00", true, false},
		{good + "-03", true, true},
		{"01-" + aTrace + "-" + aSpan + "-01-more", true, true}, // of a version to come
		{good + "-01-more", false, true},
		{"ff-" + aTrace + "-" + aSpan + "-01", false, true},
		{"00-" + strings.ToUpper(aTrace) + "-" + aSpan + "-01", false, true},
		{"00-" + strings.Repeat("0", 32) + "-" + aSpan + "-01", false, true},
		{"00-" + aTrace + "-" + strings.Repeat("0", 16) + "-01", false, true},
		{"00-" + aTrace + "-" + aSpan + "-zz", false, true},
		{"00_" + aTrace + "_" + aSpan + "_01", false, true},
		{"", false, true},
		{strings.Repeat("0", 4000), false, true},
	} {
		collector, _ := traced(t, parent(c.value))
		spans := collector.Spans()
		if (len(spans) > 0) != c.sampled {
			t.Errorf("%q: %d spans", c.value, len(spans))
			continue
		}
		if c.sampled && (collector.Find("call").TraceID == aTrace) != c.kept {
			t.Errorf("%q: trace %s", c.value, spans[0].TraceID)
		}
	}
	ignored, _ := traced(t, parent(good+"-01"), "OTEL_PROPAGATORS", "none")
	if ignored.Find("call").TraceID == aTrace {
		t.Error("a trace is continued without a propagator")
	}
}

func TestSampler(t *testing.T) {
	sampled, not := parent("00-" + aTrace + "-" + aSpan + "-01")[0], parent("00-" + aTrace + "-" + aSpan + "-00")[0]
	for _, c := range []struct {
		sampler, arg        string
		none, sampled, not_ bool // whether requests without a caller's trace, with a sampled one, and with one that is not, are traced
		log                 string
	}{
		{"", "", true, true, false, ""},
		{"always_on", "", true, true, true, ""},
		{"always_off", "", false, false, false, ""},
		{"parentbased_always_off", "", false, true, false, ""},
		{"traceidratio", "0", false, false, false, ""},
		{"traceidratio", "1", true, true, true, ""},
		{"parentbased_traceidratio", "0", false, true, false, ""},
		{"traceidratio", "2", true, true, true, "OTEL_TRACES_SAMPLER_ARG"},
		{"jaeger_remote", "", true, true, false, "OTEL_TRACES_SAMPLER"},
	} {
		collector, log := traced(t, []http.Header{{"X-Text": {"none"}}, sampled, not}, "OTEL_TRACES_SAMPLER", c.sampler, "OTEL_TRACES_SAMPLER_ARG", c.arg)
		var none, yes, no bool
		calls := 0
		for _, s := range collector.Spans() {
			if s.Name != "call" {
				continue
			}
			calls++
			switch s.TraceID {
			case aTrace:
				no, yes = yes, true
			default:
				none = true
			}
		}
		if none != c.none || yes != c.sampled || no != c.not_ {
			t.Errorf("%s %s: %d calls are traced: without a trace %t, with one %t, with one that is not sampled %t", c.sampler, c.arg, calls, none, yes, no)
		}
		if c.log != "" && !strings.Contains(log, "variable="+c.log+" ") || c.log == "" && strings.Contains(log, "ignored") {
			t.Errorf("%s %s: the log is %s", c.sampler, c.arg, log)
		}
	}
	// About half of all: what lies far outside would happen once in a million years.
	half, _ := traced(t, make([]http.Header, 1000), "OTEL_TRACES_SAMPLER", "traceidratio", "OTEL_TRACES_SAMPLER_ARG", "0.5", "OTEL_BSP_MAX_QUEUE_SIZE", "10000")
	if n := len(half.Spans()) / 3; n < 350 || n > 650 {
		t.Errorf("with ratio 0.5 %d of 1000 are traced", n)
	}
}

// TestOff: nothing is traced, and handlers are left as they are, unless there is an
// endpoint that can be used.
func TestOff(t *testing.T) {
	endpoint := "OTEL_EXPORTER_OTLP_ENDPOINT"
	for _, c := range []struct {
		log   string
		pairs []string
	}{
		{"", nil},
		{"", []string{endpoint, ""}},
		{"", []string{endpoint, "http://127.0.0.1:1", "OTEL_SDK_DISABLED", "True"}},
		{"", []string{endpoint, "http://127.0.0.1:1", "OTEL_TRACES_EXPORTER", "none"}},
		{"otlp is all there is", []string{endpoint, "http://127.0.0.1:1", "OTEL_TRACES_EXPORTER", "zipkin"}},
		{"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=http/json", []string{endpoint, "http://127.0.0.1:1", "OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"}},
		{"not an http or https URL", []string{endpoint, "collector:4317"}},
		{"reading OTEL_EXPORTER_OTLP_CERTIFICATE", []string{endpoint, "https://127.0.0.1:1", "OTEL_EXPORTER_OTLP_CERTIFICATE", "missing"}},
		{"", []string{endpoint, "http://127.0.0.1:1", "OTEL_TRACES_SAMPLER", "always_off"}},
	} {
		var log bytes.Buffer
		tracer := trace.New(trace.Options{Lookup: environment(c.pairs...), Log: slog.New(slog.NewTextHandler(&log, nil))})
		if tracer != nil {
			t.Errorf("%q: traces are exported", c.pairs)
		}
		if c.log == "" && log.Len() > 0 || !strings.Contains(log.String(), c.log) {
			t.Errorf("%q: the log is %s", c.pairs, &log)
		}
		tracer.Open()()
		if err := tracer.Run(context.Background()); err != nil {
			t.Error(err)
		}
		mux := http.NewServeMux()
		if tracer.Handler(mux) != http.Handler(mux) {
			t.Errorf("%q: a handler is changed", c.pairs)
		}
	}
	span := trace.From(t.Context())
	span.Name("x")
	span.Event("x")
	span.Fail("x", "x")
	span.Start("x").StartCall("x").End()
	if span != nil || trace.With(t.Context(), span) != t.Context() {
		t.Error("there is a span")
	}
}

func environment(pairs ...string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1], true
			}
		}
		return "", false
	}
}

// TestRefused: what the endpoint cannot take now is sent again, and what it refuses is
// not; neither is the end of anything.
func TestRefused(t *testing.T) {
	again := tracetest.Start(t)
	again.Refuse(http.StatusServiceUnavailable)
	serve(t, make([]http.Header, 1), again.Environment())
	if again.Trees() != "call(part(GET))" || len(again.Bodies()) != 2 {
		t.Errorf("after a 503: %s in %d requests", again.Trees(), len(again.Bodies()))
	}
	refused := tracetest.Start(t)
	refused.Refuse(http.StatusBadRequest)
	log := serve(t, make([]http.Header, 1), refused.Environment())
	if len(refused.Bodies()) != 1 || !strings.Contains(log, "traces could not be exported") || !strings.Contains(log, "400 Bad Request") || !strings.Contains(log, "spans=3") {
		t.Errorf("after a 400: %d requests, %s", len(refused.Bodies()), log)
	}
}

// TestQueue: of more spans than there is room for some are lost.
func TestQueue(t *testing.T) {
	c, _ := traced(t, make([]http.Header, 10), "OTEL_BSP_MAX_QUEUE_SIZE", "6", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "6")
	if n := len(c.Spans()); n < 6 || n > 30 || n%3 != 0 {
		t.Errorf("%d spans", n)
	}
	full, _ := traced(t, make([]http.Header, 100), "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "30")
	if n, requests := len(full.Spans()), len(full.Bodies()); n != 300 || requests < 10 {
		t.Errorf("%d spans in %d requests", n, requests)
	}
}

// TestTLS: the endpoint's certificate is verified with the CA of the environment, and
// its path is taken as it is.
func TestTLS(t *testing.T) {
	paths := make(chan string, 10)
	server := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { paths <- r.URL.Path }))
	defer server.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	log := serve(t, make([]http.Header, 1), environment("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", server.URL+"/of/mine", "OTEL_EXPORTER_OTLP_CERTIFICATE", ca))
	if len(paths) != 1 || <-paths != "/of/mine" {
		t.Errorf("the log is %s", log)
	}
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	log = serve(t, make([]http.Header, 1), environment("OTEL_EXPORTER_OTLP_ENDPOINT", server.URL, "OTEL_EXPORTER_OTLP_TIMEOUT", "1"))
	if len(paths) != 0 || !strings.Contains(log, "traces could not be exported") {
		t.Errorf("without the CA: %s", log)
	}
}
