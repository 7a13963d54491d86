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
	var v versionRef
	if versioned {
		v, found = parseVersion(version)
	}
	if !found {
		return nil, nil, nil, errInvalidArgument("Invalid version id specified", "x-amz-copy-source", version)
	}
	if e := q.checkOwner(config, "X-Amz-Source-Expected-Bucket-Owner"); e != nil {
		return nil, nil, nil, e
	}
	o = q.state.hold(bucket, key, v)
	done = func() {
		if o != nil {
			q.state.release(o.Blobs...)
		}
	}
	e = q.may(config, v.versioned("s3:GetObject"), q.service.bucketARN(bucket)+"/"+key, existingTags(o))
	if e == nil && (o == nil || o.DeleteMarker) {
		e = q.absent(config, key, v, o)
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

// copying is a call of CopyObject under way.
type copying struct {
	*call
	source *object
	from   *bucketConfig // of the source

	replaceHeaders, replaceTags bool

	// What the copy is to have.
	headers   map[string]string
	tags      []wire.Tag
	list      *acl
	algorithm checksum.Algorithm
}

func (q *call) copyObject() (*answer, *failure) {
	if e := q.exists(); e != nil {
		return nil, e
	}
	source, from, done, e := q.copySource()
	if e != nil {
		return nil, e
	}
	a := &answer{done: done}
	k := &copying{call: q, source: source, from: from}
	for _, step := range []func() *failure{ // in the order in which S3 refuses
		k.readDirectives, k.readHeaders, k.readTags,
		func() *failure { return q.mayPut(k.tags) },
		k.readACL,
		func() *failure { return q.checkWrite(q.state.object(q.bucket, q.key)) },
		k.checkChange, k.checkSize, k.readAlgorithm,
	} {
		if e := step(); e != nil {
			return a, e
		}
	}
	o, e := k.copied()
	if e != nil {
		return a, e
	}
	q.state.mu.Lock()
	q.state.use(o.Blobs...) // by both from now on
	q.state.mu.Unlock()
	if e := q.store(o); e != nil {
		return a, e
	}
	a.xml = document("CopyObjectResult", func(x *wire.XML) {
		x.Text("LastModified", timestamp(o.Modified))
		x.Text("ETag", `"`+o.ETag+`"`)
		x.Text("Checksum"+string(o.Algorithm), o.Checksum)
		x.Text("ChecksumType", o.ChecksumType)
	}).xml
	a.set("X-Amz-Server-Side-Encryption", "AES256")
	q.setVersion(a, o)
	if from.Versioning != "" {
		a.set("X-Amz-Copy-Source-Version-Id", source.version())
	}
	return a, nil
}

func (k *copying) readDirectives() (e *failure) {
	if k.replaceHeaders, e = k.directive("X-Amz-Metadata-Directive"); e != nil {
		return e
	}
	k.replaceTags, e = k.directive("X-Amz-Tagging-Directive")
	return e
}

// readHeaders are the headers of the source or of the request; storage class and
// redirect are always the request's.
func (k *copying) readHeaders() *failure {
	headers, e := k.objectHeaders()
	if e != nil {
		return e
	}
	class := headers["x-amz-storage-class"]
	if !k.replaceHeaders {
		headers = maps.Clone(k.source.Headers)
		delete(headers, "x-amz-website-redirect-location")
		delete(headers, "x-amz-storage-class")
		if class != "" {
			headers["x-amz-storage-class"] = class
		}
	}
	if v := k.Request.Header.Get("X-Amz-Website-Redirect-Location"); v != "" {
		headers["x-amz-website-redirect-location"] = v
	}
	k.headers = headers
	return nil
}

// readTags are the tags of the request, or those of the source, which take a
// permission.
func (k *copying) readTags() (e *failure) {
	if k.tags, e = k.headerTags(); e != nil || k.replaceTags {
		return e
	}
	if k.tags = k.source.Tags; len(k.tags) == 0 {
		return nil
	}
	return k.may(k.from, "s3:GetObjectTagging", k.service.bucketARN(k.from.Name)+"/"+k.source.Key, existingTags(k.source))
}

func (k *copying) readACL() (e *failure) {
	k.list, e = k.uploadACL()
	return e
}

// checkChange refuses a copy to itself that changes nothing.
func (k *copying) checkChange() *failure {
	h := k.Request.Header
	older := strings.Contains(h.Get("X-Amz-Copy-Source"), "?versionId=")
	if k.from.Name != k.bucket || k.source.Key != k.key || older || k.replaceHeaders || h.Get("X-Amz-Storage-Class") != "" ||
		h.Get("X-Amz-Website-Redirect-Location") != "" || h.Get("X-Amz-Server-Side-Encryption") != "" {
		return nil
	}
	return errInvalidRequest("This copy request is illegal because it is trying to copy an object to itself without changing the " +
		"object's metadata, storage class, website redirect location or encryption attributes.")
}

func (k *copying) checkSize() *failure { return checkCopySize(k.source.Size) }

// checkCopySize refuses what is larger than one copy may be.
func checkCopySize(size int64) *failure {
	if size <= MaxObject {
		return nil
	}
	return errInvalidRequest("The specified copy source is larger than the maximum allowable size for a copy source: %d", int64(MaxObject))
}

func (k *copying) readAlgorithm() *failure {
	k.algorithm = k.source.Algorithm
	if v := k.Request.Header.Get("X-Amz-Checksum-Algorithm"); v != "" {
		var known bool
		if k.algorithm, known = checksum.Parse(v); !known {
			return errNotImplemented("checksum algorithm " + v)
		}
	}
	if k.algorithm == "" {
		k.algorithm = checksum.CRC64NVME
	}
	return nil
}

// copied is the copy. That of an object which came in parts is one that did not.
func (k *copying) copied() (*object, *failure) {
	source := k.source
	o := &object{
		Key:          k.key,
		Size:         source.Size,
		ETag:         source.ETag,
		Modified:     k.At.UTC().Truncate(time.Second),
		Headers:      k.headers,
		Tags:         k.tags,
		ACL:          k.list,
		Algorithm:    k.algorithm,
		Checksum:     source.Checksum,
		ChecksumType: fullObject,
		Blobs:        source.Blobs,
	}
	if len(source.Parts) > 0 || k.algorithm != source.Algorithm || source.ChecksumType != fullObject {
		d := &digests{md5: md5.New(), algorithm: k.algorithm, sum: k.algorithm.New()}
		if _, err := k.state.reader(source.Blobs, 0, source.Size).WriteTo(d); err != nil {
			return nil, errInternal()
		}
		o.ETag, o.Checksum = d.etag(), checksum.Encode(d.sum)
	}
	return o, nil
}
