package s3

import (
	"encoding/xml"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
)

func (q *call) getVersioning() (*answer, *failure) {
	if e := q.mayBucket("s3:GetBucketVersioning", nil); e != nil {
		return nil, e
	}
	return document("VersioningConfiguration", func(x *wire.XML) { x.Optional("Status", q.config.Versioning) }), nil
}

func (q *call) putVersioning() (*answer, *failure) {
	if e := q.mayBucket("s3:PutBucketVersioning", nil); e != nil {
		return nil, e
	}
	var body struct {
		XMLName   xml.Name `xml:"VersioningConfiguration"`
		Status    string
		MfaDelete string
	}
	if e := q.readXML(&body); e != nil {
		return nil, e
	}
	switch {
	case body.MfaDelete == "Enabled":
		return nil, errNotImplemented("MFA delete")
	case body.MfaDelete != "" && body.MfaDelete != "Disabled":
		return nil, errMalformedXML()
	case body.Status == "":
		return nil, failf(http.StatusBadRequest, "IllegalVersioningConfigurationException",
			"The Versioning element must be specified")
	case body.Status != versioningEnabled && body.Status != versioningSuspended:
		return nil, errMalformedXML()
	}
	return &answer{}, q.state.configure(q.bucket, func(c *bucketConfig) { c.Versioning = body.Status })
}

// versionListing is a part of the versions in a bucket.
type versionListing struct {
	versions []listedVersion
	prefixes []string // common prefixes
	// next is the last entry, if there is more: a version, or a common prefix,
	// which has no id.
	nextKey, nextID string
}

type listedVersion struct {
	*object
	latest bool
}

// listVersions lists the versions that come after one, or after all of a key, at
// most r.limit versions and common prefixes together: by key, the newest first.
func (s *state) listVersions(bucket string, r *listRequest, after string, id versionRef) versionListing {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var l versionListing
	var lastKey, lastID string
	b := s.buckets[bucket]
	if b == nil || r.limit == 0 {
		return l
	}
	for _, key := range b.versionKeys(r.prefix, after) {
		all := b.all(key)
		newest := all[0]
		if key == after {
			i := slices.IndexFunc(all, func(o *object) bool { return o.VersionID == id.id })
			if !id.given || i < 0 {
				continue
			}
			all = all[i+1:]
		}
		common := r.common(key)
		if common != "" && (common == after || slices.Contains(l.prefixes, common)) {
			continue
		}
		for _, o := range all {
			if len(l.versions)+len(l.prefixes) == r.limit {
				l.nextKey, l.nextID = lastKey, lastID
				return l
			}
			if common != "" {
				l.prefixes = append(l.prefixes, common)
				lastKey, lastID = common, ""
				break
			}
			l.versions = append(l.versions, listedVersion{o, o == newest})
			lastKey, lastID = key, o.version()
		}
	}
	return l
}

// versionKeys are the keys that begin with a prefix and do not come before after,
// in order. The caller holds mu.
func (b *bucket) versionKeys(prefix, after string) []string {
	first, _ := b.find(max(prefix, after))
	var keys []string
	for _, o := range b.objects[first:] {
		if !strings.HasPrefix(o.Key, prefix) {
			break
		}
		keys = append(keys, o.Key)
	}
	for key := range maps.Keys(b.older) {
		if key >= after && strings.HasPrefix(key, prefix) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// all are the versions of a key, the newest first. The caller holds mu.
func (b *bucket) all(key string) []*object {
	if o := b.object(key); o != nil {
		return append([]*object{o}, b.older[key]...)
	}
	return b.older[key]
}

func (q *call) listVersions() (*answer, *failure) {
	r, e := q.readList("s3:ListBucketVersions", "max-keys")
	if e != nil {
		return nil, e
	}
	after, marker := q.query.Get("key-marker"), q.query.Get("version-id-marker")
	var id versionRef
	if marker != "" {
		if after == "" {
			return nil, errInvalidArgument("A version-id marker cannot be specified without a key marker.", "version-id-marker", marker)
		}
		var ok bool
		if id, ok = parseVersion(marker); !ok {
			return nil, errInvalidArgument("Invalid version id specified", "version-id-marker", marker)
		}
	}
	l := q.state.listVersions(q.bucket, &r, after, id)
	return document("ListVersionsResult", func(x *wire.XML) {
		x.Text("Name", q.bucket)
		x.Text("Prefix", r.encode(r.prefix))
		x.Text("KeyMarker", r.encode(after))
		x.Text("VersionIdMarker", marker)
		if l.nextKey != "" {
			x.Text("NextKeyMarker", r.encode(l.nextKey))
			x.Optional("NextVersionIdMarker", l.nextID)
		}
		x.Number("MaxKeys", r.limit)
		x.Optional("Delimiter", r.encode(r.delimiter))
		x.Optional("EncodingType", q.query.Get("encoding-type"))
		x.Bool("IsTruncated", l.nextKey != "")
		for _, v := range l.versions {
			q.writeVersion(x, v, r.encode)
		}
		writePrefixes(x, l.prefixes, r.encode)
	}), nil
}

func (q *call) writeVersion(x *wire.XML, v listedVersion, encode func(string) string) {
	if v.DeleteMarker {
		x.Open("DeleteMarker")
		x.Text("Key", encode(v.Key))
		x.Text("LastModified", timestamp(v.Modified))
		q.writeOwner(x)
	} else {
		x.Open("Version")
		q.writeObject(x, v.object, encode, true)
	}
	x.Text("VersionId", v.version())
	x.Bool("IsLatest", v.latest)
	if v.DeleteMarker {
		x.Close("DeleteMarker")
		return
	}
	x.Close("Version")
}
