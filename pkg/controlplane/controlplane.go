// Package controlplane changes the flags by which the API servers of a kubeadm
// cluster issue and accept the tokens of service accounts, and replaces the keys
// that sign them.
//
//	cp := controlplane.Of(c)                                    // c is a *cluster.Cluster
//	steps, err := cp.SetIssuer(ctx, controlplane.IssuerOptions{URL: iss})
//	err = plan.Run(ctx, steps, nil)
//
// API servers are static pods whose manifests are on their nodes. One is changed
// at a time, in two halves: a manifest is replaced, and the API server proves
// itself healthy with it or gets the previous one back. Whenever this program is
// killed, the same command again continues where it stopped. What a running
// process says of itself (its command line, its discovery document) counts as
// true, not what a file says that should run.
package controlplane

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/openirsa/openirsa/internal/kube"
	"github.com/openirsa/openirsa/pkg/cluster"
	"github.com/openirsa/openirsa/pkg/node"
)

// ControlPlane is the API servers and the controller managers of a cluster.
type ControlPlane struct {
	name   string // of the cluster, for messages
	client *kube.Client
	nodes  []node.Node // those on which commands can be run
	whole  bool        // the nodes are all that the cluster has
	pods   pods
}

// pods is what the cluster knows of the tokens in its pods.
type pods interface {
	// Issuer is the issuer of new tokens, empty where the API server tells none.
	Issuer(context.Context) (string, error)
	ProjectedTokens(context.Context) ([]cluster.Token, error)
	RenewTokens(ctx context.Context, tokens []cluster.Token, restarted map[string]bool) error
}

// Of is the control plane of a cluster. It asks nothing.
func Of(c *cluster.Cluster) *ControlPlane {
	return &ControlPlane{name: c.Name, client: c.Client(), nodes: c.Nodes(), whole: c.Kind, pods: c}
}

// DefaultWait is how long an API server may take to come up with new flags.
// Kubelet stops the previous one first, which alone may take half a minute.
const DefaultWait = 4 * time.Minute

// readAPIServers reads the state of all control-plane nodes.
func (c *ControlPlane) readAPIServers(ctx context.Context) ([]*podOnNode, error) {
	nodes := node.ControlPlanes(c.nodes)
	if len(nodes) == 0 {
		return nil, fmt.Errorf("%w: cluster %s", cluster.ErrNoNodeAccess, c.name)
	}
	servers := make([]*podOnNode, len(nodes))
	g, ctx := errgroup.WithContext(ctx)
	for i, n := range nodes {
		g.Go(func() (err error) {
			servers[i], err = readAPIServer(ctx, n)
			return err
		})
	}
	return servers, g.Wait()
}
