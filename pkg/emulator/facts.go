package emulator

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/openirsa/openirsa/internal/redact"
	"github.com/openirsa/openirsa/pkg/emulator/internal/store"
	"github.com/openirsa/openirsa/pkg/policy/least"
)

// Bounds of what is remembered of what roles did, beyond the events that are kept.
const (
	// maxPairs is how many actions on resources are told apart of a role. From then on
	// resources that begin alike are put together.
	maxPairs = 10_000
	// maxAllPairs and maxPairBytes bound those of all roles together.
	maxAllPairs  = 100_000
	maxPairBytes = 32 << 20
	// maxRefusals is how many pairs are remembered of a role that were only refused.
	maxRefusals = 1000
	// maxFactRoles is how many roles are remembered.
	maxFactRoles = 1024
	// maxHolders is how many of those who have a role are told apart.
	maxHolders = 64
)

// Holder is who has a role: the subject of a web identity token.
type Holder struct {
	Issuer  string `json:"issuer"` // without a scheme
	Subject string `json:"subject"`
}

// is reports whether somebody names the holder so: by its sub, as NAMESPACE/NAME of a
// service account, or as "ISSUER:SUB".
func (h Holder) is(name string) bool {
	if name == h.Subject || name == h.Issuer+":"+h.Subject {
		return true
	}
	namespace, account, ok := strings.Cut(name, "/")
	return ok && h.Subject == "system:serviceaccount:"+namespace+":"+account
}

// bucketFact is the bucket of the state file with what roles did: records are those of
// [factPair], by the ARN of the role and a digest of the pair.
const bucketFact = "fact"

// factOutcome is how a decision went.
type factOutcome int

const (
	factAllowed   factOutcome = iota
	factWouldDeny             // let through although policies denied it
	factRefused
	factElsewhere // allowed by the policy of the resource, without the role's own
	factAbsent    // allowed for all resources, and the one that was named is not there
)

// factPair is what is remembered of an action on a resource by a role.
type factPair struct {
	least.Fact
	Counts  [5]uint64 // by factOutcome
	First   time.Time
	Last    time.Time
	Holders []Holder `json:",omitempty"` // see maxHolders
	// Leading says that the calls named keys of a table, and Tags are those of the
	// caller's tags whose value all of these keys had.
	Leading bool     `json:",omitempty"`
	Tags    []string `json:",omitempty"`

	matcher *least.Matcher // if it is merged
}

// onlyRefused reports whether the role tried it, and never did it.
func (p *factPair) onlyRefused() bool {
	return p.Counts[factRefused] > 0 && !p.needed() && p.Counts[factElsewhere]+p.Counts[factAbsent] == 0
}

// needed reports whether the role's own policies must allow it.
func (p *factPair) needed() bool { return p.Counts[factAllowed]+p.Counts[factWouldDeny] > 0 }

// size is about how many bytes the pair takes.
func (p *factPair) size() int { return 400 + len(p.Action) + 2*len(p.Resource) + len(p.Instance) }

// roleFacts are those of one role.
type roleFacts struct {
	pairs   map[string]*factPair
	merged  map[string][]*factPair // by action
	refused int                    // pairs that were only refused
	holders map[Holder]bool
	last    time.Time
	left    uint64 // decisions for which there was no room
}

// factBook is what all roles did.
type factBook struct {
	store     *store.Store
	reference least.Reference

	writing sync.Mutex // held while the file is written

	mu    sync.Mutex // guards the fields below
	roles map[string]*roleFacts
	pairs int
	bytes int
	dirty map[[2]string]bool // what the file does not have, by role and id; nil without a file
	timer *time.Timer        // set while that is to be written
}

// factDelay is how long a fact may be in memory only.
const factDelay = time.Second

// factID tells pairs of a role apart.
func factID(f *least.Fact) string {
	var id strings.Builder
	id.WriteString(f.Action + "\x00" + f.Resource)
	for _, k := range f.Keys {
		id.WriteString("\x00" + k.Name + "=" + k.Value)
	}
	return id.String()
}

// load reads the facts from the state file, if there is one.
func (b *factBook) load(s *store.Store, file bool, reference least.Reference) error {
	b.store, b.reference, b.roles = s, reference, map[string]*roleFacts{}
	if file {
		b.dirty = map[[2]string]bool{}
	}
	return s.Load(bucketFact, func(key string, value []byte) error {
		role, _, _ := strings.Cut(key, "\x00")
		p := new(factPair)
		if err := json.Unmarshal(value, p); err != nil {
			return err
		}
		b.place(b.role(role), p)
		return nil
	})
}

