package s3

import (
	"slices"
	"strings"

	"github.com/openirsa/openirsa/pkg/emulator/internal/api"
	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
)

// listing is a part of what is in a bucket.
type listing struct {
	objects  []*object
	prefixes []string // common prefixes
	next     string   // the last key or prefix; "" if there is nothing more
}

// list lists the keys after a key or common prefix, at most r.limit keys and
// common prefixes together. A marker, which is what version 1 of ListObjects
// has, also skips the common prefix that it lies in.
func (s *state) list(bucket string, r *listRequest, after string, marker bool) listing {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var l listing
	b := s.buckets[bucket]
	if b == nil || r.limit == 0 {
		return l
	}
	i, _ := b.find(max(r.prefix, after))
	last := ""
	for i < len(b.objects) {
		o := b.objects[i]
		if !strings.HasPrefix(o.Key, r.prefix) {
			break
		}
		if o.Key <= after {
			i++
			continue
		}
		common := r.common(o.Key)
		// The page before ended with it, or the marker lies in it.
		if common != "" && (common == after || marker && strings.HasPrefix(after, common)) {
			i = b.beyond(common, i)
			continue
		}
		if len(l.objects)+len(l.prefixes) == r.limit {
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

// listObjects is ListObjects and ListObjectsV2.
func (q *call) listObjects() (*answer, *failure) {
	r, e := q.readList("s3:ListBucket", "max-keys")
	if e != nil {
		return nil, e
	}
	v2 := q.Operation == "ListObjectsV2"
	after := q.query.Get("marker")
	if v2 {
		if after, e = q.continuation(); e != nil {
			return nil, e
		}
		if after == "" {
			after = q.query.Get("start-after")
		}
	}
	l := q.state.list(q.bucket, &r, after, !v2)

	a := document("ListBucketResult", func(x *wire.XML) {
		x.Text("Name", q.bucket)
		x.Text("Prefix", r.encode(r.prefix))
		if v2 {
			x.Optional("StartAfter", r.encode(q.query.Get("start-after")))
			x.Optional("ContinuationToken", q.query.Get("continuation-token"))
			if l.next != "" {
				x.Text("NextContinuationToken", q.continuationToken(l.next))
			}
			x.Number("KeyCount", len(l.objects)+len(l.prefixes))
		} else {
			x.Text("Marker", r.encode(after))
			if l.next != "" && r.delimiter != "" {
				x.Text("NextMarker", r.encode(l.next))
			}
		}
		x.Number("MaxKeys", r.limit)
		x.Optional("Delimiter", r.encode(r.delimiter))
		x.Optional("EncodingType", q.query.Get("encoding-type"))
		x.Bool("IsTruncated", l.next != "")
		for _, o := range l.objects {
			x.Open("Contents")
			q.writeObject(x, o, r.encode, !v2 || q.query.Get("fetch-owner") == "true")
			x.Close("Contents")
		}
		writePrefixes(x, l.prefixes, r.encode)
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
