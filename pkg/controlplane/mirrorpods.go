package controlplane

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openirsa/openirsa/pkg/cluster"
	"github.com/openirsa/openirsa/pkg/node"
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
func (c *ControlPlane) APIServerFlags(ctx context.Context) ([]NodeFlags, error) {
	var all []NodeFlags
	for _, n := range node.ControlPlanes(c.nodes) {
		commandLines, err := apiServers(ctx, n)
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
	mirrors, err := c.mirrorPods(ctx)
	for _, m := range mirrors {
		all = append(all, m.NodeFlags)
	}
	return all, err
}

// mirrorPod is an API server as kubelet shows it through the API. Kubelet makes
// the mirror pod anew when the manifest changes, before it starts the container.
type mirrorPod struct {
	NodeFlags
	address string    // --advertise-address
	since   time.Time // its process runs and is ready with these flags; zero if not
}

// mirrorPods are the API servers that are static pods of kubeadm's.
func (c *ControlPlane) mirrorPods(ctx context.Context) ([]mirrorPod, error) {
	pods, err := cluster.Retry(ctx, func() (*corev1.PodList, error) {
		return c.client.CoreV1().Pods(metav1.NamespaceSystem).List(ctx, metav1.ListOptions{LabelSelector: "component=kube-apiserver"})
	})
	if err != nil {
		return nil, fmt.Errorf("listing the API servers of cluster %s: %w", c.name, err)
	}
	var all []mirrorPod
	for _, p := range pods.Items {
		i := slices.IndexFunc(p.Spec.Containers, func(c corev1.Container) bool { return c.Name == string(apiServerPod) })
		if i < 0 {
			continue
		}
		m := mirrorPod{NodeFlags: NodeFlags{Node: p.Spec.NodeName}}
		args := slices.Concat(p.Spec.Containers[i].Command, p.Spec.Containers[i].Args)
		if m.Flags, err = parseFlags(args); err != nil {
			return nil, fmt.Errorf("the API server on node %s: %w", m.Node, err)
		}
		m.address = flagValue(args, "advertise-address")
		for _, s := range p.Status.ContainerStatuses {
			if s.Name == string(apiServerPod) && s.Ready && s.State.Running != nil && p.DeletionTimestamp == nil {
				m.since = s.State.Running.StartedAt.Time
			}
		}
		all = append(all, m)
	}
	return all, nil
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
	known := make(map[string]bool) // addresses
	for _, m := range mirrors {
		known[m.address] = true
	}
	nodes, err := cluster.Retry(ctx, func() (*corev1.NodeList, error) { return c.client.CoreV1().Nodes().List(ctx, metav1.ListOptions{}) })
	if err != nil {
		return nil, fmt.Errorf("listing the nodes of cluster %s: %w", c.name, err)
	}
	for _, n := range nodes.Items {
		mirrored := slices.ContainsFunc(mirrors, func(m mirrorPod) bool { return m.Node == n.Name })
		for _, a := range n.Status.Addresses {
			known[a.Address] = known[a.Address] || mirrored || reached[n.Name]
		}
	}
	endpoints, err := cluster.Retry(ctx, func() (*discoveryv1.EndpointSliceList, error) {
		return c.client.DiscoveryV1().EndpointSlices(metav1.NamespaceDefault).List(ctx, metav1.ListOptions{LabelSelector: discoveryv1.LabelServiceName + "=kubernetes"})
	})
	if err != nil {
		return nil, fmt.Errorf("listing the addresses of the API servers of cluster %s: %w", c.name, err)
	}
	others := slices.DeleteFunc(mirrors, func(m mirrorPod) bool { return reached[m.Node] })
	for _, s := range endpoints.Items {
		for _, e := range s.Endpoints {
			for _, address := range e.Addresses {
				if !known[address] {
					known[address] = true
					others = append(others, mirrorPod{NodeFlags: NodeFlags{Node: "at " + address}, address: address})
				}
			}
		}
	}
	return others, nil
}
