package guard

import (
	"io"
	"net"
	"net/http"
	"time"
)

// newTransport reaches backends. It undoes no compression, since a checksum such as
// x-amz-crc32 is over the bytes as they were sent, and it waits for answers as long
// as the client does: a function may run for fifteen minutes.
func newTransport() *http.Transport {
	dialer := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}
	return &http.Transport{
		DialContext:         dialer.DialContext,
		TLSHandshakeTimeout: 10 * time.Second,
		DisableCompression:  true,
		MaxIdleConns:        1024,
		MaxIdleConnsPerHost: 256,
		IdleConnTimeout:     60 * time.Second,
	}
}

// handlerTransport calls a handler in this process, whose answer is read as it is
// written.
type handlerTransport struct{ http.Handler }

// RoundTrip implements [http.RoundTripper].
func (t handlerTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	in := r.Clone(r.Context())
	in.RequestURI = r.URL.RequestURI()
	in.RemoteAddr = "127.0.0.1:0"
	if in.Body == nil {
		in.Body = http.NoBody
	}
	reader, writer := io.Pipe()
	answer := &handlerAnswer{
		pipe: writer, header: http.Header{}, begun: make(chan struct{}),
		response: &http.Response{Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Body: reader, ContentLength: -1, Request: r},
	}
	go func() {
		defer func() {
			if fault := recover(); fault != nil {
				writer.CloseWithError(io.ErrUnexpectedEOF) // as if the connection had been reset
			} else {
				answer.WriteHeader(http.StatusOK)
				writer.Close()
			}
			answer.begin()
		}()
		t.ServeHTTP(answer, in)
	}()
	select {
	case <-answer.begun:
		if answer.response.StatusCode == 0 {
			return nil, io.ErrUnexpectedEOF
		}
		return answer.response, nil
	case <-r.Context().Done():
		reader.CloseWithError(r.Context().Err())
		return nil, r.Context().Err()
	}
}

// handlerAnswer is the answer of a handlerTransport. Its fields are the handler's
// goroutine's until begun is closed.
type handlerAnswer struct {
	pipe     *io.PipeWriter
	header   http.Header
	response *http.Response
	begun    chan struct{}
	done     bool // begun is closed
}

// Header implements [http.ResponseWriter].
func (a *handlerAnswer) Header() http.Header { return a.header }

// WriteHeader implements [http.ResponseWriter].
func (a *handlerAnswer) WriteHeader(status int) {
	if a.done || status < http.StatusOK {
		return
	}
	a.response.StatusCode, a.response.Status = status, http.StatusText(status)
	a.response.Header = a.header.Clone()
	a.begin()
}

func (a *handlerAnswer) begin() {
	if !a.done {
		a.done = true
		close(a.begun)
	}
}

// Write implements [http.ResponseWriter].
func (a *handlerAnswer) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return a.pipe.Write(p)
}

// Flush implements [http.Flusher]. What is written is read at once.
func (a *handlerAnswer) Flush() { a.WriteHeader(http.StatusOK) }
