package sigv4

import (
	"bufio"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/openirsa/openirsa/internal/checksum"
)

// maxTrailers bounds the trailer section, in bytes; a checksum and a signature have
// less than 200.
const maxTrailers = 4 << 10

// Body is the payload of an S3 request: decoded if it is aws-chunked, and checked
// against everything the request says about it.
//
// The bytes are valid only once Read has returned [io.EOF]: chunk signatures,
// trailers, checksums and the hash of the whole are known at the end. What was read
// before any other error must be discarded. Errors of the payload are of type
// [*Error].
type Body struct {
	read   func([]byte) (int, error)
	length int64
	err    error // sticky

	algorithm checksum.Algorithm // of the trailer
	value     string
}

// NewBody is the payload of a request that [Verifier.Verify] has accepted,
// with the key that it returned; s is nil, and the key zero, for an unsigned request.
// Nothing is read yet, so the client does not get its 100 Continue yet.
func NewBody(r *http.Request, s *Signature, key Key) (*Body, error) {
	mode, err := PayloadHash(r, s)
	if err != nil {
		return nil, err
	}
	body := r.Body
	if body == nil {
		body = http.NoBody
	}
	b := &Body{length: r.ContentLength}
	switch mode {
	case UnsignedPayload:
		b.read = body.Read
	case StreamingUnsigned, StreamingSigned, StreamingSignedTrailer:
		length := r.Header.Get("X-Amz-Decoded-Content-Length")
		b.length, err = strconv.ParseInt(length, 10, 64)
		if err != nil || b.length < 0 {
			return nil, &Error{Kind: NoDecodedLength, Value: length}
		}
		c := &chunks{r: bufio.NewReader(body), remaining: b.length}
		if mode != StreamingUnsigned {
			c.signed = &chain{s: s, key: key, previous: s.signature, hash: sha256.New()}
		}
		if mode != StreamingSigned {
			c.trailer = true
			for name := range strings.SplitSeq(r.Header.Get("X-Amz-Trailer"), ",") {
				name = strings.ToLower(strings.TrimSpace(name))
				if name == "" {
					continue
				}
				algorithm, known := checksum.ParseHeader(name)
				if !known || b.algorithm != "" {
					return nil, &Error{Kind: BadTrailer, Value: name}
				}
				b.algorithm = algorithm
				c.sum = algorithm.New()
			}
		}
		c.body = b
		b.read = c.Read
	default:
		sum := sha256.New()
		b.read = func(p []byte) (int, error) {
			n, err := body.Read(p)
			sum.Write(p[:n])
			if err == io.EOF && !strings.EqualFold(hex.EncodeToString(sum.Sum(nil)), mode) {
				err = &Error{Kind: PayloadMismatch, Value: mode}
			}
			return n, err
		}
	}
	return b, nil
}

// Len is the length of the decoded payload as announced, or -1.
func (b *Body) Len() int64 { return b.length }

// Read implements [io.Reader]. See [Body] for what its end means.
func (b *Body) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	if len(p) == 0 {
		return 0, nil
	}
	n, err := b.read(p)
	if err == io.ErrUnexpectedEOF { // net/http: fewer bytes than Content-Length
		err = &Error{Kind: WrongLength}
	}
	b.err = err
	return n, err
}

// Checksum is the checksum that the trailer gave, in base64, and that the
// payload was found to have. The algorithm is empty without one, and before
// the payload has been read to its end.
func (b *Body) Checksum() (checksum.Algorithm, string) {
	if b.value == "" {
		return "", ""
	}
	return b.algorithm, b.value
}

// chain signs every chunk with the signature of the one before
// (sigv4-streaming.html and sigv4-streaming-trailers.html in the S3 API
// Reference).
type chain struct {
	s        *Signature
	key      Key
	previous string
	hash     hash.Hash // of the chunk in hand
	claimed  string    // its signature, as sent
}

// check compares the signature of what was hashed since the last check, and
// makes it the previous one. Kind is "PAYLOAD" or "TRAILER".
func (c *chain) check(kind string) error {
	var sum [sha256.Size]byte
	toSign := make([]byte, 0, 512)
	toSign = append(toSign, Algorithm+"-"+kind+"\n"...)
	toSign = append(toSign, c.s.timestamp...)
	toSign = append(toSign, '\n')
	toSign = append(toSign, c.s.scope...)
	toSign = append(toSign, '\n')
	toSign = append(toSign, c.previous...)
	toSign = append(toSign, '\n')
	if kind == "PAYLOAD" {
		toSign = append(toSign, EmptyPayload+"\n"...)
	}
	toSign = hex.AppendEncode(toSign, c.hash.Sum(sum[:0]))
	c.hash.Reset()

	var want [2 * sha256.Size]byte
	c.key.sign(&want, toSign)
	if subtle.ConstantTimeCompare(want[:], []byte(c.claimed)) != 1 {
		return &Error{Kind: ChunkMismatch, Value: c.claimed, StringToSign: string(toSign)}
	}
	c.previous = c.claimed
	return nil
}

// chunks decodes aws-chunked.
type chunks struct {
	r         *bufio.Reader
	body      *Body
	remaining int64 // of the decoded length
	left      int64 // of the chunk in hand
	small     bool  // the chunk in hand is smaller than minChunk
	trailer   bool
	signed    *chain    // nil where chunks are not signed
	sum       hash.Hash // of the payload; nil without a checksum in the trailer
}

