package release_test

import (
	"cmp"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/openirsa/openirsa/internal/needs"
)

// workflowFile is what the tests read of a workflow of GitHub Actions.
type workflowFile struct {
	Env  map[string]string
	Jobs map[string]workflowJob
}

type workflowJob struct {
	If          string
	Needs       string
	Permissions map[string]string
	Strategy    struct{ Matrix map[string][]string }
	Env         map[string]string
	Steps       []workflowStep
}

type workflowStep struct {
	Name, Uses, Run string
	With, Env       map[string]string
}

func workflow(t *testing.T, name string) workflowFile {
	t.Helper()
	var w workflowFile
	if err := yaml.Unmarshal([]byte(read(t, "../../.github/workflows/"+name)), &w); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return w
}

// run runs what a step of a workflow runs, as GitHub's runners do, and returns what it said.
func (s workflowStep) run(t *testing.T, dir string, env ...string) (string, error) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("a script for Linux")
	}
	cmd := exec.CommandContext(t.Context(), "bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", s.Run)
	if _, err := exec.LookPath("bash"); err != nil {
		needs.Lacking(t, err)
	}
	cmd.Dir, cmd.Env = dir, append([]string{"PATH=" + os.Getenv("PATH")}, env...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// step is the step of a job whose script contains some text.
func (j workflowJob) step(t *testing.T, text string) (int, workflowStep) {
	t.Helper()
	for i, s := range j.Steps {
		if strings.Contains(s.Run, text) {
			return i, s
		}
	}
	t.Fatalf("no step runs %q", text)
	return 0, workflowStep{}
}

// TestReleaseIsWhole: a repository that does not say where image and chart go has no release,
// rather than one without them.
func TestReleaseIsWhole(t *testing.T) {
	w := workflow(t, "release.yml")
	if images := w.Jobs["images"]; images.If != "" || images.Needs != "archives" {
		t.Errorf("image and chart are made if %q, after %q; want always, after the archives", images.If, images.Needs)
	}
	first := w.Jobs["archives"].Steps[0]
	for _, c := range []struct {
		env  []string
		want string
	}{
		{nil, "IMAGE: Set the variable IMAGE"},
		{[]string{"IMAGE=", "CHARTS=registry.example.com/charts"}, "IMAGE: Set the variable IMAGE"},
		{[]string{"IMAGE=registry.example.com/openirsa", "CHARTS="}, "CHARTS: Set the variable CHARTS"},
		{[]string{"IMAGE=registry.example.com/openirsa", "CHARTS=registry.example.com/charts"}, ""},
	} {
		out, err := first.run(t, t.TempDir(), c.env...)
		if (err == nil) != (c.want == "") || !strings.Contains(out, c.want) {
			t.Errorf("%v: %v, %q; want %q", c.env, err, out, c.want)
		}
	}
	for name, value := range map[string]string{"IMAGE": "${{ vars.IMAGE }}", "CHARTS": "${{ vars.CHARTS }}"} {
		if first.Env[name] != value {
			t.Errorf("the first step has %s=%q, want %q", name, first.Env[name], value)
		}
	}
}

// manifests are the files of a release that package managers read, where goreleaser leaves
// them, and by their names in the release.
func manifests(t *testing.T) map[string]string {
	t.Helper()
	var config struct {
		Release struct {
			ExtraFiles []struct {
				Glob string
				Name string `yaml:"name_template"`
			} `yaml:"extra_files"`
		}
	}
	if err := yaml.Unmarshal([]byte(read(t, "../../.goreleaser.yaml")), &config); err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, f := range config.Release.ExtraFiles {
		if strings.HasPrefix(f.Glob, "dist/") {
			files[f.Glob] = cmp.Or(f.Name, path.Base(f.Glob))
		}
	}
	if len(files) != 3 {
		t.Fatalf("the manifests of a release are %v, want 3", files)
	}
	return files
}

// TestManifestsAreAttested: what tells package managers which checksums to believe is attested
// when it is made, and verified before they get it.
func TestManifestsAreAttested(t *testing.T) {
	w := workflow(t, "release.yml")
	files := manifests(t)
	var attested []string
	for _, s := range w.Jobs["archives"].Steps {
		if strings.HasPrefix(s.Uses, "actions/attest@") {
			attested = append(attested, strings.Fields(s.With["subject-path"])...)
		}
	}
	slices.Sort(attested)
	if want := slices.Sorted(maps.Keys(files)); !slices.Equal(attested, want) {
		t.Errorf("attested are %q, want %q", attested, want)
	}

	job := w.Jobs["manifests"]
	verifies, verify := job.step(t, "gh attestation verify")
	publishes, publish := job.step(t, "release/publish")
	if verifies >= publishes || strings.Contains(publish.Run, "download") {
		t.Error("what is published is not what was verified before")
	}
	if job.Permissions["attestations"] != "read" || verify.Env["GH_TOKEN"] != "${{ github.token }}" {
		t.Errorf("attestations are read with %v and %v", job.Permissions, verify.Env)
	}

	// A gh that downloads what it is asked for, and refuses one of the files.
	bin := t.TempDir()
	const gh = `#!/bin/sh
echo "$*" >>"$LOG"
case "$1 $2" in
"release download")
	mkdir "$5"
	while [ $# -gt 0 ]; do
		if [ "$1" = --pattern ]; then echo x >"manifests/$2"; fi
		shift
	done ;;
"attestation verify") test "$3" != "manifests/$REFUSED" ;;
*) exit 2 ;;
esac
`
	if err := os.WriteFile(filepath.Join(bin, "gh"), []byte(gh), 0o755); err != nil {
		t.Fatal(err)
	}
	names := slices.Sorted(maps.Values(files))
	for _, refused := range append([]string{""}, names...) {
		dir := t.TempDir()
		log := filepath.Join(dir, "log")
		out, err := verify.run(t, dir, "PATH="+bin+":"+os.Getenv("PATH"), "LOG="+log, "REFUSED="+refused,
			"TAG=v0.2.0", "GITHUB_REPOSITORY=openirsa/openirsa")
		if (err == nil) != (refused == "") {
			t.Errorf("refused %q: %v\n%s", refused, err, out)
		}
		if refused != "" {
			continue
		}
		said := read(t, log)
		for _, name := range names {
			want := "attestation verify manifests/" + name + " --repo openirsa/openirsa " +
				"--signer-workflow openirsa/openirsa/.github/workflows/release.yml --source-ref refs/tags/v0.2.0\n"
			if !strings.Contains(said, want) {
				t.Errorf("gh was called with\n%swant %s", said, want)
			}
		}
	}
}

// TestPlatforms: CI compiles what is released for macOS and Windows, with the Linux programs in it,
// and looks at all code as it is there.
func TestPlatforms(t *testing.T) {
	var config struct {
		Builds []struct {
			ID           string
			Goos, Goarch []string
			Tags         []string
		}
	}
	if err := yaml.Unmarshal([]byte(read(t, "../../.goreleaser.yaml")), &config); err != nil {
		t.Fatal(err)
	}
	job := workflow(t, "ci.yml").Jobs["platforms"]
	job.step(t, "go vet ./...")
	packs, _ := job.step(t, "make linuxbuild")
	for _, b := range config.Builds {
		if b.ID != "others" {
			continue
		}
		if matrix := job.Strategy.Matrix; !slices.Equal(matrix["goos"], b.Goos) || !slices.Equal(matrix["goarch"], b.Goarch) {
			t.Errorf("CI compiles for %v, and released is for %v, %v", matrix, b.Goos, b.Goarch)
		}
		if builds, _ := job.step(t, "go build -tags "+strings.Join(b.Tags, ",")+" "); builds <= packs {
			t.Error("CI compiles the released program before what is in it")
		}
		return
	}
	t.Error("goreleaser builds nothing for other systems")
}
