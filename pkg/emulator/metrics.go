package emulator

import (
	"net"
	"net/http"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/openirsa/openirsa/internal/awsapi"
	"github.com/openirsa/openirsa/pkg/emulator/internal/api"
	"github.com/openirsa/openirsa/pkg/emulator/internal/metrics"
	"github.com/openirsa/openirsa/pkg/emulator/internal/s3"
)

// serverMetrics is what an emulator counts and times. Each value of a label is one of
// a list that is fixed: a client's words are counted as [other].
type serverMetrics struct {
	set        metrics.Set
	operations map[string]map[string]bool // by service, those that there are

	calls, denials, unenforced, sessions, tokens, lookups *metrics.Counter
	durations, fetches                                    *metrics.Histogram

	opened, closed atomic.Int64 // connections
}

// other is the label of a service, an operation or a step that is not on a list.
const other = "other"

// steps are those of [Event] at which a call can be refused.
var steps = []string{
	"association", "audience", "backend", "claims", "duration", "existence", "fault", "issuer", "keys", "origin", "parameters", "permission",
	"provider", "region", "roles claim", "service", "session policy", "signature", "token", "trust",
}

// Bounds of histograms, in seconds.
var (
	callBounds  = []float64{.00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, 1, 5}
	fetchBounds = []float64{.001, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5}
)

// init makes the metrics of a server, whose services are there.
func (m *serverMetrics) init(s *Server) {
	m.operations = operationNames(s.services)
	m.calls = metrics.NewCounter("openirsa_emulator_calls_total",
		"Calls by outcome: success, denied, error (the client's), fault (the emulator's), lost (by an injected fault).",
		"service", "operation", "outcome")
	m.durations = metrics.NewHistogram("openirsa_emulator_call_duration_seconds",
		"How long calls took.", callBounds, "service", "operation")
	m.denials = metrics.NewCounter("openirsa_emulator_denials_total",
		"Refusals by the step that decided, as events have it.", "service", "operation", "step")
	m.unenforced = metrics.NewCounter("openirsa_emulator_unenforced_denials_total",
		"Calls that were let through although policies denied them, since --enforce or the role's tag says log.", "service", "operation")
	m.tokens = metrics.NewCounter("openirsa_emulator_web_identity_tokens_total",
		"Web identity tokens: verified, or the step at which they were refused.", "result")
	m.sessions = metrics.NewCounter("openirsa_emulator_sessions_total",
		"Sessions that were issued.", "operation")
	m.lookups = metrics.NewCounter("openirsa_emulator_issuer_key_lookups_total",
		"Lookups of the keys of a token's issuer: cached, or fetched for the call.", "result")
	m.fetches = metrics.NewHistogram("openirsa_emulator_issuer_fetch_duration_seconds",
		"How long documents of issuers took, by where they are (s3 is the emulator's own, cluster the API server, network the rest) "+
			"and by result: success or failure.", fetchBounds, "from", "result")
	m.set = metrics.Set{m.calls, m.durations, m.denials, m.unenforced, m.tokens, m.sessions, m.lookups, m.fetches}
	m.set = append(m.set, s.readings()...)
}

// readings are the metrics that are read when somebody asks for them.
func (s *Server) readings() metrics.Set {
	count := func(make func(string, string, func(func(float64, ...string)), ...string) *metrics.Read,
		name, help string, read func() float64) metrics.Family {
		return make(name, help, func(emit func(float64, ...string)) { emit(read()) })
	}
	return metrics.Set{
		count(metrics.NewCount, "openirsa_emulator_events_total", "Decisions that were recorded.", func() float64 {
			all, _, _ := s.events.stats()
			return float64(all)
		}),
		count(metrics.NewCount, "openirsa_emulator_events_dropped_total", "Decisions that are no longer kept, to make room.", func() float64 {
			all, kept, _ := s.events.stats()
			return float64(all - kept)
		}),
		count(metrics.NewGauge, "openirsa_emulator_event_bytes", "About how many bytes the kept decisions take.", func() float64 {
			_, _, bytes := s.events.stats()
			return float64(bytes)
		}),
		metrics.NewGauge("openirsa_emulator_resources", "What there is in all accounts, by type.", s.countResources, "type"),
		count(metrics.NewGauge, "openirsa_emulator_state_bytes", "Size of the state file; 0 if there is none.", func() float64 {
			if info, err := os.Stat(s.config.State); err == nil {
				return float64(info.Size())
			}
			return 0
		}),
		count(metrics.NewGauge, "openirsa_emulator_state_failing", "1 if the state file refused the latest write.", func() float64 {
			if s.store.LastFailure() != nil {
				return 1
			}
			return 0
		}),
		count(metrics.NewGauge, "openirsa_emulator_body_bytes", "Memory that bodies of requests under way take.", func() float64 {
			return float64(s.bodies.Used())
		}),
		count(metrics.NewCount, "openirsa_emulator_connections_total", "Connections that were accepted.", func() float64 {
			return float64(s.metrics.opened.Load())
		}),
		count(metrics.NewGauge, "openirsa_emulator_connections", "Connections that are open.", func() float64 {
			closed := s.metrics.closed.Load() // first, or it could be more than were opened
			return float64(s.metrics.opened.Load() - closed)
		}),
		count(metrics.NewGauge, "openirsa_emulator_clock_offset_seconds", "How far the clock was moved ahead.", func() float64 {
			return time.Duration(s.offset.Load()).Seconds()
		}),
	}
}

