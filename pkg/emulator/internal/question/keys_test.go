package question_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/openirsa/openirsa/pkg/emulator/internal/question"
)

// The shapes that tags have in the service models.
func TestTagShapes(t *testing.T) {
	for _, c := range []struct{ operation, input, want string }{
		{"sqs.CreateQueue", `{"QueueName":"q","tags":{"Name":"web"}}`, "Name=web"},
		{"sqs.TagQueue", `{"QueueUrl":"http://x/123456789012/q","Tags":{"Key":"k","b":"2"}}`, "Key=k b=2"},
		{"sqs.UntagQueue", `{"QueueUrl":"http://x/123456789012/q","TagKeys":["a","b"]}`, "a b"},
		{"sns.CreateTopic", `{"Name":"t","Tags":[{"Key":"a","Value":"1"},{"Key":"B","Value":""}]}`, "a=1 B="},
		{"dynamodb.UntagResource", `{"ResourceArn":"~dynamodb:table/Cart","TagKeys":["a"]}`, "a"},
		{"kms.TagResource", `{"KeyId":"` + keyID + `","Tags":[{"TagKey":"a","TagValue":"1"}]}`, "a=1"},
		{"ecs.CreateCluster", `{"clusterName":"c","tags":[{"key":"a","value":"1"}]}`, "a=1"},
		{"ecr.UntagResource", `{"resourceArn":"~ecr:repository/r","tagKeys":["a"]}`, "a"},
		{"lambda.TagResource", `{"Resource":"~lambda:function:f","Tags":{"Name":"1"}}`, "Name=1"},
		{"lambda.UntagResource", `{"Resource":"~lambda:function:f","TagKeys":["a"]}`, "a"},
		{"ec2.CreateTags", `{"Resources":["i-1"],"Tags":[{"Key":"a","Value":"1"}]}`, "a=1"},
		{"ec2.DeleteTags", `{"Resources":["i-1"],"Tags":[{"Key":"a"}]}`, "a"},
		{"ec2.CreateVolume", `{"AvailabilityZone":"z","TagSpecifications":[{"ResourceType":"volume","Tags":[{"Key":"a","Value":"1"}]}]}`, "a=1"},
		{"autoscaling.CreateOrUpdateTags", `{"Tags":[{"ResourceId":"g","ResourceType":"auto-scaling-group","Key":"a","Value":"1","PropagateAtLaunch":true}]}`, "a=1"},
		{"cloudfront.TagResource", `{"Resource":"arn:aws:cloudfront::123456789012:distribution/D","Tags":{"Items":[{"Key":"a","Value":"1"}]}}`, "a=1"},
		{"cloudfront.UntagResource", `{"Resource":"arn:aws:cloudfront::123456789012:distribution/D","TagKeys":{"Items":["a"]}}`, "a"},
		{"opensearch.AddTags", `{"ARN":"~es:domain/d","TagList":[{"Key":"a","Value":"1"}]}`, "a=1"},
		{"rds.RemoveTagsFromResource", `{"ResourceName":"~rds:db:d","TagKeys":["a"]}`, "a"},
		{"elbv2.AddTags", `{"ResourceArns":["~elasticloadbalancing:targetgroup/t/1"],"Tags":[{"Key":"a"}]}`, "a="},
		{"kinesis.AddTagsToStream", `{"StreamName":"s","Tags":{"a":"1"}}`, "a=1"},
		{"sqs.SendMessage", `{"QueueUrl":"http://x/123456789012/q"}`, ""},
	} {
		questions := ask(t, call(t, c.operation, c.input), nil)
		q := &questions[0]
		keys, _ := q.Keys.Values("aws:TagKeys")
		var got []string
		for _, key := range keys {
			if values, ok := q.Keys.Values("aws:RequestTag/" + key); ok {
				key += "=" + values[0]
			}
			got = append(got, key)
		}
		want := strings.Fields(c.want)
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s %s: %v, not %v", c.operation, c.input, got, want)
		}
	}
}

