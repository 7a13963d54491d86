// Package emulatortest gives tests an AWS account of their own: a running
// emulator, and in three lines an issuer, a role and a token.
//
//	aws := emulatortest.Start(t)
//	iss := aws.Issuer("dev")
//	role := aws.Role("app", iss.Trust("default", "app"), "arn:aws:iam::aws:policy/IAMReadOnlyAccess")
//	token := iss.Token("default", "app")
//
// What comes after that is the subject under test: any AWS SDK with aws.URL as
// its endpoint, such as one made from aws.Config or, for the whole default
// chain, aws.Env.
//
// Each emulator is a server of its own in the test's process, so tests can run
// in parallel, and stops with its test.
package emulatortest

import (
	"bytes"
	"cmp"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/openirsa/openirsa/pkg/account"
	"github.com/openirsa/openirsa/pkg/discovery"
	"github.com/openirsa/openirsa/pkg/emulator"
	"github.com/openirsa/openirsa/pkg/federation"
	"github.com/openirsa/openirsa/pkg/irsa"
	"github.com/openirsa/openirsa/pkg/issuer"
	"github.com/openirsa/openirsa/pkg/keys"
	"github.com/openirsa/openirsa/pkg/token"
)

// Region is the region of what Start sets up.
const Region = "us-east-1"

// Audience is who tokens are for, unless a test says otherwise.
const Audience = irsa.Audience

// AWS is a running emulator.
type AWS struct {
	*emulator.Server // the clock, faults, events

	// URL is the endpoint for all services: AWS_ENDPOINT_URL.
	URL string
	// CA is the certificate that signed the server's, if it serves TLS.
	CA *x509.Certificate

	t      testing.TB
	config emulator.Config
	client *http.Client // that trusts CA
	pods   pods
}

// Start runs an emulator until the test ends. Of several configurations the
// last counts; without one it is the zero emulator.Config, with its log in
// the test's.
func Start(t testing.TB, config ...emulator.Config) *AWS {
	t.Helper()
	return start(t, (*httptest.Server).Start, config)
}

// StartTLS is Start with a server that speaks TLS; see CA.
func StartTLS(t testing.TB, config ...emulator.Config) *AWS {
	t.Helper()
	return start(t, (*httptest.Server).StartTLS, config)
}

