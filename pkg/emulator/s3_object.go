package emulator

import (
	"bytes"
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"hash"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/openirsa/openirsa/internal/checksum"
	"github.com/openirsa/openirsa/internal/sigv4"
	"github.com/openirsa/openirsa/pkg/emulator/internal/store"
	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
	"github.com/openirsa/openirsa/pkg/policy"
)

// Types of checksums of objects.
const (
	fullObject = "FULL_OBJECT"
	composite  = "COMPOSITE" // a checksum of the checksums of the parts
)

// maxMetadata bounds the user metadata of an object (S3 User Guide, "Working
// with object metadata").
const maxMetadata = 2 << 10

// digests are what is computed of a body while it is read, and what the
// request says it is to be.
type digests struct {
	md5     hash.Hash
	wantMD5 []byte

	// algorithm is that of sum. Where the body's trailer has the checksum
	// there is none: the body checks that itself.
	algorithm checksum.Algorithm
	sum       hash.Hash
	want      string // in base64; "" if the client left it out
}

// newDigests reads from the headers what a body is to be. Without any checksum
// from the client it is CRC64NVME, which S3 then computes.
func (q *s3Call) newDigests(body *sigv4.Body) (*digests, *s3Error) {
	d := &digests{md5: md5.New()}
	h := q.Request.Header
	if v := h.Get("Content-Md5"); v != "" {
		sum, err := base64.StdEncoding.DecodeString(v)
		if err != nil || len(sum) != md5.Size {
			return nil, s3Errorf(http.StatusBadRequest, "InvalidDigest", "The Content-MD5 you specified is not valid.").with("Content-MD5", v)
		}
		d.wantMD5 = sum
	}
	for name, values := range h {
		if !strings.HasPrefix(name, "X-Amz-Checksum-") || slices.Contains([]string{"X-Amz-Checksum-Mode", "X-Amz-Checksum-Type", "X-Amz-Checksum-Algorithm"}, name) {
			continue
		}
		a, known := checksum.ParseHeader(name)
		switch {
		case !known:
			return nil, errNotImplemented(strings.ToLower(name))
		case d.algorithm != "":
			return nil, errInvalidRequest("Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.")
		case !a.Valid(values[0]):
			return nil, errInvalidRequest("Value for %s header is invalid.", a.Header())
		}
		d.algorithm, d.want = a, values[0]
	}
	trailer := h.Get("X-Amz-Trailer") != ""
	if v := h.Get("X-Amz-Sdk-Checksum-Algorithm"); v != "" && !trailer {
		switch a, known := checksum.Parse(v); {
		case d.want == "" && d.wantMD5 != nil: // an older client that sends both
		case d.want == "":
			return nil, errInvalidRequest("x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or x-amz-trailer headers were found.")
		case !known, a != d.algorithm:
			return nil, errInvalidRequest("Value for x-amz-sdk-checksum-algorithm header is invalid.")
		}
	}
	if trailer && d.want == "" {
		return d, nil
	}
	if d.algorithm == "" {
		d.algorithm = checksum.CRC64NVME
	}
	d.sum = d.algorithm.New()
	return d, nil
}

// Write implements [io.Writer].
func (d *digests) Write(p []byte) (int, error) {
	d.md5.Write(p)
	if d.sum != nil {
		d.sum.Write(p)
	}
	return len(p), nil
}

// verify compares, once the body has been read to its end, and takes over the
// checksum of the trailer.
func (d *digests) verify(body *sigv4.Body) *s3Error {
	if d.wantMD5 != nil && !bytes.Equal(d.md5.Sum(nil), d.wantMD5) {
		return errBadDigest("Content-MD5")
	}
	if d.sum == nil {
		d.algorithm, d.want = body.Checksum()
		return nil
	}
	got := checksum.Encode(d.sum)
	if d.want != "" && got != d.want {
		return errBadDigest(string(d.algorithm))
	}
	d.want = got
	return nil
}

// value is the checksum after verify.
func (d *digests) value() string { return d.want }

// etag is the MD5 in hexadecimal, without quotes.
func (d *digests) etag() string { return hex.EncodeToString(d.md5.Sum(nil)) }