// Resources and actions that are not of the vectors, by family.
func TestResources(t *testing.T) {
	for _, c := range []struct{ operation, input, want string }{
		{"dynamodb.CreateTable", `{"TableName":"T","Tags":[{"Key":"a","Value":"b"}]}`, "dynamodb:CreateTable ~dynamodb:table/T; dynamodb:TagResource ~dynamodb:table/T"},
		{"dynamodb.RestoreTableFromBackup", `{"TargetTableName":"T","BackupArn":"~dynamodb:table/S/backup/1"}`,
			"dynamodb:RestoreTableFromBackup ~dynamodb:table/T; dynamodb:RestoreTableFromBackup ~dynamodb:table/S/backup/1"},
		{"dynamodb.DescribeGlobalTable", `{"GlobalTableName":"G"}`, "dynamodb:DescribeGlobalTable arn:aws:dynamodb::123456789012:global-table/G"},
		{"dynamodb.ListTables", `{}`, "dynamodb:ListTables *"},
		{"dynamodb.TagResource", `{"ResourceArn":"~dynamodb:table/T","Tags":[]}`, "dynamodb:TagResource ~dynamodb:table/T"},
		{"dynamodb.UpdateTimeToLive", `{"TableName":"T"}`, "dynamodb:UpdateTimeToLive ~dynamodb:table/T"},
		{"sqs.StartMessageMoveTask", `{"SourceArn":"~sqs:dlq"}`, "sqs:StartMessageMoveTask ~sqs:dlq"},
		{"sqs.CancelMessageMoveTask", `{"TaskHandle":"eyJzb3VyY2VBcm4iOiJhcm46YXdzOnNxczp1cy1lYXN0LTE6MTIzNDU2Nzg5MDEyOmRscSJ9"}`, "sqs:CancelMessageMoveTask ~sqs:dlq"},
		{"sns.Publish", `{"TargetArn":"~sns:endpoint/GCM/a/b"}`, "sns:Publish *"},
		{"ssm.GetParameter", `{"Name":"/aws/service/eks/optimized-ami/1.30/x"}`, "ssm:GetParameter arn:aws:ssm:us-east-1::parameter/aws/service/eks/optimized-ami/1.30/x"},
		{"ssm.GetParameter", `{"Name":"/aws/reference/secretsmanager/app"}`,
			"ssm:GetParameter ~ssm:parameter/aws/reference/secretsmanager/app; secretsmanager:GetSecretValue " + secret},
		{"ssm.GetDocument", `{"Name":"AWS-RunShellScript"}`, "ssm:GetDocument arn:aws:ssm:us-east-1::document/AWS-RunShellScript"},
		{"ssm.AddTagsToResource", `{"ResourceType":"Parameter","ResourceId":"/a/b","Tags":[]}`, "ssm:AddTagsToResource ~ssm:parameter/a/b"},
		{"ssm.StartSession", `{"Target":"mi-1"}`, "ssm:StartSession ~ssm:managed-instance/mi-1; ssm:StartSession ~ssm:document/SSM-SessionManagerRunShell"},
		{"ssm.GetMaintenanceWindow", `{"WindowId":"mw-1"}`, "ssm:GetMaintenanceWindow ~ssm:maintenancewindow/mw-1"},
		{"kms.UpdateAlias", `{"AliasName":"alias/k","TargetKeyId":"22222222-2222-3333-4444-555555555555"}`,
			"kms:UpdateAlias ~kms:alias/k; kms:UpdateAlias " + keyARN + "; kms:UpdateAlias ~kms:key/22222222-2222-3333-4444-555555555555"},
		{"kms.Encrypt", `{"KeyId":"arn:aws:kms:us-east-1:123456789012:alias/k"}`, "kms:Encrypt " + keyARN},
		{"kms.Encrypt", `{"KeyId":"alias/none"}`, "kms:Encrypt ~kms:key/*"},
		{"kms.CreateKey", `{"Tags":[{"TagKey":"a","TagValue":"b"}]}`, "kms:CreateKey *; kms:TagResource ~kms:key/*"},
		{"kms.ReEncrypt", `{"SourceKeyId":"alias/k","DestinationKeyId":"` + keyID + `"}`, "kms:ReEncryptFrom " + keyARN + "; kms:ReEncryptTo " + keyARN},
		{"lambda.GetFunction", `{"FunctionName":"123456789012:function:f:3","Qualifier":"4"}`, "lambda:GetFunction ~lambda:function:f"},
		{"lambda.Invoke", `{"FunctionName":"arn:aws:lambda:us-east-1:999988887777:function:f:blue"}`, "lambda:InvokeFunction arn:aws:lambda:us-east-1:999988887777:function:f:blue"},
		{"lambda.InvokeAsync", `{"FunctionName":"f"}`, "lambda:InvokeFunction ~lambda:function:f"},
		{"lambda.GetLayerVersion", `{"LayerName":"l","VersionNumber":2}`, "lambda:GetLayerVersion ~lambda:layer:l:2"},
		{"lambda.ListFunctions", `{}`, "lambda:ListFunctions *"},
		{"kinesis.PutRecords", `{"StreamARN":"~kinesis:stream/s"}`, "kinesis:PutRecords ~kinesis:stream/s"},
		{"kinesis.SubscribeToShard", `{"ConsumerARN":"~kinesis:stream/s/consumer/c:1"}`, "kinesis:SubscribeToShard ~kinesis:stream/s/consumer/c:1"},
		{"events.PutRule", `{"Name":"r"}`, "events:PutRule ~events:rule/r"},
		{"events.DeleteRule", `{"Name":"r","EventBusName":"~events:event-bus/b"}`, "events:DeleteRule ~events:rule/b/r"},
		{"logs.FilterLogEvents", `{"logGroupIdentifier":"~logs:log-group:/a:*"}`, "logs:FilterLogEvents ~logs:log-group:/a"},
		{"logs.GetQueryResults", `{"queryId":"q-1"}`, "logs:GetQueryResults ~logs:log-group:/a"},
		{"logs.DescribeLogGroups", `{}`, "logs:DescribeLogGroups ~logs:log-group::log-stream:"},
		{"logs.CreateLogGroup", `{"logGroupName":"g","tags":{"a":"b"}}`, "logs:CreateLogGroup ~logs:log-group:g; logs:TagResource ~logs:log-group:g"},
		{"cloudwatch.DescribeAlarms", `{}`, "cloudwatch:DescribeAlarms ~cloudwatch:alarm:*"},
		{"cloudwatch.DeleteAlarms", `{"AlarmNames":["a","b"]}`, "cloudwatch:DeleteAlarms ~cloudwatch:alarm:a; cloudwatch:DeleteAlarms ~cloudwatch:alarm:b"},
		{"cloudwatch.PutDashboard", `{"DashboardName":"d"}`, "cloudwatch:PutDashboard arn:aws:cloudwatch::123456789012:dashboard/d"},
		{"ecr.DescribeRepositories", `{}`, "ecr:DescribeRepositories ~ecr:repository/*"},
		{"ecr.BatchGetImage", `{"registryId":"999988887777","repositoryName":"r"}`, "ecr:BatchGetImage arn:aws:ecr:us-east-1:999988887777:repository/r"},
		{"ecr.GetAuthorizationToken", `{}`, "ecr:GetAuthorizationToken *"},
		{"ec2.DescribeInstances", `{"InstanceIds":["i-1"]}`, "ec2:DescribeInstances *"},
		{"ec2.CreateSnapshot", `{"VolumeId":"vol-1"}`, "ec2:CreateSnapshot arn:aws:ec2:us-east-1::snapshot/*; ec2:CreateSnapshot ~ec2:volume/vol-1"},
		{"ec2.ModifyInstanceAttribute", `{"InstanceId":"i-1","Groups":["sg-1"]}`, "ec2:ModifyInstanceAttribute ~ec2:instance/i-1; ec2:ModifyInstanceAttribute ~ec2:security-group/sg-1"},
		{"ec2.AuthorizeSecurityGroupIngress", `{"GroupId":"sg-1"}`, "ec2:AuthorizeSecurityGroupIngress ~ec2:security-group/sg-1"},
		{"ec2.DeleteKeyPair", `{"KeyName":"k"}`, "ec2:DeleteKeyPair ~ec2:key-pair/k"},
		{"elb.CreateLoadBalancer", `{"LoadBalancerName":"l"}`, "elasticloadbalancing:CreateLoadBalancer ~elasticloadbalancing:loadbalancer/l"},
		{"elbv2.CreateLoadBalancer", `{"Name":"l"}`, "elasticloadbalancing:CreateLoadBalancer ~elasticloadbalancing:loadbalancer/app/l/*"},
		{"elbv2.DeleteLoadBalancer", `{"LoadBalancerArn":"~elasticloadbalancing:loadbalancer/net/l/1"}`, "elasticloadbalancing:DeleteLoadBalancer ~elasticloadbalancing:loadbalancer/net/l/1"},
		{"elbv2.DescribeLoadBalancers", `{}`, "elasticloadbalancing:DescribeLoadBalancers *"},
		{"elbv2.ModifyRule", `{"RuleArn":"~elasticloadbalancing:listener-rule/app/l/1/2/3"}`, "elasticloadbalancing:ModifyRule ~elasticloadbalancing:listener-rule/app/l/1/2/3"},
		{"route53.ListTagsForResource", `{"ResourceType":"healthcheck","ResourceId":"h"}`, "route53:ListTagsForResource arn:aws:route53:::healthcheck/h"},
		{"route53.GetHealthCheck", `{"HealthCheckId":"h"}`, "route53:GetHealthCheck arn:aws:route53:::healthcheck/h"},
		{"cloudformation.DescribeStacks", `{}`, "cloudformation:DescribeStacks *; cloudformation:ListStacks *"},
		{"cloudformation.DescribeStacks", `{"StackName":"~cloudformation:stack/s/1"}`, "cloudformation:DescribeStacks ~cloudformation:stack/s/1"},
		{"cloudformation.CreateStack", `{"StackName":"s","RoleARN":"arn:aws:iam::123456789012:role/r"}`,
			"cloudformation:CreateStack ~cloudformation:stack/s/*; iam:PassRole arn:aws:iam::123456789012:role/r"},
		{"cloudformation.DeleteStackSet", `{"StackSetName":"s"}`, "cloudformation:DeleteStackSet ~cloudformation:stackset/s:*"},
		{"rds.DescribeDBInstances", `{}`, "rds:DescribeDBInstances ~rds:db:*"},
		{"rds.CreateDBInstance", `{"DBInstanceIdentifier":"D","DBParameterGroupName":"P","Tags":[{"Key":"a","Value":"b"}]}`,
			"rds:CreateDBInstance ~rds:db:d; rds:CreateDBInstance ~rds:pg:p; rds:AddTagsToResource ~rds:db:d"},
		{"rds.CreateDBSnapshot", `{"DBInstanceIdentifier":"d","DBSnapshotIdentifier":"s"}`, "rds:CreateDBSnapshot ~rds:snapshot:s; rds:CreateDBSnapshot ~rds:db:d"},
		{"rds.ListTagsForResource", `{"ResourceName":"~rds:db:d"}`, "rds:ListTagsForResource ~rds:db:d"},
		{"elasticache.DeleteCacheCluster", `{"CacheClusterId":"C"}`, "elasticache:DeleteCacheCluster ~elasticache:cluster:c"},
		{"elasticache.CreateReplicationGroup", `{"ReplicationGroupId":"R","CacheParameterGroupName":"p"}`,
			"elasticache:CreateReplicationGroup ~elasticache:replicationgroup:r; elasticache:CreateReplicationGroup ~elasticache:parametergroup:p"},
		{"opensearch.DescribeDomain", `{"DomainName":"d"}`, "es:DescribeDomain ~es:domain/d"},
		{"opensearch.GetApplication", `{"id":"a"}`, "es:GetApplication arn:aws:opensearch:us-east-1:123456789012:application/a"},
		{"athena.StartQueryExecution", `{"QueryString":"q"}`, "athena:StartQueryExecution ~athena:workgroup/primary"},
		{"athena.GetDatabase", `{"CatalogName":"c","DatabaseName":"d"}`, "athena:GetDatabase ~athena:datacatalog/c"},
		{"athena.ListWorkGroups", `{}`, "athena:ListWorkGroups *"},
		{"glue.GetTables", `{"DatabaseName":"d"}`, "glue:GetTables ~glue:catalog; glue:GetTables ~glue:database/d; glue:GetTables ~glue:table/d/*"},
		{"glue.DeleteTable", `{"CatalogId":"999988887777","DatabaseName":"d","Name":"t"}`, "glue:DeleteTable arn:aws:glue:us-east-1:999988887777:catalog; " +
			"glue:DeleteTable arn:aws:glue:us-east-1:999988887777:database/d; glue:DeleteTable arn:aws:glue:us-east-1:999988887777:table/d/t"},
		{"glue.StartJobRun", `{"JobName":"j"}`, "glue:StartJobRun ~glue:job/j"},
		{"glue.GetDatabase", `{"Name":"d"}`, "glue:GetDatabase ~glue:catalog; glue:GetDatabase ~glue:database/d"},
		{"stepfunctions.StartExecution", `{"stateMachineArn":"~states:stateMachine:m:blue"}`, "states:StartExecution ~states:stateMachine:m"},
		{"stepfunctions.SendTaskSuccess", `{"taskToken":"t","output":"{}"}`, "states:SendTaskSuccess *"},
		{"batch.SubmitJob", `{"jobName":"j","jobQueue":"~batch:job-queue/q","jobDefinition":"jd:3"}`, "batch:SubmitJob ~batch:job-definition/jd:3; batch:SubmitJob ~batch:job-queue/q"},
		{"batch.TerminateJob", `{"jobId":"1","reason":"r"}`, "batch:TerminateJob ~batch:job/1"},
		{"sesv2.SendEmail", `{"FromEmailAddress":"a@other.org","Content":{"Raw":{"Data":"eA=="}},"ConfigurationSetName":"c"}`,
			"ses:SendRawEmail ~ses:identity/a@other.org; ses:SendRawEmail ~ses:configuration-set/c"},
		{"cognito-idp.AdminGetUser", `{"UserPoolId":"us-east-1_x","Username":"u"}`, "cognito-idp:AdminGetUser ~cognito-idp:userpool/us-east-1_x"},
		{"bedrock-runtime.InvokeModel", `{"modelId":"eu.anthropic.claude-v1"}`,
			"bedrock:InvokeModel ~bedrock:inference-profile/eu.anthropic.claude-v1; bedrock:InvokeModel arn:aws:bedrock:*::foundation-model/anthropic.claude-v1"},
		{"bedrock-runtime.Converse", `{"modelId":"~bedrock:provisioned-model/p"}`, "bedrock:InvokeModel ~bedrock:provisioned-model/p"},
		{"eks.CreateNodegroup", `{"clusterName":"c","nodegroupName":"n"}`, "eks:CreateNodegroup ~eks:cluster/c"},
		{"eks.DescribeCluster", `{"name":"c"}`, "eks:DescribeCluster ~eks:cluster/c"},
		{"eks.DescribeAccessEntry", `{"clusterName":"c","principalArn":"arn:aws:iam::123456789012:role/p/r"}`, "eks:DescribeAccessEntry ~eks:access-entry/c/role/123456789012/r/*"},
		{"eks.DeletePodIdentityAssociation", `{"clusterName":"c","associationId":"a-1"}`, "eks:DeletePodIdentityAssociation ~eks:podidentityassociation/c/a-1"},
		{"eks.ListClusters", `{}`, "eks:ListClusters *"},
		{"ecs.RunTask", `{"taskDefinition":"f"}`, "ecs:RunTask ~ecs:task-definition/f:*"},
		{"ecs.DescribeTasks", `{"cluster":"~ecs:cluster/c","tasks":["t1","~ecs:task/c/t2"]}`, "ecs:DescribeTasks ~ecs:task/c/t1; ecs:DescribeTasks ~ecs:task/c/t2"},
		{"ecs.UpdateService", `{"service":"s"}`, "ecs:UpdateService ~ecs:service/default/s"},
		{"ecs.DescribeTaskDefinition", `{"taskDefinition":"f"}`, "ecs:DescribeTaskDefinition *"},
		{"xray.PutTraceSegments", `{"TraceSegmentDocuments":[]}`, "xray:PutTraceSegments *"},
		{"firehose.DescribeDeliveryStream", `{"DeliveryStreamName":"d"}`, "firehose:DescribeDeliveryStream ~firehose:deliverystream/d"},
		{"efs.DescribeMountTargets", `{"FileSystemId":"fs-1"}`, "elasticfilesystem:DescribeMountTargets ~elasticfilesystem:file-system/fs-1"},
	} {
		t.Run(c.operation, func(t *testing.T) {
			wantShown(t, ask(t, call(t, c.operation, c.input), world()), strings.Split(c.want, "; ")...)
		})
	}
}

