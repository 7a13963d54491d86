package controlplane

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openirsa/openirsa/pkg/node"
)

// TestAPIServers runs a program called kube-apiserver.
func TestAPIServers(t *testing.T) {
	n, ctx := node.Local(), t.Context()
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	program := filepath.Join(dir, "kube-apiserver")
	b, err := os.ReadFile(sleep)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(program, b, 0o700); err != nil {
		t.Fatal(err)
	}
	// Another program's argument is not a program.
	other := exec.CommandContext(ctx, sleep, "61")
	other.Args = []string{"sleep", "61", program}
	cmd := exec.CommandContext(ctx, program, "59", "1")
	for _, c := range []*exec.Cmd{other, cmd} {
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		defer c.Wait()
		defer c.Process.Kill()
	}
	want := []string{program, "59", "1"}
	found := func() bool {
		t.Helper()
		all, err := apiServers(ctx, n)
		if err != nil {
			t.Fatal(err)
		}
		return slices.ContainsFunc(all, func(c []string) bool { return cmp.Equal(c, want) })
	}
	if !found() {
		t.Fatal("the program was not found")
	}
	if err := hasten(ctx, n, []string{program, "59"}); err != nil {
		t.Fatal(err)
	}
	if !found() {
		t.Fatal("another command line was signalled")
	}
	if err := hasten(ctx, n, want); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	if found() {
		t.Error("the program still runs")
	}
}
