package cluster

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/tools/clientcmd"
	kind "sigs.k8s.io/kind/pkg/cluster"
	"sigs.k8s.io/kind/pkg/cluster/constants"
	kindexec "sigs.k8s.io/kind/pkg/exec"

	"github.com/openirsa/openirsa/internal/order"
	"github.com/openirsa/openirsa/pkg/node"
)

// kindProvider is the container runtime that kind would use, and the
// environment variable with which kind's users choose another.
func kindProvider() (*kind.Provider, error) {
	switch p := os.Getenv("KIND_EXPERIMENTAL_PROVIDER"); p {
	case "podman":
		return kind.NewProvider(kind.ProviderWithPodman()), nil
	case "docker":
		return kind.NewProvider(kind.ProviderWithDocker()), nil
	case "nerdctl", "finch", "nerdctl.lima":
		return kind.NewProvider(kind.ProviderWithNerdctl(p)), nil
	}
	detected, err := kind.DetectNodeProvider()
	if err != nil {
		return nil, fmt.Errorf("%w: kind needs docker, podman or nerdctl, and none of them answers here", ErrNoCluster)
	}
	return kind.NewProvider(detected), nil
}

// kindNames are the names of the kind clusters of this machine.
func kindNames() ([]string, error) {
	provider, err := kindProvider()
	if err != nil {
		return nil, err
	}
	names, err := provider.List()
	if err != nil {
		return nil, fmt.Errorf("listing the kind clusters: %w", kindError(err))
	}
	slices.Sort(names)
	return names, nil
}

// kindError is what the command said, instead of kind's error, which has the
// command line.
func kindError(err error) error {
	if run := kindexec.RunErrorForError(err); run != nil {
		if said := bytes.TrimSpace(run.Output); len(said) > 0 {
			return errors.New(string(said))
		}
	}
	return err
}

// NoKindClusterError is a kind cluster that was named and is not there. It is an
// [ErrNoCluster].
type NoKindClusterError struct {
	Name  string
	Names []string // those that are there
}

func (e *NoKindClusterError) Error() string {
	have := "there is none at all"
	if len(e.Names) > 0 {
		have = "there are: " + strings.Join(e.Names, ", ")
	}
	return fmt.Sprintf("%v: no kind cluster %q (%s)", ErrNoCluster, e.Name, have)
}

func (e *NoKindClusterError) Unwrap() error { return ErrNoCluster }

// findKind is the kind cluster of that name.
func findKind(name string) (*Cluster, error) {
	provider, err := kindProvider()
	if err != nil {
		return nil, err
	}
	all, err := provider.ListNodes(name)
	if err != nil {
		return nil, fmt.Errorf("listing the nodes of kind cluster %q: %w", name, kindError(err))
	}
	if len(all) == 0 {
		names, err := kindNames()
		if err != nil {
			return nil, err
		}
		return nil, &NoKindClusterError{Name: name, Names: names}
	}
	c := &Cluster{Name: name, Kind: true}
	var mu sync.Mutex
	var g errgroup.Group
	g.Go(func() error {
		kubeconfig, err := provider.KubeConfig(name, false)
		if err != nil {
			return fmt.Errorf("reading the kubeconfig of kind cluster %q (do its containers run?): %w", name, kindError(err))
		}
		if c.config, err = clientcmd.RESTConfigFromKubeConfig([]byte(kubeconfig)); err != nil {
			return fmt.Errorf("reading the kubeconfig of kind cluster %q: %w", name, err)
		}
		return nil
	})
	for _, n := range all {
		g.Go(func() error {
			role := constants.ControlPlaneNodeRoleValue
			if len(all) > 1 { // the only node is one; to ask takes the start of a program
				var err error
				if role, err = n.Role(); err != nil {
					return fmt.Errorf("asking for the role of node %s: %w", n, kindError(err))
				}
			}
			if role == constants.ControlPlaneNodeRoleValue || role == constants.WorkerNodeRoleValue {
				mu.Lock()
				defer mu.Unlock()
				c.nodes = append(c.nodes, node.OfKind(n, role == constants.ControlPlaneNodeRoleValue))
			}
			return nil // the load balancer in front of several control planes is no node
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	order.By(c.nodes, func(a, b node.Node) int { return strings.Compare(a.Name, b.Name) })
	return c, nil
}
