package clients

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sivchari/kumo"
)

// The other emulators that stand behind the guard, as their makers have them: dynalite and kinesalite from npm, and goaws
// and kumo, which are Go modules.

// goawsModule is goaws, which is built where it is not yet.
const goawsModule = "github.com/Admiral-Piett/goaws/app/cmd@v0.4.5"

// backends runs the emulators until the test ends, and returns what the guard has to be told: services and URLs.
func backends(t *testing.T, modules string) []string {
	t.Helper()
	node := func(program string, flags ...string) string {
		port := freePort(t)
		flags = append([]string{filepath.Join(modules, program, "cli.js"), "--port", port}, flags...)
		background(t, exec.Command("node", flags...))
		return answering(t, "http://127.0.0.1:"+port)
	}
	kumo := everythingElse(t)
	return []string{
		"dynamodb=" + node("dynalite", "--createTableMs", "0"),
		"kinesis=" + node("kinesalite", "--createStreamMs", "0"), "sns=" + goaws(t),
		"kms=" + kumo, "*=" + kumo,
	}
}

// TestMain makes this program kumo where everythingElse asks for that: its servers share what they keep as long as they are
// in one process.
func TestMain(m *testing.M) {
	if os.Getenv("OPENIRSA_TEST_KUMO") == "" {
		os.Exit(m.Run())
	}
	fmt.Println(kumo.NewServer().URL)
	io.Copy(io.Discard, os.Stdin) // until the test ends
}

// everythingElse runs kumo.
func everythingElse(t *testing.T) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), "OPENIRSA_TEST_KUMO=1")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		cmd.Wait() // it has ended by that
	})
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatalf("kumo does not start: %v", err)
	}
	return strings.TrimSpace(line)
}

// goaws runs it with the account and the region of the tests. It speaks the Query protocol alone, which is that of SNS.
func goaws(t *testing.T) string {
	t.Helper()
	dir, port := t.TempDir(), freePort(t)
	install := exec.CommandContext(t.Context(), "go", "install", goawsModule)
	install.Env = append(os.Environ(), "GOBIN="+dir, "GOFLAGS=")
	install.Dir = dir
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("building goaws: %v\n%s", err, out)
	}
	write(t, dir, "goaws.yaml", fmt.Sprintf("Local:\n  Host: 127.0.0.1\n  Port: %s\n  Region: %s\n  AccountId: %q\n", port, region, accountID))
	background(t, exec.Command(filepath.Join(dir, "cmd"), "-config", filepath.Join(dir, "goaws.yaml")))
	return answering(t, "http://127.0.0.1:"+port)
}

// background runs a program until the test ends. The log of a test that failed has what it wrote.
func background(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	var log strings.Builder
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait() // it was killed
		if t.Failed() {
			t.Logf("%s:\n%s", filepath.Base(cmd.Args[0]), log.String())
		}
	})
}

func freePort(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	_, port, err := net.SplitHostPort(ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// answering waits until a server answers, whatever it says, and returns its URL.
func answering(t *testing.T, url string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := http.DefaultClient.Do(r)
		if err == nil {
			response.Body.Close()
			return url
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s does not answer: %v", url, err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}
