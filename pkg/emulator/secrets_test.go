package emulator_test

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/openirsa/openirsa/internal/sigv4"
	"github.com/openirsa/openirsa/pkg/emulator"
)

// parameters are the names of all parameters that any operation reads, and some
// more: every word of the sources that begins with a capital.
func parameters(t *testing.T) []string {
	t.Helper()
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	word := regexp.MustCompile(`"([A-Z][A-Za-z]{3,39})"`)
	var names []string
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") || strings.HasPrefix(e.Name(), "s3") {
			continue
		}
		source, err := os.ReadFile(e.Name())
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range word.FindAllStringSubmatch(string(source), -1) {
			names = append(names, m[1])
		}
	}
	slices.Sort(names)
	return append(slices.Compact(names), "Tags.member.1.Key", "Tags.member.1.Value", "TagKeys.member.1", "TransitiveTagKeys.member.1", "PolicyArns.member.1.arn",
		"ClientIDList.member.1", "ThumbprintList.member.1", "ActionNames.member.1", "ResourceArns.member.1", "PolicyInputList.member.1",
		"ContextEntries.member.1.ContextKeyName", "ContextEntries.member.1.ContextKeyValues.member.1", "x", "Tags.member.x", "Version", "Action")
}

// good are parameters that let an operation come as far as it can.
var good = url.Values{
	"RoleName": {"R"}, "UserName": {"U"}, "GroupName": {"G"}, "PolicyName": {"P"}, "RoleArn": {"arn:aws:iam::000000000000:role/R"}, "RoleSessionName": {"session"},
	"PolicyArn": {"arn:aws:iam::aws:policy/ReadOnlyAccess"}, "Name": {"name"}, "AccessKeyId": {"AKIAIOSFODNN7EXAMPLE"}, "Path": {"/p/"},
	"AssumeRolePolicyDocument": {`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"sts:AssumeRole"}]}`},
	"PolicyDocument":           {`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}`}, "VersionId": {"v1"},
	"OpenIDConnectProviderArn": {"arn:aws:iam::000000000000:oidc-provider/x.example"}, "ClientID": {"c"}, "PolicySourceArn": {"arn:aws:iam::000000000000:user/U"},
	"ActionNames.member.1": {"s3:GetObject"}, "WebIdentityToken": {"abcdef"},
}

