package agent

import (
	"net/http"
	"time"
)

// FastHandler is a handler whose rate nobody reaches, at the same cost.
func FastHandler(a *Agent) http.Handler { return &handler{agent: a, common: newLimiter(1<<40, 1<<40)} }

// RenewAfterLife is when credentials of a life are renewed.
func RenewAfterLife(life, most time.Duration) time.Duration { return renewAfter(life, most) }

// Kept is for how many pods and tokens there are credentials.
func Kept(a *Agent) (pods, tokens int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.pods.len(), len(a.tokens)
}

// Held is how much else is kept: refused tokens, addresses, exchanges under way.
func Held(a *Agent) (refused, peers, flights int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.refused.len(), a.peers.len(), len(a.flights)
}

// ParseInsecure reads a token, and reports whether it says anything.
func ParseInsecure(token string) (says bool, err error) {
	c, err := parseInsecure(token)
	return c != claims{}, err
}
