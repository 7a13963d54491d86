package agent_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/openirsa/openirsa/pkg/agent"
)

// upstream is an exchange in a bubble of synctest, where no socket is.
type upstream struct {
	mu    sync.Mutex
	life  time.Duration
	err   error
	takes time.Duration
	asked []string // tokens
}

func (u *upstream) exchange(ctx context.Context, token string) (*agent.Credentials, error) {
	u.mu.Lock()
	u.asked = append(u.asked, token)
	n, life, err, takes := len(u.asked), u.life, u.err, u.takes
	u.mu.Unlock()
	select {
	case <-time.After(takes):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if err != nil {
		return nil, err
	}
	return &agent.Credentials{AccessKeyID: fmt.Sprint("ASIA", n), Namespace: "team-a", ServiceAccount: "app", Expires: time.Now().Add(life)}, nil
}

func (u *upstream) set(life time.Duration, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.life, u.err = life, err
}

func (u *upstream) calls() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.asked)
}

// bubble runs f with an agent whose clock is the bubble's.
func bubble(t *testing.T, c agent.Config, f func(t *testing.T, a *agent.Agent, u *upstream, call func(token string) response)) {
	synctest.Test(t, func(t *testing.T) {
		u := &upstream{life: 6 * time.Hour}
		c.Exchange = u.exchange
		a := agent.New(c)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- a.Run(ctx) }()
		h := a.Handler()
		f(t, a, u, func(token string) response {
			r := httptest.NewRequest(http.MethodGet, "http://169.254.170.23"+agent.Path, nil)
			r.Header.Set("Authorization", token)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			return response{w.Code, w.Body.String(), w.Header()}
		})
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// A refused token is refused for a moment without asking.
func TestRefusalsAreKept(t *testing.T) {
	for _, f := range []*agent.Failure{
		{Status: 404, Code: "ResourceNotFoundException", RequestID: "r", Message: "No association.", Fault: "client"},
		{Status: 400, Code: "InvalidTokenException", RequestID: "r", Message: "No.", Fault: "client"},
		{Status: 403, Code: "AccessDeniedException", RequestID: "r", Message: "No.", Fault: "client"},
	} {
		bubble(t, agent.Config{}, func(t *testing.T, a *agent.Agent, u *upstream, call func(string) response) {
			u.set(0, f)
			tok := token(t, podUID)
			want := fmt.Sprintf("[r]: (%s): %s, fault: client\n", f.Code, f.Message)
			for range 29 {
				if r := call(tok); r.status != f.Status || r.body != want {
					t.Fatalf("%d %q, want %d %q", r.status, r.body, f.Status, want)
				}
				time.Sleep(100 * time.Millisecond)
			}
			if n := u.calls(); n != 1 {
				t.Errorf("%d: %d exchanges", f.Status, n)
			}
			u.set(time.Hour, nil) // the association is made
			time.Sleep(100 * time.Millisecond)
			if key := call(tok).accessKey(t); key != "ASIA2" {
				t.Errorf("%d: afterwards %s", f.Status, key)
			}
			if refused, _, _ := agent.Held(a); refused != 0 {
				t.Error("the refusal is still kept")
			}
		})
	}
	// Others are not: the next request may have an answer.
	bubble(t, agent.Config{}, func(t *testing.T, a *agent.Agent, u *upstream, call func(string) response) {
		u.set(0, &agent.Failure{Status: 503, Code: "ServiceUnavailableException"})
		tok := token(t, podUID)
		call(tok)
		u.set(time.Hour, nil)
		if r := call(tok); r.status != 200 {
			t.Errorf("%d %s", r.status, r.body)
		}
	})
}

func TestWhenToRenew(t *testing.T) {
	for _, c := range []struct{ life, most, low, high time.Duration }{
		{6 * time.Hour, 3 * time.Hour, 162 * time.Minute, 180 * time.Minute},
		{6 * time.Hour, 8 * time.Hour, 306 * time.Minute, 340 * time.Minute},
		{time.Hour, 3 * time.Hour, 36 * time.Minute, 40 * time.Minute},
		{15 * time.Minute, 3 * time.Hour, 6*time.Minute + 45*time.Second, 7*time.Minute + 30*time.Second},
		{time.Hour, time.Minute, 54 * time.Second, time.Minute},
	} {
		seen := map[time.Duration]bool{}
		for range 1000 {
			after := agent.RenewAfterLife(c.life, c.most)
			if after < c.low || after > c.high {
				t.Fatalf("credentials of %s are renewed after %s, want %s to %s", c.life, after, c.low, c.high)
			}
			seen[after] = true
		}
		if len(seen) < 100 {
			t.Errorf("credentials of %s are renewed at %d different times", c.life, len(seen))
		}
	}
}

// A pod that asks as an SDK does always finds credentials that live for more than a
// quarter of an hour, and never waits for them.
func TestRenewal(t *testing.T) {
	for _, life := range []time.Duration{time.Hour, 6 * time.Hour} {
		t.Run(life.String(), func(t *testing.T) {
			registry := prometheus.NewRegistry()
			bubble(t, agent.Config{Metrics: agent.NewMetrics(registry)}, func(t *testing.T, _ *agent.Agent, u *upstream, call func(string) response) {
				u.set(life, nil)
				start := time.Now()
				issued := start
				tok := token(t, podUID)
				call(tok)
				for time.Since(start) < 30*time.Hour {
					time.Sleep(life - 15*time.Minute)
					if time.Since(issued) > 19*time.Hour { // kubelet has a new one at 80 % of its life
						tok, issued = token(t, podUID), time.Now()
					}
					before := u.calls()
					r := call(tok)
					if r.status != 200 {
						t.Fatalf("after %s: %d %s", time.Since(start), r.status, r.body)
					}
					if asked := u.calls() - before; asked > 0 && !issued.Equal(time.Now()) {
						t.Errorf("after %s the pod waits", time.Since(start))
					}
					if left := time.Until(expires(t, r)); left <= 15*time.Minute {
						t.Errorf("after %s credentials of %s", time.Since(start), left)
					}
				}
				if n := metrics(t, registry)["pod_identity_cache_renewals"]; n < 6 {
					t.Errorf("%v renewals", n)
				}
			})
		})
	}
}

// Renewals use the newest token that the pod has shown, which still lives when the first
// has expired.
func TestRenewalWithTheNewestToken(t *testing.T) {
	bubble(t, agent.Config{}, func(t *testing.T, _ *agent.Agent, u *upstream, call func(string) response) {
		first := sign(t, claimsOf(podUID, map[string]any{"exp": time.Now().Add(4 * time.Hour).Unix()}))
		call(first)
		time.Sleep(time.Hour)
		second := token(t, podUID)
		call(second)
		call(first) // a client that keeps it
		time.Sleep(8 * time.Hour)
		u.mu.Lock()
		defer u.mu.Unlock()
		want := []string{first, second}
		for len(want) < len(u.asked) {
			want = append(want, second)
		}
		if diff := cmp.Diff(want, u.asked); diff != "" || len(u.asked) < 4 {
			t.Errorf("%d exchanges: %s", len(u.asked), diff)
		}
	})
}

// A pod that is gone is renewed no longer: it has not asked for as long as credentials
// live, or its token has expired. EKS Auth is not asked about an expired token.
func TestPodsThatAreGone(t *testing.T) {
	bubble(t, agent.Config{}, func(t *testing.T, a *agent.Agent, u *upstream, call func(string) response) {
		call(token(t, podUID))
		time.Sleep(24 * time.Hour)
		if pods, _ := agent.Kept(a); pods != 0 || u.calls() > 4 {
			t.Errorf("%d pods are kept, %d exchanges", pods, u.calls())
		}
		calls := u.calls()
		short := sign(t, claimsOf(podUID, map[string]any{"exp": time.Now().Add(time.Hour).Unix()}))
		call(short)
		time.Sleep(4 * time.Hour)
		if pods, tokens := agent.Kept(a); pods != 0 || tokens != 0 || u.calls() != calls+1 {
			t.Errorf("%d pods, %d tokens are kept, %d exchanges", pods, tokens, u.calls()-calls)
		}
		if r := call(short); r.status != 400 || r.body != "Service account token failed basic claim validations: token is expired\n" {
			t.Errorf("%d %s", r.status, r.body)
		}
	})
}

// An accepted token that has expired gets nothing, though there are credentials.
func TestAcceptedTokenExpires(t *testing.T) {
	bubble(t, agent.Config{}, func(t *testing.T, _ *agent.Agent, _ *upstream, call func(string) response) {
		short := sign(t, claimsOf(podUID, map[string]any{"exp": time.Now().Add(time.Hour).Unix()}))
		for range 2 {
			if r := call(short); r.status != 200 {
				t.Fatal(r.body)
			}
		}
		time.Sleep(time.Hour)
		if r := call(short); r.status != 400 {
			t.Errorf("%d %s", r.status, r.body)
		}
	})
}

// What a failed renewal does to the credentials that are there.
func TestFailedRenewals(t *testing.T) {
	gone := &agent.Failure{Status: 404, Code: "ResourceNotFoundException", Fault: "client"}
	for name, c := range map[string]struct {
		err  error
		ends bool
	}{
		"no association":       {gone, true},
		"expired token":        {&agent.Failure{Status: 400, Code: "ExpiredTokenException"}, true},
		"invalid token":        {&agent.Failure{Status: 400, Code: "InvalidTokenException"}, true},
		"role not assumed":     {&agent.Failure{Status: 400, Code: "AccessDeniedException"}, true},
		"throttled":            {&agent.Failure{Status: 429, Code: "ThrottlingException"}, false},
		"server":               {&agent.Failure{Status: 500, Code: "InternalServerException"}, false},
		"unavailable":          {&agent.Failure{Status: 503, Code: "ServiceUnavailableException"}, false},
		"away":                 {&agent.Failure{Code: "RequestError"}, false},
		"agent not allowed":    {&agent.Failure{Status: 403, Code: "AccessDeniedException"}, false},
		"agent's session over": {&agent.Failure{Status: 403, Code: "ExpiredTokenException"}, false},
		"anything":             {errors.New("anything"), false},
	} {
		t.Run(name, func(t *testing.T) {
			registry := prometheus.NewRegistry()
			bubble(t, agent.Config{Metrics: agent.NewMetrics(registry)}, func(t *testing.T, a *agent.Agent, u *upstream, call func(string) response) {
				tok := token(t, podUID)
				first := call(tok)
				u.set(0, c.err)
				time.Sleep(3 * time.Hour)
				pods, _ := agent.Kept(a)
				if c.ends != (pods == 0) {
					t.Errorf("%d pods are kept", pods)
				}
				counted := metrics(t, registry)
				for name, n := range counted {
					kind := map[bool]string{true: "NonRecoverable", false: "Recoverable"}[c.ends]
					if strings.HasPrefix(name, "pod_identity_cache_errors") && (n < 1 || !strings.Contains(name, "type="+kind)) {
						t.Errorf("%s = %v", name, n)
					}
				}
				r := call(tok)
				if c.ends {
					if r.status == 200 {
						t.Error("credentials are given still")
					}
					return
				}
				if r.body != first.body {
					t.Errorf("%d %s", r.status, r.body)
				}
				// They are given while they live, and renewed as soon as that works again.
				time.Sleep(3*time.Hour - 20*time.Second)
				if r := call(tok); r.body != first.body {
					t.Errorf("shortly before the end: %d %s", r.status, r.body)
				}
				tries := u.calls()
				if tries < 90 || tries > 200 {
					t.Errorf("%d exchanges in three hours", tries)
				}
				time.Sleep(6 * time.Second)
				if r := call(tok); r.status == 200 {
					t.Errorf("credentials that are about to end: %s", r.body)
				}
				u.set(6*time.Hour, nil)
				time.Sleep(3 * time.Minute)
				if r := call(tok); r.status != 200 {
					t.Errorf("when it works again: %d %s", r.status, r.body)
				}
			})
		})
	}
}

// EKS Auth's no to a token that was good before ends what it had.
func TestFinalNoToAPod(t *testing.T) {
	bubble(t, agent.Config{RefusalsKept: -1}, func(t *testing.T, a *agent.Agent, u *upstream, call func(string) response) {
		u.set(30*time.Minute, nil)
		old := token(t, podUID)
		call(old)
		time.Sleep(2 * time.Second)
		next := token(t, podUID)
		call(next)
		u.set(0, &agent.Failure{Status: 503, Code: "ServiceUnavailableException"})
		time.Sleep(29*time.Minute + 50*time.Second) // credentials are about to end
		u.set(0, &agent.Failure{Status: 400, Code: "InvalidTokenException"})
		call(old)
		if pods, tokens := agent.Kept(a); pods != 1 || tokens != 1 {
			t.Errorf("after a no to the former token %d pods and %d tokens are kept", pods, tokens)
		}
		call(next)
		if pods, tokens := agent.Kept(a); pods != 0 || tokens != 0 {
			t.Errorf("after a no to the newest token %d pods and %d tokens are kept", pods, tokens)
		}
	})
}

// So many pods that started together are renewed in time and not all at once.
func TestRenewalsAreSpread(t *testing.T) {
	bubble(t, agent.Config{RenewalRate: 3}, func(t *testing.T, a *agent.Agent, u *upstream, call func(string) response) {
		u.mu.Lock()
		u.life, u.takes = time.Hour, 100*time.Millisecond
		u.mu.Unlock()
		const pods = 500
		var tokens []string
		for i := range pods {
			tokens = append(tokens, token(t, fmt.Sprint("pod-", i)))
			call(tokens[i])
			time.Sleep(100 * time.Millisecond) // each of them has an address of its own
		}
		time.Sleep(550 * time.Millisecond) // between two ticks
		most := 0
		for range 45 * 60 {
			before := u.calls()
			time.Sleep(time.Second)
			most = max(most, u.calls()-before)
		}
		if n := u.calls(); n < 2*pods || most > 3 {
			t.Errorf("%d exchanges for %d pods, at most %d in a second", n, pods, most)
		}
		before := u.calls()
		for _, tok := range tokens {
			if r := call(tok); r.status != 200 || time.Until(expires(t, r)) < 30*time.Minute {
				t.Fatalf("%d %s", r.status, r.body)
			}
			time.Sleep(50 * time.Millisecond)
		}
		if u.calls() > before+75 { // the renewals of that time
			t.Errorf("%d exchanges", u.calls()-before)
		}
	})
}

// A renewal that takes long and fails does not undo what a newer token has brought.
func TestRenewalIsOvertaken(t *testing.T) {
	bubble(t, agent.Config{}, func(t *testing.T, a *agent.Agent, u *upstream, call func(string) response) {
		call(token(t, podUID))
		time.Sleep(150 * time.Minute) // before any renewal
		u.mu.Lock()
		u.err, u.takes = &agent.Failure{Status: 400, Code: "ExpiredTokenException"}, 50*time.Second
		calls := len(u.asked)
		u.mu.Unlock()
		for u.calls() == calls {
			time.Sleep(time.Second)
		}
		u.mu.Lock()
		u.err, u.takes = nil, 0
		u.mu.Unlock()
		next := token(t, podUID)
		if r := call(next); r.status != 200 {
			t.Fatal(r.body)
		}
		time.Sleep(time.Minute)
		before := u.calls()
		if r := call(next); r.status != 200 || u.calls() != before {
			t.Errorf("%d %s", r.status, r.body)
		}
	})
}

// A renewal that never ends is given up.
func TestRenewalEnds(t *testing.T) {
	bubble(t, agent.Config{}, func(t *testing.T, _ *agent.Agent, u *upstream, call func(string) response) {
		tok := token(t, podUID)
		call(tok)
		u.mu.Lock()
		u.takes = time.Hour
		u.mu.Unlock()
		time.Sleep(3*time.Hour + 10*time.Minute)
		if n := u.calls(); n < 4 {
			t.Errorf("%d exchanges", n)
		}
		if r := call(tok); r.status != 200 {
			t.Errorf("%d %s", r.status, r.body)
		}
		u.mu.Lock()
		u.takes = 0
		u.mu.Unlock()
	})
}
