package app

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/openirsa/openirsa/pkg/discovery"
	"github.com/openirsa/openirsa/pkg/emulator"
	"github.com/openirsa/openirsa/pkg/emulator/emulatortest"
	"github.com/openirsa/openirsa/pkg/issuer"
	"github.com/openirsa/openirsa/pkg/keys"
)

// bucket is a bucket of an emulated account into which a test publishes the keys
// of a file.
type bucket struct {
	*testing.T
	aws  *emulatortest.AWS
	s3   *s3.Client
	file string
	seen uint64 // events
}

const bucketName = "openirsa-dev"

func newBucket(t *testing.T) *bucket {
	b := &bucket{T: t, aws: emulatortest.Start(t), file: filepath.Join(t.TempDir(), "sa.pub")}
	b.s3 = b.aws.S3(b.aws.Config())
	b.credentials(b.aws.Config())
	t.Setenv("AWS_ENDPOINT_URL", b.aws.URL)
	t.Setenv("AWS_REGION", emulatortest.Region)
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(t.TempDir(), "none"))
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", filepath.Join(t.TempDir(), "none"))
	return b
}

func (b *bucket) credentials(config aws.Config) {
	b.Helper()
	c, err := config.Credentials.Retrieve(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	b.Setenv("AWS_ACCESS_KEY_ID", c.AccessKeyID)
	b.Setenv("AWS_SECRET_ACCESS_KEY", c.SecretAccessKey)
	b.Setenv("AWS_SESSION_TOKEN", c.SessionToken)
}

func newKey(t testing.TB, alg string) keys.Public {
	t.Helper()
	private, err := keys.Generate(alg)
	if err != nil {
		t.Fatal(err)
	}
	return private.Public()
}

// keys makes the file hold these.
func (b *bucket) keys(public ...keys.Public) {
	b.Helper()
	var all []byte
	for _, key := range public {
		pem, err := key.PEM()
		if err != nil {
			b.Fatal(err)
		}
		all = append(all, pem...)
	}
	if err := os.WriteFile(b.file+".new", all, 0o644); err != nil {
		b.Fatal(err)
	}
	if err := os.Rename(b.file+".new", b.file); err != nil {
		b.Fatal(err)
	}
}

// publish runs the program. The result is what it printed and logged.
func (b *bucket) publish(args ...string) (string, error) {
	b.Helper()
	var out strings.Builder
	ctx, cancel := context.WithTimeout(b.Context(), 30*time.Second)
	defer cancel()
	err := Run(ctx, called(os.LookupEnv, &out, append([]string{"publish", "--bucket", bucketName, "--key-file", b.file}, args...)...))
	return out.String(), err
}

func (b *bucket) must(args ...string) string {
	b.Helper()
	out, err := b.publish(args...)
	if err != nil {
		b.Fatalf("publish %v: %v\n%s", args, err, out)
	}
	return out
}

// writes are what was written since the last call: "jwks", "discovery", or the
// call for anything else.
func (b *bucket) writes() []string {
	var all []string
	for _, e := range b.aws.Events(emulator.EventFilter{After: b.seen}) {
		b.seen = e.Seq
		call, ok := strings.CutPrefix(e.Action, "s3:")
		if !ok || e.Decision != emulator.Allow || strings.HasPrefix(call, "Get") || strings.HasPrefix(call, "List") {
			continue
		}
		switch _, path, _ := strings.Cut(e.Resource, bucketName); {
		case call == "PutObject" && path == issuer.JWKSPath:
			call = "jwks"
		case call == "PutObject" && path == issuer.DiscoveryPath:
			call = "discovery"
		}
		all = append(all, call)
	}
	return all
}

func (b *bucket) wrote(want ...string) {
	b.Helper()
	if got := b.writes(); !slices.Equal(got, want) {
		b.Errorf("written %q, want %q", got, want)
	}
}

// object is what a client reads of a document.
func (b *bucket) object(client *s3.Client, path string) (string, []byte, error) {
	got, err := client.GetObject(b.Context(), &s3.GetObjectInput{Bucket: new(bucketName), Key: new(path[1:])})
	if err != nil {
		return "", nil, err
	}
	defer got.Body.Close()
	body, err := io.ReadAll(got.Body)
	return aws.ToString(got.ContentType), body, err
}

// served checks the keys that a stranger reads.
func (b *bucket) served(public ...keys.Public) {
	b.Helper()
	iss, err := issuer.S3(bucketName, emulatortest.Region, "amazonaws.com", "")
	if err != nil {
		b.Fatal(err)
	}
	anonymous := b.aws.Config()
	anonymous.Credentials = aws.AnonymousCredentials{}
	client := b.aws.S3(anonymous)
	_, set, err := discovery.Read(b.Context(), func(_ context.Context, _ issuer.URL, path string) (string, []byte, error) {
		return b.object(client, path)
	}, iss)
	want, wantErr := keys.NewSet(public...)
	if err != nil || wantErr != nil || !set.Equal(want) {
		b.Errorf("a stranger reads %s, %v; want %s", set.JWKS(), err, want.JWKS())
	}
}

func TestPublishOnce(t *testing.T) {
	b := newBucket(t)
	k1, k2, k3 := newKey(t, keys.ES256), newKey(t, keys.ES256), newKey(t, keys.ES384)
	b.keys(k1)

	if out := b.must("--dry-run"); !strings.Contains(out, "create bucket "+bucketName) {
		t.Errorf("dry run:\n%s", out)
	}
	b.wrote()
	b.must("--once")
	b.served(k1)
	if w := b.writes(); len(w) < 2 || !slices.Equal(w[len(w)-2:], []string{"jwks", "discovery"}) {
		t.Errorf("written %q", w)
	}
	b.must("--once")
	b.wrote()

	t.Log("adding: the key set first")
	b.keys(k1, k3)
	b.must("--once")
	b.wrote("jwks", "discovery")
	b.served(k1, k3)

	t.Log("adding a key of a known algorithm leaves the discovery document alone")
	b.keys(k1, k2, k3)
	b.must("--once")
	b.wrote("jwks")

	t.Log("removing: the key set last")
	b.keys(k1, k2)
	b.must("--once")
	b.wrote("discovery", "jwks")
	b.served(k1, k2)

	t.Log("replacing: both")
	b.keys(k3)
	b.must("--once")
	b.wrote("jwks", "discovery", "discovery", "jwks")
	b.served(k3)

	t.Log("drift is repaired")
	if _, err := b.s3.PutObject(t.Context(), &s3.PutObjectInput{Bucket: new(bucketName), Key: new("openid/v1/jwks"), Body: strings.NewReader(`{"keys":[]}`)}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.s3.DeleteBucketPolicy(t.Context(), &s3.DeleteBucketPolicyInput{Bucket: new(bucketName)}); err != nil {
		t.Fatal(err)
	}
	b.writes()
	b.must("--once")
	b.wrote("PutBucketPolicy", "jwks")
	b.served(k3)

	t.Log("so is what keeps strangers out")
	b.keys(k1)
	_, err := b.s3.PutPublicAccessBlock(t.Context(), &s3.PutPublicAccessBlockInput{Bucket: new(bucketName), PublicAccessBlockConfiguration: &types.PublicAccessBlockConfiguration{RestrictPublicBuckets: new(true)}})
	if err != nil {
		t.Fatal(err)
	}
	b.must("--once")
	b.served(k1)
}

// A role that may write the two documents and nothing else is enough.
func TestPublishDocumentsOnly(t *testing.T) {
	b := newBucket(t)
	k1, k2 := newKey(t, keys.ES256), newKey(t, keys.ES384)
	b.keys(k1)
	b.must("--once")

	root := iam.NewFromConfig(b.aws.Config())
	if _, err := root.CreateUser(t.Context(), &iam.CreateUserInput{UserName: new("publisher")}); err != nil {
		t.Fatal(err)
	}
	_, err := root.PutUserPolicy(t.Context(), &iam.PutUserPolicyInput{UserName: new("publisher"), PolicyName: new("documents"), PolicyDocument: new(`{
		"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": ["s3:GetObject", "s3:PutObject"], "Resource": [
		"arn:aws:s3:::` + bucketName + `/openid/v1/jwks", "arn:aws:s3:::` + bucketName + `/.well-known/openid-configuration"]}}`)})
	if err != nil {
		t.Fatal(err)
	}
	key, err := root.CreateAccessKey(t.Context(), &iam.CreateAccessKeyInput{UserName: new("publisher")})
	if err != nil {
		t.Fatal(err)
	}
	b.credentials(b.aws.ConfigFor(*key.AccessKey.AccessKeyId, *key.AccessKey.SecretAccessKey, ""))

	b.keys(k1, k2)
	if out, err := b.publish("--once"); err == nil {
		t.Errorf("it may do more than it should:\n%s", out)
	}
	b.writes()
	b.must("--once", "--documents-only")
	b.wrote("jwks", "discovery")
	b.served(k1, k2)

	t.Log("documents that are not there")
	for _, path := range discovery.Paths {
		if _, err := b.s3.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: new(bucketName), Key: new(path[1:])}); err != nil {
			t.Fatal(err)
		}
	}
	b.writes()
	b.must("--once", "--documents-only")
	b.wrote("jwks", "discovery")
}

