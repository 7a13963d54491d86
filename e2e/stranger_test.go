package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// testStranger: a module of somebody else's, which sees only what this one promises to others, makes the chain for its
// own tests: with package testing, and with sigs.k8s.io/e2e-framework. The first one of its packages needs no cluster.
func testStranger(t *testing.T) {
	k := secondary
	t.Cleanup(func() {
		k.explain(t)
		if t.Failed() && k.installed(t) { // the next story begins without a chain
			k.setup(t, "down")
		}
	})
	if err := environment.Clusters[1].Load(suite, awscli); err != nil {
		t.Fatal(err)
	}
	was := k.snapshot(t)
	for _, name := range []string{"inprocess", "plain", "framework"} {
		t.Run(name, func(t *testing.T) {
			// make lint vets it.
			cmd := exec.CommandContext(suite, "go", "test", "-vet=off", "-count=1", "-v", "./"+name)
			cmd.Dir = filepath.Join("..", "examples", "go-test-suite")
			cmd.Env = append(os.Environ(), "KUBECONFIG="+k.kubeconfig, "AWS_CLI_IMAGE="+awscli.Ref)
			out, err := cmd.CombinedOutput()
			t.Logf("%s", out)
			if err != nil {
				t.Fatal(err)
			}
		})
		if diff := cmp.Diff(was, k.snapshot(t)); diff != "" {
			t.Errorf("%s left (-before +after):\n%s", name, diff)
		}
	}
}
