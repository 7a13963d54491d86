package emulator

import (
	"github.com/openirsa/openirsa/internal/sigv4"
	"github.com/openirsa/openirsa/pkg/emulator/internal/api"
	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
)

// gate is what services ask of the account.
type gate struct{ s *Server }

// Admit implements [api.Gate].
func (g gate) Admit(c *api.Call) *wire.Failure { return g.s.admit(c) }

// Identify implements [api.Gate].
func (g gate) Identify(c *api.Call, sig *sigv4.Signature, payloadHash string) (sigv4.Key, *api.AuthFailure) {
	return g.s.identify(c, sig, payloadHash)
}

// Authorize implements [api.Gate].
func (g gate) Authorize(c *api.Call, q *api.Question) *wire.Failure { return g.s.authorize(c, q) }

// Ask implements [api.Gate].
func (g gate) Ask(c *api.Call, q *api.Question) *api.Verdict { return g.s.ask(c, q) }

// Record implements [api.Gate].
func (g gate) Record(c *api.Call, d api.Decision) {
	event := eventOf(c)
	event.Decision, event.Step, event.Reason, event.Code = Deny, d.Step, d.Reason, d.Code
	if d.Allowed {
		event.Decision = Allow
	}
	if d.Resource != "" {
		event.Resource = d.Resource
	}
	if d.AccessKeyID != "" {
		event.AccessKeyID = d.AccessKeyID
	}
	event.Expected, event.Found = d.Expected, d.Found
	g.s.keepEvent(c, entry{Event: event})
}

// admit refuses what a web page of another origin asks for, and lets a fault
// happen.
func (s *Server) admit(c *api.Call) *wire.Failure {
	if e := s.refusePage(c); e != nil {
		return e
	}
	return s.inject(c)
}
