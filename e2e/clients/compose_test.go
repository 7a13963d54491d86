package clients

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/google/go-cmp/cmp"

	"github.com/openirsa/openirsa/e2e/internal/guarded"
	"github.com/openirsa/openirsa/e2e/internal/kindenv"
	"github.com/openirsa/openirsa/internal/needs"
)

// example is the folder with the guard in Docker Compose.
var example = filepath.Join("..", "..", "examples", "guard-compose")

// composed reads the Compose file of the example as Docker Compose does.
func composed(t *testing.T, profile string) *types.Project {
	t.Helper()
	options, err := cli.NewProjectOptions([]string{filepath.Join(example, "compose.yaml")},
		cli.WithEnv([]string{"OPENIRSA_IMAGE=openirsa.dev/openirsa:1"}), cli.WithProfiles([]string{profile}))
	if err != nil {
		t.Fatal(err)
	}
	project, err := options.LoadProject(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return project
}

// TestCompose follows the example: with each profile a backend runs that nothing but the guard reaches, at the name that the
// guard has for it; and try.sh does what the README says, with the guard's flags in front of kumo.
func TestCompose(t *testing.T) {
	for _, profile := range []string{"floci", "ministack", "localstack", "moto"} {
		t.Run(profile, func(t *testing.T) {
			project := composed(t, profile)
			names := project.ServiceNames()
			if diff := cmp.Diff([]string{"aws", profile}, names); diff != "" {
				t.Fatalf("services (-want +got):\n%s", diff)
			}
			backend := project.Services[profile]
			if len(backend.Ports) > 0 || len(backend.Networks) != 1 || !slices.Contains(backend.Networks["backends"].Aliases, "backend") {
				t.Errorf("%s has ports %v and networks %v", profile, backend.Ports, backend.NetworksByPriority())
			}
			for name, network := range project.Networks {
				if bool(network.Internal) != (name == "backends") {
					t.Errorf("the network %s is internal: %t", name, network.Internal)
				}
			}
		})
	}
	t.Run("try.sh", func(t *testing.T) {
		clients, err := kindenv.NewClients(t.Context(), t.TempDir(), os.Stderr)
		if errors.Is(err, kindenv.ErrImpossible) {
			needs.Lacking(t, err)
		}
		if err != nil {
			t.Fatal(err)
		}
		tryCompose(t, clients, startComposed(t, composed(t, "ministack").Services["aws"]))
	})
}

// startComposed runs the guard as the Compose file says, but for the addresses, which only containers have.
func startComposed(t *testing.T, aws types.ServiceConfig) string {
	t.Helper()
	if len(aws.Command) < 2 || aws.Command[0] != "/emulator" {
		t.Fatalf("the command of the guard is %q", aws.Command)
	}
	if len(aws.Ports) != 1 || aws.Ports[0].HostIP != "127.0.0.1" || aws.Ports[0].Published != "4566" || aws.Ports[0].Target != 4566 {
		t.Errorf("the guard has ports %v", aws.Ports)
	}
	addresses := map[string]string{":4566": "127.0.0.1:0", "*=http://backend:4566": "*=" + everythingElse(t)}
	var args []string
	for _, arg := range aws.Command[1:] {
		if here, ok := addresses[arg]; ok {
			delete(addresses, arg)
			arg = here
		}
		args = append(args, arg)
	}
	if len(addresses) > 0 {
		t.Fatalf("the command of the guard is %q, without %v", aws.Command, addresses)
	}
	return startProgram(t, args...)
}

// tryCompose runs try.sh and compares what it prints with the README.
func tryCompose(t *testing.T, clients *kindenv.Clients, url string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(dir, os.DirFS(example)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), programTime)
	defer cancel()
	cmd, err := clients.Command(ctx, dir, map[string]string{"AWS_ENDPOINT_URL": url}, "sh", "try.sh")
	if err != nil {
		t.Fatal(err)
	}
	out, err := run(ctx, cmd)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	readme, err := os.ReadFile(filepath.Join(example, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, told, _ := strings.Cut(string(readme), "$ sh try.sh\n")
	told, _, _ = strings.Cut(told, "```")
	words := func(text string) string { return strings.Join(strings.Fields(text), " ") }
	if diff := cmp.Diff(words(told), words(out)); diff != "" {
		t.Errorf("try.sh prints something else (-README +now):\n%s", diff)
	}
	response, err := http.Get(url + "/_openirsa/events?decision=deny&limit=1")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var answer struct {
		Events []struct{ Caller, Action, Resource string }
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	if len(answer.Events) != 1 || answer.Events[0].Action != "dynamodb:GetItem" || answer.Events[0].Resource != guarded.Cart {
		t.Errorf("the last denial is %+v", answer.Events)
	}
}
