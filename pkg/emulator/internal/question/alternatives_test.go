package question_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/openirsa/openirsa/pkg/emulator/internal/question"
)

// What has the form of no queue's URL, or is of another region, is refused as SQS does.
func TestQueueURL(t *testing.T) {
	for address, want := range map[string]string{
		"http://h/123456789012/mine":                              "~sqs:mine",
		"https://h:4566/123456789012/mine.fifo":                   "~sqs:mine.fifo",
		"http://[::1]:4566/999988887777/mine":                     "arn:aws:sqs:us-east-1:999988887777:mine",
		"mine":                                                    "~sqs:mine",
		"http://h/queue/us-east-1/999988887777/mine":              "arn:aws:sqs:us-east-1:999988887777:mine",
		"http://h/queue/mine":                                     "~sqs:mine",
		"https://sqs.us-east-1.amazonaws.com/123456789012/mine":   "~sqs:mine",
		"https://us-east-1.queue.amazonaws.com/123456789012/mine": "~sqs:mine",
		"https://queue.amazonaws.com/123456789012/mine":           "~sqs:mine",
		"http://sqs.test.svc:4566/123456789012/mine":              "~sqs:mine",

		"http://h/123456789012/mine?/x/secret":                                 "",
		"http://h/123456789012/mine?x":                                         "",
		"http://h/123456789012/mine#/secret":                                   "",
		"http://h/123456789012/mine%2Fsecret":                                  "",
		"http://h/123456789012/%6dine":                                         "",
		"mine%2Fsecret":                                                        "",
		"mine?/secret":                                                         "",
		"http://u:p@h/123456789012/mine":                                       "",
		"http://h/123456789012/mine/":                                          "",
		"http://h/123456789012/":                                               "",
		"http://h":                                                             "",
		"http://hmine":                                                         "",
		"http://h/123456789012/../mine":                                        "",
		"http://h/123456789012/mine secret":                                    "",
		"http://h/123456789012/mine\\secret":                                   "",
		"http://h/123456789012/mine:secret":                                    "",
		"ftp://h/123456789012/mine":                                            "",
		"//h/123456789012/mine":                                                "",
		"arn:aws:sqs:us-east-1:123456789012:mine":                              "",
		"http://h/123456789012/mine\n":                                         "",
		"http://h/123456789012/" + strings.Repeat("m", 81):                     "",
		"https://sqs.eu-west-1.amazonaws.com/123456789012/mine":                "",
		"https://vpce-1.sqs.eu-west-1.vpce.amazonaws.com/123456789012/mine":    "",
		"https://eu-west-1.queue.localhost.localstack.cloud/123456789012/mine": "",
		"http://h/queue/eu-west-1/123456789012/mine":                           "",
	} {
		c := call(t, "sqs.SendMessage", "")
		c.Input = map[string]any{"QueueUrl": address}
		questions, err := question.Questions(t.Context(), c, nil)
		refused, is := errors.AsType[*question.Refusal](err)
		switch {
		case want != "" && err == nil:
			wantShown(t, questions, "sqs:SendMessage "+want)
		case want != "" || !is:
			t.Errorf("%s: %v, %v", address, shown(questions), err)
		case refused.Status != http.StatusNotFound || refused.Code != "InvalidAddress" || !strings.HasSuffix(refused.Message, " is not valid for this endpoint."):
			t.Errorf("%s: %+v", address, refused)
		}
	}
	for _, value := range []any{nil, 1.0, []any{"http://h/123456789012/mine"}, ""} {
		c := call(t, "sqs.SendMessage", "")
		c.Input = map[string]any{"QueueUrl": value}
		if questions, err := question.Questions(t.Context(), c, nil); err == nil {
			t.Errorf("%v: %v", value, shown(questions))
		}
	}
	c := call(t, "sqs.SendMessage", "")
	c.Path = "/123456789012/mine/"
	wantShown(t, ask(t, c, nil), "sqs:SendMessage ~sqs:mine")
}

