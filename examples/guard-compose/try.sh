#!/bin/sh
# A table, made by the root user; a user who may not read it; and who then may.
set -eu
cd "$(dirname "$0")"
export AWS_ENDPOINT_URL="${AWS_ENDPOINT_URL:-http://127.0.0.1:4566}" AWS_REGION=us-east-1 AWS_DEFAULT_REGION=us-east-1
export AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test
export AWS_RETRY_MODE=standard AWS_MAX_ATTEMPTS=8 # the backend may still be starting

aws dynamodb create-table --table-name Cart --billing-mode PAY_PER_REQUEST \
	--key-schema AttributeName=id,KeyType=HASH --attribute-definitions AttributeName=id,AttributeType=S >/dev/null
aws dynamodb put-item --table-name Cart --item '{"id":{"S":"7"},"word":{"S":"open"}}'

aws iam create-user --user-name app >/dev/null
set -- $(aws iam create-access-key --user-name app --query 'AccessKey.[AccessKeyId,SecretAccessKey]' --output text)

# read_item KEY_ID SECRET prints a word of the item.
read_item() {
	AWS_ACCESS_KEY_ID=$1 AWS_SECRET_ACCESS_KEY=$2 \
		aws dynamodb get-item --table-name Cart --key '{"id":{"S":"7"}}' --query Item.word.S --output text
}

if read_item "$@"; then
	echo "the user app may read without a permission: is this the guard?" >&2
	exit 1
fi
aws iam put-user-policy --user-name app --policy-name read --policy-document file://read.json
read_item "$@"
