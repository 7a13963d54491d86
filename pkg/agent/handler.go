package agent

import (
	"context"
	"crypto/sha256"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/time/rate"
)

// handler answers at one address.
type handler struct {
	agent  *Agent
	common *rate.Limiter
}

var (
	jsonType = []string{"application/json"}

	tooMany = answer{http.StatusTooManyRequests, []byte("Too Many Requests")}
	noToken = answer{http.StatusBadRequest, []byte("Service account token cannot be empty")}
)

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != Path {
		http.NotFound(w, r) // what the probes expect of /, however much is asked
		return
	}
	a := h.agent
	answer, ok := h.answer(r)
	if !ok {
		panic(http.ErrAbortHandler) // the client is gone
	}
	a.config.Metrics.answered(answer.status)
	if answer.status != http.StatusOK {
		http.Error(w, string(answer.body), answer.status)
		return
	}
	w.Header()["Content-Type"] = jsonType
	w.Write(answer.body)
}

// answer is that to a request; none if the client has not waited for it.
func (h *handler) answer(r *http.Request) (answer, bool) {
	a, now := h.agent, time.Now()
	q := question{token: r.Header.Get("Authorization")}
	q.digest = sha256.Sum256([]byte(q.token))
	found := a.find(q.digest, now)
	if q.share = found.share; q.share == nil {
		q.share = a.peer(r.RemoteAddr)
	}
	if !q.share.admits(h.common, now) {
		return tooMany, true
	}
	if host := bare(r.Host); !a.hosts[host] {
		return refuse(http.StatusForbidden, "Access Denied. Called agent through invalid address, please use either ["+
			strings.Join(a.config.Hosts, " ")+"] address not "+host), true
	}
	if q.token == "" {
		return noToken, true
	}
	if q.claims = found.claims; !found.accepted {
		var err error
		if q.claims, err = parseInsecure(q.token); err != nil {
			return refuse(http.StatusBadRequest, "Service account token cannot be parsed: "+err.Error()), true
		}
	}
	if err := q.claims.check(now); err != nil {
		return refuse(http.StatusBadRequest, "Service account token failed basic claim validations: "+err.Error()), true
	}
	if found.answer.status != 0 {
		return found.answer, true
	}
	return a.fetch(r.Context(), q)
}

func refuse(status int, text string) answer { return answer{status, []byte(text)} }

// bare is a Host header without port and brackets.
func bare(host string) string {
	if h, _, err := net.SplitHostPort(host); err == nil {
		return h
	}
	if len(host) > 1 && host[0] == '[' && host[len(host)-1] == ']' {
		return host[1 : len(host)-1]
	}
	return host
}

// found is what is known of a token.
type found struct {
	accepted bool // by EKS Auth; then there are claims and the pod's share
	claims   claims
	share    *share
	answer   answer // none if EKS Auth has to be asked
}

// find looks a token up, and counts what it finds.
func (a *Agent) find(d digest, now time.Time) found {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.look(d, now)
}

// look is find; the mutex is held.
func (a *Agent) look(d digest, now time.Time) found {
	e := a.tokens[d]
	if e == nil {
		if no, ok := a.refused.get(d); ok && now.Before(no.until) {
			return found{answer: no.answer}
		}
		return found{}
	}
	f := found{accepted: true, share: e.share}
	for _, t := range e.accepted {
		if t.digest == d {
			f.claims = t.claims
		}
	}
	a.pods.get(e.pod) // it is in use
	e.asked = now
	if e.expires.Sub(now) > minLife {
		f.answer = answer{http.StatusOK, e.body}
		a.config.Metrics.hit()
	} else if no, ok := a.refused.get(d); ok && now.Before(no.until) {
		f.answer = no.answer
	}
	return f
}

// peer is the share of an address.
func (a *Agent) peer(remote string) *share {
	from, _ := netip.ParseAddrPort(remote)
	address := from.Addr().Unmap().WithZone("")
	a.mu.Lock()
	defer a.mu.Unlock()
	s, ok := a.peers.get(address)
	if !ok {
		s = newShare()
		a.peers.put(address, s)
	}
	return s
}

// question is a request for which EKS Auth may have to be asked.
type question struct {
	token  string
	digest digest
	claims claims
	share  *share
}

// flight is an exchange for all requests that show its token meanwhile.
type flight struct {
	done   chan struct{} // closed when there is an answer
	answer answer
}

// fetch has EKS Auth asked, and waits. The exchange goes on without the client: its next
// request finds the result.
func (a *Agent) fetch(ctx context.Context, q question) (answer, bool) {
	a.mu.Lock()
	f, ok := a.flights[q.digest]
	if !ok {
		now := time.Now()
		// One that was under way when the token was looked up may have ended since.
		if ended := a.look(q.digest, now).answer; ended.status != 0 {
			a.mu.Unlock()
			return ended, true
		}
		if q.share.waiting >= ownWaiting || !q.share.mayAsk(now) || !q.share.asked.AllowN(now, 1) {
			a.mu.Unlock()
			return tooMany, true
		}
		f = &flight{done: make(chan struct{})}
		a.flights[q.digest] = f
		q.share.waiting++
		a.config.Metrics.miss()
		go a.fly(context.WithoutCancel(ctx), f, q)
	}
	a.mu.Unlock()
	select {
	case <-f.done:
		return f.answer, true
	case <-ctx.Done():
		return answer{}, false
	}
}

// fly asks EKS Auth, and keeps what it says.
func (a *Agent) fly(ctx context.Context, f *flight, q question) {
	ctx, cancel := context.WithTimeout(ctx, exchangeTime)
	defer cancel()
	credentials, err := a.ask(ctx, q)
	var result answer
	if err == nil {
		result = a.keep(q, credentials)
	} else {
		result = a.failed(q, err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	f.answer = result
	delete(a.flights, q.digest)
	q.share.waiting--
	close(f.done)
}

// ask waits for a place, and asks EKS Auth.
func (a *Agent) ask(ctx context.Context, q question) (*Credentials, error) {
	for _, slots := range []chan struct{}{q.share.slots, a.slots} {
		select {
		case slots <- struct{}{}:
			defer func() { <-slots }()
		case <-ctx.Done():
			return nil, errBusy
		}
	}
	if !q.share.mayAsk(time.Now()) {
		return nil, errBusy // others that came before it were refused
	}
	return a.exchange(ctx, q.token)
}

func (a *Agent) exchange(ctx context.Context, token string) (*Credentials, error) {
	start := time.Now()
	c, err := a.config.Exchange(ctx, token)
	a.config.Metrics.exchanged(time.Since(start), err)
	return c, err
}
