package controlplane

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openirsa/openirsa/internal/kube"
	"github.com/openirsa/openirsa/internal/wait"
	"github.com/openirsa/openirsa/pkg/cluster"
	"github.com/openirsa/openirsa/pkg/issuer"
	"github.com/openirsa/openirsa/pkg/node"
)

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
				starting = starting || o.since.IsZero() && (len(o.Issuers) > 0 || o.replaced)
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

// unreached are the API servers on nodes on which no commands can be run. Each
// API server puts its address into the EndpointSlice of the Service kubernetes;
// one that has no mirror pod is known by that address alone, and has no flags.
func (c *ControlPlane) unreached(ctx context.Context) ([]mirrorPod, error) {
	if c.whole {
		return nil, nil // all its nodes can be reached
	}
	reached := make(map[string]bool)
	for _, n := range c.nodes {
		reached[n.Name] = true
	}
	mirrors, err := c.mirrorPods(ctx)
	if err != nil {
		return nil, err
	}
	known, mirrored := make(map[string]bool), make(map[string]bool) // addresses; nodes
	for _, m := range mirrors {
		known[m.address], mirrored[m.Node] = true, true
	}
	nodes, err := c.kubernetesNodes(ctx)
	if err != nil {
		return nil, err
	}
	for _, n := range nodes {
		for _, a := range n.Status.Addresses {
			known[a.Address] = known[a.Address] || mirrored[n.Name] || reached[n.Name]
		}
	}
	endpoints, err := cluster.Retry(ctx, func() (*kube.List[discoveryv1.EndpointSlice], error) {
		return c.client.EndpointSlices(metav1.NamespaceDefault).List(ctx,
			metav1.ListOptions{LabelSelector: discoveryv1.LabelServiceName + "=kubernetes"})
	})
	if err != nil {
		return nil, fmt.Errorf("listing the addresses of the API servers of cluster %s: %w", c.name, err)
	}
	replacing := make(map[string]string) // nodes, by their addresses
	for _, n := range replaced(nodes, mirrored) {
		for _, a := range n.Status.Addresses {
			replacing[a.Address] = n.Name
		}
	}
	others := slices.DeleteFunc(mirrors, func(m mirrorPod) bool { return reached[m.Node] })
	for _, s := range endpoints.Items {
		for _, e := range s.Endpoints {
			for _, address := range e.Addresses {
				if !known[address] {
					known[address] = true
					name, ok := replacing[address]
					others = append(others, mirrorPod{NodeFlags: NodeFlags{Node: cmp.Or(name, "at "+address)}, address: address, replaced: ok})
				}
			}
		}
	}
	return others, nil
}

// controlPlaneLabel is kubeadm's of control-plane nodes (LabelNodeRoleControlPlane in
// cmd/kubeadm/app/constants).
const controlPlaneLabel = "node-role.kubernetes.io/control-plane"

// replaced are the control-plane nodes without a mirror pod of their API server while
// others have one: kubelet replaces it, for which it deletes the previous manifest's
// before it makes the new one's (syncPod in pkg/kubelet).
func replaced(nodes []corev1.Node, mirrored map[string]bool) []corev1.Node {
	return slices.DeleteFunc(slices.Clone(nodes), func(n corev1.Node) bool {
		_, controlPlane := n.Labels[controlPlaneLabel]
		return !controlPlane || mirrored[n.Name] || len(mirrored) == 0
	})
}

func (c *ControlPlane) kubernetesNodes(ctx context.Context) ([]corev1.Node, error) {
	nodes, err := cluster.Retry(ctx, func() (*kube.List[corev1.Node], error) { return c.client.Nodes().List(ctx, metav1.ListOptions{}) })
	if err != nil {
		return nil, fmt.Errorf("listing the nodes of cluster %s: %w", c.name, err)
	}
	return nodes.Items, nil
}

// AllReached fails unless every API server of the cluster is on a node on
// which commands can be run: the error is an [*OthersError], or wraps
// [cluster.ErrNoNodeAccess] where there is no such node at all.
func (c *ControlPlane) AllReached(ctx context.Context) error {
	if len(node.ControlPlanes(c.nodes)) == 0 {
		return fmt.Errorf("%w: cluster %s", cluster.ErrNoNodeAccess, c.name)
	}
	others, err := c.unreached(ctx)
	if err != nil || len(others) == 0 {
		return err
	}
	e := &OthersError{Lack: "cannot be reached"}
	for _, o := range others {
		e.Nodes = append(e.Nodes, o.Node)
	}
	return e
}
