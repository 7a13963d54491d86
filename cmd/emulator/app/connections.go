package app

import (
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// What a connection may take; the handler bounds the rest. docs/emulator.md lists
// it.
const (
	headerTimeout = 10 * time.Second // for a TLS handshake too
	idleTimeout   = 2 * time.Minute
	maxHeader     = 64 << 10 // bytes, to which net/http adds 4 KiB
)

// newServer speaks HTTP/2 without TLS too, as some clients do without asking: that of
// the AWS SDK for JavaScript for Kinesis is one.
func newServer(h http.Handler, log *slog.Logger) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		Handler: h, Protocols: protocols, ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

// limitListener accepts at most so many connections at a time; others wait in the
// kernel's queue until one ends.
type limitListener struct {
	net.Listener
	slots chan struct{}
	ended chan struct{} // closed with the listener
	once  sync.Once
}

func limitConnections(l net.Listener, limit int) net.Listener {
	return &limitListener{Listener: l, slots: make(chan struct{}, limit), ended: make(chan struct{})}
}

func (l *limitListener) Accept() (net.Conn, error) {
	select {
	case l.slots <- struct{}{}:
	case <-l.ended:
		return nil, net.ErrClosed
	}
	conn, err := l.Listener.Accept()
	if err != nil {
		<-l.slots
		return nil, err
	}
	return &limitedConn{Conn: conn, free: func() { <-l.slots }}, nil
}

func (l *limitListener) Close() error {
	l.once.Do(func() { close(l.ended) })
	return l.Listener.Close()
}

// limitedConn frees its slot when it is closed.
type limitedConn struct {
	net.Conn
	once sync.Once
	free func()
}

func (c *limitedConn) Close() error {
	err := c.Conn.Close()
	c.once.Do(c.free)
	return err
}
