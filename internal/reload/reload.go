// Package reload keeps a value that was read from files up to date: a
// certificate, a list, a key.
//
//	cert, err := reload.New(log, parse, "tls.crt", "tls.key")
//	c := cert.Value() // as the files are now
package reload

import (
	"bytes"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/openirsa/openirsa/internal/durable"
)

// Files is a value that is read from files, and again when they change. The files are
// checked when the value is used, at most once a second; this works with the symbolic
// links by which kubelet swaps mounted Secrets and ConfigMaps, without a watcher that
// could miss a change.
type Files[T any] struct {
	paths []string
	parse func(contents [][]byte) (T, error)
	log   *slog.Logger

	mu       sync.Mutex // guards the fields below
	checked  time.Time
	contents [][]byte
	value    T
	fault    error
}

// maxFile bounds each file, in bytes.
const maxFile = 64 << 20

// New reads the files for the first time; parse gets their contents in the order
// of paths. If the files cannot be read or parsed later, the value stays the same and
// the error is logged. The log may be nil.
func New[T any](log *slog.Logger, parse func([][]byte) (T, error), paths ...string) (*Files[T], error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	f := &Files[T]{paths: paths, parse: parse, log: log, checked: time.Now()}
	if err := f.read(); err != nil {
		return nil, fmt.Errorf("reading %q: %w", paths, err)
	}
	return f, nil
}

// Value is the current value of the files, at most a second old.
func (f *Files[T]) Value() T {
	v, _ := f.ValueAndFault()
	return v
}

// ValueAndFault is [Files.Value], and why the current files cannot be used.
func (f *Files[T]) ValueAndFault() (T, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now := time.Now(); now.Sub(f.checked) >= time.Second {
		f.checked = now
		before := f.fault
		f.fault = f.read()
		if f.fault != nil && (before == nil || before.Error() != f.fault.Error()) {
			f.log.Error("files cannot be read again; continuing with their previous contents", "files", f.paths, "error", f.fault)
		}
	}
	return f.value, f.fault
}

// read reads the files. Contents that cannot be parsed are not remembered: they
// may be half written.
func (f *Files[T]) read() error {
	contents := make([][]byte, len(f.paths))
	same := f.contents != nil
	for i, path := range f.paths {
		b, _, err := durable.ReadFile(path, maxFile)
		if err != nil {
			return err // it names the path
		}
		contents[i] = b
		same = same && bytes.Equal(b, f.contents[i])
	}
	if same {
		return nil
	}
	v, err := f.parse(contents)
	if err != nil {
		return err
	}
	if f.contents != nil {
		f.log.Info("files have changed and were read again", "files", f.paths)
	}
	f.contents, f.value = contents, v
	return nil
}
