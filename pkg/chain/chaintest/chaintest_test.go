package chaintest

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/openirsa/openirsa/internal/image"
	"github.com/openirsa/openirsa/pkg/emulator"
	"github.com/openirsa/openirsa/pkg/emulator/emulatortest"
	"github.com/openirsa/openirsa/pkg/token"
)

func TestSource(t *testing.T) {
	dir, err := sourceDir(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "cmd", image.Whole, "main.go")); err != nil {
		t.Error(err)
	}
}

// What a service account is refused is refused to its tokens or to the credentials
// that it got for one, and to nobody else.
func TestRefused(t *testing.T) {
	aws := emulatortest.Start(t)
	iss := aws.Issuer("dev")
	app := aws.Role("app", iss.Trust("default", "app"))
	other := aws.Role("other", iss.Trust("default", "other"))

	if _, err := aws.S3(aws.Session(app, iss.Token("default", "app"))).ListBuckets(t.Context(), nil); err == nil {
		t.Error("app may list buckets")
	}
	if _, err := aws.S3(aws.Session(other, iss.Token("default", "other"))).ListBuckets(t.Context(), nil); err == nil {
		t.Error("other may list buckets")
	}
	if _, err := aws.Assume(other, iss.Token("default", "app")); err == nil {
		t.Error("app may assume the role of other")
	}
	pod, err := aws.PodSession(aws.PodIdentity("default", "app", aws.Role("pods", aws.PodTrust("default", "app"))))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := iam.NewFromConfig(pod).ListUsers(t.Context(), nil); err == nil {
		t.Error("app may list users")
	}
	if _, err := aws.PodSession(aws.PodIdentity("default", "app", aws.Role("theirs", aws.PodTrust("default", "other")))); err == nil {
		t.Error("app may be given the role of other")
	}
	events := aws.Events(emulator.EventFilter{})
	var got []string
	for _, e := range refusedTo(token.Subject("default", "app"), events) {
		got = append(got, e.Operation)
	}
	if want := []string{"ListBuckets", "AssumeRoleWithWebIdentity", "ListUsers", "AssumeRoleForPodIdentity"}; !slices.Equal(got, want) {
		t.Errorf("refused: %q, want %q", got, want)
	}
}
