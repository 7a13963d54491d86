package release_test

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
)

func TestConfiguration(t *testing.T) {
	command{dir: ".."}.must(t, tool(t, "goreleaser"), "check")
}

func TestWorkflows(t *testing.T) {
	command{dir: ".."}.must(t, tool(t, "actionlint"))
	command{dir: ".."}.must(t, tool(t, "actionlint"), filepath.Join("examples", "github-actions", "workflow.yml"))
}

// TestReproducible: whoever builds the tag elsewhere gets the same files.
func TestReproducible(t *testing.T) {
	one, two := made(t)
	sums := one.checksums(t)
	if diff := cmp.Diff(sums, two.checksums(t)); diff != "" {
		t.Errorf("the same commit has other checksums in another folder:\n%s", diff)
	}
	want := []string{"install.sh", "openirsa_" + one.version + "_linux_amd64.deb", "openirsa_" + one.version + "_linux_arm64.deb",
		"openirsa_" + one.version + "_linux_amd64.rpm", "openirsa_" + one.version + "_linux_arm64.rpm"}
	for _, p := range platforms {
		want = append(want, filepath.Base(one.archive(p)), "openirsa_"+one.version+"_"+p+".sbom.json")
	}
	for _, name := range want {
		file := filepath.Join(one.dist, name)
		if name == "install.sh" {
			file = filepath.Join(one.clone, name)
		}
		body, err := os.ReadFile(file)
		if err != nil {
			t.Error(err)
		} else if got := digest(body); got != sums[name] {
			t.Errorf("%s has the SHA-256 %s, and checksums.txt %q", name, got, sums[name])
		}
	}
	if len(sums) != len(want) {
		t.Errorf("checksums.txt has %d files, want %d: %v", len(sums), len(want), sums)
	}
}

// TestColdBuild: the two clones share what is compiled; a third one, with an empty cache and in
// another folder, makes the same program for this machine.
func TestColdBuild(t *testing.T) {
	one, _ := made(t)
	clone := filepath.Join(t.TempDir(), "third")
	command{}.must(t, "git", "clone", "--quiet", "--no-hardlinks", one.clone, clone)
	command{dir: clone, env: []string{"GOCACHE=" + t.TempDir(), "GOFLAGS=-buildvcs=true"}}.must(t, "make", "build", "VERSION="+one.tag)
	body, err := os.ReadFile(filepath.Join(clone, "bin", "linux-"+runtime.GOARCH, "openirsa"))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := digest(body), digest(one.program(t, "linux_"+runtime.GOARCH)); got != want {
		t.Errorf("compiled anew, the program for linux_%s has the SHA-256 %s, and the released one %s", runtime.GOARCH, got, want)
	}
}

func TestArchives(t *testing.T) {
	one, _ := made(t)
	for _, p := range platforms {
		files := unpack(t, one.archive(p))
		for _, name := range []string{"LICENSE", "README.md", "completions/openirsa.bash", "completions/_openirsa",
			"completions/openirsa.fish", "completions/openirsa.ps1", "man/openirsa.1", "man/openirsa-up.1"} {
			if len(files[name]) == 0 {
				t.Errorf("%s: no %s", filepath.Base(one.archive(p)), name)
			}
		}
	}
}

// TestEmbedded: a program for macOS or Windows has the released program for Linux in
// it, of its own architecture, byte by byte.
func TestEmbedded(t *testing.T) {
	one, _ := made(t)
	for _, p := range platforms[2:] {
		_, arch, _ := strings.Cut(p, "_")
		want := one.program(t, "linux_"+arch)
		if !embeds(t, one.program(t, p), want) {
			t.Errorf("%s does not have the program of linux_%s in it", p, arch)
		}
	}
}

// embeds says whether a program has another one in it, compressed with zstd.
func embeds(t *testing.T, program, want []byte) bool {
	decoder, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	defer decoder.Close()
	for {
		at := bytes.Index(program, []byte{0x28, 0xb5, 0x2f, 0xfd})
		if at < 0 {
			return false
		}
		program = program[at:]
		if err := decoder.Reset(bytes.NewReader(program)); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(want))
		n, _ := io.ReadFull(decoder, got)
		if n == len(want) && digest(got) == digest(want) {
			return true
		}
		program = program[4:]
	}
}

// TestSBOM: a release's list of modules is what the program says of itself.
func TestSBOM(t *testing.T) {
	one, _ := made(t)
	for _, p := range platforms {
		body, err := os.ReadFile(one.file(p + ".sbom.json"))
		if err != nil {
			t.Fatal(err)
		}
		var document struct {
			Format     string `json:"bomFormat"`
			Metadata   struct{ Component module }
			Components []module
		}
		if err := json.Unmarshal(body, &document); err != nil {
			t.Fatal(err)
		}
		if document.Format != "CycloneDX" {
			t.Errorf("%s: bomFormat is %q", p, document.Format)
		}
		var listed []string
		for _, m := range append(document.Components, document.Metadata.Component) {
			if m.Name == "openirsa" {
				m.Name = "github.com/openirsa/openirsa"
			}
			listed = append(listed, m.Name+" "+m.Version)
		}
		slices.Sort(listed)

		file := filepath.Join(t.TempDir(), "openirsa")
		if err := os.WriteFile(file, one.program(t, p), 0o755); err != nil {
			t.Fatal(err)
		}
		said := modules(t, file)
		if len(said) < 50 {
			t.Errorf("%s: go version -m tells of only %d modules", p, len(said))
		}
		if diff := cmp.Diff(said, listed); diff != "" {
			t.Errorf("%s: go version -m and the SBOM differ:\n%s", p, diff)
		}
	}
}

type module struct{ Name, Version string }

// modules are those that `go version -m` prints of a program, and the standard library.
func modules(t *testing.T, file string) []string {
	t.Helper()
	var all []string
	for line := range strings.Lines(command{}.must(t, "go", "version", "-m", file)) {
		switch f := strings.Fields(line); {
		case len(f) >= 2 && f[0] == file+":":
			all = append(all, "std "+strings.TrimPrefix(f[1], "go"))
		case len(f) >= 3 && (f[0] == "mod" || f[0] == "dep"):
			all = append(all, f[1]+" "+f[2])
		case len(f) >= 3 && f[0] == "=>":
			all[len(all)-1] = f[1] + " " + f[2]
		}
	}
	slices.Sort(all)
	return all
}

// TestVersion: the tag, the program and the packages have one version.
func TestVersion(t *testing.T) {
	one, _ := made(t)
	out := command{}.must(t, one.local(t, "openirsa"), "version")
	if !slices.Contains(strings.Fields(out), one.tag) {
		t.Errorf("openirsa version says %q, want %s", out, one.tag)
	}
	for _, p := range platforms {
		if !bytes.Contains(one.program(t, p), []byte(one.tag)) {
			t.Errorf("the program for %s has no %s in it", p, one.tag)
		}
	}
}
