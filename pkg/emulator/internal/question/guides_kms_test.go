package question_test

const (
	keysPage  = "AWS Key Management Service Developer Guide, AWS KMS condition keys"
	signingID = "22222222-2222-3333-4444-555555555555"
)

var keyGuides = []guide{
	{
		name: "a context for all operations", source: keysPage + ", kms:EncryptionContext:context-key",
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
		name: "grants of one operation", source: keysPage + ", kms:GrantOperations",
		doc: document(allowIf("kms:CreateGrant", "*", `{"ForAllValues:StringEquals":{"kms:GrantOperations":["Encrypt","RetireGrant"]}}`)),
		calls: []guided{
			{"kms.CreateGrant", `{"KeyId":"` + keyID + `","GranteePrincipal":"x","Operations":["Encrypt"]}`, true},
			{"kms.CreateGrant", `{"KeyId":"` + keyID + `","GranteePrincipal":"x","Operations":["Encrypt","Decrypt"]}`, false},
		},
	},
	{
		name: "no bypass of the lockout check", source: keysPage + ", kms:BypassPolicyLockoutSafetyCheck",
		doc: document(allow("kms:*", "*"), denyIf("kms:CreateKey kms:PutKeyPolicy", "*", `{"Bool":{"kms:BypassPolicyLockoutSafetyCheck":true}}`)),
		calls: []guided{
			{"kms.CreateKey", `{}`, true},
			{"kms.CreateKey", `{"BypassPolicyLockoutSafetyCheck":true}`, false},
			{"kms.PutKeyPolicy", `{"KeyId":"` + keyID + `","Policy":"{}","BypassPolicyLockoutSafetyCheck":false}`, true},
			{"kms.PutKeyPolicy", `{"KeyId":"` + keyID + `","Policy":"{}","BypassPolicyLockoutSafetyCheck":true}`, false},
		},
	},
	{
		name: "no mention of the lockout check", source: keysPage + ", kms:BypassPolicyLockoutSafetyCheck",
		doc: document(allowIf("kms:PutKeyPolicy", "*", `{"Null":{"kms:BypassPolicyLockoutSafetyCheck":true}}`)),
		calls: []guided{
			{"kms.PutKeyPolicy", `{"KeyId":"` + keyID + `","Policy":"{}"}`, true},
			{"kms.PutKeyPolicy", `{"KeyId":"` + keyID + `","Policy":"{}","BypassPolicyLockoutSafetyCheck":true}`, false},
		},
	},
	{
		name: "callers of an account through a service", source: keysPage + ", kms:CallerAccount",
		doc: document(allow("sqs:SendMessage", "*"), allowIf("kms:Decrypt kms:GenerateDataKey*", "*", `{"StringEquals":{"kms:CallerAccount":"123456789012","kms:ViaService":"sqs.us-east-1.amazonaws.com"}}`)),
		calls: []guided{
			{"sqs.SendMessage", `{"QueueUrl":"http://x/123456789012/sealed","MessageBody":"m"}`, true},
			{"kms.GenerateDataKey", `{"KeyId":"` + keyID + `","KeySpec":"AES_256"}`, false},
		},
	},
	{
		name: "callers of another account", source: keysPage + ", kms:CallerAccount",
		doc: document(allowIf("kms:*", "*", `{"StringEquals":{"kms:CallerAccount":"111122223333"}}`)),
		calls: []guided{
			{"kms.Encrypt", `{"KeyId":"` + keyID + `"}`, false},
		},
	},
	{
		name: "deprecated names", source: keysPage + ", kms:CustomerMasterKeySpec and kms:CustomerMasterKeyUsage",
		doc: document(allowIf("kms:*", "*", `{"StringLike":{"kms:CustomerMasterKeySpec":"RSA_*"},"StringEquals":{"kms:CustomerMasterKeyUsage":"SIGN_VERIFY"}}`)),
		calls: []guided{
			{"kms.CreateKey", `{"KeySpec":"RSA_2048","KeyUsage":"SIGN_VERIFY"}`, true},
			{"kms.CreateKey", `{"CustomerMasterKeySpec":"RSA_2048","KeyUsage":"SIGN_VERIFY"}`, true},
			{"kms.CreateKey", `{"KeyUsage":"SIGN_VERIFY"}`, false},
			{"kms.CreateKey", `{"KeySpec":"RSA_2048"}`, false},
			{"kms.GetPublicKey", `{"KeyId":"` + signingID + `"}`, true},
			{"kms.GetPublicKey", `{"KeyId":"` + keyID + `"}`, false},
		},
	},
	{
		name: "data key pairs of RSA", source: keysPage + ", kms:DataKeyPairSpec",
		doc: document(allowIf("kms:GenerateDataKeyPair kms:GenerateDataKeyPairWithoutPlaintext", "*", `{"StringLike":{"kms:DataKeyPairSpec":"RSA*"}}`)),
		calls: []guided{
			{"kms.GenerateDataKeyPair", `{"KeyId":"` + keyID + `","KeyPairSpec":"RSA_3072"}`, true},
			{"kms.GenerateDataKeyPairWithoutPlaintext", `{"KeyId":"` + keyID + `","KeyPairSpec":"RSA_2048"}`, true},
			{"kms.GenerateDataKeyPair", `{"KeyId":"` + keyID + `","KeyPairSpec":"ECC_NIST_P256"}`, false},
		},
	},
	{
		name: "one algorithm", source: keysPage + ", kms:EncryptionAlgorithm",
		doc: document(allow("kms:*", "*"), denyIf("kms:Encrypt kms:Decrypt kms:ReEncrypt*", "*", `{"StringNotEquals":{"kms:EncryptionAlgorithm":"RSAES_OAEP_SHA_256"}}`)),
		calls: []guided{
			{"kms.Encrypt", `{"KeyId":"` + keyID + `","EncryptionAlgorithm":"RSAES_OAEP_SHA_256"}`, true},
			{"kms.Encrypt", `{"KeyId":"` + keyID + `","EncryptionAlgorithm":"RSAES_OAEP_SHA_1"}`, false},
			{"kms.Encrypt", `{"KeyId":"` + keyID + `"}`, false},
			{"kms.Decrypt", `{"KeyId":"` + keyID + `","EncryptionAlgorithm":"RSAES_OAEP_SHA_256"}`, true},
		},
	},
	{
		name: "symmetric algorithms", source: keysPage + ", kms:EncryptionAlgorithm",
		doc: document(allow("kms:*", "*"), denyIf("kms:Encrypt kms:Decrypt kms:ReEncrypt* kms:GenerateDataKey*", "~kms:key/*", `{"StringNotEquals":{"kms:EncryptionAlgorithm":"SYMMETRIC_DEFAULT"}}`)),
		calls: []guided{
			{"kms.Encrypt", `{"KeyId":"` + keyID + `"}`, true},
			{"kms.GenerateDataKey", `{"KeyId":"` + keyID + `","KeySpec":"AES_256"}`, true},
			{"kms.GenerateDataKeyPair", `{"KeyId":"` + keyID + `","KeyPairSpec":"RSA_2048"}`, true},
			{"kms.ReEncrypt", `{"SourceKeyId":"` + keyID + `","DestinationKeyId":"` + keyID + `"}`, true},
			{"kms.ReEncrypt", `{"SourceKeyId":"` + keyID + `","DestinationKeyId":"` + keyID + `","DestinationEncryptionAlgorithm":"RSAES_OAEP_SHA_1"}`, false},
			{"kms.Encrypt", `{"KeyId":"` + keyID + `","EncryptionAlgorithm":"RSAES_OAEP_SHA_1"}`, false},
		},
	},
	{
		name: "a pair of the context", source: keysPage + ", kms:EncryptionContext:context-key",
		doc: document(allowIf("kms:GenerateDataKey", "*", `{"StringEquals":{"kms:EncryptionContext:AppName":"ExampleApp"}}`)),
		calls: []guided{
			{"kms.GenerateDataKey", `{"KeyId":"` + keyID + `","EncryptionContext":{"AppName":"ExampleApp","more":"x"}}`, true},
			{"kms.GenerateDataKey", `{"KeyId":"` + keyID + `","EncryptionContext":{"appname":"ExampleApp"}}`, true},
			{"kms.GenerateDataKey", `{"KeyId":"` + keyID + `","EncryptionContext":{"AppName":"exampleapp"}}`, false},
			{"kms.GenerateDataKey", `{"KeyId":"` + keyID + `"}`, false},
		},
	},
	{
		name: "a pair of the context and no other", source: keysPage + ", kms:EncryptionContext:context-key",
		doc: document(allowIf("kms:GenerateDataKey", "*", `{"StringEquals":{"kms:EncryptionContext:AppName":"ExampleApp"},"ForAllValues:StringEquals":{"kms:EncryptionContextKeys":["AppName"]}}`)),
		calls: []guided{
			{"kms.GenerateDataKey", `{"KeyId":"` + keyID + `","EncryptionContext":{"AppName":"ExampleApp"}}`, true},
			{"kms.GenerateDataKey", `{"KeyId":"` + keyID + `","EncryptionContext":{"AppName":"ExampleApp","more":"x"}}`, false},
			{"kms.GenerateDataKey", `{"KeyId":"` + keyID + `"}`, false},
		},
	},
	{
		name: "no restricted stage", source: keysPage + ", kms:EncryptionContext:context-key",
		doc: document(allow("kms:GenerateDataKey", "*"), denyIf("kms:GenerateDataKey", "*", `{"StringEquals":{"kms:EncryptionContext:Stage":["Restricted","Production"]}}`)),
		calls: []guided{
			{"kms.GenerateDataKey", `{"KeyId":"` + keyID + `","EncryptionContext":{"Stage":"Test"}}`, true},
			{"kms.GenerateDataKey", `{"KeyId":"` + keyID + `"}`, true},
			{"kms.GenerateDataKey", `{"KeyId":"` + keyID + `","EncryptionContext":{"Stage":"Restricted"}}`, false},
			{"kms.GenerateDataKey", `{"KeyId":"` + keyID + `","EncryptionContext":{"Stage":"Production","a":"b"}}`, false},
		},
	},
	{
		name: "two pairs", source: keysPage + ", kms:EncryptionContext:context-key",
		doc: document(allowIf("kms:Encrypt", "*", `{"StringEquals":{"kms:EncryptionContext:Department":"IT","kms:EncryptionContext:Project":"Alpha"}}`)),
		calls: []guided{
			{"kms.Encrypt", `{"KeyId":"` + keyID + `","EncryptionContext":{"Department":"IT","Project":"Alpha","a":"b"}}`, true},
			{"kms.Encrypt", `{"KeyId":"` + keyID + `","EncryptionContext":{"Department":"IT"}}`, false},
		},
	},
	{
		name: "one of two pairs", source: keysPage + ", kms:EncryptionContext:context-key",
		doc: document(allowIf("kms:GenerateDataKey", "*", `{"StringEquals":{"kms:EncryptionContext:Department":"IT"}}`),
			allowIf("kms:GenerateDataKey", "*", `{"StringEquals":{"kms:EncryptionContext:Project":"Alpha"}}`)),
		calls: []guided{
			{"kms.GenerateDataKey", `{"KeyId":"` + keyID + `","EncryptionContext":{"Department":"IT"}}`, true},
			{"kms.GenerateDataKey", `{"KeyId":"` + keyID + `","EncryptionContext":{"Project":"Alpha","Department":"HR"}}`, true},
			{"kms.GenerateDataKey", `{"KeyId":"` + keyID + `","EncryptionContext":{"Department":"HR"}}`, false},
		},
	},
	{
		name: "two pairs and no other", source: keysPage + ", kms:EncryptionContext:context-key",
		doc: document(allowIf("kms:GenerateDataKey", "*", `{"StringEquals":{"kms:EncryptionContext:Department":"IT","kms:EncryptionContext:Project":"Alpha"},
			"ForAllValues:StringEquals":{"kms:EncryptionContextKeys":["Department","Project"]}}`)),
		calls: []guided{
			{"kms.GenerateDataKey", `{"KeyId":"` + keyID + `","EncryptionContext":{"Department":"IT","Project":"Alpha"}}`, true},
			{"kms.GenerateDataKey", `{"KeyId":"` + keyID + `","EncryptionContext":{"Department":"IT","Project":"Alpha","a":"b"}}`, false},
			{"kms.GenerateDataKey", `{"KeyId":"` + keyID + `","EncryptionContext":{"Department":"IT"}}`, false},
		},
	},
	{
		name: "the case of a pair", source: keysPage + ", kms:EncryptionContext:context-key",
		doc: document(allowIf("kms:GenerateDataKey", "*", `{"ForAnyValue:StringEquals":{"kms:EncryptionContextKeys":"AppName"},"StringEquals":{"kms:EncryptionContext:AppName":"ExampleApp"}}`)),
		calls: []guided{
			{"kms.GenerateDataKey", `{"KeyId":"` + keyID + `","EncryptionContext":{"AppName":"ExampleApp"}}`, true},
			{"kms.GenerateDataKey", `{"KeyId":"` + keyID + `","EncryptionContext":{"Appname":"ExampleApp"}}`, false},
		},
	},
	{
		name: "the caller's pair", source: keysPage + ", kms:EncryptionContext:context-key",
		doc: document(allowIf("kms:Decrypt kms:Encrypt", "*", `{"StringEquals":{"kms:EncryptionContext:user":"${aws:PrincipalTag/team}"}}`)),
		calls: []guided{
			{"kms.Encrypt", `{"KeyId":"` + keyID + `","EncryptionContext":{"user":"red"}}`, true},
			{"kms.Decrypt", `{"KeyId":"` + keyID + `","EncryptionContext":{"user":"red"}}`, true},
			{"kms.Encrypt", `{"KeyId":"` + keyID + `","EncryptionContext":{"user":"blue"}}`, false},
		},
	},
	{
		name: "a key of the context", source: keysPage + ", kms:EncryptionContextKeys",
		doc: document(allowIf("kms:Encrypt kms:GenerateDataKey*", "*", `{"ForAnyValue:StringEquals":{"kms:EncryptionContextKeys":"AppName"}}`)),
		calls: []guided{
			{"kms.GenerateDataKey", `{"KeyId":"` + keyID + `","EncryptionContext":{"AppName":"Helper","Project":"Alpha"}}`, true},
			{"kms.GenerateDataKey", `{"KeyId":"` + keyID + `","EncryptionContext":{"Project":"Alpha"}}`, false},
			{"kms.Encrypt", `{"KeyId":"` + keyID + `"}`, false},
		},
	},
	{
		name: "any context", source: keysPage + ", kms:EncryptionContextKeys",
		doc: document(allowIf("kms:Encrypt kms:GenerateDataKey*", "*", `{"Null":{"kms:EncryptionContextKeys":false}}`)),
		calls: []guided{
			{"kms.Encrypt", `{"KeyId":"` + keyID + `","EncryptionContext":{"a":"b"}}`, true},
			{"kms.Encrypt", `{"KeyId":"` + keyID + `","EncryptionContext":{}}`, false},
			{"kms.Encrypt", `{"KeyId":"` + keyID + `"}`, false},
		},
	},
	{
		name: "key material for ever", source: keysPage + ", kms:ExpirationModel",
		doc: document(allowIf("kms:ImportKeyMaterial", "*", `{"StringEquals":{"kms:ExpirationModel":"KEY_MATERIAL_DOES_NOT_EXPIRE"}}`)),
		calls: []guided{
			{"kms.ImportKeyMaterial", `{"KeyId":"` + keyID + `","ExpirationModel":"KEY_MATERIAL_DOES_NOT_EXPIRE"}`, true},
			{"kms.ImportKeyMaterial", `{"KeyId":"` + keyID + `","ExpirationModel":"KEY_MATERIAL_EXPIRES","ValidTo":1546257599}`, false},
			{"kms.ImportKeyMaterial", `{"KeyId":"` + keyID + `","ValidTo":1546257599}`, false},
		},
	},
	{
		name: "key material that expires", source: keysPage + ", kms:ExpirationModel",
		doc: document(allowIf("kms:ImportKeyMaterial", "*", `{"Null":{"kms:ExpirationModel":true}}`)),
		calls: []guided{
			{"kms.ImportKeyMaterial", `{"KeyId":"` + keyID + `","ValidTo":1546257599}`, true},
			{"kms.ImportKeyMaterial", `{"KeyId":"` + keyID + `","ExpirationModel":"KEY_MATERIAL_DOES_NOT_EXPIRE"}`, false},
		},
	},
	{
		name: "grants with a constraint", source: keysPage + ", kms:GrantConstraintType",
		doc: document(allowIf("kms:CreateGrant", "*", `{"StringEquals":{"kms:GrantConstraintType":"EncryptionContextEquals"}}`)),
		calls: []guided{
			{"kms.CreateGrant", `{"KeyId":"` + keyID + `","GranteePrincipal":"arn:aws:iam::123456789012:role/LimitedAdminRole","Operations":["Encrypt"],"Constraints":{"EncryptionContextEquals":{"a":"b"}}}`, true},
			{"kms.CreateGrant", `{"KeyId":"` + keyID + `","GranteePrincipal":"arn:aws:iam::123456789012:role/LimitedAdminRole","Operations":["Encrypt"],"Constraints":{"EncryptionContextSubset":{"a":"b"}}}`, false},
			{"kms.CreateGrant", `{"KeyId":"` + keyID + `","GranteePrincipal":"arn:aws:iam::123456789012:role/LimitedAdminRole","Operations":["Encrypt"]}`, false},
		},
	},
	{
		name: "grants for services", source: keysPage + ", kms:GrantIsForAWSResource",
		doc: document(allow("dynamodb:CreateTable kms:DescribeKey", "*"), allowIf("kms:CreateGrant", "*", `{"Bool":{"kms:GrantIsForAWSResource":true}}`)),
		calls: []guided{
			{"dynamodb.CreateTable", `{"TableName":"Cart","SSESpecification":{"Enabled":true,"SSEType":"KMS","KMSMasterKeyId":"` + keyID + `"}}`, true},
			{"kms.CreateGrant", `{"KeyId":"` + keyID + `","GranteePrincipal":"arn:aws:iam::123456789012:role/LimitedAdminRole","Operations":["Encrypt"]}`, false},
		},
	},
	{
		name: "grants of two operations", source: keysPage + ", kms:GrantOperations",
		doc: document(allowIf("kms:CreateGrant", "*", `{"ForAllValues:StringEquals":{"kms:GrantOperations":["Encrypt","ReEncryptTo"]}}`)),
		calls: []guided{
			{"kms.CreateGrant", `{"KeyId":"` + keyID + `","GranteePrincipal":"arn:aws:iam::123456789012:role/LimitedAdminRole","Operations":["Encrypt"]}`, true},
			{"kms.CreateGrant", `{"KeyId":"` + keyID + `","GranteePrincipal":"x","Operations":["Encrypt","ReEncryptTo"]}`, true},
			{"kms.CreateGrant", `{"KeyId":"` + keyID + `","GranteePrincipal":"x","Operations":["Encrypt","Decrypt"]}`, false},
		},
	},
	{
		name: "grants of one of two operations", source: keysPage + ", kms:GrantOperations",
		doc: document(allowIf("kms:CreateGrant", "*", `{"ForAnyValue:StringEquals":{"kms:GrantOperations":["Encrypt","ReEncryptTo"]}}`)),
		calls: []guided{
			{"kms.CreateGrant", `{"KeyId":"` + keyID + `","GranteePrincipal":"x","Operations":["Encrypt","Decrypt"]}`, true},
			{"kms.CreateGrant", `{"KeyId":"` + keyID + `","GranteePrincipal":"x","Operations":["Decrypt"]}`, false},
		},
	},
	{
		name: "grants to one role", source: keysPage + ", kms:GranteePrincipal",
		doc: document(allowIf("kms:CreateGrant", "*", `{"StringEquals":{"kms:GranteePrincipal":"arn:aws:iam::123456789012:role/LimitedAdminRole"}}`)),
		calls: []guided{
			{"kms.CreateGrant", `{"KeyId":"` + keyID + `","GranteePrincipal":"arn:aws:iam::123456789012:role/LimitedAdminRole","Operations":["Encrypt"]}`, true},
			{"kms.CreateGrant", `{"KeyId":"` + keyID + `","GranteePrincipal":"arn:aws:iam::123456789012:role/other","Operations":["Encrypt"]}`, false},
		},
	},
	{
		name: "grants that some retire", source: keysPage + ", kms:RetiringPrincipal",
		doc: document(allowIf("kms:CreateGrant", "*", `{"StringEquals":{"kms:RetiringPrincipal":["arn:aws:iam::123456789012:role/LimitedAdminRole","arn:aws:iam::123456789012:user/OpsAdmin"]}}`)),
		calls: []guided{
			{"kms.CreateGrant", `{"KeyId":"` + keyID + `","GranteePrincipal":"arn:aws:iam::123456789012:role/LimitedAdminRole","Operations":["Encrypt"],"RetiringPrincipal":"arn:aws:iam::123456789012:user/OpsAdmin"}`, true},
			{"kms.CreateGrant", `{"KeyId":"` + keyID + `","GranteePrincipal":"arn:aws:iam::123456789012:role/LimitedAdminRole","Operations":["Encrypt"],"RetiringPrincipal":"arn:aws:iam::123456789012:user/other"}`, false},
			{"kms.CreateGrant", `{"KeyId":"` + keyID + `","GranteePrincipal":"arn:aws:iam::123456789012:role/LimitedAdminRole","Operations":["Encrypt"]}`, false},
		},
	},
	{
		name: "the origin of keys", source: keysPage + ", kms:KeyOrigin",
		doc: document(allowIf("kms:CreateKey", "*", `{"StringEquals":{"kms:KeyOrigin":"AWS_KMS"}}`),
			allowIf("kms:Encrypt kms:Decrypt kms:GenerateDataKey kms:ReEncrypt*", "~kms:key/*", `{"StringEquals":{"kms:KeyOrigin":"AWS_CLOUDHSM"}}`)),
		calls: []guided{
			{"kms.CreateKey", `{}`, true},
			{"kms.CreateKey", `{"Origin":"EXTERNAL"}`, false},
			{"kms.Encrypt", `{"KeyId":"` + signingID + `"}`, true},
			{"kms.Encrypt", `{"KeyId":"` + keyID + `"}`, false},
		},
	},
	{
		name: "new keys of RSA", source: keysPage + ", kms:KeySpec",
		doc: document(allowIf("kms:CreateKey", "*", `{"StringLike":{"kms:KeySpec":"RSA_*"}}`)),
		calls: []guided{
			{"kms.CreateKey", `{"KeySpec":"RSA_4096"}`, true},
			{"kms.CreateKey", `{"CustomerMasterKeySpec":"RSA_4096"}`, true},
			{"kms.CreateKey", `{"KeySpec":"ECC_NIST_P256"}`, false},
			{"kms.CreateKey", `{}`, false},
		},
	},
	{
		name: "symmetric keys", source: keysPage + ", kms:KeySpec",
		doc: document(allowIf("kms:Encrypt kms:Decrypt kms:ReEncrypt* kms:DescribeKey", "~kms:key/*", `{"StringEquals":{"kms:KeySpec":"SYMMETRIC_DEFAULT"}}`)),
		calls: []guided{
			{"kms.Encrypt", `{"KeyId":"` + keyID + `"}`, true},
			{"kms.DescribeKey", `{"KeyId":"` + keyID + `"}`, true},
			{"kms.DescribeKey", `{"KeyId":"` + signingID + `"}`, false},
		},
	},
	{
		name: "new keys for encryption", source: keysPage + ", kms:KeyUsage",
		doc: document(allowIf("kms:CreateKey", "*", `{"StringEquals":{"kms:KeyUsage":"ENCRYPT_DECRYPT"}}`)),
		calls: []guided{
			{"kms.CreateKey", `{}`, true},
			{"kms.CreateKey", `{"KeyUsage":"SIGN_VERIFY","KeySpec":"RSA_4096"}`, false},
		},
	},
	{
		name: "keys for signatures", source: keysPage + ", kms:KeyUsage",
		doc: document(allowIf("kms:CreateGrant kms:DescribeKey kms:GetPublicKey kms:ScheduleKeyDeletion", "~kms:key/*", `{"StringEquals":{"kms:KeyUsage":"SIGN_VERIFY"}}`)),
		calls: []guided{
			{"kms.GetPublicKey", `{"KeyId":"` + signingID + `"}`, true},
			{"kms.ScheduleKeyDeletion", `{"KeyId":"` + signingID + `"}`, true},
			{"kms.ScheduleKeyDeletion", `{"KeyId":"` + keyID + `"}`, false},
		},
	},
	{
		name: "algorithms for codes", source: keysPage + ", kms:MacAlgorithm",
		doc: document(allowIf("kms:GenerateMac kms:VerifyMac", "*", `{"StringEquals":{"kms:MacAlgorithm":"HMAC_SHA_384"}}`),
			allowIf("kms:GenerateMac kms:VerifyMac", "*", `{"StringEquals":{"kms:MacAlgorithm":"HMAC_SHA_512"}}`)),
		calls: []guided{
			{"kms.GenerateMac", `{"KeyId":"` + keyID + `","MacAlgorithm":"HMAC_SHA_384","Message":"eA=="}`, true},
			{"kms.VerifyMac", `{"KeyId":"` + keyID + `","MacAlgorithm":"HMAC_SHA_512","Message":"eA==","Mac":"eA=="}`, true},
			{"kms.GenerateMac", `{"KeyId":"` + keyID + `","MacAlgorithm":"HMAC_SHA_256","Message":"eA=="}`, false},
		},
	},
	{
		name: "messages, no digests", source: keysPage + ", kms:MessageType",
		doc: document(allowIf("kms:Sign", "*", `{"StringEquals":{"kms:MessageType":"RAW"}}`)),
		calls: []guided{
			{"kms.Sign", `{"KeyId":"` + signingID + `","Message":"eA==","SigningAlgorithm":"RSASSA_PSS_SHA_256"}`, true},
			{"kms.Sign", `{"KeyId":"` + signingID + `","Message":"eA==","MessageType":"RAW","SigningAlgorithm":"RSASSA_PSS_SHA_256"}`, true},
			{"kms.Sign", `{"KeyId":"` + signingID + `","Message":"eA==","MessageType":"DIGEST","SigningAlgorithm":"RSASSA_PSS_SHA_256"}`, false},
		},
	},
	{
		name: "keys of one region", source: keysPage + ", kms:MultiRegion",
		doc: document(allowIf("kms:CreateKey", "*", `{"Bool":{"kms:MultiRegion":false}}`)),
		calls: []guided{
			{"kms.CreateKey", `{}`, true},
			{"kms.CreateKey", `{"MultiRegion":false}`, true},
			{"kms.CreateKey", `{"MultiRegion":true}`, false},
		},
	},
	{
		name: "replicas", source: keysPage + ", kms:MultiRegionKeyType",
		doc: document(allowIf("kms:ScheduleKeyDeletion kms:CancelKeyDeletion", "arn:aws:kms:*:123456789012:key/*", `{"StringEquals":{"kms:MultiRegionKeyType":"REPLICA"}}`),
			allowIf("kms:CreateKey", "*", `{"StringEquals":{"kms:MultiRegionKeyType":["PRIMARY","REPLICA"]}}`)),
		calls: []guided{
			{"kms.ScheduleKeyDeletion", `{"KeyId":"` + signingID + `"}`, true},
			{"kms.ScheduleKeyDeletion", `{"KeyId":"` + keyID + `"}`, false},
			{"kms.CreateKey", `{"MultiRegion":true}`, true},
			{"kms.CreateKey", `{}`, false},
		},
	},
	{
		name: "regions of primary keys", source: keysPage + ", kms:PrimaryRegion",
		doc: document(allowIf("kms:UpdatePrimaryRegion", "*", `{"StringEquals":{"kms:PrimaryRegion":["us-east-1","us-west-2","eu-west-3","ap-southeast-2"]}}`)),
		calls: []guided{
			{"kms.UpdatePrimaryRegion", `{"KeyId":"` + keyID + `","PrimaryRegion":"eu-west-3"}`, true},
			{"kms.UpdatePrimaryRegion", `{"KeyId":"` + keyID + `","PrimaryRegion":"eu-west-1"}`, false},
		},
	},
	{
		name: "regions of replicas", source: keysPage + ", kms:ReplicaRegion",
		doc: document(allowIf("kms:ReplicateKey", "*", `{"StringEquals":{"kms:ReplicaRegion":["us-east-1","eu-west-3","ap-southeast-2"]}}`)),
		calls: []guided{
			{"kms.ReplicateKey", `{"KeyId":"` + keyID + `","ReplicaRegion":"eu-west-3"}`, true},
			{"kms.ReplicateKey", `{"KeyId":"` + keyID + `","ReplicaRegion":"eu-west-1"}`, false},
		},
	},
	{
		name: "the same key", source: keysPage + ", kms:ReEncryptOnSameKey",
		doc: document(allowIf("kms:ReEncrypt*", "*", `{"Bool":{"kms:ReEncryptOnSameKey":true}}`)),
		calls: []guided{
			{"kms.ReEncrypt", `{"SourceKeyId":"` + keyID + `","DestinationKeyId":"alias/k"}`, true},
			{"kms.ReEncrypt", `{"SourceKeyId":"` + keyID + `","DestinationKeyId":"` + signingID + `"}`, false},
		},
	},
	{
		name: "an alias in the request", source: keysPage + ", kms:RequestAlias",
		doc: document(allowIf("kms:GenerateDataKey", "*", `{"StringEquals":{"kms:RequestAlias":"alias/k"}}`)),
		calls: []guided{
			{"kms.GenerateDataKey", `{"KeyId":"alias/k","KeySpec":"AES_256"}`, true},
			{"kms.GenerateDataKey", `{"KeyId":"~kms:alias/k","KeySpec":"AES_256"}`, true},
			{"kms.GenerateDataKey", `{"KeyId":"` + keyID + `","KeySpec":"AES_256"}`, false},
		},
	},
	{
		name: "an alias of the key", source: keysPage + ", kms:ResourceAliases",
		doc: document(allowIf("kms:GenerateDataKey", "arn:aws:kms:*:123456789012:key/*", `{"ForAnyValue:StringEquals":{"kms:ResourceAliases":"alias/finance-key"}}`)),
		calls: []guided{
			{"kms.GenerateDataKey", `{"KeyId":"` + keyID + `","KeySpec":"AES_256"}`, true},
			{"kms.GenerateDataKey", `{"KeyId":"alias/k","KeySpec":"AES_256"}`, true},
			{"kms.GenerateDataKey", `{"KeyId":"` + signingID + `","KeySpec":"AES_256"}`, false},
		},
	},
	{
		name: "aliases for tests only", source: keysPage + ", kms:ResourceAliases",
		doc: document(allowIf("kms:EnableKey kms:DisableKey", "arn:aws:kms:*:123456789012:key/*", `{"ForAllValues:StringLike":{"kms:ResourceAliases":["alias/*Test*"]},
			"ForAnyValue:StringLike":{"kms:ResourceAliases":["alias/*Test*"]}}`)),
		calls: []guided{
			{"kms.EnableKey", `{"KeyId":"` + signingID + `"}`, true},
			{"kms.EnableKey", `{"KeyId":"` + keyID + `"}`, false},
			{"kms.DisableKey", `{"KeyId":"33333333-2222-3333-4444-555555555555"}`, false},
		},
	},
	{
		name: "a short wait for deletion", source: keysPage + ", kms:ScheduleKeyDeletionPendingWindowInDays",
		doc: document(allow("kms:ScheduleKeyDeletion", "*"), denyIf("kms:ScheduleKeyDeletion", "*", `{"NumericLessThanEquals":{"kms:ScheduleKeyDeletionPendingWindowInDays":"21"}}`)),
		calls: []guided{
			{"kms.ScheduleKeyDeletion", `{"KeyId":"` + keyID + `","PendingWindowInDays":22}`, true},
			{"kms.ScheduleKeyDeletion", `{"KeyId":"` + keyID + `"}`, true},
			{"kms.ScheduleKeyDeletion", `{"KeyId":"` + keyID + `","PendingWindowInDays":21}`, false},
		},
	},
	{
		name: "algorithms for signatures", source: keysPage + ", kms:SigningAlgorithm",
		doc: document(allowIf("kms:Sign", "*", `{"StringLike":{"kms:SigningAlgorithm":"RSASSA_PSS*"}}`)),
		calls: []guided{
			{"kms.Sign", `{"KeyId":"` + signingID + `","Message":"eA==","SigningAlgorithm":"RSASSA_PSS_SHA_512"}`, true},
			{"kms.Sign", `{"KeyId":"` + signingID + `","Message":"eA==","SigningAlgorithm":"RSASSA_PKCS1_V1_5_SHA_512"}`, false},
		},
	},
	{
		name: "key material until a day", source: keysPage + ", kms:ValidTo",
		doc: document(allowIf("kms:ImportKeyMaterial", "*", `{"NumericLessThanEquals":{"kms:ValidTo":"1546257599.0"}}`)),
		calls: []guided{
			{"kms.ImportKeyMaterial", `{"KeyId":"` + keyID + `","ValidTo":1546257599}`, true},
			{"kms.ImportKeyMaterial", `{"KeyId":"` + keyID + `","ValidTo":1546257600}`, false},
			{"kms.ImportKeyMaterial", `{"KeyId":"` + keyID + `","ExpirationModel":"KEY_MATERIAL_DOES_NOT_EXPIRE"}`, false},
		},
	},
	{
		name: "through services", source: keysPage + ", kms:ViaService",
		doc: document(allow("sqs:SendMessage sqs:ReceiveMessage", "*"),
			allowIf("kms:Decrypt kms:GenerateDataKey*", "*", `{"StringEquals":{"kms:ViaService":["sqs.us-east-1.amazonaws.com","rds.us-east-1.amazonaws.com"]}}`)),
		calls: []guided{
			{"sqs.ReceiveMessage", `{"QueueUrl":"http://x/123456789012/sealed"}`, true},
			{"kms.Decrypt", `{"KeyId":"` + keyID + `"}`, false},
			{"kms.GenerateDataKey", `{"KeyId":"` + keyID + `","KeySpec":"AES_256"}`, false},
		},
	},
	{
		name: "not through a service", source: keysPage + ", kms:ViaService",
		doc: document(allow("sqs:SendMessage kms:*", "*"), denyIf("kms:GenerateDataKey", "*", `{"StringEquals":{"kms:ViaService":["sqs.us-east-1.amazonaws.com"]}}`)),
		calls: []guided{
			{"kms.GenerateDataKey", `{"KeyId":"` + keyID + `","KeySpec":"AES_256"}`, true},
			{"sqs.SendMessage", `{"QueueUrl":"http://x/123456789012/sealed","MessageBody":"m"}`, false},
		},
	},
	{
		name: "wrapping algorithms", source: keysPage + ", kms:WrappingAlgorithm",
		doc: document(allow("kms:GetParametersForImport", "*"), denyIf("kms:GetParametersForImport", "*", `{"StringEquals":{"kms:WrappingAlgorithm":"RSAES_OAEP_SHA_1"}}`)),
		calls: []guided{
			{"kms.GetParametersForImport", `{"KeyId":"` + keyID + `","WrappingAlgorithm":"RSAES_OAEP_SHA_256","WrappingKeySpec":"RSA_2048"}`, true},
			{"kms.GetParametersForImport", `{"KeyId":"` + keyID + `","WrappingAlgorithm":"RSAES_OAEP_SHA_1","WrappingKeySpec":"RSA_2048"}`, false},
		},
	},
	{
		name: "wrapping keys", source: keysPage + ", kms:WrappingKeySpec",
		doc: document(allow("kms:GetParametersForImport", "*"), denyIf("kms:GetParametersForImport", "*", `{"StringNotEquals":{"kms:WrappingKeySpec":"RSA_4096"}}`)),
		calls: []guided{
			{"kms.GetParametersForImport", `{"KeyId":"` + keyID + `","WrappingAlgorithm":"RSAES_OAEP_SHA_256","WrappingKeySpec":"RSA_4096"}`, true},
			{"kms.GetParametersForImport", `{"KeyId":"` + keyID + `","WrappingAlgorithm":"RSAES_OAEP_SHA_256","WrappingKeySpec":"RSA_2048"}`, false},
		},
	},
}
