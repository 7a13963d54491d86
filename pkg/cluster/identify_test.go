package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/openirsa/openirsa/pkg/node"
)

// machine answers as the machine of a node.
func machine(host, machineID, uid, kubectl, kind string) node.Node {
	return node.Node{Name: "given as " + host, Exec: func(_ context.Context, _ io.Reader, out io.Writer, command string, args ...string) error {
		if command == "sh" && len(args) > 1 && strings.Contains(args[1], "machine-id") {
			fmt.Fprintf(out, "%s\n%s\nboot\n%s\n%s\n%s\n", host, machineID, uid, kubectl, kind)
		}
		return nil
	}}
}

func TestIdentify(t *testing.T) {
	const kubectl = "/usr/bin/kubectl"
	f, _ := newAPI(t)
	f.Node("ip-10-0-0-1.ec2.internal", "10.0.0.1")
	f.Node("worker", "10.0.0.2")
	connect := func(machines ...node.Node) ([]node.Node, error) {
		c, err := Connect(t.Context(), Options{Kubeconfig: f.Kubeconfig(t, "kind-remote"), Nodes: machines})
		if err != nil {
			return nil, err
		}
		return c.Nodes(), nil
	}
	refuse := func(want string, is error, machines ...node.Node) {
		t.Helper()
		if _, err := connect(machines...); err == nil || !strings.Contains(err.Error(), want) || is != nil && !errors.Is(err, is) {
			t.Errorf("error = %v, want %q", err, want)
		}
	}

	first := machine("cp1", "machine of ip-10-0-0-1.ec2.internal", "0", kubectl, "control-plane")
	worker := machine("w", "machine of worker", "0", "", "worker")
	nodes, err := connect(first, worker)
	if err != nil {
		t.Fatal(err)
	}
	if len(nodes) != 2 || nodes[0].Name != "ip-10-0-0-1.ec2.internal" || !nodes[0].ControlPlane || nodes[1].Name != "worker" || nodes[1].ControlPlane {
		t.Errorf("nodes = %+v", nodes)
	}

	refuse("run as uid 1000", node.ErrNotRoot, machine("cp1", "machine of worker", "1000", kubectl, "control-plane"))
	refuse("is no node of cluster", ErrNoCluster, machine("cp1", "machine of another cluster", "0", kubectl, "control-plane"))
	refuse("are the same machine", nil, first, first)
	refuse("has no kubectl", nil, machine("cp1", "machine of worker", "0", "", "control-plane"))

	// Machines that were cloned with their id are told apart by name.
	clone := f.Objects["/api/v1/nodes/worker"].DeepCopyObject().(*corev1.Node)
	clone.Name = "clone"
	f.Put("/api/v1/nodes/clone", clone)
	byName := machine("worker", "machine of worker", "0", kubectl, "worker")
	if nodes, err := connect(byName); err != nil || nodes[0].Name != "worker" {
		t.Errorf("%+v, %v", nodes, err)
	}
	refuse("is no node of cluster", ErrNoCluster, machine("another", "machine of worker", "0", kubectl, "worker"))
}
