package emulator

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/openirsa/openirsa/pkg/emulator/internal/api"
	"github.com/openirsa/openirsa/pkg/emulator/internal/store"
	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
	"github.com/openirsa/openirsa/pkg/policy"
)

// directory is IAM's state: roles, users, groups, managed policies and OIDC
// providers. What it hands out is never written to again; a change puts a
// changed copy instead of the old value, so readers keep no lock.
type directory struct {
	store     *store.Store
	partition string
	account   string
	scope     string // before the names of buckets of the state file
	parsed    *parsedPolicies

	mu        sync.RWMutex // guards the maps, and is held while they change
	roles     map[string]*role
	roleIDs   map[string]*role
	users     map[string]*user
	userIDs   map[string]*user
	groups    map[string]*group
	profiles  map[string]*instanceProfile
	keys      map[string]*user // by access key id
	managed   map[string]*managedPolicy
	providers map[string]*provider
	settings  accountSettings

	// generation grows with each change: what was derived from the state of a
	// generation holds until there is another.
	generation atomic.Uint64
}

// Buckets of the state file that are IAM's. Those of accounts other than the home
// account have the account's id and a slash before the name.
const (
	bucketRole     = "role"             // by unique id
	bucketPolicy   = "policy"           // by ARN
	bucketProvider = "provider"         // by ARN
	bucketUser     = "user"             // by unique id
	bucketGroup    = "group"            // by unique id
	bucketProfile  = "instance-profile" // by unique id
	bucketSettings = "iam-account"      // one record
)

// entity is what roles, users and groups have in common. Names are compared
// without regard to case.
type entity struct {
	ID       string
	Name     string
	Path     string
	ARN      string
	Created  time.Time
	Tags     []wire.Tag     `json:",omitempty"`
	Boundary string         `json:",omitempty"` // ARN of a managed policy
	Inline   []inlinePolicy `json:",omitempty"` // in the order of their names
	Attached []string       `json:",omitempty"` // ARNs of managed policies, in the order of attachment
	Service  string         `json:",omitempty"` // to which a role is linked

	derived *atomic.Pointer[derivedPolicies]
}

type inlinePolicy struct{ Name, Document string }

// derivedPolicies are the policies of an entity, parsed, as of a generation of
// the directory.
type derivedPolicies struct {
	generation uint64
	identity   []policy.Named
	boundary   *policy.Named
}

type role struct {
	entity
	Description string `json:",omitempty"`
	MaxSession  int    // seconds
	Trust       string // the trust policy as it was submitted

	// Principals are the unique ids of the roles and users that the trust
	// policy names, as of the time when it was stored: another role that later
	// gets the same name is not trusted.
	Principals map[string]string `json:",omitempty"`

	trust    *policy.Policy
	warnings []string // about the trust policy
	used     *atomic.Pointer[roleUse]
}

// roleUse is when and where a role was last used.
type roleUse struct {
	at     time.Time
	region string
}

type user struct {
	entity
	Keys   []accessKey `json:",omitempty"`
	Groups []string    `json:",omitempty"` // unique ids
}

type accessKey struct {
	ID      string
	Secret  string
	Active  bool
	Created time.Time

	used *atomic.Pointer[keyUse] // kept in memory only
}

// keyUse is when, where and for which service an access key was last used.
type keyUse struct {
	at              time.Time
	region, service string
}

type group struct{ entity }

// managedPolicy is a customer managed policy, or one of AWS's.
type managedPolicy struct {
	ID          string
	Name        string
	Path        string
	ARN         string
	Description string `json:",omitempty"`
	Created     time.Time
	Updated     time.Time
	Default     string          // id of the default version
	Versions    []policyVersion // oldest first
	Next        int             // number of the next version; numbers are never used again
	Tags        []wire.Tag      `json:",omitempty"`
}

type policyVersion struct {
	ID       string
	Document string // of AWS's policies, "": it is looked up when asked for
	Created  time.Time
}

