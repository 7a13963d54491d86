package s3

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/openirsa/openirsa/internal/checksum"
	"github.com/openirsa/openirsa/internal/sigv4"
)

// heldBody is the body of an object on its way to a backend. Whether it is the one that
// was signed is known at its end, so the end is held back until then: of a body that
// is not, the backend gets less than it was told to expect, and stores nothing.
type heldBody struct {
	body *sigv4.Body
	left int64 // bytes that were not given out

	mu  sync.Mutex
	err error // of the body
}

// failed is the error of the body, nil if there was none so far, or if there is no body.
func (h *heldBody) failed() error {
	if h == nil {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.err
}

func (h *heldBody) fail(err error) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.err == nil {
		h.err = err
	}
	return h.err
}

// Read implements [io.Reader].
func (h *heldBody) Read(p []byte) (int, error) {
	switch {
	case h.failed() != nil:
		return 0, h.failed()
	case h.left == 0:
		return 0, io.EOF
	case len(p) == 0:
		return 0, nil
	case h.left > 1:
		n, err := h.body.Read(p[:min(int64(len(p)), h.left-1)])
		h.left -= int64(n)
		if err != nil {
			return n, h.fail(early(err))
		}
		return n, nil
	}
	var last [1]byte
	if _, err := io.ReadFull(h.body, last[:]); err != nil {
		return 0, h.fail(early(err))
	}
	if err := h.finish(); err != nil {
		return 0, err
	}
	p[0], h.left = last[0], 0
	return 1, io.EOF
}

// finish reads the end of the body, after which it is known to be the right one.
func (h *heldBody) finish() error {
	var more [1]byte
	for {
		n, err := h.body.Read(more[:])
		switch {
		case n > 0:
			return h.fail(&sigv4.Error{Kind: sigv4.WrongLength})
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return h.fail(err)
		}
	}
}

// early is the error of a body that ends before its length.
func early(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return &sigv4.Error{Kind: sigv4.WrongLength}
	}
	return err
}

// put makes the body that of a request. What the client sent in signed chunks goes on as
// it is, since only the client has the key; a checksum at its end goes on at its end.
func (h *heldBody) put(p *Passed) error {
	sent := p.Header.Get("X-Amz-Content-Sha256")
	unchunk(p.Header)
	p.Header.Del("X-Amz-Decoded-Content-Length")
	trailer := p.Header.Get("X-Amz-Trailer")
	p.Header.Del("X-Amz-Trailer")
	p.Body, p.Length, p.Hash = h, h.left, sigv4.UnsignedPayload
	if algorithm, known := checksum.ParseHeader(strings.ToLower(strings.TrimSpace(trailer))); known &&
		(sent == sigv4.StreamingUnsigned || sent == sigv4.StreamingSignedTrailer) {
		c := &chunked{held: h, name: algorithm.Header()}
		p.Body, p.Length, p.Hash = c, c.length(algorithm), sigv4.StreamingUnsigned
		p.Header.Set("X-Amz-Trailer", algorithm.Header())
		p.Header.Set("X-Amz-Decoded-Content-Length", strconv.FormatInt(h.left, 10))
		p.Header["Content-Encoding"] = []string{strings.TrimPrefix(p.Header.Get("Content-Encoding")+",aws-chunked", ",")}
		return nil
	}
	if len(sent) == len(sigv4.EmptyPayload) {
		p.Hash = sent // which the body is checked against
	}
	if h.left == 0 {
		p.Body = nil
		return h.finish()
	}
	return nil
}

// unchunk takes the encoding of S3's own from what is said of a body.
func unchunk(h http.Header) {
	encodings := strings.Split(strings.Join(h.Values("Content-Encoding"), ","), ",")
	encodings = slices.DeleteFunc(encodings, func(e string) bool {
		return strings.TrimSpace(e) == "" || strings.EqualFold(strings.TrimSpace(e), "aws-chunked")
	})
	if len(encodings) == 0 {
		h.Del("Content-Encoding")
		return
	}
	h["Content-Encoding"] = []string{strings.Join(encodings, ",")}
}

// chunkLength is the length of the chunks of a body that is passed on in chunks.
const chunkLength = 64 << 10

// chunked is a body in chunks with a checksum at its end, as SDKs send it over TLS (S3 API
// Reference, "Using unsigned trailing headers").
type chunked struct {
	held *heldBody
	name string // of the checksum's header

	ready []byte // to be given out
	over  bool
}

// length is how many bytes all of it has.
func (c *chunked) length(a checksum.Algorithm) int64 {
	const ends = int64(len("\r\n") * 2)
	whole, rest := c.held.left/chunkLength, c.held.left%chunkLength
	n := whole * (int64(len(strconv.FormatInt(chunkLength, 16))) + ends + chunkLength)
	if rest > 0 {
		n += int64(len(strconv.FormatInt(rest, 16))) + ends + rest
	}
	sum := int64((a.Size() + 2) / 3 * 4) // in base64
	return n + int64(len("0\r\n")) + int64(len(c.name)+len(":")) + sum + int64(len("\r\n\r\n"))
}

// Read implements [io.Reader].
func (c *chunked) Read(p []byte) (int, error) {
	if len(c.ready) == 0 {
		if c.over {
			return 0, io.EOF
		}
		if err := c.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, c.ready)
	c.ready = c.ready[n:]
	return n, nil
}

func (c *chunked) next() error {
	if c.held.left == 0 {
		if err := c.end(); err != nil {
			return err
		}
		c.over = true
		return nil
	}
	size := min(c.held.left, chunkLength)
	c.ready = fmt.Appendf(c.ready[:0], "%x\r\n", size)
	at := len(c.ready)
	c.ready = slices.Grow(c.ready, int(size)+2)[:at+int(size)]
	if _, err := io.ReadFull(c.held, c.ready[at:]); err != nil {
		c.ready = nil
		return err
	}
	c.ready = append(c.ready, "\r\n"...)
	return nil
}

func (c *chunked) end() error {
	if err := c.held.finish(); err != nil { // of an empty body; of others it is done
		return err
	}
	_, value := c.held.body.Checksum()
	c.ready = fmt.Appendf(c.ready[:0], "0\r\n%s:%s\r\n\r\n", c.name, value)
	return nil
}
