package emulator_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/openirsa/openirsa/pkg/emulator"
)

// unreadable are answers to a question about a resource, and whether they mean that the
// backend does not know the question. The former are as moto, LocalStack, floci, kumo, goaws
// and AWS answer what they do not have.
var unreadable = map[string]struct {
	status  int
	body    string
	unknown bool
}{
	"not implemented":        {http.StatusNotImplemented, `{"__type":"InternalFailure","message":"API for service 'sqs' not yet implemented"}`, true},
	"no such path":           {http.StatusNotFound, "404 page not found", true},
	"no such method":         {http.StatusMethodNotAllowed, "", true},
	"AWS's unknown":          {http.StatusBadRequest, `{"__type":"com.amazon.coral.service#UnknownOperationException"}`, true},
	"an unknown in Query":    {http.StatusBadRequest, "<ErrorResponse><Error><Code>InvalidAction</Code></Error></ErrorResponse>", true},
	"floci's unknown":        {http.StatusBadRequest, `{"__type":"UnsupportedOperation","message":"Operation is not supported."}`, true},
	"kumo's unknown":         {http.StatusBadRequest, `{"__type":"UnknownAction","message":"Action is not supported"}`, true},
	"goaws's unknown":        {http.StatusBadRequest, "Bad Request", true},
	"an internal error":      {http.StatusInternalServerError, `{"__type":"InternalServerError"}`, false},
	"one that names nothing": {http.StatusInternalServerError, `{"__type":"InternalServerError","message":"NoSuchThing"}`, false},
	"too busy":               {http.StatusServiceUnavailable, "", false},
	"too many requests":      {http.StatusTooManyRequests, `{"__type":"ThrottlingException"}`, false},
	"a denial":               {http.StatusForbidden, `{"__type":"AccessDenied"}`, false},
	"a refusal":              {http.StatusBadRequest, `{"__type":"ValidationException"}`, false},
	"no JSON":                {http.StatusOK, "<html>", false},
}

// TestGuardUnreadablePolicy: a policy that cannot be read might deny, so nothing is decided
// without it; a backend that does not know such policies has none.
func TestGuardUnreadablePolicy(t *testing.T) {
	t.Parallel()
	g := newGuarded(t, func(c *emulator.Config) { c.Forward["kms"] = c.Forward["*"] })
	g.policy(anything)
	var status int
	var body string
	g.stub.ask = func(w http.ResponseWriter, r *http.Request, asked string) {
		switch operation := r.Header.Get("X-Amz-Target"); {
		case strings.HasSuffix(operation, ".GetQueueUrl"):
			io.WriteString(w, `{"QueueUrl":"http://backend/123456789012/mail"}`)
		case strings.Contains(asked, "KmsMasterKeyId"):
			io.WriteString(w, "{}")
		default:
			w.WriteHeader(status)
			io.WriteString(w, body)
		}
	}
	calls := map[string]struct {
		r        func() *http.Request
		resource string
		want     string // how an answer begins
	}{
		"sqs": {func() *http.Request {
			return g.json("sqs", json10, "AmazonSQS.SendMessage", `{"QueueUrl":"http://guard/123456789012/mail","MessageBody":"m"}`)
		}, arnSQS + "mail", "503 application/x-amz-json-1.0; x-amzn-query-error: ServiceUnavailableException;Receiver\n"},
		"kms": {func() *http.Request {
			return g.json("kms", json11, "TrentService.Sign", `{"KeyId":"11111111-2222-3333-4444-555555555555","Message":"bQ=="}`)
		}, "arn:aws:kms:us-east-1:123456789012:key/11111111-2222-3333-4444-555555555555", "503 application/x-amz-json-1.1\n"},
		"lambda": {func() *http.Request { return g.by("lambda", "POST", "/2015-03-31/functions/f/invocations", "{}") },
			arnLambda + "function:f", "503 application/json; x-amzn-ErrorType: ServiceUnavailableException\n"},
	}
	for name, answer := range unreadable {
		status, body = answer.status, answer.body
		for service, c := range calls {
			rec, got, events := g.send(c.r())
			if answer.unknown {
				if rec.Code != http.StatusOK || len(got) != 1 {
					t.Errorf("%s, %s: %s; events %+v", name, service, raw(rec), events)
				}
				continue
			}
			if len(got) != 0 || !strings.HasPrefix(raw(rec), c.want) || !strings.Contains(rec.Body.String(), "the policy of "+c.resource+" cannot be read") {
				t.Errorf("%s, %s: %s; %d reached the backend", name, service, raw(rec), len(got))
			}
			if len(events) != 1 || events[0].Step != "backend" || events[0].Decision != emulator.Deny || events[0].Resource != c.resource {
				t.Errorf("%s, %s: events %+v", name, service, events)
			}
		}
	}
	// What cannot be parsed decides nothing, unless nobody may do anything without it.
	status, body = http.StatusOK, `{"Policy":"{","Attributes":{"Policy":"{"}}`
	rec, got, events := g.send(calls["sqs"].r())
	if len(got) != 1 || !strings.Contains(strings.Join(events[0].Warnings, " "), "cannot be parsed and was not evaluated") {
		t.Errorf("%s; events %+v", raw(rec), events)
	}
	rec, got, events = g.send(calls["kms"].r())
	if rec.Code != http.StatusServiceUnavailable || len(got) != 0 || !strings.Contains(events[0].Reason, "it cannot be parsed") {
		t.Errorf("%s; events %+v", raw(rec), events)
	}
}

