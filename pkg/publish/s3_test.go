package publish_test

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/openirsa/openirsa/pkg/discovery"
	"github.com/openirsa/openirsa/pkg/emulator"
	"github.com/openirsa/openirsa/pkg/emulator/emulatortest"
	"github.com/openirsa/openirsa/pkg/issuer"
	"github.com/openirsa/openirsa/pkg/keys"
	"github.com/openirsa/openirsa/pkg/owner"
	"github.com/openirsa/openirsa/pkg/plan"
	"github.com/openirsa/openirsa/pkg/publish"
)

// place is a bucket in an emulated account, and an issuer in it.
type place struct {
	*testing.T
	aws  *emulatortest.AWS
	http *http.Client
	root *s3.Client
	b    publish.S3
	iss  issuer.URL
	docs []discovery.Document
}

func newPlace(t *testing.T, bucket, prefix string, change func(*publish.S3)) *place {
	t.Helper()
	return inAccount(t, emulatortest.Start(t), bucket, prefix, change)
}

func inAccount(t *testing.T, a *emulatortest.AWS, bucket, prefix string, change func(*publish.S3)) *place {
	t.Helper()
	return inAccountBy(t, http.DefaultClient, a, bucket, prefix, change)
}

// inBubble is a place in an account of this process, for a test whose time is
// synctest's.
func inBubble(t *testing.T, bucket string) *place {
	t.Helper()
	server, err := emulator.New(emulator.Config{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	a := &emulatortest.AWS{Server: server, URL: "http://127.0.0.1"}
	return inAccountBy(t, &http.Client{Transport: inProcess{server}}, a, bucket, "", nil)
}

// inProcess answers requests with a handler.
type inProcess struct{ http.Handler }

func (t inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	server := r.Clone(r.Context())
	server.RequestURI, server.RemoteAddr, server.Host = r.URL.RequestURI(), "127.0.0.1:0", r.URL.Host
	if server.Body == nil {
		server.Body = http.NoBody
	}
	t.ServeHTTP(w, server)
	return w.Result(), nil
}

func inAccountBy(t *testing.T, client *http.Client, a *emulatortest.AWS, bucket, prefix string, change func(*publish.S3)) *place {
	t.Helper()
	config := a.Config()
	config.HTTPClient = client
	p := &place{T: t, aws: a, http: client, root: a.S3(config)}
	p.b = publish.S3{
		Client: p.root, Account: a.Account(), Partition: "aws", Region: emulatortest.Region,
		Bucket: bucket, Prefix: prefix, Owned: true, Tags: owner.Tags("dev", "1"),
	}
	if change != nil {
		change(&p.b)
	}
	var err error
	if p.iss, err = issuer.S3(bucket, p.b.Region, "amazonaws.com", prefix); err != nil {
		t.Fatal(err)
	}
	p.docs = documents(t, p.iss)
	return p
}

func documents(t *testing.T, iss issuer.URL) []discovery.Document {
	t.Helper()
	key, err := keys.Generate(keys.ES256)
	if err != nil {
		t.Fatal(err)
	}
	set, err := keys.NewSet(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	docs, err := discovery.Documents(iss, set)
	if err != nil {
		t.Fatal(err)
	}
	return docs
}

func (p *place) plan() []plan.Step {
	p.Helper()
	steps, err := p.b.Plan(p.Context(), p.docs)
	if err != nil {
		p.Fatal(err)
	}
	return steps
}

func (p *place) run(steps []plan.Step, err error) {
	p.Helper()
	if err != nil {
		p.Fatal(err)
	}
	if err := plan.Run(p.Context(), steps, nil); err != nil {
		p.Fatal(err)
	}
}

// up publishes and proves it: a stranger reads it, and nothing is left to do.
func (p *place) up() {
	p.Helper()
	p.run(p.plan(), nil)
	if err := p.check(); err != nil {
		p.Fatal(err)
	}
	if steps := p.plan(); len(steps) != 0 {
		p.Errorf("a second plan has steps: %v", steps)
	}
}

func (p *place) check() error {
	return p.b.Check(p.Context(), p.b.Stranger(p.stranger()), p.iss, p.docs, 0)
}

// stranger is a client without credentials.
func (p *place) stranger() *s3.Client {
	config := p.aws.Config()
	config.HTTPClient, config.Credentials = p.http, aws.AnonymousCredentials{}
	return p.aws.S3(config)
}

func (p *place) keys() []string {
	p.Helper()
	out, err := p.root.ListObjectsV2(p.Context(), &s3.ListObjectsV2Input{Bucket: &p.b.Bucket})
	if err != nil {
		p.Fatal(err)
	}
	var keys []string
	for _, o := range out.Contents {
		keys = append(keys, *o.Key)
	}
	return keys
}

func summaries(steps []plan.Step) (s []string) {
	for _, step := range steps {
		s = append(s, step.String())
	}
	return s
}

func TestPublish(t *testing.T) {
	p := newPlace(t, "docs", "", nil)
	want := []string{
		"create bucket docs in us-east-1",
		"update tags of bucket docs",
		"update public access block of bucket docs",
		"update policy of bucket docs",
		"update s3://docs/openid/v1/jwks",
		"update s3://docs/.well-known/openid-configuration",
	}
	if got := summaries(p.plan()); !slices.Equal(got, want) {
		t.Errorf("plan %q, want %q", got, want)
	}
	p.up()

	// A stranger can read the two documents and nothing else.
	if _, err := p.root.PutObject(t.Context(), &s3.PutObjectInput{Bucket: &p.b.Bucket, Key: new("secret"), Body: strings.NewReader("x")}); err != nil {
		t.Fatal(err)
	}
	if _, err := p.stranger().GetObject(t.Context(), &s3.GetObjectInput{Bucket: &p.b.Bucket, Key: new("secret")}); err == nil {
		t.Error("a stranger can read another key")
	}
	object, err := p.root.GetObject(t.Context(), &s3.GetObjectInput{Bucket: &p.b.Bucket, Key: new("openid/v1/jwks")})
	if err != nil || *object.ContentType != "application/jwk-set+json" || *object.CacheControl != "public, max-age=300" {
		t.Errorf("headers of the key set: %v, %v, %v", object.ContentType, object.CacheControl, err)
	}
	block, err := p.root.GetPublicAccessBlock(t.Context(), &s3.GetPublicAccessBlockInput{Bucket: &p.b.Bucket})
	if err != nil {
		t.Fatal(err)
	}
	if c := block.PublicAccessBlockConfiguration; !*c.BlockPublicAcls || !*c.IgnorePublicAcls || *c.BlockPublicPolicy || *c.RestrictPublicBuckets {
		t.Errorf("public access block %v %v %v %v", *c.BlockPublicAcls, *c.IgnorePublicAcls, *c.BlockPublicPolicy, *c.RestrictPublicBuckets)
	}
}

func TestDriftIsRepaired(t *testing.T) {
	p := newPlace(t, "docs", "a/b", nil)
	p.up()
	ctx := t.Context()
	for _, c := range []struct {
		name   string
		damage func() error
		want   string
	}{
		{"content", func() error {
			_, err := p.root.PutObject(ctx, &s3.PutObjectInput{Bucket: &p.b.Bucket, Key: new("a/b/openid/v1/jwks"), Body: strings.NewReader("{}"), ContentType: new("application/jwk-set+json")})
			return err
		}, "update s3://docs/a/b/openid/v1/jwks"},
		{"content type", func() error {
			_, err := p.root.PutObject(ctx, &s3.PutObjectInput{Bucket: &p.b.Bucket, Key: new("a/b/openid/v1/jwks"), Body: strings.NewReader(string(p.docs[0].Body)), CacheControl: new(discovery.CacheControl)})
			return err
		}, "update s3://docs/a/b/openid/v1/jwks"},
		{"document", func() error {
			_, err := p.root.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &p.b.Bucket, Key: new("a/b/.well-known/openid-configuration")})
			return err
		}, "update s3://docs/a/b/.well-known/openid-configuration"},
		{"policy", func() error {
			_, err := p.root.DeleteBucketPolicy(ctx, &s3.DeleteBucketPolicyInput{Bucket: &p.b.Bucket})
			return err
		}, "update policy of bucket docs"},
		{"access block", func() error {
			_, err := p.root.PutPublicAccessBlock(ctx, &s3.PutPublicAccessBlockInput{Bucket: &p.b.Bucket, PublicAccessBlockConfiguration: &types.PublicAccessBlockConfiguration{RestrictPublicBuckets: new(true)}})
			return err
		}, "update public access block of bucket docs"},
		{"tags", func() error {
			_, err := p.root.DeleteBucketTagging(ctx, &s3.DeleteBucketTaggingInput{Bucket: &p.b.Bucket})
			return err
		}, "update tags of bucket docs"},
	} {
		if err := c.damage(); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if got := summaries(p.plan()); !slices.Equal(got, []string{c.want}) {
			t.Errorf("%s: plan %q, want %q", c.name, got, c.want)
		}
		p.up()
	}
}

func TestTwoIssuersInOneBucket(t *testing.T) {
	a := newPlace(t, "docs", "a", nil)
	b := inAccount(t, a.aws, "docs", "b", nil)
	a.up()
	b.up()
	if err := a.check(); err != nil {
		t.Errorf("the first is broken by the second: %v", err)
	}
	if steps := a.plan(); len(steps) != 0 {
		t.Errorf("the second makes work for the first: %v", steps)
	}
	a.run(a.b.Delete(t.Context(), discovery.Paths))
	if err := b.check(); err != nil {
		t.Errorf("the second is broken by the end of the first: %v", err)
	}
	b.run(b.b.Delete(t.Context(), discovery.Paths))
	if exists, err := b.b.Exists(t.Context()); exists || err != nil {
		t.Errorf("the empty bucket is still there: %v, %v", exists, err)
	}
	b.run(b.b.Delete(t.Context(), discovery.Paths)) // nothing left to do
}

func TestABucketOfTheUsersOwn(t *testing.T) {
	p := newPlace(t, "theirs", "oidc", func(b *publish.S3) { b.Owned = false })
	ctx := t.Context()
	theirs := map[string]any{"Sid": "Theirs", "Effect": "Allow", "Principal": map[string]any{"AWS": "arn:aws:iam::000000000000:root"},
		"Action": "s3:ListBucket", "Resource": "arn:aws:s3:::theirs"}
	policy, _ := json.Marshal(map[string]any{"Version": "2012-10-17", "Id": "P", "Statement": theirs}) // a single statement, not in a list
	for _, err := range []error{
		second(p.root.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: &p.b.Bucket})),
		second(p.root.PutBucketTagging(ctx, &s3.PutBucketTaggingInput{Bucket: &p.b.Bucket, Tagging: &types.Tagging{TagSet: []types.Tag{{Key: new("team"), Value: new("x")}}}})),
		second(p.root.PutBucketPolicy(ctx, &s3.PutBucketPolicyInput{Bucket: &p.b.Bucket, Policy: new(string(policy))})),
		second(p.root.PutObject(ctx, &s3.PutObjectInput{Bucket: &p.b.Bucket, Key: new("data"), Body: strings.NewReader("x")})),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	p.up()
	p.run(p.b.Delete(ctx, discovery.Paths))
	if got := p.keys(); !slices.Equal(got, []string{"data"}) {
		t.Errorf("objects left: %q", got)
	}
	out, err := p.root.GetBucketPolicy(ctx, &s3.GetBucketPolicyInput{Bucket: &p.b.Bucket})
	if err != nil {
		t.Fatal(err)
	}
	var left struct {
		ID        string `json:"Id"`
		Statement []map[string]any
	}
	if err := json.Unmarshal([]byte(*out.Policy), &left); err != nil || left.ID != "P" || len(left.Statement) != 1 || !maps.EqualFunc(left.Statement[0], theirs, func(a, b any) bool { return jsonOf(a) == jsonOf(b) }) {
		t.Errorf("policy left: %s, %v", *out.Policy, err)
	}
	tags, err := p.root.GetBucketTagging(ctx, &s3.GetBucketTaggingInput{Bucket: &p.b.Bucket})
	if err != nil || len(tags.TagSet) != 1 {
		t.Errorf("tags left: %v, %v", tags, err)
	}
}

