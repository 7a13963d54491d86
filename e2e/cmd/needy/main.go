// Needy finds the tests that need more than Go, which `make test` skips where it is lacking: those from which one gets
// to needs.Lacking or needs.Time, to a program of kubetest's, or to the variable OPENIRSA_TOOLS. It prints the arguments
// of the `go test` that runs them alone.
//
//	cd e2e && OPENIRSA_TOOLS=all go -C .. test -count=1 $(go run ./cmd/needy ..)
//
// What a function calls is known by its name alone, so that there may be a test too many, and none too few.
package main

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

func main() {
	args, err := run(os.Args[1:])
	if err != nil {
		fmt.Fprintf(os.Stderr, "needy: %v\n", err)
		os.Exit(1)
	}
	fmt.Println(strings.Join(args, " "))
}

func run(args []string) ([]string, error) {
	if len(args) != 1 {
		return nil, errors.New("usage: needy MODULE_FOLDER")
	}
	root := args[0]
	files := map[string][]string{} // of tests, by folder
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != root {
			if _, err := os.Stat(filepath.Join(path, "go.mod")); err == nil || strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" {
				return fs.SkipDir
			}
		}
		if strings.HasSuffix(path, "_test.go") {
			files[filepath.Dir(path)] = append(files[filepath.Dir(path)], path)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	var tests, packages []string
	for _, dir := range slices.Sorted(maps.Keys(files)) {
		needy, err := needyTests(files[dir])
		if err != nil {
			return nil, err
		}
		if len(needy) == 0 {
			continue
		}
		rel, err := filepath.Rel(root, dir)
		if err != nil {
			return nil, err
		}
		tests, packages = append(tests, needy...), append(packages, "./"+filepath.ToSlash(rel))
	}
	if len(tests) == 0 {
		return nil, fmt.Errorf("no test below %s needs anything", root)
	}
	return append([]string{"-run=^(" + strings.Join(tests, "|") + ")$"}, packages...), nil
}

// needyTests are the tests in the files of one folder from which one gets to what is needed.
func needyTests(files []string) ([]string, error) {
	functions := map[string][]*ast.FuncDecl{} // by name
	for _, name := range files {
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, fmt.Errorf("reading tests: %w", err)
		}
		for _, d := range f.Decls {
			if d, ok := d.(*ast.FuncDecl); ok && d.Body != nil {
				functions[d.Name.Name] = append(functions[d.Name.Name], d)
			}
		}
	}
	needy := map[string]bool{}
	for found := true; found; {
		found = false
		for name, list := range functions {
			if !needy[name] && slices.ContainsFunc(list, func(d *ast.FuncDecl) bool { return reaches(d, needy) }) {
				needy[name], found = true, true
			}
		}
	}
	var tests []string
	for _, name := range slices.Sorted(maps.Keys(needy)) {
		if strings.HasPrefix(name, "Test") && name != "TestMain" {
			tests = append(tests, name)
		}
	}
	return tests, nil
}

// needed are the functions that ask for more than Go.
var needed = []string{"needs.Lacking", "needs.Time", "kubetest.Start", "kubetest.Bin"}

// reaches reports whether a function's body names what is needed, or one of these functions.
func reaches(d *ast.FuncDecl, needy map[string]bool) bool {
	reached := false
	ast.Inspect(d.Body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			of, _ := n.X.(*ast.Ident)
			reached = reached || of != nil && slices.Contains(needed, of.Name+"."+n.Sel.Name)
		case *ast.BasicLit:
			reached = reached || strings.Contains(n.Value, "OPENIRSA_TOOLS")
		case *ast.Ident:
			reached = reached || needy[n.Name]
		}
		return !reached
	})
	return reached
}
