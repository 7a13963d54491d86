package source

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/openirsa/openirsa/internal/durable"
	"github.com/openirsa/openirsa/pkg/discovery"
	"github.com/openirsa/openirsa/pkg/issuer"
	"github.com/openirsa/openirsa/pkg/keys"
)

// Keeper keeps a [discovery.Handler] in step with the sources of clusters.
// Documents are made and checked once, when keys have changed. A source that
// cannot be read, or that holds a key that must not be published, changes nothing:
// the last good documents stay, and the fault shows in [Keeper.Status] and in the
// log until it is fixed.
//
//	k := &source.Keeper{Handler: &handler, Path: "issuer.yaml"}
//	err := k.Run(ctx)
type Keeper struct {
	// Handler gets the documents.
	Handler *discovery.Handler
	// Path is the configuration file, which is reread when it changes. Adding,
	// changing or removing a cluster affects no other.
	Path string
	// Config is the configuration if Path is empty.
	Config Config
	// Open prepares to read a cluster. If nil, that of an [Opener].
	Open func(context.Context, Cluster) (Read, error)
	// Log may be nil.
	Log *slog.Logger
	// Now is the clock for reports; nil is [time.Now].
	Now func() time.Time

	mu          sync.Mutex // guards the fields below, and the marked fields of state
	clusters    map[issuer.URL]*state
	configFault string
	configAt    time.Time
	untried     int // clusters whose first reading has not ended
	serving     int // clusters that have documents
}

// result is the result of one reading.
type result struct {
	s       *state
	docs    []discovery.Document
	kids    []string
	omitted []string
	err     error
}

// lateReading is a reading that takes longer than slotTime.
type lateReading struct {
	s *state
	n int
}

// Run reads the sources until ctx ends. It returns an error at once if the
// configuration cannot be read at the start; if it cannot be read later, nothing
// changes.
func (k *Keeper) Run(ctx context.Context) error {
	if k.Log == nil {
		k.Log = slog.New(slog.DiscardHandler)
	}
	if k.Open == nil {
		k.Open = new(Opener).Open
	}
	w := newWatcher(k.Log)
	defer w.close()
	r := &round{Keeper: k, watcher: w, limit: 8 * runtime.GOMAXPROCS(0), results: make(chan result, 64),
		late: make(chan lateReading, 64), changes: map[issuer.URL][]discovery.Document{}}

	config := k.Config
	if k.Path != "" {
		var err error
		if config, err = k.readConfig(); err != nil {
			return err
		}
		w.add(k.Path, nil)
	} else if err := config.Check(); err != nil {
		return err
	}
	r.apply(config)
	return r.loop(ctx)
}

func (k *Keeper) readConfig() (Config, error) {
	data, _, err := durable.ReadFile(k.Path, maxConfig)
	if err != nil {
		return Config{}, fmt.Errorf("reading the configuration: %w", err)
	}
	config, err := ParseConfig(data, filepath.Dir(k.Path))
	if err != nil {
		return Config{}, fmt.Errorf("reading the configuration %s: %w", k.Path, err)
	}
	return config, nil
}

// round is the state of Run's goroutine.
type round struct {
	*Keeper
	watcher *watcher
	limit   int // how many readings at a time may hold a slot
	queue   []*state
	running int
	busy    int // of those running, how many hold a slot
	results chan result
	late    chan lateReading
	started time.Time

	changes   map[issuer.URL][]discovery.Document // not yet given to the handler
	notBefore time.Time                           // when to hand them over

	configChanged bool
	configModTime time.Time
	touched       []*state
}

func (r *round) loop(ctx context.Context) error {
	tick := time.NewTicker(eventTick)
	defer tick.Stop()
	ticks := 0
	for {
		for len(r.queue) > 0 && r.busy < r.limit && r.running < maxWaiting*r.limit {
			s := r.queue[0]
			r.queue = r.queue[1:]
			r.start(ctx, s)
		}
		select {
		case <-ctx.Done():
			for ; r.running > 0; r.running-- {
				<-r.results
			}
			return nil
		case result := <-r.results:
			r.running--
			if result.s.slot {
				result.s.slot = false
				r.busy--
			}
			r.take(result)
			if r.running == 0 && len(r.queue) == 0 {
				r.flush(true)
			}
		case l := <-r.late:
			if l.s.slot && l.s.reading == l.n {
				l.s.slot = false
				r.busy--
			}
		case e := <-r.watcher.events():
			r.event(e)
		case <-r.watcher.faults():
			// Events were lost.
			r.configChanged = r.Path != ""
			for _, s := range r.clusters {
				r.touched = append(r.touched, s)
			}
		case <-tick.C:
			if r.configChanged {
				r.configChanged = false
				r.reload()
			}
			for _, s := range r.touched {
				r.enqueue(s)
			}
			r.touched = r.touched[:0]
			if ticks++; ticks%int(dueTick/eventTick) == 0 {
				r.due()
			}
			r.flush(false)
		}
	}
}

