package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	_ "golang.org/x/crypto/x509roots/fallback" // the container image has no roots of its own
	"golang.org/x/sync/errgroup"

	"github.com/openirsa/openirsa/internal/cli"
	"github.com/openirsa/openirsa/internal/gate"
	"github.com/openirsa/openirsa/pkg/agent"
)

// The limits of each listener's unknown clients.
const (
	maxConnections        = 512
	maxInsideConnections  = 32
	maxHeader             = 16 << 10 // bytes, a token with them
	requestTime           = 30 * time.Second
	idleTime              = 2 * time.Minute
	shutdownTime          = requestTime + 5*time.Second
	ownCredentialsTime    = 15 * time.Second // to find them at the start, for the log
	ownCredentialsRenewed = time.Minute      // with --rotate-credentials
)

// server is the agent: its listeners, and what runs beside them.
type server struct {
	log        *slog.Logger
	background []func(context.Context) error
	listeners  []listener
}

type listener struct {
	net.Listener
	most    int // connections
	handler http.Handler
}

// newServer builds the agent from the flags, and opens its listeners.
func newServer(ctx context.Context, o *options, in *cli.Invocation) (*server, error) {
	if err := o.check(); err != nil {
		return nil, cli.Usage(err)
	}
	addresses, err := o.addresses()
	if err != nil {
		return nil, cli.Usage(err)
	}
	if loops(in.Getenv) {
		return nil, cli.Usagef("the agent's own credentials would come from the agent: AWS_CONTAINER_CREDENTIALS_FULL_URI must not be set for it")
	}
	log, err := o.log.Open(in.Stderr)
	if err != nil {
		return nil, err
	}
	cfg, err := configuration(ctx, o)
	if err != nil {
		return nil, err
	}
	exchange, err := agent.EKSAuth(cfg, agent.Service{Cluster: o.cluster, Endpoint: o.endpoint})
	if err != nil {
		return nil, err
	}
	registry := prometheus.NewRegistry()
	a := agent.New(agent.Config{
		Exchange: exchange, Hosts: o.allowed,
		CacheSize: orNever(o.size), RenewAfter: orNever(o.retention), RenewalRate: o.qps, RefusalsKept: orNever(o.refusalsKept),
		Metrics: agent.NewMetrics(registry), Log: log,
	})
	s := &server{log: log, background: []func(context.Context) error{a.Run, func(ctx context.Context) error {
		tellCredentials(ctx, cfg, log)
		return nil
	}}}
	if err := s.listen(a, addresses); err != nil {
		return nil, err
	}
	inside := http.NewServeMux()
	inside.Handle("/metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4, DisableCompression: true}))
	probes := http.NewServeMux()
	var mine []string
	for _, l := range s.listeners {
		mine = append(mine, l.Addr().String())
	}
	for _, m := range []*http.ServeMux{inside, probes} {
		m.Handle("/healthz", agent.Probe(mine, log))
		m.Handle("/readyz", agent.Probe(mine, log))
	}
	for address, handler := range map[string]http.Handler{
		net.JoinHostPort(o.metricsAddress, strconv.Itoa(int(o.metricsPort))): inside,
		net.JoinHostPort("localhost", strconv.Itoa(int(o.probePort))):        probes,
	} {
		l, err := net.Listen("tcp", address)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("listening: %w", err), s.close())
		}
		s.listeners = append(s.listeners, listener{l, maxInsideConnections, handler})
	}
	return s, nil
}

// configuration is that of the AWS SDK, with the agent's own credentials in it.
func configuration(ctx context.Context, o *options) (aws.Config, error) {
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return aws.Config{}, fmt.Errorf("reading the AWS configuration: %w", err)
	}
	if cfg.Region == "" {
		return aws.Config{}, cli.Usagef("no AWS region is set: set AWS_REGION, which names the region of the cluster")
	}
	if o.rotate {
		cfg.Credentials = aws.NewCredentialsCache(aws.CredentialsProviderFunc(reread))
	}
	return cfg, nil
}

