package app

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/openirsa/openirsa/internal/cli"
	"github.com/openirsa/openirsa/pkg/association"
	"github.com/openirsa/openirsa/pkg/irsa"
	"github.com/openirsa/openirsa/pkg/webhook"
)

// options are the flags; their usage texts are the manual.
type options struct {
	port, metricsPort int
	shutdownDelay     time.Duration
	debugHandlers     bool
	verbosity         int
	log               cli.Log

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
	cluster                string
	refresh                time.Duration
	excluded               []string
	caLife, certLife, wait time.Duration
}

func (o *options) flags(f *pflag.FlagSet) {
	f.SortFlags = false
	f.IntVar(&o.port, "port", 443, "port to listen on (https): /mutate, /healthz, /readyz")
	f.IntVar(&o.metricsPort, "metrics-port", 9999, "port to listen on (http): /metrics, /healthz, /readyz")
	f.DurationVar(&o.shutdownDelay, "shutdown-delay", 5*time.Second,
		"how long to continue answering after SIGTERM, while the cluster removes the replica from the Service")
	f.BoolVar(&o.debugHandlers, "enable-debugging-handlers", false,
		"serve /debug/alpha/cache, the annotations of the service accounts known, on the metrics port")
	o.log.Flags(f, "what to log: debug (each pod), info, warn or error")
	f.IntVarP(&o.verbosity, "v", "v", 0, "verbosity of the log, as the original has it: 4 logs each pod, as --log-level=debug does, "+
		"and more what the Kubernetes client does")

	f.StringVar(&o.kubeconfig, "kubeconfig", "", "kubeconfig file; without it and --kube-api the pod's own service account is used")
	f.StringVar(&o.kubeAPI, "kube-api", "", "URL of the API server")
	f.DurationVar(&o.resync, "resync-period", time.Minute, "how often to check every known service account again; malformed "+
		"ones are reported again. 0: never")
	f.DurationVar(&o.grace, "service-account-lookup-grace-period", 2*time.Second,
		"how long a pod waits for its service account, or a new one's annotation, to appear, where the API server, which is asked "+
			"first, knows none. 0: do not ask or wait")

	f.BoolVar(&o.inCluster, "in-cluster", true, "run our own CA: keep CA and serving certificate in --tls-secret and the "+
		"caBundle in --webhook-configuration. false: serve --tls-cert")
	f.StringVar(&o.namespace, "namespace", "eks", "namespace of the service, of the Secret and of the ConfigMap")
	f.StringVar(&o.service, "service-name", "pod-identity-webhook", "Service by which API servers reach the webhook")
	f.StringVar(&o.secret, "tls-secret", "pod-identity-webhook", "Secret for CA and serving certificate (in-cluster)")
	f.StringVar(&o.configuration, "webhook-configuration", "pod-identity-webhook",
		"MutatingWebhookConfiguration whose caBundle to keep (in-cluster)")
	f.DurationVar(&o.caLife, "ca-life", webhook.CALife, "life of the CA; it is replaced after two thirds (in-cluster)")
	f.DurationVar(&o.certLife, "cert-life", webhook.ServingLife,
		"life of the serving certificate; it is renewed after two thirds (in-cluster)")
	f.DurationVar(&o.wait, "ca-settle", webhook.Settle, "how long a new CA is published before it is used (in-cluster)")
	f.StringVar(&o.certFile, "tls-cert", "/etc/webhook/certs/tls.crt",
		"serving certificate, PEM, reread when it changes (with --in-cluster=false)")
	f.StringVar(&o.keyFile, "tls-key", "/etc/webhook/certs/tls.key", "its key, PEM (with --in-cluster=false)")
	f.StringVar(&o.minVersion, "tls-min-version", "VersionTLS12", "minimum version of TLS: 1.2 or 1.3, or VersionTLS12 or VersionTLS13")
	f.StringSliceVar(&o.cipherSuites, "tls-cipher-suites", nil,
		"cipher suites for TLS 1.2, by the names of Go's crypto/tls; empty: Go's choice")

	f.StringVar(&o.prefix, "annotation-prefix", string(irsa.DefaultPrefix), "domain of the annotations")
	f.StringVar(&o.defaults.Audience, "token-audience", irsa.Audience,
		"audience of tokens, unless the service account is annotated otherwise")
	f.StringVar(&o.settings.MountPath, "token-mount-path", irsa.MountPath, "where containers find the token")
	f.Int64Var(&o.defaults.ExpirationSeconds, "token-expiration", irsa.ExpirationSeconds,
		"life of tokens in seconds, unless service account or pod are annotated otherwise")
	f.StringVar(&o.settings.Region, "aws-default-region", "", "AWS_REGION and AWS_DEFAULT_REGION of containers that have neither")
	f.StringVar(&o.settings.EndpointURL, "aws-endpoint-url", "", "AWS_ENDPOINT_URL and AWS_ENDPOINT_URL_STS of containers that have neither")
	f.BoolVar(&o.defaults.RegionalSTS, "sts-regional-endpoint", false,
		"set AWS_STS_REGIONAL_ENDPOINTS=regional, unless the service account is annotated otherwise")
	f.BoolVar(&o.defaults.PodSession, "role-session-name", false,
		"set AWS_ROLE_SESSION_NAME to the pod's name, unless pod or service account are annotated otherwise")
	f.BoolVar(&o.defaults.ForeignRoles, "foreign-role-arns", false,
		"also accept role ARNs of STS implementations other than AWS's, such as arn:aws:iam:::role/NAME of Ceph RGW")
	f.StringVar(&o.onMalformed, "on-malformed", "admit", "pods whose service account has a malformed role, audience or "+
		"expiration: admit them, with a warning (without an identity if it is the role, else with defaults); or refuse them")
	f.BoolVar(&o.watchConfigMap, "watch-config-map", false, "grant the roles of the ConfigMap "+webhook.ConfigMap+
		" to service accounts without an annotated role")

	f.StringSliceVar(&o.missedIn, "report-missed-pods", nil, "namespaces in which to look for pods that were admitted without "+
		"the identity of their service account, every five minutes; each gets an Event, and a metric counts them (repeatable)")

	f.StringVar(&o.credentialsFile, "watch-container-credentials-config", "",
		"file that lists the service accounts with container credentials (EKS Pod Identity), reread when it changes")
	f.StringVar(&o.cluster, "pod-identity-cluster", "",
		"EKS cluster, or cluster of an emulator's EKS API, whose pod identity associations give container credentials; the API is "+
			"called with the usual AWS_... variables. Empty: none")
	f.DurationVar(&o.refresh, "pod-identity-refresh", webhook.AssociationsRefresh,
		"how often to list all associations; one that is not in the list is asked for when a pod comes")
	f.StringSliceVar(&o.excluded, "pod-identity-exclude-namespaces", []string{"kube-system"},
		"namespaces, besides --namespace, whose associations have no effect, and about which the API is not asked: those of the agent, and "+
			"of what it and the API need (repeatable; an empty one: only --namespace)")
	c := &o.settings.Credentials
	f.StringVar(&c.Audience, "container-credentials-audience", irsa.CredentialsAudience, "audience of their tokens")
	f.StringVar(&c.MountPath, "container-credentials-token-mount-path", irsa.CredentialsMountPath, "where their containers find the token")
	f.StringVar(&c.Volume, "container-credentials-token-volume-name", irsa.CredentialsVolume, "name of their token's volume")
	f.StringVar(&c.TokenFile, "container-credentials-token-path", irsa.CredentialsTokenFile, "file of their token in its volume")
	f.StringVar(&c.URI, "container-credentials-full-uri", irsa.CredentialsURI, "AWS_CONTAINER_CREDENTIALS_FULL_URI of their containers")
	o.originalFlags(f)
}

// originalFlags are those of the original that do nothing here: klog's, which
// manifests use. The log always goes to stderr.
func (o *options) originalFlags(f *pflag.FlagSet) {
	f.BoolVar(&o.composeRoleARN, "compose-role-arn", false, "accepted so that manifests of the original still work, but only as "+
		"false, since only EC2 can say the account of role names")
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
		return errors.New("--compose-role-arn: the account of a role's name would be that of the EC2 instance, which does not " +
			"exist elsewhere: " +
			"leave the flag out, and write whole ARNs on service accounts")
	case !strings.HasPrefix(o.settings.MountPath, "/"):
		return fmt.Errorf("--token-mount-path %q is not absolute", o.settings.MountPath)
	}
	if o.cluster != "" {
		if err := association.CheckCluster(o.cluster); err != nil {
			return fmt.Errorf("--pod-identity-cluster: %w", err)
		}
		if o.refresh < time.Second {
			return fmt.Errorf("--pod-identity-refresh %s is less than a second", o.refresh)
		}
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
