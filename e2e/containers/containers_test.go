// Package containers runs the tests of the module for testcontainers-go against a Docker daemon that has the project's own
// image. No registry is asked for anything.
package containers

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/openirsa/openirsa/e2e/internal/kindenv"
	"github.com/openirsa/openirsa/internal/needs"
)

// instance keeps the daemon apart from those of the stories.
const instance = 21

func TestModule(t *testing.T) {
	ctx := t.Context()
	archive := filepath.Join(t.TempDir(), "image.tar")
	ref := strings.TrimSpace(run(t, exec.CommandContext(ctx, program(t), "image", "--file", archive)))

	env, err := kindenv.UpDocker(ctx, kindenv.Options{Instance: instance, Log: t.Output()})
	if errors.Is(err, kindenv.ErrImpossible) {
		needs.Lacking(t, err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Minute)
		defer cancel()
		if err := env.Down(ctx); err != nil {
			t.Errorf("removing the Docker daemon: %v", err)
		}
	})
	run(t, exec.CommandContext(ctx, "docker", "load", "--quiet", "--input", archive))
	t.Cleanup(func() { run(t, exec.Command("docker", "image", "rm", "--force", ref)) })

	test := exec.CommandContext(ctx, "go", "test", "-vet=off", "-count=1", "-v", "./...")
	test.Dir = filepath.Join("..", "..", "testcontainers")
	// The container that removes what a killed test leaves comes from a registry. Here the daemon goes with all it has.
	test.Env = append(os.Environ(), "OPENIRSA_IMAGE="+ref, "OPENIRSA_TOOLS=all", "TESTCONTAINERS_RYUK_DISABLED=true")
	if at := env.PublishedAt(); at != "" {
		test.Env = append(test.Env, "TESTCONTAINERS_HOST_OVERRIDE="+at)
	}
	t.Logf("%s", run(t, test))
}

// program is the one that `make build` makes.
func program(t *testing.T) string {
	t.Helper()
	bin := os.Getenv("OPENIRSA_BIN")
	if bin == "" {
		bin = filepath.Join("..", "..", "bin")
	}
	path, err := filepath.Abs(filepath.Join(bin, "openirsa"))
	if err == nil {
		_, err = os.Stat(path)
	}
	if err != nil {
		t.Fatalf("%v: run make build first", err)
	}
	return path
}

// run is what a program writes to standard output. The rest is in the log.
func run(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s%s", strings.Join(cmd.Args, " "), err, out, stderr.String())
	}
	if stderr.Len() > 0 {
		t.Logf("%s: %s", cmd.Args[0], stderr.String())
	}
	return string(out)
}
