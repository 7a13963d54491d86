package chain

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/openirsa/openirsa/pkg/cluster"
	"github.com/openirsa/openirsa/pkg/controlplane"
	"github.com/openirsa/openirsa/pkg/issuer"
	"github.com/openirsa/openirsa/pkg/plan"
)

// Keeps reports whether the API servers keep the issuer that they had before the
// chain was made. Then nothing of the cluster's nodes is ever changed.
func (ch *Chain) Keeps() bool { return ch.Record.KeepIssuer }

// keptIssuer is the issuer that the cluster has. It is a [*KeepError] if that
// cannot be the issuer of a provider.
func (ch *Chain) keptIssuer(ctx context.Context) (issuer.URL, error) {
	current, err := ch.Cluster.Issuer(ctx)
	if err != nil {
		return issuer.URL{}, fmt.Errorf("%s: %w", plan.Issuer, err)
	}
	iss, err := issuer.Parse(current)
	if err != nil {
		return issuer.URL{}, &KeepError{Issuer: current}
	}
	return iss, nil
}

// issuerOptions say that the API servers are to have the chain's issuer, and which
// issuers an earlier run has given them.
func (ch *Chain) issuerOptions() controlplane.IssuerOptions {
	return controlplane.IssuerOptions{URL: ch.Issuer, Own: ch.Record.FormerIssuers}
}

// Restart is [plan.Runner.Link], of [plan.APIServer], for steps that restart API
// servers. After them it waits, at most as long as wait says, until pods reach one
// again, so that nothing that starts when the run has ended fails.
func (ch *Chain) Restart(ctx context.Context, run *plan.Runner, wait time.Duration, object string,
	decide func(context.Context) ([]plan.Step, error)) error {
	return run.Link(ctx, plan.APIServer, object, func(ctx context.Context) ([]plan.Step, error) {
		steps, err := decide(ctx)
		if err != nil || len(steps) == 0 {
			return nil, err
		}
		again := "wait until pods reach the API server again"
		return append(steps, plan.Step{Link: plan.Issuer, Action: plan.Update, Summary: again, Do: func(ctx context.Context) error {
			return ch.Cluster.WaitForService(ctx, wait)
		}}), nil
	})
}

// defaultTokenLifetime is the life of the tokens that the webhook asks for: a day, as
// on EKS ([irsa.ExpirationSeconds]).
const defaultTokenLifetime = 24 * time.Hour

// TokenLifetime is how long a token that cannot be seen may still live: 24 hours,
// or less if every API server limits tokens to less
// (--service-account-max-token-expiration). Where the nodes cannot be reached it is
// 24 hours.
func (ch *Chain) TokenLifetime(ctx context.Context) (time.Duration, error) {
	nodes, err := controlplane.Of(ch.Cluster).NodeKeys(ctx)
	if errors.Is(err, cluster.ErrNoNodeAccess) {
		return defaultTokenLifetime, nil
	}
	if err != nil {
		return 0, fmt.Errorf("%s: %w", plan.SigningKey, err)
	}
	var longest time.Duration
	for _, n := range nodes {
		if n.MaxTokenLifetime == 0 {
			return defaultTokenLifetime, nil
		}
		longest = max(longest, n.MaxTokenLifetime)
	}
	return min(longest, defaultTokenLifetime), nil
}
