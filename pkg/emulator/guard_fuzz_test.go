package emulator_test

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"io"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"

	"github.com/openirsa/openirsa/pkg/emulator"
)

// What FuzzGuard finds in a request that has reached the backend. These readers share no
// code with the guard's: each takes a request as some lenient backend does.

// found is what readers find: values of members that name resources, by the names of
// the members in lower case, and operations.
type found struct {
	values     map[string][]string
	operations []string
}

// naming are the members that name resources in the operations that the user may do.
var naming = regexp.MustCompile(`(?i)^(TableName|QueueUrl|TopicArn|TargetArn|FunctionName|StreamName|StreamARN|KeyId|CiphertextBlob|AlarmName|` +
	`logGroupName|logGroupIdentifier|HostedZoneId|TrafficPolicyId|InstanceId(\.(member\.)?[0-9]+)?)$`)

func (f *found) add(name, value string) {
	if naming.MatchString(name) && value != "" {
		name, _, _ = strings.Cut(strings.ToLower(name), ".")
		f.values[name] = append(f.values[name], value)
	}
	if strings.EqualFold(name, "Action") {
		f.operations = append(f.operations, value)
	}
}

// json reads the members of an object, the first and the last of two of a name.
func (f *found) json(body string) {
	d := json.NewDecoder(strings.NewReader(body))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return
	}
	for d.More() {
		name, err := d.Token()
		var value any
		if err != nil || d.Decode(&value) != nil {
			return
		}
		list, is := value.([]any)
		if !is {
			list = []any{value}
		}
		for _, entry := range list {
			if text, ok := entry.(string); ok && !strings.EqualFold(name.(string), "Action") {
				f.add(name.(string), text)
			}
		}
	}
}

// form reads parameters, with ; between them too, and takes what is badly escaped as it is.
func (f *found) form(text string) {
	for _, pair := range strings.FieldsFunc(text, func(c rune) bool { return c == '&' || c == ';' }) {
		name, value, _ := strings.Cut(pair, "=")
		f.add(unescaped(name), unescaped(value))
	}
}

// unescaped undoes the escapes that are well-formed.
func unescaped(text string) string {
	text = strings.ReplaceAll(text, "+", " ")
	return regexp.MustCompile(`%[0-9A-Fa-f]{2}`).ReplaceAllStringFunc(text, func(escape string) string {
		plain, _ := url.PathUnescape(escape)
		return plain
	})
}

// xml reads all elements at any depth.
func (f *found) xml(body string) {
	d := xml.NewDecoder(strings.NewReader(body))
	d.Strict = false
	var within []string
	for {
		token, err := d.RawToken()
		if err != nil {
			return
		}
		switch t := token.(type) {
		case xml.StartElement:
			within = append(within, t.Name.Local)
		case xml.EndElement:
			within = within[:max(0, len(within)-1)]
		case xml.CharData:
			if len(within) > 0 && within[len(within)-1] != "Action" {
				f.add(within[len(within)-1], strings.TrimSpace(string(t)))
			}
		}
	}
}

// cbor reads all pairs of texts at any depth, as far as it understands them.
func (f *found) cbor(body []byte) {
	name, named := "", false
	for len(body) > 0 {
		major, size, head := body[0]>>5, uint64(body[0]&31), 1
		if size >= 24 && size < 28 {
			width := 1 << (size - 24)
			if len(body) < 1+width {
				return
			}
			head, size = 1+width, 0
			for _, b := range body[1:head] {
				size = size<<8 | uint64(b)
			}
		}
		body = body[head:]
		if major != 2 && major != 3 {
			named = named && major == 6 // a tag is of what follows
			continue
		}
		if size > uint64(len(body)) {
			return
		}
		text := string(body[:size])
		if body = body[size:]; named {
			f.add(name, text)
		}
		name, named = text, true
	}
}

var (
	functionPath = regexp.MustCompile(`/functions/+([^/]+)`)
	zonePath     = regexp.MustCompile(`/hostedzone/+([^/]+)`)
	queuePath    = regexp.MustCompile(`^/*[0-9]{12}/+([^/]+)`)
	rpcOperation = regexp.MustCompile(`/operation/([^/]+)`)
)