// storageClasses are those that an object can have and still be read at once.
var storageClasses = []string{"STANDARD", "REDUCED_REDUNDANCY", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "GLACIER_IR"}

func (o *s3Object) storageClass() string { return storageClassOf(o.Headers) }

func storageClassOf(headers map[string]string) string {
	if class := headers["x-amz-storage-class"]; class != "" {
		return class
	}
	return "STANDARD"
}

// objectHeaders are the headers of a request that are given back with the
// object. It refuses what the emulator does not have.
func (q *s3Call) objectHeaders() (map[string]string, *s3Error) {
	h := q.Request.Header
	sse := h.Get("X-Amz-Server-Side-Encryption")
	if h.Get("X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id") != "" && !strings.HasPrefix(sse, "aws:") {
		return nil, errInvalidArgument("Server Side Encryption with AWS KMS managed key requires HTTP header x-amz-server-side-encryption : aws:kms",
			"x-amz-server-side-encryption", sse)
	}
	if v := sse; v != "" && v != "AES256" {
		if !strings.HasPrefix(v, "aws:") {
			return nil, errInvalidArgument("The encryption method specified is not supported", "x-amz-server-side-encryption", v)
		}
		return nil, errNotImplemented("server-side encryption with " + v)
	}
	for name := range h {
		if strings.HasPrefix(name, "X-Amz-Server-Side-Encryption-Customer-") {
			return nil, errNotImplemented("server-side encryption with customer keys")
		}
		if strings.HasPrefix(name, "X-Amz-Object-Lock-") {
			return nil, errInvalidRequest("Bucket is missing Object Lock Configuration")
		}
	}
	headers := make(map[string]string)
	for _, name := range []string{"cache-control", "content-disposition", "content-language", "content-type", "expires", "x-amz-website-redirect-location"} {
		if v := h.Get(name); v != "" {
			headers[name] = v
		}
	}
	if headers["content-type"] == "" {
		headers["content-type"] = "binary/octet-stream"
	}
	// aws-chunked is how the body comes, not what it is.
	var encodings []string
	for v := range strings.SplitSeq(strings.Join(h.Values("Content-Encoding"), ","), ",") {
		if v = strings.TrimSpace(v); v != "" && !strings.EqualFold(v, "aws-chunked") {
			encodings = append(encodings, v)
		}
	}
	if len(encodings) > 0 {
		headers["content-encoding"] = strings.Join(encodings, ",")
	}
	switch class := h.Get("X-Amz-Storage-Class"); {
	case class == "" || class == "STANDARD":
	case slices.Contains(storageClasses, class):
		headers["x-amz-storage-class"] = class
	case class == "GLACIER" || class == "DEEP_ARCHIVE":
		return nil, errNotImplemented("storage class " + class)
	default:
		return nil, s3Errorf(http.StatusBadRequest, "InvalidStorageClass", "The storage class you specified is not valid").with("StorageClassRequested", class)
	}
	size := 0
	for name, values := range h {
		if rest, found := strings.CutPrefix(name, "X-Amz-Meta-"); found {
			v := strings.Join(values, ",")
			headers[strings.ToLower(name)] = v
			size += len(rest) + len(v)
		}
	}
	if size > maxMetadata {
		return nil, s3Errorf(http.StatusBadRequest, "MetadataTooLarge", "Your metadata headers exceed the maximum allowed metadata size").
			with("Size", strconv.Itoa(size)).with("MaxSizeAllowed", strconv.Itoa(maxMetadata))
	}
	return headers, nil
}

// headerTags are the tags in x-amz-tagging.
func (q *s3Call) headerTags() ([]wire.Tag, *s3Error) {
	v := q.Request.Header.Get("X-Amz-Tagging")
	if v == "" {
		return nil, nil
	}
	var tags []wire.Tag
	seen := make(map[string]bool)
	for pair := range strings.SplitSeq(v, "&") {
		if pair == "" {
			continue
		}
		name, text, _ := strings.Cut(pair, "=")
		key, err1 := url.QueryUnescape(name)
		value, err2 := url.QueryUnescape(text)
		if err1 != nil || err2 != nil || !validTagText(key) || !validTagText(value) || seen[key] {
			return nil, errInvalidArgument("The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters without tag name duplicates.",
				"x-amz-tagging", v)
		}
		seen[key] = true
		tags = append(tags, wire.Tag{Key: key, Value: value})
	}
	return checkS3Tags(tags, maxObjectTags)
}

