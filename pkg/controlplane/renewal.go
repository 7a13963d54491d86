package controlplane

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openirsa/openirsa/internal/kube"
	"github.com/openirsa/openirsa/internal/order"
	"github.com/openirsa/openirsa/internal/wait"
	"github.com/openirsa/openirsa/pkg/cluster"
	"github.com/openirsa/openirsa/pkg/node"
	"github.com/openirsa/openirsa/pkg/plan"
	"github.com/openirsa/openirsa/pkg/token"
)

// renewal waits until pods have tokens of the previous issuer, and their clients
// have had time to notice.
func (c *ControlPlane) renewal(opts IssuerOptions, audiences []string) plan.Step {
	return plan.Step{
		Link: plan.Issuer, Action: plan.Update,
		Summary: "tokens of running pods",
		Do: func(ctx context.Context) error {
			if err := c.othersDemoted(ctx, opts); err != nil {
				return err
			}
			if err := c.renewedElsewhere(ctx, opts, audiences); err != nil {
				return err
			}
			return c.renewTokens(ctx, opts, audiences)
		},
	}
}

// lateRenewal has kubelet renew the tokens that are refused by now, since their issuer
// is not among those that are accepted, and waits for nothing.
func (c *ControlPlane) lateRenewal(opts IssuerOptions, accepted, audiences []string) plan.Step {
	return plan.Step{
		Link: plan.Issuer, Action: plan.Update,
		Summary: "tokens of running pods",
		Do: func(ctx context.Context) error {
			tokens, err := c.tokens(ctx, opts, audiences)
			if err != nil {
				return err
			}
			refused := slices.DeleteFunc(tokens, func(t cluster.Token) bool { return slices.Contains(accepted, t.Issuer) })
			return c.pods.RenewTokens(ctx, refused, make(map[string]bool))
		},
	}
}

// tokens are those for the API server that pods have, but for pods of opts.Leaving.
func (c *ControlPlane) tokens(ctx context.Context, opts IssuerOptions, audiences []string) ([]cluster.Token, error) {
	all, err := c.pods.ProjectedTokens(ctx)
	return slices.DeleteFunc(all, func(t cluster.Token) bool {
		namespace, _, _ := strings.Cut(t.Pod, "/")
		return opts.Leaving != "" && namespace == opts.Leaving ||
			!slices.ContainsFunc(t.Audiences, func(aud string) bool { return slices.Contains(audiences, aud) })
	}), err
}

// renewTokens returns when no pod has a token for the API server from one of
// our issuers, and the newest token is as old as token.ClientReload.
func (c *ControlPlane) renewTokens(ctx context.Context, opts IssuerOptions, audiences []string) error {
	deadline := time.Now().Add(opts.wait())
	restarted := make(map[string]bool)
	for {
		ours, newest, err := c.carrying(ctx, opts, audiences)
		if err != nil {
			return err
		}
		if len(ours) == 0 {
			return wait.Sleep(ctx, min(time.Until(newest.Add(token.ClientReload)), token.ClientReload))
		}
		if err := c.pods.RenewTokens(ctx, ours, restarted); err != nil {
			return err
		}
		if time.Now().After(deadline) {
			order.By(ours, func(a, b cluster.Token) int { return cmp.Compare(a.String(), b.String()) })
			return fmt.Errorf("after %s, %d pods still have tokens of the issuer to be removed, such as %s; "+
				"the previous issuer signs again and both are accepted: remove the issuer again later, or delete these pods",
				opts.wait(), len(ours), ours[0])
		}
		if err := wait.Sleep(ctx, 2*time.Second); err != nil {
			return err
		}
	}
}

// carrying are the tokens for the API server from one of our issuers that pods
// have, and when the newest of the others was issued that may have replaced one.
func (c *ControlPlane) carrying(ctx context.Context, opts IssuerOptions, audiences []string) (
	ours []cluster.Token, newest time.Time, err error,
) {
	tokens, err := c.tokens(ctx, opts, audiences)
	if err != nil {
		return nil, time.Time{}, err
	}
	for _, t := range tokens {
		switch {
		case opts.owns(t.Issuer):
			ours = append(ours, t)
		case t.IssuedAt.After(newest) && !t.IssuedAt.Before(opts.since):
			newest = t.IssuedAt
		}
	}
	return ours, newest, nil
}