// path reads a path, before and after it is decoded and tidied up.
func (f *found) path(u *url.URL) {
	for _, text := range []string{u.EscapedPath(), u.Path, path.Clean(u.Path), unescaped(u.Path), path.Clean(unescaped(u.Path))} {
		for name, form := range map[string]*regexp.Regexp{"FunctionName": functionPath, "HostedZoneId": zonePath, "QueueUrl": queuePath} {
			for _, m := range form.FindAllStringSubmatch(text, -1) {
				f.add(name, unescaped(m[1]))
			}
		}
		for _, m := range rpcOperation.FindAllStringSubmatch(text, -1) {
			f.operations = append(f.operations, m[1])
		}
	}
}

// readings are all that some reader finds in a request.
func readings(r *http.Request, body string) found {
	f := found{values: map[string][]string{}}
	header := func(name string) string { // a server that follows CGI does not tell _ from -
		var all []string
		for spelled, values := range r.Header {
			if strings.EqualFold(strings.ReplaceAll(spelled, "_", "-"), name) {
				all = append(all, values...)
			}
		}
		return strings.Join(all, " ")
	}
	bodies := []string{body}
	if strings.Contains(strings.ToLower(header("Content-Encoding")), "gzip") {
		if z, err := gzip.NewReader(strings.NewReader(body)); err == nil {
			if plain, err := io.ReadAll(io.LimitReader(z, 1<<20)); err == nil {
				bodies = append(bodies, string(plain))
			}
		}
	}
	target, kind := header("X-Amz-Target"), strings.ToLower(header("Content-Type"))
	f.operations = append(f.operations, strings.Fields(target)...)
	isCBOR := strings.Contains(kind, "cbor") || header("Smithy-Protocol") != ""
	for _, body := range bodies {
		if target != "" && !isCBOR {
			f.json(body)
		}
		if isCBOR {
			f.cbor([]byte(body))
		}
		if strings.Contains(kind, "form") || strings.Contains(r.URL.RawQuery, "Action") {
			f.form(body)
		}
		if target == "" && strings.HasPrefix(strings.TrimSpace(body), "<") {
			f.xml(body)
		}
	}
	f.form(r.URL.RawQuery)
	f.path(r.URL)
	return f
}

// names are the names of resources in the value of a member, whole and cut up.
func names(member, value string) []string {
	last := func(text, separators string) string { return text[strings.LastIndexAny(text, separators)+1:] }
	switch member {
	case "queueurl":
		all := []string{last(value, "/"), last(unescaped(value), "/")}
		if u, err := url.Parse(value); err == nil {
			all = append(all, last(u.Path, "/"), last(u.Opaque, "/"))
		}
		return all
	case "functionname": // with a version or an alias
		text := unescaped(value)
		if i := strings.LastIndex(text, "function:"); i >= 0 {
			text = text[i+len("function:"):]
		}
		text, _, _ = strings.Cut(text, ":")
		return []string{text, last(text, "/")}
	case "loggroupname", "loggroupidentifier":
		if i := strings.LastIndex(value, "log-group:"); i >= 0 {
			value = value[i+len("log-group:"):]
		}
		return []string{strings.ReplaceAll(strings.TrimSuffix(value, ":*"), "/", "")}
	case "hostedzoneid": // which may have its type before it
		return []string{strings.TrimPrefix(last(value, "/"), "hostedzone"), strings.TrimPrefix(last(unescaped(value), "/"), "hostedzone")}
	case "alarmname":
		return []string{value}
	case "ciphertextblob":
		plain, err := base64.StdEncoding.DecodeString(value)
		if err != nil {
			plain = []byte(value)
		}
		if !bytes.HasPrefix(plain, []byte(keyTheirs)) {
			return nil
		}
		return []string{keyTheirs}
	}
	return []string{last(value, "/:"), last(unescaped(value), "/:")}
}

// mine are the names of the only resources that the user of FuzzGuard may use.
var mine = regexp.MustCompile(`^((i-)?mine[\w.#-]*|` + keyMine + `)?$`)

