package question_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/openirsa/openirsa/internal/awsapi"
	"github.com/openirsa/openirsa/pkg/emulator/internal/question"
)

// value is a value for a member.
func value(m *awsapi.Member, name string, depth int) any {
	switch m.Shape {
	case awsapi.Number:
		return 1.0
	case awsapi.Bool:
		return true
	case awsapi.Blob:
		return []byte("blob")
	case awsapi.List:
		if item := m.Item(); item != nil && depth < 4 {
			return []any{value(item, name, depth+1), value(item, name, depth+1)}
		}
		return []any{"a", "b"}
	case awsapi.Map:
		if item := m.Item(); item != nil && depth < 4 {
			return map[string]any{"k": value(item, "", depth+1)}
		}
		return map[string]any{"k": "v"}
	case awsapi.Struct:
		inner := map[string]any{}
		if depth < 4 {
			for _, one := range m.Members() {
				inner[one.Name] = value(&one, one.Name, depth+1)
			}
		}
		return inner
	case awsapi.Document:
		return map[string]any{"any": nil}
	}
	if strings.HasSuffix(strings.ToLower(name), "rolearn") {
		return "arn:aws:iam::" + account + ":role/r"
	}
	return "v"
}

// arnFor is an ARN of the first type that the action of an operation lists.
func arnFor(m *awsapi.Model, operation string) string {
	action := m.Action(operation)
	if action == nil || len(action.Types) == 0 {
		return ""
	}
	kind := awsapi.Reference(m.Prefix).Types[action.Types[0].Name]
	if kind == nil {
		return ""
	}
	arn, _, _ := strings.Cut(kind.Templates[0], ",")
	arn = strings.NewReplacer("${Partition}", "aws", "${Region}", region, "${Account}", account).Replace(arn)
	for {
		before, rest, found := strings.Cut(arn, "${")
		if !found {
			return arn
		}
		_, rest, _ = strings.Cut(rest, "}")
		arn = before + "v" + rest
	}
}

// Every operation of every service is asked about somehow, with all of its members
// given and with none.
func TestEveryOperation(t *testing.T) {
	count, stars, unknown, unlisted := 0, 0, 0, 0
	for _, m := range awsapi.Models() {
		for _, name := range m.Operations() {
			op := m.Operation(name)
			full := map[string]any{}
			for _, member := range op.Members {
				full[member.Name] = value(&member, member.Name, 0)
				if arn := arnFor(m, name); strings.HasSuffix(strings.ToLower(member.Name), "arn") && full[member.Name] == "v" && arn != "" {
					full[member.Name] = arn
				}
			}
			for i, in := range []map[string]any{nil, full} {
				c := &question.Call{
					Model: m, Operation: name, Input: in, Method: op.Method, Path: op.Template, Region: region, Account: account, Partition: "aws",
				}
				questions := ask(t, c, world())
				if len(questions) == 0 && !op.Unsigned {
					t.Errorf("%s %s asks nothing", m.Name, name)
				}
				for _, q := range questions {
					if err := sound(&q); err != nil {
						t.Errorf("%s %s: %v", m.Name, name, err)
					}
				}
				if i == 0 || len(questions) == 0 {
					continue
				}
				count++
				switch q := questions[0]; {
				case q.Unlisted:
					unlisted++
				case q.Resource == "*":
					stars++
				case !q.Known:
					unknown++
				}
			}
		}
	}
	t.Logf("%d operations: %d without resource, %d of an unknown one, %d not listed", count, stars, unknown, unlisted)
	if count < 18000 || unlisted > 700 || unknown > 2500 {
		t.Error("the tables or the general rule have become worse")
	}
}

