package question_test

import (
	"testing"

	"github.com/openirsa/openirsa/pkg/emulator/internal/question"
)

// guide is an example policy of one of AWS's guides, with calls that it allows and
// calls that it does not.
type guide struct {
	name, source string
	doc          string
	calls        []guided
}

type guided struct {
	operation, input string
	allowed          bool
}

func TestGuides(t *testing.T) {
	for _, guides := range [][]guide{
		tableGuides, queueGuides, messageGuides, secretGuides, secretPolicyGuides, keyGuides, functionGuides, computeGuides, clusterGuides,
		instanceGuides, otherGuides,
	} {
		for _, g := range guides {
			t.Run(g.name, func(t *testing.T) {
				if g.source == "" {
					t.Error("it has no source")
				}
				for _, c := range g.calls {
					questions := ask(t, call(t, c.operation, c.input), known())
					if verdict, d := decide(t, questions, g.doc); verdict.Allowed != c.allowed {
						t.Errorf("%s %s: allowed %t: %s\nkeys of the first: %v", c.operation, c.input, verdict.Allowed, d, questions[0].Keys.Keys())
					}
				}
			})
		}
	}
}

var queueGuides = []guide{
	{
		name: "shared queue", source: "Amazon SQS Developer Guide, Using identity-based policies with Amazon SQS",
		doc: document(allow("sqs:GetQueueUrl sqs:SendMessage", "~sqs:CompanySharedQueue")),
		calls: []guided{
			{"sqs.GetQueueUrl", `{"QueueName":"CompanySharedQueue"}`, true},
			{"sqs.GetQueueUrl", `{"QueueName":"CompanySharedQueue","QueueOwnerAWSAccountId":"999988887777"}`, false},
			{"sqs.SendMessageBatch", `{"QueueUrl":"https://us-east-1.queue.amazonaws.com/123456789012/CompanySharedQueue","Entries":[]}`, true},
			{"sqs.ReceiveMessage", `{"QueueUrl":"https://us-east-1.queue.amazonaws.com/123456789012/CompanySharedQueue"}`, false},
			{"sqs.SendMessage", `{"QueueUrl":"https://sqs.us-east-1.amazonaws.com/999988887777/CompanySharedQueue"}`, false},
			{"sqs.SendMessage", `{}`, false},
		},
	},
	{
		name: "tagged queues", source: "Amazon SQS Developer Guide, Creating IAM users and Amazon SQS queues for ABAC",
		doc: document(allowIf("sqs:*", "*", `{"StringEquals":{"aws:ResourceTag/team":"${aws:PrincipalTag/team}"}}`)),
		calls: []guided{
			{"sqs.SendMessage", `{"QueueUrl":"http://x/123456789012/mail"}`, true},
			{"sqs.SendMessage", `{"QueueUrl":"http://x/123456789012/other"}`, false},
			{"sqs.CreateQueue", `{"QueueName":"mail","tags":{"team":"red"}}`, false},
		},
	},
	{
		name: "topics", source: "Amazon SNS Developer Guide, Using identity-based policies with Amazon SNS",
		doc: document(allow("sns:CreateTopic sns:SetTopicAttributes sns:DeleteTopic sns:Subscribe", "~sns:*"), allow("sns:ListTopics", "*")),
		calls: []guided{
			{"sns.CreateTopic", `{"Name":"news"}`, true},
			{"sns.CreateTopic", `{"Name":"news","Tags":[{"Key":"a","Value":"b"}]}`, false},
			{"sns.ListTopics", `{}`, true},
			{"sns.Publish", `{"TopicArn":"~sns:news","Message":"m"}`, false},
		},
	},
	{
		name: "no messages to phones", source: "Amazon SNS Developer Guide, Using identity-based policies with Amazon SNS",
		doc: document(statement("Allow", "sns:Publish", "*", ""),
			`{"Effect":"Deny","Action":"sns:Publish","NotResource":"arn:aws:sns:*:*:*"}`),
		calls: []guided{
			{"sns.Publish", `{"PhoneNumber":"+15555550100","Message":"m"}`, false},
			{"sns.Publish", `{"TopicArn":"~sns:news","Message":"m"}`, true},
			{"sns.PublishBatch", `{"TopicArn":"~sns:news","PublishBatchRequestEntries":[]}`, true},
		},
	},
	{
		name: "one subscription's topic", source: "Amazon SNS Developer Guide, Amazon SNS API permissions",
		doc: document(allow("sns:Unsubscribe sns:GetSubscriptionAttributes", "~sns:news")),
		calls: []guided{
			{"sns.Unsubscribe", `{"SubscriptionArn":"~sns:news:6b0e71bd-7e97-4d97-80ce-4a0994e55286"}`, true},
			{"sns.Unsubscribe", `{"SubscriptionArn":"~sns:other:6b0e71bd-7e97-4d97-80ce-4a0994e55286"}`, false},
		},
	},
	{
		name: "events of one source", source: "Amazon EventBridge User Guide, Using IAM policy conditions in Amazon EventBridge",
		doc: document(allowIf("events:PutEvents", "*", `{"ForAllValues:StringEquals":{"events:source":["com.mycorp"]}}`),
			allowIf("events:PutTargets", "*", `{"ForAllValues:ArnLike":{"events:TargetArn":"~sqs:*"}}`)),
		calls: []guided{
			{"events.PutEvents", `{"Entries":[{"Source":"com.mycorp"},{"Source":"com.mycorp","EventBusName":"b"}]}`, true},
			{"events.PutEvents", `{"Entries":[{"Source":"com.mycorp"},{"Source":"other"}]}`, false},
			{"events.PutTargets", `{"Rule":"r","Targets":[{"Id":"1","Arn":"~sqs:q"}]}`, true},
			{"events.PutTargets", `{"Rule":"r","Targets":[{"Id":"1","Arn":"~lambda:function:f"}]}`, false},
			{"events.PutTargets", `{"Rule":"r","Targets":[{"Id":"1","Arn":"~sqs:q","RoleArn":"arn:aws:iam::123456789012:role/r"}]}`, false},
		},
	},
}