func start(t testing.TB, run func(*httptest.Server), configs []emulator.Config) *AWS {
	t.Helper()
	var config emulator.Config
	if len(configs) > 0 {
		config = configs[len(configs)-1]
	}
	if config.Log == nil {
		config.Log = slog.New(slog.NewTextHandler(testLog(t), nil))
	}
	server, err := emulator.New(config)
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewUnstartedServer(server)
	run(web)
	t.Cleanup(func() {
		web.CloseClientConnections()
		web.Close()
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	return &AWS{Server: server, URL: web.URL, CA: web.Certificate(), t: t, config: config, client: web.Client()}
}

// testLog is a writer to the log of a test which does nothing when the test is
// over: a request may outlive it.
func testLog(t testing.TB) io.Writer {
	w := &logWriter{t: t}
	t.Cleanup(func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.t = nil
	})
	return w
}

type logWriter struct {
	mu sync.Mutex
	t  testing.TB // nil when the test is over
}

func (w *logWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.t != nil {
		w.t.Log(strings.TrimSuffix(string(p), "\n"))
	}
	return len(p), nil
}

// Config is the configuration of a client with the account's root
// credentials.
func (a *AWS) Config() aws.Config {
	id, secret := a.config.RootAccessKeyID, a.config.RootSecret
	if id == "" {
		id, secret = "test", "test"
	}
	return a.ConfigFor(id, secret, "")
}

// ConfigFor is the configuration of a client with given credentials. Clients
// made from it call once, whatever the answer: a test that wants retries sets
// them.
func (a *AWS) ConfigFor(accessKeyID, secret, sessionToken string) aws.Config {
	return aws.Config{
		Region:       Region,
		BaseEndpoint: &a.URL,
		Credentials:  credentials.NewStaticCredentialsProvider(accessKeyID, secret, sessionToken),
		HTTPClient:   whole{awshttp.NewBuildableClient()},
		Retryer:      func() aws.Retryer { return aws.NopRetryer{} },
	}
}

// whole sends the bodies of requests, unless they are large, as a whole. The SDK
// closes the body of a request as soon as the answer begins, and if net/http has not
// looked for the body's end by then, which happens on a busy machine, net/http cuts
// the connection in the middle of the answer.
type whole struct{ aws.HTTPClient }

func (w whole) Do(r *http.Request) (*http.Response, error) {
	const large = 1 << 20 // bytes; net/http still sends those when the answer begins, if it does so early
	if r.Body != nil && 0 < r.ContentLength && r.ContentLength <= large {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		r = r.WithContext(r.Context())
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	return w.HTTPClient.Do(r)
}

// ConfigIn is Config with the credentials of the root user of one of several
// accounts.
func (a *AWS) ConfigIn(account string) aws.Config {
	return a.ConfigFor(account, cmp.Or(a.config.RootSecret, "test"), "")
}

// Account is the account of the emulator, of several the home account.
func (a *AWS) Account() string { return a.Accounts()[0] }

func (a *AWS) partition() string {
	return cmp.Or(a.config.Partition, "aws")
}

// Env is the environment of a pod that has the role: with it the default
// credential chain of any SDK finds the role, and its clients the emulator.
// The token is written to a file that goes with the test.
func (a *AWS) Env(roleARN, webToken string) map[string]string {
	a.t.Helper()
	file := filepath.Join(a.t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(webToken), 0o600); err != nil {
		a.t.Fatal(err)
	}
	return map[string]string{
		irsa.EnvRoleARN:             roleARN,
		irsa.EnvTokenFile:           file,
		irsa.EnvEndpointURL:         a.URL,
		irsa.EnvEndpointURLSTS:      a.URL,
		irsa.EnvRegion:              Region,
		irsa.EnvDefaultRegion:       Region,
		"AWS_EC2_METADATA_DISABLED": "true",
	}
}

// LastDenial is the latest decision that was a denial, for tests that look at
// the reason. It fails the test if there is none.
func (a *AWS) LastDenial() emulator.Event {
	a.t.Helper()
	events := a.Events(emulator.EventFilter{Decision: emulator.Deny, Limit: 1})
	if len(events) == 0 {
		a.t.Fatal("nothing was denied")
	}
	return events[0]
}

// Issuer is an issuer of service-account tokens whose documents are in the
// emulator's S3 and whose provider is in its IAM.
type Issuer struct {
	URL    issuer.URL
	ARN    string // of the provider
	Key    keys.Private
	Bucket string // that holds the documents

	aws *AWS
}

// Issuer makes an issuer: a key (ES256), a bucket with the two documents that
// anyone may read, and a provider for the audience sts.amazonaws.com.
func (a *AWS) Issuer(name string) *Issuer {
	a.t.Helper()
	key, err := keys.Generate("ES256")
	a.check(err)
	return a.IssuerWithKey(name, key)
}

// IssuerWithKey is Issuer with a key of the test's own.
func (a *AWS) IssuerWithKey(name string, key keys.Private) *Issuer {
	a.t.Helper()
	ctx := a.t.Context()
	i := &Issuer{Key: key, Bucket: "issuer-" + name, aws: a}
	var err error
	i.URL, err = issuer.S3(i.Bucket, Region, a.dnsSuffix(), "")
	a.check(err)
	i.ARN = i.URL.ProviderARN(a.partition(), a.Account())

	set, err := keys.NewSet(key.Public())
	a.check(err)
	anonymous := a.Config()
	anonymous.Credentials = aws.AnonymousCredentials{}
	f, err := federation.InS3(ctx, &account.Account{
		ID: a.Account(), Partition: a.partition(), Region: Region,
		IAM: iam.NewFromConfig(a.Config()), S3: a.S3(a.Config()), Anonymous: a.S3(anonymous),
	}, i.Bucket)
	a.check(err)
	f.Issuer = i.URL
	a.check(f.Up(ctx, nil, set))
	return i
}

// S3 is a client of S3 that addresses buckets by path, which works with any
// name of the server.
func (a *AWS) S3(config aws.Config) *s3.Client {
	return s3.NewFromConfig(config, func(o *s3.Options) { o.UsePathStyle = true })
}

// dnsSuffix is the suffix of S3's hosts in the emulator's partition.
func (a *AWS) dnsSuffix() string {
	switch a.partition() {
	case "aws-cn":
		return "amazonaws.com.cn"
	case "aws-eusc":
		return "amazonaws.eu"
	}
	return "amazonaws.com"
}

// Publish puts the documents of the issuer's key, and of further public keys,
// into the bucket.
func (i *Issuer) Publish(further ...keys.Public) {
	i.aws.t.Helper()
	set, err := keys.NewSet(append(further, i.Key.Public())...)
	i.aws.check(err)
	docs, err := discovery.Documents(i.URL, set)
	i.aws.check(err)
	client := i.aws.S3(i.aws.Config())
	for _, d := range docs {
		_, err := client.PutObject(i.aws.t.Context(), &s3.PutObjectInput{
			Bucket:      &i.Bucket,
			Key:         new(strings.TrimPrefix(d.Path, "/")),
			Body:        strings.NewReader(string(d.Body)),
			ContentType: new(d.ContentType),
		})
		i.aws.check(err)
	}
}

// Open lets anyone read the bucket's objects.
func (i *Issuer) Open() {
	i.aws.t.Helper()
	ctx, client := i.aws.t.Context(), i.aws.S3(i.aws.Config())
	_, err := client.PutPublicAccessBlock(ctx, &s3.PutPublicAccessBlockInput{
		Bucket:                         &i.Bucket,
		PublicAccessBlockConfiguration: &s3types.PublicAccessBlockConfiguration{BlockPublicAcls: new(true), IgnorePublicAcls: new(true)},
	})
	i.aws.check(err)
	_, err = client.PutBucketPolicy(ctx, &s3.PutBucketPolicyInput{Bucket: &i.Bucket, Policy: new(Document(map[string]any{
		"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:" + i.aws.partition() + ":s3:::" + i.Bucket + "/*",
	}))})
	i.aws.check(err)
}

// Close makes the bucket private again, by its public access block.
func (i *Issuer) Close() {
	i.aws.t.Helper()
	_, err := i.aws.S3(i.aws.Config()).PutPublicAccessBlock(i.aws.t.Context(), &s3.PutPublicAccessBlockInput{
		Bucket: &i.Bucket,
		PublicAccessBlockConfiguration: &s3types.PublicAccessBlockConfiguration{
			BlockPublicAcls: new(true), IgnorePublicAcls: new(true), BlockPublicPolicy: new(true), RestrictPublicBuckets: new(true),
		},
	})
	i.aws.check(err)
}

// Trust is a trust policy for one service account of the issuer's cluster.
func (i *Issuer) Trust(namespace, serviceAccount string) string {
	return Document(map[string]any{
		"Effect":    "Allow",
		"Principal": map[string]string{"Federated": i.ARN},
		"Action":    "sts:AssumeRoleWithWebIdentity",
		"Condition": map[string]any{"StringEquals": map[string]string{
			i.URL.ConditionKey("aud"): Audience,
			i.URL.ConditionKey("sub"): token.Subject(namespace, serviceAccount),
		}},
	})
}

// Token is a token for a service account that is good for an hour, by the
// emulator's clock.
func (i *Issuer) Token(namespace, serviceAccount string) string {
	i.aws.t.Helper()
	now := i.aws.Now()
	return i.Mint(token.Claims{
		Issuer:    i.URL.String(),
		Subject:   token.Subject(namespace, serviceAccount),
		Audience:  []string{Audience},
		IssuedAt:  token.At(now),
		NotBefore: token.At(now),
		Expiry:    token.At(now.Add(time.Hour)),
	})
}

// Mint signs claims with the issuer's key.
func (i *Issuer) Mint(claims token.Claims) string {
	i.aws.t.Helper()
	signed, err := token.Mint(i.Key, claims)
	i.aws.check(err)
	return signed
}

// Assume exchanges a token for credentials of a role, as SDKs do: unsigned.
func (a *AWS) Assume(roleARN, webToken string) (*sts.AssumeRoleWithWebIdentityOutput, error) {
	a.t.Helper()
	config := a.Config()
	config.Credentials = aws.AnonymousCredentials{}
	return sts.NewFromConfig(config).AssumeRoleWithWebIdentity(a.t.Context(), &sts.AssumeRoleWithWebIdentityInput{
		RoleArn: &roleARN, RoleSessionName: new("emulatortest"), WebIdentityToken: &webToken,
	})
}

// Session is the configuration of a client with the credentials of a role, got
// for a token.
func (a *AWS) Session(roleARN, webToken string) aws.Config {
	a.t.Helper()
	out, err := a.Assume(roleARN, webToken)
	a.check(err)
	c := out.Credentials
	return a.ConfigFor(aws.ToString(c.AccessKeyId), aws.ToString(c.SecretAccessKey), aws.ToString(c.SessionToken))
}

// Role makes a role with a trust policy and managed policies, and is its ARN.
func (a *AWS) Role(name, trust string, policyARNs ...string) string {
	a.t.Helper()
	ctx, client := a.t.Context(), iam.NewFromConfig(a.Config())
	made, err := client.CreateRole(ctx, &iam.CreateRoleInput{RoleName: &name, AssumeRolePolicyDocument: &trust})
	a.check(err)
	for _, arn := range policyARNs {
		_, err := client.AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: &name, PolicyArn: &arn})
		a.check(err)
	}
	return aws.ToString(made.Role.Arn)
}

// Policy gives a role an inline policy.
func (a *AWS) Policy(role, name string, statements ...map[string]any) {
	a.t.Helper()
	_, err := iam.NewFromConfig(a.Config()).PutRolePolicy(a.t.Context(), &iam.PutRolePolicyInput{
		RoleName: &role, PolicyName: &name, PolicyDocument: new(Document(statements...)),
	})
	a.check(err)
}

// Groups makes IAM groups, so that there is something to list.
func (a *AWS) Groups(names ...string) {
	a.t.Helper()
	client := iam.NewFromConfig(a.Config())
	for _, name := range names {
		_, err := client.CreateGroup(a.t.Context(), &iam.CreateGroupInput{GroupName: &name})
		if _, ok := errors.AsType[*types.EntityAlreadyExistsException](err); !ok {
			a.check(err)
		}
	}
}

func (a *AWS) check(err error) {
	a.t.Helper()
	if err != nil && !errors.Is(err, context.Canceled) {
		a.t.Fatal(err)
	}
}

// Document is a policy document of statements.
func Document(statements ...map[string]any) string {
	b, err := json.Marshal(map[string]any{"Version": "2012-10-17", "Statement": statements})
	if err != nil {
		return ""
	}
	return string(b)
}