// Services by the general rule, or with a few names of their own: Service
// Authorization Reference.
func TestOtherServices(t *testing.T) {
	for _, c := range []struct{ operation, input, want string }{
		{"scheduler.GetSchedule", `{"Name":"n"}`, "scheduler:GetSchedule ~scheduler:schedule/default/n"},
		{"scheduler.GetScheduleGroup", `{"Name":"g"}`, "scheduler:GetScheduleGroup ~scheduler:schedule-group/g"},
		{"appconfigdata.StartConfigurationSession", `{"ApplicationIdentifier":"a","EnvironmentIdentifier":"e","ConfigurationProfileIdentifier":"c"}`,
			"appconfig:StartConfigurationSession ~appconfig:application/a/environment/e/configuration/c"},
		{"acm.DescribeCertificate", `{"CertificateArn":"~acm:certificate/c"}`, "acm:DescribeCertificate ~acm:certificate/c"},
		{"iot-data.Publish", `{"topic":"a/b"}`, "iot:Publish ~iot:topic/a/b"},
		{"cognito-identity.DescribeIdentityPool", `{"IdentityPoolId":"us-east-1:1"}`, "cognito-identity:DescribeIdentityPool ~cognito-identity:identitypool/us-east-1:1"},
		{"cloudfront.CreateInvalidation", `{"DistributionId":"D"}`, "cloudfront:CreateInvalidation arn:aws:cloudfront::123456789012:distribution/D"},
		{"servicediscovery.RegisterInstance", `{"ServiceId":"srv-1","InstanceId":"i"}`, "servicediscovery:RegisterInstance ~servicediscovery:service/srv-1"},
		{"sagemaker-runtime.InvokeEndpoint", `{"EndpointName":"e"}`, "sagemaker:InvokeEndpoint ~sagemaker:endpoint/e"},
		{"timestream-write.WriteRecords", `{"DatabaseName":"d","TableName":"t"}`, "timestream:WriteRecords ~timestream:database/d/table/t"},
		{"keyspaces.GetTable", `{"keyspaceName":"k","tableName":"t"}`, "cassandra:Select ~cassandra:/keyspace/k/table/t"},
		{"pipes.StartPipe", `{"Name":"p"}`, "pipes:StartPipe ~pipes:pipe/p"},
		{"mq.DescribeBroker", `{"BrokerId":"b"}`, "mq:DescribeBroker ~mq:broker:*:b"},
		{"codepipeline.StartPipelineExecution", `{"name":"p"}`, "codepipeline:StartPipelineExecution ~codepipeline:p"},
		{"cloudtrail.StartLogging", `{"Name":"t"}`, "cloudtrail:StartLogging ~cloudtrail:trail/t"},
		{"efs.DescribeAccessPoints", `{"FileSystemId":"fs-1"}`, "elasticfilesystem:DescribeAccessPoints ~elasticfilesystem:file-system/fs-1"},
		{"backup.StartBackupJob", `{"BackupVaultName":"v","ResourceArn":"~dynamodb:table/T","IamRoleArn":"arn:aws:iam::123456789012:role/r"}`,
			"backup:StartBackupJob ~backup:backup-vault:v; iam:PassRole arn:aws:iam::123456789012:role/r"},
		{"kinesisvideo.DescribeStream", `{"StreamName":"s"}`, "kinesisvideo:DescribeStream ~kinesisvideo:stream/s/*"},
		{"emr.DescribeCluster", `{"ClusterId":"j-1"}`, "elasticmapreduce:DescribeCluster ~elasticmapreduce:cluster/j-1"},
		{"resourcegroupstaggingapi.GetResources", `{}`, "tag:GetResources *"},
		{"neptunedata.ExecuteOpenCypherQuery", `{"openCypherQuery":"q"}`, "neptune-db:ExecuteOpenCypherQuery *"},
	} {
		t.Run(c.operation, func(t *testing.T) {
			wantShown(t, ask(t, call(t, c.operation, c.input), world()), strings.Split(c.want, "; ")...)
		})
	}
}

