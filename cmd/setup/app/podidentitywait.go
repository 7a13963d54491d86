package app

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/openirsa/openirsa/internal/cli"
	"github.com/openirsa/openirsa/pkg/chain"
)

func (a *app) waitAssociationCommand() *cobra.Command {
	var o associationOptions
	c := &cobra.Command{
		Use:   "wait",
		Short: "Wait until associations have an effect on new pods",
		Long: `Wait until EKS has the associations and the webhook knows them, so that a pod that is
made now gets the role. The API server is asked for such a pod, in a dry run; that
takes the right to create pods. Without flags all associations of the cluster are
meant.

Nothing is changed. Pods that run already keep what they were made with: restart them.
The exit status is 1 if something is missing when the time is over; the error says
what.`,
		Example: `  setup podidentityassociation wait --namespace default --service-account-name app
  setup podidentityassociation wait --config-file cluster.yaml --timeout 1m`,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeoutCause(c.Context(), o.timeout, fmt.Errorf("not done within --timeout %s", o.timeout))
			defer cancel()
			return a.waitForAssociations(ctx, o)
		},
	}
	a.clusterFlags(c)
	a.outputFlag(c, "text", "json")
	f := c.Flags()
	o.identify(f)
	f.StringVarP(&o.config, "config-file", "f", "", "configuration file that lists the associations, instead of flags; - is standard input")
	f.DurationVar(&o.timeout, "timeout", 2*time.Minute, "how long to wait")
	c.MarkFlagsMutuallyExclusive("service-account-name", "config-file")
	c.MarkFlagsMutuallyExclusive("namespace", "config-file")
	return c
}

func (a *app) waitForAssociations(ctx context.Context, o associationOptions) error {
	if o.ServiceAccountName != "" && o.Namespace == "" {
		return cli.Usagef("--namespace must be set in order to specify --service-account-name")
	}
	all, err := a.associations(&o, func() error { return nil })
	if err != nil {
		return err
	}
	if o.config == "" && o.ServiceAccountName == "" {
		all = nil
	}
	if o.config != "" && len(all) == 0 {
		return cli.Usagef("there is no association in %s", o.config)
	}
	ch, err := a.connect(ctx)
	if err != nil {
		return err
	}
	r := a.newReport(ch.Record.Cluster, false)
	defer r.clear()
	r.Issuer = ch.Issuer.String()
	out, err := ch.Await(ctx, chain.AwaitOptions{Associations: all, Namespace: o.Namespace}, r)
	if err != nil && !is[*chain.UnreadyError](err) {
		return err
	}
	if bad := r.finishRun(out); bad != nil { // with what is ready
		return bad
	}
	if err == nil && len(r.Links) == 0 {
		r.say("There is no association to wait for.")
	}
	return err
}
