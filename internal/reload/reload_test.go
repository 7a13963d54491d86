package reload_test

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/openirsa/openirsa/internal/reload"
)

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	write := func(name, content string) {
		t.Helper()
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	parse := func(contents [][]byte) (string, error) {
		s := string(bytes.Join(contents, []byte("+")))
		if strings.Contains(s, "bad") {
			return "", errors.New("it is bad")
		}
		return s, nil
	}
	var log bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&log, nil))

	if _, err := reload.New(logger, parse, a, b); err == nil || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("files that are not there: %v", err)
	}
	write(a, "bad")
	write(b, "1")
	if _, err := reload.New(logger, parse, a, b); err == nil || !strings.Contains(err.Error(), "it is bad") {
		t.Errorf("files that are bad: %v", err)
	}
	synctest.Test(t, func(t *testing.T) {
		write(a, "1")
		f, err := reload.New(logger, parse, a, b)
		if err != nil {
			t.Fatal(err)
		}
		expect := func(want, fault string) {
			t.Helper()
			got, err := f.ValueAndFault()
			if got != want || (err == nil) != (fault == "") || err != nil && !strings.Contains(err.Error(), fault) {
				t.Errorf("%q, %v; want %q, %q", got, err, want, fault)
			}
		}
		expect("1+1", "")
		write(b, "2")
		expect("1+1", "") // within the second
		time.Sleep(time.Second)
		expect("1+2", "")
		write(b, "bad")
		time.Sleep(time.Second)
		expect("1+2", "it is bad")
		time.Sleep(time.Second)
		expect("1+2", "it is bad")
		if err := os.Remove(b); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		expect("1+2", "no such file")
		write(b, "3")
		time.Sleep(time.Second)
		expect("1+3", "")
	})
	if n := strings.Count(log.String(), "it is bad"); n != 1 {
		t.Errorf("the same error is logged %d times:\n%s", n, log.String())
	}
}
