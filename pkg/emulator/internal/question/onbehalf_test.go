package question_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/openirsa/openirsa/pkg/emulator/internal/question"
)

// What services do with a customer's key on the caller's behalf (the pages in onbehalf.go).
func TestOnBehalf(t *testing.T) {
	const managed = "99999999-2222-3333-4444-555555555555"
	encrypted := func(arn, key string) question.Known { return question.Known{Text: key} }
	w := world()
	for _, arn := range []string{"~sqs:mail", "~sns:news", "~dynamodb:table/Cart", "~ssm:parameter/svc/db", "~kinesis:stream/clicks", secret} {
		w.Facts[question.Fact{Kind: question.EncryptionKey, Name: expand(arn)}] = encrypted(arn, keyARN)
	}
	w.Facts[question.Fact{Kind: question.EncryptionKey, Name: expand("~sqs:alias")}] = question.Known{Text: "alias/k"}
	w.Facts[question.Fact{Kind: question.EncryptionKey, Name: expand("~sqs:id")}] = question.Known{Text: keyID}
	w.Facts[question.Fact{Kind: question.EncryptionKey, Name: expand("~sqs:aws")}] = question.Known{Text: "alias/aws/sqs"}
	w.Facts[question.Fact{Kind: question.EncryptionKey, Name: expand("~sqs:managed")}] = question.Known{Text: expand("~kms:key/" + managed)}
	w.Facts[question.Fact{Kind: question.KeyByID, Name: managed}] = question.Known{Text: expand("~kms:key/" + managed), List: []string{question.AWSManaged}}
	for name, test := range map[string]struct {
		operation, input string
		want             string // actions on the key, with spaces between them
		via, context     string // the service, and a key and value of the encryption context
	}{
		"a message":        {"sqs.SendMessage", `{"QueueUrl":"http://x/123456789012/mail"}`, "GenerateDataKey Decrypt", "sqs", "aws:sqs:arn=~sqs:mail"},
		"messages":         {"sqs.SendMessageBatch", `{"QueueUrl":"http://x/123456789012/mail"}`, "GenerateDataKey Decrypt", "sqs", "aws:sqs:arn=~sqs:mail"},
		"reading them":     {"sqs.ReceiveMessage", `{"QueueUrl":"http://x/123456789012/mail"}`, "Decrypt", "sqs", "aws:sqs:arn=~sqs:mail"},
		"deleting one":     {"sqs.DeleteMessage", `{"QueueUrl":"http://x/123456789012/mail"}`, "", "", ""},
		"by alias":         {"sqs.ReceiveMessage", `{"QueueUrl":"http://x/123456789012/alias"}`, "Decrypt", "sqs", "aws:sqs:arn=~sqs:alias"},
		"by id":            {"sqs.ReceiveMessage", `{"QueueUrl":"http://x/123456789012/id"}`, "Decrypt", "sqs", "aws:sqs:arn=~sqs:id"},
		"AWS's key":        {"sqs.ReceiveMessage", `{"QueueUrl":"http://x/123456789012/aws"}`, "", "", ""},
		"AWS's key, by id": {"sqs.ReceiveMessage", `{"QueueUrl":"http://x/123456789012/managed"}`, "", "", ""},
		"no key":           {"sqs.ReceiveMessage", `{"QueueUrl":"http://x/123456789012/plain"}`, "", "", ""},
		"a notification":   {"sns.Publish", `{"TopicArn":"~sns:news"}`, "GenerateDataKey Decrypt", "sns", "aws:sns:topicArn=~sns:news"},
		"a secret":         {"secretsmanager.GetSecretValue", `{"SecretId":"app"}`, "Decrypt", "secretsmanager", "SecretARN=" + secret},
		"a new secret":     {"secretsmanager.CreateSecret", `{"Name":"n","SecretString":"s","KmsKeyId":"alias/k"}`, "GenerateDataKey Decrypt", "secretsmanager", ""},
		"an empty one":     {"secretsmanager.CreateSecret", `{"Name":"n","KmsKeyId":"alias/k"}`, "", "", ""},
		"another key":      {"secretsmanager.UpdateSecret", `{"SecretId":"app","KmsKeyId":"alias/k"}`, "GenerateDataKey Decrypt", "secretsmanager", "SecretARN=" + secret},
		"another text":     {"secretsmanager.UpdateSecret", `{"SecretId":"app","Description":"d"}`, "", "", ""},
		"a parameter":      {"ssm.GetParameter", `{"Name":"/svc/db","WithDecryption":true}`, "Decrypt", "ssm", "PARAMETER_ARN=~ssm:parameter/svc/db"},
		"encrypted":        {"ssm.GetParameter", `{"Name":"/svc/db"}`, "", "", ""},
		"a new parameter":  {"ssm.PutParameter", `{"Name":"/svc/x","Value":"v","Type":"SecureString","KeyId":"alias/k"}`, "Encrypt", "ssm", "PARAMETER_ARN=~ssm:parameter/svc/x"},
		"a plain one":      {"ssm.PutParameter", `{"Name":"/svc/db","Value":"v","Type":"String"}`, "", "", ""},
		"an item":          {"dynamodb.GetItem", `{"TableName":"Cart","Key":{"id":{"S":"7"}}}`, "Decrypt", "dynamodb", "aws:dynamodb:tableName=Cart"},
		"by an index":      {"dynamodb.Query", `{"TableName":"Cart","IndexName":"byUser"}`, "Decrypt", "dynamodb", "aws:dynamodb:tableName=Cart"},
		"the table itself": {"dynamodb.DescribeTable", `{"TableName":"Cart"}`, "", "", ""},
		"a new table": {"dynamodb.CreateTable", `{"TableName":"New","SSESpecification":{"Enabled":true,"SSEType":"KMS","KMSMasterKeyId":"alias/k"}}`,
			"DescribeKey CreateGrant", "dynamodb", "aws:dynamodb:tableName=New"},
		"a record": {"kinesis.PutRecord", `{"StreamName":"clicks","Data":"eA==","PartitionKey":"p"}`, "GenerateDataKey", "kinesis", "aws:kinesis:arn=~kinesis:stream/clicks"},
	} {
		var got []string
		for _, q := range ask(t, call(t, test.operation, test.input), w) {
			action, is := strings.CutPrefix(q.Action, "kms:")
			if !is {
				continue
			}
			got = append(got, action)
			value := func(key string) string {
				values, _ := q.Keys.Values(key)
				return strings.Join(values, ",")
			}
			service := test.via + ".amazonaws.com"
			if q.Resource != keyARN || q.Via != test.via || value("kms:ViaService") != test.via+".us-east-1.amazonaws.com" || value("aws:CalledVia") != service ||
				value("aws:CalledViaFirst") != service || value("aws:CalledViaLast") != service || value("aws:ViaAWSService") != "true" || value("kms:CallerAccount") != account {
				t.Errorf("%s: %s on %s, keys %v", name, q.Action, q.Resource, q.Keys.Keys())
			}
			if key, want, _ := strings.Cut(test.context, "="); key != "" && value("kms:EncryptionContext:"+key) != expand(want) {
				t.Errorf("%s: the context is %q", name, value("kms:EncryptionContext:"+key))
			}
		}
		if !slices.Equal(got, strings.Fields(test.want)) {
			t.Errorf("%s asks for %q, want %s", name, got, test.want)
		}
	}
	// Of a batch each secret is a part of its own, and its key belongs to that part.
	questions := ask(t, call(t, "secretsmanager.BatchGetSecretValue", `{"SecretIdList":["app"]}`), w)
	if last := questions[len(questions)-1]; last.Action != "kms:Decrypt" || last.Item != "app" {
		t.Errorf("of a batch: %s of %q", last.Action, last.Item)
	}
}
