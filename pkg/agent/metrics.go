package agent

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// Metrics are the agent's metrics, by the names that dashboards of
// aws/eks-pod-identity-agent know, and some of our own.
type Metrics struct {
	responses *prometheus.CounterVec
	fine      prometheus.Counter // responses{code="200"}
	states    *prometheus.CounterVec
	hits      prometheus.Counter // states{state="hit"}
	errors    *prometheus.CounterVec
	pods      prometheus.Gauge
	renewals  prometheus.Counter
	exchanges *prometheus.HistogramVec
}

// NewMetrics registers the metrics, those of the process and those of Go.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		responses: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pod_identity_http_response",
			Help: "Requests by response code.",
		}, []string{"code"}),
		states: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pod_identity_cache_state",
			Help: "Requests that were answered with kept credentials (hit), exchanges for want of them (miss), and pods that " +
				"had to give way (evicted).",
		}, []string{"state"}),
		errors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pod_identity_cache_errors",
			Help: "Failed exchanges for pods whose credentials are kept, by EKS Auth's code: NonRecoverable ends them.",
		}, []string{"type", "code"}),
		pods: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "pod_identity_cache_pods",
			Help: "Pods whose credentials are kept.",
		}),
		renewals: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "pod_identity_cache_renewals",
			Help: "Credentials that were renewed before they expired.",
		}),
		exchanges: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "pod_identity_exchange_duration_seconds",
			Help:    "How long EKS Auth took, with all attempts, by its code, which is OK if there were credentials.",
			Buckets: []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5},
		}, []string{"code"}),
	}
	m.fine, m.hits = m.responses.WithLabelValues("200"), m.states.WithLabelValues("hit")
	r.MustRegister(m.responses, m.states, m.errors, m.pods, m.renewals, m.exchanges,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// codes are those of EKS Auth that metrics tell of by name: it is its word, and must
// not grow without bound.
var codes = map[string]bool{
	"AccessDeniedException": true, "ExpiredTokenException": true, "InternalServerException": true, "InvalidParameterException": true,
	"InvalidRequestException": true, "InvalidTokenException": true, "ResourceNotFoundException": true,
	"ServiceUnavailableException": true, "ThrottlingException": true,

	"InvalidSignatureException": true, "UnrecognizedClientException": true, // of AWS's front end

	"NoCredentials": true, "RequestError": true, "ResponseError": true, // ours
}

func codeOf(f *Failure) string {
	if codes[f.Code] {
		return f.Code
	}
	return "other"
}

func (m *Metrics) answered(status int) {
	if m == nil {
		return
	}
	if status == 200 {
		m.fine.Inc()
		return
	}
	m.responses.WithLabelValues(strconv.Itoa(status)).Inc()
}

func (m *Metrics) hit() {
	if m != nil {
		m.hits.Inc()
	}
}

func (m *Metrics) miss() {
	if m != nil {
		m.states.WithLabelValues("miss").Inc()
	}
}

func (m *Metrics) evicted() {
	if m != nil {
		m.states.WithLabelValues("evicted").Inc()
	}
}

func (m *Metrics) kept(pods int) {
	if m != nil {
		m.pods.Set(float64(pods))
	}
}

func (m *Metrics) renewed() {
	if m != nil {
		m.renewals.Inc()
	}
}

func (m *Metrics) cacheError(f *Failure) {
	if m == nil {
		return
	}
	kind := "Recoverable"
	if f.final() {
		kind = "NonRecoverable"
	}
	m.errors.WithLabelValues(kind, codeOf(f)).Inc()
}

func (m *Metrics) exchanged(took time.Duration, err error) {
	if m == nil {
		return
	}
	code := "OK"
	if err != nil {
		code = codeOf(failure(err))
	}
	m.exchanges.WithLabelValues(code).Observe(took.Seconds())
}
