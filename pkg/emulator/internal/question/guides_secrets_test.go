package question_test

const (
	secretPolicies    = "AWS Secrets Manager User Guide, Permissions policy examples"
	parameterPolicies = "AWS Systems Manager User Guide, Restricting access to Parameter Store parameters using IAM policies"
)

var secretPolicyGuides = []guide{
	{
		name: "one secret", source: secretPolicies,
		doc: document(allow("secretsmanager:GetSecretValue", secret)),
		calls: []guided{
			{"secretsmanager.GetSecretValue", `{"SecretId":"app"}`, true},
			{"secretsmanager.GetSecretValue", `{"SecretId":"~secretsmanager:secret:app-Xy12Za"}`, true},
			{"secretsmanager.GetSecretValue", `{"SecretId":"~secretsmanager:secret:other-Xy12Za"}`, false},
			{"secretsmanager.DescribeSecret", `{"SecretId":"app"}`, false},
		},
	},
	{
		name: "secrets below a path", source: secretPolicies,
		doc: document(allow("secretsmanager:GetSecretValue", "~secretsmanager:secret:TestEnv/*")),
		calls: []guided{
			{"secretsmanager.GetSecretValue", `{"SecretId":"~secretsmanager:secret:TestEnv/db-Xy12Za"}`, true},
			{"secretsmanager.GetSecretValue", `{"SecretId":"app"}`, false},
		},
	},
	{
		name: "descriptions of secrets", source: secretPolicies,
		doc: document(allow("secretsmanager:DescribeSecret secretsmanager:List*", "*")),
		calls: []guided{
			{"secretsmanager.DescribeSecret", `{"SecretId":"app"}`, true},
			{"secretsmanager.ListSecrets", `{}`, true},
			{"secretsmanager.ListSecretVersionIds", `{"SecretId":"app"}`, true},
			{"secretsmanager.GetSecretValue", `{"SecretId":"app"}`, false},
		},
	},
	{
		name: "secrets by name", source: secretPolicies,
		doc: document(allow("secretsmanager:*", "~secretsmanager:secret:a_specific_secret_name-a1b2c3 ~secretsmanager:secret:another_secret_name-??????")),
		calls: []guided{
			{"secretsmanager.GetSecretValue", `{"SecretId":"~secretsmanager:secret:a_specific_secret_name-a1b2c3"}`, true},
			{"secretsmanager.CreateSecret", `{"Name":"another_secret_name","SecretString":"s"}`, true},
			{"secretsmanager.PutSecretValue", `{"SecretId":"~secretsmanager:secret:another_secret_name-Xy12Za","SecretString":"s"}`, true},
			{"secretsmanager.CreateSecret", `{"Name":"a_specific_secret_name","SecretString":"s"}`, false},
			{"secretsmanager.GetSecretValue", `{"SecretId":"~secretsmanager:secret:another_secret_name-more-Xy12Za"}`, false},
		},
	},
	{
		name: "new secrets", source: secretPolicies,
		doc: document(allow("secretsmanager:CreateSecret secretsmanager:ListSecrets", "*")),
		calls: []guided{
			{"secretsmanager.CreateSecret", `{"Name":"n","SecretString":"s"}`, true},
			{"secretsmanager.CreateSecret", `{"Name":"n","SecretString":"s","Tags":[{"Key":"a","Value":"b"}]}`, false},
			{"secretsmanager.DeleteSecret", `{"SecretId":"app"}`, false},
		},
	},
	{
		name: "secrets with a tag", source: secretPolicies,
		doc: document(allowIf("secretsmanager:DescribeSecret", "*", `{"StringEquals":{"secretsmanager:ResourceTag/ServerName":"ServerABC"}}`)),
		calls: []guided{
			{"secretsmanager.DescribeSecret", `{"SecretId":"app"}`, true},
			{"secretsmanager.DescribeSecret", `{"SecretId":"~secretsmanager:secret:other-Xy12Za"}`, false},
		},
	},
	{
		name: "secrets with the caller's tag", source: secretPolicies,
		doc: document(allowIf("secretsmanager:GetSecretValue", "*", `{"StringEquals":{"aws:ResourceTag/AccessProject":"${ aws:PrincipalTag/team }"}}`)),
		calls: []guided{
			{"secretsmanager.GetSecretValue", `{"SecretId":"app"}`, true},
			{"secretsmanager.GetSecretValue", `{"SecretId":"~secretsmanager:secret:other-Xy12Za"}`, false},
		},
	},
	{
		name: "parameters by prefix", source: parameterPolicies,
		doc: document(allow("ssm:DescribeParameters", "*"), allow("ssm:GetParameters", "~ssm:parameter/prod-*")),
		calls: []guided{
			{"ssm.DescribeParameters", `{}`, true},
			{"ssm.GetParameters", `{"Names":["prod-a","prod-b"]}`, true},
			{"ssm.GetParameters", `{"Names":["prod-a","dev-b"]}`, false},
			{"ssm.GetParameter", `{"Name":"prod-a"}`, false},
		},
	},
	{
		name: "all of some parameters", source: parameterPolicies,
		doc: document(allow("ssm:PutParameter ssm:DeleteParameter ssm:GetParameterHistory ssm:GetParametersByPath ssm:GetParameters ssm:GetParameter ssm:DeleteParameters",
			"~ssm:parameter/dbserver-prod-*"), allow("ssm:DescribeParameters", "*")),
		calls: []guided{
			{"ssm.PutParameter", `{"Name":"dbserver-prod-x","Value":"v","Type":"String"}`, true},
			{"ssm.DeleteParameters", `{"Names":["dbserver-prod-x","/dbserver-prod-y"]}`, true},
			{"ssm.DeleteParameters", `{"Names":["dbserver-prod-x","dbserver-dev-y"]}`, false},
			{"ssm.LabelParameterVersion", `{"Name":"dbserver-prod-x","Labels":["l"]}`, false},
		},
	},
	{
		name: "parameters and their key", source: parameterPolicies,
		doc: document(allow("ssm:GetParameters", "~ssm:parameter/prod-*"), allow("kms:Decrypt", keyARN)),
		calls: []guided{
			{"ssm.GetParameters", `{"Names":["prod-a"],"WithDecryption":true}`, true},
			{"ssm.GetParameters", `{"Names":["prod-sealed"],"WithDecryption":true}`, true},
			{"ssm.GetParameters", `{"Names":["prod-other"],"WithDecryption":true}`, false},
		},
	},
	{
		name: "parameters with a tag", source: parameterPolicies,
		doc: document(allowIf("ssm:GetParameters ssm:GetParameter ssm:GetParameterHistory", "*", `{"StringLike":{"ssm:resourceTag/Environment":["Prod"]}}`)),
		calls: []guided{
			{"ssm.GetParameter", `{"Name":"tagged"}`, true},
			{"ssm.GetParameter", `{"Name":"untagged"}`, false},
			{"ssm.GetParameters", `{"Names":["tagged","untagged"]}`, false},
			{"ssm.DeleteParameter", `{"Name":"tagged"}`, false},
		},
	},
	{
		name: "parameters with two tags", source: parameterPolicies,
		doc: document(allowIf("ssm:GetParameters", "*", `{"StringLike":{"ssm:resourceTag/Environment":["Prod"],"ssm:resourceTag/Team":["A"]}}`)),
		calls: []guided{
			{"ssm.GetParameters", `{"Names":["tagged"]}`, true},
			{"ssm.GetParameters", `{"Names":["half"]}`, false},
		},
	},
	{
		name: "parameters with one of two values", source: parameterPolicies,
		doc: document(allowIf("ssm:GetParameters", "*", `{"ForAnyValue:StringLike":{"ssm:resourceTag/Environment":["Prod","Test"]}}`)),
		calls: []guided{
			{"ssm.GetParameters", `{"Names":["half"]}`, true},
			{"ssm.GetParameters", `{"Names":["untagged"]}`, false},
		},
	},
}
