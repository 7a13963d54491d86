package s3

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/xml"
	"strconv"

	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
)

func (q *call) getLifecycle() (*answer, *failure) {
	if e := q.mayBucket("s3:GetLifecycleConfiguration", nil); e != nil {
		return nil, e
	}
	if len(q.config.Lifecycle) == 0 {
		return nil, notFound("NoSuchLifecycleConfiguration", "The lifecycle configuration does not exist").with("BucketName", q.bucket)
	}
	a := document("LifecycleConfiguration", func(x *wire.XML) {
		for i := range q.config.Lifecycle {
			x.Open("Rule")
			q.config.Lifecycle[i].write(x)
			x.Close("Rule")
		}
	})
	a.set("X-Amz-Transition-Default-Minimum-Object-Size", q.config.minTransition())
	return a, nil
}

// minTransition is the size below which objects do not change their storage class.
func (c *bucketConfig) minTransition() string {
	if c.MinTransition == "" {
		return minTransitions[0]
	}
	return c.MinTransition
}

var minTransitions = []string{"all_storage_classes_128K", "varies_by_storage_class"}

func (q *call) putLifecycle() (*answer, *failure) {
	if e := q.mayBucket("s3:PutLifecycleConfiguration", nil); e != nil {
		return nil, e
	}
	var body struct {
		XMLName xml.Name        `xml:"LifecycleConfiguration"`
		Rules   []lifecycleRule `xml:"Rule"`
	}
	if e := q.readXML(&body); e != nil {
		return nil, e
	}
	if len(body.Rules) == 0 || len(body.Rules) > maxLifecycleRules {
		return nil, errMalformedXML()
	}
	seen := make(map[string]bool)
	for i := range body.Rules {
		r := &body.Rules[i]
		if e := r.check(); e != nil {
			return nil, e
		}
		if r.ID == "" {
			var b [36]byte
			rand.Read(b[:])
			r.ID = base64.RawURLEncoding.EncodeToString(b[:])
		}
		if seen[r.ID] {
			return nil, errInvalidArgument("Rule ID must be unique. Found same ID for more than one rule", "ID", r.ID)
		}
		seen[r.ID] = true
	}
	size := q.Request.Header.Get("X-Amz-Transition-Default-Minimum-Object-Size")
	if size != "" && size != minTransitions[0] && size != minTransitions[1] {
		return nil, errInvalidArgument("Invalid transition default minimum object size", "x-amz-transition-default-minimum-object-size", size)
	}
	a := &answer{}
	e := q.state.configure(q.bucket, func(c *bucketConfig) {
		c.Lifecycle, c.MinTransition = body.Rules, size
		a.set("X-Amz-Transition-Default-Minimum-Object-Size", c.minTransition())
	})
	return a, e
}

func (q *call) deleteLifecycle() (*answer, *failure) {
	if e := q.mayBucket("s3:PutLifecycleConfiguration", nil); e != nil {
		return nil, e
	}
	return noContent(), q.state.configure(q.bucket, func(c *bucketConfig) { c.Lifecycle, c.MinTransition = nil, "" })
}

// write writes a rule as it was set.
func (r *lifecycleRule) write(x *wire.XML) {
	x.Text("ID", r.ID)
	switch {
	case r.Prefix != nil:
		x.Text("Prefix", *r.Prefix)
	default:
		x.Open("Filter")
		r.Filter.write(x)
		x.Close("Filter")
	}
	x.Text("Status", r.Status)
	if e := r.Expiration; e != nil {
		x.Open("Expiration")
		x.Optional("Date", e.Date)
		writeCount(x, "Days", e.Days)
		if e.ExpiredObjectDeleteMarker {
			x.Bool("ExpiredObjectDeleteMarker", true)
		}
		x.Close("Expiration")
	}
	for _, t := range r.Transitions {
		x.Open("Transition")
		x.Optional("Date", t.Date)
		if t.Days != nil {
			x.Number("Days", *t.Days)
		}
		x.Text("StorageClass", t.StorageClass)
		x.Close("Transition")
	}
	for _, t := range r.NoncurrentVersionTransitions {
		x.Open("NoncurrentVersionTransition")
		x.Number("NoncurrentDays", t.NoncurrentDays)
		writeCount(x, "NewerNoncurrentVersions", t.NewerNoncurrentVersions)
		x.Text("StorageClass", t.StorageClass)
		x.Close("NoncurrentVersionTransition")
	}
	if e := r.NoncurrentVersionExpiration; e != nil {
		x.Open("NoncurrentVersionExpiration")
		x.Number("NoncurrentDays", e.NoncurrentDays)
		writeCount(x, "NewerNoncurrentVersions", e.NewerNoncurrentVersions)
		x.Close("NoncurrentVersionExpiration")
	}
	if e := r.AbortIncompleteMultipartUpload; e != nil {
		x.Open("AbortIncompleteMultipartUpload")
		x.Number("DaysAfterInitiation", e.DaysAfterInitiation)
		x.Close("AbortIncompleteMultipartUpload")
	}
}

func writeCount(x *wire.XML, name string, n int) {
	if n != 0 {
		x.Number(name, n)
	}
}

func (f *lifecycleFilter) write(x *wire.XML) {
	if f.Prefix != nil {
		x.Text("Prefix", *f.Prefix)
	}
	tags := f.Tags
	if f.Tag != nil {
		tags = []wire.Tag{*f.Tag}
	}
	for _, t := range tags {
		x.Open("Tag")
		x.Text("Key", t.Key)
		x.Text("Value", t.Value)
		x.Close("Tag")
	}
	if f.ObjectSizeGreaterThan != nil {
		x.Text("ObjectSizeGreaterThan", strconv.FormatInt(*f.ObjectSizeGreaterThan, 10))
	}
	if f.ObjectSizeLessThan != nil {
		x.Text("ObjectSizeLessThan", strconv.FormatInt(*f.ObjectSizeLessThan, 10))
	}
	if f.And != nil {
		x.Open("And")
		f.And.write(x)
		x.Close("And")
	}
}