var secretGuides = []guide{
	{
		name: "several secrets in a batch", source: "AWS Secrets Manager User Guide, Permissions policy examples",
		doc: document(allow("secretsmanager:BatchGetSecretValue secretsmanager:ListSecrets", "*"), allow("secretsmanager:GetSecretValue", secret)),
		calls: []guided{
			{"secretsmanager.BatchGetSecretValue", `{"SecretIdList":["app"]}`, true},
			// What is denied is an error in the answer, see TestBatchSecrets.
			{"secretsmanager.BatchGetSecretValue", `{"SecretIdList":["app","gone"]}`, true},
			{"secretsmanager.GetSecretValue", `{"SecretId":"gone"}`, false},
		},
	},
	{
		name: "current version only", source: "AWS Secrets Manager User Guide, Permissions policy examples",
		doc: document(allowIf("secretsmanager:GetSecretValue", "*", `{"ForAnyValue:StringEquals":{"secretsmanager:VersionStage":"AWSCURRENT"}}`)),
		calls: []guided{
			{"secretsmanager.GetSecretValue", `{"SecretId":"app","VersionStage":"AWSCURRENT"}`, true},
			{"secretsmanager.GetSecretValue", `{"SecretId":"app","VersionStage":"AWSPREVIOUS"}`, false},
			{"secretsmanager.GetSecretValue", `{"SecretId":"app"}`, false},
		},
	},
	{
		name: "parameters below a path", source: "AWS Systems Manager User Guide, Restricting access to Parameter Store parameters using IAM policies",
		doc: document(allow("ssm:GetParameters ssm:GetParameter ssm:GetParametersByPath", "~ssm:parameter/prod-* ~ssm:parameter/Finance*"),
			denyIf("ssm:GetParametersByPath", "*", `{"StringEquals":{"ssm:Recursive":["true"]}}`)),
		calls: []guided{
			{"ssm.GetParameters", `{"Names":["prod-db:label","prod-key"]}`, true},
			{"ssm.GetParameter", `{"Name":"~ssm:parameter/prod-db:3"}`, true},
			{"ssm.GetParameters", `{"Names":["prod-db","dev-db"]}`, false},
			{"ssm.GetParametersByPath", `{"Path":"/Finance/"}`, true},
			{"ssm.GetParametersByPath", `{"Path":"/Finance/","Recursive":true}`, false},
		},
	},
	{
		name: "no overwriting", source: "AWS Systems Manager User Guide, Preventing access to Parameter Store API operations",
		doc: document(allow("ssm:PutParameter", "*"), denyIf("ssm:PutParameter", "*", `{"StringEquals":{"ssm:Overwrite":["true"]}}`)),
		calls: []guided{
			{"ssm.PutParameter", `{"Name":"a","Value":"b"}`, true},
			{"ssm.PutParameter", `{"Name":"a","Value":"b","Overwrite":true}`, false},
			{"ssm.PutParameter", `{"Name":"a","Value":"b","Tags":[{"Key":"k","Value":"v"}]}`, false}, // AddTagsToResource
		},
	},
	{
		name: "commands on tagged instances", source: "AWS Systems Manager User Guide, Setting up Run Command",
		doc: document(allow("ssm:SendCommand", "arn:aws:ssm:*:*:document/AWS-RunShellScript"),
			allowIf("ssm:SendCommand", "arn:aws:ec2:*:*:instance/*", `{"StringLike":{"ssm:resourceTag/Finance":["WebServer"]}}`)),
		calls: []guided{
			{"ssm.SendCommand", `{"DocumentName":"AWS-RunShellScript","Targets":[{"Key":"tag:Finance","Values":["WebServer"]}]}`, true},
			{"ssm.SendCommand", `{"DocumentName":"AWS-RunShellScript","Targets":[{"Key":"tag:Finance","Values":["Db"]}]}`, false},
			{"ssm.SendCommand", `{"DocumentName":"AWS-RunShellScript","InstanceIds":["i-1"]}`, false},
			{"ssm.SendCommand", `{"DocumentName":"Own","Targets":[{"Key":"tag:Finance","Values":["WebServer"]}]}`, false},
		},
	},
	{
		name: "namespace", source: cloudWatchPage, doc: inNamespace("MyCustomNamespace"),
		calls: []guided{
			{"cloudwatch.PutMetricData", `{"Namespace":"MyCustomNamespace"}`, true},
			{"cloudwatch.PutMetricData", `{"Namespace":"AWS/EC2"}`, false},
			{"cloudwatch.GetMetricData", `{}`, false},
		},
	},
}

