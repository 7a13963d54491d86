package cluster

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// NodeFlags are the flags of the API server on a node.
type NodeFlags struct {
	Node string
	Flags
}

// APIServerFlags are the flags with which the cluster's API servers run: from
// the processes where nodes can be reached, else from the mirror pods by which
// kubelet shows kubeadm's static pods. It is empty where neither is to be seen,
// as with a managed control plane.
func (c *Cluster) APIServerFlags(ctx context.Context) ([]NodeFlags, error) {
	var all []NodeFlags
	for _, n := range controlPlanes(c.nodes) {
		commandLines, err := n.apiServers(ctx)
		if err != nil {
			return nil, err
		}
		if len(commandLines) != 1 {
			continue // it restarts
		}
		flags, err := parseFlags(commandLines[0])
		if err != nil {
			return nil, fmt.Errorf("the API server on node %s: %w", n.Name, err)
		}
		all = append(all, NodeFlags{n.Name, flags})
	}
	if len(all) > 0 {
		return all, nil
	}
	pods, err := retry(ctx, func() (*corev1.PodList, error) {
		return c.client.CoreV1().Pods(metav1.NamespaceSystem).List(ctx, metav1.ListOptions{LabelSelector: "component=kube-apiserver"})
	})
	if err != nil {
		return nil, fmt.Errorf("listing the API servers of cluster %s: %w", c.Name, err)
	}
	for _, p := range pods.Items {
		for _, container := range p.Spec.Containers {
			if container.Name != "kube-apiserver" {
				continue
			}
			flags, err := parseFlags(append(container.Command, container.Args...))
			if err != nil {
				return nil, fmt.Errorf("the API server on node %s: %w", p.Spec.NodeName, err)
			}
			all = append(all, NodeFlags{p.Spec.NodeName, flags})
		}
	}
	return all, nil
}
