package emulator_test

import (
	"bufio"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/openirsa/openirsa/internal/sigv4"
	"github.com/openirsa/openirsa/pkg/emulator"
)

// anything is a policy that allows all.
const anything = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`

// TestGuardAuthentication: who cannot say who it is gets the code of the protocol, and
// nothing reaches the backend.
func TestGuardAuthentication(t *testing.T) {
	t.Parallel()
	g := newGuarded(t)
	g.policy(anything)
	const target = "DynamoDB_20120810.ListTables"
	calls := map[string]func(id, secret, token string) *http.Request{}
	header := func(token string, more ...string) []string {
		if token != "" {
			more = append(more, "X-Amz-Security-Token", token)
		}
		return more
	}
	calls["json"] = func(id, secret, token string) *http.Request {
		return g.signed(id, secret, "dynamodb", "POST", "/", "{}", header(token, "Content-Type", json10, "X-Amz-Target", target)...)
	}
	calls["sqs"] = func(id, secret, token string) *http.Request {
		return g.signed(id, secret, "sqs", "POST", "/", "{}", header(token, "Content-Type", json10, "X-Amz-Target", "AmazonSQS.ListQueues")...)
	}
	calls["rest"] = func(id, secret, token string) *http.Request {
		return g.signed(id, secret, "lambda", "GET", "/2015-03-31/functions/", "", header(token)...)
	}
	calls["query"] = func(id, secret, token string) *http.Request {
		return g.signed(id, secret, "sns", "POST", "/", "Action=ListTopics&Version=2010-03-31", header(token, "Content-Type", formType)...)
	}
	calls["ec2"] = func(id, secret, token string) *http.Request {
		return g.signed(id, secret, "ec2", "POST", "/", "Action=DescribeVpcs&Version=2016-11-15", header(token, "Content-Type", formType)...)
	}
	code := func(rec *httptest.ResponseRecorder) string {
		text := rec.Body.String()
		for _, ends := range [][2]string{{"<Code>", "<"}, {"service#", `"`}} {
			if strings.Contains(text, ends[0]) {
				text = between(text, ends[0], ends[1])
				break
			}
		}
		if kind := spelled(rec.Header(), "x-amzn-ErrorType"); kind != nil {
			text = kind[0]
		}
		if compatible := spelled(rec.Header(), "x-amzn-query-error"); compatible != nil {
			text += " " + compatible[0]
		}
		return fmt.Sprint(rec.Code, " ", text)
	}
	session := g.sts("Action", "GetSessionToken", "DurationSeconds", "900")
	sid, ssecret, stoken := between(session, "<AccessKeyId>", "<"), between(session, "<SecretAccessKey>", "<"), between(session, "<SessionToken>", "<")
	for name, want := range map[string][4]string{ // a wrong secret, an unknown key, a bad token, a session that is over
		"json": {"400 InvalidSignatureException", "400 UnrecognizedClientException", "400 UnrecognizedClientException", "400 ExpiredTokenException"},
		"sqs": {"403 InvalidSignatureException SignatureDoesNotMatch;Sender", "403 UnrecognizedClientException InvalidClientTokenId;Sender",
			"403 UnrecognizedClientException InvalidClientTokenId;Sender", "403 ExpiredTokenException ExpiredToken;Sender"},
		"rest":  {"403 InvalidSignatureException", "403 UnrecognizedClientException", "403 UnrecognizedClientException", "403 ExpiredTokenException"},
		"query": {"403 SignatureDoesNotMatch", "403 InvalidClientTokenId", "403 InvalidClientTokenId", "403 ExpiredToken"},
		"ec2":   {"401 AuthFailure", "401 AuthFailure", "401 AuthFailure", "400 RequestExpired"},
	} {
		check := func(what, want string, r *http.Request) {
			t.Helper()
			rec, got, events := g.send(r)
			if got := code(rec); got != want {
				t.Errorf("%s, %s: %s, want %s", name, what, got, want)
			}
			if len(got) != 0 || len(events) != 1 || events[0].Step != "signature" || events[0].Decision != emulator.Deny {
				t.Errorf("%s, %s: %d forwarded, events %+v", name, what, len(got), events)
			}
		}
		check("a wrong secret", want[0], calls[name](g.id, "wrong", ""))
		check("an unknown key", want[1], calls[name]("AKIAIOSFODNN7EXAMPLE", "x", ""))
		check("a bad token", want[2], calls[name](sid, ssecret, "x"+stoken))
		if rec, got, _ := g.send(calls[name](sid, ssecret, stoken)); rec.Code != http.StatusOK || len(got) != 1 || got[0].Header.Get("X-Amz-Security-Token") != "" {
			t.Errorf("%s, a session: %s", name, raw(rec))
		}
		g.FastForward(time.Hour)
		check("a session that is over", want[3], calls[name](sid, ssecret, stoken))
		g.FastForward(-time.Hour)
	}
	other := g.signed(g.id, g.secret, "sqs", "POST", "/", "{}", "Content-Type", json10, "X-Amz-Target", target)
	if rec, got, _ := g.send(other); len(got) != 0 || !strings.Contains(rec.Body.String(), "Credential should be scoped to correct service: 'dynamodb'.") {
		t.Errorf("a signature for another service: %s", raw(rec))
	}
	none := g.signed("", "", "", "POST", "/", "{}", "Content-Type", json10, "X-Amz-Target", target)
	if rec, got, _ := g.send(none); len(got) != 0 || code(rec) != "400 MissingAuthenticationTokenException" {
		t.Errorf("no signature: %s", raw(rec))
	}
	changed := calls["json"](g.id, g.secret, "")
	changed.Body = io.NopCloser(strings.NewReader("[]"))
	if rec, got, _ := g.send(changed); len(got) != 0 || code(rec) != "400 InvalidSignatureException" {
		t.Errorf("another body: %s", raw(rec))
	}
}

