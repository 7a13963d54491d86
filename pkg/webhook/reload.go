package webhook

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// Reloaded is a value read from files and read again when they change. The
// files are looked at when the value is wanted, at most once a second; this
// sees through the symbolic links by which kubelet swaps mounted Secrets and
// ConfigMaps, without a watcher that could miss one.
type Reloaded[T any] struct {
	paths []string
	parse func(contents [][]byte) (T, error)
	log   *slog.Logger

	mu       sync.Mutex // guards what follows
	checked  time.Time
	contents [][]byte
	value    T
}

// NewReloaded reads the files for the first time; parse gets their contents in
// the order of paths. If later on the files cannot be read or parsed, the
// value stays what it was and the error is logged.
func NewReloaded[T any](log *slog.Logger, parse func([][]byte) (T, error), paths ...string) (*Reloaded[T], error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	r := &Reloaded[T]{paths: paths, parse: parse, log: log, checked: time.Now()}
	if err := r.read(); err != nil {
		return nil, err
	}
	return r, nil
}

// Value is the value of the files as they are now, give or take a second.
func (r *Reloaded[T]) Value() T {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now := time.Now(); now.Sub(r.checked) >= time.Second {
		r.checked = now
		if err := r.read(); err != nil {
			r.log.Error("files cannot be read again; going on with what they held before", "files", r.paths, "error", err)
		}
	}
	return r.value
}

// read reads the files. Their contents are remembered even if they cannot be
// parsed, so that each mistake is logged once.
func (r *Reloaded[T]) read() error {
	contents := make([][]byte, len(r.paths))
	same := r.contents != nil
	for i, path := range r.paths {
		b, err := os.ReadFile(path)
		if err != nil {
			return err // the path is in it
		}
		contents[i] = b
		same = same && bytes.Equal(b, r.contents[i])
	}
	if same {
		return nil
	}
	v, err := r.parse(contents)
	if err != nil && r.contents == nil {
		return fmt.Errorf("reading %q: %w", r.paths, err)
	}
	first := r.contents == nil
	r.contents = contents
	if err != nil {
		return err
	}
	r.value = v
	if !first {
		r.log.Info("files have changed and were read again", "files", r.paths)
	}
	return nil
}

// CredentialsList are the service accounts that get container credentials.
// The zero value is empty.
type CredentialsList struct{ all map[[2]string]bool }

// Has reports whether a service account is on the list.
func (l CredentialsList) Has(namespace, serviceAccount string) bool {
	return l.all[[2]string{namespace, serviceAccount}]
}

// ParseCredentialsList reads the JSON {"identities": [{"namespace",
// "serviceAccount"}]}. No text at all is an empty list.
func ParseCredentialsList(text []byte) (CredentialsList, error) {
	if len(bytes.TrimSpace(text)) == 0 {
		return CredentialsList{}, nil
	}
	var file struct {
		Identities []struct{ Namespace, ServiceAccount string }
	}
	if err := json.Unmarshal(text, &file); err != nil {
		return CredentialsList{}, fmt.Errorf("reading the list of container credentials: %w", err)
	}
	l := CredentialsList{all: map[[2]string]bool{}}
	for _, id := range file.Identities {
		l.all[[2]string{id.Namespace, id.ServiceAccount}] = true
	}
	return l, nil
}
