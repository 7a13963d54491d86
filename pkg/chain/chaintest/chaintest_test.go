package chaintest

import (
	"os"
	"path/filepath"
	"testing"

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
	events := aws.Events(emulator.EventFilter{})
	var got []string
	for _, e := range refusedTo(token.Subject("default", "app"), events) {
		got = append(got, e.Operation)
	}
	if len(got) != 2 || got[0] != "ListBuckets" || got[1] != "AssumeRoleWithWebIdentity" {
		t.Errorf("refused: %q", got)
	}
}