// sts calls STS as the user.
func (g *guarded) sts(pairs ...string) string {
	g.t.Helper()
	rec := httptest.NewRecorder()
	g.ServeHTTP(rec, g.by("sts", "POST", "/", form(append(pairs, "Version", "2011-06-15")...), "Content-Type", formType))
	if rec.Code != http.StatusOK {
		g.t.Fatalf("%d %s", rec.Code, rec.Body)
	}
	return rec.Body.String()
}

// TestGuardUnsigned (D59): what AWS asks nobody who calls is forwarded as it is.
func TestGuardUnsigned(t *testing.T) {
	t.Parallel()
	g := newGuarded(t)
	r := g.signed("", "", "", "POST", "/", `{"AuthFlow":"USER_PASSWORD_AUTH","ClientId":"c"}`, "Content-Type", json11,
		"X-Amz-Target", "AWSCognitoIdentityProviderService.InitiateAuth", "X-Amz-Security-Token", "token")
	rec, got, events := g.send(r)
	if rec.Code != http.StatusOK || len(got) != 1 || got[0].Header.Get("Authorization")+got[0].Header.Get("X-Amz-Security-Token") != "" {
		t.Fatalf("%s, %d forwarded", raw(rec), len(got))
	}
	if len(events) != 1 || events[0].Decision != emulator.Allow || events[0].Step != "no authentication" || events[0].Caller != "anonymous" {
		t.Errorf("events %+v", events)
	}
}

// TestGuardNoBackend (D64): a service without a backend is refused with a text that says
// how to get one.
func TestGuardNoBackend(t *testing.T) {
	t.Parallel()
	g := newGuarded(t, func(c *emulator.Config) { c.Forward = map[string]emulator.Backend{"sqs": c.Forward["*"]} })
	rec, _, events := g.send(g.json("dynamodb", json10, "DynamoDB_20120810.ListTables", "{}"))
	text := rec.Body.String()
	if rec.Code != http.StatusBadRequest || !strings.Contains(text, "UnknownOperationException") || !strings.Contains(text, "--forward dynamodb=URL") {
		t.Error(raw(rec))
	}
	if len(events) != 1 || events[0].Decision != emulator.Deny {
		t.Errorf("events %+v", events)
	}
	g.policy(anything)
	if rec, got, _ := g.send(g.json("sqs", json10, "AmazonSQS.ListQueues", "{}")); rec.Code != http.StatusOK || len(got) != 1 {
		t.Errorf("one that has a backend: %s", raw(rec))
	}
}