// mayDo are the operations that it may do, as requests name them.
var mayDo = regexp.MustCompile(`^(DynamoDB_20120810\.GetItem|AmazonSQS\.SendMessage(Batch)?|SendMessage(Batch)?|Publish(Batch)?|` +
	`Kinesis_20131202\.PutRecord|TrentService\.Decrypt|StopInstances|GraniteServiceVersion20100801\.SetAlarmState|SetAlarmState|` +
	`Logs_20140328\.GetLogEvents)$`)

// mineAlone is the policy of that user.
func mineAlone() string {
	statement := func(action, resource string) string {
		return `{"Effect":"Allow","Action":"` + action + `","Resource":"` + resource + `"}`
	}
	const begin = "arn:aws:"
	const rest = ":us-east-1:123456789012:"
	return `{"Version":"2012-10-17","Statement":[` + strings.Join([]string{
		statement("dynamodb:GetItem", arnDynamo+"table/mine*"), statement("sqs:SendMessage", arnSQS+"mine*"), statement("sns:Publish", arnSNS+"mine*"),
		statement("lambda:InvokeFunction", arnLambda+"function:mine*"), statement("kinesis:PutRecord", begin+"kinesis"+rest+"stream/mine*"),
		statement("kms:Decrypt", arnKey+keyMine), statement("ec2:StopInstances", arnEC2+"instance/i-mine*"),
		statement("cloudwatch:SetAlarmState", begin+"cloudwatch"+rest+"alarm:mine*"), statement("logs:GetLogEvents", begin+"logs"+rest+"log-group:mine*"),
		statement("route53:ChangeResourceRecordSets", begin+"route53:::hostedzone/mine*"),
		statement("route53:CreateTrafficPolicyInstance", begin+"route53:::hostedzone/mine*"),
		statement("route53:CreateTrafficPolicyInstance", begin+"route53:::trafficpolicy/mine*"),
	}, ",") + `]}`
}

// attempt is a request that FuzzGuard makes: what has the encoding gzip is compressed.
type attempt struct{ service, method, uri, target, kind, smithy, encoding, body string }

