package registry_test

import (
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	server "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/openirsa/openirsa/internal/registry"
)

// What is pushed is there, under its name and its digest.
func TestPush(t *testing.T) {
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	there := httptest.NewServer(server.New(server.Logger(log.New(io.Discard, "", 0))))
	defer there.Close()
	tag, err := registry.Parse(strings.TrimPrefix(there.URL, "http://") + "/some/openirsa:v1")
	if err != nil {
		t.Fatal(err)
	}
	index, err := random.Index(100, 1, 2)
	if err != nil {
		t.Fatal(err)
	}
	said, err := registry.Push(t.Context(), tag, index)
	if err != nil {
		t.Fatal(err)
	}
	digest, err := name.NewDigest(said)
	if err != nil {
		t.Fatal(err)
	}
	var got []v1.Hash
	for _, ref := range []name.Reference{tag, digest} {
		back, err := remote.Index(ref)
		if err != nil {
			t.Fatal(err)
		}
		h, err := back.Digest()
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, h)
	}
	if want, _ := index.Digest(); got[0] != want || got[1] != want || digest.DigestStr() != want.String() {
		t.Errorf("%s has %v, want %v", said, got, want)
	}

	there.Close()
	if _, err := registry.Push(t.Context(), tag, index); err == nil || !strings.Contains(err.Error(), "pushing "+tag.String()) {
		t.Errorf("without a registry: %v", err)
	}
}

// A registry that wants other credentials is told from one that fails.
func TestPushDenied(t *testing.T) {
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	index, err := random.Index(100, 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	for status, denied := range map[int]bool{http.StatusUnauthorized: true, http.StatusForbidden: true, http.StatusBadRequest: false} {
		there := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/v2/" && status != http.StatusUnauthorized {
				return
			}
			w.Header().Set("WWW-Authenticate", "Basic realm=test")
			w.WriteHeader(status)
		}))
		defer there.Close()
		tag, err := registry.Parse(strings.TrimPrefix(there.URL, "http://") + "/some/openirsa:v1")
		if err != nil {
			t.Fatal(err)
		}
		_, err = registry.Push(t.Context(), tag, index)
		e, ok := errors.AsType[*registry.DeniedError](err)
		if err == nil || ok != denied || ok && e.Registry != tag.RegistryStr() || !strings.Contains(err.Error(), "pushing "+tag.String()) {
			t.Errorf("status %d: %v, denied %v, want %v", status, err, ok, denied)
		}
	}
}

func TestParse(t *testing.T) {
	for _, ref := range []string{"", "openirsa", "openirsa:v1", "registry.example.com/openirsa", "registry.example.com/Openirsa:v1"} {
		if tag, err := registry.Parse(ref); err == nil {
			t.Errorf("%q is %s", ref, tag)
		}
	}
}
