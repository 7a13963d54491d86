package app

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"
	"k8s.io/klog/v2"

	"github.com/openirsa/openirsa/internal/cli"
	"github.com/openirsa/openirsa/internal/version"
)

// Every flag of amazon-eks-pod-identity-webhook, with the defaults that users
// rely on.
func TestFlagsOfTheOriginal(t *testing.T) {
	f := pflag.NewFlagSet("webhook", pflag.ContinueOnError)
	new(options).flags(f)
	for name, want := range map[string]string{
		"port": "443", "metrics-port": "9999", "kubeconfig": "", "kube-api": "", "tls-cert": "/etc/webhook/certs/tls.crt", "tls-key": "/etc/webhook/certs/tls.key",
		"tls-secret": "pod-identity-webhook", "tls-cipher-suites": "[]", "tls-min-version": "VersionTLS12", "in-cluster": "true", "namespace": "eks",
		"service-name": "pod-identity-webhook", "annotation-prefix": "eks.amazonaws.com", "token-audience": "sts.amazonaws.com",
		"token-mount-path": "/var/run/secrets/eks.amazonaws.com/serviceaccount", "token-expiration": "86400", "aws-default-region": "",
		"sts-regional-endpoint": "false", "watch-config-map": "false", "watch-container-credentials-config": "",
		"container-credentials-audience": "pods.eks.amazonaws.com", "container-credentials-token-mount-path": "/var/run/secrets/pods.eks.amazonaws.com/serviceaccount",
		"container-credentials-token-volume-name": "eks-pod-identity-token", "container-credentials-token-path": "eks-pod-identity-token",
		"container-credentials-full-uri": "http://169.254.170.23/v1/credentials", "resync-period": "1m0s", "enable-debugging-handlers": "false",
	} {
		if flag := f.Lookup(name); flag == nil {
			t.Errorf("no flag --%s", name)
		} else if flag.DefValue != want {
			t.Errorf("--%s is %q by default, want %q", name, flag.DefValue, want)
		}
	}
	if f.Lookup("service-account-lookup-grace-period") == nil {
		t.Error("no flag --service-account-lookup-grace-period")
	}
	// klog's flags, as the manifests of the original give them.
	if err := f.Parse([]string{"--logtostderr", "--alsologtostderr=false", "--stderrthreshold=2", "--v=4", "-v", "2", "--vmodule=x=1"}); err != nil {
		t.Error(err)
	}
}

func TestFlagsAreDocumented(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "webhook.md"))
	if err != nil {
		t.Fatal(err)
	}
	f := pflag.NewFlagSet("webhook", pflag.ContinueOnError)
	new(options).flags(f)
	f.VisitAll(func(flag *pflag.Flag) {
		if !flag.Hidden && !strings.Contains(string(doc), "`--"+flag.Name+"`") && !strings.Contains(string(doc), "`-"+flag.Name+"`") {
			t.Errorf("docs/webhook.md does not tell of --%s", flag.Name)
		}
	})
}

// TestLog: --log-level and -v, of which counts what shows more, and the form.
func TestLog(t *testing.T) {
	for _, c := range []struct {
		args              []string
		debug, info, json bool
		client            bool // what klog says at level 5
	}{
		{nil, false, true, false, false},
		{[]string{"-v4", "--log-format=json"}, true, true, true, false},
		{[]string{"--log-level=debug"}, true, true, false, false},
		{[]string{"--log-level=warn"}, false, false, false, false},
		{[]string{"--log-level=warn", "--v=5", "--log-format=json"}, true, true, true, true},
	} {
		var o options
		f := pflag.NewFlagSet("webhook", pflag.ContinueOnError)
		o.flags(f)
		if err := f.Parse(c.args); err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		log, err := o.logs(&out)
		if err != nil {
			t.Fatal(err)
		}
		log.Debug("a detail")
		log.Info("a fact")
		klog.Background().V(5).Info("of the client")
		said := func(what string) bool { return strings.Contains(out.String(), what) }
		if said("a detail") != c.debug || said("a fact") != c.info || said("of the client") != c.client {
			t.Errorf("%q: %s", c.args, &out)
		}
		for line := range strings.Lines(out.String()) {
			if json.Valid([]byte(line)) != c.json {
				t.Errorf("%q: %s", c.args, line)
			}
		}
	}
}

