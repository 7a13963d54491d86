package webhook

import (
	"context"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// How many questions the API server is asked, whoever wants to know. Pods of
// service accounts that are known and have a role need none.
const (
	questionsAtATime = 4
	// QuestionTime is how long one may take, its turn included.
	QuestionTime = 5 * time.Second
	// Of service accounts that are known to be there, and of others, which may
	// be new, or made up. A second, and at once.
	knownRate, knownBurst     = 400, 400
	unknownRate, unknownBurst = 100, 200
	// absence is how long the word that there is no such service account is
	// taken for what it is worth, before it is asked again.
	absence = 500 * time.Millisecond
	// maxAbsent is how many of those words are kept.
	maxAbsent = 4096
)

// questions puts questions about service accounts to the API server. Those about
// one service account that come while one is being asked get the next answer
// together; an answer never is older than the question.
type questions[A any] struct {
	ask func(ctx context.Context, namespace, name string) (_ A, found bool, _ error)

	slots          chan struct{}
	known, unknown *rate.Limiter

	mu              sync.Mutex
	waiting, asking map[[2]string]*question[A]
	absent          map[[2]string]time.Time // until when not to ask again
}

type question[A any] struct {
	wanted int           // by so many; under questions.mu
	cancel func()        // ends it when nobody wants it
	done   chan struct{} // closed when the rest is there
	answer A
	found  bool
	err    error
}

func newQuestions[A any](ask func(ctx context.Context, namespace, name string) (A, bool, error)) *questions[A] {
	return &questions[A]{
		ask: ask, slots: make(chan struct{}, questionsAtATime),
		known: rate.NewLimiter(knownRate, knownBurst), unknown: rate.NewLimiter(unknownRate, unknownBurst),
		waiting: map[[2]string]*question[A]{}, asking: map[[2]string]*question[A]{}, absent: map[[2]string]time.Time{},
	}
}

// put puts a question and waits for its answer, until ctx ends.
func (qs *questions[A]) put(ctx context.Context, namespace, name string, known bool) (_ A, found bool, _ error) {
	key := [2]string{namespace, name}
	qs.mu.Lock()
	q := qs.waiting[key]
	if q == nil {
		own, cancel := context.WithTimeout(context.Background(), QuestionTime)
		q = &question[A]{done: make(chan struct{}), cancel: cancel}
		qs.waiting[key] = q
		go qs.run(own, key, q, qs.asking[key], known)
	}
	q.wanted++
	qs.mu.Unlock()
	select {
	case <-q.done:
		return q.answer, q.found, q.err
	case <-ctx.Done():
		qs.mu.Lock()
		defer qs.mu.Unlock()
		if q.wanted--; q.wanted == 0 {
			if qs.waiting[key] == q {
				delete(qs.waiting, key)
			}
			q.cancel()
		}
		var none A
		return none, false, context.Cause(ctx)
	}
}

// run asks a question when it is its turn, after the one before.
func (qs *questions[A]) run(ctx context.Context, key [2]string, q, before *question[A], known bool) {
	defer close(q.done)
	defer q.cancel()
	if q.err = qs.turn(ctx, key, before, known); q.err == nil {
		defer func() { <-qs.slots }()
	}
	qs.mu.Lock()
	if qs.waiting[key] == q {
		delete(qs.waiting, key) // who comes now gets the next answer
	}
	if q.err != nil {
		qs.mu.Unlock()
		return
	}
	qs.asking[key] = q
	qs.mu.Unlock()
	q.answer, q.found, q.err = qs.ask(ctx, key[0], key[1])
	qs.mu.Lock()
	defer qs.mu.Unlock()
	if qs.asking[key] == q {
		delete(qs.asking, key)
	}
	if q.err == nil && !q.found {
		if len(qs.absent) >= maxAbsent {
			clear(qs.absent)
		}
		qs.absent[key] = time.Now().Add(absence)
	}
}

// turn waits until a question may be asked; it then has one of the slots.
func (qs *questions[A]) turn(ctx context.Context, key [2]string, before *question[A], known bool) error {
	if before != nil {
		select {
		case <-before.done:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	qs.mu.Lock()
	pause := time.After(time.Until(qs.absent[key]))
	qs.mu.Unlock()
	select {
	case <-pause:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	limit := qs.unknown
	if known {
		limit = qs.known
	}
	if err := limit.Wait(ctx); err != nil {
		return err
	}
	select {
	case qs.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
