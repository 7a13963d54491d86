package cluster

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/openirsa/openirsa/internal/order"
	"github.com/openirsa/openirsa/pkg/node"
)

// What kind writes on the containers that are its nodes: pkg/cluster/constants and
// pkg/cluster/internal/providers/common of its module. Its own library finds
// clusters too, but starts the container runtime's program ten times for one.
const (
	kindClusterLabel = "io.x-k8s.kind.cluster"
	kindRoleLabel    = "io.x-k8s.kind.role"

	kindControlPlane = "control-plane"
	kindWorker       = "worker"
	kindLoadBalancer = "external-load-balancer" // in front of several control planes

	apiServerPort = "6443/tcp"
	// dockerDesktopLabel is the address at which Docker Desktop publishes the port, if that is not the one that Docker knows.
	dockerDesktopLabel = "desktop.docker.io/ports/" + apiServerPort
)

// kindContainer is a node of a kind cluster, or its load balancer, as `docker inspect`
// shows it. Podman and nerdctl show the same.
type kindContainer struct {
	Name            string
	Config          struct{ Labels map[string]string }
	NetworkSettings struct {
		Ports map[string][]struct{ HostIP, HostPort string } // where the container's ports are published, if it runs
	}
}

func (c *kindContainer) cluster() string { return c.Config.Labels[kindClusterLabel] }
func (c *kindContainer) role() string    { return c.Config.Labels[kindRoleLabel] }

// containerRuntime is the program that kind would run, and the environment
// variable with which kind's users choose another.
func containerRuntime() (string, error) {
	programs := []string{"docker", "nerdctl", "finch", "podman"}
	switch p := os.Getenv("KIND_EXPERIMENTAL_PROVIDER"); p {
	case "docker", "nerdctl", "finch", "nerdctl.lima", "podman":
		programs = []string{p}
	}
	for _, p := range programs {
		if _, err := exec.LookPath(p); err == nil {
			return p, nil
		}
	}
	if len(programs) == 1 {
		return "", fmt.Errorf("%w: kind is to use %s (KIND_EXPERIMENTAL_PROVIDER), and there is no such program", ErrNoCluster, programs[0])
	}
	return "", fmt.Errorf("%w: kind needs docker, podman or nerdctl, and there is none of them", ErrNoCluster)
}

// kindContainers are this machine's containers with a label of kind's, and the program that runs them.
func kindContainers(ctx context.Context, label string) (list []kindContainer, program string, err error) {
	if program, err = containerRuntime(); err != nil {
		return nil, "", err
	}
	for range 3 { // a container may be deleted before it is inspected
		var names, all []byte
		if names, err = output(ctx, program, "ps", "--all", "--filter", "label="+label, "--format", "{{.Names}}"); err != nil || len(names) == 0 {
			break
		}
		if all, err = output(ctx, program, append([]string{"inspect"}, strings.Fields(string(names))...)...); err == nil {
			err = json.Unmarshal(all, &list)
			break
		}
	}
	if err != nil {
		return nil, "", fmt.Errorf("listing the containers of kind clusters: %w", err)
	}
	for i := range list {
		list[i].Name = strings.TrimPrefix(list[i].Name, "/") // Docker's
	}
	order.By(list, func(a, b kindContainer) int { return strings.Compare(a.Name, b.Name) })
	return list, program, nil
}

// output is what a program writes to its standard output.
func output(ctx context.Context, program string, args ...string) ([]byte, error) {
	var out, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stdout, cmd.Stderr = &out, &stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%s %s: %w", program, args[0], cmp.Or(context.Cause(ctx), said(&stderr), err))
	}
	return bytes.TrimSpace(out.Bytes()), nil
}

func said(stderr *bytes.Buffer) error {
	if text := strings.TrimSpace(stderr.String()); text != "" {
		return errors.New(text)
	}
	return nil
}

// KindNames are the names of the kind clusters of this machine.
func KindNames(ctx context.Context) ([]string, error) {
	list, _, err := kindContainers(ctx, kindClusterLabel)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, c := range list {
		names = append(names, c.cluster())
	}
	slices.Sort(names)
	return slices.Compact(names), nil
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
func findKind(ctx context.Context, name string) (*Cluster, error) {
	list, program, err := kindContainers(ctx, kindClusterLabel+"="+name)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		names, err := KindNames(ctx)
		if err != nil {
			return nil, err
		}
		return nil, &NoKindClusterError{Name: name, Names: names}
	}
	c := &Cluster{Name: name, Kind: true}
	for _, n := range list {
		if role := n.role(); role == kindControlPlane || role == kindWorker {
			c.nodes = append(c.nodes, node.Container(program, n.Name, role == kindControlPlane))
		}
	}
	if c.config, err = kindConfig(ctx, list, c.nodes); err != nil {
		return nil, fmt.Errorf("kind cluster %q (do its containers run?): %w", name, err)
	}
	return c, nil
}

// kindConfig is the administrator's kubeconfig of a kind cluster, with the address at which its API server is published on this machine.
func kindConfig(ctx context.Context, list []kindContainer, nodes []node.Node) (*rest.Config, error) {
	nodes = node.ControlPlanes(nodes)
	if len(nodes) == 0 {
		return nil, errors.New("it has no control-plane node")
	}
	address, err := kindAddress(list)
	if err != nil {
		return nil, err
	}
	kubeconfig, err := nodes[0].Output(ctx, "cat", "/etc/kubernetes/admin.conf")
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig on node %s: %w", nodes[0].Name, err)
	}
	config, err := clientcmd.RESTConfigFromKubeConfig(kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig of node %s: %w", nodes[0].Name, err)
	}
	config.Host = "https://" + address
	return config, nil
}

// kindAddress is where a kind cluster's API server is published on this machine: that of the load balancer, if there is one.
func kindAddress(list []kindContainer) (string, error) {
	in := slices.IndexFunc(list, func(c kindContainer) bool { return c.role() == kindLoadBalancer })
	if in < 0 {
		in = slices.IndexFunc(list, func(c kindContainer) bool { return c.role() == kindControlPlane })
	}
	if in < 0 {
		return "", errors.New("it has no control-plane node")
	}
	if address := list[in].Config.Labels[dockerDesktopLabel]; address != "" {
		return address, nil
	}
	published := list[in].NetworkSettings.Ports[apiServerPort]
	if len(published) == 0 {
		return "", fmt.Errorf("container %s publishes no port %s", list[in].Name, apiServerPort)
	}
	return net.JoinHostPort(published[0].HostIP, published[0].HostPort), nil
}
