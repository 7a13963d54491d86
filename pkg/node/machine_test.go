package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/openirsa/openirsa/internal/needs"
)

// sshd is OpenSSH's server on this machine, for whom this test runs as, and the
// client's configuration for host "node".
func sshd(t *testing.T) {
	t.Helper()
	server, err := exec.LookPath("/usr/sbin/sshd")
	if err != nil {
		needs.Lacking(t, "an OpenSSH server")
	}
	dir := t.TempDir()
	key := func(name string) string {
		t.Helper()
		file := filepath.Join(dir, name)
		if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", file).CombinedOutput(); err != nil {
			t.Fatalf("making a key: %v: %s", err, out)
		}
		return file
	}
	write := func(name, text string, mode os.FileMode) string {
		t.Helper()
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return file
	}
	host, client := key("host"), key("client")
	public, err := os.ReadFile(client + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	who, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	config := write("sshd_config", fmt.Sprintf("Port %d\nListenAddress 127.0.0.1\nHostKey %s\nAuthorizedKeysFile %s\nPidFile none\nStrictModes no\nUsePAM no\nPermitRootLogin yes\nPasswordAuthentication no\n",
		port, host, write("authorized_keys", string(public), 0o600)), 0o600)
	if who.Uid == "0" {
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil { // where it drops its privileges to
			t.Fatal(err)
		}
	}
	var log bytes.Buffer
	cmd := exec.Command(server, "-D", "-e", "-f", config)
	cmd.Stderr = &log
	cmd.WaitDelay = 100 * time.Millisecond // the connection of a session is still there
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Logf("sshd: %s", log.Bytes())
		}
	})
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			conn.Close()
			break
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	// The client has no flag of ours for its configuration, which is the user's own.
	client = write("ssh_config", fmt.Sprintf("Host node\n HostName 127.0.0.1\n Port %d\n User %s\n IdentityFile %s\n IdentitiesOnly yes\n StrictHostKeyChecking no\n UserKnownHostsFile /dev/null\n LogLevel ERROR\n", port, who.Username, client), 0o600)
	real, err := exec.LookPath("ssh")
	if err != nil {
		t.Fatal(err)
	}
	write("ssh", "#!/bin/sh\nexec "+real+" -F "+client+" \"$@\"\n", 0o700)
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
}

// What the client makes of the options, whatever the user's own configuration
// is: it asks nothing, and waits for ever for no machine.
func TestSSHWaits(t *testing.T) {
	real, err := exec.LookPath("ssh")
	if err != nil {
		needs.Lacking(t, "an OpenSSH client")
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "config"), []byte("ServerAliveInterval 0\nConnectTimeout 0\nBatchMode no\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "ssh"), []byte("#!/bin/sh\nexec "+real+" -G -F "+dir+"/config \"$@\" >"+dir+"/options\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	if err := SSH("node").Exec(t.Context(), nil, io.Discard, "true"); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("error = %v of a client that prints its options and runs nothing", err)
	}
	b, err := os.ReadFile(filepath.Join(dir, "options"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"batchmode yes", "connecttimeout 10", "serveraliveinterval 15", "serveralivecountmax 3"} {
		if !slices.Contains(strings.Split(string(b), "\n"), want) {
			t.Errorf("the client has not %q", want)
		}
	}
}

func TestSSH(t *testing.T) {
	sshd(t)
	if os.Getuid() != 0 {
		if err := exec.Command("sudo", "-n", "true").Run(); err != nil {
			needs.Lacking(t, "root, or sudo without a password")
		}
	}
	n, ctx := SSH("node"), t.Context()

	// Words arrive as they were sent, whatever a shell thinks of them.
	words := []string{"plain", "two words", "it's", `$HOME "and" \n`, "*", "", "a\nb", "; false", "--", "ä"}
	b, err := n.Output(ctx, "printf", append([]string{`%s\0`}, words...)...)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Split(strings.TrimSuffix(string(b), "\x00"), "\x00"); !slices.Equal(got, words) {
		t.Errorf("words arrived as %q", got)
	}
	if b, err := n.Output(ctx, "id", "-u"); err != nil || string(b) != "0\n" {
		t.Errorf("uid %q, %v", b, err)
	}

	// Files of any content go there and back.
	file := filepath.Join(t.TempDir(), "dir", "it's")
	want := bytes.Repeat([]byte("\x00\xff\r\n'\"$`\\"), 20000)
	if err := n.WriteFile(ctx, file, want, "0600"); err != nil {
		t.Fatal(err)
	}
	if got, ok, err := n.ReadFile(ctx, file); err != nil || !ok || !bytes.Equal(got, want) {
		t.Errorf("%d bytes came back, %t, %v", len(got), ok, err)
	}

	err = n.Exec(ctx, nil, io.Discard, "sh", "-c", "echo it is broken >&2; exit 3")
	if status, ok := errors.AsType[exitStatus](err); !ok || status != 3 || !strings.Contains(err.Error(), "sh: exit status 3: it is broken") {
		t.Errorf("error = %v", err)
	}
	if err := SSH("-oProxyCommand=touch "+file+".bad").Exec(ctx, nil, io.Discard, "true"); err == nil {
		t.Error("a destination was taken for an option")
	}
	if _, err := os.Stat(file + ".bad"); err == nil {
		t.Error("a destination was run as a command")
	}
	canceled, cancel := context.WithTimeoutCause(ctx, 300*time.Millisecond, errInterrupted)
	defer cancel()
	if err := n.Exec(canceled, nil, io.Discard, "sleep", "60"); !errors.Is(err, errInterrupted) {
		t.Errorf("error = %v", err)
	}

	// One connection is enough for commands one after the other.
	where := func() string {
		t.Helper()
		b, err := n.Output(ctx, "sh", "-c", `echo "$SSH_CONNECTION"`)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	if first, second := where(), where(); first == "\n" || first != second {
		t.Errorf("two commands came by %q and by %q", first, second)
	}
}

var errInterrupted = errors.New("interrupted")

// TestUntil: it asks until the answer is yes, so often at most, and says what the last answer was.
func TestUntil(t *testing.T) {
	n, count := Local(), filepath.Join(t.TempDir(), "count")
	ask := func(times int, yes string) error {
		const answer = `echo >>"$0"; [ "$(wc -l <"$0")" -ge "$1" ] || { echo "no: $(wc -l <"$0")" >&2; exit 1; }`
		return n.Until(t.Context(), times, "sh", "-c", answer, count, yes)
	}
	if err := ask(2, "3"); err == nil || !strings.Contains(err.Error(), "no: 2") {
		t.Errorf("error = %v", err)
	}
	if err := ask(2, "4"); err != nil {
		t.Error(err)
	}
	if b, err := os.ReadFile(count); err != nil || len(b) != 4 {
		t.Errorf("%d questions, %v", len(b), err)
	}
}