// attempts are the seeds: calls as they should be, and with what should not be there.
func attempts() []attempt {
	encoded := func(pairs ...any) string {
		in := map[string]any{}
		for i := 0; i < len(pairs); i += 2 {
			in[pairs[i].(string)] = pairs[i+1]
		}
		return string(must(cbor.Marshal(in)))
	}
	json := func(service, kind, target, body string) attempt {
		return attempt{service: service, method: "POST", uri: "/", target: target, kind: kind, body: body}
	}
	form := func(service, uri, body string) attempt {
		return attempt{service: service, method: "POST", uri: uri, kind: formType, body: body}
	}
	get, send := "DynamoDB_20120810.GetItem", "AmazonSQS.SendMessage"
	const sns, sqs, ec2, alarm = "Action=Publish&Version=2010-03-31", "Action=SendMessage&Version=2012-11-05",
		"Action=StopInstances&Version=2016-11-15", "Action=SetAlarmState&Version=2010-08-01"
	all := []attempt{
		json("dynamodb", json10, get, `{"TableName":"mine","Key":{}}`), json("dynamodb", json10, get, `{"TableName":"mine","TableName":"other"}`),
		json("dynamodb", json10, get, `{"TableName":"mine","tablename":"other"}`), json("dynamodb", json10, get, `{"TableName":"mine:table/other"}`),
		json("dynamodb", json10, get, `{"TableName":"arn:aws:dynamodb:us-east-1:123456789012:table/mine"}`),
		json("kinesis", json11, "Kinesis_20131202.PutRecord", `{"StreamName":"mine","Data":"","PartitionKey":"p"}`),
		json("kinesis", json11, "Kinesis_20131202.PutRecord", `{"StreamARN":"arn:aws:kinesis:us-east-1:123456789012:stream/mine","StreamName":"other"}`),
		json("kinesis", "application/x-amz-cbor-1.1", "Kinesis_20131202.PutRecord", encoded("StreamName", "mine", "Data", []byte("x"))),
		json("logs", json11, "Logs_20140328.GetLogEvents", `{"logGroupName":"mine","logStreamName":"s"}`),
		json("logs", json11, "Logs_20140328.GetLogEvents", `{"logGroupName":"mine","logGroupIdentifier":"other","logStreamName":"s"}`),
		json("kms", json11, "TrentService.Decrypt", `{"KeyId":"`+keyMine+`","CiphertextBlob":"`+base64.StdEncoding.EncodeToString([]byte(keyMine+"x"))+`"}`),
		json("kms", json11, "TrentService.Decrypt", `{"KeyId":"`+keyMine+`","CiphertextBlob":"`+base64.StdEncoding.EncodeToString([]byte(keyTheirs+"x"))+`"}`),
		json("kms", json11, "TrentService.Decrypt", `{"KeyId":"`+arnKey+keyMine+`","CiphertextBlob":"aGlkZGVu"}`),
		json("monitoring", json10, "GraniteServiceVersion20100801.SetAlarmState", `{"AlarmName":"mine","StateValue":"OK","StateReason":"r"}`),
		json("sqs", json10, send, `{"QueueUrl":"mine"}`), form("sqs", "/123456789012/mine", sqs), form("sqs", "/123456789012/mine/", sqs),
		form("sqs", "/123456789012/other", sqs+"&QueueUrl=http%3A%2F%2Fh%2F123456789012%2Fmine"), form("sqs", "/123456789012/mine?QueueUrl=other", sqs),
		{service: "sqs", method: "GET", uri: "/123456789012/mine?" + sqs + "&QueueUrl=http://h/%zz/123456789012/other"},
		form("sns", "/", sns+"&TopicArn=arn%3Aaws%3Asns%3Aus-east-1%3A123456789012%3Amine"),
		{service: "sns", method: "GET", uri: "/?" + sns + "&TopicArn=arn:aws:sns:us-east-1:123456789012:mine"},
		form("sns", "/?TopicArn=other", sns+"&TopicArn=arn:aws:sns:us-east-1:123456789012:mine"),
		form("sns", "/", sns+"&TopicArn=arn:aws:sns:us-east-1:123456789012:mine&TargetArn=arn:aws:sns:us-east-1:123456789012:other"),
		form("ec2", "/", ec2+"&InstanceId.1=i-mine&InstanceId.2=i-mine2"), form("ec2", "/", ec2+"&InstanceId.1=i-mine&InstanceId.2=i-OTHER"),
		form("ec2", "/", ec2+"&InstanceId.1=i-mine&InstanceId.01=i-other"), form("monitoring", "/", alarm+"&AlarmName=mine"),
	}
	for _, address := range []string{
		"http://h/123456789012/mine", "http://h/123456789012/mine?/x/other", "http://h/123456789012/mine%2Fother", "http://h/123456789012/mine#/other",
		"http://u:p@h/123456789012/mine", "https://sqs.eu-west-1.amazonaws.com/123456789012/mine",
	} {
		all = append(all, json("sqs", json10, send, `{"QueueUrl":"`+address+`"}`), form("sqs", "/", sqs+"&QueueUrl="+url.QueryEscape(address)))
	}
	for _, uri := range []string{
		"/2015-03-31/functions/mine/invocations", "/2015-03-31/functions/mine/../other/invocations", "/2015-03-31/functions/mine%2F..%2Fother/invocations",
		"/2015-03-31//functions//mine/invocations", "/2015-03-31/functions/mine%3Ablue/invocations?Qualifier=blue",
		"/2015-03-31/functions/mine/invocations?FunctionName=other", "http://elsewhere.test/2015-03-31/functions/mine/invocations",
		"http://lambda.us-east-1.amazonaws.com/2015-03-31/functions/mine/invocations", "http:x/y/z/2015-03-31/functions/mine/invocations",
	} {
		all = append(all, attempt{service: "lambda", method: "POST", uri: uri, kind: "application/json", body: `{}`})
	}
	const rpc = "/service/GraniteServiceVersion20100801/operation/SetAlarmState"
	for _, body := range []string{
		encoded("AlarmName", "mine", "StateValue", "OK"), "\xa2\x69AlarmName\x64mine\x69AlarmName\x65other", "\xa1\x61a" + encoded("AlarmName", "other"),
		"\xbf\x69AlarmName\x64mine\xff", strings.Repeat("\xa1\x61a", 70) + "\x01",
	} {
		all = append(all, attempt{"monitoring", "POST", rpc, "", "application/cbor", "rpc-v2-cbor", "", body},
			attempt{"monitoring", "POST", rpc, "", "application/cbor", "rpc-v2-cbor", "gzip", body})
	}
	all = append(all, attempt{"dynamodb", "POST", "/", get, json10, "", "gzip", `{"TableName":"mine"}`},
		attempt{"dynamodb", "POST", "/", get, json10, "", "deflate", `{"TableName":"mine"}`},
		attempt{"sns", "POST", "/", "", formType, "", "gzip", sns + "&TopicArn=arn:aws:sns:us-east-1:123456789012:mine"},
		attempt{"dynamodb", "POST", "http://elsewhere.test/", get, json10, "", "", `{"TableName":"mine"}`},
		attempt{"dynamodb", "POST", "/?Action=Publish&TopicArn=other", get, json10, "", "", `{"TableName":"mine"}`})
	const made = "/2013-04-01/trafficpolicyinstance"
	for _, body := range []string{
		`<R><HostedZoneId>mine</HostedZoneId><TrafficPolicyId>mine</TrafficPolicyId></R>`,
		`<R><HostedZoneId>mine</HostedZoneId><HostedZoneId>other</HostedZoneId><TrafficPolicyId>mine</TrafficPolicyId></R>`,
		`<R><HostedZoneId>/hostedzone/other/mine</HostedZoneId><TrafficPolicyId>mine</TrafficPolicyId></R>`,
		`<R><HostedZoneId>mine<!-- --></HostedZoneId><x:HostedZoneId>other</x:HostedZoneId><TrafficPolicyId>mine</TrafficPolicyId></R>`,
	} {
		all = append(all, attempt{service: "route53", method: "POST", uri: made, kind: "text/xml", body: body})
	}
	for _, uri := range []string{"/2013-04-01/hostedzone/mine/rrset/", "/2013-04-01/hostedzone/other%2Fmine/rrset", "/2013-04-01/hostedzone/%2Fhostedzone%2Fmine/rrset"} {
		all = append(all, attempt{service: "route53", method: "POST", uri: uri, kind: "text/xml", body: "<R></R>"})
	}
	return all
}

