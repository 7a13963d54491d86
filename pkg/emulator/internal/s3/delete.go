package s3

import (
	"encoding/xml"
	"net/http"
	"slices"

	"github.com/openirsa/openirsa/internal/checksum"
	"github.com/openirsa/openirsa/pkg/emulator/internal/store"
	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
)

func (q *call) deleteObject() (*answer, *failure) {
	if e := q.exists(); e != nil {
		return nil, e
	}
	versioned, e := q.version()
	if e != nil {
		return nil, e
	}
	if e := q.mayDelete(q.key, versioned); e != nil {
		return nil, e
	}
	return noContent(), q.state.edit(func(c *store.Change) *failure {
		b := q.state.buckets[q.bucket]
		if b == nil {
			return errNoSuchBucket(q.bucket)
		}
		return q.state.removeIf(c, b, q.key, q.Request.Header.Get("If-Match"))
	})
}

func (q *call) mayDelete(key string, versioned bool) *failure {
	action := "s3:DeleteObject"
	if versioned {
		action = "s3:DeleteObjectVersion"
	}
	return q.may(q.config, action, q.bucketARN()+"/"+key, existingTags(q.state.object(q.bucket, key)))
}

// removeIf deletes an object, if it is there and has the ETag. The caller
// holds mu.
func (s *state) removeIf(c *store.Change, b *bucket, key, ifMatch string) *failure {
	if o := b.object(key); ifMatch != "" {
		switch {
		case o == nil:
			return errNoSuchKey(key)
		case !matchesETag(ifMatch, o.ETag):
			return errPrecondition("If-Match")
		}
	}
	s.removeObject(c, b, key)
	return nil
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
		Object  []struct {
			Key       *string
			VersionID *string `xml:"VersionId"`
			ETag      string
		}
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
	for i, o := range body.Object {
		refused[i] = q.mayDelete(*o.Key, o.VersionID != nil)
		if refused[i] == nil && o.VersionID != nil && *o.VersionID != "null" {
			refused[i] = failf(http.StatusNotFound, "NoSuchVersion", "The specified version does not exist.")
		}
	}
	e := q.state.edit(func(c *store.Change) *failure {
		b := q.state.buckets[q.bucket]
		if b == nil {
			return errNoSuchBucket(q.bucket)
		}
		for i, o := range body.Object {
			if refused[i] == nil {
				refused[i] = q.state.removeIf(c, b, *o.Key, o.ETag)
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
				x.Close("Deleted")
			}
		}
	}), nil
}
