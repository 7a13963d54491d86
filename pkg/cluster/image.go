package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/openirsa/openirsa/pkg/node"
	"github.com/openirsa/openirsa/pkg/plan"
)

// LoadImage puts an image into every node of a kind cluster that does not have
// one of that name. The name must tell the content, so that having it means
// having the same. Archive writes the image as `docker save` does.
func (c *Cluster) LoadImage(ctx context.Context, image string, archive func(io.Writer) error) ([]plan.Step, error) {
	if !c.Kind {
		return nil, fmt.Errorf("%w: push image %s to a registry that cluster %s can pull from", ErrNoNodeAccess, image, c.Name)
	}
	var steps []plan.Step
	for _, n := range c.nodes {
		have, err := n.Output(ctx, "ctr", "--namespace=k8s.io", "images", "list", "--quiet", "name=="+image)
		if err != nil {
			return nil, fmt.Errorf("listing the images of node %s: %w", n.Name, err)
		}
		if strings.TrimSpace(string(have)) == image {
			continue
		}
		steps = append(steps, plan.Step{
			Link: plan.Webhook, Action: plan.Create, Summary: "image " + image + " on node " + n.Name,
			Do: func(ctx context.Context) error {
				r, w := io.Pipe()
				defer r.Close()
				stop := context.AfterFunc(ctx, func() { w.CloseWithError(context.Cause(ctx)) })
				defer stop()
				go func() { w.CloseWithError(archive(w)) }()
				if err := n.Exec(ctx, r, io.Discard, "sh", "-c", importScript); err != nil {
					return err
				}
				return context.Cause(ctx)
			},
		})
	}
	return steps, nil
}

// importScript imports an archive as `kind load` does, but without ctr's
// --digests: that gives the image one more name, import-DATE@DIGEST, which
// crictl cannot remove, so that the image would stay for ever.
const importScript = `s=$(containerd config dump | awk -F"[\"']" '/^ *snapshotter = / && $2 { print $2; exit }')
exec ctr --namespace=k8s.io images import --all-platforms --snapshotter="$s" -`

// imagesOf are the names of a node's images that are ours. The choice is made here:
// containerd answers to a filter with all its images.
func imagesOf(ctx context.Context, n node.Node, ours func(name string) bool) ([]string, error) {
	b, err := n.Output(ctx, "crictl", "images", "--output=json")
	if err != nil {
		return nil, fmt.Errorf("listing the images of node %s: %w", n.Name, err)
	}
	var list struct {
		Images []struct {
			RepoTags []string `json:"repoTags"`
		} `json:"images"`
	}
	if err := json.Unmarshal(b, &list); err != nil {
		return nil, fmt.Errorf("listing the images of node %s: %w", n.Name, err)
	}
	var names []string
	for _, image := range list.Images {
		for _, tag := range image.RepoTags {
			if ours(tag) {
				names = append(names, tag)
			}
		}
	}
	slices.Sort(names)
	return names, nil
}

// RemoveImages removes the images that are ours, by their names with tags, from the
// nodes of a kind cluster. Nothing is done to other clusters.
func (c *Cluster) RemoveImages(ctx context.Context, ours func(name string) bool) ([]plan.Step, error) {
	if !c.Kind {
		return nil, nil
	}
	var steps []plan.Step
	for _, n := range c.nodes {
		names, err := imagesOf(ctx, n, ours)
		if err != nil {
			return nil, err
		}
		for _, image := range names {
			steps = append(steps, plan.Step{
				Link: plan.Webhook, Action: plan.Delete, Summary: "image " + image + " on node " + n.Name,
				Do: func(ctx context.Context) error {
					if now, err := imagesOf(ctx, n, ours); err != nil || !slices.Contains(now, image) {
						return err // rmi fails if it is gone
					}
					return n.Exec(ctx, nil, io.Discard, "crictl", "rmi", image)
				},
			})
		}
	}
	return steps, nil
}
