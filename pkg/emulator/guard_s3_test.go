package emulator_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"

	"github.com/openirsa/openirsa/pkg/emulator"
	"github.com/openirsa/openirsa/pkg/emulator/emulatortest"
)

// counted is a backend that counts the requests that it gets.
type counted struct {
	http.Handler
	n atomic.Int32
}

func (c *counted) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.UserAgent() != "" { // else the guard asks for itself
		c.n.Add(1)
	}
	c.Handler.ServeHTTP(w, r)
}

// newBuckets is another emulator, whose S3 checks the signatures of what is forwarded.
func newBuckets(t testing.TB) *counted {
	t.Helper()
	back, err := emulator.New(emulator.Config{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { back.Close() })
	return &counted{Handler: back}
}

// forwardsS3 has S3 forwarded, with the key of the backend's root user.
func forwardsS3(back http.Handler) func(*emulator.Config) {
	return func(c *emulator.Config) {
		c.Forward = map[string]emulator.Backend{"s3": {Handler: back}}
		c.ForwardKeyID, c.ForwardSecret = "test", "test"
	}
}

// TestGuardS3Clients: whatever SDKs do with S3 they do with one that is forwarded, by
// every address, with every kind of body.
func TestGuardS3Clients(t *testing.T) {
	t.Parallel()
	testS3Clients(t, s3Clients(t, forwardsS3(newBuckets(t))), nil)
}

// guardedS3 is an emulator that forwards S3, with clients of its root user and of a user.
type guardedS3 struct {
	*guarded
	back     *counted
	url      string
	root, by *s3.Client
}

func newGuardedS3(t testing.TB) *guardedS3 {
	t.Helper()
	g := &guardedS3{back: newBuckets(t)}
	g.guarded = newGuarded(t, forwardsS3(g.back), func(c *emulator.Config) { c.Account, c.Now, c.S3Hosts = "", nil, []string{"s3.test"} })
	server := httptest.NewServer(g.Server)
	t.Cleanup(server.Close)
	g.url = server.URL
	client := func(id, secret string) *s3.Client {
		return s3.New(s3.Options{
			Region: "us-east-1", BaseEndpoint: &server.URL, UsePathStyle: true, RetryMaxAttempts: 1,
			Credentials: credentials.NewStaticCredentialsProvider(id, secret, ""),
		})
	}
	g.root, g.by = client("test", "test"), client(g.id, g.secret)
	g.do(g.root.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: new("shop")}))
	return g
}

// do fails the test if a call failed.
func (g *guardedS3) do(_ any, err error) {
	g.t.Helper()
	if err != nil {
		g.t.Fatal(err)
	}
}

func (g *guardedS3) put(c *s3.Client, key, body string, change ...func(*s3.PutObjectInput)) error {
	in := &s3.PutObjectInput{Bucket: new("shop"), Key: &key, Body: strings.NewReader(body)}
	for _, f := range change {
		f(in)
	}
	_, err := c.PutObject(g.t.Context(), in)
	return err
}

func (g *guardedS3) get(c *s3.Client, key string) (string, error) {
	out, err := c.GetObject(g.t.Context(), &s3.GetObjectInput{Bucket: new("shop"), Key: &key})
	if err != nil {
		return "", err
	}
	defer out.Body.Close()
	body, err := io.ReadAll(out.Body)
	return string(body), err
}

// bucketPolicy gives the bucket a policy, as its root user.
func (g *guardedS3) bucketPolicy(statements ...map[string]any) {
	g.t.Helper()
	g.do(g.root.PutBucketPolicy(g.t.Context(), &s3.PutBucketPolicyInput{Bucket: new("shop"), Policy: new(emulatortest.Document(statements...))}))
}

