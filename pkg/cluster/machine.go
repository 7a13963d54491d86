package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ErrNotRoot says that commands on a machine do not run as root.
var ErrNotRoot = errors.New("root is needed")

// Local is the machine this program runs on, which must be as root. Its name
// is known when [Connect] has found it among the nodes of the cluster.
func Local() Node {
	return Node{Name: "this machine", Exec: func(ctx context.Context, in io.Reader, out io.Writer, command string, args ...string) error {
		return run(ctx, exec.CommandContext(ctx, command, args...), command, in, out)
	}}
}

// SSH is a machine that the system's ssh client reaches, without asking for
// anything: destination is what ssh takes, such as "admin@10.0.0.5" or a host of
// ~/.ssh/config. Whoever logs in is root, or may become it by sudo without a
// password. A machine that is silent for 45 s ends the command.
func SSH(destination string) Node {
	return Node{Name: destination, Exec: func(ctx context.Context, in io.Reader, out io.Writer, command string, args ...string) error {
		// Sshd gives the line to the user's shell.
		line := []string{"exec", "sh", "-c", quote(becomeRoot), "sh", quote(command)}
		for _, arg := range args {
			line = append(line, quote(arg))
		}
		ssh := exec.CommandContext(ctx, "ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10",
			"-o", "ServerAliveInterval=15", "-o", "ServerAliveCountMax=3", "--", destination, strings.Join(line, " "))
		return run(ctx, ssh, command, in, out)
	}}
}

const becomeRoot = `if [ "$(id -u)" = 0 ]; then exec "$@"; else exec sudo -n -- "$@"; fi`

// quote is a word that a POSIX shell reads as s.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// run runs cmd, whose errors are those of command.
func run(ctx context.Context, cmd *exec.Cmd, command string, in io.Reader, out io.Writer) error {
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, out, &stderr
	return execError(ctx, command, &stderr, cmd.Run())
}

// identityScript prints, a line each, a machine's host name, machine-id and
// boot_id, who runs this, where kubectl is, and whether there is a manifest $1.
const identityScript = `uname -n
printf '%s\n' "$(cat /etc/machine-id 2>/dev/null)" "$(cat /proc/sys/kernel/random/boot_id 2>/dev/null)"
id -u
printf '%s\n' "$(command -v kubectl)"
if [ -e "$1" ]; then echo control-plane; else echo worker; fi`

// identify finds the machines among the nodes of the cluster: by the ids that
// kubelet has put into each Node, and by name where these are not unique. It
// proves that the kubeconfig is of the cluster that the machines belong to.
func (c *Cluster) identify(ctx context.Context, machines []Node) ([]Node, error) {
	list, err := retry(ctx, func() (*corev1.NodeList, error) { return c.client.CoreV1().Nodes().List(ctx, metav1.ListOptions{}) })
	if err != nil {
		return nil, fmt.Errorf("listing the nodes of cluster %s: %w", c.Name, err)
	}
	nodes := slices.Clone(machines)
	for i, m := range machines {
		b, err := m.output(ctx, "sh", "-c", identityScript, "sh", manifestFile)
		if err != nil {
			return nil, fmt.Errorf("running a command on %s: %w", m.Name, err)
		}
		lines := strings.Split(string(b), "\n")
		if len(lines) < 6 {
			return nil, fmt.Errorf("running a command on %s: it printed %d lines, not 6", m.Name, len(lines))
		}
		host, machineID, bootID, uid, kubectl := strings.ToLower(lines[0]), lines[1], lines[2], lines[3], lines[4]
		if uid != "0" {
			return nil, fmt.Errorf("%w: commands on %s run as uid %s", ErrNotRoot, m.Name, uid)
		}
		var found []string
		for _, n := range list.Items {
			if info := n.Status.NodeInfo; info.MachineID == machineID && info.BootID == bootID {
				found = append(found, n.Name)
			}
		}
		if len(found) > 1 {
			found = slices.DeleteFunc(found, func(name string) bool { return name != host })
		}
		if len(found) != 1 {
			return nil, fmt.Errorf("%w: %s (host name %s, machine-id %s) is no node of cluster %s at %s", ErrNoCluster, m.Name, host, machineID, c.Name, c.config.Host)
		}
		if j := slices.IndexFunc(nodes[:i], func(n Node) bool { return n.Name == found[0] }); j >= 0 {
			return nil, fmt.Errorf("%s and %s are the same machine, node %s", machines[j].Name, m.Name, found[0])
		}
		nodes[i].Name = found[0]
		nodes[i].ControlPlane = lines[5] == "control-plane"
		if nodes[i].ControlPlane && kubectl == "" {
			return nil, fmt.Errorf("node %s has no kubectl, with which its API server is asked for its health: install it there", found[0])
		}
	}
	return nodes, nil
}

// Restore puts back the manifest with which the API server on a node was last
// healthy, where a run that was killed has left one that has not come up since,
// and reports whether there was one. For when the API server cannot be asked.
func (n Node) Restore(ctx context.Context) (bool, error) {
	there, err := n.existing(ctx, provenFile)
	if err != nil || len(there) == 0 {
		return false, err
	}
	return true, restore(ctx, n, apiServerPod, DefaultWait)
}
