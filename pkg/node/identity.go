package node

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// APIServerManifest is the static pod of kubeadm's API server, which only
// control-plane nodes have.
const APIServerManifest = "/etc/kubernetes/manifests/kube-apiserver.yaml"

// identityScript prints, a line each, a machine's host name, machine-id and
// boot_id, who runs this, where kubectl is, and whether there is a manifest $1.
const identityScript = `uname -n
printf '%s\n' "$(cat /etc/machine-id 2>/dev/null)" "$(cat /proc/sys/kernel/random/boot_id 2>/dev/null)"
id -u
printf '%s\n' "$(command -v kubectl)"
if [ -e "$1" ]; then echo control-plane; else echo worker; fi`

// ErrNotRoot says that commands on a machine do not run as root.
var ErrNotRoot = errors.New("root is needed")

// Identity is what tells a machine from others.
type Identity struct {
	Host      string // its host name, in lower case
	MachineID string // of /etc/machine-id, which clones share
	BootID    string // of this boot, from the kernel
	// ControlPlane says that the machine has an [APIServerManifest].
	ControlPlane bool
	// Kubectl is where kubectl is; empty for nowhere.
	Kubectl string
}

// Identify asks a machine who it is. The error wraps [ErrNotRoot] where commands
// do not run as root there.
func (n Node) Identify(ctx context.Context) (Identity, error) {
	b, err := n.Output(ctx, "sh", "-c", identityScript, "sh", APIServerManifest)
	if err != nil {
		return Identity{}, fmt.Errorf("running a command on %s: %w", n.Name, err)
	}
	lines := strings.Split(string(b), "\n")
	if len(lines) < 6 {
		return Identity{}, fmt.Errorf("running a command on %s: it printed %d lines, not 6", n.Name, len(lines))
	}
	if uid := lines[3]; uid != "0" {
		return Identity{}, fmt.Errorf("%w: commands on %s run as uid %s", ErrNotRoot, n.Name, uid)
	}
	return Identity{
		Host: strings.ToLower(lines[0]), MachineID: lines[1], BootID: lines[2],
		Kubectl: lines[4], ControlPlane: lines[5] == "control-plane",
	}, nil
}
