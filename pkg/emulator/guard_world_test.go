package emulator_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/openirsa/openirsa/pkg/emulator"
)

// answers are a backend's answers to what the guard asks, by the operation.
type answers map[string]string

// serve answers what the guard asks, and counts it.
func (a answers) serve(asked *atomic.Int32) func(http.ResponseWriter, *http.Request, string) {
	return func(w http.ResponseWriter, r *http.Request, body string) {
		asked.Add(1)
		operation := r.Header.Get("X-Amz-Target")
		if operation == "" {
			operation = r.Method + " " + r.URL.EscapedPath()
		}
		answer, ok := a[operation]
		if !ok {
			w.WriteHeader(http.StatusBadRequest)
			io.WriteString(w, `{"__type":"ResourceNotFoundException"}`)
			return
		}
		io.WriteString(w, answer)
	}
}

const arnSecret = "arn:aws:secretsmanager:us-east-1:123456789012:secret:"

// TestGuardAsksBackend (D17, D18): the end of a secret's ARN is asked of the backend, once
// until a call changes secrets.
func TestGuardAsksBackend(t *testing.T) {
	t.Parallel()
	g := newGuarded(t)
	var asked atomic.Int32
	g.stub.ask = answers{"secretsmanager.DescribeSecret": `{"ARN":"` + arnSecret + `app-Xy12Za","Name":"app"}`, "secretsmanager.GetResourcePolicy": "{}"}.serve(&asked)
	get := func(id string) *http.Request {
		return g.json("secretsmanager", json11, "secretsmanager.GetSecretValue", fmt.Sprintf(`{"SecretId":%q}`, id))
	}
	g.policy(permitting("secretsmanager:GetSecretValue secretsmanager:UpdateSecret", arnSecret+"app-??????"))
	for range 3 {
		rec, got, events := g.send(get("app"))
		if rec.Code != http.StatusOK || len(got) != 1 || events[0].Resource != arnSecret+"app-Xy12Za" {
			t.Fatalf("%s; events %+v", raw(rec), events)
		}
	}
	if n := asked.Load(); n != 2 { // the ARN and the policy
		t.Errorf("the backend was asked %d times", n)
	}
	g.send(g.json("secretsmanager", json11, "secretsmanager.UpdateSecret", `{"SecretId":"app"}`))
	g.send(get("app"))
	if n := asked.Load(); n != 4 {
		t.Errorf("after a change the backend was asked %d times", n)
	}
	g.policy(permitting("secretsmanager:GetSecretValue", arnSecret+"app"))
	if rec, got, _ := g.send(get("app")); len(got) != 0 || !strings.Contains(rec.Body.String(), "on resource: "+arnSecret+"app-Xy12Za because") {
		t.Error(raw(rec))
	}
	g.policy(permitting("secretsmanager:GetSecretValue", arnSecret+"app-??????"))
	g.stub.ask = answers{}.serve(&asked)
	if rec, got, events := g.send(get("gone")); len(got) != 0 || !strings.Contains(rec.Body.String(), "on resource: gone because") {
		t.Errorf("a secret that is not there: %s, events %+v", raw(rec), events)
	}
}

