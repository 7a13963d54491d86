//go:build linux

package emulator

import (
	"bytes"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/openirsa/openirsa/pkg/emulator/internal/store"
	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
)

// stored makes a state file with something in each of its buckets.
func stored(t *testing.T) (path string, content []byte) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "state.db")
	s, err := New(Config{State: path})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 16 {
		putGroupNamed(t, s, fmt.Sprint("group", i))
	}
	for i := range 5 {
		var c store.Change
		c.Put(store.Bodies, fmt.Sprint("x", i, "/0"), strings.Repeat("x", 9000))
		if err := s.store.Commit(s.store.Queue(c.Records...)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if content, err = os.ReadFile(path); err != nil {
		t.Fatal(err)
	}
	return path, content
}

func putGroupNamed(t *testing.T, s *Server, name string) *wire.Failure {
	t.Helper()
	return s.iam.edit(func(e *edit) *wire.Failure {
		e.putGroup(&group{entity{ID: name, Name: name, Path: strings.Repeat("/p", 200)}})
		return nil
	})
}

// TestDamagedFile: a state file that was cut off or overwritten ends in an error
// that names it and what is wrong, and never in a panic; so does a copy of it
// that still makes sense, in nothing worse.
func TestDamagedFile(t *testing.T) {
	path, content := stored(t)
	const page = 4096
	damaged, refused := 0, 0
	try := func(what string, content []byte, must bool) {
		t.Helper()
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		damaged++
		s, err := New(Config{State: path})
		if err != nil {
			refused++
			if !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), "does another") {
				t.Errorf("%s: %v", what, err)
			}
			return
		}
		if must {
			t.Errorf("%s: it is taken", what)
		}
		putGroupNamed(t, s, "after")
		ask(s, "GET", "/?Action=ListGroups&Version=2010-05-08", "")
		s.Close()
	}
	for size := page; size < len(content); size += page {
		try(fmt.Sprintf("cut off at %d of %d", size, len(content)), content[:size], size < 4*page)
		try(fmt.Sprintf("cut off at %d of %d", size+100, len(content)), content[:size+100], size < 4*page)
	}
	for at := 0; at < len(content); at += page {
		for what, fill := range map[string]func([]byte){
			"zeros": func(b []byte) { clear(b) },
			"ones": func(b []byte) {
				for i := range b {
					b[i] = 0xff
				}
			},
			"noise":      func(b []byte) { copy(b, noise(len(b))) },
			"the head":   func(b []byte) { copy(b, noise(64)) },
			"half of it": func(b []byte) { copy(b[len(b)/2:], noise(len(b)/2)) },
			"another":    func(b []byte) { copy(b, content[(at+7*page)%(len(content)-page):]) },
		} {
			broken := bytes.Clone(content)
			fill(broken[at : at+page])
			try(fmt.Sprintf("page %d overwritten by %s", at/page, what), broken, false)
		}
	}
	try("both meta pages overwritten", append(noise(2*page), content[2*page:]...), true)
	try("something else", []byte("# a file of somebody else\n"), true)
	try("something larger", noise(64*page), true)
	if refused < damaged/8 {
		t.Errorf("of %d damaged files %d were refused", damaged, refused)
	}
}

func noise(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

// TestDamageAtWork: a file that is cut off or overwritten while the emulator runs
// gives errors from then on, and the emulator continues.
func TestDamageAtWork(t *testing.T) {
	for _, what := range []string{"cut off", "overwritten"} {
		path, _ := stored(t)
		var log bytes.Buffer
		s, err := New(Config{State: path, Log: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		body := strings.Repeat("y", 3<<20/2)
		putAsRoot(t, s, "/bucket", "", http.StatusOK)
		putAsRoot(t, s, "/bucket/key", body, http.StatusOK)
		if what == "cut off" {
			err = os.Truncate(path, 8192)
		} else {
			var f *os.File
			if f, err = os.OpenFile(path, os.O_WRONLY, 0); err == nil {
				info, _ := f.Stat()
				_, err = f.WriteAt(noise(int(info.Size())), 0)
				f.Close()
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		getAsRoot(s, "/bucket/key")
		failed := 0
		for i := range 5 {
			if putGroupNamed(t, s, fmt.Sprint("late", i)) != nil {
				failed++
			}
		}
		getAsRoot(s, "/bucket/key")
		w := ask(s, "GET", "/_openirsa/health", "")
		if failed == 0 || w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), path) {
			t.Errorf("%s: %d of 5 writes failed, health is %d %s", what, failed, w.Code, w.Body)
		}
		if list := getAsRoot(s, "/bucket"); list.Code != http.StatusOK {
			t.Errorf("%s: what is in memory is not served: %d", what, list.Code)
		}
		s.Close()
	}
}

func getAsRoot(s *Server, target string) *httptest.ResponseRecorder {
	return asRoot(s, "GET", target, "")
}

func putAsRoot(t *testing.T, s *Server, target, body string, want int) {
	t.Helper()
	if w := asRoot(s, "PUT", target, body); w.Code != want {
		t.Fatalf("PUT %s: %d %s", target, w.Code, w.Body)
	}
}

// TestStateFileOfOthers: a file that others can read is fixed; one that is a
// link, no file, or somebody else's is refused.
func TestStateFileOfOthers(t *testing.T) {
	path, content := stored(t)
	for _, mode := range []os.FileMode{0o644, 0o660, 0o666, 0o640} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		s, err := New(Config{State: path})
		if err != nil {
			t.Fatalf("mode %04o: %v", mode, err)
		}
		s.Close()
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("mode %04o: it is %v afterwards, %v", mode, info.Mode(), err)
		}
	}
	dir := t.TempDir()
	link := filepath.Join(dir, "link")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	dangling := filepath.Join(dir, "dangling")
	if err := os.Symlink(filepath.Join(dir, "nothing"), dangling); err != nil {
		t.Fatal(err)
	}
	cases := map[string]string{link: "symbolic link", dangling: "symbolic link", dir: "directory"}
	if pipe, ok := makePipe(dir); ok {
		cases[pipe] = "no regular file"
	}
	if os.Geteuid() == 0 {
		other := filepath.Join(dir, "other")
		if err := os.WriteFile(other, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(other, 12345, -1); err != nil {
			t.Fatal(err)
		}
		cases[other] = "of the user 12345"
	}
	for path, want := range cases {
		s, err := New(Config{State: path})
		if err == nil {
			s.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "nothing")); err == nil {
		t.Error("a link made a file elsewhere")
	}
}
