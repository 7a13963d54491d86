package kubetest

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Keep keeps servers running after their tests: the next test that starts one
// with the same flags gets it with its etcd as it was when the server was new.
// That takes milliseconds, where a start takes seconds of both processors. No
// goroutine of a test may still use a server when the test has ended. For
// TestMain:
//
//	testscript.Main(kubetest.Keep(m), ...)
func Keep(m interface{ Run() int }) interface{ Run() int } { return keeping{m} }

type keeping struct{ tests interface{ Run() int } }

func (k keeping) Run() int {
	dir, err := os.MkdirTemp("", "kubetest")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	all := &keeper{dir: dir, free: map[string][]*Server{}}
	kept.Store(all)
	defer all.kill()
	return k.tests.Run()
}

// kept has the servers that run on after their tests, if any do.
var kept atomic.Pointer[keeper]

type keeper struct {
	dir string

	mu   sync.Mutex // guards the fields below
	made int
	free map[string][]*Server // those that no test has, by their flags
}

// server is one that was free, with its first content, or a new one.
func (k *keeper) server(t testing.TB, bin string, flags []string) *Server {
	t.Helper()
	key := strings.Join(flags, " ")
	s := k.take(key)
	if s == nil {
		s = k.start(t, bin, flags)
	}
	s.t = t
	t.Cleanup(func() {
		s.explain()
		k.mu.Lock()
		defer k.mu.Unlock()
		k.free[key] = append(k.free[key], s)
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := s.Etcd.Restore(ctx, s.empty); err != nil {
		t.Fatal(err)
	}
	return s
}

func (k *keeper) take(key string) *Server {
	k.mu.Lock()
	defer k.mu.Unlock()
	list := k.free[key]
	if len(list) == 0 {
		return nil
	}
	k.free[key] = list[1:]
	return list[0]
}

// start starts one, and waits until it has made all that an API server makes.
func (k *keeper) start(t testing.TB, bin string, flags []string) *Server {
	t.Helper()
	k.mu.Lock()
	k.made++
	s := &Server{t: t, dir: filepath.Join(k.dir, strconv.Itoa(k.made))}
	k.mu.Unlock()
	if err := os.Mkdir(s.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	settled := false
	defer func() {
		if !settled {
			s.kill()
			s.explain()
		}
	}()
	s.start(bin, slices.Clone(flags))
	if err := s.settle(); err != nil {
		t.Fatal(err)
	}
	settled = true
	return s
}

// settle waits until nothing in etcd has changed for a second.
func (s *Server) settle() error {
	ctx, cancel := context.WithTimeout(s.t.Context(), 90*time.Second)
	defer cancel()
	for {
		now, err := s.Etcd.Dump(ctx)
		if err != nil {
			return err
		}
		if len(s.empty) > 0 && maps.EqualFunc(s.empty, now, bytes.Equal) {
			return nil
		}
		s.empty = now
		select {
		case <-ctx.Done():
			return errors.New("the objects of a new API server keep changing")
		case <-time.After(time.Second):
		}
	}
}

// kill ends the servers that no test has.
func (k *keeper) kill() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, list := range k.free {
		for _, s := range list {
			s.kill()
		}
	}
}