func TestPublishUnread(t *testing.T) {
	b := newBucket(t)
	b.keys(newKey(t, keys.ES256))
	b.must("--once")
	if _, err := b.s3.DeleteBucketPolicy(t.Context(), &s3.DeleteBucketPolicyInput{Bucket: new(bucketName)}); err != nil {
		t.Fatal(err)
	}
	out, err := b.publish("--once", "--documents-only", "--patience", "1s")
	if err == nil || !strings.Contains(err.Error(), "lets nobody read") {
		t.Errorf("documents that no stranger can read: %v\n%s", err, out)
	}
}

func TestPublishLoop(t *testing.T) {
	b := newBucket(t)
	k1, k2 := newKey(t, keys.ES256), newKey(t, keys.ES384)
	b.keys(k1)
	loop := start(t, "publish", "--bucket", bucketName, "--key-file", b.file, "--leader-elect=false", "--admin-listen", "",
		"--interval", "1s", "--repair-interval", "2s")
	// said waits until the log has a line n times. What is published is only then left
	// alone when it has been read back: a change before that is one that the reading
	// waits for, for a minute.
	said := func(line string, n int) {
		t.Helper()
		eventually(t, 30*time.Second, line, func() error {
			if got := strings.Count(loop.log.String(), line); got < n {
				return fmt.Errorf("logged %d times, want %d", got, n)
			}
			return nil
		})
	}
	const published = "a stranger reads what was published"
	said(published, 1)
	b.served(k1)
	b.keys(k1, k2)
	said(published, 2)
	b.served(k1, k2)

	if err := os.Remove(b.file); err != nil {
		t.Fatal(err)
	}
	said("publishing fails", 1)
	b.served(k1, k2)
	b.keys(k2)
	said("publishing works again", 1)
	b.served(k2)

	before := strings.Count(loop.log.String(), published)
	if _, err := b.s3.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: new(bucketName), Key: new("openid/v1/jwks")}); err != nil {
		t.Fatal(err)
	}
	said(published, before+1)
	b.served(k2)
	loop.end() // without error
}

