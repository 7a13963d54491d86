package clients

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/openirsa/openirsa/internal/needs"
)

// pluginsVariable names the variable of the environment that names a folder of Terraform's providers, as `terraform
// providers mirror` lays it out.
const pluginsVariable = "OPENIRSA_TERRAFORM_PLUGINS"

// awsProvider is where the AWS provider is below such a folder.
const awsProvider = "registry.terraform.io/hashicorp/aws"

// oldestProvider is the first major version that is tried: older ones do not know AWS_ENDPOINT_URL.
const oldestProvider = 5

// findProvider is the newest version of the AWS provider for this machine in a folder, from 5.0 on. A folder has packages
// (terraform-provider-aws_6.1.0_linux_amd64.zip) or unpacked ones (6.1.0/linux_amd64/terraform-provider-aws_v6.1.0_x5).
func findProvider(plugins string) (string, error) {
	platform := runtime.GOOS + "_" + runtime.GOARCH
	below := filepath.Join(plugins, filepath.FromSlash(awsProvider))
	entries, err := os.ReadDir(below)
	if err != nil {
		return "", fmt.Errorf("looking for the AWS provider: %w", err)
	}
	packed := regexp.MustCompile(`^terraform-provider-aws_(\d+\.\d+\.\d+)_` + regexp.QuoteMeta(platform) + `\.zip$`)
	version := regexp.MustCompile(`^\d+\.\d+\.\d+$`)
	var found []string
	for _, e := range entries {
		if m := packed.FindStringSubmatch(e.Name()); m != nil && e.Type().IsRegular() {
			found = append(found, m[1])
		}
		if version.MatchString(e.Name()) {
			// A mirror may link to a folder elsewhere.
			programs, err := filepath.Glob(filepath.Join(below, e.Name(), platform, "terraform-provider-aws*"))
			if err == nil && len(programs) > 0 {
				found = append(found, e.Name())
			}
		}
	}
	found = slices.DeleteFunc(found, func(v string) bool { return numbers(v)[0] < oldestProvider })
	if len(found) == 0 {
		return "", fmt.Errorf("looking for the AWS provider: %s has no version from %d.0.0 on for %s", below, oldestProvider, platform)
	}
	return slices.MaxFunc(found, func(a, b string) int { return slices.Compare(numbers(a), numbers(b)) }), nil
}

// numbers are those of a version of three.
func numbers(version string) []int {
	var all []int
	for part := range strings.SplitSeq(version, ".") {
		n, _ := strconv.Atoi(part)
		all = append(all, n)
	}
	return all
}

// terraformIn runs Terraform in a folder of its own, with providers from plugins alone.
type terraformIn struct {
	t       *testing.T
	program string
	dir     string
	env     []string
}

// newTerraform copies the configuration and pins the provider to a version.
func newTerraform(t *testing.T, program, plugins, version string, env map[string]string) *terraformIn {
	t.Helper()
	plugins, err := filepath.Abs(plugins)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("scenarios", "terraform"))); err != nil {
		t.Fatal(err)
	}
	write(t, dir, "terraformrc", fmt.Sprintf("provider_installation {\n  filesystem_mirror {\n    path = %q\n  }\n}\n", plugins))
	write(t, dir, "version_override.tf", fmt.Sprintf("terraform {\n  required_providers {\n    aws = {\n      source = \"hashicorp/aws\"\n      version = %q\n    }\n  }\n}\n", version))
	return &terraformIn{t, program, dir, append(environ(dir, env), "TF_IN_AUTOMATION=1", "CHECKPOINT_DISABLE=1",
		"TF_CLI_CONFIG_FILE=terraformrc")}
}

// run runs Terraform, which is to end with a status, and gives what it wrote.
func (tf *terraformIn) run(status int, args ...string) string {
	tf.t.Helper()
	ctx, cancel := context.WithTimeout(tf.t.Context(), programTime)
	defer cancel()
	started := time.Now()
	cmd := exec.CommandContext(ctx, tf.program, append(args, "-no-color")...)
	cmd.Dir, cmd.Env = tf.dir, tf.env
	out, err := run(ctx, cmd)
	got := 0
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		got, err = exit.ExitCode(), nil
	}
	if err != nil || got != status {
		tf.t.Fatalf("terraform %v: exit %d, %v\n%s", args, got, err, out)
	}
	tf.t.Logf("terraform %v: exit %d, %.1f s", args, got, time.Since(started).Seconds())
	return out
}

