// Package node runs commands, as root, on the machines of a Kubernetes cluster,
// and reads and replaces their files. It knows nothing of what runs there but
// kubelet.
//
//	n := node.SSH("admin@10.0.0.5")
//	text, ok, err := n.ReadFile(ctx, node.APIServerManifest)
//
// A file is replaced at once or not at all, whenever this program is killed.
package node

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"path"
	"slices"
	"strconv"
)

// Node is a machine of the cluster on which commands can be run as root: a
// node of kind's ([Container]), [Local], or one of [SSH].
type Node struct {
	// Name is the Kubernetes name of the node.
	Name string
	// ControlPlane says that an API server runs there.
	ControlPlane bool
	// Exec runs a command on the node. in may be nil. An error carries what
	// the command wrote to its standard error.
	Exec func(ctx context.Context, in io.Reader, out io.Writer, command string, args ...string) error
}

// execError makes one error of a command's failure and of what it said.
func execError(ctx context.Context, command string, stderr *bytes.Buffer, err error) error {
	if err == nil {
		return nil
	}
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	if said := bytes.TrimSpace(stderr.Bytes()); len(said) > 0 {
		const most = 2000
		return fmt.Errorf("%s: %w: %s", path.Base(command), err, said[max(0, len(said)-most):])
	}
	return fmt.Errorf("%s: %w", path.Base(command), err)
}

// Output is what a command writes to its standard output.
func (n Node) Output(ctx context.Context, command string, args ...string) ([]byte, error) {
	var out bytes.Buffer
	if err := n.Exec(ctx, nil, &out, command, args...); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// ControlPlanes are the nodes with an API server.
func ControlPlanes(nodes []Node) []Node {
	return slices.DeleteFunc(slices.Clone(nodes), func(n Node) bool { return !n.ControlPlane })
}

const untilScript = `i=$1; shift
until said=$("$@" 2>&1); do
  i=$((i - 1))
  [ "$i" -gt 0 ] || { echo "$said" >&2; exit 1; }
  sleep 1
done`

// Until runs a command on the node, a second after it has failed again, so many times at
// most. The error is that of the last time. To wait there takes less than to come again.
func (n Node) Until(ctx context.Context, times int, command string, args ...string) error {
	return n.Exec(ctx, nil, io.Discard, "sh", append([]string{"-c", untilScript, "sh", strconv.Itoa(times), command}, args...)...)
}
