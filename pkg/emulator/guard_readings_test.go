package emulator_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/openirsa/openirsa/pkg/emulator"
)

// TestGuardQueueURL: the URL of a queue that is of another queue for some reader is refused
// with SQS's own error, whatever the caller may do.
func TestGuardQueueURL(t *testing.T) {
	t.Parallel()
	g := newGuarded(t)
	g.policy(permitting("sqs:SendMessage", arnSQS+"mine*"))
	send := func(address string) *http.Request {
		return g.json("sqs", json10, "AmazonSQS.SendMessage", `{"QueueUrl":`+quoted(address)+`,"MessageBody":"m"}`)
	}
	for _, address := range []string{
		"http://h/123456789012/mine?/x/secret", "http://h/123456789012/mine%2Fsecret", "http://h/123456789012/mine#/secret",
		"http://u@h/123456789012/mine", "https://sqs.eu-west-1.amazonaws.com/123456789012/mine",
	} {
		rec, got, events := g.send(send(address))
		want := "404 application/x-amz-json-1.0; x-amzn-query-error: InvalidAddress;Sender\n" +
			`{"__type":"com.amazon.coral.service#InvalidAddress","message":"The address ` + address + ` is not valid for this endpoint."}`
		if raw(rec) != want || len(got) != 0 {
			t.Errorf("%s: %d requests reached the backend, %s", address, len(got), raw(rec))
		}
		if len(events) != 1 || events[0].Decision != emulator.Deny || events[0].Step != "parameters" || events[0].Code != "InvalidAddress" {
			t.Errorf("%s: events %+v", address, events)
		}
		rec, got, _ = g.send(g.query("sqs", "/", "Action=SendMessage&Version=2012-11-05&MessageBody=m&QueueUrl="+url.QueryEscape(address)))
		if rec.Code != http.StatusNotFound || !strings.Contains(rec.Body.String(), "<Code>InvalidAddress</Code>") || len(got) != 0 {
			t.Errorf("%s in a form: %d requests reached the backend, %s", address, len(got), raw(rec))
		}
	}
	for _, address := range []string{"http://h/123456789012/mine", "https://sqs.us-east-1.amazonaws.com/123456789012/mine-2.fifo", "mine"} {
		if rec, got, _ := g.send(send(address)); rec.Code != http.StatusOK || len(got) != 1 {
			t.Errorf("%s: %s", address, raw(rec))
		}
	}
	for path, want := range map[string]int{"/123456789012/mine": 1, "/123456789012/mine/": 1, "/123456789012/mine%2Fsecret": 0, "/123456789012/mine?/x/secret": 0} {
		if rec, got, _ := g.send(g.query("sqs", path, "Action=SendMessage&Version=2012-11-05&MessageBody=m")); len(got) != want {
			t.Errorf("posted to %s: %s", path, raw(rec))
		}
	}
}