// TestGuardTwoReadings: what two readers may take for two things is refused.
func TestGuardTwoReadings(t *testing.T) {
	t.Parallel()
	g := newGuarded(t)
	g.policy(anything)
	j := func(body string, header ...string) *http.Request {
		return g.json("dynamodb", json10, "DynamoDB_20120810.GetItem", body, header...)
	}
	lambda := func(method, uri, body string, header ...string) *http.Request {
		return g.by("lambda", method, uri, body, header...)
	}
	twice := httptest.NewRequest("POST", "/", strings.NewReader(`{"TableName":"a"}`))
	twice.Header = http.Header{"Content-Type": {json10}, "X-Amz-Target": {"DynamoDB_20120810.GetItem", "DynamoDB_20120810.DeleteTable"}}
	err := v4.NewSigner().SignHTTP(t.Context(), aws.Credentials{AccessKeyID: g.id, SecretAccessKey: g.secret}, twice,
		sigv4.HashPayload([]byte(`{"TableName":"a"}`)), "dynamodb", "us-east-1", wireTime)
	if err != nil {
		t.Fatal(err)
	}
	for name, r := range map[string]*http.Request{
		"a member twice":                  j(`{"TableName":"a","TableName":"b"}`),
		"a member in another case":        j(`{"TableName":"a","tablename":"b"}`),
		"only in another case":            j(`{"tablename":"b"}`),
		"an escaped member":               j(`{"TableName":"a","Table\u004eame":"b"}`),
		"something after the object":      j(`{"TableName":"a"}{"TableName":"b"}`),
		"not JSON":                        j(`TableName=a`),
		"two targets":                     twice,
		"JSON with a path":                g.by("dynamodb", "POST", "/x", `{}`, "Content-Type", json10, "X-Amz-Target", "DynamoDB_20120810.GetItem"),
		"JSON with parameters in the URL": g.by("dynamodb", "POST", "/?Action=DeleteTable", `{}`, "Content-Type", json10, "X-Amz-Target", "DynamoDB_20120810.GetItem"),
		"JSON that says it is a form":     j(`{"TableName":"a"}`, "Content-Type", formType),
		"another character set":           j(`{"TableName":"a"}`, "Content-Type", json10+"; charset=utf-16"),
		"two protocols":                   j(`{"TableName":"a"}`, "Smithy-Protocol", "rpc-v2-cbor"),
		"CBOR with a target": g.by("monitoring", "POST", "/service/GraniteServiceVersion20100801/operation/PutMetricData", "\xa0",
			"Smithy-Protocol", "rpc-v2-cbor", "X-Amz-Target", "GraniteServiceVersion20100801.DeleteAlarms"),
		"CBOR with a member twice": g.by("monitoring", "POST", "/service/GraniteServiceVersion20100801/operation/PutMetricData",
			"\xa2\x69Namespace\x61a\x69Namespace\x61b", "Smithy-Protocol", "rpc-v2-cbor"),
		"a form with a target":          g.by("sns", "POST", "/", "Action=ListTopics&Version=2010-03-31", "Content-Type", formType, "X-Amz-Target", "A.B"),
		"a parameter twice":             g.query("sns", "/", "Action=Publish&Version=2010-03-31&TopicArn=a&TopicArn=b"),
		"two actions":                   g.query("sns", "/", "Action=Publish&Action=DeleteTopic&Version=2010-03-31"),
		"an action in the URL too":      g.query("sns", "/?Action=DeleteTopic", "Action=Publish&Version=2010-03-31"),
		"a parameter in another case":   g.query("sns", "/", "Action=Publish&Version=2010-03-31&topicarn=a"),
		"a form with a path":            g.query("sns", "/x", "Action=Publish&Version=2010-03-31"),
		"two queues":                    g.query("sqs", "/123456789012/a", "Action=ReceiveMessage&Version=2012-11-05&QueueUrl=http%3A%2F%2Fh%2F123456789012%2Fb"),
		"REST with a target":            lambda("GET", "/2015-03-31/functions/f", "", "X-Amz-Target", "DynamoDB_20120810.GetItem"),
		"REST with an action":           lambda("GET", "/2015-03-31/functions/f?Action=DeleteQueue&Version=2012-11-05", ""),
		"REST with a form":              lambda("POST", "/2015-03-31/functions/f/invocations", "Action=x", "Content-Type", formType),
		"a path with dots":              lambda("GET", "/2015-03-31/functions/../functions/g", ""),
		"one with dots that are hidden": lambda("GET", "/2015-03-31/functions/%2e%2e/functions/g", ""),
		"another operation's, decoded":  lambda("GET", "/2015-03-31/functions/f%2Fconfiguration", ""),
		"a parameter of the URL twice":  lambda("POST", "/2015-03-31/functions/f/invocations?Qualifier=a&Qualifier=b", ""),
	} {
		rec, got, events := g.send(r)
		if len(got) != 0 || rec.Code < 400 || rec.Code >= 500 {
			t.Errorf("%s: %s; %d reached the backend", name, raw(rec), len(got))
		}
		step := "parameters"
		if strings.Contains(r.RequestURI, "%2e") {
			step = "signature" // the dots are signed as they are
		}
		if len(events) == 0 || events[len(events)-1].Decision != emulator.Deny || events[len(events)-1].Step != step {
			t.Errorf("%s: events %+v", name, events)
		}
	}
}

