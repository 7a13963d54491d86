package s3

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"slices"

	"github.com/openirsa/openirsa/pkg/emulator/internal/store"
)

// release ends the use of bodies. Those that nobody uses are deleted.
func (s *state) release(refs ...blobRef) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var c store.Change
	s.drop(&c, refs...)
	if len(c.Records) > 0 {
		// Nobody waits for this to be on disk: what is left over after a crash
		// is swept at the next start.
		s.store.Queue(c.Records...)
	}
}

// commitEvery is the number of chunks after which those who write a large
// body wait for the file, so that it does not pile up in memory.
const commitEvery = 8

// newBody stores a body as it is read. It is in use by the caller, who must
// hand it to an object or a part, or release it. Of an error nothing is left.
func (s *state) newBody(r io.Reader) (blobRef, error) {
	var b [16]byte
	rand.Read(b[:])
	ref := blobRef{ID: hex.EncodeToString(b[:])}
	s.mu.Lock()
	s.use(ref)
	s.mu.Unlock()

	if err := s.fill(&ref, r); err != nil {
		s.release(ref)
		return blobRef{}, err
	}
	return ref, nil
}

func (s *state) fill(ref *blobRef, r io.Reader) error {
	buffer := make([]byte, 0, 512)
	for {
		n, err := r.Read(buffer[len(buffer):cap(buffer)])
		buffer = buffer[:len(buffer)+n]
		end := err == io.EOF
		if err != nil && !end {
			return err
		}
		if len(buffer) == chunkSize || end && len(buffer) > 0 {
			i := ref.chunks()
			ref.Size += int64(len(buffer))
			if len(buffer) < cap(buffer)/2 {
				buffer = slices.Clone(buffer) // it stays in memory for long
			}
			batch := s.store.Queue(store.Record{Bucket: store.Bodies, Key: ref.chunk(i), Value: buffer})
			if i%commitEvery == commitEvery-1 {
				if err := s.store.Commit(batch); err != nil {
					return err
				}
			}
			buffer = make([]byte, 0, chunkSize)
		}
		if end {
			return nil
		}
		if len(buffer) == cap(buffer) {
			buffer = slices.Grow(buffer, min(cap(buffer), chunkSize-len(buffer)))
			buffer = buffer[:len(buffer):min(cap(buffer), chunkSize)]
		}
	}
}

// bodyReader reads length bytes of bodies, one after the other, from an
// offset on. The bodies must be in use while it does.
type bodyReader struct {
	store          *store.Store
	refs           []blobRef
	offset, length int64
}

// Read implements [io.Reader].
func (r *bodyReader) Read(p []byte) (int, error) {
	chunk, err := r.next()
	if err != nil {
		return 0, err
	}
	n := copy(p, chunk)
	r.offset += int64(n)
	r.length -= int64(n)
	return n, nil
}

// WriteTo implements [io.WriterTo], which reads each chunk once.
func (r *bodyReader) WriteTo(w io.Writer) (int64, error) {
	var written int64
	for {
		chunk, err := r.next()
		if err == io.EOF {
			return written, nil
		}
		if err != nil {
			return written, err
		}
		n, err := w.Write(chunk)
		written += int64(n)
		if err != nil {
			return written, err
		}
		r.offset += int64(n)
		r.length -= int64(n)
	}
}

// next is what is left of the chunk at the offset.
func (r *bodyReader) next() ([]byte, error) {
	if r.length <= 0 {
		return nil, io.EOF
	}
	for len(r.refs) > 0 && r.offset >= r.refs[0].Size {
		r.offset -= r.refs[0].Size
		r.refs = r.refs[1:]
	}
	if len(r.refs) == 0 {
		return nil, io.ErrUnexpectedEOF
	}
	key := r.refs[0].chunk(int(r.offset / chunkSize))
	chunk, found := r.store.Body(store.Bodies, key)
	from := r.offset % chunkSize
	if !found || from >= int64(len(chunk)) {
		return nil, fmt.Errorf("reading body %q: it is gone", key)
	}
	return chunk[from:min(int64(len(chunk)), from+r.length)], nil
}

// reader reads bodies.
func (s *state) reader(refs []blobRef, offset, length int64) *bodyReader {
	return &bodyReader{s.store, refs, offset, length}
}
