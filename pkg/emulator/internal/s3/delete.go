package s3

import (
	"encoding/xml"
	"net/http"
	"slices"
	"time"

	"github.com/openirsa/openirsa/internal/checksum"
	"github.com/openirsa/openirsa/pkg/emulator/internal/store"
	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
)

func (q *call) deleteObject() (*answer, *failure) {
	if e := q.exists(); e != nil {
		return nil, e
	}
	v, e := q.version()
	if e != nil {
		return nil, e
	}
	if e := q.mayDelete(q.key, v); e != nil {
		return nil, e
	}
	a := noContent()
	return a, q.state.edit(func(c *store.Change) *failure {
		b := q.state.buckets[q.bucket]
		if b == nil {
			return errNoSuchBucket(q.bucket)
		}
		d := &deletion{key: q.key, version: v, ifMatch: q.Request.Header.Get("If-Match"), at: q.At}
		if e := q.state.remove(c, b, d); e != nil {
			return e
		}
		switch {
		case d.marker != nil:
			q.setVersion(a, d.marker)
		case v.given && b.Versioning != "":
			a.set("X-Amz-Version-Id", v.String())
			if d.removed != nil && d.removed.DeleteMarker {
				a.set("X-Amz-Delete-Marker", "true")
			}
		}
		return nil
	})
}

func (q *call) mayDelete(key string, v versionRef) *failure {
	return q.may(q.config, v.versioned("s3:DeleteObject"), q.bucketARN()+"/"+key, existingTags(q.state.pick(q.bucket, key, v)))
}

// deletion is the deletion of an object, or of a version for good, and what
// became of it.
type deletion struct {
	key     string
	version versionRef
	ifMatch string // the ETag that it must have; "" is any
	at      time.Time

	removed *object // for good; nil if nothing was there
	marker  *object // the delete marker that now hides the object
}

// remove deletes an object, if it is there and has the ETag. In a bucket with
// versions it only hides it, unless a version is named. The caller holds mu.
func (s *state) remove(c *store.Change, b *bucket, d *deletion) *failure {
	if o := b.pick(d.key, d.version); d.ifMatch != "" {
		switch {
		case o == nil:
			return errNoSuchKey(d.key)
		case !matchesETag(d.ifMatch, o.ETag):
			return errPrecondition("If-Match")
		}
	}
	if b.Versioning == "" || d.version.given {
		d.version.given = true // as "null", if there was none
		d.removed = s.removeVersion(c, b, d.key, d.version)
		return nil
	}
	d.marker = &object{Key: d.key, DeleteMarker: true, Modified: d.at.UTC().Truncate(time.Second)}
	s.addVersion(c, b, d.marker)
	return nil
}

// deletedObject is an object in the document of DeleteObjects.
type deletedObject struct {
	Key       *string
	VersionID *string `xml:"VersionId"`
	ETag      string
}

// newDeletion is the deletion of an object, unless the caller may not.
func (q *call) newDeletion(o *deletedObject) (deletion, *failure) {
	d := deletion{key: *o.Key, ifMatch: o.ETag, at: q.At}
	ok := true
	if o.VersionID != nil {
		d.version, ok = parseVersion(*o.VersionID)
	}
	e := q.mayDelete(*o.Key, d.version)
	if e == nil && !ok {
		e = failf(http.StatusNotFound, "NoSuchVersion", "The specified version does not exist.")
	}
	return d, e
}

func (q *call) deleteObjects() (*answer, *failure) {
	if e := q.exists(); e != nil {
		return nil, e
	}
	h := q.Request.Header
	hasSum := slices.ContainsFunc(checksum.All, func(a checksum.Algorithm) bool { return h.Get(a.Header()) != "" })
	checked := hasSum || h.Get("Content-Md5") != "" || h.Get("X-Amz-Trailer") != ""
	if !checked {
		return nil, errInvalidRequest("Missing required header for this request: Content-MD5 OR x-amz-checksum-*")
	}
	var body struct {
		XMLName xml.Name `xml:"Delete"`
		Quiet   bool
		Object  []deletedObject
	}
	if e := q.readXML(&body); e != nil {
		return nil, e
	}
	if len(body.Object) == 0 || len(body.Object) > maxList {
		return nil, errMalformedXML()
	}
	for _, o := range body.Object {
		if o.Key == nil || *o.Key == "" {
			return nil, errMalformedXML()
		}
	}
	refused := make([]*failure, len(body.Object))
	deletions := make([]deletion, len(body.Object))
	for i := range body.Object {
		deletions[i], refused[i] = q.newDeletion(&body.Object[i])
	}
	e := q.state.edit(func(c *store.Change) *failure {
		b := q.state.buckets[q.bucket]
		if b == nil {
			return errNoSuchBucket(q.bucket)
		}
		for i := range deletions {
			if refused[i] == nil {
				refused[i] = q.state.remove(c, b, &deletions[i])
			}
		}
		return nil
	})
	if e != nil {
		return nil, e
	}
	return document("DeleteResult", func(x *wire.XML) {
		for i, o := range body.Object {
			e := refused[i]
			switch {
			case e != nil:
				x.Open("Error")
				x.Text("Key", *o.Key)
				if o.VersionID != nil {
					x.Text("VersionId", *o.VersionID)
				}
				x.Text("Code", e.Code)
				x.Text("Message", e.Message)
				x.Close("Error")
			case !body.Quiet:
				x.Open("Deleted")
				x.Text("Key", *o.Key)
				if o.VersionID != nil {
					x.Text("VersionId", *o.VersionID)
				}
				deletions[i].write(x)
				x.Close("Deleted")
			}
		}
	}), nil
}

// write writes what DeleteObjects says of a delete marker that was made or removed.
func (d *deletion) write(x *wire.XML) {
	marker := d.marker
	if d.removed != nil && d.removed.DeleteMarker {
		marker = d.removed
	}
	if marker != nil {
		x.Bool("DeleteMarker", true)
		x.Text("DeleteMarkerVersionId", marker.version())
	}
}
