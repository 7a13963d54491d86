package webhook

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// Metrics are the webhook's metrics, by the names that dashboards of
// amazon-eks-pod-identity-webhook know, and one of our own.
type Metrics struct {
	used       prometheus.Gauge
	pods       *prometheus.CounterVec
	missingSA  prometheus.Counter
	malformedN prometheus.Counter
	missedN    *prometheus.GaugeVec
	requests   *prometheus.CounterVec
	latencies  *prometheus.HistogramVec
	durations  *prometheus.SummaryVec
	rotation   prometheus.Histogram
}

// NewMetrics registers the metrics, those of the process and those of Go.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		used: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "pod_identity_webhook_used",
			Help: "1 once a service account with a role has been seen.",
		}),
		pods: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pod_identity_webhook_pod_count",
			Help: "Pods that were granted an identity, by method: sts_web_identity or container_credentials.",
		}, []string{"method"}),
		missingSA: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "pod_identity_webhook_missing_sa_count",
			Help: "Pods whose service account could not be found.",
		}),
		malformedN: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "pod_identity_webhook_malformed_sa_count",
			Help: "Pods whose service account has a malformed role, audience or expiration.",
		}),
		missedN: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "pod_identity_webhook_missed_pods",
			Help: "Pods, by namespace, that run without the identity of their service account, as of the last look.",
		}, []string{"namespace"}),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "http_request_count",
			Help: "Requests by verb, path and response code.",
		}, []string{"verb", "path", "code"}),
		latencies: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "http_request_latencies",
			Help:    "Response latency in microseconds by verb and path.",
			Buckets: prometheus.ExponentialBuckets(125000, 2, 7), // 125 ms to 8 s
		}, []string{"verb", "path"}),
		durations: prometheus.NewSummaryVec(prometheus.SummaryOpts{
			Name:   "http_request_duration_microseconds",
			Help:   "Response latency in microseconds by verb and path.",
			MaxAge: time.Hour,
		}, []string{"verb", "path"}),
		rotation: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "certificate_manager_server_rotation_seconds",
			Help: "How long the previous serving certificate lived before it was rotated, in seconds.",
			Buckets: []float64{
				60, 3600, 4 * 3600, 86400, 7 * 86400, 30 * 86400, 90 * 86400, 180 * 86400, 365 * 86400, 4 * 365 * 86400,
			},
		}),
	}
	r.MustRegister(m.used, m.pods, m.missingSA, m.malformedN, m.missedN, m.requests, m.latencies, m.durations, m.rotation,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func (m *Metrics) inUse() {
	if m != nil {
		m.used.Set(1)
	}
}

func (m *Metrics) granted(credentials bool) {
	if m == nil {
		return
	}
	method := "sts_web_identity"
	if credentials {
		method = "container_credentials"
	}
	m.pods.WithLabelValues(method).Inc()
}

func (m *Metrics) missing() {
	if m != nil {
		m.missingSA.Inc()
	}
}

func (m *Metrics) malformed() {
	if m != nil {
		m.malformedN.Inc()
	}
}

func (m *Metrics) missed(namespace string, n int) {
	if m != nil {
		m.missedN.WithLabelValues(namespace).Set(float64(n))
	}
}

func (m *Metrics) rotated(lived time.Duration) {
	if m != nil {
		m.rotation.Observe(lived.Seconds())
	}
}

// Instrument counts the requests to h and times them, under the given path.
func (m *Metrics) Instrument(path string, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		seen := &codeWriter{ResponseWriter: w, code: http.StatusOK}
		defer func() {
			verb := r.Method
			switch verb {
			case http.MethodGet, http.MethodHead, http.MethodPost:
			default:
				verb = "other" // it is the client's word, and must not grow without bound
			}
			elapsed := float64(time.Since(start).Microseconds())
			m.requests.WithLabelValues(verb, path, strconv.Itoa(seen.code)).Inc()
			m.latencies.WithLabelValues(verb, path).Observe(elapsed)
			m.durations.WithLabelValues(verb, path).Observe(elapsed)
		}()
		h.ServeHTTP(seen, r)
	})
}

type codeWriter struct {
	http.ResponseWriter
	code int
}

func (w *codeWriter) WriteHeader(code int) {
	w.code = code
	w.ResponseWriter.WriteHeader(code)
}

func (w *codeWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
