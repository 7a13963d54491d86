package emulator_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/openirsa/openirsa/pkg/emulator"
)

// quoted is a text as JSON.
func quoted(text string) string {
	b, err := json.Marshal(text)
	if err != nil {
		panic(err)
	}
	return string(b)
}

const viaSQS = `{"StringEquals":{"kms:ViaService":"sqs.us-east-1.amazonaws.com","kms:EncryptionContext:aws:sqs:arn":"` + arnSQS + `mail"}}`

// sendEncrypted sends a message to a queue that is encrypted with a key.
func (g *guarded) sendEncrypted() (answer string, reached bool, events []emulator.Event) {
	rec, got, events := g.send(g.json("sqs", json10, "AmazonSQS.SendMessage", `{"QueueUrl":"http://guard/123456789012/mail","MessageBody":"m"}`))
	return raw(rec), len(got) > 0, events
}

// identity gives the user two policies: for the queue, and for keys.
func (g *guarded) forKeys(document string) {
	g.t.Helper()
	g.policy(permitting("sqs:SendMessage", arnSQS+"mail"))
	if document == "" {
		document = permitting("none:None", "*")
	}
	g.iam("Action", "PutUserPolicy", "UserName", "app", "PolicyName", "keys", "PolicyDocument", document)
}

// TestGuardKMSOnBehalf: a queue that is encrypted with a customer's key needs the key, as its
// policy at the backend and those of the caller have it, when SQS asks for the caller.
func TestGuardKMSOnBehalf(t *testing.T) {
	t.Parallel()
	g := newGuarded(t, func(c *emulator.Config) { c.Forward["kms"] = c.Forward["*"] })
	const key = "arn:aws:kms:us-east-1:123456789012:key/11111111-2222-3333-4444-555555555555"
	var asked atomic.Int32
	known := answers{
		"AmazonSQS.GetQueueUrl":        `{"QueueUrl":"http://backend/123456789012/mail"}`,
		"AmazonSQS.GetQueueAttributes": `{"Attributes":{"KmsMasterKeyId":"alias/mail"}}`,
		"TrentService.DescribeKey":     `{"KeyMetadata":{"Arn":"` + key + `","KeyManager":"CUSTOMER"}}`,
	}
	g.stub.ask = known.serve(&asked)
	keyPolicy := func(statements ...string) {
		known["TrentService.GetKeyPolicy"] = `{"Policy":` + quoted(`{"Version":"2012-10-17","Statement":[`+strings.Join(statements, ",")+`]}`) + `}`
		g.iam("Action", "PutUserPolicy", "UserName", "app", "PolicyName", "admin", "PolicyDocument", permitting("kms:PutKeyPolicy", "*"))
		// Setting it passes here, so what was known of it is not believed any more. The
		// key's policy lets only its administrators do so.
		rec, got, _ := g.send(g.signed("test", "test", "kms", "POST", "/", `{"KeyId":"`+key+`","PolicyName":"default","Policy":"{}"}`, "Content-Type", json11, "X-Amz-Target", "TrentService.PutKeyPolicy"))
		if rec.Code != http.StatusOK || len(got) != 1 {
			t.Fatal(raw(rec))
		}
	}
	const (
		enabled = `{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::123456789012:root"},"Action":"kms:*","Resource":"*"}`
		admin   = `{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::123456789012:root"},"Action":"kms:PutKeyPolicy","Resource":"*"}`
	)
	keyPolicy(enabled)
	const denied = "400 application/x-amz-json-1.0; x-amzn-query-error: KMS.AccessDeniedException;Sender\n" + `{"__type":"com.amazon.coral.service#KmsAccessDenied"`
	check := func(name string, allowed bool) {
		t.Helper()
		answer, reached, events := g.sendEncrypted()
		if allowed && (!reached || !strings.HasPrefix(answer, "200 ")) {
			t.Errorf("%s: %s, events %+v", name, answer, events)
		}
		if !allowed && (reached || !strings.HasPrefix(answer, denied) || !strings.Contains(answer, "kms:GenerateDataKey on resource: "+key)) {
			t.Errorf("%s: reached %t, %s", name, reached, answer)
		}
		if len(events) != 3 || events[1].Action != "kms:GenerateDataKey" || events[2].Action != "kms:Decrypt" {
			t.Errorf("%s: events %+v", name, events)
		}
	}
	g.forKeys("")
	check("without a policy for the key", false)
	g.forKeys(permitting("kms:GenerateDataKey kms:Decrypt", key, viaSQS))
	check("with one for calls by SQS for the queue", true)
	g.forKeys(permitting("kms:GenerateDataKey kms:Decrypt", key, `{"StringEquals":{"kms:ViaService":"sns.us-east-1.amazonaws.com"}}`))
	check("with one for calls by another service", false)
	g.forKeys(permitting("kms:GenerateDataKey kms:Decrypt", key, `{"IpAddress":{"aws:SourceIp":"0.0.0.0/0"}}`))
	check("with one for calls from an address, which SQS does not make", false)
	g.forKeys(permitting("kms:*", "*"))
	check("with one for all keys", true)
	keyPolicy(admin)
	check("whose policy leaves nothing to IAM", false)
	g.forKeys("")
	keyPolicy(admin, fmt.Sprintf(`{"Effect":"Allow","Principal":{"AWS":%q},"Action":["kms:GenerateDataKey","kms:Decrypt"],"Resource":"*","Condition":%s}`, arnApp, viaSQS))
	check("whose policy lets the user in", true)
	before := asked.Load()
	check("once more", true)
	if n := asked.Load(); n != before {
		t.Errorf("what is known was asked again, %d times", n-before)
	}
}

