package emulator_test

import (
	"compress/gzip"
	"hash/crc32"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/openirsa/openirsa/pkg/emulator"
)

// TestGuardCompressed: an answer that is read here comes as it is, whatever the client
// takes; all others come as the client likes them.
func TestGuardCompressed(t *testing.T) {
	t.Parallel()
	g := newGuarded(t, func(c *emulator.Config) { c.Forward["kms"] = c.Forward["*"] })
	g.policy(anything)
	const key = "arn:aws:kms:us-east-1:123456789012:key/mine"
	g.stub.serve = func(w http.ResponseWriter, r *http.Request, _ string) {
		answer := `{"KeyId":"` + key + `","ShardIterator":"it","QueueUrl":"http://backend/123456789012/mail"}`
		w.Header().Set("X-Amz-Crc32", "123")
		if !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			io.WriteString(w, answer)
			return
		}
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		io.WriteString(z, answer)
		z.Close()
	}
	send := func(service, kind, target, body string) (answer, crc, encoding string, events []emulator.Event) {
		t.Helper()
		rec, got, events := g.send(g.json(service, kind, target, body, "Accept-Encoding", "gzip"))
		if rec.Code != http.StatusOK || len(got) != 1 {
			t.Errorf("%s: %s", target, raw(rec))
		}
		return rec.Body.String(), rec.Header().Get("X-Amz-Crc32"), rec.Header().Get("Content-Encoding"), events
	}
	if _, crc, encoding, _ := send("dynamodb", json10, "DynamoDB_20120810.ListTables", "{}"); encoding != "gzip" || crc != "123" {
		t.Errorf("an answer that nobody reads: encoding %q, sum %q", encoding, crc)
	}
	answer, crc, encoding, events := send("kms", json11, "TrentService.Decrypt", `{"CiphertextBlob":"bWluZQ=="}`)
	if encoding != "" || crc != "" || !strings.Contains(answer, key) || len(events) != 1 || events[0].Resource != key {
		t.Errorf("an answer that is held: %s, encoding %q, sum %q, events %+v", answer, encoding, crc, events)
	}
	answer, crc, encoding, _ = send("sqs", json10, "AmazonSQS.GetQueueUrl", `{"QueueName":"mail"}`)
	if encoding != "" || crc != "" || !strings.Contains(answer, "http://guard.test:4566/123456789012/mail") {
		t.Errorf("an answer with the URL of a queue: %s, encoding %q, sum %q", answer, encoding, crc)
	}
	answer, crc, encoding, _ = send("kinesis", json11, "Kinesis_20131202.GetShardIterator", `{"StreamName":"s","ShardId":"0","ShardIteratorType":"LATEST"}`)
	if encoding != "" || crc != "123" || !strings.Contains(answer, "it") {
		t.Errorf("an answer that teaches: %s, encoding %q, sum %q", answer, encoding, crc)
	}
	_, _, _, events = send("kinesis", json11, "Kinesis_20131202.GetRecords", `{"ShardIterator":"it"}`)
	if len(events) != 1 || events[0].Resource != "arn:aws:kinesis:us-east-1:123456789012:stream/s" {
		t.Errorf("what was learned: events %+v", events)
	}
}

// TestGuardSum: what is denied of DynamoDB has the sum of its bytes, without which the AWS SDK for Go warns of each.
func TestGuardSum(t *testing.T) {
	t.Parallel()
	g := newGuarded(t)
	for _, c := range []struct {
		service, kind, target, body string
		summed                      bool
	}{
		{"dynamodb", json10, "DynamoDB_20120810.ListTables", "{}", true},
		{"dynamodb", json10, "DynamoDBStreams_20120810.ListStreams", "{}", true},
		{"sqs", json10, "AmazonSQS.ListQueues", "{}", false},
		{"kinesis", json11, "Kinesis_20131202.ListStreams", "{}", false},
	} {
		rec, _, _ := g.send(g.json(c.service, c.kind, c.target, c.body))
		want := ""
		if c.summed {
			want = strconv.FormatUint(uint64(crc32.ChecksumIEEE(rec.Body.Bytes())), 10)
		}
		if got := rec.Header().Get("X-Amz-Crc32"); rec.Code < 400 || got != want {
			t.Errorf("%s: sum %q, want %q: %s", c.target, got, want, raw(rec))
		}
	}
}
