package main

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const epoch = "1764547200" // 2025-12-01

func written(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := run([]string{"--version", "v1.2.3", dir}, func(string) string { return epoch }); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestPages: every command that has help has a page, with each of its flags and what it
// says, and no page is of anything else.
func TestPages(t *testing.T) {
	dir := written(t)
	want := map[string]bool{}
	for _, c := range commands(command()) {
		name := strings.ReplaceAll(c.CommandPath(), " ", "-") + ".1"
		want[name] = true
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Error(err)
			continue
		}
		text := plain(string(b))
		for line := range strings.Lines(c.LocalFlags().FlagUsages()) {
			if flag := strings.Fields(line)[0]; strings.HasPrefix(flag, "--") && !strings.Contains(text, flag) {
				t.Errorf("%s does not tell of %s", name, flag)
			}
		}
		for line := range strings.Lines(c.Long) {
			for _, word := range strings.Fields(line) {
				if word != "####" && !strings.Contains(text, word) {
					t.Errorf("%s lacks %q of the help", name, word)
				}
			}
		}
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !want[f.Name()] {
			t.Errorf("%s is the page of no command", f.Name())
		}
	}
	for _, name := range []string{"openirsa.1", "openirsa-up.1", "openirsa-iamserviceaccount-create.1", "openirsa-issuer-serve.1", "openirsa-emulator.1", "openirsa-agent.1", "openirsa-agent-initialize.1"} {
		if !want[name] {
			t.Errorf("%s is missing, of %q", name, slices.Sorted(maps.Keys(want)))
		}
	}
}

// plain is a page without what is for troff.
func plain(page string) string {
	return strings.NewReplacer(`\-`, "-", `\\`, `\`, `\e`, `\`, `\fB`, "", `\fP`, "", `\fI`, "", `\fR`, "", `\&`, "", `\(aq`, "'").Replace(page)
}

// TestSame: the same commit has the same pages, with its date.
func TestSame(t *testing.T) {
	read := func(dir string) map[string]string {
		pages := map[string]string{}
		files, err := filepath.Glob(filepath.Join(dir, "*.1"))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			pages[filepath.Base(f)] = string(b)
		}
		return pages
	}
	one, two := read(written(t)), read(written(t))
	if diff := cmp.Diff(one, two); diff != "" || len(one) < 20 {
		t.Errorf("%d pages, which differ:\n%s", len(one), diff)
	}
	if page := one["openirsa.1"]; !strings.Contains(page, "Dec 2025") || !strings.Contains(page, "OpenIRSA v1.2.3") {
		t.Errorf("date or version is missing: %.300s", page)
	}
}

// TestWarnings: man has nothing to complain about.
func TestWarnings(t *testing.T) {
	if _, err := exec.LookPath("man"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skipf("%v: make man installs it on Debian", err)
	}
	pages, err := filepath.Glob(filepath.Join(written(t), "*.1"))
	if err != nil || len(pages) == 0 {
		t.Fatalf("%q, %v", pages, err)
	}
	cmd := exec.Command("man", append([]string{"--warnings=w", "--local-file", "--encoding=UTF-8"}, pages...)...)
	cmd.Env = append(os.Environ(), "MANWIDTH=80", "MANPAGER=cat", "LC_ALL=C.UTF-8")
	var warnings strings.Builder
	cmd.Stderr = &warnings
	if err := cmd.Run(); err != nil || warnings.Len() > 0 {
		t.Errorf("%v: %s", err, warnings.String())
	}
}

func TestMarkdown(t *testing.T) {
	const help = "Make *it* with <this>:\n\n  setup up *    as it is\n\n  second\n\nNAME_A[/B], or none."
	const want = "Make \\*it\\* with \\<this\\>:\n\n```\n  setup up *    as it is\n\n  second\n```\n\nNAME\\_A\\[/B\\], or none."
	if diff := cmp.Diff(want, markdown(help)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
