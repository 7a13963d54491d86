package chain

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openirsa/openirsa/deploy"
	"github.com/openirsa/openirsa/pkg/cluster"
	"github.com/openirsa/openirsa/pkg/config"
	"github.com/openirsa/openirsa/pkg/doctor"
	"github.com/openirsa/openirsa/pkg/irsa"
	"github.com/openirsa/openirsa/pkg/owner"
	"github.com/openirsa/openirsa/pkg/plan"
	"github.com/openirsa/openirsa/pkg/role"
	"github.com/openirsa/openirsa/pkg/trust"
)

// GrantOptions say which service accounts get roles.
type GrantOptions struct {
	// Accounts are the service accounts, each with what its role may do; see
	// [config.NewServiceAccount].
	Accounts []config.ServiceAccount
	// Override replaces the role of a service account that has another one, which
	// is a [*cluster.ConflictError] otherwise.
	Override bool
	// Prune says that these are all: roles that were made for other service
	// accounts of the cluster are removed.
	Prune bool
	// DryRun decides about everything and changes nothing.
	DryRun bool
}

// Grant makes a role for each of the service accounts, which only that one can assume,
// and annotates the service account with it; one that is not there is made. What is
// right stays as it is. New pods get the role. All is decided before the first write.
//
// The error is a [*MissingError] without a chain, a [*ForeignError] if the record
// names what is another cluster's, an [*OptionError] for accounts that do not go
// together, a [*role.ForeignError] for a role that is another's, and a
// [*PartitionError]. The observer learns of each role and service account, and
// with a [*NotAskedError] of those whose pods do not get it; nil is silence.
func (ch *Chain) Grant(ctx context.Context, o GrantOptions, observer plan.Observer) (Outcome, error) {
	if err := ch.ConnectInstalled(ctx); err != nil {
		return Outcome{}, err
	}
	if err := ch.CheckRecord(ctx); err != nil {
		return Outcome{}, err
	}
	run := &plan.Runner{Observer: observer, DryRun: o.DryRun, Calls: ch.Account.Calls}
	err := ch.grantAll(ctx, run, o.Accounts, o.Override, o.Prune)
	if err == nil && o.Prune {
		err = ch.prune(ctx, run, o.Accounts)
	}
	if err != nil {
		return Outcome{}, err
	}
	out := outcome(ch, run)
	if out.NotAsked, err = ch.noteNotAsked(ctx, run, o.Accounts); err != nil {
		return Outcome{}, err
	}
	return out, nil
}

// notAsked are those of the namespaces about whose pods the webhook is not asked,
// whatever roles their service accounts have. Without a configuration of ours there
// are none, since another webhook may do the same work; nor are there without the
// right to read it, which nobody needs to give service accounts roles.
func (ch *Chain) notAsked(ctx context.Context, namespaces ...string) (map[string]bool, error) {
	configurations := ch.Cluster.Client().MutatingWebhookConfigurations()
	c, err := configurations.Get(ctx, deploy.WebhookConfiguration, metav1.GetOptions{})
	if apierrors.IsNotFound(err) || apierrors.IsForbidden(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", plan.Webhook, err)
	}
	unasked := map[string]bool{}
	for _, name := range slices.Compact(slices.Sorted(slices.Values(namespaces))) {
		labels := map[string]string{corev1.LabelMetadataName: name}
		ns, err := ch.Cluster.Client().Namespaces().Get(ctx, name, metav1.GetOptions{})
		switch {
		case err == nil:
			labels = ns.Labels
		case !apierrors.IsNotFound(err) && !apierrors.IsForbidden(err):
			return nil, fmt.Errorf("%s: reading namespace %s: %w", plan.Webhook, name, err)
		}
		if !doctor.AsksForNamespace(c, labels) {
			unasked[name] = true
		}
	}
	return unasked, nil
}

// noteNotAsked has the observer told, with a [*NotAskedError] each, which service
// accounts were just given a role that their pods do not get. It reports whether there
// are any.
func (ch *Chain) noteNotAsked(ctx context.Context, run *plan.Runner, accounts []config.ServiceAccount) (any bool, err error) {
	var namespaces []string
	for _, sa := range accounts {
		if !sa.RoleOnly {
			namespaces = append(namespaces, sa.Metadata.Namespace)
		}
	}
	unasked, err := ch.notAsked(ctx, namespaces...)
	if err != nil {
		return false, err
	}
	for _, sa := range accounts {
		if !sa.RoleOnly && unasked[sa.Metadata.Namespace] {
			any = true
			run.Note(&NotAskedError{Namespace: sa.Metadata.Namespace, Account: sa.String()})
		}
	}
	return any, nil
}

// grantAll makes links 5 and 6 of all the accounts. Unless they are the only ones,
// other service accounts of the cluster keep the roles that they share with them.
func (ch *Chain) grantAll(ctx context.Context, run *plan.Runner, accounts []config.ServiceAccount, override, only bool) error {
	roles, err := ch.wantGrants(ctx, accounts)
	if err != nil {
		return err
	}
	run.Start(plan.Role, "looking")
	p, err := ch.planGrants(ctx, accounts, roles, override, only)
	if err != nil {
		return err
	}
	return p.run(ctx, run)
}

