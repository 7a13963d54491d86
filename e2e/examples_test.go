package e2e

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/openirsa/openirsa/e2e/internal/act"
	"github.com/openirsa/openirsa/e2e/internal/kindenv"
)

// TestExamples runs the examples that make a kind cluster of their own. Only kind's configuration is not the example's:
// where no registry can be reached, it has to name the node image that was built.
func TestExamples(t *testing.T) {
	needClusters(t) // kubectl is copied from a node
	onOwnCluster(t)
	tools := runnerTools(t)
	t.Run("kind", func(t *testing.T) { testKindExample(t, tools) })
	t.Run("github-actions", func(t *testing.T) { testActionExample(t, tools) })
}

func testKindExample(t *testing.T, tools string) {
	c, config := ownCluster(t, "openirsa-example")
	dir := t.TempDir()
	script := filepath.Join(dir, "up.sh")
	writeFile(t, script, readFile(t, "..", "examples", "kind", "up.sh"))
	writeFile(t, filepath.Join(dir, "kind.yaml"), config)
	loadAWSCLIOnceUp(t, c, readFile(t, "..", "examples", "kind", "up.sh"))

	ctx, cancel := context.WithTimeout(suite, 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", script)
	alone := t.TempDir()
	cmd.Env = append(invocation{}.base(), runnerEnv(t, alone, tools)...)
	copyProgram(t, filepath.Join(bin, "openirsa"), filepath.Join(alone, "openirsa"))
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Fatal(err)
	}
	if want := ":assumed-role/openirsa-openirsa-example-default-app"; !strings.Contains(string(out), want) {
		t.Errorf("the pod is not %s", want)
	}
	t.Run("guard", func(t *testing.T) { testGuardExample(t, c, cmd.Env) })
}

// testGuardExample runs the script of the guard's example on the cluster of the kind example, to the letter. Only its
// backend is another: kumo.
func testGuardExample(t *testing.T, c *kindenv.Cluster, env []string) {
	ctx, cancel := context.WithTimeout(suite, 10*time.Minute)
	defer cancel()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("..", "examples", "guard-kind"))); err != nil {
		t.Fatal(err)
	}
	backend, err := kindenv.Program(ctx, t.TempDir(), "./backend", "openirsa.dev/e2e/backend")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Load(ctx, backend); err != nil {
		t.Fatal(err)
	}
	manifest := filepath.Join(dir, "backend.yaml")
	text := readFile(t, manifest)
	image := regexp.MustCompile(`image: amazon/dynamodb-local:[0-9.]+\n`)
	if !image.MatchString(text) {
		t.Fatal("backend.yaml does not name an image of DynamoDB Local with a version")
	}
	writeFile(t, manifest, image.ReplaceAllString(text, "image: "+backend.Ref+"\n"))
	cmd := exec.CommandContext(ctx, "sh", filepath.Join(dir, "up.sh"))
	cmd.Env = env
	start := time.Now()
	out, err := cmd.CombinedOutput()
	t.Logf("%.0f s\n%s", time.Since(start).Seconds(), out)
	if err != nil {
		t.Fatal(err)
	}
	_, read, refused := strings.Cut(string(out), "(AccessDeniedException)")
	if !refused || !strings.Contains(read, "is not authorized to perform: dynamodb:GetItem on resource: "+
		"arn:aws:dynamodb:us-east-1:"+account+":table/Cart because no identity-based policy allows") {
		t.Error("the pod is not refused without the permission")
	}
	if !strings.Contains(read, `"S": "open"`) {
		t.Error("the pod does not read the item with the permission")
	}
}

// testActionExample runs the workflow of the example to the letter, with a folder in place of the project's releases.
func testActionExample(t *testing.T, tools string) {
	c, config := ownCluster(t, "openirsa-action")
	workflow := readFile(t, "..", "examples", "github-actions", "workflow.yml")
	loadAWSCLIOnceUp(t, c, workflow)
	r := act.NewRunner(t, "..", filepath.Join(bin, "openirsa"), map[string]string{
		"kind.yaml": config, "cluster.yaml": readFile(t, "..", "examples", "github-actions", "cluster.yaml"),
	})
	r.Env = runnerEnv(t, tools)
	const with = "          kind-config: kind.yaml\n"
	if !strings.Contains(workflow, with) {
		t.Fatalf("the workflow does not say %q", with)
	}
	ctx, cancel := context.WithTimeout(suite, 10*time.Minute)
	defer cancel()
	start := time.Now()
	out, err := r.Run(ctx, t, strings.Replace(workflow, with, with+"          download-url: "+r.Releases+"\n", 1))
	t.Logf("%.0f s\n%s", time.Since(start).Seconds(), out)
	if err != nil {
		t.Fatal(err)
	}
	k, err := newKube(c, filepath.Join(t.TempDir(), "kubeconfig"))
	if err != nil {
		t.Fatal(err)
	}
	for namespace, name := range map[string]string{"backend": "reader", "default": "app"} {
		if arn := k.annotations(t, namespace, name)[roleAnnotation]; !strings.Contains(arn, "-"+namespace+"-"+name) {
			t.Errorf("service account %s/%s has the role %q", namespace, name, arn)
		}
	}
}

// ownCluster is a cluster that an example makes by itself, and kind's configuration for it.
func ownCluster(t *testing.T, name string) (*kindenv.Cluster, string) {
	t.Helper()
	c, config, err := environment.Own(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := environment.Discard(c); err != nil {
			t.Error(err)
		}
	})
	return c, string(config)
}

// loadAWSCLIOnceUp loads the image of the AWS CLI, by the name that a text gives it, while somebody makes the cluster: a
// pod that asks for it earlier tries again.
func loadAWSCLIOnceUp(t *testing.T, c *kindenv.Cluster, text string) {
	t.Helper()
	im := awscliAs(t, text)
	ctx, cancel := context.WithCancel(suite)
	done := make(chan error, 1)
	go func() {
		err := c.WaitReady(ctx)
		if err == nil {
			err = c.Load(ctx, im, awscli)
		}
		done <- err
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("loading the AWS CLI into %s: %v", c.Name, err)
		}
	})
}

// runnerTools is a folder with kind and kubectl, which a runner of GitHub has.
func runnerTools(t *testing.T) string {
	t.Helper()
	tools := t.TempDir()
	build := exec.CommandContext(suite, "go", "build", "-o", filepath.Join(tools, "kind"), "sigs.k8s.io/kind")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building kind: %v\n%s", err, out)
	}
	node, err := primary.Node()
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(suite, "docker", "cp", "--follow-link", node.String()+":/usr/bin/kubectl",
		filepath.Join(tools, "kubectl")).CombinedOutput(); err != nil {
		t.Fatalf("copying kubectl: %v\n%s", err, out)
	}
	return tools
}

// runnerEnv has the programs of these folders, and a kubeconfig of its own.
func runnerEnv(t *testing.T, folders ...string) []string {
	t.Helper()
	path := strings.Join(append(folders, os.Getenv("PATH")), string(os.PathListSeparator))
	return []string{"KUBECONFIG=" + filepath.Join(t.TempDir(), "kubeconfig"), "PATH=" + path}
}

func readFile(t *testing.T, path ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func writeFile(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
