package app

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
	externaljwt "k8s.io/externaljwt/apis/v1"

	"github.com/openirsa/openirsa/internal/cli"
	"github.com/openirsa/openirsa/internal/redact"
	"github.com/openirsa/openirsa/pkg/signer"
)

// sign are the flags of `issuer sign`.
type sign struct {
	*app
	socket          string
	config          string
	key, kms        string
	trust           []string
	issuers         []string
	lifetime        time.Duration
	refresh         time.Duration
	region          string
	admin           adminFlags
	client          signer.KMS
	loaded          atomic.Pointer[signer.Config]
	signed, seconds *prometheus.CounterVec
}

func (a *app) signCommand() *cobra.Command {
	s := &sign{app: a}
	c := &cobra.Command{
		Use:   "sign",
		Short: "Sign service-account tokens for kube-apiserver, which then holds no key",
		Long: `Sign service-account tokens for kube-apiserver through a Unix socket, by
Kubernetes' ExternalJWTSigner API. Start kube-apiserver with

  --service-account-signing-endpoint=/var/run/openirsa/signer.sock

and without --service-account-signing-key-file and --service-account-key-file.
The key is in a file of mode 0600, or in AWS KMS, which never releases it.

Keys are reread when their files or the configuration change, so a new key needs no
restart. To change keys without one refused token:

  1. trust the new key, and wait until everybody has read the new key set:
     --refresh, the publisher's interval, twice the five minutes for which it may
     be cached, and the time to live of a CDN in front of it
     (11 minutes by default, 16 with a CDN);
  2. sign with the new key and trust the old one, and wait until the last token
     of the old one has expired (--max-token-lifetime);
  3. stop trusting the old one.

  apiVersion: openirsa.dev/v1alpha1
  kind: Signer
  sign: {kms: arn:aws:kms:eu-west-1:123456789012:key/2}
  trust:
    - {file: sa-1.pub}

Whoever may connect to the socket may have tokens of any service account: keep it
where only the API server can reach it. A directory that others can write, and a
key or a configuration that others can write, are refused. Nothing but tokens is
signed.`,
		RunE: func(c *cobra.Command, _ []string) error { return s.run(c.Context()) },
	}
	f := c.Flags()
	f.StringVar(&s.socket, "socket", "/var/run/openirsa/signer.sock", "Unix `socket` to serve at; @name is an abstract one")
	f.StringVar(&s.config, "config", "", "configuration `file` with the keys, read again when it changes")
	f.StringVar(&s.key, "signing-key-file", "", "`file` of the key that signs, PEM, of mode 0600, instead of --config")
	f.StringVar(&s.kms, "signing-kms-key", "", "id, ARN or alias of the `key` in AWS KMS that signs, instead of --config")
	f.StringSliceVar(&s.trust, "key-file", nil, "`file` of further trusted keys, PEM; may be repeated")
	f.StringSliceVar(&s.issuers, "issuer", nil, "sign for this issuer only; may be repeated. Without: any")
	f.DurationVar(&s.lifetime, "max-token-lifetime", 24*time.Hour, "how long tokens may live; the API server learns it when it starts")
	f.DurationVar(&s.refresh, "refresh", 10*time.Second, "how often the API server should ask for the keys")
	f.StringVar(&s.region, "region", "", "region of the keys in KMS. Without: AWS's configuration")
	s.admin.add(f, "")
	return c
}

func (s *sign) run(ctx context.Context) error {
	if err := s.check(); err != nil {
		return err
	}
	server := s.signer()
	if err := server.Load(ctx); err != nil {
		return err
	}
	private, err := s.admin.listen(s.status(server))
	if err != nil {
		return err
	}
	listener, err := listenSocket(ctx, s.log, s.socket)
	if err != nil {
		return err
	}
	defer listener.Close()
	rpc := grpc.NewServer(grpc.UnaryInterceptor(errorsWithoutSecrets), grpc.MaxRecvMsgSize(1<<20), grpc.ConnectionTimeout(10*time.Second))
	externaljwt.RegisterExternalJWTSignerServer(rpc, server)

	group, ctx := errgroup.WithContext(ctx)
	serveUntil(ctx, group, s.log, private...)
	group.Go(func() error {
		server.Watch(ctx, s.config, func() signer.Config { return *s.loaded.Load() })
		return nil
	})
	group.Go(func() error {
		<-ctx.Done()
		force := time.AfterFunc(10*time.Second, rpc.Stop)
		defer force.Stop()
		rpc.GracefulStop()
		return nil
	})
	group.Go(func() error {
		s.log.Info("serving the API server", "socket", s.socket)
		if err := rpc.Serve(listener); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			return fmt.Errorf("serving at %s: %w", s.socket, err)
		}
		return nil
	})
	return group.Wait()
}

