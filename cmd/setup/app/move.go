package app

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/openirsa/openirsa/internal/cli"
	"github.com/openirsa/openirsa/pkg/chain"
	"github.com/openirsa/openirsa/pkg/controlplane"
	"github.com/openirsa/openirsa/pkg/plan"
)

// moveOptions are the flags of `migrate-to-pod-identity`.
type moveOptions struct {
	namespace, account string
	restart, remove    bool
	approve            bool
	wait               time.Duration
}

func (a *app) moveCommand() *cobra.Command {
	var o moveOptions
	c := &cobra.Command{
		Use:   "migrate-to-pod-identity",
		Short: "Move service accounts from IRSA to EKS Pod Identity, without a pod that loses its role",
		Long: `Move service accounts that are annotated with a role to EKS Pod Identity, with the same
role. Their pods have it at every moment:

  role         its trust policy lets in the pods by EKS Pod Identity too
  association  is made, and it is waited until the webhook knows it: new pods use it
  pod identity it is tried: an agent is ready where the pods run, and EKS Auth gives a
               session of the role for the token of one of them
  workload     with --restart: Deployments, StatefulSets and DaemonSets whose pods still
               use IRSA are restarted, one after the other, and it is tried each time
  role, service account   with --remove-irsa: once no pod uses IRSA, and one has its role
               without, the trust policy no longer lets in tokens, and the annotation goes

Without --approve the plan is printed and nothing is changed. Run the same command again
at any time: it goes on from what is there, also after it was stopped, and status shows
how far each service account is. Until --remove-irsa, podidentityassociation delete and a
restart undo it.

Where a pod does not get its role, the command stops and says why, and IRSA stays; the next
run goes on. The credentials in use must be allowed to call
eks-auth:AssumeRoleForPodIdentity on the cluster, which export iam-policy --command
migrate-to-pod-identity has. Without a running pod there is nothing to try, which is said.

A role that was not made for this cluster is never changed: it must let in the pods by
pods.eks.amazonaws.com already. Pods that run by hand or of a Job are named and left
alone. For pods that move, sessions get another name (eks-CLUSTER-POD-...), the session
tags of EKS Pod Identity, and last six hours; conditions of policies on the claims of
their tokens (ISSUER:sub) or on aws:FederatedProvider are not met any more.`,
		Example: `  setup migrate-to-pod-identity
  setup migrate-to-pod-identity --namespace default --service-account-name app --approve
  setup migrate-to-pod-identity --approve --restart
  setup migrate-to-pod-identity --approve --remove-irsa`,
		RunE: func(c *cobra.Command, _ []string) error { return a.move(c.Context(), o) },
	}
	a.clusterFlags(c)
	a.outputFlag(c, "text", "json")
	f := c.Flags()
	f.StringVarP(&a.cluster, "cluster", "c", "", "name of the cluster as setup recorded it: it is checked, and chooses the context or "+
		"kind cluster of this name")
	f.StringVarP(&a.profile, "profile", "p", "", "AWS profile (default: $AWS_PROFILE)")
	f.StringVarP(&a.region, "region", "r", "", "AWS region (default: the chain's)")
	f.StringVar(&o.namespace, "namespace", "", "only the service accounts of this namespace")
	f.StringVar(&o.account, "service-account-name", "", "only this service account; needs --namespace")
	f.BoolVar(&o.restart, "restart", false, "restart the workloads whose pods still use IRSA")
	f.BoolVar(&o.remove, "remove-irsa", false, "remove the annotation, and from the trust policy what lets in tokens, where no pod uses "+
		"IRSA any more; the exit status is 1 where one does")
	f.SetNormalizeFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		if name == "remove-oidc-provider-trust-relationship" { // as eksctl has it
			name = "remove-irsa"
		}
		return pflag.NormalizedName(name)
	})
	f.BoolVar(&o.approve, "approve", false, "make the changes; without it they are only printed")
	f.DurationVar(&o.wait, "wait", controlplane.DefaultWait, "how long the webhook may take to know the associations, each workload to "+
		"come up again, and EKS Auth to give one of its pods a session")
	return c
}

func (a *app) move(ctx context.Context, o moveOptions) error {
	if o.account != "" && o.namespace == "" {
		return cli.Usagef("--namespace must be set in order to specify --service-account-name")
	}
	options := chain.MoveOptions{Restart: o.restart, Remove: o.remove, DryRun: !o.approve, Wait: o.wait}
	if o.namespace != "" {
		options.Accounts = []chain.ServiceAccount{{Namespace: o.namespace, Name: o.account}}
	}
	ch, err := a.connect(ctx)
	if err != nil {
		return err
	}
	r := a.newReport(ch.Record.Cluster, !o.approve)
	defer r.clear()
	r.Issuer = ch.Issuer.String()
	out, err := ch.Move(ctx, options, r)
	if err != nil {
		return err
	}
	r.Moves = out.Moves
	if err := r.finishRun(out.Outcome); err != nil {
		return err
	}
	return o.epilogue(r, out)
}

// again is the command that goes on, with one more flag.
func (o *moveOptions) again(flag string) string {
	command := "SETUP migrate-to-pod-identity"
	if o.namespace != "" {
		command += " --namespace " + o.namespace
	}
	if o.account != "" {
		command += " --service-account-name " + o.account
	}
	return command + " --approve " + flag
}

// epilogue says how far it is, and what is next. What was to be removed and cannot be is
// an error.
func (o *moveOptions) epilogue(r *report, out chain.Moved) error {
	count := map[chain.MoveStage]int{}
	old := []string{}
	for _, m := range out.Moves {
		count[m.Stage]++
		if m.Stage == chain.MoveRestart {
			for _, pod := range m.Old {
				old = append(old, m.Namespace+"/"+pod)
			}
		}
	}
	switch {
	case len(out.Moves) == 0 && !out.Changed:
		r.say("No service account is annotated with a role: there is nothing to move.")
	case !o.approve && out.Changed:
		r.say("\nNothing was changed. To make these changes, run the same command with --approve.")
	case !o.approve:
		r.say("\nNothing is to be changed.")
	case len(old) > 0 && o.remove:
		return advise(fmt.Errorf("%s: %s still use IRSA, which stays as long for their service accounts: %s", plan.Workload,
			plural(len(old), "pod"), firstOf(old)), o.again("--restart --remove-irsa")+", or delete the pods")
	case len(old) > 0:
		r.say("\nNew pods use EKS Pod Identity. %s still use IRSA: %s. Next:\n  %s", plural(len(old), "pod"), firstOf(old),
			r.says(o.again("--restart")))
	case count[chain.MoveRemove] > 0 && !o.remove:
		r.say("\nNo pod uses IRSA any more. To remove the annotations and what the roles need for it:\n  %s", r.says(o.again("--remove-irsa")))
	case !out.Changed:
		r.say("\nEverything is unchanged.")
	}
	return nil
}

// firstOf are some of the names.
func firstOf(names []string) string {
	if len(names) > 5 {
		return strings.Join(names[:5], ", ") + fmt.Sprintf(" and %d more", len(names)-5)
	}
	return strings.Join(names, ", ")
}
