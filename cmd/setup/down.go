package main

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/openirsa/openirsa/deploy"
	"github.com/openirsa/openirsa/internal/image"
	lib "github.com/openirsa/openirsa/pkg/chain"
	"github.com/openirsa/openirsa/pkg/cluster"
	"github.com/openirsa/openirsa/pkg/controlplane"
	"github.com/openirsa/openirsa/pkg/discovery"
	"github.com/openirsa/openirsa/pkg/owner"
	"github.com/openirsa/openirsa/pkg/plan"
	"github.com/openirsa/openirsa/pkg/provider"
)

// downOptions are the flags of `down`.
type downOptions struct {
	dryRun      bool
	immediately bool
	wait        time.Duration
}

func (a *app) downCommand() *cobra.Command {
	var o downOptions
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
them, which takes a minute or two. --immediately does not wait: the calls of such
pods, including kube-proxy, then fail for that minute or two, and on nodes that
cannot be reached from here until kubelet renews the tokens by itself.

The nodes of clusters other than kind's cannot be reached from here: there, the
issuer must be gone from the API servers (see 'setup apiserver --undo') before the
provider and the documents are removed. --immediately does not wait for that either.`,
		RunE: func(c *cobra.Command, _ []string) error { return a.down(c.Context(), o) },
	}
	a.clusterFlags(c)
	a.outputFlag(c, "text", "json")
	f := c.Flags()
	f.BoolVar(&o.dryRun, "dry-run", false, "print what would be done and change nothing")
	f.BoolVar(&o.immediately, "immediately", false, "do not wait for pods' tokens to be renewed, nor for API servers that cannot be changed from here")
	f.DurationVar(&o.wait, "wait", controlplane.DefaultWait, "how long an API server may take to come up, and tokens to be renewed")
	return c
}

func (a *app) down(ctx context.Context, o downOptions) error {
	ch, err := a.connect(ctx)
	if err != nil {
		return err
	}
	if err := ch.Cluster.Check(ctx, cluster.InstallRights()...); err != nil {
		return err
	}
	if err := ch.NoChange(); err != nil {
		return err
	}
	r := a.newReport(cmp.Or(ch.Record.Cluster, ch.Cluster.Name), o.dryRun)
	defer r.clear()
	d := &downRun{downOptions: o, chain: ch, run: r.run}
	links := []func(context.Context) error{d.rest} // what a run that was stopped may have left
	if d.mark, err = ch.Tags(ctx); err != nil {
		return err
	}
	if ch.Installed {
		r.Issuer = ch.Issuer.String()
		d.run.Say("cluster %s, issuer %s", ch.Record.Cluster, ch.Issuer)
		if err := d.connectAWS(ctx); err != nil {
			return err
		}
		links = []func(context.Context) error{d.webhook, d.serviceAccounts, d.apiServer, d.roles, d.documents, d.provider, d.rest}
	}
	for _, link := range links {
		if err := link(ctx); err != nil {
			return err
		}
	}
	if err := r.finish(); err != nil {
		return err
	}
	if o.dryRun {
		r.say("\nNothing was changed: this was a dry run.")
		return nil
	}
	if !r.run.Changed() {
		r.say("cluster %s has no chain; nothing was removed", ch.Cluster.Name)
		return nil
	}
	if d.stays {
		return &lib.BucketStaysError{Bucket: d.Record.Bucket}
	}
	r.say("\nNothing is left (%.1fs).", r.Seconds)
	return nil
}

// downRun is one run of `down`.
type downRun struct {
	downOptions
	*chain
	run   *plan.Runner
	mark  map[string]string            // whose is what may go
	stays bool                         // the bucket, which others use
	gone  []*unstructured.Unstructured // removed by an earlier link
}

// connectAWS finds the account, unless that was an emulator which is gone.
func (d *downRun) connectAWS(ctx context.Context) error {
	if d.Record.Emulator {
		_, err := d.Cluster.Client().AppsV1().Deployments(deploy.Namespace).Get(ctx, deploy.EmulatorName, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
	}
	if err := d.chain.Connect(ctx); err != nil {
		return err
	}
	d.run.Calls = d.Account.Calls
	return nil
}

// webhook is removed first, so that no pod is made with a role that is about to
// go.
func (d *downRun) webhook(ctx context.Context) error {
	objects, err := d.WebhookObjects(ctx)
	if err != nil {
		return err
	}
	return d.run.Link(ctx, plan.Webhook, deploy.Namespace+"/"+deploy.WebhookName, func(ctx context.Context) ([]plan.Step, error) {
		// The namespace, the first of them, holds the record: it goes last.
		d.gone = objects[1:]
		return d.Cluster.Delete(ctx, d.gone, plan.Webhook)
	})
}

func (d *downRun) serviceAccounts(ctx context.Context) error {
	accounts, err := d.Cluster.ServiceAccounts(ctx)
	if err != nil {
		return err
	}
	var items []plan.Item
	for _, sa := range accounts {
		items = append(items, plan.Item{Object: sa.Namespace + "/" + sa.Name, Decide: func(ctx context.Context) ([]plan.Step, error) {
			return d.Cluster.Unannotate(ctx, sa.Namespace, sa.Name)
		}})
	}
	return d.run.All(ctx, plan.ServiceAccount, items)
}

func (d *downRun) apiServer(ctx context.Context) error {
	if d.Keeps() {
		return nil // it was never changed
	}
	options := d.IssuerOptions()
	options.Wait, options.Immediately = d.wait, d.immediately
	object := "without --service-account-issuer=" + d.Issuer.String()
	decide := func(ctx context.Context) ([]plan.Step, error) {
		steps, err := controlplane.Of(d.Cluster).RemoveIssuer(ctx, options)
		if errors.Is(err, cluster.ErrNoNodeAccess) {
			return nil, d.issuerGone(ctx)
		}
		return steps, err
	}
	if d.immediately {
		return d.run.Link(ctx, plan.APIServer, object, decide)
	}
	return d.Restart(ctx, d.run, d.wait, object, decide)
}

// issuerGone refuses to go on while API servers that cannot be changed from
// here accept the issuer. Where somebody else serves its documents they stay,
// and it is enough to say so.
func (d *downRun) issuerGone(ctx context.Context) error {
	if d.immediately {
		return nil
	}
	nodes, err := controlplane.Of(d.Cluster).NodesAccepting(ctx, d.Issuer)
	if err != nil || len(nodes) == 0 {
		return err
	}
	accepted := &lib.AcceptedError{Issuer: d.Issuer, Nodes: nodes, Documents: d.Record.Bucket != ""}
	if accepted.Documents {
		return accepted
	}
	d.run.Note(accepted)
	return nil
}

func (d *downRun) roles(ctx context.Context) error {
	if d.Account == nil {
		return nil
	}
	return d.DeleteRoles(ctx, d.run, func(string) bool { return true })
}

// provider goes after the documents: it tells whose they are.
func (d *downRun) provider(ctx context.Context) error {
	if d.Account == nil {
		return nil
	}
	return d.run.Link(ctx, plan.Provider, d.Record.Provider, lib.Ours(lib.Leaves(d.run), func(ctx context.Context) ([]plan.Step, error) {
		return provider.Delete(ctx, d.Account.IAM, d.Record.Provider, d.mark)
	}))
}

func (d *downRun) documents(ctx context.Context) error {
	if d.Account == nil || d.Record.Bucket == "" {
		return nil
	}
	bucket := d.Bucket(d.mark)
	foreign := false
	named := func(e *owner.ForeignError) { foreign = true; lib.Leaves(d.run)(e) }
	err := d.run.Link(ctx, plan.Documents, "s3://"+d.Record.Bucket, lib.Ours(named, func(ctx context.Context) ([]plan.Step, error) {
		if err := d.DocumentsOwner(ctx, d.mark); err != nil {
			return nil, err
		}
		if bucket.Owned { // so the record says
			err := bucket.Whose(ctx)
			e, other := errors.AsType[*owner.ForeignError](err)
			if err != nil && !other {
				return nil, err
			}
			if bucket.Owned = !other; other {
				lib.Leaves(d.run)(e)
			}
		}
		return bucket.Delete(ctx, discovery.Paths)
	}))
	if err != nil || foreign || d.dryRun || !bucket.Owned || d.Record.Emulator {
		return err
	}
	d.stays, err = bucket.Stays(ctx, discovery.Paths)
	return err
}

// rest removes everything of ours that is still in the cluster, and then what
// nothing uses any more: the emulator's state and the images on the nodes. It
// needs no record, since a run that is stopped here has removed it.
func (d *downRun) rest(ctx context.Context) error {
	link := plan.Cluster
	if d.Record.Emulator {
		link = plan.Emulator
	}
	return d.run.Link(ctx, link, "namespace "+cluster.Namespace+", images and files on nodes", func(ctx context.Context) ([]plan.Step, error) {
		owned, err := d.Cluster.Owned(ctx)
		if err != nil {
			return nil, err
		}
		// In a dry run they are still there.
		owned = slices.DeleteFunc(owned, func(o *unstructured.Unstructured) bool {
			return slices.ContainsFunc(d.gone, func(g *unstructured.Unstructured) bool {
				return g.GetKind() == o.GetKind() && g.GetNamespace() == o.GetNamespace() && g.GetName() == o.GetName()
			})
		})
		steps, err := d.Cluster.Delete(ctx, owned, link)
		if err != nil {
			return nil, err
		}
		state, err := d.Cluster.RemoveNodeState(ctx)
		if err != nil {
			return nil, err
		}
		images, err := d.Cluster.RemoveImages(ctx, image.Repository)
		return slices.Concat(steps, state, images), err
	})
}
