package source

import (
	"os"
	"path/filepath"
	"testing"
)

func TestLinked(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	if err := os.MkdirAll(in("mount/..1"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"mount/..1/sa.pub", "plain.pub"} {
		if err := os.WriteFile(in(name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, target := range map[string]string{"mount/..data": "..1", "mount/sa.pub": "..data/sa.pub", "current": "mount", "link.pub": "plain.pub", "dangling": "none"} {
		if err := os.Symlink(target, in(name)); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]bool{
		"plain.pub": false, "p*.pub": false, "missing.pub": false, "none/*.pub": false,
		"mount/sa.pub": false, "mount/*.pub": false,
		"current/sa.pub": true, "current/*.pub": true, "current/none*": true, "link.pub": true, "l*.pub": true, "dangling": true,
	} {
		if got := linked(in(name)); got != want {
			t.Errorf("%s: linked is %v, want %v", name, got, want)
		}
	}
}
