package emulator_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/openirsa/openirsa/pkg/emulator"
)

// otherAccount is another account than the one of the user of a guarded emulator.
const otherAccount = "999988887777"

// accounted is a guarded emulator of two accounts.
func accounted(t *testing.T) *guarded {
	t.Helper()
	return newGuarded(t, func(c *emulator.Config) { c.Accounts = []string{guardAccount, otherAccount} })
}

// keyOf is the access key that a request was signed with for the backend, by which
// emulators take the account.
func keyOf(r *http.Request) string {
	found := scopeForm.FindStringSubmatch(r.Header.Get("Authorization"))
	if found == nil {
		return ""
	}
	return found[1]
}

// byOther is a request of the root user of the other account in a JSON protocol.
func (g *guarded) byOther(service, kind, target, body string) *http.Request {
	return g.signed(otherAccount, "test", service, "POST", "/", body, "Content-Type", kind, "X-Amz-Target", target)
}

// openTo is a policy of a resource that lets an account do everything.
func openTo(account string) string {
	return permittingTo("arn:aws:iam::"+account+":root", "*")
}

// secretsByAccount has the backend be a Secrets Manager that knows the account by the key of
// a request: each has a secret "app", which the other account may read.
func secretsByAccount(t *testing.T, g *guarded) {
	answer := func(w http.ResponseWriter, r *http.Request, body string) {
		var in struct{ SecretId string }
		if err := json.Unmarshal([]byte(body), &in); err != nil {
			t.Errorf("the backend got %s: %v", body, err)
		}
		arn := in.SecretId
		if arn == "app" {
			arn = "arn:aws:secretsmanager:us-east-1:" + keyOf(r) + ":secret:app-" + keyOf(r)[:6]
		}
		if strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".GetResourcePolicy") {
			io.WriteString(w, `{"ResourcePolicy":`+quoted(openTo(otherAccount))+`}`)
			return
		}
		io.WriteString(w, `{"ARN":"`+arn+`","Name":"app"}`)
	}
	g.stub.ask, g.stub.serve = answer, answer
}

// TestGuardLearnsByOwner: the name of a secret that was read across accounts is its owner's,
// and the caller's own secret of that name stays another one.
func TestGuardLearnsByOwner(t *testing.T) {
	t.Parallel()
	g := accounted(t)
	secretsByAccount(t, g)
	const theirs = "arn:aws:secretsmanager:us-east-1:" + guardAccount + ":secret:app-123456"
	const own = "arn:aws:secretsmanager:us-east-1:" + otherAccount + ":secret:app-999988"
	for _, c := range []struct{ id, want string }{{theirs, theirs}, {"app", own}, {own, own}, {"app", own}} {
		rec, _, events := g.send(g.byOther("secretsmanager", json11, "secretsmanager.GetSecretValue", `{"SecretId":"`+c.id+`"}`))
		if rec.Code != http.StatusOK || len(events) != 1 || events[0].Resource != c.want {
			t.Errorf("%s: %s; events %+v, want %s", c.id, raw(rec), events, c.want)
		}
	}
}

// TestGuardSignsAsOwner: a call goes to the backend as the account that has what it names,
// so that one that knows accounts by the key does not take the caller's resource of the
// same name; as it does when the guard asks for itself.
func TestGuardSignsAsOwner(t *testing.T) {
	t.Parallel()
	g := accounted(t)
	g.policy(anything)
	open := openTo(guardAccount)
	var asked []string
	g.stub.ask = func(w http.ResponseWriter, r *http.Request, _ string) {
		asked = append(asked, keyOf(r))
		switch operation := r.Header.Get("X-Amz-Target"); {
		case strings.HasSuffix(operation, ".GetQueueUrl"):
			io.WriteString(w, `{"QueueUrl":"http://backend/q"}`)
		case strings.HasSuffix(operation, ".GetQueueAttributes"):
			io.WriteString(w, `{"Attributes":{"Policy":`+quoted(open)+`}}`)
		case strings.HasSuffix(operation, ".GetResourcePolicy"):
			io.WriteString(w, `{"ResourcePolicy":`+quoted(open)+`}`)
		default:
			w.WriteHeader(http.StatusBadRequest)
			io.WriteString(w, `{"__type":"UnknownOperationException"}`)
		}
	}
	const theirSecret = "arn:aws:secretsmanager:us-east-1:" + otherAccount + ":secret:app-abcdef"
	const theirTable = "arn:aws:dynamodb:us-east-1:" + otherAccount + ":table/"
	for _, c := range []struct {
		name, key string
		r         *http.Request
	}{
		{"an own queue", guardAccount, g.json("sqs", json10, "AmazonSQS.SendMessage", `{"QueueUrl":"http://h/`+guardAccount+`/mail","MessageBody":"m"}`)},
		{"the other's queue", otherAccount, g.json("sqs", json10, "AmazonSQS.SendMessage", `{"QueueUrl":"http://h/`+otherAccount+`/mail","MessageBody":"m"}`)},
		{"the other's secret", otherAccount, g.json("secretsmanager", json11, "secretsmanager.GetSecretValue", `{"SecretId":"`+theirSecret+`"}`)},
		{"no resource", guardAccount, g.json("sqs", json10, "AmazonSQS.ListQueues", `{}`)},
	} {
		asked = nil
		rec, got, events := g.send(c.r)
		if rec.Code != http.StatusOK || len(got) != 1 || keyOf(got[0]) != c.key {
			t.Errorf("%s: %s; %d reached the backend; events %+v", c.name, raw(rec), len(got), events)
			continue
		}
		for _, key := range asked {
			if key != c.key {
				t.Errorf("%s: the backend was asked as %s", c.name, key)
			}
		}
	}
	// Nobody was asked about the caller's own table of the other's name.
	batch := g.json("dynamodb", json10, "DynamoDB_20120810.BatchGetItem", `{"RequestItems":{"`+theirTable+`Cart":{},"Stock":{}}}`)
	rec, got, events := g.send(batch)
	if rec.Code != http.StatusBadRequest || len(got) != 0 || !strings.Contains(rec.Body.String(), "a backend is told one account") {
		t.Errorf("tables of two accounts: %s; %d reached the backend", raw(rec), len(got))
	}
	if len(events) != 1 || events[0].Step != "parameters" || events[0].Decision != emulator.Deny {
		t.Errorf("events %+v", events)
	}
}
