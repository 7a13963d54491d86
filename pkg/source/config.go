package source

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"go.yaml.in/yaml/v3"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/openirsa/openirsa/pkg/discovery"
	"github.com/openirsa/openirsa/pkg/issuer"
)

// The head of a configuration file.
const (
	APIVersion = "openirsa.dev/v1alpha1"
	Kind       = "Issuer"
)

// Config says whose documents are served:
//
//	apiVersion: openirsa.dev/v1alpha1
//	kind: Issuer
//	clusters:
//	  - issuer: https://oidc.example.com/dev
//	    keyFiles: [dev.pub]
//	  - issuer: https://oidc.example.com/prod
//	    kubernetes: {kubeconfig: prod.kubeconfig}
type Config struct {
	APIVersion string `yaml:"apiVersion"`
	Kind       string `yaml:"kind"`
	// Hosts, if set, are the only hosts that issuers may have. A cluster with
	// another one is an error, so that a file that many people edit cannot make the
	// server answer for a foreign name.
	Hosts []string `yaml:"hosts"`
	// AllowPrivateIssuers allows issuers with a port, which AWS never accepts and an
	// emulator may.
	AllowPrivateIssuers bool `yaml:"allowPrivateIssuers"`
	// Clusters are served together. An issuer may appear only once.
	Clusters []Cluster `yaml:"clusters"`
}

// Cluster is one issuer and where its keys are. With several sources it has the
// keys of all of them.
type Cluster struct {
	Issuer issuer.URL `yaml:"issuer"`
	// KeyFiles are PEM files of public keys, or JSON files of key sets; each
	// may be a pattern such as dev/*.pub. They are reread when they change.
	// Relative names are relative to the configuration file.
	KeyFiles []string `yaml:"keyFiles"`
	// Directory holds the issuer's two documents, at their paths.
	Directory string `yaml:"directory"`
	// Kubernetes is a live API server.
	Kubernetes *Kubernetes `yaml:"kubernetes"`
	// S3 is a prefix of a bucket with the issuer's two documents.
	S3 *S3Place `yaml:"s3"`
	// Interval is how often an API server or a bucket is polled: 10s unless set, 1s
	// at least. Files do not need it.
	Interval Duration `yaml:"interval"`
}

// Kubernetes is an API server that is polled for its keys.
type Kubernetes struct {
	// Kubeconfig is a file; without it, the API server is that of the cluster
	// in which this runs.
	Kubeconfig string `yaml:"kubeconfig"`
	// Context is a context in it, instead of the current one.
	Context string `yaml:"context"`
	// Keep is how long a key stays published that the API server no longer returns:
	// 1m unless set. Several API servers behind one address differ while they
	// restart one by one.
	Keep *Duration `yaml:"keep"`
}

// S3Place is a prefix of a bucket.
type S3Place struct {
	Bucket string `yaml:"bucket"`
	// Prefix has no slashes around it, and may be empty.
	Prefix string `yaml:"prefix"`
	// Region is the bucket's, unless AWS's configuration has the right one.
	Region string `yaml:"region"`
}

// Duration is a [time.Duration] such as "10s" in a file.
type Duration time.Duration

// UnmarshalText is [time.ParseDuration].
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	*d = Duration(v)
	return err
}

// Defaults and limits of [Cluster] and [Kubernetes].
const (
	defaultInterval = 10 * time.Second
	minInterval     = time.Second
	defaultKeep     = time.Minute
)

// ParseConfig reads a configuration file in the directory dir. An unknown field, or
// a cluster that cannot be served, is an error with its line or its issuer.
func ParseConfig(data []byte, dir string) (Config, error) {
	var c Config
	d := yaml.NewDecoder(bytes.NewReader(data))
	d.KnownFields(true)
	if err := d.Decode(&c); err != nil {
		if errors.Is(err, io.EOF) {
			err = errors.New("it is empty")
		}
		return Config{}, err
	}
	if err := d.Decode(new(any)); !errors.Is(err, io.EOF) {
		return Config{}, errors.New("it holds more than one document")
	}
	if c.APIVersion != APIVersion || c.Kind != Kind {
		return Config{}, fmt.Errorf("it is %q, %q: expected apiVersion: %s and kind: %s", c.APIVersion, c.Kind, APIVersion, Kind)
	}
	for i := range c.Clusters {
		c.Clusters[i].resolve(dir)
	}
	return c, c.Check()
}

// resolve makes relative names relative to dir.
func (c *Cluster) resolve(dir string) {
	in := func(name *string) {
		if *name != "" && !filepath.IsAbs(*name) {
			*name = filepath.Join(dir, *name)
		}
	}
	for i := range c.KeyFiles {
		in(&c.KeyFiles[i])
	}
	in(&c.Directory)
	if c.Kubernetes != nil {
		in(&c.Kubernetes.Kubeconfig)
	}
}

