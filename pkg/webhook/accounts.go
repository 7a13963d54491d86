package webhook

import (
	"fmt"
	"hash/maphash"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	"github.com/openirsa/openirsa/pkg/irsa"
)

// What is kept of the service accounts of a cluster, whoever made them.
const (
	// maxAccounts is for all of them, in bytes as [account.cost] counts: 100,000
	// with a role each, or a few millions without. Those that find no room are
	// asked for whenever a pod is made with them.
	maxAccounts = 32 << 20
	// maxValue is for each value of an annotation, in bytes. A longer one is
	// malformed anyway, and stays so.
	maxValue = 1 << 10
)

// accounts keeps what the webhook has to know of service accounts. It is the
// store of a reflector; all methods may be called at any time.
type accounts struct {
	prefix irsa.Prefix
	most   int64 // bytes
	log    *slog.Logger
	// changed is called for each service account with annotations of ours as it
	// comes, and again at each resync.
	changed func(*metav1.PartialObjectMetadata)
	seed    maphash.Seed

	mu      sync.RWMutex
	synced  chan struct{} // closed when all are known
	all     table
	waiting map[string][]chan<- struct{} // by "namespace/name"
}

// table is the state of all service accounts.
type table struct {
	size int64
	// with are those with annotations of ours, by "namespace/name".
	with map[string]account
	// without are the others, of which it is enough to know that they are there:
	// hashes of "namespace/name". (Two may have one hash. Then one that is not
	// there counts as there and as having no role, which it has not.)
	without map[uint64]struct{}
	left    int // those that found no room, as far as they are counted
}

// account is what is kept of a service account with annotations of ours.
type account struct {
	uid  types.UID
	role string
	more *details // nil if there is nothing but a role
}

// details are what few service accounts have.
type details struct {
	resourceVersion string
	others          map[string]string // annotations besides the role
}

func newAccounts(p irsa.Prefix, log *slog.Logger, changed func(*metav1.PartialObjectMetadata)) *accounts {
	return &accounts{prefix: p, most: maxAccounts, log: log, changed: changed, seed: maphash.MakeSeed(),
		synced: make(chan struct{}), all: newTable(), waiting: map[string][]chan<- struct{}{}}
}

func newTable() table { return table{with: map[string]account{}, without: map[uint64]struct{}{}} }

// costWithout is what one without annotations takes, in bytes.
const costWithout = 24

// cost is about what an account takes, in bytes.
func (a account) cost(key string) int64 {
	n := 120 + len(key) + len(a.uid) + len(a.role)
	if a.more != nil {
		n += 200 + len(a.more.resourceVersion)
		for k, v := range a.more.others {
			n += 64 + len(k) + len(v)
		}
	}
	return int64(n)
}

// trim is the part of a service account that is read: its names and bounded
// annotations of ours.
func (s *accounts) trim(o any) (any, error) {
	sa, ok := o.(*metav1.PartialObjectMetadata)
	if !ok || sa.Annotations[metav1.InitialEventsAnnotationKey] != "" { // a bookmark
		return o, nil
	}
	t := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
		Namespace: sa.Namespace, Name: sa.Name, ResourceVersion: sa.ResourceVersion,
	}}
	if t.Annotations = ours(s.prefix, sa.Annotations); t.Annotations != nil {
		t.UID = sa.UID
	}
	return t, nil
}

// ours are the annotations that mean something to us, or were meant to; nil if
// there are none. None is longer than [maxValue], and they are few.
func ours(p irsa.Prefix, annotations map[string]string) map[string]string {
	var kept map[string]string
	keep := func(key, v string) {
		if kept == nil {
			kept = map[string]string{}
		}
		if len(v) > maxValue {
			// The blanks see to it that no part of it is well-formed by chance.
			v = fmt.Sprintf("%s ... (%d bytes)", v[:maxValue], len(v))
		}
		kept[strings.Clone(key)] = strings.Clone(v)
	}
	for _, key := range p.OnServiceAccounts() {
		if v, ok := annotations[key]; ok {
			keep(key, v)
		}
	}
	for _, key := range p.IgnoredKeys(annotations) {
		keep(key, "")
	}
	return kept
}

// Transformer is that of [cache.TransformingStore].
func (s *accounts) Transformer() cache.TransformFunc { return s.trim }

// Add is that of [cache.ReflectorStore].
func (s *accounts) Add(o any) error {
	t, err := s.trim(o)
	if err != nil {
		return err
	}
	sa, ok := t.(*metav1.PartialObjectMetadata)
	if !ok {
		return fmt.Errorf("%T is not a service account", o)
	}
	s.mu.Lock()
	key := sa.Namespace + "/" + sa.Name
	s.remove(&s.all, key)
	if s.put(&s.all, key, sa); s.all.left == 1 {
		s.full()
	}
	for _, c := range s.waiting[key] {
		close(c)
	}
	delete(s.waiting, key)
	s.mu.Unlock()
	if sa.Annotations != nil {
		s.changed(sa)
	}
	return nil
}

// Update is that of [cache.ReflectorStore].
func (s *accounts) Update(o any) error { return s.Add(o) }

// Delete is that of [cache.ReflectorStore].
func (s *accounts) Delete(o any) error {
	key, err := cache.DeletionHandlingMetaNamespaceKeyFunc(o)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remove(&s.all, key)
	return nil
}

