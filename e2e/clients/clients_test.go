// Package clients holds the emulator, and the agent of EKS Pod Identity, as the programs that users run, against clients that
// nobody here wrote: AWS CLI 2 and boto3 as Debian has them, the AWS SDKs for Go and JavaScript, Terraform, and a browser.
// None of them is given more than a pod would be.
package clients

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/openirsa/openirsa/e2e/internal/kindenv"
	"github.com/openirsa/openirsa/internal/needs"
	"github.com/openirsa/openirsa/pkg/emulator/emulatortest"
)

// The names in the scenario.
const (
	role   = "scenario"
	bucket = "scenario-bucket"
)

// scenario runs the same story against a fresh account, over HTTP and over HTTPS with a private CA. The root user makes
// the provider, the role and a bucket. Then the default chain of credentials finds the role in the environment: reading
// IAM is allowed; writing there, and elsewhere in the bucket, is denied in AWS's words; and 20 MiB go up in parts and come
// down unharmed. run tells the client's part of it, whose files are in dir.
func scenario(t *testing.T, run func(t *testing.T, dir string, env map[string]string)) {
	for _, scheme := range []string{"http", "https"} {
		t.Run(scheme, func(t *testing.T) {
			a := startAccount(t, scheme)
			dir := t.TempDir()
			if err := os.Chmod(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			env := a.environ(role)
			maps.Copy(env, map[string]string{
				"ISSUER":       a.issuer.String(),
				"PROVIDER":     a.provider(),
				"ROLE":         role,
				"CALLER":       "arn:aws:sts::" + accountID + ":assumed-role/" + role + "/" + sessionName,
				"BUCKET":       bucket,
				"GROUP_DENIED": denied(role, "iam:CreateGroup", "arn:aws:iam::"+accountID+":group/"+role),
				"PUT_DENIED":   denied(role, "s3:PutObject", `"arn:aws:s3:::`+bucket+`/elsewhere"`),
			})
			write(t, dir, "ca.pem", string(a.ca))
			write(t, dir, "token", a.token(t, "default", "app"))
			write(t, dir, "trust.json", a.trust("default", "app"))
			write(t, dir, "bucket.json", emulatortest.Document(
				map[string]any{"Effect": "Allow", "Action": []string{"s3:GetObject", "s3:PutObject"},
					"Resource": "arn:aws:s3:::" + bucket + "/data/*"},
				map[string]any{"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "arn:aws:s3:::" + bucket},
			))
			if err := os.CopyFS(dir, os.DirFS("scenarios")); err != nil {
				t.Fatal(err)
			}
			started := time.Now()
			run(t, dir, env)
			t.Logf("%.1f s", time.Since(started).Seconds())
		})
	}
}

// passes runs a client's program, whose last word is "passed".
func passes(t *testing.T, command func(ctx context.Context) (*exec.Cmd, error)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), programTime)
	defer cancel()
	cmd, err := command(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if out, err := run(ctx, cmd); err != nil || !strings.HasSuffix(out, "passed") {
		t.Fatalf("%v\n%s", err, out)
	}
}

// TestDebian runs AWS CLI 2 and boto3.
func TestDebian(t *testing.T) {
	clients, err := kindenv.NewClients(t.Context(), t.TempDir(), os.Stderr)
	if errors.Is(err, kindenv.ErrImpossible) {
		needs.Lacking(t, err)
	}
	if err != nil {
		t.Fatal(err)
	}
	version, err := clients.Command(t.Context(), "scenarios", nil, "aws", "--version")
	if err != nil {
		t.Fatal(err)
	}
	out, err := run(t.Context(), version)
	if err != nil || !strings.HasPrefix(out, "aws-cli/2.") {
		t.Fatalf("not AWS CLI 2: %v\n%s", err, out)
	}
	t.Log(out)
	for name, program := range map[string][]string{"AWS CLI": {"bash", "cli.sh"}, "boto3": {"python3", "boto.py"}} {
		t.Run(name, func(t *testing.T) {
			scenario(t, func(t *testing.T, dir string, env map[string]string) {
				passes(t, func(ctx context.Context) (*exec.Cmd, error) {
					return clients.Command(ctx, dir, env, program[0], program[1:]...)
				})
			})
		})
	}
	t.Run("guide", func(t *testing.T) { guide(t, clients) })
	t.Run("probes", func(t *testing.T) { probes(t, clients) })
	t.Run("pod", func(t *testing.T) { debianInPod(t, clients) })
}

// TestJavaScript runs the AWS SDK for JavaScript v3.
func TestJavaScript(t *testing.T) {
	if err := kindenv.Install(t.Context(), os.Stderr, "node", "npm"); err != nil {
		needs.Lacking(t, fmt.Errorf("there is no Node.js: %w", err))
	}
	modules, err := kindenv.NodeModules(t.Context(), "scenarios", os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	scenario(t, func(t *testing.T, dir string, env map[string]string) {
		if err := os.Symlink(modules, filepath.Join(dir, "node_modules")); err != nil {
			t.Fatal(err)
		}
		passes(t, func(ctx context.Context) (*exec.Cmd, error) {
			cmd := exec.CommandContext(ctx, "node", "js.mjs")
			cmd.Dir = dir
			cmd.Env = environ(dir, env)
			return cmd, nil
		})
	})
}

// environ is the environment of a program of this machine that starts in dir: env, and nothing that this machine's user
// may have set up for AWS.
func environ(dir string, env map[string]string) []string {
	pairs := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir}
	for k, v := range env {
		pairs = append(pairs, k+"="+v)
	}
	return pairs
}
