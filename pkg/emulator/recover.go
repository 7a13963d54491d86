package emulator

// enter begins a call; the function that it returns ends it. If the state file
// has refused a write, the state is read again from there first, once all calls
// are over: nobody sees what was refused, and the file may take the next write.
func (s *Server) enter() func() {
	if s.store.Behind() {
		s.state.Lock()
		if s.store.Behind() {
			err := s.reload()
			if err != nil {
				s.config.Log.Error("the state cannot be read again after a write failed: nothing will be stored from now on", "error", err)
			}
			s.store.Resume(err)
		}
		s.state.Unlock()
	}
	s.state.RLock()
	return s.state.RUnlock
}

// stay is the hold of a call on the state, which it can give up for a time.
type stay struct {
	s   *Server
	end func() // nil while the state is left
}

// enter takes the state, and reports whether it had been left.
func (h *stay) enter() bool {
	if h.end != nil {
		return false
	}
	h.end = h.s.enter()
	return true
}

func (h *stay) leave() {
	if h.end != nil {
		h.end()
		h.end = nil
	}
}

// reload replaces what memory has with what the file has. What is only in memory,
// such as when a role was used last, is forgotten.
func (s *Server) reload() error {
	if err := s.loadServices(); err != nil {
		return err
	}
	s.issuers.clear()
	return nil
}

// loadServices reads the state of the services. That of EKS is needed even if its calls
// are forwarded.
func (s *Server) loadServices() error {
	for _, service := range s.services {
		if err := service.Load(); err != nil {
			return err
		}
	}
	if s.guard.Forwards("eks") {
		return s.eks.Load()
	}
	return nil
}
