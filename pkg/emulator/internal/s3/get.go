package s3

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
)

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
func (q *call) getObject() (*answer, *failure) {
	if e := q.exists(); e != nil {
		return nil, e
	}
	v, e := q.version()
	if e != nil {
		return nil, e
	}
	o := q.state.hold(q.bucket, q.key, v)
	a := &answer{done: func() {
		if o != nil {
			q.state.release(o.Blobs...)
		}
	}}
	if e := q.may(q.config, v.versioned("s3:GetObject"), q.objectARN(), existingTags(o)); e != nil {
		return a, e
	}
	if o == nil || o.DeleteMarker {
		return a, q.absent(q.config, q.key, v, o)
	}
	q.setVersion(a, o)
	q.setExpiry(a, o)
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
		a.set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", offset, offset+length-1, o.Size))
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
		_, err := q.state.reader(o.Blobs, offset, length).WriteTo(w)
		return err
	}
	return a, nil
}

// part is the part of an object that a request wants: by its number in a
// multipart upload, by a range of bytes, or the whole.
func (q *call) part(o *object) (offset, length int64, part *objectPart, e *failure) {
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
		return 0, 0, nil, failf(http.StatusRequestedRangeNotSatisfiable, "InvalidPartNumber", "The requested partnumber is not satisfiable").
			with("ActualPartCount", strconv.Itoa(max(1, len(o.Parts)))).with("PartNumberRequested", v)
	}
	v := q.Request.Header.Get("Range")
	offset, length, ok := parseRange(v, o.Size)
	if !ok {
		return 0, 0, nil, failf(http.StatusRequestedRangeNotSatisfiable, "InvalidRange", "The requested range is not satisfiable").
			with("RangeRequested", v).with("ActualObjectSize", strconv.FormatInt(o.Size, 10))
	}
	return offset, length, nil, nil
}

// isRange reports whether the Range header is one that S3 honours.
func (q *call) isRange(o *object) bool {
	_, _, ok := byteRange(q.Request.Header.Get("Range"))
	return ok
}
