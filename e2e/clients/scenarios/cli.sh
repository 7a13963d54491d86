#!/bin/bash
# The scenario with AWS CLI 2: provider and role by the root user, and then the default credential chain of a pod.
set -euo pipefail

as_root() { env -u AWS_ROLE_ARN -u AWS_WEB_IDENTITY_TOKEN_FILE AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test aws "$@"; }

as_root iam create-open-id-connect-provider --url "$ISSUER" --client-id-list sts.amazonaws.com --output text | grep -Fx "$PROVIDER"
as_root iam create-role --role-name "$ROLE" --assume-role-policy-document file://trust.json --query Role.Arn
as_root iam attach-role-policy --role-name "$ROLE" --policy-arn arn:aws:iam::aws:policy/IAMReadOnlyAccess
as_root iam put-role-policy --role-name "$ROLE" --policy-name bucket --policy-document file://bucket.json
as_root s3 mb "s3://$BUCKET"

aws sts get-caller-identity --query Arn --output text | grep -Fx "$CALLER"
aws iam list-groups --query 'Groups[].GroupName' --output text | grep -Fx $'admins\tdevelopers'
if denied=$(aws iam create-group --group-name "$ROLE" 2>&1); then
	echo "create-group was allowed" >&2
	exit 1
fi
grep -Fx "An error occurred (AccessDenied) when calling the CreateGroup operation: $GROUP_DENIED" <<<"$denied"

head -c 20971520 /dev/urandom >up
aws s3 cp --only-show-errors up "s3://$BUCKET/data/up"
aws s3 cp --only-show-errors "s3://$BUCKET/data/up" down
cmp up down
aws s3 ls "s3://$BUCKET/data/" | grep 20971520
if denied=$(aws s3 cp up "s3://$BUCKET/elsewhere" 2>&1); then
	echo "writing elsewhere was allowed" >&2
	exit 1
fi
grep -F "(AccessDenied) when calling the CreateMultipartUpload operation: $PUT_DENIED" <<<"$denied"

# Of services that the emulator does not have, each in its own protocol, it says so.
absent() { # code, the operation, and the command
	local code=$1 operation=$2 out
	shift 2
	if out=$(aws "$@" 2>&1); then
		echo "$* was answered" >&2
		exit 1
	fi
	grep -F "An error occurred ($code) when calling the $operation operation: This emulator does not have $1, so it cannot do $operation; it has STS" <<<"$out"
}
absent UnknownOperationException ListTables dynamodb list-tables
absent UnknownOperationException GetSecretValue secretsmanager get-secret-value --secret-id app
absent UnknownOperationException GetParameter ssm get-parameter --name /app
absent InvalidAction ListQueues sqs list-queues
absent InvalidAction ListTopics sns list-topics
absent InvalidAction DescribeVpcs ec2 describe-vpcs
absent UnknownOperationException DescribeJobQueues batch describe-job-queues
absent UnknownOperationException ListHostedZones route53 list-hosted-zones
echo passed
