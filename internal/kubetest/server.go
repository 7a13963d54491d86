package kubetest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

// Issuer is that of the server's tokens, unless its flags say otherwise.
const Issuer = "https://oidc.example.com/test"

// Server is a kube-apiserver that runs until its test ends.
type Server struct {
	// Config is that of an administrator.
	Config *rest.Config
	Client *kubernetes.Clientset
	Etcd   Etcd

	t        testing.TB
	dir      string
	programs []*program
	empty    map[string][]byte // its etcd's keys when it was new, of one that is kept
}

// start runs etcd and the API server.
func (s *Server) start(bin string, flags []string) {
	t := s.t
	t.Helper()
	peer, client, secure := FreePort(t), FreePort(t), FreePort(t)
	url := fmt.Sprintf("http://127.0.0.1:%d", client)
	s.Etcd = Etcd(url)
	s.run(filepath.Join(bin, "etcd"), "--data-dir", filepath.Join(s.dir, "etcd"), "--unsafe-no-fsync", "--log-level", "error",
		"--max-txn-ops", "4096",
		"--listen-client-urls", url, "--advertise-client-urls", url, "--listen-peer-urls", fmt.Sprintf("http://127.0.0.1:%d", peer))
	tokens := filepath.Join(s.dir, "tokens.csv")
	if err := os.WriteFile(tokens, []byte("admin,admin,admin,system:masters\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	names := func(prefix string) bool {
		return slices.ContainsFunc(flags, func(f string) bool { return strings.HasPrefix(f, prefix) })
	}
	if !names("--service-account-issuer") { // which would be one more, not another
		flags = append([]string{"--service-account-issuer", Issuer, "--api-audiences", Issuer}, flags...)
	}
	if !names("--service-account-signing-") {
		key := s.signingKey()
		flags = append([]string{"--service-account-signing-key-file", key, "--service-account-key-file", key}, flags...)
	}
	s.run(filepath.Join(bin, "kube-apiserver"), append([]string{
		"--etcd-servers", url, "--bind-address", "127.0.0.1", "--secure-port", fmt.Sprint(secure),
		"--cert-dir", filepath.Join(s.dir, "certs"),
		"--service-cluster-ip-range", "10.0.0.0/24", "--authorization-mode", "RBAC", "--token-auth-file", tokens,
	}, flags...)...)
	s.Config = &rest.Config{Host: fmt.Sprintf("https://127.0.0.1:%d", secure), BearerToken: "admin",
		TLSClientConfig: rest.TLSClientConfig{Insecure: true}, QPS: -1}
	var err error
	if s.Client, err = kubernetes.NewForConfig(s.Config); err != nil {
		t.Fatal(err)
	}
	s.ready()
}

// ready waits for the API server.
func (s *Server) ready() {
	s.t.Helper()
	const within = 90 * time.Second
	for start := time.Now(); ; time.Sleep(100 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(s.t.Context(), 5*time.Second)
		_, err := s.Client.Discovery().RESTClient().Get().AbsPath("/readyz").DoRaw(ctx)
		cancel()
		if err == nil {
			return
		}
		if time.Since(start) > within {
			s.t.Fatalf("the API server is not ready within %s: %v", within, err)
		}
	}
}

// signingKey is a file with a key for tokens.
func (s *Server) signingKey() string {
	s.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		s.t.Fatal(err)
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		s.t.Fatal(err)
	}
	name := filepath.Join(s.dir, "sa.key")
	if err := os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return name
}

// FreePort is a TCP port of the loopback interface that is free now.
func FreePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// program is one that runs for a server.
type program struct {
	cmd *exec.Cmd
	log *os.File
}

// run runs a program until it is killed.
func (s *Server) run(name string, args ...string) {
	s.t.Helper()
	log, err := os.Create(filepath.Join(s.dir, filepath.Base(name)+".log"))
	if err != nil {
		s.t.Fatal(err)
	}
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append(os.Environ(), "GOGC=400") // there is more memory than time
	EndWithTest(cmd)
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.programs = append(s.programs, &program{cmd, log})
}

// kill ends the programs, the API server first: without etcd it would take its
// time.
func (s *Server) kill() {
	for _, p := range slices.Backward(s.programs) {
		p.cmd.Process.Kill()
		p.cmd.Wait()
		p.log.Close()
	}
}

// explain shows the last words of the programs if the test has failed.
func (s *Server) explain() {
	if !s.t.Failed() {
		return
	}
	for _, p := range s.programs {
		out, _ := os.ReadFile(p.log.Name())
		lines := strings.Split(string(out), "\n")
		s.t.Logf("%s:\n%s", filepath.Base(p.cmd.Path), strings.Join(lines[max(0, len(lines)-15):], "\n"))
	}
}

// Log is what the API server has written so far.
func (s *Server) Log() string {
	s.t.Helper()
	out, err := os.ReadFile(filepath.Join(s.dir, "kube-apiserver.log"))
	if err != nil {
		s.t.Fatal(err)
	}
	return string(out)
}

// Kubeconfig is a file for an administrator.
func (s *Server) Kubeconfig() string {
	s.t.Helper()
	name := filepath.Join(s.dir, "kubeconfig")
	err := clientcmd.WriteToFile(api.Config{
		CurrentContext: "test",
		Contexts:       map[string]*api.Context{"test": {Cluster: "test", AuthInfo: "admin"}},
		Clusters:       map[string]*api.Cluster{"test": {Server: s.Config.Host, InsecureSkipTLSVerify: true}},
		AuthInfos:      map[string]*api.AuthInfo{"admin": {Token: s.Config.BearerToken}},
	}, name)
	if err != nil {
		s.t.Fatal(err)
	}
	return name
}
