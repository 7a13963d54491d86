package main

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/openirsa/openirsa/internal/plain"
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

// TestErrorsHaveNoSecrets: what the program says of flags and variables tells
// nothing secret that stands there by mistake.
func TestErrorsHaveNoSecrets(t *testing.T) {
	t.Chdir(t.TempDir()) // where a state file is made
	const secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
	for _, flag := range []string{"account", "partition", "listen", "log-level", "ca-file", "state", "max-events", "root-access-key-id"} {
		err := run(t.Context(), []string{"--" + flag + "=" + secret, "--listen=127.0.0.1:none"}, environ(), discard{}, discard{})
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

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
