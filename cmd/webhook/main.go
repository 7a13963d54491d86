// Command webhook is the mutating admission webhook that gives pods their AWS
// identity. It takes the flags of amazon-eks-pod-identity-webhook.
package main

import (
	"context"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/openirsa/openirsa/internal/cli"
	"github.com/openirsa/openirsa/internal/version"
)

func main() {
	cli.Main(func(ctx context.Context, stdout, stderr io.Writer) int {
		return cli.Status(stderr, "webhook", run(ctx, os.Args[1:], stdout, stderr))
	})
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
			s, err := newServer(&o, stderr)
			if err != nil {
				return err
			}
			return s.run(cmd.Context())
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
