package app

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"k8s.io/klog/v2"

	"github.com/openirsa/openirsa/internal/cli"
	"github.com/openirsa/openirsa/internal/reload"
	"github.com/openirsa/openirsa/internal/trace"
	"github.com/openirsa/openirsa/internal/version"
	"github.com/openirsa/openirsa/pkg/association"
	"github.com/openirsa/openirsa/pkg/webhook"
)

// newServer builds the webhook from the flags. It serves nothing yet.
func newServer(o *options, in *cli.Invocation) (*server, error) {
	if err := o.check(); err != nil {
		return nil, cli.Usage(err)
	}
	tlsConfig, err := o.tlsConfig()
	if err != nil {
		return nil, cli.Usage(err)
	}
	log, err := o.logs(in.Stderr)
	if err != nil {
		return nil, err
	}
	limitMemory(log, in.Getenv)
	clients, err := o.clients()
	if err != nil {
		return nil, err
	}

	registry := prometheus.NewRegistry()
	metrics := webhook.NewMetrics(registry)
	events := webhook.NewEvents(clients.report, log)
	directory := &webhook.Directory{
		Metadata: clients.metadata, Prefix: o.settings.Prefix, Defaults: o.defaults, Grace: o.grace, Resync: o.resync,
		Events: events, Metrics: metrics, Log: log,
	}
	if err := o.sources(directory, clients, in.Getenv); err != nil {
		return nil, err
	}
	s := &server{
		log: log, delay: o.shutdownDelay, stopping: make(chan struct{}),
		background: []func(context.Context) error{directory.Run, events.Run}, ready: []func() error{directory.Ready},
	}
	if len(o.missedIn) > 0 {
		missed := &webhook.Missed{
			Pods: clients.listPods, Namespaces: o.missedIn, Directory: directory, Events: events, Metrics: metrics, Log: log,
		}
		s.background = append(s.background, missed.Run)
	}
	if tlsConfig.GetCertificate, err = o.certificates(s, clients, metrics); err != nil {
		return nil, err
	}

	tracer := trace.New(trace.Options{Service: "openirsa-webhook", Version: version.String(), Lookup: in.Lookup, Log: log})
	s.background = append(s.background, tracer.Run)
	public := http.NewServeMux()
	public.Handle("/mutate", tracer.Handler(metrics.Instrument("/mutate", &webhook.Handler{
		Lookup: directory.Lookup, Settings: o.settings, RefuseMalformed: o.onMalformed == "refuse",
		Events: events, Metrics: metrics, Log: log,
	})))
	inside := http.NewServeMux()
	// Not compressed: it is little, and compressing takes a megabyte.
	inside.Handle("/metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4, DisableCompression: true}))
	if o.debugHandlers {
		inside.HandleFunc("/debug/alpha/cache", oneAtATime(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			json.NewEncoder(w).Encode(directory.Known())
		}))
	}
	for _, m := range []*http.ServeMux{public, inside} {
		m.Handle("/healthz", webhook.Healthy(nil))
		m.Handle("/readyz", webhook.Healthy(s.isReady))
	}
	waits := max(o.grace, webhook.QuestionTime)
	if o.cluster != "" {
		waits += webhook.AskTime
	}
	s.listeners = []listener{
		{o.port, public, tlsConfig, maxConnections, waits},
		{o.metricsPort, inside, nil, maxMetricsConnections, 0},
	}
	return s, nil
}

// logs is the program's log; that of the Kubernetes client goes to the same place.
// Of --log-level and -v counts the one that shows more.
func (o *options) logs(stderr io.Writer) (*slog.Logger, error) {
	level, err := o.log.Lowest()
	if err != nil {
		return nil, err
	}
	if o.verbosity >= 4 {
		level = min(level, slog.LevelDebug)
	}
	clientLevel := max(level, slog.LevelInfo)
	if o.verbosity > 4 {
		clientLevel = slog.Level(-o.verbosity) // klog's levels
	}
	client, err := o.log.Logger(stderr, clientLevel)
	if err != nil {
		return nil, err
	}
	klog.SetSlogLogger(client.With("component", "client-go"))
	return o.log.Logger(stderr, level)
}

// sources adds the optional sources of identities to the directory.
func (o *options) sources(directory *webhook.Directory, c *clients, getenv func(string) string) error {
	if o.watchConfigMap {
		directory.ConfigMaps = c.configMaps(o.namespace)
	}
	if o.cluster != "" {
		client, err := association.FromEnvironment(o.cluster, "openirsa-webhook/"+version.String(), getenv)
		if err != nil {
			return fmt.Errorf("--pod-identity-cluster: %w", err)
		}
		directory.Associations = &webhook.Associations{
			List: client.List, Refresh: o.refresh, Excluded: append(slices.Clip(o.excluded), o.namespace),
			Metrics: directory.Metrics, Log: directory.Log,
		}
	}
	if o.credentialsFile == "" {
		return nil
	}
	list, err := reload.New(directory.Log, func(b [][]byte) (webhook.CredentialsList, error) {
		return webhook.ParseCredentialsList(b[0])
	}, o.credentialsFile)
	if err != nil {
		return fmt.Errorf("reading --watch-container-credentials-config: %w", err)
	}
	directory.Credentials = list.Value
	return nil
}

// certificates returns where the serving certificate comes from: our own CA, which then
// runs with the server, or files.
func (o *options) certificates(s *server, c *clients, metrics *webhook.Metrics) (
	func(*tls.ClientHelloInfo) (*tls.Certificate, error), error) {
	if o.inCluster {
		authority := &webhook.Authority{
			Secrets: c.secrets(o.namespace), Secret: o.secret,
			Configurations: c.configurations(), Configuration: o.configuration,
			Service: o.service, Namespace: o.namespace,
			CALife: o.caLife, ServingLife: o.certLife, Settle: o.wait,
			Metrics: metrics, Log: s.log,
		}
		s.background, s.ready = append(s.background, authority.Run), append(s.ready, authority.Ready)
		return authority.GetCertificate, nil
	}
	pair, err := reload.New(s.log, func(b [][]byte) (*tls.Certificate, error) {
		c, err := tls.X509KeyPair(b[0], b[1])
		return &c, err
	}, o.certFile, o.keyFile)
	if err != nil {
		return nil, fmt.Errorf("reading the serving certificate: %w", err)
	}
	return func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return pair.Value(), nil }, nil
}

// isReady reports why the API server should not call this replica.
func (s *server) isReady() error {
	if s.isStopping() {
		return errors.New("shutting down")
	}
	for _, check := range s.ready {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}