func second[T any](_ T, err error) error { return err }

func jsonOf(v any) string { b, _ := json.Marshal(v); return string(b) }

func TestForeignBucket(t *testing.T) {
	p := newPlace(t, "taken", "", nil)
	if err := p.aws.AddForeignBucket("taken", "999999999999", emulatortest.Region); err != nil {
		t.Fatal(err)
	}
	if _, err := p.b.Plan(t.Context(), p.docs); !errors.Is(err, publish.ErrForeignBucket) {
		t.Errorf("error %v", err)
	}
	// Who may not read its tags knows nothing of it, not even that it is another's.
	err := p.b.Whose(t.Context())
	if _, foreign := errors.AsType[*owner.ForeignError](err); foreign || !errors.Is(err, publish.ErrOwnerUnknown) {
		t.Errorf("owner: %v", err)
	}
	// A race: it was free when the plan was made.
	q := newPlace(t, "raced", "", nil)
	steps := q.plan()
	if err := q.aws.AddForeignBucket("raced", "999999999999", emulatortest.Region); err != nil {
		t.Fatal(err)
	}
	if err := plan.Run(t.Context(), steps, nil); !errors.Is(err, publish.ErrForeignBucket) {
		t.Errorf("error %v", err)
	}
}

func TestBucketInAnotherRegion(t *testing.T) {
	p := newPlace(t, "far", "", nil)
	if _, err := p.root.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &p.b.Bucket,
		CreateBucketConfiguration: &types.CreateBucketConfiguration{LocationConstraint: "eu-west-1"}}); err != nil {
		t.Fatal(err)
	}
	_, err := p.b.Plan(t.Context(), p.docs)
	if want := "bucket far: the bucket is in another region: eu-west-1, not us-east-1"; !errors.Is(err, publish.ErrWrongRegion) || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
}

