package gate_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/openirsa/openirsa/internal/gate"
)

// serve is a guarded server for most connections, and its address.
func serve(t *testing.T, most int, h http.HandlerFunc) string {
	t.Helper()
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := gate.NewListener(socket, most)
	s := &http.Server{Handler: h}
	l.Guard(s)
	done := make(chan struct{})
	go func() {
		s.Serve(l)
		close(done)
	}()
	t.Cleanup(func() {
		s.Close()
		<-done
	})
	return socket.Addr().String()
}

func dial(t *testing.T, address, say string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if _, err := io.WriteString(c, say); err != nil {
		t.Fatal(err)
	}
	return c
}

// hungUp reports whether the other side ends a connection within a second.
func hungUp(c net.Conn) bool {
	c.SetReadDeadline(time.Now().Add(time.Second))
	_, err := io.Copy(io.Discard, c)
	timeout, ok := errors.AsType[net.Error](err)
	return !ok || !timeout.Timeout()
}

const get = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"

func answer(t *testing.T, c net.Conn) {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(5 * time.Second))
	head := make([]byte, len("HTTP/1.1 200 OK"))
	if _, err := io.ReadFull(c, head); err != nil || string(head) != "HTTP/1.1 200 OK" {
		t.Fatalf("%q, %v", head, err)
	}
}

// Whoever does not send a whole request gives way to whoever does, and to
// connections that are kept for the next one.
func TestListenerOfSlowConnections(t *testing.T) {
	address := serve(t, 3, func(w http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) })
	kept := dial(t, address, get)
	answer(t, kept)
	silent := dial(t, address, "")
	slow := dial(t, address, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nxx")
	time.Sleep(300 * time.Millisecond)
	answer(t, dial(t, address, get))
	if !hungUp(silent) {
		t.Error("the oldest that has said nothing stays")
	}
	for range 10 {
		answer(t, dial(t, address, get))
	}
	if !hungUp(slow) {
		t.Error("a body that does not end stays")
	}
}

// One that has only just come does not give way to the next, where there are
// others that nobody uses.
func TestListenerOfNewConnections(t *testing.T) {
	address := serve(t, 3, func(http.ResponseWriter, *http.Request) {})
	for range 2 {
		answer(t, dial(t, address, get))
	}
	first := dial(t, address, "")
	second := dial(t, address, "")
	for _, c := range []net.Conn{first, second} {
		time.Sleep(10 * time.Millisecond)
		io.WriteString(c, get)
		answer(t, c)
	}
}

// One address that comes again and again, faster than any of its connections is
// slow, does not push out another's that is kept, or whose handshake takes long.
func TestListenerOfACrowd(t *testing.T) {
	address := serve(t, 8, func(http.ResponseWriter, *http.Request) {})
	from := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	var others []net.Conn
	for range 2 {
		c, err := from.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		others = append(others, c)
	}
	io.WriteString(others[0], get)
	answer(t, others[0])
	time.Sleep(300 * time.Millisecond) // the other one is slow
	for range 100 {
		dial(t, address, "")
	}
	for i, what := range []string{"that is kept", "that is slow"} {
		if hungUp(others[i]) {
			t.Errorf("the other address's connection %s was closed", what)
		}
	}
}

// Requests that are being answered are the last to give way.
func TestListenerOfAnswers(t *testing.T) {
	release := make(chan struct{})
	address := serve(t, 2, func(w http.ResponseWriter, r *http.Request) {
		gate.Heard(r.Context())
		if r.URL.Path == "/wait" {
			<-release
		}
	})
	waiting := dial(t, address, "GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
	for range 10 {
		c := dial(t, address, get)
		answer(t, c)
		time.Sleep(time.Millisecond) // it is idle
	}
	close(release)
	answer(t, waiting)
}

func TestBudget(t *testing.T) {
	ctx := t.Context()
	b := &gate.Budget{Free: 10, Most: 100}
	cut := map[string]int{}
	open := func(name string) *gate.Share { return b.Open(func() { cut[name]++ }) }
	resize := func(s *gate.Share, size int64, want error) {
		t.Helper()
		if err := s.Resize(ctx, size); !errors.Is(err, want) {
			t.Errorf("%v, want %v", err, want)
		}
	}
	var small []*gate.Share
	for range 1000 {
		s := open("small")
		resize(s, 10, nil)
		small = append(small, s)
	}
	a := open("a")
	resize(a, 111, gate.ErrFull) // more than there is, ever
	resize(a, 110, nil)
	resize(a, 20, nil)
	c := open("c")
	resize(c, 100, nil)
	a.Close()
	resize(c, 110, nil)
	c.Close()
	for _, s := range small {
		s.Close()
	}
	if len(cut) != 0 {
		t.Errorf("shares were cut where there was room: %v", cut)
	}
}

// The oldest give way, as many as it takes, and the new one waits for them.
func TestBudgetGivesWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &gate.Budget{Most: 100}
		var cut []string
		hold := func(name string, size int64, stubborn bool) *gate.Share {
			var s *gate.Share
			s = b.Open(func() {
				cut = append(cut, name)
				if !stubborn {
					go func() {
						time.Sleep(10 * time.Millisecond)
						s.Close()
					}()
				}
			})
			if err := s.Resize(t.Context(), size); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			return s
		}
		hold("oldest", 40, false)
		hold("older", 40, false)
		young := hold("young", 20, true)
		hold("new", 50, true)
		if len(cut) != 2 || cut[0] != "oldest" || cut[1] != "older" {
			t.Errorf("%q gave way", cut)
		}
		// One that does not give way is not waited for for ever.
		start := time.Now()
		if err := b.Open(func() {}).Resize(t.Context(), 100); !errors.Is(err, gate.ErrFull) {
			t.Error(err)
		}
		if took := time.Since(start); took > time.Second {
			t.Errorf("refused after %s", took)
		}
		if err := young.Resize(t.Context(), 30); !errors.Is(err, gate.ErrFull) {
			t.Errorf("one that was told to give way grows: %v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := b.Open(func() {}).Resize(ctx, 100); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}
