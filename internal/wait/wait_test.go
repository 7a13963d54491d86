package wait_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/openirsa/openirsa/internal/wait"
)

func TestRetry(t *testing.T) {
	unseen, denied := errors.New("not seen yet"), errors.New("denied")
	transient := func(err error) bool { return errors.Is(err, unseen) }
	// try fails some times with an error, and then answers with another.
	try := func(t *testing.T, times int, then error, wantErr error, wantCalls int, wantTime time.Duration) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			start, calls := time.Now(), 0
			err := wait.Retry(t.Context(), wait.ForIAM, transient, func(context.Context) error {
				if calls++; calls <= times {
					return unseen
				}
				return then
			})
			if !errors.Is(err, wantErr) || calls != wantCalls || time.Since(start) != wantTime {
				t.Errorf("%v after %d calls and %v; want %v, %d, %v", err, calls, time.Since(start), wantErr, wantCalls, wantTime)
			}
		})
	}
	try(t, 0, nil, nil, 1, 0)
	try(t, 0, denied, denied, 1, 0)
	try(t, 3, nil, nil, 4, 1750*time.Millisecond)
	try(t, 1, denied, denied, 2, 250*time.Millisecond)
	try(t, 1000, nil, unseen, 11, 27750*time.Millisecond) // within half a minute

	synctest.Test(t, func(t *testing.T) {
		stopped := errors.New("stopped")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(stopped) })
		if err := wait.Retry(ctx, wait.ForIAM, transient, func(context.Context) error { return unseen }); !errors.Is(err, stopped) {
			t.Errorf("error %v", err)
		}
	})
	calls := 0
	if err := wait.Retry(t.Context(), 0, wait.Any, func(context.Context) error { calls++; return denied }); !errors.Is(err, denied) || calls != 1 {
		t.Errorf("without patience: %v after %d calls", err, calls)
	}
}

func TestSleep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stopped := errors.New("stopped")
		ctx, cancel := context.WithCancelCause(t.Context())
		start := time.Now()
		if err := wait.Sleep(ctx, time.Minute); err != nil || time.Since(start) != time.Minute {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		time.AfterFunc(time.Second, func() { cancel(stopped) })
		if err := wait.Sleep(ctx, time.Minute); !errors.Is(err, stopped) || time.Since(start) != 61*time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		if err := wait.Sleep(ctx, 0); err != nil {
			t.Errorf("nothing to wait for: %v", err)
		}
	})
}

func TestLooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var between wait.Looks
		for _, want := range []time.Duration{40, 80, 160, 300, 300} {
			start := time.Now()
			if err := between.Wait(t.Context()); err != nil || time.Since(start) != want*time.Millisecond {
				t.Errorf("%v after %v, want %d ms", err, time.Since(start), want)
			}
		}
	})
}
