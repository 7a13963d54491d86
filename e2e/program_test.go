package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// invocation is a run of one of the project's programs.
type invocation struct {
	program string   // default: setup
	env     []string // "KEY=value", over the default ones
	within  time.Duration
	// interrupt, if it is not nil, says when the program gets which signal.
	interrupt *moment
	// when is called once, in a goroutine, when the program has said a text, with the program's process.
	when map[string]func(*os.Process)
}

// setup runs setup as a user on a laptop whose kubeconfig has the first cluster as the current one.
func setup(t testing.TB, args ...string) result {
	t.Helper()
	return invocation{}.run(t, args...)
}

// setup runs setup for this cluster, whatever the current context is.
func (k *kube) setup(t testing.TB, args ...string) result {
	t.Helper()
	return setup(t, append(args, "--kind-name", k.Name)...)
}

func (v invocation) run(t testing.TB, args ...string) result {
	t.Helper()
	if v.program == "" {
		v.program = "setup"
	}
	if v.within == 0 {
		v.within = 10 * time.Minute
	}
	path := filepath.Join(bin, v.program)
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%v: run make build first", err)
	}
	ctx, cancel := context.WithTimeout(suite, v.within)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if v.interrupt != nil && v.interrupt.said != "" {
		cmd.Stdout = &trigger{to: &stdout, text: v.interrupt.said, do: func() {
			time.AfterFunc(v.interrupt.wait, func() { _ = cmd.Process.Signal(v.interrupt.signal) })
		}}
	}
	for text, do := range v.when {
		cmd.Stdout = &trigger{to: cmd.Stdout, text: text, do: func() { go do(cmd.Process) }}
	}
	cmd.Env = append(v.base(), v.env...)
	cmd.Dir = home
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 20 * time.Second
	start := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatalf("starting %s: %v", v.program, err)
	}
	if v.interrupt != nil && v.interrupt.said == "" {
		time.AfterFunc(v.interrupt.wait, func() { _ = cmd.Process.Signal(v.interrupt.signal) })
	}
	err := cmd.Wait()
	r := result{stdout: stdout.String(), stderr: stderr.String(), took: time.Since(start)}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		r.code, err = exit.ExitCode(), nil
	}
	if ctx.Err() != nil {
		t.Fatalf("%s %s: not within %v\n%s%s", v.program, strings.Join(args, " "), v.within, r.stdout, r.stderr)
	}
	if err != nil {
		t.Fatalf("running %s: %v", v.program, err)
	}
	t.Logf("$ %s %s    # exit %d, %.1fs\n%s%s", v.program, strings.Join(args, " "), r.code, r.took.Seconds(), r.stdout, r.stderr)
	return r
}

// moment is a time in a program's run, and what happens then: so long after it said this; after its start, if it is to
// say nothing.
type moment struct {
	said   string
	wait   time.Duration
	signal syscall.Signal
}

// trigger does something once, when what was written holds a text.
type trigger struct {
	to   io.Writer // not embedded: io.Copy would find a buffer's ReadFrom and never call Write
	seen strings.Builder
	text string
	do   func()
}

func (t *trigger) Write(p []byte) (int, error) {
	n, err := t.to.Write(p)
	t.seen.Write(p)
	if t.do != nil && strings.Contains(t.seen.String(), t.text) {
		t.do()
		t.do = nil
	}
	return n, err
}

// base is the environment of a user who has a kubeconfig and, as far as AWS is concerned, nothing at all.
func (v invocation) base() []string {
	var env []string
	for _, kv := range os.Environ() {
		name, _, _ := strings.Cut(kv, "=")
		if name == "HOME" || strings.HasPrefix(name, "XDG_") || strings.HasPrefix(name, "AWS_") {
			continue
		}
		env = append(env, kv)
	}
	return append(env, "HOME="+home, "AWS_EC2_METADATA_DISABLED=true")
}

// ok fails t unless the program ended with 0.
func (r result) ok(t testing.TB) result {
	t.Helper()
	if r.code != 0 {
		t.Fatalf("exit %d:\n%s%s", r.code, r.stdout, r.stderr)
	}
	return r
}

// fails checks what every failure of setup owes its user: exit 1, one error that names the link and says these
// words, the next command, and nothing that looks like a crash or a secret.
func (r result) fails(t testing.TB, link string, words ...string) {
	t.Helper()
	if r.code != 1 {
		t.Errorf("exit %d, want 1", r.code)
	}
	lines := strings.Split(strings.TrimSpace(r.stderr), "\n")
	var errs, next []string
	for _, line := range lines {
		if strings.HasPrefix(line, "setup: ") {
			errs = append(errs, line)
		}
		if strings.HasPrefix(line, "next: ") {
			next = append(next, line)
		}
	}
	if len(errs) != 1 {
		t.Errorf("%d lines start with %q, want one error:\n%s", len(errs), "setup: ", r.stderr)
	}
	if len(next) != 1 {
		t.Errorf("%d lines start with %q, want one:\n%s", len(next), "next: ", r.stderr)
	}
	for _, w := range append([]string{link}, words...) {
		if !strings.Contains(strings.ToLower(r.stderr), strings.ToLower(w)) {
			t.Errorf("the error does not say %q:\n%s", w, r.stderr)
		}
	}
	for _, w := range []string{"panic", "goroutine ", "runtime error", "eyJ", "PRIVATE KEY"} {
		if strings.Contains(r.stderr+r.stdout, w) {
			t.Errorf("the output holds %q:\n%s%s", w, r.stdout, r.stderr)
		}
	}
}

// report is what setup prints with -o json.
type report struct {
	Cluster, Issuer, Target string
	Links                   []struct {
		Link, Result, Object string
		Seconds              float64
		Calls                int `json:"awsCalls"`
		Writes               int `json:"awsWrites"`
	}
	Seconds float64
	Calls   int `json:"awsCalls"`
	Writes  int `json:"awsWrites"`
}

func (r result) report(t testing.TB) report {
	t.Helper()
	var v report
	if err := json.Unmarshal([]byte(r.stdout), &v); err != nil {
		t.Fatalf("reading the report: %v\n%s", err, r.stdout)
	}
	return v
}
