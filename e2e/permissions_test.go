package e2e

import (
	"context"
	"encoding/pem"
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
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/google/go-cmp/cmp"
)

// config is that of a client of the emulator.
func (e emulatorProcess) config(id, secret string) aws.Config {
	return aws.Config{Region: region, BaseEndpoint: &e.url, Credentials: credentials.NewStaticCredentialsProvider(id, secret, "")}
}

// cloudUser is a user of an emulated account, who may do what a policy says.
type cloudUser struct {
	emulatorProcess
	root       *iam.Client
	id, secret string
}

func (e emulatorProcess) newUser(t testing.TB, name string) *cloudUser {
	t.Helper()
	u := &cloudUser{emulatorProcess: e, root: iam.NewFromConfig(e.config("test", "test"))}
	if _, err := u.root.CreateUser(suite, &iam.CreateUserInput{UserName: &name}); err != nil {
		t.Fatal(err)
	}
	key, err := u.root.CreateAccessKey(suite, &iam.CreateAccessKeyInput{UserName: &name})
	if err != nil {
		t.Fatal(err)
	}
	u.id, u.secret = *key.AccessKey.AccessKeyId, *key.AccessKey.SecretAccessKey
	return u
}

// may gives the user a policy, and takes the previous one.
func (u *cloudUser) may(t testing.TB, name, document string) {
	t.Helper()
	user, arn := new("operator"), "arn:aws:iam::"+account+":policy/"+name
	attached, err := u.root.ListAttachedUserPolicies(suite, &iam.ListAttachedUserPoliciesInput{UserName: user})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range attached.AttachedPolicies {
		if _, err := u.root.DetachUserPolicy(suite, &iam.DetachUserPolicyInput{UserName: user, PolicyArn: p.PolicyArn}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := u.root.CreatePolicy(suite, &iam.CreatePolicyInput{PolicyName: &name, PolicyDocument: &document}); err != nil {
		t.Fatal(err)
	}
	if _, err := u.root.AttachUserPolicy(suite, &iam.AttachUserPolicyInput{UserName: user, PolicyArn: &arn}); err != nil {
		t.Fatal(err)
	}
}

func (u *cloudUser) setup(t testing.TB, args ...string) result {
	t.Helper()
	v := invocation{env: []string{"AWS_ENDPOINT_URL=" + u.url, "AWS_REGION=" + region, "AWS_ACCESS_KEY_ID=" + u.id,
		"AWS_SECRET_ACCESS_KEY=" + u.secret}}
	return v.run(t, args...)
}

// leftInAWS is what somebody has to clean up.
func (e emulatorProcess) leftInAWS(t testing.TB) []string {
	t.Helper()
	config := e.config("test", "test")
	client := iam.NewFromConfig(config)
	var left []string
	providers, err := client.ListOpenIDConnectProviders(suite, &iam.ListOpenIDConnectProvidersInput{})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range providers.OpenIDConnectProviderList {
		left = append(left, *p.Arn)
	}
	roles, err := client.ListRoles(suite, &iam.ListRolesInput{})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range roles.Roles {
		left = append(left, *r.Arn)
	}
	buckets, err := s3.NewFromConfig(config, func(o *s3.Options) { o.UsePathStyle = true }).ListBuckets(suite, &s3.ListBucketsInput{})
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range buckets.Buckets {
		left = append(left, *b.Name)
	}
	return left
}

// testPermissions: whoever has no more than the policy that setup exports for a command can run it, from the chain's
// beginning to its end, on a cluster.
func testPermissions(t *testing.T) {
	was := secondary.snapshot(t)
	cloud := startEmulator(t)
	operator := cloud.newUser(t, "operator")
	const name, ns = "least", "e2e-least"
	secondary.namespace(t, ns)
	file := filepath.Join(t.TempDir(), "cluster.yaml")
	body := fmt.Sprintf("apiVersion: openirsa.dev/v1alpha1\nkind: Cluster\nmetadata: {name: %s, region: %s}\nkindName: %s\niamServiceAccounts:\n"+
		"- metadata: {name: app, namespace: %s}\n  attachPolicyARNs: [%s]\n", name, region, secondary.Name, ns, readOnly)
	if err := os.WriteFile(file, []byte(body), 0o600); err != nil {
		t.Fatal(err)
	}
	allow := func(command string, args ...string) {
		t.Helper()
		args = append([]string{"export", "iam-policy", "--command", command, "--account", account, "--name", name, "--region", region}, args...)
		operator.may(t, command, setup(t, args...).ok(t).stdout)
	}
	kind := []string{"--kind-name", secondary.Name}
	with := func(args ...string) []string { return append(args, kind...) }

	t.Cleanup(func() {
		if t.Failed() { // the chain must not outlive the emulator
			cloud.setup(t, with("down", "--immediately")...)
		}
	})
	// Without any permission nothing is made.
	operator.setup(t, "up", "--config", file).fails(t, "provider", "AccessDenied")
	if left := cloud.leftInAWS(t); len(left) > 0 {
		t.Errorf("made without a permission: %q", left)
	}

	allow("up", "--config", file)
	operator.setup(t, "up", "--config", file, "--dry-run").ok(t)
	operator.setup(t, "up", "--config", file).ok(t)
	if r := operator.setup(t, "up", "--config", file).ok(t); !strings.Contains(r.stdout, "Everything is unchanged") {
		t.Errorf("a second run: %s", r.stdout)
	}
	allow("status")
	operator.setup(t, with("status")...).ok(t)
	allow("doctor")
	// Shortly after the API server's restart the webhook may not reach it yet.
	poll(t, patience, "waiting for a healthy chain", func(context.Context) error {
		if r := operator.setup(t, with("doctor", "--service-account", ns+"/app")...); r.code != 0 {
			return fmt.Errorf("exit %d: %s", r.code, r.stderr)
		}
		return nil
	})
	allow("iamserviceaccount-create")
	create := with("iamserviceaccount", "create", "--namespace", ns, "--name", "another", "--attach-policy-arn", readOnly)
	operator.setup(t, create...).ok(t)
	operator.setup(t, append(create, "--approve")...).ok(t)
	operator.setup(t, with("iamserviceaccount", "get")...).ok(t)

	// What the record and AWS say is what the flags say, and what there is to adopt.
	allow("iamserviceaccount-delete")
	adopt := operator.setup(t, with("export", "terraform")...).ok(t).stdout
	for _, want := range []string{"import {", `resource "aws_s3_object" "jwks"`, "openirsa-least-e2e-least-another",
		"system:serviceaccount:e2e-least:app", "openirsa.dev/cluster-uid"} {
		if !strings.Contains(adopt, want) {
			t.Errorf("exported Terraform lacks %q", want)
		}
	}
	if recorded, said := setup(t, with("export", "iam-policy", "--command", "down")...).ok(t), setup(t, "export",
		"iam-policy", "--command", "down", "--account", account, "--name", name, "--region", region).ok(t); recorded.stdout != said.stdout {
		t.Errorf("policy of the record (-) and of the flags (+):\n%s", cmp.Diff(recorded.stdout, said.stdout))
	}

	operator.setup(t, with("iamserviceaccount", "delete", "--namespace", ns, "--name", "another")...).ok(t)
	operator.setup(t, with("down", "--immediately")...).fails(t, "", "AccessDenied")
	allow("down")
	operator.setup(t, with("down", "--immediately")...).ok(t)
	if left := cloud.leftInAWS(t); len(left) > 0 {
		t.Errorf("left in AWS: %q", left)
	}
	if diff := cmp.Diff(was, secondary.snapshot(t)); diff != "" {
		t.Errorf("the cluster is not as it was (-before +after):\n%s", diff)
	}
}

// testPrivateBucket: the documents are in a bucket that nobody but a distribution may read. In CloudFront's place is a
// server that signs its requests to S3 as a user; its certificate is real, and setup and the emulator trust it as they
// trust a public one.
func testPrivateBucket(t *testing.T) {
	t.Cleanup(func() { secondary.explain(t) })
	var origin *s3.Client
	const bucket = "e2e-private"
	edge := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got, err := origin.GetObject(r.Context(), &s3.GetObjectInput{Bucket: new(bucket), Key: new(strings.TrimPrefix(r.URL.Path, "/"))})
		if err != nil {
			http.Error(w, "AccessDenied", http.StatusForbidden)
			return
		}
		defer got.Body.Close()
		w.Header().Set("Content-Type", aws.ToString(got.ContentType))
		w.Header().Set("Cache-Control", aws.ToString(got.CacheControl))
		_, _ = io.Copy(w, got.Body)
	}))
	defer edge.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: edge.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	cloud := startEmulator(t, "--allow-private-issuers", "--ca-file", ca)
	user := cloud.newUser(t, "operator")
	pathStyle := func(o *s3.Options) { o.UsePathStyle = true }
	origin = s3.NewFromConfig(cloud.config(user.id, user.secret), pathStyle)
	user.may(t, "edge", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::`+bucket+`/*"}}`)

	issuer := edge.URL + "/dev"
	setup := func(args ...string) result {
		v := invocation{env: []string{"AWS_ENDPOINT_URL=" + cloud.url, "AWS_REGION=" + region, "AWS_ACCESS_KEY_ID=test",
			"AWS_SECRET_ACCESS_KEY=test", "SSL_CERT_FILE=" + ca}}
		return v.run(t, append(args, "--kind-name", secondary.Name)...)
	}
	const distribution = "arn:aws:cloudfront::" + account + ":distribution/E2EPRIVATE"
	up := []string{"up", "--private-bucket", "--bucket", bucket, "--issuer-url", issuer, "--distribution-arn", distribution}
	setup(up...).ok(t)
	const ns = "e2e-private"
	secondary.namespace(t, ns)
	setup("iamserviceaccount", "create", "--namespace", ns, "--name", "app", "--attach-policy-arn", readOnly, "--approve").ok(t)
	setup("status").ok(t)
	if r := setup("up").ok(t); !strings.Contains(r.stdout, "Everything is unchanged") {
		t.Errorf("a second run: %s", r.stdout)
	}

	// A token of the cluster is exchanged: STS reads the documents through the distribution.
	token := secondary.token(t, ns, "app", "sts.amazonaws.com")
	anonymous := cloud.config("", "")
	anonymous.Credentials = aws.AnonymousCredentials{}
	role := secondary.annotations(t, ns, "app")[roleAnnotation]
	ctx, cancel := context.WithTimeout(suite, patience)
	defer cancel()
	if _, err := sts.NewFromConfig(anonymous).AssumeRoleWithWebIdentity(ctx, &sts.AssumeRoleWithWebIdentityInput{
		RoleArn: &role, RoleSessionName: new("e2e"), WebIdentityToken: &token,
	}); err != nil {
		t.Errorf("a token of the cluster: %v", err)
	}
	// The bucket is closed, and its policy names the distribution.
	if _, err := s3.NewFromConfig(anonymous, pathStyle).GetObject(ctx,
		&s3.GetObjectInput{Bucket: new(bucket), Key: new("dev/openid/v1/jwks")}); err == nil {
		t.Error("a stranger reads the bucket")
	}
	root := s3.NewFromConfig(cloud.config("test", "test"), pathStyle)
	policy, err := root.GetBucketPolicy(ctx, &s3.GetBucketPolicyInput{Bucket: new(bucket)})
	if err != nil || !strings.Contains(*policy.Policy, distribution) || strings.Contains(*policy.Policy, `"Principal":"*"`) {
		t.Errorf("bucket policy %v, %v", policy, err)
	}
	if text := setup("export", "terraform").ok(t).stdout; !strings.Contains(text, distribution) ||
		strings.Contains(text, "aws_cloudfront_distribution") {
		t.Errorf("exported: %s", text)
	}
	// What others have put into the bucket keeps it, and setup says so.
	if _, err := root.PutObject(ctx, &s3.PutObjectInput{Bucket: new(bucket), Key: new("others"), Body: strings.NewReader("x")}); err != nil {
		t.Fatal(err)
	}
	secondary.renewed(t, issuer)
	setup("down", "--immediately").fails(t, "documents", bucket, "stays", "aws s3 rb --force")
	secondary.reached(t)
	if left := cloud.leftInAWS(t); !slices.Equal(left, []string{bucket}) {
		t.Errorf("left in AWS: %q, want the bucket alone", left)
	}
}

// renewed has kubelet renew tokens, as it does by itself when they are 48 minutes old, until kube-proxy has one of iss.
func (k *kube) renewed(t testing.TB, iss string) {
	t.Helper()
	k.node(t, "systemctl restart kubelet")
	poll(t, patience, "a token of "+iss+" for kube-proxy", func(ctx context.Context) error {
		claims, err := k.tryNode(ctx, `uid=$(kubectl --kubeconfig=/etc/kubernetes/admin.conf get pods --namespace kube-system -l k8s-app=kube-proxy -o jsonpath={.items[0].metadata.uid})
cut -d. -f2 /var/lib/kubelet/pods/$uid/volumes/kubernetes.io~projected/*/token | tr _- /+ | { base64 -d 2>/dev/null || true; }`)
		if err == nil && !strings.Contains(claims, `"iss":"`+iss+`"`) {
			err = fmt.Errorf("its claims are %s", claims)
		}
		return err
	})
}

// reached returns when pods reach the API server behind its Service. That takes kube-proxy, whose token must be accepted.
func (k *kube) reached(t testing.TB) {
	t.Helper()
	start := time.Now()
	poll(t, 4*time.Minute, "pods reach the API server of "+k.Name, func(ctx context.Context) error {
		_, err := k.tryNode(ctx, `export KUBECONFIG=/etc/kubernetes/kubelet.conf
kubectl --server=https://$(kubectl --kubeconfig=/etc/kubernetes/admin.conf get service kubernetes -o jsonpath={.spec.clusterIP}) --tls-server-name=kubernetes --request-timeout=5s get --raw /readyz`)
		return err
	})
	t.Logf("pods reach the API server of %s again after %s", k.Name, time.Since(start).Round(time.Second))
}