// reread reads the configuration anew, for credentials that are good for a minute.
func reread(ctx context.Context) (aws.Credentials, error) {
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return aws.Credentials{}, err
	}
	c, err := cfg.Credentials.Retrieve(ctx)
	if soon := time.Now().Add(ownCredentialsRenewed); err == nil && (!c.CanExpire || c.Expires.After(soon)) {
		c.CanExpire, c.Expires = true, soon
	}
	return c, err
}

// tellCredentials has the log say where the agent's own credentials come from, or that
// there are none, before the first pod finds out.
func tellCredentials(ctx context.Context, cfg aws.Config, log *slog.Logger) {
	ctx, cancel := context.WithTimeout(ctx, ownCredentialsTime)
	defer cancel()
	c, err := cfg.Credentials.Retrieve(ctx)
	switch {
	case err == nil:
		log.Info("the agent has AWS credentials", "source", c.Source, "accessKeyId", c.AccessKeyID)
	case ctx.Err() == nil || errors.Is(ctx.Err(), context.DeadlineExceeded):
		log.Error("the agent has no AWS credentials", "error", err)
	}
}

// listen opens the agent's addresses. One that the node does not have, as that of IPv6
// on many, is left out, unless it is the last.
func (s *server) listen(a *agent.Agent, addresses []string) error {
	var missing []error
	for _, address := range addresses {
		l, err := net.Listen("tcp", address)
		switch {
		case err == nil:
			s.listeners = append(s.listeners, listener{l, maxConnections, a.Handler()})
		case errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.EAFNOSUPPORT):
			missing = append(missing, err)
		default:
			return errors.Join(fmt.Errorf("listening: %w", err), s.close())
		}
	}
	if len(s.listeners) == 0 {
		return fmt.Errorf("listening: the node has none of the addresses, which the command initialize gives it: %w", errors.Join(missing...))
	}
	for _, err := range missing {
		s.log.Warn("the node does not have one of the addresses", "error", err)
	}
	return nil
}

func (s *server) close() error {
	var errs []error
	for _, l := range s.listeners {
		errs = append(errs, l.Close())
	}
	return errors.Join(errs...)
}

// serve is the server of a listener.
func (l listener) serve(log *slog.Logger) (*http.Server, *gate.Listener) {
	guarded := gate.NewListener(l.Listener, l.most)
	web := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			gate.Heard(r.Context()) // nothing of a body is read
			l.handler.ServeHTTP(w, r)
		}),
		Protocols: new(http.Protocols), MaxHeaderBytes: maxHeader,
		ReadTimeout: requestTime, WriteTimeout: requestTime, IdleTimeout: idleTime,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	web.Protocols.SetHTTP1(true)
	guarded.Guard(web)
	return web, guarded
}

// run runs everything until ctx ends or something fails. Requests may end then; a client
// that finds nobody asks again.
func (s *server) run(ctx context.Context) error {
	work, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	g, failed := errgroup.WithContext(work)
	var servers []*http.Server
	for _, l := range s.listeners {
		web, guarded := l.serve(s.log)
		servers = append(servers, web)
		g.Go(func() error {
			s.log.Info("listening", "address", l.Addr().String())
			if err := web.Serve(guarded); !errors.Is(err, http.ErrServerClosed) {
				return fmt.Errorf("serving: %w", err)
			}
			return nil
		})
	}
	for _, f := range s.background {
		g.Go(func() error { return f(failed) })
	}
	g.Go(func() error {
		select {
		case <-ctx.Done():
			s.log.Info("shutting down")
		case <-failed.Done():
		}
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTime)
		defer cancel()
		var all errgroup.Group
		for _, web := range servers {
			all.Go(func() error { return web.Shutdown(grace) })
		}
		err := all.Wait()
		end()
		return err
	})
	return g.Wait()
}

// loops reports whether the agent's own credentials would come from an agent: nothing
// stands before that in the SDK's order.
func loops(getenv func(string) string) bool {
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_PROFILE", "AWS_SHARED_CREDENTIALS_FILE"} {
		if getenv(name) != "" {
			return false
		}
	}
	return strings.HasSuffix(getenv("AWS_CONTAINER_CREDENTIALS_FULL_URI"), agent.Path)
}
