package webhook

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/openirsa/openirsa/internal/trace"
)

const (
	// AssociationsRefresh is how often all associations are listed unless an
	// [Associations] says otherwise.
	AssociationsRefresh = 10 * time.Second
	// listTime bounds a list. Whoever lists gives up earlier on a page.
	listTime = 5 * time.Minute
	// breather is how long pods do not wait for an EKS API that has not answered one.
	breather = 5 * time.Second
	// maxAssociations bounds what is kept of a list, in bytes as [associationSet.add]
	// counts them: 100,000 associations with long names. The API is asked about those
	// that find no room.
	maxAssociations = 16 << 20
	// associationsPage is how many associations a call lists.
	associationsPage = 100
)

var errNoWord = errors.New("the EKS API has not answered a moment ago")

// Associations know which service accounts have an EKS Pod Identity association. They
// list all associations of the cluster again and again, and ask about a service account
// that is not among them before a pod of it goes without: the association may have been
// made in the instant before. If the API does not answer within [AskTime], nobody knows,
// and for some seconds no pod waits.
//
// Fields are set before Run and not changed.
type Associations struct {
	// List calls each for all associations of the cluster, or for the one of a
	// service account, if there is one. It tries again what may pass, until ctx ends or
	// longer would be in vain. Before an error each may have been called.
	List func(ctx context.Context, namespace, account string, each func(namespace, account string)) error
	// Refresh is how often all are listed; [AssociationsRefresh] unless set.
	Refresh time.Duration
	// Excluded are namespaces whose associations have no effect, and that the API is
	// never asked about: those of whatever the API, or the way to it, needs itself.
	Excluded []string

	Metrics *Metrics     // nil counts nothing
	Log     *slog.Logger // nil logs nothing

	once   sync.Once
	start  time.Time
	asker  *asker
	all    atomic.Pointer[associationSet]
	silent atomic.Int64  // until when nobody asks, in Unix nanoseconds
	poke   chan struct{} // has an element when a list is wanted at once

	mu       sync.RWMutex       // guards the fields below
	found    map[pair]time.Time // by questions, and when; lists that began later know
	unknown  int                // pods without word since it was last logged
	logged   rate.Sometimes
	excluded int // in the last list
}

func (a *Associations) init() {
	a.once.Do(func() {
		a.start, a.poke, a.found = time.Now(), make(chan struct{}, 1), map[pair]time.Time{}
		a.logged.Interval = time.Minute
		a.asker = newAsker(a.one, a.every, a.pages)
	})
}

func (a *Associations) log() *slog.Logger {
	if a.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return a.Log
}

// Run lists the associations until ctx ends.
func (a *Associations) Run(ctx context.Context) error {
	a.init()
	a.Metrics.follow(a.number, a.age)
	refresh := orDuration(a.Refresh, AssociationsRefresh)
	failing := rate.Sometimes{Interval: time.Minute}
	failed := 0
	for {
		wait := refresh - refresh/10 + rand.N(refresh/5+1) // replicas do not list together for long
		list, cancel := context.WithTimeout(ctx, listTime)
		_, err := a.list(list)
		cancel()
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			failed++
			wait = min(wait, time.Second<<min(failed-1, 10))
			failing.Do(func() {
				a.log().Error("pod identity associations cannot be listed; those last known count, and others are asked for",
					"error", err, "known", a.number(), "age", time.Duration(a.age())*time.Second)
			})
		case failed > 0:
			failed, failing = 0, rate.Sometimes{Interval: time.Minute}
			a.log().Info("pod identity associations can be listed again", "number", a.number())
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-a.poke:
		case <-time.After(wait):
		}
	}
}

// list lists all associations, and keeps them.
func (a *Associations) list(ctx context.Context) (*associationSet, error) {
	s := &associationSet{began: time.Now(), all: map[pair]struct{}{}, namespaces: map[string]string{}}
	excluded := 0
	err := a.List(ctx, "", "", func(namespace, account string) {
		if slices.Contains(a.Excluded, namespace) {
			excluded++
			return
		}
		s.add(pair{namespace, account})
	})
	a.Metrics.listedAssociations(err == nil)
	if err != nil {
		return nil, err
	}
	s.namespaces = nil
	a.silent.Store(0)
	a.mu.Lock()
	defer a.mu.Unlock()
	before := a.all.Load()
	if before != nil && !before.began.Before(s.began) {
		return s, nil // another list began later
	}
	a.all.Store(s)
	for p, at := range a.found {
		if at.Before(s.began) {
			delete(a.found, p)
		}
	}
	if before == nil {
		a.log().Info("pod identity associations are known", "number", len(s.all))
	}
	if s.left > 0 && (before == nil || before.left == 0) {
		a.log().Warn("there are more pod identity associations than are kept: the EKS API is asked about the others", "bytes", maxAssociations)
	}
	if excluded != a.excluded {
		a.excluded = excluded
		a.log().Warn("pod identity associations of excluded namespaces have no effect", "number", excluded, "excluded", a.Excluded)
	}
	if len(s.all) > 0 {
		a.Metrics.inUse()
	}
	return s, nil
}

