package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"
)

// reached is this machine as if it were far away, and the sessions to it.
func reached(t *testing.T) (Node, *sessions) {
	t.Helper()
	local(t)
	p := newSessions(func(ctx context.Context, words ...string) *exec.Cmd {
		return exec.CommandContext(ctx, words[0], words[1:]...)
	})
	t.Cleanup(func() {
		for s, ok := p.take(); ok; s, ok = p.take() {
			if err := s.end(nil); err != nil {
				t.Errorf("a session ended with %v", err)
			}
		}
	})
	return Node{Name: "node", Exec: p.Exec}, p
}

// TestSession: one shell runs one command after the other, whatever each of them does with its streams.
func TestSession(t *testing.T) {
	n, p := reached(t)
	ctx := t.Context()
	words := []string{"plain", "two words", "it's", `$HOME "and" \n`, "*", "", "a\nb", "; false", "--", "ä"}
	large := bytes.Repeat([]byte("\x00\xff\r\n'\"$`\\"), 200000)
	for i, c := range []struct {
		in      string // after an x
		command []string
		out     string
		err     string
	}{
		{"", append([]string{"printf", `%s\0`}, words...), strings.Join(words, "\x00") + "\x00", ""},
		{"", []string{"sh", "-c", "printf 'no end of line'; echo it is fine >&2"}, "no end of line", ""},
		{"", []string{"sh", "-c", "printf half; echo it is broken >&2; exit 3"}, "half", "sh: exit status 3: it is broken"},
		{"", []string{"exit", "4"}, "", "exit: exit status 4"},
		{"", []string{"no-such-program"}, "", "no-such-program: exit status 127: "},
		{"", []string{"cat"}, "", ""},
		{"x", []string{"cat"}, "", ""},
		{"x" + string(large), []string{"cat"}, string(large), ""},
		{"x" + string(large), []string{"head", "-c", "3"}, "\x00\xff\r", ""},
		{"x" + string(large), []string{"sh", "-c", "exec <&-; echo no; exit 5"}, "no\n", "sh: exit status 5"},
		{"x" + string(large), []string{"sh", "-c", "kill -9 $$"}, "", "sh: exit status 137"},
		{"", []string{"sh", "-c", "head -c 100000 /dev/zero >&2; exit 6"}, "", "sh: exit status 6: "},
	} {
		var in io.Reader
		if data, ok := strings.CutPrefix(c.in, "x"); ok {
			in = strings.NewReader(data)
		}
		var out bytes.Buffer
		err := n.Exec(ctx, in, &out, c.command[0], c.command[1:]...)
		if out.String() != c.out {
			t.Errorf("%d: %q printed %.80q (%d bytes)", i, c.command, out.Bytes(), out.Len())
		}
		if c.err == "" && err != nil || c.err != "" && (err == nil || !strings.HasPrefix(err.Error(), c.err)) {
			t.Errorf("%d: %q: error = %v, want %q", i, c.command, err, c.err)
		}
	}
	if len(p.idle) != 1 {
		t.Errorf("%d sessions for one command at a time", len(p.idle))
	}

	// A reader of unknown length is not for a session.
	var out bytes.Buffer
	if err := n.Exec(ctx, iotest.OneByteReader(strings.NewReader("abc")), &out, "cat"); err != nil || out.String() != "abc" {
		t.Errorf("%q, %v", out.String(), err)
	}
	broken := errors.New("the disk is full")
	if err := n.Exec(ctx, nil, failing{broken}, "seq", "100000"); !errors.Is(err, broken) {
		t.Errorf("error = %v", err)
	}
	if b, err := n.Output(ctx, "echo", "next"); err != nil || string(b) != "next\n" {
		t.Errorf("%q, %v", b, err)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

// TestSessions: commands at the same time do not wait for each other.
func TestSessions(t *testing.T) {
	n, p := reached(t)
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := exec.CommandContext(t.Context(), "mkfifo", fifo).Run(); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		if b, err := n.Output(t.Context(), "cat", fifo); err != nil || string(b) != "met\n" {
			t.Errorf("%q, %v", b, err)
		}
	})
	wg.Go(func() {
		if err := n.Exec(t.Context(), nil, io.Discard, "sh", "-c", `echo met >"$0"`, fifo); err != nil {
			t.Error(err)
		}
	})
	wg.Wait()
	if len(p.idle) != 2 {
		t.Errorf("%d sessions for two commands at a time", len(p.idle))
	}
}

