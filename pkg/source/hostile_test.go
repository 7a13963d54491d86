//go:build unix

package source_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/client-go/rest"

	"github.com/openirsa/openirsa/pkg/emulator/emulatortest"
	"github.com/openirsa/openirsa/pkg/keys"
	"github.com/openirsa/openirsa/pkg/source"

	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// Whatever stands where a key should be, the other clusters are served, the fault
// shows, and the program ends in time: the helper keep waits for that.
func TestKeeperOfFilesThatAreNone(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	k1, pem1 := key(t)
	write(t, in("good.pub"), pem1)
	if err := syscall.Mkfifo(in("fifo.pub"), 0o644); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", in("socket.pub"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	write(t, in("directory.pub/x"), "")
	write(t, in("huge.pub"), strings.Repeat("x", 2<<20))
	if err := syscall.Mkfifo(in("docs-fifo"), 0o644); err != nil {
		t.Fatal(err)
	}
	write(t, in("docs/.well-known/x"), "")
	if err := syscall.Mkfifo(in("docs/.well-known/openid-configuration"), 0o644); err != nil {
		t.Fatal(err)
	}
	slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	t.Cleanup(slow.Close)
	t.Cleanup(slow.CloseClientConnections)

	clusters := []source.Cluster{{Issuer: parse(t, issA), KeyFiles: []string{in("good.pub")}}}
	faults := map[string]string{}
	add := func(name, why string, c source.Cluster) {
		iss := "https://" + name + ".example.com"
		c.Issuer, faults[iss] = parse(t, iss), why
		clusters = append(clusters, c)
	}
	add("fifo", "it is a FIFO, not a regular file", source.Cluster{KeyFiles: []string{in("fifo.pub")}})
	add("pattern", "it is a FIFO", source.Cluster{KeyFiles: []string{in("fifo*.pub")}})
	add("socket", "it is a socket", source.Cluster{KeyFiles: []string{in("socket.pub")}})
	add("directory", "it is a directory", source.Cluster{KeyFiles: []string{in("directory.pub")}})
	add("device", "it is a device", source.Cluster{KeyFiles: []string{"/dev/zero"}})
	add("terminal", "it is a device", source.Cluster{KeyFiles: []string{"/dev/null"}})
	add("huge", "larger than", source.Cluster{KeyFiles: []string{in("huge.pub")}})
	add("docs", "it is a FIFO", source.Cluster{Directory: in("docs")})
	clusters = append(clusters, source.Cluster{Issuer: parse(t, issB), Kubernetes: &source.Kubernetes{}, Interval: source.Duration(time.Second)})
	k := keep(t, &source.Keeper{
		Config: source.Config{Clusters: clusters},
		Open:   (&source.Opener{InCluster: func() (*rest.Config, error) { return &rest.Config{Host: slow.URL}, nil }}).Open,
	})
	k.serves(issA, k1)
	k.within(5*time.Second, "all faults", func() bool { return len(k.Status().Faults) == len(faults) })
	for _, f := range k.Status().Faults {
		if why := faults[f.Issuer.String()]; why == "" || !strings.Contains(f.Error, why) {
			t.Errorf("%s: %s, want %q", f.Issuer, f.Error, why)
		}
	}
	k2, pem2 := key(t)
	write(t, in("good.pub"), pem2)
	k.serves(issA, k2)
	for iss, why := range faults {
		if !strings.Contains(k.log.String(), iss) || !strings.Contains(k.log.String(), why) {
			t.Errorf("the log does not tell of %s: %s", iss, why)
		}
	}
}

// Sources that hang and cannot be told to stop, more than are read at a time, keep
// no other waiting, and the keeper ends without them.
func TestKeeperOfSourcesThatHang(t *testing.T) {
	public, _ := key(t)
	set, err := keys.NewSet(public)
	if err != nil {
		t.Fatal(err)
	}
	forever := make(chan struct{})
	t.Cleanup(func() { close(forever) })
	var clusters []source.Cluster
	for i := range 60 {
		clusters = append(clusters, source.Cluster{Issuer: parse(t, fmt.Sprintf("https://hang-%d.example.com", i)), KeyFiles: []string{"hang"}})
	}
	clusters = append(clusters, source.Cluster{Issuer: parse(t, issA), KeyFiles: []string{"good"}})
	k := keep(t, &source.Keeper{
		Config: source.Config{Clusters: clusters},
		Open: func(_ context.Context, c source.Cluster) (source.Read, error) {
			if c.KeyFiles[0] == "hang" {
				<-forever
			}
			return func(context.Context) (keys.Set, error) { return set, nil }, nil
		},
	})
	k.within(8*time.Second, "the cluster that can be read", func() bool { return k.jwks(issA) == string(set.JWKS()) })
}

