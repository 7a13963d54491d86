package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/openirsa/openirsa/pkg/discovery"
	"github.com/openirsa/openirsa/pkg/issuer"
	"github.com/openirsa/openirsa/pkg/source"
)

// serve are the flags of `issuer serve`.
type serve struct {
	*app
	issuer   string
	keyFiles []string
	cluster  clusterFlags
	listen   string
}

func (a *app) serveCommand() *cobra.Command {
	s := &serve{app: a}
	c := &cobra.Command{
		Use:   "serve",
		Short: "Serve the documents over HTTP",
		RunE:  func(c *cobra.Command, _ []string) error { return s.run(c.Context()) },
	}
	f := c.Flags()
	f.StringVar(&s.issuer, "issuer", "", "issuer URL of the cluster")
	f.StringSliceVar(&s.keyFiles, "key-file", nil, "file of public keys, PEM or JSON; may be repeated. Without: the API server's")
	f.StringVar(&s.listen, "listen", ":8080", "address to serve at")
	s.cluster.add(f)
	return c
}

func (s *serve) run(ctx context.Context) error {
	iss, err := issuer.Parse(s.issuer)
	if err != nil {
		return usagef("--issuer: %w", err)
	}
	read := source.Files(s.keyFiles...)
	if len(s.keyFiles) == 0 {
		config, err := s.cluster.config()
		if err != nil {
			return err
		}
		if read, err = source.API(config); err != nil {
			return err
		}
	}
	handler := &discovery.Handler{}
	load := func() error {
		set, err := read(ctx)
		if err != nil {
			return err
		}
		docs, err := discovery.Documents(iss, set)
		if err != nil {
			return err
		}
		return handler.Update(map[issuer.URL][]discovery.Document{iss: docs})
	}
	if err := load(); err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/", handler)
	mux.HandleFunc("GET /healthz", func(http.ResponseWriter, *http.Request) {})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	listener, err := net.Listen("tcp", s.listen)
	if err != nil {
		return err
	}
	s.log.Info("serving", "address", listener.Addr().String(), "issuer", iss)
	go func() {
		for range time.Tick(time.Second) {
			if ctx.Err() != nil {
				break
			}
			if err := load(); err != nil && ctx.Err() == nil {
				s.log.Error("the keys cannot be read; going on with those before", "error", err)
			}
		}
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		server.Shutdown(stop)
	}()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
