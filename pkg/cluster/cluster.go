// Package cluster is a connection to a Kubernetes cluster, and what the project
// reads and changes through its API: objects, service accounts, the tokens in
// pods, the record of the installation, and the image in its nodes.
//
//	c, err := cluster.Connect(ctx, cluster.Options{})        // the kind cluster of the current context
//	jwks, err := c.JWKS(ctx)                                 // link 1, as the API server publishes it
//	steps, err := c.Apply(ctx, objects, plan.Webhook)
//	err = plan.Run(ctx, steps, nil)
//
// The nodes of a kind cluster are reached through the container runtime's program,
// which may be Docker's, Podman's or nerdctl; those of others by [node.SSH]. Package
// controlplane changes what runs there.
package cluster

import (
	"errors"
	"fmt"
	"slices"

	"k8s.io/client-go/rest"

	"github.com/openirsa/openirsa/internal/kube"
	"github.com/openirsa/openirsa/pkg/node"
	"github.com/openirsa/openirsa/pkg/record"
)

// Namespace holds everything that is installed in a cluster.
const Namespace = record.Namespace

// Why a cluster cannot be worked with.
var (
	ErrNoCluster       = errors.New("no cluster")
	ErrSeveralClusters = errors.New("several kind clusters")
	ErrUnreachable     = errors.New("the API server does not answer")
	ErrForbidden       = errors.New("not allowed")
	ErrNoNodeAccess    = errors.New("the nodes of this cluster cannot be reached from here")
)

// Cluster is a Kubernetes cluster whose API server answers.
type Cluster struct {
	// Name is kind's name of the cluster, otherwise kubeconfig's.
	Name string
	// Kind says that it is a kind cluster, whose nodes can be reached.
	Kind bool

	config *rest.Config
	client *kube.Client
	nodes  []node.Node

	recorded map[string]string // as this process has read or written it last; see SetState
	hasRead  bool
}

// Client is a typed client of the cluster.
func (c *Cluster) Client() *kube.Client { return c.client }

// Config is how to reach the cluster. The caller may change the copy.
func (c *Cluster) Config() *rest.Config { return rest.CopyConfig(c.config) }

// Nodes are the nodes that can be reached: all those of a kind cluster, sorted
// by name, and of another one those of [Options].
func (c *Cluster) Nodes() []node.Node { return slices.Clone(c.nodes) }

// New is a cluster that somebody else has found, such as the environment of a
// test suite, with the nodes on which commands can be run. It asks nothing. Config
// is not changed.
func New(name string, config *rest.Config, nodes ...node.Node) (*Cluster, error) {
	c := &Cluster{Name: name, config: rest.CopyConfig(config), nodes: slices.Clone(nodes)}
	if err := c.connect(); err != nil {
		return nil, err
	}
	return c, nil
}

// connect makes the client.
func (c *Cluster) connect() (err error) {
	// Nearly every request is one step of ours, and many run at a time: the
	// API server's own priority and fairness limits them.
	c.config.QPS = -1
	c.config.UserAgent = "openirsa"
	c.config.WarningHandler = rest.NoWarnings{}
	if c.client, err = kube.New(c.config); err != nil {
		return fmt.Errorf("reading the kubeconfig of %s: %w", c.Name, err)
	}
	return nil
}
