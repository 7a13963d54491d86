package controlplane

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openirsa/openirsa/internal/wait"
	"github.com/openirsa/openirsa/pkg/cluster"
	"github.com/openirsa/openirsa/pkg/issuer"
	"github.com/openirsa/openirsa/pkg/node"
	"github.com/openirsa/openirsa/pkg/token"
)

// PendingError are API servers of a cluster whose nodes cannot be reached, which
// somebody else has to give the issuer. It wraps [cluster.ErrNoNodeAccess].
type PendingError struct {
	Issuer string
	Nodes  []string // "" where the cluster does not show its API servers
}

func (e *PendingError) Error() string {
	where := ""
	if nodes := strings.Join(e.Nodes, ", "); nodes != "" {
		where = " on node " + nodes
	}
	return fmt.Sprintf("%v, and the API server%s does not issue tokens as %s yet", cluster.ErrNoNodeAccess, where, e.Issuer)
}

func (e *PendingError) Unwrap() error { return cluster.ErrNoNodeAccess }

// shown are the API servers as far as the cluster shows them: by their mirror
// pods, or one, on an unknown node, by its discovery document.
func (c *ControlPlane) shown(ctx context.Context) ([]NodeFlags, error) {
	all, err := c.APIServerFlags(ctx)
	if err != nil || len(all) > 0 {
		return all, err
	}
	iss, err := c.pods.Issuer(ctx)
	if err != nil || iss == "" {
		return []NodeFlags{{}}, err
	}
	return []NodeFlags{{Flags: Flags{Issuers: []string{iss}}}}, nil
}

// issuerSetElsewhere is nil if all API servers issue as opts.URL.
func (c *ControlPlane) issuerSetElsewhere(ctx context.Context, opts IssuerOptions) error {
	servers, err := c.shown(ctx)
	if err != nil {
		return err
	}
	if err := otherIssuer(servers, opts); err != nil {
		return err
	}
	e := &PendingError{Issuer: opts.URL.String()}
	for _, s := range servers {
		if len(s.Issuers) == 0 || s.Issuers[0] != e.Issuer {
			e.Nodes = append(e.Nodes, s.Node)
		}
	}
	if e.Nodes == nil {
		return nil
	}
	return e
}

// NodesAccepting are the nodes whose API servers still accept tokens of iss, as far
// as the cluster shows; "" where it does not say on which node.
func (c *ControlPlane) NodesAccepting(ctx context.Context, iss issuer.URL) ([]string, error) {
	servers, err := c.shown(ctx)
	if err != nil {
		return nil, err
	}
	var nodes []string
	for _, s := range servers {
		if slices.Contains(s.Issuers, iss.String()) {
			nodes = append(nodes, s.Node)
		}
	}
	return nodes, nil
}

// OthersError are API servers on nodes that cannot be reached from here. They
// must be changed before those that can.
type OthersError struct {
	// Nodes have these API servers. Where a node has no mirror pod it is
	// "at ADDRESS".
	Nodes []string
	// Lack is what they do or do not, such as "do not accept X yet".
	Lack string
}

func (e *OthersError) Error() string {
	return "these API servers " + e.Lack + ": on node " + strings.Join(e.Nodes, ", ")
}

// restartTime is how long the others get to come up with new flags, and for
// kubelet to say so. That takes it up to 90 seconds: if the API server does not
// answer when it first looks at its pod, it says so when it looks again.
const restartTime = 2 * time.Minute

// OthersAccept is an [*OthersError] unless every API server on a node that
// cannot be reached accepts tokens of iss. While one of them starts it waits,
// for two minutes.
func (c *ControlPlane) OthersAccept(ctx context.Context, iss issuer.URL) error {
	return c.othersHave(ctx, "do not accept tokens of "+iss.String()+" yet, or are not ready",
		func(f Flags) bool { return slices.Contains(f.Issuers, iss.String()) })
}

// othersDemoted is an [*OthersError] unless every API server on a node that
// cannot be reached signs with another issuer than ours.
func (c *ControlPlane) othersDemoted(ctx context.Context, opts IssuerOptions) error {
	return c.othersHave(ctx, "still sign with an issuer that is to be removed, or are not ready",
		func(f Flags) bool { return len(f.Issuers) > 0 && !opts.owns(f.Issuers[0]) })
}

// othersHave waits while an API server that cannot be reached is not ready.
func (c *ControlPlane) othersHave(ctx context.Context, lack string, ok func(Flags) bool) error {
	deadline := time.Now().Add(restartTime)
	for {
		others, err := c.unreached(ctx)
		if err != nil {
			return err
		}
		var lacking []string
		starting := false
		for _, o := range others {
			if o.since.IsZero() || !ok(o.Flags) {
				lacking = append(lacking, o.Node)
				starting = starting || o.since.IsZero() && len(o.Issuers) > 0
			}
		}
		if len(lacking) == 0 {
			return nil
		}
		if !starting || time.Now().After(deadline) {
			slices.Sort(lacking)
			return &OthersError{Nodes: lacking, Lack: lack}
		}
		if err := wait.Sleep(ctx, 2*time.Second); err != nil {
			return err
		}
	}
}

// TokensError are running pods, on nodes that cannot be reached, that may still
// have a token of the issuer that is to be removed.
type TokensError struct {
	Pods  int
	Pod   string    // one of them
	Until time.Time // when kubelet has renewed the last
}

func (e *TokensError) Error() string {
	return fmt.Sprintf("pods on nodes that cannot be reached (%d, such as %s) may still have tokens of the issuer to be removed, until kubelet has renewed the last at %s; the former issuer signs again and both are accepted",
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
	var since time.Time // when the last API server began to sign with the former issuer
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
		pods, err := cluster.Retry(ctx, func() (*corev1.PodList, error) { return c.client.CoreV1().Pods(metav1.NamespaceAll).List(ctx, options) })
		if err != nil {
			return fmt.Errorf("listing the pods of cluster %s: %w", c.name, err)
		}
		for _, p := range pods.Items {
			ttl := tokenLifetime(&p, audiences)
			if ttl == 0 || p.CreationTimestamp.After(since) || slices.ContainsFunc(c.nodes, func(n node.Node) bool { return n.Name == p.Spec.NodeName }) {
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
