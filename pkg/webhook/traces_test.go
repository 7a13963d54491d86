package webhook_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/openirsa/openirsa/internal/trace"
	"github.com/openirsa/openirsa/internal/trace/tracetest"
	"github.com/openirsa/openirsa/pkg/webhook"
)

// TestTraces: the trace of an admission continues the API server's, and says what was
// looked up, and where, and what was decided.
func TestTraces(t *testing.T) {
	cluster := newCluster(t)
	cluster.serviceAccount(t, "ns", "sa", annotated(roleA))
	cluster.serviceAccount(t, "ns", "malformed", annotated("role/a"))
	directory := &webhook.Directory{Metadata: cluster.meta, Grace: 5 * time.Second}
	metrics := webhook.NewMetrics(newRegistry())
	const parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	send := func(body string) (*tracetest.Collector, *tracetest.Span) {
		t.Helper()
		collector := tracetest.Start(t)
		tracer := trace.New(trace.Options{Service: "webhook", Lookup: collector.Environment(), Log: slog.New(slog.DiscardHandler)})
		stop := tracer.Open()
		h := tracer.Handler(metrics.Instrument("/mutate", &webhook.Handler{Lookup: directory.Lookup, RefuseMalformed: true}))
		r := httptest.NewRequest(http.MethodPost, "/mutate", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Traceparent", parent)
		h.ServeHTTP(httptest.NewRecorder(), r)
		stop()
		for _, s := range collector.Spans() {
			if s.TraceID != parent[3:35] {
				t.Errorf("%s is of another trace", s.Name)
			}
			if s.ParentSpanID == parent[36:52] {
				return collector, &s
			}
		}
		return collector, nil
	}
	is := func(c *tracetest.Collector, want string) {
		t.Helper()
		if got := c.Trees(); got != want {
			t.Errorf("spans %s, want %s", got, want)
		}
	}

	c, span := send(aReview(aPod))
	is(c, "AdmissionReview(read review look up service account(ask API server) decide)")
	for key, want := range map[string]string{
		"k8s.namespace.name": "ns", "k8s.pod.name": "p", "openirsa.service_account": "sa", "openirsa.role_arn": roleA, "openirsa.review.uid": "u1",
		"openirsa.review.allowed": "true", "openirsa.review.pod_creation": "true", "openirsa.review.dry_run": "false", "http.response.status_code": "200",
	} {
		if got := span.Value(key); got != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
	if n := span.Value("openirsa.review.patch_bytes"); len(n) != 3 || span.Status.Code != 0 {
		t.Errorf("%s bytes of patch, status %+v", n, span.Status)
	}
	if asked := c.Find("ask API server"); asked.Kind != 3 || asked.Value("openirsa.found") != "true" {
		t.Errorf("%+v", asked)
	}

	follow(t, directory)
	c, _ = send(aReview(aPod))
	is(c, "AdmissionReview(read review look up service account decide)")

	c, span = send(aReview(aPod, `"serviceAccountName":"sa"`, `"serviceAccountName":"malformed"`))
	is(c, "AdmissionReview(read review look up service account decide)")
	if span.Status.Code != 2 || span.Value("error.type") != "Forbidden" || span.Value("openirsa.review.allowed") != "false" ||
		!strings.Contains(span.Status.Message, "malformed") || c.Find("look up service account").Status.Code != 2 {
		t.Errorf("%+v", span)
	}

	// What is no review is no trace.
	c, _ = send(`{"kind":"Pod"}`)
	is(c, "")
}
