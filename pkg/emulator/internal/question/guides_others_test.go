package question_test

var otherGuides = []guide{
	{
		name: "small launch configurations", source: "Amazon EC2 Auto Scaling User Guide, Identity-based policy examples",
		doc: document(allowIf("autoscaling:CreateLaunchConfiguration", "~autoscaling:launchConfiguration:*:launchConfigurationName/qateamaccess-*", `{"StringEquals":{"autoscaling:InstanceType":"t2.micro"}}`),
			allowIf("autoscaling:CreateAutoScalingGroup autoscaling:UpdateAutoScalingGroup", "*", `{"StringLikeIfExists":{"autoscaling:LaunchConfigurationName":"qateamaccess-*"}}`)),
		calls: []guided{
			{"autoscaling.CreateLaunchConfiguration", `{"LaunchConfigurationName":"qateamaccess-1","InstanceType":"t2.micro"}`, true},
			{"autoscaling.CreateLaunchConfiguration", `{"LaunchConfigurationName":"qateamaccess-1","InstanceType":"m5.large"}`, false},
			{"autoscaling.CreateLaunchConfiguration", `{"LaunchConfigurationName":"other","InstanceType":"t2.micro"}`, false},
			{"autoscaling.CreateAutoScalingGroup", `{"AutoScalingGroupName":"g","LaunchConfigurationName":"qateamaccess-1","MinSize":1,"MaxSize":1}`, true},
			{"autoscaling.CreateAutoScalingGroup", `{"AutoScalingGroupName":"g","LaunchConfigurationName":"other","MinSize":1,"MaxSize":1}`, false},
		},
	},
	{
		name: "templates without a version", source: "Amazon EC2 Auto Scaling User Guide, Identity-based policy examples",
		doc: document(allowIf("autoscaling:CreateAutoScalingGroup autoscaling:UpdateAutoScalingGroup", "*", `{"Bool":{"autoscaling:LaunchTemplateVersionSpecified":"false"}}`)),
		calls: []guided{
			{"autoscaling.CreateAutoScalingGroup", `{"AutoScalingGroupName":"g","MinSize":1,"MaxSize":1,"LaunchTemplate":{"LaunchTemplateId":"lt-1","Version":"$Latest"}}`, true},
			{"autoscaling.CreateAutoScalingGroup", `{"AutoScalingGroupName":"g","MinSize":1,"MaxSize":1,"LaunchTemplate":{"LaunchTemplateId":"lt-1"}}`, true},
			{"autoscaling.CreateAutoScalingGroup", `{"AutoScalingGroupName":"g","MinSize":1,"MaxSize":1,"LaunchTemplate":{"LaunchTemplateId":"lt-1","Version":"3"}}`, false},
			{"autoscaling.CreateAutoScalingGroup", `{"AutoScalingGroupName":"g","MinSize":1,"MaxSize":1,"LaunchConfigurationName":"c"}`, false},
		},
	},
	{
		name: "groups with a tag", source: "Amazon EC2 Auto Scaling User Guide, Identity-based policy examples",
		doc: document(allowIf("autoscaling:*Scaling*", "*", `{"StringEquals":{"autoscaling:ResourceTag/purpose":"webserver"}}`), allow("autoscaling:Describe*Scaling*", "*")),
		calls: []guided{
			{"autoscaling.UpdateAutoScalingGroup", `{"AutoScalingGroupName":"web","MaxSize":2}`, true},
			{"autoscaling.UpdateAutoScalingGroup", `{"AutoScalingGroupName":"other","MaxSize":2}`, false},
			{"autoscaling.DescribeScalingActivities", `{}`, true},
		},
	},
	{
		name: "the size of groups", source: "Amazon EC2 Auto Scaling User Guide, Identity-based policy examples",
		doc: document(allowIf("autoscaling:*Scaling*", "*", `{"NumericGreaterThanEqualsIfExists":{"autoscaling:MinSize":1},"NumericLessThanEqualsIfExists":{"autoscaling:MaxSize":10}}`)),
		calls: []guided{
			{"autoscaling.UpdateAutoScalingGroup", `{"AutoScalingGroupName":"g","MinSize":1,"MaxSize":10}`, true},
			{"autoscaling.UpdateAutoScalingGroup", `{"AutoScalingGroupName":"g"}`, true},
			{"autoscaling.UpdateAutoScalingGroup", `{"AutoScalingGroupName":"g","MaxSize":11}`, false},
			{"autoscaling.UpdateAutoScalingGroup", `{"AutoScalingGroupName":"g","MinSize":0}`, false},
		},
	},
	{
		name: "tagged groups", source: "Amazon EC2 Auto Scaling User Guide, Identity-based policy examples",
		doc: document(allowIf("autoscaling:CreateAutoScalingGroup autoscaling:CreateOrUpdateTags", "*", `{"StringEquals":{"aws:RequestTag/purpose":"webserver","aws:RequestTag/cost-center":"cc123"},
			"ForAllValues:StringEquals":{"aws:TagKeys":["purpose","cost-center"]}}`)),
		calls: []guided{
			{"autoscaling.CreateAutoScalingGroup", `{"AutoScalingGroupName":"g","MinSize":1,"MaxSize":1,"Tags":[{"ResourceId":"g","ResourceType":"auto-scaling-group","Key":"purpose","Value":"webserver","PropagateAtLaunch":true},{"ResourceId":"g","ResourceType":"auto-scaling-group","Key":"cost-center","Value":"cc123","PropagateAtLaunch":true}]}`, true},
			{"autoscaling.CreateAutoScalingGroup", `{"AutoScalingGroupName":"g","MinSize":1,"MaxSize":1,"Tags":[{"ResourceId":"g","ResourceType":"auto-scaling-group","Key":"purpose","Value":"webserver","PropagateAtLaunch":true},{"ResourceId":"g","ResourceType":"auto-scaling-group","Key":"cost-center","Value":"cc123","PropagateAtLaunch":true},{"ResourceId":"g","ResourceType":"auto-scaling-group","Key":"a","Value":"b","PropagateAtLaunch":true}]}`, false},
			{"autoscaling.CreateAutoScalingGroup", `{"AutoScalingGroupName":"g","MinSize":1,"MaxSize":1}`, false},
		},
	},
	{
		name: "groups with any value of a tag", source: "Amazon EC2 Auto Scaling User Guide, Identity-based policy examples",
		doc: document(allowIf("autoscaling:CreateAutoScalingGroup autoscaling:CreateOrUpdateTags", "*", `{"StringLike":{"aws:RequestTag/environment":"*"}}`)),
		calls: []guided{
			{"autoscaling.CreateAutoScalingGroup", `{"AutoScalingGroupName":"g","MinSize":1,"MaxSize":1,"Tags":[{"ResourceId":"g","ResourceType":"auto-scaling-group","Key":"environment","Value":"x","PropagateAtLaunch":true}]}`, true},
			{"autoscaling.CreateAutoScalingGroup", `{"AutoScalingGroupName":"g","MinSize":1,"MaxSize":1,"Tags":[{"ResourceId":"g","ResourceType":"auto-scaling-group","Key":"other","Value":"x","PropagateAtLaunch":true}]}`, false},
		},
	},
	{
		name: "groups with one of two tags", source: "Amazon EC2 Auto Scaling User Guide, Identity-based policy examples",
		doc: document(allowIf("autoscaling:CreateAutoScalingGroup autoscaling:CreateOrUpdateTags", "*", `{"ForAnyValue:StringEquals":{"aws:TagKeys":["cost-center","owner"]}}`)),
		calls: []guided{
			{"autoscaling.CreateAutoScalingGroup", `{"AutoScalingGroupName":"g","MinSize":1,"MaxSize":1,"Tags":[{"ResourceId":"g","ResourceType":"auto-scaling-group","Key":"owner","Value":"x","PropagateAtLaunch":true}]}`, true},
			{"autoscaling.CreateAutoScalingGroup", `{"AutoScalingGroupName":"g","MinSize":1,"MaxSize":1,"Tags":[{"ResourceId":"g","ResourceType":"auto-scaling-group","Key":"other","Value":"x","PropagateAtLaunch":true}]}`, false},
		},
	},
	{
		name: "the capacity of groups by name", source: "Amazon EC2 Auto Scaling User Guide, Identity-based policy examples",
		doc: document(allow("autoscaling:SetDesiredCapacity", "~autoscaling:autoScalingGroup:*:autoScalingGroupName/group-*")),
		calls: []guided{
			{"autoscaling.SetDesiredCapacity", `{"AutoScalingGroupName":"group-1","DesiredCapacity":1}`, true},
			{"autoscaling.SetDesiredCapacity", `{"AutoScalingGroupName":"other","DesiredCapacity":1}`, false},
			{"autoscaling.DeleteAutoScalingGroup", `{"AutoScalingGroupName":"group-1"}`, false},
		},
	},
	{
		name: "viewing stacks", source: "AWS CloudFormation User Guide, Control CloudFormation access with AWS Identity and Access Management",
		doc: document(allow("cloudformation:DescribeStacks cloudformation:DescribeStackEvents cloudformation:DescribeStackResource cloudformation:DescribeStackResources", "*")),
		calls: []guided{
			{"cloudformation.DescribeStacks", `{"StackName":"s"}`, true},
			{"cloudformation.DescribeStackEvents", `{"StackName":"s"}`, true},
			{"cloudformation.DeleteStack", `{"StackName":"s"}`, false},
		},
	},
	{
		name: "no changes of a stack", source: "AWS CloudFormation User Guide, Control CloudFormation access with AWS Identity and Access Management",
		doc: document(allow("cloudformation:*", "*"), statement("Deny", "cloudformation:DeleteStack cloudformation:UpdateStack", "~cloudformation:stack/MyProductionStack/*", "")),
		calls: []guided{
			{"cloudformation.DeleteStack", `{"StackName":"s"}`, true},
			{"cloudformation.DeleteStack", `{"StackName":"MyProductionStack"}`, false},
			{"cloudformation.UpdateStack", `{"StackName":"~cloudformation:stack/MyProductionStack/abc9dbf0-43c2-11e3-a6e8-50fa526be49c","UsePreviousTemplate":true}`, false},
		},
	},
	{
		name: "one template of stacks", source: "AWS CloudFormation User Guide, Control CloudFormation access with AWS Identity and Access Management",
		doc: document(allowIf("cloudformation:CreateStack cloudformation:UpdateStack", "*", `{"StringEquals":{"cloudformation:TemplateUrl":["https://s3.amazonaws.com/testbucket/test.template"]}}`)),
		calls: []guided{
			{"cloudformation.CreateStack", `{"StackName":"s","TemplateURL":"https://s3.amazonaws.com/testbucket/test.template"}`, true},
			{"cloudformation.CreateStack", `{"StackName":"s","TemplateURL":"https://s3.amazonaws.com/other/test.template"}`, false},
			{"cloudformation.CreateStack", `{"StackName":"s","TemplateBody":"{}"}`, false},
		},
	},
	{
		name: "no imports", source: "AWS CloudFormation User Guide, Control CloudFormation access with AWS Identity and Access Management",
		doc: document(allow("cloudformation:*", "*"), denyIf("cloudformation:*", "*", `{"ForAnyValue:StringLike":{"cloudformation:ImportResourceTypes":["*"]}}`)),
		calls: []guided{
			{"cloudformation.CreateChangeSet", `{"StackName":"s","ChangeSetName":"c"}`, true},
			{"cloudformation.CreateChangeSet", `{"StackName":"s","ChangeSetName":"c","ChangeSetType":"IMPORT","ResourcesToImport":[{"ResourceType":"AWS::S3::Bucket","LogicalResourceId":"b","ResourceIdentifier":{}}]}`, false},
		},
	},
	{
		name: "imports of buckets", source: "AWS CloudFormation User Guide, Control CloudFormation access with AWS Identity and Access Management",
		doc: document(allowIf("cloudformation:*", "*", `{"ForAllValues:StringEqualsIgnoreCase":{"cloudformation:ImportResourceTypes":["AWS::S3::Bucket"]}}`)),
		calls: []guided{
			{"cloudformation.CreateChangeSet", `{"StackName":"s","ChangeSetName":"c","ResourcesToImport":[{"ResourceType":"AWS::S3::Bucket","LogicalResourceId":"b","ResourceIdentifier":{}}]}`, true},
			{"cloudformation.CreateChangeSet", `{"StackName":"s","ChangeSetName":"c","ResourcesToImport":[{"ResourceType":"AWS::SQS::Queue","LogicalResourceId":"b","ResourceIdentifier":{}}]}`, false},
		},
	},
	{
		name: "no stacks with roles", source: "AWS CloudFormation User Guide, Control CloudFormation access with AWS Identity and Access Management",
		doc: document(allow("cloudformation:CreateStack", "*"), denyIf("cloudformation:CreateStack", "*", `{"ForAnyValue:StringLikeIfExists":{"cloudformation:ResourceTypes":["AWS::IAM::*"]}}`),
			denyIf("cloudformation:CreateStack", "*", `{"Null":{"cloudformation:ResourceTypes":"true"}}`)),
		calls: []guided{
			{"cloudformation.CreateStack", `{"StackName":"s","ResourceTypes":["AWS::S3::Bucket"]}`, true},
			{"cloudformation.CreateStack", `{"StackName":"s","ResourceTypes":["AWS::S3::Bucket","AWS::IAM::Role"]}`, false},
			{"cloudformation.CreateStack", `{"StackName":"s"}`, false},
		},
	},
	{
		name: "stacks without roles", source: "AWS CloudFormation User Guide, Control CloudFormation access with AWS Identity and Access Management",
		doc: document(allowIf("cloudformation:CreateStack", "*", `{"ForAllValues:StringNotLikeIfExists":{"cloudformation:ResourceTypes":["AWS::IAM::*"]},"Null":{"cloudformation:ResourceTypes":"false"}}`)),
		calls: []guided{
			{"cloudformation.CreateStack", `{"StackName":"s","ResourceTypes":["AWS::S3::Bucket"]}`, true},
			{"cloudformation.CreateStack", `{"StackName":"s","ResourceTypes":["AWS::IAM::Role"]}`, false},
			{"cloudformation.CreateStack", `{"StackName":"s"}`, false},
		},
	},
	{
		name: "making state machines", source: "AWS Step Functions Developer Guide, Creating granular permissions for non-admin users",
		doc: document(allow("states:CreateStateMachine states:CreateActivity", "arn:aws:states:*:*:*"), allow("iam:PassRole", "arn:aws:iam::123456789012:role/my-execution-role")),
		calls: []guided{
			{"stepfunctions.CreateStateMachine", `{"name":"m","definition":"{}","roleArn":"arn:aws:iam::123456789012:role/my-execution-role"}`, true},
			{"stepfunctions.CreateStateMachine", `{"name":"m","definition":"{}","roleArn":"arn:aws:iam::123456789012:role/other"}`, false},
			{"stepfunctions.CreateActivity", `{"name":"a"}`, true},
			{"stepfunctions.DeleteActivity", `{"activityArn":"~states:activity:a"}`, false},
		},
	},
	{
		name: "state machines by prefix", source: "AWS Step Functions Developer Guide, Creating granular permissions for non-admin users",
		doc: document(allow("states:DescribeStateMachine states:StartExecution states:DeleteStateMachine states:ListExecutions states:UpdateStateMachine", "arn:aws:states:*:*:stateMachine:StateMachinePrefix*")),
		calls: []guided{
			{"stepfunctions.StartExecution", `{"stateMachineArn":"~states:stateMachine:StateMachinePrefix1"}`, true},
			{"stepfunctions.ListExecutions", `{"stateMachineArn":"~states:stateMachine:StateMachinePrefix1"}`, true},
			{"stepfunctions.StartExecution", `{"stateMachineArn":"~states:stateMachine:other"}`, false},
		},
	},
	{
		name: "executions by prefix", source: "AWS Step Functions Developer Guide, Creating granular permissions for non-admin users",
		doc: document(allow("states:DescribeExecution states:DescribeStateMachineForExecution states:GetExecutionHistory states:StopExecution", "arn:aws:states:*:*:execution:*:ExecutionPrefix*")),
		calls: []guided{
			{"stepfunctions.StopExecution", `{"executionArn":"~states:execution:m:ExecutionPrefix1"}`, true},
			{"stepfunctions.DescribeExecution", `{"executionArn":"~states:execution:m:other"}`, false},
		},
	},
	{
		name: "activities by prefix", source: "AWS Step Functions Developer Guide, Creating granular permissions for non-admin users",
		doc: document(allow("states:DescribeActivity states:DeleteActivity states:GetActivityTask", "arn:aws:states:*:*:activity:ActivityPrefix*")),
		calls: []guided{
			{"stepfunctions.GetActivityTask", `{"activityArn":"~states:activity:ActivityPrefix1"}`, true},
			{"stepfunctions.DeleteActivity", `{"activityArn":"~states:activity:other"}`, false},
		},
	},
	{
		name: "queries in a workgroup", source: "Amazon Athena User Guide, Example workgroup policies",
		doc: document(allow("athena:ListWorkGroups", "*"), allow("athena:StartQueryExecution athena:GetQueryResults athena:ListQueryExecutions athena:StopQueryExecution athena:ListNamedQueries athena:CreateNamedQuery athena:GetQueryExecution athena:GetWorkGroup", "~athena:workgroup/wg2")),
		calls: []guided{
			{"athena.ListWorkGroups", `{}`, true},
			{"athena.StartQueryExecution", `{"QueryString":"SELECT 1","WorkGroup":"wg2"}`, true},
			{"athena.GetQueryResults", `{"QueryExecutionId":"query-2"}`, true},
			{"athena.StartQueryExecution", `{"QueryString":"SELECT 1"}`, false},
			{"athena.UpdateWorkGroup", `{"WorkGroup":"wg2"}`, false},
		},
	},
	{
		name: "queries in the primary workgroup", source: "Amazon Athena User Guide, Example workgroup policies",
		doc: document(allow("athena:StartQueryExecution athena:GetQueryResults athena:ListQueryExecutions athena:StopQueryExecution athena:ListNamedQueries athena:CreateNamedQuery athena:GetQueryExecution", "~athena:workgroup/primary")),
		calls: []guided{
			{"athena.StartQueryExecution", `{"QueryString":"SELECT 1"}`, true},
			{"athena.StartQueryExecution", `{"QueryString":"SELECT 1","WorkGroup":"wg2"}`, false},
		},
	},
	{
		name: "managing a workgroup", source: "Amazon Athena User Guide, Example workgroup policies",
		doc: document(allow("athena:CreateWorkGroup athena:GetWorkGroup athena:DeleteWorkGroup athena:UpdateWorkGroup", "~athena:workgroup/test_workgroup")),
		calls: []guided{
			{"athena.CreateWorkGroup", `{"Name":"test_workgroup"}`, true},
			{"athena.DeleteWorkGroup", `{"WorkGroup":"test_workgroup"}`, true},
			{"athena.DeleteWorkGroup", `{"WorkGroup":"other"}`, false},
		},
	},
	{
		name: "starting and stopping queries", source: "Amazon Athena User Guide, Example workgroup policies",
		doc: document(allow("athena:StartQueryExecution athena:StopQueryExecution", "~athena:workgroup/wg2")),
		calls: []guided{
			{"athena.StopQueryExecution", `{"QueryExecutionId":"query-2"}`, true},
			{"athena.StopQueryExecution", `{"QueryExecutionId":"unknown"}`, false},
			{"athena.GetQueryResults", `{"QueryExecutionId":"query-2"}`, false},
		},
	},
	{
		name: "named queries", source: "Amazon Athena User Guide, Example workgroup policies",
		doc: document(allow("athena:CreateNamedQuery athena:GetNamedQuery athena:DeleteNamedQuery", "~athena:workgroup/wg2")),
		calls: []guided{
			{"athena.CreateNamedQuery", `{"Name":"n","Database":"d","QueryString":"SELECT 1","WorkGroup":"wg2"}`, true},
			{"athena.CreateNamedQuery", `{"Name":"n","Database":"d","QueryString":"SELECT 1"}`, false},
		},
	},
	{
		name: "reading a table of the catalog", source: "AWS Glue Developer Guide, Identity-based policies (IAM policies) for access control",
		doc: document(allow("glue:GetTable glue:GetTables", "~glue:catalog ~glue:database/db1 ~glue:table/db1/books")),
		calls: []guided{
			{"glue.GetTable", `{"DatabaseName":"db1","Name":"books"}`, true},
			{"glue.GetTable", `{"DatabaseName":"db1","Name":"other"}`, false},
			{"glue.GetTable", `{"DatabaseName":"db2","Name":"books"}`, false},
		},
	},
	{
		name: "no tables of a database", source: "AWS Glue Developer Guide, Identity-based policies (IAM policies) for access control",
		doc: document(allow("glue:*", "*"), statement("Deny", "glue:GetTables glue:GetTable", "~glue:database/db1", "")),
		calls: []guided{
			{"glue.GetTable", `{"DatabaseName":"db2","Name":"books"}`, true},
			{"glue.GetTable", `{"DatabaseName":"db1","Name":"books"}`, false},
			{"glue.GetTables", `{"DatabaseName":"db1"}`, false},
		},
	},
	{
		name: "tables by pattern", source: "AWS Glue Developer Guide, Identity-based policies (IAM policies) for access control",
		doc: document(allow("glue:Get*", "~glue:catalog ~glue:database/default ~glue:table/default/e*1* ~glue:connection/connection2")),
		calls: []guided{
			{"glue.GetTable", `{"DatabaseName":"default","Name":"events1"}`, true},
			{"glue.GetConnection", `{"Name":"connection2"}`, true},
			{"glue.GetTable", `{"DatabaseName":"default","Name":"books"}`, false},
		},
	},
	{
		name: "sending only", source: "Amazon SES Developer Guide, Identity and access management in Amazon SES",
		doc: document(allow("ses:SendEmail ses:SendRawEmail", "*")),
		calls: []guided{
			{"sesv2.SendEmail", `{"FromEmailAddress":"a@x.org","Destination":{"ToAddresses":["b@y.org"]},"Content":{"Simple":{"Subject":{"Data":"s"},"Body":{}}}}`, true},
			{"ses.SendRawEmail", `{"Source":"a@x.org","RawMessage":{"Data":"eA=="}}`, true},
			{"ses.GetSendStatistics", `{}`, false},
		},
	},
	{
		name: "one sender", source: "Amazon SES Developer Guide, Identity and access management in Amazon SES",
		doc: document(allowIf("ses:SendEmail ses:SendRawEmail", "*", `{"StringEquals":{"ses:FromAddress":"marketing@example.com"}}`)),
		calls: []guided{
			{"sesv2.SendEmail", `{"FromEmailAddress":"marketing@example.com","Destination":{"ToAddresses":["b@y.org"]},"Content":{"Simple":{"Subject":{"Data":"s"},"Body":{}}}}`, true},
			{"sesv2.SendEmail", `{"FromEmailAddress":"Sales <sales@example.com>","Destination":{"ToAddresses":["b@y.org"]},"Content":{"Simple":{"Subject":{"Data":"s"},"Body":{}}}}`, false},
		},
	},
	{
		name: "recipients of a domain", source: "Amazon SES Developer Guide, Identity and access management in Amazon SES",
		doc: document(allowIf("ses:SendEmail ses:SendRawEmail", "*", `{"ForAllValues:StringLike":{"ses:Recipients":["*@example.com"]}}`)),
		calls: []guided{
			{"sesv2.SendEmail", `{"FromEmailAddress":"a@x.org","Destination":{"ToAddresses":["b@example.com"]},"Content":{"Simple":{"Subject":{"Data":"s"},"Body":{}}}}`, true},
			{"sesv2.SendEmail", `{"FromEmailAddress":"a@x.org","Destination":{"ToAddresses":["b@example.com","c@other.com"]},"Content":{"Simple":{"Subject":{"Data":"s"},"Body":{}}}}`, false},
		},
	},
	{
		name: "a name of the sender", source: "Amazon SES Developer Guide, Identity and access management in Amazon SES",
		doc: document(allowIf("ses:SendEmail ses:SendRawEmail", "*", `{"StringLike":{"ses:FromDisplayName":"Marketing"}}`)),
		calls: []guided{
			{"sesv2.SendEmail", `{"FromEmailAddress":"Marketing <a@x.org>","Destination":{"ToAddresses":["b@y.org"]},"Content":{"Simple":{"Subject":{"Data":"s"},"Body":{}}}}`, true},
			{"sesv2.SendEmail", `{"FromEmailAddress":"a@x.org","Destination":{"ToAddresses":["b@y.org"]},"Content":{"Simple":{"Subject":{"Data":"s"},"Body":{}}}}`, false},
		},
	},
	{
		name: "an address for bounces", source: "Amazon SES Developer Guide, Identity and access management in Amazon SES",
		doc: document(allowIf("ses:SendEmail ses:SendRawEmail", "*", `{"StringEquals":{"ses:FeedbackAddress":"feedback@example.com"}}`)),
		calls: []guided{
			{"sesv2.SendEmail", `{"FromEmailAddress":"a@x.org","Destination":{"ToAddresses":["b@y.org"]},"Content":{"Simple":{"Subject":{"Data":"s"},"Body":{}}},"FeedbackForwardingEmailAddress":"feedback@example.com"}`, true},
			{"sesv2.SendEmail", `{"FromEmailAddress":"a@x.org","Destination":{"ToAddresses":["b@y.org"]},"Content":{"Simple":{"Subject":{"Data":"s"},"Body":{}}}}`, false},
			{"ses.SendEmail", `{"Source":"a@x.org","ReturnPath":"other@example.com","Destination":{},"Message":{}}`, false},
		},
	},
	{
		name: "the second version", source: "Amazon SES Developer Guide, Identity and access management in Amazon SES",
		doc: document(allowIf("ses:*", "*", `{"StringEquals":{"ses:ApiVersion":"2"}}`)),
		calls: []guided{
			{"sesv2.SendEmail", `{"FromEmailAddress":"a@x.org","Destination":{"ToAddresses":["b@y.org"]},"Content":{"Simple":{"Subject":{"Data":"s"},"Body":{}}}}`, true},
			{"ses.SendRawEmail", `{"Source":"a@x.org","RawMessage":{"Data":"eA=="}}`, false},
		},
	},
	{
		name: "names of records", source: "Amazon Route 53 Developer Guide, Using IAM policy conditions for fine-grained access control",
		doc: document(allowIf("route53:ChangeResourceRecordSets", "arn:aws:route53:::hostedzone/Z1", `{"ForAllValues:StringEquals":{"route53:ChangeResourceRecordSetsNormalizedRecordNames":["example.com","marketing.example.com"]}}`)),
		calls: []guided{
			{"route53.ChangeResourceRecordSets", `{"HostedZoneId":"Z1","ChangeBatch":{"Changes":[{"Action":"CREATE","ResourceRecordSet":{"Name":"example.com.","Type":"A"}},{"Action":"DELETE","ResourceRecordSet":{"Name":"Marketing.example.com","Type":"TXT"}}]}}`, true},
			{"route53.ChangeResourceRecordSets", `{"HostedZoneId":"Z1","ChangeBatch":{"Changes":[{"Action":"CREATE","ResourceRecordSet":{"Name":"example.com","Type":"A"}},{"Action":"CREATE","ResourceRecordSet":{"Name":"other.example.com","Type":"A"}}]}}`, false},
		},
	},
	{
		name: "names, types and actions of records", source: "Amazon Route 53 Developer Guide, Using IAM policy conditions for fine-grained access control",
		doc: document(allowIf("route53:ChangeResourceRecordSets", "arn:aws:route53:::hostedzone/Z1", `{"ForAllValues:StringLike":{"route53:ChangeResourceRecordSetsNormalizedRecordNames":["*.marketing.example.com"]},
			"ForAllValues:StringEquals":{"route53:ChangeResourceRecordSetsRecordTypes":["A","AAAA"],"route53:ChangeResourceRecordSetsActions":["CREATE","UPSERT"]}}`)),
		calls: []guided{
			{"route53.ChangeResourceRecordSets", `{"HostedZoneId":"Z1","ChangeBatch":{"Changes":[{"Action":"UPSERT","ResourceRecordSet":{"Name":"a.marketing.example.com","Type":"AAAA"}}]}}`, true},
			{"route53.ChangeResourceRecordSets", `{"HostedZoneId":"Z1","ChangeBatch":{"Changes":[{"Action":"DELETE","ResourceRecordSet":{"Name":"a.marketing.example.com","Type":"A"}}]}}`, false},
			{"route53.ChangeResourceRecordSets", `{"HostedZoneId":"Z1","ChangeBatch":{"Changes":[{"Action":"CREATE","ResourceRecordSet":{"Name":"a.marketing.example.com","Type":"TXT"}}]}}`, false},
			{"route53.ChangeResourceRecordSets", `{"HostedZoneId":"Z1","ChangeBatch":{"Changes":[{"Action":"CREATE","ResourceRecordSet":{"Name":"a.example.com","Type":"A"}}]}}`, false},
		},
	},
	{
		name: "no removal of records", source: "Amazon Route 53 Developer Guide, Using IAM policy conditions for fine-grained access control",
		doc: document(allow("route53:ChangeResourceRecordSets", "arn:aws:route53:::hostedzone/Z1"), denyIf("route53:ChangeResourceRecordSets", "arn:aws:route53:::hostedzone/Z1", `{"ForAnyValue:StringEquals":{"route53:ChangeResourceRecordSetsActions":["DELETE"]}}`)),
		calls: []guided{
			{"route53.ChangeResourceRecordSets", `{"HostedZoneId":"Z1","ChangeBatch":{"Changes":[{"Action":"CREATE","ResourceRecordSet":{"Name":"a.org","Type":"A"}}]}}`, true},
			{"route53.ChangeResourceRecordSets", `{"HostedZoneId":"Z1","ChangeBatch":{"Changes":[{"Action":"CREATE","ResourceRecordSet":{"Name":"a.org","Type":"A"}},{"Action":"DELETE","ResourceRecordSet":{"Name":"b.org","Type":"A"}}]}}`, false},
		},
	},
	{
		name: "everything on clusters", source: "Amazon EKS User Guide, Amazon EKS identity-based policy examples",
		doc: document(allow("eks:*", "*"), allowIf("iam:PassRole", "*", `{"StringEquals":{"iam:PassedToService":"eks.amazonaws.com"}}`)),
		calls: []guided{
			{"eks.CreateCluster", `{"name":"c","roleArn":"arn:aws:iam::123456789012:role/r","resourcesVpcConfig":{}}`, true},
			{"eks.CreatePodIdentityAssociation", `{"clusterName":"c","namespace":"n","serviceAccount":"s","roleArn":"arn:aws:iam::123456789012:role/r"}`, false},
		},
	},
	{
		name: "one cluster", source: "Amazon EKS User Guide, Amazon EKS identity-based policy examples",
		doc: document(allow("eks:CreateCluster", "~eks:cluster/my-cluster"), allow("iam:PassRole", "arn:aws:iam::123456789012:role/cluster-role-name")),
		calls: []guided{
			{"eks.CreateCluster", `{"name":"my-cluster","roleArn":"arn:aws:iam::123456789012:role/cluster-role-name","resourcesVpcConfig":{}}`, true},
			{"eks.CreateCluster", `{"name":"other","roleArn":"arn:aws:iam::123456789012:role/cluster-role-name","resourcesVpcConfig":{}}`, false},
			{"eks.CreateCluster", `{"name":"my-cluster","roleArn":"arn:aws:iam::123456789012:role/other","resourcesVpcConfig":{}}`, false},
		},
	},
	{
		name: "updating a cluster", source: "Amazon EKS User Guide, Amazon EKS identity-based policy examples",
		doc: document(allow("eks:UpdateClusterVersion", "~eks:cluster/my-cluster")),
		calls: []guided{
			{"eks.UpdateClusterVersion", `{"name":"my-cluster","version":"1.30"}`, true},
			{"eks.UpdateClusterVersion", `{"name":"other","version":"1.30"}`, false},
		},
	},
	{
		name: "listing clusters", source: "Amazon EKS User Guide, Amazon EKS identity-based policy examples",
		doc: document(allow("eks:DescribeCluster eks:ListClusters", "*")),
		calls: []guided{
			{"eks.ListClusters", `{}`, true},
			{"eks.DescribeCluster", `{"name":"c"}`, true},
			{"eks.DeleteCluster", `{"name":"c"}`, false},
		},
	},
}
