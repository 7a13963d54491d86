#!/bin/bash
# What the self-hosted guide of amazon-eks-pod-identity-webhook (SELF_HOSTED_SETUP.md) has people do with AWS CLI: its
# commands as they stand there, between the lines that say so. Of what comes before and after them here only a pair of
# commands is new, which buckets need since April 2023, at AWS too.
set -euo pipefail

# --- the guide
_bucket_name=$(aws s3api list-buckets  --query "Buckets[?Name=='$S3_BUCKET'].Name | [0]" --out text)
if [ $_bucket_name == "None" ]; then
    if [ "$AWS_REGION" == "us-east-1" ]; then
        aws s3api create-bucket --bucket $S3_BUCKET
    else
        aws s3api create-bucket --bucket $S3_BUCKET --create-bucket-configuration LocationConstraint=$AWS_REGION
    fi
fi
echo "export S3_BUCKET=$S3_BUCKET"
export HOSTNAME=s3-$AWS_REGION.amazonaws.com
export ISSUER_HOSTPATH=$HOSTNAME/$S3_BUCKET
cat <<EOD > discovery.json
{
    "issuer": "https://$ISSUER_HOSTPATH",
    "jwks_uri": "https://$ISSUER_HOSTPATH/keys.json",
    "authorization_endpoint": "urn:kubernetes:programmatic_authorization",
    "response_types_supported": [
        "id_token"
    ],
    "subject_types_supported": [
        "public"
    ],
    "id_token_signing_alg_values_supported": [
        "RS256"
    ],
    "claims_supported": [
        "sub",
        "iss"
    ]
}
EOD
# --- end of the guide

upload() {
	# --- the guide
	aws s3 cp --acl public-read ./discovery.json s3://$S3_BUCKET/.well-known/openid-configuration
	aws s3 cp --acl public-read ./keys.json s3://$S3_BUCKET/keys.json
	# --- end of the guide
}

if refused=$(upload 2>&1); then
	echo "a new bucket takes access control lists" >&2
	exit 1
fi
grep -F "(AccessControlListNotSupported) when calling the PutObject operation: The bucket does not allow ACLs" <<<"$refused"
aws s3api put-bucket-ownership-controls --bucket $S3_BUCKET --ownership-controls 'Rules=[{ObjectOwnership=BucketOwnerPreferred}]'
if refused=$(upload 2>&1); then
	echo "a new bucket takes public access control lists" >&2
	exit 1
fi
grep -F "(AccessDenied) when calling the PutObject operation" <<<"$refused" | grep -F "BlockPublicAcls"
aws s3api delete-public-access-block --bucket $S3_BUCKET
upload
aws s3api get-object-acl --bucket $S3_BUCKET --key keys.json --query 'Grants[].[Grantee.URI, Permission]' --output text |
	grep -Fx $'http://acs.amazonaws.com/groups/global/AllUsers\tREAD'
aws s3 cp --no-sign-request s3://$S3_BUCKET/keys.json - | cmp - keys.json

aws iam create-open-id-connect-provider --url https://$ISSUER_HOSTPATH --client-id-list sts.amazonaws.com
aws iam create-role --role-name guide --assume-role-policy-document file://trust.json --query Role.Arn
aws sts assume-role-with-web-identity --role-arn "$ROLE_ARN" --role-session-name guide --web-identity-token file://token \
	--query AssumedRoleUser.Arn --output text | grep -Fx "$CALLER"
echo passed
