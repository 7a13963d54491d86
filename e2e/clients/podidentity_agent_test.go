package clients

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/openirsa/openirsa/e2e/internal/kindenv"
	"github.com/openirsa/openirsa/internal/needs"
	"github.com/openirsa/openirsa/pkg/emulator/emulatortest"
)

// inPod holds a client's default chain of credentials against the agent of EKS Pod Identity, which listens at an address of
// this machine that SDKs allow. who is the identity that the client has in an environment, with its files in dir.
func inPod(t *testing.T, who func(t *testing.T, dir string, env map[string]string) (string, error)) {
	a := emulatortest.Start(t)
	agent := startAgent(t, a.URL)
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(dir, os.DirFS("scenarios")); err != nil {
		t.Fatal(err)
	}
	iss := a.Issuer("dev")
	irsa := a.Role("irsa", iss.Trust("team-a", "app"))
	write(t, dir, "pod-token", a.PodIdentity("team-a", "app", a.Role("app", a.PodTrust("team-a", "app"))))
	write(t, dir, "token", iss.Token("team-a", "app"))
	const uri = "AWS_CONTAINER_CREDENTIALS_FULL_URI"
	var asked atomic.Int64
	somebody := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		http.NotFound(w, r)
	}))
	t.Cleanup(somebody.Close)
	forbidden := strings.Replace(somebody.URL, "127.0.0.1", "0.0.0.0", 1) + "/x" // is the same to the kernel, and not to SDKs
	if r, err := http.Get(forbidden); err != nil || asked.Swap(0) != 1 {
		t.Fatalf("%s does not lead to %s: %v, %v", forbidden, somebody.URL, r, err)
	}
	for _, c := range []struct {
		what string
		more map[string]string
		want string // "": none
	}{
		{"by the agent", nil, ":assumed-role/app/eks-emulatorte-app-0-"},
		{"A48, with the variables of IRSA too", map[string]string{"AWS_ROLE_ARN": irsa, "AWS_WEB_IDENTITY_TOKEN_FILE": "token"}, ":assumed-role/irsa/"},
		{"another token", map[string]string{"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "token"}, ""},
		{"A49, an address that no SDK allows", map[string]string{uri: strings.Replace(agent, "127.0.0.1", "10.0.0.1", 1)}, ""},
		{"A49, another one, at which somebody answers", map[string]string{uri: forbidden}, ""},
	} {
		t.Run(c.what, func(t *testing.T) {
			env := map[string]string{
				"AWS_ENDPOINT_URL": a.URL, "AWS_ENDPOINT_URL_STS": a.URL, "AWS_REGION": region, "AWS_DEFAULT_REGION": region,
				"AWS_EC2_METADATA_DISABLED": "true", uri: agent, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "pod-token",
			}
			maps.Copy(env, c.more)
			got, err := who(t, dir, env)
			if ok := err == nil && strings.Contains(got, c.want); ok != (c.want != "") {
				t.Errorf("%s, %v, want %q", got, err, c.want)
			}
		})
	}
	if n := asked.Load(); n > 0 {
		t.Errorf("A49: an address that no SDK allows was asked %d times", n)
	}
}

// startAgent runs bin/agent until the test ends, for the EKS Auth of an emulator, and returns the URL that pods are given.
func startAgent(t *testing.T, emulator string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join(cmp.Or(os.Getenv("OPENIRSA_BIN"), filepath.Join("..", "..", "bin")), "agent"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%v: run make build first", err)
	}
	var ports []string
	var listeners []net.Listener // all at once, so that no two are the same
	for range 3 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		_, port, _ := net.SplitHostPort(l.Addr().String())
		ports, listeners = append(ports, port), append(listeners, l)
	}
	var log bytes.Buffer
	cmd := exec.Command(path, "--cluster-name", emulatortest.PodCluster, "--endpoint", emulator, "--bind-hosts", "127.0.0.1", "--allowed-hosts", "127.0.0.1",
		"--port", ports[0], "--probe-port", ports[1], "--metrics-address", "127.0.0.1", "--metrics-port", ports[2])
	cmd.Env = []string{"AWS_REGION=" + region, "AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test", "AWS_CONFIG_FILE=" + os.DevNull,
		"AWS_SHARED_CREDENTIALS_FILE=" + os.DevNull}
	cmd.Stderr = &log
	for _, l := range listeners {
		l.Close()
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(os.Interrupt)
		if err := cmd.Wait(); err != nil {
			t.Errorf("the agent: %v", err)
		}
		if t.Failed() {
			t.Logf("the agent's log:\n%s", log.String())
		}
	})
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if r, err := http.Get("http://localhost:" + ports[1] + "/readyz"); err == nil {
			r.Body.Close()
			if r.StatusCode == http.StatusOK {
				return "http://127.0.0.1:" + ports[0] + "/v1/credentials"
			}
		}
		if time.Now().After(deadline) {
			t.Fatal("the agent is not ready")
		}
	}
}

// printed is what a program of a client prints.
func printed(t *testing.T, command func(ctx context.Context) (*exec.Cmd, error)) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd, err := command(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return run(ctx, cmd)
}

// TestGoInPod runs the AWS SDK for Go v2.
func TestGoInPod(t *testing.T) {
	inPod(t, func(t *testing.T, dir string, env map[string]string) (string, error) {
		asPod(t, dir, env)
		cfg, err := config.LoadDefaultConfig(t.Context())
		if err != nil {
			return "", err
		}
		who, err := sts.NewFromConfig(cfg).GetCallerIdentity(t.Context(), nil)
		if err != nil {
			return "", err
		}
		return *who.Arn, nil
	})
}

// TestJavaScriptInPod runs the AWS SDK for JavaScript v3.
func TestJavaScriptInPod(t *testing.T) {
	if err := kindenv.Install(t.Context(), os.Stderr, "node", "npm"); err != nil {
		needs.Lacking(t, fmt.Errorf("there is no Node.js: %w", err))
	}
	modules, err := kindenv.NodeModules(t.Context(), "scenarios", os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	inPod(t, func(t *testing.T, dir string, env map[string]string) (string, error) {
		if err := os.Symlink(modules, filepath.Join(dir, "node_modules")); err != nil && !os.IsExist(err) {
			t.Fatal(err)
		}
		return printed(t, func(ctx context.Context) (*exec.Cmd, error) {
			cmd := exec.CommandContext(ctx, "node", "pod.mjs")
			cmd.Dir, cmd.Env = dir, environ(dir, env)
			return cmd, nil
		})
	})
}

// debianInPod runs AWS CLI 2 and boto3.
func debianInPod(t *testing.T, clients *kindenv.Clients) {
	const boto = `import boto3; print(boto3.client("sts").get_caller_identity()["Arn"])`
	for name, program := range map[string][]string{
		"AWS CLI": {"aws", "sts", "get-caller-identity", "--query", "Arn", "--output", "text"}, "boto3": {"python3", "-c", boto},
	} {
		t.Run(name, func(t *testing.T) {
			inPod(t, func(t *testing.T, dir string, env map[string]string) (string, error) {
				return printed(t, func(ctx context.Context) (*exec.Cmd, error) {
					return clients.Command(ctx, dir, env, program[0], program[1:]...)
				})
			})
		})
	}
}
