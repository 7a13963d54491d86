package s3

import (
	"bytes"
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"hash"
	"net/http"
	"slices"
	"strings"

	"github.com/openirsa/openirsa/internal/checksum"
	"github.com/openirsa/openirsa/internal/sigv4"
)

// Types of checksums of objects.
const (
	fullObject = "FULL_OBJECT"
	composite  = "COMPOSITE" // a checksum of the checksums of the parts
)

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

// aboutChecksums are headers that begin like those of checksums and have none.
var aboutChecksums = []string{"X-Amz-Checksum-Mode", "X-Amz-Checksum-Type", "X-Amz-Checksum-Algorithm"}

// newDigests reads from the headers what a body is to be. Without any checksum
// from the client it is CRC64NVME, which S3 then computes.
func (q *call) newDigests(body *sigv4.Body) (*digests, *failure) {
	d := &digests{md5: md5.New()}
	h := q.Request.Header
	if v := h.Get("Content-Md5"); v != "" {
		sum, err := base64.StdEncoding.DecodeString(v)
		if err != nil || len(sum) != md5.Size {
			return nil, failf(http.StatusBadRequest, "InvalidDigest", "The Content-MD5 you specified is not valid.").with("Content-MD5", v)
		}
		d.wantMD5 = sum
	}
	for name, values := range h {
		if !strings.HasPrefix(name, "X-Amz-Checksum-") || slices.Contains(aboutChecksums, name) {
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
			return nil, errInvalidRequest("x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or " +
				"x-amz-trailer headers were found.")
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
func (d *digests) verify(body *sigv4.Body) *failure {
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
