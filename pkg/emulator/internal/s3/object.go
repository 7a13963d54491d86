package s3

import (
	"net/http"

	"github.com/openirsa/openirsa/pkg/emulator/internal/store"
	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
	"github.com/openirsa/openirsa/pkg/policy"
)

// existingTags sets the condition keys for the tags of an object, which may be
// nil.
func existingTags(o *object) func(*policy.Context) {
	if o == nil {
		return nil
	}
	return tagKeys("s3:ExistingObjectTag/", "", o.Tags)
}

// mayPut asks for the permissions to store an object with these tags.
func (q *call) mayPut(tags []wire.Tag) *failure {
	requested := tagKeys("s3:RequestObjectTag/", "s3:RequestObjectTagKeys", tags)
	if e := q.may(q.config, "s3:PutObject", q.objectARN(), requested); e != nil {
		return e
	}
	if len(tags) > 0 {
		if e := q.may(q.config, "s3:PutObjectTagging", q.objectARN(), requested); e != nil {
			return e
		}
	}
	if q.Request.Header.Get("If-Match") != "" {
		// It tells what is there ("Add preconditions to S3 operations").
		return q.may(q.config, "s3:GetObject", q.objectARN(), nil)
	}
	return nil
}

// store puts an object, whose bodies are in use already, in its place if the
// conditions of the request still hold.
func (q *call) store(o *object) *failure {
	e := q.state.edit(func(c *store.Change) *failure {
		b := q.state.buckets[q.bucket]
		if b == nil {
			return errNoSuchBucket(q.bucket)
		}
		if e := q.checkWrite(b.object(o.Key)); e != nil {
			return e
		}
		q.state.storeObject(c, b, o)
		return nil
	})
	if e != nil {
		q.state.release(o.Blobs...)
	}
	return e
}

func (o *object) setChecksum(a *answer) {
	if o.Checksum != "" {
		a.set(o.Algorithm.Header(), o.Checksum)
		a.set("X-Amz-Checksum-Type", o.ChecksumType)
	}
}

// missing is the answer to a request for a key that is not there: only those
// who may list the bucket are told (API reference, GetObject).
func (q *call) missing(config *bucketConfig, key string) *failure {
	if e := q.may(config, "s3:ListBucket", q.service.bucketARN(config.Name), nil); e != nil {
		q.deny("existence", "there is no object "+config.Name+"/"+key+", and S3 says so only to those who may s3:ListBucket", e)
		return e
	}
	e := errNoSuchKey(key)
	if marker := q.state.marker(config.Name, key); marker != nil {
		e.header = http.Header{"X-Amz-Delete-Marker": {"true"}, "X-Amz-Version-Id": {marker.version()}}
	}
	return e
}

// permitted is the object that a request addresses, once the caller may do
// all of the actions.
func (q *call) permitted(actions ...string) (*object, *failure) {
	if e := q.exists(); e != nil {
		return nil, e
	}
	v, e := q.version()
	if e != nil {
		return nil, e
	}
	o := q.state.pick(q.bucket, q.key, v)
	for _, action := range actions {
		if e := q.may(q.config, v.versioned(action), q.objectARN(), existingTags(o)); e != nil {
			return nil, e
		}
	}
	if o == nil || o.DeleteMarker {
		return nil, q.absent(q.config, q.key, v, o)
	}
	return o, nil
}

// changeObject changes what the version of an object that the request names is
// beside its body: f gets a copy.
func (q *call) changeObject(f func(*object)) *failure {
	v, e := q.version()
	if e != nil {
		return e
	}
	gone := false
	e = q.state.edit(func(c *store.Change) *failure {
		b := q.state.buckets[q.bucket]
		if b == nil {
			return errNoSuchBucket(q.bucket)
		}
		old := b.pick(q.key, v)
		if old == nil || old.DeleteMarker {
			gone = true
			return errNoSuchKey(q.key)
		}
		o := *old
		f(&o)
		q.state.replaceVersion(c, b, old, &o)
		return nil
	})
	if gone {
		return q.absent(q.config, q.key, v, nil)
	}
	return e
}
