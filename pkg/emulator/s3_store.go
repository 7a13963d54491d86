package emulator

import (
	"cmp"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
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
	bucketS3Bucket  = "s3-bucket"  // by name
	bucketS3Object  = "s3-object"  // by name of the bucket, "/" and key
	bucketS3Upload  = "s3-upload"  // by upload id
	bucketS3Part    = "s3-part"    // by upload id, "/" and number
	bucketS3Account = "s3-account" // settings of the account, by name
)

// accountBlock is the key of the account's Block Public Access.
const accountBlock = "public-access-block"

// chunkSize is the size of the records in which bodies are kept. It is part
// of the layout of the state file.
const chunkSize = 1 << 20

// s3 is S3's state. Configurations, objects and parts that it hands out are
// never written to again; a change puts another in their place.
type s3 struct {
	store   *store.Store
	account string
	changes *atomic.Uint64 // grows with each change

	mu      sync.RWMutex // guards the fields below, and is held while they change
	buckets map[string]*s3Bucket
	uploads map[string]*s3Upload
	block   *publicAccessBlock // of the account; nil if it has none
	uses    map[string]int     // of bodies, by id: by objects, parts, and calls
}

// s3Bucket is a bucket and what is in it.
type s3Bucket struct {
	*bucketConfig
	objects []*s3Object // in the order of their keys
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
	Ownership string             `json:",omitempty"`
	ACL       *acl               `json:",omitempty"`
	Block     *publicAccessBlock `json:",omitempty"`
	Tags      []wire.Tag         `json:",omitempty"`
	Policy    string             `json:",omitempty"` // as it was submitted
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

// s3Object is an object.
type s3Object struct {
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
}

// objectPart is a part of an object that was uploaded in parts.
type objectPart struct {
	Number   int
	Size     int64
	Checksum string `json:",omitempty"`
}

// s3Upload is a multipart upload under way.
type s3Upload struct {
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

	parts map[int]*s3Part // guarded by s3.mu
}

// s3Part is a part of a multipart upload.
type s3Part struct {
	Number   int
	Size     int64
	ETag     string // without quotes
	Modified time.Time
	Checksum string // of the algorithm of the upload
	Blob     blobRef
}

// blobRef names a body in the state file.
type blobRef struct {
	ID   string
	Size int64
}

// chunks is the number of records that a body takes.
func (r blobRef) chunks() int { return int((r.Size + chunkSize - 1) / chunkSize) }

func (r blobRef) chunk(i int) string { return fmt.Sprintf("%s/%06d", r.ID, i) }

// loadS3 reads S3's state from the store.
func loadS3(st *store.Store, account string, changes *atomic.Uint64) (*s3, error) {
	s := &s3{
		store:   st,
		account: account,
		changes: changes,
		buckets: make(map[string]*s3Bucket),
		uploads: make(map[string]*s3Upload),
		uses:    make(map[string]int),
	}
	for _, part := range []struct {
		bucket string
		place  func(string, []byte) error
	}{
		{bucketS3Account, func(key string, v []byte) error {
			if key != accountBlock {
				return nil
			}
			s.block = new(publicAccessBlock)
			return json.Unmarshal(v, s.block)
		}},
		{bucketS3Bucket, func(_ string, v []byte) error {
			c := new(bucketConfig)
			if err := json.Unmarshal(v, c); err != nil {
				return err
			}
			if err := c.parse(); err != nil {
				return err
			}
			s.buckets[c.Name] = &s3Bucket{bucketConfig: c}
			return nil
		}},
		{bucketS3Object, func(key string, v []byte) error {
			name, _, _ := strings.Cut(key, "/")
			b := s.buckets[name]
			if b == nil {
				return fmt.Errorf("there is no bucket %q", name)
			}
			o := new(s3Object)
			if err := json.Unmarshal(v, o); err != nil {
				return err
			}
			s.use(o.Blobs...)
			b.objects = append(b.objects, o) // the keys come in order
			return nil
		}},
		{bucketS3Upload, func(_ string, v []byte) error {
			u := &s3Upload{parts: make(map[int]*s3Part)}
			if err := json.Unmarshal(v, u); err != nil {
				return err
			}
			s.uploads[u.ID] = u
			return nil
		}},
		{bucketS3Part, func(key string, v []byte) error {
			id, _, _ := strings.Cut(key, "/")
			u := s.uploads[id]
			if u == nil {
				return fmt.Errorf("there is no upload %q", id)
			}
			p := new(s3Part)
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
	return s, nil
}

// sweep removes bodies that nothing names: those of uploads that were under
// way when the process ended.
func (s *s3) sweep() error {
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
func (s *s3) edit(f func(*store.Change) *s3Error) *s3Error {
	if s.store.Failure() != nil {
		return errS3Internal()
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
		return errS3Internal()
	}
	return nil
}

// config is the configuration of a bucket, or nil if there is no such bucket.
func (s *s3) config(name string) *bucketConfig {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if b := s.buckets[name]; b != nil {
		return b.bucketConfig
	}
	return nil
}

// configure changes the configuration of a bucket: f gets a copy.
func (s *s3) configure(name string, f func(*bucketConfig)) *s3Error {
	return s.edit(func(c *store.Change) *s3Error {
		b := s.buckets[name]
		if b == nil {
			return errNoSuchBucket(name)
		}
		config := *b.bucketConfig
		f(&config)
		if err := config.parse(); err != nil {
			return errS3Internal()
		}
		b.bucketConfig = &config
		c.Put(bucketS3Bucket, name, &config)
		return nil
	})
}

// blockOf is what blocks public access to a bucket: its own settings and
// those of the owner's account together.
func (s *s3) blockOf(c *bucketConfig) publicAccessBlock {
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
func (s *s3) blockedBy(c *bucketConfig, on func(publicAccessBlock) bool) string {
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
func (s *s3) accountBlock(account string) *publicAccessBlock {
	if account != s.account {
		return nil
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.block
}

// find is the position of a key in a bucket, or the one where it belongs. The
// caller holds mu.
func (b *s3Bucket) find(key string) (int, bool) {
	return slices.BinarySearchFunc(b.objects, key, func(o *s3Object, key string) int { return cmp.Compare(o.Key, key) })
}

// object is the object of that key, or nil. The caller holds mu.
func (b *s3Bucket) object(key string) *s3Object {
	if i, found := b.find(key); found {
		return b.objects[i]
	}
	return nil
}

// object is an object, or nil if there is none.
func (s *s3) object(bucket, key string) *s3Object {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if b := s.buckets[bucket]; b != nil {
		return b.object(key)
	}
	return nil
}

// hold is object, with its body in use until release.
func (s *s3) hold(bucket, key string) *s3Object {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.buckets[bucket]
	if b == nil {
		return nil
	}
	o := b.object(key)
	if o != nil {
		s.use(o.Blobs...)
	}
	return o
}

// release ends the use of bodies. Those that nobody uses any more go.
func (s *s3) release(refs ...blobRef) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var c store.Change
	s.drop(&c, refs...)
	if len(c.Records) > 0 {
		// Nobody waits for this to be on disk: what is left over after a crash
		// is swept at the next start.
		s.store.Queue(c.Records...)
	}
}

// use counts a use of each body. The caller holds mu, or is alone.
func (s *s3) use(refs ...blobRef) {
	for _, r := range refs {
		s.uses[r.ID]++
	}
}

// drop is the inverse of use, and deletes what has no use left. The caller
// holds mu.
func (s *s3) drop(c *store.Change, refs ...blobRef) {
	for _, r := range refs {
		if s.uses[r.ID]--; s.uses[r.ID] <= 0 {
			delete(s.uses, r.ID)
			for i := range r.chunks() {
				c.Delete(store.Bodies, r.chunk(i))
			}
		}
	}
}

// placeObject puts an object into a bucket, in the place of an older one. The
// object's bodies count as in use already. The caller holds mu.
func (s *s3) placeObject(c *store.Change, b *s3Bucket, o *s3Object) {
	i, found := b.find(o.Key)
	if found {
		s.drop(c, b.objects[i].Blobs...)
		b.objects[i] = o
	} else {
		b.objects = slices.Insert(b.objects, i, o)
	}
	c.Put(bucketS3Object, b.Name+"/"+o.Key, o)
}

// removeObject takes an object out of a bucket. The caller holds mu.
func (s *s3) removeObject(c *store.Change, b *s3Bucket, key string) {
	if i, found := b.find(key); found {
		s.drop(c, b.objects[i].Blobs...)
		b.objects = slices.Delete(b.objects, i, i+1)
		c.Delete(bucketS3Object, b.Name+"/"+key)
	}
}

// removeUpload forgets a multipart upload and its parts. The caller holds mu.
func (s *s3) removeUpload(c *store.Change, u *s3Upload) {
	for _, n := range slices.Sorted(maps.Keys(u.parts)) {
		s.drop(c, u.parts[n].Blob)
		c.Delete(bucketS3Part, partKey(u.ID, n))
	}
	c.Delete(bucketS3Upload, u.ID)
	delete(s.uploads, u.ID)
}

func partKey(upload string, number int) string { return fmt.Sprintf("%s/%05d", upload, number) }

// newBody stores a body as it is read. It is in use by the caller, who must
// hand it to an object or a part, or release it. Of an error nothing is left.
func (s *s3) newBody(r io.Reader) (blobRef, error) {
	var b [16]byte
	rand.Read(b[:])
	ref := blobRef{ID: hex.EncodeToString(b[:])}
	s.mu.Lock()
	s.use(ref)
	s.mu.Unlock()

	if err := s.fill(&ref, r); err != nil {
		s.release(ref)
		return blobRef{}, err
	}
	return ref, nil
}

// commitEvery is the number of chunks after which those who write a large
// body wait for the file, so that it does not pile up in memory.
const commitEvery = 8

func (s *s3) fill(ref *blobRef, r io.Reader) error {
	buffer := make([]byte, 0, 512)
	for {
		n, err := r.Read(buffer[len(buffer):cap(buffer)])
		buffer = buffer[:len(buffer)+n]
		end := err == io.EOF
		if err != nil && !end {
			return err
		}
		if len(buffer) == chunkSize || end && len(buffer) > 0 {
			i := ref.chunks()
			ref.Size += int64(len(buffer))
			if len(buffer) < cap(buffer)/2 {
				buffer = slices.Clone(buffer) // it stays in memory for long
			}
			batch := s.store.Queue(store.Record{Bucket: store.Bodies, Key: ref.chunk(i), Value: buffer})
			if i%commitEvery == commitEvery-1 {
				if err := s.store.Commit(batch); err != nil {
					return err
				}
			}
			buffer = make([]byte, 0, chunkSize)
		}
		if end {
			return nil
		}
		if len(buffer) == cap(buffer) {
			buffer = slices.Grow(buffer, min(cap(buffer), chunkSize-len(buffer)))
			buffer = buffer[:len(buffer):min(cap(buffer), chunkSize)]
		}
	}
}

// bodyReader reads length bytes of bodies, one after the other, from an
// offset on. The bodies must be in use while it does.
type bodyReader struct {
	store          *store.Store
	refs           []blobRef
	offset, length int64
}

// Read implements [io.Reader].
func (r *bodyReader) Read(p []byte) (int, error) {
	chunk, err := r.next()
	if err != nil {
		return 0, err
	}
	n := copy(p, chunk)
	r.offset += int64(n)
	r.length -= int64(n)
	return n, nil
}

// WriteTo implements [io.WriterTo], which reads each chunk once.
func (r *bodyReader) WriteTo(w io.Writer) (int64, error) {
	var written int64
	for {
		chunk, err := r.next()
		if err == io.EOF {
			return written, nil
		}
		if err != nil {
			return written, err
		}
		n, err := w.Write(chunk)
		written += int64(n)
		if err != nil {
			return written, err
		}
		r.offset += int64(n)
		r.length -= int64(n)
	}
}

// next is what is left of the chunk at the offset.
func (r *bodyReader) next() ([]byte, error) {
	if r.length <= 0 {
		return nil, io.EOF
	}
	for len(r.refs) > 0 && r.offset >= r.refs[0].Size {
		r.offset -= r.refs[0].Size
		r.refs = r.refs[1:]
	}
	if len(r.refs) == 0 {
		return nil, io.ErrUnexpectedEOF
	}
	key := r.refs[0].chunk(int(r.offset / chunkSize))
	chunk, found := r.store.Body(store.Bodies, key)
	from := r.offset % chunkSize
	if !found || from >= int64(len(chunk)) {
		return nil, fmt.Errorf("reading body %q: it is gone", key)
	}
	return chunk[from:min(int64(len(chunk)), from+r.length)], nil
}

// reader reads bodies.
func (s *s3) reader(refs []blobRef, offset, length int64) *bodyReader {
	return &bodyReader{s.store, refs, offset, length}
}
