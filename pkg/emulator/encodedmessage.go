package emulator

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"net/http"

	"github.com/openirsa/openirsa/pkg/emulator/internal/api"
	"github.com/openirsa/openirsa/pkg/emulator/internal/wire"
	"github.com/openirsa/openirsa/pkg/policy"
)

// EC2 tells why it denies a call in an encoded message, which only those may read who
// have the permission sts:DecodeAuthorizationMessage (STS API Reference,
// "DecodeAuthorizationMessage"). The message holds all that it says itself, sealed with
// the account's key: nothing is remembered.

const (
	maxEncoded  = 10240 // characters, by STS's model
	messageKind = "authorization message"
	// maxMessage is how many bytes a message may have so that it stays below that:
	// base64 makes four characters of three bytes.
	maxMessage = 7000
)

var ruleEncodedMessage = wire.Rule{Required: true, Min: 1, Max: maxEncoded}

// authorizationMessage is a decoded message. Its members are those that AWS documents,
// and the explanation.
type authorizationMessage struct {
	Allowed           bool             `json:"allowed"`
	ExplicitDeny      bool             `json:"explicitDeny"`
	MatchedStatements items[statement] `json:"matchedStatements"`
	Failures          items[struct{}]  `json:"failures"`
	Context           messageContext   `json:"context"`
	Explanation       string           `json:"explanation"`
	RequestID         string           `json:"requestId"`
}

type items[T any] struct {
	Items []T `json:"items"`
}

// statement is one that denied.
type statement struct {
	ID     string `json:"statementId"`
	Effect string `json:"effect"`
	Policy string `json:"policy"`
}

type messageContext struct {
	Principal struct {
		ID  string `json:"id"`
		ARN string `json:"arn"`
	} `json:"principal"`
	Action     string           `json:"action"`
	Resource   string           `json:"resource"`
	Conditions items[condition] `json:"conditions"`
}

type condition struct {
	Key    string        `json:"key"`
	Values items[values] `json:"values"`
}

type values struct {
	Value string `json:"value"`
}

// encodedMessage is what a denial says at its end to those who may decode it.
func (s *Server) encodedMessage(c *api.Call, q *api.Question, d *policy.Decision) string {
	m := authorizationMessage{
		ExplicitDeny: d.Explicit, Explanation: d.String(), RequestID: c.ID,
		MatchedStatements: items[statement]{[]statement{}}, Failures: items[struct{}]{[]struct{}{}},
	}
	if d.Explicit {
		m.MatchedStatements.Items = append(m.MatchedStatements.Items, statement{d.Statement.Sid, "DENY", d.Statement.Policy})
	}
	m.Context.Principal.ID, m.Context.Principal.ARN = c.Caller.UserID, c.Caller.ARN
	m.Context.Action, m.Context.Resource = q.Action, q.Resource
	m.Context.Conditions.Items = []condition{}
	for _, key := range q.Keys.Keys() {
		given, _ := q.Keys.Values(key)
		all := items[values]{[]values{}}
		for _, v := range given {
			all.Items = append(all.Items, values{v})
		}
		m.Context.Conditions.Items = append(m.Context.Conditions.Items, condition{key, all})
	}
	text, err := json.Marshal(m)
	if err == nil && len(text) > maxMessage { // the request's own values may be long
		m.Context.Conditions.Items = []condition{}
		text, err = json.Marshal(m)
	}
	if err != nil || len(text) > maxMessage {
		return ""
	}
	return " Encoded authorization failure message: " + s.seal.message(text)
}

// message seals a text for whoever asks STS to decode it.
func (k *sealer) message(text []byte) string {
	nonce := make([]byte, k.aead.NonceSize(), k.aead.NonceSize()+len(text)+k.aead.Overhead())
	rand.Read(nonce)
	return base64.RawURLEncoding.EncodeToString(k.aead.Seal(nonce, nonce, text, []byte(messageKind)))
}

// openMessage is the text of a sealed message.
func (k *sealer) openMessage(sealed string) (text []byte, ok bool) {
	b, ok := decodeStrict(base64.RawURLEncoding, sealed)
	n := k.aead.NonceSize()
	if !ok || len(b) < n {
		return nil, false
	}
	text, err := k.aead.Open(nil, b[:n], b[n:], []byte(messageKind))
	return text, err == nil
}

// decodeAuthorizationMessage needs the permission on "*".
func (s *Server) decodeAuthorizationMessage(c *call) (func(*wire.XML), *wire.Failure) {
	encoded := c.Text("EncodedMessage", ruleEncodedMessage)
	if e := c.Err(); e != nil {
		return nil, s.refusedParameters(c, e)
	}
	if e := s.authorize(c.Call, &api.Question{Action: "sts:DecodeAuthorizationMessage", Resource: "*"}); e != nil {
		return nil, e
	}
	text, ok := s.seal.openMessage(encoded)
	if !ok {
		return nil, wire.Errorf(http.StatusBadRequest, "InvalidAuthorizationMessageException",
			"Message is not valid. Check that you have entered the message correctly.")
	}
	return func(x *wire.XML) { x.Text("DecodedMessage", string(text)) }, nil
}
