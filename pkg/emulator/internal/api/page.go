package api

import (
	"crypto/sha256"
	"encoding/base64"
	"strings"
)

// List names a list of which clients ask for one page after the other. The text with
// which they go on says after which place, and is good for this list alone.
type List string

// List is the list of an operation and the caller's account. What else makes it another
// list than those is in of, such as whose children it has.
func (c *Call) List(of ...string) List {
	return List(strings.Join(append([]string{c.Service, c.Operation, c.Caller.Account}, of...), "\x00"))
}

// listSum is how many bytes of a token say which list it is of.
const listSum = 8

// Token is the text with which a client goes on after a place, which is not empty.
func (l List) Token(place string) string {
	sum := sha256.Sum256([]byte(l))
	return base64.RawURLEncoding.EncodeToString(append(sum[:listSum:listSum], place...))
}

// Place is the place in a token, or false for what is no token of this list.
func (l List) Place(token string) (string, bool) {
	text, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(text) <= listSum {
		return "", false
	}
	place := string(text[listSum:])
	return place, token == l.Token(place)
}
