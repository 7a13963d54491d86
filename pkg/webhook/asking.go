package webhook

import (
	"context"
	"maps"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// How much the EKS API is asked about pairs of a namespace and a service account,
// whoever wants to know.
const (
	// AskTime is how long a pod waits for the EKS API's word, and how long a question
	// may take. It is less than the shortest timeout of the webhook configuration, 2 s.
	AskTime = 1500 * time.Millisecond
	// pairsAtATime are asked about, each by a call of its own.
	pairsAtATime = 8
	// A second, and at once.
	pairRate, pairBurst = 100, 200
	// overlap is when the same is asked again while a slow answer is on its way.
	overlap = 250 * time.Millisecond
	// listPause is the least time from one list that answers questions to the next.
	listPause = 250 * time.Millisecond
	// How long the word that there is no association counts before the same is asked
	// again: at first, and at most, where pods of one pair come one after the other.
	denialFirst, denialMost = 50 * time.Millisecond, 500 * time.Millisecond
	// maxDenials is how many of those words are kept.
	maxDenials = 4096
)

// pair is a service account.
type pair struct{ namespace, account string }

// asker puts questions about pairs to the EKS API. Those about one pair that come while
// one is being asked get the next answer together, which is soon asked for; where there are so many that listing
// all associations takes fewer calls, that list answers them. An answer never is older
// than the question.
type asker struct {
	one func(context.Context, pair) (bool, error)
	// all lists all associations, and returns which there were.
	all func(context.Context) (has func(pair) bool, err error)
	// pages is how many calls all takes, one after the other; less than 0 if it does
	// not know all.
	pages func() int

	limit *rate.Limiter // of one

	mu      sync.Mutex
	waiting map[pair]*asked
	asking  map[pair]*asked // by one, the last of each
	singles int             // how many are being asked by one
	listing bool
	listed  time.Time // when the last all of ours began
	denials map[pair]denial
	timer   *time.Timer // ends in look
}

// asked is a question.
type asked struct {
	wanted int           // by so many; under asker.mu
	began  time.Time     // when one began; under asker.mu
	done   chan struct{} // closed when the rest is there
	found  bool
	err    error
}

// denial is the word that there is no association.
type denial struct {
	at    time.Time
	pause time.Duration
}

func newAsker(one func(context.Context, pair) (bool, error), all func(context.Context) (func(pair) bool, error), pages func() int) *asker {
	return &asker{
		one: one, all: all, pages: pages, limit: rate.NewLimiter(pairRate, pairBurst),
		waiting: map[pair]*asked{}, asking: map[pair]*asked{}, denials: map[pair]denial{},
	}
}

// put puts a question and waits for its answer, until ctx ends.
func (a *asker) put(ctx context.Context, p pair) (bool, error) {
	a.mu.Lock()
	q := a.waiting[p]
	if q == nil {
		q = &asked{done: make(chan struct{})}
		a.waiting[p] = q
	}
	q.wanted++
	a.look()
	a.mu.Unlock()
	select {
	case <-q.done:
		return q.found, q.err
	case <-ctx.Done():
		a.mu.Lock()
		defer a.mu.Unlock()
		if q.wanted--; q.wanted == 0 && a.waiting[p] == q {
			delete(a.waiting, p)
		}
		return false, context.Cause(ctx)
	}
}

// look asks what can be asked now, and sees to it that it is called again when there is
// more; a.mu is held.
func (a *asker) look() {
	now := time.Now()
	var due []pair
	next := time.Duration(-1)
	in := func(d time.Duration) {
		if next < 0 || d < next {
			next = d
		}
	}
	for p := range a.waiting {
		var pause time.Duration
		if before := a.asking[p]; before != nil { // or when that ends
			pause = before.began.Add(overlap).Sub(now)
		} else if d, ok := a.denials[p]; ok {
			pause = d.at.Add(d.pause).Sub(now)
		}
		if pause > 0 {
			in(pause)
		} else {
			due = append(due, p)
		}
	}
	pages := a.pages()
	few := pages < 0 || len(due)/pairsAtATime <= pages && a.limit.TokensAt(now) >= 1
	switch pause := a.listed.Add(listPause).Sub(now); {
	case len(due) == 0:
	case few:
		a.single(due, in)
	case a.listing: // then after that
	case pause > 0:
		in(pause)
	default:
		batch := maps.Clone(a.waiting)
		clear(a.waiting)
		a.listing, a.listed = true, now
		go a.list(batch)
	}
	switch {
	case next < 0:
	case a.timer == nil:
		a.timer = time.AfterFunc(next, func() {
			a.mu.Lock()
			defer a.mu.Unlock()
			a.look()
		})
	default:
		a.timer.Reset(next)
	}
}

// single asks about each pair, as far as there is room; a.mu is held.
func (a *asker) single(due []pair, in func(time.Duration)) {
	for _, p := range due {
		if a.singles >= pairsAtATime {
			return
		}
		if !a.limit.Allow() {
			in(time.Second / pairRate)
			return
		}
		q := a.waiting[p]
		delete(a.waiting, p) // who comes now gets the next answer
		q.began = time.Now()
		a.asking[p] = q
		a.singles++
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), AskTime)
			defer cancel()
			q.found, q.err = a.one(ctx, p)
			a.mu.Lock()
			defer a.mu.Unlock()
			if a.singles--; a.asking[p] == q {
				delete(a.asking, p)
			}
			a.answer(p, q)
			a.look()
		}()
	}
}

// list answers a batch of questions by a list of all associations.
func (a *asker) list(batch map[pair]*asked) {
	ctx, cancel := context.WithTimeout(context.Background(), AskTime)
	defer cancel()
	has, err := a.all(ctx)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.listing = false
	for p, q := range batch {
		if q.err = err; err == nil {
			q.found = has(p)
		}
		a.answer(p, q)
	}
	a.look()
}

// answer tells who waits; a.mu is held.
func (a *asker) answer(p pair, q *asked) {
	close(q.done)
	if q.err != nil {
		return
	}
	if q.found {
		delete(a.denials, p)
		return
	}
	now := time.Now()
	d := denial{now, denialFirst}
	if before, ok := a.denials[p]; ok && now.Sub(before.at) < 2*denialMost {
		d.pause = min(2*before.pause, denialMost)
	}
	if len(a.denials) >= maxDenials {
		clear(a.denials)
	}
	a.denials[p] = d
}
