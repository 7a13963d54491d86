#!/bin/bash
# Debian trixie with AWS CLI 2 and boto3, as $OUT/rootfs.tar: AWS's own clients, and a shell.
# trixie, because bookworm's do not know AWS_ENDPOINT_URL.
#   OUT: folder for the result   MIRROR: the machine's own Debian mirror
set -euo pipefail
root=$OUT/rootfs
debootstrap --variant=minbase --include=awscli,python3-boto3,python3-cffi-backend,ca-certificates trixie "$root" "$MIRROR" >"$OUT/log" 2>&1 || { tail -5 "$OUT/log" "$root/debootstrap/debootstrap.log" >&2; exit 1; }
# Most of its size is of no use to a client: documentation, examples and the help texts of 400 services.
rm -rf "$root"/etc/apt/sources.list "$root"/etc/apt/sources.list.d/* "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/* \
  "$root"/usr/share/{doc,man,locale,info} "$root"/usr/lib/python3/dist-packages/awscli/examples
# Of the models of 400 services, those of the ones that somebody may call here, and
# those that the AWS CLI renames at each start: the image is half as large.
find "$root"/usr/lib/python3/dist-packages/{awscli/,}botocore/data -mindepth 1 -maxdepth 1 -type d \
  | grep -vE '/(batch|cloudformation|cloudwatch|codedeploy|config|dynamodb|dynamodbstreams|ec2|eks|eks-auth|events|iam|kinesis|kms|lambda|logs|opsworkscm|organizations|route53|s3|s3control|secretsmanager|sns|sqs|ssm|sso|sso-oidc|sts)$' \
  | xargs rm -r
tar -C "$root" --numeric-owner -cf "$OUT/rootfs.tar" .
rm -rf "$root" "$OUT/log"
