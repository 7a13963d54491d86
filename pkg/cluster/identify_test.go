package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/openirsa/openirsa/pkg/node"
)

// machine answers as the machine of a node.
func machine(host, machineID, uid, kubectl, kind string) node.Node {
	return node.Node{Name: "given as " + host, Exec: func(_ context.Context, _ io.Reader, out io.Writer, command string, args ...string) error {
		if command == "sh" && len(args) > 1 && args[1] == identityScript {
			fmt.Fprintf(out, "%s\n%s\nboot\n%s\n%s\n%s\n", host, machineID, uid, kubectl, kind)
		}
		return nil
	}}
}

func TestIdentify(t *testing.T) {
	const kubectl = "/usr/bin/kubectl"
	f, _ := newAPI(t)
	f.node("ip-10-0-0-1.ec2.internal", "10.0.0.1")
	f.node("worker", "10.0.0.2")
	connect := func(machines ...node.Node) ([]node.Node, error) {
		c, err := Connect(t.Context(), Options{Kubeconfig: f.kubeconfig(t, "kind-remote"), Nodes: machines})
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
	clone := f.objects["/api/v1/nodes/worker"].DeepCopyObject().(*corev1.Node)
	clone.Name = "clone"
	f.put("/api/v1/nodes/clone", clone)
	byName := machine("worker", "machine of worker", "0", kubectl, "worker")
	if nodes, err := connect(byName); err != nil || nodes[0].Name != "worker" {
		t.Errorf("%+v, %v", nodes, err)
	}
	refuse("is no node of cluster", ErrNoCluster, machine("another", "machine of worker", "0", kubectl, "worker"))
}

// A manifest that a killed run has left, and that does not come up, goes.
func TestRestore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, c := newFake(t, 1)
		node, ctx := f.nodes[0], t.Context()
		if was, err := Restore(ctx, c.nodes[0]); err != nil || was {
			t.Errorf("an API server that was not changed: %t, %v", was, err)
		}
		node.refuses = func(f Flags) bool { return slices.Contains(f.Issuers, testIssuer) }
		steps, err := c.SetIssuer(ctx, options(t))
		if err != nil {
			t.Fatal(err)
		}
		killed, cancel := context.WithTimeoutCause(ctx, time.Minute, errKilled)
		defer cancel()
		if err := steps[0].Do(killed); !errors.Is(err, errKilled) {
			t.Fatalf("error = %v", err)
		}
		if node.serving || node.files[provenFile] != formerManifest {
			t.Fatalf("serving %t, files %q", node.serving, slices.Sorted(maps.Keys(node.files)))
		}
		if was, err := Restore(ctx, c.nodes[0]); err != nil || !was {
			t.Errorf("%t, %v", was, err)
		}
		if _, there := node.files[provenFile]; there || !node.serving || node.files[manifestFile] != formerManifest {
			t.Errorf("serving %t, files %q", node.serving, slices.Sorted(maps.Keys(node.files)))
		}
	})
}
