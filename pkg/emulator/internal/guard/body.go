package guard

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"net/http"
	"os"
	"runtime"
	"sync/atomic"

	"github.com/openirsa/openirsa/pkg/emulator/internal/api"
	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
)

// Bounds of bodies, in bytes. The largest that AWS takes outside of S3 is that of
// Lambda's CreateFunction, with an archive of 50 MB in base64.
const (
	maxBody   = 128 << 20 // of one
	maxMemory = 1 << 20   // of one that is kept in memory; larger ones are in a file
	maxFiles  = 1 << 30   // of all that are in files
)

// body is the body of a request, whole: the signature covers its hash, so nothing
// can be decided before it is there.
type body struct {
	memory []byte
	file   *os.File // if it is not in memory
	size   int64
	hash   string // SHA-256, in hexadecimal
	// signedAs is the hash that the client's signature has: that of the body, or
	// UNSIGNED-PAYLOAD.
	signedAs string

	spool *spool
	taken int64
}

// spool is where large bodies are.
type spool struct {
	dir  string // "" is the system's
	used atomic.Int64
}

// errNoRoom is returned if all bodies in files together are too large.
var errNoRoom = errors.New("there is no room for the body")

// read reads the body of a call.
func (s *spool) read(c *api.Call) (*body, *wire.Failure) {
	b := &body{spool: s}
	err := api.ErrTooLong
	if c.Request.ContentLength <= maxBody {
		err = b.fill(c)
	}
	if err == nil {
		return b, nil
	}
	b.close()
	if errors.Is(err, api.ErrTooLong) {
		return nil, wire.Errorf(http.StatusRequestEntityTooLarge, "RequestEntityTooLargeException",
			"The emulator forwards bodies of at most %d bytes.", maxBody)
	}
	if errors.Is(err, api.ErrNoMemory) || errors.Is(err, errNoRoom) {
		return nil, api.Busy()
	}
	if _, ok := errors.AsType[*os.PathError](err); ok {
		return nil, wire.Errorf(http.StatusServiceUnavailable, "ServiceUnavailable", "The emulator cannot keep the body of the request.")
	}
	return nil, wire.Errorf(http.StatusBadRequest, "SerializationException", "The request body cannot be read")
}

// fill reads the body into memory and, if it is larger than that, into a file.
func (b *body) fill(c *api.Call) error {
	sum := sha256.New()
	if c.Body == nil {
		whole, err := c.ReadAll(io.LimitReader(c.Request.Body, maxMemory+1), maxMemory+1)
		if err != nil {
			return err
		}
		b.memory = whole
	} else {
		b.memory = c.Body // of a form that was looked at before
	}
	sum.Write(b.memory)
	b.size = int64(len(b.memory))
	if b.size > maxMemory {
		c.ReadsObject()
		if err := b.toFile(c.Request.Body, sum); err != nil {
			return err
		}
	}
	b.hash = hex.EncodeToString(sum.Sum(nil))
	return nil
}

// toFile moves what is in memory to a file, and reads the rest there.
func (b *body) toFile(rest io.Reader, sum hash.Hash) error {
	file, err := os.CreateTemp(b.spool.dir, "openirsa-body-*")
	if err != nil {
		return err
	}
	b.file = file
	if runtime.GOOS != "windows" {
		os.Remove(file.Name()) // it is gone when it is closed, even by kill -9
	}
	buf := b.memory
	n := len(buf)
	b.memory = nil
	b.size = 0
	for {
		if b.size += int64(n); b.size > maxBody {
			return api.ErrTooLong
		}
		b.taken += int64(n)
		if b.spool.used.Add(int64(n)) > maxFiles {
			return errNoRoom
		}
		if _, err := file.Write(buf[:n]); err != nil {
			return err
		}
		n, err = rest.Read(buf)
		sum.Write(buf[:n])
		if err == io.EOF && n == 0 {
			return nil
		}
		if err != nil && err != io.EOF {
			return err
		}
	}
}

// reader reads the body from its beginning.
func (b *body) reader() io.Reader {
	if b.file == nil {
		return bytes.NewReader(b.memory)
	}
	return io.NewSectionReader(b.file, 0, b.size)
}

// replace puts other bytes in place of the body.
func (b *body) replace(whole []byte) {
	sum := sha256.Sum256(whole)
	if b.file != nil {
		b.file.Close()
	}
	b.file, b.memory, b.size = nil, whole, int64(len(whole))
	b.hash = hex.EncodeToString(sum[:])
	b.signedAs = b.hash
}

// close gives back what the body takes.
func (b *body) close() {
	if b.file != nil {
		b.file.Close()
		if runtime.GOOS == "windows" {
			os.Remove(b.file.Name())
		}
	}
	b.spool.used.Add(-b.taken)
}
