package chain

import (
	"cmp"
	"context"
	"errors"

	"github.com/openirsa/openirsa/pkg/cluster"
	"github.com/openirsa/openirsa/pkg/controlplane"
	"github.com/openirsa/openirsa/pkg/plan"
	"github.com/openirsa/openirsa/pkg/provider"
	"github.com/openirsa/openirsa/pkg/role"
)

// Up makes the whole chain, link by link. What is right stays as it is, so that it can
// be run again at any time. All that can make it refuse is read before the first
// write. When ctx ends, the next run continues.
//
// The errors are those of this package, with an [*OptionError] or a
// [*config.FieldError] for options that make no sense, and those of AWS and
// Kubernetes. API servers that somebody else has to change are no error, but Pending
// in the Outcome. The observer learns of each link; nil is silence.
func (ch *Chain) Up(ctx context.Context, o UpOptions, observer plan.Observer) (Outcome, error) {
	o.Wait = cmp.Or(o.Wait, controlplane.DefaultWait)
	work := *ch
	work.Account = nil // of a run whose context has ended
	u := &upRun{Chain: &work, o: o, emulator: ch.options.Emulator, run: &plan.Runner{Observer: observer, DryRun: o.DryRun}}
	if err := u.prepare(ctx); err != nil {
		return Outcome{}, err
	}
	u.run.Say("cluster %s, issuer %s", u.Record.Cluster, u.Issuer)
	for _, link := range u.links() {
		if err := link(ctx); err != nil {
			return Outcome{}, err
		}
	}
	notAsked := false
	if !o.DryRun {
		var err error
		if notAsked, err = u.noteNotAsked(ctx, u.run, u.withRoles()); err != nil {
			return Outcome{}, err
		}
		work.Installed = true
		*ch = work
		ch.adoptedUID = ""
	}
	out := outcome(&work, u.run)
	out.Pending, out.NotAsked = u.pending, notAsked
	return out, nil
}

// links make the chain, one after the other.
//
// The API server restarts after everything that is rolled out: until
// kube-controller-manager has its lease again, nothing is. With EKS Pod Identity it has to
// be before: the webhook and the agent have tokens of their own, for their roles, and those
// of another issuer would stay with them until kubelet asks for new ones, 48 minutes later.
func (u *upRun) links() []func(context.Context) error {
	links := []func(context.Context) error{
		u.signingKey, u.record, u.loadImage, u.installEmulator, u.documents, u.formerRoles, u.provider,
	}
	if u.Record.PodIdentity {
		links = append(links, u.apiServer, u.podIdentity, u.webhook)
	} else {
		links = append(links, u.webhook, u.leavePodIdentity, u.apiServer)
	}
	return append(links, u.serviceAccounts, u.associations)
}

// Plan is what [Chain.Up] would do: its dry run, as the steps that have something to
// change. Nothing is changed. The errors are those of Up.
func (ch *Chain) Plan(ctx context.Context, o UpOptions) ([]plan.Step, error) {
	var steps collected
	o.DryRun = true
	_, err := ch.Up(ctx, o, &steps)
	if err != nil {
		return nil, err
	}
	return steps.all, nil
}

// collected is an observer that collects the steps of a dry run.
type collected struct{ all []plan.Step }

func (c *collected) Done(r plan.Result) { c.all = append(c.all, r.Steps...) }
func (*collected) Start(_, _ string)    {}
func (*collected) Say(string)           {}
func (*collected) Note(error)           {}

// signingKey is link 1. No key is ever made here.
func (u *upRun) signingKey(context.Context) error {
	u.run.Done(plan.Result{Link: plan.SigningKey, Outcome: plan.Unchanged, Object: u.describeKeys()})
	return nil
}

// record records what is about to be made, before it is made, so that [Chain.Down]
// finds it whatever happens.
func (u *upRun) record(ctx context.Context) error {
	objects, err := u.WebhookObjects(ctx)
	if err != nil {
		return err
	}
	return u.run.Link(ctx, plan.Record, "ConfigMap "+cluster.Namespace+"/openirsa", func(ctx context.Context) ([]plan.Step, error) {
		steps, err := u.Cluster.Apply(ctx, objects[:1], plan.Issuer) // the namespace, for all that follows
		if err != nil {
			return nil, err
		}
		record, err := u.Cluster.SetState(ctx, u.toRecord())
		return append(steps, record...), err
	})
}

// documents are links 2 and 3.
func (u *upRun) documents(ctx context.Context) error {
	u.run.Calls = u.Account.Calls
	return u.Publish(ctx, u.run, u.mark, u.docs, 0)
}

// formerRoles are those of an earlier cluster of the same name. They come before the
// provider: until that bears this cluster's uid, every run without TakeOver is
// refused.
func (u *upRun) formerRoles(ctx context.Context) error {
	if !u.o.TakeOver {
		return nil
	}
	return u.run.Link(ctx, plan.Role, "those of an earlier cluster "+u.o.Name, func(ctx context.Context) ([]plan.Step, error) {
		return role.TakeOver(ctx, u.Account.IAM, u.mark, u.providers()...)
	})
}

// provider is link 4.
func (u *upRun) provider(ctx context.Context) error {
	want := u.Provider(u.mark)
	return u.run.Link(ctx, plan.Provider, want.ARN, func(ctx context.Context) ([]plan.Step, error) {
		return provider.Plan(ctx, u.Account.IAM, want)
	})
}

// apiServer makes the API servers issue tokens with the issuer.
func (u *upRun) apiServer(ctx context.Context) error {
	if u.Keeps() {
		u.run.Done(plan.Result{Link: plan.APIServer, Outcome: plan.Unchanged, Object: "keeps --service-account-issuer=" + u.Issuer.String()})
		return nil
	}
	options := u.issuerOptions()
	options.Wait = u.o.Wait
	object := "--service-account-issuer=" + u.Issuer.String()
	err := u.Restart(ctx, u.run, u.o.Wait, object, func(ctx context.Context) ([]plan.Step, error) {
		return controlplane.Of(u.Cluster).SetIssuer(ctx, options)
	})
	if e, ok := errors.AsType[*controlplane.PendingError](err); ok {
		u.pending = e
		u.run.Done(plan.Result{Link: plan.APIServer, Outcome: plan.Pending, Object: object})
		return nil
	}
	return err
}

// serviceAccounts are links 5 and 6, of the service accounts in Accounts.
func (u *upRun) serviceAccounts(ctx context.Context) error {
	changes, err := u.planned.changes(ctx)
	switch {
	case err != nil:
	case changes && !u.o.DryRun: // decided once more: since then API servers have restarted, and others may have changed the roles
		err = u.grantAll(ctx, u.run, u.o.Accounts, u.o.Override, u.o.Prune)
	default:
		err = u.planned.run(ctx, u.run)
	}
	if err != nil || !u.o.Prune {
		return err
	}
	return u.prune(ctx, u.run, u.o.Accounts)
}