// role is what a role did. If it is new and there are too many, the one that did
// nothing for the longest time is forgotten.
func (b *factBook) role(arn string) *roleFacts {
	if r := b.roles[arn]; r != nil {
		return r
	}
	if len(b.roles) >= maxFactRoles {
		oldest := slices.MinFunc(slices.Sorted(maps.Keys(b.roles)), func(x, y string) int { return b.roles[x].last.Compare(b.roles[y].last) })
		for id, p := range b.roles[oldest].pairs {
			b.drop(oldest, id, p)
		}
		delete(b.roles, oldest)
	}
	r := &roleFacts{pairs: map[string]*factPair{}, merged: map[string][]*factPair{}, holders: map[Holder]bool{}}
	b.roles[arn] = r
	return r
}

// place puts a pair among those of a role.
func (b *factBook) place(r *roleFacts, p *factPair) {
	r.pairs[factID(&p.Fact)] = p
	if p.Merged {
		p.matcher = least.NewMatcher(p.Action, p.Resource)
		r.merged[p.Action] = append(r.merged[p.Action], p)
	}
	if p.onlyRefused() {
		r.refused++
	}
	for _, h := range p.Holders {
		r.holders[h] = true
	}
	if p.Last.After(r.last) {
		r.last = p.Last
	}
	b.pairs, b.bytes = b.pairs+1, b.bytes+p.size()
}

// drop forgets a pair.
func (b *factBook) drop(arn, id string, p *factPair) {
	r := b.roles[arn]
	delete(r.pairs, id)
	if p.onlyRefused() {
		r.refused--
	}
	b.pairs, b.bytes = b.pairs-1, b.bytes-p.size()
	b.mark(arn, id)
}

// mark has a pair written to the file soon.
func (b *factBook) mark(arn, id string) {
	if b.dirty == nil {
		return
	}
	b.dirty[[2]string{arn, id}] = true
	if b.timer == nil {
		b.timer = time.AfterFunc(factDelay, b.flush)
	}
}

// flush writes to the file what it does not have. If it does not take that, the next
// decision tries again.
func (b *factBook) flush() {
	b.writing.Lock()
	defer b.writing.Unlock()
	b.mu.Lock()
	if b.timer != nil {
		b.timer.Stop()
		b.timer = nil
	}
	if len(b.dirty) == 0 || b.store.Failure() != nil {
		b.mu.Unlock()
		return
	}
	var change store.Change
	written := b.dirty
	b.dirty = map[[2]string]bool{}
	for pair := range written {
		sum := sha256.Sum256([]byte(pair[1]))
		key := pair[0] + "\x00" + hex.EncodeToString(sum[:16])
		if r := b.roles[pair[0]]; r != nil && r.pairs[pair[1]] != nil {
			change.Put(bucketFact, key, r.pairs[pair[1]])
		} else {
			change.Delete(bucketFact, key)
		}
	}
	batch := b.store.Queue(change.Records...)
	b.mu.Unlock()
	if b.store.Commit(batch) != nil {
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.dirty != nil {
			maps.Copy(b.dirty, written)
		}
	}
}

// close writes what the file does not have, and nothing after that.
func (b *factBook) close() {
	b.flush()
	b.writing.Lock()
	defer b.writing.Unlock()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.dirty = nil
}

// clear forgets everything, and writes nothing until done is called.
func (b *factBook) clear() (done func()) {
	b.writing.Lock()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.roles, b.pairs, b.bytes = map[string]*roleFacts{}, 0, 0
	if b.dirty != nil {
		b.dirty = map[[2]string]bool{}
	}
	return b.writing.Unlock
}

// find is the pair of a fact, a new one if there was none; nil if there is no room.
func (b *factBook) find(arn string, f *least.Fact, outcome factOutcome) *factPair {
	r := b.role(arn)
	if p := r.pairs[factID(f)]; p != nil {
		return p
	}
	if len(f.Keys) == 0 {
		for _, p := range r.merged[f.Action] {
			if p.matcher != nil && p.matcher.Match(f.Action, cmp.Or(f.Instance, f.Resource)) {
				return p
			}
		}
	}
	if outcome == factRefused && r.refused >= maxRefusals {
		return nil
	}
	if len(r.pairs) >= maxPairs {
		b.compact(arn)
	}
	p := &factPair{Fact: *f}
	full := len(r.pairs) >= maxPairs || b.pairs >= maxAllPairs || b.bytes+p.size() > maxPairBytes
	if text := factID(f) + "\n" + f.Instance; full || len(text) > 2*maxText || redact.Text(text) != text {
		r.left++
		return nil
	}
	// A copy: it must not hold on to the request.
	p.Action, p.Resource, p.Instance = strings.Clone(f.Action), strings.Clone(f.Resource), strings.Clone(f.Instance)
	b.place(r, p)
	return p
}

