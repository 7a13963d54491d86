package s3

import (
	"encoding/xml"

	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
	"github.com/openirsa/openirsa/pkg/policy"
)

// tagging is the document of tags.
type tagging struct {
	XMLName xml.Name `xml:"Tagging"`
	TagSet  *struct{ Tag []wire.Tag }
}

func (q *call) readTags(most int) ([]wire.Tag, *failure) {
	var body tagging
	if e := q.readXML(&body); e != nil {
		return nil, e
	}
	if body.TagSet == nil {
		return nil, errMalformedXML()
	}
	return checkTags(body.TagSet.Tag, most)
}

func tagDocument(tags []wire.Tag) *answer {
	return document("Tagging", func(x *wire.XML) {
		x.Open("TagSet")
		for _, t := range tags {
			x.Open("Tag")
			x.Text("Key", t.Key)
			x.Text("Value", t.Value)
			x.Close("Tag")
		}
		x.Close("TagSet")
	})
}

func (q *call) getBucketTagging() (*answer, *failure) {
	if e := q.mayBucket("s3:GetBucketTagging", nil); e != nil {
		return nil, e
	}
	if len(q.config.Tags) == 0 {
		return nil, notFound("NoSuchTagSet", "The TagSet does not exist").with("BucketName", q.bucket)
	}
	return tagDocument(q.config.Tags), nil
}

func (q *call) putBucketTagging() (*answer, *failure) {
	if e := q.mayBucket("s3:PutBucketTagging", nil); e != nil {
		return nil, e
	}
	tags, e := q.readTags(maxBucketTags)
	if e != nil {
		return nil, e
	}
	return noContent(), q.state.configure(q.bucket, func(c *bucketConfig) { c.Tags = tags })
}

func (q *call) deleteBucketTagging() (*answer, *failure) {
	if e := q.mayBucket("s3:PutBucketTagging", nil); e != nil {
		return nil, e
	}
	return noContent(), q.state.configure(q.bucket, func(c *bucketConfig) { c.Tags = nil })
}

func (q *call) getObjectTagging() (*answer, *failure) {
	o, e := q.permitted("s3:GetObjectTagging")
	if e != nil {
		return nil, e
	}
	a := tagDocument(o.Tags)
	q.setVersion(a, o)
	return a, nil
}

func (q *call) putObjectTagging() (*answer, *failure) {
	if e := q.exists(); e != nil {
		return nil, e
	}
	tags, e := q.readTags(maxObjectTags)
	if e != nil {
		return nil, e
	}
	requested := tagKeys("s3:RequestObjectTag/", "s3:RequestObjectTagKeys", tags)
	v, e := q.version()
	if e != nil {
		return nil, e
	}
	existing := existingTags(q.state.pick(q.bucket, q.key, v))
	if e := q.may(q.config, v.versioned("s3:PutObjectTagging"), q.objectARN(), func(keys *policy.Context) {
		requested(keys)
		if existing != nil {
			existing(keys)
		}
	}); e != nil {
		return nil, e
	}
	a := &answer{}
	return a, q.setTags(a, tags)
}

func (q *call) deleteObjectTagging() (*answer, *failure) {
	if _, e := q.permitted("s3:DeleteObjectTagging"); e != nil {
		return nil, e
	}
	a := noContent()
	return a, q.setTags(a, nil)
}

func (q *call) setTags(a *answer, tags []wire.Tag) *failure {
	return q.changeObject(func(o *object) {
		o.Tags = tags
		q.setVersion(a, o)
	})
}
