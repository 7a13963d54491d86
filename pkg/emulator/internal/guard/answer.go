package guard

import (
	"bytes"
	"cmp"
	"encoding/json"
	"hash/crc32"
	"net/http"
	"strconv"

	"github.com/openirsa/openirsa/internal/awsapi"
	"github.com/openirsa/openirsa/pkg/emulator/internal/api"
	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
)

// write answers a call with an error in the protocol that was spoken. Clients of
// the JSON protocols take what follows "#" in __type for the code; those that were
// written for the Query protocol read theirs in a header. Those of DynamoDB and its
// streams compare an answer with its CRC-32, and the AWS SDK for Go takes one without it
// for broken, and warns (service/dynamodb/internal/customizations/checksum.go).
func (a *asked) write(w http.ResponseWriter, c *api.Call, e *wire.Failure) {
	h := w.Header()
	if a.model != nil && a.model.QueryCompatible && a.coded() {
		h["x-amzn-query-error"] = []string{e.Code + ";" + e.Side()}
		e = &wire.Failure{Status: e.Status, Code: modern(e.Code), Message: e.Message}
	}
	switch {
	case a.oldCBOR:
		h["x-amzn-RequestId"] = []string{c.ID}
		h["Content-Type"] = []string{oldCBOR}
		w.WriteHeader(e.Status)
		w.Write(wire.TextsCBOR("__type", e.Code, "message", e.Message))
	case a.protocol == wire.RPCCBOR:
		h["x-amzn-RequestId"] = []string{c.ID}
		h["smithy-protocol"] = []string{"rpc-v2-cbor"}
		h["Content-Type"] = []string{"application/cbor"}
		w.WriteHeader(e.Status)
		w.Write(wire.TextsCBOR("__type", e.Code, "message", e.Message))
	case a.protocol == wire.JSON10 || a.protocol == wire.JSON11:
		kind := "application/x-amz-json-1.0"
		if a.protocol == wire.JSON11 {
			kind = "application/x-amz-json-1.1"
		}
		name := "Message"
		if a.model != nil && a.model.QueryCompatible {
			name = "message"
		}
		body := encodeJSON(map[string]string{"__type": "com.amazon.coral.service#" + e.Code, name: e.Message})
		if a.model != nil && a.model.SigningName == "dynamodb" {
			h["X-Amz-Crc32"] = []string{strconv.FormatUint(uint64(crc32.ChecksumIEEE(body)), 10)}
		}
		writeJSON(w, c.ID, kind, e.Status, body)
	case a.protocol == wire.RESTJSON:
		h["x-amzn-ErrorType"] = []string{e.Code}
		writeJSON(w, c.ID, "application/json", e.Status, encodeJSON(map[string]string{"Message": e.Message}))
	default:
		if a.model != nil && e.Namespace == "" && a.model.Protocol != awsapi.EC2 {
			e = &wire.Failure{Status: e.Status, Code: e.Code, Message: e.Message, Namespace: a.namespace()}
		}
		a.protocol.WriteError(w, c.Request, c.ID, e)
	}
}

// namespaces are those of answers in XML that a model as a whole does not have: that of
// SQS is of another protocol now, and others have theirs with each input.
var namespaces = map[string]string{
	"sqs":        "http://queue.amazonaws.com/doc/2012-11-05/",
	"route53":    "https://route53.amazonaws.com/doc/2013-04-01/",
	"cloudfront": "http://cloudfront.amazonaws.com/doc/2020-05-31/",
}

// namespace is that of answers in XML.
func (a *asked) namespace() string { return cmp.Or(a.model.Namespace, namespaces[a.model.Name]) }

// coded reports whether the protocol is one in which the code of a service that was
// written for the Query protocol is in a header.
func (a *asked) coded() bool {
	return a.protocol == wire.JSON10 || a.protocol == wire.JSON11 || a.protocol == wire.RPCCBOR
}

// modern is the name in the JSON protocols of a code of the Query protocol.
func modern(code string) string {
	switch code {
	case "KMS.AccessDeniedException":
		return "KmsAccessDenied"
	case "AccessDenied":
		return "AccessDeniedException"
	case "InvalidAction":
		return "UnknownOperationException"
	case "InvalidClientTokenId":
		return "UnrecognizedClientException"
	case "SignatureDoesNotMatch":
		return "InvalidSignatureException"
	case "ExpiredToken", "IncompleteSignature", "MissingAuthenticationToken":
		return code + "Exception"
	}
	return code
}

func encodeJSON(texts map[string]string) []byte {
	var body bytes.Buffer
	encoder := json.NewEncoder(&body)
	encoder.SetEscapeHTML(false)
	encoder.Encode(texts)
	return bytes.TrimRight(body.Bytes(), "\n")
}

func writeJSON(w http.ResponseWriter, id, kind string, status int, body []byte) {
	h := w.Header()
	h["x-amzn-RequestId"] = []string{id}
	h["Content-Type"] = []string{kind}
	w.WriteHeader(status)
	w.Write(body)
}
