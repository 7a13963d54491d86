// Command webhook is the mutating admission webhook that gives pods their AWS
// identity. It takes the flags of amazon-eks-pod-identity-webhook.
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
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	admissionregistrationv1client "k8s.io/client-go/kubernetes/typed/admissionregistration/v1"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"

	"github.com/openirsa/openirsa/internal/cli"
	"github.com/openirsa/openirsa/internal/redact"
	"github.com/openirsa/openirsa/internal/reload"
	"github.com/openirsa/openirsa/internal/version"
	"github.com/openirsa/openirsa/pkg/irsa"
	"github.com/openirsa/openirsa/pkg/webhook"
)

func main() {
	cli.Main(func(ctx context.Context, stdout, stderr io.Writer) int {
		return cli.Status(stderr, "webhook", run(ctx, os.Args[1:], stdout, stderr))
	})
}

// options are the flags; their usage texts are the manual.
type options struct {
	port, metricsPort int
	shutdownDelay     time.Duration
	debugHandlers     bool
	verbosity         int

	kubeconfig, kubeAPI string
	resync, grace       time.Duration

	inCluster              bool
	namespace, service     string
	secret, configuration  string
	certFile, keyFile      string
	cipherSuites           []string
	minVersion             string
	prefix                 string
	defaults               irsa.Defaults
	settings               webhook.Settings
	onMalformed            string
	composeRoleARN         bool
	watchConfigMap         bool
	missedIn               []string
	credentialsFile        string
	caLife, certLife, wait time.Duration
}