// TestGuardKMSOwn: with the emulator's own KMS the policies are those of its keys, as they are
// at the moment. Of a key that it does not have only the caller's policies count.
func TestGuardKMSOwn(t *testing.T) {
	t.Parallel()
	g := newGuarded(t)
	kms := func(operation, body string) string {
		t.Helper()
		rec, _, _ := g.send(g.signed("test", "test", "kms", "POST", "/", body, "Content-Type", json11, "X-Amz-Target", "TrentService."+operation))
		if rec.Code != http.StatusOK {
			t.Fatal(raw(rec))
		}
		return rec.Body.String()
	}
	key := between(kms("CreateKey", `{"KeySpec":"RSA_2048","KeyUsage":"SIGN_VERIFY"}`), `"Arn":"`, `"`)
	var asked atomic.Int32
	known := answers{
		"AmazonSQS.GetQueueUrl":        `{"QueueUrl":"http://backend/123456789012/mail"}`,
		"AmazonSQS.GetQueueAttributes": `{"Attributes":{"KmsMasterKeyId":"` + key + `"}}`,
	}
	g.stub.ask = known.serve(&asked)
	check := func(name string, allowed bool) {
		t.Helper()
		if answer, reached, events := g.sendEncrypted(); reached != allowed {
			t.Errorf("%s: %s, events %+v", name, answer, events)
		}
	}
	g.forKeys("")
	check("without a policy", false)
	g.forKeys(permitting("kms:GenerateDataKey kms:Decrypt", key, viaSQS))
	check("with the default policy of the key", true)
	kms("PutKeyPolicy", `{"KeyId":"`+key+`","PolicyName":"default","BypassPolicyLockoutSafetyCheck":true,"Policy":`+
		quoted(permittingTo("arn:aws:iam::123456789012:root", "kms:PutKeyPolicy"))+`}`)
	check("with one that leaves nothing to IAM", false)

	known["AmazonSQS.GetQueueAttributes"] = `{"Attributes":{"KmsMasterKeyId":"22222222-2222-3333-4444-555555555555"}}`
	g.policy(permitting("sqs:SetQueueAttributes", "*"))
	g.send(g.json("sqs", json10, "AmazonSQS.SetQueueAttributes", `{"QueueUrl":"http://guard/123456789012/mail","Attributes":{}}`))
	g.forKeys("")
	check("with a key that nobody knows", false)
	g.forKeys(permitting("kms:GenerateDataKey kms:Decrypt", "*", viaSQS))
	check("with a key that nobody knows, and a policy", true)
	_, _, events := g.sendEncrypted()
	if last := events[len(events)-1]; !strings.Contains(strings.Join(last.Warnings, " "), "the emulator's KMS has no such key, and kms is not forwarded") {
		t.Errorf("event %+v", last)
	}
}

