package app

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/openirsa/openirsa/internal/cli"
	"github.com/openirsa/openirsa/pkg/issuer"
)

func (a *app) kindConfigCommand() *cobra.Command {
	var where documentFlags
	var own string
	c := &cobra.Command{
		Use:   "kind-config",
		Short: "Print a kind cluster configuration with the issuer set from the start",
		Long: `Print a configuration for 'kind create cluster --config', in which the API server
has the issuer from the start, so that 'setup up' need not restart it.

The issuer must be known before the cluster exists: give --issuer-url, or the account
and the region in which 'setup up' will make the bucket.

With --merge the issuer is added to your own configuration; everything else in it
stays as it is, including comments.`,
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
func (a *app) mergeKindConfig(ctx context.Context, file string, where documentFlags, named bool) error {
	f, err := readKindFile(file, a.Stdin)
	if err != nil {
		return err
	}
	add := ""
	switch name := f.name(); {
	case name == "" && named:
		add = where.name
	case name != "" && named && name != where.name:
		return cli.Usagef("--name %s: the cluster in %s is called %s", where.name, file, name)
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
