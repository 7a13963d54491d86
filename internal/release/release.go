package release

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"go.yaml.in/yaml/v3"
	"golang.org/x/mod/semver"
)

// Newest is the newest version in CHANGELOG.md of a checkout, for which the chart must
// have been made too. The versions there have no v in front; tags, and the image's tags
// with them, have one.
func Newest(checkout fs.FS) (Section, error) {
	body, err := fs.ReadFile(checkout, "CHANGELOG.md")
	if err != nil {
		return Section{}, err
	}
	sections, err := Changelog(string(body))
	if err != nil {
		return Section{}, fmt.Errorf("CHANGELOG.md: %w", err)
	}
	if len(sections) < 2 {
		return Section{}, errors.New("CHANGELOG.md: no version yet")
	}
	newest := sections[1]

	const chart = "deploy/chart/Chart.yaml"
	body, err = fs.ReadFile(checkout, chart)
	if err != nil {
		return Section{}, err
	}
	var meta struct {
		Version    string `yaml:"version"`
		AppVersion string `yaml:"appVersion"`
	}
	if err := yaml.Unmarshal(body, &meta); err != nil {
		return Section{}, fmt.Errorf("%s: %w", chart, err)
	}
	if meta.Version != newest.Version {
		return Section{}, fmt.Errorf("%s: version is %q, and the newest in CHANGELOG.md %q", chart, meta.Version, newest.Version)
	}
	// The image's tag, unless values say otherwise.
	if want := "v" + newest.Version; meta.AppVersion != want {
		return Section{}, fmt.Errorf("%s: appVersion is %q, and for CHANGELOG.md it must be %q", chart, meta.AppVersion, want)
	}
	return newest, nil
}

// Notes are those of the release that tag names, which must be the newest.
func Notes(checkout fs.FS, tag string) (string, error) {
	newest, err := Newest(checkout)
	if err != nil {
		return "", err
	}
	if tag != "v"+newest.Version {
		return "", fmt.Errorf("the tag is %q, and the newest version in CHANGELOG.md is %q: it must be tagged %q",
			tag, newest.Version, "v"+newest.Version)
	}
	if !strings.Contains(newest.Text, "\n- ") {
		return "", fmt.Errorf("CHANGELOG.md says nothing of %s", newest.Version)
	}
	return newest.Text + "\n", nil
}

// Minor is the tag of an image that is the newest release of a minor version, such as v0.1
// for the tag v0.1.2, if that is the newest such release among those of tags. It is "" if
// there is a newer one, so that a release that is made again does not take the tag back,
// and for a pre-release. What else there is among tags does not count.
func Minor(tag string, tags []string) (string, error) {
	if semver.Canonical(tag) != tag || tag == "" {
		return "", fmt.Errorf("the tag %q is not a version such as v0.1.2", tag)
	}
	if semver.Prerelease(tag) != "" {
		return "", nil
	}
	minor := semver.MajorMinor(tag)
	for _, other := range tags {
		if semver.Canonical(other) == other && semver.Prerelease(other) == "" && semver.MajorMinor(other) == minor &&
			semver.Compare(other, tag) > 0 {
			return "", nil
		}
	}
	return minor, nil
}
