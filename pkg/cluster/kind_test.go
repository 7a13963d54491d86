package cluster

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestKindAddress(t *testing.T) {
	for _, c := range []struct{ name, inspected, want, wrong string }{
		{"one node", `[{"Config": {"Labels": {"io.x-k8s.kind.role": "control-plane"}},
			"NetworkSettings": {"Ports": {"80/tcp": null, "6443/tcp": [{"HostIp": "127.0.0.1", "HostPort": "40001"}]}}}]`, "127.0.0.1:40001", ""},
		{"version 6", `[{"Config": {"Labels": {"io.x-k8s.kind.role": "control-plane"}},
			"NetworkSettings": {"Ports": {"6443/tcp": [{"HostIp": "::1", "HostPort": "40001"}]}}}]`, "[::1]:40001", ""},
		{"load balancer", `[{"Config": {"Labels": {"io.x-k8s.kind.role": "control-plane"}},
			"NetworkSettings": {"Ports": {"6443/tcp": [{"HostIp": "127.0.0.1", "HostPort": "40001"}]}}},
			{"Config": {"Labels": {"io.x-k8s.kind.role": "external-load-balancer"}},
			"NetworkSettings": {"Ports": {"6443/tcp": [{"HostIp": "127.0.0.1", "HostPort": "40002"}]}}}]`, "127.0.0.1:40002", ""},
		{"Docker Desktop", `[{"Config": {"Labels": {"io.x-k8s.kind.role": "control-plane", "desktop.docker.io/ports/6443/tcp": "10.0.1.7:6443"}},
			"NetworkSettings": {"Ports": {"6443/tcp": [{"HostIp": "127.0.0.1", "HostPort": "40001"}]}}}]`, "10.0.1.7:6443", ""},
		{"stopped", `[{"Name": "dev-control-plane", "Config": {"Labels": {"io.x-k8s.kind.role": "control-plane"}}, "NetworkSettings": {"Ports": {}}}]`,
			"", "container dev-control-plane publishes no port 6443/tcp"},
		{"workers only", `[{"Config": {"Labels": {"io.x-k8s.kind.role": "worker"}}}]`, "", "no control-plane node"},
	} {
		var list []kindContainer
		if err := json.Unmarshal([]byte(c.inspected), &list); err != nil {
			t.Fatal(err)
		}
		got, err := kindAddress(list)
		if got != c.want || (c.wrong == "") != (err == nil) || (err != nil && !strings.Contains(err.Error(), c.wrong)) {
			t.Errorf("%s: %q, %v", c.name, got, err)
		}
	}
}

func TestContainerRuntime(t *testing.T) {
	both := t.TempDir()
	for _, name := range []string{"podman", "docker"} {
		if err := os.WriteFile(filepath.Join(both, name), []byte("#!/bin/sh\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ provider, path, want string }{
		{"", both, "docker"}, {"podman", both, "podman"}, {"something", both, "docker"}, {"finch", both, ""}, {"", t.TempDir(), ""},
	} {
		t.Setenv("KIND_EXPERIMENTAL_PROVIDER", c.provider)
		t.Setenv("PATH", c.path)
		if got, err := containerRuntime(); got != c.want || (c.want == "") != errors.Is(err, ErrNoCluster) {
			t.Errorf("provider %q: %q, %v", c.provider, got, err)
		}
	}
}

// TestKindContainersChange: another cluster may be deleted at any time, and what cannot be listed is said.
func TestKindContainersChange(t *testing.T) {
	docker(t, "dev", "stage")
	dir, _, _ := strings.Cut(os.Getenv("PATH"), ":")
	rest := filepath.Join(dir, "rest")
	if err := os.Rename(filepath.Join(dir, "docker"), rest); err != nil {
		t.Fatal(err)
	}
	program := func(script string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, "docker"), []byte("#!/bin/sh\n"+script), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	program(`if [ "$1" = inspect ] && ! [ -e "$0.asked" ]; then
	touch "$0.asked"; echo "Error: No such object: stage-worker" >&2; exit 1
fi
exec "${0%docker}rest" "$@"`)
	if names, err := KindNames(t.Context()); !slices.Equal(names, []string{"dev", "stage"}) {
		t.Errorf("%q, %v", names, err)
	}
	program("echo 'Cannot connect to the Docker daemon' >&2; exit 1")
	if _, err := KindNames(t.Context()); err == nil ||
		err.Error() != "listing the containers of kind clusters: docker ps: Cannot connect to the Docker daemon" {
		t.Errorf("error = %v", err)
	}
}
