// Package gate bounds what strangers can hold of a server: connections ([Listener])
// and the memory of requests in flight ([Budget]). Both are fair in the same way:
// when there is no room, what has waited longest is dropped, so that a client that
// sends and receives without delay gets through, however many do not.
//
//	l := gate.NewListener(socket, 256)
//	l.Guard(server)
//	server.ServeTLS(l, "", "")
package gate

import (
	"cmp"
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// socketBuffer is what the kernel keeps for each direction of a connection, in
// bytes; it is charged to the container.
const socketBuffer = 32 << 10

// young is how long a connection may take for its request before it may be closed
// for others.
const young = 250 * time.Millisecond

// Listener accepts any number of connections, and keeps at most the given number:
// for a new one, another is closed. An address that has more than half of them gives
// way to all others: it cannot push them out by coming again and again. Of its
// connections, or else of all, the following are closed in this order, and among them
// the oldest of the address that has most:
//   - those that have not sent a whole request for a while (a handshake, a header or a body that does not end),
//   - those between two requests,
//   - those that have just begun,
//   - those whose request is being answered.
type Listener struct {
	net.Listener
	most int

	mu    sync.Mutex
	conns map[*conn]struct{}
}

// NewListener returns a Listener that keeps at most so many connections of l.
func NewListener(l net.Listener, most int) *Listener {
	return &Listener{Listener: l, most: most, conns: map[*conn]struct{}{}}
}

// Accept is that of [net.Listener].
func (l *Listener) Accept() (net.Conn, error) {
	inner, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	if tcp, ok := inner.(*net.TCPConn); ok {
		tcp.SetReadBuffer(socketBuffer)
		tcp.SetWriteBuffer(socketBuffer)
	}
	c := &conn{Conn: inner, listener: l, source: source(inner), since: time.Now()}
	l.mu.Lock()
	var gone *conn
	if len(l.conns) >= l.most {
		if gone = l.victim(); gone != nil {
			delete(l.conns, gone)
		}
	}
	l.conns[c] = struct{}{}
	l.mu.Unlock()
	if gone != nil {
		gone.Conn.Close()
	}
	return c, nil
}

// victim is the connection to close; l.mu is held.
func (l *Listener) victim() *conn {
	type group struct {
		rank   int
		source netip.Addr
	}
	now, held, total := time.Now(), map[group]int{}, map[netip.Addr]int{}
	of := func(c *conn) group {
		rank := c.phase
		if c.phase == pending && now.Sub(c.since) < young {
			rank = fresh
		}
		return group{int(rank), c.source}
	}
	for c := range l.conns {
		held[of(c)]++
		total[c.source]++
	}
	crowd := func(c *conn) int {
		if total[c.source] > l.most/2 {
			return 0
		}
		return 1
	}
	var first *conn
	for c := range l.conns {
		if first == nil {
			first = c
			continue
		}
		g, f := of(c), of(first)
		order := cmp.Or(cmp.Compare(crowd(c), crowd(first)), cmp.Compare(g.rank, f.rank), cmp.Compare(held[f], held[g]),
			c.since.Compare(first.since))
		if order < 0 {
			first = c
		}
	}
	return first
}

func source(c net.Conn) netip.Addr {
	if a, ok := c.RemoteAddr().(*net.TCPAddr); ok {
		return a.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}

// Guard has a server report the state of its connections to the listener. It uses
// the server's ConnState and ConnContext.
func (l *Listener) Guard(s *http.Server) {
	s.ConnState = func(c net.Conn, state http.ConnState) {
		if g := unwrap(c); g != nil {
			switch state {
			case http.StateActive:
				g.enter(pending)
			case http.StateIdle:
				g.enter(idle)
			}
		}
	}
	s.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		return context.WithValue(ctx, key{}, unwrap(c))
	}
}

type key struct{}

// Heard says that the request of this context has been read to its end. Without a
// guarded server it does nothing.
func Heard(ctx context.Context) {
	if c, _ := ctx.Value(key{}).(*conn); c != nil {
		c.enter(answered)
	}
}

func unwrap(c net.Conn) *conn {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	g, _ := c.(*conn)
	return g
}

type phase int

const (
	pending phase = iota // no whole request yet
	idle
	fresh // no phase, but a rank: pending for less than young
	answered
)

type conn struct {
	net.Conn
	listener *Listener
	source   netip.Addr

	// Under listener.mu.
	phase phase
	since time.Time
}

func (c *conn) enter(p phase) {
	c.listener.mu.Lock()
	defer c.listener.mu.Unlock()
	c.phase, c.since = p, time.Now()
}

func (c *conn) Close() error {
	c.listener.mu.Lock()
	delete(c.listener.conns, c)
	c.listener.mu.Unlock()
	return c.Conn.Close()
}
