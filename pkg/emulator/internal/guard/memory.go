package guard

import (
	"container/list"
	"crypto/sha256"
	"encoding/hex"
	"sync"
	"time"

	"github.com/openirsa/openirsa/pkg/emulator/internal/question"
)

// Bounds of what is remembered.
const (
	maxFacts = 100_000
	maxKnown = 32 << 10 // bytes of one fact, about
	maxAll   = 64 << 20 // of all
	maxName  = 256      // bytes of a name that is kept as it is
)

// memory is what is known of what backends have. It is empty after a start.
type memory struct {
	mu     sync.Mutex
	facts  map[question.Fact]*list.Element // of *fact
	recent *list.List                      // the latest first
	size   int
	at     moment
}

// moment is a time, by how often something was forgotten before, and how often everything.
type moment struct{ forgotten, emptied uint64 }

// fact is one thing that is known, or known not to be there.
type fact struct {
	name  question.Fact
	known question.Known
	found bool
	until time.Time
}

// size is about how many bytes a fact takes.
func (f *fact) size() int {
	n := 256 + len(f.name.Name) + len(f.known.Text)
	for _, text := range f.known.List {
		n += 16 + len(text)
	}
	for name, text := range f.known.Pairs {
		n += 64 + len(name) + len(text)
	}
	return n
}

func (m *memory) init() {
	m.facts, m.recent = map[question.Fact]*list.Element{}, list.New()
}

// short is a fact by whose name it is remembered: iterators are long.
func short(f question.Fact) question.Fact {
	if len(f.Name) > maxName {
		sum := sha256.Sum256([]byte(f.Name))
		f.Name = hex.EncodeToString(sum[:])
	}
	return f
}

// now is the moment to give to put, of what is found out from now on.
func (m *memory) now() moment {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.at
}

// get is what is remembered of a fact, and the moment to give to put.
func (m *memory) get(name question.Fact, now time.Time) (f fact, remembered bool, since moment) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.facts[short(name)]
	if e == nil {
		return fact{}, false, m.at
	}
	f = *e.Value.(*fact)
	if now.After(f.until) {
		m.drop(e)
		return fact{}, false, m.at
	}
	m.recent.MoveToFront(e)
	return f, true, m.at
}

// put remembers a fact that was found out since a moment, unless something was forgotten
// since then: it may be from before that. What only an answer can tell never changes, and
// is gone only with everything else. Facts that were not asked for for longest make room.
func (m *memory) put(f fact, since moment) {
	lasting := askers[f.name.Kind] == nil
	f.name = short(f.name)
	m.mu.Lock()
	defer m.mu.Unlock()
	if since.emptied != m.at.emptied || since.forgotten != m.at.forgotten && !lasting || f.size() > maxKnown {
		return
	}
	if e := m.facts[f.name]; e != nil {
		m.drop(e)
	}
	m.facts[f.name] = m.recent.PushFront(&f)
	m.size += f.size()
	for len(m.facts) > maxFacts || m.size > maxAll {
		m.drop(m.recent.Back())
	}
}

func (m *memory) drop(e *list.Element) {
	f := e.Value.(*fact)
	m.size -= f.size()
	delete(m.facts, f.name)
	m.recent.Remove(e)
}

// forget forgets the facts of which something is true.
func (m *memory) forget(stale func(question.Fact) bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.at.forgotten++
	for e := m.recent.Front(); e != nil; {
		next := e.Next()
		if stale(e.Value.(*fact).name) {
			m.drop(e)
		}
		e = next
	}
}

// empty forgets everything.
func (m *memory) empty() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.at.emptied++
	m.size = 0
	m.init()
}
