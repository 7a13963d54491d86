package controlplane

import (
	"context"
	"fmt"

	"github.com/openirsa/openirsa/pkg/node"
)

// podOnNode is a static pod as it is on one control-plane node.
type podOnNode struct {
	node.Node
	*manifest
	former   *manifest // that of an API server whose issuer was changed by us, else nil
	unproven bool      // there is a provenFile
	running  bool      // one process runs, with the flags of the manifest
}

// readAPIServer reads the state of the API server on a node.
func readAPIServer(ctx context.Context, n node.Node) (*podOnNode, error) {
	return readPod(ctx, n, apiServerPod)
}

func readPod(ctx context.Context, n node.Node, pod staticPod) (*podOnNode, error) {
	// Where a swap is under way, or was cut short, what comes is what counts. It is looked for before it may have come.
	files, err := n.ReadFiles(ctx, pod.waitingFile(), pod.manifestFile(), pod.provenFile(), formerFile)
	if err != nil {
		return nil, err
	}
	text, proven, former := files[1], files[2], files[3]
	if text == nil {
		text = files[0]
	}
	if text == nil {
		return nil, fmt.Errorf("node %s has no %s: its %s is not a static pod of kubeadm's", n.Name, pod.manifestFile(), pod)
	}
	s := &podOnNode{Node: n, unproven: proven != nil}
	if s.manifest, err = pod.parse(text); err != nil {
		return nil, fmt.Errorf("reading %s on node %s: %w", pod.manifestFile(), n.Name, err)
	}
	if pod == apiServerPod && former != nil {
		if s.former, err = parseManifest(former); err != nil {
			return nil, fmt.Errorf("reading %s on node %s: %w", formerFile, n.Name, err)
		}
	}
	now, err := processes(ctx, n, pod, running{}, 0)
	if err != nil {
		return nil, err
	}
	if len(now.commandLines) == 1 {
		flags, err := parseFlags(now.commandLines[0])
		s.running = err == nil && flags.equal(s.Flags)
	}
	return s, nil
}

// has reports whether nothing is left to do for these flags.
func (s *podOnNode) has(want Flags) bool {
	return s.running && !s.unproven && s.Flags.equal(want)
}
