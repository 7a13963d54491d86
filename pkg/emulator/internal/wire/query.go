package wire

import (
	"net/http"
	"strconv"
	"strings"
)

// NamespaceFault is the XML namespace of errors that are no service's own.
const NamespaceFault = "http://webservices.amazon.com/AWSFault/2005-15-09"

// queryResponse is the answer of an operation. A result without content makes
// no result element at all: such operations have no output.
func queryResponse(namespace, operation, requestID string, result func(*XML)) []byte {
	x := &XML{Buf: make([]byte, 0, 2048)}
	x.Buf = append(append(append(append(append(x.Buf, '<'), operation...), `Response xmlns="`...), namespace...), `">`...)
	if result != nil {
		x.Open(operation + "Result")
		result(x)
		x.Close(operation + "Result")
	}
	x.Open("ResponseMetadata")
	x.Text("RequestId", requestID)
	x.Close("ResponseMetadata")
	x.Close(operation + "Response")
	return x.Buf
}

// queryError is an error in the Query protocol.
func queryError(namespace, requestID string, e *Failure) []byte {
	if e.Namespace != "" {
		namespace = e.Namespace
	}
	x := &XML{Buf: make([]byte, 0, 512)}
	x.Buf = append(append(append(x.Buf, `<ErrorResponse xmlns="`...), namespace...), `">`...)
	x.Open("Error")
	x.Text("Type", e.Side())
	x.Text("Code", e.Code)
	x.Text("Message", e.Message)
	x.Close("Error")
	x.Text("RequestId", requestID)
	x.Close("ErrorResponse")
	return x.Buf
}

// QueryAnswer is what the envelope of an answer in the Query protocol says.
type QueryAnswer struct {
	Service, Operation string
	Namespace          string // XML namespace of the service
	ID                 string // of the request
}

// Write answers with a result or an error, in XML or, if the client asks for
// it, in JSON. A result that is nil makes no result element.
func (a *QueryAnswer) Write(w http.ResponseWriter, r *http.Request, result func(*XML), e *Failure) {
	status, kind, answer := a.encode(r.Header, result, e)
	h := w.Header()
	h["x-amzn-RequestId"] = []string{a.ID} // spelled as AWS spells it
	h["Content-Type"] = []string{kind}
	w.WriteHeader(status)
	w.Write(answer)
}

func (a *QueryAnswer) encode(h http.Header, result func(*XML), e *Failure) (status int, kind string, answer []byte) {
	inJSON := prefersJSON(h)
	if inJSON && e == nil {
		var err error
		if answer, err = jsonResponse(a.Service, a.Operation, a.ID, result); err != nil {
			e = ErrInternal
		}
	}
	switch {
	case inJSON && e != nil:
		answer, _ = jsonError(a.ID, e) // made of texts
		return e.Status, "application/json", answer
	case inJSON:
		return http.StatusOK, "application/json", answer
	case e != nil:
		return e.Status, "text/xml", queryError(a.Namespace, a.ID, e)
	}
	return http.StatusOK, "text/xml", queryResponse(a.Namespace, a.Operation, a.ID, result)
}

// prefersJSON reports whether a client would rather have JSON than XML. Without a
// word it gets XML, and with "*/*" too.
func prefersJSON(h http.Header) bool {
	inJSON, inXML := 0.0, 0.0
	for _, field := range h.Values("Accept") {
		for part := range strings.SplitSeq(field, ",") {
			kind, parameters, _ := strings.Cut(part, ";")
			quality := 1.0
			for parameter := range strings.SplitSeq(parameters, ";") {
				name, value, _ := strings.Cut(parameter, "=")
				if strings.EqualFold(strings.TrimSpace(name), "q") {
					quality, _ = strconv.ParseFloat(strings.TrimSpace(value), 64)
				}
			}
			switch strings.ToLower(strings.TrimSpace(kind)) {
			case "application/json":
				inJSON = max(inJSON, quality)
			case "text/xml", "application/xml":
				inXML = max(inXML, quality)
			}
		}
	}
	return inJSON > 0 && inJSON >= inXML
}
