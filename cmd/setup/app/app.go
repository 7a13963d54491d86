package app

import (
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/openirsa/openirsa/internal/cli"
	"github.com/openirsa/openirsa/pkg/cluster"
	"github.com/openirsa/openirsa/pkg/node"
)

// app is one run of the program.
type app struct {
	cli.Invocation
	out, err io.Writer
	ask      func(what string) (string, error) // nil: there is nobody to ask
	daemons  *Daemons                          // nil: they are programs of their own

	started bool // the command line made sense

	// Flags of all commands that reach a cluster.
	kubeconfig, context, kindName string
	// Nodes of clusters that are none of kind's: those that --ssh names, or
	// this machine if it is one. Only for `apiserver` and commands with nodeFlags.
	ssh     []string
	onNodes bool
	region  string
	output  string
	// eksctl's flags of the iamserviceaccount verbs: the cluster's name, and the
	// AWS profile.
	cluster, profile string
}

// clusterFlags are those of every command that reaches a cluster.
func (a *app) clusterFlags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&a.kindName, "kind-name", "", "name of the kind cluster (default: that of the current context, or the only one)")
	f.StringVar(&a.kubeconfig, "kubeconfig", "", "kubeconfig file (default: $KUBECONFIG, ~/.kube/config)")
	f.StringVar(&a.context, "context", "", "context in the kubeconfig (default: the current one)")
	c.MarkFlagsMutuallyExclusive("kind-name", "context")
	c.MarkFlagsMutuallyExclusive("kind-name", "kubeconfig")
	c.RegisterFlagCompletionFunc("kind-name", completeKindNames)
}

// nodeFlags are those of commands that work on the nodes of the cluster, in
// addition to clusterFlags.
func (a *app) nodeFlags(c *cobra.Command) {
	c.Flags().StringArrayVar(&a.ssh, "ssh", nil, "node of a kubeadm cluster, as the ssh client takes it: every control-plane node, and "+
		"workers too, whose pods' tokens are then checked and renewed (default: all nodes on kind, this machine on a control-plane node)")
	c.MarkFlagsMutuallyExclusive("kind-name", "ssh")
	pre := c.PreRunE
	c.PreRunE = func(c *cobra.Command, args []string) error {
		a.onNodes = true
		if pre != nil {
			return pre(c, args)
		}
		return nil
	}
}

// nodes are the machines on which commands can be run, of a cluster that is
// none of kind's.
func (a *app) nodes() []node.Node {
	var nodes []node.Node
	for _, destination := range a.ssh {
		nodes = append(nodes, node.SSH(destination))
	}
	_, err := os.Stat(apiServerManifest)
	if nodes == nil && a.onNodes && a.kindName == "" && err == nil && os.Geteuid() == 0 {
		nodes = append(nodes, node.Local())
		if _, err := os.Stat(adminKubeconfig); err == nil && a.kubeconfig == "" && a.context == "" && a.Getenv("KUBECONFIG") == "" {
			a.kubeconfig = adminKubeconfig
		}
	}
	return nodes
}

// outputFlag is -o with the formats that a command knows.
func (a *app) outputFlag(c *cobra.Command, formats ...string) {
	c.Flags().StringVarP(&a.output, "output", "o", formats[0], "output format: "+strings.Join(formats, ", "))
	c.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(formats, cobra.ShellCompDirectiveNoFileComp))
	pre := c.PreRunE
	c.PreRunE = func(c *cobra.Command, args []string) error {
		if !c.Flags().Changed("output") {
			a.output = formats[0] // every command has the flag, and the last one made has left its default
		}
		for _, f := range formats {
			if a.output == f {
				if pre != nil {
					return pre(c, args)
				}
				return nil
			}
		}
		return cli.Usagef("output format %q is not one of %s", a.output, strings.Join(formats, ", "))
	}
}

func completeKindNames(c *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	names, err := cluster.KindNames(c.Context())
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// Files of kubeadm on a control-plane node.
const (
	adminKubeconfig   = "/etc/kubernetes/admin.conf"
	apiServerManifest = "/etc/kubernetes/manifests/kube-apiserver.yaml"
)