// start begins a reading. One that hangs gives up its slot, so that it does not
// delay other sources.
func (r *round) start(ctx context.Context, s *state) {
	s.queued, s.running = false, true
	if s.gone {
		return
	}
	r.running++
	r.busy++
	s.reading++
	s.slot = true
	n := s.reading
	go func() {
		slow := time.AfterFunc(slotTime, func() {
			select {
			case r.late <- lateReading{s, n}:
			case <-ctx.Done():
			}
		})
		defer slow.Stop()
		r.results <- r.readCluster(ctx, s)
	}()
}

// event notes which clusters a changed file belongs to. They are read at the next
// tick.
func (r *round) event(e fsnotify.Event) {
	if r.Path != "" && filepath.Dir(e.Name) == filepath.Dir(filepath.Clean(r.Path)) &&
		(filepath.Base(e.Name) == filepath.Base(r.Path) || strings.HasPrefix(filepath.Base(e.Name), kubeletLink)) {
		r.configChanged = true
	}
	users, blind := r.watcher.users(e)
	r.touched = append(r.touched, users...)
	if blind {
		for _, s := range users {
			s.blind = true
		}
	}
}

// due queues the clusters whose interval has passed.
func (r *round) due() {
	now := time.Now()
	for _, s := range r.clusters {
		if !s.next.After(now) {
			r.enqueue(s)
		}
	}
	// The configuration too may be where changes cannot be watched.
	if info, err := os.Stat(r.Path); err == nil && !info.ModTime().Equal(r.configModTime) {
		r.configModTime = info.ModTime()
		r.configChanged = true
	}
}

func (r *round) enqueue(s *state) {
	switch {
	case s.gone || s.queued:
	case s.running:
		s.again = true
	default:
		s.queued = true
		r.queue = append(r.queue, s)
	}
}

// reload reads the configuration again.
func (r *round) reload() {
	config, err := r.readConfig()
	r.mu.Lock()
	before := r.configFault
	r.configFault = ""
	if err != nil {
		r.configFault = err.Error()
	}
	r.mu.Unlock()
	if err != nil {
		if before != err.Error() {
			r.Log.Error("the configuration cannot be used; continuing with the previous one", "error", err)
		}
		return
	}
	r.apply(config)
}

// apply replaces the clusters with those of a configuration.
func (r *round) apply(config Config) {
	if info, err := os.Stat(r.Path); err == nil {
		r.configModTime = info.ModTime()
	}
	r.mu.Lock()
	added, removed := 0, 0
	if r.clusters == nil {
		r.clusters = make(map[issuer.URL]*state, len(config.Clusters))
	}
	keep := make(map[issuer.URL]bool, len(config.Clusters))
	for _, c := range config.Clusters {
		keep[c.Issuer] = true
		old := r.clusters[c.Issuer]
		if old != nil && reflect.DeepEqual(old.cluster, c) {
			continue
		}
		s := &state{cluster: c}
		s.read = Within(r.reader(s), ReadTimeout)
		if old != nil { // its documents stay until the new source is read
			r.drop(old)
			s.tried, s.good, s.fault, s.broken = old.tried, old.good, old.fault, old.broken
		}
		if !s.tried {
			r.untried++
		}
		r.clusters[c.Issuer] = s
		r.watch(s) // before it is read, so that no change is missed
		r.enqueue(s)
		added++
	}
	if len(keep) < len(r.clusters) {
		for iss, s := range r.clusters {
			if !keep[iss] {
				r.drop(s)
				if !s.good.IsZero() {
					r.serving--
				}
				delete(r.clusters, iss)
				r.changes[iss] = nil
				removed++
			}
		}
	}
	r.configAt = r.now()
	r.mu.Unlock()
	if added > 0 {
		r.started = time.Now()
	}
	if added+removed > 0 {
		r.Log.Info("configuration read", "clusters", len(config.Clusters), "new_or_changed", added, "removed", removed)
	}
}