// request makes the request of an attempt; nil if none can be made.
func (a attempt) request(g *guarded) (r *http.Request, body string) {
	if a.service == "" || strings.ContainsAny(a.service, "/, =\t\r\n") {
		return nil, ""
	}
	header := []string{"User-Agent", fuzzer}
	for _, h := range [][2]string{{"X-Amz-Target", a.target}, {"Content-Type", a.kind}, {"Smithy-Protocol", a.smithy}, {"Content-Encoding", a.encoding}} {
		if strings.ContainsFunc(h[1], func(c rune) bool { return c < ' ' || c == 0x7f }) {
			return nil, "" // which no server lets through
		}
		if h[1] != "" {
			header = append(header, h[0], h[1])
		}
	}
	if body = a.body; a.encoding == "gzip" {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		io.WriteString(z, body)
		z.Close()
		body = b.String()
	}
	defer func() {
		if recover() != nil { // httptest's, or the SDK's, of what is no request
			r = nil
		}
	}()
	return g.by(a.service, a.method, a.uri, body, header...), body
}

// fuzzer is who sends the requests of FuzzGuard: they reach the backend with any host, as
// the guard's own do.
const fuzzer = "fuzzer"

// FuzzGuard: whatever reaches the backend is of an operation and of resources that the user
// may use, in all ways in which it can be read, and what comes back is of its key.
func FuzzGuard(f *testing.F) {
	for _, a := range attempts() {
		f.Add(a.service, a.method, a.uri, a.target, a.kind, a.smithy, a.encoding, a.body)
	}
	g := newFuzzed(f)
	f.Fuzz(func(t *testing.T, service, method, uri, target, kind, smithy, encoding, body string) {
		a := attempt{service, method, uri, target, kind, smithy, encoding, body}
		sent, _ := a.request(g.guarded)
		if sent == nil {
			return
		}
		g.released = ""
		rec, got, _ := g.send(sent)
		if len(got) > 1 {
			t.Fatalf("%d calls reached the backend", len(got))
		}
		if g.released != "" && g.released != keyMine && strings.Contains(rec.Body.String(), "c2VjcmV0") {
			t.Errorf("a plaintext of key %s came back: %+v", g.released, a)
		}
		for _, r := range got {
			checkReadings(t, r, g.body)
		}
	})
}

