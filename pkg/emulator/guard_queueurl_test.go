package emulator_test

import (
	"io"
	"net/http"
	"testing"
)

// TestGuardQueueURLs: whatever a backend calls its queues, clients get the host that they
// asked, and bodies that name none stay as they are.
func TestGuardQueueURLs(t *testing.T) {
	t.Parallel()
	g := newGuarded(t)
	g.policy(permitting("sqs:*", "*"))
	host := g.json("sqs", json10, "AmazonSQS.ListQueues", "{}").Host
	const json, xml = "application/x-amz-json-1.0", "text/xml"
	for _, c := range []struct{ operation, kind, answer, want string }{
		{"CreateQueue", json, `{"QueueUrl":"http://localhost:4566/123456789012/mail"}`, `{"QueueUrl":"http://` + host + `/123456789012/mail"}`},
		{"GetQueueUrl", json, `{"QueueUrl":"https://sqs.us-east-1.other/123456789012/mail"}`, `{"QueueUrl":"http://` + host + `/123456789012/mail"}`},
		{"ListQueues", json, `{"QueueUrls":["http://a/1/x", "http://` + host + `/1/y"],"NextToken":"http"}`,
			`{"QueueUrls":["http://` + host + `/1/x", "http://` + host + `/1/y"],"NextToken":"http"}`},
		{"ListDeadLetterSourceQueues", json, `{"queueUrls":["http://a:1/1/x%20y"]}`, `{"queueUrls":["http://` + host + `/1/x%20y"]}`},
		{"ReceiveMessage", json, `{"Messages":[{"Body":"http://a/1/x"}]}`, `{"Messages":[{"Body":"http://a/1/x"}]}`},
		{"CreateQueue", xml, `<CreateQueueResult><QueueUrl>http://a/1/x</QueueUrl></CreateQueueResult>`,
			`<CreateQueueResult><QueueUrl>http://` + host + `/1/x</QueueUrl></CreateQueueResult>`},
	} {
		g.stub.serve = func(w http.ResponseWriter, _ *http.Request, _ string) {
			w.Header().Set("Content-Type", c.kind)
			io.WriteString(w, c.answer)
		}
		input := map[string]string{"CreateQueue": `{"QueueName":"mail"}`, "GetQueueUrl": `{"QueueName":"mail"}`, "ListQueues": "{}"}[c.operation]
		if input == "" {
			input = `{"QueueUrl":"http://` + host + `/123456789012/mail"}`
		}
		rec, _, _ := g.send(g.json("sqs", json10, "AmazonSQS."+c.operation, input))
		if got := rec.Body.String(); rec.Code != http.StatusOK || got != c.want {
			t.Errorf("%s: %d %s, want %s", c.operation, rec.Code, got, c.want)
		}
	}
}
