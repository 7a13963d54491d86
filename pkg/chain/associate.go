package chain

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/eks/types"

	"github.com/openirsa/openirsa/internal/order"
	"github.com/openirsa/openirsa/pkg/config"
	"github.com/openirsa/openirsa/pkg/owner"
	"github.com/openirsa/openirsa/pkg/plan"
	"github.com/openirsa/openirsa/pkg/podidentity"
	"github.com/openirsa/openirsa/pkg/role"
	"github.com/openirsa/openirsa/pkg/trust"
)

// NoEKSError is an account in which EKS knows no cluster of the chain's name. There are
// associations only where it does: in an emulator in which the cluster is registered.
type NoEKSError struct {
	// Cluster is the name.
	Cluster string
	Err     error
}

func (e *NoEKSError) Error() string {
	return fmt.Sprintf("%s: EKS has no cluster %s, and only its clusters have associations: %v", plan.Association, e.Cluster, e.Err)
}
func (e *NoEKSError) Unwrap() error { return e.Err }

// NoPodsError is a role that was named for an association and whose trust policy does not
// let in pods.eks.amazonaws.com. EKS takes no such role.
type NoPodsError struct {
	// Role is its name, Account NAMESPACE/NAME of the service account.
	Role, Account string
}

func (e *NoPodsError) Error() string {
	return fmt.Sprintf("%s: the trust policy of role %s, for %s, does not let in %s",
		plan.Association, e.Role, e.Account, trust.PodIdentityPrincipal)
}

// AssociateOptions say which service accounts get roles by EKS Pod Identity.
type AssociateOptions struct {
	// Associations are the service accounts, each with its role, or with what its
	// role may do.
	Associations []config.PodIdentityAssociation
	// Unpinned has the roles that are made let in all pods of all clusters, as eksctl
	// makes them, instead of those of the one service account.
	Unpinned bool
	// DryRun decides about everything and changes nothing.
	DryRun bool
}

// Associate makes an association for each of the service accounts, and the roles of
// those that name none. What is right stays as it is. New pods get the role from the
// agent on their node. All is decided before the first write.
//
// The errors are those of [Chain.Grant], a [*NoEKSError], a [*NoPodsError] and a
// [*podidentity.OwnedError]. The observer learns of each role and association; nil is
// silence.
func (ch *Chain) Associate(ctx context.Context, o AssociateOptions, observer plan.Observer) (Outcome, error) {
	if err := ch.ConnectInstalled(ctx); err != nil {
		return Outcome{}, err
	}
	if err := ch.CheckRecord(ctx); err != nil {
		return Outcome{}, err
	}
	run := &plan.Runner{Observer: observer, DryRun: o.DryRun, Calls: ch.Account.Calls}
	p, err := ch.planAssociations(ctx, ch.eks(), o)
	if err == nil {
		err = p.run(ctx, run)
	}
	if err != nil {
		return Outcome{}, err
	}
	return outcome(ch, run), nil
}

// associations are what must be done for some associations.
type associations struct{ roles, accounts, associations []plan.Item }

// run makes the roles first, so that no association names one that is not there.
func (p associations) run(ctx context.Context, run *plan.Runner) error {
	if err := run.All(ctx, plan.Role, p.roles); err != nil {
		return err
	}
	if err := run.All(ctx, plan.ServiceAccount, p.accounts); err != nil {
		return err
	}
	return run.All(ctx, plan.Association, p.associations)
}

// planAssociations reads all that the associations depend on, and decides about them, in
// an EKS that knows the cluster.
func (ch *Chain) planAssociations(ctx context.Context, client podidentity.EKS, o AssociateOptions) (p associations, err error) {
	mark, err := ch.Tags(ctx)
	if err != nil {
		return associations{}, err
	}
	for i := range o.Associations {
		if err := o.Associations[i].Check(); err != nil {
			return associations{}, &OptionError{Option: "Associations", Err: err}
		}
	}
	roles, err := ch.podsRoles(ctx, o, mark)
	if err != nil {
		return associations{}, err
	}
	var accounts []config.ServiceAccount // to be made
	wants := make([]podidentity.Association, len(o.Associations))
	for i := range o.Associations {
		a := &o.Associations[i]
		if a.CreateServiceAccount {
			accounts = append(accounts, a.Account())
		}
		wants[i] = ch.association(a, roles, mark)
	}
	steps, err := podidentity.PlanAll(ctx, client, ch.Record.Cluster, wants)
	if err != nil {
		return associations{}, ch.withoutEKS(err)
	}
	given, err := ch.planGiven(ctx, o.Associations, mark)
	if err != nil {
		return associations{}, err
	}
	made, err := ch.planPodsRoles(ctx, roles)
	if err != nil {
		return associations{}, err
	}
	if p.accounts, err = ch.planMade(ctx, accounts); err != nil {
		return associations{}, err
	}
	p.roles = slices.Concat(given, made)
	for i, want := range wants {
		p.associations = append(p.associations, plan.Ready(want.String(), steps[i]))
	}
	return p, nil
}

