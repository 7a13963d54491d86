package api

import (
	"errors"
	"net/http"
	"sync/atomic"

	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
)

// Memory is what the bodies of all calls may take together.
type Memory struct {
	Max  int64 // bytes
	used atomic.Int64
}

// Used is how many bytes are taken.
func (m *Memory) Used() int64 { return m.used.Load() }

// take takes n bytes, unless that is more than there is left.
func (m *Memory) take(n int64) bool {
	if m.used.Add(n) > m.Max {
		m.used.Add(-n)
		return false
	}
	return true
}

func (m *Memory) give(n int64) { m.used.Add(-n) }

// Errors of [Call.ReadAll].
var (
	ErrTooLong  = errors.New("the body is too long")
	ErrNoMemory = errors.New("there is no memory left for the body")
)

// Busy is the answer if there is no memory left for a body. Clients of AWS try
// again.
func Busy() *wire.Failure {
	return wire.Errorf(http.StatusServiceUnavailable, "ServiceUnavailable", "The emulator has too many requests under way. Please try again.")
}
