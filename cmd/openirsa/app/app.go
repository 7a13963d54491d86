// Package app is the program openirsa: all the others in one.
package app

import (
	"context"

	"github.com/spf13/cobra"

	agent "github.com/openirsa/openirsa/cmd/agent/app"
	emulator "github.com/openirsa/openirsa/cmd/emulator/app"
	issuer "github.com/openirsa/openirsa/cmd/issuer/app"
	setup "github.com/openirsa/openirsa/cmd/setup/app"
	webhook "github.com/openirsa/openirsa/cmd/webhook/app"
	"github.com/openirsa/openirsa/internal/cli"
)

// Main runs the program and returns its exit status. Called issuer, webhook, emulator or
// agent it is that one, as in the container image, where links have these names; by any
// other name it is all of them.
func Main(ctx context.Context, in *cli.Invocation) int {
	switch in.Name {
	case "issuer":
		return issuer.Main(ctx, in)
	case "webhook":
		return webhook.Main(ctx, in)
	case "emulator":
		return emulator.Main(ctx, in)
	case "agent":
		return agent.Main(ctx, in)
	}
	return setup.With(ctx, in, daemons(in))
}

// Command is the command line of the program, with all that its help says.
func Command(in *cli.Invocation) *cobra.Command { return setup.Command(in, daemons(in)) }

func daemons(in *cli.Invocation) *setup.Daemons {
	return &setup.Daemons{
		Issuer: issuer.Commands(in.Below("issuer")),
		Others: []*cobra.Command{
			webhook.Command(in.Below("webhook")), emulator.Command(in.Below("emulator")), agent.Command(in.Below("agent")),
		},
	}
}