// TestGuardHeaders: headers by which backends take orders stay here.
func TestGuardHeaders(t *testing.T) {
	t.Parallel()
	g := newGuarded(t)
	g.policy(anything)
	r := g.json("dynamodb", json10, "DynamoDB_20120810.ListTables", "{}")
	for name, value := range map[string]string{
		"X-Moto-Account-Id": "999988887777", "X-Http-Method-Override": "DELETE", "X_amz_target": "DynamoDB_20120810.DeleteTable",
		"X-Forwarded-Host": "h", "Upgrade": "h2c", "Connection": "Upgrade, X-Amz-Date", "Cookie": "a=b", "Accept-Encoding": "gzip",
		"Traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
	} {
		r.Header.Set(name, value)
	}
	g.stub.serve = func(w http.ResponseWriter, r *http.Request, _ string) {
		h := w.Header()
		h.Set("X-Amz-Crc32", "123")
		h.Set("X-Amzn-Requestid", "the backend's")
		h.Set("Access-Control-Allow-Origin", "*")
		h.Set("Set-Cookie", "a=b")
		h.Set("Content-Encoding", "gzip")
		w.WriteHeader(http.StatusBadRequest)
		z := gzip.NewWriter(w)
		io.WriteString(z, `{"__type":"ResourceNotFoundException"}`)
		z.Close()
	}
	rec, got, events := g.send(r)
	if len(got) != 1 {
		t.Fatal(raw(rec))
	}
	sent := slices.Sorted(maps.Keys(got[0].Header))
	want := []string{"Accept-Encoding", "Authorization", "Content-Type", "Traceparent", "User-Agent", "X-Amz-Date", "X-Amz-Target", "X-Openirsa-Forwarded"}
	if !slices.Equal(sent, want) {
		t.Errorf("the backend got %q", sent)
	}
	z, err := gzip.NewReader(rec.Body)
	if err != nil {
		t.Fatal(err)
	}
	if body := must(io.ReadAll(z)); rec.Code != http.StatusBadRequest || string(body) != `{"__type":"ResourceNotFoundException"}` {
		t.Errorf("the answer is %d %s", rec.Code, body)
	}
	h := rec.Header()
	if h.Get("X-Amz-Crc32") != "123" || h.Get("Access-Control-Allow-Origin") != "" || h.Get("Set-Cookie") != "" ||
		h.Get("X-Amzn-Requestid") != events[0].RequestID {
		t.Errorf("the answer has %v", h)
	}
}

