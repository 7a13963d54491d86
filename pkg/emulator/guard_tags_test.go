package emulator_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/openirsa/openirsa/pkg/emulator"
)

// denyRed is a statement that denies what has the tag team=red to everybody.
const denyRed = `{"Effect":"Deny","Principal":"*","Action":"*","Resource":"*","Condition":{"StringEquals":{"aws:ResourceTag/team":"red"}}}`

// denyingRed is the policy of a resource that allows all to an account, but what is red.
func denyingRed(account string) string {
	return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::` + account + `:root"},"Action":"*","Resource":"*"},` +
		denyRed + `]}`
}

// TestGuardTagsInResourcePolicies: the tags of a resource are asked of the backend if only
// its own policy names them, and also where no more than the answer tells which it is.
func TestGuardTagsInResourcePolicies(t *testing.T) {
	t.Parallel()
	const key = "arn:aws:kms:us-east-1:123456789012:key/11111111-2222-3333-4444-555555555555"
	for _, team := range []string{"red", "blue"} {
		g := newGuarded(t, func(c *emulator.Config) { c.Forward["kms"] = c.Forward["*"] })
		g.policy(anything)
		known := answers{
			"AmazonSQS.GetQueueUrl":            `{"QueueUrl":"http://backend/123456789012/mail"}`,
			"AmazonSQS.GetQueueAttributes":     `{"Attributes":{"Policy":` + quoted(denyingRed(guardAccount)) + `}}`,
			"AmazonSQS.ListQueueTags":          `{"Tags":{"team":"` + team + `"}}`,
			"secretsmanager.GetResourcePolicy": `{"ResourcePolicy":` + quoted(denyingRed(guardAccount)) + `}`,
			"secretsmanager.DescribeSecret":    `{"Tags":[{"Key":"team","Value":"` + team + `"}]}`,
			"TrentService.GetKeyPolicy":        `{"Policy":` + quoted(denyingRed(guardAccount)) + `}`,
			"TrentService.ListResourceTags":    `{"Tags":[{"TagKey":"team","TagValue":"` + team + `"}]}`,
		}
		g.stub.ask = func(w http.ResponseWriter, r *http.Request, body string) {
			if strings.Contains(body, "KmsMasterKeyId") {
				io.WriteString(w, "{}")
				return
			}
			answer, ok := known[r.Header.Get("X-Amz-Target")]
			if !ok {
				w.WriteHeader(http.StatusNotImplemented)
			}
			io.WriteString(w, answer)
		}
		g.stub.serve = func(w http.ResponseWriter, _ *http.Request, _ string) {
			io.WriteString(w, `{"KeyId":"`+key+`","Plaintext":"c2VjcmV0"}`)
		}
		for name, r := range map[string]*http.Request{
			"a queue":                g.json("sqs", json10, "AmazonSQS.SendMessage", `{"QueueUrl":"http://guard/123456789012/mail","MessageBody":"m"}`),
			"a secret":               g.json("secretsmanager", json11, "secretsmanager.GetSecretValue", `{"SecretId":"`+arnSecret+`app-Xy12Za"}`),
			"a key":                  g.json("kms", json11, "TrentService.Sign", `{"KeyId":"`+key+`","Message":"bQ=="}`),
			"a key that is not said": g.json("kms", json11, "TrentService.Decrypt", `{"CiphertextBlob":"bWluZQ=="}`),
		} {
			rec, _, events := g.send(r)
			if denied := strings.Contains(rec.Body.String(), "explicit deny in a resource-based policy"); denied != (team == "red") ||
				strings.Contains(rec.Body.String(), "c2VjcmV0") == denied {
				t.Errorf("%s of team %s: %s; events %+v", name, team, raw(rec), events)
			}
		}
	}
}

// TestGuardTagsOfOwnKey: so are those of a key of the emulator's own, which a service uses for
// the caller.
func TestGuardTagsOfOwnKey(t *testing.T) {
	t.Parallel()
	for _, team := range []string{"red", "blue"} {
		g := newGuarded(t)
		rec, _, _ := g.send(g.signed("test", "test", "kms", "POST", "/", `{"KeySpec":"RSA_2048","KeyUsage":"SIGN_VERIFY","Policy":`+
			quoted(denyingRed(guardAccount))+`,"Tags":[{"TagKey":"team","TagValue":"`+team+`"}],"BypassPolicyLockoutSafetyCheck":true}`,
			"Content-Type", json11, "X-Amz-Target", "TrentService.CreateKey"))
		key := between(rec.Body.String(), `"Arn":"`, `"`)
		g.stub.ask = func(w http.ResponseWriter, r *http.Request, body string) {
			switch {
			case strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".GetQueueUrl"):
				io.WriteString(w, `{"QueueUrl":"http://backend/123456789012/mail"}`)
			case strings.Contains(body, "KmsMasterKeyId"):
				io.WriteString(w, `{"Attributes":{"KmsMasterKeyId":"`+key+`"}}`)
			default:
				io.WriteString(w, "{}")
			}
		}
		g.policy(anything)
		answer, reached, events := g.sendEncrypted()
		if reached != (team == "blue") {
			t.Errorf("with a key of team %s: %s; events %+v", team, answer, events)
		}
	}
}

// TestGuardTagsInControlPolicies: the tags of a resource are asked of the backend if only a
// resource control policy of its account names them.
func TestGuardTagsInControlPolicies(t *testing.T) {
	t.Parallel()
	g := accounted(t)
	g.policy(anything)
	organizations := func(operation, body string) string {
		t.Helper()
		rec, _, _ := g.send(g.byOther("organizations", json11, "AWSOrganizationsV20161128."+operation, body))
		if rec.Code != http.StatusOK {
			t.Fatalf("%s: %s", operation, raw(rec))
		}
		return rec.Body.String()
	}
	organizations("CreateOrganization", "{}")
	root := between(organizations("ListRoots", "{}"), `"Id":"`, `"`)
	const kind = "RESOURCE_CONTROL_POLICY"
	organizations("EnablePolicyType", `{"RootId":"`+root+`","PolicyType":"`+kind+`"}`)
	made := organizations("CreatePolicy", `{"Type":"`+kind+`","Name":"red","Description":"","Content":`+
		quoted(`{"Version":"2012-10-17","Statement":[`+strings.Replace(denyRed, `"Action":"*"`, `"Action":"sqs:*"`, 1)+`]}`)+`}`)
	organizations("AttachPolicy", `{"PolicyId":"`+between(made, `"Id":"`, `"`)+`","TargetId":"`+guardAccount+`"}`)
	for _, team := range []string{"red", "blue"} {
		g.stub.ask = func(w http.ResponseWriter, r *http.Request, _ string) {
			switch operation := r.Header.Get("X-Amz-Target"); {
			case strings.HasSuffix(operation, ".GetQueueUrl"):
				io.WriteString(w, `{"QueueUrl":"http://backend/123456789012/`+team+`"}`)
			case strings.HasSuffix(operation, ".ListQueueTags"):
				io.WriteString(w, `{"Tags":{"team":"`+team+`"}}`)
			default:
				io.WriteString(w, "{}")
			}
		}
		rec, got, events := g.send(g.json("sqs", json10, "AmazonSQS.SendMessage", `{"QueueUrl":"http://guard/123456789012/`+team+`","MessageBody":"m"}`))
		if denied := strings.Contains(rec.Body.String(), "explicit deny in a resource control policy"); denied != (team == "red") || (len(got) == 0) != denied {
			t.Errorf("a queue of team %s: %s; events %+v", team, raw(rec), events)
		}
	}
}
