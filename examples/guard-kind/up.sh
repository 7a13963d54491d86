#!/bin/sh
# A pod that works with a table of DynamoDB, and may do there what its role allows.
set -eu
cd "$(dirname "$0")"

kubectl apply --filename backend.yaml
kubectl wait --namespace backend --for=condition=Available deployment/dynamodb --timeout=5m
address=$(kubectl get service dynamodb --namespace backend --output jsonpath='{.spec.clusterIP}')
openirsa up --emulator --forward "dynamodb=http://$address:8000"

# pod NAME PHASE ARGUMENT... runs the AWS CLI as the service account cart, and prints what it says once it is in that phase.
pod() {
	name=$1 phase=$2
	shift 2
	kubectl run "$name" --restart=Never --image=amazon/aws-cli:2.31.0 \
		--overrides='{"spec":{"serviceAccountName":"cart"}}' -- "$@"
	kubectl wait "pod/$name" --for=jsonpath='{.status.phase}'="$phase" --timeout=5m
	kubectl logs "$name"
}

openirsa iamserviceaccount create --namespace default --name cart --inline-policy-file write.json --approve
pod cart-create Succeeded dynamodb create-table --table-name Cart --billing-mode PAY_PER_REQUEST \
	--key-schema AttributeName=id,KeyType=HASH --attribute-definitions AttributeName=id,AttributeType=S
pod cart-put Succeeded dynamodb put-item --table-name Cart --item '{"id":{"S":"7"},"word":{"S":"open"}}'
pod cart-refused Failed dynamodb get-item --table-name Cart --key '{"id":{"S":"7"}}'

openirsa iamserviceaccount create --namespace default --name cart --inline-policy-file read.json --approve
pod cart-read Succeeded dynamodb get-item --table-name Cart --key '{"id":{"S":"7"}}'
