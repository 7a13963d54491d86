package question_test

import (
	"testing"

	"github.com/openirsa/openirsa/pkg/emulator/internal/question"
)

// try is a policy with what it says to a call.
type try struct {
	doc     string
	allowed bool
}

// vector is a call, what must be allowed for it, and what policies say to it.
type vector struct {
	name string
	// source is the page of AWS's documentation that the vector is from.
	source    string
	operation string // "model.Operation"
	input     string // JSON; ~svc: is the beginning of an ARN
	change    func(*question.Call)
	want      []string
	keys      []string // see wantKeys
	tries     []try
}

func (v vector) run(t *testing.T) {
	if v.source == "" {
		t.Error("it has no source")
	}
	c := call(t, v.operation, v.input)
	if v.change != nil {
		v.change(c)
	}
	questions := ask(t, c, world())
	wantShown(t, questions, v.want...)
	wantKeys(t, questions, v.keys...)
	for _, try := range v.tries {
		if verdict, d := decide(t, questions, try.doc); verdict.Allowed != try.allowed {
			t.Errorf("allowed: %t; %s\n%s", verdict.Allowed, try.doc, d)
		}
	}
}

// Policies of the vectors.
var (
	cartOnly = document(allow("dynamodb:*", "~dynamodb:table/Cart"))
	nothing  = document(allow("sts:GetCallerIdentity", "*"))
	sendMail = document(allow("sqs:SendMessage", "~sqs:mail"))
	appOnly  = document(allow("secretsmanager:*", "~secretsmanager:secret:app-??????"))
	svcOnly  = document(allow("ssm:*", "~ssm:parameter/svc/*"))
	ownItems = document(allowIf("dynamodb:GetItem", "~dynamodb:table/Cart",
		`{"ForAllValues:StringEquals":{"dynamodb:LeadingKeys":["${aws:PrincipalTag/kubernetes-service-account}"]}}`))
	onlyQueues = document(allow("sns:Subscribe", "*"),
		denyIf("sns:Subscribe", "*", `{"StringNotEquals":{"sns:Protocol":"sqs"}}`))
	byAlias = document(allowIf("kms:*", keyARN, `{"StringEquals":{"kms:RequestAlias":"alias/k"}}`))
)

func inNamespace(name string) string {
	return document(allowIf("cloudwatch:PutMetricData", "*", `{"StringEquals":{"cloudwatch:namespace":"`+name+`"}}`))
}

// acme allows only what a solver of ACME challenges needs.
var acme = document(allowIf("route53:ChangeResourceRecordSets", "arn:aws:route53:::hostedzone/*", `{
	"ForAllValues:StringLike":{"route53:ChangeResourceRecordSetsNormalizedRecordNames":["_acme*"]},
	"ForAllValues:StringEquals":{"route53:ChangeResourceRecordSetsRecordTypes":["TXT"]}}`))

func TestVectors(t *testing.T) {
	for _, vectors := range [][]vector{dataVectors, messageVectors, secretVectors, computeVectors, otherVectors} {
		for _, v := range vectors {
			t.Run(v.name, v.run)
		}
	}
}

const (
	fineGrained = "Amazon DynamoDB Developer Guide, Using IAM policy conditions for fine-grained access control"
	partiQLPage = "Amazon DynamoDB Developer Guide, IAM security policies with PartiQL for DynamoDB"
)

