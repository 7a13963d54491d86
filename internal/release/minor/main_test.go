package main

import (
	"io"
	"log"
	"net/http/httptest"
	"strings"
	"testing"

	server "github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/random"

	"github.com/openirsa/openirsa/internal/registry"
)

// An older release that is pushed again does not take the minor version's tag back.
func TestRun(t *testing.T) {
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	there := httptest.NewServer(server.New(server.Logger(log.New(io.Discard, "", 0))))
	defer there.Close()
	image := strings.TrimPrefix(there.URL, "http://") + "/some/openirsa"
	if out, err := run(t.Context(), []string{image, "v0.1.0"}); err == nil || !strings.Contains(err.Error(), "listing the tags of "+image) {
		t.Errorf("an image that is not there: %q, %v", out, err)
	}
	for _, tag := range []string{"v0.1.0", "v0.1.2", "v0.1", "v0.2.0-rc.1", strings.Repeat("0a", 20)} {
		ref, err := registry.Parse(image + ":" + tag)
		if err != nil {
			t.Fatal(err)
		}
		index, err := random.Index(10, 1, 1)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := registry.Push(t.Context(), ref, index); err != nil {
			t.Fatal(err)
		}
	}
	for tag, want := range map[string]string{"v0.1.0": "", "v0.1.2": "v0.1\n", "v0.1.3": "v0.1\n", "v0.2.0-rc.1": "", "v0.2.0": "v0.2\n"} {
		if out, err := run(t.Context(), []string{image, tag}); err != nil || out != want {
			t.Errorf("%s: %q, %v; want %q", tag, out, err, want)
		}
	}
	for _, args := range [][]string{nil, {image}, {image, "latest"}, {"openirsa", "v0.1.0"}} {
		if out, err := run(t.Context(), args); err == nil {
			t.Errorf("%q: %q", args, out)
		}
	}
}
