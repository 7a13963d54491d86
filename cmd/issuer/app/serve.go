package app

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/sync/errgroup"

	"github.com/openirsa/openirsa/internal/cli"
	"github.com/openirsa/openirsa/pkg/discovery"
	"github.com/openirsa/openirsa/pkg/issuer"
	"github.com/openirsa/openirsa/pkg/source"
)

// server are the flags of `issuer serve`.
type server struct {
	*app
	config  string
	issuer  string
	source  sourceFlags
	hosts   []string
	forward bool
	private bool
	listen  string
	tls     tlsFlags
	admin   adminFlags
	drain   time.Duration
}

func (a *app) serveCommand() *cobra.Command {
	s := &server{app: a}
	c := &cobra.Command{
		Use:   "serve",
		Short: "Serve the documents of one or many clusters over HTTP(S)",
		Long: `Serve the documents of clusters from memory. A configuration file lists the
clusters. It is reread when it changes, and so are the sources of their keys:

  apiVersion: openirsa.dev/v1alpha1
  kind: Issuer
  clusters:
    - issuer: https://oidc.example.com/dev
      keyFiles: [dev/*.pub]                              # PEM, or JSON key sets
    - issuer: https://oidc.example.com/prod
      kubernetes: {kubeconfig: prod.kubeconfig}          # {} is the cluster this runs in
    - issuer: https://oidc.example.com/old
      directory: /srv/old                                # with both documents at their paths
    - issuer: https://oidc.example.com/far
      s3: {bucket: issuers, prefix: far, region: eu-west-1}

A cluster whose keys cannot be read, or include a private or malformed key, keeps
its previous documents; /readyz, the metrics and the log say why.

AWS reads issuers over TLS only. Give a certificate (--tls-cert, --tls-key), get
one by ACME (--acme), or serve plain HTTP behind a proxy that has one. Only the
hosts of the configured issuers are answered.`,
		Example: `  issuer serve --config issuer.yaml --acme --acme-cache /var/lib/openirsa --listen :443
  issuer serve --issuer https://oidc.example.com/dev --key-file sa.pub --listen :8080`,
		RunE: func(c *cobra.Command, _ []string) error { return s.run(c.Context()) },
	}
	f := c.Flags()
	f.StringVar(&s.config, "config", "", "configuration `file` with the clusters")
	f.StringVar(&s.issuer, "issuer", "", "issuer `URL` of the one cluster, instead of --config")
	s.source.add(f)
	f.StringSliceVar(&s.hosts, "host", nil, "a host that the issuer of --issuer may have; may be repeated. Without: any (with "+
		"--config: hosts in the file)")
	f.BoolVar(&s.forward, "forwarded-host", false, "take the host from X-Forwarded-Host; only where nobody but a proxy can connect")
	f.BoolVar(&s.private, "allow-private-issuers", false, "serve the issuer of --issuer though it has a port, which AWS never "+
		"accepts and an emulator may (with --config: allowPrivateIssuers in the file)")
	f.StringVar(&s.listen, "listen", ":8080", "`address` to serve the documents at")
	f.DurationVar(&s.drain, "drain", 0, "how long to continue serving, unready, after a signal to stop")
	s.tls.add(f)
	s.admin.add(f, ":9090")
	return c
}

// sourceFlags say where the keys of the one cluster are.
type sourceFlags struct {
	keyFiles  []string
	directory string
	cluster   clusterFlags
}

func (s *sourceFlags) add(f *pflag.FlagSet) {
	f.StringSliceVar(&s.keyFiles, "key-file", nil, "`file` or pattern of public keys, PEM or JSON; may be repeated")
	f.StringVar(&s.directory, "directory", "", "directory with the issuer's documents")
	s.cluster.add(f)
}

// of is the cluster with that issuer. Without a source it is the API server.
func (s *sourceFlags) of(iss issuer.URL) source.Cluster {
	c := source.Cluster{Issuer: iss, KeyFiles: s.keyFiles, Directory: s.directory}
	if len(s.keyFiles) == 0 && s.directory == "" || s.cluster.given() {
		c.Kubernetes = &source.Kubernetes{} // which clusterFlags.config finds
	}
	return c
}

