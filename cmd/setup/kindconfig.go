package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/openirsa/openirsa/pkg/issuer"
)

func (a *app) kindConfigCommand() *cobra.Command {
	var where place
	c := &cobra.Command{
		Use:   "kind-config",
		Short: "Print a kind cluster configuration with the issuer set from the start",
		Long: `Print a configuration for 'kind create cluster --config', in which the API server
has the issuer from the start, so that 'setup up' need not restart it.

The issuer must be known before the cluster is there: with --issuer-url, or with
the account and the region in which 'setup up' will make the bucket.`,
		Example: `  setup kind-config --emulator | kind create cluster --config -
  setup kind-config --name dev --account 123456789012 --region eu-west-1 > kind.yaml`,
		RunE: func(c *cobra.Command, _ []string) error {
			iss := issuer.URL{}
			var err error
			switch {
			case where.issuerURL != "":
				iss, err = where.parseIssuer()
			case where.emulator:
				iss, err = where.issuer(c.Context(), emulatorAccount, orDefault(a.region, defaultRegion))
			case where.account == "":
				return usagef("--account is needed to name the bucket (or --emulator, or --issuer-url)")
			case a.region == "":
				return usagef("--region is needed to name the bucket")
			default:
				iss, err = where.issuer(c.Context(), where.account, a.region)
			}
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
	f.Lookup("name").DefValue = "kind"
	f.Lookup("name").Value.Set("kind")
	return c
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
}

func (p *place) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&p.name, "name", "", "name of the cluster in AWS (default: that of the kind cluster or the context)")
	f.StringVar(&p.bucket, "bucket", "", "S3 bucket for the documents, or BUCKET/PREFIX (default: openirsa-NAME-ACCOUNT)")
	f.StringVar(&p.issuerURL, "issuer-url", "", "public https URL at which you serve the documents yourself, instead of S3")
	f.BoolVar(&p.emulator, "emulator", false, "use an AWS emulator in the cluster: no AWS account is needed")
	c.MarkFlagsMutuallyExclusive("bucket", "issuer-url")
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