// AWS Secrets Manager API Reference, BatchGetSecretValue: a secret that is denied is
// an error in the answer.
func TestBatchSecrets(t *testing.T) {
	questions := ask(t, call(t, "secretsmanager.BatchGetSecretValue", `{"SecretIdList":["app","gone"]}`), world())
	wantShown(t, questions, "secretsmanager:BatchGetSecretValue *", "secretsmanager:GetSecretValue "+secret, "secretsmanager:GetSecretValue gone")
	doc := document(allow("secretsmanager:BatchGetSecretValue", "*"), allow("secretsmanager:GetSecretValue", secret))
	verdict, _ := decide(t, questions, doc)
	if !verdict.Allowed || len(verdict.Items) != 1 || questions[verdict.Items[0]].Item != "gone" {
		t.Errorf("%+v", verdict)
	}
	if verdict, _ := decide(t, questions, document(allow("secretsmanager:GetSecretValue", "*"))); verdict.Allowed {
		t.Error("allowed without BatchGetSecretValue")
	}
	questions = ask(t, call(t, "secretsmanager.BatchGetSecretValue", `{"Filters":[{"Key":"name","Values":["app"]}]}`), world())
	if verdict, _ := decide(t, questions, doc); verdict.Allowed || questions[verdict.Denied].Action != "secretsmanager:ListSecrets" {
		t.Errorf("%+v", verdict)
	}
}

