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
func listedUploads(all []*upload, r *listRequest, keyMarker, idMarker string) uploadListing {
	var l uploadListing
	for _, u := range all {
		if u.Key < keyMarker || u.Key == keyMarker && keyMarker != "" && (idMarker == "" || u.ID <= idMarker) {
			continue
		}
		common := r.common(u.Key)
		if common != "" && (slices.Contains(l.prefixes, common) || strings.HasPrefix(keyMarker, common)) {
			continue
		}
		if len(l.uploads)+len(l.prefixes) == r.limit {
			l.truncated = r.limit > 0
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
	r, e := q.readList("s3:ListBucketMultipartUploads", "max-uploads")
	if e != nil {
		return nil, e
	}
	keyMarker, idMarker := q.query.Get("key-marker"), q.query.Get("upload-id-marker")

	q.state.mu.RLock()
	all := slices.Collect(maps.Values(q.state.uploads))
	q.state.mu.RUnlock()
	all = slices.DeleteFunc(all, func(u *upload) bool { return u.Bucket != q.bucket || !strings.HasPrefix(u.Key, r.prefix) })
	// Ids begin with the time, so that their order is that of time.
	slices.SortFunc(all, func(a, b *upload) int {
		if c := strings.Compare(a.Key, b.Key); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	l := listedUploads(all, &r, keyMarker, idMarker)
	return document("ListMultipartUploadsResult", func(x *wire.XML) {
		x.Text("Bucket", q.bucket)
		x.Text("KeyMarker", r.encode(keyMarker))
		x.Text("UploadIdMarker", idMarker)
		x.Text("NextKeyMarker", r.encode(l.nextKey)) // also of a list that is complete
		x.Text("NextUploadIdMarker", l.nextID)
		x.Optional("Prefix", r.encode(r.prefix))
		x.Optional("Delimiter", r.encode(r.delimiter))
		x.Optional("EncodingType", q.query.Get("encoding-type"))
		x.Number("MaxUploads", r.limit)
		x.Bool("IsTruncated", l.truncated)
		for _, u := range l.uploads {
			x.Open("Upload")
			x.Text("Key", r.encode(u.Key))
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
		writePrefixes(x, l.prefixes, r.encode)
	}), nil
}
