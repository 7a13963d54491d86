package clients

import (
	"errors"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/openirsa/openirsa/internal/needs"
	"github.com/openirsa/openirsa/pkg/emulator/emulatortest"
)

// configuration is a resource of Terraform's own and a state in S3: all that Terraform does without a provider from its
// registry.
const configuration = `
terraform {
  backend "s3" {
    bucket       = "` + bucket + `"
    key          = "state/terraform.tfstate"
    use_lockfile = true
  }
}

resource "terraform_data" "value" {
  input = "unchanged"
}
`

// TestTerraform has Terraform keep its state in S3 as a role that it finds in the environment, over HTTPS: with lists of
// workspaces, conditional writes for the lock, checksums, and deletes. TestTerraformProvider has resources.
func TestTerraform(t *testing.T) {
	program, err := exec.LookPath("terraform")
	if err != nil {
		needs.Lacking(t, err)
	}
	a := startAccount(t, "https")
	ctx, dir := t.Context(), t.TempDir()
	write(t, dir, "ca.pem", string(a.ca))
	write(t, dir, "token", a.token(t, "default", "app"))
	write(t, dir, "main.tf", configuration)
	admin, store := iam.NewFromConfig(a.config), s3.NewFromConfig(a.config)
	_, err = admin.CreateOpenIDConnectProvider(ctx,
		&iam.CreateOpenIDConnectProviderInput{Url: new(a.issuer.String()), ClientIDList: []string{audience}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := admin.CreateRole(ctx, &iam.CreateRoleInput{RoleName: new(role),
		AssumeRolePolicyDocument: new(a.trust("default", "app"))}); err != nil {
		t.Fatal(err)
	}
	_, err = admin.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: new(role), PolicyName: new("state"),
		PolicyDocument: new(emulatortest.Document(
			map[string]any{"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "arn:aws:s3:::" + bucket},
			map[string]any{"Effect": "Allow", "Action": []string{"s3:GetObject", "s3:PutObject", "s3:DeleteObject"}, "Resource": []string{
				"arn:aws:s3:::" + bucket + "/state/*", "arn:aws:s3:::" + bucket + "/env:/*"}},
		))})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: new(bucket)}); err != nil {
		t.Fatal(err)
	}
	write(t, dir, "terraformrc", "")
	env := append(environ(dir, a.environ(role)), "TF_IN_AUTOMATION=1", "CHECKPOINT_DISABLE=1", "TF_CLI_CONFIG_FILE=terraformrc")
	terraform := func(status int, args ...string) string {
		t.Helper()
		started := time.Now()
		cmd := exec.CommandContext(ctx, program, append(args, "-no-color")...)
		cmd.Dir, cmd.Env = dir, env
		out, err := run(ctx, cmd)
		got := 0
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			got, err = exit.ExitCode(), nil
		}
		if err != nil || got != status {
			t.Fatalf("terraform %v: exit %d, %v\n%s", args, got, err, out)
		}
		t.Logf("terraform %v: exit %d, %.1f s", args, got, time.Since(started).Seconds())
		return out
	}
	// state is whether there is an object of the bucket.
	state := func(key string, want bool) {
		t.Helper()
		_, err := store.HeadObject(ctx, &s3.HeadObjectInput{Bucket: new(bucket), Key: &key})
		if (err == nil) != want {
			t.Errorf("%s: %v", key, err)
		}
	}
	terraform(0, "init", "-input=false")
	terraform(2, "plan", "-input=false", "-detailed-exitcode") // there is something to do
	terraform(0, "apply", "-input=false", "-auto-approve")
	state("state/terraform.tfstate", true)
	state("state/terraform.tfstate.tflock", false)
	terraform(0, "plan", "-input=false", "-detailed-exitcode") // and now there is not

	// Somebody else holds the lock.
	lock := `{"ID":"4b9f0f5c-5f0f-4a3c-9d1e-0c7c3c1f6a11","Operation":"OperationTypeApply","Who":"somebody","Created":"2026-01-01T00:00:00Z"}`
	key := "state/terraform.tfstate.tflock"
	if _, err := store.PutObject(ctx, &s3.PutObjectInput{Bucket: new(bucket), Key: &key, Body: strings.NewReader(lock)}); err != nil {
		t.Fatal(err)
	}
	if out := terraform(1, "apply", "-input=false", "-auto-approve"); !strings.Contains(out,
		"Error acquiring the state lock") || !strings.Contains(out, "somebody") {
		t.Errorf("somebody else's lock: %s", out)
	}
	if _, err := store.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: new(bucket), Key: &key}); err != nil {
		t.Fatal(err)
	}

	terraform(0, "workspace", "new", "other")
	state("env:/other/state/terraform.tfstate", true)
	terraform(0, "workspace", "select", "default")
	terraform(0, "workspace", "delete", "other")
	state("env:/other/state/terraform.tfstate", false)
	terraform(0, "apply", "-input=false", "-auto-approve", "-destroy")
}
