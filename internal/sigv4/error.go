package sigv4

import (
	"fmt"
	"strings"
	"time"
)

// Kind says what is wrong with a request's signature or payload, as finely as any AWS
// service words it.
type Kind int

// The kinds of [Error].
const (
	_ Kind = iota
	// Missing: the request is not signed. The only kind that may be acceptable.
	Missing
	// TwoSignatures: signed in the header and in the query string.
	TwoSignatures
	// UnknownAlgorithm: not AWS4-HMAC-SHA256 but Value, such as SigV4a and Signature
	// Version 2.
	UnknownAlgorithm
	// MissingFields: Fields of the signature are missing, named as in the
	// Authorization header ("Date" for the date header) or the query string.
	MissingFields
	// BadCredential: Value is not key/date/region/service/aws4_request.
	BadCredential
	// BadDate: Value is not a date.
	BadDate
	// ScopeDate: the credential's date, Value, is not the day of Time.
	ScopeDate
	// BadExpires: X-Amz-Expires, Value, is not a number from 1 to 604800.
	BadExpires
	// UnsignedHeaders: Fields must be signed and are not.
	UnsignedHeaders
	// TooOld: signed at Time, more than Window before Now.
	TooOld
	// NotYetValid: signed at Time, more than Window after Now.
	NotYetValid
	// Expired: presigned at Time for Window, which is over.
	Expired
	// Mismatch: the signature, Value, is not the one computed.
	Mismatch

	// BadPayloadHash: X-Amz-Content-Sha256, Value, is missing or is none of
	// the forms that S3 accepts.
	BadPayloadHash
	// PayloadMismatch: the body's SHA-256 is not X-Amz-Content-Sha256.
	PayloadMismatch
	// NoDecodedLength: a streaming payload without X-Amz-Decoded-Content-Length.
	NoDecodedLength
	// WrongLength: the decoded payload is shorter or longer than announced.
	WrongLength
	// BadChunk: the aws-chunked framing is broken.
	BadChunk
	// SmallChunk: a chunk other than the last has less than 8 KiB.
	SmallChunk
	// ChunkMismatch: the signature of a chunk, or of the trailer, is wrong.
	ChunkMismatch
	// BadTrailer: the trailer is not what X-Amz-Trailer announces.
	BadTrailer
	// ChecksumMismatch: the payload does not have the checksum in the
	// trailer; Value is the checksum's name, such as "CRC32".
	ChecksumMismatch
)

// minChunk is the minimum size, in bytes, of every chunk of a payload except the last
// (sigv4-streaming.html in the S3 API Reference).
const minChunk = 8 << 10

// Error is why a request is refused. It has what the wording of any service needs;
// the wording itself belongs to the services.
//
// StringToSign and CanonicalRequest, which only a [Mismatch] has, quote the
// request's headers, session token included: they are for the answer to the
// client that sent them, never for a log. Error() does not show them.
type Error struct {
	Kind Kind
	// Presigned is true where the signature is in the query string.
	Presigned bool
	// Fields, Value, Time, Now and Window are what the Kind speaks of; zero for
	// others.
	Fields    []string
	Value     string
	Time, Now time.Time
	Window    time.Duration

	StringToSign, CanonicalRequest string
}

func (e *Error) Error() string {
	switch e.Kind {
	case Missing:
		return "request is not signed"
	case TwoSignatures:
		return "request is signed twice, in a header and in the query string"
	case UnknownAlgorithm:
		return fmt.Sprintf("signing algorithm %q is not %s", e.Value, Algorithm)
	case MissingFields:
		return "signature lacks " + strings.Join(e.Fields, ", ")
	case BadCredential:
		return "credential is not of the form key/date/region/service/" + terminator
	case BadDate:
		return fmt.Sprintf("date %q is malformed", e.Value)
	case ScopeDate:
		return fmt.Sprintf("credential is scoped to %s but the request was signed at %s", e.Value, e.Time.Format(basicISO))
	case BadExpires:
		return fmt.Sprintf("X-Amz-Expires %q is not a number of seconds from 1 to 604800", e.Value)
	case UnsignedHeaders:
		return "headers are not signed: " + strings.Join(e.Fields, ", ")
	case TooOld:
		return fmt.Sprintf("signed at %s, which is more than %s before %s", e.Time.Format(basicISO), e.Window, e.Now.Format(basicISO))
	case NotYetValid:
		return fmt.Sprintf("signed at %s, which is more than %s after %s", e.Time.Format(basicISO), e.Window, e.Now.Format(basicISO))
	case Expired:
		return fmt.Sprintf("presigned at %s for %s, which was over at %s", e.Time.Format(basicISO), e.Window, e.Now.Format(basicISO))
	case Mismatch:
		return "signature does not match"
	case BadPayloadHash:
		return fmt.Sprintf("X-Amz-Content-Sha256 %q is not a payload hash", e.Value)
	case PayloadMismatch:
		return "payload does not have the signed SHA-256"
	case NoDecodedLength:
		return "streaming payload without X-Amz-Decoded-Content-Length"
	case WrongLength:
		return "payload does not have the announced length"
	case BadChunk:
		return "chunked payload is malformed"
	case SmallChunk:
		return fmt.Sprintf("chunk other than the last is smaller than %d bytes", minChunk)
	case ChunkMismatch:
		return "chunk signature does not match"
	case BadTrailer:
		return "trailer is malformed"
	case ChecksumMismatch:
		return "payload does not have the " + e.Value + " of the trailer"
	}
	return "invalid signature"
}
