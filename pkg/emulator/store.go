package emulator

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"go.etcd.io/bbolt"
)

// store keeps the state beyond the life of the process, in one bbolt file, if
// there is one. All that is read to answer a call is in memory, save the
// bodies of S3 objects; the file is read once, at the start.
//
// Whoever changes something in memory queues, under the same lock, what the
// file is to hold, so that the file sees changes in the order in which memory
// did, and after releasing the lock waits for the queue to be on disk. Those
// who wait together share one commit.
//
// A file that stops taking writes makes every further change fail: memory may
// then be ahead of the file by changes that were never acknowledged.
type store struct {
	db *bbolt.DB // nil: nothing outlives the process

	mu     sync.Mutex        // guards the fields below
	next   *batch            // what is queued for the next commit
	flying *batch            // what is being committed
	broken error             // why the file takes no more writes
	bodies map[string][]byte // bucketBody, if there is no file

	flushing sync.Mutex // held while a commit is under way
}

// record is one value in the file. A nil value deletes it.
type record struct {
	bucket, key string
	value       []byte
}

// batch is a set of records that is committed at once.
type batch struct {
	records   []record
	committed bool // guarded by store.flushing, as is err
	err       error
}

// Buckets of the file. Those of S3 are in s3_store.go.
const (
	bucketMeta     = "meta"
	bucketRole     = "role"     // by unique id
	bucketPolicy   = "policy"   // by ARN
	bucketProvider = "provider" // by ARN
	bucketUser     = "user"     // by unique id
	bucketGroup    = "group"    // by unique id

	// bucketBody holds bodies of S3 objects, by a key that S3 chooses. It is
	// the one bucket that is read after the start.
	bucketBody = "body"
)

// stateVersion is the version of the file's layout.
const stateVersion = "1"

// openStore opens the file at path, made if need be with mode 0600, since it
// holds secret keys. An empty path means memory only.
func openStore(path string) (*store, error) {
	s := &store{bodies: make(map[string][]byte)}
	if path == "" {
		return s, nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("making the directory of the state file: %w", err)
	}
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: 5 * time.Second, FreelistType: bbolt.FreelistMapType})
	if err != nil {
		return nil, fmt.Errorf("opening state file %q (does another emulator have it open?): %w", path, err)
	}
	s.db = db
	version, err := s.meta("version", func() []byte { return []byte(stateVersion) })
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

// close ends the use of the file. Nothing may be queued any more.
func (s *store) close() error {
	if s.db == nil {
		return nil
	}
	return s.db.Close()
}

// meta is a value that is made once and then kept.
func (s *store) meta(key string, make func() []byte) ([]byte, error) {
	value, ok := s.body(bucketMeta, key)
	if ok {
		return value, nil
	}
	value = make()
	if s.db == nil {
		return value, nil
	}
	return value, s.commit(s.queue(record{bucketMeta, key, value}))
}

// load hands every record of a bucket to each, in the order of the keys. The
// value is only good until each returns.
func (s *store) load(bucket string, each func(key string, value []byte) error) error {
	if s.db == nil {
		return nil
	}
	return s.db.View(func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte(bucket))
		if b == nil {
			return nil
		}
		return b.ForEach(func(k, v []byte) error {
			if err := each(string(k), v); err != nil {
				return fmt.Errorf("reading %s %q of the state file: %w", bucket, k, err)
			}
			return nil
		})
	})
}

// body reads one record of bucketBody or bucketMeta. Nobody may write to the
// answer.
func (s *store) body(bucket, key string) ([]byte, bool) {
	s.mu.Lock()
	if s.db == nil {
		defer s.mu.Unlock()
		value, ok := s.bodies[key]
		return value, ok && bucket == bucketBody
	}
	// What is queued, or on its way to the disk, is not in the file yet.
	for _, b := range []*batch{s.next, s.flying} {
		if b == nil {
			continue
		}
		for _, r := range slices.Backward(b.records) {
			if r.bucket == bucket && r.key == key {
				s.mu.Unlock()
				return r.value, r.value != nil
			}
		}
	}
	s.mu.Unlock()
	var value []byte
	err := s.db.View(func(tx *bbolt.Tx) error {
		if b := tx.Bucket([]byte(bucket)); b != nil {
			if v := b.Get([]byte(key)); v != nil {
				value = append(make([]byte, 0, len(v)), v...)
			}
		}
		return nil
	})
	return value, err == nil && value != nil
}

// failure is the reason why the file takes no more writes, or nil.
func (s *store) failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.broken
}

// queue adds records to the next commit. The values must not change any more.
func (s *store) queue(records ...record) *batch {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.db == nil {
		for _, r := range records {
			switch {
			case r.bucket != bucketBody:
			case r.value == nil:
				delete(s.bodies, r.key)
			default:
				s.bodies[r.key] = r.value
			}
		}
		return nil
	}
	if s.next == nil {
		s.next = &batch{}
	}
	s.next.records = append(s.next.records, records...)
	return s.next
}

// commit waits until a batch is on disk. The first to come commits for all.
func (s *store) commit(b *batch) error {
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
		err = s.db.Update(b.apply)
	}
	s.mu.Lock()
	s.flying = nil
	s.broken = err
	s.mu.Unlock()
	b.committed, b.err, b.records = true, err, nil
	return err
}

func (b *batch) apply(tx *bbolt.Tx) error {
	for _, r := range b.records {
		bucket, err := tx.CreateBucketIfNotExists([]byte(r.bucket))
		if err != nil {
			return fmt.Errorf("writing to the state file: %w", err)
		}
		if r.value == nil {
			err = bucket.Delete([]byte(r.key))
		} else {
			err = bucket.Put([]byte(r.key), r.value)
		}
		if err != nil {
			return fmt.Errorf("writing %s %q to the state file: %w", r.bucket, r.key, err)
		}
	}
	return nil
}

// change is one change of the state, as the file is to see it.
type change struct {
	records []record
	err     error // of the first value that does not marshal
}

// put records a value as JSON.
func (c *change) put(bucket, key string, value any) {
	b, err := json.Marshal(value)
	if err != nil && c.err == nil {
		c.err = fmt.Errorf("writing %s %q: %w", bucket, key, err)
	}
	c.records = append(c.records, record{bucket, key, b})
}

// delete records that a value is no more.
func (c *change) delete(bucket, key string) {
	c.records = append(c.records, record{bucket, key, nil})
}