var dataVectors = []vector{
	{
		name: "D01", source: fineGrained, operation: "dynamodb.PutItem",
		input: `{"TableName":"Cart","Item":{"id":{"S":"7"},"n":{"N":"1"}}}`,
		want:  []string{"dynamodb:PutItem ~dynamodb:table/Cart"},
		keys:  []string{"dynamodb:LeadingKeys=7", "dynamodb:Attributes=id,n", "dynamodb:Select"},
		tries: []try{{cartOnly, true}, {nothing, false}},
	},
	{
		name: "D02", source: "Amazon DynamoDB Developer Guide, Using identity-based policies", operation: "dynamodb.DescribeTable",
		input: `{"TableName":"Cart"}`, want: []string{"dynamodb:DescribeTable ~dynamodb:table/Cart"},
		tries: []try{{cartOnly, true}, {document(allow("dynamodb:*", "~dynamodb:table/Cart/*")), false}},
	},
	{
		name: "D03", source: fineGrained, operation: "dynamodb.Query",
		input: `{"TableName":"Cart","IndexName":"byUser","KeyConditionExpression":"#u = :u",
			"ExpressionAttributeNames":{"#u":"u"},"ExpressionAttributeValues":{":u":{"S":"ann"}},"Select":"COUNT"}`,
		want:  []string{"dynamodb:Query ~dynamodb:table/Cart/index/byUser"},
		keys:  []string{"dynamodb:LeadingKeys=ann", "dynamodb:Select=COUNT", "dynamodb:Attributes=u"},
		tries: []try{{cartOnly, false}, {document(allow("dynamodb:Query", "~dynamodb:table/Cart/index/*")), true}},
	},
	{
		name: "D04", source: fineGrained, operation: "dynamodb.BatchGetItem",
		input: `{"RequestItems":{"Cart":{"Keys":[{"id":{"S":"1"}},{"id":{"S":"2"}}]},"Stock":{"Keys":[{"id":{"S":"3"}}]}}}`,
		want:  []string{"dynamodb:BatchGetItem ~dynamodb:table/Cart", "dynamodb:BatchGetItem ~dynamodb:table/Stock"},
		keys:  []string{"dynamodb:LeadingKeys=1,2", "1 dynamodb:LeadingKeys=3"},
		tries: []try{{cartOnly, false}, {document(allow("dynamodb:BatchGetItem", "~dynamodb:table/*")), true}},
	},
	{
		name: "D05", source: "Amazon DynamoDB Developer Guide, Using IAM with DynamoDB transactions", operation: "dynamodb.TransactWriteItems",
		input: `{"TransactItems":[{"Put":{"TableName":"Cart","Item":{"id":{"S":"1"}}}},
			{"ConditionCheck":{"TableName":"Stock","Key":{"id":{"S":"2"}},"ConditionExpression":"n > :n"}}]}`,
		want: []string{"dynamodb:PutItem ~dynamodb:table/Cart", "dynamodb:ConditionCheckItem ~dynamodb:table/Stock"},
		keys: []string{"dynamodb:EnclosingOperation=TransactWriteItems", "1 dynamodb:Attributes=id,n"},
		tries: []try{
			{document(allow("dynamodb:TransactWriteItems", "*")), false},
			{document(allow("dynamodb:PutItem dynamodb:ConditionCheckItem", "~dynamodb:table/*")), true},
			{document(allowIf("dynamodb:PutItem dynamodb:ConditionCheckItem", "*",
				`{"ForAnyValue:StringEquals":{"dynamodb:EnclosingOperation":["TransactWriteItems","TransactGetItems"]}}`)), true},
		},
	},
	{
		name: "D06", source: partiQLPage, operation: "dynamodb.ExecuteStatement",
		input: `{"Statement":"SELECT * FROM \"Cart\".\"byUser\" WHERE u='x'"}`,
		want:  []string{"dynamodb:PartiQLSelect ~dynamodb:table/Cart/index/byUser"},
		keys:  []string{"dynamodb:FullTableScan=false", "dynamodb:LeadingKeys=x"},
		tries: []try{{document(allow("dynamodb:*", "~dynamodb:table/Cart")), false}},
	},
	{
		name: "D07", source: fineGrained, operation: "dynamodb.GetItem",
		input: `{"TableName":"Cart","Key":{"id":{"N":"9"}}}`, want: []string{"dynamodb:GetItem ~dynamodb:table/Cart"},
		keys: []string{"dynamodb:LeadingKeys=9"}, tries: []try{{ownItems, true}},
	},
	{
		name: "D07, another's item", source: fineGrained, operation: "dynamodb.GetItem",
		input: `{"TableName":"Cart","Key":{"id":{"N":"8"}}}`, want: []string{"dynamodb:GetItem ~dynamodb:table/Cart"},
		tries: []try{{ownItems, false}},
	},
	{
		name: "D08", source: "Amazon DynamoDB API Reference, UpdateTable", operation: "dynamodb.UpdateTable",
		input: `{"TableName":"arn:aws:dynamodb:us-east-1:999988887777:table/Cart"}`,
		want:  []string{"dynamodb:UpdateTable arn:aws:dynamodb:us-east-1:999988887777:table/Cart"},
		tries: []try{{cartOnly, false}, {document(allow("dynamodb:*", "*")), false}},
	},
}

const sqsPage = "Amazon SQS Developer Guide, Amazon SQS API permissions: Actions and resource reference"

