// The scenario with the AWS SDK for JavaScript v3: provider and role by the root user, and then the default credential
// chain of a pod.
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { CloudWatchClient, ListMetricsCommand } from "@aws-sdk/client-cloudwatch";
import { DynamoDBClient, ListTablesCommand } from "@aws-sdk/client-dynamodb";
import { DescribeVpcsCommand, EC2Client } from "@aws-sdk/client-ec2";
import { EKSClient, ListNodegroupsCommand } from "@aws-sdk/client-eks";
import { AttachRolePolicyCommand, CreateGroupCommand, CreateOpenIDConnectProviderCommand, CreateRoleCommand, IAMClient, ListGroupsCommand, PutRolePolicyCommand } from "@aws-sdk/client-iam";
import { ListHostedZonesCommand, Route53Client } from "@aws-sdk/client-route-53";
import { CreateBucketCommand, GetObjectCommand, HeadObjectCommand, PutObjectCommand, S3Client } from "@aws-sdk/client-s3";
import { ListTopicsCommand, SNSClient } from "@aws-sdk/client-sns";
import { ListQueuesCommand, SQSClient } from "@aws-sdk/client-sqs";
import { GetCallerIdentityCommand, STSClient } from "@aws-sdk/client-sts";
import { Upload } from "@aws-sdk/lib-storage";

const { ISSUER, PROVIDER, ROLE, CALLER, BUCKET, GROUP_DENIED, PUT_DENIED } = process.env;
const root = { credentials: { accessKeyId: "test", secretAccessKey: "test" } };

async function denied(promise, text) {
  const err = await promise.then(() => assert.fail("it was allowed"), e => e);
  assert.equal(err.name, "AccessDenied", err);
  assert.equal(err.$metadata.httpStatusCode, 403);
  assert.equal(err.message, text);
}

const admin = new IAMClient(root);
const made = await admin.send(new CreateOpenIDConnectProviderCommand({ Url: ISSUER, ClientIDList: ["sts.amazonaws.com"] }));
assert.equal(made.OpenIDConnectProviderArn, PROVIDER);
await admin.send(new CreateRoleCommand({ RoleName: ROLE, AssumeRolePolicyDocument: readFileSync("trust.json", "utf8") }));
await admin.send(new AttachRolePolicyCommand({ RoleName: ROLE, PolicyArn: "arn:aws:iam::aws:policy/IAMReadOnlyAccess" }));
await admin.send(new PutRolePolicyCommand({ RoleName: ROLE, PolicyName: "bucket", PolicyDocument: readFileSync("bucket.json", "utf8") }));
await new S3Client(root).send(new CreateBucketCommand({ Bucket: BUCKET }));

const { Arn } = await new STSClient().send(new GetCallerIdentityCommand());
assert.equal(Arn, CALLER);
const iam = new IAMClient();
const { Groups } = await iam.send(new ListGroupsCommand());
assert.deepEqual(Groups.map(g => g.GroupName), ["admins", "developers"]);
await denied(iam.send(new CreateGroupCommand({ GroupName: ROLE })), GROUP_DENIED);

const s3 = new S3Client();
const up = randomBytes(20 << 20);
await new Upload({ client: s3, params: { Bucket: BUCKET, Key: "data/up", Body: up } }).done();
const down = await (await s3.send(new GetObjectCommand({ Bucket: BUCKET, Key: "data/up" }))).Body.transformToByteArray();
const digest = b => createHash("sha256").update(b).digest("hex");
assert.equal(digest(down), digest(up));
const { ETag } = await s3.send(new HeadObjectCommand({ Bucket: BUCKET, Key: "data/up" }));
assert.match(ETag, /-4"$/); // parts of 5 MiB
await denied(s3.send(new PutObjectCommand({ Bucket: BUCKET, Key: "elsewhere", Body: "x" })), PUT_DENIED);

// Of services that the emulator does not have, each in its own protocol, it says so, once.
for (const [client, command, name, text] of [
  [new DynamoDBClient(), new ListTablesCommand(), "UnknownOperationException", "dynamodb, so it cannot do ListTables;"],
  [new CloudWatchClient(), new ListMetricsCommand(), "InvalidAction", "cloudwatch, so it cannot do ListMetrics;"],
  [new SQSClient(), new ListQueuesCommand(), "InvalidAction", "sqs, so it cannot do ListQueues;"],
  [new SNSClient(), new ListTopicsCommand(), "InvalidAction", "sns, so it cannot do ListTopics;"],
  [new EC2Client(), new DescribeVpcsCommand(), "InvalidAction", "ec2, so it cannot do DescribeVpcs;"],
  [new EKSClient(), new ListNodegroupsCommand({ clusterName: "dev" }), "UnknownOperationException", "this operation of eks;"],
  [new Route53Client(), new ListHostedZonesCommand(), "UnknownOperationException", "route53, so it cannot do ListHostedZones;"],
]) {
  const err = await client.send(command).then(() => assert.fail(`${text} answered`), e => e);
  assert.equal(err.name, name, err);
  assert.ok(err.message.startsWith("This emulator does not have " + text), err.message);
  assert.equal(err.$metadata.httpStatusCode, 400);
  assert.equal(err.$metadata.attempts, 1);
  assert.ok(err.$metadata.requestId, err);
}
console.log("passed");