// Of members of which AWS wants one, all are asked about: backends differ in which of them
// counts.
func TestAlternatives(t *testing.T) {
	w := world()
	w.Facts[question.Fact{Kind: question.GrantKey, Name: "token"}] = question.Known{Text: expand("~kms:key/granted")}
	w.Facts[question.Fact{Kind: question.ChangeSetStack, Name: expand("~cloudformation:changeSet/c/1")}] = question.Known{
		Text: expand("~cloudformation:stack/other/2"),
	}
	for _, c := range []struct{ operation, input, want string }{
		{"sns.Publish", `{"TopicArn":"~sns:mine","TargetArn":"~sns:other"}`, "~sns:mine ~sns:other"},
		{"sns.Publish", `{"TopicArn":"~sns:mine","TargetArn":"~sns:endpoint/GCM/a/b"}`, "~sns:mine *"},
		{"sns.Publish", `{"TopicArn":"~sns:mine","PhoneNumber":"+15555550100"}`, "* ~sns:mine"},
		{"kinesis.PutRecord", `{"StreamARN":"~kinesis:stream/mine","StreamName":"other"}`, "~kinesis:stream/mine ~kinesis:stream/other"},
		{"kinesis.PutRecord", `{"StreamARN":"~kinesis:stream/mine","StreamName":"mine"}`, "~kinesis:stream/mine"},
		{"kinesis.GetRecords", `{"StreamARN":"~kinesis:stream/mine","ShardIterator":"iterator-1"}`, "~kinesis:stream/clicks ~kinesis:stream/mine"},
		{"kinesis.GetRecords", `{"StreamARN":"~kinesis:stream/mine","ShardIterator":"new"}`, "~kinesis:stream/* ~kinesis:stream/mine"},
		{"kinesis.DescribeStreamConsumer", `{"ConsumerARN":"~kinesis:stream/mine/consumer/c:1","StreamARN":"~kinesis:stream/other","ConsumerName":"d"}`,
			"~kinesis:stream/mine/consumer/c:1 ~kinesis:stream/other"},
		{"kinesisvideo.DescribeStream", `{"StreamARN":"~kinesisvideo:stream/mine/1","StreamName":"other"}`,
			"~kinesisvideo:stream/mine/1 ~kinesisvideo:stream/other/*"},
		{"logs.GetLogEvents", `{"logGroupName":"mine","logGroupIdentifier":"~logs:log-group:other","logStreamName":"s"}`,
			"~logs:log-group:mine:log-stream:s ~logs:log-group:other:log-stream:s"},
		{"logs.FilterLogEvents", `{"logGroupName":"mine","logGroupIdentifier":"~logs:log-group:other:*"}`, "~logs:log-group:mine ~logs:log-group:other"},
		{"stepfunctions.ListExecutions", `{"mapRunArn":"~states:mapRun:mine/r:1","stateMachineArn":"~states:stateMachine:other"}`,
			"~states:mapRun:mine/r:1 ~states:stateMachine:other"},
		{"stepfunctions.ListExecutions", `{"stateMachineArn":"~states:stateMachine:mine:1"}`, "~states:stateMachine:mine"},
		{"stepfunctions.CreateStateMachineAlias", `{"routingConfiguration":[{"stateMachineVersionArn":"~states:stateMachine:mine:1"},
			{"stateMachineVersionArn":"~states:stateMachine:other:1"}]}`, "~states:stateMachine:mine ~states:stateMachine:other"},
		{"dynamodb.RestoreTableToPointInTime", `{"TargetTableName":"T","SourceTableArn":"~dynamodb:table/mine","SourceTableName":"other"}`,
			"~dynamodb:table/T ~dynamodb:table/mine ~dynamodb:table/other"},
		{"cloudformation.ExecuteChangeSet", `{"StackName":"mine","ChangeSetName":"~cloudformation:changeSet/c/1"}`,
			"~cloudformation:stack/mine/* ~cloudformation:stack/other/2"},
		{"cloudformation.ExecuteChangeSet", `{"StackName":"mine","ChangeSetName":"~cloudformation:changeSet/unknown/1"}`,
			"~cloudformation:stack/mine/* ~cloudformation:stack/*/*"},
		{"cloudformation.ExecuteChangeSet", `{"StackName":"mine","ChangeSetName":"c"}`, "~cloudformation:stack/mine/*"},
		{"cloudformation.DescribeStackResources", `{"StackName":"mine","PhysicalResourceId":"i-1"}`, "~cloudformation:stack/mine/* ~cloudformation:stack/*/*"},
		{"cloudformation.DescribeStackResources", `{}`, "~cloudformation:stack/*/*"},
		{"kms.RetireGrant", `{"KeyId":"` + keyID + `","GrantToken":"token"}`, keyARN + " ~kms:key/granted"},
		{"kms.RetireGrant", `{"KeyId":"` + keyID + `","GrantToken":"unknown"}`, keyARN + " ~kms:key/*"},
		{"kms.RetireGrant", `{"KeyId":"` + keyID + `","GrantId":"id"}`, keyARN},
		{"lambda.Invoke", `{"FunctionName":"mine:blue","Qualifier":"green"}`, "~lambda:function:mine:blue ~lambda:function:mine:green"},
		{"ssm.CreateAssociation", `{"Name":"d","InstanceId":"i-1","Targets":[{"Key":"InstanceIds","Values":["i-2"]}]}`,
			"~ssm:association/* ~ssm:document/d ~ec2:instance/i-1 ~ec2:instance/i-2"},
		{"ssm.DescribeAssociation", `{"AssociationId":"a","Name":"d","InstanceId":"i-1"}`, "~ssm:association/a ~ssm:document/d ~ec2:instance/i-1"},
		{"ssm.DescribeAssociation", `{"AssociationId":"a"}`, "~ssm:association/a"},
		{"athena.ListNamedQueries", `{"WorkGroup":"mine"}`, "~athena:workgroup/mine"},
		{"eks.DescribeUpdate", `{"name":"c","updateId":"u","nodegroupName":"n","addonName":"a"}`, "~eks:nodegroup/c/n/* ~eks:addon/c/a/*"},
		{"ses.SendEmail", `{"Source":"A <a@x.org>","SourceArn":"arn:aws:ses:us-east-1:999988887777:identity/x.org"}`,
			"arn:aws:ses:us-east-1:999988887777:identity/x.org"},
		{"ses.SendEmail", `{"Source":"a@x.org","SourceArn":"~ses:identity/mine.org"}`, "~ses:identity/mine.org ~ses:identity/x.org"},
		{"sesv2.SendEmail", `{"FromEmailAddress":"a@x.org","Content":{"Template":{"TemplateName":"t","TemplateArn":"~ses:template/other"}}}`,
			"~ses:identity/x.org ~ses:template/t ~ses:template/other"},
		{"ec2.AuthorizeSecurityGroupIngress", `{"GroupId":"sg-1","GroupName":"other"}`, "~ec2:security-group/sg-1 ~ec2:security-group/*"},
		{"ec2.CreateSecurityGroup", `{"GroupName":"new","VpcId":"vpc-1"}`, "~ec2:security-group/* ~ec2:vpc/vpc-1"},
		{"ec2.ReleaseAddress", `{"AllocationId":"eipalloc-1","PublicIp":"192.0.2.1"}`, "~ec2:elastic-ip/eipalloc-1 ~ec2:elastic-ip/*"},
		{"ec2.DeleteKeyPair", `{"KeyName":"mine","KeyPairId":"key-1"}`, "~ec2:key-pair/mine ~ec2:key-pair/*"},
		{"ec2.DeleteLaunchTemplate", `{"LaunchTemplateId":"lt-1","LaunchTemplateName":"other"}`, "~ec2:launch-template/lt-1 ~ec2:launch-template/*"},
		{"ec2.StopInstances", `{"InstanceIds":["i-1","i-Custom","vol-1"]}`, "~ec2:instance/i-1 ~ec2:instance/i-Custom ~ec2:instance/vol-1"},
	} {
		got := map[string]bool{}
		for _, line := range shown(ask(t, call(t, c.operation, c.input), w)) {
			_, resource, _ := strings.Cut(line, " ")
			got[resource] = true
		}
		want := strings.Fields(expand(c.want))
		for _, resource := range want {
			if !got[resource] {
				t.Errorf("%s %s does not ask about %s, but %v", c.operation, c.input, resource, got)
			}
		}
		if len(got) != len(want) {
			t.Errorf("%s %s asks about %v", c.operation, c.input, got)
		}
	}
}

