package controlplane

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"

	"github.com/openirsa/openirsa/pkg/node"
)

// swapScript replaces manifest $1 by its input, whose digest is $2, with no program
// $4 in between. Kubelet starts a static pod only when the previous one of its name
// has ended; if it has not when kubelet first looks, kubelet looks again 10 to 15
// seconds later (allowStaticPodStart and backOffPeriod in pkg/kubelet/pod_workers.go),
// which is longer than the controller manager and the scheduler keep their leases
// without an API server. So the manifest goes, and the new one comes when the pod
// has ended, as kubeadm's documentation has administrators restart a static pod.
//
// What waits ($3) runs on its own, so that the manifest comes whatever happens to the
// caller. If the node itself dies meanwhile, [settleScript] finishes.
const swapScript = `set -eu
m=$1; digest=$2; await=$3; shift 3
d=$(dirname -- "$m"); t="$d/.$(basename -- "$m").openirsa"
(umask 077; cat >"$t")
[ "$(sha256sum <"$t" | cut -c1-64)" = "$digest" ] || { rm -f -- "$t"; echo "input cut short" >&2; exit 1; }
chmod --reference="$m" -- "$t"; chown --reference="$m" -- "$t"
sync -- "$t" "$d"
setsid sh -c "$await" sh "$m" "$t" "$@" </dev/null >/dev/null 2>&1 &`

// awaitScript removes manifest $1, waits until the pod of program $3 has ended, and
// puts file $2 in its place. Kubelet removes the pod's control group, and takes its
// name to be free when it next looks, a second later at most. A program that has
// stopped serving but waits for its clients to hang up, which those with a watch do
// not, gets a second signal after a second (see [hasten]); the rest of the arguments is
// the command that asks whether it serves. After 45 seconds the manifest comes in any
// case: kubelet kills a program that takes longer than 30.
const awaitScript = pidsOf + `m=$1; t=$2; shift 2
pids=$(pids_of "$1"); shift
groups=""
for p in $pids; do
  for g in $(sed 's/^[^:]*:[^:]*://' "/proc/$p/cgroup" 2>/dev/null); do
    for top in /sys/fs/cgroup /sys/fs/cgroup/*; do
      case "$g" in *pod*/*) [ ! -d "$top${g%/*}" ] || groups="$groups $top${g%/*}" ;; esac
    done
  done
done
runs() {
  for p in $pids; do [ ! -e "/proc/$p" ] || return 0; done
  for g in $groups; do [ ! -d "$g" ] || return 0; done
  return 1
}
rm -f -- "$m"
end=$(($(date +%s) + 45))
if [ "$#" -gt 0 ]; then
  while "$@" >/dev/null 2>&1 && [ "$(date +%s)" -lt "$end" ]; do sleep 0.2; done
  sleep 1
  for p in $pids; do kill -TERM "$p" 2>/dev/null; done
fi
while runs && [ "$(date +%s)" -lt "$end" ]; do sleep 0.2; done
[ -n "$groups" ] && sleep 1.2 || sleep 3
mv -f -T -- "$t" "$m" && sync -- "$(dirname -- "$m")"`

// settleScript puts manifest $1 in its place where a swap was cut short by the end of
// the node. While $1 is there the other file may be one that is being written.
const settleScript = `d=$(dirname -- "$1"); t="$d/.$(basename -- "$1").openirsa"
if [ ! -e "$1" ] && [ -e "$t" ]; then mv -f -T -- "$t" "$1"; sync -- "$d"; fi; true`

// swapManifest replaces the manifest of a pod while none of its programs runs.
func swapManifest(ctx context.Context, n node.Node, pod staticPod, text []byte) error {
	sum := sha256.Sum256(text)
	args := []string{"-c", swapScript, "sh", pod.manifestFile(), hex.EncodeToString(sum[:]), awaitScript, string(pod)}
	if pod == apiServerPod {
		all, err := apiServers(ctx, n)
		if err != nil {
			return err
		}
		if len(all) > 0 {
			args = append(append(args, "kubectl"), getArgs(all[0], "/readyz")...)
		}
	}
	if err := n.Exec(ctx, bytes.NewReader(text), io.Discard, "sh", args...); err != nil {
		return fmt.Errorf("replacing %s on node %s: %w", pod.manifestFile(), n.Name, err)
	}
	return nil
}

// settle finishes a swap that was cut short.
func settle(ctx context.Context, n node.Node, pod staticPod) error {
	if err := n.Exec(ctx, nil, io.Discard, "sh", "-c", settleScript, "sh", pod.manifestFile()); err != nil {
		return fmt.Errorf("putting %s on node %s in its place: %w", pod.manifestFile(), n.Name, err)
	}
	return nil
}
