// Package app is the program emulator.
package app

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	_ "golang.org/x/crypto/x509roots/fallback" // the container image has no roots of its own

	"github.com/openirsa/openirsa/internal/cli"
	"github.com/openirsa/openirsa/internal/reload"
	"github.com/openirsa/openirsa/internal/trace"
	"github.com/openirsa/openirsa/internal/version"
	"github.com/openirsa/openirsa/pkg/emulator"
)

// prefix is that of the environment variables that stand for flags.
const prefix = "EMULATOR"

// options are the flags; their usage texts are the manual.
type options struct {
	listen          string
	certFile, key   string
	caFile          string
	log             cli.Log
	clusterIssuer   string
	shutdownTimeout time.Duration
	maxConnections  int
	forward         []string
	forwardFile     string
	forwardKey      string
	forwards        *reload.Files[*map[string]emulator.Backend] // of the file; nil if there is none
	config          emulator.Config
}

func (o *options) flags(f *pflag.FlagSet) {
	f.SortFlags = false
	c := &o.config
	f.StringVar(&o.listen, "listen", "127.0.0.1:4566", "address to listen on; port 0 picks a free one, which the log shows")
	f.StringVar(&o.certFile, "tls-cert", "", "certificate for HTTPS, PEM; without it HTTP is served")
	f.StringVar(&o.key, "tls-key", "", "its key, PEM")
	f.StringVar(&c.State, "state", "", "file for the state, which then survives kill -9; without it the state is in memory")
	f.StringVar(&c.Account, "account", "", "account id, twelve digits; of several the home account (default the first of --accounts, or "+
		emulator.DefaultAccount+")")
	f.StringSliceVar(&c.Accounts, "accounts", nil, "several accounts in one emulator: an access key id that is one of them is its root user's")
	f.StringVar(&c.Partition, "partition", "aws", "partition of all ARNs: aws, aws-cn, aws-us-gov, aws-eusc, ...")
	f.StringVar(&c.RootAccessKeyID, "root-access-key-id", "test", "access key id of the account's root user, who may do everything")
	f.StringVar(&c.RootSecret, "root-secret-access-key", "test", "its secret; preferably set in the environment")
	f.StringSliceVar(&c.Hosts, "host", nil, "name by which browsers may reach the emulator, and at which it serves /_openirsa/, "+
		"beside addresses and localhost (repeatable)")
	f.StringSliceVar(&c.S3Hosts, "s3-host", nil, "host below which buckets are virtual hosts (repeatable): with s3.test, "+
		"b.s3.test is the bucket b")
	f.Int64Var(&c.MaxObject, "max-object", 5<<30, "size in bytes up to which S3 takes an object, or a part of one, in one request")

	f.IntVar(&c.MaxPodIdentityAssociations, "max-pod-identity-associations", 5000, "how many associations of EKS Pod Identity a cluster "+
		"can have; 0 is 5000")

	f.StringSliceVar(&o.forward, "forward", nil, "backend for a service, SERVICE=URL, such as dynamodb=http://127.0.0.1:8000 "+
		"(repeatable): calls are verified and need permission here, then go there; *=URL is for all services that are not here")
	f.StringVar(&o.forwardFile, "forward-file", "", "file with more of them, one a line; it is read again when it changes")
	f.StringVar(&o.forwardKey, "forward-key", "", "key that signs what is forwarded, ID:SECRET; preferably set in the environment "+
		"(default: the id of the account that has the resources, which is the caller's as a rule, and test)")

	f.StringVar(&o.caFile, "ca-file", "", "CA certificates, PEM, to trust for issuers, beside the public CAs")
	f.StringVar(&o.clusterIssuer, "cluster-issuer", "", "issuer of the cluster in which this runs as a pod, such as "+
		"https://kubernetes.default.svc.cluster.local: its documents are read from the API server, with the pod's service account")
	f.BoolVar(&c.AllowPrivateIssuers, "allow-private-issuers", false,
		"allow issuers that AWS could not reach: at ports other than 443, at private and loopback addresses")
	f.BoolVar(&c.Strict, "strict", false, "refuse what AWS could not reach or would not trust: no --ca-file, and issuers must "+
		"answer when a provider is created without thumbprints")
	f.DurationVar(&c.MaxKeyAge, "max-key-age", 5*time.Minute, "how long an issuer's keys are used before they are fetched "+
		"again, unless its Cache-Control says less; 0: fetch them for each call")
	f.DurationVar(&c.TokenLeeway, "token-leeway", time.Minute, "how far an issuer's clock may be off: a token is accepted this "+
		"long after exp, and before iat and nbf")
	f.StringVar((*string)(&c.Enforce), "enforce", "deny", "what becomes of a call that policies deny: deny, or log, which lets it "+
		"through and logs a warning with what AWS would have denied; a role's tag openirsa.dev/enforce overrides it")
	f.BoolVar(&c.LegacyMessages, "legacy-messages", false, "answer with the texts that STS used until 2026 for an unknown "+
		"provider and a wrong audience")

	f.BoolVar(&c.Control, "control", false,
		"open /_openirsa/control, where anyone who can connect can move the clock, inject faults and delete everything")
	f.IntVar(&c.MaxEvents, "max-events", 4096, "how many decisions to keep for /_openirsa/events")
	f.IntVar(&c.MaxEventBytes, "max-event-bytes", 16<<20, "about how many bytes of decisions to keep; older ones are dropped")
	f.IntVar(&o.maxConnections, "max-connections", 1024, "how many connections to serve at a time; others wait")
	o.log.Flags(f, "what to log: debug (every decision), info (denials), warn, error")
	f.DurationVar(&o.shutdownTimeout, "shutdown-timeout", 5*time.Second, "how long requests may take to end after SIGTERM")
}