// permittingTo is the policy of a key that allows an action to a principal.
func permittingTo(principal, action string) string {
	return fmt.Sprintf(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":%q},"Action":%q,"Resource":"*"}}`, principal, action)
}

// TestGuardKMSWords: how a service says that its caller may not use the key.
func TestGuardKMSWords(t *testing.T) {
	t.Parallel()
	g := newGuarded(t)
	var asked atomic.Int32
	g.stub.ask = answers{"secretsmanager.DescribeSecret": `{"ARN":"` + arnSecret + `app-Xy12Za","KmsKeyId":"22222222-2222-3333-4444-555555555555"}`}.serve(&asked)
	g.policy(permitting("secretsmanager:GetSecretValue", "*"))
	rec, got, events := g.send(g.json("secretsmanager", json11, "secretsmanager.GetSecretValue", `{"SecretId":"app"}`))
	want := "400 application/x-amz-json-1.1\n" + `{"Message":"Access to KMS is not allowed","__type":"com.amazon.coral.service#AccessDeniedException"}`
	if raw(rec) != want || len(got) != 0 || events[len(events)-1].Action != "kms:Decrypt" {
		t.Errorf("%s, events %+v", raw(rec), events)
	}
}

// TestGuardS3Keys: objects that are encrypted with a customer's key need the key, when they are
// written, read and copied.
func TestGuardS3Keys(t *testing.T) {
	t.Parallel()
	const key = "arn:aws:kms:us-east-1:000000000000:key/22222222-2222-3333-4444-555555555555"
	var bucketKey string
	stored := map[string]string{"/shop/old": key, "/shop/plain": ""}
	var reached []string
	back := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		switch id, there := stored[r.URL.Path]; {
		case r.URL.Query().Has("policy"):
			http.Error(w, "<Error><Code>NoSuchBucketPolicy</Code></Error>", http.StatusNotFound)
			return
		case r.URL.Query().Has("tagging"):
			io.WriteString(w, "<Tagging><TagSet></TagSet></Tagging>")
			return
		case r.URL.Query().Has("encryption"):
			fmt.Fprintf(w, "<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault><SSEAlgorithm>aws:kms</SSEAlgorithm>"+
				"<KMSMasterKeyID>%s</KMSMasterKeyID></ApplyServerSideEncryptionByDefault></Rule></ServerSideEncryptionConfiguration>", bucketKey)
			return
		case there && id != "":
			w.Header().Set("X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id", id)
		}
		reached = append(reached, r.Method)
		if r.Header.Get("X-Amz-Copy-Source") != "" {
			io.WriteString(w, "<CopyObjectResult></CopyObjectResult>")
			return
		}
		w.Header().Set("Content-Type", "text/plain")
		if r.Method == http.MethodGet {
			io.WriteString(w, "secret")
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
	read := func(name string) func() error { return func() error { _, err := g.get(g.by, name); return err } }
	withKey := func(in *s3.PutObjectInput) {
		in.ServerSideEncryption, in.SSEKMSKeyId = types.ServerSideEncryptionAwsKms, new(key)
	}
	copies := func() error {
		_, err := g.by.CopyObject(t.Context(), &s3.CopyObjectInput{Bucket: new("shop"), Key: new("new"), CopySource: new("shop/old")})
		return err
	}
	for name, test := range map[string]struct {
		do     func() error
		bucket string // the bucket's default key
		needs  string // the action on the key, "" for none
		arn    string // in the encryption context
	}{
		"reading":                     {read("old"), "", "kms:Decrypt", arnShop + "/old"},
		"reading what has no key":     {read("plain"), "", "", ""},
		"writing with a key":          {func() error { return g.put(g.by, "new", "x", withKey) }, "", "kms:GenerateDataKey", arnShop + "/new"},
		"writing with the bucket's":   {func() error { return g.put(g.by, "new", "x") }, key, "kms:GenerateDataKey", arnShop + "/new"},
		"writing with AWS's":          {func() error { return g.put(g.by, "new", "x") }, "alias/aws/s3", "", ""},
		"copying from what has a key": {copies, "", "kms:Decrypt", arnShop + "/old"},
		"writing with none":           {func() error { return g.put(g.by, "new", "x") }, "", "", ""},
	} {
		bucketKey = test.bucket
		if err := g.Reset(); err != nil { // what was known of the bucket is forgotten
			t.Fatal(err)
		}
		g.iam("Action", "CreateUser", "UserName", "app")
		answer := g.iam("Action", "CreateAccessKey", "UserName", "app")
		g.by = s3.New(g.by.Options(), func(o *s3.Options) {
			o.Credentials = credentials.NewStaticCredentialsProvider(between(answer, "<AccessKeyId>", "<"), between(answer, "<SecretAccessKey>", "<"), "")
		})
		g.policy(permitting("s3:*", "*"))
		reached = nil
		err := test.do()
		if test.needs == "" {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if code(err) != "AccessDenied" || !strings.Contains(err.Error(), test.needs+" on resource: "+key) || strings.Contains(strings.Join(reached, ""), "PUT") {
			t.Errorf("%s without the key: %v, reached %q", name, err, reached)
		}
		g.iam("Action", "PutUserPolicy", "UserName", "app", "PolicyName", "keys", "PolicyDocument", permitting(test.needs, key,
			`{"StringEquals":{"kms:ViaService":"s3.us-east-1.amazonaws.com","kms:EncryptionContext:aws:s3:arn":"`+test.arn+`"}}`))
		if err := test.do(); err != nil {
			t.Errorf("%s with the key: %v", name, err)
		}
	}
}