// Where S3 is follows from the SDK's partitions alone.
func TestIssuerInEachPartition(t *testing.T) {
	for _, c := range []struct{ region, partition, issuer string }{
		{"eu-west-1", "aws", "https://docs.s3.eu-west-1.amazonaws.com/dev"},
		{"cn-north-1", "aws-cn", "https://docs.s3.cn-north-1.amazonaws.com.cn/dev"},
		{"us-gov-west-1", "aws-us-gov", "https://docs.s3.us-gov-west-1.amazonaws.com/dev"},
		{"eusc-de-east-1", "aws-eusc", "https://docs.s3.eusc-de-east-1.amazonaws.eu/dev"},
	} {
		iss, err := publish.Issuer(t.Context(), "docs", "dev", c.region)
		if err != nil || iss.String() != c.issuer {
			t.Errorf("%s: issuer %s, %v; want %s", c.region, iss, err, c.issuer)
		}
		partition, err := publish.Partition(c.region)
		if err != nil || partition != c.partition {
			t.Errorf("%s: partition %q, %v; want %s", c.region, partition, err, c.partition)
		}
	}
}

func TestAt(t *testing.T) {
	accept := func(place, iss, bucket, prefix string) {
		t.Helper()
		at, err := publish.ParseLocation(t.Context(), place, "eu-west-1")
		if err != nil || at.Issuer.String() != iss || at.Bucket != bucket || at.Prefix != prefix {
			t.Errorf("%s: %+v, %v", place, at, err)
		}
	}
	reject := func(place string) {
		t.Helper()
		if at, err := publish.ParseLocation(t.Context(), place, "eu-west-1"); err == nil || at != (publish.Location{}) {
			t.Errorf("%s: %+v, %v", place, at, err)
		}
	}
	accept("docs", "https://docs.s3.eu-west-1.amazonaws.com", "docs", "")
	accept("docs/clusters/dev/", "https://docs.s3.eu-west-1.amazonaws.com/clusters/dev", "docs", "clusters/dev")
	accept("http-docs/dev", "https://http-docs.s3.eu-west-1.amazonaws.com/dev", "http-docs", "dev")
	accept("https://oidc.example.com/dev", "https://oidc.example.com/dev", "", "")
	reject("http://oidc.example.com/dev")
	reject("Docs")
	reject("")
}

