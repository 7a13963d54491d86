package release_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// TestWindows runs the chain of the demo in the program for Windows, under wine.
func TestWindows(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("wine runs programs of the machine's own architecture, and Debian's is for amd64")
	}
	one, _ := made(t)
	file := filepath.Join(t.TempDir(), "openirsa.exe")
	if err := os.WriteFile(file, one.program(t, "windows_amd64"), 0o755); err != nil {
		t.Fatal(err)
	}
	wine := windows(t)
	if out := wine.must(t, "wine", file, "version"); !strings.Contains(out, one.tag) {
		t.Errorf("openirsa.exe version says %q", out)
	}
	demo := wine.must(t, "wine", file, "demo")
	linux := command{}.must(t, one.local(t, "openirsa"), "demo")
	if got, want := strings.Count(demo, "\n"), strings.Count(linux, "\n"); got != want {
		t.Errorf("openirsa.exe demo has %d lines, and on Linux %d", got, want)
	}
	t.Log(demo)
}

// windows is a Windows of its own, as wine makes it.
func windows(t *testing.T) command {
	t.Helper()
	dir := t.TempDir()
	wine := command{dir: dir, env: []string{"WINEPREFIX=" + filepath.Join(dir, "prefix"), "WINEDEBUG=-all", "HOME=" + dir}}
	wine.must(t, "wineboot", "--init")
	t.Cleanup(func() {
		for _, flag := range []string{"--kill", "--wait"} { // for its files to be removed
			stop := exec.Command("wineserver", flag)
			stop.Env = append(os.Environ(), wine.env...)
			stop.Run()
		}
	})
	dll := filepath.Join(dir, "prefix/drive_c/windows/system32/bcryptprimitives.dll")
	if _, err := os.Stat(dll); err != nil {
		command{}.must(t, "x86_64-w64-mingw32-gcc", "-shared", "-o", dll, "testdata/bcryptprimitives.c", "-ladvapi32")
	}
	return wine
}