type provider struct {
	ARN         string
	URL         string // without the scheme
	ClientIDs   []string
	Thumbprints []string
	Created     time.Time
	Tags        []wire.Tag `json:",omitempty"`

	// serial tells a provider from another of the same URL that was there
	// before it, and from itself with other thumbprints: keys that were
	// fetched for one are not used for the other.
	serial uint64
	// keys are those of the issuer if they were given, and need not be read.
	keys *keySet
}

// loadDirectory reads the state of an account's IAM from the store.
func loadDirectory(account *api.Account, home bool) (*directory, error) {
	d := &directory{
		store:     account.Store,
		partition: account.Partition,
		account:   account.ID,
		parsed:    &parsedPolicies{},
		roles:     make(map[string]*role),
		roleIDs:   make(map[string]*role),
		users:     make(map[string]*user),
		userIDs:   make(map[string]*user),
		groups:    make(map[string]*group),
		profiles:  make(map[string]*instanceProfile),
		keys:      make(map[string]*user),
		managed:   make(map[string]*managedPolicy),
		providers: make(map[string]*provider),
	}
	if !home {
		d.scope = account.ID + "/"
	}
	load := func(bucket string, each func(value []byte) error) error {
		return d.store.Load(d.scope+bucket, func(_ string, value []byte) error { return each(value) })
	}
	for _, err := range []error{
		load(bucketRole, decode(d.storeRole)),
		load(bucketUser, decode(d.storeUser)),
		load(bucketGroup, decode(d.storeGroup)),
		load(bucketProfile, decode(d.storeProfile)),
		load(bucketSettings, d.loadSettings),
		load(bucketPolicy, decode(d.storeManaged)),
		load(bucketProvider, decode(d.storeProvider)),
	} {
		if err != nil {
			return nil, err
		}
	}
	return d, nil
}

// decode makes a reader of JSON values from a function that takes them.
func decode[T any](place func(*T) error) func([]byte) error {
	return func(value []byte) error {
		v := new(T)
		if err := json.Unmarshal(value, v); err != nil {
			return err
		}
		return place(v)
	}
}

// The place functions put a value into the maps, instead of an older one
// with the same id. The caller holds mu, or is alone.

func (d *directory) storeRole(r *role) error {
	trust, err := policy.Parse(policy.Trust, []byte(r.Trust))
	if err != nil {
		return fmt.Errorf("trust policy of role %q: %w", r.Name, err)
	}
	r.trust = trust.Bind(r.Principals)
	r.warnings = trust.Warnings()
	r.derived = new(atomic.Pointer[derivedPolicies])
	if old := d.roleIDs[r.ID]; old != nil {
		r.used = old.used
	} else {
		r.used = new(atomic.Pointer[roleUse])
	}
	d.roles[strings.ToLower(r.Name)] = r
	d.roleIDs[r.ID] = r
	return nil
}

func (d *directory) storeUser(u *user) error {
	u.derived = new(atomic.Pointer[derivedPolicies])
	if old := d.userIDs[u.ID]; old != nil {
		for _, k := range old.Keys {
			delete(d.keys, k.ID)
		}
	}
	for i := range u.Keys {
		if u.Keys[i].used == nil {
			u.Keys[i].used = new(atomic.Pointer[keyUse])
		}
		d.keys[u.Keys[i].ID] = u
	}
	d.users[strings.ToLower(u.Name)] = u
	d.userIDs[u.ID] = u
	return nil
}

func (d *directory) storeGroup(g *group) error {
	g.derived = new(atomic.Pointer[derivedPolicies])
	d.groups[strings.ToLower(g.Name)] = g
	return nil
}

func (d *directory) storeManaged(p *managedPolicy) error {
	d.managed[p.ARN] = p
	return nil
}

func (d *directory) storeProvider(p *provider) error {
	p.serial = d.generation.Add(1)
	d.providers[p.ARN] = p
	return nil
}

// edit is a change of the directory under way.
type edit struct {
	*directory
	store.Change
}

// Put is that of the change, in the buckets of the account.
func (e *edit) Put(bucket, key string, value any) { e.Change.Put(e.scope+bucket, key, value) }

// Delete is that of the change, in the buckets of the account.
func (e *edit) Delete(bucket, key string) { e.Change.Delete(e.scope+bucket, key) }

