package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/google/go-cmp/cmp"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// testBadInput: what setup cannot work with ends with one error that names the link and the next command, and
// leaves the cluster as it was. All of it is tried on the second cluster.
func testBadInput(t *testing.T) {
	was := secondary.snapshot(t)
	untouched := func(t *testing.T) {
		t.Helper()
		if diff := cmp.Diff(was, secondary.snapshot(t)); diff != "" {
			t.Errorf("the cluster changed (-before +after):\n%s", diff)
		}
	}
	empty := filepath.Join(home, "empty-kubeconfig")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}

	t.Run("NoCluster", func(t *testing.T) {
		v := invocation{env: []string{"KUBECONFIG=" + empty, "DOCKER_HOST=unix://" + filepath.Join(home, "no.sock")}}
		v.run(t, "up", "--emulator").fails(t, "cluster", "kind")
	})
	t.Run("NoSuchKindCluster", func(t *testing.T) {
		setup(t, "up", "--emulator", "--kind-name", "no-such").fails(t, "cluster", "no-such", secondary.Name)
	})
	t.Run("TwoClusters", func(t *testing.T) {
		v := invocation{env: []string{"KUBECONFIG=" + empty}}
		v.run(t, "up", "--emulator").fails(t, "cluster", primary.Name, secondary.Name, "--kind-name")
	})
	t.Run("NoAnswer", func(t *testing.T) {
		file := kubeconfigFor(t, "gone", &httptest.Server{URL: "https://127.0.0.1:1"}, &clientcmdapi.AuthInfo{Token: "none"})
		setup(t, "up", "--emulator", "--kubeconfig", file).fails(t, "cluster", "127.0.0.1:1")
	})
	t.Run("NoRights", func(t *testing.T) {
		secondary.namespace(t, "e2e-bad")
		server := proxy(t, nil)
		file := kubeconfigFor(t, "powerless", server, &clientcmdapi.AuthInfo{Token: secondary.token(t, "e2e-bad", "default")})
		setup(t, "up", "--emulator", "--kubeconfig", file).fails(t, "cluster", "administrator")
		untouched(t)
	})
	t.Run("KeyType", func(t *testing.T) {
		// No API server signs with such a key today; one with an external signer can.
		const set = `{"keys":[{"use":"sig","kty":"OKP","kid":"edwards","alg":"EdDSA","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`
		server := proxy(t, map[string]string{"/openid/v1/jwks": set})
		file := kubeconfigFor(t, "edwards", server, &clientcmdapi.AuthInfo{})
		setup(t, "up", "--emulator", "--kubeconfig", file, "--image", "example.com/openirsa").fails(t, "signing key", "RSA")
		untouched(t)
	})
	t.Run("OtherIssuer", func(t *testing.T) {
		const public = "https://issuer.example.com"
		// Its own issuer stays accepted: kube-proxy has tokens of it.
		restore := secondary.setManifest(t, `/--service-account-issuer=/{h;s#=.*#=`+public+`#;G}`, public)
		setup(t, "up", "--emulator", "--kind-name", secondary.Name).fails(t, "issuer", public, "--issuer-url")
		if names := secondary.snapshot(t).Namespaces; slices.Contains(names, system) {
			t.Errorf("namespaces %q", names)
		}
		restore()
		untouched(t)
	})
	t.Run("ForeignBucket", func(t *testing.T) {
		cloud := startEmulator(t)
		cloud.post(t, "/_openirsa/control/buckets", `{"name": "not-ours", "account": "111122223333", "region": "`+region+`"}`)
		up := []string{"up", "--kind-name", secondary.Name, "--bucket", "not-ours"}
		cloud.setup(t, up...).fails(t, "documents", "not-ours", "--bucket")
		cloud.setup(t, "down", "--kind-name", secondary.Name).ok(t)
		untouched(t)
	})
	t.Run("AccountBlock", func(t *testing.T) {
		cloud := startEmulator(t)
		block := func(v bool) {
			cloud.putAccountBlock(t, fmt.Sprintf(`<PublicAccessBlockConfiguration xmlns="http://awss3control.amazonaws.com/doc/2018-08-20/">`+
				`<BlockPublicAcls>%[1]t</BlockPublicAcls><IgnorePublicAcls>%[1]t</IgnorePublicAcls>`+
				`<BlockPublicPolicy>%[1]t</BlockPublicPolicy><RestrictPublicBuckets>%[1]t</RestrictPublicBuckets></PublicAccessBlockConfiguration>`, v))
		}
		block(true)
		up := []string{"up", "--kind-name", secondary.Name}
		cloud.setup(t, up...).fails(t, "documents", "account", "s3control")
		block(false)
		cloud.setup(t, append(up, "--dry-run")...).ok(t)
		cloud.setup(t, "down", "--kind-name", secondary.Name).ok(t)
		untouched(t)
	})
	t.Run("Usage", func(t *testing.T) {
		for _, args := range [][]string{{"upp"}, {"up", "--no-such-flag"}, {"up", "--emulator", "extra"},
			{"iamserviceaccount", "create", "--name", "UPPER"}} {
			if r := setup(t, args...); r.code != 2 || !strings.Contains(r.stderr, "--help") {
				t.Errorf("setup %q: exit %d, want 2 and the word --help: %s", args, r.code, r.stderr)
			}
		}
	})
}

