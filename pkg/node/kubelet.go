package node

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// RestartKubelet has kubelet forget the tokens it keeps for running pods. The
// pods' containers keep running.
func (n Node) RestartKubelet(ctx context.Context) error {
	if err := n.Exec(ctx, nil, io.Discard, "systemctl", "restart", "kubelet"); err != nil {
		return fmt.Errorf("restarting kubelet on node %s: %w", n.Name, err)
	}
	return nil
}

// PodsDir is where kubelet keeps the volumes of pods.
const PodsDir = "/var/lib/kubelet/pods"

// tokensScript prints, of those of the files named on its input, a line each, that
// are there below $1 and hold a token, the number of the line, and the token's
// header and payload; never a signature.
const tokensScript = `cd -- "$1" 2>/dev/null || exec cat >/dev/null
n=0; while IFS= read -r f; do
  n=$((n+1)); [ -f "$f" ] || continue
  IFS=. read -r h c s <"$f" 2>/dev/null || [ -n "$s" ] || continue
  case $h in eyJ*) printf '%s %s %s\n' "$n" "$h" "$c" ;; esac
done; true`

// ProjectedToken is a token that kubelet projects into a pod, without what makes it
// one: the header and the payload, as base64url.
type ProjectedToken struct {
	File            int // the index of the file that holds it
	Header, Payload string
}

// ProjectedTokens are the tokens in those of the files, below [PodsDir], that are
// on the node. Only what kubelet itself has written may be among them.
func (n Node) ProjectedTokens(ctx context.Context, files []string) ([]ProjectedToken, error) {
	var in, out bytes.Buffer
	for _, f := range files {
		in.WriteString(f + "\n")
	}
	if err := n.Exec(ctx, &in, &out, "sh", "-c", tokensScript, "sh", PodsDir); err != nil {
		return nil, fmt.Errorf("reading the claims of projected tokens on node %s: %w", n.Name, err)
	}
	var all []ProjectedToken
	for line := range strings.Lines(out.String()) {
		f := strings.Fields(line)
		if len(f) != 3 {
			continue
		}
		if i, err := strconv.Atoi(f[0]); err == nil && 0 < i && i <= len(files) {
			all = append(all, ProjectedToken{i - 1, f[1], f[2]})
		}
	}
	return all, nil
}
