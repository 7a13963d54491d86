package question_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/openirsa/openirsa/pkg/emulator/internal/question"
)

// A call is sent as the account that has what it names.
func TestOwner(t *testing.T) {
	const other, third = "999988887777", "111122223333"
	arn := func(of, resource string) string {
		service, name, _ := strings.Cut(resource, ":")
		return "arn:aws:" + service + ":" + region + ":" + of + ":" + name
	}
	for _, c := range []struct {
		name, operation, input string
		want                   string // "" is an error
	}{
		{"a name", "dynamodb.GetItem", `{"TableName":"T"}`, account},
		{"the other's table", "dynamodb.GetItem", `{"TableName":"` + arn(other, "dynamodb:table/T") + `"}`, other},
		{"the other's queue", "sqs.SendMessage", `{"QueueUrl":"http://h/` + other + `/mail"}`, other},
		{"what the other has by name", "sqs.GetQueueUrl", `{"QueueName":"mail","QueueOwnerAWSAccountId":"` + other + `"}`, other},
		{"no resource", "sqs.ListQueues", `{}`, account},
		{"a resource of no account", "route53.GetHostedZone", `{"Id":"Z1"}`, account},
		{"a batch of the other's", "dynamodb.BatchGetItem", `{"RequestItems":{"` + arn(other, "dynamodb:table/T") + `":{},"` + arn(other, "dynamodb:table/U") + `":{}}}`, other},
		{"a batch of both", "dynamodb.BatchGetItem", `{"RequestItems":{"` + arn(other, "dynamodb:table/T") + `":{},"U":{}}}`, ""},
		{"a batch of two others", "dynamodb.BatchGetItem", `{"RequestItems":{"` + arn(other, "dynamodb:table/T") + `":{},"` + arn(third, "dynamodb:table/T") + `":{}}}`, ""},
		{"a transaction of both", "dynamodb.TransactWriteItems", `{"TransactItems":[{"Put":{"TableName":"T"}},{"Delete":{"TableName":"` + arn(other, "dynamodb:table/T") + `"}}]}`, ""},
		{"two keys", "kms.ReEncrypt", `{"SourceKeyId":"` + keyARN + `","DestinationKeyId":"` + arn(other, "kms:key/"+keyID) + `"}`, ""},
		{"another's layer", "lambda.UpdateFunctionConfiguration", `{"FunctionName":"f","Layers":["` + arn(other, "lambda:layer:l:1") + `","` + arn(third, "lambda:layer:l:1") + `"]}`, account},
		{"another's function with an own layer", "lambda.UpdateFunctionConfiguration", `{"FunctionName":"` + arn(other, "lambda:function:f") + `","Layers":["` + arn(account, "lambda:layer:l:1") + `"]}`, ""},
		{"a role besides", "lambda.UpdateFunctionConfiguration", `{"FunctionName":"` + arn(other, "lambda:function:f") + `","Role":"arn:aws:iam::` + account + `:role/r"}`, other},
		{"a copy of another's", "rds.CopyDBSnapshot", `{"SourceDBSnapshotIdentifier":"` + arn(other, "rds:snapshot:s") + `","TargetDBSnapshotIdentifier":"t"}`, account},
		{"an unknown operation's", "secretsmanager.GetSecretValue", `{"SecretId":"not known"}`, account},
	} {
		a := call(t, c.operation, c.input)
		got, err := question.Owner(a, ask(t, a, world()))
		if got != c.want || (err == nil) != (c.want != "") || err != nil && !errors.Is(err, question.ErrAccounts) {
			t.Errorf("%s: %q, %v, want %q", c.name, got, err, c.want)
		}
	}
}