// TestSecretsInWrongPlaces puts a token, a secret access key and a private key
// into every parameter of every operation, in every place of a request, and
// then looks for them in everything that the emulator tells others.
func TestSecretsInWrongPlaces(t *testing.T) {
	t.Parallel()
	var log safeBuffer
	config := emulator.Config{Control: true, Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})), MaxEvents: 1 << 20, MaxEventBytes: 1 << 30}
	a, idp := start(t, config)
	w := &wire{a.Server, t}
	idp.register()
	a.Role("R", idp.usual())
	if _, err := a.RegisterCluster(emulator.EKSCluster{Name: "c1", Issuer: "https://" + idp.hostPath()}); err != nil {
		t.Fatal(err)
	}
	client := iam.NewFromConfig(a.Config())
	if _, err := client.CreateUser(t.Context(), &iam.CreateUserInput{UserName: new("U")}); err != nil {
		t.Fatal(err)
	}
	key, err := client.CreateAccessKey(t.Context(), &iam.CreateAccessKeyInput{UserName: new("U")})
	if err != nil {
		t.Fatal(err)
	}
	user := aws.Credentials{AccessKeyID: *key.AccessKey.AccessKeyId, SecretAccessKey: *key.AccessKey.SecretAccessKey}
	root := aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}
	der, err := x509.MarshalPKCS8PrivateKey(keyEC())
	if err != nil {
		t.Fatal(err)
	}
	secrets := map[string]string{
		"token":       idp.token(idp.claims()),
		"secret":      "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
		"no signs":    "7GpXwQm2zRk9YdLb4TfVhNc81sJaEuZiWq3xKoBe", // as one secret access key in four
		"slash":       "FCgcH91wK5JLlwQbqkZIbzYq/fLLo7V1RboI5y95",
		"user's":      user.SecretAccessKey,
		"private key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
		"session":     base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("Zq3~kV9!"), 30)),
	}
	send := func(r *http.Request, service string, by aws.Credentials, body string) {
		t.Helper()
		r.Host = "127.0.0.1:4566"
		if by.AccessKeyID != "" {
			hash := sigv4.HashPayload([]byte(body))
			r.Header.Set("X-Amz-Content-Sha256", hash)
			signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = service == "s3" })
			if err := signer.SignHTTP(t.Context(), by, r, hash, service, "us-east-1", a.Now()); err != nil {
				t.Fatal(err)
			}
		}
		w.send(r)
	}
	request := func(method, target, body string) *http.Request {
		r, err := http.NewRequest(method, "http://127.0.0.1:4566"+target, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	queries := map[string][]string{"sts": emulator.STSOperations(), "iam": emulator.IAMOperations()}
	names := parameters(t)
	turn := 0
	for _, which := range slices.Sorted(maps.Keys(secrets)) {
		secret := secrets[which]
		turn++
		for service, operations := range queries {
			version := map[string]string{"sts": "2011-06-15", "iam": "2010-05-08"}[service]
			for i, operation := range operations {
				if strings.HasPrefix(operation, "Delete") {
					continue
				}
				all := url.Values{}
				for j, name := range names {
					v := url.Values{"Action": {operation}, "Version": {version}}
					maps.Copy(v, good)
					v.Set(name, secret)
					all.Set(name, secret)
					if (i+j+turn)%(4*len(secrets)) != 0 {
						continue // alone, each parameter has some of them in some operations
					}
					form := v.Encode()
					r := request("POST", "/", form)
					r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
					send(r, service, root, form)
				}
				for _, by := range []aws.Credentials{root, user, {}, {AccessKeyID: secretID(secret), SecretAccessKey: "x"}, {AccessKeyID: "ASIAIOSFODNN7EXAMPLE", SecretAccessKey: "x", SessionToken: headerSafe(secret)}} {
					all.Set("Action", operation)
					all.Set("Version", version)
					form := all.Encode()
					r := request("POST", "/", form)
					r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
					r.Header.Set("User-Agent", headerSafe(secret))
					send(r, service, by, form)
				}
			}
		}
		for _, operation := range append(emulator.KMSOperations(), headerSafe(secret)) {
			for _, by := range []aws.Credentials{root, user, {}} {
				quoted := fmt.Sprintf("%q", secret)
				body := `{"KeyId":` + quoted + `,"KeySpec":` + quoted + `,"KeyUsage":` + quoted + `,"SigningAlgorithm":` + quoted + `,"MessageType":` + quoted + `,"Tags":[{"TagKey":` + quoted + `,"TagValue":` + quoted + `}],"GrantTokens":[` + quoted + `]}`
				r := request("POST", "/", body)
				r.Header.Set("X-Amz-Target", "TrentService."+operation)
				send(r, "kms", by, body)
			}
		}
		elsewhereSecrets(secret, root, request, send)
		for _, by := range []aws.Credentials{root, user, {}} {
			eksSecrets(secret, secrets["token"], by, request, send)
		}
		s3Secrets(t, secret, root, user, request, send)
		controlSecrets(secret, request, w)
	}
	outputs := map[string]string{"log": log.String()}
	for _, path := range []string{"events?limit=0", "chain", "health", "metrics", ""} {
		r := request("GET", "/_openirsa/"+path, "")
		outputs[path] = w.send(r).Body.String()
	}
	if len(outputs["events?limit=0"]) < 1<<20 {
		t.Errorf("there are %d bytes of events", len(outputs["events?limit=0"]))
	}
	// Documents that were stored are the account's own, and the chain shows them.
	// What is in one of them was put there on purpose.
	for what, output := range outputs {
		for name, secret := range secrets {
			for piece := range strings.FieldsFuncSeq(secret, func(r rune) bool { return r == '\n' }) {
				if len(piece) < 28 || strings.HasPrefix(piece, "-----") {
					continue
				}
				for _, form := range []string{piece, url.QueryEscape(piece), strings.ReplaceAll(piece, "+", " ")} {
					if i := strings.Index(output, form[len(form)/4:len(form)/4+20]); i >= 0 {
						t.Errorf("the %s is in %q: ...%s...", name, what, output[max(0, i-300):min(len(output), i+60)])
						break
					}
				}
			}
		}
	}
}

func headerSafe(s string) string { return strings.ReplaceAll(s, "\n", " ") }

// secretID is a secret where an access key id belongs.
func secretID(s string) string {
	return strings.NewReplacer("\n", "", "/", "", "=", "", " ", "").Replace(s)
}

// elsewhereSecrets puts a secret into what tells services apart that are not
// here, and their operations.
func elsewhereSecrets(secret string, root aws.Credentials, request func(method, target, body string) *http.Request, send func(*http.Request, string, aws.Credentials, string)) {
	safe := headerSafe(secret)
	for _, by := range []aws.Credentials{root, {}} {
		for _, name := range []string{"DynamoDB_20120810." + safe, safe + ".PutItem", safe, "Put." + safe} {
			r := request("POST", "/", secret)
			r.Header.Set("X-Amz-Target", name)
			send(r, "dynamodb", by, secret)
		}
		for _, path := range []string{"/service/" + url.PathEscape(secret) + "/operation/Put", "/service/X/operation/" + url.PathEscape(secret)} {
			r := request("POST", path, "")
			r.Header.Set("Smithy-Protocol", "rpc-v2-cbor")
			send(r, "monitoring", by, "")
		}
		r := request("GET", "/clusters/"+url.PathEscape(secret), "")
		r.Header.Set("User-Agent", "x api/"+safe+"#1 "+safe)
		send(r, "eks", by, "")
		query := url.Values{"Action": {secret}, "Version": {"2010-03-31"}, "Message": {secret}}
		send(request("GET", "/?"+query.Encode(), ""), "sns", by, "")
		send(request("GET", "/", ""), safe, by, "")
	}
}

// eksSecrets puts a secret into paths, parameters and bodies of EKS and EKS Auth, and
// beside a token that is one.
func eksSecrets(secret, token string, by aws.Credentials, request func(method, target, body string) *http.Request, send func(*http.Request, string, aws.Credentials, string)) {
	quoted, escaped := fmt.Sprintf("%q", secret), url.PathEscape(secret)
	var body strings.Builder
	body.WriteString("{")
	for _, name := range []string{"namespace", "serviceAccount", "roleArn", "targetRoleArn", "policy", "clientRequestToken", "name", "version"} {
		body.WriteString(fmt.Sprintf("%q:%s,", name, quoted))
	}
	body.WriteString(`"resourcesVpcConfig":{},"tags":{` + quoted + ":" + quoted + `}}`)
	for _, r := range []*http.Request{
		request("POST", "/clusters", body.String()), request("GET", "/clusters/"+escaped, ""), request("DELETE", "/clusters/"+escaped, ""),
		request("GET", "/clusters?nextToken="+url.QueryEscape(secret)+"&maxResults="+url.QueryEscape(secret), ""),
		request("GET", "/clusters/c1/addons/"+escaped, ""), request("GET", "/clusters/c1/"+escaped, ""),
		request("POST", "/clusters/c1/pod-identity-associations", body.String()), request("POST", "/clusters/"+escaped+"/pod-identity-associations", body.String()),
		request("GET", "/clusters/c1/pod-identity-associations?namespace="+url.QueryEscape(secret), ""),
		request("GET", "/clusters/c1/pod-identity-associations/"+escaped, ""), request("POST", "/clusters/c1/pod-identity-associations/"+escaped, body.String()),
		request("POST", "/tags/"+escaped, body.String()), request("DELETE", "/tags/"+escaped+"?tagKeys="+url.QueryEscape(secret), ""),
	} {
		text, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(text))
		send(r, "eks", by, string(text))
	}
	for _, cluster := range []string{"c1", escaped} {
		for _, t := range []string{secret, token} {
			body := fmt.Sprintf(`{"token":%q,"eksNodeName":%s,"instanceId":%s,"zone":%s}`, t, quoted, quoted, quoted)
			r := request("POST", "/clusters/"+cluster+"/assume-role-for-pod-identity", body)
			r.Header.Set("Content-Type", "application/json")
			send(r, "eks-auth", by, body)
		}
	}
}

