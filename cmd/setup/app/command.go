// Package app is the program setup: a file a verb, from flags to options, from
// results to words, and from typed errors to the next command.
//
// How it speaks: results go to standard output, a line each, or as JSON;
// everything else goes to standard error. An error says which link of the chain
// it is about, what was tried and what was answered, and, after "next:", the
// command to run. The exit status is 0 when all is done, 1 when something
// failed, 2 when the command line is wrong.
package app

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/openirsa/openirsa/internal/cli"
	"github.com/openirsa/openirsa/internal/plain"
	"github.com/openirsa/openirsa/pkg/chain"
)

// Main runs the program and returns its exit status.
func Main(ctx context.Context, in *cli.Invocation) int { return With(ctx, in, nil) }

// Daemons are the programs that run in pods, as commands of a program that carries
// them. Their errors are told in their own way, see [cli.Status].
type Daemons struct {
	// Issuer are the commands below `issuer`, where migrate is.
	Issuer []*cobra.Command
	// Others are commands of their own.
	Others []*cobra.Command
}

// With is Main for the program that carries daemons.
func With(ctx context.Context, in *cli.Invocation, daemons *Daemons) int {
	out, progress := plain.NewWriter(in.Stdout), plain.NewWriter(in.Stderr)
	defer out.Flush()
	defer progress.Flush()
	a := &app{Invocation: *in, out: out, err: progress, ask: asker(in.Stdin, progress), daemons: daemons}
	a.Stdout, a.Stderr = out, progress
	command, err := a.Run(ctx, a.command())
	if err == nil {
		return 0
	}
	if name, ok := a.daemon(command); ok {
		return cli.Status(a.err, name, err)
	}
	if cause := context.Cause(ctx); cause != nil {
		err = advise(fmt.Errorf("stopped by a signal: %w", err), "run the same command again: it continues where it stopped")
	}
	verb := strings.TrimPrefix(command.CommandPath(), command.Root().CommandPath()+" ")
	err = permissionAdvice(command, advice(verb, err))
	plain.Error(a.err, a.Name, err)
	usage := cli.IsUsage(err) || is[*chain.OptionError](err) || !a.started
	if e, ok := errors.AsType[*adviceError](err); ok && e.next != "" {
		plain.Fprintf(a.err, "next: %s\n", a.says(e.next))
	} else if !ok && !usage {
		fmt.Fprintln(a.err, "next: fix this, then run the same command again; it continues where it stopped")
	}
	if usage {
		plain.Fprintf(a.err, "See '%s --help'.\n", command.CommandPath())
		return 2
	}
	return 1
}

// Command is the command line of the program that carries daemons, for those who want
// to read it and not to run it.
func Command(in *cli.Invocation, daemons *Daemons) *cobra.Command {
	a := &app{Invocation: *in, out: in.Stdout, err: in.Stderr, daemons: daemons}
	return a.command()
}

// daemon is the name of the daemon that c is a command of.
func (a *app) daemon(c *cobra.Command) (name string, ok bool) {
	for ; a.daemons != nil && c.HasParent(); c = c.Parent() {
		switch {
		case slices.Contains(a.daemons.Issuer, c):
			return c.Parent().CommandPath(), true
		case slices.Contains(a.daemons.Others, c):
			return c.CommandPath(), true
		}
	}
	return "", false
}

// issuer is what the user types to run the program issuer.
func (a *app) issuer() string {
	if a.daemons == nil {
		return "issuer"
	}
	return a.Name + " issuer"
}

// says puts the names that the user types into the words of an advice, where the
// program is SETUP and the program issuer is ISSUER.
func (a *app) says(advice string) string {
	return strings.NewReplacer("SETUP", a.Name, "ISSUER", a.issuer()).Replace(advice)
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

// carried is what the help of the program says that carries the daemons.
const carried = `

What runs in pods and on other machines is in this program too: the webhook, the
agent, the emulator, and issuer with serve, publish and sign.`

func (a *app) command() *cobra.Command {
	root := &cobra.Command{
		Short: "IAM roles for service accounts on any Kubernetes cluster",
		Long:  long,
	}
	if a.daemons != nil {
		root.Long += carried
	}
	a.Call(root)
	root.CompletionOptions.HiddenDefaultCmd = false
	issuer := a.issuerCommand()
	root.AddCommand(
		a.upCommand(),
		a.downCommand(),
		a.gcCommand(),
		a.statusCommand(),
		a.doctorCommand(),
		a.serviceAccountCommand(),
		a.podIdentityCommand(),
		a.moveCommand(),
		a.keysCommand(),
		issuer,
		a.kindConfigCommand(),
		a.apiServerCommand(),
		a.exportCommand(),
		a.imageCommand(),
		a.demoCommand(),
		cli.VersionCommand(),
	)
	cli.Rename(root, own, func(matched string) string {
		if verb, ok := strings.CutPrefix(matched, "issuer"); ok {
			return a.issuer() + verb
		}
		return a.Name
	})
	root.InitDefaultCompletionCmd()
	a.prepare(root)
	if a.daemons != nil {
		issuer.AddCommand(a.daemons.Issuer...)
		root.AddCommand(a.daemons.Others...)
	}
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

// own is how the texts speak of the program, and of the program issuer.
var own = regexp.MustCompile(`\bsetup\b|\bissuer (serve|publish|sign)\b`)

// prepare has every command below c refuse arguments, of which none takes any,
// and note when it starts: an error before that is one of usage. One that only
// holds others shows its help.
func (a *app) prepare(c *cobra.Command) {
	for _, sub := range c.Commands() {
		a.prepare(sub)
	}
	switch run := c.RunE; {
	case run != nil:
		c.Args = cli.NoSuchCommand
		c.RunE = func(c *cobra.Command, args []string) error {
			a.started = true
			quiet()
			return run(c, args)
		}
	case c.HasParent():
		cli.Group(c)
	}
}