// A name that is another one for who cuts it is refused, though a policy for names that
// begin so has it.
func TestForms(t *testing.T) {
	for _, c := range []struct{ operation, input, code string }{
		{"dynamodb.GetItem", `{"TableName":"mine:table/secret"}`, "ValidationException"},
		{"dynamodb.GetItem", `{"TableName":"~dynamodb:table/mine/x/secret"}`, "ValidationException"},
		{"dynamodb.UpdateTable", `{"TableName":"mine/secret"}`, "ValidationException"},
		{"dynamodb.BatchGetItem", `{"RequestItems":{"mine":{},"mine/secret":{}}}`, "ValidationException"},
		{"dynamodb.TransactWriteItems", `{"TransactItems":[{"Put":{"TableName":"mine/secret","Item":{}}}]}`, "ValidationException"},
		{"kinesis.PutRecord", `{"StreamName":"mine/secret"}`, "ValidationException"},
		{"lambda.Invoke", `{"FunctionName":"mine/../secret"}`, "ValidationException"},
		{"lambda.Invoke", `{"FunctionName":"mine:x:secret"}`, "ValidationException"},
		{"lambda.Invoke", `{"FunctionName":"us-east-1:123456789012:function:mine"}`, "ValidationException"},
		{"sns.Publish", `{"TopicArn":"~sns:mine:secret"}`, "InvalidParameter"},
		{"sns.Publish", `{"TargetArn":"~sns:mine/secret"}`, "InvalidParameter"},
		{"route53.GetHostedZone", `{"Id":"/hostedzone/secret/mine"}`, "InvalidInput"},
		{"route53.ChangeResourceRecordSets", `{"HostedZoneId":"mine%2Fsecret"}`, "InvalidInput"},

		{"dynamodb.GetItem", `{"TableName":"arn:aws-cn:dynamodb:cn-north-1:999988887777:table/Cart_1.x-y"}`, ""},
		{"dynamodb.BatchGetItem", `{"RequestItems":{"~dynamodb:table/Cart":{}}}`, ""},
		{"lambda.Invoke", `{"FunctionName":"~lambda:function:web:$LATEST"}`, ""},
		{"lambda.Invoke", `{"FunctionName":"123456789012:function:web_1:blue-2"}`, ""},
		{"lambda.Invoke", `{"FunctionName":"function:web"}`, ""},
		{"sns.Publish", `{"TopicArn":"~sns:news.fifo"}`, ""},
		{"sns.Publish", `{"TargetArn":"~sns:endpoint/GCM/app/5e3e9847-3183-3f18-a7e8-671c3a57d4b3"}`, ""},
		{"route53.GetHostedZone", `{"Id":"/hostedzone/Z148QEXAMPLE8V"}`, ""},
		{"route53.GetChange", `{"Id":"/change/C1"}`, ""},
	} {
		questions, err := question.Questions(t.Context(), call(t, c.operation, c.input), world())
		refused, is := errors.AsType[*question.Refusal](err)
		if is != (c.code != "") || is && (refused.Code != c.code || refused.Status != http.StatusBadRequest) || !is && err != nil {
			t.Errorf("%s %s: %v, %v", c.operation, c.input, shown(questions), err)
		}
	}
}

