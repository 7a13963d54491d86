package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"github.com/openirsa/openirsa/pkg/issuer"
)

func (a *app) kindConfigCommand() *cobra.Command {
	var where place
	var own string
	c := &cobra.Command{
		Use:   "kind-config",
		Short: "Print a kind cluster configuration with the issuer set from the start",
		Long: `Print a configuration for 'kind create cluster --config', in which the API server
has the issuer from the start, so that 'setup up' need not restart it.

The issuer must be known before the cluster is there: with --issuer-url, or with
the account and the region in which 'setup up' will make the bucket.

With --merge the issuer is added to a configuration of your own, of which all else
stays as it is, comments too.`,
		Example: `  setup kind-config --emulator | kind create cluster --config -
  setup kind-config --name dev --account 123456789012 --region eu-west-1 > kind.yaml
  setup kind-config --emulator --merge kind.yaml | kind create cluster --config -`,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := where.check(); err != nil {
				return err
			}
			if err := a.checkPort(where); err != nil {
				return err
			}
			if own != "" {
				return a.mergeKindConfig(c.Context(), own, where, c.Flags().Changed("name"))
			}
			iss, err := a.plannedIssuer(c.Context(), where)
			if err != nil {
				return err
			}
			_, err = fmt.Fprint(a.out, kindConfig(where.name, iss))
			return err
		},
	}
	f := c.Flags()
	where.flags(c)
	f.StringVar(&where.account, "account", "", "AWS account id in which the bucket will be")
	f.StringVar(&a.region, "region", "", "AWS region in which the bucket will be")
	f.StringVar(&own, "merge", "", "configuration of kind to add the issuer to; - is standard input")
	f.Lookup("name").DefValue = "kind"
	f.Lookup("name").Value.Set("kind")
	return c
}

// mergeKindConfig prints somebody's own configuration with the issuer. The cluster
// has the name that the file gives it.
func (a *app) mergeKindConfig(ctx context.Context, file string, where place, named bool) error {
	f, err := readKindFile(file)
	if err != nil {
		return err
	}
	add := ""
	switch name := f.name(); {
	case name == "" && named:
		add = where.name
	case name != "" && named && name != where.name:
		return usagef("--name %s: the cluster in %s is called %s", where.name, file, name)
	case name != "":
		where.name = name
	}
	iss, err := a.plannedIssuer(ctx, where)
	if err != nil {
		return err
	}
	body, err := f.merge(iss, add)
	if err != nil {
		return err
	}
	_, err = a.out.Write(body)
	return err
}

// plannedIssuer is the issuer that `up` will make, before there is a cluster.
func (a *app) plannedIssuer(ctx context.Context, where place) (issuer.URL, error) {
	switch {
	case where.issuerURL != "":
		return where.parseIssuer()
	case where.emulator:
		return where.issuer(ctx, emulatorAccount, orDefault(a.region, defaultRegion))
	case where.account == "":
		return issuer.URL{}, usagef("--account is needed to name the bucket (or --emulator, or --issuer-url)")
	case a.region == "":
		return issuer.URL{}, usagef("--region is needed to name the bucket")
	}
	return where.issuer(ctx, where.account, a.region)
}

func orDefault(s, def string) string {
	if s == "" {
		return def
	}
	return s
}

// kindConfig is a configuration of kind.x-k8s.io/v1alpha4. Which version of
// kubeadm's configuration kind writes depends on the version of Kubernetes, and
// their extraArgs differ in form; of the two patches, kind applies the one whose
// apiVersion matches.
func kindConfig(name string, iss issuer.URL) string {
	return fmt.Sprintf(`kind: Cluster
apiVersion: kind.x-k8s.io/v1alpha4
name: %[1]s
nodes:
- role: control-plane
kubeadmConfigPatches:
- |
  apiVersion: kubeadm.k8s.io/v1beta4
  kind: ClusterConfiguration
  apiServer:
    extraArgs:
    - name: service-account-issuer
      value: %[2]s
    - name: service-account-jwks-uri
      value: %[3]s
- |
  apiVersion: kubeadm.k8s.io/v1beta3
  kind: ClusterConfiguration
  apiServer:
    extraArgs:
      service-account-issuer: %[2]s
      service-account-jwks-uri: %[3]s
`, name, iss, iss.JWKS())
}

// emulatorAccount is the account of the emulator in the cluster.
const emulatorAccount = "000000000000"

// place is where the documents go: the flags of the commands that need to know.
type place struct {
	name      string
	bucket    string
	issuerURL string
	emulator  bool
	account   string

	private      bool
	distribution string
	allowPrivate bool
}

