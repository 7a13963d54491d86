package chain

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/eks"

	"github.com/openirsa/openirsa/deploy"
	"github.com/openirsa/openirsa/pkg/association"
	"github.com/openirsa/openirsa/pkg/config"
	"github.com/openirsa/openirsa/pkg/owner"
	"github.com/openirsa/openirsa/pkg/plan"
	"github.com/openirsa/openirsa/pkg/podidentity"
	"github.com/openirsa/openirsa/pkg/record"
	"github.com/openirsa/openirsa/pkg/role"
	"github.com/openirsa/openirsa/pkg/trust"
)

// podIdentity installs EKS Pod Identity, if it is asked for: EKS learns of the cluster,
// and the agent runs on every node.
func (u *upRun) podIdentity(ctx context.Context) error {
	if !u.Record.PodIdentity {
		return nil
	}
	objects, err := deploy.Agent(u.AgentParams())
	if err != nil {
		return err
	}
	return u.run.Link(ctx, plan.PodIdentity, "cluster "+u.Record.Cluster+" in EKS, "+deploy.AgentNamespace+"/"+deploy.AgentName,
		func(ctx context.Context) ([]plan.Step, error) {
			steps, err := u.PlanRegistration(ctx)
			if err != nil {
				return nil, err
			}
			more, err := u.rollout(ctx, plan.PodIdentity, deploy.AgentName, objects)
			return append(steps, more...), err
		})
}

// checkPodIdentity refuses a cluster that EKS would not take, before anything is made.
func (u *upRun) checkPodIdentity(want record.Record) error {
	if !u.emulator && want.Endpoint == "" {
		return fmt.Errorf("%s: AWS's own EKS knows the clusters alone that it has made; another needs an emulator", plan.PodIdentity)
	}
	if err := association.CheckCluster(want.Cluster); err != nil {
		return fmt.Errorf("%s: %w", plan.PodIdentity, err)
	}
	return nil
}

// wantPodIdentity decides whether there is to be EKS Pod Identity.
func (u *upRun) wantPodIdentity(want *record.Record) error {
	asked := u.o.PodIdentity
	option := "PodIdentity"
	if asked == nil && !want.PodIdentity && len(u.o.Associations) > 0 {
		option = "Associations"
	}
	if asked != nil && !*asked {
		if len(u.o.Associations) > 0 {
			return &OptionError{Option: option, Err: fmt.Errorf("%s: it is needed for the associations that are asked for", plan.PodIdentity)}
		}
		u.leaves, want.PodIdentity = want.PodIdentity, false
		return nil
	}
	if want.PodIdentity = want.PodIdentity || asked != nil || len(u.o.Associations) > 0; !want.PodIdentity {
		return nil
	}
	if err := u.checkPodIdentity(*want); err != nil {
		return &OptionError{Option: option, Err: err}
	}
	return nil
}

// toRecord is what is recorded during the run: EKS Pod Identity is there until all of it
// is gone.
func (u *upRun) toRecord() record.Record {
	r := u.Record
	r.PodIdentity = r.PodIdentity || u.leaves
	return r
}

// AssociationsError is EKS Pod Identity that cannot be removed, since there are
// associations: their pods would have no role. Accounts are NAMESPACE/NAME of the service
// accounts.
type AssociationsError struct{ Accounts []string }

func (e *AssociationsError) Error() string {
	some := e.Accounts[:min(len(e.Accounts), 5)]
	more := ""
	if n := len(e.Accounts) - len(some); n > 0 {
		more = fmt.Sprintf(" and %d more", n)
	}
	return fmt.Sprintf("%s: it stays as long as service accounts have their roles by it: %s%s",
		plan.PodIdentity, strings.Join(some, ", "), more)
}

// mayLeave refuses to remove EKS Pod Identity while there are associations, before
// anything is removed.
func (u *upRun) mayLeave(ctx context.Context) error {
	if u.Account == nil {
		if err := u.Connect(ctx); err != nil {
			return err
		}
	}
	all, err := u.allAssociations(ctx)
	if err != nil || len(all) == 0 || u.o.Dissociate {
		return err
	}
	e := &AssociationsError{}
	for _, a := range all {
		e.Accounts = append(e.Accounts, a.String())
	}
	return e
}

// allAssociations are those of the cluster; none if EKS does not know it.
func (u *upRun) allAssociations(ctx context.Context) ([]podidentity.Association, error) {
	_, known, err := u.registered(ctx)
	if err != nil || !known {
		return nil, err
	}
	all, err := podidentity.Read(ctx, u.eks(), u.Record.Cluster, podidentity.Filter{})
	if err != nil {
		return nil, u.withoutEKS(err)
	}
	return all, nil
}