// WantAssociations are the associations as [Chain.Associate] makes them, and the roles that
// it makes for those that name none, by name. Neither AWS nor the cluster is called, but
// for the cluster's uid.
func (ch *Chain) WantAssociations(ctx context.Context, all []config.PodIdentityAssociation) (
	[]podidentity.Association, map[string]role.Role, error) {
	mark, err := ch.Tags(ctx)
	if err != nil {
		return nil, nil, err
	}
	roles, err := ch.podsRoles(ctx, AssociateOptions{Associations: all}, mark)
	if err != nil {
		return nil, nil, err
	}
	wants := make([]podidentity.Association, len(all))
	for i := range all {
		a := ch.association(&all[i], roles, mark)
		if all[i].RoleARN == "" {
			a.RoleARN = roles[ch.podsRoleName(&all[i])].ARNIn(ch.Record.Partition, ch.Record.Account)
		}
		wants[i] = a
	}
	order.By(wants, func(a, b podidentity.Association) int { return strings.Compare(a.String(), b.String()) })
	return wants, roles, nil
}

// planGiven decides about the roles that associations name. One that was made for the
// association lets in its pods, whether their sessions have tags or not; others are used
// as they are, and refused if EKS would refuse them: that says so only after a while,
// since it might not have heard yet of what a trust policy says.
func (ch *Chain) planGiven(ctx context.Context, all []config.PodIdentityAssociation, mark map[string]string) ([]plan.Item, error) {
	given := map[string]*config.PodIdentityAssociation{} // by the name of the role
	for i := range all {
		if all[i].RoleARN != "" {
			given[path.Base(all[i].RoleARN)] = &all[i]
		}
	}
	there, err := role.Read(ctx, ch.Account.IAM, slices.Sorted(maps.Keys(given)))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", plan.Role, err)
	}
	var items []plan.Item
	for _, name := range slices.Sorted(maps.Keys(there)) {
		r, a := there[name], given[name]
		if !owner.Owns(r.Tags, mark) || r.Tags[owner.PodIdentityTag] != a.String() {
			if !trust.NamesPodIdentity(r.Trust) {
				return nil, &NoPodsError{Role: name, Account: a.String()}
			}
			continue
		}
		if slices.Contains(trust.PodsOf(r.Trust), trust.Pods{}) {
			continue // it lets in all
		}
		want := r
		if want.Trust, err = trust.WithoutPods(r.Trust, ch.pods(a, true), ch.pods(a, false)); err == nil {
			want.Trust, err = trust.WithPods(want.Trust, ch.podsOf(a))
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", plan.Role, err)
		}
		steps, err := role.PlanAll(ctx, ch.Account.IAM, map[string]role.Role{name: r}, []role.Role{want})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", plan.Role, err)
		}
		items = append(items, plan.Ready(r.ARN, steps[name]))
	}
	return items, nil
}

// eks is the client of the account.
func (ch *Chain) eks() *eks.Client { return eks.NewFromConfig(ch.Account.Config) }

// withoutEKS is a failure of EKS, as a [*NoEKSError] if it does not have the cluster.
func (ch *Chain) withoutEKS(err error) error {
	if _, missing := errors.AsType[*types.ResourceNotFoundException](err); missing {
		return &NoEKSError{Cluster: ch.Record.Cluster, Err: err}
	}
	return fmt.Errorf("%s: %w", plan.Association, err)
}

// ClusterARN is the ARN of the cluster in EKS, which the tags of a pod's session name.
func (ch *Chain) ClusterARN() string {
	return fmt.Sprintf("arn:%s:eks:%s:%s:cluster/%s", ch.Record.Partition, ch.Record.Region, ch.Record.Account, ch.Record.Cluster)
}

