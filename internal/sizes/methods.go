package main

import (
	"bufio"
	"context"
	"debug/elf"
	"debug/gosym"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// neverCalled is a method that no program calls, of a type that every one has: only
// where the linker keeps all methods is it there.
const neverCalled = "reflect.(*Value).MethodByName"

// keepsAllMethods reports whether the linker has kept the methods of a program that
// nobody calls. It does for all of them once a method is called whose name it does
// not know, by reflect.Value.MethodByName or reflect.Type.Method (cmd/link, deadcode.go).
func keepsAllMethods(program string) (bool, error) {
	file, err := elf.Open(program)
	if err != nil {
		return false, err
	}
	defer file.Close()
	functions, text := file.Section(".gopclntab"), file.Section(".text")
	if functions == nil || text == nil {
		return false, fmt.Errorf("it has no table of functions")
	}
	raw, err := functions.Data()
	if err != nil {
		return false, err
	}
	table, err := gosym.NewTable(nil, gosym.NewLineTable(raw, text.Addr))
	if err != nil {
		return false, err
	}
	return table.LookupFunc(neverCalled) != nil, nil
}

// whyKept links a package's program again and says who calls a method by a name that
// the linker does not know: a line for each caller, up to the start of the program.
func whyKept(ctx context.Context, pkg string) (string, error) {
	dir, err := os.MkdirTemp("", "sizes-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	link := exec.CommandContext(ctx, "go", "build", "-ldflags=-s -w -dumpdep", "-o", filepath.Join(dir, "program"), pkg)
	link.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux")
	link.Stdout = os.Stderr
	dump, err := link.StderrPipe()
	if err != nil {
		return "", err
	}
	if err := link.Start(); err != nil {
		return "", err
	}
	path, err := unknownCall(dump)
	if err != nil {
		return "", err
	}
	if err := link.Wait(); err != nil {
		return "", fmt.Errorf("linking %s: %w", pkg, err)
	}
	return path, nil
}

// unknownCall reads what the linker reaches from what, "A <flags> -> B <flags>", and
// returns the way to the first function that calls methods by unknown names.
func unknownCall(dump io.Reader) (string, error) {
	from := map[string]string{}
	first := ""
	lines := bufio.NewScanner(dump)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		a, b, ok := strings.Cut(lines.Text(), " -> ")
		if !ok {
			continue
		}
		parent, _, _ := strings.Cut(a, " <")
		child, flags, _ := strings.Cut(b, " <")
		if _, known := from[child]; !known {
			from[child] = parent
		}
		if first == "" && strings.Contains(flags, "ReflectMethod") {
			first = child
		}
	}
	var path []string
	for at := first; at != "" && !slices.Contains(path, at); at = from[at] {
		path = append(path, at)
	}
	slices.Reverse(path)
	return "\n\t" + strings.Join(path, "\n\t-> "), lines.Err()
}