func (s *server) run(ctx context.Context) error {
	keeper := &source.Keeper{
		Handler: &discovery.Handler{ForwardedHost: s.forward},
		Path:    s.config,
		Open:    (&source.Opener{InCluster: s.source.cluster.config}).Open,
		Log:     s.log,
	}
	switch {
	case (s.config == "") == (s.issuer == ""):
		return cli.Usagef("either --config or --issuer is needed")
	case s.config == "":
		iss, err := issuer.Parse(s.issuer)
		if err != nil {
			return cli.Usagef("--issuer: %w", err)
		}
		keeper.Config = source.Config{Hosts: s.hosts, AllowPrivateIssuers: s.private, Clusters: []source.Cluster{s.source.of(iss)}}
		if err := keeper.Config.Check(); err != nil {
			return cli.Usage(err)
		}
	case s.private || len(s.hosts) > 0 || len(s.source.keyFiles) > 0 || s.source.directory != "" || s.source.cluster.given():
		return cli.Usagef("--host, --allow-private-issuers, --key-file, --directory, --kubeconfig and --context go with --issuer; " +
			"with --config they are in the file")
	}
	config, challenges, err := s.tls.config(s.log, keeper.Handler.ServesHost)
	if err != nil {
		return err
	}

	admin := &admin{
		ready:   func() (any, bool) { status := keeper.Status(); return status, status.Ready() },
		cluster: keeper.Cluster,
		metrics: []prometheus.Collector{serveMetrics{keeper}},
	}
	// The private servers stop last: until the end they report that the program is
	// not ready.
	servers, err := s.admin.listen(admin)
	if err != nil {
		return err
	}
	if challenges != nil && s.tls.acmeHTTP != "" {
		l, err := listen("ACME challenges", s.tls.acmeHTTP, &http.Server{Handler: challenges})
		if err != nil {
			return err
		}
		servers = slices.Insert(servers, 0, l)
	}
	public, err := listen("documents", s.listen, &http.Server{
		Handler: keeper.Handler, TLSConfig: config, MaxHeaderBytes: 16 << 10,
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	})
	if err != nil {
		return err
	}
	told := ctx
	group, ctx := errgroup.WithContext(told)
	drained, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	group.Go(func() error {
		<-ctx.Done()
		admin.stop()
		if told.Err() != nil { // what has failed ends at once
			time.Sleep(s.drain)
		}
		stop()
		return nil
	})
	group.Go(func() error { return keeper.Run(ctx) })
	serveUntil(drained, group, s.log, slices.Insert(servers, 0, public)...)
	return group.Wait()
}

// serveMetrics are the metrics of `issuer serve`.
type serveMetrics struct{ keeper *source.Keeper }

var (
	requestsDesc = prometheus.NewDesc("openirsa_issuer_requests_total", "Requests by document and response code.",
		[]string{"document", "code"}, nil)
	clustersDesc = prometheus.NewDesc("openirsa_issuer_clusters",
		"Clusters by state: configured, served, or faulty (their keys cannot be read now).", []string{"state"}, nil)
	faultDesc = prometheus.NewDesc("openirsa_issuer_cluster_fault", "1 for a cluster whose keys cannot be read now.",
		[]string{"issuer"}, nil)
	ageDesc = prometheus.NewDesc("openirsa_issuer_cluster_age_seconds",
		"How long ago the cluster's keys were last read. Of the 1000 oldest at most.", []string{"issuer"}, nil)
	configDesc   = prometheus.NewDesc("openirsa_issuer_config_valid", "1 if the configuration file can be used as it is now.", nil, nil)
	configAtDesc = prometheus.NewDesc("openirsa_issuer_config_read_timestamp_seconds", "When the configuration in use was read.", nil, nil)
)

func (m serveMetrics) Describe(c chan<- *prometheus.Desc) { prometheus.DescribeByCollect(m, c) }

func (m serveMetrics) Collect(out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	for _, count := range m.keeper.Handler.Counts() {
		out <- prometheus.MustNewConstMetric(requestsDesc, prometheus.CounterValue, float64(count.N), count.Document, fmt.Sprint(count.Code))
	}
	status := m.keeper.Status()
	gauge(clustersDesc, float64(status.Clusters), "configured")
	gauge(clustersDesc, float64(status.Served), "served")
	gauge(clustersDesc, float64(len(status.Faults)), "faulty")
	for i, fault := range status.Faults {
		if i < maxSeries {
			gauge(faultDesc, 1, fault.Issuer.String())
		}
	}
	for _, c := range m.keeper.Oldest(maxSeries) {
		gauge(ageDesc, c.Age.Seconds(), c.Issuer.String())
	}
	valid := 1.0
	if status.ConfigError != "" {
		valid = 0
	}
	gauge(configDesc, valid)
	if !status.ConfigRead.IsZero() {
		gauge(configAtDesc, float64(status.ConfigRead.UnixMilli())/1000)
	}
}

// maxSeries bounds the metrics per cluster.
const maxSeries = 1000
