#!/bin/bash
# Builds Kubernetes, etcd and crictl as static programs from their Go modules: what they have in common with our own
# programs in the same way, so that it is compiled once.
#   OUT: folder for the programs   VERSION: Kubernetes (v1.37.2)   CRI_TOOLS: cri-tools (v1.36.0)
#   SHARED: modules of golang.org/x and of protobuf at our versions, which are not below those of Kubernetes
set -euo pipefail
# Compilers need no garbage collection to speak of.
export GOGC=400 CGO_ENABLED=0 GOFLAGS="-mod=mod -trimpath -tags=grpcnotrace" GOWORK=off
work=$OUT/.build

# scratch DIR [MODULE@VERSION]: a module in which the commands of k8s.io/kubernetes can be built.
# Its go.mod requires every staging module at v0.0.0, which only a replace in the main module gives a meaning. What is
# replaced is compiled for itself, so all of them are required at the version that we have too.
scratch() {
  mkdir -p "$1" && cd "$1"
  local mod staging=v0.${VERSION#v1.}
  mod=$(go mod download -json "k8s.io/kubernetes@$VERSION" | sed -n 's/.*"GoMod": "\(.*\)",/\1/p')
  {
    echo "module openirsa.dev/scratch"
    sed -n '/^go [0-9]/p; /^godebug /p' "$mod"
    echo "require k8s.io/kubernetes $VERSION"
    printf 'require %s\n' "${shared[@]}"
    sed -n "s#^[[:space:]]*\(k8s.io/[a-z-]*\) v0.0.0\$#require \1 $staging\nreplace \1 v0.0.0 => \1 $staging#p" "$mod"
  } >go.mod
  [ -z "${2:-}" ] || go get "$2"
}

mapfile -t shared <<<"$SHARED"
minor=${VERSION#v1.} minor=${minor%%.*} v=k8s.io/component-base/version
ld="-s -w -X $v.gitVersion=$VERSION -X $v.gitMajor=1 -X $v.gitMinor=$minor -X $v.gitTreeState=clean"
c=k8s.io/kubernetes/cmd

scratch "$work/kubernetes"
go build -ldflags "$ld" -o "$OUT/" $c/kube-apiserver $c/kube-controller-manager $c/kube-scheduler $c/kube-proxy $c/kubelet $c/kubeadm $c/kubectl
# The etcd server is in this module graph already, at the version that this Kubernetes is tested with.
go build -ldflags '-s -w' -o "$OUT/etcd" go.etcd.io/etcd/server/v3

# In a module of its own, so that what crictl requires cannot move a dependency of Kubernetes.
scratch "$work/cri-tools" "sigs.k8s.io/cri-tools@$CRI_TOOLS"
go build -ldflags '-s -w' -o "$OUT/crictl" sigs.k8s.io/cri-tools/cmd/crictl

rm -rf "$work"
