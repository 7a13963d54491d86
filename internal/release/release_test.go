package release_test

import (
	"io/fs"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/openirsa/openirsa/internal/release"
)

// TestCheckout says whether this checkout can be released: its changelog and its chart
// are of one version.
func TestCheckout(t *testing.T) {
	checkout := os.DirFS("../..")
	newest, err := release.Newest(checkout)
	if err != nil {
		t.Fatal(err)
	}
	notes, err := release.Notes(checkout, "v"+newest.Version)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(notes, "### ") || strings.Contains(notes, "\n## ") {
		t.Errorf("the notes of %s are not one section:\n%s", newest.Version, notes)
	}
}

const (
	links = "\n[Unreleased]: https://example.com/c\n[0.2.0]: https://example.com/b\n[0.1.0]: https://example.com/a\n"
	log   = "# Changelog\n\n## [Unreleased]\n\n### Added\n\n- three\n\n" +
		"## [0.2.0] - 2026-12-01\n\n### Fixed\n\n- two\n\n### Added\n\n- `[x]: y` stays\n\n" +
		"## [0.1.0] - 2026-11-30\n\n### Added\n\n- one\n" + links
	chart = "version: 0.2.0\nappVersion: v0.2.0\n"
)

func checkout(changelog, chart string) fs.FS {
	return fstest.MapFS{
		"CHANGELOG.md":            {Data: []byte(changelog)},
		"deploy/chart/Chart.yaml": {Data: []byte(chart)},
	}
}

func TestNotes(t *testing.T) {
	notes, err := release.Notes(checkout(log, chart), "v0.2.0")
	if want := "### Fixed\n\n- two\n\n### Added\n\n- `[x]: y` stays\n"; err != nil || notes != want {
		t.Errorf("%q, %v; want %q", notes, err, want)
	}
}

// The module for testcontainers-go requires the version that it is released with; here it has the tree beside it.
func TestModules(t *testing.T) {
	newest, err := release.Newest(os.DirFS("../.."))
	if err != nil {
		t.Fatal(err)
	}
	mod, err := os.ReadFile("../../testcontainers/go.mod")
	if err != nil {
		t.Fatal(err)
	}
	if want := "\tgithub.com/openirsa/openirsa v" + newest.Version + "\n"; !strings.Contains(string(mod), want) {
		t.Errorf("testcontainers/go.mod does not require%s", want)
	}
}

func TestMinor(t *testing.T) {
	released := []string{"v0.1", "v0.1.0", "v0.1.2", "v0.1.10", "v0.1.11-rc.1", "v0.2.0", "latest", "0123456789012345678901234567890123456789"}
	for tag, want := range map[string]string{
		"v0.1.0": "", "v0.1.2": "", "v0.1.9": "", "v0.1.10": "v0.1", "v0.1.11": "v0.1", "v0.1.11-rc.1": "", "v0.2.0": "v0.2", "v0.3.0": "v0.3",
		"v1.0.0": "v1.0", "v1.0.0-rc.1": "",
	} {
		if got, err := release.Minor(tag, released); err != nil || got != want {
			t.Errorf("%s: %q, %v; want %q", tag, got, err, want)
		}
	}
	for _, tag := range []string{"", "latest", "0.1.2", "v0.1", "v0.1.2+build"} {
		if got, err := release.Minor(tag, released); err == nil {
			t.Errorf("%q: %q", tag, got)
		}
	}
}

func TestNotesRefuses(t *testing.T) {
	swap := strings.NewReplacer
	for _, c := range []struct{ name, log, chart, tag, want string }{
		{"an old tag", log, chart, "v0.1.0", `it must be tagged "v0.2.0"`},
		{"a tag without v", log, chart, "0.2.0", `it must be tagged "v0.2.0"`},
		{"chart of another version", log, "version: 0.1.0\nappVersion: v0.2.0\n", "v0.2.0", `version is "0.1.0"`},
		{"image of another version", log, "version: 0.2.0\nappVersion: 0.2.0\n", "v0.2.0", `appVersion is "0.2.0"`},
		{"chart that is no YAML", log, "version: [\n", "v0.2.0", "Chart.yaml: "},
		{"nothing released", "## [Unreleased]\n" + links, chart, "v0.2.0", "no version yet"},
		{"nothing said", swap("- two", "", "- `[x]: y` stays", "").Replace(log), chart, "v0.2.0", "says nothing of 0.2.0"},
		{"no section for what comes", swap("## [Unreleased]\n", "").Replace(log), chart, "v0.2.0", "the first section is not"},
		{"no date", swap(" - 2026-12-01", "").Replace(log), chart, "v0.2.0", "line 9: the date of 0.2.0"},
		{"no such date", swap("2026-12-01", "2026-02-30").Replace(log), chart, "v0.2.0", "line 9: the date of 0.2.0"},
		{"no version", swap("[0.2.0] -", "[0.2] -").Replace(log), chart, "v0.2.0", `"0.2" is not a semantic version`},
		{"no brackets", swap("[0.2.0] -", "0.2.0 -").Replace(log), chart, "v0.2.0", "does not look like"},
		{"in a wrong order", swap("[0.2.0] -", "[0.0.9] -").Replace(log), chart, "v0.2.0", "0.1.0 does not belong below 0.0.9"},
		{"released in the future", swap("2026-11-30", "2027-01-01").Replace(log), chart, "v0.2.0", "0.1.0 does not belong below 0.2.0"},
		{"an unknown kind of change", swap("### Fixed", "### Repaired").Replace(log), chart, "v0.2.0", `"Repaired" is none of Added,`},
		{"no address", swap("[0.1.0]: ", "").Replace(log), chart, "v0.2.0", `has no line "[0.1.0]: https://..."`},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := release.Notes(checkout(c.log, c.chart), c.tag)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v; want %q", err, c.want)
			}
		})
	}
}
