"""The scenario with boto3: provider and role by the root user, and then the default credential chain of a pod."""

import io
import os

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

issuer, role, bucket = os.environ["ISSUER"], os.environ["ROLE"], os.environ["BUCKET"]


def read(name):
    with open(name) as f:
        return f.read()


def denied(text, call, **arguments):
    try:
        call(**arguments)
    except ClientError as e:
        assert e.response["Error"]["Code"] == "AccessDenied", e
        assert e.response["Error"]["Message"] == text, e
        assert e.response["ResponseMetadata"]["HTTPStatusCode"] == 403, e
    else:
        raise AssertionError("it was allowed")


root = boto3.Session("test", "test")
iam = root.client("iam")
arn = iam.create_open_id_connect_provider(Url=issuer, ClientIDList=["sts.amazonaws.com"])["OpenIDConnectProviderArn"]
assert arn == os.environ["PROVIDER"], arn
assert iam.get_open_id_connect_provider(OpenIDConnectProviderArn=arn)["Url"] == issuer.removeprefix("https://")
made = iam.create_role(RoleName=role, AssumeRolePolicyDocument=read("trust.json"))["Role"]
assert made["AssumeRolePolicyDocument"]["Version"] == "2012-10-17"  # botocore decodes it
iam.attach_role_policy(RoleName=role, PolicyArn="arn:aws:iam::aws:policy/IAMReadOnlyAccess")
iam.put_role_policy(RoleName=role, PolicyName="bucket", PolicyDocument=read("bucket.json"))
root.client("s3").create_bucket(Bucket=bucket)

# One connection takes bodies and empty bodies by turns, though botocore asks for 100 Continue in front of each, and gives
# metadata back in lower case.
store = root.client("s3", config=Config(read_timeout=10, retries={"max_attempts": 1}))
for body in (b"", b"hello", io.BytesIO(b""), io.BytesIO(b"hello"), b""):
    store.put_object(Bucket=bucket, Key="data/turns", Body=body, Metadata={"Foo-Bar": "1"})
    assert store.head_object(Bucket=bucket, Key="data/turns")["Metadata"] == {"foo-bar": "1"}
store.copy_object(Bucket=bucket, Key="data/copy", CopySource={"Bucket": bucket, "Key": "data/turns"})
assert store.get_object(Bucket=bucket, Key="data/copy")["Metadata"] == {"foo-bar": "1"}

arn = boto3.client("sts").get_caller_identity()["Arn"]
assert arn == os.environ["CALLER"], arn
iam = boto3.client("iam")
groups = [g["GroupName"] for page in iam.get_paginator("list_groups").paginate() for g in page["Groups"]]
assert groups == ["admins", "developers"], groups
denied(os.environ["GROUP_DENIED"], iam.create_group, GroupName=role)

up = os.urandom(20 << 20)
with open("up", "wb") as f:
    f.write(up)
s3 = boto3.client("s3")
s3.upload_file("up", bucket, "data/up")
s3.download_file(bucket, "data/up", "down")
with open("down", "rb") as f:
    assert f.read() == up
assert s3.head_object(Bucket=bucket, Key="data/up")["ETag"].endswith('-3"')  # parts of 8 MiB
denied(os.environ["PUT_DENIED"], s3.put_object, Bucket=bucket, Key="elsewhere", Body=b"x")

# Of services that the emulator does not have, each in its own protocol, it says so, once.
for service, operation, code, arguments in (
    ("dynamodb", "ListTables", "UnknownOperationException", {}),
    ("secretsmanager", "GetSecretValue", "UnknownOperationException", {"SecretId": "app"}),
    ("ssm", "GetParameter", "UnknownOperationException", {"Name": "/app"}),
    ("sqs", "ListQueues", "InvalidAction", {}),
    ("sns", "ListTopics", "InvalidAction", {}),
    ("cloudwatch", "ListMetrics", "InvalidAction", {}),
    ("ec2", "DescribeVpcs", "InvalidAction", {}),
    ("batch", "DescribeJobQueues", "UnknownOperationException", {}),
    ("lambda", "Invoke", "UnknownOperationException", {"FunctionName": "f", "Payload": b"{}"}),
    ("route53", "ListHostedZones", "UnknownOperationException", {}),
):
    client = boto3.client(service)
    method = next(m for m, o in client.meta.method_to_api_mapping.items() if o == operation)
    try:
        getattr(client, method)(**arguments)
    except ClientError as e:
        error, meta = e.response["Error"], e.response["ResponseMetadata"]
        text = f"This emulator does not have {service}, so it cannot do {operation};"
        variable = "AWS_ENDPOINT_URL_" + client.meta.service_model.service_id.hyphenize().replace("-", "_").upper() + ", or"
        forward = f"--forward {service}=URL."
        assert error["Code"] == code and error["Message"].startswith(text), error
        assert variable in error["Message"] and error["Message"].endswith(forward), error
        assert meta["HTTPStatusCode"] == 400 and meta["RetryAttempts"] == 0 and meta["RequestId"], meta
    else:
        raise AssertionError(f"{service} answered")
print("passed")