// TestPublishAWSHangs: an AWS that does not answer is an error in time, and not a silence.
func TestPublishAWSHangs(t *testing.T) {
	b := newBucket(t)
	b.keys(newKey(t, "ES256"))
	release := make(chan struct{})
	hangs := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	t.Cleanup(func() { close(release); hangs.Close() })
	t.Setenv("AWS_ENDPOINT_URL", hangs.URL)
	start := time.Now()
	_, err := b.publish("--once", "--patience", "500ms")
	if err == nil || !strings.Contains(err.Error(), "sts:GetCallerIdentity") || !strings.Contains(err.Error(), "no answer within 500ms") {
		t.Errorf("error %v, want the call and for how long there was no answer", err)
	}
	if d := time.Since(start); d > 10*time.Second {
		t.Errorf("it took %s", d)
	}
}

// The documents of a private bucket are read back where a distribution serves
// them, and nothing is asked of S3 but what concerns them.
func TestPublishBehindADistribution(t *testing.T) {
	b := newBucket(t)
	if _, err := b.s3.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: new(bucketName)}); err != nil {
		t.Fatal(err)
	}
	edge := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got, err := b.s3.GetObject(r.Context(), &s3.GetObjectInput{Bucket: new(bucketName), Key: new(strings.TrimPrefix(r.URL.Path, "/"))})
		if err != nil {
			http.Error(w, "AccessDenied", http.StatusForbidden)
			return
		}
		defer got.Body.Close()
		w.Header().Set("Content-Type", aws.ToString(got.ContentType))
		_, _ = io.Copy(w, got.Body)
	}))
	defer edge.Close()
	// Its certificate is trusted as one of a public CA is.
	transport := http.DefaultTransport
	http.DefaultTransport = edge.Client().Transport
	defer func() { http.DefaultTransport = transport }()

	b.keys(newKey(t, keys.ES256))
	b.writes()
	b.must("--once", "--issuer-url", edge.URL+"/dev")
	var calls []string
	for _, e := range b.aws.Events(emulator.EventFilter{}) {
		if call, ok := strings.CutPrefix(e.Action, "s3:"); ok && call != "CreateBucket" && call != "ListBucket" { // which decides how S3 says that an object is missing
			calls = append(calls, call)
		}
	}
	slices.Sort(calls)
	if calls = slices.Compact(calls); !slices.Equal(calls, []string{"GetObject", "PutObject"}) {
		t.Errorf("calls %q", calls)
	}
	if _, err := b.s3.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: new(bucketName), Key: new("dev/openid/v1/jwks")}); err != nil {
		t.Error(err)
	}
	edge.Config.Handler = http.NotFoundHandler()
	if out, err := b.publish("--once", "--issuer-url", edge.URL+"/dev", "--patience", "100ms"); err == nil {
		t.Errorf("what the distribution does not serve is published: %s", out)
	}
	if out, err := b.publish("--once", "--issuer-url", edge.URL+"/dev", "--prefix", "dev"); err == nil || !strings.Contains(err.Error(), "exclude each other") {
		t.Errorf("error %v, %s", err, out)
	}
}
