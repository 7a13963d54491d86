package s3

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/openirsa/openirsa/internal/checksum"
	"github.com/openirsa/openirsa/pkg/emulator/internal/store"
	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
	"github.com/openirsa/openirsa/pkg/policy"
)

// Buckets of the state file that are S3's.
const (
	storedBuckets  = "s3-bucket"  // by name
	storedObjects  = "s3-object"  // by name of the bucket, "/" and key
	storedVersions = "s3-version" // the others: by that, a zero byte and version
	storedUploads  = "s3-upload"  // by upload id
	storedParts    = "s3-part"    // by upload id, "/" and number
	storedAccount  = "s3-account" // settings of the account, by name
)

// accountBlock is the key of the home account's Block Public Access; those of others
// have a slash and the account after it.
const accountBlock = "public-access-block"

// state is S3's state. Configurations, objects and parts that it hands out are
// never written to again; a change puts another in their place.
type state struct {
	store   *store.Store
	account string         // the home account
	changes *atomic.Uint64 // grows with each change

	mu      sync.RWMutex // guards the fields below, and is held while they change
	buckets map[string]*bucket
	uploads map[string]*upload
	blocks  map[string]*publicAccessBlock // of accounts, by id
	uses    map[string]int                // of bodies, by id: by objects, parts, and calls
}

// bucket is a bucket and what is in it.
type bucket struct {
	*bucketConfig
	objects []*object            // in the order of their keys
	older   map[string][]*object // by key: versions that are not visible, newest first

	// By which configuration, and on which day, its lifecycle was looked after last.
	aged   *bucketConfig
	agedAt time.Time
}

// bucketConfig is all that a bucket is, but its objects.
type bucketConfig struct {
	Name    string
	Account string // of the owner
	Region  string
	// Constraint is the LocationConstraint that the bucket was made with, if
	// that is not its region: "EU".
	Constraint string `json:",omitempty"`
	Created    time.Time
	BucketKey  bool `json:",omitempty"` // as the bucket's encryption says
	// Ownership is the rule of ownership controls, "" if there are none.
	Ownership     string             `json:",omitempty"`
	ACL           *acl               `json:",omitempty"`
	Block         *publicAccessBlock `json:",omitempty"`
	Tags          []wire.Tag         `json:",omitempty"`
	Policy        string             `json:",omitempty"` // as it was submitted
	CORS          []corsRule         `json:",omitempty"`
	Lifecycle     []lifecycleRule    `json:",omitempty"`
	MinTransition string             `json:",omitempty"` // as it was set with the lifecycle
	// Versioning is "" for a bucket that never had it, or Enabled or Suspended.
	Versioning string `json:",omitempty"`
	// Principals are the unique ids of the users and roles that the policy
	// names, as of the time when it was stored.
	Principals map[string]string `json:",omitempty"`

	policy *policy.Policy // parsed; nil without one
}

// publicAccessBlock are the four switches of S3 Block Public Access.
type publicAccessBlock struct {
	BlockPublicAcls       bool
	IgnorePublicAcls      bool
	BlockPublicPolicy     bool
	RestrictPublicBuckets bool
}

// object is an object.
type object struct {
	Key      string
	Size     int64
	ETag     string // without quotes
	Modified time.Time
	// Headers are given back with the object; the names are in lower case.
	Headers map[string]string `json:",omitempty"`
	Tags    []wire.Tag        `json:",omitempty"`
	ACL     *acl              `json:",omitempty"`
	// Algorithm, Checksum and ChecksumType describe its checksum.
	Algorithm    checksum.Algorithm
	Checksum     string
	ChecksumType string
	// Blobs are its body, one after the other.
	Blobs []blobRef `json:",omitempty"`
	// Parts are those of a multipart upload, and Upload is its id.
	Parts  []objectPart `json:",omitempty"`
	Upload string       `json:",omitempty"`
	// VersionID is "" for the version "null". A delete marker has no body. Of two
	// versions of a key that with the greater Order is newer.
	VersionID    string `json:",omitempty"`
	DeleteMarker bool   `json:",omitempty"`
	Order        int64  `json:",omitempty"`
}

// objectPart is a part of an object that was uploaded in parts.
type objectPart struct {
	Number   int
	Size     int64
	Checksum string `json:",omitempty"`
}

// upload is a multipart upload under way.
type upload struct {
	ID           string
	Bucket, Key  string
	Initiated    time.Time
	Initiator    string            // ARN of the caller
	Headers      map[string]string `json:",omitempty"`
	Tags         []wire.Tag        `json:",omitempty"`
	ACL          *acl              `json:",omitempty"`
	Algorithm    checksum.Algorithm
	ChecksumType string
	// Asked says that the client chose the algorithm: its parts then come with
	// checksums.
	Asked bool `json:",omitempty"`

	parts map[int]*part // guarded by state.mu
}

// part is a part of a multipart upload.
type part struct {
	Number   int
	Size     int64
	ETag     string // without quotes
	Modified time.Time
	Checksum string // of the algorithm of the upload
	Blob     blobRef
}