func (p *place) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&p.name, "name", "", "name of the cluster in AWS (default: that of the kind cluster or the context)")
	f.StringVar(&p.bucket, "bucket", "", "S3 bucket for the documents, or BUCKET/PREFIX (default: openirsa-NAME-ACCOUNT)")
	f.StringVar(&p.issuerURL, "issuer-url", "", "public https URL at which you serve the documents yourself, instead of S3")
	f.BoolVar(&p.emulator, "emulator", false, "use an AWS emulator in the cluster: no AWS account is needed")
	f.BoolVar(&p.private, "private-bucket", false, "keep the bucket closed to the public; CloudFront serves its documents at --issuer-url (see docs/aws.md)")
	f.StringVar(&p.distribution, "distribution-arn", "", "ARN of the CloudFront distribution to let into the private bucket (default: whoever made it has set the bucket's policy)")
	allowPrivateFlag(c, &p.allowPrivate)
}

func allowPrivateFlag(c *cobra.Command, to *bool) {
	c.Flags().BoolVar(to, "allow-private-issuers", false, "take an issuer with a port, which AWS never does, because AWS is an emulator that was told the same (default where AWS_ENDPOINT_URL is set)")
}

// checkPort refuses an --issuer-url with a port, of which IAM makes no provider,
// unless an emulator is meant that does.
func (a *app) checkPort(p place) error {
	if p.issuerURL == "" || p.emulator || p.allowPrivate || a.getenv("AWS_ENDPOINT_URL") != "" {
		return nil
	}
	iss, err := p.parseIssuer()
	if err != nil {
		return err
	}
	if err := iss.CheckPort(); err != nil {
		return usagef("--issuer-url: %w: serve it at port 443, or say --allow-private-issuers if AWS is an emulator that takes it", err)
	}
	return nil
}

var distributionForm = regexp.MustCompile(`^arn:[a-z-]+:cloudfront::[0-9]{12}:distribution/[A-Z0-9]+$`)

// check refuses flags that do not go together.
func (p *place) check() error {
	_, err := p.fault()
	return err
}

// fault is the flag that does not go with the others, and why.
func (p *place) fault() (flag string, err error) {
	switch {
	case p.bucket != "" && p.issuerURL != "" && !p.private:
		return "--bucket", usagef("--bucket and --issuer-url exclude each other, unless CloudFront serves the documents of a --private-bucket")
	case p.distribution != "" && !p.private:
		return "--distribution-arn", usagef("--distribution-arn is for a --private-bucket")
	case p.distribution != "" && !distributionForm.MatchString(p.distribution):
		return "--distribution-arn", usagef("--distribution-arn %q is not the ARN of a distribution, such as arn:aws:cloudfront::123456789012:distribution/EDFDVBD6EXAMPLE", p.distribution)
	case p.private && p.issuerURL == "":
		return "--private-bucket", usagef("--private-bucket needs the --issuer-url at which CloudFront serves its documents, such as https://d111111abcdef8.cloudfront.net")
	case p.private && p.emulator:
		return "--private-bucket", usagef("--private-bucket and --emulator exclude each other: the emulator has no CloudFront")
	}
	bucket, prefix, hasPrefix := strings.Cut(p.bucket, "/")
	prefix = strings.Trim(prefix, "/")
	if p.issuerURL != "" {
		iss, err := p.parseIssuer()
		if err != nil {
			return "--issuer-url", err
		}
		if err := iss.CheckPrefix(); err != nil && p.private {
			return "--issuer-url", &usageError{fmt.Errorf("--issuer-url: %w", err)}
		}
		if hasPrefix && prefix != iss.Prefix() {
			return "--bucket", usagef("--bucket %s: the documents are below the path of the issuer, %q, in a private bucket", p.bucket, iss.Prefix())
		}
	}
	if p.bucket != "" {
		if _, err := issuer.S3(bucket, defaultRegion, "amazonaws.com", prefix); err != nil {
			return "--bucket", &usageError{err}
		}
	}
	return "", nil
}

func (p place) parseIssuer() (issuer.URL, error) {
	iss, err := issuer.Parse(p.issuerURL)
	if err != nil {
		return issuer.URL{}, &usageError{fmt.Errorf("--issuer-url: %w", err)}
	}
	return iss, nil
}

// bucketAndPrefix are those of --bucket, or the default for a cluster.
func (p place) bucketAndPrefix(account string) (bucket, prefix string, err error) {
	if p.private {
		iss, err := p.parseIssuer()
		if err != nil {
			return "", "", err
		}
		prefix = iss.Prefix() // CloudFront asks for what it is asked for
		if bucket, _, _ = strings.Cut(p.bucket, "/"); bucket == "" {
			bucket, _, err = bucketFor(p.name, account)
		}
		return bucket, prefix, err
	}
	if p.bucket != "" {
		bucket, prefix, _ = strings.Cut(p.bucket, "/")
		return bucket, strings.Trim(prefix, "/"), nil
	}
	return bucketFor(p.name, account)
}

// bucketFor is the bucket of a cluster unless one is given. Bucket names are
// global, so the account is part of it.
func bucketFor(cluster, account string) (string, string, error) {
	bucket := "openirsa-" + strings.ToLower(strings.ReplaceAll(cluster, ".", "-")) + "-" + account
	if len(bucket) > 63 {
		return "", "", advise(errors.New("the cluster's name is too long to name a bucket after it"), "give a name with --name or a bucket with --bucket")
	}
	return bucket, "", nil
}
