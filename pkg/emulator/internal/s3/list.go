package s3

import (
	"slices"
	"strings"

	"github.com/openirsa/openirsa/pkg/emulator/internal/api"
	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
	"github.com/openirsa/openirsa/pkg/policy"
)

// listing is a part of what is in a bucket.
type listing struct {
	objects  []*object
	prefixes []string // common prefixes
	next     string   // the last key or prefix; "" if there is nothing more
}

// list lists the keys after a key or common prefix, at most limit keys and
// common prefixes together. A marker, which is what version 1
// of ListObjects has, also skips the common prefix that it lies in.
func (s *state) list(bucket, prefix, delimiter, after string, marker bool, limit int) listing {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var l listing
	b := s.buckets[bucket]
	if b == nil || limit == 0 {
		return l
	}
	i, _ := b.find(max(prefix, after))
	last := ""
	for i < len(b.objects) {
		o := b.objects[i]
		rest, found := strings.CutPrefix(o.Key, prefix)
		if !found {
			break
		}
		if o.Key <= after {
			i++
			continue
		}
		common := ""
		if delimiter != "" {
			if at := strings.Index(rest, delimiter); at >= 0 {
				common = o.Key[:len(prefix)+at+len(delimiter)]
			}
		}
		// The page before ended with it, or the marker lies in it.
		if common != "" && (common == after || marker && strings.HasPrefix(after, common)) {
			i = b.beyond(common, i)
			continue
		}
		if len(l.objects)+len(l.prefixes) == limit {
			l.next = last
			return l
		}
		if common != "" {
			l.prefixes = append(l.prefixes, common)
			last = common
			i = b.beyond(common, i)
			continue
		}
		l.objects = append(l.objects, o)
		last = o.Key
		i++
	}
	return l
}

// beyond is the position of the first key from i on that does not begin with
// the prefix.
func (b *bucket) beyond(prefix string, i int) int {
	n, _ := slices.BinarySearchFunc(b.objects[i:], prefix, func(o *object, prefix string) int {
		if strings.HasPrefix(o.Key, prefix) || o.Key < prefix {
			return -1
		}
		return 1
	})
	return i + n
}

// listKeys sets the condition keys of listings.
func (q *call) listKeys(keys *policy.Context) {
	for _, name := range []string{"prefix", "delimiter", "max-keys"} {
		if q.query.Has(name) {
			keys.Set("s3:"+name, q.query.Get(name))
		}
	}
}

// listObjects is ListObjects and ListObjectsV2.
func (q *call) listObjects() (*answer, *failure) {
	if e := q.exists(); e != nil {
		return nil, e
	}
	if e := q.may(q.config, "s3:ListBucket", q.bucketARN(), q.listKeys); e != nil {
		return nil, e
	}
	v2 := q.Operation == "ListObjectsV2"
	limit, e := q.number("max-keys", maxList)
	if e != nil {
		return nil, e
	}
	encode, e := q.encoding()
	if e != nil {
		return nil, e
	}
	prefix, delimiter := q.query.Get("prefix"), q.query.Get("delimiter")
	after := q.query.Get("marker")
	if v2 {
		if after, e = q.continuation(); e != nil {
			return nil, e
		}
		if after == "" {
			after = q.query.Get("start-after")
		}
	}
	l := q.state.list(q.bucket, prefix, delimiter, after, !v2, limit)

	a := document("ListBucketResult", func(x *wire.XML) {
		x.Text("Name", q.bucket)
		x.Text("Prefix", encode(prefix))
		if v2 {
			x.Optional("StartAfter", encode(q.query.Get("start-after")))
			x.Optional("ContinuationToken", q.query.Get("continuation-token"))
			if l.next != "" {
				x.Text("NextContinuationToken", continuationToken(l.next))
			}
			x.Number("KeyCount", len(l.objects)+len(l.prefixes))
		} else {
			x.Text("Marker", encode(after))
			if l.next != "" && delimiter != "" {
				x.Text("NextMarker", encode(l.next))
			}
		}
		x.Number("MaxKeys", limit)
		x.Optional("Delimiter", encode(delimiter))
		x.Optional("EncodingType", q.query.Get("encoding-type"))
		x.Bool("IsTruncated", l.next != "")
		for _, o := range l.objects {
			x.Open("Contents")
			q.writeObject(x, o, encode, !v2 || q.query.Get("fetch-owner") == "true")
			x.Close("Contents")
		}
		writePrefixes(x, l.prefixes, encode)
	})
	a.set("X-Amz-Bucket-Region", q.config.Region)
	return a, nil
}

func (q *call) writeObject(x *wire.XML, o *object, encode func(string) string, owner bool) {
	x.Text("Key", encode(o.Key))
	x.Text("LastModified", timestamp(o.Modified))
	x.Text("ETag", `"`+o.ETag+`"`)
	x.Optional("ChecksumAlgorithm", string(o.Algorithm))
	x.Optional("ChecksumType", o.ChecksumType)
	x.Number("Size", int(o.Size))
	if owner {
		q.writeOwner(x)
	}
	x.Text("StorageClass", o.storageClass())
}

func (q *call) writeOwner(x *wire.XML) {
	x.Open("Owner")
	x.Text("ID", api.CanonicalUser(q.config.Account))
	x.Close("Owner")
}

func writePrefixes(x *wire.XML, prefixes []string, encode func(string) string) {
	for _, p := range prefixes {
		x.Open("CommonPrefixes")
		x.Text("Prefix", encode(p))
		x.Close("CommonPrefixes")
	}
}

// listVersions lists the one version that each object has in a bucket without
// versioning, which is called "null".
func (q *call) listVersions() (*answer, *failure) {
	if e := q.exists(); e != nil {
		return nil, e
	}
	if e := q.may(q.config, "s3:ListBucketVersions", q.bucketARN(), q.listKeys); e != nil {
		return nil, e
	}
	limit, e := q.number("max-keys", maxList)
	if e != nil {
		return nil, e
	}
	encode, e := q.encoding()
	if e != nil {
		return nil, e
	}
	prefix, delimiter, after := q.query.Get("prefix"), q.query.Get("delimiter"), q.query.Get("key-marker")
	if q.query.Get("version-id-marker") != "" && after == "" {
		return nil, errInvalidArgument("A version-id marker cannot be specified without a key marker.",
			"version-id-marker", q.query.Get("version-id-marker"))
	}
	l := q.state.list(q.bucket, prefix, delimiter, after, false, limit)
	return document("ListVersionsResult", func(x *wire.XML) {
		x.Text("Name", q.bucket)
		x.Text("Prefix", encode(prefix))
		x.Text("KeyMarker", encode(after))
		x.Text("VersionIdMarker", q.query.Get("version-id-marker"))
		if l.next != "" {
			x.Text("NextKeyMarker", encode(l.next))
			x.Text("NextVersionIdMarker", "null")
		}
		x.Number("MaxKeys", limit)
		x.Optional("Delimiter", encode(delimiter))
		x.Optional("EncodingType", q.query.Get("encoding-type"))
		x.Bool("IsTruncated", l.next != "")
		for _, o := range l.objects {
			x.Open("Version")
			q.writeObject(x, o, encode, true)
			x.Text("VersionId", "null")
			x.Bool("IsLatest", true)
			x.Close("Version")
		}
		writePrefixes(x, l.prefixes, encode)
	}), nil
}
