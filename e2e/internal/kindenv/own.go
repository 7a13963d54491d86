package kindenv

import (
	"context"
	"fmt"
	"time"

	"sigs.k8s.io/yaml"
)

// Own is a cluster that somebody else creates, by running kind with this configuration. One of that name that is there is
// deleted. Like that of [Env.Add] it goes with the others at the end, or by [Env.Discard].
func (e *Env) Own(name string) (*Cluster, []byte, error) {
	index, err := e.register(name)
	if err != nil {
		return nil, nil, err
	}
	c := e.newCluster(name)
	if err := c.delete(); err != nil {
		return nil, nil, err
	}
	config := configuration(e.Route, e.opts.Instance, index, Shape{ControlPlanes: 1, Tuned: true})
	config.Name = name
	for i := range config.Nodes {
		config.Nodes[i].Image = e.node
	}
	text, err := yaml.Marshal(config)
	if err != nil {
		return nil, nil, fmt.Errorf("writing the configuration of the cluster %s: %w", name, err)
	}
	return c, text, nil
}

// Discard deletes a cluster, also where others are to be reused.
func (e *Env) Discard(c *Cluster) error { return c.delete() }

// WaitReady waits until the cluster is there and its nodes are ready, or ctx ends.
func (c *Cluster) WaitReady(ctx context.Context) error {
	for !c.healthy() {
		if err := sleep(ctx, time.Second); err != nil {
			return err
		}
	}
	return nil
}
