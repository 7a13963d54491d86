package node

import (
	"bytes"
	"context"
	"io"

	kindnodes "sigs.k8s.io/kind/pkg/cluster/nodes"
	kindexec "sigs.k8s.io/kind/pkg/exec"
)

// OfKind is a node of a kind cluster, which kind's own library reaches, whatever
// the container runtime.
func OfKind(n kindnodes.Node, controlPlane bool) Node {
	exec := func(ctx context.Context, in io.Reader, out io.Writer, command string, args ...string) error {
		var stderr bytes.Buffer
		cmd := n.CommandContext(ctx, command, args...).SetStdout(out).SetStderr(&stderr)
		if in != nil {
			cmd = cmd.SetStdin(in)
		}
		err := cmd.Run()
		if run := kindexec.RunErrorForError(err); run != nil {
			err = run.Inner // without the long command line
		}
		return execError(ctx, command, &stderr, err)
	}
	return Node{Name: n.String(), ControlPlane: controlPlane, Exec: exec}
}
