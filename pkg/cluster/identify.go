package cluster

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openirsa/openirsa/internal/kube"
	"github.com/openirsa/openirsa/pkg/node"
)

// identify finds the machines among the nodes of the cluster: by the ids that
// kubelet has put into each Node, and by name where these are not unique. It
// proves that the kubeconfig is of the cluster that the machines belong to.
func (c *Cluster) identify(ctx context.Context, machines []node.Node) ([]node.Node, error) {
	list, err := Retry(ctx, func() (*kube.List[corev1.Node], error) { return c.client.Nodes().List(ctx, metav1.ListOptions{}) })
	if err != nil {
		return nil, fmt.Errorf("listing the nodes of cluster %s: %w", c.Name, err)
	}
	nodes := slices.Clone(machines)
	for i, m := range machines {
		is, err := m.Identify(ctx)
		if err != nil {
			return nil, err
		}
		var found []string
		for _, n := range list.Items {
			if info := n.Status.NodeInfo; info.MachineID == is.MachineID && info.BootID == is.BootID {
				found = append(found, n.Name)
			}
		}
		if len(found) > 1 {
			found = slices.DeleteFunc(found, func(name string) bool { return name != is.Host })
		}
		if len(found) != 1 {
			return nil, fmt.Errorf("%w: %s (host name %s, machine-id %s) is no node of cluster %s at %s",
				ErrNoCluster, m.Name, is.Host, is.MachineID, c.Name, c.config.Host)
		}
		if j := slices.IndexFunc(nodes[:i], func(n node.Node) bool { return n.Name == found[0] }); j >= 0 {
			return nil, fmt.Errorf("%s and %s are the same machine, node %s", machines[j].Name, m.Name, found[0])
		}
		nodes[i].Name = found[0]
		nodes[i].ControlPlane = is.ControlPlane
		if nodes[i].ControlPlane && is.Kubectl == "" {
			return nil, fmt.Errorf("node %s has no kubectl, with which its API server is asked for its health: install it there", found[0])
		}
	}
	return nodes, nil
}