func (o *options) flags(f *pflag.FlagSet) {
	f.SortFlags = false
	f.IntVar(&o.port, "port", 443, "port to listen on (https): /mutate, /healthz, /readyz")
	f.IntVar(&o.metricsPort, "metrics-port", 9999, "port to listen on (http): /metrics, /healthz, /readyz")
	f.DurationVar(&o.shutdownDelay, "shutdown-delay", 5*time.Second, "how long to continue answering after SIGTERM, while the cluster removes the replica from the Service")
	f.BoolVar(&o.debugHandlers, "enable-debugging-handlers", false, "serve /debug/alpha/cache, the annotations of the service accounts known, on the metrics port")
	f.IntVarP(&o.verbosity, "v", "v", 0, "verbosity of the log: 4 logs each pod, more what the Kubernetes client does")

	f.StringVar(&o.kubeconfig, "kubeconfig", "", "kubeconfig file; without it and --kube-api the pod's own service account is used")
	f.StringVar(&o.kubeAPI, "kube-api", "", "URL of the API server")
	f.DurationVar(&o.resync, "resync-period", time.Minute, "how often to check every known service account again; malformed ones are reported again. 0: never")
	f.DurationVar(&o.grace, "service-account-lookup-grace-period", 2*time.Second, "how long a pod may wait for the API server's word on a service account that is unknown, or known to have no role, and for one that is still to come, or its annotation. 0: do not ask or wait")

	f.BoolVar(&o.inCluster, "in-cluster", true, "run our own CA: keep CA and serving certificate in --tls-secret and the caBundle in --webhook-configuration. false: serve --tls-cert")
	f.StringVar(&o.namespace, "namespace", "eks", "namespace of the service, of the Secret and of the ConfigMap")
	f.StringVar(&o.service, "service-name", "pod-identity-webhook", "Service by which API servers reach the webhook")
	f.StringVar(&o.secret, "tls-secret", "pod-identity-webhook", "Secret for CA and serving certificate (in-cluster)")
	f.StringVar(&o.configuration, "webhook-configuration", "pod-identity-webhook", "MutatingWebhookConfiguration whose caBundle to keep (in-cluster)")
	f.DurationVar(&o.caLife, "ca-life", webhook.CALife, "life of the CA; it is replaced after two thirds (in-cluster)")
	f.DurationVar(&o.certLife, "cert-life", webhook.ServingLife, "life of the serving certificate; it is renewed after two thirds (in-cluster)")
	f.DurationVar(&o.wait, "ca-settle", webhook.Settle, "how long a new CA is published before it is used (in-cluster)")
	f.StringVar(&o.certFile, "tls-cert", "/etc/webhook/certs/tls.crt", "serving certificate, PEM, reread when it changes (with --in-cluster=false)")
	f.StringVar(&o.keyFile, "tls-key", "/etc/webhook/certs/tls.key", "its key, PEM (with --in-cluster=false)")
	f.StringVar(&o.minVersion, "tls-min-version", "VersionTLS12", "minimum version of TLS: 1.2 or 1.3, or VersionTLS12 or VersionTLS13")
	f.StringSliceVar(&o.cipherSuites, "tls-cipher-suites", nil, "cipher suites for TLS 1.2, by the names of Go's crypto/tls; empty: Go's choice")

	f.StringVar(&o.prefix, "annotation-prefix", string(irsa.DefaultPrefix), "domain of the annotations")
	f.StringVar(&o.defaults.Audience, "token-audience", irsa.Audience, "audience of tokens, unless the service account is annotated otherwise")
	f.StringVar(&o.settings.MountPath, "token-mount-path", irsa.MountPath, "where containers find the token")
	f.Int64Var(&o.defaults.ExpirationSeconds, "token-expiration", irsa.ExpirationSeconds, "life of tokens in seconds, unless service account or pod are annotated otherwise")
	f.StringVar(&o.settings.Region, "aws-default-region", "", "AWS_REGION and AWS_DEFAULT_REGION of containers that have neither")
	f.StringVar(&o.settings.EndpointURL, "aws-endpoint-url", "", "AWS_ENDPOINT_URL and AWS_ENDPOINT_URL_STS of containers that have neither")
	f.BoolVar(&o.defaults.RegionalSTS, "sts-regional-endpoint", false, "set AWS_STS_REGIONAL_ENDPOINTS=regional, unless the service account is annotated otherwise")
	f.BoolVar(&o.defaults.PodSession, "role-session-name", false, "set AWS_ROLE_SESSION_NAME to the pod's name, unless pod or service account are annotated otherwise")
	f.BoolVar(&o.defaults.ForeignRoles, "foreign-role-arns", false, "also accept role ARNs of STS implementations other than AWS's, such as arn:aws:iam:::role/NAME of Ceph RGW")
	f.StringVar(&o.onMalformed, "on-malformed", "admit", "pods whose service account has a malformed role, audience or expiration: admit them, with a warning (without an identity if it is the role, else with defaults); or refuse them")
	f.BoolVar(&o.watchConfigMap, "watch-config-map", false, "grant the roles of the ConfigMap "+webhook.ConfigMap+" to service accounts without an annotated role")

	f.StringSliceVar(&o.missedIn, "report-missed-pods", nil, "namespaces in which to look for pods that were admitted without the identity of their service account, every five minutes; each gets an Event, and a metric counts them (repeatable)")

	f.StringVar(&o.credentialsFile, "watch-container-credentials-config", "", "file that lists the service accounts with container credentials (EKS Pod Identity), reread when it changes")
	c := &o.settings.Credentials
	f.StringVar(&c.Audience, "container-credentials-audience", irsa.CredentialsAudience, "audience of their tokens")
	f.StringVar(&c.MountPath, "container-credentials-token-mount-path", irsa.CredentialsMountPath, "where their containers find the token")
	f.StringVar(&c.Volume, "container-credentials-token-volume-name", irsa.CredentialsVolume, "name of their token's volume")
	f.StringVar(&c.TokenFile, "container-credentials-token-path", irsa.CredentialsTokenFile, "file of their token in its volume")
	f.StringVar(&c.URI, "container-credentials-full-uri", irsa.CredentialsURI, "AWS_CONTAINER_CREDENTIALS_FULL_URI of their containers")

	// The original has klog's flags, and manifests use them. The log always goes to
	// stderr.
	f.BoolVar(&o.composeRoleARN, "compose-role-arn", false, "accepted so that manifests of the original still work, but only as false, since only EC2 can say the account of role names")
	f.MarkHidden("compose-role-arn")
	ignored := func(name string, isBool bool) {
		f.String(name, "", "")
		if isBool {
			f.Lookup(name).NoOptDefVal = "true"
		}
		f.MarkHidden(name)
	}
	for _, name := range []string{"logtostderr", "alsologtostderr", "skip_headers", "skip_log_headers", "add_dir_header", "one_output"} {
		ignored(name, true)
	}
	for _, name := range []string{"log_dir", "log_file", "log_file_max_size", "log_backtrace_at", "stderrthreshold", "vmodule"} {
		ignored(name, false)
	}
}