// AWS KMS API Reference, Decrypt and ReEncrypt: a key that is named must be that of the
// ciphertext. Backends decrypt with the latter.
func TestNamedKey(t *testing.T) {
	const other = "22222222-2222-3333-4444-555555555555"
	w := world()
	w.Facts[question.Fact{Kind: question.KeyByID, Name: other}] = question.Known{Text: expand("~kms:key/" + other)}
	for name, c := range map[string]struct {
		operation  string
		named      string
		ciphertext any
		want       string
		answer     string // the question that only the answer decides
		alias      string // kms:RequestAlias by question
	}{
		"one key":               {"kms.Decrypt", keyID, []byte(keyID + "x"), "kms:Decrypt " + keyARN, "", ""},
		"two keys":              {"kms.Decrypt", keyID, []byte(other + "x"), "kms:Decrypt " + keyARN + "; kms:Decrypt ~kms:key/" + other, "", ""},
		"one by its alias":      {"kms.Decrypt", "alias/k", []byte(keyID + "x"), "kms:Decrypt " + keyARN, "", "alias/k"},
		"two, one by its alias": {"kms.Decrypt", "alias/k", []byte(other + "x"), "kms:Decrypt " + keyARN + "; kms:Decrypt ~kms:key/" + other, "", "alias/k "},
		"an unknown alias":      {"kms.Decrypt", "alias/none", []byte("hidden"), "kms:Decrypt ~kms:key/*; kms:Decrypt ~kms:key/*", "KeyId", "alias/none "},
		"a hidden key":          {"kms.Decrypt", keyID, []byte("hidden"), "kms:Decrypt " + keyARN + "; kms:Decrypt ~kms:key/*", "KeyId", ""},
		"a key that is not":     {"kms.Decrypt", keyID, []byte("33333333-2222-3333-4444-555555555555"), "kms:Decrypt " + keyARN + "; kms:Decrypt ~kms:key/*", "KeyId", ""},
		"no bytes":              {"kms.Decrypt", keyID, 1.0, "kms:Decrypt " + keyARN + "; kms:Decrypt ~kms:key/*", "KeyId", ""},
		"anew":                  {"kms.ReEncrypt", keyID, []byte(other), "kms:ReEncryptFrom " + keyARN + "; kms:ReEncryptFrom ~kms:key/" + other + "; kms:ReEncryptTo " + keyARN, "", ""},
		"anew, hidden":          {"kms.ReEncrypt", keyID, []byte("hidden"), "kms:ReEncryptFrom " + keyARN + "; kms:ReEncryptFrom ~kms:key/*; kms:ReEncryptTo " + keyARN, "SourceKeyId", ""},
	} {
		in := call(t, c.operation, "")
		in.Input = map[string]any{"KeyId": c.named, "CiphertextBlob": c.ciphertext}
		if c.operation == "kms.ReEncrypt" {
			in.Input = map[string]any{"SourceKeyId": c.named, "DestinationKeyId": keyID, "CiphertextBlob": c.ciphertext}
		}
		questions := ask(t, in, w)
		wantShown(t, questions, strings.Split(c.want, "; ")...)
		answer, alias := "", ""
		for i, q := range questions {
			answer += q.FromAnswer
			values, _ := q.Keys.Values("kms:RequestAlias")
			if i > 0 {
				alias += " "
			}
			alias += strings.Join(values, "")
		}
		if answer != c.answer || strings.TrimSpace(alias) != strings.TrimSpace(c.alias) {
			t.Errorf("%s: the answer's %q decides, and the aliases are %q", name, answer, alias)
		}
	}
	same := call(t, "kms.ReEncrypt", "")
	for source, want := range map[string]string{keyID: "true", other: "false"} {
		same.Input = map[string]any{"SourceKeyId": keyID, "DestinationKeyId": keyID, "CiphertextBlob": []byte(source)}
		questions := ask(t, same, w)
		last := questions[len(questions)-1]
		if values, _ := last.Keys.Values("kms:ReEncryptOnSameKey"); strings.Join(values, "") != want {
			t.Errorf("from %s: kms:ReEncryptOnSameKey is %v", source, values)
		}
	}
}

// told are the questions about a resource that an answer has named.
func told(t *testing.T, c *question.Call, q *question.Question, arn string) []question.Question {
	t.Helper()
	questions, err := question.Told(t.Context(), c, q, arn, world())
	if err != nil {
		t.Fatal(err)
	}
	return questions
}