// code is the code of an error of AWS, "" for none.
func code(err error) string {
	var e smithy.APIError
	if errors.As(err, &e) {
		return e.ErrorCode()
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

const arnShop = "arn:aws:s3:::shop"

// TestGuardS3Denied: what is not allowed never reaches the backend, and what is allowed does
// with exactly that permission.
func TestGuardS3Denied(t *testing.T) {
	t.Parallel()
	g := newGuardedS3(t)
	ctx := t.Context()
	const key = "a b/ü+~(1)"
	g.do(nil, g.put(g.root, key, "body"))
	g.do(nil, g.put(g.root, "tagged", "body", func(in *s3.PutObjectInput) { in.Tagging = new("team=a") }))
	source := new("shop/tagged")
	list := func(prefix string) error {
		_, err := g.by.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: new("shop"), Prefix: &prefix})
		return err
	}
	for name, test := range map[string]struct {
		policies []string // each pair of actions and resource is needed
		do       func() error
	}{
		"PutObject": {[]string{"s3:PutObject " + arnShop + "/new"}, func() error { return g.put(g.by, "new", "x") }},
		"PutObject with tags": {[]string{"s3:PutObject " + arnShop + "/new", "s3:PutObjectTagging " + arnShop + "/new"},
			func() error { return g.put(g.by, "new", "x", func(in *s3.PutObjectInput) { in.Tagging = new("a=b") }) }},
		"GetObject":  {[]string{"s3:GetObject " + arnShop + "/" + key}, func() error { _, err := g.get(g.by, key); return err }},
		"ListBucket": {[]string{"s3:ListBucket " + arnShop}, func() error { return list("a") }},
		"CopyObject": {[]string{"s3:GetObject " + arnShop + "/tagged", "s3:GetObjectTagging " + arnShop + "/tagged", "s3:PutObject " + arnShop + "/copy", "s3:PutObjectTagging " + arnShop + "/copy"},
			func() error {
				_, err := g.by.CopyObject(ctx, &s3.CopyObjectInput{Bucket: new("shop"), Key: new("copy"), CopySource: source})
				return err
			}},
		"ListBuckets": {[]string{"s3:ListAllMyBuckets *"}, func() error { _, err := g.by.ListBuckets(ctx, nil); return err }},
		"GetBucketVersioning": {[]string{"s3:GetBucketVersioning " + arnShop}, func() error {
			_, err := g.by.GetBucketVersioning(ctx, &s3.GetBucketVersioningInput{Bucket: new("shop")})
			return err
		}},
	} {
		for without := range len(test.policies) + 1 {
			var statements []map[string]any
			for i, p := range test.policies {
				if action, resource, _ := strings.Cut(p, " "); i != without {
					statements = append(statements, map[string]any{"Effect": "Allow", "Action": action, "Resource": resource})
				}
			}
			g.policy("")
			if statements != nil {
				g.policy(emulatortest.Document(statements...))
			}
			before := g.back.n.Load()
			err := test.do()
			reached := g.back.n.Load() - before
			switch {
			case without == len(test.policies) && (err != nil || reached != 1):
				t.Errorf("%s with its permissions: %v, reached %d times", name, err, reached)
			case without < len(test.policies) && (code(err) != "AccessDenied" || reached != 0):
				t.Errorf("%s without %s: %v, reached %d times", name, test.policies[without], err, reached)
			}
		}
	}
	g.policy(permitting("s3:ListBucket", arnShop, `{"StringEquals":{"s3:prefix":"mine/"}}`))
	if a, b := list("mine/"), list("yours/"); a != nil || code(b) != "AccessDenied" {
		t.Errorf("by prefix: %v, %v", a, b)
	}
	g.policy(permitting("s3:GetObject", arnShop+"/*", `{"StringEquals":{"s3:ExistingObjectTag/team":"a"}}`))
	if _, err := g.get(g.by, "tagged"); err != nil {
		t.Errorf("by a tag of the object: %v", err)
	}
	if _, err := g.get(g.by, key); code(err) != "AccessDenied" {
		t.Errorf("by a tag that it does not have: %v", err)
	}
	g.policy(permitting("s3:GetObject", arnShop+"/*"))
	if _, err := g.get(g.by, "gone"); code(err) != "AccessDenied" {
		t.Errorf("what is missing, by who may not list: %v", err)
	}
	g.policy(permitting("s3:GetObject s3:ListBucket", "*"))
	if _, err := g.get(g.by, "gone"); code(err) != "NoSuchKey" {
		t.Errorf("what is missing, by who may list: %v", err)
	}
	event := g.Events(emulator.EventFilter{})
	if last := event[len(event)-1]; last.Service != "s3" || last.Action != "s3:GetObject" || last.Resource != arnShop+"/gone" || last.Decision != emulator.Allow {
		t.Errorf("the last event is %+v", last)
	}
}