// TestGuardHost: the client's host passes if nobody takes the call for another
// service's by it.
func TestGuardHost(t *testing.T) {
	t.Parallel()
	g := newGuarded(t, func(c *emulator.Config) { c.Hosts = append(c.Hosts, "aws.example") })
	g.policy(anything)
	for host, want := range map[string]string{
		"127.0.0.1:4566": "127.0.0.1:4566", "[::1]:4566": "[::1]:4566", "localhost:4566": "localhost:4566", "emulator:4566": "emulator:4566",
		"aws.example": "aws.example", "emulator.openirsa-system.svc:4566": "emulator.openirsa-system.svc:4566",
		"emulator.openirsa-system.svc.cluster.local": "emulator.openirsa-system.svc.cluster.local",
		"dynamodb.us-east-1.amazonaws.com":           "dynamodb.us-east-1.amazonaws.com",
		"bucket.s3.amazonaws.com":                    "handler.invalid", "sqs.us-east-1.amazonaws.com": "handler.invalid",
		"bucket.emulator.openirsa-system.svc": "handler.invalid", "bucket.localhost:4566": "handler.invalid",
		"abc.execute-api.localhost": "handler.invalid", "x.aws.example": "handler.invalid",
	} {
		r := httptest.NewRequest("POST", "/", strings.NewReader("{}"))
		r.Host = host
		r.Header.Set("Content-Type", json10)
		r.Header.Set("X-Amz-Target", "DynamoDB_20120810.ListTables")
		err := v4.NewSigner().SignHTTP(t.Context(), aws.Credentials{AccessKeyID: g.id, SecretAccessKey: g.secret}, r,
			sigv4.HashPayload([]byte("{}")), "dynamodb", "us-east-1", wireTime)
		if err != nil {
			t.Fatal(err)
		}
		var got string
		g.stub.ask = func(w http.ResponseWriter, r *http.Request, _ string) { got = r.Host }
		_, forwarded, _ := g.send(r)
		if len(forwarded) == 1 {
			got = forwarded[0].Host
		}
		if got != want {
			t.Errorf("of %s the backend gets %q, want %s", host, got, want)
		}
	}
}

// TestGuardPresigned: a presigned URL is verified, and signed anew in headers.
func TestGuardPresigned(t *testing.T) {
	t.Parallel()
	g := newGuarded(t)
	g.policy(permitting("lambda:GetFunction", arnLambda+"function:f"))
	presigned := func(secret string) *http.Request {
		r := httptest.NewRequest("GET", "http://guard.test:4566/2015-03-31/functions/f?Qualifier=%24LATEST", nil)
		uri, _, err := v4.NewSigner().PresignHTTP(t.Context(), aws.Credentials{AccessKeyID: g.id, SecretAccessKey: secret}, r,
			sigv4.EmptyPayload, "lambda", "eu-west-1", wireTime)
		if err != nil {
			t.Fatal(err)
		}
		u := must(url.Parse(uri))
		r = httptest.NewRequest("GET", u.RequestURI(), nil)
		r.Host = "guard.test:4566"
		return r
	}
	g.policy(permitting("lambda:GetFunction", "arn:aws:lambda:eu-west-1:123456789012:function:f*"))
	rec, got, _ := g.send(presigned(g.secret))
	if rec.Code != http.StatusOK || len(got) != 1 {
		t.Fatal(raw(rec))
	}
	if got[0].URL.RawQuery != "Qualifier=%24LATEST" || !strings.Contains(got[0].Header.Get("Authorization"), "/eu-west-1/lambda/aws4_request") {
		t.Errorf("the backend got %s, %s", got[0].URL, got[0].Header.Get("Authorization"))
	}
	if rec, got, _ := g.send(presigned("wrong")); rec.Code != http.StatusForbidden || len(got) != 0 {
		t.Error(raw(rec))
	}
}