// leavePodIdentity removes EKS Pod Identity, of which the webhook knows nothing any more:
// the associations, the agent, the cluster in EKS, and the roles of agent and webhook.
func (u *upRun) leavePodIdentity(ctx context.Context) error {
	if !u.leaves {
		return nil
	}
	if err := u.dissociateAll(ctx, func(a podidentity.Association) bool { return a.OwnerARN == "" }); err != nil {
		return err
	}
	objects, err := deploy.Agent(u.AgentParams())
	if err != nil {
		return err
	}
	object := deploy.AgentNamespace + "/" + deploy.AgentName + ", cluster " + u.Record.Cluster + " in EKS"
	err = u.run.Link(ctx, plan.PodIdentity, object, func(ctx context.Context) ([]plan.Step, error) {
		steps, err := u.Cluster.Delete(ctx, objects, plan.PodIdentity)
		if err != nil {
			return nil, err
		}
		more, err := u.planUnregistration(ctx)
		return append(steps, more...), err
	})
	if err != nil {
		return err
	}
	var items []plan.Item
	for _, sa := range u.podIdentityAccounts() {
		name := u.roleName(&sa)
		items = append(items, plan.Item{Object: name, Decide: func(ctx context.Context) ([]plan.Step, error) {
			return role.Delete(ctx, u.Account.IAM, name, u.mark)
		}})
	}
	if err := u.run.All(ctx, plan.Role, items); err != nil {
		return err
	}
	return u.run.Link(ctx, plan.Record, "without EKS Pod Identity", func(ctx context.Context) ([]plan.Step, error) {
		return u.Cluster.SetState(ctx, u.Record)
	})
}

// withRoles are the service accounts whose pods are to get roles in one way or the other.
func (u *upRun) withRoles() []config.ServiceAccount {
	all := slices.Clone(u.o.Accounts)
	for i := range u.o.Associations {
		all = append(all, u.o.Associations[i].Account())
	}
	return all
}

// newCluster is an EKS as far as it knows of a cluster that will be registered.
type newCluster struct{ podidentity.EKS }

func (newCluster) ListPodIdentityAssociations(context.Context, *eks.ListPodIdentityAssociationsInput, ...func(*eks.Options)) (
	*eks.ListPodIdentityAssociationsOutput, error) {
	return &eks.ListPodIdentityAssociationsOutput{}, nil
}

// planUpAssociations decides about the associations in Associations, also while EKS does
// not know the cluster yet.
func (u *upRun) planUpAssociations(ctx context.Context) (associations, error) {
	if len(u.o.Associations) == 0 {
		return associations{}, nil
	}
	_, known, err := u.registered(ctx)
	if err != nil {
		return associations{}, err
	}
	var client podidentity.EKS = u.eks()
	if !known {
		client = newCluster{client}
	}
	return u.planAssociations(ctx, client, AssociateOptions{Associations: u.o.Associations})
}

// associations gives the service accounts in Associations their roles by EKS Pod
// Identity, and with Prune takes them from others.
func (u *upRun) associations(ctx context.Context) error {
	if !u.Record.PodIdentity {
		return nil
	}
	p, err := u.planUpAssociations(ctx)
	if err != nil {
		return err
	}
	if err := p.run(ctx, u.run); err != nil || !u.o.Prune {
		return err
	}
	return u.dissociateAll(ctx, func(a podidentity.Association) bool {
		listed := slices.ContainsFunc(u.o.Associations, func(o config.PodIdentityAssociation) bool { return o.String() == a.String() })
		return !listed && owner.Owns(a.Tags, u.mark) && a.OwnerARN == ""
	})
}

// dissociateAll is [Chain.Dissociate] of the associations for which gone holds. What a run
// that was stopped has left of others goes too.
func (u *upRun) dissociateAll(ctx context.Context, gone func(podidentity.Association) bool) error {
	all, err := u.allAssociations(ctx)
	if err != nil {
		return err
	}
	there := map[string]bool{}
	for _, a := range all {
		there[a.String()] = true
		if !gone(a) {
			continue
		}
		account := &config.PodIdentityAssociation{Namespace: a.Namespace, ServiceAccountName: a.ServiceAccount}
		if err := u.dissociate(ctx, u.run, account); err != nil {
			return err
		}
	}
	made, err := u.Cluster.Made(ctx)
	if err != nil {
		return err
	}
	var items []plan.Item
	for _, sa := range made {
		if name := sa.Namespace + "/" + sa.Name; !there[name] {
			items = append(items, plan.Item{Object: name, Decide: func(ctx context.Context) ([]plan.Step, error) {
				return u.Cluster.Unmake(ctx, sa.Namespace, sa.Name)
			}})
		}
	}
	if err := u.run.All(ctx, plan.ServiceAccount, items); err != nil {
		return err
	}
	return u.deleteRoles(ctx, u.run, func(r role.Role) bool {
		account := r.Tags[owner.PodIdentityTag]
		return account != "" && !there[account] && len(trust.Providers(r.Trust)) == 0
	})
}