// TestGuardS3BucketPolicy: the policies of buckets are the backend's, and count from the
// moment that they are set.
func TestGuardS3BucketPolicy(t *testing.T) {
	t.Parallel()
	g := newGuardedS3(t)
	g.do(nil, g.put(g.root, "k", "body"))
	get := func() string { _, err := g.get(g.by, "k"); return code(err) }
	user := map[string]string{"AWS": "arn:aws:iam::000000000000:user/app"}
	if got := get(); got != "AccessDenied" {
		t.Errorf("without any policy: %s", got)
	}
	// The backend's IAM has no such user, so it would not take its policy.
	g.do(g.root.DeletePublicAccessBlock(t.Context(), &s3.DeletePublicAccessBlockInput{Bucket: new("shop")}))
	everyone := map[string]any{"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": arnShop + "/*"}
	g.bucketPolicy(everyone)
	if got := get(); got != "" {
		t.Errorf("with a policy for everyone: %s", got)
	}
	anonymous := func(host, path string) int {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, g.url+path, nil)
		g.do(nil, err)
		r.Host = host
		answer, err := http.DefaultClient.Do(r)
		g.do(nil, err)
		answer.Body.Close()
		return answer.StatusCode
	}
	if a, b := anonymous("shop.s3.test", "/k"), anonymous("127.0.0.1", "/shop/k"); a != http.StatusOK || b != http.StatusOK {
		t.Errorf("nobody in particular: by host %d, by path %d", a, b)
	}
	g.policy(permitting("s3:GetObject", arnShop+"/*"))
	g.bucketPolicy(everyone, map[string]any{"Effect": "Deny", "Principal": "*", "Action": "s3:GetObject", "Resource": arnShop + "/k"})
	if got := get(); got != "AccessDenied" {
		t.Errorf("with a denial: %s", got)
	}
	if got := anonymous("shop.s3.test", "/k"); got != http.StatusForbidden {
		t.Errorf("nobody in particular: %d", got)
	}
	events := g.Events(emulator.EventFilter{})
	if e := events[len(events)-1]; e.Decision != emulator.Deny || e.Statement == nil || e.Statement.Policy != "policy of bucket shop" {
		t.Errorf("event %+v of %v", e, user)
	}
	g.do(g.root.DeleteBucketPolicy(t.Context(), &s3.DeleteBucketPolicyInput{Bucket: new("shop")}))
	if got := get(); got != "" {
		t.Errorf("once it is gone: %s", got)
	}
}

