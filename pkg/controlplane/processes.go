package controlplane

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"

	"github.com/openirsa/openirsa/pkg/node"
)

// pidsOf is a shell function that prints the ids of the node's processes that run
// program $1. The pod's own process ID namespace lies right under the node's: a process
// with more than two IDs belongs to a cluster nested in containers of this machine. Nodes
// have hundreds of processes: grep finds the few that are worth a look.
const pidsOf = `pids_of() {
  for p in $(grep -lsF -e "$1" /proc/[0-9]*/cmdline); do
    p=${p%/cmdline}
    case "$(tr '\0' '\n' <"$p/cmdline" 2>/dev/null | head -n 1)" in
    "$1"|*/"$1") ;;
    *) continue ;;
    esac
    [ "$(sed -n 's/^NSpid:[[:space:]]*//p' "$p/status" 2>/dev/null | wc -w)" -le 2 ] || continue
    echo "${p#/proc/}"
  done
}
`

// processesScript prints the ids of the node's processes that run program $1, on a line, and then the command line
// of each: arguments end with NUL, command lines with an empty argument. While the ids are $2 it looks again every
// second, $3 times at most: to wait there takes less than to ask again. As long as all of $2 run it starts nothing for
// that: a static pod's next process is started when the previous one has ended.
const processesScript = pidsOf + `run() {
  for p in $1; do [ -d "/proc/$p" ] || return; done
  [ "$1" ]
}
pids=$(pids_of "$1" | tr '\n' ' ') i=0
while [ "$pids" = "$2" ] && [ "$i" -lt "$3" ]; do
  sleep 1
  i=$((i + 1))
  run "$2" || pids=$(pids_of "$1" | tr '\n' ' ')
done
echo "$pids"
for p in $pids; do
  cat "/proc/$p/cmdline" 2>/dev/null && printf '\0'
done; true`

// running are the processes that run a program on a node: one, none while it restarts,
// two for the moment that the previous one needs to end.
type running struct {
	pids         string
	commandLines [][]string
}

func apiServers(ctx context.Context, n node.Node) ([][]string, error) {
	now, err := processes(ctx, n, apiServerPod, running{}, 0)
	return now.commandLines, err
}

// processes are those of a pod's program that run now, or, if those are the former
// ones, as soon as there are others, so many seconds later at most.
func processes(ctx context.Context, n node.Node, pod staticPod, former running, seconds int) (running, error) {
	b, err := n.Output(ctx, "sh", "-c", processesScript, "sh", string(pod), former.pids, strconv.Itoa(seconds))
	if err != nil {
		return running{}, fmt.Errorf("reading the command line of the %s on node %s: %w", pod, n.Name, err)
	}
	var now running
	pids, rest, _ := strings.Cut(string(b), "\n")
	now.pids = pids
	for line := range strings.SplitSeq(strings.TrimSuffix(rest, "\x00\x00"), "\x00\x00") {
		if line != "" {
			now.commandLines = append(now.commandLines, strings.Split(line, "\x00"))
		}
	}
	return now, nil
}

// hastenScript sends a signal to the API server whose command line begins with $2 and has
// digest $1.
const hastenScript = `for p in $(grep -lsF -e "$2" /proc/[0-9]*/cmdline); do
  p=${p%/cmdline}
  [ "$(sha256sum 2>/dev/null <"$p/cmdline" | cut -c1-64)" != "$1" ] || kill -TERM "${p#/proc/}"
done; true`

// hasten ends an API server that has stopped serving but still waits for its
// clients to hang up, which those with a watch do not: without this kubelet
// kills it after half a minute. A second signal of the kind that kubelet has
// sent makes it exit (SetupSignalContext in k8s.io/apiserver/pkg/server).
func hasten(ctx context.Context, n node.Node, commandLine []string) error {
	sum := sha256.Sum256([]byte(strings.Join(commandLine, "\x00") + "\x00"))
	return n.Exec(ctx, nil, io.Discard, "sh", "-c", hastenScript, "sh", hex.EncodeToString(sum[:]), commandLine[0])
}

// adminConf is kubeadm's kubeconfig of the cluster's administrator.
const adminConf = "/etc/kubernetes/admin.conf"

// get asks the API server with the given command line, and no other behind a
// load balancer, for a path. Every API server's certificate holds the name
// "kubernetes" (kubeadm's GetAPIServerAltNames).
func get(ctx context.Context, n node.Node, commandLine []string, urlPath string) ([]byte, error) {
	return n.Output(ctx, "kubectl", getArgs(commandLine, urlPath)...)
}

// ready asks the API server with the given command line whether it is ready, every second until it is, so many times at most.
func ready(ctx context.Context, n node.Node, commandLine []string, times int) error {
	return n.Until(ctx, times, "kubectl", getArgs(commandLine, "/readyz")...)
}

// getArgs are kubectl's arguments for [get].
func getArgs(commandLine []string, urlPath string) []string {
	host := cmp.Or(flagValue(commandLine, "advertise-address"), "127.0.0.1")
	port := cmp.Or(flagValue(commandLine, "secure-port"), "6443")
	return []string{"--kubeconfig=" + adminConf, "--server=https://" + net.JoinHostPort(host, port),
		"--tls-server-name=kubernetes", "--request-timeout=5s", "get", "--raw", urlPath}
}

// logScript prints the last $2 lines of the newest container $1.
const logScript = `id=$(crictl ps --all --quiet --name "^$1\$" | head -n 1)
[ -z "$id" ] || crictl logs --tail "$2" "$id" 2>&1`

// podLog is the end of the newest container's log, or why it cannot be had.
func podLog(ctx context.Context, n node.Node, pod staticPod) string {
	b, err := n.Output(ctx, "sh", "-c", logScript, "sh", string(pod), "12")
	if err != nil {
		return fmt.Sprintf("(log not readable: %v)", err)
	}
	return strings.TrimSpace(string(b))
}