// load reads S3's state from the store.
func load(st *store.Store, account string, changes *atomic.Uint64) (*state, error) {
	s := &state{
		store:   st,
		account: account,
		changes: changes,
		buckets: make(map[string]*bucket),
		uploads: make(map[string]*upload),
		uses:    make(map[string]int),
		blocks:  make(map[string]*publicAccessBlock),
	}
	for _, part := range []struct {
		bucket string
		place  func(string, []byte) error
	}{
		{storedAccount, func(key string, v []byte) error {
			owner, ok := strings.CutPrefix(key, accountBlock)
			if !ok {
				return nil
			}
			block := new(publicAccessBlock)
			s.blocks[cmp.Or(strings.TrimPrefix(owner, "/"), account)] = block
			return json.Unmarshal(v, block)
		}},
		{storedBuckets, func(_ string, v []byte) error {
			c := new(bucketConfig)
			if err := json.Unmarshal(v, c); err != nil {
				return err
			}
			if err := c.parse(); err != nil {
				return err
			}
			s.buckets[c.Name] = &bucket{bucketConfig: c}
			return nil
		}},
		{storedObjects, s.loadObject(func(b *bucket, o *object) {
			b.objects = append(b.objects, o) // the keys come in order
		})},
		{storedVersions, s.loadObject(func(b *bucket, o *object) {
			if b.older == nil {
				b.older = make(map[string][]*object)
			}
			b.older[o.Key] = append(b.older[o.Key], o)
		})},
		{storedUploads, func(_ string, v []byte) error {
			u := &upload{parts: make(map[int]*part)}
			if err := json.Unmarshal(v, u); err != nil {
				return err
			}
			s.uploads[u.ID] = u
			return nil
		}},
		{storedParts, func(key string, v []byte) error {
			id, _, _ := strings.Cut(key, "/")
			u := s.uploads[id]
			if u == nil {
				return fmt.Errorf("there is no upload %q", id)
			}
			p := new(part)
			if err := json.Unmarshal(v, p); err != nil {
				return err
			}
			s.use(p.Blob)
			u.parts[p.Number] = p
			return nil
		}},
	} {
		if err := st.Load(part.bucket, part.place); err != nil {
			return nil, err
		}
	}
	for _, b := range s.buckets {
		for _, older := range b.older {
			slices.SortFunc(older, func(a, b *object) int { return cmp.Compare(b.Order, a.Order) })
		}
	}
	return s, nil
}

// loadObject makes a reader of objects, and of versions that are not visible, from
// what places them.
func (s *state) loadObject(place func(*bucket, *object)) func(string, []byte) error {
	return func(key string, v []byte) error {
		name, _, _ := strings.Cut(key, "/")
		b := s.buckets[name]
		if b == nil {
			return fmt.Errorf("there is no bucket %q", name)
		}
		o := new(object)
		if err := json.Unmarshal(v, o); err != nil {
			return err
		}
		s.use(o.Blobs...)
		place(b, o)
		return nil
	}
}

// sweep removes bodies that nothing names: those of uploads that were under
// way when the process ended.
func (s *state) sweep() error {
	var c store.Change
	err := s.store.Load(store.Bodies, func(key string, _ []byte) error {
		id, _, _ := strings.Cut(key, "/")
		if s.uses[id] == 0 {
			c.Delete(store.Bodies, key)
		}
		return nil
	})
	if err != nil || len(c.Records) == 0 {
		return err
	}
	return s.store.Commit(s.store.Queue(c.Records...))
}

// parse makes what follows from what is stored.
func (c *bucketConfig) parse() error {
	c.policy = nil
	if c.Policy == "" {
		return nil
	}
	p, err := policy.Parse(policy.Bucket, []byte(c.Policy))
	if err != nil {
		return fmt.Errorf("policy of bucket %q: %w", c.Name, err)
	}
	c.policy = p.Bind(c.Principals)
	return nil
}

// edit changes the state: f looks at what is there, and either refuses or
// changes it and records the change. When edit returns nil the change is on
// disk, if there is a file.
func (s *state) edit(f func(*store.Change) *failure) *failure {
	if s.store.Failure() != nil {
		return errInternal()
	}
	s.mu.Lock()
	var c store.Change
	if e := f(&c); e != nil {
		s.mu.Unlock()
		return e
	}
	var b *store.Batch
	if c.Err == nil {
		b = s.store.Queue(c.Records...)
	}
	s.changes.Add(1)
	s.mu.Unlock()
	if c.Err != nil || s.store.Commit(b) != nil {
		return errInternal()
	}
	return nil
}

// config is the configuration of a bucket, or nil if there is no such bucket.
func (s *state) config(name string) *bucketConfig {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if b := s.buckets[name]; b != nil {
		return b.bucketConfig
	}
	return nil
}

// configure changes the configuration of a bucket: f gets a copy.
//
//go:noinline // so that what it makes is there once, not again at each call
func (s *state) configure(name string, f func(*bucketConfig)) *failure {
	return s.edit(func(c *store.Change) *failure {
		b := s.buckets[name]
		if b == nil {
			return errNoSuchBucket(name)
		}
		config := *b.bucketConfig
		f(&config)
		if err := config.parse(); err != nil {
			return errInternal()
		}
		b.bucketConfig = &config
		c.Put(storedBuckets, name, &config)
		return nil
	})
}