// AWS KMS API Reference, Decrypt: the key need not be named.
func TestDecrypt(t *testing.T) {
	c := call(t, "kms.Decrypt", "")
	c.Input = map[string]any{"CiphertextBlob": []byte(keyID + "rest")}
	questions := ask(t, c, world())
	wantShown(t, questions, "kms:Decrypt "+keyARN)
	if questions[0].FromAnswer != "" {
		t.Error("only the answer tells the key")
	}
	c.Input = map[string]any{"CiphertextBlob": []byte("hidden")}
	questions = ask(t, c, world())
	wantShown(t, questions, "kms:Decrypt ~kms:key/*")
	verdict, _ := decide(t, questions, nothing)
	if !verdict.Allowed || !slices.Equal(verdict.Later, []int{0}) || questions[0].FromAnswer != "KeyId" {
		t.Fatalf("%+v", verdict)
	}
	about := told(t, c, &questions[0], keyARN)
	wantShown(t, about, "kms:Decrypt "+keyARN)
	for doc, want := range map[string]bool{nothing: false, document(allow("kms:Decrypt", keyARN)): true} {
		if verdict, _ := decide(t, about, doc); verdict.Allowed != want {
			t.Errorf("allowed %t by %s", verdict.Allowed, doc)
		}
	}
	if about[0].Account != account || !about[0].Known || about[0].FromAnswer != "" {
		t.Errorf("%+v", about[0])
	}
	c = call(t, "kms.ReEncrypt", `{"CiphertextBlob":"aGlkZGVu","DestinationKeyId":"`+keyID+`"}`)
	about = told(t, c, &ask(t, c, world())[0], keyARN)
	wantShown(t, about, "kms:ReEncryptFrom "+keyARN, "kms:ReEncryptTo "+keyARN)
	wantKeys(t, about, "kms:ReEncryptOnSameKey=true")
	c = call(t, "secretsmanager.BatchGetSecretValue", `{"Filters":[{"Key":"name","Values":["app"]}]}`)
	questions = ask(t, c, world())
	about = told(t, c, &questions[len(questions)-1], secret)
	wantShown(t, about, "secretsmanager:GetSecretValue "+secret)
	wantKeys(t, about, "secretsmanager:SecretId="+secret)
}

