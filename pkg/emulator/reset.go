package emulator

import (
	"fmt"
	"net/http"
)

// Reset empties the emulator, in memory and in the state file: it is as it was when
// it was made, with no IAM objects, buckets, keys and sessions, no faults, no
// events and nothing that roles did, and the clock of its [Config]. It waits for the calls
// under way, but for those that wait for a backend themselves, which are refused if who
// makes them is gone. Metrics and the numbers of events go on.
func (s *Server) Reset() error {
	s.state.Lock()
	defer s.state.Unlock()
	defer s.facts.clear()()
	if err := s.store.Clear(); err != nil {
		return fmt.Errorf("emptying the state: %w", err)
	}
	if err := s.loadKeys(); err != nil {
		return err
	}
	if err := s.reload(); err != nil {
		return err
	}
	for _, account := range s.accounts {
		account.reports.clear()
	}
	s.events.clear()
	s.ClearFaults()
	s.offset.Store(0)
	return nil
}

// resetPath is where the control API has it.
const resetPath = "/_openirsa/control/reset"

// serveReset is Reset in the control API: {}.
func (s *Server) serveReset(w http.ResponseWriter, r *http.Request) {
	var body struct{}
	if !readControl(w, r, &body) {
		return
	}
	if err := s.Reset(); err != nil {
		writeProblem(w, http.StatusInternalServerError, "%v", err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}