// fuzzed is the guarded emulator of FuzzGuard.
type fuzzed struct {
	*guarded
	body     string // of the last request that has reached the backend
	released string // the key with which the backend has decrypted last
}

func newFuzzed(t testing.TB) *fuzzed {
	g := &fuzzed{guarded: newGuarded(t, func(c *emulator.Config) { c.Forward["kms"] = c.Forward["*"] })}
	g.policy(mineAlone())
	keys := keyring{policies: map[string]string{keyMine: "", keyTheirs: ""}}
	g.stub.serve = func(w http.ResponseWriter, r *http.Request, body string) {
		if g.body = body; !strings.Contains(strings.Join(r.Header["X-Amz-Target"], ""), "Decrypt") {
			io.WriteString(w, "{}")
			return
		}
		in := found{values: map[string][]string{}}
		in.json(body)
		blob, _ := base64.StdEncoding.DecodeString(strings.Join(in.values["ciphertextblob"], ""))
		if g.released = keyTheirs; bytes.HasPrefix(blob, []byte(keyMine)) {
			g.released = keyMine
		}
		io.WriteString(w, `{"KeyId":"`+arnKey+g.released+`","Plaintext":"c2VjcmV0"}`)
	}
	g.stub.ask = func(w http.ResponseWriter, r *http.Request, body string) {
		if r.UserAgent() != fuzzer {
			keys.serve(w, r, body)
			return
		}
		g.stub.mu.Lock()
		g.stub.got, g.stub.bodies = append(g.stub.got, r), append(g.stub.bodies, body)
		g.stub.mu.Unlock()
		g.stub.serve(w, r, body)
	}
	return g
}

// checkReadings checks a request that has reached the backend.
func checkReadings(t *testing.T, r *http.Request, body string) {
	t.Helper()
	f := readings(r, body)
	for member, values := range f.values {
		for _, value := range values {
			for _, name := range names(member, value) {
				if !mine.MatchString(name) {
					t.Errorf("a reader finds %s %q in %s %s\n%v\n%q", member, name, r.Method, r.URL, r.Header, body)
				}
			}
		}
	}
	for _, operation := range f.operations {
		if !mayDo.MatchString(operation) {
			t.Errorf("a reader finds operation %q in %s %s\n%v\n%q", operation, r.Method, r.URL, r.Header, body)
		}
	}
	host, _, _ := strings.Cut(r.Host, ":")
	if host != "guard.test" && host != "handler.invalid" && strings.Contains(host, ".") && !strings.HasSuffix(host, ".amazonaws.com") {
		t.Errorf("the backend is called %s", r.Host)
	}
}

// TestReadings: of the seeds of FuzzGuard the plain ones reach the backend, and the readers
// find what is in the others.
func TestReadings(t *testing.T) {
	t.Parallel()
	g := newFuzzed(t)
	reached, suspicious := map[string]bool{}, 0
	for _, a := range attempts() {
		r, body := a.request(g.guarded)
		if r == nil {
			t.Errorf("%+v is no request", a)
			continue
		}
		bad := false
		f := readings(r, body)
		for member, values := range f.values {
			for _, value := range values {
				for _, name := range names(member, value) {
					bad = bad || !mine.MatchString(name)
				}
			}
		}
		for _, operation := range f.operations {
			bad = bad || !mayDo.MatchString(operation)
		}
		rec, got, _ := g.send(r)
		switch {
		case bad && len(got) > 0:
			t.Errorf("%+v reached the backend", a)
		case bad:
			suspicious++
		case len(got) > 0:
			reached[a.service] = true
		case rec.Code < 400:
			t.Errorf("%+v: %s", a, raw(rec))
		}
	}
	for _, service := range []string{"dynamodb", "kinesis", "logs", "kms", "monitoring", "sqs", "sns", "ec2", "lambda", "route53"} {
		if !reached[service] {
			t.Errorf("no call of %s reached the backend", service)
		}
	}
	if suspicious < 15 {
		t.Errorf("the readers find something in %d seeds alone", suspicious)
	}
}
