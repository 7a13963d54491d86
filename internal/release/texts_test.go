package release_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/mod/semver"

	"github.com/openirsa/openirsa/internal/release"
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

// TestGoVersion: releases are built with one version of Go, patch and all, since another one makes
// other bytes. The pages that promise the same bytes name it.
func TestGoVersion(t *testing.T) {
	w := workflow(t, "release.yml")
	version := w.Env["GO_VERSION"]
	if !regexp.MustCompile(`^1\.\d+\.\d+$`).MatchString(version) {
		t.Fatalf("release.yml: GO_VERSION is %q, which is not one version such as 1.26.8", version)
	}
	compilers := 0
	for name, job := range w.Jobs {
		for _, s := range job.Steps {
			if !strings.HasPrefix(s.Uses, "actions/setup-go@") {
				continue
			}
			compilers++
			if s.With["go-version"] != "${{ env.GO_VERSION }}" || s.With["go-version-file"] != "" {
				t.Errorf("release.yml: %s takes another Go than GO_VERSION: %v", name, s.With)
			}
		}
	}
	if compilers < 2 {
		t.Errorf("release.yml: %d jobs have Go, expected 2 or more", compilers)
	}
	m := regexp.MustCompile(`(?m)^go (\d+\.\d+\.\d+)$`).FindStringSubmatch(read(t, "../../go.mod"))
	if m == nil || semver.Compare("v"+version, "v"+m[1]) < 0 {
		t.Errorf("releases are built with Go %s, and go.mod needs %v", version, m)
	}
	for _, page := range []string{"docs/install.md", "docs/releasing.md"} {
		named := regexp.MustCompile(`[Gg]o ?(\d+\.\d+\.\d+)`).FindAllStringSubmatch(read(t, "../../"+page), -1)
		if len(named) == 0 {
			t.Errorf("%s does not say with which Go releases are built", page)
		}
		for _, n := range named {
			if n[1] != version {
				t.Errorf("%s says Go %s, and release.yml builds with %s", page, n[1], version)
			}
		}
	}
}

// released is where a text names a release of openirsa: as a module, an image, a chart, a file,
// an address, or a tag.
var released = regexp.MustCompile(`(?:openirsa@v|openirsa@<commit> # v|openirsa:v|openirsa/v|openirsa_|openirsa.* --version v?|install\.sh --version v?|` +
	`git checkout v|TAG=v)(\d+\.\d+\.\d+)`)

// TestVersionsInPages: what users copy is of the newest version, and docs/releasing.md says
// where that stands.
func TestVersionsInPages(t *testing.T) {
	newest, err := release.Newest(os.DirFS("../.."))
	if err != nil {
		t.Fatal(err)
	}
	texts := pages(t)
	_, steps, _ := strings.Cut(texts["docs/releasing.md"], "## Step by step")
	first, _, ok := strings.Cut(steps, "\n2. ")
	if !ok {
		t.Fatal("docs/releasing.md has no first step")
	}
	found := 0
	for name, text := range texts {
		if name == "deploy/base/webhook.yaml" { // made of the chart, which TestCheckout holds
			continue
		}
		named := released.FindAllStringSubmatch(text, -1)
		for _, m := range named {
			if m[1] != newest.Version {
				t.Errorf("%s has %q, and the newest version in CHANGELOG.md is %s", name, m[0], newest.Version)
			}
		}
		if len(named) > 0 && !strings.Contains(first, "`"+name+"`") {
			t.Errorf("%s names the version, and the first step of docs/releasing.md does not name it", name)
		}
		found += len(named)
	}
	if found < 15 {
		t.Errorf("the version is named %d times, expected 15 or more", found)
	}
}
