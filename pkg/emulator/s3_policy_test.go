package emulator_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"github.com/openirsa/openirsa/internal/sigv4"
	"github.com/openirsa/openirsa/pkg/emulator"
	"github.com/openirsa/openirsa/pkg/emulator/emulatortest"
)

// roleClient is an S3 client with a role's session.
func roleClient(t testing.TB, a *emulatortest.AWS, role string, policyARNs ...string) *s3.Client {
	t.Helper()
	trust := document(map[string]any{"Effect": "Allow", "Principal": map[string]any{"AWS": a.Account()}, "Action": "sts:AssumeRole"})
	arn := a.Role(role, trust, policyARNs...)
	// The root user may not assume roles, at AWS; a user may.
	ctx, client := t.Context(), iam.NewFromConfig(a.Config())
	name := "user-" + role
	must(client.CreateUser(ctx, &iam.CreateUserInput{UserName: &name}))
	must(client.PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: &name, PolicyName: new("assume"),
		PolicyDocument: new(document(map[string]any{"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": arn}))}))
	key := must(client.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: &name})).AccessKey
	out, err := sts.NewFromConfig(a.ConfigFor(*key.AccessKeyId, *key.SecretAccessKey, "")).
		AssumeRole(ctx, &sts.AssumeRoleInput{RoleArn: &arn, RoleSessionName: new("s1")})
	if err != nil {
		t.Fatal(err)
	}
	return a.S3(a.ConfigFor(*out.Credentials.AccessKeyId, *out.Credentials.SecretAccessKey, *out.Credentials.SessionToken))
}

// stranger is an S3 client without credentials.
func stranger(a *emulatortest.AWS) *s3.Client {
	c := a.Config()
	c.Credentials = aws.AnonymousCredentials{}
	return a.S3(c)
}

func getKey(t testing.TB, c *s3.Client, bucket, key string) error {
	t.Helper()
	out, err := c.GetObject(t.Context(), &s3.GetObjectInput{Bucket: &bucket, Key: &key})
	if err == nil {
		out.Body.Close()
	}
	return err
}

func putKey(t testing.TB, c *s3.Client, bucket, key string) error {
	t.Helper()
	_, err := c.PutObject(t.Context(), &s3.PutObjectInput{Bucket: &bucket, Key: &key, Body: strings.NewReader("x")})
	return err
}

func setPolicy(t testing.TB, c *s3.Client, bucket, policy string) error {
	t.Helper()
	_, err := c.PutBucketPolicy(t.Context(), &s3.PutBucketPolicyInput{Bucket: &bucket, Policy: &policy})
	return err
}

func setBlock(t testing.TB, c *s3.Client, bucket string, block types.PublicAccessBlockConfiguration) {
	t.Helper()
	if _, err := c.PutPublicAccessBlock(t.Context(), &s3.PutPublicAccessBlockInput{Bucket: &bucket, PublicAccessBlockConfiguration: &block}); err != nil {
		t.Fatal(err)
	}
}

