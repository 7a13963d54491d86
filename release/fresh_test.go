package release_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestFresh: a new Debian with Docker's client and the program of the archive, and nothing
// else of ours and no Go, runs the demo, and makes the chain on a kind cluster.
func TestFresh(t *testing.T) {
	one, _ := made(t)
	root := filepath.Join(t.TempDir(), "debian")
	kindenv := func(args ...string) string {
		t.Helper()
		return command{dir: filepath.Join("..", "e2e")}.must(t, "go", append([]string{"run", "./cmd/kindenv"}, args...)...)
	}
	kindenv("debian", root, "docker-cli")
	if err := os.WriteFile(filepath.Join(root, "usr/local/bin/openirsa"), one.program(t, here()), 0o755); err != nil {
		t.Fatal(err)
	}
	const instance = "32"
	t.Cleanup(func() { kindenv("down", "--instance", instance) })
	said := kindenv("up", "--instance", instance, "--cluster", "openirsa-fresh")
	env, files := []string{"HOME=/root"}, ""
	for _, m := range regexp.MustCompile("(?m)^export (DOCKER_HOST|KUBECONFIG)='(.*)'$").FindAllStringSubmatch(said, -1) {
		env = append(env, m[1]+"="+m[2])
		if m[1] == "KUBECONFIG" {
			files = filepath.Dir(m[2])
		}
	}
	if len(env) != 3 {
		t.Fatalf("kindenv says no DOCKER_HOST or no KUBECONFIG:\n%s", said)
	}
	// inside runs the program in the new Debian, which has the files of the cluster.
	inside := func(args ...string) string {
		t.Helper()
		const script = `root=$1 files=$2; shift 2
mkdir -p "$root$files" && mount --bind "$files" "$root$files" && mount -t proc proc "$root/proc"
exec chroot "$root" env -i PATH=/usr/local/bin:/usr/bin:/bin "$@"`
		args = append(append([]string{"--mount", "sh", "-euc", script, "sh", root, files}, env...), append([]string{"openirsa"}, args...)...)
		return command{}.must(t, "unshare", args...)
	}
	for _, want := range []string{"AccessDenied", "listed"} {
		if demo := inside("demo"); !strings.Contains(demo, want) {
			t.Errorf("the demo does not say %s:\n%s", want, demo)
		}
	}
	t.Log(inside("up", "--emulator"))
	t.Log(inside("iamserviceaccount", "create", "--namespace", "default", "--name", "app",
		"--attach-policy-arn", "arn:aws:iam::aws:policy/IAMReadOnlyAccess", "--approve"))
	if doctor := inside("doctor", "--service-account", "default/app"); !strings.Contains(doctor, "No link is broken") {
		t.Errorf("doctor:\n%s", doctor)
	}
}
