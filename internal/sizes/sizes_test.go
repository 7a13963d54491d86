package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// link makes a program of a main function, and returns it and what the linker said.
func link(t *testing.T, main string) (program, said string) {
	t.Helper()
	dir := t.TempDir()
	source, program := filepath.Join(dir, "main.go"), filepath.Join(dir, "program")
	if err := os.WriteFile(source, []byte("package main\n\nimport (\"fmt\"; \"os\"; \"reflect\")\n\n"+main), 0o600); err != nil {
		t.Fatal(err)
	}
	build := exec.CommandContext(t.Context(), "go", "build", "-ldflags=-s -w -dumpdep", "-o", program, source)
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux")
	out, err := build.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return program, string(out)
}

// unknown is a main function that calls a method by a name that the linker does not know.
const unknown = `func main() { call(os.Args[0]) }

//go:noinline
func call(name string) { fmt.Println(reflect.ValueOf(os.Args).MethodByName(name).IsValid()) }`

func TestMethods(t *testing.T) {
	program, said := link(t, unknown)
	if kept, err := keepsAllMethods(program); !kept || err != nil {
		t.Errorf("an unknown method: %v, %v", kept, err)
	}
	path, err := unknownCall(strings.NewReader(said))
	if err != nil || !strings.HasSuffix(path, "\n\t-> main.main\n\t-> main.call") {
		t.Errorf("an unknown method: %s, %v", path, err)
	}

	if _, err := keepsAllMethods(os.Args[0] + ".none"); err == nil {
		t.Error("no program: no error")
	}
}

func TestCheck(t *testing.T) {
	program, said := link(t, `func main() { fmt.Println(reflect.ValueOf(os.Args).MethodByName("Known").IsValid()) }`)
	if path, err := unknownCall(strings.NewReader(said)); err != nil || strings.Contains(path, "main.main") {
		t.Errorf("a known method: %s, %v", path, err)
	}
	if err := check(t.Context(), []string{program}, t.Output()); err == nil || err.Error() != "program has no budget" {
		t.Errorf("a program without a budget: %v", err)
	}
	emulator := filepath.Join(filepath.Dir(program), "emulator")
	if err := os.Rename(program, emulator); err != nil {
		t.Fatal(err)
	}
	if err := check(t.Context(), []string{emulator}, t.Output()); err != nil {
		t.Errorf("a small program that calls a known method: %v", err)
	}
	if err := os.Truncate(emulator, budgets["emulator"]+1); err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("emulator has %d bytes, and may have %d", budgets["emulator"]+1, budgets["emulator"])
	if err := check(t.Context(), []string{emulator}, t.Output()); err == nil || err.Error() != want {
		t.Errorf("a large program: %v", err)
	}
}

// A program with all methods is refused, with the way to who keeps them, which is found by
// linking the package of its name again.
func TestCheckKept(t *testing.T) {
	program, _ := link(t, unknown)
	dir := filepath.Dir(program)
	emulator := filepath.Join(dir, "emulator")
	if err := os.Rename(program, emulator); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "cmd", "emulator"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(dir, "main.go"), filepath.Join(dir, "cmd", "emulator", "main.go")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module example.com/kept\n\ngo 1.26.0\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	err := check(t.Context(), []string{emulator}, t.Output())
	const begins, ends = "emulator has every method of every type, ", "\n\t-> main.main\n\t-> main.call"
	if err == nil || !strings.HasPrefix(err.Error(), begins) || !strings.HasSuffix(err.Error(), ends) {
		t.Errorf("a program with all methods: %v, want %q ... %q", err, begins, ends)
	}
}
