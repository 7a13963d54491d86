package question_test

const (
	functionPolicies = "AWS Lambda Developer Guide, Identity-based IAM policies for Lambda"
	logPolicies      = "Amazon CloudWatch Logs User Guide, Using identity-based policies (IAM policies) for CloudWatch Logs"
)

var functionGuides = []guide{
	{
		name: "functions of interns", source: functionPolicies,
		doc: document(allow("lambda:GetAccountSettings lambda:GetEventSourceMapping lambda:GetFunction lambda:GetFunctionConfiguration lambda:GetFunctionConcurrency "+
			"lambda:ListEventSourceMappings lambda:ListFunctions lambda:ListTags iam:ListRoles", "*"),
			`{"Effect":"Allow","NotAction":["lambda:AddPermission","lambda:PutFunctionConcurrency"],"Resource":"arn:aws:lambda:*:*:function:intern-*"}`,
			allowIf("lambda:DeleteEventSourceMapping lambda:UpdateEventSourceMapping lambda:CreateEventSourceMapping", "*",
				`{"StringLike":{"lambda:FunctionArn":"arn:aws:lambda:*:*:function:intern-*"}}`),
			allow("iam:PassRole", "arn:aws:iam::*:role/intern-lambda-execution-role"), allow("logs:*", "arn:aws:logs:*:*:log-group:/aws/lambda/intern-*")),
		calls: []guided{
			{"lambda.GetFunction", `{"FunctionName":"other"}`, true},
			{"lambda.CreateFunction", `{"FunctionName":"intern-f","Role":"arn:aws:iam::123456789012:role/intern-lambda-execution-role","Code":{}}`, true},
			{"lambda.CreateFunction", `{"FunctionName":"intern-f","Role":"arn:aws:iam::123456789012:role/other","Code":{}}`, false},
			{"lambda.CreateFunction", `{"FunctionName":"other","Role":"arn:aws:iam::123456789012:role/intern-lambda-execution-role","Code":{}}`, false},
			{"lambda.Invoke", `{"FunctionName":"intern-f","Qualifier":"1"}`, true},
			{"lambda.AddPermission", `{"FunctionName":"intern-f","StatementId":"1","Action":"lambda:InvokeFunction","Principal":"s3.amazonaws.com"}`, false},
			{"lambda.CreateEventSourceMapping", `{"FunctionName":"intern-f","EventSourceArn":"~sqs:q"}`, true},
			{"lambda.CreateEventSourceMapping", `{"FunctionName":"other","EventSourceArn":"~sqs:q"}`, false},
			{"logs.GetLogEvents", `{"logGroupName":"/aws/lambda/intern-f","logStreamName":"s"}`, true},
			{"logs.GetLogEvents", `{"logGroupName":"/aws/lambda/other","logStreamName":"s"}`, false},
		},
	},
	{
		name: "layers by prefix", source: functionPolicies,
		doc: document(allow("lambda:PublishLayerVersion", "arn:aws:lambda:*:*:layer:test-*"), allow("lambda:GetLayerVersion lambda:DeleteLayerVersion", "arn:aws:lambda:*:*:layer:test-*:*")),
		calls: []guided{
			{"lambda.PublishLayerVersion", `{"LayerName":"test-l","Content":{}}`, true},
			{"lambda.GetLayerVersion", `{"LayerName":"test-l","VersionNumber":1}`, true},
			{"lambda.DeleteLayerVersion", `{"LayerName":"prod-l","VersionNumber":1}`, false},
			{"lambda.PublishLayerVersion", `{"LayerName":"prod-l","Content":{}}`, false},
		},
	},
	{
		name: "no public URLs", source: "AWS Lambda Developer Guide, Control access to Lambda function URLs",
		doc: document(allow("lambda:*", "*"), denyIf("lambda:UpdateFunctionUrlConfig", "~lambda:function:*", `{"StringEquals":{"lambda:FunctionUrlAuthType":"NONE"}}`)),
		calls: []guided{
			{"lambda.UpdateFunctionUrlConfig", `{"FunctionName":"f","AuthType":"AWS_IAM"}`, true},
			{"lambda.UpdateFunctionUrlConfig", `{"FunctionName":"f","AuthType":"NONE"}`, false},
		},
	},
	{
		name: "URLs with authentication", source: "AWS Lambda Developer Guide, Control access to Lambda function URLs",
		doc: document(allowIf("lambda:CreateFunctionUrlConfig lambda:UpdateFunctionUrlConfig", "~lambda:function:*", `{"StringEquals":{"lambda:FunctionUrlAuthType":"AWS_IAM"}}`)),
		calls: []guided{
			{"lambda.CreateFunctionUrlConfig", `{"FunctionName":"f","AuthType":"AWS_IAM"}`, true},
			{"lambda.CreateFunctionUrlConfig", `{"FunctionName":"f","AuthType":"NONE"}`, false},
			{"lambda.DeleteFunctionUrlConfig", `{"FunctionName":"f"}`, false},
		},
	},
	{
		name: "only URLs with authentication", source: "AWS Lambda Developer Guide, Control access to Lambda function URLs",
		doc: document(allow("lambda:*", "*"), denyIf("lambda:CreateFunctionUrlConfig lambda:UpdateFunctionUrlConfig", "arn:aws:lambda:*:123456789012:function:*",
			`{"StringNotEquals":{"lambda:FunctionUrlAuthType":"AWS_IAM"}}`)),
		calls: []guided{
			{"lambda.CreateFunctionUrlConfig", `{"FunctionName":"f","AuthType":"AWS_IAM"}`, true},
			{"lambda.CreateFunctionUrlConfig", `{"FunctionName":"f","AuthType":"NONE"}`, false},
		},
	},
	{
		name: "functions in a VPC", source: "AWS Lambda Developer Guide, Using IAM condition keys for VPC settings",
		doc: document(allow("lambda:*", "*"), denyIf("lambda:CreateFunction lambda:UpdateFunctionConfiguration", "*", `{"Null":{"lambda:VpcIds":"true"}}`)),
		calls: []guided{
			{"lambda.UpdateFunctionConfiguration", `{"FunctionName":"f","VpcConfig":{"SubnetIds":["subnet-1"],"SecurityGroupIds":["sg-3"]}}`, true},
			{"lambda.UpdateFunctionConfiguration", `{"FunctionName":"f","Timeout":3}`, false},
		},
	},
	{
		name: "functions outside two VPCs", source: "AWS Lambda Developer Guide, Using IAM condition keys for VPC settings",
		doc: document(allow("lambda:*", "*"), denyIf("lambda:CreateFunction lambda:UpdateFunctionConfiguration", "*", `{"StringEquals":{"lambda:VpcIds":["vpc-1","vpc-2"]}}`)),
		calls: []guided{
			{"lambda.UpdateFunctionConfiguration", `{"FunctionName":"f","VpcConfig":{"SubnetIds":["subnet-9"]}}`, true},
			{"lambda.UpdateFunctionConfiguration", `{"FunctionName":"f","VpcConfig":{"SubnetIds":["subnet-1","subnet-2"]}}`, false},
		},
	},
	{
		name: "functions outside two subnets", source: "AWS Lambda Developer Guide, Using IAM condition keys for VPC settings",
		doc: document(allow("lambda:*", "*"), denyIf("lambda:CreateFunction lambda:UpdateFunctionConfiguration", "*", `{"ForAnyValue:StringEquals":{"lambda:SubnetIds":["subnet-1","subnet-2"]}}`)),
		calls: []guided{
			{"lambda.UpdateFunctionConfiguration", `{"FunctionName":"f","VpcConfig":{"SubnetIds":["subnet-9"]}}`, true},
			{"lambda.UpdateFunctionConfiguration", `{"FunctionName":"f","VpcConfig":{"SubnetIds":["subnet-9","subnet-2"]}}`, false},
		},
	},
	{
		name: "functions outside two groups", source: "AWS Lambda Developer Guide, Using IAM condition keys for VPC settings",
		doc: document(allow("lambda:*", "*"), denyIf("lambda:CreateFunction lambda:UpdateFunctionConfiguration", "*", `{"ForAnyValue:StringEquals":{"lambda:SecurityGroupIds":["sg-1","sg-2"]}}`)),
		calls: []guided{
			{"lambda.UpdateFunctionConfiguration", `{"FunctionName":"f","VpcConfig":{"SubnetIds":["subnet-9"],"SecurityGroupIds":["sg-3"]}}`, true},
			{"lambda.UpdateFunctionConfiguration", `{"FunctionName":"f","VpcConfig":{"SubnetIds":["subnet-9"],"SecurityGroupIds":["sg-3","sg-1"]}}`, false},
		},
	},
	{
		name: "functions in two VPCs", source: "AWS Lambda Developer Guide, Using IAM condition keys for VPC settings",
		doc: document(allowIf("lambda:CreateFunction lambda:UpdateFunctionConfiguration", "*", `{"StringEquals":{"lambda:VpcIds":["vpc-1","vpc-2"]}}`)),
		calls: []guided{
			{"lambda.UpdateFunctionConfiguration", `{"FunctionName":"f","VpcConfig":{"SubnetIds":["subnet-1","subnet-2"]}}`, true},
			{"lambda.UpdateFunctionConfiguration", `{"FunctionName":"f","VpcConfig":{"SubnetIds":["subnet-9"]}}`, false},
			{"lambda.UpdateFunctionConfiguration", `{"FunctionName":"f","Timeout":3}`, false},
		},
	},
	{
		name: "functions in two subnets", source: "AWS Lambda Developer Guide, Using IAM condition keys for VPC settings",
		doc: document(allowIf("lambda:CreateFunction lambda:UpdateFunctionConfiguration", "*", `{"ForAllValues:StringEquals":{"lambda:SubnetIds":["subnet-1","subnet-2"]}}`)),
		calls: []guided{
			{"lambda.UpdateFunctionConfiguration", `{"FunctionName":"f","VpcConfig":{"SubnetIds":["subnet-1"]}}`, true},
			{"lambda.UpdateFunctionConfiguration", `{"FunctionName":"f","VpcConfig":{"SubnetIds":["subnet-1","subnet-9"]}}`, false},
		},
	},
	{
		name: "functions in two groups", source: "AWS Lambda Developer Guide, Using IAM condition keys for VPC settings",
		doc: document(allowIf("lambda:CreateFunction lambda:UpdateFunctionConfiguration", "*", `{"ForAllValues:StringEquals":{"lambda:SecurityGroupIds":["sg-1","sg-2"]}}`)),
		calls: []guided{
			{"lambda.UpdateFunctionConfiguration", `{"FunctionName":"f","VpcConfig":{"SecurityGroupIds":["sg-1","sg-2"]}}`, true},
			{"lambda.UpdateFunctionConfiguration", `{"FunctionName":"f","VpcConfig":{"SecurityGroupIds":["sg-1","sg-3"]}}`, false},
		},
	},
	{
		name: "tagged functions", source: "AWS Lambda Developer Guide, Using attribute-based access control in Lambda",
		doc: document(allowIf("lambda:InvokeFunction lambda:GetFunction", "~lambda:function:*", `{"StringEquals":{"aws:ResourceTag/Project":"${aws:PrincipalTag/team}"}}`),
			allowIf("lambda:CreateFunction lambda:TagResource", "~lambda:function:*", `{"StringEquals":{"aws:RequestTag/Project":"${aws:PrincipalTag/team}"},
			"ForAllValues:StringEquals":{"aws:TagKeys":"Project"}}`), allow("iam:PassRole", "*")),
		calls: []guided{
			{"lambda.Invoke", `{"FunctionName":"tagged"}`, true},
			{"lambda.Invoke", `{"FunctionName":"other"}`, false},
			{"lambda.CreateFunction", `{"FunctionName":"f","Role":"arn:aws:iam::123456789012:role/r","Code":{},"Tags":{"Project":"red"}}`, true},
			{"lambda.CreateFunction", `{"FunctionName":"f","Role":"arn:aws:iam::123456789012:role/r","Code":{},"Tags":{"Project":"blue"}}`, false},
			{"lambda.CreateFunction", `{"FunctionName":"f","Role":"arn:aws:iam::123456789012:role/r","Code":{}}`, false},
		},
	},
	{
		name: "writing logs", source: logPolicies,
		doc: document(allow("logs:CreateLogGroup logs:CreateLogStream logs:PutLogEvents logs:DescribeLogStreams", "arn:aws:logs:*:*:*")),
		calls: []guided{
			{"logs.CreateLogGroup", `{"logGroupName":"/a"}`, true},
			{"logs.PutLogEvents", `{"logGroupName":"/a","logStreamName":"s","logEvents":[]}`, true},
			{"logs.DescribeLogStreams", `{"logGroupName":"/a"}`, true},
			{"logs.DeleteLogGroup", `{"logGroupName":"/a"}`, false},
		},
	},
	{
		name: "all of logs", source: logPolicies,
		doc: document(allow("logs:*", "*")),
		calls: []guided{
			{"logs.DeleteLogGroup", `{"logGroupName":"/a"}`, true},
			{"logs.DescribeLogGroups", `{}`, true},
			{"cloudwatch.ListMetrics", `{}`, false},
		},
	},
	{
		name: "reading logs", source: logPolicies,
		doc: document(allow("logs:Describe* logs:Get* logs:List* logs:StartQuery logs:StopQuery logs:TestMetricFilter logs:FilterLogEvents", "*")),
		calls: []guided{
			{"logs.GetLogEvents", `{"logGroupName":"/a","logStreamName":"s"}`, true},
			{"logs.FilterLogEvents", `{"logGroupName":"/a"}`, true},
			{"logs.GetQueryResults", `{"queryId":"q-1"}`, true},
			{"logs.PutRetentionPolicy", `{"logGroupName":"/a","retentionInDays":1}`, false},
		},
	},
	{
		name: "one log group", source: logPolicies,
		doc: document(allow("logs:CreateLogStream logs:DescribeLogStreams logs:PutLogEvents logs:GetLogEvents", "~logs:log-group:SampleLogGroupName:*")),
		calls: []guided{
			{"logs.CreateLogStream", `{"logGroupName":"SampleLogGroupName","logStreamName":"s"}`, true},
			{"logs.DescribeLogStreams", `{"logGroupName":"SampleLogGroupName"}`, true},
			{"logs.PutLogEvents", `{"logGroupName":"Other","logStreamName":"s","logEvents":[]}`, false},
			{"logs.DeleteLogStream", `{"logGroupName":"SampleLogGroupName","logStreamName":"s"}`, false},
		},
	},
	{
		name: "reading repositories", source: "Amazon ECR User Guide, Amazon Elastic Container Registry identity-based policy examples",
		doc: document(allow("ecr:GetAuthorizationToken ecr:BatchCheckLayerAvailability ecr:GetDownloadUrlForLayer ecr:GetRepositoryPolicy ecr:DescribeRepositories "+
			"ecr:ListImages ecr:DescribeImages ecr:BatchGetImage ecr:GetLifecyclePolicy ecr:ListTagsForResource ecr:DescribeImageScanFindings", "*")),
		calls: []guided{
			{"ecr.GetAuthorizationToken", `{}`, true},
			{"ecr.BatchGetImage", `{"repositoryName":"any","imageIds":[]}`, true},
			{"ecr.DescribeRepositories", `{}`, true},
			{"ecr.PutImage", `{"repositoryName":"any","imageManifest":"{}"}`, false},
		},
	},
	{
		name: "one repository", source: "Amazon ECR User Guide, Amazon Elastic Container Registry identity-based policy examples",
		doc: document(allow("ecr:ListImages", "~ecr:repository/my-repo"), allow("ecr:GetAuthorizationToken", "*"),
			allow("ecr:BatchCheckLayerAvailability ecr:GetDownloadUrlForLayer ecr:GetRepositoryPolicy ecr:DescribeRepositories ecr:ListImages ecr:DescribeImages "+
				"ecr:BatchGetImage ecr:InitiateLayerUpload ecr:UploadLayerPart ecr:CompleteLayerUpload ecr:PutImage", "~ecr:repository/my-repo")),
		calls: []guided{
			{"ecr.GetAuthorizationToken", `{}`, true},
			{"ecr.PutImage", `{"repositoryName":"my-repo","imageManifest":"{}"}`, true},
			{"ecr.DescribeRepositories", `{"repositoryNames":["my-repo"]}`, true},
			{"ecr.DescribeRepositories", `{}`, false},
			{"ecr.ListImages", `{"repositoryName":"other"}`, false},
			{"ecr.DeleteRepository", `{"repositoryName":"my-repo"}`, false},
		},
	},
}
