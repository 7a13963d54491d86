// Package app is the program issuer.
//
// What it does is logged to standard error, a line each; only what was asked for goes
// to standard output. The exit status is 0 after a signal to stop or when all is done,
// 1 when something failed, 2 when the command line is wrong.
package app

import (
	"context"
	"regexp"
	"strings"

	"github.com/spf13/cobra"
	_ "golang.org/x/crypto/x509roots/fallback" // the container image has no certificates

	"github.com/openirsa/openirsa/internal/cli"
)

// Main runs the program and returns its exit status.
func Main(ctx context.Context, in *cli.Invocation) int {
	return cli.Status(in.Stderr, in.Name, Run(ctx, in))
}

// Run is the program. It ends when ctx does, without error then.
func Run(ctx context.Context, in *cli.Invocation) error {
	root := &cobra.Command{
		Short: "Keep the public documents of clusters where AWS reads them",
		Long: `The issuer of a cluster's service-account tokens is a URL below which AWS reads
two documents: the discovery document and the set of public keys.

  issuer serve --config issuer.yaml      serves the documents of many clusters over HTTP(S)
  issuer publish --bucket B              keeps the documents of one cluster in an S3 bucket
  issuer sign --signing-kms-key K        signs the tokens for kube-apiserver

A flag that is not given is taken from the environment: --admin-listen from
ISSUER_ADMIN_LISTEN.`,
	}
	in.Call(root)
	rename(root, in.Name)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return cli.Usage(err) })
	root.AddCommand(Commands(in)...)
	root.InitDefaultCompletionCmd()
	for _, c := range root.Commands() {
		if !c.Runnable() {
			cli.Group(c)
		}
	}
	_, err := in.Run(ctx, root)
	if err != nil && strings.HasPrefix(err.Error(), "unknown command") { // it has no type
		return cli.Usage(err)
	}
	return err
}

// Commands are the commands of the program, for one that carries them as well.
func Commands(in *cli.Invocation) []*cobra.Command {
	a := &app{in: in}
	commands := []*cobra.Command{a.serveCommand(), a.publishCommand(), a.signCommand()}
	for _, c := range commands {
		cli.OnlyFlags(c)
		a.logs.Flags(c.Flags(), "what to log: debug, info, warn or error")
		c.PreRunE = func(c *cobra.Command, _ []string) error {
			if err := cli.Environment(c.Flags(), "ISSUER", a.environment); err != nil {
				return err
			}
			in.AtOnce(c.Context())
			var err error
			a.log, err = a.logs.Open(in.Stderr)
			return err
		}
		rename(c, in.Name)
	}
	return commands
}

// own is how the texts speak of the program.
var own = regexp.MustCompile(`\bissuer (serve|publish|sign)\b`)

func rename(c *cobra.Command, name string) {
	cli.Rename(c, own, func(matched string) string { return name + strings.TrimPrefix(matched, "issuer") })
}