// TestGuardResourcePolicy: policies of resources allow and deny.
func TestGuardResourcePolicy(t *testing.T) {
	t.Parallel()
	g := newGuarded(t)
	send := func() *http.Request {
		return g.json("sqs", json10, "AmazonSQS.SendMessage", `{"QueueUrl":"http://guard/123456789012/mail","MessageBody":"m"}`)
	}
	policyOf := func(effect string) string {
		document := fmt.Sprintf(`{"Version":"2012-10-17","Statement":{"Effect":%q,"Principal":{"AWS":%q},"Action":"sqs:SendMessage","Resource":"%smail"}}`,
			effect, arnApp, arnSQS)
		return fmt.Sprintf(`{"Attributes":{"Policy":%q}}`, document)
	}
	var asked atomic.Int32
	known := answers{"AmazonSQS.GetQueueUrl": `{"QueueUrl":"http://backend/123456789012/mail"}`}
	g.stub.ask = known.serve(&asked)
	set := func(effect string) {
		known["AmazonSQS.GetQueueAttributes"] = policyOf(effect)
		g.iam("Action", "PutUserPolicy", "UserName", "app", "PolicyName", "q", "PolicyDocument", permitting("sqs:SetQueueAttributes", "*"))
		g.send(g.json("sqs", json10, "AmazonSQS.SetQueueAttributes", `{"QueueUrl":"http://guard/123456789012/mail","Attributes":{}}`))
	}
	set("Allow")
	if rec, got, events := g.send(send()); rec.Code != http.StatusOK || len(got) != 1 || events[0].Statement == nil || events[0].Statement.Type != "resource-based policy" {
		t.Errorf("allowed by the queue's policy: %s, events %+v", raw(rec), events)
	}
	g.policy(permitting("sqs:SendMessage", arnSQS+"mail"))
	set("Deny")
	if rec, got, _ := g.send(send()); len(got) != 0 || !strings.Contains(rec.Body.String(), "with an explicit deny in a resource-based policy") {
		t.Errorf("denied by the queue's policy: %s", raw(rec))
	}
}

// TestGuardRemembers: what only an answer tells is remembered.
func TestGuardRemembers(t *testing.T) {
	t.Parallel()
	g := newGuarded(t)
	const stream = "arn:aws:kinesis:us-east-1:123456789012:stream/"
	g.policy(permitting("kinesis:GetShardIterator kinesis:GetRecords", stream+"clicks"))
	g.stub.serve = func(w http.ResponseWriter, r *http.Request, _ string) {
		if strings.HasSuffix(r.Header.Get("X-Amz-Target"), "GetShardIterator") {
			io.WriteString(w, `{"ShardIterator":"`+strings.Repeat("a", 300)+`"}`)
			return
		}
		io.WriteString(w, `{"Records":[],"NextShardIterator":"b"}`)
	}
	call := func(operation, body string) (int, []emulator.Event) {
		rec, _, events := g.send(g.json("kinesis", json11, "Kinesis_20131202."+operation, body))
		return rec.Code, events
	}
	records := func(iterator string) (int, []emulator.Event) {
		return call("GetRecords", fmt.Sprintf(`{"ShardIterator":%q}`, iterator))
	}
	if status, events := records("never seen"); status != http.StatusBadRequest || events[0].Resource != stream+"*" || !events[0].ResourceUnknown {
		t.Errorf("an iterator that was never seen: %d, events %+v", status, events)
	}
	if status, events := call("GetShardIterator", `{"StreamName":"clicks","ShardId":"s","ShardIteratorType":"LATEST"}`); status != http.StatusOK {
		t.Fatalf("%d, events %+v", status, events)
	}
	for _, iterator := range []string{strings.Repeat("a", 300), "b"} {
		if status, events := records(iterator); status != http.StatusOK || events[0].Resource != stream+"clicks" {
			t.Errorf("iterator %.5s: %d, events %+v", iterator, status, events)
		}
	}
	if err := g.Reset(); err != nil {
		t.Fatal(err)
	}
}

// TestGuardBatchSecrets: a secret that is denied is an error in the answer, and the backend
// is not asked for it.
func TestGuardBatchSecrets(t *testing.T) {
	t.Parallel()
	g := newGuarded(t)
	g.iam("Action", "PutUserPolicy", "UserName", "app", "PolicyName", "batch", "PolicyDocument", permitting("secretsmanager:BatchGetSecretValue", "*"))
	g.policy(permitting("secretsmanager:GetSecretValue", arnSecret+"app-??????"))
	ids := []string{arnSecret + "app-Xy12Za", arnSecret + "other-Xy12Za"}
	var sent string
	g.stub.serve = func(w http.ResponseWriter, _ *http.Request, body string) {
		sent = body
		io.WriteString(w, `{"SecretValues":[{"ARN":"`+ids[0]+`","CreatedDate":1.5e9}]}`)
	}
	batch := func(ids ...string) *http.Request {
		return g.json("secretsmanager", json11, "secretsmanager.BatchGetSecretValue", `{"SecretIdList":["`+strings.Join(ids, `","`)+`"]}`)
	}
	rec, got, events := g.send(batch(ids...))
	if rec.Code != http.StatusOK || len(got) != 1 || sent != `{"SecretIdList":["`+ids[0]+`"]}` {
		t.Fatalf("%s; the backend got %s", raw(rec), sent)
	}
	if body := rec.Body.String(); !strings.Contains(body, `"CreatedDate":1.5e9`) || !strings.Contains(body, `"SecretId":"`+ids[1]+`"`) ||
		!strings.Contains(body, `"ErrorCode":"AccessDeniedException"`) {
		t.Errorf("the answer is %s", body)
	}
	if !slices.ContainsFunc(events, func(e emulator.Event) bool { return e.Decision == emulator.Deny && e.Resource == ids[1] }) {
		t.Errorf("events %+v", events)
	}
	if rec, got, _ := g.send(batch(ids[1])); rec.Code != http.StatusBadRequest || len(got) != 0 {
		t.Errorf("all denied: %s", raw(rec))
	}
}