// countResources emits how much there is of each type.
func (s *Server) countResources(emit func(float64, ...string)) {
	var roles, users, groups, policies, providers int
	for _, account := range s.accounts {
		d := account.iam
		d.read(func() {
			roles, users, groups = roles+len(d.roles), users+len(d.users), groups+len(d.groups)
			policies, providers = policies+len(d.managed), providers+len(d.providers)
		})
	}
	emit(float64(s.s3.Buckets()), "bucket")
	emit(float64(groups), "group")
	emit(float64(providers), "oidc-provider")
	emit(float64(policies), "policy")
	emit(float64(roles), "role")
	emit(float64(users), "user")
}

// operationNames are the operations of services.
func operationNames(services []api.Service) map[string]map[string]bool {
	all := map[string]map[string]bool{"sts": {}, "iam": {}, "s3": {}}
	for name := range stsOperations {
		all["sts"][name] = true
	}
	for name := range iamOperations {
		all["iam"][name] = true
	}
	for name := range absentOperations {
		all["iam"][name] = true
	}
	for _, name := range s3.OperationNames() {
		all["s3"][name] = true
	}
	for _, service := range services {
		if j, ok := service.(interface{ OperationNames() (string, []string) }); ok {
			service, names := j.OperationNames()
			all[service] = map[string]bool{}
			for _, name := range names {
				all[service][name] = true
			}
		}
	}
	return all
}

// signingNames are the names of all services of AWS in signatures.
var signingNames = sync.OnceValue(func() map[string]bool {
	names := map[string]bool{}
	for _, m := range awsapi.Models() {
		names[m.SigningName] = true
	}
	return names
})

// labels are those of the service and the operation of a call.
func (m *serverMetrics) labels(c *api.Call) (service, operation string) {
	service, operation = c.Service, c.Operation
	names := m.operations[service]
	if names == nil && !(c.Forwarded && signingNames()[service]) {
		service = other
	}
	if !names[operation] {
		operation = other
	}
	return service, operation
}

// count counts a call that began at a time and is over.
func (m *serverMetrics) count(c *api.Call, w *api.PacedWriter, began time.Time) {
	service, operation := m.labels(c)
	m.durations.Observe(time.Since(began), service, operation)
	m.calls.Inc(service, operation, outcome(c, w.Status()))
}

func outcome(c *api.Call, status int) string {
	switch {
	case c.Dropped:
		return "lost"
	case status >= 400 && c.Refused != "":
		return "denied"
	case status >= 500:
		return "fault"
	case status >= 400:
		return "error"
	}
	return "success"
}

// decided counts a decision about a call.
func (m *serverMetrics) decided(c *api.Call, e *Event) {
	if e.Session != nil {
		_, operation := m.labels(c)
		m.sessions.Inc(operation)
	}
	switch service, operation := m.labels(c); e.Decision {
	case Deny:
		m.denials.Inc(service, operation, stepLabel(e.Step))
	case WouldDeny:
		m.unenforced.Inc(service, operation)
	}
}

func stepLabel(step string) string {
	if slices.Contains(steps, step) {
		return step
	}
	return other
}

// tokenChecked counts a web identity token, and what is wrong with it.
func (m *serverMetrics) tokenChecked(fault *tokenFault) {
	if fault == nil {
		m.tokens.Inc("verified")
		return
	}
	m.tokens.Inc(stepLabel(fault.step))
}

func (m *serverMetrics) keysFound(fetched bool) {
	if fetched {
		m.lookups.Inc("fetched")
	} else {
		m.lookups.Inc("cached")
	}
}

// fetched counts a document of an issuer that was fetched, or was to be.
func (m *serverMetrics) fetched(cluster bool, f *Fetch, err error, took time.Duration) {
	from, result := "network", "success"
	switch {
	case f.Inside:
		from = "s3"
	case cluster:
		from = "cluster"
	}
	if err != nil || f.Status >= 400 {
		result = "failure"
	}
	m.fetches.Observe(took, from, result)
}

// ConnState is for the field of that name of an [http.Server]: with it the metrics have
// the connections.
func (s *Server) ConnState(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		s.metrics.opened.Add(1)
	case http.StateClosed, http.StateHijacked:
		s.metrics.closed.Add(1)
	}
}

// serveMetrics answers with the metrics in Prometheus's text format.
func (s *Server) serveMetrics(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", metrics.ContentType)
	s.metrics.set.Write(w)
}
