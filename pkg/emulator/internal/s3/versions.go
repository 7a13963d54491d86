package s3

import (
	"crypto/rand"
	"encoding/base64"
	"net/http"
	"slices"
	"strings"

	"github.com/openirsa/openirsa/pkg/emulator/internal/store"
)

// States of versioning. A bucket without any has never had it (S3 User Guide,
// "Retaining multiple versions of objects with S3 Versioning").
const (
	versioningEnabled   = "Enabled"
	versioningSuspended = "Suspended"
)

// nullVersion is how requests and answers spell the id of a version that has none:
// it was stored while the bucket had no versioning, or while that was suspended.
const nullVersion = "null"

// newVersionID makes an id of the form that S3's have.
func newVersionID() string {
	var b [24]byte
	rand.Read(b[:])
	return strings.ReplaceAll(base64.RawURLEncoding.EncodeToString(b[:]), "-", ".")
}

// isVersionID reports whether a text can be such an id.
func isVersionID(id string) bool {
	return len(id) == 32 && !strings.ContainsFunc(id, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && r != '_' && r != '.'
	})
}

// versionRef is the version of an object that a request names: none unless given.
type versionRef struct {
	given bool
	id    string // "" is the version "null"
}

func (v versionRef) String() string { return (&object{VersionID: v.id}).version() }

// parseVersion reads the id of a version as requests spell it.
func parseVersion(text string) (versionRef, bool) {
	if text == nullVersion {
		return versionRef{given: true}, true
	}
	return versionRef{true, text}, isVersionID(text)
}

// version is the id of a version as answers spell it.
func (o *object) version() string {
	if o.VersionID == "" {
		return nullVersion
	}
	return o.VersionID
}

// A bucket with versioning has all versions of a key that are not deleted for
// good: the newest in objects, unless it is a delete marker, and the others in
// older, newest first, with the delete markers.

// latest is the newest version of a key, a delete marker included; nil if there
// is none. The caller holds mu.
func (b *bucket) latest(key string) *object {
	if o := b.object(key); o != nil {
		return o
	}
	if older := b.older[key]; len(older) > 0 {
		return older[0]
	}
	return nil
}

// pick is a version of a key, or the visible object if none is named; nil if there
// is none. The caller holds mu.
func (b *bucket) pick(key string, v versionRef) *object {
	o := b.object(key)
	if !v.given || o != nil && o.VersionID == v.id {
		return o
	}
	for _, o := range b.older[key] {
		if o.VersionID == v.id {
			return o
		}
	}
	return nil
}

// pick is a version of an object, or nil.
func (s *state) pick(bucket, key string, v versionRef) *object {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if b := s.buckets[bucket]; b != nil {
		return b.pick(key, v)
	}
	return nil
}

// marker is the delete marker that hides a key, or nil.
func (s *state) marker(bucket, key string) *object {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if b := s.buckets[bucket]; b != nil && b.object(key) == nil {
		return b.latest(key)
	}
	return nil
}

func versionKey(b *bucket, o *object) string { return b.Name + "/" + o.Key + "\x00" + o.version() }

// addVersion puts a new version, which may be a delete marker, above those that
// a key has. While versioning is suspended it takes the place of the null version.
// The caller holds mu.
func (s *state) addVersion(c *store.Change, b *bucket, o *object) {
	o.VersionID = ""
	if b.Versioning == versioningEnabled {
		o.VersionID = newVersionID()
	} else {
		s.removeVersion(c, b, o.Key, versionRef{given: true})
	}
	if newest := b.latest(o.Key); newest != nil {
		o.Order = newest.Order + 1
	}
	if i, found := b.find(o.Key); found {
		old := b.objects[i]
		b.objects = slices.Delete(b.objects, i, i+1)
		c.Delete(storedObjects, b.Name+"/"+old.Key)
		s.addOlder(c, b, old)
	}
	if o.DeleteMarker {
		s.addOlder(c, b, o)
		return
	}
	s.show(c, b, o)
}

// addOlder puts a version before the older ones of its key. The caller holds mu.
func (s *state) addOlder(c *store.Change, b *bucket, o *object) {
	if b.older == nil {
		b.older = make(map[string][]*object)
	}
	b.older[o.Key] = slices.Insert(b.older[o.Key], 0, o)
	c.Put(storedVersions, versionKey(b, o), o)
}