// association is one as it is to be.
func (ch *Chain) association(a *config.PodIdentityAssociation, roles map[string]role.Role, mark map[string]string) podidentity.Association {
	want := podidentity.Association{
		Cluster: ch.Record.Cluster, Namespace: a.Namespace, ServiceAccount: a.ServiceAccountName, RoleARN: a.RoleARN,
		TargetRoleARN: a.TargetRoleARN, Policy: string(a.Policy), DisableSessionTags: a.DisableSessionTags, Tags: maps.Clone(mark),
	}
	if want.RoleARN == "" {
		want.RoleARN = roles[ch.podsRoleName(a)].ARN
	}
	maps.Copy(want.Tags, a.Tags)
	return want
}

func (ch *Chain) podsRoleName(a *config.PodIdentityAssociation) string {
	if a.RoleName != "" {
		return a.RoleName
	}
	return role.NameForPods(ch.Record.Cluster, a.Namespace, a.ServiceAccountName)
}

// podsRoles are the roles to be made, by name. Associations that name the same one share
// it.
func (ch *Chain) podsRoles(ctx context.Context, o AssociateOptions, mark map[string]string) (map[string]role.Role, error) {
	sharers := map[string][]*config.PodIdentityAssociation{}
	for i := range o.Associations {
		if a := &o.Associations[i]; a.RoleARN == "" {
			sharers[ch.podsRoleName(a)] = append(sharers[ch.podsRoleName(a)], a)
		}
	}
	roles := map[string]role.Role{}
	for name, all := range sharers {
		if err := agree("Associations", name, all); err != nil {
			return nil, err
		}
		var accounts []*config.ServiceAccount
		var pods []trust.Pods
		for _, a := range all {
			sa := a.Account()
			accounts, pods = append(accounts, &sa), append(pods, ch.podsOf(a))
		}
		want, err := ch.wantRole(name, accounts, mark)
		if err != nil {
			return nil, err
		}
		delete(want.Tags, owner.ServiceAccountTag)
		if len(all) == 1 {
			want.Tags[owner.PodIdentityTag] = all[0].String()
		}
		if o.Unpinned {
			pods = []trust.Pods{{}}
		}
		if want.Trust, err = trust.WithPods(nil, pods...); err != nil {
			return nil, err
		}
		roles[name] = want
	}
	return roles, nil
}

// podsOf are the pods that the role of an association lets in. Without session tags
// there is nothing in the request that names the service account: then it is the
// cluster's pods.
func (ch *Chain) podsOf(a *config.PodIdentityAssociation) trust.Pods {
	return ch.pods(a, !a.DisableSessionTags)
}

// pods are those of an association, whose sessions have tags or not.
func (ch *Chain) pods(a *config.PodIdentityAssociation, tags bool) trust.Pods {
	if !tags {
		return trust.Pods{ClusterARN: ch.ClusterARN()}
	}
	return trust.Pods{ClusterARN: ch.ClusterARN(), Namespace: a.Namespace, ServiceAccount: a.ServiceAccountName}
}

// planPodsRoles decides about the roles. What their trust policies say of others stays:
// of the pods of other service accounts, and of tokens of OIDC providers. It writes into
// roles what only IAM knows of existing ones.
func (ch *Chain) planPodsRoles(ctx context.Context, roles map[string]role.Role) ([]plan.Item, error) {
	if len(roles) == 0 {
		return nil, nil
	}
	there, err := role.Read(ctx, ch.Account.IAM, slices.Sorted(maps.Keys(roles)))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", plan.Role, err)
	}
	ch.inherit(there)
	var wants []role.Role
	for _, name := range slices.Sorted(maps.Keys(roles)) {
		want := roles[name]
		if r, ok := there[name]; ok {
			want.ARN = r.ARN
			if want.Trust, err = trust.WithPods(r.Trust, trust.PodsOf(want.Trust)...); err != nil {
				return nil, fmt.Errorf("%s: %w", plan.Role, err)
			}
		}
		wants = append(wants, want)
	}
	steps, err := role.PlanAll(ctx, ch.Account.IAM, there, wants)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", plan.Role, err)
	}
	var items []plan.Item
	for _, want := range wants {
		items = append(items, plan.Ready(want.ARN, steps[want.Name]))
	}
	return items, nil
}

// planMade decides about service accounts that are to be made if they are not there.
func (ch *Chain) planMade(ctx context.Context, accounts []config.ServiceAccount) ([]plan.Item, error) {
	var items []plan.Item
	for i := range accounts {
		sa := &accounts[i]
		steps, err := ch.Cluster.Make(ctx, sa.Metadata.Namespace, sa.Metadata.Name)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", plan.ServiceAccount, err)
		}
		items = append(items, plan.Ready(sa.String(), steps))
	}
	return items, nil
}