// testBadRoles is the part of bad input that needs the chain.
func testBadRoles(t *testing.T) {
	needChain(t)
	const ns = "e2e-bad"
	primary.namespace(t, ns)
	create := func(args ...string) []string {
		return append([]string{"iamserviceaccount", "create", "--namespace", ns, "--approve"}, args...)
	}
	nothing := func(t *testing.T) {
		t.Helper()
		if list := setup(t, "iamserviceaccount", "get", "--namespace", ns).ok(t); strings.Contains(list.stdout, "arn:") {
			t.Errorf("a service account has a role:\n%s", list.stdout)
		}
		if roles := rootCLI(t, "iam", "list-roles"); strings.Contains(roles, "e2e-bad") || strings.Contains(roles, "xxxx") {
			t.Errorf("a role was made: %s", roles)
		}
	}
	t.Run("NameTooLong", func(t *testing.T) {
		r := setup(t, create("--name", "app", "--role-name", strings.Repeat("x", 65), "--attach-policy-arn", readOnly)...)
		if r.code != 2 || !strings.Contains(r.stderr, "role") || !strings.Contains(r.stderr, "64") {
			t.Errorf("exit %d, want 2, the link and the limit: %s", r.code, r.stderr)
		}
		nothing(t)
	})
	t.Run("LongServiceAccountName", func(t *testing.T) { // the role's default name is made to fit
		name := strings.Repeat("long-", 20) + "name"
		setup(t, create("--name", name, "--attach-policy-arn", readOnly)...).ok(t)
		if r := primary.run(t, podSpec{namespace: ns, name: "long", serviceAccount: name, image: client,
			args: []string{"/client", "identity"}}); r.code != 0 {
			t.Errorf("exit %d: %s", r.code, r.stdout)
		}
		setup(t, "iamserviceaccount", "delete", "--namespace", ns, "--name", name).ok(t)
		nothing(t)
	})
	t.Run("NoSuchPolicy", func(t *testing.T) {
		setup(t, create("--name", "app", "--attach-policy-arn", "arn:aws:iam::aws:policy/NoSuchPolicy")...).fails(t, "role", "NoSuchPolicy")
		// The same command with a policy that exists mends whatever is there.
		setup(t, create("--name", "app", "--attach-policy-arn", readOnly)...).ok(t)
		if r := primary.run(t, podSpec{namespace: ns, name: "app", serviceAccount: "app", image: client,
			args: []string{"/client", "groups"}}); r.code != 0 {
			t.Errorf("exit %d: %s", r.code, r.stdout)
		}
		setup(t, "iamserviceaccount", "delete", "--namespace", ns, "--name", "app").ok(t)
	})
	t.Run("AnotherRole", func(t *testing.T) {
		const other = "arn:aws:iam::" + account + ":role/made-by-others"
		primary.serviceAccount(t, ns, "taken", map[string]string{roleAnnotation: other})
		setup(t, create("--name", "taken", "--attach-policy-arn", readOnly)...).fails(t, "service account", other,
			"--override-existing-serviceaccounts")
		if roles := rootCLI(t, "iam", "list-roles"); strings.Contains(roles, "taken") {
			t.Errorf("a role was made: %s", roles)
		}
		if got := primary.annotations(t, ns, "taken")[roleAnnotation]; got != other {
			t.Errorf("the annotation is %q now", got)
		}
		setup(t, create("--name", "taken", "--attach-policy-arn", readOnly, "--override-existing-serviceaccounts")...).ok(t)
		setup(t, "iamserviceaccount", "delete", "--namespace", ns, "--name", "taken").ok(t)
		primary.annotations(t, ns, "taken") // it was there before, and is still
	})
}

// emulatorProcess is the emulator outside of every cluster: for setup it is AWS.
type emulatorProcess struct{ url string }

// startEmulator runs the project's emulator until the end of the test.
func startEmulator(t testing.TB, args ...string) emulatorProcess {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	cmd := exec.Command(filepath.Join(bin, "emulator"), append([]string{"--listen", address, "--control"}, args...)...)
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatalf("starting the emulator: %v: run make build first", err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		if err := cmd.Wait(); err != nil || t.Failed() {
			t.Logf("the emulator: %v\n%s", err, log.String())
		}
	})
	e := emulatorProcess{"http://" + address}
	poll(t, patience, "waiting for the emulator", func(context.Context) error {
		resp, err := http.Get(e.url + "/_openirsa/health")
		if err == nil {
			resp.Body.Close()
		}
		return err
	})
	return e
}

