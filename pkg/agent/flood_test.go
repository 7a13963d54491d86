package agent_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/openirsa/openirsa/pkg/agent"
)

// Each address answers 500 requests at once, and 1000 a second, and 50 of each other
// pod beside.
func TestRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := &upstream{life: time.Hour}
		a := agent.New(agent.Config{Exchange: u.exchange})
		one, two := a.Handler(), a.Handler()
		count := func(h http.Handler, token, from string, n int) (answered int) {
			t.Helper()
			for range n {
				r := httptest.NewRequest(http.MethodGet, "http://169.254.170.23"+agent.Path, nil)
				r.Header.Set("Authorization", token)
				r.RemoteAddr = from
				w := httptest.NewRecorder()
				h.ServeHTTP(w, r)
				switch {
				case w.Code == http.StatusOK:
					answered++
				case w.Code != http.StatusTooManyRequests || w.Body.String() != "Too Many Requests\n":
					t.Fatalf("%d %s", w.Code, w.Body)
				}
			}
			return answered
		}
		flood, other := token(t, "flood"), token(t, "other")
		count(two, flood, "10.0.0.1:1", 1)
		count(two, other, "10.0.0.2:1", 1)
		time.Sleep(10 * time.Second)
		for _, c := range []struct {
			what  string
			h     http.Handler
			token string
			from  string
			n     int
			want  int
		}{
			{"at once", one, flood, "10.0.0.1:1", 700, 500},
			{"of another pod", one, other, "10.0.0.2:1", 70, 50},
			{"of another pod at the same address of the node", one, token(t, "third"), "10.0.0.1:1", 1, 1},
			{"at the other address of the agent", two, flood, "10.0.0.1:1", 700, 500},
		} {
			if n := count(c.h, c.token, c.from, c.n); n != c.want {
				t.Errorf("%s %d of %d are answered, want %d", c.what, n, c.n, c.want)
			}
		}
		time.Sleep(100 * time.Millisecond)
		if n := count(one, flood, "10.0.0.1:1", 700); n != 100 {
			t.Errorf("a tenth of a second later %d are answered, want 100", n)
		}
		time.Sleep(time.Minute)
		// Requests that are refused for other reasons count too, wherever they come from.
		for range 550 {
			r := httptest.NewRequest(http.MethodGet, "http://localhost"+agent.Path, nil)
			one.ServeHTTP(httptest.NewRecorder(), r)
		}
		if n := count(one, flood, "10.0.0.1:1", 100); n != 50 {
			t.Errorf("after others' requests %d are answered, want 50", n)
		}
	})
}

// One pod that asks as fast as it can takes nothing from others.
func TestFlood(t *testing.T) {
	s := newService(t)
	_, address := start(t, s, agent.Config{})
	flood := token(t, "flood")
	var refused, answered atomic.Int64
	began := time.Now()
	stop := flooding(t, address, "127.0.0.2", func() string { return flood }, func(r response) {
		switch r.status {
		case 200:
			answered.Add(1)
		case 429:
			refused.Add(1)
		default:
			t.Errorf("%d %s", r.status, r.body)
		}
	})
	others(t, address, 5)
	stop()
	if n := answered.Load(); n == 0 || n > 600+1100*int64(time.Since(began).Seconds()+1) {
		t.Errorf("of the flood %d were answered in %s, %d refused", n, time.Since(began), refused.Load())
	}
}

// One that makes tokens up does not get the agent to ask EKS Auth without end, takes no
// memory without end, and others start meanwhile.
func TestFloodOfForgedTokens(t *testing.T) {
	s := newService(t)
	a, address := start(t, s, agent.Config{})
	victim := token(t, podUID)
	key := get(t, address, victim).accessKey(t)
	var n atomic.Int64
	forge := func() string {
		claims, err := json.Marshal(claimsOf(podUID, map[string]any{"jti": fmt.Sprint(n.Add(1))}))
		if err != nil {
			t.Error(err)
		}
		encode := base64.RawURLEncoding.EncodeToString
		return encode([]byte(`{"alg":"ES256","kid":"k1"}`)) + "." + encode(claims) + "." + encode(make([]byte, 64))
	}
	began := time.Now()
	stop := flooding(t, address, "127.0.0.2", forge, func(r response) {
		if r.status != 400 && r.status != 429 {
			t.Errorf("%d %s", r.status, r.body)
		}
	})
	others(t, address, 5)
	stop()
	most := 20 + 8 + int(time.Since(began).Seconds()) + 1
	asked := 0
	s.set(func(s *authService) { asked = len(s.invalid) })
	if asked < 20 || asked > most || n.Load() < 100 {
		t.Errorf("EKS Auth was asked about %d of %d forged tokens, want %d at most", asked, n.Load(), most)
	}
	if refused, _, flights := agent.Held(a); refused > most || flights != 0 {
		t.Errorf("%d refusals and %d exchanges are kept", refused, flights)
	}
	calls := s.calls.Load()
	if again := get(t, address, victim).accessKey(t); again != key || s.calls.Load() != calls {
		t.Errorf("the pod that the forged tokens name has %s, had %s", again, key)
	}
}

// flooding calls the agent from an address until it is stopped.
func flooding(t *testing.T, address, from string, token func() string, got func(response)) (stop func()) {
	end := make(chan struct{})
	var wg sync.WaitGroup
	c := client(from)
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-end:
					return
				default:
				}
				r, err := ask(c, address, token())
				if err != nil {
					t.Error(err)
					return
				}
				got(r)
			}
		})
	}
	t.Cleanup(c.CloseIdleConnections)
	time.Sleep(700 * time.Millisecond) // until nothing is left of what all have
	return func() {
		close(end)
		wg.Wait()
	}
}

// others are pods that start, and ask now and then. Each must have its credentials.
func others(t *testing.T, address string, pods int) {
	var wg sync.WaitGroup
	for i := range pods {
		wg.Go(func() {
			tok, first, c := token(t, fmt.Sprint("pod-", i)), "", client(fmt.Sprintf("127.0.1.%d", i+1))
			defer c.CloseIdleConnections()
			for n := range 6 {
				r, err := ask(c, address, tok)
				if err != nil {
					t.Error(err)
					return
				}
				if first == "" {
					first = r.body
				}
				if r.status != 200 || r.body != first {
					t.Errorf("request %d of pod %d: %d %s", n, i, r.status, r.body)
				}
				time.Sleep(100 * time.Millisecond)
			}
		})
	}
	wg.Wait()
}
