package release_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// pages are the files that tell users how to get and run openirsa, by their path in the
// checkout: Markdown but for the changelog, scripts, and the action.
func pages(t *testing.T) map[string]string {
	t.Helper()
	const root = "../.."
	texts := map[string]string{}
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		switch {
		case d.IsDir() && (name == "bin" || name == "dist" || name == "e2e" || name != "." && strings.HasPrefix(d.Name(), ".")):
			return fs.SkipDir
		case d.IsDir() || name == "CHANGELOG.md":
			return nil
		}
		switch filepath.Ext(name) {
		case ".md", ".sh", ".yml", ".yaml":
			body, err := os.ReadFile(file)
			texts[filepath.ToSlash(name)] = string(body)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(texts) < 50 || texts["README.md"] == "" || texts["docs/install.md"] == "" || texts["action.yml"] == "" {
		t.Fatalf("only %d texts found", len(texts))
	}
	return texts
}

// TestGoInstall: without CGO_ENABLED=0 the program cannot be packed into an image, and without the
// tag the linker keeps every method.
func TestGoInstall(t *testing.T) {
	found := 0
	for name, text := range pages(t) {
		for line := range strings.Lines(text) {
			for _, command := range regexp.MustCompile(`(CGO_ENABLED=0 )?\bgo install( -tags grpcnotrace)?`).FindAllString(line, -1) {
				found++
				if command != "CGO_ENABLED=0 go install -tags grpcnotrace" {
					t.Errorf("%s: %q lacks CGO_ENABLED=0 or -tags grpcnotrace", name, strings.TrimSpace(line))
				}
			}
		}
	}
	if found < 3 {
		t.Errorf("go install is named %d times, expected README.md, docs/install.md and install.sh at least", found)
	}
}
