package emulatortest_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"

	"github.com/openirsa/openirsa/pkg/emulator"
	"github.com/openirsa/openirsa/pkg/emulator/emulatortest"
)

// Example shows a whole test: an issuer, a role and a token, and then the
// subject under test, here the SDK's default credential chain.
func Example() {
	test := func(t *testing.T) {
		aws := emulatortest.Start(t)
		iss := aws.Issuer("dev")
		role := aws.Role("app", iss.Trust("default", "app"), "arn:aws:iam::aws:policy/IAMReadOnlyAccess")
		for name, value := range aws.Env(role, iss.Token("default", "app")) {
			t.Setenv(name, value)
		}

		aws.Groups("admins")
		cfg, err := config.LoadDefaultConfig(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		groups, err := iam.NewFromConfig(cfg).ListGroups(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Println(*groups.Groups[0].GroupName)
	}
	runExample(test)
	// Output: admins
}

// Example_denial shows how a test learns why AWS would have said no.
func Example_denial() {
	test := func(t *testing.T) {
		aws := emulatortest.Start(t)
		iss := aws.Issuer("dev")
		role := aws.Role("app", iss.Trust("default", "app"))
		for name, value := range aws.Env(role, iss.Token("default", "other")) {
			t.Setenv(name, value)
		}

		cfg, err := config.LoadDefaultConfig(t.Context(), config.WithRetryMaxAttempts(1))
		if err != nil {
			t.Fatal(err)
		}
		_, err = iam.NewFromConfig(cfg).ListGroups(t.Context(), nil)
		answer, _ := errors.AsType[smithy.APIError](err)
		fmt.Println(answer.ErrorCode()+":", answer.ErrorMessage())
		check := aws.LastDenial().Checks[0]
		fmt.Println(check.Key, "is", check.Actual, "and not", check.Expected)
	}
	runExample(test)
	// Output:
	// AccessDenied: Not authorized to perform sts:AssumeRoleWithWebIdentity
	// issuer-dev.s3.us-east-1.amazonaws.com:sub is [system:serviceaccount:default:other] and not [system:serviceaccount:default:app]
}

// runExample runs what would be a test of its own elsewhere.
func runExample(test func(*testing.T)) {
	for _, name := range []string{"AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} {
		os.Unsetenv(name)
	}
	testing.RunTests(func(string, string) (bool, error) { return true, nil }, []testing.InternalTest{{Name: "Example", F: test}})
}

func TestIssuerInS3(t *testing.T) {
	t.Parallel()
	a := emulatortest.Start(t)
	iss := a.Issuer("dev")
	role := a.Role("app", iss.Trust("ns", "app"), "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess")
	ctx := t.Context()

	client := a.S3(a.Session(role, iss.Token("ns", "app")))
	if _, err := client.GetObject(ctx, &s3.GetObjectInput{Bucket: &iss.Bucket, Key: new("openid/v1/jwks")}); err != nil {
		t.Fatal(err)
	}

	// A private bucket fails as at AWS, at once, and the event says why.
	iss.Close()
	_, err := a.Assume(role, iss.Token("ns", "app"))
	if answer, ok := errors.AsType[smithy.APIError](err); !ok || answer.ErrorCode() != "InvalidIdentityToken" || !strings.HasPrefix(answer.ErrorMessage(), "Couldn't retrieve verification key") {
		t.Errorf("with a private bucket: %v", err)
	}
	event := a.LastDenial()
	if event.Step != "keys" || !strings.Contains(event.Reason, "403 Forbidden (AccessDenied)") || len(event.Fetches) != 1 || event.Fetches[0].Status != 403 || !event.Fetches[0].Inside {
		t.Errorf("event %+v", event)
	}
	iss.Open()
	if _, err := a.Assume(role, iss.Token("ns", "app")); err != nil {
		t.Errorf("after opening it again: %v", err)
	}

	// Time passes for sessions and tokens.
	token := iss.Token("ns", "app")
	config := a.Session(role, token)
	a.FastForward(2 * time.Hour)
	_, err = iam.NewFromConfig(config).ListGroups(ctx, nil)
	if answer, ok := errors.AsType[smithy.APIError](err); !ok || answer.ErrorCode() != "ExpiredToken" {
		t.Errorf("with an expired session: %v", err)
	}
	_, err = a.Assume(role, token)
	if answer, ok := errors.AsType[smithy.APIError](err); !ok || answer.ErrorCode() != "ExpiredTokenException" {
		t.Errorf("with an expired token: %v", err)
	}
}

func TestFaults(t *testing.T) {
	t.Parallel()
	a := emulatortest.Start(t)
	client := iam.NewFromConfig(a.Config())
	ctx := t.Context()
	code := func(err error) string {
		answer, ok := errors.AsType[smithy.APIError](err)
		if !ok {
			return fmt.Sprint(err)
		}
		return answer.ErrorCode()
	}

	a.Inject(emulator.Fault{Action: "ListGroups", Code: "Throttling", Times: 1, Skip: 1})
	for i, want := range []string{"<nil>", "Throttling", "<nil>"} {
		if _, err := client.ListGroups(ctx, nil); code(err) != want {
			t.Errorf("call %d: %v, want %s", i, err, want)
		}
	}

	a.Inject(emulator.Fault{Action: "iam:CreateGroup", Drop: true, Times: 1})
	if _, err := client.CreateGroup(ctx, &iam.CreateGroupInput{GroupName: new("lost")}); err == nil {
		t.Error("the answer was not dropped")
	}
	if _, err := client.GetGroup(ctx, &iam.GetGroupInput{GroupName: new("lost")}); err != nil {
		t.Errorf("the call was not applied: %v", err)
	}

	a.Inject(emulator.Fault{Action: "s3:*", Code: "SlowDown"})
	if _, err := a.S3(a.Config()).ListBuckets(ctx, nil); code(err) != "SlowDown" {
		t.Errorf("ListBuckets: %v", err)
	}
	a.ClearFaults()
	a.Inject(emulator.Fault{Action: "s3:PutObject", Drop: true, Times: 1})
	if _, err := a.S3(a.Config()).CreateBucket(ctx, &s3.CreateBucketInput{Bucket: new("bucket")}); err != nil {
		t.Fatal(err)
	}
	put := &s3.PutObjectInput{Bucket: new("bucket"), Key: new("key"), Body: strings.NewReader("body")}
	if _, err := a.S3(a.Config()).PutObject(ctx, put); err == nil {
		t.Error("the answer was not dropped")
	}
	if _, err := a.S3(a.Config()).HeadObject(ctx, &s3.HeadObjectInput{Bucket: new("bucket"), Key: new("key")}); err != nil {
		t.Errorf("the call was not applied: %v", err)
	}

	a.Inject(emulator.Fault{Latency: time.Hour})
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	if _, err := client.ListGroups(short, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("with latency: %v", err)
	}
}

// TestHundreds runs many emulators in one process at the same time.
func TestHundreds(t *testing.T) {
	t.Parallel()
	for i := range 200 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			a := emulatortest.Start(t, emulator.Config{Account: fmt.Sprintf("%012d", i)})
			iss := a.Issuer("dev")
			role := a.Role("app", iss.Trust("ns", "app"))
			out, err := a.Assume(role, iss.Token("ns", "app"))
			if err != nil {
				t.Fatal(err)
			}
			if want := fmt.Sprintf("arn:aws:sts::%012d:assumed-role/app/emulatortest", i); *out.AssumedRoleUser.Arn != want {
				t.Errorf("got %s, want %s", *out.AssumedRoleUser.Arn, want)
			}
		})
	}
}
