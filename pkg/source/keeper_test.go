package source_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/openirsa/openirsa/pkg/discovery"
	"github.com/openirsa/openirsa/pkg/issuer"
	"github.com/openirsa/openirsa/pkg/keys"
	"github.com/openirsa/openirsa/pkg/source"
)

// key makes a key and its public half as PEM.
func key(t testing.TB) (keys.Public, string) {
	t.Helper()
	private, err := keys.Generate(keys.ES256)
	if err != nil {
		t.Fatal(err)
	}
	pem, err := private.Public().PEM()
	if err != nil {
		t.Fatal(err)
	}
	return private.Public(), string(pem)
}

func write(t testing.TB, name, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func parse(t testing.TB, s string) issuer.URL {
	t.Helper()
	iss, err := issuer.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return iss
}

// kept is a keeper that runs until the test ends.
type kept struct {
	*source.Keeper
	t   testing.TB
	log *syncBuffer
}

type syncBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func keep(t testing.TB, k *source.Keeper) *kept {
	t.Helper()
	log := &syncBuffer{}
	k.Handler, k.Log = &discovery.Handler{}, slog.New(slog.NewTextHandler(log, nil))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- k.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return &kept{k, t, log}
}

// jwks is what is served as the key set of an issuer.
func (k *kept) jwks(iss string) string {
	k.t.Helper()
	w := httptest.NewRecorder()
	k.Handler.ServeHTTP(w, httptest.NewRequest("GET", parse(k.t, iss).JWKS(), nil))
	if w.Code != 200 {
		return fmt.Sprint(w.Code)
	}
	return w.Body.String()
}

// within waits until something holds, and reports how long that took.
func (k *kept) within(d time.Duration, what string, ok func() bool) time.Duration {
	k.t.Helper()
	start := time.Now()
	for !ok() {
		if time.Since(start) > d {
			k.t.Fatalf("not within %s: %s\nstatus %+v\nlog:\n%s", d, what, k.Status(), k.log)
		}
		time.Sleep(5 * time.Millisecond)
	}
	return time.Since(start)
}

func (k *kept) serves(iss string, public ...keys.Public) {
	k.t.Helper()
	set, err := keys.NewSet(public...)
	if err != nil {
		k.t.Fatal(err)
	}
	k.within(5*time.Second, fmt.Sprintf("%s serves %s", iss, set.JWKS()), func() bool { return k.jwks(iss) == string(set.JWKS()) })
}

const (
	head = "apiVersion: openirsa.dev/v1alpha1\nkind: Issuer\nclusters:\n"
	issA = "https://a.example.com"
	issB = "https://b.example.com/dev"
)

func TestKeeperFiles(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	key1, pem1 := key(t)
	key2, pem2 := key(t)
	key3, pem3 := key(t)
	write(t, in("a.pub"), pem1)
	write(t, in("b/1.pub"), pem2)
	config := head + "- {issuer: " + issA + ", keyFiles: [a.pub]}\n"
	write(t, in("issuer.yaml"), config)

	k := keep(t, &source.Keeper{Path: in("issuer.yaml")})
	k.serves(issA, key1)
	k.within(time.Second, "ready", func() bool { return k.Status().Ready() })

	t.Log("adding a cluster needs no restart")
	config += "- {issuer: " + issB + ", keyFiles: ['b/*.pub']}\n"
	write(t, in("issuer.yaml"), config)
	k.serves(issB, key2)

	t.Log("a changed key is visible in under a second")
	write(t, in("a.pub"), pem1+pem3)
	k.within(time.Second, "the new key", func() bool { return strings.Contains(k.jwks(issA), key3.KID) })
	k.serves(issA, key1, key3)

	t.Log("so is a new file of a pattern")
	write(t, in("b/2.pub"), pem1)
	k.within(time.Second, "the new file", func() bool { return strings.Contains(k.jwks(issB), key1.KID) })
	k.serves(issB, key1, key2)

	t.Log("a private key is refused, and the last good documents stay")
	private, err := keys.Generate(keys.ES256)
	if err != nil {
		t.Fatal(err)
	}
	os.Remove(in("secret.key"))
	if err := keys.WritePrivate(in("secret.key"), private); err != nil {
		t.Fatal(err)
	}
	secret, err := os.ReadFile(in("secret.key"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, in("a.pub"), pem1+string(secret))
	k.within(time.Second, "a fault", func() bool { return len(k.Status().Faults) == 1 })
	fault := k.Status().Faults[0]
	if fault.Issuer != parse(t, issA) || !strings.Contains(fault.Error, "private key") || fault.Good.IsZero() || fault.Since.IsZero() {
		t.Errorf("fault %+v", fault)
	}
	if !k.Status().Ready() {
		t.Error("a fault of one cluster makes the server unready")
	}
	if _, fault, err := k.Cluster(parse(t, issA)); err != nil || fault == nil {
		t.Errorf("Cluster: %v, %v", fault, err)
	}
	k.serves(issA, key1, key3)
	k.within(time.Second, "the fault in the log", func() bool { return strings.Contains(k.log.String(), "private key") })
	if log := k.log.String(); strings.Contains(log, strings.Split(string(secret), "\n")[1]) {
		t.Errorf("log:\n%s", log)
	}

	t.Log("a malformed one too")
	write(t, in("a.pub"), "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n")
	k.within(time.Second, "another fault", func() bool {
		f := k.Status().Faults
		return len(f) == 1 && strings.Contains(f[0].Error, "PEM block 1 (PUBLIC KEY)")
	})
	k.serves(issA, key1, key3)

	t.Log("and one that is cut off")
	write(t, in("a.pub"), pem1+pem3[:len(pem3)-30])
	k.within(time.Second, "a third fault", func() bool {
		f := k.Status().Faults
		return len(f) == 1 && strings.Contains(f[0].Error, "PEM block 2 is malformed")
	})
	k.serves(issA, key1, key3)

	t.Log("a fixed one is served")
	write(t, in("a.pub"), pem3)
	k.serves(issA, key3)
	k.within(time.Second, "no fault", func() bool { return len(k.Status().Faults) == 0 })

	t.Log("a configuration that cannot be used changes nothing")
	write(t, in("issuer.yaml"), config+"- {issuer: "+issA+", keyFiles: [a.pub]}\n")
	k.within(2*time.Second, "a fault of the configuration", func() bool { return strings.Contains(k.Status().ConfigError, "twice") })
	k.serves(issA, key3)
	k.serves(issB, key1, key2)

	t.Log("removing a cluster needs no restart")
	write(t, in("issuer.yaml"), head+"- {issuer: "+issB+", keyFiles: ['b/*.pub']}\n")
	k.within(2*time.Second, "the issuer is gone", func() bool { return k.jwks(issA) == "404" })
	if s := k.Status(); s.Clusters != 1 || s.Served != 1 || s.ConfigError != "" {
		t.Errorf("status %+v", s)
	}
	if _, _, err := k.Cluster(parse(t, issA)); !errors.Is(err, source.ErrNotServed) {
		t.Errorf("Cluster: %v", err)
	}
	k.serves(issB, key1, key2)
}

// Files that are replaced as kubelet and careful writers do it.
func TestKeeperReplacedFiles(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	key1, pem1 := key(t)
	key2, pem2 := key(t)

	write(t, in("mount/..1/sa.pub"), pem1)
	link := func(target, name string) {
		t.Helper()
		if err := os.Symlink(target, in(name+".tmp")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(in(name+".tmp"), in(name)); err != nil {
			t.Fatal(err)
		}
	}
	link("..1", "mount/..data")
	link("..data/sa.pub", "mount/sa.pub")
	write(t, in("tree/keys/sa.pub"), pem1)
	k := keep(t, &source.Keeper{Config: source.Config{Clusters: []source.Cluster{
		{Issuer: parse(t, issA), KeyFiles: []string{in("mount/sa.pub")}},
		{Issuer: parse(t, issB), KeyFiles: []string{in("tree/keys/sa.pub")}},
	}}})
	k.serves(issA, key1)
	k.serves(issB, key1)

	write(t, in("mount/..2/sa.pub"), pem2)
	link("..2", "mount/..data")
	k.within(time.Second, "kubelet's swap is seen", func() bool { return strings.Contains(k.jwks(issA), key2.KID) })

	write(t, in("new"), pem2)
	if err := os.Rename(in("new"), in("tree/keys/sa.pub")); err != nil {
		t.Fatal(err)
	}
	k.within(time.Second, "a renamed file is seen", func() bool { return strings.Contains(k.jwks(issB), key2.KID) })

	// The whole directory goes away and comes back.
	if err := os.RemoveAll(in("tree/keys")); err != nil {
		t.Fatal(err)
	}
	k.within(2*time.Second, "a fault", func() bool { return len(k.Status().Faults) == 1 })
	k.serves(issB, key2)
	write(t, in("tree/keys/sa.pub"), pem1)
	k.within(5*time.Second, "the new directory is seen", func() bool { return strings.Contains(k.jwks(issB), key1.KID) })
	time.Sleep(1500 * time.Millisecond)
	write(t, in("tree/keys/sa.pub"), pem2)
	k.within(time.Second, "and watched", func() bool { return strings.Contains(k.jwks(issB), key2.KID) })
}

// A change behind a symbolic link is seen, though no file changes where the name
// says.
func TestKeeperLinks(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	key1, pem1 := key(t)
	key2, pem2 := key(t)
	link := func(target, name string) {
		t.Helper()
		if err := errors.Join(os.Symlink(target, in("tmp")), os.Rename(in("tmp"), in(name))); err != nil {
			t.Fatal(err)
		}
	}
	write(t, in("v1/sa.pub"), pem1)
	write(t, in("v2/sa.pub"), pem2)
	write(t, in("real.pub"), pem1)
	write(t, in("keys/none"), "")
	link("v1", "current")
	link("../real.pub", "keys/link.pub")
	const issC = "https://c.example.com"
	k := keep(t, &source.Keeper{Config: source.Config{Clusters: []source.Cluster{
		{Issuer: parse(t, issA), KeyFiles: []string{in("current/*.pub")}},
		{Issuer: parse(t, issB), KeyFiles: []string{in("keys/link.pub")}},
		{Issuer: parse(t, issC), KeyFiles: []string{in("keys/*.pub")}},
	}}})
	for _, iss := range []string{issA, issB, issC} {
		k.serves(iss, key1)
	}
	link("v2", "current")
	write(t, in("real.pub"), pem2)
	for _, iss := range []string{issA, issB, issC} {
		k.serves(iss, key2)
	}

	t.Log("a file that becomes a link")
	write(t, in("other.pub"), pem1)
	link("../other.pub", "keys/link.pub")
	k.serves(issB, key1)
	write(t, in("other.pub"), pem2)
	k.serves(issB, key2)
}

func TestKeeperRefusesToStart(t *testing.T) {
	name := filepath.Join(t.TempDir(), "issuer.yaml")
	for _, test := range []struct{ config, want string }{
		{"", "is empty"},
		{"kind: Issuer\n", "expected apiVersion"},
		{head + "- {issuer: " + issA + ", keyFile: [x]}\n", "line 4: field keyFile not found"},
		{head + "- {issuer: http://a.example.com, keyFiles: [x]}\n", "must begin with https"},
		{head + "- {issuer: " + issB + ", keyFiles: [x]}\n- {issuer: " + strings.Replace(issB, "d", "%64", 1) + ", keyFiles: [y]}\n", "percent escapes"},
		{head + "- {issuer: " + issA + ", keyFiles: [x]}\n- {issuer: " + issA + "/, keyFiles: [y]}\n", "a trailing slash"},
		{head + "- {issuer: 'https://a.example.com:443/x', keyFiles: [x]}\n", "port 443"},
		{head + "- {issuer: 'https://a.example.com:6443/x', keyFiles: [x]}\n", "has the port 6443"},
		{head + "- {issuer: " + issA + "}\n", "no source"},
		{head + "- {keyFiles: [x]}\n", "no issuer"},
		{head + "- {issuer: " + issA + ", keyFiles: [x]}\n- {issuer: " + issA + ", keyFiles: [x]}\n", "twice"},
		{head + "- {issuer: " + issA + ", keyFiles: ['[']}\n", "syntax error in pattern"},
		{head + "- {issuer: " + issA + ", s3: {prefix: x}}\n", "without a bucket"},
		{head + "- {issuer: " + issA + ", s3: {bucket: x, prefix: far/}}\n", `prefix "far/"`},
		{head + "- {issuer: " + issA + ", s3: {bucket: x, prefix: /far}}\n", `prefix "/far"`},
		{head + "- {issuer: " + issA + ", s3: {bucket: x, prefix: a//b}}\n", `prefix "a//b"`},
		{head + "- {issuer: " + issA + ", kubernetes: {context: x}}\n", "without a kubeconfig"},
		{head + "- {issuer: " + issA + ", kubernetes: {}, interval: 1ms}\n", "less than 1s"},
		{head + "- {issuer: " + issA + ", kubernetes: {}, interval: often}\n", "invalid duration"},
		{"hosts: [b.example.com]\n" + head + "- {issuer: " + issA + ", keyFiles: [x]}\n", "not one of hosts"},
		{head + "- {issuer: " + issA + ", keyFiles: [x]}\n---\nkind: Issuer\n", "more than one document"},
	} {
		write(t, name, test.config)
		k := &source.Keeper{Handler: &discovery.Handler{}, Path: name}
		err := k.Run(t.Context())
		if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), name) {
			t.Errorf("%q: %v, want %q", test.config, err, test.want)
		}
	}
}

// A source that is slow keeps nobody waiting, and one that fails is asked again.
func TestKeeperSlowAndFailing(t *testing.T) {
	public, _ := key(t)
	set, err := keys.NewSet(public)
	if err != nil {
		t.Fatal(err)
	}
	var failures int
	k := keep(t, &source.Keeper{
		Config: source.Config{Clusters: []source.Cluster{
			{Issuer: parse(t, issA), KeyFiles: []string{"slow"}},
			{Issuer: parse(t, issB), KeyFiles: []string{"failing"}, Kubernetes: &source.Kubernetes{}},
		}},
		Open: func(_ context.Context, c source.Cluster) (source.Read, error) {
			if c.KeyFiles[0] == "slow" {
				return func(ctx context.Context) (keys.Set, error) {
					<-ctx.Done()
					return keys.Set{}, context.Cause(ctx)
				}, nil
			}
			return func(context.Context) (keys.Set, error) {
				if failures++; failures < 3 {
					return keys.Set{}, errors.New("not now")
				}
				return set, nil
			}, nil
		},
	})
	k.within(time.Second, "a fault", func() bool { return len(k.Status().Faults) == 1 })
	k.serves(issB, public)
	if s := k.Status(); s.Ready() || s.Untried != 1 || len(s.Faults) != 0 {
		t.Errorf("status %+v", s)
	}
	if n := strings.Count(k.log.String(), "not now"); n != 1 {
		t.Errorf("the same fault is logged %d times", n)
	}
}