// s3Secrets puts a secret into bucket, key, parameters, headers and bodies of
// all operations of S3.
func s3Secrets(t *testing.T, secret string, root, user aws.Credentials, request func(method, target, body string) *http.Request, send func(*http.Request, string, aws.Credentials, string)) {
	t.Helper()
	escaped := url.PathEscape(secret)
	header := []string{
		"X-Amz-Acl", "X-Amz-Copy-Source", "X-Amz-Meta-Secret", "X-Amz-Tagging", "X-Amz-Storage-Class", "X-Amz-Expected-Bucket-Owner", "X-Amz-Content-Sha256",
		"X-Amz-Grant-Read", "X-Amz-Website-Redirect-Location", "X-Amz-Server-Side-Encryption", "X-Amz-Security-Token", "If-Match", "Range", "Content-Md5", "Content-Type",
		"X-Amz-Bucket-Region", "X-Amz-Account-Id", "Referer", "User-Agent", "X-Amz-Object-Ownership", "X-Amz-Checksum-Sha256", "Expect", "X-Amz-Date", "Authorization",
	}
	send(request("PUT", "/bucket", ""), "s3", root, "")
	for _, operation := range emulator.S3Operations() {
		method, what, _ := strings.Cut(operation, " ")
		what, _, copied := strings.Cut(what, " ")
		level, sub, _ := strings.Cut(what, "?")
		targets := []string{"/bucket", "/" + escaped}
		switch level {
		case "service":
			targets = []string{"/"}
		case "object":
			targets = []string{"/bucket/" + escaped, "/" + escaped + "/key"}
		}
		for _, target := range targets {
			for _, by := range []aws.Credentials{root, user, {}, {AccessKeyID: secretID(secret), SecretAccessKey: "x"}} {
				query := url.Values{"versionId": {secret}, "prefix": {secret}, "marker": {secret}, "continuation-token": {secret}, "delimiter": {secret}, "x-id": {secret}, "response-content-type": {secret}}
				if sub != "" {
					query.Set(sub, secret)
				}
				body := "<A>" + secret + "</A>"
				r := request(method, target+"?"+query.Encode(), body)
				if copied {
					r.Header.Set("X-Amz-Copy-Source", "/bucket/"+escaped)
				}
				send(r, "s3", by, body)
			}
		}
	}
	for _, name := range header {
		for _, method := range []string{"PUT", "GET"} {
			r := request(method, "/bucket/key", "")
			r.Header.Set(name, headerSafe(secret))
			send(r, "s3", aws.Credentials{}, "")
			if name != "Authorization" && name != "X-Amz-Content-Sha256" && name != "X-Amz-Date" && name != "X-Amz-Security-Token" {
				r = request(method, "/bucket/key", "")
				r.Header.Set(name, headerSafe(secret))
				send(r, "s3", user, "")
			}
		}
	}
	for _, name := range []string{"X-Amz-Credential", "X-Amz-Signature", "X-Amz-Security-Token", "X-Amz-Algorithm", "X-Amz-Date", "X-Amz-SignedHeaders", "X-Amz-Expires"} {
		q := url.Values{"X-Amz-Algorithm": {"AWS4-HMAC-SHA256"}, "X-Amz-Credential": {"test/20260101/us-east-1/s3/aws4_request"}, "X-Amz-Date": {"20260101T000000Z"},
			"X-Amz-Expires": {"60"}, "X-Amz-SignedHeaders": {"host"}, "X-Amz-Signature": {"0"}}
		q.Set(name, secret)
		send(request("GET", "/bucket/key?"+q.Encode(), ""), "s3", aws.Credentials{}, "")
		q.Set("Action", "GetCallerIdentity")
		q.Set("Version", "2011-06-15")
		send(request("GET", "/?"+q.Encode(), ""), "sts", aws.Credentials{}, "")
	}
	r := request("GET", "/key", "")
	r.Host = secretID(secret) + ".localhost"
	send(r, "s3", aws.Credentials{}, "")
}