// drop removes a cluster. The mutex is held.
func (r *round) drop(s *state) {
	s.gone = true
	for _, name := range s.cluster.files() {
		r.watcher.remove(name, s)
	}
	if !s.tried {
		r.untried--
	}
}

// reader reads a cluster's keys, and opens its sources first if necessary.
func (k *Keeper) reader(s *state) Read {
	var read Read
	return func(ctx context.Context) (_ keys.Set, err error) {
		s.unseen.Store(slices.ContainsFunc(s.cluster.files(), linked) || s.cluster.elsewhere())
		if read == nil {
			if read, err = k.Open(ctx, s.cluster); err != nil {
				return keys.Set{}, err
			}
		}
		return read(ctx)
	}
}

// readCluster reads a cluster's keys and makes its documents.
func (k *Keeper) readCluster(ctx context.Context, s *state) result {
	res := result{s: s}
	set, err := s.read(ctx)
	if err != nil {
		res.err = err
		return res
	}
	for _, key := range set.All() {
		res.kids = append(res.kids, key.KID)
	}
	for _, o := range set.Omitted() {
		res.omitted = append(res.omitted, o.String())
	}
	res.docs, res.err = discovery.Documents(s.cluster.Issuer, set)
	return res
}

// take handles the result of a reading.
func (r *round) take(res result) {
	s := res.s
	s.running = false
	if s.gone {
		return
	}
	s.linked = s.unseen.Load()
	iss := s.cluster.Issuer
	first := !s.tried
	if res.err == nil {
		if r.Handler.Differs(iss, res.docs) {
			r.changes[iss] = res.docs
			level := slog.LevelInfo
			if first {
				level = slog.LevelDebug
			}
			r.Log.Log(context.Background(), level, "the keys have changed", "issuer", iss, "kids", res.kids)
		} else {
			delete(r.changes, iss)
		}
		if !slices.Equal(s.omitted, res.omitted) && len(res.omitted) > 0 {
			r.Log.Warn("keys that AWS STS would not use are left out", "issuer", iss, "keys", res.omitted)
		}
		s.omitted = res.omitted
	}
	loaded := first && r.untried == 1
	if loaded {
		r.flush(true) // before the status shows it
	}
	faultBefore := r.note(s, res.err)
	if loaded {
		r.Log.Info("all clusters have been read", "clusters", len(r.clusters), "served", r.Handler.Len(),
			"took", time.Since(r.started).Round(time.Millisecond))
	}

	if s.blind && r.watcher.notify != nil {
		for _, name := range s.cluster.files() {
			r.watcher.remove(name, s)
		}
		if r.watch(s); !s.blind {
			s.again = true // it may have changed before it was watched
		}
	}
	wait := s.interval()
	if res.err != nil {
		s.failures++
		wait = min(wait, minInterval<<min(s.failures-1, 16))
		if s.fault != faultBefore {
			r.Log.Error("the keys cannot be read; the documents stay as they are", "issuer", iss, "error", res.err)
		}
	} else {
		s.failures = 0
		if faultBefore != "" {
			r.Log.Info("the keys can be read again", "issuer", iss)
		}
	}
	// Not all at the same moment.
	s.next = time.Now().Add(wait - wait/10 + rand.N(wait/5))
	if s.again {
		s.again = false
		r.enqueue(s)
	}
}

// note puts the end of a reading into the status, and returns the previous fault.
func (r *round) note(s *state, err error) (before string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !s.tried {
		s.tried = true
		r.untried--
	}
	before = s.fault
	if err != nil {
		if s.fault = err.Error(); before == "" {
			s.broken = r.now()
		}
		return before
	}
	if s.good.IsZero() {
		r.serving++
	}
	s.good, s.fault = r.now(), ""
	return before
}

// watch watches the cluster's files.
func (r *round) watch(s *state) {
	s.blind = false
	for _, name := range s.cluster.files() {
		if !r.watcher.add(name, s) {
			s.blind = true
		}
	}
}

// flush hands the changes to the handler. That may take a while if there are many
// issuers and some of them are new: then it waits for more changes.
func (r *round) flush(now bool) {
	if len(r.changes) == 0 || (!now && time.Now().Before(r.notBefore)) {
		return
	}
	start := time.Now()
	if err := r.Handler.Update(r.changes); err != nil {
		r.Log.Error("the documents cannot be served", "error", err)
	}
	clear(r.changes)
	r.notBefore = time.Now().Add(10 * time.Since(start))
}

func (k *Keeper) now() time.Time {
	if k.Now == nil {
		return time.Now()
	}
	return k.Now()
}
