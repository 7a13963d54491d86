package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	admissionregistrationv1client "k8s.io/client-go/kubernetes/typed/admissionregistration/v1"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"

	"github.com/openirsa/openirsa/internal/cli"
	"github.com/openirsa/openirsa/internal/redact"
	"github.com/openirsa/openirsa/internal/reload"
	"github.com/openirsa/openirsa/pkg/webhook"
)

// newServer builds the webhook from the flags. It serves nothing yet.
func newServer(o *options, stderr io.Writer) (*server, error) {
	if err := o.check(); err != nil {
		return nil, cli.Usage(err)
	}
	tlsConfig, err := o.tlsConfig()
	if err != nil {
		return nil, cli.Usage(err)
	}
	log := o.logs(stderr)
	limitMemory(log, os.Getenv)
	clients, err := o.clients()
	if err != nil {
		return nil, err
	}

	registry := prometheus.NewRegistry()
	metrics := webhook.NewMetrics(registry)
	events := webhook.NewEvents(clients.core, log)
	directory := &webhook.Directory{
		Metadata: clients.metadata, Prefix: o.settings.Prefix, Defaults: o.defaults, Grace: o.grace, Resync: o.resync,
		Events: events, Metrics: metrics, Log: log,
	}
	if err := o.sources(directory, clients); err != nil {
		return nil, err
	}
	s := &server{
		log: log, delay: o.shutdownDelay, stopping: make(chan struct{}),
		background: []func(context.Context) error{directory.Run, events.Run}, ready: []func() error{directory.Ready},
	}
	if len(o.missedIn) > 0 {
		missed := &webhook.Missed{
			Pods: clients.core, Namespaces: o.missedIn, Directory: directory, Events: events, Metrics: metrics, Log: log,
		}
		s.background = append(s.background, missed.Run)
	}
	if tlsConfig.GetCertificate, err = o.certificates(s, clients, metrics); err != nil {
		return nil, err
	}

	public := http.NewServeMux()
	public.Handle("/mutate", metrics.Instrument("/mutate", &webhook.Handler{
		Lookup: directory.Lookup, Settings: o.settings, RefuseMalformed: o.onMalformed == "refuse",
		Events: events, Metrics: metrics, Log: log,
	}))
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
	s.listeners = []listener{
		{o.port, public, tlsConfig, maxConnections, o.grace},
		{o.metricsPort, inside, nil, maxMetricsConnections, 0},
	}
	return s, nil
}

// logs is the program's log; that of the Kubernetes client goes to the same place.
func (o *options) logs(stderr io.Writer) *slog.Logger {
	logger := func(level slog.Level) *slog.Logger {
		return slog.New(redact.Handler(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: level})))
	}
	level, clientLevel := slog.LevelInfo, slog.LevelInfo
	if o.verbosity >= 4 {
		level = slog.LevelDebug
	}
	if o.verbosity > 4 {
		clientLevel = slog.Level(-o.verbosity) // klog's levels
	}
	klog.SetSlogLogger(logger(clientLevel).With("component", "client-go"))
	return logger(level)
}

// clients are those of the API server.
type clients struct {
	core      *corev1client.CoreV1Client
	admission *admissionregistrationv1client.AdmissionregistrationV1Client
	metadata  metadata.Interface
}

func (o *options) clients() (*clients, error) {
	config, err := clientcmd.BuildConfigFromFlags(o.kubeAPI, o.kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("reading the Kubernetes configuration: %w", err)
	}
	// The API server limits its clients itself; a pod must not wait for our limit.
	config.QPS = -1
	config.UserAgent = "openirsa-webhook"
	config.Wrap(webhook.LimitBodies)
	protobuf := rest.CopyConfig(config)
	protobuf.ContentType = "application/vnd.kubernetes.protobuf"
	protobuf.AcceptContentTypes = "application/vnd.kubernetes.protobuf,application/json"
	var c clients
	if c.core, err = corev1client.NewForConfig(protobuf); err != nil {
		return nil, fmt.Errorf("making a Kubernetes client: %w", err)
	}
	if c.admission, err = admissionregistrationv1client.NewForConfig(protobuf); err != nil {
		return nil, fmt.Errorf("making a Kubernetes client: %w", err)
	}
	if c.metadata, err = metadata.NewForConfig(config); err != nil {
		return nil, fmt.Errorf("making a Kubernetes client: %w", err)
	}
	return &c, nil
}

// sources adds the optional sources of identities to the directory.
func (o *options) sources(directory *webhook.Directory, c *clients) error {
	if o.watchConfigMap {
		directory.ConfigMaps, directory.Namespace = c.core, o.namespace
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
			Secrets: c.core.Secrets(o.namespace), Secret: o.secret,
			Configurations: c.admission.MutatingWebhookConfigurations(), Configuration: o.configuration,
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
	select {
	case <-s.stopping:
		return errors.New("shutting down")
	default:
	}
	for _, check := range s.ready {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}