// AmazonS3ReadOnlyAccess reads and does not write, in AWS's words.
func TestS3ReadOnlyAccess(t *testing.T) {
	t.Parallel()
	a, root := newS3Client(t)
	makeBucket(t, root, "readonly", "k")
	c := roleClient(t, a, "reader", "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess")
	if err := getKey(t, c, "readonly", "k"); err != nil {
		t.Error(err)
	}
	refused(t, putKey(t, c, "readonly", "new"), 403, "AccessDenied",
		`User: arn:aws:sts::000000000000:assumed-role/reader/s1 is not authorized to perform: s3:PutObject on resource: "arn:aws:s3:::readonly/new" `+
			`because no identity-based policy allows the s3:PutObject action`)
	if e := a.LastDenial(); e.Action != "s3:PutObject" || e.Resource != "arn:aws:s3:::readonly/new" || !strings.Contains(e.Reason, "s3:PutObject") {
		t.Errorf("event %+v", e)
	}
	_, err := c.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: new("readonly"), Key: new("k")})
	refused(t, err, 403, "AccessDenied", `User: arn:aws:sts::000000000000:assumed-role/reader/s1 is not authorized to perform: s3:DeleteObject on resource: "arn:aws:s3:::readonly/k" `+
		`because no identity-based policy allows the s3:DeleteObject action`)
	out, err := c.DeleteObjects(t.Context(), &s3.DeleteObjectsInput{Bucket: new("readonly"), Delete: &types.Delete{Objects: []types.ObjectIdentifier{{Key: new("k")}}}})
	if err != nil || len(out.Errors) != 1 || *out.Errors[0].Code != "AccessDenied" {
		t.Errorf("deleting many: %+v, %v", out, err)
	}
	// What is not there is not there for those who may list only.
	err = getKey(t, c, "readonly", "none")
	if _, ok := errors.AsType[*types.NoSuchKey](err); !ok {
		t.Error(err)
	}
}