// sound reports what is wrong with a question by itself.
func sound(q *question.Question) error {
	prefix, name, found := strings.Cut(q.Action, ":")
	switch {
	case !found || prefix == "" || name == "":
		return fmt.Errorf("action %q", q.Action)
	case q.Resource == "*" || strings.HasPrefix(q.Resource, "arn:"):
	default:
		return fmt.Errorf("%s has the resource %q", q.Action, q.Resource)
	}
	if strings.Contains(q.Resource, "${") || q.Known && q.Resource != "*" && strings.Contains(q.Resource, "unknown-") {
		return fmt.Errorf("%s has the resource %q", q.Action, q.Resource)
	}
	if !q.Known && (q.Spelled == "" || q.Spelled == q.Resource) {
		return fmt.Errorf("%s does not show what is unknown in %q", q.Action, q.Resource)
	}
	return nil
}

// A call may not ask without bounds.
func TestTooMany(t *testing.T) {
	ids := make([]any, 3*question.MaxQuestions)
	for i := range ids {
		ids[i] = fmt.Sprintf("i-%05d", i)
	}
	c := call(t, "ec2.StopInstances", "")
	c.Input = map[string]any{"InstanceIds": ids}
	if questions, err := question.Questions(t.Context(), c, nil); !errors.Is(err, question.ErrTooMany) || questions != nil {
		t.Errorf("%d questions, error %v", len(questions), err)
	}
	c.Input = map[string]any{"InstanceIds": ids[:question.MaxQuestions]}
	if questions, err := question.Questions(t.Context(), c, nil); err != nil || len(questions) != question.MaxQuestions {
		t.Errorf("%d questions, error %v", len(questions), err)
	}
}

// FuzzQuestions gives operations inputs of any shape.
func FuzzQuestions(f *testing.F) {
	for _, seed := range []struct{ operation, input string }{
		{"dynamodb.ExecuteStatement", `{"Statement":"SELECT * FROM \"a\".\"b\" WHERE (x = ? OR y IN ['a'])","Parameters":[{"S":"1"}]}`},
		{"dynamodb.Query", `{"TableName":"Cart","KeyConditionExpression":"#a = :b","ExpressionAttributeNames":{"#a":"id"}}`},
		{"sqs.SendMessage", `{"QueueUrl":"http://x/%zz/123456789012/q"}`},
		{"kms.Decrypt", `{"CiphertextBlob":"eA=="}`},
		{"ec2.RunInstances", `{"TagSpecifications":[{"ResourceType":"instance","Tags":[{}]}],"ImageId":"ami-"}`},
		{"route53.ChangeResourceRecordSets", `{"ChangeBatch":{"Changes":[{"ResourceRecordSet":{"Name":"\\052.x\\40"}}]}}`},
		{"lambda.Invoke", `{"FunctionName":"123456789012:function:"}`},
		{"eks.DescribeAccessEntry", `{"principalArn":"arn:aws:iam::1:role/","clusterName":"c"}`},
	} {
		f.Add(seed.operation, seed.input)
	}
	models := map[string]*awsapi.Model{}
	for _, m := range awsapi.Models() {
		models[m.Name] = m
	}
	f.Fuzz(func(t *testing.T, operation, text string) {
		name, op, _ := strings.Cut(operation, ".")
		c := &question.Call{
			Model: models[name], Service: name, Operation: op, Input: loose(text), Method: "POST", Path: "/" + text,
			Region: region, Account: account, Partition: "aws",
		}
		questions, err := question.Questions(t.Context(), c, world())
		_, refused := errors.AsType[*question.Refusal](err)
		if err != nil && (!refused && !errors.Is(err, question.ErrTooMany) || questions != nil) {
			t.Fatalf("%d questions and error %v", len(questions), err)
		}
		if len(questions) > question.MaxQuestions {
			t.Errorf("%d questions", len(questions))
		}
		// A call without a question would be passed on undecided.
		unsigned := c.Model != nil && c.Model.Operation(op) != nil && c.Model.Operation(op).Unsigned
		if err == nil && len(questions) == 0 && !unsigned {
			t.Errorf("%s asks nothing for %s", operation, text)
		}
	})
}