// existingTags sets the condition keys for the tags of an object, which may be
// nil.
func existingTags(o *s3Object) func(*policy.Context) {
	if o == nil {
		return nil
	}
	return tagKeys("s3:ExistingObjectTag/", "", o.Tags)
}

// mayPut asks for the permissions to store an object with these tags.
func (q *s3Call) mayPut(tags []wire.Tag) *s3Error {
	if e := q.may(q.config, "s3:PutObject", q.objectARN(), tagKeys("s3:RequestObjectTag/", "s3:RequestObjectTagKeys", tags)); e != nil {
		return e
	}
	if len(tags) > 0 {
		if e := q.may(q.config, "s3:PutObjectTagging", q.objectARN(), tagKeys("s3:RequestObjectTag/", "s3:RequestObjectTagKeys", tags)); e != nil {
			return e
		}
	}
	if q.Request.Header.Get("If-Match") != "" {
		// It tells what is there ("Add preconditions to S3 operations").
		return q.may(q.config, "s3:GetObject", q.objectARN(), nil)
	}
	return nil
}

// checkWrite holds the conditions of a request that writes against what is
// there, which may be nil.
func (q *s3Call) checkWrite(o *s3Object) *s3Error {
	h := q.Request.Header
	if v := h.Get("If-None-Match"); v != "" {
		if v != "*" {
			return errNotImplemented("If-None-Match with an ETag on a write")
		}
		if o != nil {
			return errPrecondition("If-None-Match")
		}
	}
	if v := h.Get("If-Match"); v != "" {
		switch {
		case o == nil:
			return errNoSuchKey(q.key)
		case !matchesETag(v, o.ETag):
			return errPrecondition("If-Match")
		}
	}
	return nil
}

// matchesETag says whether a header that lists ETags has this one, or "*".
func matchesETag(list, etag string) bool {
	for v := range strings.SplitSeq(list, ",") {
		v = strings.TrimPrefix(strings.TrimSpace(v), "W/")
		if v == "*" || strings.Trim(v, `"`) == etag {
			return true
		}
	}
	return false
}

// receive stores the body of the request and checks it. The body also goes to whatever else wants to see it.
func (q *s3Call) receive(body *sigv4.Body, d *digests, also ...io.Writer) (blobRef, *s3Error) {
	limit := q.s.config.MaxObject
	switch {
	case body.Len() < 0:
		return blobRef{}, errNoLength()
	case body.Len() > limit:
		return blobRef{}, s3Errorf(http.StatusBadRequest, "EntityTooLarge", "Your proposed upload exceeds the maximum allowed size").
			with("ProposedSize", strconv.FormatInt(body.Len(), 10)).with("MaxSizeAllowed", strconv.FormatInt(limit, 10))
	}
	ref, err := q.s3.newBody(io.TeeReader(body, io.MultiWriter(append(also, d)...)))
	if err != nil {
		if _, ok := errors.AsType[*sigv4.Error](err); !ok && q.s3.store.Failure() != nil {
			return blobRef{}, errS3Internal()
		}
		return blobRef{}, payloadError(err)
	}
	if e := d.verify(body); e != nil {
		q.s3.release(ref)
		return blobRef{}, e
	}
	return ref, nil
}

