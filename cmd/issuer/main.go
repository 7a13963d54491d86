// Issuer keeps the public documents of clusters where AWS reads them: it serves
// them, keeps an S3 bucket in step with a cluster's keys, or signs the tokens.
// `issuer --help` is the manual.
//
// What it does is logged to standard error, a line each; only what was asked for goes
// to standard output. The exit status is 0 after a signal to stop or when all is done,
// 1 when something failed, 2 when the command line is wrong.
package main

import (
	"context"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	_ "golang.org/x/crypto/x509roots/fallback" // the container image has no certificates

	"github.com/openirsa/openirsa/internal/cli"
	"github.com/openirsa/openirsa/internal/version"
)

func main() {
	cli.Main(func(ctx context.Context, stdout, stderr io.Writer) int {
		cli.AtOnce(ctx)
		return cli.Status(stderr, "issuer", run(ctx, os.Args[1:], os.Getenv, stdout, stderr))
	})
}

// run is the program. It ends when ctx does, without error then.
func run(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) error {
	a := &app{getenv: getenv, stdout: stdout, stderr: stderr}
	root := &cobra.Command{
		Use:     "issuer",
		Version: version.String(),
		Short:   "Keep the public documents of clusters where AWS reads them",
		Long: `The issuer of a cluster's service-account tokens is a URL below which AWS reads
two documents: the discovery document and the set of public keys.

  issuer serve --config issuer.yaml      serves the documents of many clusters over HTTP(S)
  issuer publish --bucket B              keeps the documents of one cluster in an S3 bucket
  issuer sign --signing-kms-key K        signs the tokens for kube-apiserver

A flag that is not given is taken from the environment: --admin-listen from
ISSUER_ADMIN_LISTEN.`,
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRunE: func(c *cobra.Command, _ []string) error {
			if err := cli.Environment(c.Flags(), "ISSUER", a.environment); err != nil {
				return err
			}
			return a.openLog()
		},
	}
	root.SetVersionTemplate("{{.Version}}\n")
	root.PersistentFlags().StringVar(&a.logFormat, "log-format", "text", "text or json")
	root.PersistentFlags().StringVar(&a.logLevel, "log-level", "info", "debug, info, warn or error")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return cli.Usage(err) })
	root.AddCommand(a.serveCommand(), a.publishCommand(), a.signCommand())
	root.InitDefaultCompletionCmd()
	for _, c := range root.Commands() {
		c.Args = cobra.NoArgs
		if !c.Runnable() { // cobra shows the help for whatever word follows, and succeeds
			c.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
		}
	}
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err != nil && strings.HasPrefix(err.Error(), "unknown command") { // it has no type
		return cli.Usage(err)
	}
	return err
}
