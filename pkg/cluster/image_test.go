package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openirsa/openirsa/pkg/node"
	"github.com/openirsa/openirsa/pkg/plan"
)

// images is a node with images. Like containerd it does not filter.
func images(t *testing.T, names ...string) (node.Node, *[]string) {
	have := &names
	return node.Node{Name: "node", Exec: func(ctx context.Context, in io.Reader, out io.Writer, command string, args ...string) error {
		switch {
		case command == "crictl" && args[0] == "images" && args[len(args)-1] == "--output=json":
			var list []string
			for i, name := range *have {
				list = append(list, fmt.Sprintf(`{"id":"sha256:%d","repoTags":[%q],"repoDigests":["x@sha256:1"],"size":"1"}`, i, name))
			}
			fmt.Fprintf(out, `{"images":[%s,{"id":"sha256:9","repoTags":[]}]}`, strings.Join(list, ","))
		case command == "crictl" && args[0] == "rmi":
			var left []string
			for _, name := range *have {
				if name != args[1] {
					left = append(left, name)
				}
			}
			*have = left
		case command == "ctr":
			want, _ := strings.CutPrefix(args[len(args)-1], "name==")
			for _, name := range *have {
				if name == want {
					fmt.Fprintln(out, name)
				}
			}
		default:
			t.Errorf("unknown command %s %q", command, args)
		}
		return nil
	}}, have
}

func TestRemoveImages(t *testing.T) {
	n, have := images(t, "openirsa.dev/openirsa:0123", "openirsa.dev/openirsa-other:1", "registry.k8s.io/pause:3.10", "openirsa.dev/openirsa:4567")
	c := &Cluster{Name: "dev", Kind: true, nodes: []node.Node{n}}
	ours := func(name string) bool { return strings.HasPrefix(name, "openirsa.dev/openirsa:") }
	steps, err := c.RemoveImages(t.Context(), ours)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"delete image openirsa.dev/openirsa:0123 on node node", "delete image openirsa.dev/openirsa:4567 on node node"}
	if diff := cmp.Diff(want, summaries(steps)); diff != "" {
		t.Fatal(diff)
	}
	if err := plan.Run(t.Context(), steps, nil); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"openirsa.dev/openirsa-other:1", "registry.k8s.io/pause:3.10"}, *have); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
	if steps, err := c.RemoveImages(t.Context(), ours); err != nil || len(steps) > 0 {
		t.Errorf("second time: %q, %v", summaries(steps), err)
	}
}

func TestLoadImageOnlyWhereMissing(t *testing.T) {
	with, _ := images(t, "openirsa.dev/openirsa:0123")
	without, _ := images(t, "openirsa.dev/openirsa:0124")
	without.Name = "other"
	c := &Cluster{Name: "dev", Kind: true, nodes: []node.Node{with, without}}
	steps, err := c.LoadImage(t.Context(), "openirsa.dev/openirsa:0123", nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"create image openirsa.dev/openirsa:0123 on node other"}, summaries(steps)); diff != "" {
		t.Error(diff)
	}
	c.Kind = false
	if _, err := c.LoadImage(t.Context(), "openirsa.dev/openirsa:0123", nil); !errors.Is(err, ErrNoNodeAccess) || !strings.Contains(err.Error(), "push image openirsa.dev/openirsa:0123 to a registry") {
		t.Errorf("error = %v", err)
	}
}