// TestSessionEnds: a command runs in another session if the one that waited has ended, but never twice.
func TestSessionEnds(t *testing.T) {
	n, p := reached(t)
	ctx := t.Context()
	pid := func() string {
		t.Helper()
		b, err := n.Output(ctx, "sh", "-c", "ps -o ppid= -p $PPID") // of the subshell's parent
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(b))
	}
	former := pid()
	if again := pid(); again != former {
		t.Errorf("session %s follows %s", again, former)
	}
	if err := p.idle[0].cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if again := pid(); again == former {
		t.Errorf("the session that was killed is still there")
	}

	count := filepath.Join(t.TempDir(), "count")
	script := fmt.Sprintf("echo run >>%s; echo it is over >&2; kill -9 $(ps -o ppid= -p $PPID)", count)
	err := n.Exec(ctx, nil, io.Discard, "sh", "-c", script)
	if err == nil || !strings.HasPrefix(err.Error(), "sh: signal: killed: it is over") {
		t.Errorf("error = %v", err)
	}
	if b, err := os.ReadFile(count); err != nil || string(b) != "run\n" {
		t.Errorf("the command ran as %q, %v", b, err)
	}

	canceled, cancel := context.WithTimeoutCause(ctx, 100*time.Millisecond, errInterrupted)
	defer cancel()
	if err := n.Exec(canceled, nil, io.Discard, "sleep", "60"); !errors.Is(err, errInterrupted) {
		t.Errorf("error = %v", err)
	}
	if err := n.Exec(canceled, nil, io.Discard, "true"); !errors.Is(err, errInterrupted) {
		t.Errorf("error = %v", err)
	}
	if len(p.idle) != 0 {
		t.Errorf("%d sessions are left", len(p.idle))
	}

	p.reach = func(ctx context.Context, _ ...string) *exec.Cmd {
		return exec.CommandContext(ctx, "sh", "-c", "echo no such container >&2; exit 1")
	}
	if err := n.Exec(ctx, strings.NewReader("in"), io.Discard, "true"); err == nil || err.Error() != "true: exit status 1: no such container" {
		t.Errorf("error = %v", err)
	}
	p.reach = func(ctx context.Context, _ ...string) *exec.Cmd { return exec.CommandContext(ctx, "no-such-program") }
	if err := n.Exec(ctx, nil, io.Discard, "true"); !errors.Is(err, exec.ErrNotFound) {
		t.Errorf("error = %v", err)
	}
}

// TestSessionOfCanceled: a session whose last command was canceled just as it ended does not stay: it may be killed while it
// has the next one.
func TestSessionOfCanceled(t *testing.T) {
	n, p := reached(t)
	for range 50 {
		ctx, cancel := context.WithCancel(t.Context())
		_ = n.Exec(ctx, nil, cancels(cancel), "echo", "done") // or too late
		if len(p.idle) != 0 {
			t.Fatal("the session waits for the next command")
		}
	}
}

type cancels func()

func (c cancels) Write(b []byte) (int, error) {
	c()
	return len(b), nil
}

// TestSessionCutShort: a command that comes only in part, because we were killed, is not run: it could remove /etc.
func TestSessionCutShort(t *testing.T) {
	local(t)
	const mark, command = "MARK", "printf %s /etc/kubernetes"
	whole := fmt.Sprintf("%s %d -1\n%s%[1]s", mark, len(command+mark), command)
	for n := range len(whole) + 1 {
		sh := exec.CommandContext(t.Context(), "sh", "-c", sessionScript)
		sh.Stdin = strings.NewReader(whole[:n])
		out, err := sh.Output()
		want := ""
		if n == len(whole) {
			want = "MARK/etc/kubernetesMARK0\n"
		}
		if string(out) != want {
			t.Errorf("%q: it printed %q, %v", whole[:n], out, err)
		}
	}
}

// TestSessionExpires: no shell stays for ever.
func TestSessionExpires(t *testing.T) {
	n, p := reached(t)
	p.stay = time.Millisecond
	if err := n.Exec(t.Context(), nil, io.Discard, "true"); err != nil {
		t.Fatal(err)
	}
	for {
		p.mu.Lock()
		left := len(p.idle)
		p.mu.Unlock()
		if left == 0 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if b, err := n.Output(t.Context(), "echo", "next"); err != nil || string(b) != "next\n" {
		t.Errorf("%q, %v", b, err)
	}
}