// TestGuardDecrypt: where only the answer tells the key, it is released if the key may be
// used.
func TestGuardDecrypt(t *testing.T) {
	t.Parallel()
	g := newGuarded(t, func(c *emulator.Config) { c.Forward["kms"] = c.Forward["*"] })
	const key = "arn:aws:kms:us-east-1:123456789012:key/"
	g.policy(permitting("kms:Decrypt", key+"mine"))
	g.stub.serve = func(w http.ResponseWriter, _ *http.Request, body string) {
		name := "mine"
		if strings.Contains(body, "b3RoZXI") {
			name = "other"
		}
		io.WriteString(w, `{"KeyId":"`+key+name+`","Plaintext":"c2VjcmV0"}`)
	}
	decrypt := func(blob string) *http.Request {
		return g.json("kms", json11, "TrentService.Decrypt", `{"CiphertextBlob":"`+blob+`"}`)
	}
	if rec, _, events := g.send(decrypt("bWluZQ==")); rec.Code != http.StatusOK || !strings.Contains(rec.Body.String(), "c2VjcmV0") || events[0].Resource != key+"mine" {
		t.Errorf("%s, events %+v", raw(rec), events)
	}
	rec, _, events := g.send(decrypt("b3RoZXI="))
	if rec.Code != http.StatusBadRequest || strings.Contains(rec.Body.String(), "c2VjcmV0") || !strings.Contains(rec.Body.String(), "on resource: "+key+"other") {
		t.Errorf("another key: %s, events %+v", raw(rec), events)
	}
}

// TestGuardLearnsNothingOld: what an answer tells is not believed if a change has passed
// since the call began.
func TestGuardLearnsNothingOld(t *testing.T) {
	t.Parallel()
	g := newGuarded(t)
	g.policy(permitting("secretsmanager:*", "*"))
	var asked atomic.Int32
	known := answers{"secretsmanager.GetResourcePolicy": "{}", "secretsmanager.DescribeSecret": `{"ARN":"` + arnSecret + `app-oldold","Name":"app"}`}
	g.stub.ask = known.serve(&asked)
	changes := true
	g.stub.serve = func(w http.ResponseWriter, r *http.Request, _ string) {
		if changes && strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".GetSecretValue") {
			changes = false
			known["secretsmanager.DescribeSecret"] = `{"ARN":"` + arnSecret + `app-newnew","Name":"app"}`
			rec := httptest.NewRecorder()
			g.ServeHTTP(rec, g.json("secretsmanager", json11, "secretsmanager.DeleteSecret", `{"SecretId":"app"}`))
		}
		io.WriteString(w, `{"ARN":"`+arnSecret+`app-oldold","Name":"app"}`)
	}
	get := func() *http.Request {
		return g.json("secretsmanager", json11, "secretsmanager.GetSecretValue", `{"SecretId":"app"}`)
	}
	first := httptest.NewRecorder()
	if g.ServeHTTP(first, get()); first.Code != http.StatusOK || changes {
		t.Fatal(raw(first))
	}
	if rec, _, events := g.send(get()); len(events) != 1 || events[0].Resource != arnSecret+"app-newnew" {
		t.Errorf("%s; events %+v", raw(rec), events)
	}
}