func (e emulatorProcess) setup(t testing.TB, args ...string) result {
	t.Helper()
	v := invocation{env: []string{"AWS_ENDPOINT_URL=" + e.url, "AWS_REGION=" + region, "AWS_ACCESS_KEY_ID=test",
		"AWS_SECRET_ACCESS_KEY=test"}}
	return v.run(t, args...)
}

func (e emulatorProcess) post(t testing.TB, path, body string) {
	t.Helper()
	resp, err := http.Post(e.url+path, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		text, _ := io.ReadAll(resp.Body)
		t.Fatalf("POST %s: %s: %s", path, resp.Status, text)
	}
}

// putAccountBlock calls S3 Control's PutPublicAccessBlock, as root of the account.
func (e emulatorProcess) putAccountBlock(t testing.TB, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(suite, "PUT", e.url+"/v20180820/configuration/publicAccessBlock", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Amz-Account-Id", account)
	sum := sha256.Sum256([]byte(body))
	hash := hex.EncodeToString(sum[:])
	req.Header.Set("X-Amz-Content-Sha256", hash)
	root := aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}
	if err := v4.NewSigner().SignHTTP(suite, root, req, hash, "s3", region, time.Now()); err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		text, _ := io.ReadAll(resp.Body)
		t.Fatalf("PutPublicAccessBlock: %s: %s", resp.Status, text)
	}
}

// kubeconfigFor writes a kubeconfig with one context.
func kubeconfigFor(t testing.TB, name string, server *httptest.Server, user *clientcmdapi.AuthInfo) string {
	t.Helper()
	c := clientcmdapi.NewConfig()
	c.Clusters[name] = &clientcmdapi.Cluster{Server: server.URL}
	if cert := server.Certificate(); cert != nil { // without TLS, client-go keeps credentials to itself
		c.Clusters[name].CertificateAuthorityData = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})
	}
	c.AuthInfos[name] = user
	c.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: name}
	c.CurrentContext = name
	file := filepath.Join(t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*c, file); err != nil {
		t.Fatalf("writing a kubeconfig: %v", err)
	}
	return file
}

// proxy stands before the second cluster's API server and gives some paths another body. A request with a bearer
// token stays who it is; any other is the administrator's.
func proxy(t testing.TB, bodies map[string]string) *httptest.Server {
	t.Helper()
	target, err := url.Parse(secondary.config.Host)
	if err != nil {
		t.Fatal(err)
	}
	admin, err := rest.TransportFor(secondary.config)
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := rest.TransportFor(rest.AnonymousClientConfig(secondary.config))
	if err != nil {
		t.Fatal(err)
	}
	p := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			if !strings.HasPrefix(r.In.Header.Get("Authorization"), "Bearer ") {
				r.Out.Header.Del("Authorization")
			}
		},
		Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			if r.Header.Get("Authorization") != "" {
				return stranger.RoundTrip(r)
			}
			resp, err := admin.RoundTrip(r)
			if body, ok := bodies[r.URL.Path]; ok && err == nil {
				resp.Body.Close()
				resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader([]byte(body))), int64(len(body))
				resp.Header.Set("Content-Length", fmt.Sprint(len(body)))
			}
			return resp, err
		}),
	}
	s := httptest.NewTLSServer(p)
	t.Cleanup(s.Close)
	return s
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

const manifest = "/etc/kubernetes/manifests/kube-apiserver.yaml"

// setManifest edits the API server's manifest as an administrator does, and waits until an API server that signs with
// that issuer answers. It returns what puts the previous manifest back, which the end of the test does in any case.
func (k *kube) setManifest(t testing.TB, sed, issuer string) (restore func()) {
	t.Helper()
	const former = "/root/e2e-kube-apiserver.yaml"
	was := k.issuer(t)
	restore = sync.OnceFunc(func() {
		k.node(t, "mv "+former+" "+manifest)
		k.waitIssuer(t, was)
	})
	// Made elsewhere: kubelet would run whatever lies in the folder of manifests.
	k.node(t, `cp -p `+manifest+` `+former+` && sed -e '`+sed+`' `+former+` >/root/e2e-new.yaml && mv /root/e2e-new.yaml `+manifest)
	t.Cleanup(restore)
	k.waitIssuer(t, issuer)
	return restore
}

func (k *kube) waitIssuer(t testing.TB, issuer string) {
	t.Helper()
	poll(t, patience, "waiting for an API server with the issuer "+issuer, func(ctx context.Context) error {
		out, err := k.tryNode(ctx, `p=$(pgrep -x kube-apiserver) && tr '\0' '\n' </proc/$p/cmdline | grep -m1 -- --service-account-issuer=`)
		if err != nil || out != "--service-account-issuer="+issuer {
			return fmt.Errorf("it runs with %q: %v", out, err)
		}
		b, err := k.client.RESTClient().Get().AbsPath("/readyz").DoRaw(ctx)
		if err != nil || string(b) != "ok" {
			return fmt.Errorf("readyz: %q, %v", b, err)
		}
		return nil
	})
}
