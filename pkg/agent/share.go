package agent

import (
	"time"

	"golang.org/x/time/rate"
)

// The rates of requests. What an address of the agent answers in all is as the original
// agent has it; the rest is so that a pod that asks without end takes nothing from others.
const (
	commonRate, commonBurst = 1000, 500
	ownRate, ownBurst       = 20, 50
	// A pod has one new token in many hours; many pods may start together behind one
	// address. A pod with a good token has none refused.
	askedRate, askedBurst     = 10, 128
	refusedRate, refusedBurst = 1, 20

	// Exchanges at a time, of all and of one share, and how many of a share may wait.
	maxExchanges = 64
	ownExchanges = 8
	ownWaiting   = 64
)

// share is the part of one pod in what all pods of a node have together. A token that
// EKS Auth has accepted stands for its pod; before that, the address that it comes from
// does, since anybody can write a token with any pod in it. Pods on their node's network
// have the same address.
//
// A request is answered if there is room in the address's common rate or in the pod's
// own. It takes from both: a pod that floods has used up its own when nothing is left of
// the common one, and the others have theirs.
type share struct {
	own     *rate.Limiter // requests
	asked   *rate.Limiter // exchanges
	refused *rate.Limiter // tokens that EKS Auth refuses
	slots   chan struct{} // exchanges under way

	waiting int // exchanges that are to come or under way; the agent's mutex guards it
}

func newShare() *share {
	return &share{
		own: newLimiter(ownRate, ownBurst), asked: newLimiter(askedRate, askedBurst), refused: newLimiter(refusedRate, refusedBurst),
		slots: make(chan struct{}, ownExchanges),
	}
}

func newLimiter(perSecond, burst int) *rate.Limiter {
	return rate.NewLimiter(rate.Limit(perSecond), burst)
}

// admits reports whether a request may be answered.
func (s *share) admits(common *rate.Limiter, now time.Time) bool {
	own := s.own.AllowN(now, 1)
	return common.AllowN(now, 1) || own
}

// mayAsk reports whether EKS Auth may be asked about one more token. Somebody who makes
// tokens up would otherwise have the node's agent, and all others of the account,
// throttled.
func (s *share) mayAsk(now time.Time) bool { return s.refused.TokensAt(now) >= 1 }
