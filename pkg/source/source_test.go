package source_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"github.com/openirsa/openirsa/pkg/discovery"
	"github.com/openirsa/openirsa/pkg/emulator/emulatortest"
	"github.com/openirsa/openirsa/pkg/issuer"
	"github.com/openirsa/openirsa/pkg/keys"
	"github.com/openirsa/openirsa/pkg/source"
)

// gives checks that a source gives exactly these keys.
func gives(t *testing.T, read source.Read, public ...keys.Public) {
	t.Helper()
	set, err := read(t.Context())
	want, wantErr := keys.NewSet(public...)
	if err != nil || wantErr != nil || !set.Equal(want) {
		t.Errorf("keys %s, %v; want %s", set.JWKS(), err, want.JWKS())
	}
}

// refuses checks that a source gives an error and no key.
func refuses(t *testing.T, read source.Read, want string) {
	t.Helper()
	set, err := read(t.Context())
	if err == nil || !strings.Contains(err.Error(), want) || set.Len() != 0 {
		t.Errorf("%v and %d keys, want %q", err, set.Len(), want)
	}
}

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	k1, pem1 := key(t)
	k2, pem2 := key(t)
	k3, _ := key(t)
	set, err := keys.NewSet(k3)
	if err != nil {
		t.Fatal(err)
	}
	write(t, in("1.pub"), pem1)
	write(t, in("both.pub"), pem1+pem2)
	write(t, in("set.json"), "\n"+string(set.JWKS()))
	write(t, in("empty.pub"), "")
	write(t, in("none.json"), `{"keys":[]}`)
	write(t, in("symmetric.json"), `{"keys":[{"kty":"oct","kid":"a","k":"c2VjcmV0"}]}`)
	write(t, in("large.pub"), strings.Repeat("x", 2<<20))

	write(t, in("cut.pub"), pem1+pem2[:len(pem2)-30])
	for i, private := range []string{
		"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY----",
		"-----BEGIN EC PRIVATE KEY-----\nAAAA\n",
		"AAAA\n-----END RSA PRIVATE KEY-----\n",
	} {
		write(t, in(fmt.Sprintf("private-%d.pub", i)), pem1+private)
		refuses(t, source.Files(in(fmt.Sprintf("private-%d.pub", i))), "holds a private key")
	}

	gives(t, source.Files(in("1.pub")), k1)
	refuses(t, source.Files(in("cut.pub")), "cut.pub: PEM block 2 is malformed")
	gives(t, source.Files(in("both.pub"), in("1.pub")), k1, k2)
	gives(t, source.Files(in("[1b]*.pub"), in("set.json")), k1, k2, k3)
	refuses(t, source.Files(in("missing.pub")), "missing.pub: no such file")
	refuses(t, source.Files(in("x*.pub")), "there is none")
	refuses(t, source.Files(in("empty.pub")), "no PEM block holds a key")
	refuses(t, source.Files(in("none.json")), "there is no key")
	refuses(t, source.Files(in("symmetric.json")), `private member "k"`)
	refuses(t, source.Files(in("large.pub")), "larger than")
	refuses(t, source.Files(in("1.pub"), in("missing.pub")), "no such file")
}

func TestDir(t *testing.T) {
	dir := t.TempDir()
	iss := parse(t, issB)
	k, _ := key(t)
	set, err := keys.NewSet(k)
	if err != nil {
		t.Fatal(err)
	}
	docs, err := discovery.Documents(iss, set)
	if err != nil {
		t.Fatal(err)
	}
	refuses(t, source.Dir(dir, iss), "no such file")
	for _, doc := range docs {
		write(t, filepath.Join(dir, filepath.FromSlash(doc.Path)), string(doc.Body))
	}
	gives(t, source.Dir(dir, iss), k)
	refuses(t, source.Dir(dir, parse(t, issA)), `says issuer "`+issB+`"`)
}