// Replace is that of [cache.ReflectorStore].
func (s *accounts) Replace(list []any, _ string) error {
	fresh := newTable()
	for i, o := range list {
		t, err := s.trim(o)
		if err != nil {
			return err
		}
		list[i] = nil // it may be many
		sa, ok := t.(*metav1.PartialObjectMetadata)
		if !ok {
			return fmt.Errorf("%T is not a service account", o)
		}
		s.put(&fresh, sa.Namespace+"/"+sa.Name, sa)
	}
	s.mu.Lock()
	s.all = fresh
	if fresh.left > 0 {
		s.full()
	}
	for _, waiting := range s.waiting {
		for _, c := range waiting {
			close(c)
		}
	}
	clear(s.waiting)
	select {
	case <-s.synced:
	default:
		close(s.synced)
	}
	s.mu.Unlock()
	return s.Resync()
}

func (s *accounts) full() {
	s.log.Warn("there are more service accounts than are kept: "+
		"the API server is asked for the others whenever a pod is made with one", "bytes", s.most)
}

// Resync is that of [cache.ReflectorStore].
func (s *accounts) Resync() error {
	s.mu.RLock()
	var keys []string
	for key := range s.all.with {
		keys = append(keys, key)
	}
	s.mu.RUnlock()
	for _, key := range keys {
		s.mu.RLock()
		a, ok := s.all.with[key]
		s.mu.RUnlock()
		if ok {
			s.changed(a.object(s.prefix, key))
		}
	}
	return nil
}

// put adds one that is not there; s.mu is held if it has to be.
func (s *accounts) put(t *table, key string, sa *metav1.PartialObjectMetadata) {
	if sa.Annotations == nil {
		if t.size+costWithout > s.most {
			t.left++
			return
		}
		t.without[maphash.String(s.seed, key)] = struct{}{}
		t.size += costWithout
		return
	}
	a := account{uid: sa.UID, role: sa.Annotations[s.prefix.RoleARN()]}
	if n := len(sa.Annotations); n > 1 || a.role == "" || irsa.CheckRoleARN(a.role) != nil {
		a.more = &details{resourceVersion: sa.ResourceVersion, others: maps.Clone(sa.Annotations)}
		delete(a.more.others, s.prefix.RoleARN())
	}
	if cost := a.cost(key); t.size+cost <= s.most {
		t.with[key] = a
		t.size += cost
	} else {
		t.left++
	}
}

// remove removes one, if it is there; s.mu is held.
func (s *accounts) remove(t *table, key string) {
	if a, ok := t.with[key]; ok {
		t.size -= a.cost(key)
		delete(t.with, key)
	}
	hash := maphash.String(s.seed, key)
	if _, ok := t.without[hash]; ok {
		t.size -= costWithout
		delete(t.without, hash)
	}
}

// object is the account as a trimmed object again.
func (a account) object(p irsa.Prefix, key string) *metav1.PartialObjectMetadata {
	namespace, name, _ := strings.Cut(key, "/")
	sa := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
		Namespace: namespace, Name: name, UID: a.uid, Annotations: map[string]string{},
	}}
	if a.role != "" {
		sa.Annotations[p.RoleARN()] = a.role
	}
	if a.more != nil {
		sa.ResourceVersion = a.more.resourceVersion
		maps.Copy(sa.Annotations, a.more.others)
	}
	return sa
}

// find is what is known of a service account: nil without annotations of ours.
func (s *accounts) find(namespace, name string) (annotations map[string]string, uid types.UID, known bool) {
	key := namespace + "/" + name
	s.mu.RLock()
	defer s.mu.RUnlock()
	if a, ok := s.all.with[key]; ok {
		return a.object(s.prefix, key).Annotations, a.uid, true
	}
	_, known = s.all.without[maphash.String(s.seed, key)]
	return nil, "", known
}

// inNamespace are the names of those of a namespace with annotations of ours.
func (s *accounts) inNamespace(namespace string) (names []string) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for key := range s.all.with {
		if name, ok := strings.CutPrefix(key, namespace+"/"); ok {
			names = append(names, name)
		}
	}
	return names
}

// annotations are those of all that have any of ours, by "namespace/name".
func (s *accounts) annotations() map[string]map[string]string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	all := make(map[string]map[string]string, len(s.all.with))
	for key, a := range s.all.with {
		all[key] = a.object(s.prefix, key).Annotations
	}
	return all
}

// await returns a channel that is closed at the next change of a service account,
// and a function that ends the wait.
func (s *accounts) await(namespace, name string) (<-chan struct{}, func()) {
	key, c := namespace+"/"+name, make(chan struct{})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting[key] = append(s.waiting[key], c)
	return c, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if rest := slices.DeleteFunc(s.waiting[key], func(o chan<- struct{}) bool { return o == c }); len(rest) > 0 {
			s.waiting[key] = rest
		} else {
			delete(s.waiting, key)
		}
	}
}

// number is how many service accounts are known.
func (s *accounts) number() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.all.with) + len(s.all.without)
}

// isSynced reports whether all service accounts are known.
func (s *accounts) isSynced() bool {
	select {
	case <-s.synced:
		return true
	default:
		return false
	}
}
