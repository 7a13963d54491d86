package s3

import (
	"crypto/md5"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/openirsa/openirsa/internal/checksum"
	"github.com/openirsa/openirsa/pkg/emulator/internal/store"
	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
)

// Limits of multipart uploads (S3 User Guide, "Amazon S3 multipart upload
// limits").
const (
	maxParts = 10000
	minPart  = 5 << 20 // of all parts but the last
)

// newUploadID makes an id that sorts by time.
func newUploadID(now time.Time) string {
	var b [24]byte
	rand.Read(b[:])
	return fmt.Sprintf("%016x", uint64(now.UnixNano())) + base64.RawURLEncoding.EncodeToString(b[:])
}

func (q *call) createUpload() (*answer, *failure) {
	with, e := q.readAttributes()
	if e != nil {
		return nil, e
	}
	u := &upload{
		ID:           newUploadID(q.At),
		Bucket:       q.bucket,
		Key:          q.key,
		Initiated:    q.At.UTC(),
		Initiator:    q.Caller.Name(),
		Headers:      with.headers,
		Tags:         with.tags,
		ACL:          with.list,
		Algorithm:    checksum.CRC64NVME,
		ChecksumType: fullObject,
		parts:        make(map[int]*part),
	}
	if v := q.Request.Header.Get("X-Amz-Checksum-Algorithm"); v != "" {
		var known bool
		if u.Algorithm, known = checksum.Parse(v); !known {
			return nil, errNotImplemented("checksum algorithm " + v)
		}
		u.Asked = true
		if u.Algorithm != checksum.CRC64NVME {
			u.ChecksumType = composite
		}
	}
	switch v := q.Request.Header.Get("X-Amz-Checksum-Type"); {
	case v == "":
	case v != fullObject && v != composite:
		return nil, errInvalidRequest("Value for x-amz-checksum-type header is invalid.")
	case !u.Asked:
		return nil, errInvalidRequest("The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header.")
	case v == composite && u.Algorithm == checksum.CRC64NVME, v == fullObject && !u.Algorithm.IsCRC():
		return nil, errInvalidRequest("The %s checksum type cannot be used with the %s checksum algorithm.",
			v, strings.ToLower(string(u.Algorithm)))
	default:
		u.ChecksumType = v
	}
	if e := q.state.edit(func(c *store.Change) *failure {
		if q.state.buckets[q.bucket] == nil {
			return errNoSuchBucket(q.bucket)
		}
		q.state.uploads[u.ID] = u
		c.Put(storedUploads, u.ID, u)
		return nil
	}); e != nil {
		return nil, e
	}
	a := document("InitiateMultipartUploadResult", func(x *wire.XML) {
		x.Text("Bucket", q.bucket)
		x.Text("Key", q.key)
		x.Text("UploadId", u.ID)
	})
	a.set("X-Amz-Server-Side-Encryption", "AES256")
	if u.Asked {
		a.set("X-Amz-Checksum-Algorithm", string(u.Algorithm))
		a.set("X-Amz-Checksum-Type", u.ChecksumType)
	}
	return a, nil
}

// upload is the multipart upload that a request names.
func (q *call) upload() (*upload, *failure) {
	id := q.query.Get("uploadId")
	q.state.mu.RLock()
	u := q.state.uploads[id]
	q.state.mu.RUnlock()
	if u == nil || u.Bucket != q.bucket || u.Key != q.key {
		return nil, errNoSuchUpload(id)
	}
	return u, nil
}

// partNumber is the number of the part that a request is to store.
func (q *call) partNumber() (int, *failure) {
	v := q.query.Get("partNumber")
	n, err := strconv.Atoi(v)
	if err != nil || n < 1 || n > maxParts {
		return 0, errPartNumber(v)
	}
	return n, nil
}

// storePart puts a part, whose body is in use already, in its place.
func (q *call) storePart(u *upload, p *part) *failure {
	e := q.state.edit(func(c *store.Change) *failure {
		if q.state.uploads[u.ID] != u {
			return errNoSuchUpload(u.ID)
		}
		if old := u.parts[p.Number]; old != nil {
			q.state.drop(c, old.Blob)
		}
		u.parts[p.Number] = p
		c.Put(storedParts, partKey(u.ID, p.Number), p)
		return nil
	})
	if e != nil {
		q.state.release(p.Blob)
	}
	return e
}

