package chain

import (
	"context"
	"maps"
	"slices"

	"github.com/openirsa/openirsa/pkg/cluster"
	"github.com/openirsa/openirsa/pkg/config"
	"github.com/openirsa/openirsa/pkg/owner"
	"github.com/openirsa/openirsa/pkg/plan"
	"github.com/openirsa/openirsa/pkg/role"
	"github.com/openirsa/openirsa/pkg/token"
	"github.com/openirsa/openirsa/pkg/trust"
)

// RevokeOptions say which service accounts lose their roles.
type RevokeOptions struct {
	// Accounts are the service accounts. Only their namespaces and names count.
	Accounts []config.ServiceAccount
	// DryRun decides about everything and changes nothing.
	DryRun bool
}

// Revoke removes the roles that were made for the service accounts, with their
// policies, and the service accounts themselves if they were made with them; one
// that was there before loses its annotation. A role that others use as well no longer
// lets them in. What is already gone is no error.
//
// The error is a [*MissingError] without a chain, and a [*ForeignError] if the record
// names what is another cluster's. The observer learns of each role and service
// account; nil is silence.
func (ch *Chain) Revoke(ctx context.Context, o RevokeOptions, observer plan.Observer) (Outcome, error) {
	if err := ch.ConnectInstalled(ctx); err != nil {
		return Outcome{}, err
	}
	for _, sa := range o.Accounts {
		if err := ch.Cluster.Check(ctx, cluster.ServiceAccountRights(sa.Metadata.Namespace)...); err != nil {
			return Outcome{}, err
		}
	}
	if err := ch.CheckRecord(ctx); err != nil {
		return Outcome{}, err
	}
	run := &plan.Runner{Observer: observer, DryRun: o.DryRun, Calls: ch.Account.Calls}
	for _, sa := range o.Accounts {
		if err := ch.revoke(ctx, run, sa.Metadata.Namespace, sa.Metadata.Name); err != nil {
			return Outcome{}, err
		}
	}
	return outcome(ch, run), nil
}

// revoke is [Chain.Revoke] of one service account.
func (ch *Chain) revoke(ctx context.Context, run *plan.Runner, namespace, name string) error {
	err := run.Link(ctx, plan.ServiceAccount, namespace+"/"+name, func(ctx context.Context) ([]plan.Step, error) {
		return ch.Cluster.Unannotate(ctx, namespace, name)
	})
	if err != nil {
		return err
	}
	return run.Many(ctx, plan.Role, func(ctx context.Context) ([]plan.Item, error) { return ch.rolesOf(ctx, namespace, name) })
}

// rolesOf decides what becomes of the roles that let in a service account, and of the
// one with its default name. They are found by their trust policies, so that a run
// which was stopped leaves none behind. A role that was made for the service account is
// deleted; one that others use too no longer lets it in.
func (ch *Chain) rolesOf(ctx context.Context, namespace, name string) ([]plan.Item, error) {
	mark, err := ch.Tags(ctx)
	if err != nil {
		return nil, err
	}
	all, err := role.List(ctx, ch.Account.IAM, "/")
	if err != nil {
		return nil, err
	}
	subject := token.Subject(namespace, name)
	var items []plan.Item
	for _, r := range all {
		subjects := trust.Subjects(r.Trust, ch.Record.Provider)
		broken := len(subjects) == 0 && r.Claims(ch.Record.Cluster)
		if slices.Contains(subjects, subject) || broken || r.Name == role.NameFor(ch.Record.Cluster, namespace, name) {
			items = append(items, plan.Item{Object: r.Name, Decide: func(ctx context.Context) ([]plan.Step, error) {
				return ch.shutOut(ctx, mark, r.Name, namespace, name)
			}})
		}
	}
	return items, nil
}

// shutOut decides what must be done so that a role no longer lets a service account in.
func (ch *Chain) shutOut(ctx context.Context, mark map[string]string, roleName, namespace, name string) ([]plan.Step, error) {
	there, ok, err := role.Get(ctx, ch.Account.IAM, roleName)
	if err != nil || !ok {
		return nil, err
	}
	if !owner.Owns(there.Tags, mark) && !owner.Shared(there.Tags) {
		return nil, nil
	}
	subject := token.Subject(namespace, name)
	subjects := trust.Subjects(there.Trust, ch.Record.Provider)
	others := slices.DeleteFunc(slices.Clone(subjects), func(s string) bool { return s == subject })
	switch {
	case len(subjects) == 0 && there.Tags[owner.ServiceAccountTag] != namespace+"/"+name:
		return nil, nil // one of a pattern, or of another service account
	case len(others) == len(subjects) && len(others) > 0:
		return nil, nil
	case len(others) == 0 && (len(trust.PodsOf(there.Trust)) == 0 || owner.Shared(there.Tags)):
		return there.Delete(ch.Account.IAM, mark, ch.providers()...)
	case len(subjects) == 0:
		return nil, nil // it is of an association alone
	}
	want := there
	want.KeepAttached, want.Shared = true, owner.Shared(there.Tags)
	want.Tags = maps.Clone(there.Tags)
	want.Tags[owner.ClusterTag] = ch.Record.Cluster
	if want.Trust, err = ch.trustWithout(there, others); err != nil {
		return nil, err
	}
	steps, err := role.PlanAll(ctx, ch.Account.IAM, map[string]role.Role{roleName: there}, []role.Role{want})
	return steps[roleName], err
}

// trustWithout is the trust policy of a role, or this cluster's part of one that is shared,
// which lets in tokens of the subjects that are left alone. Pods that it lets in by EKS Pod
// Identity keep that.
func (ch *Chain) trustWithout(there role.Role, left []string) (document []byte, err error) {
	if len(left) > 0 {
		document, err = ch.TrustPolicy(left, "")
		if err != nil || owner.Shared(there.Tags) {
			return document, err
		}
		return trust.WithPods(document, trust.PodsOf(there.Trust)...)
	}
	document = there.Trust
	for _, arn := range ch.providers() {
		if document, err = trust.Without(document, arn); err != nil {
			return nil, err
		}
	}
	return document, nil
}
