package emulator_test

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/openirsa/openirsa/pkg/emulator"
	"github.com/openirsa/openirsa/pkg/emulator/emulatortest"
)

// TestReset: after a reset an emulator has nothing of what it had, in memory and in
// its file, and works as a new one.
func TestReset(t *testing.T) {
	t.Parallel()
	for _, state := range []string{"", filepath.Join(t.TempDir(), "state.db")} {
		a := startAWS(t, emulator.Config{State: state, Control: true})
		ctx, root := t.Context(), a.Config()
		user := must(iam.NewFromConfig(root).CreateUser(ctx, &iam.CreateUserInput{UserName: new("ann")})).User
		must(iam.NewFromConfig(root).CreateAccountAlias(ctx, &iam.CreateAccountAliasInput{AccountAlias: new("ours")}))
		session := must(sts.NewFromConfig(root).GetSessionToken(ctx, nil)).Credentials
		buckets := a.S3(root)
		must(buckets.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: new("bucket")}))
		must(buckets.PutObject(ctx, &s3.PutObjectInput{Bucket: new("bucket"), Key: new("k"), Body: strings.NewReader("text")}))
		must(kms.NewFromConfig(root).CreateKey(ctx, &kms.CreateKeyInput{KeySpec: "ECC_NIST_P256", KeyUsage: "SIGN_VERIFY"}))
		a.Inject(emulator.Fault{Action: "ListRoles", Code: "ServiceFailure"})
		a.FastForward(24 * time.Hour)
		last := a.Events(emulator.EventFilter{})

		reset := func(kind string) int {
			t.Helper()
			response := must(http.Post(a.URL+"/_openirsa/control/reset", kind, strings.NewReader("{}")))
			response.Body.Close()
			return response.StatusCode
		}
		if got := reset("text/plain"); got != http.StatusUnsupportedMediaType {
			t.Errorf("a form of any page: %d", got)
		}
		if got := reset("application/json"); got != http.StatusNoContent {
			t.Fatalf("the reset: %d", got)
		}
		if events := a.Events(emulator.EventFilter{}); len(events) != 0 {
			t.Errorf("events that are left: %+v", events)
		}
		if off := time.Since(a.Now()); off > time.Hour || off < -time.Hour {
			t.Errorf("the clock is off by %s", off)
		}
		empty(t, a)
		if _, err := sts.NewFromConfig(a.ConfigFor(*session.AccessKeyId, *session.SecretAccessKey, *session.SessionToken)).
			GetCallerIdentity(ctx, nil); err == nil {
			t.Error("a session from before is still good")
		}
		_, err := buckets.GetObject(ctx, &s3.GetObjectInput{Bucket: new("bucket"), Key: new("k")})
		if err == nil || !strings.Contains(err.Error(), "NoSuchBucket") {
			t.Errorf("the object: %v", err)
		}
		again := must(iam.NewFromConfig(root).CreateUser(ctx, &iam.CreateUserInput{UserName: new("ann")})).User
		if *again.UserId == *user.UserId {
			t.Error("the user is the one from before")
		}
		if events := a.Events(emulator.EventFilter{}); len(events) == 0 || events[0].Seq <= last[len(last)-1].Seq {
			t.Errorf("events after it: %+v", events)
		}
	}
}

// empty checks that an emulator has nothing in it, and no faults.
func empty(t *testing.T, a *emulatortest.AWS) {
	t.Helper()
	ctx, root := t.Context(), a.Config()
	if out := must(iam.NewFromConfig(root).ListUsers(ctx, nil)); len(out.Users) != 0 {
		t.Errorf("users: %+v", out.Users)
	}
	if out := must(iam.NewFromConfig(root).ListRoles(ctx, nil)); len(out.Roles) != 0 {
		t.Errorf("roles: %+v", out.Roles)
	}
	if out := must(iam.NewFromConfig(root).ListAccountAliases(ctx, nil)); len(out.AccountAliases) != 0 {
		t.Errorf("aliases: %+v", out.AccountAliases)
	}
	if out := must(a.S3(root).ListBuckets(ctx, nil)); len(out.Buckets) != 0 {
		t.Errorf("buckets: %+v", out.Buckets)
	}
}

// TestResetState: a state file is empty after a reset when the emulator runs again,
// and takes what is stored after it.
func TestResetState(t *testing.T) {
	t.Parallel()
	config, again := persistent(t)
	ctx := t.Context()
	create := func(name string) {
		t.Helper()
		must(iam.NewFromConfig(config()).CreateGroup(ctx, &iam.CreateGroupInput{GroupName: &name}))
	}
	create("before")
	response := must(http.Post(*config().BaseEndpoint+"/_openirsa/control/reset", "application/json", strings.NewReader("{}")))
	response.Body.Close()
	if response.StatusCode != http.StatusNoContent {
		t.Fatal(response.Status)
	}
	create("after")
	again()
	out := must(iam.NewFromConfig(config()).ListGroups(ctx, nil))
	if len(out.Groups) != 1 || *out.Groups[0].GroupName != "after" {
		t.Errorf("groups: %+v", out.Groups)
	}
}
