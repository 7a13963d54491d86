package question_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openirsa/openirsa/pkg/emulator/internal/question"
)

// What answers tell is found by the next call.
func TestLearn(t *testing.T) {
	for _, c := range []struct {
		operation, input, answer string
		then, thenInput, want    string
	}{
		{
			"kinesis.GetShardIterator", `{"StreamName":"s","ShardId":"0"}`, `{"ShardIterator":"it"}`,
			"kinesis.GetRecords", `{"ShardIterator":"it"}`, "kinesis:GetRecords ~kinesis:stream/s",
		},
		{
			"dynamodbstreams.GetShardIterator", `{"StreamArn":"~dynamodb:table/T/stream/1"}`, `{"ShardIterator":"it"}`,
			"dynamodbstreams.GetRecords", `{"ShardIterator":"it"}`, "dynamodb:GetRecords ~dynamodb:table/T/stream/1",
		},
		{
			"secretsmanager.CreateSecret", `{"Name":"n"}`, `{"ARN":"~secretsmanager:secret:n-abcdef","Name":"n"}`,
			"secretsmanager.GetSecretValue", `{"SecretId":"n"}`, "secretsmanager:GetSecretValue ~secretsmanager:secret:n-abcdef",
		},
		{
			"athena.StartQueryExecution", `{"QueryString":"q","WorkGroup":"w"}`, `{"QueryExecutionId":"1"}`,
			"athena.GetQueryResults", `{"QueryExecutionId":"1"}`, "athena:GetQueryResults ~athena:workgroup/w",
		},
		{
			"logs.StartQuery", `{"logGroupNames":["/a"],"queryString":"q"}`, `{"queryId":"1"}`,
			"logs.GetQueryResults", `{"queryId":"1"}`, "logs:GetQueryResults ~logs:log-group:/a",
		},
		{
			"kms.CreateGrant", `{"KeyId":"` + keyARN + `"}`, `{"GrantToken":"token","GrantId":"id"}`,
			"kms.RetireGrant", `{"GrantToken":"token"}`, "kms:RetireGrant " + keyARN,
		},
	} {
		t.Run(c.operation, func(t *testing.T) {
			first := call(t, c.operation, c.input)
			if !question.Teaches(first) {
				t.Error("it does not say that it teaches")
			}
			w := &question.Memory{Facts: map[question.Fact]question.Known{}}
			for _, l := range question.Learn(first, any(input(t, c.answer))) {
				w.Facts[l.Fact] = l.Known
			}
			wantShown(t, ask(t, call(t, c.then, c.thenInput), w), c.want)
		})
	}
	// The next iterator is of the same stream.
	c := call(t, "kinesis.GetRecords", `{"ShardIterator":"iterator-1"}`)
	got := question.LearnNext(c, ask(t, c, world()), any(input(t, `{"NextShardIterator":"iterator-2"}`)))
	want := []question.Learned{{
		Fact:  question.Fact{Kind: question.Iterator, Region: region, Account: account, Name: "iterator-2"},
		Known: question.Known{Text: expand("~kinesis:stream/clicks")},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	// An encrypted stream is asked about with its key.
	w := world()
	w.Facts[question.Fact{Kind: question.EncryptionKey, Name: expand("~kinesis:stream/clicks")}] = question.Known{Text: keyARN}
	questions := ask(t, c, w)
	wantShown(t, questions, "kinesis:GetRecords ~kinesis:stream/clicks", "kms:Decrypt "+keyARN)
	if diff := cmp.Diff(want, question.LearnNext(c, questions, any(input(t, `{"NextShardIterator":"iterator-2"}`)))); diff != "" {
		t.Error(diff)
	}
	c = call(t, "kinesis.GetRecords", `{"ShardIterator":"iterator-1","StreamARN":"~kinesis:stream/other"}`)
	if got := question.LearnNext(c, ask(t, c, world()), any(input(t, `{"NextShardIterator":"iterator-2"}`))); got != nil {
		t.Errorf("of one of two streams: %v", got)
	}
	for names, want := range map[string]int{`"StreamName":"s"`: 1, `"StreamARN":"~kinesis:stream/s"`: 1, `"StreamName":"s","StreamARN":"~kinesis:stream/s"`: 1,
		`"StreamName":"s","StreamARN":"~kinesis:stream/other"`: 0} {
		c := call(t, "kinesis.GetShardIterator", `{`+names+`}`)
		if got := question.Learn(c, any(input(t, `{"ShardIterator":"it"}`))); len(got) != want {
			t.Errorf("%s: %v", names, got)
		}
	}
	if c := call(t, "sqs.SendMessage", `{}`); question.Teaches(c) || question.Learn(c, nil) != nil {
		t.Error("SendMessage teaches something")
	}
}

// What another account named is a fact of that account: the caller may have something of the
// same name.
func TestLearnOfOthers(t *testing.T) {
	const other = ":eu-west-1:999988887777:"
	for _, c := range []struct {
		operation, input, answer string
		want                     question.Learned
	}{
		{
			"secretsmanager.GetSecretValue", `{"SecretId":"arn:aws:secretsmanager` + other + `secret:app-abcdef"}`,
			`{"ARN":"arn:aws:secretsmanager` + other + `secret:app-abcdef","Name":"app"}`,
			question.Learned{
				Fact:  question.Fact{Kind: question.SecretARN, Region: "eu-west-1", Account: "999988887777", Name: "app"},
				Known: question.Known{Text: "arn:aws:secretsmanager" + other + "secret:app-abcdef"},
			},
		},
		{
			"lambda.GetEventSourceMapping", `{"UUID":"1"}`, `{"UUID":"1","FunctionArn":"arn:aws:lambda` + other + `function:f"}`,
			question.Learned{
				Fact:  question.Fact{Kind: question.MappingFunction, Region: "eu-west-1", Account: "999988887777", Name: "1"},
				Known: question.Known{Text: "arn:aws:lambda" + other + "function:f"},
			},
		},
	} {
		got := question.Learn(call(t, c.operation, c.input), any(input(t, c.answer)))
		if diff := cmp.Diff([]question.Learned{c.want}, got); diff != "" {
			t.Errorf("%s: %s", c.operation, diff)
		}
	}
	nameless := call(t, "secretsmanager.GetSecretValue", `{"SecretId":"app"}`)
	if got := question.Learn(nameless, any(input(t, `{"ARN":"app","Name":"app"}`))); got != nil {
		t.Errorf("of what is no ARN it learned %+v", got)
	}
}

func TestStale(t *testing.T) {
	tags := question.Fact{Kind: question.Tags, Name: expand("~sqs:mail")}
	for _, c := range []struct {
		operation string
		fact      question.Fact
		want      bool
	}{
		{"sqs.TagQueue", tags, true},
		{"sqs.SendMessage", tags, false},
		{"sqs.DeleteMessage", tags, false},
		{"sns.TagResource", tags, false},
		{"sqs.SetQueueAttributes", question.Fact{Kind: question.ResourcePolicy, Name: expand("~sqs:mail")}, true},
		{"lambda.AddPermission", question.Fact{Kind: question.ResourcePolicy, Name: expand("~lambda:function:f")}, true},
		{"dynamodb.DeleteTable", question.Fact{Kind: question.TableKeys, Name: "T"}, true},
		{"dynamodb.PutItem", question.Fact{Kind: question.TableKeys, Name: "T"}, false},
		{"kms.UpdateAlias", question.Fact{Kind: question.KeyOfAlias, Name: "alias/k"}, true},
		{"secretsmanager.DeleteSecret", question.Fact{Kind: question.SecretARN, Name: "n"}, true},
		{"kinesis.DeleteStream", question.Fact{Kind: question.Iterator, Name: "i"}, false},
	} {
		if got := question.Stale(call(t, c.operation, `{}`), c.fact); got != c.want {
			t.Errorf("%s ends %s of %s: %t", c.operation, c.fact.Kind, c.fact.Name, got)
		}
	}
}

func BenchmarkQuestions(b *testing.B) {
	c := call(b, "dynamodb.PutItem", `{"TableName":"Cart","Item":{"id":{"S":"7"},"n":{"N":"1"}}}`)
	w := world()
	w.Keys = []string{"aws:SourceIp"}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := question.Questions(b.Context(), c, w); err != nil {
			b.Fatal(err)
		}
	}
}
