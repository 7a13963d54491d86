// Package kubetest gives tests a real kube-apiserver with its own etcd and nothing
// else of a cluster: no node, no controller.
//
//	server := kubetest.Start(t)
//	cmd := exec.Command("kubectl", "--kubeconfig", server.Kubeconfig(), "get", "namespaces")
//
// It takes the programs from the folder $OPENIRSA_KUBERNETES_BIN, which a test
// needs ([needs.Lacking]).
package kubetest

import (
	"os"
	"testing"

	"github.com/openirsa/openirsa/internal/needs"
)

// Bin is the folder with the programs of Kubernetes.
func Bin(t testing.TB) string {
	t.Helper()
	bin := os.Getenv("OPENIRSA_KUBERNETES_BIN")
	if bin == "" {
		needs.Lacking(t, "OPENIRSA_KUBERNETES_BIN, a folder with etcd, kube-apiserver and kubeadm")
	}
	return bin
}

// Start runs a kube-apiserver with additional flags, and waits until it is ready.
// Service account tokens are of [Issuer] and signed with a new key unless the flags
// say otherwise.
func Start(t testing.TB, flags ...string) *Server {
	t.Helper()
	bin := Bin(t)
	if testing.Short() {
		t.Skip("a real kube-apiserver is not short")
	}
	if k := kept.Load(); k != nil {
		return k.server(t, bin, flags)
	}
	s := &Server{t: t, dir: t.TempDir()}
	t.Cleanup(func() {
		s.kill()
		s.explain()
	})
	s.start(bin, flags)
	return s
}
