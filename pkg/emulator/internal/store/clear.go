package store

import (
	"fmt"

	"go.etcd.io/bbolt"
)

// Clear deletes everything, so that the file, if there is one, is as a new one. What
// was queued and is not on disk yet is dropped. Nobody may use the store meanwhile.
func (s *Store) Clear() error {
	s.flushing.Lock()
	defer s.flushing.Unlock()
	s.mu.Lock()
	dead, broken := s.dead, s.broken
	s.next, s.bodies = nil, make(map[string][]byte)
	s.mu.Unlock()
	if s.db == nil {
		return nil
	}
	if dead {
		return broken
	}
	err := guarded(s.path, func() error { return s.db.Update(empty) })
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken, s.failed = err, err; err != nil {
		return fmt.Errorf("emptying the state file %q: %w", s.path, err)
	}
	return nil
}

// empty makes a file one that has its version and nothing else.
func empty(tx *bbolt.Tx) error {
	var names [][]byte
	err := tx.ForEach(func(name []byte, _ *bbolt.Bucket) error {
		names = append(names, append([]byte(nil), name...))
		return nil
	})
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := tx.DeleteBucket(name); err != nil {
			return err
		}
	}
	b := Batch{records: []Record{{Meta, "version", []byte(stateVersion)}}}
	return b.apply(tx)
}