var messageVectors = []vector{
	{
		name: "D09", source: sqsPage, operation: "sqs.SendMessage", input: `{"QueueUrl":"http://guard:4566/123456789012/mail"}`,
		want: []string{"sqs:SendMessage ~sqs:mail"}, tries: []try{{sendMail, true}, {nothing, false}},
	},
	{
		name: "D10", source: sqsPage, operation: "sqs.SendMessageBatch",
		input: `{"QueueUrl":"https://sqs.us-east-1.amazonaws.com/123456789012/mail"}`,
		want:  []string{"sqs:SendMessage ~sqs:mail"}, tries: []try{{sendMail, true}, {nothing, false}},
	},
	{
		name: "D11", source: sqsPage, operation: "sqs.ReceiveMessage",
		change: func(c *question.Call) { c.Path, c.Method = "/123456789012/mail", "POST" },
		want:   []string{"sqs:ReceiveMessage ~sqs:mail"}, tries: []try{{sendMail, false}},
	},
	{
		name: "D12", source: "Amazon SQS Developer Guide, Tagging Amazon SQS queues", operation: "sqs.CreateQueue",
		input: `{"QueueName":"new","tags":{"a":"1"}}`, want: []string{"sqs:CreateQueue ~sqs:new", "sqs:TagQueue ~sqs:new"},
		keys: []string{"aws:RequestTag/a=1", "aws:TagKeys=a", "1 aws:RequestTag/a=1", "1 aws:TagKeys=a"},
		tries: []try{
			{document(allow("sqs:CreateQueue", "*")), false},
			{document(allowIf("sqs:CreateQueue sqs:TagQueue", "*", `{"StringEquals":{"aws:RequestTag/a":"1"}}`)), true},
		},
	},
	{
		name: "D13", source: sqsPage, operation: "sqs.ListDeadLetterSourceQueues",
		input: `{"QueueUrl":"http://sqs.localhost:4566/queue/us-east-1/123456789012/dlq"}`,
		want:  []string{"sqs:ListDeadLetterSourceQueues ~sqs:dlq"},
	},
	{
		name: "D14", source: "Amazon SNS Developer Guide, Amazon SNS API permissions", operation: "sns.Publish",
		input: `{"TopicArn":"~sns:news","Message":"x"}`, want: []string{"sns:Publish ~sns:news"},
		tries: []try{{nothing, false}, {document(allow("sns:Publish", "~sns:news")), true}},
	},
	{
		name: "D15", source: "Amazon SNS Developer Guide, Using identity-based policies with Amazon SNS", operation: "sns.Publish",
		input: `{"PhoneNumber":"+15555550100","Message":"x"}`, want: []string{"sns:Publish *"},
		tries: []try{{document(allow("sns:Publish", "arn:aws:sns:*:*:*")), false}, {document(allow("sns:Publish", "*")), true}},
	},
	{
		name: "D16", source: "Amazon SNS Developer Guide, Using identity-based policies with Amazon SNS", operation: "sns.Subscribe",
		input: `{"Protocol":"https","Endpoint":"https://x/","TopicArn":"~sns:news"}`, want: []string{"sns:Subscribe ~sns:news"},
		keys: []string{"sns:Protocol=https", "sns:Endpoint=https://x/"}, tries: []try{{onlyQueues, false}},
	},
	{
		name: "D34", source: "Amazon Kinesis Data Streams Developer Guide, Controlling access", operation: "kinesis.MergeShards",
		input: `{"StreamName":"clicks","ShardToMerge":"a","AdjacentShardToMerge":"b"}`,
		want:  []string{"kinesis:MergeShards ~kinesis:stream/clicks"}, tries: []try{{nothing, false}},
	},
	{
		name: "D35", source: "Amazon Kinesis Data Streams API Reference, GetRecords", operation: "kinesis.GetRecords",
		input: `{"ShardIterator":"iterator-1"}`, want: []string{"kinesis:GetRecords ~kinesis:stream/clicks"},
		tries: []try{{document(allow("kinesis:GetRecords", "~kinesis:stream/clicks")), true}},
	},
	{
		name: "D35, unknown iterator", source: "Amazon Kinesis Data Streams API Reference, GetRecords", operation: "kinesis.GetRecords",
		input: `{"ShardIterator":"other"}`, want: []string{"kinesis:GetRecords ~kinesis:stream/*"},
		tries: []try{
			{document(allow("kinesis:GetRecords", "~kinesis:stream/clicks")), false},
			{document(allow("kinesis:GetRecords", "~kinesis:stream/*")), true},
		},
	},
	{
		name: "D36", source: "Amazon Data Firehose Developer Guide, Controlling access", operation: "firehose.PutRecord",
		input: `{"DeliveryStreamName":"d1"}`, want: []string{"firehose:PutRecord ~firehose:deliverystream/d1"},
	},
	{
		name: "D37", source: "Amazon EventBridge User Guide, Using IAM policy conditions in Amazon EventBridge", operation: "events.PutEvents",
		input: `{"Entries":[{"Source":"x","DetailType":"t","Detail":"{}"}]}`,
		want:  []string{"events:PutEvents ~events:event-bus/default"},
		keys:  []string{"events:source=x", "events:detail-type=t"},
	},
	{
		name: "D38", source: "Amazon EventBridge User Guide, Managing access permissions", operation: "events.RemoveTargets",
		input: `{"Rule":"r","EventBusName":"b","Ids":["1"]}`, want: []string{"events:RemoveTargets ~events:rule/b/r"},
		tries: []try{
			{document(allow("events:RemoveTargets", "~events:rule/r")), false},
			{document(allow("events:RemoveTargets", "~events:rule/b/r")), true},
		},
	},
	{
		name: "D39", source: "Amazon CloudWatch Logs User Guide, Using identity-based policies", operation: "logs.PutLogEvents",
		input: `{"logGroupName":"/a","logStreamName":"s"}`, want: []string{"logs:PutLogEvents ~logs:log-group:/a:log-stream:s"},
		tries: []try{
			{document(allow("logs:PutLogEvents", "~logs:log-group:/a:*")), true},
			{document(allow("logs:PutLogEvents", "~logs:log-group:/a")), false},
		},
	},
	{
		name: "D40", source: "Amazon CloudWatch Logs User Guide, Using identity-based policies", operation: "logs.DeleteLogGroup",
		input: `{"logGroupName":"/a"}`, want: []string{"logs:DeleteLogGroup ~logs:log-group:/a"},
		tries: []try{
			{document(allow("logs:DeleteLogGroup", "~logs:log-group:/a")), true},
			{document(allow("logs:DeleteLogGroup", "~logs:log-group:/a:*")), true},
			{document(allow("logs:DeleteLogGroup", "~logs:log-group:/b:*")), false},
			{document(allow("logs:DeleteLogGroup", "*"), denyIf("logs:*", "~logs:log-group:/a:*", "")), false},
			{document(allow("logs:DeleteLogGroup", "*"), denyIf("logs:*", "~logs:log-group:/a", "")), false},
		},
	},
}

