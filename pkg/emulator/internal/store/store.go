// Package store keeps the emulator's state in one bbolt file, or in memory only.
package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"
)

// Store keeps the state beyond the life of the process, in one bbolt file, if
// there is one. All that is read to answer a call is in memory, save the
// bodies of S3 objects; the file is read once, at the start.
//
// Whoever changes something in memory queues, under the same lock, what the
// file is to hold, so that the file sees changes in the order in which memory
// did, and after releasing the lock waits for the queue to be on disk. Those
// who wait together share one commit.
//
// A file that does not take a write makes every further change fail: memory is
// then ahead of the file by changes that were never acknowledged, until it is
// read again from there (see [Store.Behind] and [Store.Resume]).
type Store struct {
	path string
	db   *bbolt.DB // nil: nothing outlives the process

	mu     sync.Mutex        // guards the fields below
	next   *Batch            // what is queued for the next commit
	flying *Batch            // what is being committed
	broken error             // why the file refuses writes, until memory is read again
	failed error             // why the latest write failed; nil if it did not
	dead   bool              // the file cannot be read again
	bodies map[string][]byte // Bodies, if there is no file

	flushing sync.Mutex // held while a commit is under way
}

// Record is one value in the file. A nil value deletes it.
type Record struct {
	Bucket, Key string
	Value       []byte
}

// Batch is a set of records that is committed at once.
type Batch struct {
	records   []Record
	committed bool // guarded by store.flushing, as is err
	err       error
}

// Buckets of the file that the store itself knows. The others are those of the
// services.
const (
	// Meta holds what is made once, see [Store.Once].
	Meta = "meta"

	// Bodies holds bodies of S3 objects, by a key that S3 chooses. It is
	// the one bucket that is read after the start.
	Bodies = "body"
)

// stateVersion is the version of the file's layout.
const stateVersion = "1"

// Open opens the file at path, made if need be with mode 0600, since it
// holds secret keys. An empty path means memory only.
func Open(path string) (*Store, error) {
	s := &Store{path: path, bodies: make(map[string][]byte)}
	if path == "" {
		return s, nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("making the directory of the state file: %w", err)
	}
	var db *bbolt.DB
	var file *os.File
	err := guarded(path, func() (err error) {
		db, err = bbolt.Open(path, stateMode, &bbolt.Options{
			Timeout: 5 * time.Second, FreelistType: bbolt.FreelistMapType,
			OpenFile: func(path string, flag int, mode os.FileMode) (_ *os.File, err error) {
				file, err = openStateFile(path, flag, mode)
				return file, err
			},
		})
		if err == nil {
			err = walk(db)
		}
		return err
	})
	if err != nil && file != nil {
		// Whatever bbolt thinks of the file, others may have it.
		unlock(file)
		file.Close()
	}
	switch {
	case errors.Is(err, bbolterrors.ErrTimeout):
		return nil, fmt.Errorf("opening state file %q: another emulator has it open", path)
	case err != nil:
		return nil, fmt.Errorf("opening state file %q: %w", path, err)
	}
	s.db = db
	version, err := s.Once("version", func() []byte { return []byte(stateVersion) })
	switch {
	case err != nil:
	case string(version) != stateVersion:
		err = fmt.Errorf("reading state file %q: its layout is version %q, this program writes version %s", path, version, stateVersion)
	}
	if err != nil {
		return nil, joinClose(err, db)
	}
	return s, nil
}

func joinClose(err error, db *bbolt.DB) error {
	if e := db.Close(); e != nil {
		return fmt.Errorf("%w (closing the file: %w)", err, e)
	}
	return err
}

// Close ends the use of the file. Nothing may be queued after it.
func (s *Store) Close() error {
	if s.db == nil {
		return nil
	}
	s.mu.Lock()
	dead := s.dead
	s.mu.Unlock()
	if !dead {
		return s.db.Close()
	}
	// bbolt may wait for ever for what was cut short.
	closed := make(chan error, 1)
	go func() { closed <- guarded(s.path, s.db.Close) }()
	select {
	case err := <-closed:
		return err
	case <-time.After(time.Second):
		return nil
	}
}

// Once is a value that is made once and then kept.
func (s *Store) Once(key string, make func() []byte) ([]byte, error) {
	value, ok := s.Body(Meta, key)
	if ok {
		return value, nil
	}
	if failure := s.Failure(); failure != nil {
		return nil, failure
	}
	value = make()
	if s.db == nil {
		return value, nil
	}
	return value, s.Commit(s.Queue(Record{Meta, key, value}))
}

// Load hands every record of a bucket to each, in the order of the keys. The
// value is only good until each returns.
func (s *Store) Load(bucket string, each func(key string, value []byte) error) error {
	if s.db == nil {
		return nil
	}
	return s.view(func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte(bucket))
		if b == nil {
			return nil
		}
		return b.ForEach(func(k, v []byte) error {
			if err := each(string(k), v); err != nil {
				return fmt.Errorf("reading %s %q of the state file %q: %w", bucket, k, s.path, err)
			}
			return nil
		})
	})
}