var computeGuides = []guide{
	{
		name: "permissions to one service", source: "AWS Lambda Developer Guide, Fine-tuning the Resources and Conditions sections of policies",
		doc: document(allowIf("lambda:AddPermission", "*", `{"StringEquals":{"lambda:Principal":"s3.amazonaws.com"}}`)),
		calls: []guided{
			{"lambda.AddPermission", `{"FunctionName":"f","StatementId":"1","Action":"lambda:InvokeFunction","Principal":"s3.amazonaws.com"}`, true},
			{"lambda.AddPermission", `{"FunctionName":"f","StatementId":"1","Action":"lambda:InvokeFunction","Principal":"999988887777"}`, false},
		},
	},
	{
		name: "layers of one account", source: "AWS Lambda Developer Guide, Controlling access to layers",
		doc: document(allowIf("lambda:CreateFunction lambda:UpdateFunctionConfiguration", "*",
			`{"ForAllValues:StringLike":{"lambda:Layer":["arn:aws:lambda:*:123456789012:layer:*:*"]}}`), allow("lambda:GetLayerVersion iam:PassRole", "*")),
		calls: []guided{
			{"lambda.UpdateFunctionConfiguration", `{"FunctionName":"f","Layers":["~lambda:layer:l:2"]}`, true},
			{"lambda.UpdateFunctionConfiguration", `{"FunctionName":"f","Layers":["arn:aws:lambda:us-east-1:999988887777:layer:l:2"]}`, false},
		},
	},
	{
		name: "mappings of one function", source: "AWS Lambda Developer Guide, Fine-tuning the Resources and Conditions sections of policies",
		doc: document(allowIf("lambda:CreateEventSourceMapping lambda:DeleteEventSourceMapping", "*",
			`{"StringLike":{"lambda:FunctionArn":"~lambda:function:resize"}}`)),
		calls: []guided{
			{"lambda.CreateEventSourceMapping", `{"FunctionName":"resize:3","EventSourceArn":"~sqs:q"}`, true},
			{"lambda.CreateEventSourceMapping", `{"FunctionName":"other","EventSourceArn":"~sqs:q"}`, false},
			{"lambda.DeleteEventSourceMapping", `{"UUID":"uuid-1"}`, true},
			{"lambda.DeleteEventSourceMapping", `{"UUID":"uuid-2"}`, false},
		},
	},
	{
		name: "instances of one type", source: "Amazon EC2 User Guide, Example policies to control access the Amazon EC2 API",
		doc: document(allow("ec2:RunInstances", "arn:aws:ec2:*::image/* ~ec2:subnet/* ~ec2:network-interface/* ~ec2:volume/* ~ec2:key-pair/* ~ec2:security-group/*"),
			allowIf("ec2:RunInstances", "~ec2:instance/*", `{"StringEquals":{"ec2:InstanceType":["t2.micro","t2.small"]}}`),
			denyIf("ec2:RunInstances", "arn:aws:ec2:*:*:instance/*", `{"StringNotEquals":{"ec2:MetadataHttpTokens":"required"}}`)),
		calls: []guided{
			{"ec2.RunInstances", `{"ImageId":"ami-1","InstanceType":"t2.micro","KeyName":"k","SecurityGroupIds":["sg-1"],"MetadataOptions":{"HttpTokens":"required"}}`, true},
			{"ec2.RunInstances", `{"ImageId":"ami-1","InstanceType":"m5.large","MetadataOptions":{"HttpTokens":"required"}}`, false},
			{"ec2.RunInstances", `{"ImageId":"ami-1","InstanceType":"t2.micro"}`, false},
		},
	},
	{
		name: "encrypted volumes", source: "Amazon EC2 User Guide, Example policies to control access the Amazon EC2 API",
		doc: document(allowIf("ec2:CreateVolume", "*", `{"Bool":{"ec2:Encrypted":"true"},"NumericLessThanEquals":{"ec2:VolumeSize":"100"}}`)),
		calls: []guided{
			{"ec2.CreateVolume", `{"AvailabilityZone":"us-east-1a","Size":50,"Encrypted":true}`, true},
			{"ec2.CreateVolume", `{"AvailabilityZone":"us-east-1a","Size":500,"Encrypted":true}`, false},
			{"ec2.CreateVolume", `{"AvailabilityZone":"us-east-1a","Size":50}`, false},
		},
	},
	{
		name: "a role for one service", source: "IAM User Guide, Grant a user permissions to pass a role to an AWS service",
		doc: document(allow("states:* scheduler:* ecs:* eks:*", "*"), allowIf("iam:PassRole", "arn:aws:iam::123456789012:role/r",
			`{"StringEquals":{"iam:PassedToService":["states.amazonaws.com","pods.eks.amazonaws.com","ecs-tasks.amazonaws.com"]}}`)),
		calls: []guided{
			{"stepfunctions.CreateStateMachine", `{"name":"m","definition":"{}","roleArn":"arn:aws:iam::123456789012:role/r"}`, true},
			{"stepfunctions.CreateStateMachine", `{"name":"m","definition":"{}","roleArn":"arn:aws:iam::123456789012:role/other"}`, false},
			{"eks.CreatePodIdentityAssociation", `{"clusterName":"c","namespace":"n","serviceAccount":"s","roleArn":"arn:aws:iam::123456789012:role/r"}`, true},
			{"ecs.RegisterTaskDefinition", `{"family":"f","containerDefinitions":[],"taskRoleArn":"arn:aws:iam::123456789012:role/r"}`, true},
			{"scheduler.CreateSchedule", `{"Name":"s","ScheduleExpression":"rate(1 hour)","FlexibleTimeWindow":{"Mode":"OFF"},
				"Target":{"Arn":"~sqs:q","RoleArn":"arn:aws:iam::123456789012:role/r"}}`, false},
		},
	},
}