func TestWithin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key, err := keys.Generate(keys.ES256)
		if err != nil {
			t.Fatal(err)
		}
		set, err := keys.NewSet(key.Public())
		if err != nil {
			t.Fatal(err)
		}
		calls, answer := 0, make(chan struct{})
		read := source.Within(func(context.Context) (keys.Set, error) { calls++; <-answer; return set, nil }, 15*time.Second)
		for range 3 { // and one reading alone is under way
			start := time.Now()
			refuses(t, read, "did not answer within 15s")
			if took := time.Since(start); took != 15*time.Second {
				t.Errorf("it took %s", took)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		start := time.Now()
		if _, err := read(ctx); err == nil || time.Since(start) != time.Second {
			t.Errorf("told to stop: %v after %s", err, time.Since(start))
		}
		if calls != 1 {
			t.Errorf("%d readings", calls)
		}
		close(answer)
		gives(t, read, key.Public())
		gives(t, read, key.Public())
		if calls != 2 {
			t.Errorf("%d readings", calls)
		}
	})
}

// The key set is where the discovery document says, as far as that is here.
func TestKeySetUnderAnotherName(t *testing.T) {
	iss := parse(t, "https://oidc.example.com/team/dev/")
	k1, _ := key(t)
	k2, _ := key(t)
	body := func(k keys.Public) string {
		set, err := keys.NewSet(k)
		if err != nil {
			t.Fatal(err)
		}
		return string(set.JWKS())
	}
	config := func(uri string) string { return fmt.Sprintf(`{"issuer":%q,"jwks_uri":%q}`, iss, uri) }
	dir := t.TempDir()
	write(t, filepath.Join(dir, ".well-known/openid-configuration"), config("https://oidc.example.com/team/dev/my%20keys.json"))
	write(t, filepath.Join(dir, "my keys.json"), body(k1))
	gives(t, source.Dir(dir, iss), k1)

	a := emulatortest.Start(t)
	bucket := a.Issuer("other").Bucket
	client := a.S3(a.Config())
	put := func(key, body string) {
		if _, err := client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: &bucket, Key: &key, Body: strings.NewReader(body)}); err != nil {
			t.Fatal(err)
		}
	}
	put("far/.well-known/openid-configuration", config("https://oidc.example.com/team/dev/keys.json"))
	put("far/keys.json", body(k1))
	gives(t, source.S3(client, bucket, "far", iss), k1)

	// It is seen to change, too.
	k := keep(t, &source.Keeper{Config: source.Config{Clusters: []source.Cluster{{Issuer: iss, Directory: dir}}}})
	k.serves(iss.String(), k1)
	write(t, filepath.Join(dir, "my keys.json"), body(k2))
	k.serves(iss.String(), k2)

	write(t, filepath.Join(filepath.Dir(dir), "secret.json"), body(k1))
	for uri, why := range map[string]string{
		"https://keys.example.com/team/dev/keys.json":              "not below the issuer",
		"https://oidc.example.com/keys.json":                       "not below the issuer",
		"https://oidc.example.com/team/dev/../../../secret.json":   "no name of a file",
		"https://oidc.example.com/team/dev/%2e%2e/secret.json":     "no name of a file",
		"https://oidc.example.com/team/dev/my%20keys.json?v=1":     "no name of a file",
		"http://oidc.example.com/team/dev/my%20keys.json":          "no https URL",
		"https://oidc.example.com/team/dev/missing.json":           "no such file",
		"https://oidc.example.com/team/dev//../../etc/passwd%00.x": "no name of a file",
	} {
		write(t, filepath.Join(dir, ".well-known/openid-configuration"), config(uri))
		refuses(t, source.Dir(dir, iss), why)
	}
}

// AWS's guide for self-hosted clusters publishes each key twice, once without an id.
func TestKeySetsWithOddKeys(t *testing.T) {
	dir := t.TempDir()
	k1, _ := key(t)
	set, err := keys.NewSet(k1)
	if err != nil {
		t.Fatal(err)
	}
	jwk := strings.TrimSuffix(strings.TrimPrefix(string(set.JWKS()), `{"keys":[`), `]}`)
	odd := `{"keys":[` + strings.Replace(jwk, k1.KID, "", 1) + `,` + jwk + `,{"kty":"OKP","kid":"ed","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`
	name := filepath.Join(dir, "set.json")
	write(t, name, odd)
	k := keep(t, &source.Keeper{Config: source.Config{Clusters: []source.Cluster{{Issuer: parse(t, issA), KeyFiles: []string{name}}}}})
	k.serves(issA, k1)
	if log := k.log.String(); !strings.Contains(log, "left out") || !strings.Contains(log, `key 1: it has no`) || !strings.Contains(log, "key 3") {
		t.Errorf("log:\n%s", log)
	}
	if s := k.Status(); len(s.Faults) != 0 {
		t.Errorf("%+v", s)
	}
}
