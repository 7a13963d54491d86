package question_test

import "testing"

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
	for _, guides := range [][]guide{tableGuides, queueGuides, secretGuides, computeGuides, clusterGuides} {
		for _, g := range guides {
			t.Run(g.name, func(t *testing.T) {
				if g.source == "" {
					t.Error("it has no source")
				}
				for _, c := range g.calls {
					questions := ask(t, call(t, c.operation, c.input), world())
					if verdict, d := decide(t, questions, g.doc); verdict.Allowed != c.allowed {
						t.Errorf("%s %s: allowed %t: %s\nkeys of the first: %v", c.operation, c.input, verdict.Allowed, d, questions[0].Keys.Keys())
					}
				}
			})
		}
	}
}

const scores = "~dynamodb:table/GameScores"

var tableGuides = []guide{
	{
		name: "items of one user", source: fineGrained,
		doc: document(allowIf("dynamodb:GetItem dynamodb:BatchGetItem dynamodb:Query dynamodb:PutItem dynamodb:UpdateItem dynamodb:DeleteItem dynamodb:BatchWriteItem",
			scores, `{"ForAllValues:StringEquals":{"dynamodb:LeadingKeys":["${aws:PrincipalTag/team}"]}}`)),
		calls: []guided{
			{"dynamodb.GetItem", `{"TableName":"GameScores","Key":{"UserId":{"S":"red"},"GameTitle":{"S":"g"}}}`, true},
			{"dynamodb.GetItem", `{"TableName":"GameScores","Key":{"UserId":{"S":"blue"},"GameTitle":{"S":"red"}}}`, false},
			{"dynamodb.BatchWriteItem", `{"RequestItems":{"GameScores":[{"PutRequest":{"Item":{"UserId":{"S":"red"},"n":{"N":"1"}}}},
				{"DeleteRequest":{"Key":{"UserId":{"S":"red"}}}}]}}`, true},
			{"dynamodb.BatchWriteItem", `{"RequestItems":{"GameScores":[{"PutRequest":{"Item":{"UserId":{"S":"red"},"n":{"N":"1"}}}},
				{"DeleteRequest":{"Key":{"UserId":{"S":"blue"}}}}]}}`, false},
			{"dynamodb.Query", `{"TableName":"GameScores","KeyConditionExpression":"UserId = :u AND begins_with(GameTitle, :g)",
				"ExpressionAttributeValues":{":u":{"S":"red"},":g":{"S":"a"}}}`, true},
			{"dynamodb.Query", `{"TableName":"GameScores","KeyConditionExpression":"GameTitle = :g and :u = #u",
				"ExpressionAttributeNames":{"#u":"UserId"},"ExpressionAttributeValues":{":u":{"S":"blue"},":g":{"S":"red"}}}`, false},
			{"dynamodb.Query", `{"TableName":"GameScores","KeyConditions":{"UserId":{"ComparisonOperator":"EQ","AttributeValueList":[{"S":"red"}]}}}`, true},
			{"dynamodb.Scan", `{"TableName":"GameScores"}`, false},
			// A value that is not there: nobody knows what is written.
			{"dynamodb.Query", `{"TableName":"GameScores","KeyConditionExpression":"UserId = :nothing"}`, false},
		},
	},
	{
		name: "some attributes", source: fineGrained,
		doc: document(allowIf("dynamodb:UpdateItem dynamodb:GetItem", scores,
			`{"ForAllValues:StringEquals":{"dynamodb:Attributes":["UserId","TopScore"]},
			"StringEqualsIfExists":{"dynamodb:ReturnValues":["NONE","UPDATED_OLD","UPDATED_NEW"]}}`)),
		calls: []guided{
			{"dynamodb.UpdateItem", `{"TableName":"GameScores","Key":{"UserId":{"S":"a"}},"UpdateExpression":"SET TopScore = TopScore + :one",
				"ExpressionAttributeValues":{":one":{"N":"1"}}}`, true},
			{"dynamodb.UpdateItem", `{"TableName":"GameScores","Key":{"UserId":{"S":"a"}},"UpdateExpression":"SET #w = if_not_exists(#w, :z)",
				"ExpressionAttributeNames":{"#w":"Wins"},"ExpressionAttributeValues":{":z":{"N":"1"}}}`, false},
			{"dynamodb.UpdateItem", `{"TableName":"GameScores","Key":{"UserId":{"S":"a"}},"UpdateExpression":"SET TopScore = :one",
				"ReturnValues":"ALL_OLD"}`, false},
			{"dynamodb.UpdateItem", `{"TableName":"GameScores","Key":{"UserId":{"S":"a"}},"AttributeUpdates":{"Wins":{"Action":"PUT"}}}`, false},
			{"dynamodb.GetItem", `{"TableName":"GameScores","Key":{"UserId":{"S":"a"}},"ProjectionExpression":"TopScore, UserId"}`, true},
			{"dynamodb.GetItem", `{"TableName":"GameScores","Key":{"UserId":{"S":"a"}},"ProjectionExpression":"TopScore, Secret.inner[0]"}`, false},
		},
	},
	{
		name: "projected attributes of an index", source: fineGrained,
		doc: document(allowIf("dynamodb:Query", "~dynamodb:table/GameScores/index/TopScoreDateTimeIndex",
			`{"ForAllValues:StringEquals":{"dynamodb:Attributes":["TopScoreDateTime","GameTitle","Wins"]},
			"StringEquals":{"dynamodb:Select":"SPECIFIC_ATTRIBUTES"}}`)),
		calls: []guided{
			{"dynamodb.Query", `{"TableName":"GameScores","IndexName":"TopScoreDateTimeIndex","Select":"SPECIFIC_ATTRIBUTES",
				"ProjectionExpression":"Wins,GameTitle","KeyConditionExpression":"GameTitle=:g","ExpressionAttributeValues":{":g":{"S":"x"}}}`, true},
			{"dynamodb.Query", `{"TableName":"GameScores","IndexName":"TopScoreDateTimeIndex",
				"KeyConditionExpression":"GameTitle=:g","ExpressionAttributeValues":{":g":{"S":"x"}}}`, false},
			{"dynamodb.Query", `{"TableName":"GameScores","Select":"SPECIFIC_ATTRIBUTES",
				"KeyConditionExpression":"GameTitle=:g","ExpressionAttributeValues":{":g":{"S":"x"}}}`, false},
		},
	},
	{
		name: "no full scans in PartiQL", source: partiQLPage,
		doc: document(denyIf("dynamodb:PartiQLSelect", "~dynamodb:table/Cart", `{"Bool":{"dynamodb:FullTableScan":["true"]}}`),
			allow("dynamodb:PartiQLInsert dynamodb:PartiQLUpdate dynamodb:PartiQLDelete dynamodb:PartiQLSelect", "~dynamodb:table/Cart")),
		calls: []guided{
			{"dynamodb.ExecuteStatement", `{"Statement":"SELECT * FROM Cart WHERE id = '1'"}`, true},
			{"dynamodb.ExecuteStatement", `{"Statement":"select n from \"Cart\" where ? = id and n > 3","Parameters":[{"S":"1"}]}`, true},
			{"dynamodb.ExecuteStatement", `{"Statement":"SELECT * FROM Cart WHERE id IN ['1','2'] OR id='3'"}`, true},
			{"dynamodb.ExecuteStatement", `{"Statement":"SELECT * FROM Cart"}`, false},
			{"dynamodb.ExecuteStatement", `{"Statement":"SELECT * FROM Cart WHERE n = 1"}`, false},
			{"dynamodb.ExecuteStatement", `{"Statement":"SELECT * FROM Cart WHERE id = '1' OR n = 2"}`, false},
			{"dynamodb.ExecuteStatement", `{"Statement":"SELECT * FROM Cart WHERE id > '1'"}`, false},
			{"dynamodb.ExecuteStatement", `{"Statement":"SELECT * FROM Cart WHERE NOT (id = '1')"}`, false},
			{"dynamodb.ExecuteStatement", `{"Statement":"INSERT INTO Cart VALUE {'id':'1'}"}`, true},
			{"dynamodb.BatchExecuteStatement", `{"Statements":[{"Statement":"DELETE FROM Cart WHERE id='1'"},{"Statement":"UPDATE Stock SET n=1 WHERE id='1'"}]}`, false},
			{"dynamodb.ExecuteTransaction", `{"TransactStatements":[{"Statement":"EXISTS(SELECT * FROM Cart WHERE id='1')"},{"Statement":"UPDATE Cart SET n=1 WHERE id='1'"}]}`, true},
		},
	},
	{
		name: "own items in PartiQL", source: partiQLPage,
		doc: document(allowIf("dynamodb:PartiQL*", "~dynamodb:table/Cart",
			`{"ForAllValues:StringEquals":{"dynamodb:LeadingKeys":["red"]},"Null":{"dynamodb:LeadingKeys":"false"}}`)),
		calls: []guided{
			{"dynamodb.ExecuteStatement", `{"Statement":"SELECT n FROM Cart WHERE id = 'red'"}`, true},
			{"dynamodb.ExecuteStatement", `{"Statement":"SELECT n FROM Cart WHERE id = 'red' OR id = 'blue'"}`, false},
			{"dynamodb.ExecuteStatement", `{"Statement":"INSERT INTO Cart VALUE {'id': ?, 'n': 'red'}","Parameters":[{"S":"blue"}]}`, false},
			{"dynamodb.ExecuteStatement", `{"Statement":"INSERT INTO Cart VALUE {'id': ?, 'n': 'x'}","Parameters":[{"S":"red"}]}`, true},
			{"dynamodb.ExecuteStatement", `{"Statement":"DELETE FROM Cart WHERE id = 'it''s red'"}`, false},
			{"dynamodb.ExecuteStatement", `{"Statement":"DROP TABLE Cart"}`, false},
		},
	},
	{
		name: "transactions only", source: "Amazon DynamoDB Developer Guide, Using IAM with DynamoDB transactions",
		doc: document(allow("dynamodb:PutItem dynamodb:UpdateItem dynamodb:GetItem", "~dynamodb:table/Cart"),
			denyIf("dynamodb:PutItem dynamodb:UpdateItem", "~dynamodb:table/Cart",
				`{"ForAnyValue:StringEquals":{"dynamodb:EnclosingOperation":["TransactWriteItems"]}}`)),
		calls: []guided{
			{"dynamodb.TransactWriteItems", `{"TransactItems":[{"Put":{"TableName":"Cart","Item":{"id":{"S":"1"}}}}]}`, false},
			{"dynamodb.TransactGetItems", `{"TransactItems":[{"Get":{"TableName":"Cart","Key":{"id":{"S":"1"}}}}]}`, true},
			{"dynamodb.PutItem", `{"TableName":"Cart","Item":{"id":{"S":"1"}}}`, true},
		},
	},
	{
		name: "streams", source: "Amazon DynamoDB Developer Guide, Using identity-based policies",
		doc: document(allow("dynamodb:DescribeStream dynamodb:GetRecords dynamodb:GetShardIterator", "~dynamodb:table/Cart/stream/*")),
		calls: []guided{
			{"dynamodbstreams.GetRecords", `{"ShardIterator":"~dynamodb:table/Cart/stream/2020|1|AAA"}`, true},
			{"dynamodbstreams.GetRecords", `{"ShardIterator":"~dynamodb:table/Stock/stream/2020|1|AAA"}`, false},
			{"dynamodbstreams.GetShardIterator", `{"StreamArn":"~dynamodb:table/Cart/stream/2020","ShardId":"s"}`, true},
		},
	},
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
		name: "encryption context", source: "AWS KMS Developer Guide, kms:EncryptionContext:context-key",
		doc: document(allowIf("kms:Encrypt kms:Decrypt kms:ReEncrypt*", "*",
			`{"StringEquals":{"kms:EncryptionContext:AppName":"ExampleApp"},"ForAllValues:StringEquals":{"kms:EncryptionContextKeys":["AppName"]}}`)),
		calls: []guided{
			{"kms.Encrypt", `{"KeyId":"` + keyID + `","Plaintext":"eA==","EncryptionContext":{"AppName":"ExampleApp"}}`, true},
			{"kms.Encrypt", `{"KeyId":"` + keyID + `","Plaintext":"eA==","EncryptionContext":{"AppName":"Other"}}`, false},
			{"kms.Encrypt", `{"KeyId":"` + keyID + `","Plaintext":"eA==","EncryptionContext":{"AppName":"ExampleApp","more":"x"}}`, false},
			{"kms.Encrypt", `{"KeyId":"` + keyID + `","Plaintext":"eA=="}`, false},
			{"kms.ReEncrypt", `{"SourceKeyId":"` + keyID + `","DestinationKeyId":"` + keyID + `","SourceEncryptionContext":{"AppName":"ExampleApp"},
				"DestinationEncryptionContext":{"AppName":"ExampleApp"}}`, true},
			{"kms.ReEncrypt", `{"SourceKeyId":"` + keyID + `","DestinationKeyId":"` + keyID + `","SourceEncryptionContext":{"AppName":"ExampleApp"}}`, false},
		},
	},
	{
		name: "grants of one operation", source: "AWS KMS Developer Guide, kms:GrantOperations",
		doc: document(allowIf("kms:CreateGrant", "*", `{"ForAllValues:StringEquals":{"kms:GrantOperations":["Encrypt","RetireGrant"]}}`)),
		calls: []guided{
			{"kms.CreateGrant", `{"KeyId":"` + keyID + `","GranteePrincipal":"x","Operations":["Encrypt"]}`, true},
			{"kms.CreateGrant", `{"KeyId":"` + keyID + `","GranteePrincipal":"x","Operations":["Encrypt","Decrypt"]}`, false},
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
