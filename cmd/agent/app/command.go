// Package app is the program agent.
package app

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/openirsa/openirsa/internal/cli"
	"github.com/openirsa/openirsa/internal/smallpages"
)

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
	c := serveCommand(in, "agent")
	// What manifests of the original say. It has all flags too.
	server := serveCommand(in, "server")
	server.Hidden = true
	c.AddCommand(initializeCommand(in), server)
	return c
}

func serveCommand(in *cli.Invocation, use string) *cobra.Command {
	var o options
	c := &cobra.Command{
		Use:   use,
		Short: "Give pods the credentials of EKS Pod Identity, on their node",
		Long: "Answer the SDKs of this node's pods at http://169.254.170.23/v1/credentials: exchange\n" +
			"the token of a pod at EKS Auth for credentials of the role that is associated with\n" +
			"its service account, keep these, and renew them.\n\n" +
			"EKS Auth is AWS's, or where --endpoint, AWS_ENDPOINT_URL_EKS_AUTH or AWS_ENDPOINT_URL\n" +
			"say. The region and the agent's own credentials are found where the AWS CLI finds\n" +
			"them; they need eks-auth:AssumeRoleForPodIdentity on the cluster. `" + in.Name + " initialize`\n" +
			"gives the node the addresses before.",
		RunE: func(c *cobra.Command, _ []string) error {
			smallpages.Only()
			s, err := newServer(c.Context(), &o, in)
			if err != nil {
				return err
			}
			in.AtOnce(c.Context())
			return s.run(c.Context())
		},
	}
	o.flags(c.Flags())
	cli.OnlyFlags(c)
	return c
}