var clusterGuides = []guide{
	{
		name: "external-dns", source: "Amazon Route 53 Developer Guide, Using IAM policy conditions for fine-grained access control; policy of external-dns",
		doc: document(allow("route53:ChangeResourceRecordSets", "arn:aws:route53:::hostedzone/*"),
			allow("route53:ListHostedZones route53:ListResourceRecordSets route53:ListTagsForResources", "*")),
		calls: []guided{
			{"route53.ListHostedZones", `{}`, true},
			{"route53.ListResourceRecordSets", `{"HostedZoneId":"/hostedzone/Z1"}`, true},
			{"route53.ListTagsForResources", `{"ResourceType":"hostedzone","ResourceIds":["Z1","Z2"]}`, true},
			{"route53.ChangeResourceRecordSets", `{"HostedZoneId":"Z1","ChangeBatch":{"Changes":[{"Action":"UPSERT","ResourceRecordSet":{"Name":"a","Type":"A"}}]}}`, true},
			{"route53.DeleteHostedZone", `{"Id":"Z1"}`, false},
		},
	},
	{
		name: "cert-manager", source: "Amazon Route 53 Developer Guide, Using IAM policy conditions for fine-grained access control; policy of cert-manager",
		doc: document(allow("route53:GetChange", "arn:aws:route53:::change/*"),
			allowIf("route53:ChangeResourceRecordSets", "arn:aws:route53:::hostedzone/*",
				`{"ForAllValues:StringEquals":{"route53:ChangeResourceRecordSetsRecordTypes":["TXT"]}}`),
			allow("route53:ListResourceRecordSets", "arn:aws:route53:::hostedzone/*"), allow("route53:ListHostedZonesByName", "*")),
		calls: []guided{
			{"route53.GetChange", `{"Id":"/change/C1"}`, true},
			{"route53.GetChange", `{"Id":"C1"}`, true},
			{"route53.ListHostedZonesByName", `{"DNSName":"x.org"}`, true},
			{"route53.ChangeResourceRecordSets", `{"HostedZoneId":"Z1","ChangeBatch":{"Changes":[{"Action":"UPSERT","ResourceRecordSet":{"Name":"a","Type":"TXT"}}]}}`, true},
			{"route53.ChangeResourceRecordSets", `{"HostedZoneId":"Z1","ChangeBatch":{"Changes":[{"Action":"UPSERT","ResourceRecordSet":{"Name":"a","Type":"CNAME"}}]}}`, false},
		},
	},
	{
		name: "EBS CSI driver", source: "AWS Managed Policy Reference Guide, AmazonEBSCSIDriverPolicy",
		doc: document(
			allowIf("ec2:CreateTags", "arn:aws:ec2:*:*:volume/* arn:aws:ec2:*::snapshot/*", `{"StringEquals":{"ec2:CreateAction":["CreateVolume","CreateSnapshot"]}}`),
			allowIf("ec2:CreateVolume", "arn:aws:ec2:*:*:volume/*", `{"StringLike":{"aws:RequestTag/ebs.csi.aws.com/cluster":"true"}}`),
			allow("ec2:CreateVolume", "arn:aws:ec2:*::snapshot/*"),
			allow("ec2:DescribeVolumes ec2:AttachVolume ec2:DetachVolume", "*")),
		calls: []guided{
			{"ec2.CreateVolume", `{"AvailabilityZone":"a","Size":1,"SnapshotId":"snap-1","TagSpecifications":[{"ResourceType":"volume","Tags":[{"Key":"ebs.csi.aws.com/cluster","Value":"true"}]}]}`, true},
			{"ec2.CreateVolume", `{"AvailabilityZone":"a","Size":1,"TagSpecifications":[{"ResourceType":"volume","Tags":[{"Key":"other","Value":"true"}]}]}`, false},
			{"ec2.CreateTags", `{"Resources":["vol-1"],"Tags":[{"Key":"a","Value":"b"}]}`, false},
			{"ec2.AttachVolume", `{"VolumeId":"vol-1","InstanceId":"i-1","Device":"/dev/sdf"}`, true},
		},
	},
	{
		name: "cluster autoscaler", source: "Amazon EC2 Auto Scaling User Guide, Identity-based policy examples; policy of the cluster autoscaler",
		doc: document(allowIf("autoscaling:SetDesiredCapacity autoscaling:TerminateInstanceInAutoScalingGroup", "*",
			`{"StringEquals":{"aws:ResourceTag/k8s.io/cluster-autoscaler/c":"owned"}}`), allow("autoscaling:DescribeAutoScalingGroups", "*")),
		calls: []guided{
			{"autoscaling.DescribeAutoScalingGroups", `{}`, true},
			{"autoscaling.SetDesiredCapacity", `{"AutoScalingGroupName":"nodes","DesiredCapacity":1}`, true},
			{"autoscaling.SetDesiredCapacity", `{"AutoScalingGroupName":"other","DesiredCapacity":1}`, false},
			{"autoscaling.TerminateInstanceInAutoScalingGroup", `{"InstanceId":"i-1","ShouldDecrementDesiredCapacity":true}`, true},
		},
	},
	{
		name: "load balancer controller", source: "Elastic Load Balancing User Guide, Tag resources during creation; policy of the controller",
		doc: document(
			allowIf("elasticloadbalancing:CreateLoadBalancer elasticloadbalancing:CreateTargetGroup", "*", `{"Null":{"aws:RequestTag/elbv2.k8s.aws/cluster":"false"}}`),
			allowIf("elasticloadbalancing:AddTags", "~elasticloadbalancing:targetgroup/*/* ~elasticloadbalancing:loadbalancer/net/*/* ~elasticloadbalancing:loadbalancer/app/*/*",
				`{"StringEquals":{"elasticloadbalancing:CreateAction":["CreateTargetGroup","CreateLoadBalancer"]},"Null":{"aws:RequestTag/elbv2.k8s.aws/cluster":"false"}}`)),
		calls: []guided{
			{"elbv2.CreateLoadBalancer", `{"Name":"l","Type":"network","Tags":[{"Key":"elbv2.k8s.aws/cluster","Value":"c"}]}`, true},
			{"elbv2.CreateTargetGroup", `{"Name":"t","Tags":[{"Key":"elbv2.k8s.aws/cluster","Value":"c"}]}`, true},
			{"elbv2.CreateTargetGroup", `{"Name":"t"}`, false},
			{"elbv2.AddTags", `{"ResourceArns":["~elasticloadbalancing:targetgroup/t/1"],"Tags":[{"Key":"elbv2.k8s.aws/cluster","Value":"c"}]}`, false},
		},
	},
}