// TestGuardAlternatives: of two members of which AWS wants one both must be allowed.
func TestGuardAlternatives(t *testing.T) {
	t.Parallel()
	g := newGuarded(t)
	const kinesis, logs, stack = "arn:aws:kinesis:us-east-1:123456789012:stream/", "arn:aws:logs:us-east-1:123456789012:log-group:",
		"arn:aws:cloudformation:us-east-1:123456789012:stack/"
	const change = "arn:aws:cloudformation:us-east-1:123456789012:changeSet/c/1"
	g.stub.ask = func(w http.ResponseWriter, _ *http.Request, body string) {
		form, _ := url.ParseQuery(body)
		if form.Get("Action") != "DescribeChangeSet" || form.Get("ChangeSetName") != change {
			http.Error(w, "{}", http.StatusBadRequest)
			return
		}
		fmt.Fprintf(w, `<DescribeChangeSetResponse><DescribeChangeSetResult><StackId>%sother/2</StackId></DescribeChangeSetResult></DescribeChangeSetResponse>`, stack)
	}
	for name, test := range map[string]struct {
		action, mine, other string
		r                   func() *http.Request
	}{
		"a topic and a target": {"sns:Publish", arnSNS + "mine", arnSNS + "other", func() *http.Request {
			return g.query("sns", "/", form("Action", "Publish", "Version", "2010-03-31", "TopicArn", arnSNS+"mine", "TargetArn", arnSNS+"other", "Message", "m"))
		}},
		"a stream by ARN and by name": {"kinesis:PutRecord", kinesis + "mine", kinesis + "other", func() *http.Request {
			return g.json("kinesis", json11, "Kinesis_20131202.PutRecord", `{"StreamARN":"`+kinesis+`mine","StreamName":"other","Data":"","PartitionKey":"p"}`)
		}},
		"a log group by name and by ARN": {"logs:GetLogEvents", logs + "mine:*", logs + "other:*", func() *http.Request {
			return g.json("logs", json11, "Logs_20140328.GetLogEvents", `{"logGroupName":"mine","logGroupIdentifier":"`+logs+`other","logStreamName":"s"}`)
		}},
		"a source by ARN and by name": {"dynamodb:RestoreTableToPointInTime", arnDynamo + "table/mine*", arnDynamo + "table/other", func() *http.Request {
			return g.json("dynamodb", json10, "DynamoDB_20120810.RestoreTableToPointInTime",
				`{"TargetTableName":"mine2","SourceTableArn":"`+arnDynamo+`table/mine","SourceTableName":"other"}`)
		}},
		"a stack and a change set": {"cloudformation:ExecuteChangeSet", stack + "mine/*", stack + "other/*", func() *http.Request {
			return g.query("cloudformation", "/", form("Action", "ExecuteChangeSet", "Version", "2010-05-15", "StackName", "mine", "ChangeSetName", change))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, allowed := range []string{test.mine, test.other} {
				g.policy(permitting(test.action, allowed))
				rec, got, events := g.send(test.r())
				if len(got) != 0 || !slices.ContainsFunc(events, func(e emulator.Event) bool { return e.Decision == emulator.Deny && e.Action == test.action }) {
					t.Errorf("with %s alone: %d requests reached the backend, %s, events %+v", allowed, len(got), raw(rec), events)
				}
			}
			g.policy(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"` + test.action + `","Resource":["` + test.mine + `","` + test.other + `"]}}`)
			if rec, got, events := g.send(test.r()); len(got) != 1 {
				t.Errorf("with both: %s, events %+v", raw(rec), events)
			}
		})
	}
}

// TestGuardUnreadableURL: what a reader may find in a URL that another does not see is
// refused.
func TestGuardUnreadableURL(t *testing.T) {
	t.Parallel()
	g := newGuarded(t)
	g.policy(anything)
	for name, r := range map[string]func() *http.Request{
		"a member of the path": func() *http.Request {
			return g.by("lambda", "POST", "/2015-03-31/functions/mine/invocations?FunctionName=secret", "{}")
		},
		"a compressed form": func() *http.Request {
			return g.by("sns", "POST", "/", "Action=ListTopics&Version=2010-03-31", "Content-Type", formType, "Content-Encoding", "deflate")
		},
	} {
		if rec, got, _ := g.send(r()); rec.Code != http.StatusBadRequest || !strings.Contains(rec.Body.String(), "in two ways") || len(got) != 0 {
			t.Errorf("%s: %d requests reached the backend, %s", name, len(got), raw(rec))
		}
	}
}

// keyring is a backend's KMS, whose keys have policies.
type keyring struct {
	policies map[string]string // by id; "" is the default one
	secret   bool              // it does not list them
}

const arnKey = "arn:aws:kms:us-east-1:123456789012:key/"

// serve answers what the guard asks.
func (k keyring) serve(w http.ResponseWriter, r *http.Request, body string) {
	var in struct{ KeyId string }
	json.Unmarshal([]byte(body), &in)
	id := strings.TrimPrefix(in.KeyId, arnKey)
	policy, known := k.policies[id]
	if policy == "" {
		policy = permittingTo("arn:aws:iam::123456789012:root", "kms:*")
	}
	switch _, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), "."); {
	case operation == "ListKeys" && !k.secret:
		var all []string
		for id := range k.policies {
			all = append(all, `{"KeyId":"`+id+`","KeyArn":"`+arnKey+id+`"}`)
		}
		io.WriteString(w, `{"Keys":[`+strings.Join(all, ",")+`],"Truncated":false}`)
	case operation == "DescribeKey" && known:
		io.WriteString(w, `{"KeyMetadata":{"Arn":"`+arnKey+id+`","KeyManager":"CUSTOMER"}}`)
	case operation == "GetKeyPolicy" && known:
		io.WriteString(w, `{"Policy":`+quoted(policy)+`}`)
	default:
		http.Error(w, "{}", http.StatusBadRequest)
	}
}

const (
	keyMine   = "11111111-2222-3333-4444-555555555555"
	keyTheirs = "22222222-2222-3333-4444-555555555555"
)

// decrypting makes a guarded emulator with a KMS, which decrypts with the key in the first
// bytes of a ciphertext, and else with the other one. What begins with "bad" it does not.
func decrypting(t *testing.T, keys keyring) *guarded {
	g := newGuarded(t, func(c *emulator.Config) { c.Forward["kms"] = c.Forward["*"] })
	g.stub.ask = keys.serve
	g.stub.serve = func(w http.ResponseWriter, _ *http.Request, body string) {
		var in struct{ CiphertextBlob []byte }
		json.Unmarshal([]byte(body), &in)
		if strings.HasPrefix(string(in.CiphertextBlob), "bad") {
			w.WriteHeader(http.StatusBadRequest)
			io.WriteString(w, `{"__type":"InvalidCiphertextException"}`)
			return
		}
		id := keyTheirs
		if strings.HasPrefix(string(in.CiphertextBlob), keyMine) {
			id = keyMine
		}
		io.WriteString(w, `{"KeyId":"`+arnKey+id+`","SourceKeyId":"`+arnKey+id+`","Plaintext":"c2VjcmV0","CiphertextBlob":"c2VjcmV0"}`)
	}
	return g
}

// decrypt asks for a ciphertext, perhaps with a key.
func (g *guarded) decrypt(key, blob string) *http.Request {
	in := map[string]any{"CiphertextBlob": []byte(blob)}
	if key != "" {
		in["KeyId"] = key
	}
	return g.json("kms", json11, "TrentService.Decrypt", string(must(json.Marshal(in))))
}

// TestGuardNamedKey: whoever names a key of its own gets no plaintext of another's, and not
// even asks the backend for it if the ciphertext tells its key.
func TestGuardNamedKey(t *testing.T) {
	t.Parallel()
	g := decrypting(t, keyring{policies: map[string]string{keyMine: "", keyTheirs: ""}})
	g.policy(permitting("kms:Decrypt kms:ReEncryptFrom kms:ReEncryptTo", arnKey+keyMine))
	again := func(blob string) *http.Request {
		in := map[string]any{"CiphertextBlob": []byte(blob), "SourceKeyId": keyMine, "DestinationKeyId": keyMine}
		return g.json("kms", json11, "TrentService.ReEncrypt", string(must(json.Marshal(in))))
	}
	for name, test := range map[string]struct {
		r       *http.Request
		reached int
		allowed bool
	}{
		"its own":              {g.decrypt(keyMine, keyMine+"x"), 1, true},
		"another's":            {g.decrypt(keyMine, keyTheirs+"x"), 0, false},
		"another's, hidden":    {g.decrypt(keyMine, "hidden"), 1, false},
		"another's, by an ARN": {g.decrypt(arnKey+keyMine, "hidden"), 1, false},
		"its own anew":         {again(keyMine), 1, true},
		"another's anew":       {again(keyTheirs), 0, false},
		"a hidden one anew":    {again("hidden"), 1, false},
	} {
		rec, got, events := g.send(test.r)
		released := strings.Contains(rec.Body.String(), "c2VjcmV0")
		if released != test.allowed || (rec.Code == http.StatusOK) != test.allowed || len(got) != test.reached {
			t.Errorf("%s: %d requests reached the backend, %s, events %+v", name, len(got), raw(rec), events)
		}
		denied := func(e emulator.Event) bool { return e.Decision == emulator.Deny && e.Resource == arnKey+keyTheirs }
		if slices.ContainsFunc(events, denied) == test.allowed {
			t.Errorf("%s: events %+v", name, events)
		}
	}
	// A policy by the alias that the caller uses is one for its key.
	g.policy(permitting("kms:Decrypt", "*", `{"StringEquals":{"kms:RequestAlias":"alias/mine"}}`))
	g.stub.ask = func(w http.ResponseWriter, r *http.Request, body string) {
		keyring{policies: map[string]string{keyMine: "", keyTheirs: ""}}.serve(w, r, strings.ReplaceAll(body, "alias/mine", keyMine))
	}
	if rec, _, events := g.send(g.decrypt("alias/mine", keyMine)); rec.Code != http.StatusOK {
		t.Errorf("by an alias: %s, events %+v", raw(rec), events)
	}
	for _, blob := range []string{keyTheirs, "hidden"} {
		if rec, _, events := g.send(g.decrypt("alias/mine", blob)); rec.Code == http.StatusOK {
			t.Errorf("%s by the alias of another: %s, events %+v", blob, raw(rec), events)
		}
	}
}

// TestGuardDecryptSomewhere: a ciphertext whose key only the answer tells goes to the backend
// for callers who may decrypt with some key, by their own policies or by the key's, and
// each answer has an event.
func TestGuardDecryptSomewhere(t *testing.T) {
	t.Parallel()
	byUser := permittingTo(arnApp, "kms:Decrypt")
	const hidden = `"The ciphertext refers to a customer master key that does not exist, does not exist in this region, or you are not allowed to access."`
	for name, test := range map[string]struct {
		policy  string
		keys    keyring
		reached int
		// Whether the plaintext and the error of a bad ciphertext are released.
		plain, fails bool
	}{
		"nothing":                     {"", keyring{policies: map[string]string{keyMine: "", keyTheirs: ""}}, 0, false, false},
		"another action":              {permitting("kms:Encrypt", "*"), keyring{policies: map[string]string{keyTheirs: ""}}, 0, false, false},
		"another key":                 {permitting("kms:Decrypt", arnKey+keyMine), keyring{policies: map[string]string{keyMine: "", keyTheirs: ""}}, 1, false, true},
		"the key":                     {permitting("kms:Decrypt", arnKey+keyTheirs), keyring{policies: map[string]string{keyTheirs: ""}}, 1, true, true},
		"every key":                   {permitting("kms:Decrypt", "*"), keyring{policies: map[string]string{keyTheirs: ""}}, 1, true, true},
		"by the key's policy":         {"", keyring{policies: map[string]string{keyMine: "", keyTheirs: byUser}}, 1, true, true},
		"by another key's":            {"", keyring{policies: map[string]string{keyMine: byUser, keyTheirs: ""}}, 1, false, true},
		"by a key that is not listed": {"", keyring{policies: map[string]string{keyTheirs: byUser}, secret: true}, 1, true, false},
		"a Deny": {`{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"kms:*","Resource":"*"}}`,
			keyring{policies: map[string]string{keyTheirs: byUser}}, 0, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := decrypting(t, test.keys)
			g.policy(test.policy)
			rec, got, events := g.send(g.decrypt("", "hidden"))
			if released := strings.Contains(rec.Body.String(), "c2VjcmV0"); released != test.plain || len(got) != test.reached {
				t.Errorf("%d requests reached the backend, %s", len(got), raw(rec))
			}
			if len(events) != 1 || (events[0].Decision == emulator.Allow) != test.plain || events[0].Action != "kms:Decrypt" {
				t.Errorf("events %+v", events)
			}
			rec, got, events = g.send(g.decrypt("", "bad"))
			if text := rec.Body.String(); strings.Contains(text, "InvalidCiphertext") != test.fails || strings.Contains(text, hidden) == test.fails || len(got) != test.reached {
				t.Errorf("an error: %d requests reached the backend, %s", len(got), raw(rec))
			}
			if len(events) != 1 || (events[0].Decision == emulator.Allow) != test.fails || events[0].Resource != arnKey+"*" || events[0].Step != "permission" {
				t.Errorf("an error: events %+v", events)
			}
		})
	}
}

// TestGuardFilteredSecrets: of the secrets that a filter finds those that the caller may not
// read, or not decrypt, are errors in the answer, and the call succeeds.
func TestGuardFilteredSecrets(t *testing.T) {
	t.Parallel()
	g := newGuarded(t)
	g.iam("Action", "PutUserPolicy", "UserName", "app", "PolicyName", "batch", "PolicyDocument",
		permitting("secretsmanager:BatchGetSecretValue secretsmanager:ListSecrets", "*"))
	g.stub.ask = func(w http.ResponseWriter, r *http.Request, body string) {
		switch {
		case strings.HasSuffix(r.Header.Get("X-Amz-Target"), "DescribeSecret") && strings.Contains(body, "locked"):
			io.WriteString(w, `{"ARN":"`+arnSecret+`locked-Xy12Za","KmsKeyId":"`+keyTheirs+`"}`)
		case strings.HasSuffix(r.Header.Get("X-Amz-Target"), "DescribeSecret"):
			io.WriteString(w, `{"ARN":"`+arnSecret+`app-Xy12Za"}`)
		default:
			io.WriteString(w, "{}")
		}
	}
	entry := func(name string) string {
		return `{"ARN":"` + arnSecret + name + `-Xy12Za","CreatedDate":1.5e9,"SecretString":"of ` + name + `"}`
	}
	status, answer := http.StatusOK, `{"NextToken":"n","SecretValues":[`+entry("app")+`,`+entry("other")+`,`+entry("locked")+`]}`
	g.stub.serve = func(w http.ResponseWriter, _ *http.Request, _ string) {
		w.Header().Set("X-Amz-Crc32", "1")
		w.WriteHeader(status)
		io.WriteString(w, answer)
	}
	batch := func() *http.Request {
		return g.json("secretsmanager", json11, "secretsmanager.BatchGetSecretValue", `{"Filters":[{"Key":"name","Values":["x"]}]}`)
	}
	g.policy(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"secretsmanager:GetSecretValue",
		"Resource":["` + arnSecret + `app-??????","` + arnSecret + `locked-??????"],"Condition":{"StringLike":{"secretsmanager:SecretId":"` + arnSecret + `*"}}}}`)
	rec, got, events := g.send(batch())
	var out struct {
		NextToken    string
		SecretValues []struct {
			ARN         string
			CreatedDate json.Number
		}
		Errors []struct{ SecretId, ErrorCode, Message string }
	}
	if err := json.Unmarshal(rec.Body.Bytes(), &out); err != nil || rec.Code != http.StatusOK || len(got) != 1 {
		t.Fatalf("%v: %s, events %+v", err, raw(rec), events)
	}
	if len(out.SecretValues) != 1 || out.SecretValues[0].ARN != arnSecret+"app-Xy12Za" || out.SecretValues[0].CreatedDate != "1.5e9" || out.NextToken != "n" ||
		strings.Contains(rec.Body.String(), "of other") || strings.Contains(rec.Body.String(), "of locked") || rec.Header().Get("X-Amz-Crc32") != "" {
		t.Errorf("the answer is %s", rec.Body)
	}
	if len(out.Errors) != 2 || out.Errors[0].SecretId != arnSecret+"other-Xy12Za" || out.Errors[0].ErrorCode != "AccessDeniedException" ||
		!strings.Contains(out.Errors[0].Message, "secretsmanager:GetSecretValue on resource: "+arnSecret+"other-Xy12Za") ||
		out.Errors[1].SecretId != arnSecret+"locked-Xy12Za" || out.Errors[1].Message != "Access to KMS is not allowed" {
		t.Errorf("the errors are %+v", out.Errors)
	}
	for _, want := range []struct{ action, resource string }{
		{"secretsmanager:GetSecretValue", arnSecret + "other-Xy12Za"}, {"kms:Decrypt", arnKey + keyTheirs},
	} {
		if !slices.ContainsFunc(events, func(e emulator.Event) bool {
			return e.Decision == emulator.Deny && e.Action == want.action && e.Resource == want.resource
		}) {
			t.Errorf("no denial of %s on %s: %+v", want.action, want.resource, events)
		}
	}
	g.iam("Action", "PutUserPolicy", "UserName", "app", "PolicyName", "keys", "PolicyDocument", permitting("kms:Decrypt", "*"))
	if rec, _, _ := g.send(batch()); !strings.Contains(rec.Body.String(), "of locked") || strings.Contains(rec.Body.String(), "of other") {
		t.Errorf("with the key: %s", rec.Body)
	}
	answer = `{"SecretValues":[` + entry("app") + `]}`
	if rec, _, _ := g.send(batch()); rec.Body.String() != answer {
		t.Errorf("all allowed: %s", rec.Body)
	}
	answer = `{"SecretValues":[{"SecretString":"of nobody"},"of nobody"]}`
	if rec, _, _ := g.send(batch()); strings.Contains(rec.Body.String(), "of nobody") {
		t.Errorf("entries without ARNs: %s", rec.Body)
	}
	answer = `{"SecretValues":{"ARN":"` + arnSecret + `app-Xy12Za","SecretString":"of nobody"}}`
	if rec, _, _ := g.send(batch()); strings.Contains(rec.Body.String(), "of nobody") {
		t.Errorf("no list: %s", rec.Body)
	}
	status, answer = http.StatusBadRequest, `{"__type":"InvalidParameterException"}`
	if rec, _, _ := g.send(batch()); rec.Body.String() != answer {
		t.Errorf("an error: %s", rec.Body)
	}
	g.policy("")
	status, answer = http.StatusOK, `{"SecretValues":[`+entry("app")+`]}`
	if rec, _, _ := g.send(batch()); rec.Code != http.StatusOK || !strings.Contains(rec.Body.String(), `"SecretValues":[]`) || strings.Contains(rec.Body.String(), "of app") {
		t.Errorf("none allowed: %s", rec.Body)
	}
}
