package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/openirsa/openirsa/internal/kubefake"
	"github.com/openirsa/openirsa/pkg/plan"
)

// docker stands in for Docker, with kind clusters of one control-plane and one
// worker node, and a load balancer.
func docker(t *testing.T, clusters ...string) {
	t.Helper()
	dir := t.TempDir()
	script := `#!/bin/sh
container() {
  printf '{"Name": "/%s", "Config": {"Labels": {"io.x-k8s.kind.cluster": "%s", "io.x-k8s.kind.role": "%s"}}, "NetworkSettings": {"Ports": {%s}}}' "$@"
}
case "$*" in
"ps --all --filter label=io.x-k8s.kind.cluster --format {{.Names}}") wanted=$CLUSTERS ;;
"ps --all --filter label=io.x-k8s.kind.cluster="*) wanted=${4#*cluster=}; printf '%s' "$CLUSTERS" | grep -qx "$wanted" || exit 0 ;;
"inspect "*)
  shift; echo '['
  while [ "$#" -gt 0 ]; do
    case "$1" in
    *-worker) container "$1" "${1%-worker}" worker ;;
    *-control-plane) container "$1" "${1%-control-plane}" control-plane '"6443/tcp": null' ;;
    *) container "$1" "${1%-external-load-balancer}" external-load-balancer '"6443/tcp": [{"HostIp": "127.0.0.1", "HostPort": "40001"}]' ;;
    esac
    shift; [ "$#" = 0 ] || echo ,
  done
  echo ']'; exit ;;
"exec --privileged --interactive "*) shift 4; PATH=${0%docker}node:$PATH exec "$@" ;;
*) echo "unknown command: $*" >&2; exit 1 ;;
esac
for name in $wanted; do printf '%s\n' "$name-worker" "$name-control-plane" "$name-external-load-balancer"; done
`
	if err := os.WriteFile(filepath.Join(dir, "docker"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "node"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, script := range map[string]string{
		"cat": `[ "$1" = /etc/kubernetes/admin.conf ] || exec /bin/cat "$@"
echo '{"apiVersion":"v1","kind":"Config","current-context":"x","contexts":[{"name":"x","context":{"cluster":"x","user":"x"}}],"clusters":[{"name":"x","cluster":{"server":"https://x:6443"}}],"users":[{"name":"x","user":{}}]}'`,
		"hostname": "echo worker",
		"broken":   "echo it does not work >&2; exit 3",
	} {
		if err := os.WriteFile(filepath.Join(dir, "node", name), []byte("#!/bin/sh\n"+script+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("CLUSTERS", strings.Join(clusters, "\n"))
	t.Setenv("PATH", dir+":/usr/bin:/bin")
	t.Setenv("KIND_EXPERIMENTAL_PROVIDER", "")
	t.Setenv("KUBECONFIG", filepath.Join(dir, "none"))
}

// kubeconfig is a file with a context, whose server may be the one of the fake
// Docker's clusters.
func kubeconfig(t *testing.T, contextName, server string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "config")
	text := fmt.Sprintf(`{"apiVersion":"v1","kind":"Config","current-context":%q,"contexts":[{"name":%[1]q,"context":{"cluster":"c","user":"u"}}],
"clusters":[{"name":"c","cluster":{"server":%q}}],"users":[{"name":"u","user":{}}]}`, contextName, server)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestFind(t *testing.T) {
	const here, elsewhere = "https://127.0.0.1:40001", "https://192.0.2.1:6443"
	finds := func(opts Options, name string, kind bool) {
		t.Helper()
		c, err := find(t.Context(), opts)
		if err != nil {
			t.Error(err)
			return
		}
		if c.Name != name || c.Kind != kind {
			t.Errorf("found %s, kind %t", c.Name, c.Kind)
		}
		if kind {
			var nodes []string
			for _, n := range c.nodes {
				nodes = append(nodes, fmt.Sprint(n.Name, " ", n.ControlPlane))
			}
			if !slices.Equal(nodes, []string{name + "-control-plane true", name + "-worker false"}) || c.config.Host != here {
				t.Errorf("nodes %q at %s", nodes, c.config.Host)
			}
		} else if c.nodes != nil || c.config.Host != elsewhere {
			t.Errorf("nodes %v at %s", c.nodes, c.config.Host)
		}
	}
	refuses := func(opts Options, is error, words ...string) {
		t.Helper()
		c, err := find(t.Context(), opts)
		if c != nil || !errors.Is(err, is) {
			t.Errorf("%+v, error = %v", c, err)
			return
		}
		for _, w := range words {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("error %q lacks %q", err, w)
			}
		}
	}

	docker(t)
	refuses(Options{}, ErrNoCluster, "no kind cluster", "no current context")
	refuses(Options{KindName: "dev"}, ErrNoCluster, `no kind cluster "dev" (there is none at all)`)
	refuses(Options{Context: "x"}, ErrNoCluster, `no context "x"`)
	t.Setenv("KUBECONFIG", kubeconfig(t, "prod", elsewhere))
	refuses(Options{}, ErrNoCluster, `"prod" is not used unless it is named`)
	finds(Options{Context: "prod"}, "c", false)
	finds(Options{Kubeconfig: kubeconfig(t, "kind-dev", elsewhere)}, "c", false) // kind on another machine
	if _, err := find(t.Context(), Options{Kubeconfig: "/none"}); err == nil || !strings.Contains(err.Error(), "reading the kubeconfig") {
		t.Errorf("error = %v", err)
	}
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, []byte("apiVersion: v1\nkind: Config\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	refuses(Options{Kubeconfig: empty}, ErrNoCluster, "no current context")

	docker(t, "dev")
	finds(Options{}, "dev", true)
	finds(Options{KindName: "dev"}, "dev", true)
	refuses(Options{KindName: "other"}, ErrNoCluster, "there are: dev")
	t.Setenv("KUBECONFIG", kubeconfig(t, "prod", elsewhere))
	finds(Options{}, "dev", true)
	t.Setenv("KUBECONFIG", kubeconfig(t, "kind-deleted", elsewhere))
	finds(Options{}, "dev", true)
	if _, err := find(t.Context(), Options{KindName: "dev", Context: "x"}); err == nil {
		t.Error("a kind name and a context")
	}

	docker(t, "dev", "stage")
	refuses(Options{}, ErrSeveralClusters, "dev, stage")
	finds(Options{KindName: "stage"}, "stage", true)
	t.Setenv("KUBECONFIG", kubeconfig(t, "kind-stage", here))
	finds(Options{}, "stage", true)
	t.Setenv("KUBECONFIG", kubeconfig(t, "kind-deleted", here))
	refuses(Options{}, ErrNoCluster, `no kind cluster "deleted"`)

	t.Setenv("PATH", t.TempDir())
	t.Setenv("KUBECONFIG", "/none")
	refuses(Options{}, ErrNoCluster, "kind needs docker, podman or nerdctl")
}

func TestKindNode(t *testing.T) {
	docker(t, "dev")
	c, err := find(t.Context(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	worker := c.Nodes()[1]
	if b, err := worker.Output(t.Context(), "hostname"); err != nil || string(b) != "worker\n" {
		t.Errorf("%q, %v", b, err)
	}
	if _, err := worker.Output(t.Context(), "broken"); err == nil || err.Error() != "broken: exit status 3: it does not work" {
		t.Errorf("error = %v", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("interrupted")
	cancel(cause)
	if _, err := worker.Output(ctx, "hostname"); !errors.Is(err, cause) {
		t.Errorf("error = %v", err)
	}
}

func TestConnectRefused(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener.Close() // nobody listens there any more
	start := time.Now()
	_, err = Connect(t.Context(), Options{Kubeconfig: kubeconfig(t, "dead", "http://"+listener.Addr().String())})
	if !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), "cluster c at http://127.0.0.1:") {
		t.Errorf("error = %v", err)
	}
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("that took %s", took)
	}

	unauthorized := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusUnauthorized) }))
	defer unauthorized.Close()
	_, err = Connect(t.Context(), Options{Kubeconfig: kubeconfig(t, "who", unauthorized.URL)})
	if err == nil || errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), "does not know the credentials") {
		t.Errorf("error = %v", err)
	}

	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("interrupted")
	cancel(cause)
	if _, err := Connect(ctx, Options{Kubeconfig: kubeconfig(t, "dead", "http://"+listener.Addr().String())}); !errors.Is(err, cause) {
		t.Errorf("error = %v", err)
	}
}

// While the API server restarts, requests wait for it.
func TestRetryWhileTheAPIServerIsAway(t *testing.T) {
	f, c := newAPI(t)
	f.Mu.Lock()
	f.Away = 3
	f.Mu.Unlock()
	if iss, err := c.Issuer(t.Context()); err != nil || iss != kubefake.DefaultIssuer {
		t.Errorf("%q, %v", iss, err)
	}
	f.Mu.Lock()
	defer f.Mu.Unlock()
	if f.Away != 0 {
		t.Errorf("%d requests missing", f.Away)
	}
}

// newAPI is a fake and a Cluster that is connected to it through a kubeconfig.
func newAPI(t *testing.T) (*kubefake.API, *Cluster) {
	t.Helper()
	f := kubefake.New(t)
	c, err := Connect(t.Context(), Options{Kubeconfig: f.Kubeconfig(t, "remote")})
	if err != nil {
		t.Fatal(err)
	}
	return f, c
}

func summaries(steps []plan.Step) []string {
	var all []string
	for _, s := range steps {
		all = append(all, s.String())
	}
	return all
}

const testIssuer = "https://openirsa-dev.s3.eu-west-1.amazonaws.com/dev"