// Main runs the program and returns its exit status.
func Main(ctx context.Context, in *cli.Invocation) int {
	return cli.Status(in.Stderr, in.Name, Run(ctx, in))
}

// Run is the program. It ends when ctx does, without error then.
func Run(ctx context.Context, in *cli.Invocation) error {
	c := Command(in)
	in.Call(c)
	c.CompletionOptions.DisableDefaultCmd = true
	_, err := in.Run(ctx, c)
	return err
}

// Command is the program as a command, for one that carries it as well.
func Command(in *cli.Invocation) *cobra.Command {
	var o options
	c := &cobra.Command{
		Use:   "emulator",
		Short: "Serve AWS's STS, IAM, S3 and KMS on one port",
		Long: "Serve AWS's STS, IAM, S3, the signing keys of KMS and EKS Pod Identity on one port, as AWS does, and say why a call\n" +
			"was denied.\n" +
			"With --forward, decide about calls of other services too, and pass on what is allowed.\n\n" +
			"Clients need AWS_ENDPOINT_URL=http://127.0.0.1:4566, a region, and credentials; the root user's are test and test.\n" +
			"Decisions are at /_openirsa/events, for people at /_openirsa/.\n\n" +
			"Each flag can also be set as the environment variable in brackets; the flag takes precedence.",
		RunE: func(c *cobra.Command, _ []string) error {
			if err := cli.Environment(c.Flags(), prefix, in.Lookup); err != nil {
				return err
			}
			ignoreFileLimit()
			return o.serve(c.Context(), in)
		},
	}
	o.flags(c.Flags())
	c.Flags().VisitAll(func(flag *pflag.Flag) { flag.Usage += " [" + cli.Variable(prefix, flag.Name) + "]" })
	cli.OnlyFlags(c)
	return c
}

// credentials is where kubelet puts the credentials of a pod's service account.
const credentials = "/var/run/secrets/kubernetes.io/serviceaccount/"

// inCluster is the API server of the cluster in which this runs as a pod.
func inCluster(issuer string, getenv func(string) string) (*emulator.ClusterIssuer, error) {
	host, port := getenv("KUBERNETES_SERVICE_HOST"), getenv("KUBERNETES_SERVICE_PORT")
	if host == "" || port == "" {
		return nil, cli.Usagef("--cluster-issuer is for a pod: there is no KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT")
	}
	return &emulator.ClusterIssuer{Issuer: issuer, APIServer: "https://" + net.JoinHostPort(host, port), TokenFile: credentials +
		"token", CAFile: credentials + "ca.crt"}, nil
}

