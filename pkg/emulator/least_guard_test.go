package emulator_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/openirsa/openirsa/pkg/emulator"
)

// What a role does with services that are forwarded is in its least policy, which is
// enough for the same calls, and of which nothing can be left out.
func TestLeastPolicyOfForwarded(t *testing.T) {
	t.Parallel()
	calls := func(g *guarded) []*http.Request {
		return []*http.Request{
			g.json("dynamodb", json10, "DynamoDB_20120810.DescribeTable", `{"TableName":"Cart"}`),
			g.json("dynamodb", json10, "DynamoDB_20120810.Query", `{"TableName":"Cart","IndexName":"byUser"}`),
			g.json("sqs", json10, "AmazonSQS.SendMessage", `{"QueueUrl":"http://x/`+guardAccount+`/mail","MessageBody":"b"}`),
			g.json("logs", json11, "Logs_20140328.DeleteLogGroup", `{"logGroupName":"/a"}`), // which has two spellings
			g.query("cloudformation", "/", form("Action", "CreateStack", "Version", "2010-05-15", "StackName", "web")),
			g.by("lambda", "POST", "/2015-03-31/functions/resize/invocations", "{}"),
		}
	}
	// run makes the calls as a session of a role with a policy, and counts denials.
	run := func(document string, mode emulator.Enforcement) (g *guarded, denied int) {
		g = newGuarded(t, func(c *emulator.Config) { c.Enforce = mode })
		g.iam("Action", "CreateRole", "RoleName", "worker", "AssumeRolePolicyDocument",
			`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::`+guardAccount+`:user/app"},"Action":"sts:AssumeRole"}}`)
		if document != "" {
			g.iam("Action", "PutRolePolicy", "RoleName", "worker", "PolicyName", "p", "PolicyDocument", document)
		}
		rec := httptest.NewRecorder()
		body := form("Action", "AssumeRole", "Version", "2011-06-15", "RoleArn", "arn:aws:iam::"+guardAccount+":role/worker", "RoleSessionName", "s1")
		g.ServeHTTP(rec, g.signed(g.id, g.secret, "sts", "POST", "/", body, "Content-Type", formType))
		answer := rec.Body.String()
		id, secret := between(answer, "<AccessKeyId>", "<"), between(answer, "<SecretAccessKey>", "<")
		if id == "" {
			t.Fatal(answer)
		}
		g.id, g.secret, g.token = id, secret, between(answer, "<SessionToken>", "<")
		for _, r := range calls(g) {
			rec := httptest.NewRecorder()
			g.ServeHTTP(rec, r)
			if rec.Code >= 400 {
				denied++
			}
		}
		return g, denied
	}
	admin, denied := run(everything, emulator.EnforceDeny)
	if denied > 0 {
		t.Fatalf("%d calls fail with all permissions: %+v", denied, admin.Events(emulator.EventFilter{Decision: emulator.Deny}))
	}
	s, err := admin.LeastPolicy(emulator.PolicyQuery{Role: "worker", Inline: true})
	if err != nil {
		t.Fatal(err)
	}
	document := string(s.Policies[0].Document)
	for _, want := range []string{":table/Cart/index/byUser", ":mail", ":stack/web/*", ":function:resize"} {
		if !strings.Contains(document, want+`"`) {
			t.Errorf("there is no %s in\n%s", want, document)
		}
	}
	if n := strings.Count(document, "log-group"); n != 1 {
		t.Errorf("%d spellings of the log group are in\n%s", n, document)
	}
	if !slices.ContainsFunc(s.Widenings, wideningOf(":stack/web/*")) || len(s.Widenings) != 1 {
		t.Errorf("the widenings are %v", s.Widenings)
	}
	if _, denied := run(document, emulator.EnforceDeny); denied > 0 {
		t.Errorf("it is not enough, %d calls fail:\n%s", denied, document)
	}
	lax, denied := run("", emulator.EnforceLog)
	if denied > 0 {
		t.Errorf("denials are enforced: %d", denied)
	}
	same, err := lax.LeastPolicy(emulator.PolicyQuery{Role: "worker", Inline: true})
	if err != nil || string(same.Policies[0].Document) != document {
		t.Errorf("without permissions: %v\n%s", err, same.Policies[0].Document)
	}
	statements := statementsOf(t, document)
	for i, st := range statements {
		for _, action := range texts(st["Action"]) {
			for _, resource := range texts(st["Resource"]) {
				if _, denied := run(everythingBut(statements, i, action, resource), emulator.EnforceDeny); denied == 0 {
					t.Errorf("without %s on %s it is enough too", action, resource)
				}
			}
		}
	}
}
