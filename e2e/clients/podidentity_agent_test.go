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
	"net/http/httputil"
	"net/netip"
	"net/url"
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
	token := a.PodIdentity("team-a", "app", a.Role("app", a.PodTrust("team-a", "app")))
	write(t, dir, "pod-token", token)
	write(t, dir, "token", iss.Token("team-a", "app"))
	const uri = "AWS_CONTAINER_CREDENTIALS_FULL_URI"
	ask := func(t *testing.T, more map[string]string) (string, error) {
		t.Helper()
		env := map[string]string{
			"AWS_ENDPOINT_URL": a.URL, "AWS_ENDPOINT_URL_STS": a.URL, "AWS_REGION": region, "AWS_DEFAULT_REGION": region,
			"AWS_EC2_METADATA_DISABLED": "true", uri: agent, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "pod-token",
		}
		maps.Copy(env, more)
		return who(t, dir, env)
	}
	for _, c := range []struct {
		what string
		more map[string]string
		want string // "": none
	}{
		{"by the agent", nil, ":assumed-role/app/eks-emulatorte-app-0-"},
		{"A48, with the variables of IRSA too", map[string]string{"AWS_ROLE_ARN": irsa, "AWS_WEB_IDENTITY_TOKEN_FILE": "token"}, ":assumed-role/irsa/"},
		{"another token", map[string]string{"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "token"}, ""},
	} {
		t.Run(c.what, func(t *testing.T) {
			got, err := ask(t, c.more)
			if ok := err == nil && strings.Contains(got, c.want); ok != (c.want != "") {
				t.Errorf("%s, %v, want %q", got, err, c.want)
			}
		})
	}
	t.Run("A49, an address that no SDK allows", func(t *testing.T) {
		other, asked := beside(t, agent)
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, other, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", token)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if n := asked.Swap(0); resp.StatusCode != http.StatusOK || n != 1 { // or there would be nothing to be had
			t.Fatalf("it answers %s, and has counted %d requests", resp.Status, n)
		}
		got, err := ask(t, map[string]string{uri: other})
		if n := asked.Load(); err == nil || n != 0 {
			t.Errorf("%s, %v, and %d requests, want an error and none", got, err, n)
		}
	})
}

// beside gives out what an agent does at an address of this machine that other machines can reach, until the test ends, and
// counts the requests.
func beside(t *testing.T, agent string) (uri string, asked *atomic.Int32) {
	t.Helper()
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	var host string
	for _, a := range addresses {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() && p.Addr().IsGlobalUnicast() {
			host = p.Addr().String()
		}
	}
	if host == "" {
		needs.Lacking(t, "an IPv4 address that is not the loopback's")
	}
	target, err := url.Parse(agent)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(&url.URL{Scheme: target.Scheme, Host: target.Host}) }}
	l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	asked = new(atomic.Int32)
	server := &httptest.Server{Listener: l, Config: &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		proxy.ServeHTTP(w, r)
	})}}
	server.Start()
	t.Cleanup(server.Close)
	return server.URL + target.Path, asked
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
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
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
	ctx, cancel := context.WithTimeout(t.Context(), patience)
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
