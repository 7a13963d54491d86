package emulator

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// TestBrokenFile: if the file stops taking writes, no write is acknowledged any
// more, reads go on, and health says so.
func TestBrokenFile(t *testing.T) {
	s, err := New(Config{State: filepath.Join(t.TempDir(), "db"), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	health := func() int {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/_openirsa/health", nil))
		return w.Code
	}
	put := func(name string) *awsError {
		return s.iam.edit(func(e *edit) *awsError {
			e.putGroup(&group{entity{ID: name, Name: name}})
			return nil
		})
	}
	if e := put("before"); e != nil || health() != http.StatusOK {
		t.Fatal(e, health())
	}
	if err := s.store.db.Close(); err != nil { // as a disk that fails would
		t.Fatal(err)
	}
	for range 2 {
		if e := put("after"); e != errInternal {
			t.Errorf("a write to a broken file: %v", e)
		}
	}
	if code := health(); code != http.StatusServiceUnavailable {
		t.Errorf("health is %d", code)
	}
	if s.iam.groupByID("before") == nil {
		t.Error("what was read before is gone")
	}
}

// TestGroupCommit: writers that come together share commits, each finds its
// own value in the file when it is acknowledged, and the last value counts.
func TestGroupCommit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	s, err := openStore(path)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for w := range 16 {
		wg.Go(func() {
			for i := range 20 {
				key, value := fmt.Sprint("k", w), fmt.Sprint(i)
				b := s.queue(record{bucketBody, key, []byte(value)})
				if got, ok := s.body(bucketBody, key); !ok || string(got) != value {
					t.Errorf("%s is %q before its commit, want %s", key, got, value)
				}
				if err := s.commit(b); err != nil {
					t.Error(err)
				}
				if got, ok := s.body(bucketBody, key); !ok || string(got) != value {
					t.Errorf("%s is %q after its commit, want %s", key, got, value)
				}
			}
		})
	}
	wg.Wait()
	if err := s.commit(s.queue(record{bucketBody, "k0", nil})); err != nil {
		t.Fatal(err)
	}
	if stats := s.db.Stats(); stats.TxStats.GetWrite() == 0 {
		t.Error("nothing was written")
	}
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
	if s, err = openStore(path); err != nil {
		t.Fatal(err)
	}
	defer s.close()
	n := 0
	err = s.load(bucketBody, func(key string, value []byte) error {
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
	s, err := openStore(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.commit(s.queue(record{bucketMeta, "version", []byte("9")})); err != nil {
		t.Fatal(err)
	}
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
	if _, err := openStore(path); err == nil || !strings.Contains(err.Error(), `its layout is version "9"`) {
		t.Errorf("a file of another version: %v", err)
	}
}