func (q *call) uploadPart() (*answer, *failure) {
	if e := q.exists(); e != nil {
		return nil, e
	}
	if e := q.may(q.config, "s3:PutObject", q.objectARN(), nil); e != nil {
		return nil, e
	}
	n, e := q.partNumber()
	if e != nil {
		return nil, e
	}
	u, e := q.upload()
	if e != nil {
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
	given := d.algorithm
	if trailer, ok := checksum.ParseHeader(q.Request.Header.Get("X-Amz-Trailer")); ok && d.sum == nil {
		given = trailer
	}
	if u.Asked && d.want == "" && d.sum != nil {
		given = "" // newDigests chose it
		if u.ChecksumType == fullObject {
			given = u.Algorithm
		}
	}
	if u.Asked && given != u.Algorithm {
		name := strings.ToLower(string(given))
		if name == "" {
			name = "null"
		}
		return nil, errInvalidRequest("Checksum Type mismatch occurred, expected checksum Type: %s, actual checksum Type: %s",
			strings.ToLower(string(u.Algorithm)), name)
	}
	// The checksum that the object will need, beside the one that protects
	// the part on its way.
	sum := u.Algorithm.New()
	ref, e := q.receive(body, d, sum)
	if e != nil {
		return nil, e
	}
	p := &part{
		Number:   n,
		Size:     ref.Size,
		ETag:     d.etag(),
		Modified: q.At.UTC().Truncate(time.Second),
		Checksum: checksum.Encode(sum),
		Blob:     ref,
	}
	if e := q.storePart(u, p); e != nil {
		return nil, e
	}
	a := &answer{}
	a.set("Etag", `"`+p.ETag+`"`)
	a.set("X-Amz-Server-Side-Encryption", "AES256")
	if d.value() != "" && d.algorithm != "" {
		a.set(d.algorithm.Header(), d.value())
	}
	return a, nil
}

func (q *call) uploadPartCopy() (*answer, *failure) {
	if e := q.exists(); e != nil {
		return nil, e
	}
	source, _, done, e := q.copySource()
	if e != nil {
		return nil, e
	}
	a := &answer{done: done}
	if e := q.may(q.config, "s3:PutObject", q.objectARN(), nil); e != nil {
		return a, e
	}
	n, e := q.partNumber()
	if e != nil {
		return a, e
	}
	u, e := q.upload()
	if e != nil {
		return a, e
	}
	offset, length := int64(0), source.Size
	if v := q.Request.Header.Get("X-Amz-Copy-Source-Range"); v != "" {
		first, last, ok := byteRange(v)
		switch {
		case !ok || first < 0 || last < 0:
			return a, errInvalidArgument("The x-amz-copy-source-range value must be of the form bytes=first-last where first and last "+
				"are the zero-based offsets of the first and last bytes to copy",
				"x-amz-copy-source-range", v)
		case first >= source.Size:
			return a, errInvalidRequest("The specified copy range is invalid for the source object size")
		case last >= source.Size:
			return a, errInvalidArgument(fmt.Sprintf("Range specified is not valid for source object of size: %d", source.Size),
				"x-amz-copy-source-range", v)
		}
		offset, length = first, last-first+1
	}
	if e := checkCopySize(length); e != nil {
		return a, e
	}
	d := &digests{md5: md5.New(), algorithm: u.Algorithm, sum: u.Algorithm.New()}
	ref, err := q.state.newBody(io.TeeReader(q.state.reader(source.Blobs, offset, length), d))
	if err != nil {
		return a, errInternal()
	}
	p := &part{
		Number:   n,
		Size:     ref.Size,
		ETag:     d.etag(),
		Modified: q.At.UTC().Truncate(time.Second),
		Checksum: checksum.Encode(d.sum),
		Blob:     ref,
	}
	if e := q.storePart(u, p); e != nil {
		return a, e
	}
	a.set("X-Amz-Server-Side-Encryption", "AES256")
	a.xml = document("CopyPartResult", func(x *wire.XML) {
		x.Text("LastModified", timestamp(p.Modified))
		x.Text("ETag", `"`+p.ETag+`"`)
		if u.Asked {
			x.Text("Checksum"+string(u.Algorithm), p.Checksum)
		}
	}).xml
	return a, nil
}

// completedPart is a part in the document of CompleteMultipartUpload.
type completedPart struct {
	PartNumber        int
	ETag              string
	ChecksumCRC32     string
	ChecksumCRC32C    string
	ChecksumCRC64NVME string
	ChecksumSHA1      string
	ChecksumSHA256    string
}

func (p *completedPart) checksum(a checksum.Algorithm) string {
	switch a {
	case checksum.CRC32:
		return p.ChecksumCRC32
	case checksum.CRC32C:
		return p.ChecksumCRC32C
	case checksum.CRC64NVME:
		return p.ChecksumCRC64NVME
	case checksum.SHA1:
		return p.ChecksumSHA1
	}
	return p.ChecksumSHA256
}

func (q *call) completeUpload() (*answer, *failure) {
	if e := q.exists(); e != nil {
		return nil, e
	}
	if e := q.mayPut(nil); e != nil {
		return nil, e
	}
	var body struct {
		XMLName xml.Name        `xml:"CompleteMultipartUpload"`
		Part    []completedPart `xml:"Part"`
	}
	data, e := q.readCompletion()
	if e != nil {
		return nil, e
	}
	if e := parseXML(data, &body); e != nil {
		return nil, e
	}
	if len(body.Part) == 0 {
		return nil, errMalformedXML()
	}
	u, e := q.upload()
	if v := q.Request.Header.Get("X-Amz-Checksum-Type"); e == nil && v != "" && v != u.ChecksumType {
		return nil, errInvalidRequest("The upload was created using the %s checksum mode. The complete request must use the same checksum mode.",
			u.ChecksumType)
	}
	if e != nil {
		// A client that did not hear that its upload was completed asks again,
		// and hears it now (API reference, CompleteMultipartUpload).
		if o := q.state.object(q.bucket, q.key); o != nil && o.Upload == q.query.Get("uploadId") && o.Upload != "" {
			return q.completed(o), nil
		}
		return nil, e
	}
	o, e := q.assemble(u, body.Part)
	if e != nil {
		return nil, e
	}
	e = q.state.edit(func(c *store.Change) *failure {
		b := q.state.buckets[q.bucket]
		if b == nil {
			return errNoSuchBucket(q.bucket)
		}
		if q.state.uploads[u.ID] != u {
			return errNoSuchUpload(u.ID)
		}
		if e := q.checkWrite(b.object(o.Key)); e != nil {
			return e
		}
		for i, p := range o.Parts { // a part may have been replaced meanwhile
			if now := u.parts[p.Number]; now == nil || now.Blob != o.Blobs[i] {
				return errInvalidPart(u.ID, p.Number, "")
			}
		}
		q.state.use(o.Blobs...)
		q.state.storeObject(c, b, o)
		q.state.removeUpload(c, u)
		return nil
	})
	if e != nil {
		return nil, e
	}
	return q.completed(o), nil
}

// readCompletion reads the document of CompleteMultipartUpload. The checksums
// in its headers are not the document's but the object's.
func (q *call) readCompletion() ([]byte, *failure) {
	body, e := q.payload()
	if e != nil {
		return nil, e
	}
	return q.readBounded(body)
}

func errInvalidPart(upload string, number int, etag string) *failure {
	return failf(http.StatusBadRequest, "InvalidPart", "One or more of the specified parts could not be found.  The part may not "+
		"have been uploaded, "+
		"or the specified entity tag may not match the part's entity tag.").
		with("UploadId", upload).with("PartNumber", strconv.Itoa(number)).with("ETag", etag)
}

// assemble makes the object of an upload from the parts that the client lists.
func (q *call) assemble(u *upload, list []completedPart) (*object, *failure) {
	q.state.mu.RLock()
	parts := maps.Clone(u.parts)
	q.state.mu.RUnlock()
	o := &object{
		Key:          u.Key,
		Modified:     q.At.UTC().Truncate(time.Second),
		Headers:      u.Headers,
		Tags:         u.Tags,
		ACL:          u.ACL,
		Algorithm:    u.Algorithm,
		ChecksumType: u.ChecksumType,
		Upload:       u.ID,
	}
	tags := md5.New()
	ofParts := u.Algorithm.New()
	for i := range list[1:] {
		if list[i+1].PartNumber <= list[i].PartNumber {
			return nil, failf(http.StatusBadRequest, "InvalidPartOrder",
				"The list of parts was not in ascending order. Parts must be ordered by part number.").with("UploadId", u.ID)
		}
	}
	for i, c := range list {
		p := parts[c.PartNumber]
		if e := u.checkPart(&c, p, i == len(list)-1); e != nil {
			return nil, e
		}
		sum, _ := hex.DecodeString(p.ETag)
		tags.Write(sum)
		sum, _ = base64.StdEncoding.DecodeString(p.Checksum)
		ofParts.Write(sum)
		o.Size += p.Size
		o.Blobs = append(o.Blobs, p.Blob)
		part := objectPart{Number: p.Number, Size: p.Size}
		if u.ChecksumType == composite {
			part.Checksum = p.Checksum
		}
		o.Parts = append(o.Parts, part)
	}
	o.ETag = hex.EncodeToString(tags.Sum(nil)) + "-" + strconv.Itoa(len(list))

	if v := q.Request.Header.Get("X-Amz-Mp-Object-Size"); v != "" && v != strconv.FormatInt(o.Size, 10) {
		return nil, errInvalidRequest("The provided 'x-amz-mp-object-size' header value %s does not match what was computed: %d", v, o.Size)
	}
	var ofAll string // as some clients send it, without the number of parts
	if u.ChecksumType == composite {
		ofAll = checksum.Encode(ofParts)
		o.Checksum = ofAll + "-" + strconv.Itoa(len(list))
	} else {
		var err error
		if o.Checksum, err = q.state.checksumOf(o); err != nil {
			return nil, errInvalidPart(u.ID, list[0].PartNumber, "") // replaced while it was read
		}
	}
	return o, q.checkAssembled(o, ofAll)
}

// checkPart refuses a part of the list that is not the part p which was uploaded.
func (u *upload) checkPart(c *completedPart, p *part, last bool) *failure {
	etag := strings.Trim(c.ETag, `"`)
	if p == nil || etag != p.ETag {
		return errInvalidPart(u.ID, c.PartNumber, etag)
	}
	if !last && p.Size < minPart {
		return failf(http.StatusBadRequest, "EntityTooSmall", "Your proposed upload is smaller than the minimum allowed size").
			with("ProposedSize", strconv.FormatInt(p.Size, 10)).with("MinSizeAllowed", strconv.Itoa(minPart)).
			with("PartNumber", strconv.Itoa(p.Number)).with("ETag", p.ETag)
	}
	switch given := c.checksum(u.Algorithm); {
	case given == "" && u.Asked && u.ChecksumType == composite:
		return errInvalidRequest("The upload was created using a %s checksum. The complete request must include the checksum for each part. "+
			"It was missing for part %d in the request.", strings.ToLower(string(u.Algorithm)), p.Number)
	case given != "" && given != p.Checksum:
		return errInvalidPart(u.ID, c.PartNumber, etag)
	}
	return nil
}

// checksumOf computes the checksum of a whole body. Somebody may replace it
// meanwhile, which is an error.
func (s *state) checksumOf(o *object) (string, error) {
	s.mu.Lock()
	s.use(o.Blobs...)
	s.mu.Unlock()
	defer s.release(o.Blobs...)
	whole := o.Algorithm.New()
	if _, err := s.reader(o.Blobs, 0, o.Size).WriteTo(whole); err != nil {
		return "", err
	}
	return checksum.Encode(whole), nil
}

// checkAssembled holds the checksum in the headers of the request against that of
// the object. OfAll is it in another spelling.
func (q *call) checkAssembled(o *object, ofAll string) *failure {
	for _, a := range checksum.All {
		v := q.Request.Header.Get(a.Header())
		switch {
		case v == "":
		case a != o.Algorithm:
			return errInvalidRequest("Checksum Type mismatch occurred, expected checksum Type: %s, actual checksum Type: %s",
				strings.ToLower(string(o.Algorithm)), strings.ToLower(string(a)))
		case v != o.Checksum && v != ofAll:
			return errBadDigest(string(o.Algorithm))
		}
	}
	return nil
}

func (q *call) completed(o *object) *answer {
	a := document("CompleteMultipartUploadResult", func(x *wire.XML) {
		scheme := "http"
		if q.Request.TLS != nil {
			scheme = "https"
		}
		location := scheme + "://" + q.Request.Host + "/"
		if q.host.Bucket == "" {
			location += q.bucket + "/"
		}
		x.Text("Location", location+url.QueryEscape(q.key)) // also the slashes, and a blank is a plus
		x.Text("Bucket", q.bucket)
		x.Text("Key", q.key)
		x.Text("ETag", `"`+o.ETag+`"`)
		x.Text("Checksum"+string(o.Algorithm), o.Checksum)
		x.Text("ChecksumType", o.ChecksumType)
	})
	a.set("X-Amz-Server-Side-Encryption", "AES256")
	q.setVersion(a, o)
	return a
}

func (q *call) abortUpload() (*answer, *failure) {
	if e := q.exists(); e != nil {
		return nil, e
	}
	if e := q.may(q.config, "s3:AbortMultipartUpload", q.objectARN(), nil); e != nil {
		return nil, e
	}
	u, e := q.upload()
	if e != nil {
		return nil, e
	}
	return noContent(), q.state.edit(func(c *store.Change) *failure {
		if q.state.uploads[u.ID] != u {
			return errNoSuchUpload(u.ID)
		}
		q.state.removeUpload(c, u)
		return nil
	})
}

func (q *call) listParts() (*answer, *failure) {
	if e := q.exists(); e != nil {
		return nil, e
	}
	if e := q.may(q.config, "s3:ListMultipartUploadParts", q.objectARN(), nil); e != nil {
		return nil, e
	}
	u, e := q.upload()
	if e != nil {
		return nil, e
	}
	limit, e := q.number("max-parts", maxList)
	if e != nil {
		return nil, e
	}
	marker, e := q.number("part-number-marker", maxParts)
	if e != nil {
		return nil, e
	}
	if q.query.Get("part-number-marker") == "" {
		marker = 0
	}
	q.state.mu.RLock()
	all := slices.Collect(maps.Values(u.parts))
	q.state.mu.RUnlock()
	slices.SortFunc(all, func(a, b *part) int { return a.Number - b.Number })
	all = slices.DeleteFunc(all, func(p *part) bool { return p.Number <= marker })
	truncated := len(all) > limit
	all = all[:min(len(all), limit)]
	return document("ListPartsResult", func(x *wire.XML) {
		x.Text("Bucket", q.bucket)
		x.Text("Key", q.key)
		x.Text("UploadId", u.ID)
		x.Open("Initiator")
		x.Text("ID", u.Initiator)
		x.Close("Initiator")
		q.writeOwner(x)
		x.Text("StorageClass", storageClassOf(u.Headers))
		x.Number("PartNumberMarker", marker)
		if len(all) > 0 {
			x.Number("NextPartNumberMarker", all[len(all)-1].Number)
		}
		x.Number("MaxParts", limit)
		x.Bool("IsTruncated", truncated && limit > 0)
		if u.Asked {
			x.Text("ChecksumAlgorithm", string(u.Algorithm))
			x.Text("ChecksumType", u.ChecksumType)
		}
		for _, p := range all {
			x.Open("Part")
			x.Number("PartNumber", p.Number)
			x.Text("LastModified", timestamp(p.Modified))
			x.Text("ETag", `"`+p.ETag+`"`)
			x.Number("Size", int(p.Size))
			if u.Asked {
				x.Text("Checksum"+string(u.Algorithm), p.Checksum)
			}
			x.Close("Part")
		}
	}), nil
}
