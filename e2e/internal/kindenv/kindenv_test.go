package kindenv

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

func TestChoose(t *testing.T) {
	ok := func(context.Context) error { return nil }
	no := func(context.Context) error { return errors.New("cannot connect") }
	registry := func(context.Context, string) error { return nil }
	noRegistry := func(context.Context, string) error { return errors.New("no such host") }
	everything := func(...string) []string { return nil }
	nothing := func(p ...string) []string { return p }
	for _, c := range []struct {
		name  string
		want  Route
		on    machine
		route Route
		why   string // in the reason, or in the error if there is no route
	}{
		{"laptop", Auto, machine{ok, registry, false, "darwin", nothing}, Kind, "docker daemon answers"},
		{"laptop as root", Auto, machine{ok, registry, true, "linux", everything}, Kind, "docker daemon answers"},
		{"no daemon", Auto, machine{no, registry, true, "linux", everything}, Built, "cannot connect"},
		{"no registry", Auto, machine{ok, noRegistry, true, "linux", everything}, Built, "no such host"},
		{"asked for", Built, machine{ok, registry, true, "linux", everything}, Built, "asked for"},
		{"kind or nothing", Kind, machine{no, registry, true, "linux", everything}, "", "cannot connect"},
		{"not root", Auto, machine{no, registry, false, "linux", everything}, "", "by root only"},
		{"not Linux", Auto, machine{ok, noRegistry, true, "darwin", everything}, "", "this is darwin"},
		{"no apt", Auto, machine{no, registry, true, "linux", nothing}, "", "apt-get"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := chooseOn(t.Context(), c.want, c.on)
			text := got.why
			if err != nil {
				text = err.Error()
			}
			if got.route != c.route || !strings.Contains(text, c.why) {
				t.Errorf("route %q because %q, want %q because %q", got.route, text, c.route, c.why)
			}
			if (err != nil) != (c.route == "") || (err != nil && !errors.Is(err, ErrImpossible)) {
				t.Errorf("error %v", err)
			}
			if (got.image != "") != (c.route == Kind) {
				t.Errorf("image %q", got.image)
			}
		})
	}
}

func testCache(t *testing.T) cache {
	t.Helper()
	return cache{dir: t.TempDir(), log: newLogger(io.Discard)}
}

func TestCacheEntry(t *testing.T) {
	c := testCache(t)
	built := 0
	build := func(_ context.Context, dir string) error {
		built++
		return os.WriteFile(filepath.Join(dir, "file"), []byte("content"), 0o600)
	}
	// What a killed build left.
	if err := os.MkdirAll(filepath.Join(c.dir, "thing.tmp", "half"), 0o755); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		dir, err := c.entry(t.Context(), "thing", keyOf("v1"), build)
		if err != nil {
			t.Fatal(err)
		}
		if b, err := os.ReadFile(filepath.Join(dir, "file")); err != nil || string(b) != "content" {
			t.Errorf("%q, %v", b, err)
		}
		if _, err := os.Stat(filepath.Join(dir, "half")); !os.IsNotExist(err) {
			t.Errorf("what a killed build left is in the entry: %v", err)
		}
	}
	if built != 1 {
		t.Errorf("built %d times, want once", built)
	}
	if _, err := c.entry(t.Context(), "thing", keyOf("v2"), build); err != nil || built != 2 {
		t.Errorf("another key: built %d times, %v", built, err)
	}
}