// TestGuardS3Bodies: a body that is not the one that was signed is not stored, however it
// comes, and one that is decoded arrives as it was.
func TestGuardS3Bodies(t *testing.T) {
	t.Parallel()
	g := newGuardedS3(t)
	g.policy(permitting("s3:*", "*"))
	absent := func(key string) {
		t.Helper()
		if _, err := g.get(g.root, key); code(err) != "NoSuchKey" {
			t.Errorf("%s is stored: %v", key, err)
		}
	}
	send := func(key, body, hash string, header ...string) (int, string) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, g.url+"/shop/"+key, strings.NewReader(body))
		g.do(nil, err)
		r.Header.Set("X-Amz-Content-Sha256", hash)
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })
		g.do(nil, signer.SignHTTP(t.Context(), aws.Credentials{AccessKeyID: g.id, SecretAccessKey: g.secret}, r, hash, "s3", "us-east-1", time.Now()))
		answer, err := http.DefaultClient.Do(r)
		g.do(nil, err)
		defer answer.Body.Close()
		text, err := io.ReadAll(answer.Body)
		g.do(nil, err)
		return answer.StatusCode, between(string(text)+"<Code><", "<Code>", "<")
	}
	long := string(bytes.Repeat([]byte("0123456789"), 100_000))
	for _, body := range []string{"x", long} {
		if status, code := send("wrong", body, strings.Repeat("0", 64)); status != http.StatusBadRequest || code != "XAmzContentSHA256Mismatch" {
			t.Errorf("another body: %d %s", status, code)
		}
		absent("wrong")
	}
	trailer := func(body, sum string) (string, []string) {
		return fmt.Sprintf("%x\r\n%s\r\n0\r\nx-amz-checksum-crc32:%s\r\n\r\n", len(body), body, sum), []string{
			"Content-Encoding", "aws-chunked", "X-Amz-Trailer", "x-amz-checksum-crc32", "X-Amz-Decoded-Content-Length", fmt.Sprint(len(body)),
		}
	}
	body, header := trailer("hello", "AAAAAA==")
	if status, code := send("wrong", body, "STREAMING-UNSIGNED-PAYLOAD-TRAILER", header...); status != http.StatusBadRequest || code != "BadDigest" {
		t.Errorf("another checksum: %d %s", status, code)
	}
	absent("wrong")
	body, header = trailer("hello", "NhCmhg==")
	if status, code := send("right", body, "STREAMING-UNSIGNED-PAYLOAD-TRAILER", header...); status != http.StatusOK {
		t.Errorf("the right checksum: %d %s", status, code)
	}
	if got, err := g.get(g.root, "right"); got != "hello" || err != nil {
		t.Errorf("what is stored is %q, %v", got, err)
	}
	head, err := g.by.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: new("shop"), Key: new("right"), ChecksumMode: types.ChecksumModeEnabled})
	if err != nil || aws.ToString(head.ChecksumCRC32) != "NhCmhg==" || head.ContentEncoding != nil {
		t.Errorf("its checksum: %+v, %v", head, err)
	}
	if status, code := send("wrong", "x", "UNSIGNED-PAYLOAD", "X-Amz-Copy-Source", "/shop/%zz"); status != http.StatusBadRequest {
		t.Errorf("a source that cannot be decoded: %d %s", status, code)
	}
	for _, uri := range []string{"k?acl&tagging", "k?versionId=a&versionId=b", "k?x-amz-acl=public-read", "k?journal", "../shop/k"} {
		before := g.back.n.Load()
		if status, code := send(uri, "x", "UNSIGNED-PAYLOAD"); status < 400 || g.back.n.Load() != before {
			t.Errorf("%s can be read in two ways: %d %s", uri, status, code)
		}
	}
}

// TestGuardS3Presigned: presigned URLs need nothing but themselves, and are verified.
func TestGuardS3Presigned(t *testing.T) {
	t.Parallel()
	g := newGuardedS3(t)
	g.policy(permitting("s3:PutObject s3:GetObject", arnShop+"/signed"))
	signer := s3.NewPresignClient(g.by)
	send := func(method, address string, header http.Header, body string) int {
		r, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(body))
		g.do(nil, err)
		for name, values := range header {
			if name != "Host" && name != "Content-Length" {
				r.Header[name] = values
			}
		}
		answer, err := http.DefaultClient.Do(r)
		g.do(nil, err)
		answer.Body.Close()
		return answer.StatusCode
	}
	put, err := signer.PresignPutObject(t.Context(), &s3.PutObjectInput{Bucket: new("shop"), Key: new("signed"), Metadata: map[string]string{"of": "me"}})
	g.do(nil, err)
	if got := send(put.Method, put.URL, put.SignedHeader, "by URL"); got != http.StatusOK {
		t.Errorf("uploading: %d", got)
	}
	get, err := signer.PresignGetObject(t.Context(), &s3.GetObjectInput{Bucket: new("shop"), Key: new("signed")})
	g.do(nil, err)
	if got := send(get.Method, get.URL, get.SignedHeader, ""); got != http.StatusOK {
		t.Errorf("downloading: %d", got)
	}
	if got := send(get.Method, strings.Replace(get.URL, "/signed", "/other", 1), get.SignedHeader, ""); got != http.StatusForbidden {
		t.Errorf("another object: %d", got)
	}
	head, err := g.root.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: new("shop"), Key: new("signed")})
	if err != nil || head.Metadata["of"] != "me" || aws.ToInt64(head.ContentLength) != int64(len("by URL")) {
		t.Errorf("what is stored: %+v, %v", head, err)
	}
}