// TestTerraformProvider makes, changes and destroys the modules iam and s3-bucket with Terraform's AWS provider, where a
// folder has it. A plan after each apply finds nothing to do, and nothing is left in the end.
func TestTerraformProvider(t *testing.T) {
	plugins := os.Getenv(pluginsVariable)
	if plugins == "" {
		t.Skipf("there is no AWS provider of Terraform: %s does not name a folder that `terraform providers mirror` made. "+
			"As a Go module only version 1.60.0 can be had, which Terraform no longer runs: what that one reads of a bucket is "+
			"tested request by request in pkg/emulator", pluginsVariable)
	}
	version, err := findProvider(plugins)
	if err != nil {
		t.Fatalf("%s: %v", pluginsVariable, err)
	}
	program, err := exec.LookPath("terraform")
	if err != nil {
		needs.Lacking(t, err)
	}
	t.Logf("hashicorp/aws %s", version)
	a := startAccount(t, "http")
	env := a.environ("")
	env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"] = "test", "test"
	env["TF_VAR_issuer"] = a.issuer.String()
	tf := newTerraform(t, program, plugins, version, env)
	tf.run(0, "init", "-input=false")
	tf.run(0, "apply", "-input=false", "-auto-approve")
	tf.run(0, "plan", "-input=false", "-detailed-exitcode")
	tf.run(2, "plan", "-input=false", "-detailed-exitcode", "-var=changed=true")
	tf.run(0, "apply", "-input=false", "-auto-approve", "-var=changed=true")
	tf.run(0, "plan", "-input=false", "-detailed-exitcode", "-var=changed=true")

	ctx, admin, store := t.Context(), iam.NewFromConfig(a.config), s3.NewFromConfig(a.config)
	role, err := admin.GetRole(ctx, &iam.GetRoleInput{RoleName: new("terraform-app")})
	if err != nil || *role.Role.MaxSessionDuration != 7200 || len(role.Role.Tags) != 2 {
		t.Errorf("the changed role: %+v, %v", role, err)
	}
	jwks, err := store.HeadObject(ctx, &s3.HeadObjectInput{Bucket: new("terraform-made"), Key: new("openid/v1/jwks")})
	if err != nil || jwks.Metadata["made-by"] != "terraform" || *jwks.ContentLength != int64(len("{\"keys\": []}\n")) {
		t.Errorf("the changed object: %+v, %v", jwks, err)
	}

	tf.run(0, "destroy", "-input=false", "-auto-approve", "-var=changed=true")
	if role, err := admin.GetRole(ctx, &iam.GetRoleInput{RoleName: new("terraform-app")}); err == nil {
		t.Errorf("there still is %s", *role.Role.Arn)
	}
	if users, err := admin.ListUsers(ctx, &iam.ListUsersInput{}); err != nil || len(users.Users) != 0 {
		t.Errorf("users are left: %+v, %v", users, err)
	}
	if _, err := store.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: new("terraform-made")}); err == nil {
		t.Error("the bucket is left")
	}
}

// TestTerraformProviderIsFound looks for the provider in made-up folders, and has Terraform itself agree: it installs what
// was found from there, and from nowhere else.
func TestTerraformProviderIsFound(t *testing.T) {
	platform := runtime.GOOS + "_" + runtime.GOARCH
	file := func(t *testing.T, plugins string, parts ...string) {
		t.Helper()
		path := filepath.Join(append([]string{plugins, filepath.FromSlash(awsProvider)}, parts...)...)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o755)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if !strings.HasSuffix(path, ".zip") {
			return
		}
		w := zip.NewWriter(f)
		h := &zip.FileHeader{Name: "terraform-provider-aws"}
		h.SetMode(0o755)
		if _, err := w.CreateHeader(h); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	pack := func(version string) string { return "terraform-provider-aws_" + version + "_" + platform + ".zip" }
	for _, test := range []struct {
		name  string
		files [][]string
		want  string // "" if there is none
	}{
		{"packages", [][]string{{pack("5.100.0")}, {pack("5.9.0")}, {"index.json"}, {"5.100.0.json"}}, "5.100.0"},
		{"two major versions", [][]string{{pack("5.100.0")}, {pack("6.2.1")}, {pack("6.10.0")}}, "6.10.0"},
		{"unpacked", [][]string{{"6.0.0", platform, "terraform-provider-aws_v6.0.0_x5"}}, "6.0.0"},
		{"both", [][]string{{pack("5.1.0")}, {"6.0.0", platform, "terraform-provider-aws_v6.0.0_x5"}}, "6.0.0"},
		{"too old", [][]string{{pack("4.67.0")}, {pack("1.60.0")}}, ""},
		{"another platform", [][]string{{"terraform-provider-aws_6.0.0_plan9_mips.zip"}, {"6.0.0", "plan9_mips", "terraform-provider-aws_v6.0.0_x5"}}, ""},
		{"an empty version", [][]string{{"6.0.0", platform, "README"}}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			plugins := t.TempDir()
			for _, f := range test.files {
				file(t, plugins, f...)
			}
			got, err := findProvider(plugins)
			if got != test.want || (err == nil) != (test.want != "") {
				t.Errorf("found %q, %v", got, err)
			}
			program, missing := exec.LookPath("terraform")
			if err != nil || missing != nil {
				return
			}
			tf := newTerraform(t, program, plugins, got, nil)
			tf.run(0, "init", "-input=false")
			lock, err := os.ReadFile(filepath.Join(tf.dir, ".terraform.lock.hcl"))
			if err != nil || !strings.Contains(string(lock), `"`+got+`"`) {
				t.Errorf("Terraform's lock file: %v\n%s", err, lock)
			}
		})
	}
	if _, err := findProvider(filepath.Join(t.TempDir(), "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no folder: %v", err)
	}
}

// TestTerraformConfiguration has Terraform read the configuration of the modules, as far as it does so without a provider.
func TestTerraformConfiguration(t *testing.T) {
	program, err := exec.LookPath("terraform")
	if err != nil {
		needs.Lacking(t, err)
	}
	tf := newTerraform(t, program, t.TempDir(), "6.0.0", nil)
	tf.run(0, "fmt", "-check", "-recursive", "modules")
	tf.run(0, "fmt", "-check", "main.tf")
	tf.run(0, "get")
}
