package main

import (
	"bytes"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"

	"github.com/openirsa/openirsa/internal/cli"
)

func TestRun(t *testing.T) {
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")
	t.Setenv("SOURCE_DATE_EPOCH", "1000000000")
	var archives [][]byte
	for range 2 {
		dir := t.TempDir()
		var out bytes.Buffer
		err := run(t.Context(), []string{"--checkout=../../..", "--version=9.9.9", "--image=registry.example/openirsa:v9.9.9", "--file=" + dir,
			"--push=" + host + "/charts", "--plain-http", "--artifacthub=../../artifacthub-repo.yml"}, &out, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, "openirsa-9.9.9.tgz")
		if !strings.HasPrefix(out.String(), file+"\n"+host+"/charts/openirsa:9.9.9@sha256:") {
			t.Errorf("it says %q", &out)
		}
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		archives = append(archives, b)
	}
	if !bytes.Equal(archives[0], archives[1]) {
		t.Error("two runs give two archives")
	}
	for _, args := range [][]string{{}, {"--version=1"}, {"--file=x", "extra"}, {"--artifacthub=x", "--file=x"}} {
		if err := run(t.Context(), args, io.Discard, io.Discard); !cli.IsUsage(err) {
			t.Errorf("%q: %v", args, err)
		}
	}
}
