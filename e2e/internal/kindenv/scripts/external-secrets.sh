#!/bin/bash
# Builds external-secrets' controller from its Go module, with the versions of its go.sum, and copies its CRDs. Of the
# thirty-five providers and the twelve generators in the module the provider for AWS alone is linked, as the build tags of
# later releases have it: the two files that do nothing but import them all are written anew, and nothing else.
#   OUT: folder for the program and the folder crds   VERSION: external-secrets (v0.16.2)
set -euo pipefail
# Compilers need no garbage collection to speak of.
export GOGC=400 CGO_ENABLED=0 GOFLAGS=-trimpath GOWORK=off
module=github.com/external-secrets/external-secrets
dir=$(cd / && go mod download -json "$module@$VERSION" | sed -n 's/^[[:space:]]*"Dir": "\(.*\)",$/\1/p')
work=$OUT/.build
mkdir "$work" "$OUT/crds"
cp -r --no-preserve=mode "$dir"/{go.mod,go.sum,main.go,apis,cmd,pkg} "$work/"
cd "$work"
printf 'package register\n\nimport _ "%s/pkg/provider/aws"\n' "$module" >pkg/provider/register/register.go
printf 'package register\n' >pkg/generator/register/register.go
go build -ldflags '-s -w' -o "$OUT/external-secrets" .
cp "$dir"/config/crds/bases/external-secrets.io_{externalsecrets,secretstores}.yaml \
  "$dir"/config/crds/bases/generators.external-secrets.io_generatorstates.yaml "$OUT/crds/"
cd / && rm -rf "$work"
