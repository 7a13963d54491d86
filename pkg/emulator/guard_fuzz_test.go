package emulator_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

// mine are the only resources that the user of FuzzGuard may use.
const mine = "mine"

// readings are all names of resources that some reader could find in a request: with
// the last or the first of two members, with names in any case, with a form in the
// body, in the URL or in both, with a path that is decoded before it is cut, with
// headers whose names have underscores.
func readings(r *http.Request, body string) []string {
	var found []string
	add := func(name, value string) {
		switch strings.ToLower(name) {
		case "tablename", "queueurl", "topicarn", "targetarn", "functionname":
			cut := strings.LastIndexAny(value, "/:")
			found = append(found, value[cut+1:])
		}
	}
	d := json.NewDecoder(strings.NewReader(body))
	if t, err := d.Token(); err == nil && t == json.Delim('{') {
		for d.More() {
			name, err := d.Token()
			if err != nil {
				break
			}
			var value any
			if d.Decode(&value) != nil {
				break
			}
			if text, ok := value.(string); ok {
				add(name.(string), text)
			}
		}
	}
	for _, form := range []string{body, r.URL.RawQuery} {
		values, _ := url.ParseQuery(form)
		for name, all := range values {
			for _, value := range all {
				add(name, value)
			}
		}
	}
	for _, path := range []string{r.URL.Path, r.URL.EscapedPath()} {
		if m := regexp.MustCompile(`/functions/+([^/]+)`).FindAllStringSubmatch(path, -1); m != nil {
			for _, part := range m {
				name, _ := url.PathUnescape(part[1])
				found = append(found, name)
			}
		}
		if m := regexp.MustCompile(`^/[0-9]{12}/([^/]+)`).FindStringSubmatch(path); m != nil {
			found = append(found, m[1])
		}
	}
	return found
}

// operations are all names of operations that some reader could find.
func operationsIn(r *http.Request, body string) []string {
	var found []string
	for name, values := range r.Header {
		if strings.EqualFold(strings.ReplaceAll(name, "_", "-"), "X-Amz-Target") {
			found = append(found, values...)
		}
	}
	for _, form := range []string{body, r.URL.RawQuery} {
		values, _ := url.ParseQuery(form)
		for name, all := range values {
			if strings.EqualFold(name, "Action") {
				found = append(found, all...)
			}
		}
	}
	return found
}

// FuzzGuard: whatever reaches the backend is of the one operation and the one resource
// that the user may use, in all ways in which it can be read.
func FuzzGuard(f *testing.F) {
	for _, seed := range []struct{ service, method, uri, target, kind, body string }{
		{"dynamodb", "POST", "/", "DynamoDB_20120810.GetItem", json10, `{"TableName":"mine","Key":{}}`},
		{"dynamodb", "POST", "/", "DynamoDB_20120810.GetItem", json10, `{"TableName":"mine","TableName":"other"}`},
		{"dynamodb", "POST", "/", "DynamoDB_20120810.GetItem", json10, `{"TableName":"mine","tablename":"other"}`},
		{"dynamodb", "POST", "/?Action=Publish&TopicArn=other", "DynamoDB_20120810.GetItem", json10, `{"TableName":"mine"}`},
		{"sqs", "POST", "/", "AmazonSQS.SendMessage", json10, `{"QueueUrl":"http://h/123456789012/mine"}`},
		{"sqs", "POST", "/123456789012/mine", "", formType, `Action=SendMessage&Version=2012-11-05`},
		{"sqs", "POST", "/123456789012/other", "", formType, `Action=SendMessage&Version=2012-11-05&QueueUrl=http%3A%2F%2Fh%2F123456789012%2Fmine`},
		{"sns", "POST", "/", "", formType, `Action=Publish&Version=2010-03-31&TopicArn=arn%3Aaws%3Asns%3Aus-east-1%3A123456789012%3Amine`},
		{"sns", "GET", "/?Action=Publish&Version=2010-03-31&TopicArn=arn:aws:sns:us-east-1:123456789012:mine", "", "", ""},
		{"sns", "POST", "/?TopicArn=other", "", formType, `Action=Publish&Version=2010-03-31&TopicArn=arn:aws:sns:us-east-1:123456789012:mine`},
		{"lambda", "POST", "/2015-03-31/functions/mine/invocations", "", "application/json", `{}`},
		{"lambda", "POST", "/2015-03-31/functions/mine/../other/invocations", "", "application/json", `{}`},
		{"lambda", "POST", "/2015-03-31/functions/mine%2F..%2Fother/invocations", "", "application/json", `{}`},
		{"lambda", "POST", "/2015-03-31//functions//mine/invocations", "", "application/json", `{}`},
	} {
		f.Add(seed.service, seed.method, seed.uri, seed.target, seed.kind, seed.body)
	}
	g := newGuarded(f)
	g.iam("Action", "PutUserPolicy", "UserName", "app", "PolicyName", "p", "PolicyDocument",
		`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":["dynamodb:GetItem","sqs:SendMessage","sns:Publish","lambda:InvokeFunction"],
		"Resource":["arn:aws:dynamodb:us-east-1:123456789012:table/mine","arn:aws:sqs:us-east-1:123456789012:mine",
		"arn:aws:sns:us-east-1:123456789012:mine","arn:aws:lambda:us-east-1:123456789012:function:mine"]}}`)
	operations := []string{"DynamoDB_20120810.GetItem", "AmazonSQS.SendMessage", "SendMessage", "SendMessageBatch", "AmazonSQS.SendMessageBatch", "Publish", "PublishBatch"}
	f.Fuzz(func(t *testing.T, service, method, uri, target, kind, body string) {
		r, err := http.NewRequest(method, "http://guard.test"+uri, strings.NewReader(body))
		if err != nil || r.URL.Host != "guard.test" || service == "" || strings.ContainsAny(service, "/, =\t\r\n") {
			return
		}
		var header []string
		if target != "" {
			header = append(header, "X-Amz-Target", target)
		}
		if kind != "" {
			header = append(header, "Content-Type", kind)
		}
		sent := func() (sent *http.Request) {
			defer func() { recover() }() // httptest's, of what is no request
			return g.by(service, method, r.URL.RequestURI(), body, header...)
		}()
		if sent == nil {
			return
		}
		_, got, _ := g.send(sent)
		if len(got) > 1 {
			t.Fatalf("%d calls reached the backend", len(got))
		}
		for _, r := range got {
			checkReadings(t, r, body, operations)
		}
	})
}

// checkReadings checks a request that has reached the backend.
func checkReadings(t *testing.T, r *http.Request, body string, operations []string) {
	t.Helper()
	for _, name := range readings(r, body) {
		if name != mine {
			var dump bytes.Buffer
			r.Body = io.NopCloser(strings.NewReader(body))
			r.Write(&dump)
			t.Errorf("a reader finds %q in\n%s", name, dump.String())
		}
	}
	for _, operation := range operationsIn(r, body) {
		known := false
		for _, allowed := range operations {
			known = known || allowed == operation
		}
		if !known {
			t.Errorf("a reader finds operation %q in %s %s\n%s", operation, r.Method, r.URL, body)
		}
	}
}
