"""The workload behind the guard, with boto3 or with the AWS CLI: all of it with a role that may, and each call with a role
that lacks something of it."""

import json
import os
import re
import subprocess

from botocore import xform_name


class Denied(Exception):
    def __init__(self, code, message, kind):
        super().__init__(code, message, kind)
        self.code, self.message, self.kind = code, message, kind


def by_boto3(service, operation, arguments):
    import boto3
    from botocore.exceptions import ClientError

    client = boto3.Session().client(service)
    try:
        return getattr(client, xform_name(operation))(**arguments)
    except ClientError as e:
        kind = type(e).__name__
        raise Denied(e.response["Error"]["Code"], e.response["Error"]["Message"], "" if kind == "ClientError" else kind)


def by_cli(service, operation, arguments):
    command = ["aws", service, xform_name(operation, "-"), "--output", "json", "--no-cli-pager", "--cli-input-json", json.dumps(arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode == 0:
        return json.loads(done.stdout or "{}")
    found = re.search(r"An error occurred \((\w+)\) when calling the \w+ operation.*?: (.*)", done.stderr, re.S)
    assert found, (command, done.stderr)
    raise Denied(found[1], found[2], None)


call = {"boto3": by_boto3, "cli": by_cli}[os.environ["CLIENT"]]


kept = {}


def filled(value):
    if isinstance(value, dict):
        return {k: filled(v) for k, v in value.items()}
    if isinstance(value, list):
        return [filled(v) for v in value]
    return kept[value[1:]] if isinstance(value, str) and value.startswith("$") else value


steps = json.loads(os.environ["STEPS"])
for step in steps:
    if step["service"] == os.environ.get("NOT_ANSWERED"):
        continue
    answer = call(step["service"], step["operation"], filled(step["input"]))
    for name, path in step.get("keep", {}).items():
        found = answer
        for part in path.split("."):
            found = found[int(part)] if part.isdigit() else found[part]
        kept[name] = found

for denial in json.loads(os.environ["DENIALS"]):
    step = steps[denial["step"]]
    os.environ["AWS_ROLE_ARN"] = os.environ["ROLES"] + denial["role"]
    try:
        call(step["service"], step["operation"], filled(step["input"]))
    except Denied as e:
        assert e.code == step["code"], (denial, step, e)
        assert e.kind is None or "class" not in step or e.kind == step["class"], (denial, step, e)
        assert "is not authorized to perform" in e.message or "not authorized to perform this operation" in e.message, (denial, step, e)
    else:
        raise AssertionError((denial, step, "it was allowed"))
print("passed")
