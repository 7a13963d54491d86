package docs_test

import (
	"io/fs"
	"path"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// TestDependabot: every module of the repository is looked after.
func TestDependabot(t *testing.T) {
	var config struct {
		Updates []struct {
			Ecosystem   string `yaml:"package-ecosystem"`
			Directories []string
			Directory   string
		}
	}
	readYAML(t, ".github/dependabot.yml", false, &config)
	var have []string
	for _, u := range config.Updates {
		if u.Ecosystem == "gomod" {
			have = append(have, append(u.Directories, u.Directory)...)
		}
	}
	found := 0
	err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (name == ".git" || name == "bin" || name == "dist" || path.Base(name) == "testdata") {
			return fs.SkipDir
		}
		if path.Base(name) == "go.mod" {
			found++
			if dir := "/" + strings.TrimPrefix(path.Dir(name), "."); !slices.Contains(have, dir) {
				t.Errorf(".github/dependabot.yml does not name the module in %s", dir)
			}
		}
		return nil
	})
	if err != nil || found < 3 {
		t.Errorf("%d modules, %v", found, err)
	}
}

// TestIssueForms: GitHub shows a form only if it has all of this, and says nothing
// otherwise.
func TestIssueForms(t *testing.T) {
	forms, err := fs.Glob(root, ".github/ISSUE_TEMPLATE/*.yml")
	if err != nil || len(forms) < 3 {
		t.Fatalf("forms %q, %v", forms, err)
	}
	for _, file := range forms {
		if path.Base(file) == "config.yml" {
			continue
		}
		var form struct {
			Name, Description string
			Labels            []string
			Body              []struct {
				Type, ID   string
				Attributes struct {
					Label, Description, Value, Render, Placeholder string
					Options                                        []string
				}
				Validations struct{ Required bool }
			}
		}
		readYAML(t, file, true, &form)
		if form.Name == "" || form.Description == "" || len(form.Body) == 0 {
			t.Errorf("%s: without name, description or body", file)
		}
		seen := map[string]bool{}
		for _, part := range form.Body {
			a := part.Attributes
			switch part.Type {
			case "markdown":
				if a.Value == "" {
					t.Errorf("%s: markdown without a value", file)
				}
				continue
			case "dropdown":
				if len(a.Options) == 0 {
					t.Errorf("%s: %s has no options", file, part.ID)
				}
			case "input", "textarea":
			default:
				t.Errorf("%s: type %q", file, part.Type)
			}
			if part.ID == "" || seen[part.ID] || a.Label == "" {
				t.Errorf("%s: %q has no id of its own, or no label", file, part.ID)
			}
			seen[part.ID] = true
		}
	}
}

// readYAML reads a file; strictly, with no other fields than these.
func readYAML(t *testing.T, file string, strictly bool, into any) {
	t.Helper()
	f, err := root.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	d := yaml.NewDecoder(f)
	d.KnownFields(strictly)
	if err := d.Decode(into); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}
