// Package examples holds what users copy, and the tests that keep it true: the commands of each README are commands, and
// the files that they write are what the program writes.
//
//	go test ./examples -update
package examples_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openirsa/openirsa/cmd/openirsa/app"
	"github.com/openirsa/openirsa/internal/cli"
)

var update = flag.Bool("update", false, "write the files of the examples anew")

// alone has the programs find neither a cluster nor settings of the machine's user.
func alone(t *testing.T) {
	t.Helper()
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("KUBECONFIG", filepath.Join(home, "none"))
	t.Setenv("DOCKER_HOST", "unix://"+filepath.Join(home, "none.sock"))
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	for _, name := range []string{"AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID"} {
		t.Setenv(name, "")
	}
}

// openirsa runs the program.
func openirsa(ctx context.Context, args ...string) (stdout, stderr string, status int) {
	var out, err bytes.Buffer
	status = app.Main(ctx, &cli.Invocation{Name: "openirsa", Args: args, Lookup: os.LookupEnv, Stdout: &out, Stderr: &err})
	return out.String(), err.String(), status
}

// command is one program of a command line in a README.
type command struct {
	program string
	args    []string
	to      string // the file that standard output goes to
}

var (
	block     = regexp.MustCompile("(?ms)^ *```console\n(.*?)^ *```$")
	continued = regexp.MustCompile(`\\\n\s*`)
	separated = regexp.MustCompile(` (?:&&|\|) `)
	word      = regexp.MustCompile(`(?:[^\s']|'[^']*')+`)
)

// commands are those that a README tells its reader to run.
func commands(t *testing.T, file string) []command {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var all []command
	for _, b := range block.FindAllStringSubmatch(string(text), -1) {
		for line := range strings.Lines(continued.ReplaceAllString(b[1], "")) {
			if line, ok := strings.CutPrefix(strings.TrimSpace(line), "$ "); ok {
				for _, one := range separated.Split(line, -1) {
					all = append(all, parse(one))
				}
			}
		}
	}
	return all
}

func parse(line string) command {
	var c command
	words := word.FindAllString(line, -1)
	for i := 0; i < len(words); i++ {
		switch w := strings.ReplaceAll(words[i], "'", ""); {
		case w == ">" && i+1 < len(words):
			i++
			c.to = words[i]
		case c.program == "":
			c.program = w
		default:
			c.args = append(c.args, w)
		}
	}
	return c
}

// folders are the examples.
func folders(t *testing.T) []string {
	t.Helper()
	list, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, d := range list {
		if d.IsDir() {
			names = append(names, d.Name())
		}
	}
	return names
}

func TestIndex(t *testing.T) {
	index, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range folders(t) {
		if _, err := os.Stat(filepath.Join(name, "README.md")); err != nil {
			t.Error(err)
		}
		if !strings.Contains(string(index), "]("+name+"/README.md)") {
			t.Errorf("README.md does not list %s", name)
		}
	}
}

// Every command of a README has the verbs and flags that it gives it, and what one writes into a file of the example
// without asking a cluster is in that file.
func TestCommands(t *testing.T) {
	alone(t)
	written := map[string]bool{}
	for _, name := range folders(t) {
		t.Run(name, func(t *testing.T) {
			t.Chdir(name)
			for _, c := range commands(t, "README.md") {
				line := strings.Join(c.args, " ")
				if c.program != "openirsa" {
					continue
				}
				if _, stderr, status := openirsa(t.Context(), append(slices.Clone(c.args), "--help")...); status != 0 {
					t.Errorf("openirsa %s: %s", line, stderr)
				}
				if c.to == "" {
					continue
				}
				out, stderr, status := openirsa(t.Context(), c.args...)
				if status != 0 {
					t.Errorf("openirsa %s: %s", line, stderr)
					continue
				}
				written[filepath.Join(name, c.to)] = true
				same(t, c.to, out)
			}
		})
	}
	for _, file := range []string{"cloudformation/openirsa.yaml", "kubeadm-ec2/kubeadm.yaml", "kubeadm-ec2/policy.json",
		"private-bucket/openirsa.tf", "terraform/openirsa.tf"} {
		if !written[filepath.FromSlash(file)] {
			t.Errorf("no command of a README writes %s", file)
		}
	}
}

// same compares a file with what it should be.
func same(t *testing.T, file, want string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("%s is not what the program writes (go test ./examples -update writes it anew) (-program +file):\n%s", file, diff)
	}
}

