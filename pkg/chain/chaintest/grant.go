package chaintest

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/openirsa/openirsa/pkg/chain"
	"github.com/openirsa/openirsa/pkg/config"
)

// Grant gives a service account a role with policies: the ARNs of managed ones, and
// at most one document of an inline one, which begins with "{". The service
// account is made if it is not there; its namespace has to be. At the end of t both
// are removed again. Another Grant in the same test adds nothing to the first: it
// says all that the role may do from then on. Of a service account that had a role by
// [Chain.Associate] in an earlier test, Grant first waits for some seconds until the
// webhook has learned that it has not any more.
//
// If t fails, everything that was refused to the service account is in its log.
func (c *Chain) Grant(t testing.TB, namespace, name string, policies ...string) {
	t.Helper()
	c.explain(t, namespace, name)
	sa := config.NewServiceAccount(namespace, name)
	sa.AttachPolicyARNs, sa.AttachPolicy = split(t, "Grant", policies)
	if err := c.forgotten(t.Context(), sa.String()); err != nil {
		t.Fatalf("chaintest: service account %s: %v", sa.String(), err)
	}
	if err := c.grant(t.Context(), sa); err != nil {
		t.Fatalf("chaintest: service account %s/%s: %v", namespace, name, err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
		defer cancel()
		if err := c.revoke(ctx, sa); err != nil {
			t.Errorf("chaintest: removing the role of service account %s/%s: %v", namespace, name, err)
		}
	})
}

// split tells the ARNs of managed policies from the document of an inline one.
func split(t testing.TB, by string, policies []string) (arns []string, document config.InlinePolicy) {
	t.Helper()
	for _, policy := range policies {
		if !strings.HasPrefix(strings.TrimSpace(policy), "{") {
			arns = append(arns, policy)
		} else if document == nil {
			document = config.InlinePolicy(policy)
		} else {
			t.Fatalf("chaintest: %s takes one policy document; put all statements into it", by)
		}
	}
	return arns, document
}

func (c *Chain) grant(ctx context.Context, sa config.ServiceAccount) error {
	return c.connected(ctx, func(ctx context.Context, ch *chain.Chain) error {
		_, err := ch.Grant(ctx, chain.GrantOptions{Accounts: []config.ServiceAccount{sa}, Override: true}, nil)
		return err
	})
}

func (c *Chain) revoke(ctx context.Context, sa config.ServiceAccount) error {
	return c.connected(ctx, func(ctx context.Context, ch *chain.Chain) error {
		_, err := ch.Revoke(ctx, chain.RevokeOptions{Accounts: []config.ServiceAccount{sa}}, nil)
		return err
	})
}

// connected does something with a connection to the emulator of its own: several
// tests may at the same time, and an API server that restarts ends connections.
func (c *Chain) connected(ctx context.Context, do func(context.Context, *chain.Chain) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // and with it the connection
	ch := *c.Chain
	return do(ctx, &ch)
}