// TestGuardS3Deletions: of several objects those are deleted that may be, and the answer
// says why the others are not.
func TestGuardS3Deletions(t *testing.T) {
	t.Parallel()
	g := newGuardedS3(t)
	for _, key := range []string{"mine/1", "mine/2", "yours"} {
		g.do(nil, g.put(g.root, key, "x"))
	}
	g.policy(permitting("s3:DeleteObject", arnShop+"/mine/*"))
	remove := func(quiet bool, keys ...string) (deleted, refused []string) {
		t.Helper()
		in := &s3.DeleteObjectsInput{Bucket: new("shop"), Delete: &types.Delete{Quiet: &quiet}}
		for _, key := range keys {
			in.Delete.Objects = append(in.Delete.Objects, types.ObjectIdentifier{Key: &key})
		}
		out, err := g.by.DeleteObjects(t.Context(), in)
		g.do(nil, err)
		for _, d := range out.Deleted {
			deleted = append(deleted, *d.Key)
		}
		for _, e := range out.Errors {
			refused = append(refused, *e.Key+" "+*e.Code)
		}
		return deleted, refused
	}
	deleted, refused := remove(false, "mine/1", "yours")
	if !slices.Equal(deleted, []string{"mine/1"}) || !slices.Equal(refused, []string{"yours AccessDenied"}) {
		t.Errorf("deleted %q, refused %q", deleted, refused)
	}
	before := g.back.n.Load()
	if deleted, refused = remove(false, "yours"); deleted != nil || len(refused) != 1 || g.back.n.Load() != before {
		t.Errorf("nothing is left: deleted %q, refused %q", deleted, refused)
	}
	if deleted, refused = remove(true, "mine/2", "yours"); deleted != nil || len(refused) != 1 {
		t.Errorf("quietly: deleted %q, refused %q", deleted, refused)
	}
	if _, err := g.get(g.root, "yours"); err != nil {
		t.Errorf("what may not be deleted: %v", err)
	}
	if _, err := g.get(g.root, "mine/2"); code(err) != "NoSuchKey" {
		t.Errorf("what was deleted: %v", err)
	}
}

// TestGuardS3Refused: signatures, backends that are away, and what nobody can decide about.
func TestGuardS3Refused(t *testing.T) {
	t.Parallel()
	g := newGuardedS3(t)
	g.policy(anything)
	forged := s3.New(s3.Options{
		Region: "us-east-1", BaseEndpoint: &g.url, UsePathStyle: true, RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider(g.id, "wrong", ""),
	})
	before := g.back.n.Load()
	if _, err := g.get(forged, "k"); code(err) != "SignatureDoesNotMatch" {
		t.Errorf("a forged signature: %v", err)
	}
	if _, err := g.by.RenameObject(t.Context(), &s3.RenameObjectInput{Bucket: new("shop"), Key: new("k"), RenameSource: new("/shop/l")}); code(err) != "NotImplemented" {
		t.Errorf("of directory buckets: %v", err)
	}
	if g.back.n.Load() != before {
		t.Error("it reached the backend")
	}
	g.back.Handler = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	if _, err := g.get(g.by, "k"); code(err) != "ServiceUnavailable" {
		t.Errorf("a backend that breaks off: %v", err)
	}
	if err := g.SetForward(nil); err != nil {
		t.Fatal(err)
	}
	if _, err := g.get(g.by, "k"); code(err) != "ServiceUnavailable" {
		t.Errorf("no backend any more: %v", err)
	}
	if err := g.AddForeignBucket("theirs", "111122223333", ""); err == nil {
		t.Error("a bucket is added to what is forwarded")
	}
}

// TestGuardS3Issuer: the documents of an issuer are read from the bucket at the backend, as
// a stranger reads them, and tokens are good as long as a stranger may.
func TestGuardS3Issuer(t *testing.T) {
	t.Parallel()
	config := emulator.Config{MaxKeyAge: 1}
	forwardsS3(newBuckets(t))(&config)
	a := startAWS(t, config)
	i := a.Issuer("cluster")
	role := a.Role("app", i.Trust("default", "app"))
	if _, err := a.Assume(role, i.Token("default", "app")); err != nil {
		t.Fatal(err)
	}
	_, err := a.S3(a.Config()).DeleteBucketPolicy(context.Background(), &s3.DeleteBucketPolicyInput{Bucket: &i.Bucket})
	if err != nil {
		t.Fatal(err)
	}
	a.FastForward(1)
	if _, err := a.Assume(role, i.Token("default", "app")); code(err) != "InvalidIdentityToken" {
		t.Errorf("once they are private: %v", err)
	}
	if e := a.LastDenial(); !strings.Contains(e.Reason, "S3 is forwarded, so the issuer's bucket has to be at the backend") {
		t.Errorf("event %+v", e)
	}
}