func (s *sign) check() error {
	switch {
	case s.config == "" && (s.key == "") == (s.kms == ""):
		return cli.Usagef("one of --config, --signing-key-file and --signing-kms-key is needed")
	case s.config != "" && (s.key != "" || s.kms != "" || len(s.trust) > 0):
		return cli.Usagef("--signing-key-file, --signing-kms-key and --key-file exclude --config")
	case s.lifetime < signer.MinLifetime:
		return cli.Usagef("--max-token-lifetime %s is less than the minimum of kube-apiserver, %s", s.lifetime, signer.MinLifetime)
	case s.refresh < time.Second:
		return cli.Usagef("--refresh %s is less than a second", s.refresh)
	}
	return nil
}

// signer makes the signer, which counts its signatures.
func (s *sign) signer() *signer.Signer {
	s.signed = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "openirsa_signer_signatures_total", Help: "Requests to sign a token, by gRPC code.",
	}, []string{"code"})
	s.seconds = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "openirsa_signer_signature_seconds_total", Help: "Time that signing took, by gRPC code.",
	}, []string{"code"})
	return &signer.Signer{
		Read: s.read, Issuers: s.issuers, MaxLifetime: s.lifetime, Refresh: s.refresh, Log: s.log,
		Signed: func(took time.Duration, err error) {
			code := status.Code(err).String()
			s.signed.WithLabelValues(code).Inc()
			s.seconds.WithLabelValues(code).Add(took.Seconds())
		},
	}
}

// status is what the program's operators get to know.
func (s *sign) status(server *signer.Signer) *admin {
	fault := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "openirsa_signer_fault", Help: "1 if the keys cannot be read now.",
	}, func() float64 {
		if server.Fault() != nil {
			return 1
		}
		return 0
	})
	return &admin{
		ready: func() (any, bool) {
			fault, text := server.Fault(), ""
			if fault != nil {
				text = fault.Error()
			}
			return struct {
				KID   string `json:"kid"`
				Error string `json:"error,omitempty"`
			}{server.KID(), text}, true
		},
		metrics: []prometheus.Collector{s.signed, s.seconds, fault},
	}
}

// errorsWithoutSecrets removes secrets from errors, which quote claims and files; the
// API server passes them on.
func errorsWithoutSecrets(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	resp, err := handle(ctx, req)
	if s, ok := status.FromError(err); err != nil && ok {
		err = status.Error(s.Code(), redact.Text(s.Message()))
	}
	return resp, err
}

// read reads the configuration, where it is a file, and the keys.
func (s *sign) read(ctx context.Context) (signer.Keys, error) {
	config := signer.Config{Sign: signer.Ref{File: s.key, KMS: s.kms}}
	for _, name := range s.trust {
		config.Trust = append(config.Trust, signer.Ref{File: name})
	}
	if s.config != "" {
		data, err := signer.ReadTrusted(s.config)
		if err == nil {
			config, err = signer.ParseConfig(data, filepath.Dir(s.config))
		}
		if err != nil {
			return signer.Keys{}, fmt.Errorf("reading the configuration %s: %w", s.config, err)
		}
	}
	s.loaded.Store(&config)
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	return config.Keys(ctx, s.connectKMS)
}

// connectKMS is called by one goroutine at a time.
func (s *sign) connectKMS(ctx context.Context) (signer.KMS, error) {
	if s.client != nil {
		return s.client, nil
	}
	cfg, err := config.LoadDefaultConfig(ctx, func(o *config.LoadOptions) error {
		if s.region != "" {
			o.Region = s.region
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("loading the AWS configuration: %w", err)
	}
	if cfg.Region == "" {
		return nil, errors.New("no AWS region is set: give --region, or set AWS_REGION")
	}
	s.client = kms.NewFromConfig(cfg)
	return s.client, nil
}
