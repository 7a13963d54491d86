package app

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/openirsa/openirsa/internal/plain"
	"github.com/openirsa/openirsa/pkg/emulator"
)

// TestLimitOfConnections: connections beyond the limit wait until another ends.
func TestLimitOfConnections(t *testing.T) {
	url, stop := serve(t, environ(), "--max-connections=2")
	defer stop()
	request := func(patience time.Duration) (net.Conn, bool) {
		t.Helper()
		conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(conn, "GET /_openirsa/health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
		conn.SetReadDeadline(time.Now().Add(patience))
		n, _ := conn.Read(make([]byte, 12))
		return conn, n == 12
	}
	first, ok1 := request(5 * time.Second)
	second, ok2 := request(5 * time.Second)
	if !ok1 || !ok2 {
		t.Fatal("two connections are not served")
	}
	third, ok := request(200 * time.Millisecond)
	if ok {
		t.Error("a third connection is served")
	}
	first.Close()
	third.SetReadDeadline(time.Now().Add(5 * time.Second))
	if n, err := third.Read(make([]byte, 12)); n != 12 {
		t.Errorf("the third connection is not served after the first has ended: %v", err)
	}
	second.Close()
	third.Close()
}

// pipes is a listener of connections within the process.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	conn, ok := <-p
	if !ok {
		return nil, net.ErrClosed
	}
	return conn, nil
}
func (p pipes) Close() error   { return nil }
func (p pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 4566} }

// TestLimitOfConnectionTimes: connections end on which a header does not come,
// however it drips, and those that nobody uses.
func TestLimitOfConnectionTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		handler, err := emulator.New(emulator.Config{})
		if err != nil {
			t.Fatal(err)
		}
		defer handler.Close()
		listener := make(pipes)
		web := newServer(handler, slog.New(slog.DiscardHandler))
		go web.Serve(listener)
		defer web.Close()
		defer close(listener)
		// How long it takes until the server has let the connection go.
		ends := func(send func(net.Conn)) time.Duration {
			client, server := net.Pipe()
			listener <- server
			started := time.Now()
			sent := make(chan struct{})
			go func() {
				send(client)
				close(sent)
			}()
			io.Copy(io.Discard, client)
			took := time.Since(started)
			client.Close()
			<-sent
			return took
		}
		const head = "GET /_openirsa/health HTTP/1.1\r\nHost: 127.0.0.1\r\n"
		if took := ends(func(net.Conn) {}); took != headerTimeout {
			t.Errorf("a connection on which nothing comes ends after %s", took)
		}
		if took := ends(func(c net.Conn) { io.WriteString(c, head) }); took != headerTimeout {
			t.Errorf("half a header ends after %s", took)
		}
		drip := func(c net.Conn) {
			io.WriteString(c, head)
			for {
				time.Sleep(time.Second)
				if _, err := io.WriteString(c, "X: x\r\n"); err != nil {
					return
				}
			}
		}
		if took := ends(drip); took > headerTimeout+time.Second {
			t.Errorf("a header that drips ends after %s", took)
		}
		if took := ends(func(c net.Conn) { io.WriteString(c, head+"\r\n") }); took != idleTimeout {
			t.Errorf("a connection that nobody uses ends after %s", took)
		}
		// A header without an end is not kept.
		sent := 0
		took := ends(func(c net.Conn) {
			for {
				n, err := io.WriteString(c, "X: "+strings.Repeat("x", 1020)+"\r\n")
				if sent += n; err != nil {
					return
				}
			}
		})
		if took > headerTimeout || sent > 2*maxHeader {
			t.Errorf("of a header without an end %d bytes are taken, in %s", sent, took)
		}
	})
}

// TestErrorsHaveNoSecrets: what the program says of flags and variables tells
// nothing secret that stands there by mistake.
func TestErrorsHaveNoSecrets(t *testing.T) {
	t.Chdir(t.TempDir()) // where a state file is made
	const secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
	for _, flag := range []string{"account", "partition", "listen", "log-level", "ca-file", "state", "max-events", "root-access-key-id"} {
		err := Run(t.Context(), called(environ(), io.Discard, "--"+flag+"="+secret, "--listen=127.0.0.1:none"))
		if err == nil {
			t.Errorf("--%s is taken", flag)
			continue
		}
		var text strings.Builder
		plain.Error(&text, "emulator", err)
		if strings.Contains(text.String(), secret[:20]) || !strings.HasPrefix(text.String(), "emulator: ") {
			t.Errorf("--%s: %s", flag, &text)
		}
	}
}
