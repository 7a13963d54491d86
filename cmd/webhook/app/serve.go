package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/openirsa/openirsa/internal/gate"
)

// The limits of each listener's unknown clients. API servers and Prometheus stay far
// below them.
const (
	maxConnections        = 256
	maxMetricsConnections = 32
	maxHeader             = 4 << 10 // bytes, to which net/http adds as many
	maxFields             = 64
	headerTime            = 3 * time.Second // for the handshake, and for a header
	requestTime           = 6 * time.Second // for a header and its body
	idleTime              = 2 * time.Minute
	// answerTime is for an answer, without its waits.
	answerTime = 10 * time.Second
)

type listener struct {
	port    int
	handler http.Handler
	tls     *tls.Config // nil: plain HTTP
	most    int         // connections
	waits   time.Duration
}

// server is the server of a listener. It does not speak HTTP/2, which API servers
// do not use with webhooks, and whose streams would be one more thing to bound.
func (l listener) server(log *slog.Logger) *http.Server {
	s := &http.Server{
		Handler: fewFields(l.handler), TLSConfig: l.tls, Protocols: new(http.Protocols), MaxHeaderBytes: maxHeader,
		ReadHeaderTimeout: headerTime, ReadTimeout: requestTime, WriteTimeout: requestTime + l.waits + answerTime, IdleTimeout: idleTime,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug), // strangers who do not speak TLS
	}
	s.Protocols.SetHTTP1(true)
	return s
}

// fewFields refuses headers of a great many fields, each of which takes more
// memory than its text.
func fewFields(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if len(r.Header) > maxFields {
			w.Header().Set("Connection", "close")
			http.Error(w, fmt.Sprintf("a header of more than %d fields", maxFields), http.StatusRequestHeaderFieldsTooLarge)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// oneAtATime refuses requests while one is being answered.
func oneAtATime(h http.HandlerFunc) http.HandlerFunc {
	busy := make(chan struct{}, 1)
	return func(w http.ResponseWriter, r *http.Request) {
		select {
		case busy <- struct{}{}:
			defer func() { <-busy }()
			h(w, r)
		default:
			w.Header().Set("Retry-After", "1")
			http.Error(w, "one at a time", http.StatusTooManyRequests)
		}
	}
}

// leaving ends each connection with its answer once the server is shutting down. A
// connection that is closed while nothing is asked on it may be closed just when its
// API server sends the next request, which is then lost: it is not sent twice.
func (s *server) leaving(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.isStopping() {
			w.Header().Set("Connection", "close")
		}
		h.ServeHTTP(w, r)
	})
}

func (s *server) isStopping() bool {
	select {
	case <-s.stopping:
		return true
	default:
		return false
	}
}

// server is the webhook: its listeners, and what runs beside them.
type server struct {
	log        *slog.Logger
	delay      time.Duration // how long to continue answering after the end of run's context
	stopping   chan struct{} // closed when that delay begins
	ready      []func() error
	background []func(context.Context) error
	listeners  []listener
}

// run runs everything until ctx ends or something fails. Then it closes stopping,
// continues answering for the delay, and ends the background work only when no request
// is left.
func (s *server) run(ctx context.Context) error {
	work, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	g, failed := errgroup.WithContext(work)
	sockets := make([]net.Listener, len(s.listeners))
	for i, l := range s.listeners {
		var err error
		if sockets[i], err = net.Listen("tcp", fmt.Sprintf(":%d", l.port)); err != nil {
			return fmt.Errorf("listening: %w", err)
		}
		defer sockets[i].Close()
	}
	var servers []*http.Server
	for i, l := range s.listeners {
		ln, web := gate.NewListener(sockets[i], l.most), l.server(s.log)
		web.Handler = s.leaving(web.Handler)
		ln.Guard(web)
		servers = append(servers, web)
		g.Go(func() error {
			s.log.Info("listening", "address", ln.Addr().String(), "tls", l.tls != nil)
			var err error
			if l.tls != nil {
				err = web.ServeTLS(ln, "", "")
			} else {
				err = web.Serve(ln)
			}
			if errors.Is(err, http.ErrServerClosed) {
				return nil
			}
			return fmt.Errorf("serving: %w", err)
		})
	}
	for _, f := range s.background {
		g.Go(func() error {
			if err := f(failed); err != nil && failed.Err() == nil {
				return err
			}
			return nil
		})
	}
	g.Go(func() error {
		select {
		case <-ctx.Done():
			s.log.Info("shutting down", "delay", s.delay)
			close(s.stopping)
			select {
			case <-time.After(s.delay):
			case <-failed.Done():
			}
		case <-failed.Done():
		}
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		var errs []error
		for _, web := range servers {
			errs = append(errs, web.Shutdown(grace))
		}
		end()
		return errors.Join(errs...)
	})
	return g.Wait()
}
