package controlplane

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openirsa/openirsa/internal/kube"
	"github.com/openirsa/openirsa/internal/wait"
	"github.com/openirsa/openirsa/pkg/cluster"
	"github.com/openirsa/openirsa/pkg/issuer"
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
// the mirror pod again when the manifest changes, before it starts the container.
type mirrorPod struct {
	NodeFlags
	address  string    // --advertise-address
	since    time.Time // its process runs and is ready with these flags; zero if not
	replaced bool      // there is none now: see the function replaced
}

// mirrorPods are the API servers that are static pods of kubeadm's.
func (c *ControlPlane) mirrorPods(ctx context.Context) ([]mirrorPod, error) {
	pods, err := cluster.Retry(ctx, func() (*kube.List[corev1.Pod], error) {
		return c.client.Pods(metav1.NamespaceSystem).List(ctx, metav1.ListOptions{LabelSelector: "component=kube-apiserver"})
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

// shown are the API servers as far as the cluster shows them: by their mirror
// pods, or one, on an unknown node, by its discovery document. While kubelet replaces
// a mirror pod it waits, for two minutes: nobody is to take an API server for one that
// is not there.
func (c *ControlPlane) shown(ctx context.Context) ([]NodeFlags, error) {
	for deadline := time.Now().Add(restartTime); ; {
		all, err := c.APIServerFlags(ctx)
		if err != nil {
			return nil, err
		}
		if len(all) == 0 {
			break
		}
		complete, err := c.allShown(ctx, all)
		if err != nil || complete || time.Now().After(deadline) {
			return all, err
		}
		if err := wait.Sleep(ctx, 2*time.Second); err != nil {
			return nil, err
		}
	}
	iss, err := c.pods.Issuer(ctx)
	if err != nil || iss == "" {
		return []NodeFlags{{}}, err
	}
	return []NodeFlags{{Flags: Flags{Issuers: []string{iss}}}}, nil
}

func (c *ControlPlane) allShown(ctx context.Context, all []NodeFlags) (bool, error) {
	if len(node.ControlPlanes(c.nodes)) > 0 {
		return true, nil // by their processes
	}
	nodes, err := c.kubernetesNodes(ctx)
	mirrored := make(map[string]bool)
	for _, f := range all {
		mirrored[f.Node] = true
	}
	return len(replaced(nodes, mirrored)) == 0, err
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
