package emulator

import (
	"time"

	"github.com/openirsa/openirsa/pkg/emulator/internal/api"
	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
)

// Inject adds a fault. Of several that fit a call, the oldest happens.
func (s *Server) Inject(f Fault) {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	s.faults.list = append(s.faults.list, f)
	s.faults.some.Store(true)
}

// ClearFaults removes all faults.
func (s *Server) ClearFaults() {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	s.faults.list = nil
	s.faults.some.Store(false)
}

// inject lets a fault happen to a call whose service and operation are known.
// If there is an error it is the answer. If c.dropped is set afterwards there
// is to be no answer at all: the call is done, and nothing is written.
func (s *Server) inject(c *api.Call) *wire.Failure {
	f, ok := s.faults.take(c.Service, c.Operation)
	if !ok {
		return nil
	}
	if f.Latency > 0 {
		timer := time.NewTimer(f.Latency)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-c.Request.Context().Done():
		}
	}
	c.Dropped = f.Drop
	if f.Code == "" {
		if f.Drop {
			s.logFault(c, "an injected fault loses the answer", "")
		}
		return nil
	}
	s.logFault(c, "an injected fault answers instead of the operation", f.Code)
	message := f.Message
	if message == "" {
		message = "Injected fault"
	}
	return &wire.Failure{Status: f.status(), Code: f.Code, Message: message}
}

func (s *Server) logFault(c *api.Call, why, code string) {
	event := eventOf(c)
	event.Decision, event.Step, event.Reason, event.Code = Deny, "fault", why, code
	s.keepEvent(c, entry{Event: event})
}
