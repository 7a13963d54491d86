package s3

import (
	"crypto/md5"
	"maps"
	"net/url"
	"strings"
	"time"

	"github.com/openirsa/openirsa/internal/checksum"
	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
)

// copySource is the object that x-amz-copy-source names, in use until done is
// called, and the configuration of its bucket.
func (q *call) copySource() (o *object, config *bucketConfig, done func(), e *failure) {
	source := q.Request.Header.Get("X-Amz-Copy-Source")
	path, version, versioned := strings.Cut(source, "?versionId=")
	name, err := url.PathUnescape(strings.TrimPrefix(path, "/"))
	bucket, key, found := strings.Cut(name, "/")
	if err != nil || !found || bucket == "" || key == "" {
		return nil, nil, nil, errInvalidArgument("Invalid copy source object key", "x-amz-copy-source", source)
	}
	if strings.HasPrefix(name, "arn:") {
		return nil, nil, nil, errNotImplemented("copying from an access point")
	}
	if config = q.state.config(bucket); config == nil {
		return nil, nil, nil, errNoSuchBucket(bucket)
	}
	if versioned && version != "null" {
		return nil, nil, nil, errInvalidArgument("Invalid version id specified", "x-amz-copy-source", version)
	}
	if e := q.checkOwner(config, "X-Amz-Source-Expected-Bucket-Owner"); e != nil {
		return nil, nil, nil, e
	}
	action := "s3:GetObject"
	if versioned {
		action = "s3:GetObjectVersion"
	}
	o = q.state.hold(bucket, key)
	done = func() {
		if o != nil {
			q.state.release(o.Blobs...)
		}
	}
	e = q.may(config, action, q.service.bucketARN(bucket)+"/"+key, existingTags(o))
	if e == nil && o == nil {
		e = q.missing(config, key)
	}
	if e == nil {
		e = q.checkRead(q.Request.Header, "X-Amz-Copy-Source-If-", o)
	}
	if e != nil {
		done()
		return nil, nil, nil, e
	}
	return o, config, done, nil
}

// directive is COPY or REPLACE, of which COPY need not be said.
func (q *call) directive(header string) (replace bool, e *failure) {
	switch v := q.Request.Header.Get(header); v {
	case "", "COPY":
		return false, nil
	case "REPLACE":
		return true, nil
	default:
		return false, errInvalidArgument("Unknown directive.", strings.ToLower(header), v)
	}
}

func (q *call) copyObject() (*answer, *failure) {
	if e := q.exists(); e != nil {
		return nil, e
	}
	source, config, done, e := q.copySource()
	if e != nil {
		return nil, e
	}
	a := &answer{done: done}
	fail := func(e *failure) (*answer, *failure) { return a, e }

	replaceHeaders, e := q.directive("X-Amz-Metadata-Directive")
	if e != nil {
		return fail(e)
	}
	replaceTags, e := q.directive("X-Amz-Tagging-Directive")
	if e != nil {
		return fail(e)
	}
	headers, e := q.objectHeaders()
	if e != nil {
		return fail(e)
	}
	class := headers["x-amz-storage-class"]
	if !replaceHeaders {
		headers = maps.Clone(source.Headers)
		delete(headers, "x-amz-website-redirect-location")
		delete(headers, "x-amz-storage-class")
		if class != "" {
			headers["x-amz-storage-class"] = class
		}
	}
	if v := q.Request.Header.Get("X-Amz-Website-Redirect-Location"); v != "" {
		headers["x-amz-website-redirect-location"] = v
	}
	tags, e := q.headerTags()
	if e != nil {
		return fail(e)
	}
	if !replaceTags {
		if tags = source.Tags; len(tags) > 0 {
			if e := q.may(config, "s3:GetObjectTagging", q.service.bucketARN(config.Name)+"/"+source.Key, existingTags(source)); e != nil {
				return fail(e)
			}
		}
	}
	if e := q.mayPut(tags); e != nil {
		return fail(e)
	}
	list, e := q.uploadACL()
	if e != nil {
		return fail(e)
	}
	if e := q.checkWrite(q.state.object(q.bucket, q.key)); e != nil {
		return fail(e)
	}
	if config.Name == q.bucket && source.Key == q.key && !replaceHeaders && q.Request.Header.Get("X-Amz-Storage-Class") == "" &&
		q.Request.Header.Get("X-Amz-Website-Redirect-Location") == "" && q.Request.Header.Get("X-Amz-Server-Side-Encryption") == "" {
		return fail(errInvalidRequest("This copy request is illegal because it is trying to copy an object to itself without changing the " +
			"object's metadata, storage class, website redirect location or encryption attributes."))
	}
	if source.Size > MaxObject {
		return fail(errInvalidRequest("The specified copy source is larger than the maximum allowable size for a copy source: %d", int64(MaxObject)))
	}
	algorithm := source.Algorithm
	if v := q.Request.Header.Get("X-Amz-Checksum-Algorithm"); v != "" {
		var known bool
		if algorithm, known = checksum.Parse(v); !known {
			return fail(errNotImplemented("checksum algorithm " + v))
		}
	}
	if algorithm == "" {
		algorithm = checksum.CRC64NVME
	}

	o := &object{
		Key:          q.key,
		Size:         source.Size,
		ETag:         source.ETag,
		Modified:     q.At.UTC().Truncate(time.Second),
		Headers:      headers,
		Tags:         tags,
		ACL:          list,
		Algorithm:    algorithm,
		Checksum:     source.Checksum,
		ChecksumType: fullObject,
		Blobs:        source.Blobs,
	}
	// The copy of an object that came in parts is one that did not.
	if len(source.Parts) > 0 || algorithm != source.Algorithm || source.ChecksumType != fullObject {
		d := &digests{md5: md5.New(), algorithm: algorithm, sum: algorithm.New()}
		if _, err := q.state.reader(source.Blobs, 0, source.Size).WriteTo(d); err != nil {
			return fail(errInternal())
		}
		o.ETag, o.Checksum = d.etag(), checksum.Encode(d.sum)
	}
	q.state.mu.Lock()
	q.state.use(o.Blobs...) // by both from now on
	q.state.mu.Unlock()
	if e := q.store(o); e != nil {
		return fail(e)
	}
	a.xml = document("CopyObjectResult", func(x *wire.XML) {
		x.Text("LastModified", timestamp(o.Modified))
		x.Text("ETag", `"`+o.ETag+`"`)
		x.Text("Checksum"+string(o.Algorithm), o.Checksum)
		x.Text("ChecksumType", o.ChecksumType)
	}).xml
	a.set("X-Amz-Server-Side-Encryption", "AES256")
	return a, nil
}
