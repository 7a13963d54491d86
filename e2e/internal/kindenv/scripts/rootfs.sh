#!/bin/bash
# A minimal Debian bookworm with systemd, containerd, runc and CNI plugins, as $OUT/rootfs.tar.
# bookworm, because its systemd still starts on cgroup v1.
#   OUT: folder for the result   MIRROR: the machine's own Debian mirror
set -euo pipefail
root=$OUT/rootfs
packages=systemd,containerd,runc,containernetworking-plugins,conntrack,iptables,nftables,iproute2,ethtool,mount,kmod,ca-certificates,curl,jq,procps
debootstrap --variant=minbase --include=$packages bookworm "$root" "$MIRROR" >"$OUT/log" 2>&1 || { tail -5 "$OUT/log" "$root/debootstrap/debootstrap.log" >&2; exit 1; }
rm -rf "$root"/etc/apt/sources.list "$root"/etc/apt/sources.list.d/* "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/* \
  "$root"/var/log/bootstrap.log "$root"/usr/share/{doc,man,locale,info}
tar -C "$root" --numeric-owner -cf "$OUT/rootfs.tar" .
rm -rf "$root" "$OUT/log"
