package question_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/openirsa/openirsa/internal/awsapi"
	"github.com/openirsa/openirsa/pkg/emulator/internal/question"
	"github.com/openirsa/openirsa/pkg/policy"
)

const (
	account = "123456789012"
	region  = "us-east-1"
	keyID   = "11111111-2222-3333-4444-555555555555"
	keyARN  = "arn:aws:kms:us-east-1:123456789012:key/" + keyID
	secret  = "arn:aws:secretsmanager:us-east-1:123456789012:secret:app-Xy12Za"
)

// expand replaces ~svc: by the beginning of an ARN in the account.
func expand(s string) string {
	for {
		before, rest, found := strings.Cut(s, "~")
		if !found {
			return s
		}
		service, rest, _ := strings.Cut(rest, ":")
		s = before + "arn:aws:" + service + ":" + region + ":" + account + ":" + rest
	}
}

// input reads the input of a call.
func input(t testing.TB, text string) map[string]any {
	t.Helper()
	if text == "" {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader([]byte(expand(text))))
	d.UseNumber()
	var m map[string]any
	if err := d.Decode(&m); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return m
}

// call is a call of an operation of a model, "dynamodb.PutItem".
func call(t testing.TB, operation, text string) *question.Call {
	t.Helper()
	name, op, _ := strings.Cut(operation, ".")
	c := &question.Call{Operation: op, Input: input(t, text), Region: region, Account: account, Partition: "aws", Service: name}
	for _, m := range awsapi.Models() {
		if m.Name == name {
			c.Model = m
		}
	}
	if c.Model == nil {
		t.Fatalf("no model %s", name)
	}
	if c.Model.Operation(op) == nil {
		t.Fatalf("no operation %s", operation)
	}
	return c
}

// world knows what the vectors assume of the backend.
func world() *question.Memory {
	schema := question.Known{Pairs: map[string]string{"": "id", "byUser": "u"}}
	return &question.Memory{Facts: map[question.Fact]question.Known{
		{Kind: question.TableKeys, Name: "Cart"}:         schema,
		{Kind: question.TableKeys, Name: "Stock"}:        schema,
		{Kind: question.TableKeys, Name: "GameScores"}:   {Pairs: map[string]string{"": "UserId"}},
		{Kind: question.SecretARN, Name: "app"}:          {Text: secret},
		{Kind: question.KeyOfAlias, Name: "alias/k"}:     {Text: keyARN},
		{Kind: question.KeyByID, Name: keyID}:            {Text: keyARN},
		{Kind: question.Workgroup, Name: "query-2"}:      {Text: "wg2"},
		{Kind: question.VerifiedIdentity, Name: "x.org"}: {Text: "x.org"},
		{Kind: question.Iterator, Name: "iterator-1"}:    {Text: expand("~kinesis:stream/clicks")},
		{Kind: question.LogGroups, Name: "q-1"}:          {List: []string{"/a"}},
		{Kind: question.MappingFunction, Name: "uuid-1"}: {Text: expand("~lambda:function:resize")},
		{Kind: question.Tags, Name: expand("~sqs:mail")}: {Pairs: map[string]string{"team": "red"}},
		{Kind: question.InstanceGroup, Name: "i-1"}:      {Text: "nodes"},
		{Kind: question.Tags, Name: expand("~autoscaling:autoScalingGroup:*:autoScalingGroupName/nodes")}: {
			Pairs: map[string]string{"k8s.io/cluster-autoscaler/c": "owned"},
		},
		{Kind: question.Tags, Name: expand("~ec2:instance/i-1")}: {Pairs: map[string]string{"Owner": "app"}},
	}}
}

// statement is a statement of a policy for some actions, with spaces between them,
// on some resources; a condition is JSON, if there is one.
func statement(effect, actions, resources, condition string) string {
	list := func(s string) string {
		b, err := json.Marshal(strings.Fields(s))
		if err != nil {
			panic(err)
		}
		return string(b)
	}
	s := `{"Effect":"` + effect + `","Action":` + list(actions) + `,"Resource":` + list(expand(resources))
	if condition != "" {
		s += `,"Condition":` + expand(condition)
	}
	return s + "}"
}