func TestCacheFailedBuild(t *testing.T) {
	c := testCache(t)
	broken := errors.New("broken")
	_, err := c.entry(t.Context(), "thing", keyOf("v1"), func(_ context.Context, dir string) error {
		if err := os.WriteFile(filepath.Join(dir, "half"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		return broken
	})
	if !errors.Is(err, broken) {
		t.Fatalf("error %v", err)
	}
	if dirs, _ := filepath.Glob(filepath.Join(c.dir, "thing[-.][^l]*")); len(dirs) > 0 {
		t.Errorf("a failed build left %v", dirs)
	}
}

func TestCacheSweep(t *testing.T) {
	c := testCache(t)
	at := func(name string, age time.Duration) {
		p := filepath.Join(c.dir, name)
		if err := os.Mkdir(p, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(p, time.Now().Add(-age), time.Now().Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	at("node-"+keyOf("old"), 2*unused)
	at("node-"+keyOf("used"), unused/2)
	at("node-modules", 2*unused) // not an entry of ours
	at("rootfs-"+keyOf("old"), 2*unused)
	if err := c.sweep("node"); err != nil {
		t.Fatal(err)
	}
	left, _ := filepath.Glob(filepath.Join(c.dir, "*"))
	for i := range left {
		left[i] = filepath.Base(left[i])
	}
	want := []string{"node-" + keyOf("used"), "node-modules", "rootfs-" + keyOf("old")}
	slices.Sort(want)
	if diff := cmp.Diff(want, left); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
}

func TestCacheWaitsForTheOtherBuild(t *testing.T) {
	c := testCache(t)
	held, err := lockFile(t.Context(), filepath.Join(c.dir, "thing.lock"))
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err = c.entry(ctx, "thing", keyOf("v1"), func(context.Context, string) error {
		t.Error("built while another process builds")
		return nil
	})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
}

func TestKeyOf(t *testing.T) {
	if keyOf("ab", "c") == keyOf("a", "bc") || keyOf("a") == keyOf("a", "") {
		t.Error("different inputs have the same key")
	}
	again := []string{"a", "b"}
	if keyOf("a", "b") != keyOf(again...) {
		t.Error("the same inputs have different keys")
	}
}

func TestInstanceLock(t *testing.T) {
	dir := t.TempDir()
	f, err := lockInstance(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lockInstance(dir); err == nil || !strings.Contains(err.Error(), "OPENIRSA_E2E_INSTANCE") {
		t.Errorf("a second lock: %v", err)
	}
	f.Close()
	if f, err = lockInstance(dir); err != nil {
		t.Errorf("after the first is released: %v", err)
	} else {
		f.Close()
	}
}

func TestMountsBelow(t *testing.T) {
	const table = `proc /proc proc rw 0 0
tmpfs /mnt/root tmpfs rw 0 0
proc /mnt/root/proc proc rw 0 0
tmpfs /mnt/rootless tmpfs rw 0 0
overlay /mnt/root/with\040space overlay rw 0 0
sysfs /mnt/root/sys sysfs rw 0 0
short
`
	got := mountsBelow(table, "/mnt/root")
	want := []string{"/mnt/root/sys", "/mnt/root/with space", "/mnt/root/proc", "/mnt/root"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("mounts (-want +got):\n%s", diff)
	}
}

func TestInCgroup(t *testing.T) {
	for _, c := range []struct {
		file string
		want bool
	}{
		{"0::/openirsa-e2e-1/abc\n", true},
		{"12:cpu:/\n3:memory:/openirsa-e2e-1\n", true},
		{"0::/openirsa-e2e-10/abc\n", false},
		{"0::/user.slice/openirsa-e2e-1\n", false},
		{"", false},
		{"garbage\n", false},
	} {
		if got := inCgroup(c.file, "openirsa-e2e-1"); got != c.want {
			t.Errorf("%q: %v, want %v", c.file, got, c.want)
		}
	}
}

func TestPickMirror(t *testing.T) {
	const targets = "Debian-Security\toldstable-security\thttp://security.example/debian-security/\n" +
		"Debian\toldstable-updates\thttp://updates.example/debian/\n" +
		"Ubuntu\tnoble\thttp://ubuntu.example/ubuntu/\n" +
		"Debian\toldstable\thttp://mirror.example/debian/\n"
	if got := pickMirror(targets); got != "http://mirror.example/debian/" {
		t.Errorf("mirror %q", got)
	}
	if got := pickMirror("Ubuntu\tnoble\thttp://ubuntu.example/ubuntu/\n"); got != "" {
		t.Errorf("mirror of a machine without Debian: %q", got)
	}
}

func TestLibraries(t *testing.T) {
	const ldd = "\tlinux-vdso.so.1 (0x00007ffe)\n\tlibnftables.so.1 => /lib/x86_64-linux-gnu/libnftables.so.1 (0x00007f)\n\t/lib64/ld-linux-x86-64.so.2 (0x00007f)\n"
	want := []string{"/lib/x86_64-linux-gnu/libnftables.so.1", "/lib64/ld-linux-x86-64.so.2"}
	if diff := cmp.Diff(want, libraries(ldd)); diff != "" {
		t.Errorf("libraries (-want +got):\n%s", diff)
	}
}

func TestWriteImage(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "program")
	if err := os.WriteFile(program, []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	write := func(name string) Image {
		im := Image{Ref: "openirsa.dev/e2e/test:1", Archive: filepath.Join(dir, name)}
		if err := WriteImage(im, "/usr/bin/program", File{"/usr/bin/program", program}, File{"/usr/bin/again", program}); err != nil {
			t.Fatal(err)
		}
		return im
	}
	im := write("a.tar")
	img, err := tarball.ImageFromPath(im.Archive, nil)
	if err != nil {
		t.Fatal(err)
	}
	config, err := img.ConfigFile()
	if err != nil || !slices.Equal(config.Config.Entrypoint, []string{"/usr/bin/program"}) {
		t.Errorf("entrypoint %q, %v", config.Config.Entrypoint, err)
	}
	layers, err := img.Layers()
	if err != nil || len(layers) != 1 {
		t.Fatalf("%d layers, %v", len(layers), err)
	}
	r, err := layers[0].Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var names []string
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, h.Name)
	}
	if diff := cmp.Diff([]string{"tmp/", "usr/", "usr/bin/", "usr/bin/program", "usr/bin/again"}, names); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	a, _ := os.ReadFile(im.Archive)
	b, _ := os.ReadFile(write("b.tar").Archive)
	if !bytes.Equal(a, b) {
		t.Error("the same content gives different archives")
	}
}

// An image by another name differs in its entry point alone, and brings the one that it was made of.
func TestAs(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "program")
	if err := os.WriteFile(program, []byte("#!"), 0o755); err != nil {
		t.Fatal(err)
	}
	im := Image{Ref: "example.com/one:1", Archive: filepath.Join(dir, "one.tar")}
	if err := WriteImage(im, "/program", File{"/program", program}); err != nil {
		t.Fatal(err)
	}
	as, err := im.As("docker.io/example/two:2", filepath.Join(dir, "two.tar"), "/other")
	if err != nil || as.Ref != "docker.io/example/two:2" {
		t.Fatalf("%+v, %v", as, err)
	}
	manifest, err := tarball.LoadManifest(func() (io.ReadCloser, error) { return os.Open(as.Archive) })
	if err != nil || len(manifest) != 2 || !slices.Equal(manifest[0].Layers, manifest[1].Layers) {
		t.Errorf("manifest %+v, %v", manifest, err)
	}
	config := func(archive, ref string) *v1.ConfigFile {
		t.Helper()
		tag, err := name.NewTag(ref)
		if err != nil {
			t.Fatal(err)
		}
		img, err := tarball.ImageFromPath(archive, &tag)
		if err != nil {
			t.Fatal(err)
		}
		c, err := img.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	was, is := config(im.Archive, im.Ref), config(as.Archive, as.Ref)
	if diff := cmp.Diff(was, config(as.Archive, im.Ref)); diff != "" {
		t.Errorf("it is not there as it was:\n%s", diff)
	}
	was.Config.Entrypoint = []string{"/other"}
	if diff := cmp.Diff(was, is); diff != "" {
		t.Errorf("more than the entry point differs:\n%s", diff)
	}
	if _, err := im.As("No Name", as.Archive, "/other"); err == nil {
		t.Error("a bad name is taken")
	}
}

// Clusters that are added at the same time have ports of their own, and one that is recreated has its previous one.
func TestRegister(t *testing.T) {
	e := &Env{Dir: t.TempDir(), opts: Options{Clusters: []string{"a", "b"}}}
	var wg sync.WaitGroup
	got := make([]int, 8)
	for i := range got {
		wg.Go(func() {
			var err error
			if got[i], err = e.register(fmt.Sprint("c", i/2)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	taken := map[int]int{}
	for i, index := range got {
		if other, ok := taken[index]; index < 2 || ok && other != i/2 || got[i] != got[i/2*2] {
			t.Errorf("indexes %v", got)
		}
		taken[index] = i / 2
	}
	if r, err := e.readRecord(); err != nil || len(r.Clusters) != 6 {
		t.Errorf("recorded: %v, %v", r, err)
	}
}

func TestConfiguration(t *testing.T) {
	if c := configuration(Kind, 1, 0, Shape{ControlPlanes: 1}); len(c.KubeadmConfigPatches) > 0 || c.Networking.APIServerAddress != "" {
		t.Errorf("kind's own image with other than kind's defaults: %+v", c)
	}
	c := configuration(Built, 7, 1, Shape{ControlPlanes: 3})
	if c.Networking.APIServerAddress != "10.123.7.2" || c.Networking.APIServerPort != 6444 {
		t.Errorf("the second cluster of instance 7 is at %s:%d", c.Networking.APIServerAddress, c.Networking.APIServerPort)
	}
	if len(c.Nodes) != 3 {
		t.Errorf("%d nodes, want 3", len(c.Nodes))
	}
	for _, p := range c.KubeadmConfigPatches {
		if strings.Contains(p, "service-account") {
			t.Errorf("the issuer is set from the start: %s", p)
		}
	}
}

func TestOptions(t *testing.T) {
	for _, o := range []Options{{Instance: -1}, {Instance: 100}, {Route: "podman"}, {Shape: Shape{ControlPlanes: -1}}} {
		if _, err := Up(t.Context(), o); err == nil {
			t.Errorf("%+v is accepted", o)
		}
	}
}

func TestTail(t *testing.T) {
	var tl tail
	for range 1000 {
		_, _ = tl.Write([]byte("a line of a log\n"))
	}
	_, _ = tl.Write([]byte("the end\n"))
	if s := tl.String(); len(s) > tailSize || !strings.HasSuffix(s, "the end") {
		t.Errorf("%d bytes, ending in %q", len(s), s[max(0, len(s)-20):])
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	start := time.Now()
	// The grandchild must go too.
	_, err := run(ctx, "sh", "-c", "sleep 60 & wait")
	if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > 5*time.Second {
		t.Errorf("after %v: %v", time.Since(start), err)
	}
	_, err = run(t.Context(), "sh", "-c", "echo the reason >&2; exit 3")
	if err == nil || !strings.Contains(err.Error(), "the reason") {
		t.Errorf("error %v", err)
	}
}

// TestShared: Kubernetes is compiled with the versions of modules that our own programs have.
func TestShared(t *testing.T) {
	text, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range shared {
		if !strings.Contains(string(text), "\t"+m+" ") && !strings.Contains(string(text), "\t"+m+"\n") {
			t.Errorf("go.mod does not have %s", m)
		}
	}
}
