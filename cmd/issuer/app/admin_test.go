package app

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sync/errgroup"
)

// pipes is a listener in memory, for the clock of synctest.
type pipes struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), done: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.done) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// ask sends a request, and has a body follow only if one is given.
func (p *pipes) ask(t *testing.T, head, body string) net.Conn {
	t.Helper()
	client, server := net.Pipe()
	p.conns <- server
	if _, err := io.WriteString(client, head+"\r\nHost: a.example.com\r\n\r\n"+body); err != nil {
		t.Fatal(err)
	}
	return client
}

// onPipes is a server as listen makes it, at a listener in memory.
func onPipes(t *testing.T, h http.Handler) (*listening, *pipes) {
	t.Helper()
	l, err := listen("documents", "127.0.0.1:0", &http.Server{Handler: h})
	if err != nil {
		t.Fatal(err)
	}
	l.listener.Close()
	p := newPipes()
	l.listener = p
	return l, p
}

func TestUnsentBody(t *testing.T) {
	for _, head := range []string{
		"POST /nope HTTP/1.1\r\nContent-Length: 10",
		"GET / HTTP/1.1\r\nContent-Length: 10",
		"POST /nope HTTP/1.1\r\nTransfer-Encoding: chunked",
		"POST /nope HTTP/1.1\r\nContent-Length: 1000000",
	} {
		synctest.Test(t, func(t *testing.T) {
			l, p := onPipes(t, http.NotFoundHandler())
			ctx, stop := context.WithCancel(t.Context())
			group := &errgroup.Group{}
			serveUntil(ctx, group, slog.New(slog.DiscardHandler), l)
			client := p.ask(t, head, "")
			client.SetReadDeadline(time.Now().Add(time.Minute))
			answer, err := io.ReadAll(client)
			if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 404 ") {
				t.Errorf("%q: %q, %v", head, answer, err)
			}
			stop()
			if err := group.Wait(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestUnreadAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		done := make(chan error, 1)
		l, p := onPipes(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, err := w.Write(make([]byte, 1<<20))
			done <- err
		}))
		ctx, stop := context.WithCancel(t.Context())
		group := &errgroup.Group{}
		serveUntil(ctx, group, slog.New(slog.DiscardHandler), l)
		p.ask(t, "GET / HTTP/1.1", "")
		select {
		case err := <-done:
			if err == nil {
				t.Error("an answer that nobody reads is written")
			}
		case <-time.After(time.Minute):
			t.Error("after a minute a client that does not read is still waited for")
		}
		stop()
		if err := group.Wait(); err != nil {
			t.Error(err)
		}
	})
}

// A request that does not end is no failure of the program that was told to.
func TestStopWithRequestsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		under := make(chan struct{})
		l, p := onPipes(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			close(under)
			<-r.Context().Done()
		}))
		var log bytes.Buffer
		ctx, stop := context.WithCancel(t.Context())
		group := &errgroup.Group{}
		serveUntil(ctx, group, slog.New(slog.NewTextHandler(&log, nil)), l)
		client := p.ask(t, "GET / HTTP/1.1", "")
		<-under
		told := time.Now()
		stop()
		if err := group.Wait(); err != nil {
			t.Error(err)
		}
		if took := time.Since(told); took != 15*time.Second {
			t.Errorf("it stopped after %s", took)
		}
		if !strings.Contains(log.String(), "closed with requests in progress") {
			t.Errorf("the log does not say so:\n%s", log.String())
		}
		if n, err := client.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("the connection is open: %d bytes, %v", n, err)
		}
	})
}

// Profiles take longer than requests may.
func TestLongProfile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all, err := (&adminFlags{pprof: "127.0.0.1:0"}).listen(&admin{})
		if err != nil {
			t.Fatal(err)
		}
		l, p := onPipes(t, all[0].server.Handler)
		all[0].listener.Close()
		ctx, stop := context.WithCancel(t.Context())
		group := &errgroup.Group{}
		serveUntil(ctx, group, slog.New(slog.DiscardHandler), l)
		began := time.Now()
		client := p.ask(t, "GET /debug/pprof/goroutine?seconds=60 HTTP/1.1", "")
		resp, err := http.ReadResponse(bufio.NewReader(client), nil)
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.Copy(io.Discard, resp.Body)
		if took := time.Since(began); err != nil || resp.StatusCode != 200 || took != time.Minute {
			t.Errorf("%s after %s, %v", resp.Status, took, err)
		}
		client.Close()
		stop()
		if err := group.Wait(); err != nil {
			t.Error(err)
		}
	})
}
