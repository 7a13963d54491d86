package release_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

// TestActionsArePinned: a tag of an action can be moved, a commit cannot. That holds for our
// workflows and action, and for what users copy from the pages and examples; there our own
// action is at the tag of its major version, or at <commit> for the reader to fill in.
func TestActionsArePinned(t *testing.T) {
	texts := pages(t)
	workflows, err := filepath.Glob("../../.github/workflows/*.yml")
	if err != nil || len(workflows) == 0 {
		t.Fatalf("no workflows: %v", err)
	}
	for _, file := range workflows {
		texts[".github/workflows/"+filepath.Base(file)] = read(t, file)
	}
	uses := regexp.MustCompile(`^\s*(?:- )?uses: (.*)$`)
	pinned := regexp.MustCompile(`^(\./\S*|[\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+)$`)
	ours := regexp.MustCompile(`^openirsa/openirsa@(v\d+|<commit> # v\d+\.\d+\.\d+)$`)
	found := map[string]int{} // by the folder or the kind of file
	for name, text := range texts {
		for line := range strings.Lines(text) {
			m := uses.FindStringSubmatch(strings.TrimRight(line, "\r\n"))
			if m == nil {
				continue
			}
			folder, _, _ := strings.Cut(name, "/")
			found[folder]++
			if !pinned.MatchString(m[1]) && (folder == ".github" || !ours.MatchString(m[1])) {
				t.Errorf("%s: %q does not name a commit and its version", name, m[1])
			}
		}
	}
	for _, folder := range []string{".github", "docs", "examples"} {
		if found[folder] == 0 {
			t.Errorf("nothing in %s uses an action: %v", folder, found)
		}
	}
}

// TestTools: what releases are made with is of one version until somebody changes it.
func TestTools(t *testing.T) {
	script := read(t, "../../release/tool")
	versions := regexp.MustCompile(`version=(\S+)`).FindAllStringSubmatch(script, -1)
	if len(versions) < 4 {
		t.Errorf("release/tool has %d versions", len(versions))
	}
	for _, v := range versions {
		if !regexp.MustCompile(`^v\d+\.\d+\.\d+$`).MatchString(v[1]) {
			t.Errorf("release/tool has the version %q", v[1])
		}
	}
}

// TestFlags: goreleaser and make link programs with the same flags, or what is released
// would not be what is tested, nor what other systems' programs have in them.
func TestFlags(t *testing.T) {
	var config struct {
		Builds []struct {
			ID, Main string
			Env      []string
			Flags    []string
			Ldflags  []string
		}
	}
	if err := yaml.Unmarshal([]byte(read(t, "../../.goreleaser.yaml")), &config); err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^LDFLAGS\s*:?= (.*)$`).FindStringSubmatch(read(t, "../../Makefile"))
	if m == nil {
		t.Fatal("the Makefile has no LDFLAGS")
	}
	want := strings.ReplaceAll(m[1], "$(VERSION)", "v{{ .Version }}")
	if len(config.Builds) != 2 {
		t.Fatalf("%d builds", len(config.Builds))
	}
	for _, b := range config.Builds {
		if got := strings.Join(b.Ldflags, " "); got != want {
			t.Errorf("%s: the linker's flags are %q, and the Makefile's %q", b.ID, got, want)
		}
		if b.Main != "./cmd/openirsa" || !strings.Contains(strings.Join(b.Flags, " "), "-trimpath") ||
			!strings.Contains(strings.Join(b.Env, " "), "CGO_ENABLED=0") {
			t.Errorf("%s: %+v is not built as by the Makefile", b.ID, b)
		}
	}
}

// TestCompletions: each package has its completions where the shells of its distributions look.
func TestCompletions(t *testing.T) {
	var config struct {
		Packages []struct {
			Formats  []string
			Contents []struct{ Src, Dst, Packager string }
		} `yaml:"nfpms"`
	}
	if err := yaml.Unmarshal([]byte(read(t, "../../.goreleaser.yaml")), &config); err != nil {
		t.Fatal(err)
	}
	got := map[string][]string{}
	for _, p := range config.Packages {
		for _, format := range p.Formats {
			for _, c := range p.Contents {
				if strings.HasPrefix(c.Src, "bin/release/completions/") && (c.Packager == "" || c.Packager == format) {
					got[format] = append(got[format], c.Dst)
				}
			}
		}
	}
	const bash, fish = "/usr/share/bash-completion/completions/openirsa", "/usr/share/fish/vendor_completions.d/openirsa.fish"
	want := map[string][]string{
		"deb": {bash, "/usr/share/zsh/vendor-completions/_openirsa", fish},
		"rpm": {bash, "/usr/share/zsh/site-functions/_openirsa", fish},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("completions of the packages:\n%s", diff)
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	body, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}
