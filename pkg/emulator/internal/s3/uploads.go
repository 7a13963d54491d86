package s3

import (
	"maps"
	"slices"
	"strings"

	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
)

// uploadListing is a part of the uploads under way in a bucket.
type uploadListing struct {
	uploads  []*upload
	prefixes []string // common prefixes
	// nextKey and nextID are the last entry: an upload, or a common prefix,
	// which has no id.
	nextKey, nextID string
	truncated       bool
}

// listedUploads lists those of sorted uploads that come after the markers, at
// most limit uploads and common prefixes together.
func listedUploads(all []*upload, prefix, delimiter, keyMarker, idMarker string, limit int) uploadListing {
	var l uploadListing
	for _, u := range all {
		if u.Key < keyMarker || u.Key == keyMarker && keyMarker != "" && (idMarker == "" || u.ID <= idMarker) {
			continue
		}
		common := ""
		if delimiter != "" {
			if at := strings.Index(u.Key[len(prefix):], delimiter); at >= 0 {
				common = u.Key[:len(prefix)+at+len(delimiter)]
			}
		}
		if common != "" && (slices.Contains(l.prefixes, common) || strings.HasPrefix(keyMarker, common)) {
			continue
		}
		if len(l.uploads)+len(l.prefixes) == limit {
			l.truncated = limit > 0
			return l
		}
		if common != "" {
			l.prefixes = append(l.prefixes, common)
			l.nextKey, l.nextID = common, ""
		} else {
			l.uploads = append(l.uploads, u)
			l.nextKey, l.nextID = u.Key, u.ID
		}
	}
	return l
}

// listUploads lists multipart uploads under way, by key and then by time.
func (q *call) listUploads() (*answer, *failure) {
	if e := q.exists(); e != nil {
		return nil, e
	}
	if e := q.may(q.config, "s3:ListBucketMultipartUploads", q.bucketARN(), q.listKeys); e != nil {
		return nil, e
	}
	limit, e := q.number("max-uploads", maxList)
	if e != nil {
		return nil, e
	}
	encode, e := q.encoding()
	if e != nil {
		return nil, e
	}
	prefix, delimiter := q.query.Get("prefix"), q.query.Get("delimiter")
	keyMarker, idMarker := q.query.Get("key-marker"), q.query.Get("upload-id-marker")

	q.state.mu.RLock()
	all := slices.Collect(maps.Values(q.state.uploads))
	q.state.mu.RUnlock()
	all = slices.DeleteFunc(all, func(u *upload) bool { return u.Bucket != q.bucket || !strings.HasPrefix(u.Key, prefix) })
	// Ids begin with the time, so that their order is that of time.
	slices.SortFunc(all, func(a, b *upload) int {
		if c := strings.Compare(a.Key, b.Key); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	l := listedUploads(all, prefix, delimiter, keyMarker, idMarker, limit)
	return document("ListMultipartUploadsResult", func(x *wire.XML) {
		x.Text("Bucket", q.bucket)
		x.Text("KeyMarker", encode(keyMarker))
		x.Text("UploadIdMarker", idMarker)
		x.Text("NextKeyMarker", encode(l.nextKey)) // also of a list that is complete
		x.Text("NextUploadIdMarker", l.nextID)
		x.Optional("Prefix", encode(prefix))
		x.Optional("Delimiter", encode(delimiter))
		x.Optional("EncodingType", q.query.Get("encoding-type"))
		x.Number("MaxUploads", limit)
		x.Bool("IsTruncated", l.truncated)
		for _, u := range l.uploads {
			x.Open("Upload")
			x.Text("Key", encode(u.Key))
			x.Text("UploadId", u.ID)
			x.Open("Initiator")
			x.Text("ID", u.Initiator)
			x.Close("Initiator")
			q.writeOwner(x)
			x.Text("StorageClass", storageClassOf(u.Headers))
			x.Text("Initiated", timestamp(u.Initiated))
			x.Text("ChecksumAlgorithm", string(u.Algorithm))
			x.Text("ChecksumType", u.ChecksumType)
			x.Close("Upload")
		}
		writePrefixes(x, l.prefixes, encode)
	}), nil
}
