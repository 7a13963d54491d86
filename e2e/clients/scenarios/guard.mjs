// The workload behind the guard, with the AWS SDK for JavaScript v3: all of it with a role that may, and each call with a
// role that lacks something of it.
import assert from "node:assert/strict";

const packages = { secretsmanager: "secrets-manager", route53: "route-53" };
// Names of errors follow the shapes of the model, which SNS's code does not.
const names = { sns: "AuthorizationErrorException" };
const kept = {};

function filled(value) {
  if (Array.isArray(value)) return value.map(filled);
  if (value && typeof value === "object") return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, filled(v)]));
  return typeof value === "string" && value.startsWith("$") ? kept[value.slice(1)] : value;
}

// Every call has a client of its own, which looks for its credentials anew.
async function call({ service, operation, input }) {
  const sdk = await import("@aws-sdk/client-" + (packages[service] ?? service));
  const Client = Object.entries(sdk).find(([name]) => name.endsWith("Client") && !name.startsWith("__"))[1];
  return { sdk, answer: new Client().send(new sdk[operation + "Command"](filled(input))) };
}

const steps = JSON.parse(process.env.STEPS);
for (const step of steps.filter(step => step.service !== process.env.NOT_ANSWERED)) {
  const answer = await (await call(step)).answer;
  for (const [name, path] of Object.entries(step.keep ?? {})) kept[name] = path.split(".").reduce((v, part) => v[part], answer);
}

for (const { role, step: index } of JSON.parse(process.env.DENIALS)) {
  const step = steps[index];
  process.env.AWS_ROLE_ARN = process.env.ROLES + role;
  const { sdk, answer } = await call(step);
  const err = await answer.then(() => assert.fail(`${step.operation} was allowed to ${role}`), e => e);
  assert.equal(err.name, names[step.service] ?? step.code, `${step.operation}: ${err.stack}`);
  assert.match(err.message, /is not authorized to perform|not authorized to perform this operation/);
  if (step.class) assert.ok(err instanceof sdk[step.class], `${step.operation}: ${err.constructor.name}`);
}
console.log("passed");