// note remembers a decision about a session of a role.
func (b *factBook) note(arn string, h Holder, f *least.Fact, outcome factOutcome, at time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.find(arn, f, outcome)
	if p == nil {
		return
	}
	r := b.roles[arn]
	if p.onlyRefused() {
		r.refused--
	}
	p.Counts[outcome]++
	if p.onlyRefused() {
		r.refused++
	}
	if p.First.IsZero() {
		p.First = at
	}
	p.Last, r.last = at, at
	if h.Subject != "" && !slices.Contains(p.Holders, h) && (r.holders[h] || len(r.holders) < maxHolders) {
		h = Holder{strings.Clone(h.Issuer), strings.Clone(h.Subject)}
		r.holders[h] = true
		p.Holders = append(p.Holders, h)
	}
	b.mark(arn, factID(&p.Fact))
}

// noteLeading remembers which tags of the caller had the value of all the keys of a
// table that a call named.
func (b *factBook) noteLeading(arn string, f *least.Fact, tags []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := b.roles[arn]
	if r == nil || r.pairs[factID(f)] == nil {
		return
	}
	p := r.pairs[factID(f)]
	if p.Leading {
		tags = slices.DeleteFunc(slices.Clone(p.Tags), func(tag string) bool { return !slices.Contains(tags, tag) })
	}
	p.Leading, p.Tags = true, tags
}

// compact puts resources together that begin alike, and if that makes little room, all
// of a type.
func (b *factBook) compact(arn string) {
	r := b.roles[arn]
	for _, widen := range []least.Widen{least.Prefix, least.WholeType} {
		var facts []least.Fact
		for _, p := range r.pairs {
			if len(p.Keys) == 0 && p.Instance == "" && !p.onlyRefused() {
				facts = append(facts, p.Fact)
			}
		}
		merged, of := least.Merge(facts, widen, b.reference)
		for i, f := range merged {
			b.merge(arn, f, of[i])
		}
		if len(r.pairs) < maxPairs*4/5 {
			return
		}
	}
}

// merge puts pairs together.
func (b *factBook) merge(arn string, f least.Fact, resources []string) {
	r, sum := b.roles[arn], &factPair{Fact: f}
	for _, resource := range resources {
		id := factID(&least.Fact{Action: f.Action, Resource: resource})
		p := r.pairs[id]
		if p == nil {
			continue
		}
		for i, n := range p.Counts {
			sum.Counts[i] += n
		}
		if sum.First.IsZero() || p.First.Before(sum.First) {
			sum.First = p.First
		}
		if p.Last.After(sum.Last) {
			sum.Last = p.Last
		}
		for _, h := range p.Holders {
			if !slices.Contains(sum.Holders, h) {
				sum.Holders = append(sum.Holders, h)
			}
		}
		b.drop(arn, id, p)
	}
	b.place(r, sum)
	b.mark(arn, factID(&sum.Fact))
}

// of are copies of what a role did, in a fixed order, and how many decisions are not
// among them.
func (b *factBook) of(arn string) ([]factPair, uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := b.roles[arn]
	if r == nil {
		return nil, 0
	}
	var all []factPair
	for _, id := range slices.Sorted(maps.Keys(r.pairs)) {
		p := *r.pairs[id]
		p.Holders = slices.Clone(p.Holders)
		all = append(all, p)
	}
	return all, r.left
}

// NothingSeenError says that a role, or a subject, was not seen to do anything.
type NothingSeenError struct{ Of string }

func (e *NothingSeenError) Error() string {
	return fmt.Sprintf("%s was not seen to do anything: run what it is for against this emulator first", e.Of)
}

// resolve finds the role and its holder that are meant by a name each, one of which
// may be "".
func (b *factBook) resolve(role, sub string) (arn string, holder Holder, err error) {
	if role == "" && sub == "" {
		return "", Holder{}, errors.New("name the role, or the sub that has it")
	}
	type both struct {
		arn    string
		holder Holder
	}
	var found []both
	b.mu.Lock()
	for arn, r := range b.roles {
		switch {
		case role != "" && role != arn && role != nameOf(arn):
		case sub == "":
			found = append(found, both{arn, Holder{}})
		default:
			for h := range r.holders {
				if h.is(sub) {
					found = append(found, both{arn, h})
				}
			}
		}
	}
	b.mu.Unlock()
	switch {
	case len(found) == 0:
		return "", Holder{}, &NothingSeenError{strings.TrimSpace(sub + " " + role)}
	case len(found) > 1:
		var all []string
		for _, f := range found {
			all = append(all, strings.TrimSpace(f.arn+" "+f.holder.Issuer))
		}
		slices.Sort(all)
		return "", Holder{}, fmt.Errorf("several are meant, name the role, and the sub as ISSUER:SUB: %s", strings.Join(all, ", "))
	}
	return found[0].arn, found[0].holder, nil
}
