package cluster

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"path"
	"slices"
	"strconv"
	"strings"

	kindnodes "sigs.k8s.io/kind/pkg/cluster/nodes"
)

// Node is a machine of the cluster on which commands can be run as root: a
// kind node, [Local], or one of [SSH].
type Node struct {
	// Name is the Kubernetes name of the node.
	Name string
	// ControlPlane says that an API server runs there.
	ControlPlane bool
	// Exec runs a command on the node. in may be nil. An error carries what
	// the command wrote to its standard error.
	Exec func(ctx context.Context, in io.Reader, out io.Writer, command string, args ...string) error

	kind kindnodes.Node // nil if it is none of kind's
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

// output is what a command writes to its standard output.
func (n Node) output(ctx context.Context, command string, args ...string) ([]byte, error) {
	var out bytes.Buffer
	if err := n.Exec(ctx, nil, &out, command, args...); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// readScript tells a missing file (nothing at all) from an empty one.
const readScript = `[ -e "$1" ] || exit 0; printf x; exec cat -- "$1"`

// readFile is the content of a file and whether it exists.
func (n Node) readFile(ctx context.Context, file string) ([]byte, bool, error) {
	b, err := n.output(ctx, "sh", "-c", readScript, "sh", file)
	if err != nil {
		return nil, false, fmt.Errorf("reading %s on node %s: %w", file, n.Name, err)
	}
	if len(b) == 0 {
		return nil, false, nil
	}
	return b[1:], true, nil
}

// writeScript replaces file $1 at once or not at all. The name of the
// temporary file starts with a dot because kubelet ignores such files in its
// manifest directory (pkg/kubelet/config/file.go). The digest $2 tells a
// complete input from one that ended because we were killed. A new file gets
// mode $3, an existing one keeps its own.
const writeScript = `set -eu
d=$(dirname -- "$1"); t="$d/.$(basename -- "$1").openirsa"
mkdir -p -- "$d"
(umask 077; cat >"$t")
[ "$(sha256sum <"$t" | cut -c1-64)" = "$2" ] || { rm -f -- "$t"; echo "input cut short" >&2; exit 1; }
if [ -e "$1" ]; then chmod --reference="$1" -- "$t"; chown --reference="$1" -- "$t"; else chmod "$3" -- "$t"; fi
sync -- "$t"
mv -f -T -- "$t" "$1"
sync -- "$d"`

// writeFile replaces a file at once or not at all. Mode is that of a new file.
func (n Node) writeFile(ctx context.Context, file string, data []byte, mode string) error {
	sum := sha256.Sum256(data)
	err := n.Exec(ctx, bytes.NewReader(data), io.Discard, "sh", "-c", writeScript, "sh", file, hex.EncodeToString(sum[:]), mode)
	if err != nil {
		return fmt.Errorf("writing %s on node %s: %w", file, n.Name, err)
	}
	return nil
}

// remove removes files and directories with all they hold, if they exist.
func (n Node) remove(ctx context.Context, files ...string) error {
	if err := n.Exec(ctx, nil, io.Discard, "rm", append([]string{"-rf", "--"}, files...)...); err != nil {
		return fmt.Errorf("removing %s on node %s: %w", strings.Join(files, ", "), n.Name, err)
	}
	return nil
}

// existsScript prints those of its arguments that exist.
const existsScript = `for f; do [ -e "$f" ] && printf '%s\n' "$f"; done; true`

// existing are those of the files that exist.
func (n Node) existing(ctx context.Context, files ...string) ([]string, error) {
	b, err := n.output(ctx, "sh", append([]string{"-c", existsScript, "sh"}, files...)...)
	if err != nil {
		return nil, fmt.Errorf("looking for files on node %s: %w", n.Name, err)
	}
	return strings.Fields(string(b)), nil
}

// processesScript prints the command line of every process on the node that
// runs program $1: arguments end with NUL, command lines with an empty argument. The
// pod's own process ID namespace lies right under the node's: a process with
// more than two IDs belongs to a cluster nested in containers of this machine.
const processesScript = `for p in /proc/[0-9]*; do
  case "$(tr '\0' '\n' <"$p/cmdline" 2>/dev/null | head -n 1)" in
  "$1"|*/"$1") ;;
  *) continue ;;
  esac
  [ "$(sed -n 's/^NSpid:[[:space:]]*//p' "$p/status" 2>/dev/null | wc -w)" -le 2 ] || continue
  cat "$p/cmdline" 2>/dev/null && printf '\0'
done; true`

// apiServers are the command lines of the API servers that run on the node:
// one, none while it restarts, two for the moment that the former one needs
// to end.
func (n Node) apiServers(ctx context.Context) ([][]string, error) {
	return n.processes(ctx, apiServerPod)
}

func (n Node) processes(ctx context.Context, pod staticPod) ([][]string, error) {
	b, err := n.output(ctx, "sh", "-c", processesScript, "sh", string(pod))
	if err != nil {
		return nil, fmt.Errorf("reading the command line of the %s on node %s: %w", pod, n.Name, err)
	}
	var all [][]string
	for line := range strings.SplitSeq(strings.TrimSuffix(string(b), "\x00\x00"), "\x00\x00") {
		if line != "" {
			all = append(all, strings.Split(line, "\x00"))
		}
	}
	return all, nil
}

// hastenScript sends a signal to the API server whose command line has digest
// $1.
const hastenScript = `for p in /proc/[0-9]*; do
  [ "$(sha256sum 2>/dev/null <"$p/cmdline" | cut -c1-64)" != "$1" ] || kill -TERM "${p#/proc/}"
done; true`

// hasten ends an API server that has stopped serving but still waits for its
// clients to hang up, which those with a watch do not: without this kubelet
// kills it after half a minute. A second signal of the kind that kubelet has
// sent makes it exit (SetupSignalContext in k8s.io/apiserver/pkg/server).
func (n Node) hasten(ctx context.Context, commandLine []string) error {
	sum := sha256.Sum256([]byte(strings.Join(commandLine, "\x00") + "\x00"))
	return n.Exec(ctx, nil, io.Discard, "sh", "-c", hastenScript, "sh", hex.EncodeToString(sum[:]))
}

// adminConf is kubeadm's kubeconfig of the cluster's administrator.
const adminConf = "/etc/kubernetes/admin.conf"

// get asks the API server with the given command line, and no other behind a
// load balancer, for a path. Every API server's certificate holds the name
// "kubernetes" (kubeadm's GetAPIServerAltNames).
func (n Node) get(ctx context.Context, commandLine []string, urlPath string) ([]byte, error) {
	host := cmp.Or(flagValue(commandLine, "advertise-address"), "127.0.0.1")
	port := cmp.Or(flagValue(commandLine, "secure-port"), "6443")
	return n.output(ctx, "kubectl", "--kubeconfig="+adminConf, "--server=https://"+net.JoinHostPort(host, port),
		"--tls-server-name=kubernetes", "--request-timeout=5s", "get", "--raw", urlPath)
}

// logScript prints the last $2 lines of the newest container $1.
const logScript = `id=$(crictl ps --all --quiet --name "^$1\$" | head -n 1)
[ -z "$id" ] || crictl logs --tail "$2" "$id" 2>&1`

// podLog is the end of the newest container's log, or why it cannot be had.
func (n Node) podLog(ctx context.Context, pod staticPod) string {
	b, err := n.output(ctx, "sh", "-c", logScript, "sh", string(pod), "12")
	if err != nil {
		return fmt.Sprintf("(log not readable: %v)", err)
	}
	return strings.TrimSpace(string(b))
}

// restartKubelet has kubelet forget the tokens it keeps for running pods. The
// pods' containers go on running.
func (n Node) restartKubelet(ctx context.Context) error {
	if err := n.Exec(ctx, nil, io.Discard, "systemctl", "restart", "kubelet"); err != nil {
		return fmt.Errorf("restarting kubelet on node %s: %w", n.Name, err)
	}
	return nil
}

// podsDir is where kubelet keeps the volumes of pods.
const podsDir = "/var/lib/kubelet/pods"

// tokensScript prints, of those of the files named on its input, a line each, that
// are there below $1 and hold a token, the number of the line, and the token's
// header and payload; never a signature.
const tokensScript = `cd -- "$1" 2>/dev/null || exec cat >/dev/null
n=0; while IFS= read -r f; do
  n=$((n+1)); [ -f "$f" ] || continue
  IFS=. read -r h c s <"$f" 2>/dev/null || [ -n "$s" ] || continue
  case $h in eyJ*) printf '%s %s %s\n' "$n" "$h" "$c" ;; esac
done; true`

// projected is a token that kubelet projects into a pod, without what makes it
// one: the header and the payload, as base64url. File is the number of the file
// that holds it, from 0.
type projected struct {
	file            int
	header, payload string
}

// projectedTokens are the tokens in those of the files, below [podsDir], that are
// on the node. Only what kubelet itself has written may be among them.
func (n Node) projectedTokens(ctx context.Context, files []tokenFile) ([]projected, error) {
	var in, out bytes.Buffer
	for _, f := range files {
		in.WriteString(f.path + "\n")
	}
	if err := n.Exec(ctx, &in, &out, "sh", "-c", tokensScript, "sh", podsDir); err != nil {
		return nil, fmt.Errorf("reading the claims of projected tokens on node %s: %w", n.Name, err)
	}
	var all []projected
	for line := range strings.Lines(out.String()) {
		f := strings.Fields(line)
		if len(f) != 3 {
			continue
		}
		if i, err := strconv.Atoi(f[0]); err == nil && 0 < i && i <= len(files) {
			all = append(all, projected{i - 1, f[1], f[2]})
		}
	}
	return all, nil
}

// controlPlanes are the nodes with an API server.
func controlPlanes(nodes []Node) []Node {
	return slices.DeleteFunc(slices.Clone(nodes), func(n Node) bool { return !n.ControlPlane })
}