// The configuration files are taken as they are.
func TestConfigurations(t *testing.T) {
	alone(t)
	files, err := filepath.Glob("*/cluster.yaml")
	if err != nil || len(files) < 4 {
		t.Fatalf("only %v were found: %v", files, err)
	}
	for _, file := range files {
		_, stderr, status := openirsa(t.Context(), "export", "manifests", "--config", file, "--account", "123456789012", "--name", "x",
			"--region", "eu-west-1", "--image", "registry.example.com/openirsa:v1")
		if status != 0 {
			t.Errorf("%s: %s", file, stderr)
		}
	}
}

// The scripts of the kind examples run the commands that their READMEs tell.
func TestKindScripts(t *testing.T) {
	for name, part := range map[string]struct{ from, to int }{
		"kind":       {0, 7}, // without what comes after the three steps
		"guard-kind": {1, 7}, // without the cluster and what is for afterwards
	} {
		script, err := os.ReadFile(filepath.Join(name, "up.sh"))
		if err != nil {
			t.Fatal(err)
		}
		runs := strings.Join(strings.Fields(strings.ReplaceAll(continued.ReplaceAllString(string(script), ""), "'", "")), " ")
		for _, c := range commands(t, filepath.Join(name, "README.md"))[part.from:part.to] {
			if line := c.program + " " + strings.Join(c.args, " "); !strings.Contains(runs, line) {
				t.Errorf("%s/up.sh does not run: %s", name, line)
			}
		}
	}
}

// The guard of the Compose file has the flags that the file gives it. What it then does is tested in e2e/clients.
func TestComposeFlags(t *testing.T) {
	alone(t)
	var file struct {
		Services map[string]struct{ Command []string }
	}
	readYAML(t, "guard-compose/compose.yaml", &file)
	command := file.Services["aws"].Command
	if len(command) < 2 || command[0] != "/emulator" {
		t.Fatalf("the guard's command is %q", command)
	}
	args := append([]string{"emulator"}, command[1:]...)
	if _, stderr, status := openirsa(t.Context(), append(args, "--help")...); status != 0 {
		t.Errorf("openirsa %s: %s", strings.Join(args, " "), stderr)
	}
}

// One server has the documents of both clusters.
func TestManyClusters(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, w := io.Pipe()
	ended := make(chan int, 1)
	go func() {
		status := app.Main(ctx, &cli.Invocation{Name: "openirsa", Stdout: io.Discard, Stderr: w, Args: []string{"issuer", "serve",
			"--config", "many-clusters/issuer.yaml", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--drain", "0s"}})
		w.Close()
		ended <- status
	}()
	address, read := "", false
	lines := bufio.NewScanner(r)
	for (address == "" || !read) && lines.Scan() {
		if m := regexp.MustCompile(`msg="serving documents" address=(\S+)`).FindStringSubmatch(lines.Text()); m != nil {
			address = m[1]
		}
		read = read || strings.Contains(lines.Text(), "all clusters have been read")
	}
	go io.Copy(io.Discard, r)
	if !read || address == "" {
		t.Fatalf("the server does not serve, and ends with %d", <-ended)
	}
	for _, cluster := range []string{"east", "west"} {
		var doc struct {
			Issuer string
			JWKS   string `json:"jwks_uri"`
		}
		get(t, address+"/"+cluster+"/.well-known/openid-configuration", &doc)
		if want := "https://oidc.example.com/" + cluster; doc.Issuer != want || doc.JWKS != want+"/openid/v1/jwks" {
			t.Errorf("%s: issuer %s, keys at %s", cluster, doc.Issuer, doc.JWKS)
		}
		var served, own struct{ Keys []struct{ Kid string } }
		get(t, address+"/"+cluster+"/openid/v1/jwks", &served)
		text, err := os.ReadFile("many-clusters/keys/" + cluster + ".json")
		if err == nil {
			err = json.Unmarshal(text, &own)
		}
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(own, served); diff != "" || len(own.Keys) != 1 {
			t.Errorf("keys of %s (-file +served):\n%s", cluster, diff)
		}
	}
	cancel()
	if status := <-ended; status != 0 {
		t.Errorf("the server ends with %d", status)
	}
}

// get reads JSON that is served for the host of the example.
func get(t *testing.T, url string, to any) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "oidc.example.com"
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err = json.NewDecoder(resp.Body).Decode(to); err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %s", resp.Status)
	}
	if err != nil {
		t.Fatalf("%s: %v", url, err)
	}
}
