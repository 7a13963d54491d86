package s3

import (
	"encoding/xml"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
)

// answer is what an operation answers if it succeeds.
type answer struct {
	status int // 0 is 200
	header http.Header
	xml    []byte
	// stream writes the body of an object, of length bytes. A call that gives
	// one must also give done, which is called in any case.
	stream func(io.Writer) error
	length int64
	done   func()
}

// set sets a header of the answer, unless the value is empty.
func (a *answer) set(name, value string) {
	if value == "" {
		return
	}
	if a.header == nil {
		a.header = make(http.Header, 8)
	}
	a.header.Set(name, value)
}

// write puts the headers of the answer among those to be sent, spelled as S3
// spells them. The name of x-amz-meta-... is the client's own data, and some
// clients tell upper from lower case.
func (a *answer) write(h http.Header) {
	for name, values := range a.header {
		switch {
		case strings.HasPrefix(name, "X-Amz-"):
			name = strings.ToLower(name)
		case name == "Etag":
			name = "ETag"
		}
		h[name] = values
	}
}

// noContent is the answer of operations that have none.
func noContent() *answer { return &answer{status: http.StatusNoContent} }

// rawAnswer is an answer of some bytes.
func rawAnswer(b []byte) *answer {
	return &answer{length: int64(len(b)), stream: func(w io.Writer) error {
		_, err := w.Write(b)
		return err
	}}
}

// newXML begins a document.
func newXML() *wire.XML {
	x := &wire.XML{Buf: make([]byte, 0, 512)}
	x.Buf = append(x.Buf, xml.Header...)
	return x
}

// document is an answer that is an XML document in S3's namespace.
func document(root string, write func(*wire.XML)) *answer {
	x := newXML()
	x.Open(root + ` xmlns="` + namespace + `"`)
	if write != nil {
		write(x)
	}
	x.Close(root)
	return &answer{xml: x.Buf}
}

// timestamp is a time as S3's documents have it.
func timestamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// namespace is the XML namespace of S3's documents. Its errors have none.
const namespace = "http://s3.amazonaws.com/doc/2006-03-01/"
