package e2e

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	kindexec "sigs.k8s.io/kind/pkg/exec"

	"github.com/openirsa/openirsa/e2e/internal/kindenv"
)

const kubeadmCluster = "openirsa-e2e-kubeadm"

// TestKubeadm: a cluster of kubeadm's with two control-plane nodes, which `up` cannot reach, gets the chain: setup
// runs on each node as on any host, and tokens of one API server are never refused by the other one.
func TestKubeadm(t *testing.T) {
	onOwnCluster(t)
	archive := filepath.Join(t.TempDir(), "image.tar")
	image := setup(t, "image", "--arch", runtime.GOARCH, "--file", archive).ok(t)
	ref := strings.TrimSpace(image.stdout)
	k := addCluster(t, kubeadmCluster, kindenv.Shape{ControlPlanes: 2}, client, kindenv.Image{Ref: ref, Archive: archive})
	nodes := k.nodes(t)
	for _, node := range nodes {
		k.install(t, node)
	}
	manifests := func() string { return k.everywhere(t, "sha256sum /etc/kubernetes/manifests/*; ls /etc/kubernetes") }
	was := manifests()
	k.namespace(t, "e2e-kubeadm")
	old := k.pod(t, podSpec{namespace: "e2e-kubeadm", name: "old", image: client, args: []string{"/client", "sleep"}}).running(t)

	cloud, prod := startEmulator(t), k.asProd(t)
	remote := func(verb string, args ...string) result {
		t.Helper()
		return cloud.setup(t, append([]string{verb, "--kubeconfig", prod, "--context", "prod"}, args...)...)
	}
	local := func(node int, args ...string) result {
		t.Helper()
		return k.onNode(t, nodes[node], append([]string{"setup", "apiserver"}, args...)...)
	}
	const iss = "https://openirsa-prod-000000000000.s3." + region + ".amazonaws.com"

	// Everything but the API servers.
	r := remote("up", "--name", "prod", "--image", ref)
	r.fails(t, "API server", nodes[0], nodes[1], iss, "setup apiserver")
	if !strings.Contains(r.stdout, "pending") || !strings.Contains(r.stdout, "webhook") {
		t.Errorf("up says:\n%s", r.stdout)
	}

	// An API server that is not there in time gets its previous manifest back.
	local(1, "--accept", "--wait", "1s").fails(t, "API server", nodes[1], "its previous manifest is back")
	if now := manifests(); strings.ReplaceAll(now, "openirsa\n", "") != was {
		t.Errorf("after going back:\n%s\nbefore:\n%s", now, was)
	}

	// Node by node, and once more.
	local(0).fails(t, "API server", "do not accept", nodes[1])
	checkPodToken(t, old)
	local(1).ok(t)
	checkPodToken(t, old)
	poll(t, patience, "waiting for kubelet to show the new flags on node "+nodes[1], func(context.Context) error {
		if r = remote("up", "--name", "prod", "--image", ref); strings.Contains(r.stderr, nodes[1]) {
			return errText(r.stderr)
		}
		return nil
	})
	r.fails(t, "API server", nodes[0])
	if r := local(0).ok(t); !strings.Contains(r.stdout, "updated") {
		t.Errorf("it says:\n%s", r.stdout)
	}
	if r := local(0).ok(t); !strings.Contains(r.stdout, "unchanged") {
		t.Errorf("again, it says:\n%s", r.stdout)
	}
	poll(t, patience, "waiting for kubelet to show the new flags", func(context.Context) error {
		if r := remote("up", "--name", "prod", "--image", ref); r.code != 0 {
			return errText(r.stderr)
		}
		return nil
	})
	if got := k.issuer(t); got != iss {
		t.Errorf("tokens are issued as %s, want %s", got, iss)
	}
	for range 10 { // by either API server
		if who, err := k.whoami(suite, k.token(t, "e2e-kubeadm", "default")); err != nil || !strings.HasPrefix(who, "system:serviceaccount:") {
			t.Errorf("a new token: %q, %v", who, err)
		}
	}
	checkPodToken(t, old)

	// Back: the provider stays until the API servers have their previous flags.
	remote("down").fails(t, "API server", nodes[0], nodes[1], "setup apiserver --undo")
	local(0, "--undo").fails(t, "issuer", "still sign", nodes[1])
	local(1, "--undo").fails(t, "issuer", "may still have tokens", "--ssh")
	checkPodToken(t, old)
	local(1, "--undo", "--immediately").ok(t)
	local(0, "--undo", "--immediately").ok(t)
	if now := manifests(); now != was {
		t.Errorf("after --undo:\n%s\nbefore:\n%s", now, was)
	}
	poll(t, patience, "waiting for kubelet to show the previous flags", func(context.Context) error {
		if r := remote("down"); r.code != 0 {
			return errText(r.stderr)
		}
		return nil
	})
	checkPodToken(t, k.pod(t, podSpec{namespace: "e2e-kubeadm", name: "new", image: client, args: []string{"/client", "sleep"}}).running(t))
}

type errText string

func (e errText) Error() string { return string(e) }

// asProd is a kubeconfig in which nothing says that the cluster is kind's.
func (k *kube) asProd(t testing.TB) string {
	t.Helper()
	c := clientcmdapi.NewConfig()
	c.Clusters["prod"] = &clientcmdapi.Cluster{Server: k.config.Host, CertificateAuthorityData: k.config.CAData}
	c.AuthInfos["prod"] = &clientcmdapi.AuthInfo{ClientCertificateData: k.config.CertData, ClientKeyData: k.config.KeyData}
	c.Contexts["prod"] = &clientcmdapi.Context{Cluster: "prod", AuthInfo: "prod"}
	c.CurrentContext = "prod"
	file := filepath.Join(t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*c, file); err != nil {
		t.Fatalf("writing a kubeconfig: %v", err)
	}
	return file
}

// install puts setup on a node.
func (k *kube) install(t testing.TB, node string) {
	t.Helper()
	n, err := k.nodeNamed(node)
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.Open(filepath.Join(bin, "setup"))
	if err != nil {
		t.Fatalf("%v: run make build first", err)
	}
	defer program.Close()
	if err := n.CommandContext(suite, "sh", "-c",
		"cat >/usr/local/bin/setup && chmod 755 /usr/local/bin/setup").SetStdin(program).Run(); err != nil {
		t.Fatalf("copying setup to node %s: %v", node, err)
	}
}

// onNode runs a program on a node, as its root would.
func (k *kube) onNode(t testing.TB, node string, args ...string) result {
	t.Helper()
	n, err := k.nodeNamed(node)
	if err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	start := time.Now()
	err = n.CommandContext(suite, args[0], args[1:]...).SetStdout(&stdout).SetStderr(&stderr).Run()
	r := result{stdout: stdout.String(), stderr: stderr.String(), took: time.Since(start)}
	if run := kindexec.RunErrorForError(err); run != nil {
		err = run.Inner
	}
	if exit, ok := err.(*exec.ExitError); ok {
		r.code = exit.ExitCode()
	} else if err != nil {
		t.Fatalf("on node %s: %v", node, err)
	}
	t.Logf("%s: %s: exit %d after %.0fs\n%s%s", node, strings.Join(args, " "), r.code, r.took.Seconds(), r.stdout, r.stderr)
	return r
}
