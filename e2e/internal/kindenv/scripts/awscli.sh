#!/bin/bash
# Debian trixie with AWS CLI 2 and boto3, as $OUT/rootfs.tar: AWS's own clients as they are, and a shell.
# trixie, because bookworm's do not know AWS_ENDPOINT_URL.
#   OUT: folder for the result   MIRROR: the machine's own Debian mirror
set -euo pipefail
root=$OUT/rootfs
debootstrap --variant=minbase --include=awscli,python3-boto3,python3-cffi-backend,ca-certificates trixie "$root" "$MIRROR" >"$OUT/log" 2>&1 || { tail -5 "$OUT/log" "$root/debootstrap/debootstrap.log" >&2; exit 1; }
# Most of its size is of no use to a client: documentation, examples and the help texts of 400 services.
rm -rf "$root"/etc/apt/sources.list "$root"/etc/apt/sources.list.d/* "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/* \
  "$root"/usr/share/{doc,man,locale,info} "$root"/usr/lib/python3/dist-packages/awscli/examples
tar -C "$root" --numeric-owner -cf "$OUT/rootfs.tar" .
rm -rf "$root" "$OUT/log"
