package emulator_test

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/fxamacker/cbor/v2"

	"github.com/openirsa/openirsa/internal/sigv4"
	"github.com/openirsa/openirsa/pkg/emulator"
)

// stub is a backend that records what it gets.
type stub struct {
	mu     sync.Mutex
	got    []*http.Request
	bodies []string
	// serve answers; nil answers {}.
	serve func(w http.ResponseWriter, r *http.Request, body string)
	// ask answers what the guard asks for itself; nil knows nothing.
	ask func(w http.ResponseWriter, r *http.Request, body string)
}

func (s *stub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if r.Host == "handler.invalid" && r.Header.Get("Authorization") != "" { // not a client's
		if s.ask == nil {
			http.Error(w, "{}", http.StatusBadRequest)
			return
		}
		s.ask(w, r, string(body))
		return
	}
	s.mu.Lock()
	s.got, s.bodies = append(s.got, r), append(s.bodies, string(body))
	serve := s.serve
	s.mu.Unlock()
	if serve == nil {
		w.Header().Set("Content-Type", "application/x-amz-json-1.0")
		io.WriteString(w, "{}")
		return
	}
	serve(w, r, string(body))
}

// take are the requests since the last time.
func (s *stub) take() (got []*http.Request, bodies []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	got, bodies = s.got, s.bodies
	s.got, s.bodies = nil, nil
	return got, bodies
}

// guarded is an emulator that forwards everything to a stub, and a user of it.
type guarded struct {
	*emulator.Server
	t          testing.TB
	stub       *stub
	id, secret string // of the user
	token      string // of a session, if id is of one
	now        func() time.Time
}

const guardAccount = "123456789012"

// newGuarded makes a guarded emulator. The user has no permissions.
func newGuarded(t testing.TB, change ...func(*emulator.Config)) *guarded {
	t.Helper()
	g := &guarded{t: t, stub: &stub{}}
	config := emulator.Config{
		Account: guardAccount, Hosts: []string{"guard.test"}, Now: func() time.Time { return wireTime }, Log: slog.New(slog.DiscardHandler),
		Forward: map[string]emulator.Backend{"*": {Handler: g.stub}},
	}
	for _, f := range change {
		f(&config)
	}
	if g.now = config.Now; g.now == nil {
		g.now = time.Now
	}
	var err error
	if g.Server, err = emulator.New(config); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.Close() })
	g.iam("Action", "CreateUser", "UserName", "app")
	answer := g.iam("Action", "CreateAccessKey", "UserName", "app")
	g.id, g.secret = between(answer, "<AccessKeyId>", "<"), between(answer, "<SecretAccessKey>", "<")
	return g
}

// iam calls IAM as the root user.
func (g *guarded) iam(pairs ...string) string {
	g.t.Helper()
	rec := httptest.NewRecorder()
	body := form(append(pairs, "Version", "2010-05-08")...)
	g.ServeHTTP(rec, g.signed("test", "test", "iam", "POST", "/", body, "Content-Type", formType))
	if rec.Code != http.StatusOK {
		g.t.Fatalf("%d %s", rec.Code, rec.Body)
	}
	return rec.Body.String()
}

// policy gives the user a policy in place of what it had; "" takes it away.
func (g *guarded) policy(document string) {
	g.t.Helper()
	if document == "" {
		document = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"none:None","Resource":"*"}}`
	}
	g.iam("Action", "PutUserPolicy", "UserName", "app", "PolicyName", "p", "PolicyDocument", document)
}

// permitting is a policy that allows actions, separated by blanks, on a resource.
func permitting(actions, resource string, condition ...string) string {
	list := `"` + strings.Join(strings.Fields(actions), `","`) + `"`
	more := strings.Join(condition, "")
	if more != "" {
		more = `,"Condition":` + more
	}
	return fmt.Sprintf(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":[%s],"Resource":%q%s}}`, list, resource, more)
}

const (
	formType = "application/x-www-form-urlencoded; charset=utf-8"
	json10   = "application/x-amz-json-1.0"
	json11   = "application/x-amz-json-1.1"
)