// known is a world with what the examples of the guides assume.
func known() *question.Memory {
	w := world()
	for name, tags := range map[string]map[string]string{
		secret:                                   {"ServerName": "ServerABC", "AccessProject": "red"},
		"~ssm:parameter/tagged":                  {"Environment": "Prod", "Team": "A"},
		"~ec2:instance/i-2":                      {"purpose": "test", "department": "dev"},
		"~ec2:volume/vol-2":                      {"volume_user": "red", "User": "red", "owner": "red"},
		"arn:aws:ec2:us-east-1::snapshot/snap-2": {"User": "red"},
		"~ec2:launch-template/lt-1":              {"Purpose": "Webservers"},
		"~ec2:launch-template/lt-2":              {"Purpose": "Testing"},
		"~autoscaling:autoScalingGroup:*:autoScalingGroupName/web": {"purpose": "webserver"},
		"~ssm:parameter/half":     {"Environment": "Prod"},
		"~lambda:function:tagged": {"Project": "red"},
	} {
		w.Facts[question.Fact{Kind: question.Tags, Name: expand(name)}] = question.Known{Pairs: tags}
	}
	for _, f := range []struct {
		kind  question.Kind
		name  string
		known question.Known
	}{
		{question.KeyByID, keyID, question.Known{Text: keyARN, Pairs: map[string]string{
			"kms:KeySpec": "SYMMETRIC_DEFAULT", "kms:KeyUsage": "ENCRYPT_DECRYPT", "kms:KeyOrigin": "AWS_KMS", "kms:MultiRegion": "false",
		}}},
		{question.KeyByID, signingID, question.Known{Text: expand("~kms:key/" + signingID), Pairs: map[string]string{
			"kms:KeySpec": "RSA_4096", "kms:KeyUsage": "SIGN_VERIFY", "kms:KeyOrigin": "AWS_CLOUDHSM", "kms:MultiRegion": "true",
			"kms:MultiRegionKeyType": "REPLICA",
		}}},
		{question.KeyAliases, keyID, question.Known{List: []string{"alias/k", "alias/finance-key"}}},
		{question.KeyAliases, signingID, question.Known{List: []string{"alias/Test-sign", "alias/MyTest"}}},
		{question.EncryptionKey, "~sqs:sealed", question.Known{Text: "alias/k"}},
		{question.EncryptionKey, "~ssm:parameter/prod-sealed", question.Known{Text: "alias/k"}},
		{question.EncryptionKey, "~ssm:parameter/prod-other", question.Known{Text: signingID}},
		{question.ProfileRole, "dev", question.Known{Text: "arn:aws:iam::123456789012:role/DevTeam1"}},
		{question.ProfileRole, "ops", question.Known{Text: "arn:aws:iam::123456789012:role/OpsTeam"}},
		{question.SubnetVPC, "subnet-1", question.Known{Text: "vpc-1"}},
		{question.SubnetVPC, "subnet-2", question.Known{Text: "vpc-1"}},
		{question.SubnetVPC, "subnet-9", question.Known{Text: "vpc-9"}},
	} {
		w.Facts[question.Fact{Kind: f.kind, Name: expand(f.name)}] = f.known
	}
	return w
}