// TokensError are running pods, on nodes that cannot be reached, that may still
// have a token of the issuer that is to be removed.
type TokensError struct {
	Pods  int
	Pod   string    // one of them
	Until time.Time // when kubelet has renewed the last
}

func (e *TokensError) Error() string {
	return fmt.Sprintf("pods on nodes that cannot be reached (%d, such as %s) may still have tokens of the issuer to be removed, "+
		"until kubelet has renewed the last at %s; the previous issuer signs again and both are accepted",
		e.Pods, e.Pod, e.Until.UTC().Format(time.RFC3339))
}

// renewedElsewhere waits until kubelet has renewed the tokens of pods on nodes
// that cannot be reached, or is a [*TokensError] if that takes longer than
// opts.Wait.
func (c *ControlPlane) renewedElsewhere(ctx context.Context, opts IssuerOptions, audiences []string) error {
	if c.whole {
		return nil
	}
	mirrors, err := c.mirrorPods(ctx)
	if err != nil {
		return err
	}
	var since time.Time // when the last API server began to sign with the previous issuer
	for _, m := range mirrors {
		if m.since.IsZero() || len(m.Issuers) > 0 && opts.owns(m.Issuers[0]) { // kubelet has yet to say that it was restarted
			m.since = time.Now()
		}
		if m.since.After(since) {
			since = m.since
		}
	}
	var e TokensError
	options := metav1.ListOptions{Limit: 500, FieldSelector: "status.phase!=Succeeded,status.phase!=Failed"}
	for {
		pods, err := cluster.Retry(ctx, func() (*kube.List[corev1.Pod], error) {
			return c.client.Pods(metav1.NamespaceAll).List(ctx, options)
		})
		if err != nil {
			return fmt.Errorf("listing the pods of cluster %s: %w", c.name, err)
		}
		for _, p := range pods.Items {
			ttl := tokenLifetime(&p, audiences)
			reached := slices.ContainsFunc(c.nodes, func(n node.Node) bool { return n.Name == p.Spec.NodeName })
			if ttl == 0 || p.CreationTimestamp.After(since) || reached {
				continue
			}
			if until := since.Add(renewal(ttl)); until.After(time.Now()) {
				e.Pods++
				if until.After(e.Until) {
					e.Pod, e.Until = p.Namespace+"/"+p.Name, until
				}
			}
		}
		if options.Continue = pods.Continue; options.Continue == "" {
			break
		}
	}
	left := time.Until(e.Until)
	if left > opts.wait() {
		return &e
	}
	return wait.Sleep(ctx, left)
}

// tokenLifetime is the longest time for which kubelet requests a token for the
// API server for a pod; 0 if for none.
func tokenLifetime(p *corev1.Pod, audiences []string) time.Duration {
	var longest time.Duration
	for _, v := range p.Spec.Volumes {
		if v.Projected == nil {
			continue
		}
		for _, s := range v.Projected.Sources {
			t := s.ServiceAccountToken
			if t == nil || t.Audience != "" && !slices.Contains(audiences, t.Audience) {
				continue
			}
			seconds := int64(3600) // the API's default
			if t.ExpirationSeconds != nil {
				seconds = *t.ExpirationSeconds
			}
			longest = max(longest, time.Duration(seconds)*time.Second)
		}
	}
	return longest
}

// renewal is after what time no client uses a token with this lifetime any
// more: kubelet renews it at 80 % of the lifetime or after a day (requiresRefresh
// in pkg/kubelet/token/token_manager.go) when it next looks at the pod's
// volumes, which it does every 60 to 90 seconds, and then clients have to read it.
func renewal(lifetime time.Duration) time.Duration {
	return min(lifetime*8/10, 24*time.Hour) + 90*time.Second + token.ClientReload
}
