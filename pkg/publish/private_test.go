package publish_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/openirsa/openirsa/pkg/discovery"
	"github.com/openirsa/openirsa/pkg/emulator/emulatortest"
	"github.com/openirsa/openirsa/pkg/issuer"
	"github.com/openirsa/openirsa/pkg/publish"
)

const distribution = "arn:aws:cloudfront::000000000000:distribution/EDFDVBD6EXAMPLE"

// cloudFront stands in for a distribution: a server with a certificate, whose
// requests to S3 are signed. It signs as an IAM user, since nobody but AWS can
// sign as its services; so what it shows is that the bucket is closed to the
// public and that the documents are where CloudFront looks for them. That the
// policy names the distribution is read from the policy.
func cloudFront(t *testing.T, a *emulatortest.AWS, bucket string) *httptest.Server {
	t.Helper()
	root := iam.NewFromConfig(a.Config())
	user := new("edge")
	if _, err := root.CreateUser(t.Context(), &iam.CreateUserInput{UserName: user}); err != nil {
		t.Fatal(err)
	}
	document := emulatortest.Document(map[string]any{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::" + bucket + "/*"})
	if _, err := root.PutUserPolicy(t.Context(), &iam.PutUserPolicyInput{UserName: user, PolicyName: user, PolicyDocument: &document}); err != nil {
		t.Fatal(err)
	}
	key, err := root.CreateAccessKey(t.Context(), &iam.CreateAccessKeyInput{UserName: user})
	if err != nil {
		t.Fatal(err)
	}
	origin := a.S3(a.ConfigFor(*key.AccessKey.AccessKeyId, *key.AccessKey.SecretAccessKey, ""))
	edge := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got, err := origin.GetObject(r.Context(), &s3.GetObjectInput{Bucket: &bucket, Key: new(strings.TrimPrefix(r.URL.Path, "/"))})
		if err != nil {
			http.Error(w, "AccessDenied", http.StatusForbidden)
			return
		}
		defer got.Body.Close()
		w.Header().Set("Content-Type", aws.ToString(got.ContentType))
		w.Header().Set("Cache-Control", aws.ToString(got.CacheControl))
		_, _ = io.Copy(w, got.Body)
	}))
	t.Cleanup(edge.Close)
	return edge
}

func TestPrivateBucket(t *testing.T) {
	p := newPlace(t, "closed", "dev", func(b *publish.S3) { b.Private, b.Distribution = true, distribution })
	edge := cloudFront(t, p.aws, p.b.Bucket)
	var err error
	if p.iss, err = issuer.Parse(edge.URL + "/dev"); err != nil {
		t.Fatal(err)
	}
	p.docs = documents(t, p.iss)
	p.run(p.plan(), nil)
	if err := p.b.Check(t.Context(), discovery.HTTP(edge.Client()), p.iss, p.docs, 0); err != nil {
		t.Errorf("through the distribution: %v", err)
	}
	if steps := p.plan(); len(steps) != 0 {
		t.Errorf("a second plan has steps: %v", steps)
	}
	if err := p.check(); err == nil {
		t.Error("a stranger reads the bucket itself")
	}

	// The bucket's policy lets one distribution in, and nobody else.
	out, err := p.root.GetBucketPolicy(t.Context(), &s3.GetBucketPolicyInput{Bucket: &p.b.Bucket})
	if err != nil {
		t.Fatal(err)
	}
	want, err := p.b.PolicyDocument(discovery.Paths)
	if err != nil || *out.Policy != string(want) {
		t.Errorf("policy %s, want %s, %v", *out.Policy, want, err)
	}
	var policy struct{ Statement []map[string]any }
	if err := json.Unmarshal(want, &policy); err != nil || len(policy.Statement) != 1 {
		t.Fatalf("policy %s: %v", want, err)
	}
	for key, value := range map[string]string{
		"Principal": `{"Service":"cloudfront.amazonaws.com"}`, "Action": `"s3:GetObject"`,
		"Condition": `{"StringEquals":{"AWS:SourceArn":"` + distribution + `"}}`,
		"Resource":  `["arn:aws:s3:::closed/dev/.well-known/openid-configuration","arn:aws:s3:::closed/dev/openid/v1/jwks"]`,
	} {
		if got := jsonOf(policy.Statement[0][key]); got != value {
			t.Errorf("%s %s, want %s", key, got, value)
		}
	}

	// Whoever opens it finds it shut again.
	if _, err := p.root.PutPublicAccessBlock(t.Context(), &s3.PutPublicAccessBlockInput{Bucket: &p.b.Bucket,
		PublicAccessBlockConfiguration: &types.PublicAccessBlockConfiguration{BlockPublicAcls: new(true)}}); err != nil {
		t.Fatal(err)
	}
	if got := summaries(p.plan()); !slices.Equal(got, []string{"update public access block of bucket closed"}) {
		t.Errorf("plan %q", got)
	}

	p.run(p.b.Delete(t.Context(), discovery.Paths))
	if exists, err := p.b.Exists(t.Context()); exists || err != nil {
		t.Errorf("the bucket is still there: %v, %v", exists, err)
	}
}

// What made the distribution has made the policy too, and it stays; only a
// statement for everybody goes.
func TestPrivateBucketOfAnUnknownDistribution(t *testing.T) {
	p := newPlace(t, "closed", "", nil)
	p.up()
	p.b.Private = true
	want := []string{"update public access block of bucket closed", "update policy of bucket closed"}
	if got := summaries(p.plan()); !slices.Equal(got, want) {
		t.Errorf("plan %q, want %q", got, want)
	}
	p.run(p.plan(), nil)
	if err := p.check(); err == nil {
		t.Error("a stranger still reads the bucket")
	}
	p.b.Distribution = distribution
	p.run(p.plan(), nil)
	p.b.Distribution = ""
	if steps := p.plan(); len(steps) != 0 {
		t.Errorf("the distribution's statement is touched: %v", steps)
	}
}
