package wire

import (
	"net/http"
	"slices"
)

// Protocol is a protocol of AWS's services.
type Protocol int

const (
	RESTJSON Protocol = iota
	JSON10            // AWS JSON 1.0
	JSON11            // AWS JSON 1.1
	Query             // XML, or JSON if it is asked for
	QueryEC2          // EC2 has an envelope of its own
	RESTXML
	RESTS3  // S3's relatives, without an envelope
	RPCCBOR // Smithy RPC v2
)

// WriteError answers a request with an error in one of the protocols AWS JSON or of
// those in XML. Of the Query protocols the namespace is that of errors which are no
// service's own.
func (p Protocol) WriteError(w http.ResponseWriter, r *http.Request, id string, e *Failure) {
	h := w.Header()
	h["x-amzn-RequestId"] = []string{id}
	status, kind, body := e.Status, "", []byte(nil)
	switch p {
	case JSON10, JSON11:
		kind, body = p.contentType(), textsJSON("__type", e.Code, "message", e.Message)
	case QueryEC2:
		kind, body = "text/xml;charset=UTF-8", ec2Error(id, e)
	case RESTXML:
		kind, body = "text/xml", queryError(NamespaceFault, id, e)
	case RESTS3:
		kind, body = "application/xml", bareError(id, e)
	default:
		status, kind, body = (&QueryAnswer{Namespace: NamespaceFault, ID: id}).encode(r.Header, nil, e)
	}
	h["Content-Type"] = []string{kind}
	w.WriteHeader(status)
	w.Write(body)
}

// WriteJSON answers a request of the JSON protocols with what an operation
// returned.
func (p Protocol) WriteJSON(w http.ResponseWriter, id string, body []byte) {
	h := w.Header()
	h["x-amzn-RequestId"] = []string{id}
	h["Content-Type"] = []string{p.contentType()}
	w.WriteHeader(http.StatusOK)
	w.Write(body)
}

// contentType is that of the JSON protocols.
func (p Protocol) contentType() string {
	if p == JSON10 {
		return "application/x-amz-json-1.0"
	}
	return "application/x-amz-json-1.1"
}

// ec2Error is an error of EC2 ("Error response format", EC2 Developer Guide).
func ec2Error(requestID string, e *Failure) []byte {
	x := new(XML)
	x.Open("Response")
	x.Open("Errors")
	x.Open("Error")
	x.Text("Code", e.Code)
	x.Text("Message", e.Message)
	x.Close("Error")
	x.Close("Errors")
	x.Text("RequestID", requestID)
	x.Close("Response")
	return x.Buf
}

// bareError is an error of S3's relatives.
func bareError(requestID string, e *Failure) []byte {
	x := new(XML)
	x.Open("Error")
	x.Text("Code", e.Code)
	x.Text("Message", e.Message)
	x.Text("RequestId", requestID)
	x.Close("Error")
	return x.Buf
}

// textsJSON is an object of texts, from names and values by turns.
func textsJSON(pairs ...string) []byte {
	texts := make(map[string]string, len(pairs)/2)
	for p := range slices.Chunk(pairs, 2) {
		texts[p[0]] = p[1]
	}
	body, _ := encodeJSON(texts) // of texts there is no error
	return body
}

// TextsCBOR is a map of up to 23 texts to texts in CBOR (RFC 8949, section 3),
// from names and values by turns, each of less than 64 KiB.
func TextsCBOR(pairs ...string) []byte {
	b := []byte{0xa0 | byte(len(pairs)/2)}
	for _, text := range pairs {
		switch n := len(text); {
		case n < 24:
			b = append(b, 0x60|byte(n))
		case n < 1<<8:
			b = append(b, 0x78, byte(n))
		default:
			b = append(b, 0x79, byte(n>>8), byte(n))
		}
		b = append(b, text...)
	}
	return b
}