// TestGuardLargeBody: a large body passes whole, and is in memory at no time.
func TestGuardLargeBody(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	g := newGuarded(t, func(c *emulator.Config) { c.State = dir + "/state.db" })
	g.policy(anything)
	body := `{"FunctionName":"f","Role":"arn:aws:iam::123456789012:role/r","Code":{"ZipFile":"` + strings.Repeat("QUJD", 3<<20) + `"}}`
	var length int64
	g.stub.serve = func(w http.ResponseWriter, r *http.Request, body string) {
		length = int64(len(body))
		io.WriteString(w, "{}")
	}
	rec, got, events := g.send(g.by("lambda", "POST", "/2015-03-31/functions", body, "Content-Type", "application/json"))
	if rec.Code != http.StatusOK || len(got) != 1 || length != int64(len(body)) {
		t.Fatalf("%s; the backend got %d bytes of %d", raw(rec), length, len(body))
	}
	var actions []string
	for _, e := range events {
		actions = append(actions, e.Action+" "+e.Resource)
	}
	want := []string{"lambda:CreateFunction " + arnLambda + "function:f", "iam:PassRole arn:aws:iam::123456789012:role/r"}
	if !slices.Equal(actions, want) {
		t.Errorf("asked %q", actions)
	}
	tooLarge := g.by("lambda", "POST", "/2015-03-31/functions", "")
	tooLarge.ContentLength = 200 << 20
	if rec, got, _ := g.send(tooLarge); rec.Code != http.StatusRequestEntityTooLarge || len(got) != 0 {
		t.Errorf("too large: %s", raw(rec))
	}
	for _, f := range must(os.ReadDir(dir)) {
		if strings.HasPrefix(f.Name(), "openirsa-body") {
			t.Errorf("%s is left", f.Name())
		}
	}
}

// TestGuardStream: what a backend writes is there at once, and a client that goes away
// takes the backend's request with it.
func TestGuardStream(t *testing.T) {
	t.Parallel()
	g := newGuarded(t)
	g.policy(anything)
	gone := make(chan struct{})
	begun := make(chan struct{})
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/vnd.amazon.eventstream")
		io.WriteString(w, "first\n")
		http.NewResponseController(w).Flush()
		close(begun)
		<-r.Context().Done()
		close(gone)
	}))
	defer backend.Close()
	if err := g.SetForward(map[string]emulator.Backend{"bedrock": {URL: backend.URL}}); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(g)
	defer server.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r := must(http.NewRequestWithContext(ctx, "POST", server.URL+"/model/m/converse-stream", strings.NewReader("{}")))
	r.Header.Set("Content-Type", "application/json")
	err := v4.NewSigner().SignHTTP(t.Context(), aws.Credentials{AccessKeyID: g.id, SecretAccessKey: g.secret}, r, sigv4.HashPayload([]byte("{}")), "bedrock", "us-east-1", wireTime)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	line, err := bufio.NewReader(resp.Body).ReadString('\n')
	if err != nil || line != "first\n" {
		t.Fatalf("%q, %v", line, err)
	}
	<-begun
	// The state is free while the stream goes on.
	reset := make(chan error, 1)
	go func() { reset <- g.Reset() }()
	select {
	case err := <-reset:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Error("nobody can empty the emulator while the stream goes on")
	}
	cancel()
	select {
	case <-gone:
	case <-time.After(10 * time.Second):
		t.Error("the backend still answers")
	}
}

