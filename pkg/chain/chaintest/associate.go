package chaintest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/openirsa/openirsa/pkg/chain"
	"github.com/openirsa/openirsa/pkg/config"
)

const (
	// injectedWithin is how long the webhook may take to learn of an association. It asks
	// EKS before a pod goes without; after EKS has not answered it waits some seconds.
	injectedWithin = 30 * time.Second
	// forgottenAfter is for how long the webhook may know an association that was deleted:
	// it lists them every ten seconds, a tenth more or less.
	forgottenAfter = 12 * time.Second
	// fullURI is a variable of containers with EKS Pod Identity.
	fullURI = "AWS_CONTAINER_CREDENTIALS_FULL_URI"
)

// Associate gives a service account a role with policies, as [Chain.Grant] does, but by
// EKS Pod Identity: there is an association, and pods get credentials from the agent on
// their node. The chain must be one with [Options.PodIdentity]. At least one policy is
// needed. A pod that is made once Associate has returned has the role; one that was there
// before has not. At the end of t the association is deleted, with its role, and with the
// service account if that was made.
//
// What else an association may have, such as a target role, is in
// [github.com/openirsa/openirsa/pkg/chain.Chain.Associate], which Chain.Chain has.
//
// If t fails, everything that was refused to the service account is in its log.
func (c *Chain) Associate(t testing.TB, namespace, name string, policies ...string) {
	t.Helper()
	c.explain(t, namespace, name)
	a := config.PodIdentityAssociation{Namespace: namespace, ServiceAccountName: name, CreateServiceAccount: true}
	a.PermissionPolicyARNs, a.PermissionPolicy = split(t, "Associate", policies)
	err := c.associate(t.Context(), a)
	if _, missing := errors.AsType[*chain.NoEKSError](err); missing {
		t.Fatalf("chaintest: the chain was made without PodIdentity in its Options: %v", err)
	}
	if err != nil {
		t.Fatalf("chaintest: association of %s: %v", a.String(), err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
		defer cancel()
		if err := c.dissociate(ctx, a); err != nil {
			t.Errorf("chaintest: removing the association of %s: %v", a.String(), err)
		}
	})
	if err := c.injected(t.Context(), namespace, name); err != nil {
		t.Fatalf("chaintest: association of %s: %v", a.String(), err)
	}
}

func (c *Chain) associate(ctx context.Context, a config.PodIdentityAssociation) error {
	c.left.Delete(a.String())
	return c.connected(ctx, func(ctx context.Context, ch *chain.Chain) error {
		_, err := ch.Associate(ctx, chain.AssociateOptions{Associations: []config.PodIdentityAssociation{a}}, nil)
		return err
	})
}

func (c *Chain) dissociate(ctx context.Context, a config.PodIdentityAssociation) error {
	defer func() { c.left.Store(a.String(), time.Now()) }()
	return c.connected(ctx, func(ctx context.Context, ch *chain.Chain) error {
		_, err := ch.Dissociate(ctx, chain.DissociateOptions{Associations: []config.PodIdentityAssociation{a}}, nil)
		return err
	})
}

// injected waits until the webhook gives pods of a service account container credentials,
// which a dry run shows.
func (c *Chain) injected(ctx context.Context, namespace, name string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, injectedWithin,
		fmt.Errorf("the webhook does not give its pods container credentials within %v", injectedWithin))
	defer cancel()
	var last error
	err := wait.PollUntilContextCancel(ctx, 500*time.Millisecond, true, func(ctx context.Context) (bool, error) {
		var pod *corev1.Pod
		pod, last = c.Chain.Cluster.TrialPod(ctx, namespace, name)
		if last != nil {
			// Somebody may refuse such a pod. The tests' own show whether they have the role.
			return apierrors.IsForbidden(last) || apierrors.IsInvalid(last), nil
		}
		for _, v := range pod.Spec.Containers[0].Env {
			if v.Name == fullURI {
				return true, nil
			}
		}
		return false, nil
	})
	if err != nil {
		return errors.Join(context.Cause(ctx), last)
	}
	return nil
}

// forgotten waits until no webhook knows an association any more that was deleted: pods
// of its service account would not get the role of an annotation. Nothing announces that.
func (c *Chain) forgotten(ctx context.Context, account string) error {
	at, ok := c.left.LoadAndDelete(account)
	if !ok {
		return nil
	}
	select {
	case <-time.After(time.Until(at.(time.Time).Add(forgottenAfter))):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
