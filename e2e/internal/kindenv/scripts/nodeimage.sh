#!/bin/bash
# Turns a Debian root file system into a kind node image: kind's own files, the cleaning of systemd of kind's
# images/base/Dockerfile, Kubernetes, and the control plane's images preloaded into containerd. Writes $OUT/node.tar.
#   OUT: folder for the result      ROOT: the root file system, changed in place
#   BIN: programs of kubernetes.sh  IMAGES: folder of image archives to preload
#   KIND_FILES: images/base/files of the kind module   VERSION: Kubernetes   PAUSE: name of the sandbox image
set -euo pipefail
R=$ROOT

cp -r --no-preserve=ownership,mode "$KIND_FILES/." "$R/"
chmod 755 "$R/kind" "$R"/kind/bin "$R"/kind/bin/* "$R"/usr/local/bin/*
rm -f "$R"/lib/systemd/system/sysinit.target.wants/systemd-tmpfiles-setup.service \
  "$R"/lib/systemd/system/multi-user.target.wants/* "$R"/lib/systemd/system/local-fs.target.wants/* \
  "$R"/lib/systemd/system/sockets.target.wants/*{udev,initctl}* "$R"/lib/systemd/system/basic.target.wants/*
find "$R/etc/systemd/system" -path '*.wants/*' -delete
echo ReadKMsg=no >>"$R/etc/systemd/journald.conf"
ln -sf /usr/lib/systemd/systemd "$R/sbin/init"
mkdir -p "$R/etc/kubernetes/manifests" "$R/opt/cni/bin" "$R/etc/cni/net.d" "$R/kind/manifests"
for u in kubelet containerd undo-mount-hacks; do
  wants=$R/etc/systemd/system/$(sed -n 's/^WantedBy=//p' "$R/etc/systemd/system/$u.service").wants
  mkdir -p "$wants" && ln -sf /etc/systemd/system/$u.service "$wants/$u.service"
done
ln -sf /dev/null "$R/etc/systemd/system/systemd-binfmt.service"

ln -sf /usr/bin/containerd "$R/usr/local/bin/containerd"
cp "$R"/usr/lib/cni/{ptp,loopback,host-local,portmap} "$R/opt/cni/bin/"
cp "$BIN"/{kubeadm,kubelet,kubectl} "$R/usr/bin/"
cp "$BIN/crictl" "$R/usr/local/bin/"
printf %s "$VERSION" >"$R/kind/version"
ctr oci spec | jq '.hooks.createContainer[.hooks.createContainer | length] |= . + {"path": "/kind/bin/mount-product-files.sh"} | del(.process.rlimits)' \
  >"$R/etc/containerd/cri-base.json"

# Differences from kind's own image. The sandbox image is the one that is preloaded; without CAP_SYS_RESOURCE
# on the machine, containerd may not lower a score; one node needs no more of CNI than ptp. Kubelet and
# containerd collect their garbage less often.
sed -i -e 's/restrict_oom_score_adj = false/restrict_oom_score_adj = true/' -e "s#sandbox_image = .*#sandbox_image = \"$PAUSE\"#" "$R/etc/containerd/config.toml"
mkdir -p "$R/etc/systemd/system.conf.d"
printf '[Manager]\nDefaultEnvironment=GOGC=400\n' >"$R/etc/systemd/system.conf.d/environment.conf"
# Tuned clusters have kubelet ask these whether they are ready every 5 s, not every second.
mkdir -p "$R/kind/patches"
for name in etcd kube-apiserver kube-scheduler; do
  printf 'spec: {containers: [{name: %s, readinessProbe: {periodSeconds: 5}}]}\n' "$name" >"$R/kind/patches/$name.yaml"
done
cat >"$R/etc/cni/net.d/10-ptp.conflist" <<'Y'
{"cniVersion": "0.4.0", "name": "node", "plugins": [
  {"type": "ptp", "ipMasq": true, "ipam": {"type": "host-local", "dataDir": "/run/cni-ipam-state",
    "ranges": [[{"subnet": "10.244.0.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
Y
cat >"$R/kind/manifests/default-storage.yaml" <<'Y'
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: standard, annotations: {storageclass.kubernetes.io/is-default-class: "true"}}
provisioner: kubernetes.io/no-provisioner
Y

# Preloading: a containerd that runs here, whose root folder is the node's.
seed=$OUT/seed && mkdir -p "$seed" && rm -rf "$R/var/lib/containerd"
cat >"$seed/config.toml" <<Y
version = 2
root = "$R/var/lib/containerd"
state = "$seed/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "$seed/sock"
Y
containerd --config "$seed/config.toml" >"$seed/log" 2>&1 & pid=$!
trap 'kill $pid 2>/dev/null; wait $pid || true' EXIT
for i in $(seq 100); do ctr -a "$seed/sock" version >/dev/null 2>&1 && break; sleep 0.1; done
ctr -a "$seed/sock" version >/dev/null || { tail -5 "$seed/log" >&2; exit 1; }
for i in "$IMAGES"/*.tar; do ctr -a "$seed/sock" -n k8s.io images import "$i" >/dev/null; done
trap - EXIT; kill $pid; wait $pid || true

tar -C "$R" --numeric-owner -cf "$OUT/node.tar" .
rm -rf "$seed"
