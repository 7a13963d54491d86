package chain

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/openirsa/openirsa/deploy"
	"github.com/openirsa/openirsa/internal/image"
	"github.com/openirsa/openirsa/pkg/cluster"
	"github.com/openirsa/openirsa/pkg/controlplane"
	"github.com/openirsa/openirsa/pkg/discovery"
	"github.com/openirsa/openirsa/pkg/owner"
	"github.com/openirsa/openirsa/pkg/plan"
	"github.com/openirsa/openirsa/pkg/provider"
	"github.com/openirsa/openirsa/pkg/role"
)

// DownOptions say how a chain is to be removed.
type DownOptions struct {
	// DryRun decides about everything and changes nothing.
	DryRun bool
	// Immediately does not wait until kubelet has renewed the tokens of pods, whose
	// calls to the API server then fail for a minute or two, nor until API servers
	// that cannot be changed from here no longer accept the issuer.
	Immediately bool
	// Wait is how long each API server may take to come up, and tokens to be
	// renewed. Zero is [controlplane.DefaultWait].
	Wait time.Duration
}

// Down removes the chain in the reverse order of [Chain.Up]: the webhook, the
// annotations of service accounts; then the API servers issue tokens as before; then
// the roles, the documents and their bucket, the provider, the emulator; last, the API
// servers refuse the issuer, since after that restart it takes what runs in the
// cluster half a minute to find them again. Where no pod but the chain's own has a
// token of the issuer for the API server, or with Immediately, both are done last, in
// one restart. What was made for another cluster, as its tags say, stays. Where there is
// no chain, what a run that was stopped may have left is removed.
//
// The error is an [*UnderWayError] while a change is under way, and an
// [*AcceptedError] where API servers that cannot be changed from here still accept
// the issuer, unless Immediately is set. When ctx ends, the next run continues. The
// observer learns of each link; nil is silence.
func (ch *Chain) Down(ctx context.Context, o DownOptions, observer plan.Observer) (Outcome, error) {
	o.Wait = cmp.Or(o.Wait, controlplane.DefaultWait)
	if err := ch.Cluster.Check(ctx, cluster.InstallRights()...); err != nil {
		return Outcome{}, err
	}
	if err := ch.NoChange(); err != nil {
		return Outcome{}, err
	}
	work := *ch
	work.Account = nil // of a run whose context has ended
	d := &downRun{Chain: &work, o: o, run: &plan.Runner{Observer: observer, DryRun: o.DryRun}}
	// What a run that was stopped may have left.
	links := []link{d.rest, d.refuse(controlplane.WholeRemoval)}
	var err error
	if d.mark, err = d.Tags(ctx); err != nil {
		return Outcome{}, err
	}
	if d.Installed {
		d.run.Say("cluster %s, issuer %s", d.Record.Cluster, d.Issuer)
		if err := d.connect(ctx); err != nil {
			return Outcome{}, err
		}
		if links, err = d.links(ctx); err != nil {
			return Outcome{}, err
		}
	}
	for _, link := range links {
		if err := link(ctx); err != nil {
			return Outcome{}, err
		}
	}
	if !o.DryRun {
		*ch = Chain{Cluster: ch.Cluster, options: ch.options}
	}
	out := outcome(&work, d.run)
	if d.stays && !o.DryRun {
		out.BucketStays = d.Record.Bucket
	}
	return out, nil
}

// downRun is one run of [Chain.Down].
type downRun struct {
	*Chain
	o     DownOptions
	run   *plan.Runner
	mark  map[string]string            // the tags of what may be removed
	stays bool                         // the bucket, which others use
	gone  []*unstructured.Unstructured // removed by an earlier link
}

// link is one thing that a run does.
type link = func(context.Context) error

// links are what is done to a chain, in order.
func (d *downRun) links(ctx context.Context) ([]link, error) {
	first := []link{d.webhook, d.serviceAccounts, d.podIdentity}
	then := []link{d.roles, d.documents, d.provider, d.rest}
	if d.Keeps() { // the API servers were never changed
		return slices.Concat(first, then), nil
	}
	atOnce := d.o.Immediately
	if !atOnce {
		var err error
		if atOnce, err = controlplane.Of(d.Cluster).Unused(ctx, d.removal(controlplane.WholeRemoval)); err != nil {
			return nil, err
		}
	}
	if atOnce {
		return slices.Concat(first, then, []link{d.refuse(controlplane.WholeRemoval)}), nil
	}
	return slices.Concat(first, []link{d.demote}, then, []link{d.refuse(controlplane.Refusal)}), nil
}

// connect connects to the account, unless that was an emulator which is gone.
func (d *downRun) connect(ctx context.Context) error {
	if d.Record.Emulator {
		_, err := d.Cluster.Client().Deployments(deploy.Namespace).Get(ctx, deploy.EmulatorName, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
	}
	if err := d.Chain.Connect(ctx); err != nil {
		return err
	}
	d.run.Calls = d.Account.Calls
	return nil
}

// webhook is removed first, so that no pod is made with a role that is about to be
// removed.
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
	made, err := d.Cluster.Made(ctx)
	if err != nil {
		return err
	}
	for _, sa := range made {
		items = append(items, plan.Item{Object: sa.Namespace + "/" + sa.Name, Decide: func(ctx context.Context) ([]plan.Step, error) {
			return d.Cluster.Unmake(ctx, sa.Namespace, sa.Name)
		}})
	}
	return d.run.All(ctx, plan.ServiceAccount, items)
}