// every is the list for the asker.
func (a *Associations) every(ctx context.Context) (func(pair) bool, error) {
	s, err := a.list(ctx)
	if err != nil {
		return nil, err
	}
	return s.has, nil
}

// pages is how many calls a list takes; -1 if not all of it is kept.
func (a *Associations) pages() int {
	s := a.all.Load()
	switch {
	case s == nil:
		return 1
	case s.left > 0:
		return -1
	}
	return len(s.all)/associationsPage + 1
}

// one asks about one pair.
func (a *Associations) one(ctx context.Context, p pair) (found bool, err error) {
	err = a.List(ctx, p.namespace, p.account, func(namespace, account string) {
		found = found || p == pair{namespace, account}
	})
	a.Metrics.askedAssociation(found, err)
	if err != nil {
		return false, err
	}
	if found {
		a.mu.Lock()
		defer a.mu.Unlock()
		if len(a.found) < maxDenials { // else it is asked about again
			a.found[pair{strings.Clone(p.namespace), strings.Clone(p.account)}] = time.Now()
		}
		a.Metrics.inUse()
	}
	return found, nil
}

// has reports whether a service account is known to have an association.
func (a *Associations) has(namespace, account string) bool {
	p := pair{namespace, account}
	if s := a.all.Load(); s != nil && s.has(p) {
		return true
	}
	a.mu.RLock()
	defer a.mu.RUnlock()
	_, ok := a.found[p]
	return ok
}

// find reports whether a service account that is not known to have an association has
// one. An error says that nobody can tell, unless it is that ctx was canceled.
func (a *Associations) find(ctx context.Context, namespace, account string) (bool, error) {
	a.init()
	if slices.Contains(a.Excluded, namespace) {
		return false, nil
	}
	if time.Now().UnixNano() < a.silent.Load() {
		a.noWord(errNoWord)
		return false, errNoWord
	}
	span := trace.From(ctx).StartCall("ask EKS API")
	defer span.End()
	patient, cancel := context.WithTimeout(ctx, AskTime)
	defer cancel()
	found, err := a.asker.put(patient, pair{namespace, account})
	span.Bool("openirsa.found", found)
	span.Err(err)
	if err == nil || errors.Is(ctx.Err(), context.Canceled) {
		return found, err
	}
	if ctx.Err() == nil { // else it had not all its time, which anybody's review may see to
		a.silent.Store(time.Now().Add(breather).UnixNano())
		select {
		case a.poke <- struct{}{}: // it may be back already
		default:
		}
	}
	a.noWord(err)
	return false, err
}

// noWord says that a pod is admitted though nobody knows whether it has an association.
func (a *Associations) noWord(err error) {
	a.Metrics.unknownAssociation()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.unknown++
	a.logged.Do(func() {
		a.log().Error("pods are admitted without EKS Pod Identity: nobody knows whether their service accounts have an association",
			"pods", a.unknown, "error", err)
		a.unknown = 0
	})
}

// in are the service accounts of a namespace that are known to have an association.
func (a *Associations) in(namespace string) (names []string) {
	if s := a.all.Load(); s != nil {
		for p := range s.all {
			if p.namespace == namespace {
				names = append(names, p.account)
			}
		}
	}
	return names
}

// number is how many associations are known.
func (a *Associations) number() int {
	s := a.all.Load()
	if s == nil {
		return 0
	}
	return len(s.all)
}

// age is how old the last list is, in seconds; without one, how long it is wanted.
func (a *Associations) age() float64 {
	began := a.start
	if s := a.all.Load(); s != nil {
		began = s.began
	}
	return time.Since(began).Seconds()
}

// associationSet are the associations as of one list. It is not changed once it is
// complete.
type associationSet struct {
	began time.Time
	all   map[pair]struct{}
	size  int // bytes, about
	left  int // those that found no room

	namespaces map[string]string // one copy of each, while it is made
}

func (s *associationSet) has(p pair) bool {
	_, ok := s.all[p]
	return ok
}

// add adds one, unless no service account can have such a name.
func (s *associationSet) add(p pair) {
	if checkNames(p.namespace, p.account) != nil || s.has(p) {
		return
	}
	if cost := 100 + len(p.account); s.size+cost <= maxAssociations {
		s.size += cost
	} else {
		s.left++
		return
	}
	if same, ok := s.namespaces[p.namespace]; ok {
		p.namespace = same
	} else {
		s.namespaces[p.namespace] = p.namespace
	}
	s.all[p] = struct{}{}
}
