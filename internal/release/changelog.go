// Package release knows what a release is in the tree: its version, which
// CHANGELOG.md and the chart must agree on, and its notes.
package release

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/semver"
)

// Section is what a changelog says of one version.
type Section struct {
	Version string // such as 0.1.0, or Unreleased
	Date    string // such as 2026-11-30; "" where nothing is released
	Text    string // Markdown: headings of the third level, and lists below them
}

const unreleased = "Unreleased"

// kinds of changes that https://keepachangelog.com/en/1.1.0/ has.
var kinds = []string{"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}

var (
	heading   = regexp.MustCompile(`^## \[([^\]]+)\](?: - (.+))?$`)
	reference = regexp.MustCompile(`^\[([^\]]+)\]: https://\S+$`)
)

// Changelog reads a file in the form of Keep a Changelog: what is unreleased, and then
// the versions, newest first. It refuses what that form does not have, so that no line
// is missing from the notes of a release, or is in those of another.
func Changelog(text string) ([]Section, error) {
	var sections []Section
	addresses := map[string]bool{}
	for i, line := range strings.Split(text, "\n") {
		last := len(sections) - 1
		switch {
		case strings.HasPrefix(line, "## "):
			s, err := section(line, sections)
			if err != nil {
				return nil, fmt.Errorf("line %d: %w", i+1, err)
			}
			sections = append(sections, s)
		case reference.MatchString(line):
			addresses[reference.FindStringSubmatch(line)[1]] = true
		case strings.HasPrefix(line, "### ") && !slices.Contains(kinds, line[len("### "):]):
			return nil, fmt.Errorf("line %d: %q is none of %s", i+1, line[len("### "):], strings.Join(kinds, ", "))
		case last >= 0:
			sections[last].Text += line + "\n"
		}
	}
	if len(sections) == 0 || sections[0].Version != unreleased {
		return nil, fmt.Errorf("the first section is not [%s]", unreleased)
	}
	for i, s := range sections {
		sections[i].Text = strings.TrimSpace(s.Text)
		if !addresses[s.Version] {
			return nil, fmt.Errorf("the end of the file has no line %q", "["+s.Version+"]: https://...")
		}
	}
	return sections, nil
}

// section is what a heading begins; those before it are newer.
func section(line string, newer []Section) (Section, error) {
	m := heading.FindStringSubmatch(line)
	if m == nil {
		return Section{}, fmt.Errorf("%q does not look like %q", line, "## [0.1.0] - 2026-11-30")
	}
	s := Section{Version: m[1], Date: m[2]}
	if s.Version == unreleased && len(newer) == 0 && s.Date == "" {
		return s, nil
	}
	if !semver.IsValid("v"+s.Version) || semver.Canonical("v"+s.Version) != "v"+s.Version {
		return Section{}, fmt.Errorf("%q is not a semantic version such as 0.1.0", s.Version)
	}
	if _, err := time.Parse(time.DateOnly, s.Date); err != nil {
		return Section{}, fmt.Errorf("the date of %s is not such as 2026-11-30: %w", s.Version, err)
	}
	if n := len(newer); n > 1 {
		if before := newer[n-1]; semver.Compare("v"+before.Version, "v"+s.Version) <= 0 || before.Date < s.Date {
			return Section{}, errors.New(s.Version + " does not belong below " + before.Version)
		}
	}
	return s, nil
}
