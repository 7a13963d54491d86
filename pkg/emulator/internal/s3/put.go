package s3

import (
	"time"

	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
)

func (q *call) putObject() (*answer, *failure) {
	with, e := q.readAttributes()
	if e != nil {
		return nil, e
	}
	if e := q.checkWrite(q.state.object(q.bucket, q.key)); e != nil {
		return nil, e
	}
	body, e := q.payload()
	if e != nil {
		return nil, e
	}
	d, e := q.newDigests(body)
	if e != nil {
		return nil, e
	}
	ref, e := q.receive(body, d)
	if e != nil {
		return nil, e
	}
	o := &object{
		Key:          q.key,
		Size:         ref.Size,
		ETag:         d.etag(),
		Modified:     q.At.UTC().Truncate(time.Second),
		Headers:      with.headers,
		Tags:         with.tags,
		ACL:          with.list,
		Algorithm:    d.algorithm,
		Checksum:     d.value(),
		ChecksumType: fullObject,
		Blobs:        []blobRef{ref},
	}
	if o.Algorithm == "" { // a trailer was announced that has no checksum
		o.ChecksumType = ""
	}
	if e := q.store(o); e != nil {
		return nil, e
	}
	a := &answer{}
	a.set("Etag", `"`+o.ETag+`"`)
	a.set("X-Amz-Server-Side-Encryption", "AES256")
	q.setVersion(a, o)
	q.setExpiry(a, o)
	o.setChecksum(a)
	return a, nil
}

// attributes are what an object is to have beside its body.
type attributes struct {
	headers map[string]string
	tags    []wire.Tag
	list    *acl
}

// readAttributes begins the operations that upload: the bucket exists, the caller
// may store the object, and its headers make sense.
func (q *call) readAttributes() (a attributes, e *failure) {
	if e := q.exists(); e != nil {
		return a, e
	}
	if a.tags, e = q.headerTags(); e != nil {
		return a, e
	}
	if e := q.mayPut(a.tags); e != nil {
		return a, e
	}
	if a.list, e = q.uploadACL(); e != nil {
		return a, e
	}
	a.headers, e = q.objectHeaders()
	return a, e
}
