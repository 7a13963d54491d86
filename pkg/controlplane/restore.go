package controlplane

import (
	"context"

	"github.com/openirsa/openirsa/pkg/node"
)

// Restore puts back the manifest with which the API server on a node was last
// healthy, where a run that was killed has left one that has not come up since,
// and reports whether there was one. For when the API server cannot be asked.
func Restore(ctx context.Context, n node.Node) (bool, error) {
	there, err := n.Existing(ctx, provenFile)
	if err != nil || len(there) == 0 {
		return false, err
	}
	return true, restore(ctx, n, apiServerPod, DefaultWait)
}