func TestS3(t *testing.T) {
	a := emulatortest.Start(t)
	made := a.Issuer("dev")
	client := a.S3(a.Config())
	gives(t, source.S3(client, made.Bucket, "", made.URL), made.Key.Public())
	made.Close() // it need not be public
	gives(t, source.S3(client, made.Bucket, "", made.URL), made.Key.Public())
	refuses(t, source.S3(client, made.Bucket, "prefix", made.URL), "NoSuchKey")
	refuses(t, source.S3(client, made.Bucket, "", parse(t, issA)), "says issuer")

	// The whole way, from a configuration.
	t.Setenv("AWS_ACCESS_KEY_ID", "test")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "test")
	t.Setenv("AWS_ENDPOINT_URL", a.URL)
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(t.TempDir(), "none"))
	k := keep(t, &source.Keeper{Config: source.Config{Clusters: []source.Cluster{
		{Issuer: made.URL, S3: &source.S3Place{Bucket: made.Bucket, Region: emulatortest.Region}, Interval: source.Duration(time.Second)},
	}}})
	k.serves(made.URL.String(), made.Key.Public())
	more, _ := key(t)
	made.Publish(more)
	k.serves(made.URL.String(), made.Key.Public(), more)
}

func TestAPI(t *testing.T) {
	k1, _ := key(t)
	k2, _ := key(t)
	status, body := http.StatusOK, ""
	serve := func(public ...keys.Public) {
		set, err := keys.NewSet(public...)
		if err != nil {
			t.Fatal(err)
		}
		body = string(set.JWKS())
	}
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != issuer.JWKSPath || r.Header.Get("Authorization") != "Bearer secret" {
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		w.WriteHeader(status)
		w.Write([]byte(body))
	}))
	defer server.Close()
	bearer, connected := "wrong", 0
	read := source.API(func() (*rest.Config, error) {
		connected++
		return &rest.Config{Host: server.URL, BearerToken: bearer, TLSClientConfig: rest.TLSClientConfig{Insecure: true}}, nil
	})
	serve(k1)
	refuses(t, read, "401")
	bearer = "secret" // new credentials are found without a restart
	gives(t, read, k1)
	serve(k1, k2)
	gives(t, read, k1, k2)
	if connected != 2 {
		t.Errorf("connected %d times, want 2", connected)
	}
	status = http.StatusInternalServerError
	refuses(t, read, "500")
	status, body = http.StatusOK, `{"keys":[{"kty":"RSA","kid":"a","n":"AQ","e":"AQAB","d":"AQ"}]}`
	refuses(t, read, `private member "d"`)
	body = strings.Repeat(" ", 2<<20)
	refuses(t, read, "larger than")
	body = `{"keys":[]}`
	refuses(t, read, "there is no key")

	_, err := source.API(func() (*rest.Config, error) { return nil, errors.New("no kubeconfig") })(t.Context())
	if err == nil || !strings.Contains(err.Error(), "no kubeconfig") {
		t.Error(err)
	}
}

func TestUnion(t *testing.T) {
	k1, _ := key(t)
	k2, _ := key(t)
	of := func(public ...keys.Public) source.Read {
		return func(context.Context) (keys.Set, error) { return keys.NewSet(public...) }
	}
	broken := func(context.Context) (keys.Set, error) { return keys.Set{}, os.ErrPermission }
	gives(t, source.Union(of(k1), of(k1, k2)), k1, k2)
	refuses(t, source.Union(of(k1), broken), "permission denied")
	other := k2
	other.KID = k1.KID
	refuses(t, source.Union(of(k1), of(other)), "two different keys")
}

// Several API servers behind one address give now the old keys, now the new.
func TestKeep(t *testing.T) {
	k1, _ := key(t)
	k2, _ := key(t)
	now := time.Unix(0, 0)
	var current []keys.Public
	var fault error
	read := source.Keep(func(context.Context) (keys.Set, error) {
		if fault != nil {
			return keys.Set{}, fault
		}
		return keys.NewSet(current...)
	}, time.Minute, func() time.Time { return now })

	current = []keys.Public{k1}
	gives(t, read, k1)
	now = now.Add(10 * time.Second)
	current = []keys.Public{k1, k2}
	gives(t, read, k1, k2)
	now = now.Add(50 * time.Second)
	current = []keys.Public{k1}
	gives(t, read, k1, k2)
	fault = errors.New("away")
	refuses(t, read, "away")
	fault = nil
	now = now.Add(11 * time.Second) // 61s after the second key was last seen
	gives(t, read, k1)
	now = now.Add(61 * time.Second)
	current = []keys.Public{k2}
	gives(t, read, k2)
}