// Those who may not list are not told that a key is missing.
func TestS3MissingKeyIsHidden(t *testing.T) {
	t.Parallel()
	a, root := newS3Client(t)
	makeBucket(t, root, "hidden", "k")
	c := roleClient(t, a, "narrow")
	a.Policy("narrow", "get", map[string]any{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::hidden/*"})
	if err := getKey(t, c, "hidden", "k"); err != nil {
		t.Error(err)
	}
	refused(t, getKey(t, c, "hidden", "none"), 403, "AccessDenied",
		`User: arn:aws:sts::000000000000:assumed-role/narrow/s1 is not authorized to perform: s3:ListBucket on resource: "arn:aws:s3:::hidden" `+
			`because no identity-based policy allows the s3:ListBucket action`)
	if e := a.LastDenial(); e.Resource != "arn:aws:s3:::hidden/none" || !strings.Contains(e.Reason, "there is no object hidden/none") {
		t.Errorf("event %+v", e)
	}
	_, err := c.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: new("hidden"), Key: new("none")})
	if response, ok := errors.AsType[interface {
		error
		HTTPStatusCode() int
	}](err); !ok || response.HTTPStatusCode() != 403 {
		t.Error(err)
	}
	_, err = c.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: new("hidden")})
	if e, ok := errors.AsType[smithy.APIError](err); !ok || e.ErrorCode() != "AccessDenied" {
		t.Error(err)
	}
	_, err = c.ListBuckets(t.Context(), nil)
	refused(t, err, 403, "AccessDenied", "User: arn:aws:sts::000000000000:assumed-role/narrow/s1 is not authorized to perform: s3:ListAllMyBuckets "+
		"because no identity-based policy allows the s3:ListAllMyBuckets action")
	refused(t, getKey(t, c, "not-there", "k"), 404, "NoSuchBucket", "The specified bucket does not exist")
}

func publicPolicy(bucket string, keys ...string) string {
	var resources []string
	for _, key := range keys {
		resources = append(resources, "arn:aws:s3:::"+bucket+"/"+key)
	}
	return document(map[string]any{"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": resources})
}

// A new bucket is private, whatever one wants; with Block Public Access
// opened the two documents can be read by anybody and nothing else.
func TestS3BlockPublicAccess(t *testing.T) {
	t.Parallel()
	a, c := newS3Client(t)
	ctx := t.Context()
	makeBucket(t, c, "issuer-a14", ".well-known/openid-configuration", "keys.json", "secret")
	anyone := stranger(a)
	open := publicPolicy("issuer-a14", ".well-known/openid-configuration", "keys.json")
	const blocked = `User: arn:aws:iam::000000000000:root is not authorized to perform: s3:PutBucketPolicy on resource: "arn:aws:s3:::issuer-a14" ` +
		`because public policies are prevented by the BlockPublicPolicy setting in S3 Block Public Access.`

	got, err := c.GetPublicAccessBlock(ctx, &s3.GetPublicAccessBlockInput{Bucket: new("issuer-a14")})
	if b := got.PublicAccessBlockConfiguration; err != nil || !*b.BlockPublicAcls || !*b.BlockPublicPolicy || !*b.IgnorePublicAcls || !*b.RestrictPublicBuckets {
		t.Errorf("%+v, %v", got, err)
	}
	refused(t, setPolicy(t, c, "issuer-a14", open), 403, "AccessDenied", blocked)
	if e := a.LastDenial(); !strings.Contains(e.Reason, "BlockPublicPolicy in S3 Block Public Access (of the bucket)") {
		t.Errorf("event %+v", e)
	}
	refused(t, getKey(t, anyone, "issuer-a14", "keys.json"), 403, "AccessDenied", "Access Denied")

	setBlock(t, c, "issuer-a14", types.PublicAccessBlockConfiguration{BlockPublicAcls: new(true), IgnorePublicAcls: new(true)})
	if err := setPolicy(t, c, "issuer-a14", open); err != nil {
		t.Fatal(err)
	}
	status, err := c.GetBucketPolicyStatus(ctx, &s3.GetBucketPolicyStatusInput{Bucket: new("issuer-a14")})
	if err != nil || !*status.PolicyStatus.IsPublic {
		t.Errorf("%+v, %v", status, err)
	}
	document, err := c.GetBucketPolicy(ctx, &s3.GetBucketPolicyInput{Bucket: new("issuer-a14")})
	if err != nil || *document.Policy != open {
		t.Errorf("policy %v, %v", document, err)
	}
	for _, key := range []string{".well-known/openid-configuration", "keys.json"} {
		if err := getKey(t, anyone, "issuer-a14", key); err != nil {
			t.Errorf("%s: %v", key, err)
		}
	}
	refused(t, getKey(t, anyone, "issuer-a14", "secret"), 403, "AccessDenied", "Access Denied")
	refused(t, getKey(t, anyone, "issuer-a14", "none"), 403, "AccessDenied", "Access Denied")
	refused(t, putKey(t, anyone, "issuer-a14", "keys.json"), 403, "AccessDenied", "Access Denied")

	// A plain GET, as STS makes it, by Amazon's name for the bucket.
	r := must(http.NewRequestWithContext(ctx, "GET", a.URL+"/keys.json", nil))
	r.Host = "issuer-a14.s3.us-east-1.amazonaws.com"
	resp := must(http.DefaultClient.Do(r))
	if body := must(io.ReadAll(resp.Body)); resp.StatusCode != 200 || string(body) != "keys.json" {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	resp.Body.Close()

	// RestrictPublicBuckets shuts strangers out again, and the account's own
	// setting does so whatever the bucket's is.
	setBlock(t, c, "issuer-a14", types.PublicAccessBlockConfiguration{RestrictPublicBuckets: new(true)})
	refused(t, getKey(t, anyone, "issuer-a14", "keys.json"), 403, "AccessDenied", "Access Denied")
	if e := a.LastDenial(); !strings.Contains(e.Reason, "RestrictPublicBuckets in S3 Block Public Access (of the bucket)") {
		t.Errorf("event %+v", e)
	}
	if err := getKey(t, c, "issuer-a14", "keys.json"); err != nil {
		t.Errorf("the owner: %v", err)
	}
	if _, err := c.DeletePublicAccessBlock(ctx, &s3.DeletePublicAccessBlockInput{Bucket: new("issuer-a14")}); err != nil {
		t.Fatal(err)
	}
	if err := getKey(t, anyone, "issuer-a14", "keys.json"); err != nil {
		t.Error(err)
	}
	_, err = c.GetPublicAccessBlock(ctx, &s3.GetPublicAccessBlockInput{Bucket: new("issuer-a14")})
	refused(t, err, 404, "NoSuchPublicAccessBlockConfiguration", "The public access block configuration was not found")

	const path = "/v20180820/configuration/publicAccessBlock"
	if status, body := control(t, a, "GET", path, ""); status != 404 || !strings.Contains(body, "<Code>NoSuchPublicAccessBlockConfiguration</Code>") {
		t.Errorf("%d %s", status, body)
	}
	const on = `<PublicAccessBlockConfiguration xmlns="http://awss3control.amazonaws.com/doc/2018-08-20/"><BlockPublicPolicy>true</BlockPublicPolicy><RestrictPublicBuckets>true</RestrictPublicBuckets></PublicAccessBlockConfiguration>`
	if status, body := control(t, a, "PUT", path, on); status != 201 {
		t.Errorf("%d %s", status, body)
	}
	if status, body := control(t, a, "GET", path, ""); status != 200 || !strings.Contains(body, "<BlockPublicAcls>false</BlockPublicAcls>") || !strings.Contains(body, "<RestrictPublicBuckets>true</RestrictPublicBuckets>") {
		t.Errorf("%d %s", status, body)
	}
	refused(t, getKey(t, anyone, "issuer-a14", "keys.json"), 403, "AccessDenied", "Access Denied")
	if e := a.LastDenial(); !strings.Contains(e.Reason, "(of the account)") {
		t.Errorf("event %+v", e)
	}
	refused(t, setPolicy(t, c, "issuer-a14", open), 403, "AccessDenied", blocked)
	if status, body := control(t, a, "DELETE", path, ""); status != 204 {
		t.Errorf("%d %s", status, body)
	}
	if err := getKey(t, anyone, "issuer-a14", "keys.json"); err != nil {
		t.Error(err)
	}
	if _, err := c.DeleteBucketPolicy(ctx, &s3.DeleteBucketPolicyInput{Bucket: new("issuer-a14")}); err != nil {
		t.Fatal(err)
	}
	refused(t, getKey(t, anyone, "issuer-a14", "keys.json"), 403, "AccessDenied", "Access Denied")
	_, err = c.GetBucketPolicy(ctx, &s3.GetBucketPolicyInput{Bucket: new("issuer-a14")})
	refused(t, err, 404, "NoSuchBucketPolicy", "The bucket policy does not exist")
}

// control calls S3's control API as the root user.
func control(t testing.TB, a *emulatortest.AWS, method, path, body string) (int, string) {
	t.Helper()
	r := must(http.NewRequestWithContext(t.Context(), method, a.URL+path, strings.NewReader(body)))
	r.Header.Set("X-Amz-Account-Id", a.Account())
	return signedBy(t, r, "test", "test", []byte(body))
}

// signedBy signs a request for S3, sends it, and returns status and body.
func signedBy(t testing.TB, r *http.Request, id, secret string, body []byte) (int, string) {
	t.Helper()
	hash := sigv4.HashPayload(body)
	r.Header.Set("X-Amz-Content-Sha256", hash)
	signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })
	if err := signer.SignHTTP(t.Context(), aws.Credentials{AccessKeyID: id, SecretAccessKey: secret}, r, hash, "s3", "us-east-1", time.Now()); err != nil {
		t.Fatal(err)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	r.ContentLength = int64(len(body))
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode, string(must(io.ReadAll(resp.Body)))
}

func TestS3BucketPolicy(t *testing.T) {
	t.Parallel()
	a, root := newS3Client(t)
	makeBucket(t, root, "policed", "k", "own/x")
	c := roleClient(t, a, "app")
	const role = "arn:aws:iam::000000000000:role/app"
	allow := func(principal any, more ...map[string]any) string {
		return document(append(more, map[string]any{"Effect": "Allow", "Principal": principal, "Action": "s3:GetObject", "Resource": "arn:aws:s3:::policed/*"})...)
	}
	for _, test := range []struct {
		name, policy string
		allowed      bool
	}{
		{"the role", allow(map[string]any{"AWS": role}), true},
		{"the session", allow(map[string]any{"AWS": "arn:aws:sts::000000000000:assumed-role/app/s1"}), true},
		{"another account", allow(map[string]any{"AWS": "111122223333"}), false},
		{"the account, which only delegates", allow(map[string]any{"AWS": "000000000000"}), false},
		{"a denial beside", allow(map[string]any{"AWS": role}, map[string]any{
			"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "arn:aws:s3:::policed/k"}), false},
		{"over TLS only", allow(map[string]any{"AWS": role}, map[string]any{
			"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": []string{"arn:aws:s3:::policed", "arn:aws:s3:::policed/*"},
			"Condition": map[string]any{"Bool": map[string]any{"aws:SecureTransport": "false"}}}), false},
	} {
		if err := setPolicy(t, root, "policed", test.policy); err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		if err := getKey(t, c, "policed", "k"); (err == nil) != test.allowed {
			t.Errorf("%s: %v", test.name, err)
		}
	}
	if err := setPolicy(t, root, "policed", document(map[string]any{"Effect": "Deny", "Principal": "*", "Action": "s3:*",
		"Resource": []string{"arn:aws:s3:::policed", "arn:aws:s3:::policed/*"}})); err != nil {
		t.Fatal(err)
	}
	refused(t, getKey(t, root, "policed", "k"), 403, "AccessDenied",
		`User: arn:aws:iam::000000000000:root is not authorized to perform: s3:GetObject on resource: "arn:aws:s3:::policed/k" with an explicit deny in a resource-based policy`)
	// The root user can always take such a policy away.
	if _, err := root.DeleteBucketPolicy(t.Context(), &s3.DeleteBucketPolicyInput{Bucket: new("policed")}); err != nil {
		t.Error(err)
	}

	// A role that is made again under its name is another one.
	if err := setPolicy(t, root, "policed", allow(map[string]any{"AWS": role})); err != nil {
		t.Fatal(err)
	}
	if _, err := iam.NewFromConfig(a.Config()).DeleteRole(t.Context(), &iam.DeleteRoleInput{RoleName: new("app")}); err != nil {
		t.Fatal(err)
	}
	a.Role("app", document(map[string]any{"Effect": "Allow", "Principal": map[string]any{"AWS": "000000000000"}, "Action": "sts:AssumeRole"}))
	key := must(iam.NewFromConfig(a.Config()).CreateAccessKey(t.Context(), &iam.CreateAccessKeyInput{UserName: new("user-app")})).AccessKey
	out := must(sts.NewFromConfig(a.ConfigFor(*key.AccessKeyId, *key.SecretAccessKey, "")).AssumeRole(t.Context(), &sts.AssumeRoleInput{RoleArn: new(role), RoleSessionName: new("s1")}))
	again := a.S3(a.ConfigFor(*out.Credentials.AccessKeyId, *out.Credentials.SecretAccessKey, *out.Credentials.SessionToken))
	if err := getKey(t, again, "policed", "k"); err == nil {
		t.Error("the policy admits another role of the same name")
	}

	for name, test := range map[string]struct{ policy, message string }{
		"no JSON":              {"{", "Policies must be valid JSON and the first byte must be '{'"},
		"an array":             {"[]", "Policies must be valid JSON and the first byte must be '{'"},
		"no principal":         {`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::policed/*"}]}`, "Missing required field Principal"},
		"another bucket":       {strings.ReplaceAll(allow(map[string]any{"AWS": "111122223333"}), "policed", "other"), "Policy has invalid resource"},
		"nobody of that name":  {allow(map[string]any{"AWS": "arn:aws:iam::000000000000:role/nobody"}), "Invalid principal in policy"},
		"action on no objects": {document(map[string]any{"Effect": "Deny", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::policed"}), "Action does not apply to any resource(s) in statement"},
	} {
		err := setPolicy(t, root, "policed", test.policy)
		if e, ok := errors.AsType[smithy.APIError](err); !ok || e.ErrorCode() != "MalformedPolicy" || e.ErrorMessage() != test.message {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := setPolicy(t, root, "policed", `{"Version":"2012-10-17","Statement":[]`+strings.Repeat(" ", 20<<10)+"}"); err == nil {
		t.Error("a policy over 20 KiB is taken")
	}
}

// Conditions on S3's own keys.
func TestS3ConditionKeys(t *testing.T) {
	t.Parallel()
	a, root := newS3Client(t)
	makeBucket(t, root, "keyed", "home/x", "other/x")
	c := roleClient(t, a, "home")
	a.Policy("home", "home",
		map[string]any{"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "arn:aws:s3:::keyed", "Condition": map[string]any{"StringLike": map[string]any{"s3:prefix": "home/*"}}},
		map[string]any{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::keyed/*", "Condition": map[string]any{"StringEquals": map[string]any{"s3:ExistingObjectTag/open": "yes"}}},
		map[string]any{"Effect": "Allow", "Action": []string{"s3:PutObject", "s3:PutObjectTagging"}, "Resource": "arn:aws:s3:::keyed/*", "Condition": map[string]any{"StringEquals": map[string]any{"s3:RequestObjectTag/open": "yes", "s3:authType": "REST-HEADER"}}},
	)
	list := func(prefix *string) error {
		_, err := c.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: new("keyed"), Prefix: prefix})
		return err
	}
	if err := list(new("home/a")); err != nil {
		t.Error(err)
	}
	if list(new("other/")) == nil || list(nil) == nil {
		t.Error("another prefix is listed")
	}
	put := func(tags *string) error {
		_, err := c.PutObject(t.Context(), &s3.PutObjectInput{Bucket: new("keyed"), Key: new("tagged"), Body: strings.NewReader("x"), Tagging: tags})
		return err
	}
	if err := put(new("open=yes")); err != nil {
		t.Error(err)
	}
	if put(nil) == nil || put(new("open=no")) == nil {
		t.Error("stored with other tags")
	}
	if err := getKey(t, c, "keyed", "tagged"); err != nil {
		t.Error(err)
	}
	if getKey(t, c, "keyed", "home/x") == nil {
		t.Error("an object without the tag is read")
	}
}

// Buckets have owners and regions, and other accounts have buckets.
func TestS3Owners(t *testing.T) {
	t.Parallel()
	a, c := newS3Client(t, emulator.Config{Control: true})
	ctx := t.Context()
	if err := a.AddForeignBucket("theirs", "111122223333", ""); err != nil {
		t.Fatal(err)
	}
	resp := must(http.Post(a.URL+"/_openirsa/control/buckets", "application/json", strings.NewReader(`{"name":"theirs-too","account":"111122223333","region":"eu-west-1"}`)))
	if resp.Body.Close(); resp.StatusCode != 204 {
		t.Errorf("status %d", resp.StatusCode)
	}
	for _, bad := range [][3]string{{"theirs", "111122223333", ""}, {"x", "111122223333", ""}, {"theirs-3", "1", ""}, {"theirs-3", "000000000000", ""}, {"theirs-3", "111122223333", "moon"}} {
		if a.AddForeignBucket(bad[0], bad[1], bad[2]) == nil {
			t.Errorf("added %q", bad)
		}
	}
	_, err := c.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: new("theirs")})
	refused(t, err, 409, "BucketAlreadyExists", "The requested bucket name is not available. The bucket namespace is shared by all users of the system. Please select a different name and try again.")
	refused(t, getKey(t, c, "theirs", "k"), 403, "AccessDenied", "Access Denied")
	refused(t, putKey(t, c, "theirs", "k"), 403, "AccessDenied", "Access Denied")
	_, err = c.GetBucketPolicy(ctx, &s3.GetBucketPolicyInput{Bucket: new("theirs")})
	refused(t, err, 403, "AccessDenied", "Access Denied")
	_, err = c.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: new("theirs")})
	if response, ok := errors.AsType[interface {
		error
		HTTPStatusCode() int
	}](err); !ok || response.HTTPStatusCode() != 403 {
		t.Error(err)
	}

	makeBucket(t, c, "ours", "k")
	if _, err := c.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: new("ours"), ExpectedBucketOwner: new("000000000000")}); err != nil {
		t.Error(err)
	}
	_, err = c.GetObject(ctx, &s3.GetObjectInput{Bucket: new("ours"), Key: new("k"), ExpectedBucketOwner: new("111122223333")})
	refused(t, err, 403, "AccessDenied", "Access Denied")
	_, err = c.CopyObject(ctx, &s3.CopyObjectInput{Bucket: new("ours"), Key: new("k2"), CopySource: new("ours/k"), ExpectedSourceBucketOwner: new("111122223333")})
	refused(t, err, 403, "AccessDenied", "Access Denied")

	// In us-east-1 making a bucket again is no error, elsewhere it is.
	if _, err := c.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: new("ours")}); err != nil {
		t.Error(err)
	}
	in := func(region string) *s3.Client {
		config := a.Config()
		config.Region = region
		return a.S3(config)
	}
	create := func(c *s3.Client, bucket string, constraint types.BucketLocationConstraint) error {
		_, err := c.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: &bucket, CreateBucketConfiguration: &types.CreateBucketConfiguration{LocationConstraint: constraint}})
		return err
	}
	frankfurt := in("eu-central-1")
	if err := create(frankfurt, "in-frankfurt", "eu-central-1"); err != nil {
		t.Fatal(err)
	}
	refused(t, create(frankfurt, "in-frankfurt", "eu-central-1"), 409, "BucketAlreadyOwnedByYou", "Your previous request to create the named bucket succeeded and you already own it.")
	refused(t, create(frankfurt, "in-dublin", "eu-west-1"), 400, "IllegalLocationConstraintException", "The eu-west-1 location constraint is incompatible for the region specific endpoint this request was sent to.")
	_, err = frankfurt.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: new("nowhere")})
	refused(t, err, 400, "IllegalLocationConstraintException", "The unspecified location constraint is incompatible for the region specific endpoint this request was sent to.")
	if err := create(c, "from-virginia", "eu-central-1"); err != nil {
		t.Error(err)
	}
	if err := putKey(t, frankfurt, "in-frankfurt", "k"); err != nil {
		t.Error(err)
	}
	refused(t, getKey(t, c, "in-frankfurt", "k"), 301, "PermanentRedirect",
		"The bucket you are attempting to access must be addressed using the specified endpoint. Please send all future requests to this endpoint.")
	location, err := c.GetBucketLocation(ctx, &s3.GetBucketLocationInput{Bucket: new("in-frankfurt")})
	if err != nil || location.LocationConstraint != "eu-central-1" {
		t.Errorf("location %+v, %v", location, err)
	}
	location, err = c.GetBucketLocation(ctx, &s3.GetBucketLocationInput{Bucket: new("ours")})
	if err != nil || location.LocationConstraint != "" {
		t.Errorf("location %+v, %v", location, err)
	}
	// What GetBucketRegion of the SDKs' upload managers does: any answer has
	// the region.
	for _, host := range []string{"", "in-frankfurt.s3.us-west-2.amazonaws.com", "in-frankfurt.s3.amazonaws.com"} {
		r := must(http.NewRequestWithContext(ctx, "HEAD", a.URL+"/in-frankfurt", nil))
		if host != "" {
			r = must(http.NewRequestWithContext(ctx, "HEAD", a.URL+"/", nil))
			r.Host = host
		}
		resp, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		if resp.Body.Close(); resp.Header.Get("X-Amz-Bucket-Region") != "eu-central-1" {
			t.Errorf("%q: %d %v", host, resp.StatusCode, resp.Header)
		}
	}
}

// An issuer in a bucket is read as a stranger reads it.
func TestS3Issuer(t *testing.T) {
	t.Parallel()
	a := startAWS(t)
	iss := a.Issuer("s3")
	role := a.Role("app", iss.Trust("ns", "app"))
	if _, err := assume(t, a, role, iss.Token("ns", "app")); err != nil {
		t.Fatal(err)
	}
	iss.Close()
	_, err := assume(t, a, role, iss.Token("ns", "app"))
	refused(t, err, 400, "InvalidIdentityToken",
		"Couldn't retrieve verification key from your identity provider,  please reference AssumeRoleWithWebIdentity documentation for requirements")
	if e := a.LastDenial(); !strings.Contains(string(must(json.Marshal(e))), "403") {
		t.Errorf("event does not say that the bucket is private: %+v", e)
	}
	if events := a.Events(emulator.EventFilter{Action: "s3:GetObject", Decision: emulator.Deny}); len(events) == 0 || !strings.Contains(events[0].Reason, "RestrictPublicBuckets") || events[0].Caller != "anonymous" {
		t.Errorf("events %+v", events)
	}
	iss.Open()
	if _, err := assume(t, a, role, iss.Token("ns", "app")); err != nil {
		t.Error(err)
	}
}

// A bucket that takes each object once, as the S3 User Guide has it ("Enforce conditional writes"), takes uploads in parts:
// only their end is a creation.
func TestS3WriteOnce(t *testing.T) {
	t.Parallel()
	_, c := newS3Client(t)
	ctx := t.Context()
	makeBucket(t, c, "once")
	deny := func(key, operator, value string) map[string]any {
		return map[string]any{"Effect": "Deny", "Principal": "*", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::once/*", "Condition": map[string]any{
			operator: map[string]any{key: value}, "Null": map[string]any{"s3:if-none-match": "true"}}}
	}
	err := setPolicy(t, c, "once", document(deny("s3:nope", "Bool", "true")))
	refused(t, err, 400, "MalformedPolicy", "Policy has an invalid condition key")
	err = setPolicy(t, c, "once", document(deny("s3:prefix", "StringEquals", "a")))
	refused(t, err, 400, "MalformedPolicy", "Conditions do not apply to combination of actions and resources in statement")
	if err := setPolicy(t, c, "once", document(deny("s3:ObjectCreationOperation", "Bool", "true"))); err != nil {
		t.Fatal(err)
	}
	if err := putKey(t, c, "once", "k"); err == nil {
		t.Error("without a condition")
	}
	if _, err := c.PutObject(ctx, &s3.PutObjectInput{Bucket: new("once"), Key: new("k"), IfNoneMatch: new("*"), Body: strings.NewReader("x")}); err != nil {
		t.Error(err)
	}
	made, err := c.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: new("once"), Key: new("parts")})
	if err != nil {
		t.Fatal(err)
	}
	part, err := c.UploadPart(ctx, &s3.UploadPartInput{Bucket: new("once"), Key: new("parts"), UploadId: made.UploadId, PartNumber: new(int32(1)), Body: strings.NewReader("x")})
	if err != nil {
		t.Fatal(err)
	}
	in := &s3.CompleteMultipartUploadInput{Bucket: new("once"), Key: new("parts"), UploadId: made.UploadId,
		MultipartUpload: &types.CompletedMultipartUpload{Parts: []types.CompletedPart{{PartNumber: new(int32(1)), ETag: part.ETag}}}}
	if _, err := c.CompleteMultipartUpload(ctx, in); err == nil {
		t.Error("completed without a condition")
	}
	in.IfNoneMatch = new("*")
	if _, err := c.CompleteMultipartUpload(ctx, in); err != nil {
		t.Error(err)
	}
}