// S3 answers for a while as if it had not heard of the bucket.
func TestS3HasNotHeardYet(t *testing.T) {
	p := newPlace(t, "docs", "", nil)
	steps := p.plan()
	for _, f := range []emulator.Fault{
		{Action: "s3:CreateBucket", Code: "OperationAborted", Status: http.StatusConflict, Times: 1},
		{Action: "s3:PutBucketPolicy", Code: "NoSuchBucket", Status: http.StatusNotFound, Times: 2},
		{Action: "s3:PutObject", Code: "NoSuchBucket", Status: http.StatusNotFound, Times: 1},
	} {
		p.aws.Inject(f)
	}
	p.run(steps, nil)
	p.up()
}

// S3 makes one change of a bucket at a time, and still refuses public policies
// for a while after the bucket was opened.
func TestS3IsNotReadyYet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := inBubble(t, "docs")
		if _, err := p.root.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &p.b.Bucket}); err != nil {
			t.Fatal(err)
		}
		steps := p.plan()
		for _, action := range []string{"PutBucketTagging", "PutPublicAccessBlock", "PutBucketPolicy", "DeleteBucketPolicy", "DeleteBucket"} {
			p.aws.Inject(emulator.Fault{Action: "s3:" + action, Code: "OperationAborted", Status: http.StatusConflict, Times: 2,
				Message: "A conflicting conditional operation is currently in progress against this resource. Please try again."})
		}
		p.aws.Inject(emulator.Fault{Action: "s3:PutBucketPolicy", Code: "AccessDenied", Times: 3, Message: publicPolicies})
		p.run(steps, nil)
		p.up()
		p.run(p.b.Delete(t.Context(), discovery.Paths))
		if exists, err := p.b.Exists(t.Context()); exists || err != nil {
			t.Errorf("the bucket is still there: %v", err)
		}
	})
}