func (q *s3Call) putObject() (*s3Answer, *s3Error) {
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
	if e := q.checkWrite(q.s3.object(q.bucket, q.key)); e != nil {
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
	o := &s3Object{
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
	a := &s3Answer{}
	a.set("Etag", `"`+o.ETag+`"`)
	a.set("X-Amz-Server-Side-Encryption", "AES256")
	o.setChecksum(a)
	return a, nil
}

// store puts an object, whose bodies are in use already, in its place if the
// conditions of the request still hold.
func (q *s3Call) store(o *s3Object) *s3Error {
	e := q.s3.edit(func(c *store.Change) *s3Error {
		b := q.s3.buckets[q.bucket]
		if b == nil {
			return errNoSuchBucket(q.bucket)
		}
		if e := q.checkWrite(b.object(o.Key)); e != nil {
			return e
		}
		q.s3.placeObject(c, b, o)
		return nil
	})
	if e != nil {
		q.s3.release(o.Blobs...)
	}
	return e
}

func (o *s3Object) setChecksum(a *s3Answer) {
	if o.Checksum != "" {
		a.set(o.Algorithm.Header(), o.Checksum)
		a.set("X-Amz-Checksum-Type", o.ChecksumType)
	}
}

// missing is the answer to a request for a key that is not there: only those
// who may list the bucket are told (API reference, GetObject).
func (q *s3Call) missing(config *bucketConfig, key string) *s3Error {
	if e := q.may(config, "s3:ListBucket", q.s.bucketARN(config.Name), nil); e != nil {
		q.deny("existence", "there is no object "+config.Name+"/"+key+", and S3 says so only to those who may s3:ListBucket", e)
		return e
	}
	return errNoSuchKey(key)
}

// version refuses a version that is not the one that objects have in buckets
// without versioning. It says whether the request names one.
func (q *s3Call) version() (bool, *s3Error) {
	v, found := q.query["versionId"]
	if !found {
		return false, nil
	}
	if v[0] != "null" {
		return false, errInvalidArgument("Invalid version id specified", "versionId", v[0])
	}
	return true, nil
}

// responseHeaders are the parameters that change headers of an answer.
var responseHeaders = map[string]string{
	"response-cache-control":       "Cache-Control",
	"response-content-disposition": "Content-Disposition",
	"response-content-encoding":    "Content-Encoding",
	"response-content-language":    "Content-Language",
	"response-content-type":        "Content-Type",
	"response-expires":             "Expires",
}

// getObject is GetObject and HeadObject.
func (q *s3Call) getObject() (*s3Answer, *s3Error) {
	if e := q.exists(); e != nil {
		return nil, e
	}
	versioned, e := q.version()
	if e != nil {
		return nil, e
	}
	action := "s3:GetObject"
	if versioned {
		action = "s3:GetObjectVersion"
	}
	o := q.s3.hold(q.bucket, q.key)
	a := &s3Answer{done: func() {
		if o != nil {
			q.s3.release(o.Blobs...)
		}
	}}
	if e := q.may(q.config, action, q.objectARN(), existingTags(o)); e != nil {
		return a, e
	}
	if o == nil {
		return a, q.missing(q.config, q.key)
	}
	for name, header := range responseHeaders {
		if v := q.query.Get(name); v != "" {
			if q.sig == nil {
				return a, errInvalidRequest("Request specific response headers cannot be used for anonymous GET requests.")
			}
			a.set(header, v)
		}
	}
	if e := q.checkRead(q.Request.Header, "If-", o); e != nil {
		return a, e
	}
	offset, length, part, e := q.part(o)
	if e != nil {
		return a, e
	}
	for name, v := range o.Headers {
		if a.header.Get(name) == "" {
			a.set(name, v)
		}
	}
	a.set("Accept-Ranges", "bytes")
	a.set("Etag", `"`+o.ETag+`"`)
	a.set("Last-Modified", o.Modified.Format(http.TimeFormat))
	a.set("X-Amz-Server-Side-Encryption", "AES256")
	if len(o.Tags) > 0 {
		a.set("X-Amz-Tagging-Count", strconv.Itoa(len(o.Tags)))
	}
	ranged := part != nil || length != o.Size || q.Request.Header.Get("Range") != "" && offset == 0 && q.isRange(o)
	if ranged && length > 0 { // of nothing there is no range
		a.status = http.StatusPartialContent
		a.set("Content-Range", "bytes "+strconv.FormatInt(offset, 10)+"-"+strconv.FormatInt(offset+length-1, 10)+"/"+strconv.FormatInt(o.Size, 10))
	}
	if q.Request.Header.Get("X-Amz-Checksum-Mode") == "ENABLED" {
		switch {
		case part != nil && part.Checksum != "":
			a.set(o.Algorithm.Header(), part.Checksum)
			a.set("X-Amz-Checksum-Type", o.ChecksumType)
		case length == o.Size && (part == nil || len(o.Parts) == 0):
			o.setChecksum(a)
		}
	}
	if part != nil && len(o.Parts) > 0 {
		a.set("X-Amz-Mp-Parts-Count", strconv.Itoa(len(o.Parts)))
	}
	a.length = length
	a.stream = func(w io.Writer) error {
		_, err := q.s3.reader(o.Blobs, offset, length).WriteTo(w)
		return err
	}
	return a, nil
}

// checkRead holds the conditions of a request that reads against the object.
// The names of the headers begin with prefix: "If-", or that of CopyObject.
func (q *s3Call) checkRead(h http.Header, prefix string, o *s3Object) *s3Error {
	notModified := func(condition string) *s3Error {
		if prefix != "If-" {
			return errPrecondition(copyCondition(condition))
		}
		e := s3Errorf(http.StatusNotModified, "NotModified", "Not Modified")
		e.header = http.Header{"Etag": {`"` + o.ETag + `"`}, "Last-Modified": {o.Modified.Format(http.TimeFormat)}}
		return e
	}
	match, noneMatch := h.Get(prefix+"Match"), h.Get(prefix+"None-Match")
	if match != "" && !matchesETag(match, o.ETag) {
		return errPrecondition(copyCondition(prefix + "Match"))
	}
	if t, err := http.ParseTime(h.Get(prefix + "Unmodified-Since")); err == nil && match == "" && o.Modified.After(t) {
		return errPrecondition(copyCondition(prefix + "Unmodified-Since"))
	}
	if noneMatch != "" && matchesETag(noneMatch, o.ETag) {
		return notModified(prefix + "None-Match")
	}
	// A time that has not come yet is not heeded (RFC 9110, section 13.1.3).
	since, err := http.ParseTime(h.Get(prefix + "Modified-Since"))
	if err == nil && noneMatch == "" && !o.Modified.After(since) && !since.After(q.At) {
		return notModified(prefix + "Modified-Since")
	}
	return nil
}

// copyCondition is the name of a condition as S3 spells it: that of a copy's
// source begins in lower case.
func copyCondition(header string) string {
	if rest, found := strings.CutPrefix(header, "X-Amz-Copy-Source-"); found {
		return "x-amz-copy-source-" + rest
	}
	return header
}

// part is the part of an object that a request wants: by its number in a
// multipart upload, by a range of bytes, or the whole.
func (q *s3Call) part(o *s3Object) (offset, length int64, part *objectPart, e *s3Error) {
	if v := q.query.Get("partNumber"); v != "" {
		if q.Request.Header.Get("Range") != "" {
			return 0, 0, nil, errInvalidRequest("Cannot specify both Range header and partNumber query parameter")
		}
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 || n > maxParts {
			return 0, 0, nil, errPartNumber(v)
		}
		if len(o.Parts) == 0 && n == 1 {
			return 0, o.Size, &objectPart{Number: 1, Size: o.Size}, nil
		}
		for i := range o.Parts {
			if p := &o.Parts[i]; p.Number == n {
				return offset, p.Size, p, nil
			}
			offset += o.Parts[i].Size
		}
		return 0, 0, nil, s3Errorf(http.StatusRequestedRangeNotSatisfiable, "InvalidPartNumber", "The requested partnumber is not satisfiable").
			with("ActualPartCount", strconv.Itoa(max(1, len(o.Parts)))).with("PartNumberRequested", v)
	}
	v := q.Request.Header.Get("Range")
	offset, length, ok := parseRange(v, o.Size)
	if !ok {
		return 0, 0, nil, s3Errorf(http.StatusRequestedRangeNotSatisfiable, "InvalidRange", "The requested range is not satisfiable").
			with("RangeRequested", v).with("ActualObjectSize", strconv.FormatInt(o.Size, 10))
	}
	return offset, length, nil, nil
}

// isRange says whether the Range header is one that S3 heeds.
func (q *s3Call) isRange(o *s3Object) bool {
	_, _, ok := byteRange(q.Request.Header.Get("Range"))
	return ok
}

// byteRange reads "bytes=first-last". Of an open end last is -1, of a suffix
// first is. S3 takes everything else, several ranges among it, for no range.
func byteRange(v string) (first, last int64, ok bool) {
	spec, found := strings.CutPrefix(v, "bytes=")
	from, to, dash := strings.Cut(strings.TrimSpace(spec), "-")
	if !found || !dash || from == "" && to == "" {
		return 0, 0, false
	}
	number := func(s string) int64 {
		if s == "" {
			return -1
		}
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil || strings.Trim(s, "0123456789") != "" {
			ok = false
		}
		return n
	}
	ok = true
	first, last = number(from), number(to)
	if first >= 0 && last >= 0 && last < first {
		ok = false
	}
	return first, last, ok
}

// parseRange is the part of size bytes that a Range header wants, and false
// if there is no such part.
func parseRange(v string, size int64) (offset, length int64, satisfiable bool) {
	first, last, ok := byteRange(v)
	switch {
	case !ok:
		return 0, size, true
	case first < 0: // the last bytes
		n := min(last, size)
		return size - n, n, n > 0
	case first >= size:
		return 0, 0, false
	case last < 0 || last >= size:
		return first, size - first, true
	}
	return first, last - first + 1, true
}

func (q *s3Call) deleteObject() (*s3Answer, *s3Error) {
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
	return noContent(), q.s3.edit(func(c *store.Change) *s3Error {
		b := q.s3.buckets[q.bucket]
		if b == nil {
			return errNoSuchBucket(q.bucket)
		}
		return q.s3.removeIf(c, b, q.key, q.Request.Header.Get("If-Match"))
	})
}

func (q *s3Call) mayDelete(key string, versioned bool) *s3Error {
	action := "s3:DeleteObject"
	if versioned {
		action = "s3:DeleteObjectVersion"
	}
	return q.may(q.config, action, q.bucketARN()+"/"+key, existingTags(q.s3.object(q.bucket, key)))
}

// removeIf deletes an object, if it is there and has the ETag. The caller
// holds mu.
func (s *s3) removeIf(c *store.Change, b *s3Bucket, key, ifMatch string) *s3Error {
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

func (q *s3Call) deleteObjects() (*s3Answer, *s3Error) {
	if e := q.exists(); e != nil {
		return nil, e
	}
	h := q.Request.Header
	checked := h.Get("Content-Md5") != "" || h.Get("X-Amz-Trailer") != "" || slices.ContainsFunc(checksum.All, func(a checksum.Algorithm) bool {
		return h.Get(a.Header()) != ""
	})
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
	refused := make([]*s3Error, len(body.Object))
	for i, o := range body.Object {
		refused[i] = q.mayDelete(*o.Key, o.VersionID != nil)
		if refused[i] == nil && o.VersionID != nil && *o.VersionID != "null" {
			refused[i] = s3Errorf(http.StatusNotFound, "NoSuchVersion", "The specified version does not exist.")
		}
	}
	e := q.s3.edit(func(c *store.Change) *s3Error {
		b := q.s3.buckets[q.bucket]
		if b == nil {
			return errNoSuchBucket(q.bucket)
		}
		for i, o := range body.Object {
			if refused[i] == nil {
				refused[i] = q.s3.removeIf(c, b, *o.Key, o.ETag)
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

// copySource is the object that x-amz-copy-source names, in use until done is
// called, and the configuration of its bucket.
func (q *s3Call) copySource() (o *s3Object, config *bucketConfig, done func(), e *s3Error) {
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
	if config = q.s3.config(bucket); config == nil {
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
	o = q.s3.hold(bucket, key)
	done = func() {
		if o != nil {
			q.s3.release(o.Blobs...)
		}
	}
	e = q.may(config, action, q.s.bucketARN(bucket)+"/"+key, existingTags(o))
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
func (q *s3Call) directive(header string) (replace bool, e *s3Error) {
	switch v := q.Request.Header.Get(header); v {
	case "", "COPY":
		return false, nil
	case "REPLACE":
		return true, nil
	default:
		return false, errInvalidArgument("Unknown directive.", strings.ToLower(header), v)
	}
}

func (q *s3Call) copyObject() (*s3Answer, *s3Error) {
	if e := q.exists(); e != nil {
		return nil, e
	}
	source, config, done, e := q.copySource()
	if e != nil {
		return nil, e
	}
	a := &s3Answer{done: done}
	fail := func(e *s3Error) (*s3Answer, *s3Error) { return a, e }

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
			if e := q.may(config, "s3:GetObjectTagging", q.s.bucketARN(config.Name)+"/"+source.Key, existingTags(source)); e != nil {
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
	if e := q.checkWrite(q.s3.object(q.bucket, q.key)); e != nil {
		return fail(e)
	}
	if config.Name == q.bucket && source.Key == q.key && !replaceHeaders && q.Request.Header.Get("X-Amz-Storage-Class") == "" &&
		q.Request.Header.Get("X-Amz-Website-Redirect-Location") == "" && q.Request.Header.Get("X-Amz-Server-Side-Encryption") == "" {
		return fail(errInvalidRequest("This copy request is illegal because it is trying to copy an object to itself without changing the " +
			"object's metadata, storage class, website redirect location or encryption attributes."))
	}
	if source.Size > maxObject {
		return fail(errInvalidRequest("The specified copy source is larger than the maximum allowable size for a copy source: %d", int64(maxObject)))
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

	o := &s3Object{
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
		if _, err := q.s3.reader(source.Blobs, 0, source.Size).WriteTo(d); err != nil {
			return fail(errS3Internal())
		}
		o.ETag, o.Checksum = d.etag(), checksum.Encode(d.sum)
	}
	q.s3.mu.Lock()
	q.s3.use(o.Blobs...) // by both from now on
	q.s3.mu.Unlock()
	if e := q.store(o); e != nil {
		return fail(e)
	}
	a.xml = document("CopyObjectResult", func(x *wire.XML) {
		x.Text("LastModified", s3Time(o.Modified))
		x.Text("ETag", `"`+o.ETag+`"`)
		x.Text("Checksum"+string(o.Algorithm), o.Checksum)
		x.Text("ChecksumType", o.ChecksumType)
	}).xml
	a.set("X-Amz-Server-Side-Encryption", "AES256")
	return a, nil
}

// permitted is the object that a request addresses, once the caller may do
// all of the actions.
func (q *s3Call) permitted(actions ...string) (*s3Object, *s3Error) {
	if e := q.exists(); e != nil {
		return nil, e
	}
	if _, e := q.version(); e != nil {
		return nil, e
	}
	o := q.s3.object(q.bucket, q.key)
	for _, action := range actions {
		if e := q.may(q.config, action, q.objectARN(), existingTags(o)); e != nil {
			return nil, e
		}
	}
	if o == nil {
		return nil, q.missing(q.config, q.key)
	}
	return o, nil
}

func (q *s3Call) getAttributes() (*s3Answer, *s3Error) {
	o, e := q.permitted("s3:GetObject", "s3:GetObjectAttributes")
	if e != nil {
		return nil, e
	}
	var wanted []string
	for v := range strings.SplitSeq(strings.Join(q.Request.Header.Values("X-Amz-Object-Attributes"), ","), ",") {
		wanted = append(wanted, strings.TrimSpace(v))
	}
	known := []string{"ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"}
	for _, v := range wanted {
		if !slices.Contains(known, v) {
			return nil, errInvalidArgument("Invalid attribute name specified.", "x-amz-object-attributes", v)
		}
	}
	wants := func(name string) bool { return slices.Contains(wanted, name) }
	limit := maxList
	if v := q.Request.Header.Get("X-Amz-Max-Parts"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil || n < 0 {
			return nil, errInvalidArgument("Argument max-parts must be an integer between 0 and 2147483647", "x-amz-max-parts", v)
		}
		limit = min(n, maxList)
	}
	marker, _ := strconv.Atoi(q.Request.Header.Get("X-Amz-Part-Number-Marker"))

	a := document("GetObjectAttributesResponse", func(x *wire.XML) {
		if wants("ETag") {
			x.Text("ETag", o.ETag)
		}
		if wants("Checksum") && o.Checksum != "" {
			x.Open("Checksum")
			x.Text("Checksum"+string(o.Algorithm), o.Checksum)
			x.Text("ChecksumType", o.ChecksumType)
			x.Close("Checksum")
		}
		switch {
		case !wants("ObjectParts") || len(o.Parts) == 0:
		case o.Parts[0].Checksum == "": // parts are told only with their checksums
			x.Open("ObjectParts")
			x.Number("PartsCount", len(o.Parts))
			x.Close("ObjectParts")
		default:
			var parts []objectPart
			truncated := false
			for _, p := range o.Parts {
				if p.Number > marker {
					if len(parts) == limit {
						truncated = true
						break
					}
					parts = append(parts, p)
				}
			}
			x.Open("ObjectParts")
			x.Number("PartsCount", len(o.Parts)) // the name on the wire
			x.Number("PartNumberMarker", marker)
			if len(parts) > 0 {
				x.Number("NextPartNumberMarker", parts[len(parts)-1].Number)
			}
			x.Number("MaxParts", limit)
			x.Bool("IsTruncated", truncated)
			for _, p := range parts {
				x.Open("Part")
				x.Number("PartNumber", p.Number)
				x.Number("Size", int(p.Size))
				if p.Checksum != "" {
					x.Text("Checksum"+string(o.Algorithm), p.Checksum)
				}
				x.Close("Part")
			}
			x.Close("ObjectParts")
		}
		if wants("StorageClass") {
			x.Text("StorageClass", o.storageClass())
		}
		if wants("ObjectSize") {
			x.Number("ObjectSize", int(o.Size))
		}
	})
	a.set("Last-Modified", o.Modified.Format(http.TimeFormat))
	return a, nil
}

func (q *s3Call) getObjectTagging() (*s3Answer, *s3Error) {
	o, e := q.permitted("s3:GetObjectTagging")
	if e != nil {
		return nil, e
	}
	return tagDocument(o.Tags), nil
}

func (q *s3Call) putObjectTagging() (*s3Answer, *s3Error) {
	if e := q.exists(); e != nil {
		return nil, e
	}
	tags, e := q.readTags(maxObjectTags)
	if e != nil {
		return nil, e
	}
	requested := tagKeys("s3:RequestObjectTag/", "s3:RequestObjectTagKeys", tags)
	existing := existingTags(q.s3.object(q.bucket, q.key))
	if e := q.may(q.config, "s3:PutObjectTagging", q.objectARN(), func(keys *policy.Context) {
		requested(keys)
		if existing != nil {
			existing(keys)
		}
	}); e != nil {
		return nil, e
	}
	return &s3Answer{}, q.setTags(tags)
}

func (q *s3Call) deleteObjectTagging() (*s3Answer, *s3Error) {
	if _, e := q.permitted("s3:DeleteObjectTagging"); e != nil {
		return nil, e
	}
	return noContent(), q.setTags(nil)
}

func (q *s3Call) setTags(tags []wire.Tag) *s3Error {
	return q.changeObject(func(o *s3Object) { o.Tags = tags })
}

// changeObject changes what an object is beside its body: f gets a copy.
func (q *s3Call) changeObject(f func(*s3Object)) *s3Error {
	gone := false
	e := q.s3.edit(func(c *store.Change) *s3Error {
		b := q.s3.buckets[q.bucket]
		if b == nil {
			return errNoSuchBucket(q.bucket)
		}
		old := b.object(q.key)
		if old == nil {
			gone = true
			return errNoSuchKey(q.key)
		}
		o := *old
		f(&o)
		q.s3.use(o.Blobs...) // placeObject ends the use by the old one
		q.s3.placeObject(c, b, &o)
		return nil
	})
	if gone {
		return q.missing(q.config, q.key)
	}
	return e
}

// rawAnswer is an answer of some bytes.
func rawAnswer(b []byte) *s3Answer {
	return &s3Answer{length: int64(len(b)), stream: func(w io.Writer) error {
		_, err := w.Write(b)
		return err
	}}
}
