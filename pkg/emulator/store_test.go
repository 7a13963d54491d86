package emulator

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"

	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
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
	put := func(name string) *wire.Failure {
		return s.iam.edit(func(e *edit) *wire.Failure {
			e.putGroup(&group{entity{ID: name, Name: name}})
			return nil
		})
	}
	if e := put("before"); e != nil || health() != http.StatusOK {
		t.Fatal(e, health())
	}
	if err := s.store.Close(); err != nil { // as a disk that fails would
		t.Fatal(err)
	}
	for range 2 {
		if e := put("after"); e != wire.ErrInternal {
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
