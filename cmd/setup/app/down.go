package app

import (
	"cmp"
	"context"

	"github.com/spf13/cobra"

	"github.com/openirsa/openirsa/pkg/chain"
	"github.com/openirsa/openirsa/pkg/controlplane"
)

func (a *app) downCommand() *cobra.Command {
	var o chain.DownOptions
	c := &cobra.Command{
		Use:   "down",
		Short: "Remove what `up` and `iamserviceaccount create` made, and nothing else",
		Long: `Remove the chain in reverse order: the webhook, the service accounts' annotations
and roles, the issuer from the API servers, the documents and their bucket, the
provider, the emulator. What others have made stays.

Tags say who owns a resource, not the cluster's record, which may be another
cluster's: what was made for another cluster stays too, and is named.

The API servers get back exactly their previous flags. Pods carry tokens of the
issuer for their own calls to the API server; before it is removed, kubelet renews
them, which takes a minute or two where there are such pods. --immediately does not
wait: their calls, including kube-proxy's, then fail for that minute or two, and on
nodes that cannot be reached from here until kubelet renews the tokens by itself.

The nodes of clusters other than kind's cannot be reached from here: there, the
issuer must be gone from the API servers (see 'setup apiserver --undo') before the
provider and the documents are removed. --immediately does not wait for that either.`,
		RunE: func(c *cobra.Command, _ []string) error { return a.down(c.Context(), o) },
	}
	a.clusterFlags(c)
	a.outputFlag(c, "text", "json")
	f := c.Flags()
	f.BoolVar(&o.DryRun, "dry-run", false, "print what would be done and change nothing")
	f.BoolVar(&o.Immediately, "immediately", false, "do not wait for pods' tokens to be renewed, nor for API servers that cannot be "+
		"changed from here")
	f.DurationVar(&o.Wait, "wait", controlplane.DefaultWait, "how long an API server may take to come up, and tokens to be renewed")
	return c
}

func (a *app) down(ctx context.Context, o chain.DownOptions) error {
	ch, err := a.connect(ctx)
	if err != nil {
		return err
	}
	r := a.newReport(cmp.Or(ch.Record.Cluster, ch.Cluster.Name), o.DryRun)
	defer r.clear()
	if ch.Installed {
		r.Issuer = ch.Issuer.String()
	}
	out, err := ch.Down(ctx, o, r)
	if err != nil {
		return err
	}
	if err := r.finishRun(out); err != nil {
		return err
	}
	switch {
	case o.DryRun:
		r.say("\nNothing was changed: this was a dry run.")
	case !out.Changed:
		r.say("cluster %s has no chain; nothing was removed", ch.Cluster.Name)
	case out.BucketStays != "":
		return &bucketStaysError{out.BucketStays}
	default:
		r.say("\nNothing is left (%.1fs).", r.Seconds)
	}
	return nil
}