// check refuses values that no pod or client could use, and combines the values of
// several flags.
func (o *options) check() error {
	o.settings.Prefix = irsa.Prefix(o.prefix)
	switch {
	case o.prefix == "" || strings.Contains(o.prefix, "/"):
		return fmt.Errorf("--annotation-prefix %q is not a domain", o.prefix)
	case o.onMalformed != "admit" && o.onMalformed != "refuse":
		return fmt.Errorf("--on-malformed %q is neither admit nor refuse", o.onMalformed)
	case o.defaults.ExpirationSeconds > irsa.MaxExpirationSeconds:
		return fmt.Errorf("--token-expiration %d is more than %d", o.defaults.ExpirationSeconds, int64(irsa.MaxExpirationSeconds))
	case o.composeRoleARN:
		return errors.New("--compose-role-arn: the account of a role's name would be that of the EC2 instance, which does not exist elsewhere: " +
			"leave the flag out, and write whole ARNs on service accounts")
	case !strings.HasPrefix(o.settings.MountPath, "/"):
		return fmt.Errorf("--token-mount-path %q is not absolute", o.settings.MountPath)
	}
	o.defaults.ExpirationSeconds = max(o.defaults.ExpirationSeconds, irsa.MinExpirationSeconds)
	if err := irsa.CheckAudience(o.defaults.Audience); err != nil {
		return fmt.Errorf("--token-audience %q: %w", o.defaults.Audience, err)
	}
	if s := o.settings.EndpointURL; s != "" {
		if u, err := url.Parse(s); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return fmt.Errorf("--aws-endpoint-url %q is not an http or https URL", s)
		}
	}
	return nil
}

func (o *options) tlsConfig() (*tls.Config, error) {
	c := &tls.Config{}
	switch o.minVersion {
	case "VersionTLS12", "1.2", "":
		c.MinVersion = tls.VersionTLS12
	case "VersionTLS13", "1.3":
		c.MinVersion = tls.VersionTLS13
	default:
		return nil, fmt.Errorf("--tls-min-version %q is neither 1.2 (or VersionTLS12) nor 1.3 (or VersionTLS13)", o.minVersion)
	}
	all := tls.CipherSuites()
	for _, name := range o.cipherSuites {
		i := slices.IndexFunc(all, func(s *tls.CipherSuite) bool { return s.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("--tls-cipher-suites: %q is not known to be safe", name)
		}
		c.CipherSuites = append(c.CipherSuites, all[i].ID)
	}
	return c, nil
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	var o options
	cmd := &cobra.Command{
		Use:           "webhook",
		Short:         "Give pods their AWS identity at admission",
		Version:       version.String(),
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.run(cmd.Context(), stderr)
		},
	}
	o.flags(cmd.Flags())
	cmd.CompletionOptions.DisableDefaultCmd = true
	cmd.SetVersionTemplate("{{.Version}}\n")
	cli.OnlyFlags(cmd)
	cmd.SetArgs(args)
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	return cmd.ExecuteContext(ctx)
}

