// Who a pod is, by the default credential chain of the AWS SDK for JavaScript v3.
import { GetCallerIdentityCommand, STSClient } from "@aws-sdk/client-sts";

console.log((await new STSClient().send(new GetCallerIdentityCommand())).Arn);
