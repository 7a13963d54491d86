#!/bin/sh
# A pod with AWS credentials on kind.
set -eu
cd "$(dirname "$0")"

openirsa kind-config --emulator --merge kind.yaml | kind create cluster --config -
openirsa up --emulator

openirsa iamserviceaccount create --namespace default --name app \
	--attach-policy-arn arn:aws:iam::aws:policy/IAMReadOnlyAccess --approve

kubectl run aws --restart=Never --image=amazon/aws-cli:2.31.0 \
	--overrides='{"spec":{"serviceAccountName":"app"}}' -- sts get-caller-identity
kubectl wait pod/aws --for=jsonpath='{.status.phase}'=Succeeded --timeout=5m
kubectl logs aws
