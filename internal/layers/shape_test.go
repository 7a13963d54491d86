package layers_test

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"strings"
	"testing"
	"unicode/utf8"
)

// Bounds of what one can read at a glance. Tests may have tables with longer
// lines, and stories that are longer than a function should be.
const (
	maxColumns    = 140 // characters of a line
	maxFunction   = 80  // lines of a function
	maxParameters = 5   // of a function
	maxFile       = 600 // lines of a file
)

// longFiles say what one thing each file holds that is longer.
var longFiles = map[string]string{}

// TestShape holds lines, functions and files to their bounds.
func TestShape(t *testing.T) {
	long := map[string]bool{}
	goFiles(t, func(name string, source []byte) {
		if strings.HasSuffix(name, "_test.go") || ast.IsGenerated(parse(t, name, source)) {
			return
		}
		lines := bytes.Split(source, []byte("\n"))
		for i, line := range lines {
			if n := utf8.RuneCount(line); n > maxColumns {
				t.Errorf("%s:%d: the line has %d characters", name, i+1, n)
			}
		}
		if len(lines)-1 > maxFile {
			long[name] = true
			if longFiles[name] == "" {
				t.Errorf("%s has %d lines; split it, or say in longFiles what one thing it holds", name, len(lines)-1)
			}
		}
		files := token.NewFileSet()
		file, err := parser.ParseFile(files, name, source, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			if n := files.Position(f.End()).Line - files.Position(f.Pos()).Line + 1; n > maxFunction {
				t.Errorf("%s: function %s has %d lines", files.Position(f.Pos()), f.Name.Name, n)
			}
			if n := f.Type.Params.NumFields(); n > maxParameters {
				t.Errorf("%s: function %s has %d parameters", files.Position(f.Pos()), f.Name.Name, n)
			}
		}
	})
	for name := range longFiles {
		if !long[name] {
			t.Errorf("longFiles has %s, which is not long", name)
		}
	}
}

func parse(t *testing.T, name string, source []byte) *ast.File {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), name, source, parser.ParseComments|parser.PackageClauseOnly)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// goFiles calls f for every Go file of the checkout, those of other modules too.
func goFiles(t *testing.T, f func(name string, source []byte)) {
	t.Helper()
	root := os.DirFS("../..")
	err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		base := path.Base(name)
		if d.IsDir() && (base == "testdata" || name == "bin" || strings.HasPrefix(base, ".") && name != ".") {
			return fs.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(name, ".go") {
			return nil
		}
		source, err := fs.ReadFile(root, name)
		if err == nil {
			f(name, source)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