// What a path says that no model has.
func TestDataPlanes(t *testing.T) {
	for _, c := range []struct {
		service, method, path, want string
	}{
		{"es", "GET", "/index/_search", "es:ESHttpGet ~es:domain/*/index/_search"},
		{"aoss", "POST", "/x", "aoss:APIAccessAll ~aoss:collection/*"},
		{"aps", "POST", "/workspaces/ws-1/api/v1/remote_write", "aps:RemoteWrite ~aps:workspace/ws-1"},
		{"aps", "GET", "/workspaces/ws-1/api/v1/label/job/values", "aps:GetLabels ~aps:workspace/ws-1"},
		{"aps", "GET", "/workspaces/ws-1/api/v1/status", "aps:UnknownOperation *"},
		{"aps", "GET", "/", "aps:UnknownOperation *"},
	} {
		wantShown(t, ask(t, &question.Call{
			Service: c.service, Method: c.method, Path: c.path, Region: region, Account: account, Partition: "aws",
		}, nil), c.want)
	}
	c := call(t, "apigatewaymanagementapi.PostToConnection", `{"ConnectionId":"a="}`)
	c.Method, c.Path = "POST", "/prod/@connections/a="
	wantShown(t, ask(t, c, nil), "execute-api:ManageConnections ~execute-api:*/prod/POST/@connections/a=")
	c = call(t, "apigatewayv2.GetApi", `{"ApiId":"a"}`)
	c.Method, c.Path = "GET", "/v2/apis/a"
	wantShown(t, ask(t, c, nil), "apigateway:GET arn:aws:apigateway:us-east-1::/apis/a")
}

// What a question says that cannot be computed.
func TestComputes(t *testing.T) {
	c := call(t, "sns.Subscribe", `{"TopicArn":"~sns:news","Protocol":"sqs"}`)
	q := &ask(t, c, nil)[0]
	for key, want := range map[string]bool{
		"sns:Protocol": true, "sns:endpoint": true, "aws:RequestTag/a": true, "AWS:SourceIp": true, "aws:PrincipalTag/x": true,
		"aws:PrincipalOrgID": true, "aws:PrincipalOrgPaths": true, "aws:ResourceOrgID": true, "aws:ResourceOrgPaths": true,
		"aws:SourceVpce": false, "aws:SourceArn": false, "sns:Nothing": false, "s3:prefix": true,
	} {
		if got := q.Computes(key); got != want {
			t.Errorf("%s: %t", key, got)
		}
	}
	c = call(t, "secretsmanager.GetSecretValue", `{"SecretId":"app"}`)
	q = &ask(t, c, world())[0]
	for key, want := range map[string]bool{
		"secretsmanager:SecretId": true, "secretsmanager:ResourceTag/a": true, "secretsmanager:resource/AllowRotationLambdaArn": true, "secretsmanager:Nothing": false,
	} {
		if got := q.Computes(key); got != want {
			t.Errorf("%s: %t", key, got)
		}
	}
}

// failing is a world that nobody can ask.
type failing struct{ asked int }

func (f *failing) Find(context.Context, question.Fact) (question.Known, bool, error) {
	f.asked++
	return question.Known{}, false, errors.New("connection refused")
}

func (f *failing) Mentions(string) bool { return true }

// A backend that does not answer makes things unknown; policies that need them do
// not allow.
func TestNobodyToAsk(t *testing.T) {
	f := &failing{}
	questions := ask(t, call(t, "secretsmanager.GetSecretValue", `{"SecretId":"app"}`), f)
	wantShown(t, questions, "secretsmanager:GetSecretValue app")
	if len(questions[0].Warnings) == 0 || !strings.Contains(questions[0].Warnings[0], "connection refused") {
		t.Errorf("warnings %q", questions[0].Warnings)
	}
	questions = ask(t, call(t, "dynamodb.PutItem", `{"TableName":"Cart","Item":{"id":{"S":"red"},"n":{"N":"1"}}}`), f)
	doc := document(allowIf("dynamodb:PutItem", "*", `{"ForAllValues:StringEquals":{"dynamodb:LeadingKeys":["red"]}}`))
	if verdict, _ := decide(t, questions, doc); verdict.Allowed {
		t.Error("allowed without knowing the partition key")
	}
}

// Nothing is asked of the world that no policy needs, but for the key of what is encrypted.
func TestAsksLittle(t *testing.T) {
	w := world()
	w.Keys = []string{"aws:SourceIp"}
	for _, c := range []struct {
		operation, input string
		want             int
	}{
		{"dynamodb.PutItem", `{"TableName":"Cart","Item":{"id":{"S":"red"},"n":{"N":"1"}}}`, 1},
		{"sqs.SendMessage", `{"QueueUrl":"http://x/123456789012/mail"}`, 1},
		{"dynamodb.DescribeTable", `{"TableName":"Cart"}`, 0},
		{"sqs.DeleteMessage", `{"QueueUrl":"http://x/123456789012/mail"}`, 0},
	} {
		counting := &counter{Memory: w}
		ask(t, call(t, c.operation, c.input), counting)
		if counting.asked != c.want {
			t.Errorf("%s asks %d times, want %d", c.operation, counting.asked, c.want)
		}
	}
}

type counter struct {
	*question.Memory
	asked int
}

func (c *counter) Find(ctx context.Context, f question.Fact) (question.Known, bool, error) {
	c.asked++
	return c.Memory.Find(ctx, f)
}

