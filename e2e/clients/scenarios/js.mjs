// The scenario with the AWS SDK for JavaScript v3: provider and role by the root user, and then the default credential
// chain of a pod.
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { AttachRolePolicyCommand, CreateGroupCommand, CreateOpenIDConnectProviderCommand, CreateRoleCommand, IAMClient, ListGroupsCommand, PutRolePolicyCommand } from "@aws-sdk/client-iam";
import { CreateBucketCommand, GetObjectCommand, HeadObjectCommand, PutObjectCommand, S3Client } from "@aws-sdk/client-s3";
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
console.log("passed");