// podIdentity has EKS forget the cluster, and with it the associations.
func (d *downRun) podIdentity(ctx context.Context) error {
	if d.Account == nil || !d.Record.PodIdentity {
		return nil
	}
	return d.run.Link(ctx, plan.PodIdentity, "cluster "+d.Record.Cluster+" in EKS", d.planUnregistration)
}

// demote has the API servers issue tokens as before, and no pod use one of the issuer
// any more, before its documents go.
func (d *downRun) demote(ctx context.Context) error {
	return d.run.Link(ctx, plan.APIServer, "issues tokens as before", func(ctx context.Context) ([]plan.Step, error) {
		steps, err := controlplane.Of(d.Cluster).RemoveIssuer(ctx, d.removal(controlplane.Demotion))
		if errors.Is(err, cluster.ErrNoNodeAccess) {
			return nil, d.issuerGone(ctx)
		}
		return steps, err
	})
}

// refuse has the API servers refuse the issuer: that of the record, or whatever they
// have more than before where a run that was stopped here has removed the record.
func (d *downRun) refuse(part controlplane.RemovalPart) link {
	return func(ctx context.Context) error {
		object := "as before"
		if d.Installed {
			object = "without --service-account-issuer=" + d.Issuer.String()
		}
		decide := func(ctx context.Context) ([]plan.Step, error) {
			steps, err := controlplane.Of(d.Cluster).RemoveIssuer(ctx, d.removal(part))
			if errors.Is(err, cluster.ErrNoNodeAccess) {
				return nil, nil // issuerGone has looked, or was not to
			}
			return steps, err
		}
		if d.o.Immediately { // kube-proxy may have a token that is refused now
			return d.run.Link(ctx, plan.APIServer, object, decide)
		}
		return d.Restart(ctx, d.run, d.o.Wait, object, decide)
	}
}

// removal says that the API servers are to lose the chain's issuer, or whatever they
// have more than before where there is no record. The chain's own pods go before.
func (d *downRun) removal(part controlplane.RemovalPart) controlplane.IssuerOptions {
	options := controlplane.IssuerOptions{}
	if d.Installed {
		options = d.issuerOptions()
	}
	options.Wait, options.Immediately, options.Removal, options.Leaving = d.o.Wait, d.o.Immediately, part, cluster.Namespace
	return options
}

// issuerGone refuses to continue while API servers that cannot be changed from here
// accept the issuer. Where somebody else serves its documents these stay, and it is
// only noted.
func (d *downRun) issuerGone(ctx context.Context) error {
	nodes, err := controlplane.Of(d.Cluster).NodesAccepting(ctx, d.Issuer)
	if err != nil || len(nodes) == 0 {
		return err
	}
	accepted := &AcceptedError{Issuer: d.Issuer, Nodes: nodes, Documents: d.Record.Bucket != ""}
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
	return d.deleteRoles(ctx, d.run, func(role.Role) bool { return true })
}

// provider is removed after the documents, since it says whose these are.
func (d *downRun) provider(ctx context.Context) error {
	if d.Account == nil {
		return nil
	}
	return d.run.Link(ctx, plan.Provider, d.Record.Provider, Ours(Leaves(d.run), func(ctx context.Context) ([]plan.Step, error) {
		return provider.Delete(ctx, d.Account.IAM, d.Record.Provider, d.mark)
	}))
}

func (d *downRun) documents(ctx context.Context) error {
	if d.Account == nil || d.Record.Bucket == "" {
		return nil
	}
	bucket := d.Bucket(d.mark)
	foreign := false
	named := func(e *owner.ForeignError) { foreign = true; Leaves(d.run)(e) }
	err := d.run.Link(ctx, plan.Documents, "s3://"+d.Record.Bucket, Ours(named, func(ctx context.Context) ([]plan.Step, error) {
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
				Leaves(d.run)(e)
			}
		}
		return bucket.Delete(ctx, discovery.Paths)
	}))
	if err != nil || foreign || d.o.DryRun || !bucket.Owned || d.Record.Emulator {
		return err
	}
	d.stays, err = bucket.Stays(ctx, discovery.Paths)
	return err
}

// rest removes everything of ours that is still in the cluster, and then what nothing
// uses any more: the emulator's state and the images on the nodes. It needs no record,
// since a run that was stopped here has removed that.
func (d *downRun) rest(ctx context.Context) error {
	link := plan.Cluster
	if d.Record.Emulator {
		link = plan.Emulator
	}
	object := "namespace " + cluster.Namespace + ", images and files on nodes"
	return d.run.Link(ctx, link, object, func(ctx context.Context) ([]plan.Step, error) {
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
		images, err := d.Cluster.RemoveImages(ctx, image.Loaded)
		return slices.Concat(steps, state, images), err
	})
}
