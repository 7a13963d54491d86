package clients

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/openirsa/openirsa/e2e/internal/guarded"
	"github.com/openirsa/openirsa/e2e/internal/kindenv"
	"github.com/openirsa/openirsa/internal/needs"
	"github.com/openirsa/openirsa/pkg/emulator/emulatortest"
)

// notAnswered is a service of which kumo knows the CBOR that the SDK for Go speaks, and neither JSON nor Query: the others
// are only denied there.
const notAnswered = "cloudwatch"

const guardRole = "guarded"

// guardStory is what a client does through the guard.
type guardStory struct {
	permissions []map[string]any // of the role that does the workload
	denials     []guarded.Denial
	without     string // a service that the client does not use
	// client is the client's part, in a folder with the token.
	client func(t *testing.T, dir string, env map[string]string)
}

// guard has a client do the workload through the guard as a pod would, with a role that has exactly the permissions for
// it, and then each call once with a role that lacks something of it. It returns the least policy for the workload, as the
// emulator suggests it.
func guard(t *testing.T, modules string, story guardStory) []map[string]any {
	t.Helper()
	var forward []string
	for _, f := range backends(t, modules) {
		forward = append(forward, "--forward", f)
	}
	a := startAccount(t, "http", forward...)
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	ctx, admin := t.Context(), iam.NewFromConfig(a.config)
	_, err := admin.CreateOpenIDConnectProvider(ctx,
		&iam.CreateOpenIDConnectProviderInput{Url: new(a.issuer.String()), ClientIDList: []string{audience}})
	if err != nil {
		t.Fatal(err)
	}
	create := func(name, policy string) {
		t.Helper()
		_, err := admin.CreateRole(ctx, &iam.CreateRoleInput{RoleName: &name, AssumeRolePolicyDocument: new(a.trust("default", "app"))})
		if err == nil {
			_, err = admin.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: &name, PolicyName: new("workload"), PolicyDocument: &policy})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	create(guardRole, emulatortest.Document(story.permissions...))
	for _, d := range story.denials {
		create(d.Role, emulatortest.Document(d.Statements...))
	}
	write(t, dir, "token", a.token(t, "default", "app"))
	if err := os.CopyFS(dir, os.DirFS("scenarios")); err != nil {
		t.Fatal(err)
	}
	env, err := guarded.Environment(guarded.Steps(), story.denials)
	if err != nil {
		t.Fatal(err)
	}
	maps.Copy(env, a.environ(guardRole))
	story.client(t, dir, env)
	done := slices.DeleteFunc(story.denials, func(d guarded.Denial) bool { return guarded.Steps()[d.Step].Service == story.without })
	for _, d := range guarded.Unexplained(a.denials(t), done) {
		t.Errorf("no event explains that %v was denied", d)
	}
	return a.suggested(t, guardRole)
}

// denials are the emulator's events of them.
func (a *account) denials(t *testing.T) []guarded.Event {
	t.Helper()
	response, err := http.Get(a.url + "/_openirsa/events?decision=deny&limit=1000")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var answer struct{ Events []guarded.Event }
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	return answer.Events
}

// TestGuard has unmodified clients work with services of other emulators behind the guard.
func TestGuard(t *testing.T) {
	if err := kindenv.Install(t.Context(), os.Stderr, "node", "npm"); err != nil {
		needs.Lacking(t, fmt.Errorf("there is no Node.js: %w", err))
	}
	modules, err := kindenv.NodeModules(t.Context(), "scenarios", os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	clients, err := kindenv.NewClients(t.Context(), t.TempDir(), os.Stderr)
	if errors.Is(err, kindenv.ErrImpossible) {
		needs.Lacking(t, err)
	}
	if err != nil {
		t.Fatal(err)
	}
	exact := guarded.Exact(guarded.Steps())
	denials := func() []guarded.Denial { return guarded.Denials(guardRole, guarded.Steps()) }
	goPod := func(t *testing.T, dir string, env map[string]string) {
		asPod(t, dir, env)
		if err := guarded.Run(t.Context()); err != nil {
			t.Error(err)
		}
	}
	var least []map[string]any
	t.Run("Go", func(t *testing.T) { least = guard(t, modules, guardStory{exact, denials(), guarded.WithoutGo, goPod}) })
	t.Run("Suggested", func(t *testing.T) { guard(t, modules, guardStory{least, leaveOut(t, least), guarded.WithoutGo, goPod}) })
	t.Run("JavaScript", func(t *testing.T) {
		guard(t, modules, guardStory{exact, denials(), "", func(t *testing.T, dir string, env map[string]string) {
			if err := os.Symlink(modules, filepath.Join(dir, "node_modules")); err != nil {
				t.Fatal(err)
			}
			env = maps.Clone(env)
			env["NOT_ANSWERED"] = notAnswered
			passes(t, func(ctx context.Context) (*exec.Cmd, error) {
				cmd := exec.CommandContext(ctx, "node", "guard.mjs")
				cmd.Dir, cmd.Env = dir, environ(dir, env)
				return cmd, nil
			})
		}})
	})
	for name, client := range map[string]string{"boto3": "boto3", "AWS CLI": "cli"} {
		t.Run(name, func(t *testing.T) {
			denials := denials()
			if client == "cli" { // which starts a Python for each call: one denial of every third
				var some []guarded.Denial
				for i := 0; i < len(denials); i += 3 {
					some = append(some, denials[i])
				}
				denials = some
			}
			guard(t, modules, guardStory{exact, denials, "", func(t *testing.T, dir string, env map[string]string) {
				env = maps.Clone(env)
				env["CLIENT"], env["NOT_ANSWERED"] = client, notAnswered
				passes(t, func(ctx context.Context) (*exec.Cmd, error) {
					return clients.Command(ctx, dir, env, "python3", "guard.py")
				})
			}})
		})
	}
}
