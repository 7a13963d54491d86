package cluster

import (
	"context"
	"io"

	"github.com/openirsa/openirsa/pkg/node"
	"github.com/openirsa/openirsa/pkg/plan"
)

// StateDir is where the emulator keeps its state on a node.
const StateDir = "/var/lib/openirsa"

// StateNode is the node of a kind cluster whose [StateDir] keeps what programs
// of ours must not lose: the first control-plane node, which outlives the
// others. False for clusters whose nodes cannot be reached.
func (c *Cluster) StateNode() (node.Node, bool) {
	for _, n := range c.nodes {
		if n.ControlPlane {
			return n, true
		}
	}
	return node.Node{}, false
}

// MakeNodeState makes [StateDir] on the [Cluster.StateNode].
func (c *Cluster) MakeNodeState(ctx context.Context) ([]plan.Step, error) {
	n, ok := c.StateNode()
	if !ok {
		return nil, nil
	}
	there, err := n.Existing(ctx, StateDir)
	if err != nil || len(there) > 0 {
		return nil, err
	}
	return []plan.Step{{
		Link: plan.Emulator, Action: plan.Create, Summary: "directory " + StateDir + " on node " + n.Name,
		Do: func(ctx context.Context) error {
			return n.Exec(ctx, nil, io.Discard, "mkdir", "--parents", "--mode=0750", StateDir)
		},
	}}, nil
}

// RemoveNodeState removes what programs of ours have kept on nodes, which is
// the emulator's state. It must have ended before.
func (c *Cluster) RemoveNodeState(ctx context.Context) ([]plan.Step, error) {
	var steps []plan.Step
	for _, n := range c.nodes {
		there, err := n.Existing(ctx, StateDir)
		if err != nil {
			return nil, err
		}
		if len(there) == 0 {
			continue
		}
		steps = append(steps, plan.Step{
			Link: plan.Emulator, Action: plan.Delete, Summary: "directory " + StateDir + " on node " + n.Name,
			Do: func(ctx context.Context) error { return n.Remove(ctx, StateDir) },
		})
	}
	return steps, nil
}