// Tags of what a call creates are asked about on what it creates.
func TestTagsOfNew(t *testing.T) {
	const tags = `"tags":{"a":"b"}`
	for _, c := range []struct{ operation, input, want string }{
		{"eks.CreateCluster", `{"name":"c",` + tags + `}`, "eks:CreateCluster ~eks:cluster/c; eks:TagResource ~eks:cluster/c"},
		{"eks.CreateNodegroup", `{"clusterName":"c","nodegroupName":"n",` + tags + `}`,
			"eks:CreateNodegroup ~eks:cluster/c; eks:TagResource ~eks:nodegroup/c/n/*"},
		{"kms.CreateKey", `{"Tags":[{"TagKey":"a","TagValue":"b"}]}`, "kms:CreateKey *; kms:TagResource ~kms:key/*"},
		{"batch.SubmitJob", `{"jobName":"j","jobQueue":"q","jobDefinition":"d",` + tags + `}`,
			"batch:SubmitJob ~batch:job-definition/d; batch:SubmitJob ~batch:job-queue/q; batch:TagResource ~batch:job/*"},
		{"ecs.RunTask", `{"taskDefinition":"f:1","tags":[{"key":"a","value":"b"}]}`,
			"ecs:RunTask ~ecs:task-definition/f:1; ecs:TagResource ~ecs:task/default/*"},
		{"lambda.CreateEventSourceMapping", `{"FunctionName":"f","Tags":{"a":"b"}}`,
			"lambda:CreateEventSourceMapping *; lambda:TagResource ~lambda:event-source-mapping:*"},
		{"secretsmanager.CreateSecret", `{"Name":"n","Tags":[{"Key":"a","Value":"b"}]}`,
			"secretsmanager:CreateSecret ~secretsmanager:secret:n-??????; secretsmanager:TagResource ~secretsmanager:secret:n-??????"},
		{"sqs.TagQueue", `{"QueueUrl":"http://x/123456789012/q","Tags":{"a":"b"}}`, "sqs:TagQueue ~sqs:q"},
		{"elbv2.CreateListener", `{"LoadBalancerArn":"~elasticloadbalancing:loadbalancer/app/l/1","Tags":[{"Key":"a","Value":"b"}]}`,
			"elasticloadbalancing:CreateListener ~elasticloadbalancing:loadbalancer/app/l/1; elasticloadbalancing:AddTags ~elasticloadbalancing:listener/app/l/1/*"},
		{"elbv2.CreateRule", `{"ListenerArn":"~elasticloadbalancing:listener/app/l/1/2","Tags":[{"Key":"a","Value":"b"}]}`,
			"elasticloadbalancing:CreateRule ~elasticloadbalancing:listener/app/l/1/2; elasticloadbalancing:AddTags ~elasticloadbalancing:listener-rule/app/l/1/2/*"},
		{"ec2.CreateSecurityGroup", `{"GroupName":"g","VpcId":"vpc-1","TagSpecifications":[{"ResourceType":"security-group","Tags":[{"Key":"a","Value":"b"}]}]}`,
			"ec2:CreateSecurityGroup ~ec2:security-group/*; ec2:CreateSecurityGroup ~ec2:vpc/vpc-1; ec2:CreateTags ~ec2:security-group/*"},
		{"ec2.CreateFleet", `{"LaunchTemplateConfigs":[{"LaunchTemplateSpecification":{"LaunchTemplateId":"lt-1"},"Overrides":[{"SubnetId":"subnet-1"}]}],
			"TagSpecifications":[{"ResourceType":"fleet","Tags":[{"Key":"a","Value":"b"}]}]}`,
			"ec2:CreateFleet ~ec2:fleet/*; ec2:CreateFleet ~ec2:instance/*; ec2:CreateFleet ~ec2:launch-template/lt-1; ec2:CreateFleet ~ec2:subnet/subnet-1; ec2:CreateTags ~ec2:fleet/*"},
		{"glue.CreateJob", `{"Name":"j","Role":"r","Tags":{"a":"b"}}`,
			"glue:CreateJob ~glue:job/j; glue:TagResource ~glue:job/j; iam:PassRole arn:aws:iam::123456789012:role/r"},
	} {
		t.Run(c.operation, func(t *testing.T) {
			wantShown(t, ask(t, call(t, c.operation, c.input), world()), strings.Split(c.want, "; ")...)
		})
	}
}

// Service Authorization Reference, RunInstances: a key is of one type of resources.
func TestKeysOfOneResource(t *testing.T) {
	questions := ask(t, call(t, "ec2.RunInstances", `{"ImageId":"ami-1","InstanceType":"t3.micro","SubnetId":"subnet-1",
		"BlockDeviceMappings":[{"Ebs":{"VolumeSize":8,"Encrypted":true}}]}`), nil)
	for i := range questions {
		q := &questions[i]
		for key, kind := range map[string]string{
			"ec2:InstanceType": ":instance/", "ec2:Tenancy": ":instance/", "ec2:VolumeSize": ":volume/", "ec2:Encrypted": ":volume/",
			"ec2:SubnetID": ":subnet/", "ec2:Subnet": ":network-interface/",
		} {
			if _, set := q.Keys.Values(key); set != strings.Contains(q.Resource, kind) {
				t.Errorf("%s: %s is set: %t", q.Resource, key, set)
			}
		}
	}
}

