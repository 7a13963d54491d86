package question

import (
	"context"
	"slices"
	"strings"

	"github.com/openirsa/openirsa/internal/awsapi"
	"github.com/openirsa/openirsa/pkg/policy"
)

// What services do with a customer's KMS key on behalf of a caller, whose permissions
// they use for it ("Forward access sessions" in the IAM User Guide, and of each service
// the page on encryption at rest). Keys of AWS, with an alias below alias/aws/, let in
// everybody of the account who may use the service, so nothing is asked about those.

// dataOf are the operations of a service on what is encrypted, and the actions of KMS
// that they take.
type dataOf struct {
	// actions are those of KMS, with spaces between them, by operation.
	actions map[string]string
	// member names the key in a call that chooses one; "" is none.
	member string
	// context is the encryption context, in which $R is the resource.
	context map[string]string
	// resource is the resource that is encrypted, from one that was asked about; nil
	// is that itself.
	resource func(arn string) string
	// applies reports whether a call is about what is encrypted; nil is any.
	applies func(a *asker) bool
}

const (
	encrypts = "GenerateDataKey Decrypt"
	decrypts = "Decrypt"
)

// onBehalf are the services that use keys so, by the prefix of their actions.
var onBehalf = map[string]dataOf{
	// SQS Developer Guide, "Configuring KMS permissions".
	"sqs": {
		actions: map[string]string{"SendMessage": encrypts, "SendMessageBatch": encrypts, "ReceiveMessage": decrypts},
		context: map[string]string{"aws:sqs:arn": "$R"},
	},
	// SNS Developer Guide, "Managing Amazon SNS encryption keys and costs".
	"sns": {
		actions: map[string]string{"Publish": encrypts, "PublishBatch": encrypts},
		context: map[string]string{"aws:sns:topicArn": "$R"},
	},
	// Secrets Manager User Guide, "Permissions for the KMS key".
	"secretsmanager": {
		actions: map[string]string{
			"GetSecretValue": decrypts, "BatchGetSecretValue": decrypts,
			"CreateSecret": encrypts, "PutSecretValue": encrypts, "UpdateSecret": encrypts,
		},
		member: "KmsKeyId", context: map[string]string{"SecretARN": "$R", "SecretVersionId": ""},
		applies: func(a *asker) bool {
			hasValue := a.Input["SecretString"] != nil || a.Input["SecretBinary"] != nil
			switch a.Operation {
			case "CreateSecret":
				return hasValue
			case "UpdateSecret":
				return hasValue || str(a.Input, "KmsKeyId") != ""
			}
			return true
		},
	},
	// Systems Manager User Guide, "AWS KMS encryption for AWS Systems Manager Parameter
	// Store SecureString parameters".
	"ssm": {
		actions: map[string]string{
			"GetParameter": decrypts, "GetParameters": decrypts, "GetParameterHistory": decrypts, "PutParameter": "Encrypt",
		},
		member: "KeyId", context: map[string]string{"PARAMETER_ARN": "$R"},
		applies: func(a *asker) bool {
			if a.Operation == "PutParameter" {
				return str(a.Input, "Type") == "SecureString"
			}
			on, _ := text(a.Input["WithDecryption"])
			return on == "true"
		},
	},
	// DynamoDB Developer Guide, "How DynamoDB uses AWS KMS".
	"dynamodb": {
		actions: map[string]string{
			"GetItem": decrypts, "BatchGetItem": decrypts, "Query": decrypts, "Scan": decrypts, "PutItem": decrypts, "UpdateItem": decrypts,
			"DeleteItem": decrypts, "BatchWriteItem": decrypts, "TransactGetItems": decrypts, "TransactWriteItems": decrypts,
			"ExecuteStatement": decrypts, "BatchExecuteStatement": decrypts, "ExecuteTransaction": decrypts,
			"CreateTable": "DescribeKey CreateGrant", "UpdateTable": "DescribeKey CreateGrant",
		},
		member: "SSESpecification.KMSMasterKeyId", context: map[string]string{"aws:dynamodb:tableName": "$N", "aws:dynamodb:subscriberId": "$A"},
		resource: func(arn string) string {
			table, _, _ := strings.Cut(arn, "/index/")
			return table
		},
		applies: func(a *asker) bool {
			return !strings.HasSuffix(a.Operation, "Table") || str(a.Input, "SSESpecification.KMSMasterKeyId") != ""
		},
	},
	// Kinesis Data Streams Developer Guide, "Permissions to use user-generated KMS keys".
	"kinesis": {
		actions: map[string]string{"PutRecord": "GenerateDataKey", "PutRecords": "GenerateDataKey", "GetRecords": decrypts},
		context: map[string]string{"aws:kinesis:arn": "$R"},
	},
}

