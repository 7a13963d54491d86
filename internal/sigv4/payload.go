package sigv4

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
)

// The values of X-Amz-Content-Sha256 other than a hash.
const (
	UnsignedPayload        = "UNSIGNED-PAYLOAD"
	StreamingUnsigned      = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
	StreamingSigned        = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
	StreamingSignedTrailer = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
)

// PayloadHash is the payload hash with which S3 computes a request's
// signature: the header X-Amz-Content-Sha256, or for a presigned request the
// query parameter of that name or UNSIGNED-PAYLOAD. It returns an [*Error] of
// kind [BadPayloadHash] if S3 does not know its form.
//
// s is nil for an unsigned request, where the header may be missing.
func PayloadHash(r *http.Request, s *Signature) (string, error) {
	v := r.Header.Get("X-Amz-Content-Sha256")
	if s != nil && s.Presigned && !s.SignedHeader("x-amz-content-sha256") {
		_, query := splitURI(r)
		if v, _ = queryValue(query, "X-Amz-Content-Sha256"); v == "" {
			v = UnsignedPayload
		}
	}
	switch v {
	case UnsignedPayload, StreamingUnsigned:
		return v, nil
	case StreamingSigned, StreamingSignedTrailer:
		if s != nil {
			return v, nil
		}
	case "":
		if s == nil {
			return UnsignedPayload, nil
		}
	default:
		if sum, err := hex.DecodeString(v); err == nil && len(sum) == sha256.Size {
			return v, nil
		}
	}
	return "", &Error{Kind: BadPayloadHash, Value: v}
}

// EmptyPayload is the SHA-256 of no bytes, in hexadecimal.
const EmptyPayload = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// HashPayload is the payload hash of a body, as IAM and STS require it.
func HashPayload(body []byte) string {
	if len(body) == 0 {
		return EmptyPayload
	}
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}
