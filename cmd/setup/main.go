// Setup makes, shows and removes the chain that gives a pod an IAM role: the
// operator's command of OpenIRSA. `setup --help` is the manual.
//
// How it speaks: results go to standard output, a line each, or as JSON;
// everything else goes to standard error. An error says which link of the chain
// it is about, what was tried and what was answered, and, after "next:", the
// command to run. The exit status is 0 when all is done, 1 when something
// failed, 2 when the command line is wrong.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/openirsa/openirsa/internal/cli"
	"github.com/openirsa/openirsa/internal/plain"
	"github.com/openirsa/openirsa/internal/version"
	"github.com/openirsa/openirsa/pkg/chain"
)

func main() {
	cli.Main(func(ctx context.Context, stdout, stderr io.Writer) int {
		return Main(ctx, os.Args, os.Getenv, stdout, stderr)
	})
}

// Main runs the command line args, whose first is the program's name, and
// returns the exit status.
func Main(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) int {
	quiet()
	out, progress := plain.NewWriter(stdout), plain.NewWriter(stderr)
	defer out.Flush()
	defer progress.Flush()
	a := &app{name: programName(args[0]), getenv: getenv, out: out, err: progress, ask: asker(os.Stdin, progress)}
	root := a.command()
	root.SetArgs(args[1:])
	command, err := root.ExecuteContextC(ctx)
	if err == nil {
		return 0
	}
	if cause := context.Cause(ctx); cause != nil {
		err = advise(fmt.Errorf("stopped by a signal: %w", err), "run the same command again: it continues where it stopped")
	}
	verb := strings.TrimPrefix(command.CommandPath(), command.Root().CommandPath()+" ")
	err = permissionAdvice(command, advice(verb, err))
	plain.Error(a.err, a.name, err)
	usage := cli.IsUsage(err) || is[*chain.OptionError](err) || !a.started
	if e, ok := errors.AsType[*adviceError](err); ok && e.next != "" {
		plain.Fprintf(a.err, "next: %s\n", strings.ReplaceAll(e.next, "SETUP", a.name))
	} else if !ok && !usage {
		fmt.Fprintln(a.err, "next: fix this, then run the same command again; it continues where it stopped")
	}
	if usage {
		plain.Fprintf(a.err, "See '%s --help'.\n", command.CommandPath())
		return 2
	}
	return 1
}

// programName is what the user typed: kubectl runs a program called
// kubectl-irsa as `kubectl irsa`.
func programName(path string) string {
	name := path[strings.LastIndexAny(path, `/\`)+1:]
	if verb, ok := strings.CutPrefix(name, "kubectl-"); ok {
		return "kubectl " + verb
	}
	return name
}

const long = `OpenIRSA gives pods AWS credentials through IAM Roles for Service Accounts, on
any Kubernetes cluster, as EKS does: the cluster signs a token, AWS STS verifies
it against the cluster's public documents, and an IAM OIDC provider and the
role's trust policy decide.

  setup up --emulator                       the whole chain on the one kind cluster, no AWS account
  setup up --kind-name dev --region eu-west-1     the same against AWS
  setup iamserviceaccount create --namespace default --name app \
      --attach-policy-arn arn:aws:iam::aws:policy/IAMReadOnlyAccess --approve
  setup status                              each link: what is there
  setup doctor                              the first broken link, and the command that fixes it
  setup keys rotate                         replace the signing keys, without one failed token
  setup issuer migrate --to BUCKET          move to another issuer, without one failed token
  setup apiserver                           on a kubeadm control-plane node: its API server gets the issuer
  setup down                                remove it all
  setup demo                                see it work, with no cluster and no AWS account

AWS is configured as for the AWS CLI: AWS_PROFILE, AWS_REGION, AWS_ENDPOINT_URL and
~/.aws are read. Kubernetes is configured as for kubectl: KUBECONFIG is read.`

func (a *app) command() *cobra.Command {
	root := &cobra.Command{
		Use:           strings.ReplaceAll(a.name, " ", "-"),
		Short:         "IAM roles for service accounts on any Kubernetes cluster",
		Long:          long,
		SilenceErrors: true,
		SilenceUsage:  true,
		Version:       version.String(),
		Annotations:   map[string]string{cobra.CommandDisplayNameAnnotation: a.name},
	}
	root.SetOut(a.out)
	root.SetErr(a.err)
	root.SetVersionTemplate("{{.Version}}\n")
	root.CompletionOptions.HiddenDefaultCmd = false
	root.AddCommand(
		a.upCommand(),
		a.downCommand(),
		a.gcCommand(),
		a.statusCommand(),
		a.doctorCommand(),
		a.serviceAccountCommand(),
		a.keysCommand(),
		a.issuerCommand(),
		a.kindConfigCommand(),
		a.apiServerCommand(),
		a.exportCommand(),
		a.imageCommand(),
		a.demoCommand(),
	)
	a.rename(root)
	root.InitDefaultCompletionCmd()
	a.prepare(root)
	root.InitDefaultHelpCmd()
	help, _, _ := root.Find([]string{"help"})
	help.Args = func(_ *cobra.Command, args []string) error {
		about, rest, err := root.Find(args)
		if err != nil {
			return err
		}
		return about.ValidateArgs(rest)
	}
	return root
}

// own is the program's name in its help.
var own = regexp.MustCompile(`\bsetup\b`)

// rename has the help of c and of every command below it speak of the program by
// the name that the user typed.
func (a *app) rename(c *cobra.Command) {
	for _, sub := range c.Commands() {
		a.rename(sub)
	}
	for _, text := range []*string{&c.Short, &c.Long, &c.Example} {
		*text = own.ReplaceAllLiteralString(*text, a.name)
	}
	c.Flags().VisitAll(func(f *pflag.Flag) { f.Usage = own.ReplaceAllLiteralString(f.Usage, a.name) })
}

// prepare has every command below c refuse arguments, of which none takes any,
// and note when it starts: an error before that is one of usage. One that only
// holds others shows its help.
func (a *app) prepare(c *cobra.Command) {
	for _, sub := range c.Commands() {
		a.prepare(sub)
	}
	switch run := c.RunE; {
	case run != nil:
		c.Args = noSuchCommand
		c.RunE = func(c *cobra.Command, args []string) error {
			a.started = true
			return run(c, args)
		}
	case c.HasParent():
		// Without it cobra shows the help for whatever word follows, and succeeds.
		c.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
		c.Args = noSuchCommand
		c.DisableFlagsInUseLine = true
	}
}

// noSuchCommand refuses a word that is none of the commands below c, as cobra
// does below the root.
func noSuchCommand(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	c.SuggestionsMinimumDistance = 2
	meant := ""
	if names := c.SuggestionsFor(args[0]); len(names) > 0 {
		meant = "\n\nDid you mean this?\n\t" + strings.Join(names, "\n\t") + "\n"
	}
	return cli.Usagef("unknown command %q for %q%s", args[0], c.CommandPath(), meant)
}