const cloudWatchPage = "Amazon CloudWatch User Guide, Using condition keys to limit access to CloudWatch namespaces"

var secretVectors = []vector{
	{
		name: "D17", source: "AWS Secrets Manager User Guide, Permissions policy examples", operation: "secretsmanager.GetSecretValue",
		input: `{"SecretId":"app"}`, want: []string{"secretsmanager:GetSecretValue " + secret},
		keys:  []string{"secretsmanager:SecretId=" + secret, "secretsmanager:VersionStage"},
		tries: []try{{appOnly, true}, {document(allow("secretsmanager:*", "~secretsmanager:secret:app")), false}},
	},
	{
		name: "D18", source: "AWS Secrets Manager User Guide, Permissions policy examples", operation: "secretsmanager.GetSecretValue",
		input: `{"SecretId":"gone"}`, want: []string{"secretsmanager:GetSecretValue gone"},
		tries: []try{{appOnly, false}, {document(allow("secretsmanager:*", "*")), true}},
	},
	{
		name: "D19", source: "AWS Secrets Manager User Guide, Permissions policy examples", operation: "secretsmanager.CreateSecret",
		input: `{"Name":"app2","KmsKeyId":"alias/k"}`,
		want:  []string{"secretsmanager:CreateSecret ~secretsmanager:secret:app2-??????"},
		keys:  []string{"secretsmanager:Name=app2", "secretsmanager:KmsKeyId=alias/k"},
		tries: []try{
			{document(allow("secretsmanager:CreateSecret", "~secretsmanager:secret:app2*")), true},
			{document(allow("secretsmanager:CreateSecret", "~secretsmanager:secret:app2-??????")), true},
			{document(allow("secretsmanager:CreateSecret", "~secretsmanager:secret:app2")), false},
		},
	},
	{
		name: "D20", source: "AWS Secrets Manager User Guide, Permissions policy examples", operation: "secretsmanager.UpdateSecretVersionStage",
		input: `{"SecretId":"` + secret + `","VersionStage":"AWSCURRENT"}`,
		want:  []string{"secretsmanager:UpdateSecretVersionStage " + secret}, keys: []string{"secretsmanager:VersionStage=AWSCURRENT"},
		tries: []try{{appOnly, true}},
	},
	{
		name: "D21", source: "AWS Systems Manager User Guide, Restricting access to Parameter Store parameters", operation: "ssm.GetParameter",
		input: `{"Name":"/svc/db"}`, want: []string{"ssm:GetParameter ~ssm:parameter/svc/db"},
		tries: []try{{svcOnly, true}, {document(allow("ssm:*", "~ssm:parameter//svc/*")), false}},
	},
	{
		name: "D22", source: "AWS Systems Manager User Guide, Restricting access to Parameter Store parameters", operation: "ssm.GetParameters",
		input: `{"Names":["/svc/a","/other/b:3"]}`,
		want:  []string{"ssm:GetParameters ~ssm:parameter/svc/a", "ssm:GetParameters ~ssm:parameter/other/b"},
		tries: []try{{svcOnly, false}},
	},
	{
		name: "D23", source: "AWS Systems Manager API Reference, GetParametersByPath", operation: "ssm.GetParametersByPath",
		input: `{"Path":"/svc"}`, want: []string{"ssm:GetParametersByPath ~ssm:parameter/svc"}, keys: []string{"ssm:Recursive=false"},
		tries: []try{{svcOnly, false}, {document(allow("ssm:*", "~ssm:parameter/svc*")), true}},
	},
	{
		name: "D24", source: "AWS Systems Manager User Guide, Restricting access to Parameter Store parameters", operation: "ssm.DeleteParameter",
		input: `{"Name":"flat"}`, want: []string{"ssm:DeleteParameter ~ssm:parameter/flat"},
	},
	{
		name: "D25", source: "AWS KMS Developer Guide, kms:RequestAlias", operation: "kms.Encrypt",
		input: `{"KeyId":"alias/k","EncryptionContext":{"app":"x"}}`, want: []string{"kms:Encrypt " + keyARN},
		keys: []string{
			"kms:RequestAlias=alias/k", "kms:EncryptionContext:app=x", "kms:EncryptionContextKeys=app",
			"kms:EncryptionAlgorithm=SYMMETRIC_DEFAULT", "kms:CallerAccount=" + account,
		},
		tries: []try{{byAlias, true}, {document(allow("kms:Encrypt", "~kms:alias/k")), false}},
	},
	{
		name: "D26", source: "AWS KMS Developer Guide, Controlling access to aliases", operation: "kms.DeleteAlias",
		input: `{"AliasName":"alias/k"}`, want: []string{"kms:DeleteAlias ~kms:alias/k", "kms:DeleteAlias " + keyARN},
		tries: []try{{document(allow("kms:DeleteAlias", "~kms:alias/k")), false}},
	},
	{
		name: "D27", source: "AWS KMS Developer Guide, AWS KMS permissions", operation: "kms.ListAliases", input: `{}`,
		want: []string{"kms:ListAliases *"},
	},
	{
		name: "D28", source: "AWS KMS Developer Guide, kms:MacAlgorithm", operation: "kms.VerifyMac",
		input: `{"KeyId":"` + keyID + `","MacAlgorithm":"HMAC_SHA_256"}`, want: []string{"kms:VerifyMac " + keyARN},
		keys: []string{"kms:MacAlgorithm=HMAC_SHA_256", "kms:RequestAlias"},
	},
	{
		name: "D41 to D43", source: cloudWatchPage, operation: "cloudwatch.PutMetricData", input: `{"Namespace":"N","MetricData":[]}`,
		want: []string{"cloudwatch:PutMetricData *"}, keys: []string{"cloudwatch:namespace=N"},
		tries: []try{{inNamespace("N"), true}, {inNamespace("M"), false}},
	},
}