// show makes a version the visible object of a key that has none. The caller holds
// mu.
func (s *state) show(c *store.Change, b *bucket, o *object) {
	i, _ := b.find(o.Key)
	b.objects = slices.Insert(b.objects, i, o)
	c.Put(storedObjects, b.Name+"/"+o.Key, o)
}

// removeVersion deletes a version for good, and is what it was, or nil. If it was
// the newest the one before it is that now. The caller holds mu.
func (s *state) removeVersion(c *store.Change, b *bucket, key string, v versionRef) *object {
	o := b.pick(key, v)
	if o == nil {
		return nil
	}
	s.drop(c, o.Blobs...)
	newest := b.latest(key) == o
	if i, found := b.find(key); found && b.objects[i] == o {
		b.objects = slices.Delete(b.objects, i, i+1)
		c.Delete(storedObjects, b.Name+"/"+key)
	} else {
		s.removeOlder(c, b, o)
	}
	if older := b.older[key]; newest && len(older) > 0 && !older[0].DeleteMarker {
		next := older[0]
		s.removeOlder(c, b, next)
		s.show(c, b, next)
	}
	return o
}

// removeOlder takes a version from among the older ones. The caller holds mu.
func (s *state) removeOlder(c *store.Change, b *bucket, o *object) {
	older := slices.DeleteFunc(b.older[o.Key], func(other *object) bool { return other == o })
	if b.older[o.Key] = older; len(older) == 0 {
		delete(b.older, o.Key)
	}
	c.Delete(storedVersions, versionKey(b, o))
}

// replaceVersion puts a changed copy of a version in its place. Their bodies are
// the same. The caller holds mu.
func (s *state) replaceVersion(c *store.Change, b *bucket, old, o *object) {
	if i, found := b.find(old.Key); found && b.objects[i] == old {
		b.objects[i] = o
		c.Put(storedObjects, b.Name+"/"+o.Key, o)
		return
	}
	b.older[old.Key][slices.Index(b.older[old.Key], old)] = o
	c.Put(storedVersions, versionKey(b, o), o)
}

// version is the version that a request names in its query.
func (q *call) version() (versionRef, *failure) {
	text, found := q.query["versionId"]
	if !found {
		return versionRef{}, nil
	}
	v, ok := parseVersion(text[0])
	if !ok {
		return v, errInvalidArgument("Invalid version id specified", "versionId", text[0])
	}
	return v, nil
}

// versioned is an action on an object, or the one on a version of it that has its
// name: of s3:GetObjectTagging, s3:GetObjectVersionTagging.
func (v versionRef) versioned(action string) string {
	if !v.given {
		return action
	}
	verb, rest, _ := strings.Cut(action, "Object")
	return verb + "ObjectVersion" + rest
}

// setVersion tells which version an answer is about, if the bucket has versions.
func (q *call) setVersion(a *answer, o *object) {
	if q.config.Versioning != "" {
		a.set("X-Amz-Version-Id", o.version())
	}
	if o.DeleteMarker {
		a.set("X-Amz-Delete-Marker", "true")
	}
}

// absent is the answer to a request for a version, or for an object, that is not
// there. o is the delete marker if the version is one.
func (q *call) absent(config *bucketConfig, key string, v versionRef, o *object) *failure {
	if !v.given {
		return q.missing(config, key)
	}
	if o == nil {
		if e := q.missing(config, key); e.Code != "NoSuchKey" {
			return e
		}
		return failf(http.StatusNotFound, "NoSuchVersion", "The specified version does not exist.").with("Key", key).with("VersionId", v.String())
	}
	e := failf(http.StatusMethodNotAllowed, "MethodNotAllowed", "The specified method is not allowed against this resource.").
		with("Method", q.Request.Method).with("ResourceType", "DeleteMarker")
	e.header = http.Header{"Allow": {"DELETE"}, "Last-Modified": {o.Modified.Format(http.TimeFormat)},
		"X-Amz-Delete-Marker": {"true"}, "X-Amz-Version-Id": {o.version()}}
	return e
}