// Body reads one record of Bodies or Meta. Nobody may write to the
// answer.
func (s *Store) Body(bucket, key string) ([]byte, bool) {
	s.mu.Lock()
	if s.db == nil {
		defer s.mu.Unlock()
		value, ok := s.bodies[key]
		return value, ok && bucket == Bodies
	}
	// What is queued, or on its way to the disk, is not in the file yet.
	for _, b := range []*Batch{s.next, s.flying} {
		if b == nil {
			continue
		}
		for _, r := range slices.Backward(b.records) {
			if r.Bucket == bucket && r.Key == key {
				s.mu.Unlock()
				return r.Value, r.Value != nil
			}
		}
	}
	s.mu.Unlock()
	var value []byte
	err := s.view(func(tx *bbolt.Tx) error {
		if b := tx.Bucket([]byte(bucket)); b != nil {
			if v := b.Get([]byte(key)); v != nil {
				value = append(make([]byte, 0, len(v)), v...)
			}
		}
		return nil
	})
	return value, err == nil && value != nil
}

// view reads the file. Damage that it meets is final: what bbolt holds in memory
// is not to be trusted afterwards.
func (s *Store) view(f func(*bbolt.Tx) error) error {
	s.mu.Lock()
	dead, broken := s.dead, s.broken
	s.mu.Unlock()
	if dead && broken != nil { // what panicked may have left locks behind
		return broken
	}
	err := guarded(s.path, func() error { return s.db.View(f) })
	if _, damaged := errors.AsType[*damagedError](err); damaged {
		s.mu.Lock()
		s.broken, s.failed, s.dead = err, err, true
		s.mu.Unlock()
	}
	return err
}

// Failure is the reason why the file refuses writes, or nil.
func (s *Store) Failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.broken
}

// LastFailure is the reason why the latest write failed, or nil.
func (s *Store) LastFailure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failed
}

// Behind reports whether memory is ahead of the file, and can be read again.
func (s *Store) Behind() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.broken != nil && !s.dead
}

// TryWrite finds out whether the file takes writes again. What it finds is the
// next [Store.LastFailure].
func (s *Store) TryWrite() {
	if s.Failure() == nil { // otherwise memory has to be read again first
		s.Commit(s.Queue(Record{Meta, "probe", []byte("1")}))
	}
}

// Resume takes writes again, or never again.
func (s *Store) Resume(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.dead = true
		return
	}
	if !s.dead {
		s.broken, s.next = nil, nil // what is queued was refused
	}
}

// Queue adds records to the next commit. The values must not change after it.
func (s *Store) Queue(records ...Record) *Batch {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.db == nil {
		for _, r := range records {
			switch {
			case r.Bucket != Bodies:
			case r.Value == nil:
				delete(s.bodies, r.Key)
			default:
				s.bodies[r.Key] = r.Value
			}
		}
		return nil
	}
	if s.next == nil {
		s.next = &Batch{}
	}
	s.next.records = append(s.next.records, records...)
	return s.next
}

// Commit waits until a batch is on disk. The first to come commits for all.
func (s *Store) Commit(b *Batch) error {
	if b == nil {
		return nil
	}
	s.flushing.Lock()
	defer s.flushing.Unlock()
	if b.committed {
		return b.err
	}
	// Batches are committed in order, so one that is not committed is the next.
	s.mu.Lock()
	s.flying, s.next = b, nil
	err := s.broken
	s.mu.Unlock()
	if err == nil {
		err = guarded(s.path, func() error { return s.db.Update(b.apply) })
	}
	s.mu.Lock()
	s.flying = nil
	s.failed = err
	if err != nil {
		s.broken = err
	}
	if _, damaged := errors.AsType[*damagedError](err); damaged {
		s.dead = true
	}
	s.mu.Unlock()
	b.committed, b.err, b.records = true, err, nil
	return err
}

func (b *Batch) apply(tx *bbolt.Tx) error {
	for _, r := range b.records {
		bucket, err := tx.CreateBucketIfNotExists([]byte(r.Bucket))
		if err != nil {
			return fmt.Errorf("writing to the state file: %w", err)
		}
		if r.Value == nil {
			err = bucket.Delete([]byte(r.Key))
		} else {
			err = bucket.Put([]byte(r.Key), r.Value)
		}
		if err != nil {
			return fmt.Errorf("writing %s %q to the state file: %w", r.Bucket, r.Key, err)
		}
	}
	return nil
}

// Change is one change of the state, as the file is to see it.
type Change struct {
	Records []Record
	Err     error // of the first value that does not marshal
}

// Put records a value as JSON.
func (c *Change) Put(bucket, key string, value any) {
	b, err := json.Marshal(value)
	if err != nil && c.Err == nil {
		c.Err = fmt.Errorf("writing %s %q: %w", bucket, key, err)
	}
	c.Records = append(c.Records, Record{bucket, key, b})
}

// Delete records that a value is gone.
func (c *Change) Delete(bucket, key string) {
	c.Records = append(c.Records, Record{bucket, key, nil})
}

// walk reads all keys of the file, and all values but those of bodies, so that
// damage shows at the start. Pages are read in the order of the keys.
func walk(db *bbolt.DB) error {
	info, err := os.Stat(db.Path())
	if err != nil {
		return err
	}
	return db.View(func(tx *bbolt.Tx) error {
		if size := tx.Size(); info.Size() < size {
			return fmt.Errorf("it has %d bytes, and of its pages there are %d", info.Size(), size)
		}
		sum := byte(0)
		return tx.ForEach(func(name []byte, b *bbolt.Bucket) error {
			return b.ForEach(func(k, v []byte) error {
				if v == nil {
					return fmt.Errorf("there is a bucket inside of %q", name)
				}
				for _, c := range k {
					sum ^= c
				}
				if string(name) != Bodies {
					for _, c := range v {
						sum ^= c
					}
				} else if len(v) > 0 {
					sum ^= v[0] ^ v[len(v)-1]
				}
				return nil
			})
		})
	})
}