// Read implements [io.Reader].
func (c *chunks) Read(p []byte) (int, error) {
	for c.left == 0 {
		size, err := c.next()
		if err != nil {
			return 0, err
		}
		if size == 0 {
			if err := c.finish(); err != nil {
				return 0, err
			}
			return 0, io.EOF
		}
		c.left = size
	}
	n, err := c.r.Read(p[:min(int64(len(p)), c.left)])
	c.left -= int64(n)
	if c.sum != nil {
		c.sum.Write(p[:n])
	}
	if c.signed != nil {
		c.signed.hash.Write(p[:n])
	}
	if err != nil {
		return n, truncated(err)
	}
	if c.left == 0 {
		if err := c.line(); err != nil { // the line end after the data
			return n, err
		}
		if c.signed != nil {
			return n, c.signed.check("PAYLOAD")
		}
	}
	return n, nil
}

// next reads the head of a chunk: its size, and its signature if signed.
func (c *chunks) next() (int64, error) {
	line, err := c.readLine()
	if err != nil {
		return 0, err
	}
	digits, extension, extended := strings.Cut(line, ";")
	if c.signed != nil {
		name, value, _ := strings.Cut(extension, "=")
		if name != "chunk-signature" {
			return 0, &Error{Kind: BadChunk}
		}
		c.signed.claimed = value
	} else if extended {
		return 0, &Error{Kind: BadChunk}
	}
	if digits == "" || strings.ContainsFunc(digits, func(r rune) bool { return r > 127 || hexDigit(byte(r)) < 0 }) {
		return 0, &Error{Kind: BadChunk} // ParseInt takes a sign
	}
	size, err := strconv.ParseInt(digits, 16, 64)
	if err != nil {
		return 0, &Error{Kind: BadChunk}
	}
	if size > c.remaining || size == 0 && c.remaining > 0 {
		return 0, &Error{Kind: WrongLength}
	}
	if size > 0 && c.small {
		return 0, &Error{Kind: SmallChunk}
	}
	c.small = size < minChunk
	c.remaining -= size
	return size, nil
}

// finish reads what follows the last chunk.
func (c *chunks) finish() error {
	if c.signed != nil {
		if err := c.signed.check("PAYLOAD"); err != nil { // of no bytes
			return err
		}
	}
	if !c.trailer {
		if err := c.line(); err != nil {
			return err
		}
		return c.end()
	}

	var value string
	signature := false
	for size := 0; ; {
		line, err := c.readRaw()
		if err != nil {
			return err
		}
		line, whole := strings.CutSuffix(line, "\r")
		if line == "" && whole {
			break
		}
		if size += len(line); size > maxTrailers {
			return &Error{Kind: BadTrailer}
		}
		name, v, found := strings.Cut(line, ":")
		name = strings.ToLower(name)
		v = strings.TrimSpace(v)
		switch {
		case !found, signature: // the signature comes last
			return &Error{Kind: BadTrailer, Value: name}
		case name == "x-amz-trailer-signature" && c.signed != nil && whole:
			c.signed.claimed, signature = v, true
		case c.sum != nil && value == "" && name == c.body.algorithm.Header() && c.body.algorithm.Valid(v):
			value = v
			if c.signed != nil {
				io.WriteString(c.signed.hash, name+":"+v+"\n")
			}
			if !whole { // minio-go ends it with LF CR LF, which S3 takes
				if err := c.line(); err != nil {
					return err
				}
			}
		default:
			return &Error{Kind: BadTrailer, Value: name}
		}
	}
	if (c.sum != nil && value == "") || (c.signed != nil && !signature) {
		return &Error{Kind: BadTrailer}
	}
	if c.signed != nil {
		if err := c.signed.check("TRAILER"); err != nil {
			return err
		}
	}
	if c.sum != nil && checksum.Encode(c.sum) != value {
		return &Error{Kind: ChecksumMismatch, Value: string(c.body.algorithm)}
	}
	c.body.value = value
	return c.end()
}

// end refuses anything after the payload.
func (c *chunks) end() error {
	switch _, err := c.r.ReadByte(); {
	case err == nil:
		return &Error{Kind: BadChunk}
	case err != io.EOF:
		return truncated(err)
	}
	return nil
}

// line reads an empty line.
func (c *chunks) line() error {
	line, err := c.readLine()
	if err == nil && line != "" {
		err = &Error{Kind: BadChunk}
	}
	return err
}

// readLine reads a line without its end, which must be CR LF. Its length is
// limited by the buffer.
func (c *chunks) readLine() (string, error) {
	line, err := c.readRaw()
	if err != nil {
		return "", err
	}
	line, found := strings.CutSuffix(line, "\r")
	if !found {
		return "", &Error{Kind: BadChunk}
	}
	return line, nil
}

// readRaw reads a line without its LF.
func (c *chunks) readRaw() (string, error) {
	line, err := c.r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		return "", &Error{Kind: BadChunk}
	}
	if err != nil {
		return "", truncated(err)
	}
	return string(line[:len(line)-1]), nil
}

// truncated is the error for a payload that ends too early; errors other than
// its end are the connection's.
func truncated(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return &Error{Kind: WrongLength}
	}
	return err
}
