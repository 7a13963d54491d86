package source

import (
	"cmp"
	"sync/atomic"
	"time"
)

// state is a configured cluster. The unmarked fields belong to the goroutine of Run.
type state struct {
	cluster  Cluster
	read     Read
	unseen   atomic.Bool // set by read: some files change where nobody watches
	blind    bool        // some of its files are not watched
	linked   bool        // unseen, when it was last read
	omitted  []string    // keys that were left out
	next     time.Time   // when to read again, unless a file changes earlier
	reading  int         // counts readings
	slot     bool        // the current reading counts against the limit
	failures int
	queued   bool
	running  bool
	again    bool // something changed while it was running
	gone     bool

	tried  bool      // guarded by mu
	good   time.Time // guarded by mu: of the last success
	fault  string    // guarded by mu
	broken time.Time // guarded by mu: since when there is a fault
}

// interval is how long a cluster without a fault may go without being read.
func (s *state) interval() time.Duration {
	interval := watchedSweep
	if s.blind || s.linked {
		interval = blindSweep
	}
	if s.cluster.polled() {
		interval = min(interval, cmp.Or(time.Duration(s.cluster.Interval), defaultInterval))
	}
	return interval
}

// How often to check what cannot be watched, or whose events may be lost.
const (
	eventTick    = 100 * time.Millisecond // lets a file be written to its end
	dueTick      = 5 * eventTick
	watchedSweep = 5 * time.Minute // files that are watched
	blindSweep   = time.Second     // files that cannot be watched, or are behind links

	// ReadTimeout is how long a source may take to give its keys.
	ReadTimeout = 15 * time.Second
	// slotTime is how long a reading counts against the limit of concurrent ones:
	// one that takes longer is waiting, not working.
	slotTime = time.Second
	// maxWaiting is how many times that limit may be in progress in all.
	maxWaiting = 64
	// maxConfig bounds the configuration file, in bytes.
	maxConfig = 256 << 20
)
