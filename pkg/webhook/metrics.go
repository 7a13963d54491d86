package webhook

import (
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// Metrics are the webhook's metrics, by the names that dashboards of
// amazon-eks-pod-identity-webhook know, and some of our own.
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

	registry         prometheus.Registerer
	followed         sync.Once
	lists, questions *prometheus.CounterVec // of associations
	unknownN         prometheus.Counter
}

// NewMetrics registers the metrics, those of the process and those of Go.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		registry: r,
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
	m.associations()
	r.MustRegister(m.used, m.pods, m.missingSA, m.malformedN, m.missedN, m.requests, m.latencies, m.durations, m.rotation,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// associations makes the counters of pod identity associations; they are registered by
// [Metrics.follow].
func (m *Metrics) associations() {
	m.lists = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "pod_identity_webhook_association_list_count",
		Help: "Lists of all EKS Pod Identity associations, by result: ok or failed.",
	}, []string{"result"})
	m.questions = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "pod_identity_webhook_association_question_count",
		Help: "Questions to the EKS API about one service account that was not in the list, by answer: found, none or failed.",
	}, []string{"answer"})
	m.unknownN = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "pod_identity_webhook_association_unknown_count",
		Help: "Pods admitted without EKS Pod Identity because the EKS API did not say whether their service account has an association.",
	})
	for _, result := range []string{"ok", "failed"} {
		m.lists.WithLabelValues(result)
	}
	for _, answer := range []string{"found", "none", "failed"} {
		m.questions.WithLabelValues(answer)
	}
}

// follow registers the metrics of associations: how many are known, and the age of their
// list in seconds.
func (m *Metrics) follow(known func() int, age func() float64) {
	if m == nil {
		return
	}
	m.followed.Do(func() {
		m.registry.MustRegister(m.lists, m.questions, m.unknownN,
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{
				Name: "pod_identity_webhook_associations",
				Help: "EKS Pod Identity associations in the last list.",
			}, func() float64 { return float64(known()) }),
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{
				Name: "pod_identity_webhook_association_list_age_seconds",
				Help: "Age of the last list of EKS Pod Identity associations; before the first, how long it has been wanted.",
			}, age))
	})
}

func (m *Metrics) listedAssociations(ok bool) {
	if m == nil {
		return
	}
	result := "failed"
	if ok {
		result = "ok"
	}
	m.lists.WithLabelValues(result).Inc()
}

func (m *Metrics) askedAssociation(found bool, err error) {
	if m == nil {
		return
	}
	answer := "none"
	switch {
	case err != nil:
		answer = "failed"
	case found:
		answer = "found"
	}
	m.questions.WithLabelValues(answer).Inc()
}

func (m *Metrics) unknownAssociation() {
	if m != nil {
		m.unknownN.Inc()
	}
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