// wantGrants are the roles of the accounts as they are to be, by name. It is
// [cluster.ErrForbidden] if the user of the kubeconfig may not change the service
// accounts.
func (ch *Chain) wantGrants(ctx context.Context, accounts []config.ServiceAccount) (map[string]role.Role, error) {
	namespaces := map[string]bool{}
	for _, sa := range accounts {
		namespaces[sa.Metadata.Namespace] = true
	}
	for _, ns := range slices.Sorted(maps.Keys(namespaces)) {
		if err := ch.Cluster.Check(ctx, cluster.ServiceAccountRights(ns)...); err != nil {
			return nil, err
		}
	}
	return ch.WantRoles(ctx, accounts)
}

// grants are what must be done for links 5 and 6 of some service accounts.
type grants struct{ roles, accounts []plan.Item }

// changes reports whether anything must be done.
func (p grants) changes(ctx context.Context) (bool, error) {
	for _, i := range slices.Concat(p.roles, p.accounts) {
		if steps, err := i.Decide(ctx); err != nil || len(steps) > 0 {
			return true, err
		}
	}
	return false, nil
}

// run makes every role first and then every service account, so that no pod finds an
// annotation without a role.
func (p grants) run(ctx context.Context, run *plan.Runner) error {
	if err := run.All(ctx, plan.Role, p.roles); err != nil {
		return err
	}
	return run.All(ctx, plan.ServiceAccount, p.accounts)
}

// planGrants reads all that links 5 and 6 of the accounts depend on, and
// decides about them.
func (ch *Chain) planGrants(ctx context.Context, accounts []config.ServiceAccount,
	roles map[string]role.Role, override, only bool) (p grants, err error) {
	if p.roles, err = ch.planRoles(ctx, roles, accounts, only); err != nil {
		return grants{}, fmt.Errorf("%s: %w", plan.Role, err)
	}
	if p.accounts, err = ch.planAnnotations(ctx, accounts, roles, override); err != nil {
		return grants{}, err
	}
	return p, nil
}

// planAnnotations decides about the service accounts themselves. Those of which only
// the role is wanted (RoleOnly) are left out.
func (ch *Chain) planAnnotations(ctx context.Context, accounts []config.ServiceAccount,
	roles map[string]role.Role, override bool) ([]plan.Item, error) {
	var wants []cluster.ServiceAccount
	for _, sa := range accounts {
		if sa.RoleOnly {
			continue
		}
		wants = append(wants, cluster.ServiceAccount{
			Namespace: sa.Metadata.Namespace, Name: sa.Metadata.Name, Labels: sa.Metadata.Labels,
			Annotations: ch.Annotations(&sa, roles), Override: override,
		})
	}
	steps, err := ch.Cluster.AnnotateAll(ctx, wants)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", plan.ServiceAccount, err)
	}
	var items []plan.Item
	for i, want := range wants {
		items = append(items, plan.Ready(want.Namespace+"/"+want.Name, steps[i]))
	}
	return items, nil
}

// Annotations are those that a service account is to have: its own, and that with the
// ARN of its role. This is one of roles, as of [Chain.WantRoles], unless AttachRoleARN
// names one that exists already.
func (ch *Chain) Annotations(sa *config.ServiceAccount, roles map[string]role.Role) map[string]string {
	annotations := map[string]string{}
	maps.Copy(annotations, sa.Metadata.Annotations)
	annotations[irsa.DefaultPrefix.RoleARN()] = cmp.Or(sa.AttachRoleARN, roles[ch.roleName(sa)].ARN)
	return annotations
}

// prune removes the roles and the annotations that were made for service
// accounts which are no longer listed.
func (ch *Chain) prune(ctx context.Context, run *plan.Runner, accounts []config.ServiceAccount) error {
	keepRoles, keep := map[string]bool{}, map[string]bool{}
	for _, sa := range accounts {
		keepRoles[strings.ToLower(ch.roleName(&sa))] = true // to IAM, names that differ in case only are the same
		keep[sa.String()] = !sa.RoleOnly
	}
	annotated, err := ch.Cluster.ServiceAccounts(ctx)
	if err != nil {
		return err
	}
	var items []plan.Item
	for _, sa := range annotated {
		if name := sa.Namespace + "/" + sa.Name; !keep[name] {
			items = append(items, plan.Item{Object: name, Decide: func(ctx context.Context) ([]plan.Step, error) {
				return ch.Cluster.Unannotate(ctx, sa.Namespace, sa.Name)
			}})
		}
	}
	if err := run.All(ctx, plan.ServiceAccount, items); err != nil {
		return err
	}
	return ch.deleteRoles(ctx, run, func(r role.Role) bool {
		return !keepRoles[strings.ToLower(r.Name)] && r.Tags[owner.PodIdentityTag] == "" && len(trust.PodsOf(r.Trust)) == 0
	})
}
