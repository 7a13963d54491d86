// Package app is the program webhook.
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
	var o options
	c := &cobra.Command{
		Use:   "webhook",
		Short: "Give pods their AWS identity at admission",
		RunE: func(c *cobra.Command, _ []string) error {
			smallpages.Only()
			s, err := newServer(&o, in)
			if err != nil {
				return err
			}
			return s.run(c.Context())
		},
	}
	o.flags(c.Flags())
	cli.OnlyFlags(c)
	c.AddCommand(checkCommand(in))
	return c
}