// askKeys asks for what a call does with the keys by which its resources are encrypted.
func (a *asker) askKeys() {
	data, known := onBehalf[a.prefix]
	actions := data.actions[a.Operation]
	if !known || actions == "" || data.applies != nil && !data.applies(a) {
		return
	}
	given := ""
	if data.member != "" {
		given = str(a.Input, data.member)
	}
	asked := map[string]bool{}
	for _, main := range slices.Clone(a.out) {
		r, ok := parseARN(main.Resource)
		if !ok || r.service != a.prefix || !main.Known && given == "" {
			continue
		}
		arn := main.Resource
		if data.resource != nil {
			arn = data.resource(arn)
		}
		if asked[arn] {
			continue
		}
		asked[arn] = true
		id := given
		if id == "" {
			found, ok := a.find(Fact{Kind: EncryptionKey, Region: r.region, Account: r.account, Name: arn})
			if !ok || found.Text == "" {
				continue
			}
			id = found.Text
		}
		if t, customers := a.customerKey(id); customers {
			a.askKey(&main, t, data.context, arn, actions)
		}
	}
}

// KeyUse is what S3 does with a key of KMS on behalf of a caller.
type KeyUse struct {
	Key     string // as S3 names it
	ARN     string // of the object that is encrypted, or of its bucket, for the encryption context
	Actions string // of KMS, with spaces between them
}

// S3Keys are the questions about a use of a key by S3 ("Encryption context" in the Amazon
// S3 User Guide). Of the call region, account and partition are needed.
func S3Keys(ctx context.Context, call *Call, world World, use KeyUse) ([]Question, error) {
	named := *call
	named.Model = awsapi.ByName("s3")
	a := newAsker(ctx, &named, world)
	if t, customers := a.customerKey(use.Key); customers {
		a.askKey(&Question{Known: true}, t, map[string]string{"aws:s3:arn": "$R"}, use.ARN, use.Actions)
	}
	if len(a.out) > 0 {
		a.out[0].Warnings = append(a.out[0].Warnings, a.warnings...)
	}
	return a.out, a.fault(ctx)
}

// askKey asks for actions on a key on behalf of the caller of a question.
func (a *asker) askKey(main *Question, t target, pairs map[string]string, arn, actions string) {
	for action := range strings.FieldsSeq(actions) {
		before := len(a.out)
		a.add("kms:"+action, t, 0)
		if len(a.out) == before {
			return
		}
		q := &a.out[before]
		q.plain, q.Via, q.Item = false, a.prefix, main.Item
		ViaKeys(&q.Keys, a.prefix, a.Region, a.Account)
		a.setKeyProperties(q)
		r, _ := parseARN(arn)
		var names []string
		for _, name := range sortedPairs(pairs) {
			names = append(names, name)
			last := r.resource[strings.LastIndexByte(r.resource, '/')+1:]
			value := strings.NewReplacer("$R", arn, "$A", r.account, "$N", last).Replace(pairs[name])
			if value != "" && main.Known {
				q.Keys.Set("kms:EncryptionContext:"+name, value)
			}
		}
		q.Keys.SetMulti("kms:EncryptionContextKeys", names...)
		switch action {
		case "CreateGrant":
			q.Keys.Set("kms:GrantIsForAWSResource", "true")
		case "DescribeKey":
		default:
			q.Keys.Set("kms:EncryptionAlgorithm", "SYMMETRIC_DEFAULT")
		}
		a.tag(q, "aws:ResourceTag/")
	}
}

// ViaKeys sets the condition keys of a request that a service makes to KMS with the
// permissions of a caller.
func ViaKeys(keys *policy.Context, service, region, account string) {
	principal := service + ".amazonaws.com"
	keys.Set("kms:ViaService", service+"."+region+".amazonaws.com")
	keys.Set("kms:CallerAccount", account)
	keys.Set("aws:ViaAWSService", "true")
	keys.SetMulti("aws:CalledVia", principal)
	keys.Set("aws:CalledViaFirst", principal)
	keys.Set("aws:CalledViaLast", principal)
}

// customerKey is the key by a name that a service has for it, if it is a customer's.
func (a *asker) customerKey(id string) (t target, customers bool) {
	if strings.Contains(id, "alias/aws/") || strings.HasPrefix(id, "aws/") {
		return target{}, false
	}
	name, region, account := id, a.Region, a.Account
	s, is := parseARN(id)
	if is {
		name, region, account = strings.TrimPrefix(s.resource, "key/"), s.region, s.account
	}
	if strings.HasPrefix(name, "alias/") {
		known, ok := a.find(Fact{Kind: KeyOfAlias, Region: region, Account: account, Name: name})
		if !ok || known.Text == "" {
			a.warn("the key of %s is not known", name)
			sample := "arn:" + a.Partition + ":kms:" + region + ":" + account + ":key/" + sampleUUID
			return target{arn: sample, spelled: id, unknown: true}, true
		}
		id, is = known.Text, true
	} else {
		known, ok := a.find(Fact{Kind: KeyByID, Region: region, Account: account, Name: name})
		if ok && slices.Contains(known.List, AWSManaged) {
			return target{}, false
		}
	}
	if !is {
		id = "arn:" + a.Partition + ":kms:" + region + ":" + account + ":key/" + name
	}
	return target{arn: id}, true
}
