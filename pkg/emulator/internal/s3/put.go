package s3

import (
	"time"
)

func (q *call) putObject() (*answer, *failure) {
	if e := q.exists(); e != nil {
		return nil, e
	}
	tags, e := q.headerTags()
	if e != nil {
		return nil, e
	}
	if e := q.mayPut(tags); e != nil {
		return nil, e
	}
	list, e := q.uploadACL()
	if e != nil {
		return nil, e
	}
	headers, e := q.objectHeaders()
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
		Headers:      headers,
		Tags:         tags,
		ACL:          list,
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
	o.setChecksum(a)
	return a, nil
}
