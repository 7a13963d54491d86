package app

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"time"
)

// TestShuttingDown has a client ask on connections that it keeps, as an API server
// does, while the server shuts down. Until it is told to leave a connection it uses the
// one that it has; then it has none that the server could close under a request.
func TestShuttingDown(t *testing.T) {
	ln, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	port := ln.Addr().(*net.TCPAddr).Port
	ln.Close()
	ok := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	s := &server{
		log: slog.New(slog.DiscardHandler), delay: time.Hour, stopping: make(chan struct{}),
		listeners: []listener{{port: port, handler: ok, most: 8}},
	}
	failing := make(chan struct{})
	s.background = append(s.background, func(context.Context) error {
		<-failing
		return fmt.Errorf("the end of the delay")
	})
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.run(ctx) }()

	ask := func() (closed bool, err error) {
		res, err := http.Post(fmt.Sprintf("http://localhost:%d/mutate", port), "application/json", bytes.NewReader(make([]byte, 100_000)))
		if err != nil {
			return false, err
		}
		return res.Close, res.Body.Close()
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		closed, err := ask()
		if err == nil && closed {
			t.Error("a connection is closed before the server shuts down")
		}
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	stop()
	<-s.stopping
	for range 2 {
		if closed, err := ask(); err != nil || !closed {
			t.Errorf("the answer closes its connection: %t, %v", closed, err)
		}
	}
	close(failing)
	if err := <-done; err == nil || err.Error() != "the end of the delay" {
		t.Error(err)
	}
}
