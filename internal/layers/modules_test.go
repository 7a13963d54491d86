package layers_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/modfile"
)

// TestModules: the modules of this repository have the same versions of what they
// share. A package of another version, and all that depend on it, would be compiled,
// vetted and checked once more.
func TestModules(t *testing.T) {
	type use struct{ version, file string }
	used := map[string]use{}
	modules := 0
	const root = "../.."
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != root && (strings.HasPrefix(d.Name(), ".") || d.Name() == "bin" || d.Name() == "dist") {
			return fs.SkipDir
		}
		if d.Name() != "go.mod" {
			return nil
		}
		modules++
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		f, err := modfile.Parse(path, text, nil)
		if err != nil {
			return err
		}
		for _, r := range f.Require {
			if strings.HasPrefix(r.Mod.Path, "github.com/openirsa/") {
				continue
			}
			if other, ok := used[r.Mod.Path]; !ok {
				used[r.Mod.Path] = use{r.Mod.Version, path}
			} else if other.version != r.Mod.Version {
				t.Errorf("%s has %s %s, and %s has %s: go get the newer one in both", path, r.Mod.Path, r.Mod.Version, other.file, other.version)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if modules < 5 {
		t.Errorf("found only %d modules", modules)
	}
}