var computeVectors = []vector{
	{
		name: "D29", source: "AWS Lambda Developer Guide, Fine-tuning the Resources and Conditions sections", operation: "lambda.Invoke",
		input: `{"FunctionName":"resize"}`, want: []string{"lambda:InvokeFunction ~lambda:function:resize"}, tries: []try{{nothing, false}},
	},
	{
		name: "D30", source: "AWS Lambda Developer Guide, Fine-tuning the Resources and Conditions sections", operation: "lambda.Invoke",
		input: `{"FunctionName":"resize","Qualifier":"blue"}`, want: []string{"lambda:InvokeFunction ~lambda:function:resize:blue"},
		tries: []try{
			{document(allow("lambda:InvokeFunction", "~lambda:function:resize")), false},
			{document(allow("lambda:InvokeFunction", "~lambda:function:resize:*")), true},
		},
	},
	{
		name: "D31", source: "AWS Lambda Developer Guide, Identity-based IAM policies for Lambda", operation: "lambda.CreateFunction",
		input: `{"FunctionName":"new","Role":"arn:aws:iam::123456789012:role/x","Layers":["~lambda:layer:l:2"],"Code":{}}`,
		want: []string{
			"lambda:CreateFunction ~lambda:function:new", "iam:PassRole arn:aws:iam::123456789012:role/x",
			"lambda:GetLayerVersion ~lambda:layer:l:2",
		},
		keys: []string{"lambda:Layer=~lambda:layer:l:2", "2 iam:PassedToService=lambda.amazonaws.com"},
		tries: []try{
			{document(allow("lambda:*", "*")), false},
			{document(allow("lambda:*", "*"), allowIf("iam:PassRole", "arn:aws:iam::123456789012:role/x",
				`{"StringEquals":{"iam:PassedToService":"lambda.amazonaws.com"}}`)), true},
			{document(allow("lambda:*", "*"), allowIf("iam:PassRole", "*",
				`{"StringEquals":{"iam:PassedToService":"ec2.amazonaws.com"}}`)), false},
		},
	},
	{
		name: "D32", source: "AWS Lambda API Reference, ListTags", operation: "lambda.ListTags",
		input: `{"Resource":"~lambda:function:resize"}`, want: []string{"lambda:ListTags ~lambda:function:resize"},
	},
	{
		name: "D33", source: "AWS Lambda Developer Guide, Fine-tuning the Resources and Conditions sections",
		operation: "lambda.DeleteEventSourceMapping", input: `{"UUID":"uuid-1"}`,
		want: []string{"lambda:DeleteEventSourceMapping ~lambda:event-source-mapping:uuid-1"},
		keys: []string{"lambda:FunctionArn=~lambda:function:resize"},
	},
	{
		name: "D44", source: "Amazon ECR User Guide, Amazon ECR identity-based policy examples", operation: "ecr.GetDownloadUrlForLayer",
		input: `{"repositoryName":"x/y","layerDigest":"sha256:1"}`, want: []string{"ecr:GetDownloadUrlForLayer ~ecr:repository/x/y"},
	},
	{
		name: "D45", source: "Amazon EC2 User Guide, Example policies to control access the Amazon EC2 API", operation: "ec2.StopInstances",
		input: `{"InstanceIds":["i-1","i-2"]}`,
		want:  []string{"ec2:StopInstances ~ec2:instance/i-1", "ec2:StopInstances ~ec2:instance/i-2"},
		tries: []try{
			{document(allow("ec2:StopInstances", "~ec2:instance/i-1")), false},
			{document(allow("ec2:StopInstances", "~ec2:instance/*")), true},
			{document(allowIf("ec2:StopInstances", "*", `{"StringEquals":{"ec2:ResourceTag/Owner":"app"}}`)), false},
		},
	},
	{
		name: "D46", source: "Amazon EC2 User Guide, Grant permission to tag Amazon EC2 resources during creation", operation: "ec2.RunInstances",
		input: `{"ImageId":"ami-9","SubnetId":"subnet-9","InstanceType":"t3.micro","MinCount":1,"MaxCount":1,
			"TagSpecifications":[{"ResourceType":"instance","Tags":[{"Key":"a","Value":"1"}]}]}`,
		want: []string{
			"ec2:RunInstances ~ec2:instance/*", "ec2:RunInstances arn:aws:ec2:us-east-1::image/ami-9",
			"ec2:RunInstances ~ec2:subnet/subnet-9", "ec2:RunInstances ~ec2:network-interface/*",
			"ec2:RunInstances ~ec2:security-group/*", "ec2:RunInstances ~ec2:volume/*", "ec2:CreateTags ~ec2:instance/*",
		},
		keys: []string{"6 aws:RequestTag/a=1", "6 aws:TagKeys=a", "6 ec2:CreateAction=RunInstances"},
		tries: []try{
			{document(allow("ec2:RunInstances", "*")), false},
			{document(allow("ec2:RunInstances", "*"), allowIf("ec2:CreateTags", "~ec2:*/*",
				`{"StringEquals":{"ec2:CreateAction":"RunInstances"}}`)), true},
			{document(allow("ec2:RunInstances ec2:CreateTags", "~ec2:instance/i-1")), false},
		},
	},
	{
		name: "D47", source: "Amazon EC2 API Reference, DescribeVolumes", operation: "ec2.DescribeVolumes", input: `{"DryRun":true}`,
		want: []string{"ec2:DescribeVolumes *"},
	},
	{
		name: "D48", source: "Elastic Load Balancing User Guide, policy actions", operation: "elbv2.ModifyTargetGroup",
		input: `{"TargetGroupArn":"~elasticloadbalancing:targetgroup/t/1"}`,
		want:  []string{"elasticloadbalancing:ModifyTargetGroup ~elasticloadbalancing:targetgroup/t/1"},
	},
	{
		name: "D49", source: "Amazon EC2 Auto Scaling User Guide, Identity-based policy examples", operation: "autoscaling.SuspendProcesses",
		input: `{"AutoScalingGroupName":"g"}`,
		want:  []string{"autoscaling:SuspendProcesses ~autoscaling:autoScalingGroup:*:autoScalingGroupName/g"},
		tries: []try{
			{document(allow("autoscaling:*", "~autoscaling:autoScalingGroup:*:autoScalingGroupName/g")), true},
			{document(allow("autoscaling:*", "~autoscaling:autoScalingGroup:*:autoScalingGroupName/h")), false},
		},
	},
	{
		name: "D57", source: "AWS Batch User Guide, Resource-level permissions for AWS Batch", operation: "batch.SubmitJob",
		input: `{"jobName":"j","jobQueue":"q","jobDefinition":"jd"}`,
		want:  []string{"batch:SubmitJob ~batch:job-definition/jd", "batch:SubmitJob ~batch:job-queue/q"},
		tries: []try{{document(allow("batch:SubmitJob", "~batch:job-queue/q")), false}},
	},
	{
		name: "D61", source: "Service Authorization Reference, Amazon Elastic Kubernetes Service", operation: "eks.DeleteNodegroup",
		input: `{"clusterName":"prod","nodegroupName":"ng1"}`, want: []string{"eks:DeleteNodegroup ~eks:nodegroup/prod/ng1/*"},
		tries: []try{{document(allow("eks:*", "~eks:nodegroup/prod/ng1/*")), true}},
	},
}