// edit changes the directory: f looks at what is there, and either refuses or
// puts. When edit returns nil the change is on disk, if there is a file. f
// must not keep what it put, nor change what is in the directory.
func (d *directory) edit(f func(*edit) *wire.Failure) *wire.Failure {
	if d.store.Failure() != nil {
		return wire.ErrInternal
	}
	d.mu.Lock()
	e := &edit{directory: d}
	if err := f(e); err != nil {
		d.mu.Unlock()
		return err
	}
	d.generation.Add(1)
	var b *store.Batch
	if e.Err == nil {
		b = d.store.Queue(e.Records...)
	}
	d.mu.Unlock()
	if e.Err != nil || d.store.Commit(b) != nil {
		return wire.ErrInternal
	}
	return nil
}

func (e *edit) putRole(r *role) *wire.Failure {
	if err := e.storeRole(r); err != nil {
		return policyError(err)
	}
	e.Put(bucketRole, r.ID, r)
	return nil
}

func (e *edit) putUser(u *user) {
	e.storeUser(u)
	e.Put(bucketUser, u.ID, u)
}

func (e *edit) putGroup(g *group) {
	e.storeGroup(g)
	e.Put(bucketGroup, g.ID, g)
}

func (e *edit) putManaged(p *managedPolicy) {
	e.storeManaged(p)
	e.Put(bucketPolicy, p.ARN, p)
}

func (e *edit) putProvider(p *provider) {
	e.storeProvider(p)
	e.Put(bucketProvider, p.ARN, p)
}

func (e *edit) deleteRole(r *role) {
	delete(e.roles, strings.ToLower(r.Name))
	delete(e.roleIDs, r.ID)
	e.Delete(bucketRole, r.ID)
}

func (e *edit) deleteUser(u *user) {
	for _, k := range u.Keys {
		delete(e.keys, k.ID)
	}
	delete(e.users, strings.ToLower(u.Name))
	delete(e.userIDs, u.ID)
	e.Delete(bucketUser, u.ID)
}

func (e *edit) deleteGroup(g *group) {
	delete(e.groups, strings.ToLower(g.Name))
	e.Delete(bucketGroup, g.ID)
}

func (e *edit) deleteManaged(p *managedPolicy) {
	delete(e.managed, p.ARN)
	e.Delete(bucketPolicy, p.ARN)
}

func (e *edit) deleteProvider(p *provider) {
	delete(e.providers, p.ARN)
	e.Delete(bucketProvider, p.ARN)
}

// read runs f while nothing changes.
func (d *directory) read(f func()) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	f()
}

func (d *directory) roleByID(id string) *role {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.roleIDs[id]
}

func (d *directory) roleByName(name string) *role {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.roles[strings.ToLower(name)]
}

func (d *directory) userByID(id string) *user {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.userIDs[id]
}

// key is an access key and its user.
func (d *directory) key(id string) (*user, *accessKey) {
	d.mu.RLock()
	u := d.keys[id]
	d.mu.RUnlock()
	if u == nil {
		return nil, nil
	}
	i := slices.IndexFunc(u.Keys, func(k accessKey) bool { return k.ID == id })
	if i < 0 {
		return nil, nil
	}
	return u, &u.Keys[i]
}

func (d *directory) provider(arn string) *provider {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.providers[arn]
}

func (d *directory) groupByID(id string) *group {
	d.mu.RLock()
	defer d.mu.RUnlock()
	for _, g := range d.groups {
		if g.ID == id {
			return g
		}
	}
	return nil
}

// newPolicy parses a policy that a call brings, and refuses what AWS would.
func (d *directory) newPolicy(kind policy.Kind, document string) (*policy.Policy, *wire.Failure) {
	p, err := policy.Parse(kind, []byte(document))
	if err == nil {
		err = p.CheckNew(d.partition)
	}
	if err != nil {
		return nil, policyError(err)
	}
	return p, nil
}

// policyError is the answer to a document that does not parse.
func policyError(err error) *wire.Failure {
	if e, ok := err.(*policy.Error); ok {
		return &wire.Failure{Status: 400, Code: e.Code, Message: e.Message}
	}
	return malformedPolicy(err.Error())
}
