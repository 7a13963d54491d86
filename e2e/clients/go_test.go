package clients

import (
	"bytes"
	"crypto/rand"
	"errors"
	"maps"
	"os"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager"
	"github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/route53"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
)

// TestGo runs the AWS SDK for Go v2 with its default configuration, in this process with the environment of a pod.
func TestGo(t *testing.T) {
	scenario(t, func(t *testing.T, dir string, env map[string]string) {
		asPod(t, dir, env)
		ctx := t.Context()
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		read := func(name string) *string {
			t.Helper()
			b, err := os.ReadFile(name)
			must(err)
			return new(string(b))
		}

		root, err := config.LoadDefaultConfig(ctx, config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider("test", "test", "")))
		must(err)
		admin := iam.NewFromConfig(root)
		provider, err := admin.CreateOpenIDConnectProvider(ctx,
			&iam.CreateOpenIDConnectProviderInput{Url: new(env["ISSUER"]), ClientIDList: []string{audience}})
		must(err)
		if got := aws.ToString(provider.OpenIDConnectProviderArn); got != env["PROVIDER"] {
			t.Errorf("provider %s, want %s", got, env["PROVIDER"])
		}
		_, err = admin.CreateRole(ctx, &iam.CreateRoleInput{RoleName: new(role), AssumeRolePolicyDocument: read("trust.json")})
		must(err)
		_, err = admin.AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: new(role),
			PolicyArn: new("arn:aws:iam::aws:policy/IAMReadOnlyAccess")})
		must(err)
		_, err = admin.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: new(role), PolicyName: new("bucket"),
			PolicyDocument: read("bucket.json")})
		must(err)
		_, err = s3.NewFromConfig(root).CreateBucket(ctx, &s3.CreateBucketInput{Bucket: new(bucket)})
		must(err)

		pod, err := config.LoadDefaultConfig(ctx)
		must(err)
		who, err := sts.NewFromConfig(pod).GetCallerIdentity(ctx, nil)
		must(err)
		if got := aws.ToString(who.Arn); got != env["CALLER"] {
			t.Errorf("caller %s, want %s", got, env["CALLER"])
		}
		client := iam.NewFromConfig(pod)
		groups := map[string]bool{}
		for pages := iam.NewListGroupsPaginator(client, &iam.ListGroupsInput{MaxItems: aws.Int32(1)}); pages.HasMorePages(); {
			page, err := pages.NextPage(ctx)
			must(err)
			for _, g := range page.Groups {
				groups[*g.GroupName] = true
			}
		}
		if !maps.Equal(groups, map[string]bool{"admins": true, "developers": true}) {
			t.Errorf("groups %v", groups)
		}
		_, err = client.CreateGroup(ctx, &iam.CreateGroupInput{GroupName: new(role)})
		accessDenied(t, err, env["GROUP_DENIED"])

		up := make([]byte, 20<<20)
		rand.Read(up)
		store := s3.NewFromConfig(pod)
		transfers := transfermanager.New(store)
		_, err = transfers.UploadObject(ctx, &transfermanager.UploadObjectInput{Bucket: new(bucket), Key: new("data/up"),
			Body: bytes.NewReader(up)})
		must(err)
		down := types.NewWriteAtBuffer(nil)
		_, err = transfers.DownloadObject(ctx, &transfermanager.DownloadObjectInput{Bucket: new(bucket), Key: new("data/up"), WriterAt: down})
		must(err)
		if !bytes.Equal(down.Bytes(), up) {
			t.Errorf("%d bytes came down, and not those that went up", len(down.Bytes()))
		}
		head, err := store.HeadObject(ctx, &s3.HeadObjectInput{Bucket: new(bucket), Key: new("data/up")})
		must(err)
		if etag := aws.ToString(head.ETag); !strings.HasSuffix(etag, `-3"`) { // parts of 8 MiB
			t.Errorf("ETag %s", etag)
		}
		_, err = store.PutObject(ctx, &s3.PutObjectInput{Bucket: new(bucket), Key: new("elsewhere"), Body: strings.NewReader("x")})
		accessDenied(t, err, env["PUT_DENIED"])

		absentServices(t, pod)
	})
}

// asPod gives this process the environment of a pod until the test ends, and nothing that the user of this machine may have
// set up for AWS.
func asPod(t *testing.T, dir string, env map[string]string) {
	t.Helper()
	for _, kv := range os.Environ() {
		if name, _, _ := strings.Cut(kv, "="); strings.HasPrefix(name, "AWS_") {
			t.Setenv(name, "")
		}
	}
	for name, value := range env {
		t.Setenv(name, value)
	}
	t.Setenv("HOME", dir)
	t.Chdir(dir)
}

// absentServices calls services that the emulator does not have. Each says so, once, in the protocol of its client.
func absentServices(t *testing.T, pod aws.Config) {
	t.Helper()
	ctx := t.Context()
	calls := map[string]struct {
		code, text string
		call       func() error
	}{
		"JSON": {"UnknownOperationException", "dynamodb, so it cannot do ListTables;", func() error {
			_, err := dynamodb.NewFromConfig(pod).ListTables(ctx, nil)
			return err
		}},
		"JSON of a service with codes of the Query protocol": {"InvalidAction", "sqs, so it cannot do ListQueues;", func() error {
			_, err := sqs.NewFromConfig(pod).ListQueues(ctx, nil)
			return err
		}},
		"CBOR": {"InvalidAction", "cloudwatch, so it cannot do ListMetrics;", func() error {
			_, err := cloudwatch.NewFromConfig(pod).ListMetrics(ctx, nil)
			return err
		}},
		"query": {"InvalidAction", "sns, so it cannot do ListTopics;", func() error {
			_, err := sns.NewFromConfig(pod).ListTopics(ctx, nil)
			return err
		}},
		"REST JSON": {"UnknownOperationException", "this operation of eks;", func() error {
			_, err := eks.NewFromConfig(pod).ListNodegroups(ctx, &eks.ListNodegroupsInput{ClusterName: new("dev")})
			return err
		}},
		"REST XML": {"UnknownOperationException", "route53, so it cannot do ListHostedZones;", func() error {
			_, err := route53.NewFromConfig(pod).ListHostedZones(ctx, nil)
			return err
		}},
	}
	for name, want := range calls {
		err := want.call()
		api, _ := errors.AsType[smithy.APIError](err)
		response, _ := errors.AsType[*http.ResponseError](err)
		if api == nil || response == nil || api.ErrorCode() != want.code || response.HTTPStatusCode() != 400 ||
			response.ServiceRequestID() == "" ||
			!strings.HasPrefix(api.ErrorMessage(), "This emulator does not have "+want.text) {
			t.Errorf("%s: %v, want %s about %s", name, err, want.code, want.text)
		}
	}
}

func accessDenied(t *testing.T, err error, text string) {
	t.Helper()
	api, _ := errors.AsType[smithy.APIError](err)
	response, _ := errors.AsType[*http.ResponseError](err)
	if api == nil || response == nil || api.ErrorCode() != "AccessDenied" || api.ErrorMessage() != text || response.HTTPStatusCode() != 403 {
		t.Errorf("%v, want %s", err, text)
	}
}