var otherVectors = []vector{
	{
		name: "D50", source: "Amazon Route 53 Developer Guide, Using IAM policy conditions for fine-grained access control",
		operation: "route53.ChangeResourceRecordSets",
		input: `{"HostedZoneId":"/hostedzone/Z9","ChangeBatch":{"Changes":[{"Action":"CREATE",
			"ResourceRecordSet":{"Name":"_ACME.x.org.","Type":"TXT"}}]}}`,
		want: []string{"route53:ChangeResourceRecordSets arn:aws:route53:::hostedzone/Z9"},
		keys: []string{
			"route53:ChangeResourceRecordSetsNormalizedRecordNames=_acme.x.org", "route53:ChangeResourceRecordSetsRecordTypes=TXT",
			"route53:ChangeResourceRecordSetsActions=CREATE", "aws:RequestedRegion=us-east-1",
		},
		tries: []try{{acme, true}},
	},
	{
		name: "D50, address", source: "Amazon Route 53 Developer Guide, Using IAM policy conditions for fine-grained access control",
		operation: "route53.ChangeResourceRecordSets",
		input: `{"HostedZoneId":"Z9","ChangeBatch":{"Changes":[{"Action":"CREATE","ResourceRecordSet":{"Name":"_acme.x.org","Type":"TXT"}},
			{"Action":"CREATE","ResourceRecordSet":{"Name":"www.x.org","Type":"A"}}]}}`,
		want: []string{"route53:ChangeResourceRecordSets arn:aws:route53:::hostedzone/Z9"}, tries: []try{{acme, false}},
	},
	{
		name: "D51", source: "AWS CloudFormation User Guide, Control CloudFormation access with IAM", operation: "cloudformation.DeleteStack",
		input: `{"StackName":"s"}`, want: []string{"cloudformation:DeleteStack ~cloudformation:stack/s/*"},
		tries: []try{
			{document(allow("cloudformation:DeleteStack", "~cloudformation:stack/s/*")), true},
			{document(allow("cloudformation:DeleteStack", "~cloudformation:stack/s")), false},
		},
	},
	{
		name: "D52", source: "Amazon RDS User Guide, Identity-based policy examples", operation: "rds.StopDBCluster",
		input: `{"DBClusterIdentifier":"C"}`, want: []string{"rds:StopDBCluster ~rds:cluster:c"},
	},
	{
		name: "D53", source: "Amazon Aurora User Guide, Authorizing access to the Amazon RDS Data API", operation: "rds-data.BatchExecuteStatement",
		input: `{"resourceArn":"~rds:cluster:c","secretArn":"` + secret + `","sql":"select 1"}`,
		want:  []string{"rds-data:BatchExecuteStatement ~rds:cluster:c", "secretsmanager:GetSecretValue " + secret},
		tries: []try{
			{document(allow("rds-data:*", "*")), false},
			{document(allow("rds-data:*", "*"), allow("secretsmanager:GetSecretValue", secret)), true},
		},
	},
	{
		name: "D54", source: "Amazon Athena User Guide, IAM policies for accessing workgroups", operation: "athena.StopQueryExecution",
		input: `{"QueryExecutionId":"query-2"}`, want: []string{"athena:StopQueryExecution ~athena:workgroup/wg2"},
	},
	{
		name: "D54, unknown", source: "Amazon Athena User Guide, IAM policies for accessing workgroups", operation: "athena.StopQueryExecution",
		input: `{"QueryExecutionId":"query-3"}`, want: []string{"athena:StopQueryExecution ~athena:workgroup/*"},
		tries: []try{{document(allow("athena:*", "~athena:workgroup/wg2")), false}},
	},
	{
		name: "D55", source: "AWS Glue Developer Guide, Specifying AWS Glue resource ARNs", operation: "glue.GetPartitions",
		input: `{"DatabaseName":"d","TableName":"t"}`,
		want:  []string{"glue:GetPartitions ~glue:catalog", "glue:GetPartitions ~glue:database/d", "glue:GetPartitions ~glue:table/d/t"},
		tries: []try{{document(allow("glue:GetPartitions", "~glue:table/d/t")), false}},
	},
	{
		name: "D56", source: "AWS Step Functions Developer Guide, Creating granular permissions", operation: "stepfunctions.DescribeExecution",
		input: `{"executionArn":"~states:execution:m:e"}`, want: []string{"states:DescribeExecution ~states:execution:m:e"},
	},
	{
		name: "D58", source: "Amazon SES Developer Guide, Identity and access management in Amazon SES", operation: "sesv2.SendEmail",
		input: `{"FromEmailAddress":"A <a@x.org>","Content":{"Simple":{}},"Destination":{"ToAddresses":["b@y.org"]}}`,
		want:  []string{"ses:SendEmail ~ses:identity/x.org"},
		keys:  []string{"ses:FromAddress=a@x.org", "ses:ApiVersion=2", "ses:FromDisplayName=A", "ses:Recipients=b@y.org"},
	},
	{
		name: "D59", source: "Amazon Cognito User Pools API Reference, InitiateAuth", operation: "cognito-idp.InitiateAuth",
		input: `{"AuthFlow":"USER_PASSWORD_AUTH","ClientId":"c"}`, want: nil, tries: []try{{nothing, true}},
	},
	{
		name: "D60", source: "Amazon Bedrock API Reference, ConverseStream", operation: "bedrock-runtime.ConverseStream",
		input: `{"modelId":"anthropic.claude-3-haiku-20240307-v1:0"}`,
		want: []string{
			"bedrock:InvokeModelWithResponseStream arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-3-haiku-20240307-v1:0",
		},
	},
	{
		name: "D62", source: "Amazon API Gateway Developer Guide, How Amazon API Gateway works with IAM", operation: "apigateway.GetStage",
		input:  `{"restApiId":"abc","stageName":"v1"}`,
		change: func(c *question.Call) { c.Method, c.Path = "GET", "/restapis/abc/stages/v1" },
		want:   []string{"apigateway:GET arn:aws:apigateway:us-east-1::/restapis/abc/stages/v1"},
	},
}

// D63: an operation that no table has is asked about without a resource.
func TestUnlisted(t *testing.T) {
	c := &question.Call{Service: "newsvc", Operation: "Frobnicate", Region: region, Account: account, Partition: "aws"}
	questions := ask(t, c, nil)
	wantShown(t, questions, "newsvc:Frobnicate *")
	if !questions[0].Unlisted || len(questions[0].Warnings) == 0 {
		t.Errorf("no warning: %+v", questions[0])
	}
	for _, c := range []struct {
		doc     string
		allowed bool
	}{
		{document(allow("newsvc:*", "*")), true},
		{document(allow("newsvc:*", "arn:aws:newsvc:*:*:thing/*")), false},
	} {
		if verdict, _ := decide(t, questions, c.doc); verdict.Allowed != c.allowed {
			t.Errorf("allowed %t: %s", verdict.Allowed, c.doc)
		}
	}
	// A path that no model has.
	c = &question.Call{Service: "lambda", Region: region, Account: account, Partition: "aws", Method: "GET", Path: "/nothing"}
	wantShown(t, ask(t, c, nil), "lambda:UnknownOperation *")
}
