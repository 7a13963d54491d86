package chain

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/openirsa/openirsa/internal/wait"
	"github.com/openirsa/openirsa/pkg/cluster"
	"github.com/openirsa/openirsa/pkg/config"
	"github.com/openirsa/openirsa/pkg/irsa"
	"github.com/openirsa/openirsa/pkg/plan"
	"github.com/openirsa/openirsa/pkg/podidentity"
)

// UnreadyError is associations that have no effect yet: a pod that is made now would run
// without the role.
type UnreadyError struct {
	// Accounts are NAMESPACE/NAME of their service accounts, and Why is what is missing
	// of each.
	Accounts []string
	Why      map[string]error
	// Err is why it is waited no longer.
	Err error
}

func (e *UnreadyError) Error() string {
	var all []string
	for i, account := range e.Accounts {
		if i == 5 {
			all = append(all, fmt.Sprintf("and %d more", len(e.Accounts)-i))
			break
		}
		all = append(all, account+": "+e.Why[account].Error())
	}
	return fmt.Sprintf("%s: %v: %s", plan.Association, e.Err, strings.Join(all, "; "))
}
func (e *UnreadyError) Unwrap() error { return e.Err }

// Why an association has no effect yet.
var (
	// ErrNotAssociated is a service account without an association, as far as EKS says.
	ErrNotAssociated = errors.New("there is no association")
	// ErrNotInjected is one whose new pods do not get the variables of EKS Pod Identity.
	ErrNotInjected = errors.New("the webhook does not know the association, new pods do not get " + irsa.EnvCredentialsURI)
)

// AwaitOptions say for which associations to wait.
type AwaitOptions struct {
	// Associations are the service accounts. Only their namespaces and names count.
	// Without any, all that EKS has of the cluster and of Namespace are meant.
	Associations []config.PodIdentityAssociation
	// Namespace, if set, is the only one, where Associations are not named.
	Namespace string
}

// Await waits until the associations have an effect: EKS has them, and the pods that are
// made of the service accounts get the role. The latter is seen by asking the API server
// for a pod in a dry run, which asks the webhook. It needs the right to create pods.
// Nothing is changed. Running pods do not count: they keep what they were made with.
//
// When ctx ends the error is an [*UnreadyError], which names what is missing and wraps
// the cause of ctx. Other errors are those of [Chain.Associations], and the API server's
// if the user of the kubeconfig may not create pods. The observer learns of each
// association that is ready; nil is silence.
func (ch *Chain) Await(ctx context.Context, o AwaitOptions, observer plan.Observer) (Outcome, error) {
	if err := ch.ConnectInstalled(ctx); err != nil {
		return Outcome{}, err
	}
	run := &plan.Runner{Observer: observer, Calls: ch.Account.Calls}
	var accounts []ServiceAccount
	for _, a := range o.Associations {
		accounts = append(accounts, ServiceAccount{Namespace: a.Namespace, Name: a.ServiceAccountName})
	}
	if len(accounts) == 0 {
		all, err := podidentity.List(ctx, ch.eks(), ch.Record.Cluster, podidentity.Filter{Namespace: o.Namespace})
		if err != nil {
			return Outcome{}, ch.withoutEKS(err)
		}
		for _, a := range all {
			accounts = append(accounts, ServiceAccount{Namespace: a.Namespace, Name: a.ServiceAccount})
		}
	}
	err := ch.await(ctx, run, accounts)
	return outcome(ch, run), err
}

// await is [Chain.Await] of some service accounts.
func (ch *Chain) await(ctx context.Context, run *plan.Runner, accounts []ServiceAccount) error {
	start := time.Now()
	pending, why := accounts, map[string]error{}
	var between wait.Looks
	for {
		run.Start(plan.Association, waitingFor(pending, why))
		ready, err := ch.look(ctx, pending, why)
		if err != nil {
			if ctx.Err() == nil {
				return err
			}
			ready = map[string]bool{} // cut off in the middle
		}
		var left []ServiceAccount
		for _, a := range pending {
			if !ready[a.String()] {
				left = append(left, a)
				continue
			}
			run.Done(plan.Result{Link: plan.Association, Outcome: plan.Unchanged, Object: a.String() + ", known to EKS and to the webhook",
				Took: time.Since(start)})
		}
		if pending = left; len(pending) == 0 {
			return nil
		}
		if err := between.Wait(ctx); err != nil {
			e := &UnreadyError{Why: why, Err: err}
			for _, a := range pending {
				e.Accounts = append(e.Accounts, a.String())
				if why[a.String()] == nil {
					why[a.String()] = errors.New("it was not looked at")
				}
			}
			return e
		}
	}
}

func waitingFor(pending []ServiceAccount, why map[string]error) string {
	if len(pending) == 1 && why[pending[0].String()] != nil {
		return "waiting for " + pending[0].String() + ": " + why[pending[0].String()].Error()
	}
	return fmt.Sprintf("waiting for %d", len(pending))
}

// look finds out which of the service accounts have associations that have an effect,
// and why the others have not.
func (ch *Chain) look(ctx context.Context, accounts []ServiceAccount, why map[string]error) (ready map[string]bool, err error) {
	var only podidentity.Filter
	if len(accounts) == 1 {
		only = podidentity.Filter{Namespace: accounts[0].Namespace, ServiceAccount: accounts[0].Name}
	}
	all, err := podidentity.List(ctx, ch.eks(), ch.Record.Cluster, only)
	if err != nil {
		return nil, ch.withoutEKS(err)
	}
	ready = map[string]bool{}
	there := map[string]bool{}
	for _, a := range all {
		there[a.String()] = true
	}
	var mu sync.Mutex // guards ready and why
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(8)
	for _, a := range accounts {
		group.Go(func() error {
			missing := ErrNotAssociated
			if there[a.String()] {
				var err error
				if missing, err = ch.injected(ctx, a); err != nil {
					return err
				}
			}
			mu.Lock()
			defer mu.Unlock()
			ready[a.String()], why[a.String()] = missing == nil, missing
			return nil
		})
	}
	return ready, group.Wait()
}

// injected is nil if a pod of the service account that is made now gets the variables
// of EKS Pod Identity, and otherwise why it does not.
func (ch *Chain) injected(ctx context.Context, a ServiceAccount) (missing, err error) {
	pod, err := ch.Cluster.TrialPod(ctx, a.Namespace, a.Name)
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case err == nil && cluster.HasVariable(&pod.Spec, irsa.EnvCredentialsURI):
		return nil, nil
	case err == nil:
		return ErrNotInjected, nil
	case apierrors.IsForbidden(err) && strings.Contains(err.Error(), "cannot create resource"):
		return nil, fmt.Errorf("%s: asking for a pod of %s in a dry run: %w", plan.Webhook, a, err)
	}
	return fmt.Errorf("the API server makes no pod of it: %w", err), nil
}
