package store

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// TestGroupCommit: writers that come together share commits, each finds its
// own value in the file when it is acknowledged, and the last value counts.
func TestGroupCommit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	s, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for w := range 16 {
		wg.Go(func() {
			for i := range 20 {
				key, value := fmt.Sprint("k", w), fmt.Sprint(i)
				b := s.Queue(Record{Bodies, key, []byte(value)})
				if got, ok := s.Body(Bodies, key); !ok || string(got) != value {
					t.Errorf("%s is %q before its commit, want %s", key, got, value)
				}
				if err := s.Commit(b); err != nil {
					t.Error(err)
				}
				if got, ok := s.Body(Bodies, key); !ok || string(got) != value {
					t.Errorf("%s is %q after its commit, want %s", key, got, value)
				}
			}
		})
	}
	wg.Wait()
	if err := s.Commit(s.Queue(Record{Bodies, "k0", nil})); err != nil {
		t.Fatal(err)
	}
	if stats := s.db.Stats(); stats.TxStats.GetWrite() == 0 {
		t.Error("nothing was written")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = Open(path); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	n := 0
	err = s.Load(Bodies, func(key string, value []byte) error {
		n++
		if string(value) != "19" {
			return errors.New("it is " + string(value))
		}
		return nil
	})
	if err != nil || n != 15 {
		t.Errorf("%d keys, %v", n, err)
	}
}

// TestForeignFile: what is not a state file of this program is not touched.
func TestForeignFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	s, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Commit(s.Queue(Record{Meta, "version", []byte("9")})); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path); err == nil || !strings.Contains(err.Error(), `its layout is version "9"`) {
		t.Errorf("a file of another version: %v", err)
	}
}