// Check reports what is wrong with the configuration, without reading any source.
func (c Config) Check() error {
	known := make(map[string]issuer.URL, len(c.Clusters)) // by place
	for i, cluster := range c.Clusters {
		iss := cluster.Issuer
		bad := func(format string, args ...any) error {
			return fmt.Errorf("cluster %d, issuer %q: %s", i+1, iss, fmt.Sprintf(format, args...))
		}
		switch k := cluster.Kubernetes; {
		case iss.IsZero():
			return bad("there is no issuer")
		case !c.AllowPrivateIssuers && iss.CheckPort() != nil:
			return bad("%v: serve it at port 443, or allow it with allowPrivateIssuers if AWS is an emulator", iss.CheckPort())
		case known[discovery.Place(iss)] == iss:
			return bad("it is there twice")
		case !known[discovery.Place(iss)].IsZero():
			return bad("it is at the same place as %q: a trailing slash, percent escapes and the case of the host make no difference",
				known[discovery.Place(iss)])
		case len(c.Hosts) > 0 && !slices.ContainsFunc(c.Hosts, func(host string) bool { return strings.EqualFold(host, iss.Host()) }):
			return bad("host %q is not one of hosts: %q", iss.Host(), c.Hosts)
		case len(cluster.KeyFiles) == 0 && cluster.Directory == "" && k == nil && cluster.S3 == nil:
			return bad("it has no source: keyFiles, directory, kubernetes or s3")
		case cluster.Interval != 0 && time.Duration(cluster.Interval) < minInterval:
			return bad("interval %s is less than %s", time.Duration(cluster.Interval), minInterval)
		case k != nil && k.Context != "" && k.Kubeconfig == "":
			return bad("a context without a kubeconfig")
		case k != nil && k.Keep != nil && *k.Keep < 0:
			return bad("keep %s is negative", time.Duration(*k.Keep))
		case cluster.S3 != nil && cluster.S3.Bucket == "":
			return bad("s3 without a bucket")
		case cluster.S3 != nil && cluster.S3.Prefix != "" && slices.Contains(strings.Split(cluster.S3.Prefix, "/"), ""):
			return bad("s3 prefix %q: write it without slashes around it or side by side", cluster.S3.Prefix)
		}
		for _, pattern := range cluster.KeyFiles {
			if _, err := filepath.Match(pattern, ""); err != nil {
				return bad("key files %q: %v", pattern, err)
			}
		}
		known[discovery.Place(iss)] = iss
	}
	return nil
}

// polled reports whether the cluster has a source that cannot be watched.
func (c Cluster) polled() bool { return c.Kubernetes != nil || c.S3 != nil }

// files are the names and patterns of the cluster's files.
func (c Cluster) files() []string {
	if c.Directory == "" {
		return c.KeyFiles
	}
	files := slices.Clone(c.KeyFiles)
	for _, path := range discovery.Paths {
		files = append(files, filepath.Join(c.Directory, filepath.FromSlash(path)))
	}
	return files
}

// elsewhere reports whether the key set of the cluster's directory is a file other
// than the watched one: the discovery document names it.
func (c Cluster) elsewhere() bool {
	if c.Directory == "" {
		return false
	}
	body, err := readLimited(filepath.Join(c.Directory, filepath.FromSlash(issuer.DiscoveryPath)))
	if err != nil {
		return false
	}
	config, err := discovery.ParseConfiguration(body)
	return err == nil && config.JWKSURI != c.Issuer.JWKS()
}

// Opener makes the [Read] of clusters. AWS is configured as for the AWS CLI. The
// zero Opener is ready to use.
type Opener struct {
	// InCluster is how to reach the API server of the cluster in which this runs;
	// nil uses the pod's service account.
	InCluster func() (*rest.Config, error)

	mu      sync.Mutex // guards buckets
	buckets map[string]*s3.Client
}

// Open prepares to read a cluster's keys. It makes no calls.
func (o *Opener) Open(ctx context.Context, c Cluster) (Read, error) {
	var reads []Read
	if len(c.KeyFiles) > 0 {
		reads = append(reads, Files(c.KeyFiles...))
	}
	if c.Directory != "" {
		reads = append(reads, Dir(c.Directory, c.Issuer))
	}
	if k := c.Kubernetes; k != nil {
		keep := defaultKeep
		if k.Keep != nil {
			keep = time.Duration(*k.Keep)
		}
		reads = append(reads, Keep(API(func() (*rest.Config, error) { return o.restConfig(*k) }), keep, nil))
	}
	if c.S3 != nil {
		client, err := o.bucket(ctx, c.S3.Region)
		if err != nil {
			return nil, err
		}
		reads = append(reads, S3(client, c.S3.Bucket, c.S3.Prefix, c.Issuer))
	}
	return Union(reads...), nil
}

func (o *Opener) restConfig(k Kubernetes) (*rest.Config, error) {
	if k.Kubeconfig == "" {
		inCluster := o.InCluster
		if inCluster == nil {
			inCluster = rest.InClusterConfig
		}
		config, err := inCluster()
		if err != nil {
			return nil, fmt.Errorf("reading the service account of this pod: %w", err)
		}
		return config, nil
	}
	rules := &clientcmd.ClientConfigLoadingRules{ExplicitPath: k.Kubeconfig}
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules,
		&clientcmd.ConfigOverrides{CurrentContext: k.Context}).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("reading kubeconfig %s: %w", k.Kubeconfig, err)
	}
	return config, nil
}

// bucket is a client for the buckets of a region.
func (o *Opener) bucket(ctx context.Context, region string) (*s3.Client, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if client := o.buckets[region]; client != nil {
		return client, nil
	}
	cfg, err := config.LoadDefaultConfig(ctx, func(lo *config.LoadOptions) error {
		lo.Region = cmp.Or(region, lo.Region)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("loading the AWS configuration: %w", err)
	}
	if cfg.Region == "" {
		return nil, errors.New("no AWS region is set: give the bucket's region")
	}
	if o.buckets == nil {
		o.buckets = map[string]*s3.Client{}
	}
	o.buckets[region] = s3.NewFromConfig(cfg, func(so *s3.Options) {
		so.UsePathStyle = so.BaseEndpoint != nil // an endpoint may not have a name for each bucket
	})
	return o.buckets[region], nil
}