// Associations are those of the cluster, with all that EKS knows of each. The error is a
// [*MissingError] without a chain, and a [*NoEKSError].
func (ch *Chain) Associations(ctx context.Context, f podidentity.Filter) ([]podidentity.Association, error) {
	if err := ch.ConnectInstalled(ctx); err != nil {
		return nil, err
	}
	all, err := podidentity.Read(ctx, ch.eks(), ch.Record.Cluster, f)
	if err != nil {
		return nil, ch.withoutEKS(err)
	}
	return all, nil
}

// DissociateOptions say which service accounts lose the roles of their associations.
type DissociateOptions struct {
	// Associations are the service accounts. Only their namespaces and names count.
	Associations []config.PodIdentityAssociation
	// DryRun decides about everything and changes nothing.
	DryRun bool
}

// Dissociate deletes the associations of the service accounts, the roles that were made
// for them, and the service accounts themselves if they were made with them. A role that
// others use as well no longer lets their pods in. Sessions that pods have stay valid
// until they expire. What is already gone is no error.
//
// The errors are those of [Chain.Associate]. The observer learns of each association and
// role; nil is silence.
func (ch *Chain) Dissociate(ctx context.Context, o DissociateOptions, observer plan.Observer) (Outcome, error) {
	if err := ch.ConnectInstalled(ctx); err != nil {
		return Outcome{}, err
	}
	if err := ch.CheckRecord(ctx); err != nil {
		return Outcome{}, err
	}
	run := &plan.Runner{Observer: observer, DryRun: o.DryRun, Calls: ch.Account.Calls}
	for i := range o.Associations {
		if err := ch.dissociate(ctx, run, &o.Associations[i]); err != nil {
			return Outcome{}, err
		}
	}
	return outcome(ch, run), nil
}

func (ch *Chain) dissociate(ctx context.Context, run *plan.Runner, a *config.PodIdentityAssociation) error {
	mark, err := ch.Tags(ctx)
	if err != nil {
		return err
	}
	only := podidentity.Filter{Namespace: a.Namespace, ServiceAccount: a.ServiceAccountName}
	there, err := podidentity.Read(ctx, ch.eks(), ch.Record.Cluster, only)
	if err != nil {
		return ch.withoutEKS(err)
	}
	err = run.Link(ctx, plan.Association, a.String(), func(context.Context) ([]plan.Step, error) {
		var steps []plan.Step
		for _, one := range there {
			more, err := one.Delete(ch.eks())
			if err != nil {
				return nil, err
			}
			steps = append(steps, more...)
		}
		return steps, nil
	})
	if err != nil {
		return err
	}
	err = run.Link(ctx, plan.ServiceAccount, a.String(), func(ctx context.Context) ([]plan.Step, error) {
		return ch.Cluster.Unmake(ctx, a.Namespace, a.ServiceAccountName)
	})
	if err != nil {
		return err
	}
	names := []string{role.NameForPods(ch.Record.Cluster, a.Namespace, a.ServiceAccountName)}
	for _, one := range there {
		if name := path.Base(one.RoleARN); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return run.Many(ctx, plan.Role, func(ctx context.Context) ([]plan.Item, error) {
		var items []plan.Item
		for _, name := range names {
			items = append(items, plan.Item{Object: name, Decide: func(ctx context.Context) ([]plan.Step, error) {
				return ch.shutOutPods(ctx, mark, name, a)
			}})
		}
		return items, nil
	})
}

// shutOutPods decides what must be done so that a role no longer lets in the pods of a
// service account. A role that was not made for the cluster stays as it is.
func (ch *Chain) shutOutPods(ctx context.Context, mark map[string]string, name string,
	a *config.PodIdentityAssociation) ([]plan.Step, error) {
	there, ok, err := role.Get(ctx, ch.Account.IAM, name)
	if err != nil || !ok || !owner.Owns(there.Tags, mark) {
		return nil, err
	}
	if there.Tags[owner.PodIdentityTag] == a.String() && len(trust.Providers(there.Trust)) == 0 {
		return there.Delete(ch.Account.IAM, mark, ch.providers()...)
	}
	left, err := trust.WithoutPods(there.Trust, ch.pods(a, true))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", plan.Role, err)
	}
	if left == nil {
		return there.Delete(ch.Account.IAM, mark, ch.providers()...)
	}
	want := there
	want.KeepAttached, want.Trust = true, left
	steps, err := role.PlanAll(ctx, ch.Account.IAM, map[string]role.Role{name: there}, []role.Role{want})
	return steps[name], err
}
