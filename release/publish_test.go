package release_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestPublish: package managers learn of a release once, and of the next one too.
func TestPublish(t *testing.T) {
	repositories, manifests := t.TempDir(), t.TempDir()
	files := map[string][2]string{ // by repository: what is given to it, and where
		"homebrew-tap": {"openirsa.rb", "Casks/openirsa.rb"},
		"scoop-bucket": {"scoop-openirsa.json", "bucket/openirsa.json"},
		"krew-index":   {"krew-openirsa.yaml", "plugins/openirsa.yaml"},
	}
	git := command{dir: repositories, env: []string{"GIT_CONFIG_GLOBAL=" + os.DevNull,
		"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.com", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.com"}}
	for repository := range files {
		git.must(t, "git", "init", "--quiet", "--bare", repository)
	}
	script, err := filepath.Abs("publish")
	if err != nil {
		t.Fatal(err)
	}
	for i, tag := range []string{"v0.1.0", "v0.1.0", "v0.2.0"} {
		for _, f := range files {
			if err := os.WriteFile(filepath.Join(manifests, f[0]), []byte(f[0]+" of "+tag+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		out := git.must(t, script, tag, manifests, "file://"+repositories)
		if already := strings.Count(out, "already"); (already == len(files)) != (i == 1) {
			t.Errorf("run %d: %s", i, out)
		}
		for repository, f := range files {
			got := git.must(t, "git", "-C", repository, "show", "HEAD:"+f[1])
			if want := f[0] + " of " + tag + "\n"; got != want {
				t.Errorf("run %d: %s has %q, want %q", i, f[1], got, want)
			}
		}
	}
	for repository := range files {
		if commits := git.must(t, "git", "-C", repository, "rev-list", "--count", "HEAD"); commits != "2\n" {
			t.Errorf("%s has %s commits, want 2", repository, commits)
		}
	}
}
