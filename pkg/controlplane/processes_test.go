package controlplane

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/openirsa/openirsa/pkg/node"
)

// countGreps puts a grep in front of the PATH that counts how often it is started.
func countGreps(t *testing.T) func() int {
	t.Helper()
	grep, err := exec.LookPath("grep")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	script := "#!/bin/sh\necho >>" + dir + "/count\nexec " + grep + ` "$@"` + "\n"
	if err := os.WriteFile(filepath.Join(dir, "grep"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+string(filepath.ListSeparator)+os.Getenv("PATH"))
	return func() int {
		b, err := os.ReadFile(filepath.Join(dir, "count"))
		if err != nil {
			t.Fatal(err)
		}
		return len(b)
	}
}

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
	look := func(former running, seconds int) running {
		t.Helper()
		now, err := processes(ctx, n, apiServerPod, former, seconds)
		if err != nil {
			t.Fatal(err)
		}
		return now
	}
	seen := look(running{}, 0)
	if start := time.Now(); look(seen, 1).pids != seen.pids || time.Since(start) < time.Second {
		t.Error("it did not wait for others")
	}
	looks := countGreps(t)
	if look(seen, 2); looks() != 1 {
		t.Errorf("while the program runs it looked %d times, want once", looks())
	}
	if err := hasten(ctx, n, []string{program, "59"}); err != nil {
		t.Fatal(err)
	}
	if !found() {
		t.Fatal("another command line was signalled")
	}
	ended := make(chan running, 1)
	go func() {
		now, err := processes(ctx, n, apiServerPod, seen, 600)
		if err != nil {
			t.Error(err)
		}
		ended <- now
	}()
	if err := hasten(ctx, n, want); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	if now := <-ended; now.pids == seen.pids || len(now.commandLines) != len(seen.commandLines)-1 {
		t.Errorf("after it has ended these run: %q", now)
	}
	if found() {
		t.Error("the program still runs")
	}
}