// signed is a request that somebody has signed for a service, as AWS's SDK signs.
func (g *guarded) signed(id, secret, service, method, uri, body string, header ...string) *http.Request {
	r := httptest.NewRequestWithContext(g.t.Context(), method, uri, strings.NewReader(body))
	if !r.URL.IsAbs() {
		r.Host = "guard.test:4566"
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	if service == "" {
		return r
	}
	credentials := aws.Credentials{AccessKeyID: id, SecretAccessKey: secret}
	if id == g.id {
		credentials.SessionToken = g.token
	}
	err := v4.NewSigner().SignHTTP(g.t.Context(), credentials, r,
		sigv4.HashPayload([]byte(body)), service, "us-east-1", g.now())
	if err != nil {
		g.t.Fatal(err)
	}
	return r
}

// by is a request of the user.
func (g *guarded) by(service, method, uri, body string, header ...string) *http.Request {
	return g.signed(g.id, g.secret, service, method, uri, body, header...)
}

// json is a request of the user in a JSON protocol.
func (g *guarded) json(service, kind, target, body string, header ...string) *http.Request {
	return g.by(service, "POST", "/", body, append([]string{"Content-Type", kind, "X-Amz-Target", target}, header...)...)
}

// query is a request of the user in the Query protocol.
func (g *guarded) query(service, uri, body string) *http.Request {
	return g.by(service, "POST", uri, body, "Content-Type", formType)
}

// send sends a request, and returns the answer, what reached the backend, and the
// events.
func (g *guarded) send(r *http.Request) (rec *httptest.ResponseRecorder, got []*http.Request, events []emulator.Event) {
	g.t.Helper()
	g.stub.take()
	before := g.Events(emulator.EventFilter{})
	after := uint64(0)
	if len(before) > 0 {
		after = before[len(before)-1].Seq
	}
	rec = httptest.NewRecorder()
	g.ServeHTTP(rec, r)
	got, _ = g.stub.take()
	events = g.Events(emulator.EventFilter{After: after})
	for _, e := range events {
		if id := rec.Header().Get("X-Amzn-Requestid") + strings.Join(spelled(rec.Header(), "x-amzn-RequestId"), ""); e.RequestID != id {
			g.t.Errorf("event %+v of request %q", e, id)
		}
	}
	return rec, got, events
}

// encodedMessage is what EC2's denials end with, which is never the same twice.
var encodedMessage = regexp.MustCompile(`( Encoded authorization failure message: )[\w-]+`)

const arnApp = "arn:aws:iam::123456789012:user/app"

// deniedText is the text of a denial.
func deniedText(action, resource string) string {
	text := "User: " + arnApp + " is not authorized to perform: " + action
	if resource != "" {
		text += " on resource: " + resource
	}
	return text + " because no identity-based policy allows the " + unspelled(action) + " action"
}

func unspelled(action string) string {
	switch action {
	case "sqs:sendmessage":
		return "sqs:SendMessage"
	case "sqs:receivemessage":
		return "sqs:ReceiveMessage"
	case "SNS:Publish":
		return "sns:Publish"
	}
	return action
}

const (
	arnDynamo = "arn:aws:dynamodb:us-east-1:123456789012:"
	arnSQS    = "arn:aws:sqs:us-east-1:123456789012:"
	arnSNS    = "arn:aws:sns:us-east-1:123456789012:"
	arnLambda = "arn:aws:lambda:us-east-1:123456789012:"
	arnEC2    = "arn:aws:ec2:us-east-1:123456789012:"
)

func deniedJSON(version, text string) string {
	return "400 application/x-amz-json-" + version + "\n" + `{"Message":"` + text + `","__type":"com.amazon.coral.service#AccessDeniedException"}`
}

func deniedREST(text string) string {
	return "403 application/json; x-amzn-ErrorType: AccessDeniedException\n" + `{"Message":"` + text + `"}`
}

func deniedQuery(namespace, code, text string) string {
	return `403 text/xml` + "\n" + `<ErrorResponse xmlns="` + namespace + `"><Error><Type>Sender</Type><Code>` + code + `</Code><Message>` + text +
		`</Message></Error><RequestId>ID</RequestId></ErrorResponse>`
}

// TestGuardWire: a call in each protocol is decided and forwarded as it was sent, or
// denied with the service's own code in its client's protocol, and then never reaches
// the backend.
func TestGuardWire(t *testing.T) {
	t.Parallel()
	g := newGuarded(t)
	metric := string(must(cbor.Marshal(map[string]any{"Namespace": "N", "MetricData": []any{map[string]any{"MetricName": "m", "Value": 1.5}}})))
	deniedMetric := deniedText("cloudwatch:PutMetricData", "")
	item := `{"TableName":"Cart","Item":{"id":{"S":"7"},"n":{"N":"1"}}}`
	for _, test := range []struct {
		name    string
		r       func() *http.Request
		allowed string // policy
		denied  string // policy
		action  string
		want    string // answer to the denial
	}{
		{"D01 JSON 1.0", func() *http.Request { return g.json("dynamodb", json10, "DynamoDB_20120810.PutItem", item) },
			permitting("dynamodb:*", arnDynamo+"table/Cart"), "", "dynamodb:PutItem", deniedJSON("1.0", deniedText("dynamodb:PutItem", arnDynamo+"table/Cart"))},
		{"D09 SQS in JSON", func() *http.Request {
			return g.json("sqs", json10, "AmazonSQS.SendMessage", `{"QueueUrl":"http://guard:4566/123456789012/mail","MessageBody":"m"}`, "X-Amzn-Query-Mode", "true")
		}, permitting("sqs:SendMessage", arnSQS+"mail"), "", "sqs:SendMessage",
			"403 application/x-amz-json-1.0; x-amzn-query-error: AccessDenied;Sender\n" + `{"__type":"com.amazon.coral.service#AccessDeniedException","message":"` +
				deniedText("sqs:sendmessage", arnSQS+"mail") + `"}`},
		{"D10 SQS of old SDKs", func() *http.Request {
			return g.query("sqs", "/", "Action=SendMessageBatch&Version=2012-11-05&QueueUrl=http%3A%2F%2Fguard%2F123456789012%2Fmail&SendMessageBatchRequestEntry.1.Id=a&SendMessageBatchRequestEntry.1.MessageBody=m")
		}, permitting("sqs:SendMessage", arnSQS+"mail"), "", "sqs:SendMessage",
			deniedQuery("http://queue.amazonaws.com/doc/2012-11-05/", "AccessDenied", deniedText("sqs:sendmessage", arnSQS+"mail"))},
		{"D11 SQS at a queue", func() *http.Request {
			return g.query("sqs", "/123456789012/mail", "Action=ReceiveMessage&Version=2012-11-05")
		}, permitting("sqs:ReceiveMessage", arnSQS+"mail"), permitting("sqs:SendMessage", arnSQS+"mail"), "sqs:ReceiveMessage",
			deniedQuery("http://queue.amazonaws.com/doc/2012-11-05/", "AccessDenied", deniedText("sqs:receivemessage", arnSQS+"mail"))},
		{"D14 SNS", func() *http.Request {
			return g.query("sns", "/", "Action=Publish&Version=2010-03-31&TopicArn=arn%3Aaws%3Asns%3Aus-east-1%3A123456789012%3Anews&Message=m")
		}, permitting("sns:Publish", arnSNS+"news"), "", "sns:Publish",
			deniedQuery("http://sns.amazonaws.com/doc/2010-03-31/", "AuthorizationError", deniedText("SNS:Publish", arnSNS+"news"))},
		{"D29 REST JSON", func() *http.Request {
			return g.by("lambda", "POST", "/2015-03-31/functions/resize/invocations", `{"a":1}`)
		},
			permitting("lambda:InvokeFunction", arnLambda+"function:resize"), "", "lambda:InvokeFunction",
			deniedREST(deniedText("lambda:InvokeFunction", arnLambda+"function:resize"))},
		{"D32 an ARN in a path", func() *http.Request {
			return g.by("lambda", "GET", "/2017-03-31/tags/arn%3Aaws%3Alambda%3Aus-east-1%3A123456789012%3Afunction%3Aresize", "")
		}, permitting("lambda:ListTags", arnLambda+"function:resize"), "", "lambda:ListTags",
			deniedREST(deniedText("lambda:ListTags", arnLambda+"function:resize"))},
		{"D41 CloudWatch in JSON", func() *http.Request {
			return g.json("monitoring", json10, "GraniteServiceVersion20100801.PutMetricData", `{"Namespace":"N","MetricData":[]}`)
		}, permitting("cloudwatch:PutMetricData", "*", `{"StringEquals":{"cloudwatch:namespace":"N"}}`),
			permitting("cloudwatch:PutMetricData", "*", `{"StringEquals":{"cloudwatch:namespace":"M"}}`), "cloudwatch:PutMetricData",
			"403 application/x-amz-json-1.0; x-amzn-query-error: AccessDenied;Sender\n" + `{"__type":"com.amazon.coral.service#AccessDeniedException","message":"` + deniedMetric + `"}`},
		{"D42 CloudWatch in CBOR", func() *http.Request {
			return g.by("monitoring", "POST", "/service/GraniteServiceVersion20100801/operation/PutMetricData", metric,
				"Smithy-Protocol", "rpc-v2-cbor", "Content-Type", "application/cbor")
		}, permitting("cloudwatch:PutMetricData", "*", `{"StringEquals":{"cloudwatch:namespace":"N"}}`),
			permitting("cloudwatch:PutMetricData", "*", `{"StringEquals":{"cloudwatch:namespace":"M"}}`), "cloudwatch:PutMetricData",
			"403 application/cbor; x-amzn-query-error: AccessDenied;Sender; smithy-protocol: rpc-v2-cbor\n\xa2\x66__type\x75AccessDeniedException\x67message\x78" +
				string([]byte{byte(len(deniedMetric))}) + deniedMetric},
		{"D43 CloudWatch of old SDKs", func() *http.Request {
			return g.query("monitoring", "/", "Action=PutMetricData&Version=2010-08-01&Namespace=N&MetricData.member.1.MetricName=m")
		}, permitting("cloudwatch:PutMetricData", "*", `{"StringEquals":{"cloudwatch:namespace":"N"}}`),
			permitting("cloudwatch:PutMetricData", "*", `{"StringEquals":{"cloudwatch:namespace":"M"}}`), "cloudwatch:PutMetricData",
			deniedQuery("http://monitoring.amazonaws.com/doc/2010-08-01/", "AccessDenied", deniedMetric)},
		{"D45 EC2", func() *http.Request {
			return g.query("ec2", "/", "Action=StopInstances&Version=2016-11-15&InstanceId.1=i-1&InstanceId.2=i-2")
		}, permitting("ec2:StopInstances", arnEC2+"instance/*"), permitting("ec2:StopInstances", arnEC2+"instance/i-1"), "ec2:StopInstances",
			"403 text/xml;charset=UTF-8\n<Response><Errors><Error><Code>UnauthorizedOperation</Code><Message>You are not authorized to perform this operation. " +
				deniedText("ec2:StopInstances", arnEC2+"instance/i-2") + " Encoded authorization failure message: SEALED</Message></Error></Errors><RequestID>ID</RequestID></Response>"},
		{"D60 Bedrock's stream", func() *http.Request {
			return g.by("bedrock", "POST", "/model/anthropic.claude-3-haiku-20240307-v1%3A0/converse-stream", `{"messages":[]}`, "Content-Type", "application/json")
		}, permitting("bedrock:InvokeModelWithResponseStream", "arn:aws:bedrock:us-east-1::foundation-model/anthropic.*"), "", "bedrock:InvokeModelWithResponseStream",
			deniedREST(deniedText("bedrock:InvokeModelWithResponseStream", "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-3-haiku-20240307-v1:0"))},
	} {
		t.Run(test.name, func(t *testing.T) {
			g.policy(test.allowed)
			sent := test.r()
			body := string(must(io.ReadAll(sent.Body)))
			rec, got, events := g.send(test.r())
			if rec.Code != http.StatusOK || rec.Body.String() != "{}" || len(got) != 1 {
				t.Fatalf("allowed: %s\n%d requests reached the backend, events %+v", raw(rec), len(got), events)
			}
			for _, e := range events {
				if e.Decision != emulator.Allow || e.Action != test.action || e.Caller != arnApp || e.Step != "permission" {
					t.Errorf("event %+v", e)
				}
			}
			g.asSent(t, sent, body, got[0])

			g.policy(test.denied)
			rec, got, events = g.send(test.r())
			if answer := encodedMessage.ReplaceAllString(raw(rec), "${1}SEALED"); answer != test.want || len(got) != 0 {
				t.Errorf("denied: %d requests reached the backend:\n%q\nwant\n%q", len(got), answer, test.want)
			}
			if len(events) == 0 || events[len(events)-1].Decision != emulator.Deny || events[len(events)-1].Action != test.action {
				t.Errorf("events %+v", events)
			}
		})
	}
}

var scopeForm = regexp.MustCompile(`Credential=([^/]*)/([^,]*),`)

// asSent checks that the backend got what was sent, signed with the account's key.
func (g *guarded) asSent(t *testing.T, sent *http.Request, body string, got *http.Request) {
	t.Helper()
	if got.Method != sent.Method || got.URL.EscapedPath() != sent.URL.EscapedPath() || got.Host != sent.Host {
		t.Errorf("the backend got %s %s at %s", got.Method, got.URL, got.Host)
	}
	for _, name := range []string{"Content-Type", "X-Amz-Target", "Smithy-Protocol", "User-Agent"} {
		if got.Header.Get(name) != sent.Header.Get(name) {
			t.Errorf("the backend got %s: %s", name, got.Header.Get(name))
		}
	}
	if got.ContentLength != int64(len(body)) {
		t.Errorf("the backend got %d bytes, of %d", got.ContentLength, len(body))
	}
	was, is := scopeForm.FindStringSubmatch(sent.Header.Get("Authorization")), scopeForm.FindStringSubmatch(got.Header.Get("Authorization"))
	if len(is) != 3 || is[1] != guardAccount || is[2] != was[2] {
		t.Errorf("the backend got %q, the client sent %q", is, was)
	}
	r := got.Clone(t.Context())
	s, err := sigv4.Parse(r)
	if err != nil {
		t.Fatal(err)
	}
	var v sigv4.Verifier
	if _, err := v.Verify(r, &s, "test", sigv4.HashPayload([]byte(body)), wireTime); err != nil {
		t.Errorf("the signature for the backend: %v", err)
	}
}
