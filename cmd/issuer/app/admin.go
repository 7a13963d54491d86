package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/spf13/pflag"
	"golang.org/x/sync/errgroup"

	"github.com/openirsa/openirsa/internal/redact"
	"github.com/openirsa/openirsa/pkg/issuer"
	"github.com/openirsa/openirsa/pkg/source"
)

// adminFlags are the addresses for the program's operators.
type adminFlags struct{ address, pprof string }

func (a *adminFlags) add(f *pflag.FlagSet, address string) {
	f.StringVar(&a.address, "admin-listen", address, "`address` for /healthz, /readyz and /metrics, not for the public; empty for none")
	f.StringVar(&a.pprof, "pprof-listen", "", "`address` for Go's profiles at /debug/pprof/, such as 127.0.0.1:6060; empty for none")
}

// admin answers the program's operators.
type admin struct {
	// ready returns the status, and whether the program should get requests.
	ready func() (status any, ok bool)
	// cluster is the age and the fault of one cluster; may be nil.
	cluster func(issuer.URL) (time.Duration, error, error)
	metrics []prometheus.Collector

	stopping atomic.Bool
}

// stop makes the program unready.
func (a *admin) stop() { a.stopping.Store(true) }

func (a *admin) handler() http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	registry.MustRegister(a.metrics...)
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", a.readyz)
	return mux
}

// readyz answers 200 if the program should get requests, and 503 if not, with the
// status as JSON; with ?issuer=URL the same for one cluster, which must have no fault,
// and with &max-age=DURATION must have been read no longer ago than that.
func (a *admin) readyz(w http.ResponseWriter, r *http.Request) {
	if s := r.FormValue("issuer"); s != "" && a.cluster != nil {
		a.readyCluster(w, s, r.FormValue("max-age"))
		return
	}
	status, ok := a.ready()
	if a.stopping.Load() {
		status, ok = "stopping", false
	}
	answer(w, ok, struct {
		Ready  bool `json:"ready"`
		Status any  `json:"status"`
	}{ok, status})
}

func (a *admin) readyCluster(w http.ResponseWriter, s, maxAge string) {
	var limit time.Duration
	iss, err := issuer.Parse(s)
	if err == nil && maxAge != "" {
		limit, err = time.ParseDuration(maxAge)
	}
	if err != nil {
		http.Error(w, redact.Text(err.Error()), http.StatusBadRequest)
		return
	}
	age, fault, err := a.cluster(iss)
	if errors.Is(err, source.ErrNotServed) {
		http.Error(w, redact.Text(err.Error()), http.StatusNotFound)
		return
	}
	text := ""
	if fault != nil {
		text = fault.Error()
	}
	ok := fault == nil && (limit == 0 || age <= limit)
	answer(w, ok, struct {
		Ready  bool       `json:"ready"`
		Issuer issuer.URL `json:"issuer"`
		Age    float64    `json:"ageSeconds"`
		Error  string     `json:"error,omitempty"`
	}{ok, iss, age.Seconds(), text})
}

func answer(w http.ResponseWriter, ok bool, body any) {
	w.Header().Set("Content-Type", "application/json")
	if !ok {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	if document, err := json.Marshal(body); err == nil {
		w.Write(append(withoutSecrets(document), '\n'))
	}
}

// withoutSecrets is a JSON document without secrets. Faults quote what others wrote.
func withoutSecrets(document []byte) []byte {
	if text := string(document); redact.Text(text) == text {
		return document
	}
	var v any
	if err := json.Unmarshal(document, &v); err != nil {
		return nil
	}
	document, _ = json.Marshal(redact.Value(v)) // a value that was read
	return document
}

// listen opens the addresses of the flags.
func (f *adminFlags) listen(a *admin) ([]*listening, error) {
	profiles := http.NewServeMux()
	profiles.HandleFunc("GET /debug/pprof/", pprof.Index)
	profiles.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	profiles.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	profiles.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	profiles.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	var open []*listening
	for _, s := range []struct {
		what, address string
		handler       http.Handler
	}{
		{"health and metrics", f.address, a.handler()},
		{"profiles", f.pprof, profiles},
	} {
		if s.address == "" {
			continue
		}
		l, err := listen(s.what, s.address, &http.Server{Handler: s.handler})
		if err != nil {
			return nil, err
		}
		open = append(open, l)
	}
	return open, nil
}

// listening is a server whose address is open.
type listening struct {
	what     string
	server   *http.Server
	listener net.Listener
}

// listen opens an address. Nobody may hold a connection for long with a body that does
// not arrive or an answer that is not read.
func listen(what, address string, server *http.Server) (*listening, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listening for %s: %w", what, err)
	}
	server.ReadTimeout, server.WriteTimeout, server.IdleTimeout = 10*time.Second, 30*time.Second, 2*time.Minute
	return &listening{what, server, l}, nil
}

// serveUntil serves, with TLS if a server is configured for it, until ctx ends; then it
// stops the servers one after the other, each after its requests in progress, which have
// 15 seconds.
func serveUntil(ctx context.Context, group *errgroup.Group, log *slog.Logger, servers ...*listening) {
	for _, s := range servers {
		run, scheme := s.server.Serve, "http"
		if s.server.TLSConfig != nil {
			run, scheme = func(l net.Listener) error { return s.server.ServeTLS(l, "", "") }, "https"
		}
		log.Info("serving "+s.what, "address", scheme+"://"+s.listener.Addr().String())
		group.Go(func() error {
			if err := run(s.listener); !errors.Is(err, http.ErrServerClosed) {
				return fmt.Errorf("serving %s: %w", s.what, err)
			}
			return nil
		})
	}
	group.Go(func() error {
		<-ctx.Done()
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 15*time.Second)
		defer cancel()
		var errs []error
		for _, s := range servers {
			err := s.server.Shutdown(last)
			if errors.Is(err, context.DeadlineExceeded) {
				log.Warn("closed with requests in progress", "serving", s.what)
				err = s.server.Close()
			}
			if err != nil {
				errs = append(errs, fmt.Errorf("stopping to serve %s: %w", s.what, err))
			}
		}
		return errors.Join(errs...)
	})
}
