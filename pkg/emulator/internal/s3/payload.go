package s3

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"strconv"

	"github.com/openirsa/openirsa/internal/sigv4"
	"github.com/openirsa/openirsa/pkg/emulator/internal/api"
)

// payload is the decoded and checked body of the request.
func (q *call) payload() (*sigv4.Body, *failure) {
	if q.Operation == "PutObject" || q.Operation == "UploadPart" {
		q.ReadsObject()
	}
	body, err := sigv4.NewBody(q.Request, q.sig, q.signKey)
	if err != nil {
		return nil, payloadError(err)
	}
	return body, nil
}

// payloadError is an error of reading a payload in the words of S3. Of a
// connection that broke the words reach nobody.
func payloadError(err error) *failure {
	e, ok := errors.AsType[*sigv4.Error](err)
	if !ok {
		return failf(http.StatusBadRequest, "RequestTimeout",
			"Your socket connection to the server was not read from or written to within the timeout period. Idle connections will be closed.")
	}
	switch e.Kind {
	case sigv4.BadPayloadHash:
		if e.Value == "" {
			return errInvalidRequest("Missing required header for this request: x-amz-content-sha256")
		}
		return errInvalidArgument("x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-UNSIGNED-PAYLOAD-TRAILER, "+
			"STREAMING-AWS4-HMAC-SHA256-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER or a valid sha256 value.",
			"x-amz-content-sha256", e.Value)
	case sigv4.PayloadMismatch:
		return failf(http.StatusBadRequest, "XAmzContentSHA256Mismatch",
			"The provided 'x-amz-content-sha256' header does not match what was computed.").with("ClientComputedContentSHA256", e.Value)
	case sigv4.NoDecodedLength:
		return errNoLength()
	case sigv4.WrongLength:
		return failf(http.StatusBadRequest, "IncompleteBody",
			"You did not provide the number of bytes specified by the Content-Length HTTP header")
	case sigv4.SmallChunk:
		return failf(http.StatusForbidden, "InvalidChunkSizeError", "Only the last chunk is allowed to have a size less than 8192 bytes")
	case sigv4.ChunkMismatch:
		return failf(http.StatusForbidden, "SignatureDoesNotMatch",
			"The request signature we calculated does not match the signature you provided. Check your key and signing method.")
	case sigv4.BadTrailer:
		return failf(http.StatusBadRequest, "MalformedTrailerError",
			"The request contained trailing data that was not well-formed or did not conform to our published schema.")
	case sigv4.ChecksumMismatch:
		return errBadDigest(e.Value)
	}
	return failf(http.StatusBadRequest, "IncompleteBody", "The request body terminated unexpectedly")
}

// maxXML bounds, in bytes, a document that a client sends. The largest is that of
// CompleteMultipartUpload: 10,000 parts of about 300 bytes.
const maxXML = 4 << 20

// readXML reads the document that a request carries, of which v gives root
// element and schema. It checks Content-MD5 and checksums as for objects.
func (q *call) readXML(v any) *failure {
	data, e := q.readDocument()
	if e != nil {
		return e
	}
	return parseXML(data, v)
}

// readDocument reads a body that is not an object's.
func (q *call) readDocument() ([]byte, *failure) {
	body, e := q.payload()
	if e != nil {
		return nil, e
	}
	checks, e := q.newDigests(body)
	if e != nil {
		return nil, e
	}
	data, e := q.readBounded(io.TeeReader(body, checks))
	if e != nil {
		return nil, e
	}
	if e := checks.verify(body); e != nil {
		return nil, e
	}
	return data, nil
}

// readBounded reads a document, if it is not too large and there is memory for
// it.
func (q *call) readBounded(body io.Reader) ([]byte, *failure) {
	data, err := q.ReadAll(body, maxXML)
	switch {
	case errors.Is(err, api.ErrTooLong):
		return nil, failf(http.StatusBadRequest, "MaxMessageLengthExceeded", "Your request was too big.").
			with("MaxMessageLengthBytes", strconv.Itoa(maxXML))
	case errors.Is(err, api.ErrNoMemory):
		return nil, asFailure(api.Busy())
	case err != nil:
		return nil, payloadError(err)
	}
	return data, nil
}

// parseXML reads one document and nothing after it.
func parseXML(data []byte, v any) *failure {
	d := xml.NewDecoder(bytes.NewReader(data))
	if err := d.Decode(v); err != nil {
		return errMalformedXML()
	}
	for {
		token, err := d.Token()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return errMalformedXML()
		}
		switch t := token.(type) {
		case xml.Comment:
		case xml.CharData:
			if len(bytes.TrimSpace(t)) > 0 {
				return errMalformedXML()
			}
		default:
			return errMalformedXML()
		}
	}
}

// receive stores the body of the request and checks it. The body also goes to whatever else wants to see it.
func (q *call) receive(body *sigv4.Body, d *digests, also ...io.Writer) (blobRef, *failure) {
	limit := q.service.config.MaxObject
	switch {
	case body.Len() < 0:
		return blobRef{}, errNoLength()
	case body.Len() > limit:
		return blobRef{}, errTooLarge(body.Len(), limit)
	}
	ref, err := q.state.newBody(io.TeeReader(body, io.MultiWriter(append(also, d)...)))
	if err != nil {
		if _, ok := errors.AsType[*sigv4.Error](err); !ok && q.state.store.Failure() != nil {
			return blobRef{}, errInternal()
		}
		return blobRef{}, payloadError(err)
	}
	if e := d.verify(body); e != nil {
		q.state.release(ref)
		return blobRef{}, e
	}
	return ref, nil
}
