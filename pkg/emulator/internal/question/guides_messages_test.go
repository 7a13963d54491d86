package question_test

const (
	queuePolicies      = "Amazon SQS Developer Guide, Basic examples of IAM policies for Amazon SQS"
	topicPolicies      = "Amazon SNS Developer Guide, Using identity-based policies with Amazon SNS"
	conditionsOfEvents = "Amazon EventBridge User Guide, Using IAM policy conditions in Amazon EventBridge"
	streamPolicies     = "Amazon Kinesis Data Streams Developer Guide, Controlling access to Amazon Kinesis Data Streams resources using IAM"
)

var messageGuides = []guide{
	{
		name: "queues by prefix", source: queuePolicies,
		doc: document(allow("sqs:*", "arn:aws:sqs:*:123456789012:alice_queue_*")),
		calls: []guided{
			{"sqs.CreateQueue", `{"QueueName":"alice_queue_1"}`, true},
			{"sqs.SendMessage", `{"QueueUrl":"http://x/123456789012/alice_queue_1"}`, true},
			{"sqs.SendMessage", `{"QueueUrl":"http://x/123456789012/bob_queue_1"}`, false},
			{"sqs.ListQueues", `{}`, false},
		},
	},
	{
		name: "writing to a queue", source: queuePolicies,
		doc: document(allow("sqs:SendMessage", "arn:aws:sqs:*:123456789012:MyCompanyQueue")),
		calls: []guided{
			{"sqs.SendMessage", `{"QueueUrl":"http://x/123456789012/MyCompanyQueue"}`, true},
			{"sqs.SendMessageBatch", `{"QueueUrl":"http://x/123456789012/MyCompanyQueue","Entries":[]}`, true},
			{"sqs.DeleteMessage", `{"QueueUrl":"http://x/123456789012/MyCompanyQueue"}`, false},
			{"sqs.SendMessage", `{"QueueUrl":"http://x/123456789012/WidgetPartnerQueue"}`, false},
		},
	},
	{
		name: "everything on a shared queue", source: queuePolicies,
		doc: document(allow("sqs:*", "arn:aws:sqs:*:123456789012:MyCompanyQueue")),
		calls: []guided{
			{"sqs.ChangeMessageVisibilityBatch", `{"QueueUrl":"http://x/123456789012/MyCompanyQueue","Entries":[]}`, true},
			{"sqs.ReceiveMessage", `{"QueueUrl":"http://x/123456789012/MyCompanyQueue"}`, true},
			{"sqs.ReceiveMessage", `{"QueueUrl":"http://x/123456789012/Other"}`, false},
		},
	},
	{
		name: "the size of queues", source: queuePolicies,
		doc: document(allow("sqs:GetQueueAttributes", "*")),
		calls: []guided{
			{"sqs.GetQueueAttributes", `{"QueueUrl":"http://x/123456789012/any"}`, true},
			{"sqs.SetQueueAttributes", `{"QueueUrl":"http://x/123456789012/any","Attributes":{}}`, false},
		},
	},
	{
		name: "managing topics", source: topicPolicies,
		doc: document(allow("sns:CreateTopic sns:ListTopics sns:SetTopicAttributes sns:DeleteTopic", "*")),
		calls: []guided{
			{"sns.CreateTopic", `{"Name":"news"}`, true},
			{"sns.DeleteTopic", `{"TopicArn":"~sns:news"}`, true},
			{"sns.ListTopics", `{}`, true},
			{"sns.Publish", `{"TopicArn":"~sns:news","Message":"m"}`, false},
		},
	},
	{
		name: "publishing to a topic", source: topicPolicies,
		doc: document(allow("sns:Publish", "arn:aws:sns:*:123456789012:MyTopic")),
		calls: []guided{
			{"sns.Publish", `{"TopicArn":"~sns:MyTopic","Message":"m"}`, true},
			{"sns.PublishBatch", `{"TopicArn":"~sns:MyTopic","PublishBatchRequestEntries":[]}`, true},
			{"sns.Publish", `{"TopicArn":"~sns:Other","Message":"m"}`, false},
		},
	},
	{
		name: "addresses of a company", source: topicPolicies,
		doc: document(allowIf("sns:Subscribe", "*", `{"StringLike":{"SNS:Endpoint":"*@example.com"},"StringEquals":{"sns:Protocol":"email"}}`)),
		calls: []guided{
			{"sns.Subscribe", `{"TopicArn":"~sns:news","Protocol":"email","Endpoint":"a@example.com"}`, true},
			{"sns.Subscribe", `{"TopicArn":"~sns:news","Protocol":"email","Endpoint":"a@other.com"}`, false},
			{"sns.Subscribe", `{"TopicArn":"~sns:news","Protocol":"email-json","Endpoint":"a@example.com"}`, false},
			{"sns.Subscribe", `{"TopicArn":"~sns:news","Protocol":"email"}`, false},
		},
	},
	{
		name: "a partner's topic", source: topicPolicies,
		doc: document(allow("sns:Publish", "arn:aws:sns:*:123456789012:WidgetPartnerTopic"),
			`{"Effect":"Deny","NotAction":"sns:Publish","NotResource":"arn:aws:sns:*:123456789012:WidgetPartnerTopic"}`),
		calls: []guided{
			{"sns.Publish", `{"TopicArn":"~sns:WidgetPartnerTopic","Message":"m"}`, true},
			{"sns.DeleteTopic", `{"TopicArn":"~sns:WidgetPartnerTopic"}`, false},
			{"sns.Publish", `{"TopicArn":"~sns:Other","Message":"m"}`, false},
		},
	},
	{
		name: "rules for all events", source: conditionsOfEvents,
		doc: document(allow("events:PutRule", "*")),
		calls: []guided{
			{"events.PutRule", `{"Name":"r","EventPattern":"{\"source\":[\"aws.ec2\",\"aws.s3\"]}"}`, true},
			{"events.PutRule", `{"Name":"r","EventPattern":"{\"detail-type\":[\"EC2 Instance State-change Notification\"]}"}`, true},
			{"events.DeleteRule", `{"Name":"r"}`, false},
		},
	},
	{
		name: "rules for one source", source: conditionsOfEvents,
		doc: document(allowIf("events:PutRule", "*", `{"StringEquals":{"events:source":"aws.ec2"}}`)),
		calls: []guided{
			{"events.PutRule", `{"Name":"r","EventPattern":"{\"source\":[\"aws.ec2\"]}"}`, true},
			{"events.PutRule", `{"Name":"r","EventPattern":"{\"source\":[\"aws.ec2\"],\"detail-type\":[\"EC2 Instance State-change Notification\"]}"}`, true},
			{"events.PutRule", `{"Name":"r","EventPattern":"{\"source\":[\"aws.s3\"]}"}`, false},
			{"events.PutRule", `{"Name":"r","EventPattern":"{\"source\":[\"aws.ec2\",\"aws.s3\"]}"}`, false},
			{"events.PutRule", `{"Name":"r","EventPattern":"{\"detail-type\":[\"EC2 Instance State-change Notification\"]}"}`, false},
		},
	},
	{
		name: "rules for one of two sources", source: conditionsOfEvents,
		doc: document(allowIf("events:PutRule", "*", `{"StringEquals":{"events:source":["aws.ec2","aws.ecs"]}}`)),
		calls: []guided{
			{"events.PutRule", `{"Name":"r","EventPattern":"{\"source\":[\"aws.ec2\"]}"}`, true},
			{"events.PutRule", `{"Name":"r","EventPattern":"{\"source\":[\"aws.ecs\"]}"}`, true},
			{"events.PutRule", `{"Name":"r","EventPattern":"{\"source\":[\"aws.s3\"]}"}`, false},
			{"events.PutRule", `{"Name":"r","EventPattern":"{\"source\":[\"aws.ec2\",\"aws.ecs\"]}"}`, false},
			{"events.PutRule", `{"Name":"r","EventPattern":"{\"detail-type\":[\"AWS API Call via CloudTrail\"]}"}`, false},
		},
	},
	{
		name: "rules for a source and a type", source: conditionsOfEvents,
		doc: document(allowIf("events:PutRule", "*", `{"StringEquals":{"events:source":"aws.ec2","events:detail-type":"EC2 Instance State-change Notification"}}`)),
		calls: []guided{
			{"events.PutRule", `{"Name":"r","EventPattern":"{\"source\":[\"aws.ec2\"],\"detail-type\":[\"EC2 Instance State-change Notification\"]}"}`, true},
			{"events.PutRule", `{"Name":"r","EventPattern":"{\"source\":[\"aws.ec2\"]}"}`, false},
			{"events.PutRule", `{"Name":"r","EventPattern":"{\"source\":[\"aws.ecs\"]}"}`, false},
			{"events.PutRule", `{"Name":"r","EventPattern":"{\"source\":[\"aws.ec2\"],\"detail-type\":[\"EC2 Instance Health Failed\"]}"}`, false},
			{"events.PutRule", `{"Name":"r","EventPattern":"{\"detail-type\":[\"EC2 Instance State-change Notification\"]}"}`, false},
		},
	},
	{
		name: "rules with a source", source: conditionsOfEvents,
		doc: document(allowIf("events:PutRule", "*", `{"Null":{"events:source":"false"}}`)),
		calls: []guided{
			{"events.PutRule", `{"Name":"r","EventPattern":"{\"source\":[\"aws.ec2\"],\"detail-type\":[\"EC2 Instance State-change Notification\"]}"}`, true},
			{"events.PutRule", `{"Name":"r","EventPattern":"{\"source\":[\"aws.ecs\",\"aws.ec2\"]}"}`, true},
			{"events.PutRule", `{"Name":"r","EventPattern":"{\"detail-type\":[\"EC2 Instance State-change Notification\"]}"}`, false},
			{"events.PutRule", `{"Name":"r","ScheduleExpression":"rate(1 hour)"}`, false},
		},
	},
	{
		name: "rules for some sources", source: conditionsOfEvents,
		doc: document(allowIf("events:PutRule", "*", `{"ForAllValues:StringEquals":{"events:source":["aws.ec2","aws.s3"]},"Null":{"events:source":"false"}}`)),
		calls: []guided{
			{"events.PutRule", `{"Name":"r","EventPattern":"{\"source\":[\"aws.ec2\"]}"}`, true},
			{"events.PutRule", `{"Name":"r","EventPattern":"{\"source\":[\"aws.ec2\",\"aws.s3\"]}"}`, true},
			{"events.PutRule", `{"Name":"r","EventPattern":"{\"source\":[\"aws.ec2\",\"aws.autoscaling\"]}"}`, false},
			{"events.PutRule", `{"Name":"r","EventPattern":"{\"detail-type\":[\"EC2 Instance State-change Notification\"]}"}`, false},
			{"events.PutRule", `{"Name":"r","EventPattern":"{\"source\":[\"aws.ec2\",{\"prefix\":\"aws.\"}]}"}`, false},
		},
	},
	{
		name: "rules for a service in the detail", source: conditionsOfEvents,
		doc: document(allowIf("events:PutRule", "*", `{"StringEquals":{"events:detail.service":"ABUSE"}}`)),
		calls: []guided{
			{"events.PutRule", `{"Name":"r","EventPattern":"{\"source\":[\"aws.health\"],\"detail\":{\"service\":[\"ABUSE\"]}}"}`, true},
			{"events.PutRule", `{"Name":"r","EventPattern":"{\"source\":[\"aws.health\"],\"detail\":{\"service\":[\"EC2\"]}}"}`, false},
			{"events.PutRule", `{"Name":"r","EventPattern":"{\"source\":[\"aws.health\"]}"}`, false},
		},
	},
	{
		name: "rules for a code in the detail", source: conditionsOfEvents,
		doc: document(allowIf("events:PutRule", "*", `{"StringEquals":{"events:detail.eventTypeCode":"AWS_ABUSE_DOS_REPORT"}}`)),
		calls: []guided{
			{"events.PutRule", `{"Name":"r","EventPattern":"{\"source\":[\"aws.health\"],\"detail\":{\"eventTypeCode\":[\"AWS_ABUSE_DOS_REPORT\"]}}"}`, true},
			{"events.PutRule", `{"Name":"r","EventPattern":"{\"source\":[\"aws.health\"],\"detail\":{\"eventTypeCode\":[\"AWS_OTHER\"]}}"}`, false},
			{"events.PutRule", `{"Name":"r","EventPattern":"{\"source\":[\"aws.health\"]}"}`, false},
		},
	},
	{
		name: "rules for the calls of one user", source: conditionsOfEvents,
		doc: document(allowIf("events:PutRule", "*", `{"StringEquals":{"events:detail-type":["AWS API Call via CloudTrail"],
			"events:detail.userIdentity.principalId":["AIDAJ45Q7YFFAREXAMPLE"]}}`)),
		calls: []guided{
			{"events.PutRule", `{"Name":"r","EventPattern":"{\"detail-type\":[\"AWS API Call via CloudTrail\"],\"detail\":{\"userIdentity\":{\"principalId\":[\"AIDAJ45Q7YFFAREXAMPLE\"]}}}"}`, true},
			{"events.PutRule", `{"Name":"r","EventPattern":"{\"detail-type\":[\"AWS API Call via CloudTrail\"]}"}`, false},
			{"events.PutRule", `{"Name":"r","EventPattern":"{\"detail-type\":[\"AWS API Call via CloudTrail\"],\"detail\":{\"userIdentity\":{\"principalId\":[\"AROAIDPPEZS35WEXAMPLE:AssumedRoleSessionName\"]}}}"}`, false},
		},
	},
	{
		name: "targets of one rule", source: conditionsOfEvents,
		doc: document(allow("events:PutTargets", "~events:rule/MyRule")),
		calls: []guided{
			{"events.PutTargets", `{"Rule":"MyRule","Targets":[{"Id":"1","Arn":"~sqs:q"}]}`, true},
			{"events.PutTargets", `{"Rule":"Other","Targets":[{"Id":"1","Arn":"~sqs:q"}]}`, false},
			{"events.PutTargets", `{"Rule":"MyRule","EventBusName":"b","Targets":[{"Id":"1","Arn":"~sqs:q"}]}`, false},
		},
	},
	{
		name: "functions as targets", source: conditionsOfEvents,
		doc: document(allowIf("events:PutTargets", "~events:rule/MyRule", `{"ArnLike":{"events:TargetArn":"arn:aws:lambda:*:*:function:*"}}`)),
		calls: []guided{
			{"events.PutTargets", `{"Rule":"MyRule","Targets":[{"Id":"1","Arn":"~lambda:function:f"}]}`, true},
			{"events.PutTargets", `{"Rule":"MyRule","Targets":[{"Id":"1","Arn":"~sqs:q"}]}`, false},
			{"events.PutTargets", `{"Rule":"MyRule","Targets":[{"Id":"1","Arn":"~lambda:function:f"},{"Id":"2","Arn":"~sqs:q"}]}`, false},
		},
	},
	{
		name: "an account's own rules", source: "Amazon EventBridge User Guide, Permissions for event buses in Amazon EventBridge",
		doc: document(allowIf("events:PutRule events:DeleteRule events:DescribeRule events:PutTargets events:RemoveTargets", "~events:rule/*",
			`{"StringEqualsIfExists":{"events:creatorAccount":"123456789012"}}`)),
		calls: []guided{
			{"events.DeleteRule", `{"Name":"r"}`, true},
			{"events.PutTargets", `{"Rule":"r","EventBusName":"b","Targets":[{"Id":"1","Arn":"~sqs:q"}]}`, true},
			{"events.DeleteEventBus", `{"Name":"b"}`, false},
		},
	},
	{
		name: "another account's rules", source: "Amazon EventBridge User Guide, Permissions for event buses in Amazon EventBridge",
		doc: document(allowIf("events:*", "*", `{"StringEquals":{"events:creatorAccount":"111122223333"}}`)),
		calls: []guided{
			{"events.DeleteRule", `{"Name":"r"}`, false},
		},
	},
	{
		name: "reading a stream", source: streamPolicies,
		doc: document(allow("kinesis:Get* kinesis:DescribeStream", "~kinesis:stream/clicks"), allow("kinesis:ListStreams", "*")),
		calls: []guided{
			{"kinesis.GetShardIterator", `{"StreamName":"clicks","ShardId":"s","ShardIteratorType":"LATEST"}`, true},
			{"kinesis.GetRecords", `{"ShardIterator":"iterator-1"}`, true},
			{"kinesis.GetRecords", `{"ShardIterator":"unknown"}`, false},
			{"kinesis.ListStreams", `{}`, true},
			{"kinesis.DescribeStream", `{"StreamName":"other"}`, false},
			{"kinesis.PutRecord", `{"StreamName":"clicks","Data":"eA==","PartitionKey":"k"}`, false},
		},
	},
	{
		name: "writing to any stream", source: streamPolicies,
		doc: document(allow("kinesis:PutRecord", "~kinesis:stream/*")),
		calls: []guided{
			{"kinesis.PutRecord", `{"StreamName":"any","Data":"eA==","PartitionKey":"k"}`, true},
			{"kinesis.PutRecords", `{"StreamName":"any","Records":[]}`, false},
			{"kinesis.PutRecord", `{"StreamARN":"arn:aws:kinesis:us-east-1:999988887777:stream/any","Data":"eA==","PartitionKey":"k"}`, false},
		},
	},
	{
		name: "everything on a stream", source: streamPolicies,
		doc: document(allow("kinesis:*", "~kinesis:stream/stream1")),
		calls: []guided{
			{"kinesis.CreateStream", `{"StreamName":"stream1","ShardCount":1}`, true},
			{"kinesis.MergeShards", `{"StreamName":"stream1","ShardToMerge":"a","AdjacentShardToMerge":"b"}`, true},
			{"kinesis.DeleteStream", `{"StreamName":"stream2"}`, false},
			{"kinesis.ListStreams", `{}`, false},
		},
	},
	{
		name: "everything on all streams", source: streamPolicies,
		doc: document(allow("kinesis:*", "arn:aws:kinesis:*:123456789012:stream/*")),
		calls: []guided{
			{"kinesis.DeleteStream", `{"StreamName":"any"}`, true},
			{"kinesis.SubscribeToShard", `{"ConsumerARN":"~kinesis:stream/any/consumer/c:1","ShardId":"s","StartingPosition":{"Type":"LATEST"}}`, true},
			{"kinesis.DeleteStream", `{"StreamARN":"arn:aws:kinesis:us-east-1:999988887777:stream/any"}`, false},
		},
	},
	{
		name: "writing to a delivery stream", source: "Amazon Data Firehose Developer Guide, Grant your application access to your Amazon Data Firehose resources",
		doc: document(allow("firehose:DeleteDeliveryStream firehose:PutRecord firehose:PutRecordBatch firehose:UpdateDestination", "~firehose:deliverystream/d1")),
		calls: []guided{
			{"firehose.PutRecordBatch", `{"DeliveryStreamName":"d1","Records":[]}`, true},
			{"firehose.PutRecord", `{"DeliveryStreamName":"d2","Record":{"Data":"eA=="}}`, false},
			{"firehose.DescribeDeliveryStream", `{"DeliveryStreamName":"d1"}`, false},
		},
	},
}