// blockOf is what blocks public access to a bucket: its own settings and
// those of the owner's account together.
func (s *state) blockOf(c *bucketConfig) publicAccessBlock {
	var all publicAccessBlock
	for _, b := range []*publicAccessBlock{c.Block, s.accountBlock(c.Account)} {
		if b != nil {
			all.BlockPublicAcls = all.BlockPublicAcls || b.BlockPublicAcls
			all.IgnorePublicAcls = all.IgnorePublicAcls || b.IgnorePublicAcls
			all.BlockPublicPolicy = all.BlockPublicPolicy || b.BlockPublicPolicy
			all.RestrictPublicBuckets = all.RestrictPublicBuckets || b.RestrictPublicBuckets
		}
	}
	return all
}

// blockedBy says where a switch is on.
func (s *state) blockedBy(c *bucketConfig, on func(publicAccessBlock) bool) string {
	own := c.Block != nil && on(*c.Block)
	account := s.accountBlock(c.Account)
	if account == nil || !on(*account) {
		return "of the bucket"
	}
	if own {
		return "of the bucket and of the account"
	}
	return "of the account"
}

// accountBlock is Block Public Access of an account, or nil. Only that of the
// emulator's own is known.
func (s *state) accountBlock(account string) *publicAccessBlock {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.blocks[account]
}

// blockKey is where Block Public Access of an account is stored.
func (s *state) blockKey(account string) string {
	if account == s.account {
		return accountBlock
	}
	return accountBlock + "/" + account
}

// find is the position of a key in a bucket, or the one where it belongs. The
// caller holds mu.
func (b *bucket) find(key string) (int, bool) {
	return slices.BinarySearchFunc(b.objects, key, func(o *object, key string) int { return cmp.Compare(o.Key, key) })
}

// object is the object of that key, or nil. The caller holds mu.
func (b *bucket) object(key string) *object {
	if i, found := b.find(key); found {
		return b.objects[i]
	}
	return nil
}

// object is an object, or nil if there is none.
func (s *state) object(bucket, key string) *object {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if b := s.buckets[bucket]; b != nil {
		return b.object(key)
	}
	return nil
}

// hold is pick, with its body in use until release.
func (s *state) hold(bucket, key string, v versionRef) *object {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.buckets[bucket]
	if b == nil {
		return nil
	}
	o := b.pick(key, v)
	if o != nil {
		s.use(o.Blobs...)
	}
	return o
}

// storeObject puts an object into a bucket, instead of an older one, or above it if
// the bucket has versions. The object's bodies count as in use already. The caller holds mu.
func (s *state) storeObject(c *store.Change, b *bucket, o *object) {
	if b.Versioning != "" {
		s.addVersion(c, b, o)
		return
	}
	i, found := b.find(o.Key)
	if found {
		s.drop(c, b.objects[i].Blobs...)
		b.objects[i] = o
	} else {
		b.objects = slices.Insert(b.objects, i, o)
	}
	c.Put(storedObjects, b.Name+"/"+o.Key, o)
}

// removeUpload forgets a multipart upload and its parts. The caller holds mu.
func (s *state) removeUpload(c *store.Change, u *upload) {
	for _, n := range slices.Sorted(maps.Keys(u.parts)) {
		s.drop(c, u.parts[n].Blob)
		c.Delete(storedParts, partKey(u.ID, n))
	}
	c.Delete(storedUploads, u.ID)
	delete(s.uploads, u.ID)
}

func partKey(upload string, number int) string { return fmt.Sprintf("%s/%05d", upload, number) }

// Rules of object ownership (S3 User Guide, "Controlling ownership of
// objects").
const ownerEnforced = "BucketOwnerEnforced"

var ownershipRules = []string{ownerEnforced, "BucketOwnerPreferred", "ObjectWriter"}

// chunkSize is the size of the records in which bodies are kept. It is part
// of the layout of the state file.
const chunkSize = 1 << 20

// blobRef names a body in the state file.
type blobRef struct {
	ID   string
	Size int64
}

// chunks is the number of records that a body takes.
func (r blobRef) chunks() int { return int((r.Size + chunkSize - 1) / chunkSize) }

func (r blobRef) chunk(i int) string { return fmt.Sprintf("%s/%06d", r.ID, i) }

// use counts a use of each body. The caller holds mu, or is alone.
func (s *state) use(refs ...blobRef) {
	for _, r := range refs {
		s.uses[r.ID]++
	}
}

// drop is the inverse of use, and deletes what has no use left. The caller
// holds mu.
func (s *state) drop(c *store.Change, refs ...blobRef) {
	for _, r := range refs {
		if s.uses[r.ID]--; s.uses[r.ID] <= 0 {
			delete(s.uses, r.ID)
			for i := range r.chunks() {
				c.Delete(store.Bodies, r.chunk(i))
			}
		}
	}
}