// TestGuardUnreadableFact: neither is anything decided if the backend does not answer what a
// call is about. What it refuses to answer is unknown.
func TestGuardUnreadableFact(t *testing.T) {
	t.Parallel()
	g := newGuarded(t)
	g.policy(anything)
	for name, answer := range unreadable {
		g.stub.ask = func(w http.ResponseWriter, _ *http.Request, _ string) {
			w.WriteHeader(answer.status)
			io.WriteString(w, answer.body)
		}
		rec, got, events := g.send(g.json("secretsmanager", json11, "secretsmanager.GetSecretValue", `{"SecretId":"app"}`))
		if answer.unknown || name == "a refusal" || name == "no JSON" {
			if rec.Code != http.StatusOK || len(got) != 1 || len(events) != 1 || len(events[0].Warnings) == 0 {
				t.Errorf("%s: %s; events %+v", name, raw(rec), events)
			}
			continue
		}
		if rec.Code != http.StatusServiceUnavailable || len(got) != 0 || len(events) != 1 || events[0].Step != "backend" {
			t.Errorf("%s: %s; events %+v", name, raw(rec), events)
		}
	}
}

// TestGuardS3Unreadable: neither does S3 decide without the policy of a bucket, the tags of an
// object or the key of a bucket.
func TestGuardS3Unreadable(t *testing.T) {
	t.Parallel()
	for fails, read := range map[string]bool{"policy": true, "tagging": true, "encryption": false} {
		var reached []string
		back := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			switch query := r.URL.Query(); {
			case query.Has(fails):
				http.Error(w, "<Error><Code>InternalError</Code></Error>", http.StatusInternalServerError)
			case query.Has("policy"):
				http.Error(w, "<Error><Code>NoSuchBucketPolicy</Code></Error>", http.StatusNotFound)
			default:
				reached = append(reached, r.Method+" "+r.URL.String())
			}
		})
		g := &guardedS3{}
		g.guarded = newGuarded(t, forwardsS3(back), func(c *emulator.Config) { c.Account, c.Now = "", nil })
		server := httptest.NewServer(g.Server)
		t.Cleanup(server.Close)
		g.by = s3.New(s3.Options{
			Region: "us-east-1", BaseEndpoint: &server.URL, UsePathStyle: true, RetryMaxAttempts: 1,
			Credentials: credentials.NewStaticCredentialsProvider(g.id, g.secret, ""),
		})
		g.policy(permitting("s3:*", "*", `{"StringNotEquals":{"s3:ExistingObjectTag/secret":"yes"}}`))
		var err error
		if read {
			_, err = g.get(g.by, "k")
		} else {
			g.policy(permitting("s3:*", "*"))
			err = g.put(g.by, "k", "x")
		}
		if code(err) != "ServiceUnavailable" || len(reached) > 0 {
			t.Errorf("without the %s: %v, reached %q", fails, err, reached)
		}
		events := g.Events(emulator.EventFilter{Decision: emulator.Deny})
		if len(events) != 1 || events[0].Step != "backend" || !strings.Contains(events[0].Reason, "status 500 InternalError") {
			t.Errorf("without the %s: events %+v", fails, events)
		}
	}
}