// complete reads the files that flags name.
func (o *options) complete(in *cli.Invocation) error {
	var err error
	if o.config.Log, err = o.log.Open(in.Stderr); err != nil {
		return err
	}
	if e := o.config.Enforce; e != emulator.EnforceDeny && e != emulator.EnforceLog {
		return cli.Usagef("--enforce %q is neither deny nor log", string(e))
	}
	if o.maxConnections < 1 {
		return cli.Usagef("--max-connections %d is not a number of connections", o.maxConnections)
	}
	if (o.certFile == "") != (o.key == "") {
		return cli.Usagef("--tls-cert and --tls-key go together")
	}
	if o.config.MaxKeyAge == 0 {
		o.config.MaxKeyAge = -1 // the zero Config has the default
	}
	switch {
	case o.config.TokenLeeway < 0:
		return cli.Usagef("--token-leeway %s is negative", o.config.TokenLeeway)
	case o.config.TokenLeeway == 0:
		o.config.TokenLeeway = -1
	}
	if err := o.completeForward(); err != nil {
		return err
	}
	if o.clusterIssuer != "" {
		if o.config.Cluster, err = inCluster(o.clusterIssuer, in.Getenv); err != nil {
			return err
		}
	}
	if o.caFile != "" {
		pem, err := os.ReadFile(o.caFile)
		if err != nil {
			return fmt.Errorf("reading --ca-file: %w", err)
		}
		o.config.Roots = x509.NewCertPool()
		if !o.config.Roots.AppendCertsFromPEM(pem) {
			return fmt.Errorf("reading --ca-file: %q has no certificate in PEM", o.caFile)
		}
	}
	return nil
}

// serve runs the emulator until ctx is done.
func (o *options) serve(ctx context.Context, in *cli.Invocation) error {
	if err := o.complete(in); err != nil {
		return err
	}
	log := o.config.Log
	server, err := emulator.New(o.config)
	if err != nil {
		return err
	}
	tracer := trace.New(trace.Options{Service: "openirsa-emulator", Version: version.String(), Lookup: in.Lookup, Log: log})
	defer tracer.Open()()
	web := newServer(tracer.Handler(server), log)
	web.ConnState = server.ConnState
	scheme := "http"
	if o.certFile != "" {
		scheme = "https"
		pair, err := tls.LoadX509KeyPair(o.certFile, o.key)
		if err != nil {
			return errors.Join(fmt.Errorf("reading the serving certificate: %w", err), server.Close())
		}
		web.TLSConfig = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	}
	listener, err := net.Listen("tcp", o.listen)
	if err != nil {
		return errors.Join(fmt.Errorf("listening on --listen: %w", err), server.Close())
	}
	listener = limitConnections(listener, o.maxConnections)
	// Requests that wait for events end with the program.
	waiting, endWaiting := context.WithCancel(context.Background())
	defer endWaiting()
	web.BaseContext = func(net.Listener) context.Context { return waiting }
	web.RegisterOnShutdown(endWaiting)

	stop := o.watchForward(ctx, server)
	defer stop()
	log.Info("serving", "url", scheme+"://"+listener.Addr().String(), "account", strings.Join(server.Accounts(), ","),
		"partition", o.config.Partition, "state", o.config.State)
	done := make(chan error, 1)
	go func() {
		if o.certFile != "" {
			done <- web.ServeTLS(listener, "", "")
		} else {
			done <- web.Serve(listener)
		}
	}()
	select {
	case err = <-done:
		err = fmt.Errorf("serving: %w", err)
	case <-ctx.Done():
		log.Info("shutting down")
		timeout, cancel := context.WithTimeout(context.Background(), o.shutdownTimeout)
		defer cancel()
		if err = web.Shutdown(timeout); errors.Is(err, context.DeadlineExceeded) {
			log.Warn("requests were still in progress", "after", o.shutdownTimeout)
			err = web.Close()
		}
	}
	return errors.Join(err, server.Close())
}