// TestGuardBackendDown: a backend that does not answer is a 503 in the client's
// protocol, with an event.
func TestGuardBackendDown(t *testing.T) {
	t.Parallel()
	g := newGuarded(t)
	g.policy(anything)
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	reset := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	defer reset.Close()
	for _, to := range []string{closed.URL, reset.URL} {
		if err := g.SetForward(map[string]emulator.Backend{"*": {URL: to}}); err != nil {
			t.Fatal(err)
		}
		for want, r := range map[string]*http.Request{
			"503 application/x-amz-json-1.0": g.json("dynamodb", json10, "DynamoDB_20120810.ListTables", "{}"),
			"503 text/xml":                   g.query("sns", "/", "Action=ListTopics&Version=2010-03-31"),
			"503 application/json; x-amzn-ErrorType: ServiceUnavailableException": g.by("lambda", "GET", "/2015-03-31/functions/", ""),
		} {
			rec, _, events := g.send(r)
			if answer := raw(rec); !strings.HasPrefix(answer, want+"\n") || !strings.Contains(answer, "ServiceUnavailable") {
				t.Errorf("%s, want %s", answer, want)
			}
			if last := events[len(events)-1]; last.Step != "backend" || last.Decision != emulator.Deny || !strings.Contains(last.Reason, to) {
				t.Errorf("event %+v", last)
			}
		}
	}
	var wrong []string
	for _, err := range g.CheckForward(t.Context()) {
		wrong = append(wrong, err.Error())
	}
	if len(wrong) != 1 || !strings.Contains(wrong[0], reset.URL) {
		t.Errorf("what is wrong with the backends: %q", wrong)
	}
}

// TestGuardLoop: a backend that is the emulator itself is found out.
func TestGuardLoop(t *testing.T) {
	t.Parallel()
	g := newGuarded(t)
	g.policy(anything)
	server := httptest.NewServer(g)
	defer server.Close()
	if err := g.SetForward(map[string]emulator.Backend{"*": {URL: server.URL}}); err != nil {
		t.Fatal(err)
	}
	rec := httptest.NewRecorder()
	g.ServeHTTP(rec, g.json("dynamodb", json10, "DynamoDB_20120810.ListTables", "{}"))
	if rec.Code != http.StatusBadRequest || !strings.Contains(rec.Body.String(), "leads back to it") {
		t.Error(raw(rec))
	}
	events := g.Events(emulator.EventFilter{Decision: emulator.Deny})
	if len(events) != 1 || events[0].Step != "backend" {
		t.Errorf("events %+v", events)
	}
	if wrong := g.CheckForward(t.Context()); len(wrong) != 1 || !strings.Contains(wrong[0].Error(), "it is this emulator") {
		t.Errorf("what is wrong with the backends: %v", wrong)
	}
}

// TestGuardNames: backends are found by every name of a service, and names that no
// service has are refused.
func TestGuardNames(t *testing.T) {
	t.Parallel()
	for names, want := range map[string]string{
		"states=http://h:1 stepfunctions=http://h:2 monitoring=http://h cloudwatch=http://h *=https://h": "",
		"dynamo=http://h":               `forwarding "dynamo": no service has that name; there are dynamodb`,
		"sqss=http://h":                 `forwarding "sqss": no service has that name; there are sqs`,
		"sts=http://h":                  "forwarding sts: by STS and IAM the emulator knows who calls and what it may do",
		"iam=http://h":                  "forwarding iam: ",
		"s3=http://h kms=http://h":      "",
		"s3control=http://h":            "only S3 itself can be forwarded, with s3=URL",
		"sqs=h:1":                       "is not of the form http://HOST:PORT",
		"sqs=http://h/path":             "has more than a host and a port",
		"sqs=http://u:p@h":              "has credentials in it",
		"sqs":                           "is not of the form SERVICE=URL",
		"sqs=http://h sqs=http://h":     "is there twice",
		"zzzzzzzzzzzzzzzzzzzz=http://h": "no service has that name",
	} {
		_, err := emulator.ParseForward(strings.Fields(names))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", names, err, want)
		}
	}
	if _, err := emulator.New(emulator.Config{Forward: map[string]emulator.Backend{"dynamo": {URL: "http://h"}}}); err == nil {
		t.Error("an emulator with a wrong name starts")
	}
}
