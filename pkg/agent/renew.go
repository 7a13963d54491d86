package agent

import (
	"context"
	"crypto/sha256"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// retryAfter is when a renewal that failed is tried again, with as much left to chance.
const retryAfter = time.Minute

// Run renews credentials before they expire, until ctx ends. It returns nil.
//
// A pod that has asked for nothing for as long as its credentials live is forgotten: its
// SDK would have asked, so that it is gone. So is one whose newest token has expired,
// since kubelet renews tokens long before that.
func (a *Agent) Run(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var renewals sync.WaitGroup
	defer renewals.Wait()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		for _, r := range a.due(time.Now()) {
			renewals.Go(func() { a.renew(ctx, r) })
		}
	}
}

// renewal is one that is due, with the token to do it with.
type renewal struct {
	entry    *entry
	question question
}

// due takes those pods out that are gone, and returns as many as may be renewed in a
// second, those first that have waited longest.
func (a *Agent) due(now time.Time) []renewal {
	a.mu.Lock()
	defer a.mu.Unlock()
	var ready, gone []*entry
	a.pods.each(func(e *entry) bool {
		switch {
		case e.renewing || now.Before(e.renew):
		case now.Sub(e.asked) >= e.life || e.claims.check(now) != nil:
			gone = append(gone, e)
		default:
			ready = append(ready, e)
		}
		return true
	})
	for _, e := range gone {
		a.drop(e)
	}
	slices.SortFunc(ready, func(x, y *entry) int { return x.renew.Compare(y.renew) })
	var all []renewal
	for _, e := range ready[:min(len(ready), a.config.RenewalRate)] {
		e.renewing = true
		q := question{token: e.newest, digest: sha256.Sum256([]byte(e.newest)), claims: e.claims, share: e.share}
		all = append(all, renewal{e, q})
	}
	return all
}

// renew asks EKS Auth for new credentials of a pod. Until there are some it keeps those
// that it has, unless EKS Auth says that the pod is to have none.
func (a *Agent) renew(ctx context.Context, r renewal) {
	ctx, cancel := context.WithTimeout(ctx, renewalTime)
	defer cancel()
	c, err := a.exchange(ctx, r.question.token)
	now := time.Now()
	var body []byte
	if err == nil && c.Expires.Sub(now) > minLife {
		body, err = encode(c)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	e := r.entry
	e.renewing = false
	if e.newest != r.question.token {
		return // it was forgotten, or has a newer token, and newer credentials with it
	}
	e.renew = now.Add(retryAfter + rand.N(retryAfter))
	if err != nil {
		f := failure(err)
		a.config.Metrics.cacheError(f)
		a.config.Log.Warn("credentials were not renewed", r.question.attributes("status", f.Status, "code", f.Code,
			"request", f.RequestID, "error", f, "expires", e.expires)...)
		if f.final() {
			a.drop(e)
		}
		return
	}
	if body == nil {
		a.config.Log.Warn("renewed credentials expire at once", r.question.attributes("expires", c.Expires)...)
		return
	}
	e.set(body, c.Expires, now, a.config.RenewAfter)
	a.config.Metrics.renewed()
	a.config.Log.Info("credentials were renewed", r.question.attributes("association", c.Association, "expires", c.Expires)...)
}