func allow(actions, resources string) string { return statement("Allow", actions, resources, "") }

func allowIf(actions, resources, condition string) string {
	return statement("Allow", actions, resources, condition)
}

func denyIf(actions, resources, condition string) string {
	return statement("Deny", actions, resources, condition)
}

// document is a policy of some statements.
func document(statements ...string) string {
	return `{"Version":"2012-10-17","Statement":[` + strings.Join(statements, ",") + `]}`
}

// ask asks for the questions of a call.
func ask(t testing.TB, c *question.Call, w question.World) []question.Question {
	t.Helper()
	questions, err := question.Questions(t.Context(), c, w)
	if err != nil {
		t.Fatal(err)
	}
	return questions
}

// decide decides a call by a policy of its caller, who has a tag of its session.
func decide(t testing.TB, questions []question.Question, doc string) (question.Verdict, policy.Decision) {
	t.Helper()
	p, err := policy.Parse(policy.Identity, []byte(doc))
	if err != nil {
		t.Fatalf("%s: %v", doc, err)
	}
	var last policy.Decision
	verdict := question.Decide(questions, func(i int) question.Answer {
		q := &questions[i]
		keys := q.Keys.Clone()
		keys.Set("aws:PrincipalTag/kubernetes-service-account", "9")
		keys.Set("aws:PrincipalTag/team", "red")
		owner := q.Account
		if owner == "" {
			owner = account
		}
		d := policy.Evaluate(&policy.Request{
			Principal: policy.Principal{
				Kind: policy.RoleSession, Account: account,
				ARN: "arn:aws:sts::" + account + ":assumed-role/app/s", EntityARN: "arn:aws:iam::" + account + ":role/app",
			},
			Action: q.Action, Resource: q.Resource, ResourceAccount: owner, Context: keys,
		}, &policy.Policies{Identity: []policy.Named{{Name: "p", Policy: p}}})
		if !d.Allowed {
			last = d
		}
		return question.Answer{Allowed: d.Allowed, Explicit: d.Explicit}
	})
	return verdict, last
}

// shown are questions as "action resource", with the pattern of unknown resources.
func shown(questions []question.Question) []string {
	var all []string
	group := 0
	for i := range questions {
		q := &questions[i]
		if q.Either != 0 && q.Either == group {
			continue // another spelling
		}
		group = q.Either
		resource := q.Resource
		if !q.Known {
			resource = q.Shown()
		}
		all = append(all, q.Action+" "+resource)
	}
	return all
}

// keyText is a condition key of a question as "name=value", with brackets if it is
// multivalued by nature; a name alone is one that it does not have.
func keyText(q *question.Question, name string) string {
	values, ok := q.Keys.Values(name)
	if !ok {
		return name
	}
	var multi policy.Context
	multi.SetMulti("k")
	return fmt.Sprintf("%s=%s", name, strings.Join(values, ","))
}

// wantKeys checks the keys of the questions: a line is "name=value", or "name" for
// a key that must not be there, after the number of the question, if not the first.
func wantKeys(t testing.TB, questions []question.Question, lines ...string) {
	t.Helper()
	for _, line := range lines {
		at := 0
		if n, rest, found := strings.Cut(line, " "); found {
			if _, err := fmt.Sscanf(n, "%d", &at); err != nil {
				t.Fatal(err)
			}
			line = rest
		}
		if at >= len(questions) {
			t.Errorf("there is no question %d", at)
			continue
		}
		name, _, _ := strings.Cut(line, "=")
		if got := keyText(&questions[at], name); got != expand(line) {
			t.Errorf("question %d has %q, not %q; its keys are %v", at, got, expand(line), questions[at].Keys.Keys())
		}
	}
}

// wantShown checks the questions, in any order.
func wantShown(t testing.TB, questions []question.Question, want ...string) {
	t.Helper()
	got := shown(questions)
	for i := range want {
		want[i] = expand(want[i])
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("asks\n\t%s\nnot\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

// loose reads JSON, if it is an object.
func loose(text string) map[string]any {
	var m map[string]any
	if json.Unmarshal([]byte(text), &m) != nil {
		return nil
	}
	return m
}
