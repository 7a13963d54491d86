package trace

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// lastTime is how long what is left may take to be exported at the end.
const lastTime = 3 * time.Second

// quietTime is how long nothing is said about exports that fail, after the first.
const quietTime = time.Minute

// Run exports spans until ctx ends, and then those that are left. It returns nil.
func (t *Tracer) Run(ctx context.Context) error {
	if t == nil {
		return nil
	}
	defer t.client.CloseIdleConnections()
	var told time.Time
	tick := time.NewTicker(t.delay)
	defer tick.Stop()
	for {
		over := false
		select {
		case <-ctx.Done():
			over = true
		case <-tick.C:
		case <-t.full:
		}
		work, cancel := context.WithCancel(context.WithoutCancel(ctx))
		// What is under way when the end comes has its time too.
		stop := context.AfterFunc(ctx, func() { time.AfterFunc(lastTime, cancel) })
		failed := t.exportAll(work)
		stop()
		cancel()
		if failed != nil && time.Since(told) > quietTime {
			told = time.Now()
			t.log.Warn("traces could not be exported", "endpoint", shownAddress(t.address), "error", failed, "spans", t.lost())
		}
		if over {
			return nil
		}
	}
}

// Open exports spans until it is told to stop, which then waits for what is left.
func (t *Tracer) Open() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		t.Run(ctx)
		close(done)
	}()
	return func() {
		cancel()
		<-done
	}
}

// lost is how many spans were dropped since it was last asked.
func (t *Tracer) lost() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := t.dropped
	t.dropped = 0
	return n
}

// exportAll exports what there is.
func (t *Tracer) exportAll(ctx context.Context) error {
	for {
		t.mu.Lock()
		batch := t.ended[:min(len(t.ended), t.maxBatch)]
		t.ended = t.ended[len(batch):]
		if len(t.ended) == 0 {
			t.ended = nil
		}
		t.mu.Unlock()
		if len(batch) == 0 {
			return nil
		}
		if err := t.export(ctx, batch); err != nil {
			t.mu.Lock()
			t.dropped += len(batch)
			t.mu.Unlock()
			return err
		}
	}
}

// export sends spans, several times if the endpoint cannot take them now.
func (t *Tracer) export(ctx context.Context, spans []*Span) error {
	body, err := t.encode(spans)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel()
	for pause := time.Second; ; pause *= 2 {
		wait, err := t.post(ctx, body)
		if err == nil || wait < 0 {
			return err
		}
		if wait == 0 {
			wait = pause/2 + rand.N(pause)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return err
		}
	}
}

// post sends a request once. A wait that is not negative says that it may be sent again
// after that time, 0 for any.
func (t *Tracer) post(ctx context.Context, body []byte) (wait time.Duration, err error) {
	const never = -1
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.address, bytes.NewReader(body))
	if err != nil {
		return never, err
	}
	maps.Copy(req.Header, t.header)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "openirsa/"+t.version)
	resp, err := t.client.Do(req)
	if err != nil {
		if e, ok := errors.AsType[*url.Error](err); ok {
			err = e.Err // without the address, which may have more in it than is shown
		}
		return 0, err
	}
	defer resp.Body.Close()
	answer, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	switch resp.StatusCode {
	case http.StatusOK:
		var told struct {
			PartialSuccess struct {
				RejectedSpans json.Number
				ErrorMessage  string
			}
		}
		if json.Unmarshal(answer, &told) == nil && told.PartialSuccess.ErrorMessage != "" {
			return never, fmt.Errorf("%s spans are refused: %.200s", told.PartialSuccess.RejectedSpans, told.PartialSuccess.ErrorMessage)
		}
		return 0, nil
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		seconds, _ := strconv.Atoi(resp.Header.Get("Retry-After"))
		return time.Duration(max(seconds, 0)) * time.Second, fmt.Errorf("the answer is %s", resp.Status)
	}
	return never, fmt.Errorf("the answer is %s", resp.Status)
}
