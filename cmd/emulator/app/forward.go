package app

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/openirsa/openirsa/internal/cli"
	"github.com/openirsa/openirsa/internal/reload"
	"github.com/openirsa/openirsa/pkg/emulator"
)

// completeForward reads the flags and the file that say what is forwarded.
func (o *options) completeForward() error {
	var err error
	if o.config.Forward, err = emulator.ParseForward(o.forward); err != nil {
		return cli.Usagef("--forward: %w", err)
	}
	if o.forwardKey != "" {
		id, secret, found := strings.Cut(o.forwardKey, ":")
		if !found || id == "" || secret == "" || strings.ContainsAny(id, "/,= \t") {
			return cli.Usagef("--forward-key is not of the form ID:SECRET")
		}
		o.config.ForwardKeyID, o.config.ForwardSecret = id, secret
	}
	if o.forwardFile == "" {
		return nil
	}
	if o.forwards, err = reload.New(o.config.Log, o.parseForwardFile, o.forwardFile); err != nil {
		return err
	}
	o.config.Forward = *o.forwards.Value()
	return nil
}

// parseForwardFile reads a file of lines SERVICE=URL, with comments, into what the
// flags say. Both may not name the same service.
func (o *options) parseForwardFile(contents [][]byte) (*map[string]emulator.Backend, error) {
	all := o.forward
	for line := range strings.Lines(string(contents[0])) {
		line, _, _ = strings.Cut(line, "#")
		if line = strings.TrimSpace(line); line != "" {
			all = append(all[:len(all):len(all)], line)
		}
	}
	forward, err := emulator.ParseForward(all)
	return &forward, err
}

// watchForward checks the backends, and reads the file again when it changes, until
// ctx is done or the function that it returns is called, which waits for the end.
func (o *options) watchForward(ctx context.Context, server *emulator.Server) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var all sync.WaitGroup
	all.Go(func() {
		check := func() {
			for _, err := range server.CheckForward(ctx) {
				if !errors.Is(err, context.Canceled) {
					o.config.Log.Warn("a backend may not do what is forwarded to it", "error", err)
				}
			}
		}
		check()
		if o.forwards == nil {
			return
		}
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for now := o.forwards.Value(); ; {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			next := o.forwards.Value()
			if next == now {
				continue
			}
			if now = next; server.SetForward(*now) == nil {
				o.config.Log.Info("what is forwarded was read again", "file", o.forwardFile, "services", len(*now))
				check()
			}
		}
	})
	return func() { cancel(); all.Wait() }
}
