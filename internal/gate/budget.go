package gate

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// ErrFull says that there is no memory for a share, or that it was dropped.
var ErrFull = errors.New("too much is in flight")

// patience is how long a share waits for dropped ones to be closed.
const patience = 500 * time.Millisecond

// Budget is the memory of all requests in flight together. Each has a [Share] of it.
// The zero value has only the free room.
type Budget struct {
	// Free is what each share has without asking, in bytes: enough for a usual
	// request. The caller bounds the number of shares.
	Free int64
	// Most is what all shares may have together beyond that.
	Most int64

	mu     sync.Mutex
	used   int64
	shares []*Share      // those beyond Free, the oldest first
	closed chan struct{} // closed when there is more room
}

// Share is the part of one request.
type Share struct {
	budget *Budget
	cut    func()

	// Under budget.mu.
	size int64 // beyond Free
	gone bool  // it has been dropped
}

// Open begins an empty share. When its memory is needed elsewhere, cut is called
// once, and must have the share closed soon; it must not call the share itself.
func (b *Budget) Open(cut func()) *Share { return &Share{budget: b, cut: cut} }

// Resize makes the share size bytes large. If there is no room, it drops the oldest
// shares and waits for them for a moment. The error is [ErrFull] or that of ctx; the
// share then keeps its size.
func (s *Share) Resize(ctx context.Context, size int64) error {
	b := s.budget
	size = max(0, size-b.Free)
	b.mu.Lock()
	defer b.mu.Unlock()
	if size > b.Most {
		return ErrFull
	}
	var timeout <-chan time.Time
	for {
		need := b.used + size - s.size - b.Most
		if s.gone {
			return ErrFull
		}
		if size <= s.size || need <= 0 {
			b.set(s, size)
			return nil
		}
		for _, old := range b.shares {
			if need <= 0 {
				break
			}
			if old == s {
				continue
			}
			need -= old.size
			if !old.gone {
				old.gone = true
				old.cut()
			}
		}
		if b.closed == nil {
			b.closed = make(chan struct{})
		}
		if timeout == nil {
			timeout = time.After(patience)
		}
		room := b.closed
		b.mu.Unlock()
		var err error
		select {
		case <-room:
		case <-timeout:
			err = ErrFull
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
		b.mu.Lock()
		if err != nil {
			return err
		}
	}
}

// Close returns the share's memory to the budget.
func (s *Share) Close() {
	s.budget.mu.Lock()
	defer s.budget.mu.Unlock()
	s.gone = true // nobody may cut it now
	s.budget.set(s, 0)
}

// set changes a share's size; b.mu is held.
func (b *Budget) set(s *Share, size int64) {
	at := slices.Index(b.shares, s)
	switch {
	case size > 0 && at < 0:
		b.shares = append(b.shares, s)
	case size == 0 && at >= 0:
		b.shares = slices.Delete(b.shares, at, at+1)
	}
	b.used += size - s.size
	if size < s.size && b.closed != nil {
		close(b.closed)
		b.closed = nil
	}
	s.size = size
}