// publicPolicies is what S3 says of a public policy, whoever forbids it.
const publicPolicies = "User: x is not authorized to perform: s3:PutBucketPolicy on resource: \"arn:aws:s3:::docs\" because public policies are prevented by " +
	"the BlockPublicPolicy setting in S3 Block Public Access."

// Who may not write the policy gets an error at once.
func TestPolicyRefusedForGood(t *testing.T) {
	p := newPlace(t, "docs", "", nil)
	steps := p.plan()
	p.aws.Inject(emulator.Fault{Action: "s3:PutBucketPolicy", Code: "AccessDenied"})
	if err := plan.Run(t.Context(), steps, nil); err == nil || errors.Is(err, publish.ErrAccountBlock) {
		t.Errorf("error %v", err)
	}
	if n := len(p.aws.Events(emulator.EventFilter{Action: "s3:PutBucketPolicy", Decision: emulator.Deny})); n != 1 {
		t.Errorf("asked %d times", n)
	}
}

// A block of the whole account is told from one of the bucket that is about to
// end.
func TestAccountLevelPublicAccessBlock(t *testing.T) {
	for _, block := range []string{"BlockPublicPolicy", "RestrictPublicBuckets"} {
		synctest.Test(t, func(t *testing.T) {
			p := inBubble(t, "docs")
			p.blockAccount(block)
			start := time.Now()
			err := plan.Run(t.Context(), p.plan(), nil)
			if err == nil {
				err = p.check()
			}
			if !errors.Is(err, publish.ErrAccountBlock) {
				t.Errorf("%s: error %v", block, err)
			}
			if took := time.Since(start); took > 15*time.Second {
				t.Errorf("%s: that took %s", block, took)
			}
		})
	}
}

// blockAccount switches one of the account's public access blocks on (S3
// Control, PutPublicAccessBlock).
func (p *place) blockAccount(block string) {
	t, a := p.T, p.aws
	t.Helper()
	body := "<PublicAccessBlockConfiguration><" + block + ">true</" + block + "></PublicAccessBlockConfiguration>"
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, a.URL+"/v20180820/configuration/publicAccessBlock", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	sum := fmt.Sprintf("%x", sha256.Sum256([]byte(body)))
	req.Header.Set("X-Amz-Account-Id", a.Account())
	req.Header.Set("X-Amz-Content-Sha256", sum)
	creds, err := a.Config().Credentials.Retrieve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := v4.NewSigner().SignHTTP(t.Context(), creds, req, sum, "s3", emulatortest.Region, a.Now()); err != nil {
		t.Fatal(err)
	}
	resp, err := p.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		t.Fatalf("blocking public access of the account: %s", resp.Status)
	}
}

func TestCheckWaitsForAStranger(t *testing.T) {
	p := newPlace(t, "docs", "", nil)
	p.up()
	p.aws.Inject(emulator.Fault{Action: "s3:GetObject", Code: "AccessDenied", Times: 2})
	if err := p.b.Check(t.Context(), p.b.Stranger(p.stranger()), p.iss, p.docs, 30*time.Second); err != nil {
		t.Errorf("it did not wait: %v", err)
	}
}

// Whichever call fails, before or after it was done, the next run ends at the
// same; and so does removing.
func TestAnyCallMayFail(t *testing.T) {
	const calls = 12 // neither takes more
	for _, drop := range []bool{false, true} {
		failed := 0
		fault := func(k int) emulator.Fault {
			f := emulator.Fault{Action: "s3:*", Skip: k, Times: 1, Drop: drop}
			if !drop {
				f.Code = "InternalError"
			}
			return f
		}
		for k := range calls {
			p := newPlace(t, "docs", "x", nil)
			p.aws.Inject(fault(k))
			steps, err := p.b.Plan(t.Context(), p.docs)
			if err == nil {
				err = plan.Run(t.Context(), steps, nil)
			}
			if err != nil {
				failed++
			}
			p.aws.ClearFaults()
			p.up()

			p.aws.Inject(fault(k))
			steps, err = p.b.Delete(t.Context(), discovery.Paths)
			if err == nil {
				err = plan.Run(t.Context(), steps, nil)
			}
			if err != nil {
				failed++
			}
			p.aws.ClearFaults()
			p.run(p.b.Delete(t.Context(), discovery.Paths))
			if exists, err := p.b.Exists(t.Context()); exists || err != nil {
				t.Errorf("call %d, drop %v: the bucket is still there: %v", k, drop, err)
			}
		}
		// A lost answer to a GET or HEAD may be asked for again by net/http.
		if failed < 10 {
			t.Errorf("drop %v: only %d faults were felt", drop, failed)
		}
	}
}