// controlSecrets puts a secret into what the control API takes.
func controlSecrets(secret string, request func(method, target, body string) *http.Request, w *wire) {
	quoted := fmt.Sprintf("%q", secret)
	for path, body := range map[string]string{
		"clock": `{"forward":` + quoted + `}`, "buckets": `{"name":` + quoted + `,"account":` + quoted + `,"region":` + quoted + `}`,
		"faults": `{"action":` + quoted + `,"code":` + quoted + `,"message":` + quoted + `,"latency":` + quoted + `}`,
	} {
		r := request("POST", "/_openirsa/control/"+path, body)
		r.Header.Set("Content-Type", "application/json")
		w.send(r)
	}
	r := request("POST", "/_openirsa/control/faults", `{"action":"ListUsers","times":1,"code":`+quoted+`,"message":`+quoted+`}`)
	r.Header.Set("Content-Type", "application/json")
	w.send(r)
	form := "Action=ListUsers&Version=2010-05-08"
	r = request("POST", "/", form)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w.send(r)
	for _, name := range []string{"caller", "action", "decision", "requestId", "since", "after", "limit", "wait", "other"} {
		w.send(request("GET", "/_openirsa/events?"+url.Values{name: {secret}}.Encode(), ""))
	}
}

// safeBuffer may be written by several.
type safeBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

var _ io.Writer = (*safeBuffer)(nil)