func (o *options) run(ctx context.Context, stderr io.Writer) error {
	if err := o.check(); err != nil {
		return cli.Usage(err)
	}
	tlsConfig, err := o.tlsConfig()
	if err != nil {
		return cli.Usage(err)
	}
	level := slog.LevelInfo
	if o.verbosity >= 4 {
		level = slog.LevelDebug
	}
	log := slog.New(redact.Handler(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: level})))
	clientLevel := slog.LevelInfo
	if o.verbosity > 4 {
		clientLevel = slog.Level(-o.verbosity) // klog's levels
	}
	limitMemory(log, os.Getenv)
	klog.SetSlogLogger(slog.New(redact.Handler(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: clientLevel}))).With("component", "client-go"))

	config, err := clientcmd.BuildConfigFromFlags(o.kubeAPI, o.kubeconfig)
	if err != nil {
		return fmt.Errorf("reading the Kubernetes configuration: %w", err)
	}
	// The API server limits its clients itself; a pod must not wait for our limit.
	config.QPS = -1
	config.UserAgent = "openirsa-webhook"
	config.Wrap(webhook.LimitBodies)
	protobuf := rest.CopyConfig(config)
	protobuf.ContentType = "application/vnd.kubernetes.protobuf"
	protobuf.AcceptContentTypes = "application/vnd.kubernetes.protobuf,application/json"
	core, err := corev1client.NewForConfig(protobuf)
	if err != nil {
		return fmt.Errorf("making a Kubernetes client: %w", err)
	}
	admission, err := admissionregistrationv1client.NewForConfig(protobuf)
	if err != nil {
		return fmt.Errorf("making a Kubernetes client: %w", err)
	}
	meta, err := metadata.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("making a Kubernetes client: %w", err)
	}

	registry := prometheus.NewRegistry()
	metrics := webhook.NewMetrics(registry)
	events := webhook.NewEvents(core, log)
	directory := &webhook.Directory{
		Metadata: meta, Prefix: o.settings.Prefix, Defaults: o.defaults, Grace: o.grace, Resync: o.resync,
		Events: events, Metrics: metrics, Log: log,
	}
	if o.watchConfigMap {
		directory.ConfigMaps, directory.Namespace = core, o.namespace
	}
	if o.credentialsFile != "" {
		list, err := reload.New(log, func(b [][]byte) (webhook.CredentialsList, error) { return webhook.ParseCredentialsList(b[0]) }, o.credentialsFile)
		if err != nil {
			return fmt.Errorf("reading --watch-container-credentials-config: %w", err)
		}
		directory.Credentials = list.Value
	}
	background := []func(context.Context) error{directory.Run, events.Run}
	ready := []func() error{directory.Ready}
	if len(o.missedIn) > 0 {
		missed := &webhook.Missed{Pods: core, Namespaces: o.missedIn, Directory: directory, Events: events, Metrics: metrics, Log: log}
		background = append(background, missed.Run)
	}
	if o.inCluster {
		authority := &webhook.Authority{
			Secrets: core.Secrets(o.namespace), Secret: o.secret,
			Configurations: admission.MutatingWebhookConfigurations(), Configuration: o.configuration,
			Service: o.service, Namespace: o.namespace,
			CALife: o.caLife, ServingLife: o.certLife, Settle: o.wait,
			Metrics: metrics, Log: log,
		}
		tlsConfig.GetCertificate = authority.GetCertificate
		background, ready = append(background, authority.Run), append(ready, authority.Ready)
	} else {
		pair, err := reload.New(log, func(b [][]byte) (*tls.Certificate, error) {
			c, err := tls.X509KeyPair(b[0], b[1])
			return &c, err
		}, o.certFile, o.keyFile)
		if err != nil {
			return fmt.Errorf("reading the serving certificate: %w", err)
		}
		tlsConfig.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return pair.Value(), nil }
	}

	stopping := make(chan struct{})
	readyz := webhook.Healthy(func() error {
		select {
		case <-stopping:
			return errors.New("shutting down")
		default:
		}
		for _, check := range ready {
			if err := check(); err != nil {
				return err
			}
		}
		return nil
	})
	mux := http.NewServeMux()
	mux.Handle("/mutate", metrics.Instrument("/mutate", &webhook.Handler{
		Lookup: directory.Lookup, Settings: o.settings, RefuseMalformed: o.onMalformed == "refuse", Events: events, Metrics: metrics, Log: log,
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
	for _, m := range []*http.ServeMux{mux, inside} {
		m.Handle("/healthz", webhook.Healthy(nil))
		m.Handle("/readyz", readyz)
	}
	return serve(ctx, log, o.shutdownDelay, stopping, background,
		listener{o.port, mux, tlsConfig, maxConnections, o.grace}, listener{o.metricsPort, inside, nil, maxMetricsConnections, 0})
}
