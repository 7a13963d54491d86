package release_test

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// zsh is where zsh looks for the completions of packages, by the format of the package.
var zsh = map[string]string{
	"deb": "/usr/share/zsh/vendor-completions/_openirsa",
	"rpm": "/usr/share/zsh/site-functions/_openirsa",
}

// packaged checks the files of a package of a format: all that it must have, and what only
// the other format has not.
func packaged(t *testing.T, format string, files []string) {
	t.Helper()
	for _, want := range []string{
		"/usr/bin/openirsa", "/usr/share/bash-completion/completions/openirsa", zsh[format],
		"/usr/share/fish/vendor_completions.d/openirsa.fish", "/usr/share/man/man1/openirsa.1", "/usr/share/doc/openirsa/copyright",
	} {
		if !slices.Contains(files, want) {
			t.Errorf("the %s has no %s: %v", format, want, files)
		}
	}
	for other, file := range zsh {
		if other != format && slices.Contains(files, file) {
			t.Errorf("the %s has %s, which is for the %s", format, file, other)
		}
	}
}

// TestDebian installs the package into a system of its own, runs the program from
// there, and leaves nothing behind when it removes it.
func TestDebian(t *testing.T) {
	one, _ := made(t)
	root := t.TempDir()
	admin := filepath.Join(root, "var/lib/dpkg")
	for _, dir := range []string{"info", "updates", "triggers"} {
		if err := os.MkdirAll(filepath.Join(admin, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(admin, "status"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	dpkg := []string{"--root=" + root, "--log=" + filepath.Join(t.TempDir(), "log")}
	command{}.must(t, "dpkg", append(dpkg, "--install", one.file("linux_"+runtime.GOARCH+".deb"))...)
	checkInstalled(t, one, "deb", root)
	if body, err := os.ReadFile(filepath.Join(root, "usr/bin/openirsa")); err != nil || digest(body) != digest(one.program(t, here())) {
		t.Errorf("the package's program is not the archive's: %v", err)
	}
	command{}.must(t, "dpkg", append(dpkg, "--purge", "openirsa")...)
	if left := filesBelow(t, filepath.Join(root, "usr")); len(left) > 0 {
		t.Errorf("removed, and these are left: %v", left)
	}
}

// checkInstalled looks at what a package of a format has put into a system.
func checkInstalled(t *testing.T, r release, format, root string) {
	t.Helper()
	packaged(t, format, filesBelow(t, root))
	out := command{}.must(t, filepath.Join(root, "usr/bin/openirsa"), "version")
	if !slices.Contains(strings.Fields(out), r.tag) {
		t.Errorf("openirsa version of the package says %q, want %s", out, r.tag)
	}
}

func filesBelow(t *testing.T, root string) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files = append(files, strings.TrimPrefix(file, root))
		}
		return err
	})
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return files
}

func TestRPM(t *testing.T) {
	one, _ := made(t)
	for goarch, arch := range map[string]string{"amd64": "x86_64", "arm64": "aarch64"} {
		file := one.file("linux_" + goarch + ".rpm")
		packaged(t, "rpm", strings.Fields(command{}.must(t, "rpm", "--query", "--list", "--package", file)))
		got := command{}.must(t, "rpm", "--query", "--queryformat=%{NAME} %{VERSION} %{ARCH} %{LICENSE} %{BUILDHOST}", "--package", file)
		if want := "openirsa " + one.version + " " + arch + " Apache-2.0 openirsa"; got != want {
			t.Errorf("the package says it is %q, want %q", got, want)
		}
	}
	root := t.TempDir()
	rpm := []string{"--root=" + root, "--dbpath=/var/lib/rpm", "--nodeps", "--nosignature"}
	command{}.must(t, "rpm", append(rpm, "--install", one.file("linux_"+runtime.GOARCH+".rpm"))...)
	checkInstalled(t, one, "rpm", root)
	command{}.must(t, "rpm", append(rpm, "--erase", "openirsa")...)
	if left := filesBelow(t, filepath.Join(root, "usr")); len(left) > 0 {
		t.Errorf("removed, and these are left: %v", left)
	}
}