// called is how the program is called.
func called(stdout io.Writer, args ...string) *cli.Invocation {
	return &cli.Invocation{Name: "webhook", Args: args, Stdout: stdout, Stderr: io.Discard}
}

func TestUsage(t *testing.T) {
	dir := t.TempDir()
	kubeconfig := filepath.Join(dir, "kubeconfig")
	if err := os.WriteFile(kubeconfig, []byte("apiVersion: v1\nkind: Config\nclusters: [{name: c, cluster: {server: 'http://127.0.0.1:1'}}]\ncontexts: [{name: c, context: {cluster: c}}]\ncurrent-context: c\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	reject := func(want string, usage bool, args ...string) {
		t.Helper()
		err := Run(t.Context(), called(io.Discard, args...))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", args, err, want)
		}
		if cli.IsUsage(err) != usage {
			t.Errorf("%q: a mistake of usage: %v", args, !usage)
		}
	}
	reject("--compose-role-arn: the account of a role's name would be that of the EC2 instance", true, "--compose-role-arn")
	reject("--compose-role-arn: the account", true, "--compose-role-arn=true")
	reject("reading the Kubernetes configuration", false, "--compose-role-arn=false", "--kubeconfig="+filepath.Join(dir, "none"))
	reject(`--log-format "xml" is neither text nor json`, true, "--log-format=xml")
	reject(`--log-level "loud" is not debug`, true, "--log-level=loud")
	reject("unknown command", true, "extra")
	reject("unknown command", true, "completion", "nope")
	reject("invalid argument", true, "--port=x")
	reject("--annotation-prefix", true, "--annotation-prefix=eks.amazonaws.com/")
	reject("--annotation-prefix", true, "--annotation-prefix=")
	reject("--on-malformed", true, "--on-malformed=maybe")
	reject("--token-audience", true, "--token-audience=a b")
	reject("--token-audience", true, "--token-audience=")
	reject("--token-expiration", true, "--token-expiration=4294967297")
	reject("--token-mount-path", true, "--token-mount-path=relative")
	reject("--aws-endpoint-url", true, "--aws-endpoint-url=10.0.0.1:4566")
	reject("--tls-min-version", true, "--tls-min-version=VersionTLS10")
	reject("--tls-min-version", true, "--tls-min-version=1.1")
	for _, v := range []string{"1.2", "1.3", "VersionTLS12", "VersionTLS13"} {
		reject("reading the Kubernetes configuration", false, "--tls-min-version="+v, "--kubeconfig="+filepath.Join(dir, "none"))
	}
	reject("--tls-cipher-suites", true, "--tls-cipher-suites=TLS_RSA_WITH_RC4_128_SHA")
	reject("reading the Kubernetes configuration", false, "--kubeconfig="+filepath.Join(dir, "none"))
	reject("reading the serving certificate", false, "--kubeconfig="+kubeconfig, "--in-cluster=false", "--tls-cert="+filepath.Join(dir, "none"))
	reject("reading --watch-container-credentials-config", false, "--kubeconfig="+kubeconfig, "--watch-container-credentials-config="+filepath.Join(dir, "none"))
	reject("is not a name of a cluster", true, "--pod-identity-cluster=a/b")
	reject("--pod-identity-refresh 10ms is less than a second", true, "--pod-identity-cluster=c1", "--pod-identity-refresh=10ms")
	reject("--pod-identity-cluster: no region", false, "--kubeconfig="+kubeconfig, "--pod-identity-cluster=c1")
	reject("cannot be replaced in time", false, "--kubeconfig="+kubeconfig, "--port=0", "--metrics-port=0", "--ca-life=1h", "--cert-life=1h")

	var out bytes.Buffer
	if err := Run(t.Context(), called(&out, "--version")); err != nil || out.String() != version.String()+"\n" {
		t.Errorf("--version: %q, %v", &out, err)
	}
}
