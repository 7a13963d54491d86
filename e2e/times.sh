#!/bin/sh
# Prints what a user waits for, in seconds of wall clock, on a kind cluster of its own:
#
#	make build && e2e/times.sh
#
# The figures in docs/measurements.md are of a quiet machine.
set -eu
cd "$(dirname "$0")"
openirsa=$(cd ../bin && pwd)/openirsa
instance=30
trap 'go run ./cmd/kindenv down --instance $instance >/dev/null' EXIT
trap 'exit 1' INT TERM
environment=$(go run ./cmd/kindenv up --instance $instance --cluster openirsa-times)
eval "$environment"

timed() {
	start=$(date +%s%N)
	"$openirsa" "$@" --kind-name openirsa-times >/dev/null
	end=$(date +%s%N)
	printf '%6d.%d s  openirsa %s\n' $(((end - start) / 1000000000)) $(((end - start) / 100000000 % 10)) "$*"
}

timed up --emulator --keep-issuer
timed up --emulator --keep-issuer
timed down
timed up --emulator
timed up --emulator
timed iamserviceaccount create --namespace default --name app \
	--attach-policy-arn arn:aws:iam::aws:policy/IAMReadOnlyAccess --approve
timed down