// TestKrew installs the plugin as kubectl's users do, for every platform; on this one
// kubectl runs it.
func TestKrew(t *testing.T) {
	one, _ := made(t)
	krew := tool(t, "krew")
	for _, p := range platforms {
		root := t.TempDir()
		goos, goarch, _ := strings.Cut(p, "_")
		c := command{env: []string{"KREW_ROOT=" + root, "KREW_OS=" + goos, "KREW_ARCH=" + goarch, "KREW_NO_UPGRADE_CHECK=1",
			"PATH=" + filepath.Join(root, "bin") + ":" + os.Getenv("PATH"), "KUBECONFIG=" + filepath.Join(root, "none")}}
		c.must(t, krew, "install", "--manifest="+filepath.Join(one.dist, "krew/openirsa.yaml"), "--archive="+one.archive(p))
		if p != here() {
			continue
		}
		help := c.must(t, "kubectl", "openirsa", "--help")
		if !strings.Contains(help, "kubectl openirsa up") || strings.Contains(help, "\n  openirsa ") {
			t.Errorf("kubectl openirsa --help does not speak of itself so:\n%s", help)
		}
		if out := c.must(t, "kubectl", "openirsa", "version"); !slices.Contains(strings.Fields(out), one.tag) {
			t.Errorf("kubectl openirsa version says %q", out)
		}
	}
}

func TestScoop(t *testing.T) {
	one, _ := made(t)
	body, err := os.ReadFile(filepath.Join(one.dist, "scoop/openirsa.json"))
	if err != nil {
		t.Fatal(err)
	}
	type build struct {
		URL, Hash string
		Bin       []string
	}
	var manifest struct {
		Version      string
		License      string
		Architecture map[string]build
	}
	if err := json.Unmarshal(body, &manifest); err != nil {
		t.Fatal(err)
	}
	if manifest.Version != one.version || manifest.License != "Apache-2.0" {
		t.Errorf("the manifest is of version %q with the license %q", manifest.Version, manifest.License)
	}
	want := map[string]build{}
	for arch, p := range map[string]string{"64bit": "windows_amd64", "arm64": "windows_arm64"} {
		want[arch] = build{URL: one.address(p), Hash: one.checksums(t)[filepath.Base(one.archive(p))], Bin: []string{"openirsa.exe"}}
	}
	if diff := cmp.Diff(want, manifest.Architecture); diff != "" {
		t.Errorf("scoop's manifest:\n%s", diff)
	}
}

// address is where a published archive is.
func (r release) address(platform string) string {
	return "https://github.com/openirsa/openirsa/releases/download/" + r.tag + "/" + filepath.Base(r.archive(platform))
}

// TestCask has Ruby run Homebrew's cask as Homebrew does, on each platform.
func TestCask(t *testing.T) {
	one, _ := made(t)
	for _, p := range []string{"darwin_amd64", "darwin_arm64", "linux_amd64", "linux_arm64"} {
		goos, goarch, _ := strings.Cut(p, "_")
		out := command{}.must(t, "ruby", "testdata/cask.rb", filepath.Join(one.dist, "homebrew/Casks/openirsa.rb"), goos, goarch)
		var cask struct {
			Version, URL, SHA256, Bash, Zsh, Fish string
			Binaries, Manpages, Commands          []string
		}
		if err := json.Unmarshal([]byte(out), &cask); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if cask.Version != one.version || cask.URL != one.address(p) || cask.SHA256 != one.checksums(t)[filepath.Base(one.archive(p))] {
			t.Errorf("%s: version %q, URL %q, SHA-256 %q", p, cask.Version, cask.URL, cask.SHA256)
		}
		if !slices.Equal(cask.Binaries, []string{"openirsa"}) {
			t.Errorf("%s: the programs are %v", p, cask.Binaries)
		}
		files := unpack(t, one.archive(p))
		for _, name := range append(cask.Manpages, cask.Bash, cask.Zsh, cask.Fish) {
			if files[name] == nil {
				t.Errorf("%s: the archive has no %q", p, name)
			}
		}
		if len(cask.Manpages) < 2 {
			t.Errorf("%s: the man pages are %v", p, cask.Manpages)
		}
		want := 0
		if goos == "darwin" {
			want = 1
		}
		if len(cask.Commands) != want || want == 1 && cask.Commands[0] != "/usr/bin/xattr -dr com.apple.quarantine /staged/openirsa" {
			t.Errorf("%s: after the installation it runs %v", p, cask.Commands)
		}
	}
}