// Keys that are no member of like name, by service.
func TestServiceKeys(t *testing.T) {
	for _, c := range []struct {
		operation, input string
		keys             []string
	}{
		{"batch.RegisterJobDefinition", `{"jobDefinitionName":"d","type":"container","containerProperties":{"image":"i","privileged":true,
			"logConfiguration":{"logDriver":"awslogs","options":{"awslogs-group":"g"}}}}`,
			[]string{"batch:Image=i", "batch:Privileged=true", "batch:LogDriver=awslogs", "batch:AWSLogsGroup=g", "batch:User"}},
		{"ecs.RunTask", `{"cluster":"c","taskDefinition":"f:1","enableExecuteCommand":true}`,
			[]string{"ecs:cluster=~ecs:cluster/c", "ecs:enable-execute-command=true", "ecs:task-definition=~ecs:task-definition/f:1"}},
		{"ecs.UpdateService", `{"cluster":"~ecs:cluster/c","service":"s"}`, []string{"ecs:service=~ecs:service/c/s", "ecs:cluster=~ecs:cluster/c"}},
		{"eks.CreateAccessEntry", `{"clusterName":"c","principalArn":"arn:aws:iam::123456789012:role/r","type":"STANDARD","kubernetesGroups":["g"]}`,
			[]string{"eks:principalArn=arn:aws:iam::123456789012:role/r", "eks:accessEntryType=STANDARD", "eks:kubernetesGroups=g"}},
		{"eks.AssociateAccessPolicy", `{"clusterName":"c","principalArn":"arn:aws:iam::123456789012:role/r","policyArn":"p",
			"accessScope":{"type":"namespace","namespaces":["a","b"]}}`,
			[]string{"eks:policyArn=p", "eks:accessScope=namespace", "eks:namespaces=a,b"}},
		{"stepfunctions.StartExecution", `{"stateMachineArn":"~states:stateMachine:m:PROD"}`, []string{"states:StateMachineQualifier=PROD"}},
		{"cloudformation.CreateStack", `{"StackName":"s","TemplateURL":"u","RoleARN":"arn:aws:iam::123456789012:role/r","ResourceTypes":["AWS::S3::*"]}`,
			[]string{"cloudformation:TemplateUrl=u", "cloudformation:RoleArn=arn:aws:iam::123456789012:role/r", "cloudformation:ResourceTypes=AWS::S3::*"}},
		{"rds.CreateDBInstance", `{"DBInstanceIdentifier":"d","DBInstanceClass":"db.t3.micro","Engine":"mysql","AllocatedStorage":20,"Tags":[{"Key":"a","Value":"b"}]}`,
			[]string{"rds:DatabaseClass=db.t3.micro", "rds:DatabaseEngine=mysql", "rds:StorageSize=20", "rds:req-tag/a=b"}},
		{"elasticache.CreateCacheCluster", `{"CacheClusterId":"c","CacheNodeType":"cache.t3.micro","Engine":"redis"}`,
			[]string{"elasticache:CacheNodeType=cache.t3.micro", "elasticache:EngineType=redis", "elasticache:AuthTokenEnabled=false"}},
		{"autoscaling.CreateAutoScalingGroup", `{"AutoScalingGroupName":"g","MinSize":1,"MaxSize":3,"VPCZoneIdentifier":"subnet-1,subnet-2"}`,
			[]string{"autoscaling:MinSize=1", "autoscaling:MaxSize=3", "autoscaling:VPCZoneIdentifiers=subnet-1,subnet-2"}},
		{"elbv2.CreateListener", `{"LoadBalancerArn":"~elasticloadbalancing:loadbalancer/app/l/1","Protocol":"HTTPS"}`,
			[]string{"elasticloadbalancing:ListenerProtocol=HTTPS"}},
		{"elbv2.CreateLoadBalancer", `{"Name":"l","Scheme":"internal","Subnets":["subnet-1"]}`,
			[]string{"elasticloadbalancing:Scheme=internal", "elasticloadbalancing:Subnet=subnet-1"}},
		{"bedrock-runtime.Converse", `{"modelId":"m","guardrailConfig":{"guardrailIdentifier":"g","guardrailVersion":"1"}}`,
			[]string{"bedrock:GuardrailIdentifier=~bedrock:guardrail/g:1"}},
		{"bedrock-runtime.Converse", `{"modelId":"us.m"}`, []string{"bedrock:InferenceProfileArn", "1 bedrock:InferenceProfileArn=~bedrock:inference-profile/us.m"}},
		{"cloudwatch.PutMetricAlarm", `{"AlarmName":"a","AlarmActions":["x"]}`, []string{"cloudwatch:AlarmActions=x"}},
		{"kms.ScheduleKeyDeletion", `{"KeyId":"` + keyID + `"}`, []string{"kms:ScheduleKeyDeletionPendingWindowInDays=30"}},
		{"kms.Sign", `{"KeyId":"` + keyID + `","SigningAlgorithm":"ECDSA_SHA_256"}`, []string{"kms:SigningAlgorithm=ECDSA_SHA_256", "kms:MessageType=RAW"}},
		{"lambda.CreateFunctionUrlConfig", `{"FunctionName":"f","AuthType":"AWS_IAM"}`,
			[]string{"lambda:FunctionUrlAuthType=AWS_IAM", "lambda:FunctionArn=~lambda:function:f"}},
		{"secretsmanager.DeleteSecret", `{"SecretId":"app","RecoveryWindowInDays":7,"ForceDeleteWithoutRecovery":false}`,
			[]string{"secretsmanager:RecoveryWindowInDays=7", "secretsmanager:ForceDeleteWithoutRecovery=false"}},
		{"secretsmanager.ReplicateSecretToRegions", `{"SecretId":"app","AddReplicaRegions":[{"Region":"eu-west-1"}]}`,
			[]string{"secretsmanager:AddReplicaRegions=eu-west-1"}},
		{"route53.AssociateVPCWithHostedZone", `{"HostedZoneId":"Z","VPC":{"VPCRegion":"us-east-1","VPCId":"vpc-1"}}`,
			[]string{"route53:VPCs=VPCId=vpc-1,VPCRegion=us-east-1"}},
		{"cloudfront.GetDistribution", `{"Id":"D"}`, []string{"aws:RequestedRegion=us-east-1"}},
	} {
		t.Run(c.operation, func(t *testing.T) {
			in := call(t, c.operation, c.input)
			questions := ask(t, in, world())
			wantKeys(t, questions, c.keys...)
			for _, line := range c.keys {
				name, _, _ := strings.Cut(strings.TrimPrefix(line, "1 "), "=")
				if !questions[0].Computes(name) {
					t.Errorf("it does not say that it computes %s", name)
				}
			}
		})
	}
	// Names as the key has them: Amazon Route 53 Developer Guide, "Normalization for
	// setting conditions".
	for _, c := range [][2]string{{"EXAMPLE.com.", "example.com"}, {`\\052.x.org`, `\\052.x.org`}, {"*.x.org", `\\052.x.org`}, {`\\141.org`, "a.org"}} {
		questions := ask(t, call(t, "route53.ChangeResourceRecordSets",
			`{"HostedZoneId":"Z","ChangeBatch":{"Changes":[{"Action":"CREATE","ResourceRecordSet":{"Name":"`+c[0]+`","Type":"A"}}]}}`), nil)
		wantKeys(t, questions, "route53:ChangeResourceRecordSetsNormalizedRecordNames="+strings.ReplaceAll(c[1], `\\`, `\`))
	}
}
